"""P-values by rank: uniform where the value is one of the draws, never 0, and 1 where all draws are the same up to rounding."""

import numpy as np
import pytest

from modescope.descrambling.ranks import as_high, as_low


def test_every_rank_is_met_once() -> None:
    """Of B + 1 values, each against the B others: the p-values are 1 / (B + 1), 2 / (B + 1), ..., 1."""
    values = np.random.default_rng(0).random(20)
    for measure in (as_high, as_low):
        found = [measure(np.delete(values, i), values[i]) for i in range(20)]
        assert sorted(found) == pytest.approx(np.arange(1, 21) / 20)
    assert as_high(values, 2.0) == as_low(values, -1.0) == 1 / 21
    assert as_high(values, -1.0) == as_low(values, 2.0) == 1


@pytest.mark.parametrize("level", [0.0, 1.0, 300.0])
def test_values_that_differ_by_rounding_are_equal(level: float) -> None:
    null = level * (1 + 1e-15 * np.arange(-9, 10))
    assert as_high(null, level * (1 + 1e-14)) == 1
    assert as_low(null, level * (1 - 1e-14)) == 1
