"""Stages of planted learning curves, and the order in which planted modes are learnt."""

import numpy as np
import pytest

from modes_online_cases import reference, reference_course
from modescope.errors import UsageError
from modescope.modes.online.stages import ordered, specialisation, stages

T = np.geomspace(0.1, 1e4, 500)


def curve(knots, slopes):
    """A line on logarithmic axes with slopes that change at the knots."""
    slope = np.array(slopes)[np.searchsorted(knots, T)]
    return np.exp(-np.concatenate([[0.0], np.cumsum(slope[1:] * np.diff(np.log(T)))]))


def test_planted_plateaus_and_drops_are_found_where_they_are():
    found = stages(T, curve([1, 10, 100, 1000], [0.1, 3, 0.2, 2, 0]))
    assert found.status == "ok"
    assert [one.kind for one in found.stages] == ["plateau", "drop", "plateau", "drop", "plateau"]
    ends = [0.1, 1, 10, 100, 1000, 1e4]
    assert [one.begin for one in found.stages] == pytest.approx(ends[:-1], rel=0.06)  # two points of the grid
    assert [one.end for one in found.stages] == pytest.approx(ends[1:], rel=0.06)
    assert found.stages[1].error_begin / found.stages[1].error_end == pytest.approx(10**3, rel=0.3)


def test_neither_flat_nor_steep_is_no_stage():
    assert stages(T, T**-0.75).stages == ()
    assert [one.kind for one in stages(T, T**-0.75, flat=0.8).stages] == ["plateau"]
    assert [one.kind for one in stages(T, T**-0.75, flat=0.5, steep=0.7).stages] == ["drop"]


def test_a_rise_is_no_plateau_and_no_drop():
    assert stages(T, T**2).stages == ()


def test_short_stretches_are_left_out():
    short = curve([10, 12], [0.1, 3, 0.1])
    assert [one.kind for one in stages(T, short).stages] == ["plateau", "plateau"]
    assert [one.kind for one in stages(T, short, least=1.1).stages] == ["plateau", "drop", "plateau"]


def test_units_of_time_and_error_change_nothing():
    errors = curve([1, 10, 100], [0.1, 3, 0.2, 2])
    own, other = stages(T, errors, floor=0).stages, stages(8 * T, errors / 1024, floor=0).stages
    assert [one.kind for one in own] == [one.kind for one in other]
    assert [8 * one.begin for one in own] == pytest.approx([one.begin for one in other])


def test_a_curve_is_followed_to_the_floor_and_says_so():
    found = stages(T, T**-4.0)
    assert found.times[-1] < 1e-11 ** (-1 / 4) * 1.001
    assert "above 1e-11" in found.status
    assert [one.kind for one in found.stages] == ["drop"]
    for errors in (np.full(T.size, np.nan), np.zeros(T.size), -T):
        none = stages(T, errors)
        assert none.stages == ()
        assert "at least 5 times" in none.status


def test_the_known_course_drops_rests_escapes_and_rests():
    found = stages(*(getattr(reference_course(), name) for name in ("times", "error")))
    assert [one.kind for one in found.stages] == ["plateau", "drop", "plateau", "drop", "plateau"]
    plateau, escape, last = found.stages[2:]
    assert 9e-4 < plateau.error_end < plateau.error_begin < 1.6e-3
    assert escape.begin < 81.1
    assert escape.end > 187.4
    assert last.error_end == pytest.approx(3.98e-7, rel=0.02)


def test_modes_of_the_known_course_are_learnt_in_the_order_of_their_gains():
    """To 0.99; at one half the second comes first, as it starts nearer to its teacher's."""
    course, gains = reference_course(), reference().strengths
    late = specialisation(course.times, course.correlations, level=0.99)
    half = specialisation(course.times, course.correlations)
    assert (late[2], half[2]) == (None, None)
    assert ordered(late, gains) is True
    assert course.correlations[0, 1] > course.correlations[0, 0]
    assert ordered(half, gains) is False


def test_a_crossing_lies_between_the_times():
    found = specialisation([0, 10, 20], [[0, 0.6, 0], [0.2, 0.7, 0.5], [0.7, 0.1, 0.5]])
    assert found == (pytest.approx(16), 0, None)


def test_a_pattern_opposite_to_its_teacher_is_not_learnt():
    assert specialisation([0, 1], [[-1.0], [-0.9]]) == (None,)


def test_order_needs_two_different_times():
    assert ordered([1.0, 2.0, None], np.array([3.0, 2.0, 1.0])) is True
    assert ordered([1.0, None, 2.0], np.array([3.0, 2.0, 1.0])) is False
    assert ordered([1.0, None, None], np.array([3.0, 2.0, 1.0])) is True
    assert ordered([None, None], np.ones(2)) is None
    assert ordered([1.0], np.ones(1)) is None


@pytest.mark.parametrize(
    ("times", "errors", "options"),
    [
        ([1, 2], [1], {}),
        ([2, 1], [1, 1], {}),
        ([-1, 1], [1, 1], {}),
        (T, T, {"flat": 0}),
        (T, T, {"flat": 2, "steep": 1}),
        (T, T, {"least": 0.5}),
        (T, T, {"floor": -1}),
    ],
)
def test_curves_and_thresholds_that_do_not_fit_are_refused(times, errors, options):
    with pytest.raises(UsageError, match="stages: expected"):
        stages(times, errors, **options)


def test_correlations_need_a_row_for_each_time():
    with pytest.raises(UsageError, match=r"got \(2, 2\) for 3 times"):
        specialisation([0, 1, 2], np.ones((2, 2)))
