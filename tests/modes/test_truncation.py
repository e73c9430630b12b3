"""Truncation to modes: the theorems of the best approximation, slow twins of both criteria, and weights that are no nice ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from modescope.errors import UsageError
from modescope.modes.truncation import Cut, of_outputs, of_weight, outputs_left
from modescope.moments import Moments, of
from modescope.svd import Values

SHAPES = [(7, 12), (12, 7), (9, 9), (1, 5), (5, 1), (1, 1)]
LAYERS = [(7, 12), (12, 7), (9, 9), (60, 4)]


def weight(out: int, inn: int, seed: int = 0) -> Values:
    """Singular values fall by 0.7 each, so that none is lost in the rounding of squares."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((n, min(out, inn))))[0] for n in (out, inn))
    w: Values = (u * 0.7 ** np.arange(min(out, inn))) @ v.T
    return w


def samples(inn: int, count: int = 200, rank: int | None = None, seed: int = 1) -> Values:
    rng = np.random.default_rng(seed)
    mixed: Values = rng.standard_normal((count, rank or inn)) @ rng.standard_normal((rank or inn, inn)) + rng.standard_normal(inn)
    return mixed


def planted(out: int, inn: int, values: Values, seed: int = 3) -> tuple[Values, Moments]:
    """A weight and moments, centred at 0, for which `W C^(1/2)` has chosen singular values."""
    rng = np.random.default_rng(seed)
    m = min(out, inn)
    u, v = (np.linalg.qr(rng.standard_normal((n, m)))[0] for n in (out, inn))
    frame = np.linalg.qr(rng.standard_normal((inn, inn)))[0]
    sizes = np.linspace(1.0, 3.0, inn)
    root = (frame * sizes) @ frame.T
    return (u * values) @ v.T @ np.linalg.inv(root), Moments(1, np.zeros(inn), root @ root)


def composed(cut: Cut, p: int) -> Values:
    return cut.modes(p).weight


