"""The least number of modes by width: planted laws, errors over seeds, and no verdict where widths are few."""

import numpy as np
import pytest

from modescope.errors import UsageError
from modescope.modes.reading.scaling import PARAMETERS, Run, Scaling, scaling

COUNTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 60, 80, 120)


def table(least: dict[int, float], seeds: int = 4, noise: float = 0.0, counts: tuple[int, ...] = COUNTS) -> list[Run]:
    """Networks whose accuracy comes within a point of the dense one from `least` modes on."""
    rng = np.random.default_rng(0)
    runs = []
    for width, p in least.items():
        for seed in range(seeds):
            runs.append(Run(width, None, seed, min(0.97 + noise * rng.standard_normal(), 1.0)))
            for count in counts:
                runs.append(
                    Run(width, count, seed, min(0.97 - (0.05 if count < p else 0.001) + noise * rng.standard_normal(), 1.0))
                )
    return runs


def scaled(runs: list[Run]) -> Scaling:
    return scaling(runs, rng=np.random.default_rng(0))


def test_the_least_number_is_the_first_within_a_point_of_dense() -> None:
    found = scaled(table({25: 3, 50: 5, 100: 5, 200: 8}))
    assert [(one.width, one.modes, one.reached, one.seeds) for one in found.points] == [
        (25, 3, 1.0, 4),
        (50, 5, 1.0, 4),
        (100, 5, 1.0, 4),
        (200, 8, 1.0, 4),
    ]
    assert [one.low for one in found.points] == [one.high for one in found.points] == [3, 5, 5, 8]
    assert found.points[3].error == pytest.approx(2 / np.sqrt(12))  # 6 and 8 were tried, 7 was not


def test_the_margin_itself_is_within_it() -> None:
    runs = [Run(10, None, 0, 0.9), Run(10, 1, 0, 0.88), Run(10, 2, 0, 0.89)]
    assert scaled(runs).points[0].modes == 2


def test_seeds_that_scatter_give_an_error_and_wider_ends() -> None:
    # 5 modes are enough in three seeds of four, and 8 in all: a resample with the fourth twice needs 8.
    runs = [Run(50, None, seed, 0.97) for seed in range(4)] + [Run(50, 8, seed, 0.97) for seed in range(4)]
    runs += [Run(50, 5, seed, 0.93 if seed == 3 else 0.97) for seed in range(4)]
    one = scaled(runs).points[0]
    assert (one.modes, one.low, one.high, one.reached) == (5, 5, 8, 1.0)
    # Binomial(4, 1/4) is 2 or more with probability 67/256: the standard deviation of 5 or 8, and the step from 0 to 5.
    spread = 3 * np.sqrt(67 / 256 * (1 - 67 / 256))
    assert one.error == pytest.approx(np.hypot(spread, 5 / np.sqrt(12)), rel=0.05)


def test_a_width_that_never_reaches_it_has_no_number() -> None:
    never = scaled(table({50: 500})).points[0]
    assert (never.modes, never.error, never.high, never.reached) == (None, None, None, 0.0)


def test_five_widths_do_not_decide_between_the_laws() -> None:
    found = scaled(table({25: 5, 50: 6, 100: 8, 200: 8, 400: 8}))
    assert found.verdict == "undecided"
    assert found.said.startswith("Undecided")
    assert found.fits["logarithm then constant"].aicc is None


def test_many_widths_tell_planted_laws_apart() -> None:
    every = tuple(range(1, 200))
    widths = np.unique(np.geomspace(10, 2000, 24).astype(int)).tolist()
    power = scaled(table({n: round(0.9 * n**0.7) for n in widths}, seeds=1, counts=every))
    assert power.verdict == "power"
    assert power.fits["power"].parameters == pytest.approx((0.9, 0.7), rel=0.05)
    level = scaled(table({n: round(-20 + 20 * np.log(min(n, 300))) for n in widths}, seeds=1, counts=every))
    assert level.verdict == "logarithm then constant"
    a, b, end = level.fits["logarithm then constant"].parameters
    assert (a, b, end) == pytest.approx((-20, 20, 300), rel=0.05)
    same = scaled(table(dict.fromkeys(widths, 12), seeds=1, counts=every))
    assert same.fits["constant"].parameters == (12.0,)
    assert same.verdict == "undecided"
    assert same.said.endswith(f"never better by more than {np.log(24):.1f}: nothing here speaks for growth.")
    assert min(same.fits.values(), key=lambda one: one.bic).name == "constant"


def test_more_parameters_never_leave_more() -> None:
    found = scaled(table({10: 2, 20: 3, 40: 6, 80: 6, 160: 10, 320: 8}))
    assert found.fits.keys() == PARAMETERS.keys()
    assert found.fits["constant"].residual >= found.fits["power"].residual - 1e-9
    assert found.fits["constant"].residual >= found.fits["logarithm then constant"].residual - 1e-9


def test_few_widths_that_are_reached_have_no_law() -> None:
    found = scaled(table({25: 3, 50: 5, 100: 5, 200: 500}))
    assert found.fits == {}
    assert "3 widths reach" in found.said


def test_a_table_with_holes_is_refused() -> None:
    good = table({25: 3})
    with pytest.raises(UsageError, match="none with modes=3 and seed 2"):
        scaled([run for run in good if (run.modes, run.seed) != (3, 2)])
    with pytest.raises(UsageError, match="twice the same"):
        scaled([*good, good[0]])
    with pytest.raises(UsageError, match="in modes and dense ones at width 25"):
        scaled([run for run in good if run.modes is not None])
    for bad in (Run(0, 1, 0, 0.5), Run(5, 0, 0, 0.5), Run(5, 1, 0, 1.5)):
        with pytest.raises(UsageError, match="expected runs"):
            scaled([bad])
    with pytest.raises(UsageError, match="expected runs"):
        scaled([])
