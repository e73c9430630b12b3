"""The start of online learning: what overlaps say, and what is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from modes_online_cases import drawn, reference
from modescope.errors import UsageError
from modescope.modes.online.theory import ModeTheory, Trajectory, of_factors
from modescope.modes.online.theory import drawn as draw


def test_fields_are_those_of_the_weights():
    rng = np.random.default_rng(3)
    xi_out, s, xi, theirs = (
        rng.standard_normal((5, 2)),
        rng.standard_normal(2),
        rng.standard_normal((2, 9)),
        rng.standard_normal((2, 9)),
    )
    theory = of_factors(xi_out, s, xi, theirs, 1.0)
    start = Trajectory(theory, np.zeros(1), theory.student[None], theory.overlap[None], theory.gains[None])
    w, taught = xi_out * s @ xi, xi_out * s @ theirs
    assert start.fields[0] == pytest.approx(w @ w.T / 9)
    assert start.taught[0] == pytest.approx(w @ taught.T / 9)
    cosines = (xi * theirs).sum(axis=1) / np.linalg.norm(xi, axis=1) / np.linalg.norm(theirs, axis=1)
    assert start.correlations[0] == pytest.approx(cosines)
    assert theory.strengths == pytest.approx(np.linalg.norm(xi_out * s, axis=0))


def test_the_draw_is_in_the_documented_order():
    theory, same = draw(30, 8, 3, 5.0, np.random.default_rng(1)), reference()
    for name in ("xi_out", "s", "student", "overlap", "teacher"):
        assert np.array_equal(getattr(theory, name), getattr(same, name))


def test_factors_are_drawn_at_the_published_scale():
    theory = draw(1000, 200, 100, 5.0, np.random.default_rng(0))
    assert np.diag(theory.teacher).mean() == pytest.approx(math.log(1000) ** (-1 / 3), rel=0.02)  # 1e5 squares: 0.5 %


def test_a_pattern_without_a_direction_has_no_correlation():
    theory = drawn(0)
    none = np.zeros((1, 3, 3))
    assert np.array_equal(Trajectory(theory, np.zeros(1), none, none, theory.gains[None]).correlations, np.zeros((1, 3)))


def test_the_arrays_of_a_theory_are_its_own():
    s = np.ones(1)
    theory = ModeTheory(np.ones((2, 1)), s, np.eye(1), np.zeros((1, 1)), np.eye(1), 1.0)
    s[0] = 7
    assert theory.s[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        theory.s[0] = 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eta": 0.0}, "eta positive and finite, got 0"),
        ({"eta": -1.0}, "eta positive"),
        ({"eta": math.nan}, "eta positive"),
        ({"eta": math.inf}, "eta positive"),
        ({"s": np.ones(2)}, r"xi_out of shape \(4, 2\)"),
        ({"s": np.zeros(0)}, "at least 1"),
        ({"xi_out": np.ones(3)}, "xi_out of shape"),
        ({"s": np.array([1, np.nan, 1])}, "finite s, got 1 of 3"),
        ({"overlap": np.full((3, 3), np.inf)}, "finite overlap"),
        ({"overlap": np.eye(2)}, r"overlap of shape \(3, 3\)"),
        ({"student": np.triu(np.ones((3, 3)))}, "symmetric student"),
        ({"student": -np.eye(3)}, "overlaps of real patterns"),
        ({"overlap": 50 * np.eye(3)}, "overlaps of real patterns"),
        ({"xi_out": np.ones((2, 3))}, "at most as many modes as hidden units, 2, got 3"),
    ],
)
def test_what_cannot_be_learnt_is_refused_with_what_came(change, message):
    with pytest.raises(UsageError, match=message):
        replace(drawn(0), **change)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (np.ones((3, 9)), np.ones((3, 8)), r"got \(3, 9\) and \(3, 8\)"),
        (np.ones(9), np.ones(9), r"both \(p, d\)"),
        (np.ones((3, 0)), np.ones((3, 0)), r"both \(p, d\)"),
        (np.ones((3, 2)), np.ones((3, 2)), "as many modes as inputs, 2, got 3"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(student, teacher, message):
    with pytest.raises(UsageError, match=message):
        of_factors(np.ones((4, 3)), np.ones(3), student, teacher, 1.0)


@pytest.mark.parametrize("sizes", [(1, 4, 1), (30, 2, 3), (2, 4, 3), (30, 4, 0)])
def test_draws_of_impossible_sizes_are_refused(sizes):
    with pytest.raises(UsageError, match="inputs"):
        draw(*sizes, 1.0, np.random.default_rng(0))
