"""What `examples/closed_form.py` claims: on its smallest problem in every run, and whole where there is time."""

from functools import cache

import numpy as np
import pytest

from example_cases import example
from modescope.blocks import Curve
from modescope.descrambling.operators import forward_difference, fourier_second

closed = example("closed_form")

FULL = [pytest.param(seed, marks=pytest.mark.full) for seed in range(3)]


@cache
def quick():
    return closed.searches([0], sizes=(16,), network=False)


@cache
def whole(seed):
    return closed.searches([seed], sizes=(32, 48, 80), network=False) + closed.searches([seed], sizes=(16,), network=False)


def said(found):
    for one in found:
        assert abs(one.reached) < 1e-12
        assert one.excess.min() > -1e-12
        assert (np.diff(one.excess) <= 1e-12).all()


def test_no_search_comes_below_the_closed_form():
    said(quick())


@pytest.mark.parametrize("seed", FULL)
def test_no_search_of_any_size_comes_below_the_closed_form(seed):
    found = whole(seed)
    said(found)
    assert {(one.size, one.difference) for one in found if one.data == "white"} == {
        (m, of(m).name) for m in closed.SIZES for of in (forward_difference, fourier_second)
    }


@pytest.mark.parametrize("found", [quick, *(pytest.param(lambda s=s: whole(s), marks=pytest.mark.full) for s in range(3))])
def test_small_white_problems_are_solved_and_steep_ones_later(found):
    for operator in closed.OPERATORS:
        of = {one.data: one for one in found() if one.difference == operator(16).name and one.size == 16}
        assert of["white"].after(2000) < 1e-3
        assert of["steep"].after(100) > of["white"].after(100)


@pytest.mark.parametrize("seed", FULL)
def test_on_a_trained_layer_the_search_stands_half_above_after_2000_iterations(seed):
    one = closed.search("trained", closed.trained(seed), fourier_second(80), seed)
    assert one.after(2000) > 0.5
    assert not one.converged
    assert abs(one.reached) < 1e-9  # eigenvalues over fifteen decades, summed


def test_second_moments_are_what_they_are_called():
    assert np.linalg.eigvalsh(closed.steep(16, 3)) == pytest.approx(np.geomspace(1e-6, 1, 16), rel=1e-6)
    assert np.linalg.cond(closed.white(16, 3)) < 100


def test_the_table_has_a_line_and_the_page_a_curve_for_every_search():
    found = quick()
    assert len(closed.table(found).splitlines()) == 1 + len(found)
    page = closed.page(found)
    curves = [block for block in page.blocks if isinstance(block, Curve)]
    assert sum(len(curve.series) for curve in curves) == len(found)
    assert all(curve.x.log and curve.y.log for curve in curves)
    first = curves[0].series[0]
    assert [first.x[0], first.x[-1]] == [1, 2000]
    assert first.y[-1] == pytest.approx(found[0].after(2000), rel=1e-3)
