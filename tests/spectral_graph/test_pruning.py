"""Pruning: only where nothing else needs the channels, and the network does the same without them."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from modescope import checkpoints
from modescope.errors import UsageError
from modescope.matrix import Array
from modescope.spectral_graph import dead_channels as dead
from modescope.spectral_graph import pruning, trials
from modescope.spectral_graph.wiring import Gains, Gap, Link, Norm, Wiring
from modescope.spectral_graph.wiring.finding import find
from structure_cases import Values, blocks, digits_network, layer, logits, perceptron, relinked, sides

RNG = np.random.default_rng


@pytest.mark.parametrize("seed", [0, 1])
def test_a_trained_perceptron_does_the_same_without_its_dead_channels(seed: int) -> None:
    """Strong decay and no batch norm: joint counts far above chance in both inner gaps, and logits that change below 1e-3."""
    network = digits_network(seed=seed, epochs=60)
    state = network.state()
    wiring = perceptron(state)
    pruned = state
    for index, (writer, (rows, columns)) in enumerate(sides(wiring).items()):
        (reader,) = columns
        found = dead.dead_channels(rows, columns[reader])
        assert len(found.joint) >= found.rows - 1
        if index < 2:
            assert found.p < 1e-6
            assert len(found.joint) > 4 * found.expected
        able = pruning.prunable(wiring, writer, rows, columns)
        assert able.channels == found.joint
        plan = pruning.plan(wiring, writer, able.channels, state)
        assert plan.exact
        assert pruning.bounds(wiring, plan, rows, columns)[0].share < 1e-3
        pruned = pruning.prune(pruned, plan)
    before, after = logits(state, network.images), logits(pruned, network.images)
    assert trials.difference(before, after).relative < 1e-3
    assert trials.difference(before, after).same_choice == 1
    assert sum(array.size for array in pruned.values()) < sum(array.size for array in state.values())
    assert [pruned[f"{i}.weight"].shape[0] for i in range(3)] == [pruned[f"{i + 1}.weight"].shape[1] for i in range(3)]


def small(*, bias: bool = True) -> tuple[dict[str, Values], Wiring]:
    """Two layers with three channels in between that are zero on both sides but for the bias."""
    rng = RNG(2)
    state = {
        "0.weight": rng.standard_normal((7, 5)),
        "0.bias": rng.standard_normal(7),
        "1.weight": rng.standard_normal((4, 7)),
        "1.bias": rng.standard_normal(4),
    }
    state["0.weight"][[1, 4, 6]] = 0
    state["0.bias"][[1, 4, 6]] = [0.5, -2.0, 3.0]
    wiring = perceptron(state)
    if not bias:
        del state["1.bias"]
        wiring = replace(wiring, layers=(wiring.layers[0], replace(wiring.layers[1], bias=None)))
    return state, wiring


def test_what_a_dead_channel_leaves_behind_moves_into_the_bias() -> None:
    state, wiring = small()
    plan = pruning.plan(wiring, "0.weight", [1, 4, 6], state)
    images = RNG(3).standard_normal((20, 5))
    pruned = pruning.prune(state, plan)
    assert logits(pruned, images) == pytest.approx(logits(state, images), abs=1e-12)
    assert logits(pruning.silenced(state, plan), images) == pytest.approx(logits(state, images), abs=1e-12)
    assert {name: array.shape for name, array in pruned.items()} == {
        "0.weight": (4, 5),
        "0.bias": (4,),
        "1.weight": (4, 4),
        "1.bias": (4,),
    }
    assert plan.parameters == 3 * (5 + 1 + 4) == sum(a.size for a in state.values()) - sum(a.size for a in pruned.values())
    assert state["0.weight"].shape == (7, 5)
    assert pruning.silenced(state, plan)["1.weight"].shape == (4, 7)


def test_a_constant_that_nothing_can_take_up_is_said_to_be_lost() -> None:
    state, wiring = small(bias=False)
    plan = pruning.plan(wiring, "0.weight", [1, 4], state)
    assert not plan.exact
    assert plan.notes == ("1.weight has no bias that could take up the constant of the channels: it is lost",)
    assert pruning.plan(wiring, "0.weight", [4], state).exact  # relu(-2) is 0


def test_the_bound_of_the_change_holds_and_is_reached() -> None:
    """Rows that are not zero: the change of the reader is below the bound times the norm of the input, and close for the worst."""
    state, wiring = small()
    state["0.weight"][[1, 4, 6]] = 1e-3 * RNG(5).standard_normal((3, 5))
    state["0.bias"][[1, 4, 6]] = [0.5, 0.2, 3.0]
    wiring = perceptron(state)
    rows, columns = sides(wiring)["0.weight"]
    plan = pruning.plan(wiring, "0.weight", [1, 4, 6], state)
    (bound,) = pruning.bounds(wiring, plan, rows, columns)
    images = RNG(6).standard_normal((500, 5))
    change = np.linalg.norm(logits(pruning.prune(state, plan), images) - logits(state, images), axis=1)
    ratio = change / np.linalg.norm(images, axis=1) / bound.change
    assert ratio.max() <= 1
    assert ratio.max() > 0.3
    single = pruning.plan(wiring, "0.weight", [6], state)
    (one,) = pruning.bounds(wiring, single, rows, columns)
    along = state["0.weight"][6][None] / np.linalg.norm(state["0.weight"][6])
    reached = np.linalg.norm(logits(pruning.prune(state, single), along) - logits(state, along))
    assert reached == pytest.approx(one.change, rel=1e-9)
    assert one.share == pytest.approx(one.change / (rows * columns["1.weight"]).sum())


class Convolutional(nn.Module):
    """Convolutions with batch norm, pooling and a flatten; padded by zeros where `padding` says so."""

    def __init__(self, padding: int) -> None:
        super().__init__()
        side = 8 - 2 * (1 - padding)
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 5, 3, padding=padding, bias=False)
        self.bn2 = nn.BatchNorm2d(5)
        self.fc = nn.Linear(5 * (side // 2) ** 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(torch.relu(self.bn2(self.conv2(x))), 2)
        out: torch.Tensor = self.fc(x.flatten(1))
        return out


def arrays(model: nn.Module) -> dict[str, Array]:
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def write(model: nn.Module, state: dict[str, Array]) -> None:
    model.load_state_dict({name: torch.from_numpy(np.asarray(array)) for name, array in state.items()})


def gains(state: dict[str, Array], name: str) -> Gains:
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    return Gains(scale, state[f"{name}.bias"] - state[f"{name}.running_mean"] * scale)


def dead_convolutions(padding: int, shift: float) -> tuple[Convolutional, Wiring]:
    """Channels 1 and 4 of the first convolution have a batch norm gain of zero; channel 2 of the second is zero as stored."""
    torch.manual_seed(0)
    model = Convolutional(padding).double().eval()
    with torch.no_grad():
        for bn in (model.bn1, model.bn2):
            for tensor, low in ((bn.weight, 0.5), (bn.bias, -1), (bn.running_mean, -1), (bn.running_var, 0.5)):
                tensor.uniform_(low, low + 1)
        model.bn1.weight[[1, 4]] = 0
        model.bn1.bias[[1, 4]] = torch.tensor([shift, -1.0], dtype=torch.float64)
        model.conv2.weight[2] = 0
    state = arrays(model)
    positions = model.fc.in_features // 5

    def norm(name: str, size: int) -> Norm:
        return Norm(name, size, lambda: gains(state, name))

    layers = (
        layer("conv1.weight", state["conv1.weight"], bias=state["conv1.bias"], after=(norm("bn1", 6),)),
        layer("conv2.weight", state["conv2.weight"], after=(norm("bn2", 5),)),
        layer("fc.weight", state["fc.weight"], bias=state["fc.bias"]),
    )
    links = (
        Link("conv1.weight", "conv2.weight", through=("batch_norm", "relu")),
        Link(
            "conv2.weight",
            "fc.weight",
            "flatten",
            np.repeat(np.arange(5), positions),
            ("batch_norm", "relu", "max_pool2d", "flatten"),
        ),
    )
    return model, Wiring(layers, links, how="traced")


@pytest.mark.parametrize(("padding", "shift"), [(0, 0.7), (1, -0.3)])
def test_pruned_convolutions_with_batch_norm_do_the_same(padding: int, shift: float) -> None:
    """Exact without zero padding, or where the constant is zero; into a running mean where there is no bias, past a flatten."""
    model, wiring = dead_convolutions(padding, shift)
    state = arrays(model)
    first = pruning.plan(wiring, "conv1.weight", [1, 4], state, unpadded=() if padding else ("conv2.weight",))
    second = pruning.plan(wiring, "conv2.weight", [2], state)
    assert first.exact
    assert second.exact
    assert first.parameters == 2 * (2 * 9 + 1 + 2 + 5 * 9)
    assert second.parameters == 6 * 9 + 2 + 3 * model.fc.in_features // 5
    images = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    expected = model(images).detach().numpy()
    for plans in itertools.permutations((first, second)):
        pruned = state
        for plan in plans:
            pruned = pruning.prune(pruned, plan)
        other = Convolutional(padding).double().eval()
        other.conv1, other.bn1 = nn.Conv2d(2, 4, 3, padding=1).double(), nn.BatchNorm2d(4).double().eval()
        other.conv2, other.bn2 = nn.Conv2d(4, 4, 3, padding=padding, bias=False).double(), nn.BatchNorm2d(4).double().eval()
        other.fc = nn.Linear(4 * model.fc.in_features // 5, 3).double()
        write(other, pruned)
        assert other(images).detach().numpy() == pytest.approx(expected, abs=1e-10)


def test_the_wiring_of_the_traced_model_gives_the_same_plan() -> None:
    model, stated = dead_convolutions(0, 0.7)
    followed = find(checkpoints.open(model), model=model, inputs=torch.randn(1, 2, 8, 8, dtype=torch.float64))
    state = arrays(model)
    for writer, channels in (("conv1.weight", [1, 4]), ("conv2.weight", [2])):
        one, two = (pruning.plan(wiring, writer, channels, state) for wiring in (stated, followed))
        assert set(one.cuts) == set(two.cuts)
        assert one.parameters == two.parameters
        assert one.constants[0].values == pytest.approx(two.constants[0].values)
        assert one.constants[0].into == two.constants[0].into
        rows = np.ones(stated[writer].out)
        rows[channels] = 1e-3
        reader = one.constants[0].weight
        assert pruning.prunable(followed, writer, rows, {reader: rows}).channels == tuple(channels)


def test_a_constant_behind_zero_padding_is_said_not_to_be_exact_and_is_right_inside() -> None:
    model, wiring = dead_convolutions(1, 0.7)
    plan = pruning.plan(wiring, "conv1.weight", [1], arrays(model))
    assert not plan.exact
    assert plan.notes == ("conv2.weight: the constant of the channels is lost at the border if its input is padded by zeros",)
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)

    def inner() -> Array:
        hidden = torch.relu(model.bn1(model.conv1(images)))
        found: Array = model.bn2(model.conv2(hidden))[..., 1:-1, 1:-1].detach().numpy().copy()
        return found

    found = trials.measured(
        inner,
        pruning.silenced(arrays(model), plan),
        read=lambda: arrays(model),
        write=lambda state: write(model, dict(state)),
    )
    assert found.relative < 1e-12


def test_a_batch_norm_in_front_of_the_reader_is_cut_and_counted_in_its_place() -> None:
    """Pre-activation: the norm stands between the layers and belongs to the reader; a gain of zero leaves relu(shift)."""
    state, wiring = small()
    scale, shift = RNG(7).uniform(0.5, 1, 7), RNG(8).standard_normal(7)
    state |= {"bn.weight": scale, "bn.bias": shift, "bn.running_mean": np.zeros(7), "bn.running_var": np.ones(7)}
    norm = Norm("bn", 7, lambda: Gains(scale, shift))
    wiring = Wiring(
        (wiring.layers[0], replace(wiring.layers[1], before=(norm,))),
        (replace(wiring.links[0], through=("batch_norm", "relu")),),
        how="traced",
    )

    def run(weights: dict[str, Values], images: Values) -> Values:
        hidden = images @ weights["0.weight"].T + weights["0.bias"]
        hidden = np.maximum(hidden * weights["bn.weight"] + weights["bn.bias"], 0)
        return np.asarray(hidden @ weights["1.weight"].T + weights["1.bias"])

    images = RNG(9).standard_normal((10, 5))
    plan = pruning.plan(wiring, "0.weight", [1, 4, 6], state)
    assert run(pruning.prune(state, plan), images) == pytest.approx(run(state, images), abs=1e-12)
    assert plan.parameters == 3 * (5 + 1 + 2 + 4)


def test_weights_stored_transposed_are_cut_along_the_right_axis() -> None:
    state, wiring = small()
    turned = {**state, "0.weight": state["0.weight"].T.copy(), "1.weight": state["1.weight"].T.copy()}
    layers = tuple(replace(one, matrix=replace(one.matrix, view="transposed")) for one in wiring.layers)
    plan = pruning.plan(replace(wiring, layers=layers), "0.weight", [1, 4, 6], turned)
    pruned = pruning.prune(turned, plan)
    direct = pruning.prune(state, pruning.plan(wiring, "0.weight", [1, 4, 6], state))
    assert all(np.array_equal(pruned[name].T if "weight" in name else pruned[name], array) for name, array in direct.items())


def refusal(wiring: Wiring) -> str:
    rows = np.array([1.0, 1e-9, 1, 1, 1e-9, 1, 1e-9])
    columns = {link.target: rows for link in wiring.links}
    found = pruning.prunable(wiring, "0.weight", rows, columns)
    assert found.channels == () or found.status == "ok"
    return found.status


def test_channels_that_something_else_depends_on_are_not_prunable() -> None:
    _, wiring = small()
    assert refusal(wiring) == "ok"
    assert "(residual)" in refusal(relinked(wiring, relation="residual"))
    assert "layer_norm before 1.weight" in refusal(relinked(wiring, through=("layer_norm", "relu")))
    assert "not all of its readers are known: fft" in refusal(replace(wiring, gaps=(Gap("0.weight", "x", "fft"),)))
    assert "nothing is known" in refusal(replace(wiring, links=()))
    other = layer("2.weight", np.ones((7, 3)))
    both = replace(wiring, layers=(*wiring.layers, other), links=(*wiring.links, Link("2.weight", "1.weight")))
    assert "from another layer as well" in refusal(both)
    grouped = replace(wiring, layers=(wiring.layers[0], replace(blocks("1.weight", np.ones((7, 2, 1))), name="1.weight")))
    assert "several groups" in refusal(grouped)
    itself = replace(wiring, links=(Link("0.weight", "0.weight"),))
    assert "reads what it writes" in refusal(itself)


def test_every_reader_has_to_leave_a_channel_out() -> None:
    _, wiring = small()
    other = layer("2.weight", np.ones((3, 7)))
    both = replace(wiring, layers=(*wiring.layers, other), links=(*wiring.links, Link("0.weight", "2.weight")))
    rows = np.array([1.0, 0, 1, 1, 0, 1, 0])
    reads = np.array([1.0, 0, 1, 1, 1, 1, 0])
    found = pruning.prunable(both, "0.weight", rows, {"1.weight": rows, "2.weight": reads})
    assert found.channels == (1, 6)
    assert "2.weight are not known" in pruning.prunable(both, "0.weight", rows, {"1.weight": rows}).status
    assert (
        "nothing would be left" in pruning.prunable(both, "0.weight", 0 * rows, {"1.weight": 0 * rows, "2.weight": 0 * rows}).status
    )
    assert pruning.prunable(both, "0.weight", np.ones(7), {"1.weight": rows, "2.weight": reads}).status.startswith("no channel")


def test_a_concatenation_is_cut_at_its_places() -> None:
    """Two branches of three and four channels side by side; the second one loses its channel 2, input channel 5 of the reader."""
    rng = RNG(4)
    state = {
        "a.weight": rng.standard_normal((3, 5)),
        "b.weight": rng.standard_normal((4, 5)),
        "c.weight": rng.standard_normal((2, 7)),
    }
    state["b.weight"][2] = 0
    layers = tuple(layer(name, weight) for name, weight in state.items())
    wiring = Wiring(
        layers,
        (
            Link("a.weight", "c.weight", "concatenation", np.array([0, 1, 2, -1, -1, -1, -1]), ("relu", "cat")),
            Link("b.weight", "c.weight", "concatenation", np.array([-1, -1, -1, 0, 1, 2, 3]), ("relu",)),
        ),
        how="traced",
    )
    pruned = pruning.prune(state, pruning.plan(wiring, "b.weight", [2], state))
    assert np.array_equal(pruned["c.weight"], np.delete(state["c.weight"], 5, axis=1))
    assert pruned["a.weight"] is state["a.weight"]


def refused(wiring: Wiring, state: dict[str, Values], match: str, channels: tuple[int, ...] = (1,), **options: object) -> None:
    with pytest.raises(UsageError, match=match):
        pruning.plan(wiring, "0.weight", channels, state, **options)  # type: ignore[arg-type]


def test_a_plan_that_would_have_to_guess_is_refused() -> None:
    state, wiring = small()
    refused(relinked(wiring, through=("my_op",)), state, "what my_op makes of a constant is not known")
    refused(replace(relinked(wiring, through=()), how="order of the file"), state, r"the steps in between are not known.*relu")
    refused(wiring, state, "the order of 0 norms is not known", through=("batch_norm", "relu"))
    refused(wiring, {"0.weight": state["0.weight"]}, "no tensor 1.weight")
    refused(wiring, state, "some but not all of the channels 0 to 6", channels=())
    refused(wiring, state, "some but not all", channels=(9,))
    refused(wiring, state, "some but not all", channels=tuple(range(7)))
    heads = tuple(replace(one, matrix=replace(one.matrix, view="query")) for one in wiring.layers)
    refused(replace(wiring, layers=heads), state, "got query")
    refused(wiring, {**state, "1.weight": state["1.weight"].T}, r"expected shape \(4, 7 \* 1\), got \(7, 4\)")
    refused(relinked(wiring, relation="residual"), state, "no channel can be taken out: 1.weight meets it in a stream")
    refused(wiring, state, "what layer_norm makes", through=("layer_norm", "relu"))
    stated = replace(relinked(wiring, through=()), how="stated")
    named = pruning.plan(stated, "0.weight", [1], state, through=("relu",))
    assert named.constants[0].values == pytest.approx([0.5])


class Small(nn.Module):
    """Two layers with two dead channels between them, and something else."""

    def __init__(self, run: Callable[..., object], **others: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.run = nn.Linear(3, 6), nn.Linear(6, 4), run
        self.gamma = nn.Parameter(torch.rand(6) + 0.5)
        for name, other in others.items():
            setattr(self, name, other)
        with torch.no_grad():
            self.first.weight[[1, 2]], self.second.weight[:, [1, 2]] = 0, 1e-9

    def forward(self, x: torch.Tensor) -> object:
        return self.run(self, torch.relu(self.first(x)))


def status(model: nn.Module) -> str:
    wiring = find(checkpoints.open(model), model=model, inputs=torch.randn(2, 3))
    rows = np.ones(6)
    rows[[1, 2]] = 0
    able = pruning.prunable(wiring, "first.weight", rows, {link.target: rows for link in wiring.links})
    if able.status == "ok":
        assert able.channels == (1, 2)
        return "ok"
    with pytest.raises(UsageError, match="no channel can be taken out"):
        pruning.plan(wiring, "first.weight", [1, 2], arrays(model))
    return able.status


def test_a_layer_whose_channels_go_to_more_than_its_known_readers_is_not_prunable() -> None:
    """A second output, a function that is not followed, a bilinear map, a number about all channels."""
    assert status(Small(lambda m, h: m.second(h))) == "ok"
    assert "the output of the model" in status(Small(lambda m, h: (m.second(h), h)))
    assert "fft" in status(Small(lambda m, h: (m.second(h), torch.fft.fft(h))))
    assert "bilinear" in status(Small(lambda m, h: m.second(h) + m.map(h, h), map=nn.Bilinear(6, 6, 4)))
    assert "norm" in status(Small(lambda m, h: m.second(h / h.norm(dim=-1, keepdim=True))))
    assert "outside torch" in status(Small(lambda m, h: (m.second(h), torch.tensor(h.tolist()))))
    taken = Small(lambda m, h: m.second(h) + m.other(torch.from_numpy(np.sin(h.numpy()))), other=nn.Linear(6, 4))
    assert "not made by functions" in status(taken)


@pytest.mark.parametrize("tied", ["first", "second"])
def test_a_layer_whose_tensor_another_module_uses_is_not_prunable(tied: str) -> None:
    other = nn.Linear(3, 6) if tied == "first" else nn.Linear(6, 4)
    model = Small(lambda m, h: m.second(h), other=other)
    other.weight = getattr(model, tied).weight
    assert "is also that of" in status(model)


def test_learned_gains_between_two_layers_are_cut_with_the_channels_and_count_in_what_they_leave() -> None:
    model = Small(lambda m, h: m.second(h * m.gamma)).double()
    with torch.no_grad():
        model.second.weight.uniform_(-1, 1)
    state = arrays(model)
    wiring = find(checkpoints.open(model), model=model, inputs=torch.randn(2, 3, dtype=torch.float64))
    plan = pruning.plan(wiring, "first.weight", [1, 2], state)
    pruned = pruning.prune(state, plan)
    assert pruned["gamma"].shape == (4,)
    assert plan.parameters == 2 * (3 + 1 + 1 + 4)
    x = torch.randn(5, 3, dtype=torch.float64)
    expected = model(x)
    model.first, model.second = nn.Linear(3, 4).double(), nn.Linear(4, 4).double()
    model.gamma = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    write(model, pruned)
    assert torch.allclose(model(x), expected, atol=1e-12)


def test_a_transposed_convolution_is_cut_along_its_outputs_also_where_it_is_square() -> None:
    """Its weight is stored (in, out, *k): the first axis of a square one fits as well, and is the wrong one."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.ConvTranspose2d(6, 6, 2, bias=False), nn.ReLU(), nn.Conv2d(6, 3, 1, bias=False)).double().eval()
    with torch.no_grad():
        model[0].weight[:, 4] = 0.0
        model[2].weight[:, 4] = 0.0
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    wiring = find(checkpoints.open(model), model=model, inputs=x)
    plan = pruning.plan(wiring, "0.weight", (4,), arrays(model))
    assert ("0.weight", 1, (4,)) in [(cut.tensor, cut.axis, cut.places) for cut in plan.cuts]
    pruned = pruning.prune(arrays(model), plan)
    smaller = nn.Sequential(nn.ConvTranspose2d(6, 5, 2, bias=False), nn.ReLU(), nn.Conv2d(5, 3, 1, bias=False)).double().eval()
    write(smaller, pruned)
    torch.testing.assert_close(smaller(x), model(x), rtol=1e-12, atol=1e-12)
