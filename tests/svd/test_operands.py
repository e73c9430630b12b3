"""Products, blocks and convolution operators against the dense matrices they stand for."""

from itertools import product as every

import numpy as np
import pytest

from modescope.errors import MatrixError
from modescope.matrix import Array, Blocks, Convolution, Product
from modescope.svd.blocks import blocks
from modescope.svd.convolution import convolution, half
from modescope.svd.product import product


def dense_operator(w: Convolution) -> Array:
    """The circular convolution as its definition reads, one output position and one tap at a time."""
    out, inn = w.kernel.shape[:2]
    coarse = [n // t for n, t in zip(w.grid, w.stride, strict=True)]
    group_out = out // w.groups
    big = np.zeros((out, *coarse, inn * w.groups, *w.grid))
    for place in every(*map(range, coarse)):
        for tap in every(*map(range, w.kernel.shape[2:])):
            source = tuple((p * t + d * k) % n for p, t, d, k, n in zip(place, w.stride, w.dilation, tap, w.grid, strict=True))
            for o in range(out):
                g = o // group_out
                big[(o, *place, slice(g * inn, (g + 1) * inn), *source)] += w.kernel[(o, slice(None), *tap)]
    return big.reshape(out * int(np.prod(coarse)), -1)


CASES = {
    "stride 1": Convolution(np.zeros((4, 3, 3, 3)), (8, 6), (1, 1), (1, 1)),
    "odd grid": Convolution(np.zeros((3, 4, 3, 3)), (7, 5), (1, 1), (1, 1)),
    "stride 2": Convolution(np.zeros((4, 3, 3, 3)), (8, 6), (2, 2), (1, 1)),
    "stride 3 by 1": Convolution(np.zeros((6, 2, 3, 3)), (6, 5), (3, 1), (1, 1)),
    "dilation 2": Convolution(np.zeros((4, 3, 3, 3)), (8, 7), (1, 1), (2, 2)),
    "groups": Convolution(np.zeros((6, 2, 3, 3)), (6, 6), (1, 1), (1, 1), groups=3),
    "kernel wider than the grid": Convolution(np.zeros((2, 2, 5, 5)), (4, 4), (1, 1), (1, 1)),
    "one axis": Convolution(np.zeros((5, 4, 3)), (12,), (2,), (1,)),
    "three axes": Convolution(np.zeros((2, 2, 3, 2, 3)), (4, 3, 4), (2, 1, 1), (1, 1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_operator_values_equal_the_dense_circulant_svd(name: str) -> None:
    case = CASES[name]
    kernel = np.random.default_rng(0).standard_normal(case.kernel.shape)
    w = Convolution(kernel, case.grid, case.stride, case.dilation, case.groups)
    dense = dense_operator(w)
    reference = np.linalg.svd(dense, compute_uv=False)
    found = convolution(w).s
    nonzero = reference[: found.size]  # an operator that loses dimensions by its stride has that many exact zeros more
    np.testing.assert_allclose(found, nonzero, atol=1e-12 * reference[0] * 10)
    assert np.all(reference[found.size :] < 1e-12 * reference[0])


def test_operator_obeys_parseval_and_the_bounds_of_the_unfolding() -> None:
    kernel = np.random.default_rng(2).standard_normal((5, 4, 3, 3))
    s = convolution(Convolution(kernel, (9, 8), (1, 1), (1, 1))).s
    unfolding = np.linalg.svd(kernel.reshape(5, -1), compute_uv=False)
    assert (s**2).sum() / 72 == pytest.approx((kernel**2).sum(), rel=1e-12)
    assert unfolding[0] <= s[0] * (1 + 1e-12)
    assert s[0] <= 3 * unfolding[0] * (1 + 1e-12)


@pytest.mark.parametrize(("grid", "orbits"), [((32, 32), 514), ((16, 16), 130), ((14, 14), 100), ((7, 7), 25)])
def test_half_of_the_spectrum_is_enough(grid: tuple[int, int], orbits: int) -> None:
    frequencies, weights = half(grid)
    assert len(frequencies) == orbits
    assert weights.sum() == grid[0] * grid[1]


def test_nearly_singular_blocks_are_redone_by_svd() -> None:
    kernel = np.zeros((2, 2, 1, 1))
    kernel[:, :, 0, 0] = np.diag([1.0, 1e-10])
    found = convolution(Convolution(kernel, (4, 4), (1, 1), (1, 1)))
    np.testing.assert_allclose(found.s[-1], 1e-10, rtol=1e-4)


def test_work_over_budget_and_strides_that_do_not_divide_are_refused() -> None:
    with pytest.raises(MatrixError, match="budget"):
        convolution(Convolution(np.zeros((512, 512, 3, 3), np.float32), (512, 512), (1, 1), (1, 1)))
    with pytest.raises(MatrixError, match="divides the grid"):
        convolution(Convolution(np.zeros((2, 2, 3, 3)), (7, 7), (2, 2), (1, 1)))


@pytest.mark.parametrize("shapes", [((30, 4), (4, 50)), ((3, 8), (8, 50)), ((30, 4), (4, 2)), ((5, 1), (1, 7))], ids=str)
def test_products_equal_the_svd_of_the_formed_matrix(shapes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    w = Product(left, right, scale=2.5)
    dense = 2.5 * left.astype(np.float64) @ right.astype(np.float64)
    found = product(w, vectors=True)
    r = min(left.shape[0], left.shape[1], right.shape[1])
    assert found.s.shape == (r,)
    np.testing.assert_allclose(found.s, np.linalg.svd(dense, compute_uv=False)[:r], rtol=1e-12)
    assert found.u is not None
    np.testing.assert_allclose((found.u * found.s) @ found.vh, dense, atol=1e-12 * found.s[0])


@pytest.mark.parametrize("shape", [(3, 4, 6), (5, 6, 2), (8, 1, 9)], ids=str)
def test_blocks_equal_the_svd_of_the_block_diagonal_matrix(shape: tuple[int, int, int]) -> None:
    stack = np.random.default_rng(0).standard_normal(shape)
    dense = np.zeros((shape[0] * shape[1], shape[0] * shape[2]))
    for i, block in enumerate(stack):
        dense[i * shape[1] : (i + 1) * shape[1], i * shape[2] : (i + 1) * shape[2]] = block
    found = blocks(Blocks(stack), vectors=True)
    np.testing.assert_allclose(found.s, np.linalg.svd(dense, compute_uv=False)[: found.s.size], atol=1e-13)
    assert found.u is not None
    assert found.vh is not None
    np.testing.assert_allclose((found.u * found.s) @ found.vh, dense, atol=1e-13)
    np.testing.assert_allclose(blocks(Blocks(stack)).s, found.s, rtol=1e-14)
