"""What `examples/deernet.py` claims: briefly trained in every run, and with its own settings and seeds where there is time."""

from functools import cache

import numpy as np
import pytest

from example_cases import example
from modescope.blocks import Curve, Heatmap, Section

deernet = example("deernet")
deer = example("deer")

RUNS = [
    "brief",
    pytest.param(0, marks=pytest.mark.full),
    pytest.param(1, marks=pytest.mark.full),
    pytest.param(2, marks=pytest.mark.full),
]


@cache
def networks(run):
    return deer.trained(0, steps=2000, batch=250) if run == "brief" else deer.trained(run)


@cache
def found(run):
    return deernet.look(0 if run == "brief" else run, *networks(run))


@pytest.mark.parametrize("run", RUNS)
def test_the_network_learns_distances(run):
    one = found(run)
    assert one.trained.error < (0.5 if run == "brief" else 0.4)
    assert one.initial.error > 0.9


@pytest.mark.parametrize("run", RUNS)
def test_training_makes_the_first_layer_low_pass(run):
    one = found(run)
    assert one.trained.band > 0.75
    assert one.initial.band < 0.35
    assert one.trained.rows.min() > one.initial.rows.max()
    assert one.filter.kind == "low-pass"
    assert one.filter.p < 0.05


@pytest.mark.parametrize("run", RUNS)
def test_descrambling_concentrates_the_spectrum_of_the_trained_layer(run):
    one = found(run)
    assert one.trained.descrambled > 1.5 * one.trained.raw
    assert one.trained.descrambled > 3 * one.initial.descrambled


@pytest.mark.parametrize("run", RUNS)
def test_output_modes_are_smooth_after_the_training_alone(run):
    one = found(run)
    assert one.trained.roughness.max() < 0.2
    assert one.initial.roughness.min() > 1


@pytest.mark.parametrize("run", RUNS)
def test_nothing_hangs_on_the_basis_of_the_hidden_space(run):
    one = found(run)
    for stage in (one.initial, one.trained):
        assert stage.scrambled.objective < 1e-9  # float32 traces lie along one direction: eigenvalues span many decades
        assert stage.scrambled.modes < 1e-6
        assert stage.scrambled.rank == deer.HIDDEN


@pytest.mark.parametrize("run", RUNS)
def test_what_the_script_does_not_claim_is_not_there_or_in_the_control_too(run):
    one = found(run)
    assert not one.offset.removed
    assert one.offset.share > 1
    assert one.trained.notch > 0.5  # at a notch next to nothing would pass
    assert one.trained.chebyshev[:, 0].max() < 0.5
    assert run == "brief" or one.trained.chebyshev[:, 2].min() < 0.5
    assert one.trained.chebyshev[:, 2].max() > one.initial.chebyshev[:, 2].max()
    assert one.initial.gain > 100
    assert one.initial.ridge == pytest.approx(one.trained.ridge, abs=0.15)
    assert min(one.initial.top, one.trained.top) > 0.9
    assert max(abs(one.initial.z), abs(one.trained.z)) < 3
    assert one.trained.stable.low[0] > 0.99
    assert one.trained.stable.low[-1] < 0.5


def test_output_modes_have_no_mean_and_come_strongest_first():
    rng = np.random.default_rng(0)
    wave, other = np.cos(np.pi * np.arange(50) / 50), np.sin(6 * np.pi * np.arange(50) / 50)
    weight = np.outer(wave, rng.standard_normal(6)) * 5 + np.outer(other, rng.standard_normal(6)) + 3
    modes = deernet.output_modes(weight)
    assert np.abs(modes[:2].sum(axis=1)).max() < 1e-9
    centred = wave - wave.mean()
    assert abs(modes[0] @ centred) / np.linalg.norm(centred) > 0.95


def test_a_planted_polynomial_is_explained_by_its_own_degree_only():
    r = np.linspace(-1, 1, deer.POINTS)
    modes = np.array([np.polynomial.chebyshev.chebval(r, np.eye(degree + 1)[degree]) for degree in (2, 7)])
    read = deernet.fits.read_modes(modes, axis=deernet.DISTANCE, families=deernet.CURVES)
    low, high = [[fit.r2 for fit in mode.fits] for mode in read]
    assert low == pytest.approx([1, 1, 1], abs=1e-9)
    assert high[2] == pytest.approx(1, abs=1e-9)
    assert max(high[:2]) < 0.1


def test_the_table_names_both_networks_and_every_reading():
    lines = deernet.table([found("brief")]).splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["initial", "trained"]
    readings = ["filter", "offset", "halves agree", "T_0 to T_4", "T_0 to T_12"]
    assert all(line.strip().startswith(name) for line, name in zip(lines[3:], readings, strict=True))


def test_the_page_has_physical_axes_with_their_units():
    blocks = list(deernet.page(found("brief"), networks("brief")[1]).blocks)
    for block in blocks:
        blocks += block.blocks if isinstance(block, Section) else ()
    labels = {block.title: {block.x.label, block.y.label} for block in blocks if isinstance(block, Curve | Heatmap)}
    assert {"time (us)", "frequency (MHz)", "distance (nm)"} <= set().union(*labels.values())
    assert "frequency (MHz)" in labels["Input frequency of each mode"]
    assert "distance (nm)" in labels["W_2 P_2ᵀ, trained"] & labels["Output mode 1"]
    (said,) = (block for block in blocks if getattr(block, "title", "") == "What was found")
    assert [row[1:3] for row in said.rows][1] == pytest.approx([found("brief").initial.band, found("brief").trained.band], rel=1e-3)
