"""decompose: the convention, the checks at the edge, degenerate groups."""

import ml_dtypes
import numpy as np
import pytest

from matrices_cases import as_matrix, orthogonal, planted
from modescope.errors import MatrixError, UsageError
from modescope.matrix import Blocks, Convolution, Product
from modescope.spectrum import Spectrum, decompose, signed
from tolerance import tol


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16], ids=str)
def test_modes_put_the_matrix_together_again(shape: tuple[int, int], dtype: str) -> None:
    a = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    found = decompose(as_matrix(a), vectors=True)
    assert found.u is not None
    assert found.vh is not None
    assert (found.u.shape, found.vh.shape) == ((shape[0], min(shape)), (min(shape), shape[1]))
    np.testing.assert_allclose((found.u * found.s) @ found.vh, a.astype(np.float64), atol=tol("float64", shape, found.s[0]) * 10)


def test_rows_of_vh_are_input_directions_and_columns_of_u_output_directions() -> None:
    a = np.random.default_rng(0).standard_normal((30, 50))
    found = decompose(as_matrix(a), vectors=True)
    assert found.u is not None
    assert found.vh is not None
    for i in range(30):
        np.testing.assert_allclose(a @ found.vh[i], found.s[i] * found.u[:, i], atol=1e-12)


def test_the_largest_entry_of_every_output_direction_is_positive() -> None:
    for shape in ((30, 50), (50, 30)):
        u = decompose(as_matrix(np.random.default_rng(1).standard_normal(shape)), vectors=True).u
        assert u is not None
        assert np.all(u[np.argmax(np.abs(u), axis=0), range(u.shape[1])] > 0)


def test_the_first_of_two_tied_entries_decides_the_sign() -> None:
    u, vh = signed(np.array([[-0.5], [0.5], [0.5], [-0.5]]), np.array([[1.0, 2.0]]))
    assert u[0, 0] == 0.5
    assert vh[0, 0] == -1.0


def test_values_are_invariant_under_rotation_and_transposition() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 70))
    s = decompose(as_matrix(a)).s
    np.testing.assert_allclose(decompose(as_matrix(a.T)).s, s, rtol=1e-12)
    np.testing.assert_allclose(decompose(as_matrix(orthogonal(rng, 40, 40) @ a @ orthogonal(rng, 70, 70))).s, s, rtol=1e-12)


def test_the_top_modes_are_the_first_of_all_modes() -> None:
    a = planted(np.linspace(10, 1, 100), (150, 100))
    full = decompose(as_matrix(a), vectors=True)
    for k in (3, 40):  # a Krylov method, and a cut of all modes
        top = decompose(as_matrix(a), vectors=True, k=k)
        assert not top.complete
        assert top.u is not None
        assert full.u is not None
        np.testing.assert_allclose(top.s, full.s[:k], rtol=1e-11)
        np.testing.assert_allclose(top.u, full.u[:, :k], atol=1e-9)


def test_near_equal_values_form_one_group() -> None:
    s = np.array([3.0, 2.0, 2.0 - 1e-9, 1.0])
    assert Spectrum(as_matrix(np.eye(4)), s).groups == ((0, 1), (1, 3), (3, 4))


def test_arrays_of_a_spectrum_cannot_be_written() -> None:
    found = decompose(as_matrix(np.eye(5)), vectors=True)
    for array in (found.s, found.u, found.vh):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("operand", "shape", "message"),
    [
        (np.array([[1.0, np.nan, np.inf]]), (1, 3), "2 of 3 entries are not finite"),
        (np.ones((3, 4)), (4, 3), r"expected shape \(4, 3\), read \(3, 4\). Stored transposed?"),
        (np.ones((0, 4)), (0, 4), "no entries"),
        (np.ones((3, 4), complex), (3, 4), "expected real floating-point entries"),
        (Product(np.ones((3, 2)), np.ones((3, 4))), (3, 4), "do not multiply"),
        (Product(np.full((3, 2), np.nan), np.ones((2, 4))), (3, 4), "6 of 6 entries are not finite"),
        (Blocks(np.full((2, 1, 3), np.inf)), (2, 6), "6 of 6 entries are not finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_matrices_are_named_with_tensor_and_view(operand: object, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(MatrixError, match=message) as caught:
        decompose(as_matrix(operand, name="h.3.attn.weight", view="q", shape=shape))
    assert str(caught.value).startswith("h.3.attn.weight (view 'q'): ")


def test_vectors_of_an_operator_are_refused_and_no_modes_are_a_usage_error() -> None:
    w = Convolution(np.ones((2, 2, 1, 1)), (4, 4), (1, 1), (1, 1))
    with pytest.raises(MatrixError, match="not offered"):
        decompose(as_matrix(w, shape=(32, 32)), vectors=True)
    with pytest.raises(UsageError, match="at least 1"):
        decompose(as_matrix(np.eye(3)), k=0)
