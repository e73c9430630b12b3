"""What torch does with modules works with every module in modes: precision, transforms, compilation, optimizers, processes."""

import copy

import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file, save_file
from torch.func import grad, vmap
from torch.utils.checkpoint import checkpoint

from modes_torch_cases import BATCH, MAKERS, answer, applied, distributed, given, gradients, loss, made

ALL = pytest.mark.parametrize("name", MAKERS)
FIRST = ("linear", "conv2d", "embedding", "recurrent", "tied mlp")  # what differs most: the others only take longer
REST_IN_FULL = pytest.mark.parametrize(
    "name", [one if one in FIRST else pytest.param(one, marks=pytest.mark.full) for one in MAKERS]
)


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert set(found) == set(wanted)
    for name, one in wanted.items():
        torch.testing.assert_close(found[name], one, msg=lambda said, name=name: f"{name}: {said}", **tolerance)


@ALL
def test_gradients_are_those_of_numerical_differentiation(name: str) -> None:
    module, x = made(name), given(name)
    names, held = zip(*module.named_parameters(), strict=True)
    inputs = (x.requires_grad_(), *held) if x.is_floating_point() else held

    def run(*values: torch.Tensor) -> torch.Tensor:
        first, rest = (values[0], values[1:]) if x.is_floating_point() else (x, values)
        return applied(module, dict(zip(names, rest, strict=True)), first)

    if name == "embedding":  # whose padding has, as torch's, no gradient though its vector would move
        with torch.no_grad():
            module.padding_idx = None
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("name", ["linear", "conv2d", "embedding"])
def test_the_input_may_be_given_by_the_name_that_it_has_in_torch(name: str) -> None:
    module, x = made(name), given(name)
    assert torch.equal(module(input=x), module(x))


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_precision_gives_what_float64_gives_with_the_same_numbers(name: str, dtype: torch.dtype) -> None:
    low, x = made(name, dtype), given(name, dtype)
    exact = copy.deepcopy(low).double()
    found, wanted = answer(low, x), answer(exact, x.double() if x.is_floating_point() else x)
    assert found.dtype == dtype
    bound = 16 * torch.finfo(dtype).eps * max(1, float(wanted.detach().abs().max()))  # of a handful of roundings in a row
    assert float((found.double() - wanted).detach().abs().max()) < bound
    slopes = gradients(low, x)
    assert all(one.dtype == dtype and torch.isfinite(one).all() for one in slopes.values())


@ALL
def test_autocast_computes_in_bfloat16_and_keeps_parameters_and_gradients_in_float32(name: str) -> None:
    module, x = made(name, torch.float32), given(name, torch.float32)
    wanted = answer(module, x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        found = answer(module, x)
        loss(found.float()).backward()
    bound = 16 * torch.finfo(torch.bfloat16).eps * max(1, float(wanted.abs().max()))
    assert 0 < float((found.detach().float() - wanted).abs().max()) < bound
    assert {one.grad.dtype for one in module.parameters()} == {torch.float32}


@ALL
def test_state_saved_as_safetensors_is_plain_and_loads_strictly_into_another_draw(name: str, tmp_path) -> None:
    module, other, x = made(name), made(name, seed=1), given(name)
    assert not torch.equal(answer(module, x), answer(other, x))
    save_file(module.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(load_file(tmp_path / "state.safetensors"), strict=True)
    assert torch.equal(answer(module, x), answer(other, x))


@ALL
def test_a_deep_copy_answers_alike_and_shares_no_memory(name: str) -> None:
    module, x = made(name), given(name)
    twin = copy.deepcopy(module)
    assert torch.equal(answer(module, x), answer(twin, x))
    before = answer(module, x)
    with torch.no_grad():
        for one in twin.parameters():
            one.zero_()
    assert torch.equal(answer(module, x), before)
    assert not torch.equal(answer(twin, x), before)


@ALL
def test_gradients_of_single_samples_come_from_one_vectorised_call(name: str) -> None:
    module, x = made(name), given(name)
    held = {key: one.detach() for key, one in module.named_parameters()}

    def single(parameters: dict[str, torch.Tensor], sample: torch.Tensor) -> torch.Tensor:
        return loss(applied(module, parameters, sample[None]))

    each = vmap(grad(single), (None, 0))(held, x)
    for at in range(BATCH):
        same({key: one[at] for key, one in each.items()}, gradients(made(name), x[at : at + 1]))


@ALL
def test_gradients_are_the_same_when_activities_are_recomputed(name: str) -> None:
    module, x = made(name), given(name)
    wanted = {key: one.clone() for key, one in gradients(module, x).items()}
    module.zero_grad()
    loss(checkpoint(lambda value: answer(module, value), x, use_reentrant=False)).backward()
    same({key: one.grad for key, one in module.named_parameters()}, wanted, rtol=0, atol=0)


@ALL
@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_fused_optimizers_step_as_plain_ones(name: str, kind: type[torch.optim.Optimizer]) -> None:
    plain, fused, many = (made(name) for _ in range(3))
    options = ({"foreach": False, "fused": False}, {"fused": True}, {"foreach": True})
    optimizers = [kind(one.parameters(), lr=0.01, **option) for one, option in zip((plain, fused, many), options, strict=True)]
    for _ in range(2):
        for module, optimizer in zip((plain, fused, many), optimizers, strict=True):
            gradients(module, given(name))
            optimizer.step()
    same(fused.state_dict(), plain.state_dict(), rtol=1e-12, atol=1e-12)
    same(many.state_dict(), plain.state_dict(), rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@REST_IN_FULL
def test_a_compiled_module_is_one_graph_with_the_same_answers_and_gradients(name: str) -> None:
    module, x = made(name), given(name)
    wanted, slopes = answer(module, x), gradients(made(name), x)
    torch.compiler.reset()
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = answer(whole, x)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    loss(found).backward()
    same({key: one.grad for key, one in module.named_parameters()}, slopes, rtol=1e-12, atol=1e-12)


@pytest.mark.full
@pytest.mark.filterwarnings("default::DeprecationWarning")  # torch's own, of a compiler it still uses inside
@ALL
def test_a_module_compiled_to_machine_code_has_the_same_answers_and_gradients(name: str) -> None:
    module, x = made(name), given(name)
    wanted, slopes = answer(module, x), gradients(made(name), x)
    torch.compiler.reset()
    found = answer(torch.compile(module, fullgraph=True), x)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    loss(found).backward()
    same({key: one.grad for key, one in module.named_parameters()}, slopes, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@REST_IN_FULL
def test_an_exported_program_answers_as_the_module(name: str) -> None:
    module, x = made(name), given(name)
    program = torch.export.export(module, (x,))
    torch.testing.assert_close(answer(program.module(), x), answer(module, x), rtol=1e-12, atol=1e-12)


@pytest.mark.full
def test_two_processes_that_share_a_batch_get_the_gradients_of_the_whole(tmp_path) -> None:
    torch.multiprocessing.spawn(distributed, (2, str(tmp_path / "store")), nprocs=2)
