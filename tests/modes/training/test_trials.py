"""Trainings together: spread by its formula, pairs by seed, the same numbers in every form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modes_training_cases import blobs, net
from modescope.modes.training.fitting import fit
from modescope.modes.training.growth import Grow
from modescope.modes.training.result import Epoch, Fit
from modescope.modes.training.trials import Spread, Trials
from modescope.render import renderers
from modescope.reports import Report


def fit_of(seed: int, *accuracies: float) -> Fit:
    rows = tuple(Epoch(n, 1 / n, acc, None, None, 1.5 / n, acc, 0.1, 40, {"a": 3}) for n, acc in enumerate(accuracies, start=1))
    return Fit(rows, {"seed": seed, "patience": None}, {"test": 50}, "all epochs are done", len(rows))


MODES = tuple(fit_of(seed, 0.5, one) for seed, one in enumerate((0.9, 0.94, 0.92)))
DENSE = tuple(fit_of(seed, 0.6, one) for seed, one in enumerate((0.91, 0.95, 0.96)))


def test_spread_is_that_of_a_sample_and_of_one_run_there_is_none() -> None:
    values = [0.3, 0.5, 0.1, 0.4]
    spread = Spread.of(values)
    assert spread.std == pytest.approx(np.std(values, ddof=1))
    assert spread.stderr == pytest.approx(np.std(values, ddof=1) / 2)
    assert Spread.of([0.3]) == Spread(1, 0.3, None, None)


def test_the_gap_is_of_pairs_and_is_known_better_than_either_mean() -> None:
    trials = Trials(MODES, DENSE)
    assert trials.gap is not None
    assert trials.gap.mean == pytest.approx(np.mean([0.01, 0.01, 0.04]))
    assert trials.gap.stderr == pytest.approx(np.std([0.01, 0.01, 0.04], ddof=1) / np.sqrt(3))
    assert trials.accuracy is not None
    assert trials.accuracy.mean == pytest.approx(0.92)
    assert Trials(MODES[:2], DENSE[:1]).gap == Spread(1, pytest.approx(0.01), None, None)  # the second was interrupted
    assert Trials(MODES).gap is None


def test_with_patience_the_accuracy_is_that_of_the_weights_that_were_kept() -> None:
    one = replace(fit_of(0, 0.5, 0.9, 0.8), best_epoch=2)
    assert one.accuracy == 0.8
    assert replace(one, settings={"seed": 0, "patience": 2}).accuracy == 0.9


def test_document_frame_and_every_rendering_tell_the_same(tmp_path: Path) -> None:
    found = fit(net(), blobs(), epochs=3, grow=Grow(1, most=6, every=1))
    trials = Trials((found, *MODES), DENSE)
    told = trials.to_dict()
    assert told["schema"] == "modescope.modes/1"
    assert [run["accuracy"] for run in told["training"]["runs"][1:]] == [0.9, 0.94, 0.92]
    rows = trials.to_pandas()
    assert len(rows) == 3 + 6 + 6
    assert rows.loc[rows.network == "dense", "accuracy"].tolist() == [0.6, 0.91, 0.6, 0.95, 0.6, 0.96]
    assert rows["modes layers.0"].dropna().tolist() == [4, 5, 6]
    for name, renderer in renderers().items():
        text = renderer.render(trials.report())
        assert text, name
    found.save(tmp_path / "page.html")
    assert "Pruned and grown" in (tmp_path / "page.html").read_text()
    assert "iframe" in found._repr_html_()


def test_a_training_without_an_epoch_has_a_report() -> None:
    empty = fit_of(0)
    assert empty.accuracy is None
    assert isinstance(empty.report(), Report)
    assert empty.to_dict()["training"]["runs"][0]["parameters"] is None


def test_few_seeds_are_said_to_be_few() -> None:
    def cautions(trials: Trials) -> list[str]:
        return [one.text for one in trials.report().blocks if getattr(one, "level", "") == "caution"]

    assert any("3 seeds or more" in said for said in cautions(Trials(MODES[:2])))
    assert not cautions(Trials(MODES))
