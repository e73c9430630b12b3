"""Modes inside torch's own modules: the nearest weight of rank p, whatever module holds it, and back to dense."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from modescope.errors import UsageError
from modescope.modes.modules.embedding import ModeEmbedding
from modescope.modes.modules.parametrised import parametrised_modes, parametrize_modes

P = 2
CASES = {
    "linear": (lambda: nn.Linear(6, 5), ("weight",), (4, 6)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3), ("weight",), (2, 3, 7)),
    "conv2d": (lambda: nn.Conv2d(3, 4, 2, padding=1), ("weight",), (2, 3, 5, 4)),
    "embedding": (lambda: nn.Embedding(9, 5), ("weight",), None),
    "rnn": (lambda: nn.RNN(6, 5), ("weight_ih_l0", "weight_hh_l0"), (3, 2, 6)),
    "gru": (lambda: nn.GRU(6, 5, 2), ("weight_ih_l0", "weight_hh_l1"), (3, 2, 6)),
    "lstm": (lambda: nn.LSTM(6, 5), ("weight_ih_l0", "weight_hh_l0"), (3, 2, 6)),
    "attention": (lambda: _SelfAttention(6, 2), ("in_proj_weight",), (3, 2, 6)),
}


class _SelfAttention(nn.MultiheadAttention):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return super().forward(x, x, x)


def made(kind: str) -> tuple[nn.Module, tuple[str, ...], torch.Tensor]:
    make, names, shape = CASES[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = make().double()
        x = torch.randint(9, (2, 4)) if shape is None else torch.randn(*shape, dtype=torch.float64)
    return module, names, x


def first(found: torch.Tensor | tuple[torch.Tensor, object]) -> torch.Tensor:
    return found[0] if isinstance(found, tuple) else found


def nearest(weight: torch.Tensor) -> torch.Tensor:
    u, s, vh = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    return ((u[:, :P] * s[:P]) @ vh[:P]).reshape(weight.shape)


@pytest.mark.parametrize("kind", CASES)
def test_a_module_answers_as_with_the_nearest_weights_of_rank_p_and_trains_their_factors(kind: str) -> None:
    module, names, x = made(kind)
    dense = made(kind)[0]
    for name in names:
        getattr(dense, name).data = nearest(getattr(dense, name).data)
    assert parametrize_modes(module, P, names) is module
    torch.testing.assert_close(first(module(x)), first(dense(x)), rtol=1e-12, atol=1e-12)
    for one in (module, dense):
        first(one(x)).sin().sum().backward()
    for name in names:
        of_weight = getattr(dense, name).grad.flatten(1)
        held = getattr(module.parametrizations, name)
        if kind == "embedding":
            of_weight = of_weight.T
        chains = (
            of_weight @ held.original2.T * held.original1,
            torch.einsum("ok,oi,ki->k", held.original0, of_weight, held.original2),
            held.original1[:, None] * (held.original0.T @ of_weight),
        )
        for at, chain in enumerate(chains):
            torch.testing.assert_close(getattr(held, f"original{at}").grad, chain, rtol=1e-12, atol=1e-11, msg=f"{name} {at}")


@pytest.mark.parametrize("kind", CASES)
def test_a_step_of_an_optimizer_changes_the_answer_and_what_is_left_is_dense(kind: str) -> None:
    module, names, x = made(kind)
    parametrize_modes(module, P, names)
    before = first(module(x)).detach()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    first(module(x)).square().sum().backward()
    optimizer.step()
    after = first(module(x)).detach()
    assert not torch.allclose(before, after)
    for name in names:
        parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        assert int(torch.linalg.matrix_rank(getattr(module, name).flatten(1))) == P
    assert set(module.state_dict()) == set(made(kind)[0].state_dict())
    torch.testing.assert_close(first(module(x)), after, rtol=1e-12, atol=1e-12)


def test_modes_are_balanced_and_those_of_the_truncated_svd() -> None:
    module, _, _ = made("conv2d")
    weight = module.weight.detach().flatten(1).clone()
    modes = parametrised_modes(parametrize_modes(module, P))
    s = torch.linalg.svdvals(weight)[:P]
    torch.testing.assert_close(torch.tensor(modes.omega), s, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.tensor(modes.s) ** 3, s, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(torch.tensor(modes.weight), nearest(weight), rtol=1e-12, atol=1e-12)


def test_an_embeddings_modes_are_those_of_the_layer_in_modes() -> None:
    module, _, x = made("embedding")
    layer = ModeEmbedding(9, 5, P, dtype=torch.float64)
    layer.set_modes(parametrised_modes(parametrize_modes(module, P)))
    torch.testing.assert_close(layer(x), module(x), rtol=1e-12, atol=1e-12)


def test_a_weight_that_is_written_is_cut_to_its_nearest_modes() -> None:
    module, _, _ = made("linear")
    parametrize_modes(module, P)
    other = made("linear")[0].weight.detach().flip(0, 1)
    module.weight = other
    torch.testing.assert_close(module.weight, nearest(other), rtol=1e-12, atol=1e-12)


def test_half_precision_is_decomposed_in_full() -> None:
    module = made("linear")[0].to(torch.bfloat16)
    wanted = nearest(module.weight.detach().double())
    parametrize_modes(module, P)
    assert module.weight.dtype == torch.bfloat16
    assert float((module.weight.detach().double() - wanted).abs().max()) < 4 * 2**-8 * float(
        wanted.abs().max()
    )  # of three roundings


@pytest.mark.parametrize(
    ("kind", "p", "names", "said"),
    [
        ("linear", 0, ("weight",), "expected 1 to 5 modes for shape .* got 0"),
        ("linear", 6, ("weight",), "expected 1 to 5 modes for shape .* got 6"),
        ("conv2d", 5, ("weight",), "expected 1 to 4 modes"),
        ("linear", 2, ("weight", "bias"), r"Linear\.bias: expected the name of a weight of this module \(weight\)"),
        ("linear", 2, ("weight", "kernel"), r"Linear\.kernel: expected the name"),
        ("linear", 2, ("weight", "weight"), "once"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(kind: str, p: int, names: tuple[str, ...], said: str) -> None:
    module = made(kind)[0]
    with pytest.raises(UsageError, match=said):
        parametrize_modes(module, p, names)
    assert not parametrize.is_parametrized(module)


def test_weights_that_are_parametrized_or_not_finite_are_refused() -> None:
    module = parametrize_modes(made("linear")[0], P)
    with pytest.raises(UsageError, match="parametrized already"):
        parametrize_modes(module, P)
    module = made("linear")[0]
    with pytest.raises(UsageError, match="got a plain one"):
        parametrised_modes(module)
    module.weight.data[0, 0] = torch.nan
    with pytest.raises(UsageError, match="finite"):
        parametrize_modes(module, P)
