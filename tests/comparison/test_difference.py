"""The difference of weights as a spectrum: planted ranks and strengths, the rounding of the storage, and every form of a matrix."""

from dataclasses import replace
from functools import partial

import ml_dtypes
import numpy as np
import pytest

from cases import spiked
from comparison_cases import frame, noise
from modescope.comparison.difference import Difference, difference, matrix
from modescope.errors import MatrixError
from modescope.matrix import Array, Blocks, Convolution, Matrix, Operand, Product
from modescope.measures import bind
from modescope.spectrum import decompose
from modescope.svd.policy import exact

BOUND = bind({"seed": 0, "level": 0.01, "tests": 1}, {})


def held(operand: Operand) -> Operand:
    return operand


def of(operand: Operand, shape: tuple[int, int] | None = None) -> Matrix:
    shape = operand.shape if isinstance(operand, np.ndarray) else shape  # type: ignore[assignment]
    assert shape is not None
    return Matrix("w", "dense", shape, "float64", partial(held, operand), "dense")


def between(a: Matrix, b: Matrix) -> Difference:
    return difference(a, b, (decompose(a), decompose(b)), BOUND, engine=exact)[0]


def test_the_values_are_those_of_the_subtracted_weights() -> None:
    a, b = noise((40, 25), 0), noise((40, 25), 1)
    found = between(of(a), of(b))
    np.testing.assert_allclose(found.s, np.linalg.svd(b - a, compute_uv=False), rtol=1e-6)
    assert found.measures["norms"].frobenius == pytest.approx(np.linalg.norm(b - a))
    assert found.relative_frobenius == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a))
    assert found.relative_spectral == pytest.approx(np.linalg.norm(b - a, 2) / np.linalg.norm(a, 2))


def test_nothing_changed_is_identical_and_not_a_failure() -> None:
    a = noise((40, 25), 0)
    found = between(of(a), of(a.copy()))
    assert found.identical
    assert (found.rank, found.outliers, found.relative_spectral) == (0, 0, 0.0)
    assert found.outliers_by == "the weights are identical"


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("rank", [1, 5])
def test_a_low_rank_update_has_its_rank_above_the_rounding_of_any_storage(dtype: str, rank: int) -> None:
    rng = np.random.default_rng(rank)
    stored = np.dtype(getattr(ml_dtypes, dtype, dtype))
    a = noise((120, 90), 0, 0.05).astype(stored)
    update = 2.0 * frame(120, rank, rng) @ frame(90, rank, rng).T
    found = between(of(a), of((a.astype(np.float64) + update).astype(stored)))
    assert found.rank == rank
    assert found.outliers == rank
    assert found.s[rank] < max(found.rounding, 1e-15 * found.s[0]) < found.s[rank - 1]


def test_the_bound_on_rounding_holds_and_its_standard_deviation_is_about_right() -> None:
    a = noise((300, 200), 3)
    low = a.astype(ml_dtypes.bfloat16)
    found = between(of(a), of(low))
    assert found.s[0] < found.rounding < 2 * found.s[0]
    assert found.rounding_sigma == pytest.approx((low.astype(np.float64) - a).std(), rel=0.35)