@pytest.mark.parametrize("shape", SHAPES)
def test_a_cut_by_the_weight_leaves_the_next_singular_value_and_the_sum_of_the_squares_after_it(shape: tuple[int, int]) -> None:
    w = weight(*shape)
    s, cut = np.linalg.svd(w, compute_uv=False), of_weight(w)
    for p in range(1, len(s) + 1):
        rest = w - composed(cut, p)
        assert np.linalg.norm(rest, 2) == pytest.approx(s[p] if p < len(s) else 0.0, rel=1e-10, abs=1e-14)
        assert np.sum(rest**2) == pytest.approx(np.sum(s[p:] ** 2), rel=1e-10, abs=1e-14)
        assert cut.tails[p] == pytest.approx(np.sum(s[p:] ** 2), rel=1e-10, abs=1e-14)
    np.testing.assert_array_equal(cut.weight_tails > -1, cut.tails > -1)
    np.testing.assert_allclose(cut.weight_tails, cut.tails, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("shape", LAYERS)
def test_a_cut_by_the_outputs_leaves_on_the_samples_what_it_says(shape: tuple[int, int], centred: bool) -> None:
    w, x, c = weight(*shape), samples(shape[1]), np.linspace(-1, 1, shape[0])
    cut = of_outputs(w, of(x), centred=centred)
    for p in range(1, len(cut.tails)):
        shift = cut.bias_shift(p)
        assert (shift is None) == (not centred)
        lost = x @ w.T + c - (x @ composed(cut, p).T + c + (0.0 if shift is None else shift))
        assert np.mean(np.sum(lost**2, axis=1)) == pytest.approx(cut.tails[p], rel=1e-10, abs=1e-13 * cut.total)
        if centred:
            np.testing.assert_allclose(lost.mean(axis=0), 0, atol=1e-12 * np.sqrt(cut.total))


@pytest.mark.parametrize("shape", LAYERS)
def test_the_error_of_a_cut_by_the_outputs_is_the_tail_of_planted_values(shape: tuple[int, int]) -> None:
    values = 0.5 ** np.arange(min(shape), dtype=float)
    w, moments = planted(*shape, values)
    cut = of_outputs(w, moments, centred=False)
    for p in range(len(values)):
        assert cut.tails[p] == pytest.approx(np.sum(values[p:] ** 2), rel=1e-10)


@pytest.mark.parametrize("shape", LAYERS)
def test_the_form_without_an_inverse_is_the_form_with_one(shape: tuple[int, int]) -> None:
    w, x = weight(*shape), samples(shape[1])
    c = x.T @ x / len(x)
    root = np.real(sqrtm(c))
    u, s, vh = np.linalg.svd(w @ root, full_matrices=False)
    cut = of_outputs(w, of(x), centred=False)
    for p in range(1, len(s) + 1):
        by_inverse = (u[:, :p] * s[:p]) @ vh[:p] @ np.linalg.inv(root)
        np.testing.assert_allclose(composed(cut, p), by_inverse, atol=1e-10 * np.abs(w).max() * np.linalg.cond(root))


@pytest.mark.parametrize("centred", [False, True])
@given(seed=st.integers(0, 2**32 - 1), out=st.integers(1, 9), inn=st.integers(1, 9))
def test_no_plain_truncation_leaves_less_of_the_outputs(centred: bool, seed: int, out: int, inn: int) -> None:
    rng = np.random.default_rng(seed)
    w, moments = rng.standard_normal((out, inn)), of(rng.standard_normal((12, inn)) * rng.uniform(0.01, 3, inn) + 1)
    plain, best = of_weight(w), of_outputs(w, moments, centred=centred)
    left = outputs_left(plain, moments, centred=centred)
    assert np.all(best.tails <= left + 1e-12 * best.total)
    assert np.all(plain.weight_tails <= best.weight_tails + 1e-12 * plain.total)
    np.testing.assert_allclose(outputs_left(best, moments, centred=centred), best.tails, atol=1e-12 * best.total)


@given(seed=st.integers(0, 2**32 - 1), out=st.integers(2, 9), inn=st.integers(2, 9))
def test_a_corrected_bias_never_leaves_more(seed: int, out: int, inn: int) -> None:
    rng = np.random.default_rng(seed)
    w, moments = rng.standard_normal((out, inn)), of(rng.standard_normal((12, inn)) + 2)
    with_bias, without = (of_outputs(w, moments, centred=centred) for centred in (True, False))
    assert np.all(with_bias.tails <= without.tails + 1e-12 * without.total)


@pytest.mark.parametrize("shape", LAYERS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_inputs_in_a_few_directions_leave_no_error_beyond_them_and_all_modes_are_the_weight(
    shape: tuple[int, int], rank: int
) -> None:
    w, x = weight(*shape), samples(shape[1], rank=rank) - samples(shape[1], rank=rank).mean(axis=0)
    cut = of_outputs(w, of(x), centred=False)
    assert np.all(cut.tails[rank:] == 0)
    np.testing.assert_allclose(x @ composed(cut, rank).T, x @ w.T, atol=1e-12)
    np.testing.assert_allclose(composed(cut, min(shape)), w, atol=1e-13)
    np.testing.assert_allclose(cut.basis.T @ cut.basis, np.eye(min(shape)), atol=1e-13)
    assert np.all(np.diff(cut.weight_tails) <= 1e-15)


@pytest.mark.parametrize("shape", LAYERS)
def test_where_the_outputs_decide_nothing_the_weight_does(shape: tuple[int, int]) -> None:
    w, silent = weight(*shape), of(np.zeros((3, shape[1])))
    cut, plain = of_outputs(w, silent, centred=False), of_weight(w)
    assert not cut.tails.any()
    np.testing.assert_allclose(cut.weight_tails, plain.tails, rtol=1e-9, atol=1e-14)
    assert cut.relative.tolist() == [1, *[0] * min(shape)]


def test_modes_are_balanced_and_orthogonal_in_both_criteria() -> None:
    w = weight(12, 7)
    for cut in (of_weight(w), of_outputs(w, of(samples(7)), centred=True)):
        modes = cut.modes(4)
        sizes = np.cbrt(np.linalg.svd(modes.weight, compute_uv=False)[:4])
        np.testing.assert_allclose(modes.s, sizes, rtol=1e-12)
        np.testing.assert_allclose(modes.xi_out.T @ modes.xi_out, np.diag(sizes**2), atol=1e-13)
        np.testing.assert_allclose(modes.xi_in @ modes.xi_in.T, np.diag(sizes**2), atol=1e-13)


@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_the_unit_of_the_weight_is_kept(scale: float) -> None:
    w = weight(5, 4)
    assert of_weight(w * scale).relative == pytest.approx(of_weight(w).relative, rel=1e-12, abs=1e-15)


def test_the_rank_counts_what_the_weight_has_and_a_zero_weight_has_none() -> None:
    low = weight(12, 3) @ weight(3, 9, seed=5)
    assert of_weight(low).rank == of_outputs(low, of(samples(9)), centred=False).rank == 3
    nothing = of_weight(np.zeros((3, 4)))
    assert nothing.rank == 0
    assert nothing.relative.tolist() == [1, 0, 0, 0]
    assert not nothing.modes(2).weight.any()


def test_bfloat16_is_read() -> None:
    import ml_dtypes

    w = weight(6, 5).astype(ml_dtypes.bfloat16)
    np.testing.assert_allclose(composed(of_weight(w), 5), w.astype(np.float64), atol=1e-14)


@pytest.mark.parametrize(
    "bad", [np.zeros(3), np.zeros((0, 3)), np.ones((2, 2), int), np.full((2, 2), np.nan), np.full((2, 2), 1e200)]
)
def test_what_is_no_finite_matrix_is_refused(bad: Values) -> None:
    with pytest.raises(UsageError, match="expected a weight"):
        of_weight(bad)


def test_other_moments_and_other_numbers_of_modes_are_refused() -> None:
    w = weight(4, 6)
    with pytest.raises(UsageError, match="moments of 6 inputs"):
        of_outputs(w, of(samples(5)), centred=False)
    with pytest.raises(UsageError, match="moments of 6 inputs"):
        outputs_left(of_weight(w), of(samples(5)), centred=False)
    for p in (0, -1, 5):
        with pytest.raises(UsageError, match=f"1 to 4 modes of a weight .4, 6., got {p}"):
            of_weight(w).modes(p)
