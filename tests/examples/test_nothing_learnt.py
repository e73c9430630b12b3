"""What `examples/nothing_learnt.py` claims, with its own settings; all its seeds where there is time."""

import numpy as np
import pytest

from example_cases import example

nothing = example("nothing_learnt")

RUNS = [5, pytest.param(20, marks=pytest.mark.full)]


@pytest.mark.parametrize("seeds", RUNS)
def test_noise_gains_by_the_known_factors(seeds):
    for seed in range(seeds):
        found = nothing.noise(seed)
        assert 2.9 < found.wide < 3.7
        assert 7.3 < found.square < 9.5
        assert found.correlated > 2 * found.wide


def test_a_convolution_is_read_in_the_order_of_its_output_power():
    white, coloured = nothing.filters()
    for found in (white, coloured):
        for harmonic, row in enumerate(found.reads):
            shares = np.zeros(row.size)
            for frequency, share in nothing.expected(found, harmonic).items():
                shares[frequency] = share
            assert row == pytest.approx(shares, abs=1e-9)
    assert white.sorted[:3] == (12, 12, 13)
    assert coloured.sorted[0] < 12  # the inputs are strongest at slow frequencies


def test_sorting_places_the_strongest_alone_and_pairs_behind_it():
    found = nothing.filters()[0]
    assert nothing.expected(found, 0) == {12: 1.0}
    assert nothing.expected(found, 1) == {12: 0.5, 13: 0.5}
    assert sorted(found.sorted) == sorted([0, 32, *range(1, 32), *range(1, 32)])


@pytest.mark.parametrize("seeds", [1, pytest.param(4, marks=pytest.mark.full)])
def test_an_order_is_a_network_and_a_rotation_is_smoother_and_none(seeds):
    found = nothing.orders(range(seeds))
    assert [one.neurons for one in found] == list(range(7, 13)) * seeds
    for one in found:
        assert one.proven
        assert one.rotation <= one.exact * (1 + 1e-12)
        assert one.exact <= min(*one.heuristics, one.native) * (1 + 1e-12)
        assert one.reordered < 1e-12
        assert one.rotated > 1e-3


def test_the_table_has_a_line_for_everything():
    lines = nothing.table([nothing.noise(0)], nothing.filters(), nothing.orders([0])).splitlines()
    assert len(lines) == 2 + 2 + 2 + 2 + 6
