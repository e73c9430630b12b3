"""Readings of a descrambled layer: each is what its definition says, on every side, or a sentence in its place."""

import numpy as np
import pytest

from descrambling_cases import BAND, INPUTS, OUTPUTS, STEP, data, planted, weight
from modescope.descrambling import READINGS, descramble, readings
from modescope.descrambling.operators import forward_difference
from modescope.moments import of

TURNED = {"filter", "baseline"}  # are of inputs, which the other sides turn


@pytest.mark.parametrize(("side", "missing"), [("left", set()), ("right", TURNED), ("joint", TURNED)])
@pytest.mark.parametrize("criterion", ["smoothness", "permutation"])
def test_every_reading_exists_on_every_side_or_says_why_not(side: str, criterion: str, missing: set[str]) -> None:
    options = {} if side == "left" else {"side": side, "axis": "0:0.1:nm"}
    found = planted(criterion=criterion, controls=("untrained",) if criterion == "permutation" else (), **options).readings
    assert tuple(found) == READINGS
    assert {name for name, one in found.items() if isinstance(one, str)} == missing
    assert all("left" in found[name] for name in missing)
    whole = (side, criterion) == ("left", "smoothness")
    assert [isinstance(part, str) for part in found["fourier"]] == [False, False, not whole]


def test_gram_matrices_are_those_of_the_weight_and_the_turned_one_is_in_the_new_basis() -> None:
    for side in ("left", "right"):
        result = planted(side=side, controls=(), **({"axis": None} if side == "right" else {}))
        gram, w = result.readings["gram"], result.weight
        np.testing.assert_allclose(gram.outputs, w @ w.T, atol=1e-10)
        np.testing.assert_allclose(gram.inputs, w.T @ w, atol=1e-10)
        own = w @ w.T if side == "left" else w.T @ w
        np.testing.assert_allclose(gram.turned, result.p @ own @ result.p.T, atol=1e-9)
        other = (result.view.T @ result.view, gram.inputs) if side == "left" else (result.view @ result.view.T, gram.outputs)
        np.testing.assert_allclose(*other, atol=1e-9)


@pytest.mark.parametrize("criterion", ["smoothness", "permutation"])
def test_pairings_are_doubly_stochastic_and_give_the_objective(criterion: str) -> None:
    result = planted(criterion=criterion, controls=("untrained",) if criterion == "permutation" else ())
    pairing = result.readings["pairing"]
    for matrix, name in ((pairing.identity, "identity"), (pairing.reached, "reached")):
        np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-10)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-10)
        assert result.a @ matrix @ result.b == pytest.approx(result.objective[name], rel=1e-9)
    assert (pairing.diagonal == pytest.approx(1)) == (criterion == "smoothness")
    modes = forward_difference(OUTPUTS).modes
    second = (data() @ weight().T).T @ (data() @ weight().T)
    _, u = np.linalg.eigh(second)
    np.testing.assert_allclose(pairing.identity, ((modes.T @ u[:, ::-1]) ** 2), atol=1e-6)


def test_spectrograms_are_of_the_leading_rows_on_their_axis() -> None:
    found = planted().readings["spectrogram"]
    assert found.power.shape[0] == 5
    assert found.unit == "MHz"
    inside = (found.frequency > (BAND[0] - 4) / (INPUTS * STEP)) & (found.frequency < (BAND[1] + 4) / (INPUTS * STEP))
    assert found.power[:, inside].sum() > 0.95 * found.power.sum()
    turned = planted(side="right", axis=None, controls=()).readings["spectrogram"]
    assert turned.unit == "cycles per output"


def test_modes_of_an_order_and_of_a_diagonal_are_singular_vectors() -> None:
    ordered = planted(criterion="permutation", controls=("untrained",))
    square = descramble(weight(inputs=OUTPUTS), criterion="diagonal_sum", draws=99, readings="modes", controls=())
    for result in (ordered, square):
        _, s, vh = np.linalg.svd(result.weight)
        for mode in result.readings["modes"]:
            assert abs(mode.values @ vh[mode.mode]) == pytest.approx(s[mode.mode], rel=1e-9)


def test_an_untrained_network_of_ones_own_stands_beside_the_readings() -> None:
    before = np.random.default_rng(9).standard_normal((OUTPUTS, INPUTS))
    options = {"readings": ("fourier", "filter", "baseline"), "controls": ("untrained",), "draws": 19, "inputs": data()}
    own, drawn = (descramble(weight(), untrained=untrained, **options) for untrained in (before, None))
    alone = descramble(before, **options)
    assert own.readings["fourier"][0].untrained == pytest.approx(alone.readings["fourier"][0].descrambled, rel=1e-9)
    scores = {one.kind: one.score for one in alone.readings["filter"].templates}
    assert {one.kind: one.untrained for one in own.readings["filter"].templates} == pytest.approx(scores)
    assert own.readings["baseline"].untrained == pytest.approx(alone.readings["baseline"].share)
    assert own.controls["untrained"].scale.optimal == pytest.approx(alone.objective["optimal"], rel=1e-9)
    assert own.controls["untrained"].scale.optimal != pytest.approx(drawn.controls["untrained"].scale.optimal, rel=1e-3)
    assert (own.options["untrained"], drawn.options["untrained"]) == ("array", None)


def test_the_curve_of_sorted_gains_is_that_of_centred_data_where_they_are_centred() -> None:
    mean = np.zeros(INPUTS)
    mean[:] = 50 * np.cos(2 * np.pi * 7 * np.arange(INPUTS) / INPUTS)
    kinds = {"readings": "fourier", "controls": (), "draws": 19}
    around, centred = (descramble(weight(), moments=of(data() + mean), centred=c, **kinds).readings["fourier"][2] for c in (0, 1))
    same = descramble(weight(), moments=of(data()), centred=True, **kinds).readings["fourier"][2]
    np.testing.assert_allclose(centred.power, same.power, rtol=1e-6)
    assert around.power[0] > 10 * centred.power[0]


def test_a_null_that_takes_minutes_is_a_sentence_with_a_remedy_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    each = OUTPUTS**2 * (OUTPUTS + INPUTS)
    monkeypatch.setattr(readings, "WORK", 150.5 * each)
    share, found, predicted = descramble(weight(), inputs=data(), readings="fourier", controls=()).readings["fourier"]
    assert share.endswith(
        f"takes 199 random rotations of a weight of {OUTPUTS} x {INPUTS}, minutes of work; ask for 150 draws or fewer"
    )
    assert not isinstance(found, str)
    assert not isinstance(predicted, str)
    fewer = descramble(weight(), inputs=data(), readings=("fourier", "modes"), controls=(), draws=150).readings
    assert not isinstance(fewer["fourier"][0], str)
    assert not isinstance(fewer["modes"], str)
    monkeypatch.setattr(readings, "WORK", 18.5 * each)
    made = descramble(weight(), inputs=data(), readings=("fourier", "modes"), controls=())
    assert "take a part of the layer" in made.readings["fourier"][0]
    assert "fits.read_modes" in made.readings["modes"]
    assert "minutes of work" in made._repr_html_()
    assert "minutes of work" in str(made.to_dict())
