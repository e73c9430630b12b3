"""Smoothness operators: spectra and modes against D itself, against their definitions, and what a wrong D is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from modescope.descrambling import operators
from modescope.errors import UsageError
from rotation_cases import haar, waves

SIZES = (1, 2, 3, 4, 5, 8, 16, 17, 24)
PRODUCT = pytest.mark.parametrize(("name", "m"), [(name, m) for name in operators.OPERATORS for m in SIZES])


def unequal(d: np.ndarray) -> list[int]:
    """Sizes of the groups of equal eigenvalues, by brute force from D."""
    s = np.sort(np.sqrt(np.maximum(np.linalg.eigvalsh(d.T @ d), 0)))
    return [len(part) for part in np.split(s, np.flatnonzero(np.diff(s) > 1e-6 * max(s[-1], 1e-300)) + 1)]


@PRODUCT
def test_modes_and_eigenvalues_decompose_the_square_of_d(name: str, m: int) -> None:
    found = operators.OPERATORS[name](m)
    d = found.matrix()
    top = max(found.a[-1], 1e-3)
    assert found.size == m
    assert (found.modes * found.a) @ found.modes.T == pytest.approx(d.T @ d, abs=1e-13 * m * top)
    assert found.modes.T @ found.modes == pytest.approx(np.eye(m), abs=1e-14 * m)
    assert (np.diff(found.a) >= 0).all()
    assert not found.modes.flags.writeable


@PRODUCT
def test_ties_are_exactly_the_groups_of_equal_eigenvalues(name: str, m: int) -> None:
    found = operators.OPERATORS[name](m)
    sizes = unequal(found.matrix())
    ends = np.cumsum(sizes)
    assert found.ties == tuple((int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True) if size > 1)
    assert all(np.ptp(found.a[start:stop]) == 0 or np.ptp(found.a[start:stop]) < 1e-15 * found.a[-1] for start, stop in found.ties)


@PRODUCT
def test_the_fast_transform_is_the_product_with_the_modes(name: str, m: int) -> None:
    found = operators.OPERATORS[name](m)
    x = np.random.default_rng(m).standard_normal((m, 4))
    assert found.compose(x) == pytest.approx(found.modes @ x, abs=1e-13)


@pytest.mark.parametrize("m", SIZES)
def test_the_forward_difference_has_the_modes_of_the_dct_without_ties(m: int) -> None:
    found = operators.forward_difference(m)
    assert found.modes == pytest.approx(dct(np.eye(m), type=2, norm="ortho", axis=0).T, abs=1e-13)
    assert (found.modes[0] > 0).all()
    assert found.matrix() @ np.arange(m) == pytest.approx(np.ones(m - 1))
    assert found.ties == ()
    assert found.a == pytest.approx(4 * np.sin(np.pi * np.arange(m) / (2 * m)) ** 2)


@pytest.mark.parametrize("m", SIZES[3:])
@pytest.mark.parametrize("make", [operators.periodic_difference, operators.fourier_second])
def test_rings_have_real_fourier_modes_in_canonical_order(make, m: int) -> None:
    found = make(m)
    assert found.modes == pytest.approx(waves(m).T, abs=1e-13)
    assert len(found.ties) == (m - 1) // 2
    assert all(stop - start == 2 for start, stop in found.ties)


def test_the_second_fourier_derivative_has_its_known_entries_and_spectrum() -> None:
    even, odd = operators.fourier_second(16), operators.fourier_second(17)
    assert even.matrix()[0, 0] == pytest.approx(-21.5, abs=1e-10)
    assert odd.matrix()[0, 0] == pytest.approx(-24.0, abs=1e-10)
    h = 2 * np.pi / 16
    assert even.matrix()[0, 0] == pytest.approx(-(np.pi**2) / (3 * h**2) - 1 / 6, rel=1e-12)
    powers = [k**4 for k in range(1, 8) for _ in range(2)]
    assert even.a.tolist() == [0, *powers, 8**4]
    assert even.matrix() == pytest.approx(even.matrix().T, abs=1e-12)
    assert np.roll(even.matrix(), (1, 1), axis=(0, 1)) == pytest.approx(even.matrix(), abs=1e-12)


@pytest.mark.parametrize("m", [9, 16])
def test_fourier_derivatives_differentiate_trigonometric_polynomials_exactly(m: int) -> None:
    x = 2 * np.pi * np.arange(m) / m
    first, second = operators.fourier_first(m).matrix(), operators.fourier_second(m).matrix()
    for k in range(1, (m - 1) // 2 + 1):
        assert first @ np.sin(k * x) == pytest.approx(k * np.cos(k * x), abs=1e-11)
        assert first @ np.cos(k * x) == pytest.approx(-k * np.sin(k * x), abs=1e-11)
        assert second @ np.sin(k * x) == pytest.approx(-k * k * np.sin(k * x), abs=1e-10)


def test_the_alternating_signal_is_free_for_the_first_fourier_derivative_of_even_size_only() -> None:
    even, odd = operators.fourier_first(12), operators.fourier_first(11)
    assert (even.nullity, odd.nullity) == (2, 1)
    assert even.modes[:, 1] * np.sqrt(12) == pytest.approx((-1.0) ** np.arange(12))
    assert "alternating" in even.note
    assert "alternating" not in odd.note


@pytest.mark.parametrize("m", [7, 8, 11, 12])
def test_central_differences_fold_and_say_so(m: int) -> None:
    found = operators.central_difference(m)
    d = found.matrix()
    i = np.arange(m)
    assert d[i, (i + 1) % m] == pytest.approx(np.full(m, 0.5 / m))
    assert d[i, i - 1] == pytest.approx(np.full(m, -0.5 / m))
    assert found.nullity == 2 - m % 2
    if m % 2:
        power = np.abs(np.fft.rfft(found.modes[:, 1])) ** 2
        assert power.argmax() == (m - 1) // 2
    else:
        assert found.modes[:, 1] * np.sqrt(m) == pytest.approx((-1.0) ** i)
    assert "forward difference" in found.note


@pytest.mark.parametrize("m", [3, 12, 64, 1024])
def test_constant_and_linear_signals_alone_are_free_for_the_interior_second_difference(m: int) -> None:
    found = operators.second_difference(m)
    assert (found.nullity, found.ties) == (2, ((0, 2),))
    line = np.linspace(1, -1, m)
    assert found.modes[:, 0] == pytest.approx(np.full(m, m**-0.5), abs=1e-9)
    assert found.modes[:, 1] == pytest.approx(line / np.linalg.norm(line), abs=1e-9)
    if m == 1024:  # a free beam: the first bending mode has the root 4.7300 of cos x cosh x = 1
        assert found.a[2] == pytest.approx((4.7300407 / m) ** 4, rel=0.02)


def test_a_diagonal_orders_the_neurons_by_their_price() -> None:
    found = operators.diagonal([3.0, -1.0, 0.0, 2.0])
    assert found.a.tolist() == [0, 1, 4, 9]
    assert found.modes.argmax(axis=0).tolist() == [2, 1, 3, 0]
    assert found.ties == ()
    assert operators.diagonal([2.0, 1.0, -2.0]).ties == ((1, 3),)
    assert operators.diagonal(np.ones(5)).ties == ((0, 5),)
    assert "every rotation is optimal" in operators.diagonal(np.ones(5)).note


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 6), (3, 4), (4, 4), (5, 5), (8, 6)])
def test_a_grid_is_the_laplacian_of_its_graph(rows: int, columns: int) -> None:
    found = operators.grid(rows, columns)
    laplacian = np.zeros((rows * columns, rows * columns))
    for i in range(rows):
        for j in range(columns):
            for down, right in ((i + 1, j), (i, j + 1)):
                if down < rows and right < columns:
                    edge = np.zeros(rows * columns)
                    edge[i * columns + j], edge[down * columns + right] = 1, -1
                    laplacian += np.outer(edge, edge)
    assert found.matrix().T @ found.matrix() == pytest.approx(laplacian, abs=1e-13)
    assert (found.modes * found.a) @ found.modes.T == pytest.approx(laplacian, abs=1e-12)
    sizes = unequal(found.matrix())
    assert [stop - start for start, stop in found.ties] == [size for size in sizes if size > 1]
    x = np.random.default_rng(0).standard_normal((rows * columns, 3))
    assert found.compose(x) == pytest.approx(found.modes @ x, abs=1e-13)


def test_a_flat_grid_is_the_forward_difference() -> None:
    assert operators.grid(1, 9).modes == pytest.approx(operators.forward_difference(9).modes, abs=1e-14)
    assert operators.grid(9, 1).a == pytest.approx(operators.forward_difference(9).a)


@pytest.mark.parametrize("m", [6, 13, 32])
def test_a_matrix_of_ones_own_is_recognised_by_its_modes(m: int) -> None:
    known = operators.forward_difference(m)
    found = operators.of_matrix(known.matrix())
    assert found.modes == pytest.approx(known.modes, abs=1e-11)
    assert found.a == pytest.approx(known.a, abs=1e-13)
    assert (found.name, found.note) == ("given matrix", "")


@pytest.mark.parametrize("name", ["periodic", "central", "fourier-second", "second"])
def test_computed_modes_depend_on_the_criterion_only_even_where_they_tie(name: str) -> None:
    """`Q D` with orthogonal Q is the same criterion, and the decomposition meets another matrix."""
    d = operators.OPERATORS[name](12).matrix()
    one, two = operators.of_matrix(d), operators.of_matrix(haar(d.shape[0], 3) @ d)
    assert one.ties == two.ties == operators.OPERATORS[name](12).ties
    assert one.modes == pytest.approx(two.modes, abs=1e-9)
    assert "ordered by convention" in one.note


@given(rows=st.integers(1, 12), m=st.integers(1, 9), rank=st.integers(1, 9), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_any_matrix_is_decomposed_with_its_null_space(rows: int, m: int, rank: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank = min(rank, rows, m)
    d = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, m))
    found = operators.of_matrix(d)
    assert found.nullity == m - rank
    assert (found.modes * found.a) @ found.modes.T == pytest.approx(d.T @ d, abs=1e-9 * found.a[-1])
    assert found.modes.T @ found.modes == pytest.approx(np.eye(m), abs=1e-12)


def test_a_weighted_sum_of_criteria_adds_their_squares() -> None:
    terms = [(1.0, operators.forward_difference(10)), (0.3, operators.second_difference(10))]
    found = operators.combined(terms)
    a = sum(weight * operator.matrix().T @ operator.matrix() for weight, operator in terms)
    assert (found.modes * found.a) @ found.modes.T == pytest.approx(a, abs=1e-12)
    assert found.name == "1 forward difference + 0.3 second difference"


def test_a_matrix_given_is_copied() -> None:
    d = np.eye(3)
    found = operators.of_matrix(d)
    d[:] = 7
    assert found.matrix().tolist() == np.eye(3).tolist()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: operators.forward_difference(0), "at least 1 neuron, got 0"),
        (lambda: operators.fourier_second(-2), "at least 1 neuron, got -2"),
        (lambda: operators.grid(3, 0), "at least 1 neuron, got 0"),
        (lambda: operators.of_matrix(np.ones(3)), r"shape \(rows, m\), got \(3,\)"),
        (lambda: operators.of_matrix(np.ones((3, 0))), r"got \(3, 0\)"),
        (lambda: operators.of_matrix([[1.0, np.nan]]), "1 of 2 entries"),
        (lambda: operators.diagonal([[1.0]]), r"shape \(m,\), got \(1, 1\)"),
        (lambda: operators.diagonal([1.0, np.inf]), "1 of 2 entries"),
        (lambda: operators.of_matrix(1e200 * np.eye(3)), r"D \(3, 3\): .*another unit"),
        (lambda: operators.of_matrix(1e-200 * np.eye(3)), r"D \(3, 3\): .*another unit"),
        (lambda: operators.diagonal([1e-200, 0.0]), r"the diagonal \(2,\): .*another unit"),
        (lambda: operators.of_matrix(np.eye(3) * 1j), "D: expected real numbers"),
        (lambda: operators.combined([]), "got none"),
        (lambda: operators.combined([(1, operators.diagonal([1.0])), (1, operators.diagonal([1.0, 2.0]))]), r"got \[1, 2\]"),
        (lambda: operators.combined([(-1.0, operators.diagonal([1.0]))]), "positive and finite"),
    ],
)
def test_what_is_no_operator_is_refused_in_words(make, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make()
