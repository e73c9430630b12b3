"""Tracing gives the model back as it was, and says what is wrong with an input in one line."""

import pytest
import torch
from torch import nn

from modescope.checkpoints import open as opened
from modescope.errors import UsageError
from modescope.spectral_graph.wiring.traced import traced
from traced_cases import CASES, HandRMSNorm, block, built


class Stateful(nn.Module):
    """Writes to its buffers, makes another, draws random numbers, and changes its input."""

    def __init__(self, fails=False):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), HandRMSNorm(4), nn.Linear(4, 2)
        self.register_buffer("seen", torch.zeros(()))
        self.batch, self.drop, self.fails = nn.BatchNorm1d(4), nn.Dropout(), fails

    def forward(self, x):
        self.seen += 1
        self.register_buffer("cache", torch.rand(4))
        x.mul_(2)
        x = self.batch(self.norm(self.first(x)) + self.cache)
        if self.fails:
            raise RuntimeError("no such thing\nand a second line")
        return self.last(self.drop(x))


def state(model):
    hooks = [
        tuple(len(getattr(module, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called"))
        for module in model.modules()
    ]
    flags = [module.training for module in model.modules()]
    held = model.state_dict(keep_vars=True)
    tensors = {name: (id(value), value.detach().clone(), value.requires_grad) for name, value in held.items()}
    return hooks, flags, tensors, torch.get_rng_state()


def assert_same(before, after):
    assert before[:2] == after[:2]
    assert before[2].keys() == after[2].keys()
    for name, (place, value, grad) in before[2].items():
        assert after[2][name][0] == place
        assert after[2][name][2] == grad
        assert torch.equal(after[2][name][1], value)
    assert torch.equal(before[3], after[3])


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_and_the_random_numbers_are_given_back_as_they_were(fails):
    model, x = Stateful(fails).train(), torch.randn(4, 3)
    model.drop.eval()
    kept, before = x.clone(), state(model)
    if fails:
        with pytest.raises(UsageError):
            traced(model, opened(model), x)
    else:
        traced(model, opened(model), x)
    assert_same(before, state(model))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("name", CASES)
def test_a_run_after_tracing_gives_the_same_numbers_as_one_before(name):
    model, inputs = built(name)
    model.eval()
    with torch.no_grad():
        before = model(*inputs)
        traced(model, opened(model), inputs)
        assert torch.equal(model(*inputs), before)


def test_an_input_the_model_fails_on_is_an_error_of_one_line_that_says_what_to_pass():
    model = Stateful(fails=True)
    with pytest.raises(UsageError) as caught:
        traced(model, opened(model), torch.randn(4, 3))
    text = str(caught.value)
    assert "Stateful" in text
    assert "no such thing" in text
    assert "mapping of keyword arguments" in text
    assert "\n" not in text


@pytest.mark.parametrize("inputs", [None, "text", 3])
def test_inputs_that_are_no_tensors_are_refused_before_the_model_runs(inputs):
    with pytest.raises(UsageError, match="inputs: expected a tensor"):
        traced(block(nn.Linear(3, 4)), opened(block(nn.Linear(3, 4))), inputs)


@pytest.mark.parametrize("inputs", [torch.ones(2, 3), (torch.ones(2, 3),), [torch.ones(2, 3)], {"input": torch.ones(2, 3)}])
def test_inputs_may_be_a_tensor_positions_or_keywords(inputs):
    model = block(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    (link,) = traced(model, opened(model), inputs).links
    assert (link.source, link.target) == ("0.weight", "2.weight")


def test_a_checkpoint_of_another_model_is_refused_with_the_tensor_and_both_shapes():
    with pytest.raises(UsageError, match=r"0\.weight.*\(4, 3\).*\(5, 3\)"):
        traced(block(nn.Linear(3, 4)), opened(block(nn.Linear(3, 5))), torch.ones(1, 3))


def test_numbers_come_from_the_checkpoint_and_not_from_the_model():
    model, other = (block(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)) for _ in range(2))
    layer = traced(model, opened(other), torch.ones(1, 3))["0.weight"]
    assert (layer.matrix.read() == other[0].weight.detach().numpy()).all()


def test_the_model_runs_in_evaluation_mode_without_gradients():
    seen = []

    class Watching(nn.Linear):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    model = Watching(3, 4).train()
    traced(model, opened(model), torch.ones(1, 3))
    assert seen == [(False, False)]
    assert torch.is_grad_enabled()


def sequence():
    return block(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


@pytest.mark.skipif(not hasattr(torch.compiler, "set_stance"), reason="needs a torch that can run compiled models as written")
@pytest.mark.parametrize("place", ["all", "in place", "one"])
def test_a_compiled_model_is_wired_as_it_was_written(place):
    model = sequence()
    if place == "all":
        model = torch.compile(model, backend="eager")
    elif place == "in place":
        model.compile(backend="eager")
    else:
        model[2] = torch.compile(model[2], backend="eager")
    wiring = traced(model, opened(model), torch.randn(2, 3))
    assert wiring.gaps == ()
    assert [(link.source.replace("_orig_mod.", ""), link.target.replace("_orig_mod.", "")) for link in wiring.links] == [
        ("0.weight", "2.weight"),
        ("2.weight", "4.weight"),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sort", ["scripted", "traced", "quantised", "complex"])
def test_a_model_of_which_no_layer_is_seen_to_run_is_no_graph_without_layers(sort):
    model, x = sequence().eval(), torch.randn(2, 3)
    if sort == "scripted":
        model = torch.jit.script(model)
    elif sort == "traced":
        model = torch.jit.trace(model, x)
    elif sort == "quantised":
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    else:
        model, x = block(nn.Linear(3, 4), nn.Linear(4, 2)).to(torch.complex64), x.to(torch.complex64)
    with pytest.raises(UsageError, match="none was seen to run"):
        traced(model, opened(model), x)


@pytest.mark.filterwarnings("ignore")
def test_a_layer_inside_a_scripted_module_is_a_gap_and_not_one_that_did_not_run():
    model = sequence()
    model[2] = torch.jit.script(model[2])
    wiring = traced(model, opened(model), torch.randn(2, 3))
    assert wiring.notes == ()
    assert {gap.target: "2 is a scripted module" in gap.reason for gap in wiring.gaps} == {"2.weight": True, "4.weight": False}


class Writing(nn.Module):
    """Writes to its own weights in several ways when it runs."""

    def __init__(self):
        super().__init__()
        self.table, self.clipped, self.last = nn.Embedding(9, 4, max_norm=0.5), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, ids):
        with torch.no_grad():
            self.clipped.weight.clamp_(-0.1, 0.1)
            self.clipped.bias[:2] = 0
            self.last.weight.data *= 2
            self.last.bias = nn.Parameter(torch.zeros(2))
        return self.last(self.clipped(self.table(ids)))


def test_weights_that_a_run_writes_to_are_given_back_as_they_were():
    model = Writing()
    before = state(model)
    traced(model, opened(model), torch.tensor([[1, 2, 8]]))
    assert_same(before, state(model))
    model(torch.tensor([[1, 2, 8]]))
    with pytest.raises(AssertionError):
        assert_same(before, state(model))