@pytest.mark.parametrize("kind", ["gaussian", "ternary", "grid", "narrow"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_copy_in_another_type_changed_nothing_however_its_rounding_errors_lie(kind: str, dtype: str) -> None:
    """On a grid or about one value all weights are rounded alike, and the errors add up beyond any law for independent ones."""
    rng = np.random.default_rng(0)
    w = {
        "gaussian": rng.standard_normal((96, 80)),
        "ternary": 0.0123 * rng.integers(-1, 2, (96, 80)),
        "grid": 0.0123 * rng.integers(-8, 8, (96, 80)),
        "narrow": 0.3 + 0.0005 * rng.standard_normal((96, 80)),
    }[kind].astype(np.float32)
    a = replace(of(w), stored="float32")
    b = replace(of(w.astype(getattr(ml_dtypes, dtype, dtype))), stored=dtype)
    for found in (between(a, b), between(b, a)):
        assert (found.retyped, found.rank, found.outliers) == (True, 0, 0)
        assert found.outliers_by == f"only the stored type changed: rounded to {dtype}, the weights are the same"
    tuned = replace(of((w + 0.5 * frame(96, 1, rng) @ frame(80, 1, rng).T).astype(getattr(ml_dtypes, dtype, dtype))), stored=dtype)
    assert not between(a, tuned).retyped
    assert between(a, tuned).outliers != 0


def test_operands_that_are_never_formed_are_seen_to_change_their_type_only() -> None:
    kernel = noise((4, 3 * 9), 0).reshape(4, 3, 3, 3).astype(np.float32)
    low = kernel.astype(ml_dtypes.bfloat16)
    made: list[tuple[Operand, Operand, tuple[int, int]]] = [
        (Convolution(kernel, (5, 5), (1, 1), (1, 1)), Convolution(low, (5, 5), (1, 1), (1, 1)), (100, 75)),
        (Blocks(kernel[:, :, 0]), Blocks(low[:, :, 0]), (12, 12)),
    ]
    for one, two, shape in made:
        assert between(replace(of(one, shape), stored="float32"), replace(of(two, shape), stored="bfloat16")).retyped


def test_independent_rounding_within_one_power_of_two_stays_below_its_margin() -> None:
    """30 matrices of one binade, where all spacings are equal and nothing but the margin is left."""
    for seed in range(30):
        w = np.random.default_rng(seed).uniform(0.26, 0.49, (128, 128)).astype(np.float32)
        found = between(of(w), of(w.astype(ml_dtypes.bfloat16)))
        assert 0.8 * found.rounding < found.s[0] < found.rounding


@pytest.mark.parametrize("spread", [0.3, 0.5, 1.0])
def test_noise_whose_rows_have_scales_of_their_own_shows_no_modes(spread: float) -> None:
    rng = np.random.default_rng(2)
    update = 1e-3 * rng.standard_normal((256, 128)) * np.exp(spread * rng.standard_normal((256, 1)))
    a = noise((256, 128), 0)
    found = between(of(a), of(a + update))
    assert found.measures["bulk"].outliers > 0
    assert found.outliers == 0
    assert "twins with random signs" in found.outliers_by


def test_modes_far_above_the_noise_of_uneven_rows_are_still_counted() -> None:
    rng = np.random.default_rng(3)
    update = rng.standard_normal((256, 128)) * np.exp(0.5 * rng.standard_normal((256, 1)))
    planted = 150 * frame(256, 2, rng) @ frame(128, 2, rng).T
    found = between(of(np.zeros((256, 128))), of(update + planted))
    assert found.outliers is not None
    assert 2 <= found.outliers <= 4  # beside strong modes twins judge too mildly, see their module
    assert found.measures["bulk"].outliers > 20


def test_modes_written_over_noise_are_counted_by_the_noise_of_the_change() -> None:
    a = noise((150, 100), 0, 10.0)
    found = between(of(a), of(a + spiked((150, 100), 4, strength=3.0, seed=2)))
    assert found.outliers == 4
    assert found.outliers_by.startswith("above the edge of its noise")
    assert found.rank == 100


def test_pure_noise_writes_nothing() -> None:
    a = noise((150, 100), 0, 10.0)
    assert between(of(a), of(a + noise((150, 100), 7))).outliers == 0


def test_too_small_a_matrix_has_no_count_but_a_reason() -> None:
    found = between(of(noise((8, 5), 0)), of(noise((8, 5), 1)))
    assert found.outliers is None
    assert "short side" in found.outliers_by


def test_a_change_of_a_zero_matrix_has_no_relative_size() -> None:
    found = between(of(np.zeros((20, 20))), of(np.eye(20)))
    assert found.relative_spectral is None
    assert found.relative_frobenius is None


def test_close_float32_weights_are_subtracted_exactly() -> None:
    a = noise((30, 30), 0).astype(np.float32)
    b = np.nextafter(a, np.float32(9))
    read = matrix(of(a), of(b)).read()
    assert isinstance(read, np.ndarray)
    np.testing.assert_array_equal(read.astype(np.float64), b.astype(np.float64) - a.astype(np.float64))


def factors(seed: int, scale: float = 0.5) -> Product:
    return Product(noise((30, 3), seed), noise((3, 20), seed + 9), scale)


def formed(product: Product) -> Array:
    return np.asarray(product.scale * product.left @ product.right)


def test_products_are_subtracted_without_forming_them() -> None:
    a, b = factors(0), factors(1, 2.0)
    assert isinstance(matrix(of(a, (30, 20)), of(b, (30, 20))).read(), Product)
    found = between(of(a, (30, 20)), of(b, (30, 20)))
    np.testing.assert_allclose(found.s, np.linalg.svd(formed(b) - formed(a), compute_uv=False)[:6], rtol=1e-10)
    assert found.rank == 6
    assert between(of(a, (30, 20)), of(factors(0), (30, 20))).identical


def test_a_product_and_what_it_makes_differ_by_rounding_only() -> None:
    a = factors(4)
    found = between(of(a, (30, 20)), of(formed(a)))
    assert found.rank == 0


def test_blocks_and_convolutions_are_subtracted_as_what_they_are() -> None:
    one, two = noise((4, 3 * 2), 0).reshape(4, 3, 2), noise((4, 3 * 2), 1).reshape(4, 3, 2)
    found = between(of(Blocks(one), (12, 8)), of(Blocks(two), (12, 8)))
    np.testing.assert_allclose(found.s[0], max(np.linalg.norm(b, 2) for b in two - one))
    kernels = [noise((4, 3 * 9), seed).reshape(4, 3, 3, 3) for seed in (0, 1)]
    a, b = (of(Convolution(kernel, (5, 5), (1, 1), (1, 1)), (100, 75)) for kernel in kernels)
    whole = of(Convolution(kernels[1] - kernels[0], (5, 5), (1, 1), (1, 1)), (100, 75))
    np.testing.assert_allclose(between(a, b).s, decompose(whole).s, rtol=1e-5)


def test_matrices_held_in_other_forms_are_refused() -> None:
    with pytest.raises(MatrixError, match="another form"):
        matrix(of(Blocks(np.ones((2, 2, 2))), (4, 4)), of(np.ones((4, 4)))).read()
    kernel = np.ones((1, 1, 3))
    with pytest.raises(MatrixError, match="another form"):
        matrix(of(Convolution(kernel, (4,), (1,), (1,)), (4, 4)), of(Convolution(kernel, (5,), (1,), (1,)), (4, 4))).read()
