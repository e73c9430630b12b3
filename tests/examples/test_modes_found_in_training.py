"""What `examples/modes_found_in_training.py` claims: that rules change modes as they say and, in time, what is gained by it."""

import pytest

from example_cases import example

growing = example("modes_found_in_training")


def test_a_pruned_network_and_its_companion_end_with_the_same_modes():
    one = growing.pair("pruned by energy", 0, epochs=11)
    assert one.changes == 3  # before the eleventh epoch, every layer
    assert all(p < most for p, most in zip(one.modes, growing.USEFUL, strict=True))
    assert one.parameters == sum(p * (a + b + 1) for p, (a, b) in zip(one.modes, ((64, 100), (100, 100), (100, 10)), strict=True))
    assert min(one.changed, one.fixed) > 0.6


def test_a_grown_network_has_two_modes_more_in_every_layer():
    one = growing.pair("grown", 0, epochs=5)
    assert one.modes == (4, 4, 4)
    assert one.changes == 3


def test_what_is_lost_is_the_mean_of_paired_differences():
    made = [growing.Pair("grown", split, (4, 4, 4), 100, 0.9, 0.9 + step, 3) for split, step in enumerate((0.01, 0.03))]
    assert growing.lost(made) == pytest.approx((2, 1))
    assert "+2.00 ± 1.00" in growing.line(made)
    assert "4.0 4.0 4.0" in growing.line(made)


@pytest.mark.full
def test_pruning_by_energy_ends_better_than_as_few_modes_from_the_start():
    found = growing.runs("pruned by energy", range(growing.SPLITS))
    lost, error = growing.lost(found)
    assert lost < -2 * error
    assert max(one.parameters for one in found) < 17_400 / 5
