"""What is let through as real numbers, and which sizes are told that their squares leave float64."""

import ml_dtypes
import numpy as np
import pytest

from modescope.descrambling.finite import finite_matrix, real, squarable
from modescope.errors import UsageError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.bool_, ml_dtypes.bfloat16])
def test_every_real_dtype_becomes_float64_with_its_values(dtype) -> None:
    given = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    for found in (real(given, "x"), real(given.T, "x").T, finite_matrix(given, "x")):
        assert found.dtype == np.float64
        assert found.tolist() == [[0, 1, 1], [1, 0, 1]]


@pytest.mark.parametrize(
    "given", [np.ones(2, complex), np.array(["1"]), np.array([None]), np.zeros(2, "V4"), [[1.0, 2.0], [3.0]]], ids=str
)
def test_what_is_not_real_is_refused_by_name(given) -> None:
    for ask in (real, finite_matrix):
        with pytest.raises(UsageError, match=r"data: expected .*real numbers"):
            ask(given, "data")


def test_sizes_are_refused_before_their_squares_leave_float64() -> None:
    for size in (0.0, 1.01e-145, 1.0, 1e145):
        squarable(size, "data")
        assert np.isfinite(size * size * 1e15)
        assert (size * size > 0) == (size > 0)
    for size in (1e-146, 1e146, np.inf, 5e-324):
        with pytest.raises(UsageError, match=r"data: .*1e-145 to 1e145, got .*another unit"):
            squarable(size, "data")
