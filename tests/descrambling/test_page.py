"""The page of a descrambled layer: cautions and controls stand beside the picture, and the picture is the weights."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from descrambling_cases import BAND, HOSTILE_LAYER, INPUTS, OUTPUTS, STEP, data, planted, weight
from modescope.blocks import Block, Curve, Heatmap, Note, Section, Table
from modescope.descrambling import descramble
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.diagnostics import predicted_ridge
from modescope.descrambling.maps import SIDE, binned
from modescope.descrambling.operators import forward_difference
from modescope.descrambling.page import report
from modescope.descrambling.wiretaps import left
from modescope.moments import of
from modescope.render import html
from modescope.render import table as text
from modescope.reports import Report
from modescope.reports.form import dumps, loads


def flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from flat(block.blocks)


def maps(made: Report) -> dict[str, Heatmap]:
    return {block.title: block for block in flat(made.blocks) if isinstance(block, Heatmap)}


def curve(made: Report, title: str) -> Curve:
    return next(block for block in flat(made.blocks) if isinstance(block, Curve) and block.title == title)


def table(made: Report, title: str) -> Table:
    return next(block for block in flat(made.blocks) if isinstance(block, Table) and block.title.startswith(title))


def notes(made: Report, level: str = "") -> list[str]:
    return [block.text for block in flat(made.blocks) if isinstance(block, Note) and level in ("", block.level)]


def test_every_caution_of_the_result_stands_before_the_first_number() -> None:
    result = planted()
    made = report(result)
    first = next(k for k, block in enumerate(made.blocks) if isinstance(block, Table))
    assert set(result.cautions) <= {block.text for block in made.blocks[:first] if isinstance(block, Note)}
    assert any("view of the weights" in caution for caution in result.cautions)


@pytest.mark.parametrize("criterion", ["smoothness", "permutation"])
def test_only_a_permutation_is_called_the_same_function(criterion: str) -> None:
    made = report(planted(criterion=criterion, controls=("untrained",)))
    said = " ".join(notes(made))
    assert ("same function" in said) == (criterion == "permutation")
    assert ("view of the weights" in said) == (criterion == "smoothness")
    assert "equivalent network" not in text.render(made)


def test_the_heat_maps_hold_the_weight_before_and_after_on_the_axis_of_its_inputs() -> None:
    result = planted()
    drawn = maps(report(result))
    pairs = {"As stored: W": result.weight, "Descrambled: P W": result.view}
    pairs["In the modes of the operator: Vᵀ P W"] = result.modes
    for title, matrix in pairs.items():
        shown = np.array(drawn[title].values, dtype=float)
        assert np.abs(shown - matrix).max() <= 2e-3 * np.abs(matrix).max()
        assert drawn[title].x.label == "time (us)"
        assert drawn[title].x_range == pytest.approx((-STEP / 2, (INPUTS - 0.5) * STEP))
        assert drawn[title].centred


def test_turned_inputs_are_drawn_along_columns_and_lose_the_axis_that_they_had() -> None:
    result = planted(side="right")
    drawn = maps(report(result))
    shown = drawn["Descrambled: W Pᵀ"]
    assert np.array(shown.values, dtype=float).shape == result.view.shape == (OUTPUTS, INPUTS)
    assert shown.x.label == "hidden dimension, descrambled"
    assert shown.x_range == (-0.5, INPUTS - 0.5)


def test_the_spectrum_after_descrambling_has_its_power_in_the_band_of_the_weight() -> None:
    shown = maps(report(planted()))["2-D spectrum of P W"]
    power = (np.array(shown.values, dtype=float) ** 2).sum(axis=0)
    low, high = shown.x_range
    bins = np.abs((np.linspace(low, high, power.size, endpoint=False) + (high - low) / power.size / 2) * STEP * INPUTS)
    inside = (bins > BAND[0] - 0.5) & (bins < BAND[1] + 0.5)
    assert power[inside].sum() > 0.9 * power.sum()
    assert shown.x.label == "frequency (MHz)"


def test_controls_stand_beside_the_network_with_the_same_numbers() -> None:
    result = planted()
    found = table(report(result), "Beside controls")
    assert [row[0] for row in found.rows] == ["this network", "untrained", "isotropic", "shuffled"]
    for row in found.rows[1:]:
        scale = result.controls[row[0]].scale
        assert row[1:4] == pytest.approx((scale.identity, scale.optimal, scale.random_mean), rel=1e-3)
        assert row[4] == pytest.approx(scale.random_mean / scale.optimal, rel=1e-3)
    assert any("does not depend on the basis" in note for note in notes(report(result)))


def test_a_page_without_controls_says_that_smoothness_proves_nothing() -> None:
    assert any("No controls" in note for note in notes(report(planted(controls=[])), "caution"))


def test_the_criterion_is_told_with_what_each_number_means() -> None:
    result = planted()
    rows = {row[0]: row[1] for row in table(report(result), "The criterion").rows}
    assert rows["optimal"] == pytest.approx(result.objective["optimal"], rel=1e-3)
    assert rows["score"] == pytest.approx(1, abs=1e-3)
    place = next(note for note in notes(report(result)) if note.startswith("The network's own basis"))
    z = result.objective["z_identity"]
    assert z is not None
    assert f"{abs(z):.3g} standard deviations {'below' if z < 0 else 'above'} the mean" in place


def test_readings_are_drawn_each_with_its_null() -> None:
    made = report(planted())
    gain = curve(made, "Gain over input frequency")
    assert {one.role for one in gain.series} == {"data", "fit"}
    assert table(made, "Kinds of filter").rows[0][0] == "band-pass"
    assert "random, 95 %" in table(made, "Kinds of filter").columns
    fits = table(made, "Fits to the leading modes")
    assert {row[0] for row in fits.rows} == set(range(5))
    assert all(row[3] is not None for row in fits.rows)
    assert curve(made, "Slow polynomials that pass").marks[0].at == 1
    assert any(row[0] == "random rotations, largest" for row in table(made, "Share of the power").rows)


def test_a_sentence_in_place_of_a_reading_is_a_caution() -> None:
    made = report(descramble(weight(inputs=8), inputs=data(inputs=8), draws=19, readings=["filter"]))
    assert any(note.startswith("No reading of filter") for note in notes(made, "caution"))


def test_the_predicted_ridge_is_drawn_beside_the_one_that_was_found_and_over_the_spectrum() -> None:
    result = planted()
    moments = of(data())
    rotation = smoothest(left(result.weight, moments), forward_difference(OUTPUTS))
    ridge = predicted_ridge(result.weight, moments.second, rotation)
    made = report(result)
    found, law = curve(made, "Input frequency of each mode").series
    assert (found.role, law.role) == ("data", "law")
    assert law.y == pytest.approx(ridge.harmonic / (INPUTS * STEP), rel=1e-3)
    on_right, on_left = maps(made)["2-D spectrum of P W"].series
    assert on_right.x == pytest.approx(found.y[: len(on_right.x)])  # the strong modes come first
    assert on_left.x == pytest.approx([-value for value in law.y[: len(on_left.x)] if value is not None])
    assert on_right.y == pytest.approx(np.arange(len(on_right.y)) / 2, abs=0.05)  # mode k of the forward difference: k / 2 cycles
    inside = [BAND[0] - 1 < value * STEP * INPUTS < BAND[1] + 1 for value in on_right.x if value is not None]
    assert np.mean(inside) > 0.8


def test_the_bootstrap_is_a_curve_with_the_line_above_which_subspaces_hold() -> None:
    result = planted(readings=[], controls=["bootstrap"])
    held = result.controls["bootstrap"]
    shown = curve(report(result), "Stability of the leading components")
    assert shown.series[0].x == tuple(held.sizes.tolist())
    assert shown.series[0].low == pytest.approx(held.low, rel=1e-3)
    assert [mark.at for mark in shown.marks] == [0.9]
    assert any(held.status[1:] in note for note in notes(report(result)))


def test_a_sentence_in_place_of_a_control_is_a_caution() -> None:
    made = report(planted(inputs=None, moments=of(data()), readings=[]))
    assert any(note.startswith("No control bootstrap: moments hold no samples") for note in notes(made, "caution"))


def test_gram_matrices_pairing_and_spectrograms_are_drawn_with_their_axes() -> None:
    drawn = maps(report(planted()))
    for title in ("Outputs: W Wᵀ", "Inputs: Wᵀ W", "Turned: P W (P W)ᵀ"):
        values = np.array(drawn[title].values, dtype=float)
        assert np.diag(values) == pytest.approx(1)
        assert np.abs(values).max() <= 1
    assert drawn["Inputs: Wᵀ W"].x.label == drawn["Inputs: Wᵀ W"].y.label == "time (us)"
    assert np.array(drawn["As shown"].values, dtype=float) == pytest.approx(np.eye(OUTPUTS), abs=1e-3)
    assert np.array(drawn["In the network's own basis"].values, dtype=float).sum() == pytest.approx(OUTPUTS, rel=0.05)
    shown = drawn["Spectrogram of mode 0"]
    assert (shown.x.label, shown.y.label) == ("time (us)", "frequency (MHz)")
    assert shown.y_range[0] > shown.y_range[1]  # high frequencies on top
    power = np.array(shown.values, dtype=float).sum(axis=1)
    high, low = shown.y_range
    peak = high + (power.argmax() + 0.5) / power.size * (low - high)
    width = (high - low) / power.size
    assert BAND[0] / (INPUTS * STEP) - width < peak < BAND[1] / (INPUTS * STEP) + width


@pytest.mark.parametrize("criterion", ["permutation", "diagonal_normsq"])
def test_other_criteria_stand_beside_controls_too(criterion: str) -> None:
    square = descramble(
        weight(inputs=OUTPUTS), inputs=data(inputs=OUTPUTS), criterion=criterion, readings=[], controls=["untrained", "isotropic"]
    )
    found = table(report(square), "Beside controls")
    names = [row[0] for row in found.rows]
    assert names == ["this network", "untrained"] + (["isotropic"] if criterion == "permutation" else [])
    assert found.rows[0][2] == pytest.approx(square.objective["reached"], rel=1e-3)
    assert found.rows[1][2] == pytest.approx(square.controls["untrained"].objective["reached"], rel=1e-3)


def test_ties_have_a_table_and_the_rank_a_mark() -> None:
    few = planted(inputs=None, moments=of(data(samples=9)), difference="periodic")
    made = report(few)
    assert [row[2] for row in table(made, "Ties").rows if row[0] == "the operator"] == [2] * ((OUTPUTS - 1) // 2)
    assert few.rank == 9
    assert curve(made, "Spectra").marks[0].at == few.rank - 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"side": "right"},
        {"side": "joint"},
        {"criterion": "permutation", "controls": ("untrained",)},
        {"difference": "fourier-second"},
    ],
)
def test_every_kind_of_result_is_saved_and_rendered_and_opens_again(options: dict[str, Any]) -> None:
    made = report(planted(**options))
    assert dumps(loads(dumps(made), "page.json")) == dumps(made)
    page = html.render(made)
    assert "<img src=x" not in page
    assert len(page) < 3e6
    assert "No rotation changes either" in text.render(made)


def test_diagonal_criteria_have_a_page_without_operator_and_pairing() -> None:
    made = report(descramble(weight(inputs=OUTPUTS), criterion="diagonal_sum", draws=99))
    assert not any("modes of the operator" in title for title in maps(made))
    assert {"As stored: W", "Descrambled: P W", "2-D spectrum of P W", "Spectrogram of mode 0"} <= set(maps(made))
    assert any(note.startswith("No reading of pairing") for note in notes(made, "caution"))
    assert any(note.startswith("A part of the reading fourier is missing: a ridge") for note in notes(made, "caution"))


def test_turned_inputs_are_read_along_the_outputs() -> None:
    made = report(planted(side="right", axis="0:0.1:nm:distance"))
    drawn = maps(made)
    assert drawn["As stored: W"].y.label == "distance (nm)"
    assert drawn["As stored: W"].y_range == pytest.approx((-0.05, (OUTPUTS - 0.5) * 0.1))
    assert drawn["2-D spectrum of P Wᵀ"].x.label == "frequency (1/nm)"
    assert len(curve(made, "Output mode 0").series[0].x) == OUTPUTS
    assert any("No reading of filter" in note for note in notes(made, "caution"))
    without = maps(report(planted(side="right", axis=None, readings=["fourier"], controls=[])))
    assert without["2-D spectrum of Wᵀ"].x.label == "frequency (cycles per output)"


def test_the_code_of_the_page_asks_for_the_same_result() -> None:
    made = report(replace(planted(side="joint", centred=True), layer="fc2.weight", source={"path": "net.safetensors"}))
    assert "ms.descramble('net.safetensors', layer='fc2.weight', inputs=inputs, side='joint', centred=True, axis=" in made.code
    hostile = report(planted()).code
    compile(hostile, "page", "exec")
    assert repr(HOSTILE_LAYER) in hostile or "layer=" not in hostile


def test_a_large_weight_is_binned_by_its_largest_entries_with_their_sign() -> None:
    matrix = np.full((3 * SIDE, 2), 1e-3)
    matrix[4, 0] = -2.0
    cells = binned(matrix)
    assert cells.shape == (SIDE, 2)
    assert cells[1, 0] == -2.0
    assert np.count_nonzero(cells == -2.0) == 1
    small = np.arange(6.0).reshape(2, 3)
    assert (binned(small) == small).all()


def test_a_page_of_a_wide_layer_stays_small() -> None:
    rng = np.random.default_rng(5)
    seen = ["fourier", "gram", "pairing", "spectrogram"]
    wide, signals = rng.standard_normal((200, 300)), rng.standard_normal((400, 300))
    result = descramble(wide, inputs=signals, draws=19, readings=seen, controls=())
    made = report(result)
    assert all(len(block.values) <= SIDE and len(block.values[0]) <= SIDE for block in maps(made).values())
    assert len(html.render(made)) < 3e6
    assert all(math.isfinite(value) for block in maps(made).values() for row in block.values for value in row if value is not None)
