"""What `examples/band_pass_network.py` claims, with its own settings and seeds."""

import numpy as np
import pytest

from example_cases import example
from modescope.blocks import Heatmap, Section

band = example("band_pass_network")

SEEDS = [0, pytest.param(1, marks=pytest.mark.full), pytest.param(2, marks=pytest.mark.full)]


@pytest.fixture(scope="module", params=SEEDS)
def found(request):
    return band.stages([request.param])


def test_targets_are_the_band_and_nothing_else():
    t = 2 * np.pi * np.arange(128) / 128
    waves = np.array([np.sin(9 * t), np.sin(10 * t), np.cos(25 * t), np.cos(26 * t)], dtype=np.float32)
    assert band.filtered(waves) == pytest.approx(waves * [[0], [1], [1], [0]], abs=1e-5)


def test_the_network_learns_the_filter(found):
    initial, trained = found
    assert trained.error < 0.1
    assert initial.error > 1


def test_the_second_layer_writes_in_the_band_with_one_direction_for_every_wave(found):
    initial, trained = found
    assert trained.band > 0.95
    assert initial.band < 0.35
    assert band.WAVES == 32
    assert trained.fall < 0.25
    assert initial.fall > 0.9


def test_the_view_is_symmetric_and_positive_for_any_weight(found):
    for one in found:
        assert one.view == pytest.approx(one.view.T, abs=1e-10)
        assert np.linalg.eigvalsh(one.view).min() > 0
        assert one.view @ one.view == pytest.approx(one.weight @ one.weight.T, abs=1e-10)


def test_power_moves_to_equal_frequencies_in_the_control_as_well(found):
    initial, trained = found
    assert band.equal(trained.view) > 0.98
    assert 0.7 < band.equal(initial.view) < 0.8
    assert max(band.equal(one.weight) for one in found) < 0.05


def test_a_circulant_matrix_has_all_its_power_at_equal_frequencies():
    kernel = np.random.default_rng(0).standard_normal(16)
    assert band.equal(np.array([np.roll(kernel, place) for place in range(16)])) == pytest.approx(1)
    assert band.equal(np.random.default_rng(1).standard_normal((64, 64))) < 0.1


def test_the_table_has_a_line_and_the_page_a_spectrum_for_both_networks(found):
    assert len(band.table(found).splitlines()) == 3
    (section,) = (block for block in band.page(found).blocks if isinstance(block, Section))
    spectra = [block for block in section.blocks if isinstance(block, Heatmap) and block.title.startswith("2-D")]
    assert [block.y.label for block in spectra] == ["frequency (Hz)"] * 4
