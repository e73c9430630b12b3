"""Corrections against their definitions."""

import math

import numpy as np
import pytest

from modescope.spectral_graph.corrections import CORRECTIONS

RNG = np.random.default_rng(3)


def step_up(p: np.ndarray, tests: int, level: float) -> set[int]:
    """Benjamini & Hochberg as they wrote it: the largest i with p_(i) <= i level / tests, and all before it."""
    order = np.argsort(p)
    passing = [i for i, at in enumerate(order, 1) if p[at] <= i * level / tests]
    return set(order[: max(passing, default=0)].tolist())


@pytest.mark.parametrize("name", ["bh", "by"])
def test_step_up_procedures_reject_what_their_definition_rejects(name: str) -> None:
    for _ in range(50):
        p = np.concatenate([RNG.random(40), RNG.random(int(RNG.integers(0, 12))) * 1e-3])
        level = 0.05 if name == "bh" else 0.05 / sum(1 / i for i in range(1, p.size + 1))
        limit = CORRECTIONS[name](np.log(p), p.size, 0.05)
        assert set(np.flatnonzero(np.log(p) <= limit).tolist()) == step_up(p, p.size, level)


def test_what_exceeds_the_level_may_be_left_out() -> None:
    p = np.concatenate([RNG.random(1000), RNG.random(30) * 1e-4])
    for name in ("bh", "by"):
        small = p[p <= 0.05]
        assert CORRECTIONS[name](np.log(p), p.size, 0.05) == CORRECTIONS[name](np.log(small), p.size, 0.05)


def test_bonferroni_divides_by_all_tests_and_none_by_nothing() -> None:
    assert CORRECTIONS["bonferroni"](np.empty(0), 1000, 0.05) == pytest.approx(math.log(5e-5))
    assert CORRECTIONS["none"](np.empty(0), 1000, 0.05) == pytest.approx(math.log(0.05))


def test_nothing_is_significant_where_nothing_was_tested() -> None:
    assert CORRECTIONS["bh"](np.empty(0), 0, 0.05) == -math.inf
    assert math.isfinite(CORRECTIONS["bonferroni"](np.empty(0), 0, 0.05))


def test_the_harmonic_sum_of_many_tests_is_its_expansion() -> None:
    count = 1 << 16
    exact = math.fsum(1 / i for i in range(1, count + 1))
    limit = CORRECTIONS["by"](np.array([-100.0]), count, 0.05)
    assert limit == pytest.approx(math.log(0.05 / count / exact), rel=1e-12)
