"""The smoothest rotation: the trace inequality, both routes to it, invariance under scrambles, and planted convolutions."""

from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import circulant

from modescope.descrambling import closed_form, operators
from modescope.descrambling.closed_form import Rotation, objective, smoothest, smoothest_of
from modescope.errors import UsageError
from rotation_cases import costs, haar, layer, waves, with_eigenvalues

NAMES = tuple(operators.OPERATORS)
EVERY = pytest.mark.parametrize("name", NAMES)


def routes(samples: np.ndarray, smoothness: operators.Smoothness, weight: np.ndarray | None = None) -> list[Rotation]:
    second = samples.T @ samples / len(samples)
    return [smoothest(second, smoothness, weight=weight), smoothest_of(samples, smoothness, weight=weight)]


@EVERY
@pytest.mark.parametrize(("m", "n"), [(1, 3), (2, 5), (7, 4), (12, 20), (13, 30)])
def test_the_least_value_is_the_sum_of_paired_eigenvalues_and_is_reached(name: str, m: int, n: int) -> None:
    weight, samples, second = layer(m, n, 300, 0)
    smoothness = operators.OPERATORS[name](m)
    d = smoothness.matrix()
    for found in routes(samples, smoothness, weight):
        scale = max(found.maximal, 1e-300)
        assert found.p.T @ found.p == pytest.approx(np.eye(m), abs=1e-12)
        assert found.p @ found.u == pytest.approx(smoothness.modes, abs=1e-12)
        slow = np.linalg.norm(d @ found.p @ samples.T) ** 2 / len(samples)
        assert found.optimal == pytest.approx(slow, rel=1e-12, abs=1e-14 * scale)
        assert found.optimal == pytest.approx(objective(found.p, second, smoothness), rel=1e-12, abs=1e-14 * scale)
        assert found.optimal == pytest.approx(float(smoothness.a @ found.b), rel=1e-14)
        worst = smoothness.modes @ found.u[:, ::-1].T
        assert found.maximal == pytest.approx(objective(worst, second, smoothness), rel=1e-12)
        assert found.p @ second @ found.p.T == pytest.approx(
            (smoothness.modes * found.b) @ smoothness.modes.T, abs=1e-12 * found.b[0]
        )
        assert np.linalg.svd(found.p @ weight, compute_uv=False) == pytest.approx(
            np.linalg.svd(weight, compute_uv=False), rel=1e-12
        )


@EVERY
def test_no_random_rotation_leaves_the_interval(name: str) -> None:
    _, _, second = layer(9, 12, 200, 1)
    smoothness = operators.OPERATORS[name](9)
    found = smoothest(second, smoothness)
    values = [objective(haar(9, seed), second, smoothness) for seed in range(1000)]
    assert found.optimal <= min(values)
    assert max(values) <= found.maximal


def test_all_pairings_lie_between_the_two_bounds_and_an_inner_rotation_costs_what_theory_says() -> None:
    a, b = np.array([0.0, 0.4, 1.1, 2.5, 2.9, 7.0]), np.array([9.0, 4.0, 3.5, 1.0, 0.2, 0.01])
    smoothness, second = costs(a), with_eigenvalues(b, 5)
    found = smoothest(second, smoothness)
    values = [float(a @ b[list(order)]) for order in permutations(range(6))]
    assert found.optimal == pytest.approx(min(values), rel=1e-12)
    assert found.maximal == pytest.approx(max(values), rel=1e-12)
    for i, j, theta in ((0, 1, 0.7), (1, 4, 0.2), (2, 5, 1.4)):
        turn = np.eye(6)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(theta), -np.sin(theta), np.sin(theta), np.cos(theta)
        moved = smoothness.modes @ turn @ found.u.T
        cost = (a[j] - a[i]) * (b[i] - b[j]) * np.sin(theta) ** 2
        assert objective(moved, second, smoothness) - found.optimal == pytest.approx(cost, rel=1e-9)


def test_the_modes_of_the_view_are_those_of_the_weight_on_white_inputs() -> None:
    weight = np.random.default_rng(0).standard_normal((10, 24))
    found = smoothest(weight @ weight.T, operators.forward_difference(10), weight=weight)
    _, s, vh = np.linalg.svd(weight, full_matrices=False)
    assert np.abs(found.smoothness.modes.T @ found.p @ weight) == pytest.approx(np.abs(s[:, None] * vh), abs=1e-10)


def test_the_modes_of_the_view_are_weighted_by_the_inputs() -> None:
    rng = np.random.default_rng(1)
    weight, root = rng.standard_normal((8, 14)), haar(14, 0) * np.linspace(1, 3, 14) @ haar(14, 0).T
    found = smoothest(weight @ root @ root @ weight.T, operators.forward_difference(8), weight=weight)
    _, s, vh = np.linalg.svd(weight @ root, full_matrices=False)
    expected = (s[:, None] * vh) @ np.linalg.inv(root)
    assert np.abs(found.smoothness.modes.T @ found.p @ weight) == pytest.approx(np.abs(expected), abs=1e-10)


@EVERY
@pytest.mark.parametrize("m", [11, 12])
def test_a_scrambled_layer_gives_the_same_picture(name: str, m: int) -> None:
    weight, samples, second = layer(m, 2 * m, 500, 2)
    smoothness, turn = operators.OPERATORS[name](m), haar(m, 8)
    before = routes(samples, smoothness, weight)
    after = [
        smoothest(turn @ second @ turn.T, smoothness, weight=turn @ weight),
        smoothest_of(samples @ turn.T, smoothness, weight=turn @ weight),
    ]
    for one, two in zip(before, after, strict=True):
        assert one.p @ weight == pytest.approx(two.p @ turn @ weight, abs=1e-10)
        assert one.optimal == pytest.approx(two.optimal, rel=1e-12, abs=1e-14)
    assert before[0].p @ weight == pytest.approx(before[1].p @ weight, abs=1e-10)


def test_without_the_gauge_the_picture_is_the_same_up_to_signs_only() -> None:
    weight, _, second = layer(12, 24, 500, 3)
    smoothness, turn = operators.forward_difference(12), haar(12, 1)
    one = smoothest(second, smoothness, gauge=False)
    two = smoothest(turn @ second @ turn.T, smoothness, gauge=False)
    first, other = (smoothness.modes.T @ view for view in (one.p @ weight, two.p @ turn @ weight))
    assert np.abs(first) == pytest.approx(np.abs(other), abs=1e-10)
    assert np.abs(first - other).max() > 0.1
    assert smoothest(second, smoothness).optimal == one.optimal


@pytest.mark.parametrize("kind", ["white", "few samples", "pairs", "dead neurons", "narrow"])
@pytest.mark.parametrize("name", ["forward", "fourier-second", "second"])
def test_ties_of_any_size_in_the_data_do_not_make_the_picture_arbitrary(kind: str, name: str) -> None:
    rng, m = np.random.default_rng(4), 12
    weight = rng.standard_normal((m, 30))
    if kind == "white":
        weight = haar(30, 2)[:m]
        second = weight @ weight.T
    elif kind == "few samples":
        samples = rng.standard_normal((5, 30)) @ weight.T
        second = samples.T @ samples
    elif kind == "pairs":
        second = with_eigenvalues(np.repeat([9.0, 4.0, 3.0, 2.0, 1.0, 0.5], 2), 6)
    elif kind == "dead neurons":
        weight[3:7] = 0
        second = weight @ weight.T
    else:
        weight = weight[:, :4]
        second = weight @ weight.T
    smoothness, turn = operators.OPERATORS[name](m), haar(m, 9)
    one = smoothest(second, smoothness, weight=weight)
    two = smoothest(turn @ second @ turn.T, smoothness, weight=turn @ weight)
    assert one.p @ weight == pytest.approx(two.p @ turn @ weight, abs=1e-10)
    assert objective(one.p, second, smoothness) == pytest.approx(one.optimal, rel=1e-12, abs=1e-13 * one.maximal)
    assert one.status != "ok"


def test_rotating_one_harmonic_costs_nothing_and_changes_the_picture() -> None:
    weight, _, second = layer(12, 24, 500, 5)
    smoothness = operators.fourier_second(12)
    found = smoothest(second, smoothness, weight=weight)
    turn = np.eye(12)
    turn[3:5, 3:5] = [[np.cos(0.9), -np.sin(0.9)], [np.sin(0.9), np.cos(0.9)]]
    moved = smoothness.modes @ turn @ found.u.T
    assert objective(moved, second, smoothness) == pytest.approx(found.optimal, rel=1e-12)
    assert np.linalg.norm((moved - found.p) @ weight) > 0.01 * np.linalg.norm(weight)


@pytest.mark.parametrize("m", [11, 12])
def test_harmonics_can_be_aligned_with_the_weight_instead_of_the_components(m: int) -> None:
    weight, _, second = layer(m, 20, 400, 6)
    smoothness, turn = operators.fourier_second(m), haar(m, 3)
    plain = smoothest(second, smoothness, weight=weight)
    found = closed_form.harmonics_aligned(plain, weight)
    assert objective(found.p, second, smoothness) == pytest.approx(found.optimal, rel=1e-12)
    rows = smoothness.modes.T @ found.p @ weight
    for start, stop in smoothness.ties:
        gram = rows[start:stop] @ rows[start:stop].T
        assert gram[0, 1] == pytest.approx(0, abs=1e-11)
        assert gram[0, 0] >= gram[1, 1]
    other = closed_form.harmonics_aligned(smoothest(turn @ second @ turn.T, smoothness, weight=turn @ weight), turn @ weight)
    assert other.p @ turn @ weight == pytest.approx(found.p @ weight, abs=1e-10)
    assert np.abs(found.p - plain.p).max() > 0.01


def test_few_samples_leave_what_was_seen_alone_and_are_counted() -> None:
    weight, samples, second = layer(12, 30, 5, 7)
    smoothness = operators.forward_difference(12)
    for found in routes(samples, smoothness, weight):
        assert found.rank == 5
        assert found.ties == ((5, 12),)
        assert "rank 5 of 12: components 6 to 12" in found.status
        rest = found.u.copy()
        rest[:, 5:] = rest[:, 5:] @ haar(7, 4)
        other = smoothness.modes @ rest.T
        assert other @ samples.T == pytest.approx(found.p @ samples.T, abs=1e-12 * np.abs(samples).max())
        assert np.abs((other - found.p) @ weight).max() > 0.1
        assert objective(other, second, smoothness) == pytest.approx(found.optimal, rel=1e-12)
    assert smoothest_of(samples, smoothness).status.startswith("5 samples for 12 neurons")
    full = smoothest_of(np.random.default_rng(0).standard_normal((12, 12)), smoothness)
    assert full.status == "ok"


def test_constant_data_have_one_component_and_none_once_centred() -> None:
    samples = np.tile([0.1, -2.0, 0.3, 5.0], (50, 1))
    smoothness = operators.forward_difference(4)
    found = smoothest_of(samples, smoothness)
    assert found.rank == 1
    assert found.p @ samples[0] == pytest.approx(np.full(4, (found.p @ samples[0])[0]))
    assert found.optimal == pytest.approx(0, abs=1e-12)
    assert "rank 1: they are constant" in found.status
    with pytest.raises(UsageError, match=r"\(50, 4\).*copies of one sample.*centred=False"):
        smoothest_of(samples, smoothness, centred=True)
    with pytest.raises(UsageError, match=r"B \(4, 4\) of zeros"):
        smoothest(np.zeros((4, 4)), smoothness)
    with pytest.raises(UsageError, match="zeros only"):
        smoothest_of(np.zeros((9, 4)), smoothness)


def test_centred_samples_have_the_covariance_as_second_moment() -> None:
    samples = layer(8, 10, 100, 8)[1] + 3.0
    smoothness = operators.forward_difference(8)
    one = smoothest_of(samples, smoothness, centred=True)
    two = smoothest(np.cov(samples.T, bias=True), smoothness)
    assert one.b == pytest.approx(two.b, rel=1e-10)
    assert one.p == pytest.approx(two.p, abs=1e-8)


def test_samples_keep_the_components_that_a_second_moment_loses() -> None:
    """Singular values 1 to 1e-10: squares go below the rounding of the largest from about 1e-8 on."""
    m = 64
    s, u = np.geomspace(1, 1e-10, m), haar(m, 0)
    samples = haar(200, 1)[:, :m] * s @ u.T
    smoothness = operators.forward_difference(m)
    rough, exact = routes(samples, smoothness)
    aligned = [np.abs((found.u * u).sum(axis=0)) for found in (rough, exact)]
    assert aligned[1].min() > 0.999
    assert aligned[0][:40].min() > 0.99
    assert aligned[0][56:].min() < 0.9
    assert exact.rank == m > rough.rank
    assert exact.b * 200 == pytest.approx(s**2, rel=1e-4)


def test_a_diagonal_gives_plain_principal_components_in_order() -> None:
    weight, _, second = layer(9, 12, 300, 9)
    found = smoothest(second, operators.diagonal(np.arange(9.0)), weight=weight)
    u = np.linalg.eigh(second)[1][:, ::-1]
    assert np.abs(found.p @ u) == pytest.approx(np.eye(9), abs=1e-12)


def test_every_rotation_is_optimal_for_the_identity() -> None:
    _, _, second = layer(9, 12, 300, 10)
    smoothness = operators.diagonal(np.ones(9))
    found = smoothest(second, smoothness)
    assert found.optimal == pytest.approx(np.trace(second), rel=1e-12)
    assert found.maximal == pytest.approx(np.trace(second), rel=1e-12)
    assert objective(haar(9, 0), second, smoothness) == pytest.approx(np.trace(second), rel=1e-12)


def test_sums_of_criteria_and_of_data_keep_the_closed_form() -> None:
    terms = [(1.0, operators.forward_difference(7)), (2.0, operators.second_difference(7))]
    one, two = layer(7, 9, 100, 11)[2], layer(7, 9, 100, 12)[2]
    found = smoothest(one + 0.5 * two, operators.combined(terms))
    split = sum(
        weight * share * objective(found.p, second, operator)
        for weight, operator in terms
        for share, second in ((1.0, one), (0.5, two))
    )
    assert found.optimal == pytest.approx(split, rel=1e-12)


def test_the_excess_of_a_finite_sample_falls_as_one_over_its_size() -> None:
    """Mean of 5 draws at 6 sizes; a mean of so few scatters by some tenth, which moves the slope by less than .1."""
    smoothness, rng = operators.forward_difference(12), np.random.default_rng(12)
    weight = rng.standard_normal((12, 30))
    second = weight @ weight.T
    optimal = smoothest(second, smoothness).optimal
    sizes = 400 * 2 ** np.arange(0, 7)
    excess = []
    for size in sizes:
        drawn = [smoothest_of(rng.standard_normal((size, 30)) @ weight.T, smoothness).p for _ in range(5)]
        excess.append(np.mean([objective(p, second, smoothness) for p in drawn]) / optimal - 1)
    slope = np.polyfit(np.log(sizes), np.log(excess), 1)[0]
    assert slope == pytest.approx(-1, abs=0.2)


def test_harmonics_of_a_convolution_are_sorted_by_power_into_those_of_the_operator() -> None:
    """A circulant layer on stationary inputs: descrambling is a permutation of frequencies, by gain times input power."""
    m = 16
    k = np.abs(np.fft.fftfreq(m, 1 / m))
    gain, power = 1.7 ** -np.abs(k - 3.0) + 0.05 * (k == 0), 1 / (1 + 0.2 * k)
    weight, c = circulant(np.fft.ifft(gain).real), circulant(np.fft.ifft(power).real)
    found = smoothest(weight @ c @ weight.T, operators.fourier_second(m), weight=weight)
    reached = (waves(m) @ found.p @ waves(m).T) ** 2  # output wave by input wave
    assert reached.sum(axis=1) == pytest.approx(np.ones(m))
    strength = gain**2 * power
    order = sorted(range(m // 2 + 1), key=lambda harmonic: -strength[harmonic])
    slots = [harmonic for harmonic in order for _ in range(1 if harmonic in {0, m // 2} else 2)]
    for row, harmonic in zip(reached, slots, strict=True):
        first = max(2 * harmonic - 1, 0)
        assert row[first : first + (1 if harmonic in {0, m // 2} else 2)].sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_scrambled_band_pass_is_recovered_in_the_order_of_its_gain(seed: int) -> None:
    m = 64
    f = np.abs(np.fft.fftfreq(m, 1 / m))
    band = circulant(np.fft.ifft(np.exp(-((f - 12.3) ** 2) / 72)).real)
    weight = haar(m, seed) @ band
    found = smoothest(weight @ weight.T, operators.fourier_second(m), weight=weight)
    view = found.p @ weight
    shares = (waves(m) @ view @ waves(m).T) ** 2
    harmonics = (np.arange(m) + 1) // 2
    table = np.array([[shares[harmonics == i][:, harmonics == j].sum() for j in range(33)] for i in range(6)])
    table /= table.sum(axis=1, keepdims=True)
    assert table[0, 12] > 0.99
    for row, pair in zip(table[1:], ((12, 13), (13, 11), (11, 14), (14, 10), (10, 15)), strict=True):
        assert row[list(pair)] == pytest.approx([0.5, 0.5], abs=0.02)
    concentration = [
        np.sort((np.abs(np.fft.fft2(w)) ** 2).ravel())[-2 * m :].sum() / (m * m * (w**2).sum()) for w in (weight, view)
    ]
    assert concentration[0] < 0.35
    assert concentration[1] > 0.9
    other = haar(m, 50 + seed) @ band
    again = smoothest(other @ other.T, operators.fourier_second(m), weight=other)
    assert again.optimal == pytest.approx(found.optimal, rel=1e-12)
    assert again.p @ other == pytest.approx(view, abs=1e-8)


def test_gaps_are_in_units_of_the_largest_eigenvalue() -> None:
    found = smoothest(with_eigenvalues(np.array([8.0, 4.0, 3.0, 1.0]), 0), operators.forward_difference(4))
    assert found.gaps == pytest.approx([0.5, 0.125, 0.25])
    assert found.b == pytest.approx([8, 4, 3, 1])
    assert not found.p.flags.writeable


def test_the_scale_of_the_data_moves_the_value_and_not_the_rotation() -> None:
    weight, _, second = layer(10, 20, 300, 13)
    one, two = (smoothest(scale * second, operators.forward_difference(10), weight=weight) for scale in (1.0, 1e-30))
    assert two.p == pytest.approx(one.p, abs=1e-12)
    assert two.optimal == pytest.approx(1e-30 * one.optimal, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda d: smoothest(np.ones((3, 4)), d), r"square second moment B.*\(3, 4\).*smoothest_of"),
        (lambda d: smoothest(np.array([[1.0, 2], [0, 1]]), operators.diagonal([1.0, 2])), r"symmetric.*\(2, 2\).*2 apart"),
        (lambda d: smoothest(np.diag([1.0, 1, np.nan]), d), r"B \(3, 3\) to be finite, got 1 of 9"),
        (lambda d: smoothest(np.diag([1.0, 1, -1]), d), "positive semidefinite.*-1 to 1"),
        (lambda d: smoothest(np.eye(4), d), "the 4 neurons.*forward difference for 3.*m = 4"),
        (lambda d: smoothest(np.eye(3), d, weight=np.ones((4, 3))), r"\(3, n\).*got \(4, 3\).*transpose"),
        (lambda d: smoothest(np.eye(3), d, weight=np.full((3, 2), np.inf)), r"weight \(3, 2\) to be finite, got 6 of 6"),
        (lambda d: smoothest_of(np.ones(3), d), r"\(N, m\).*got \(3,\)"),
        (lambda d: smoothest_of(np.ones((0, 3)), d), r"got \(0, 3\)"),
        (lambda d: smoothest_of(np.array([[1.0, np.nan, 0]]), d), r"samples \(1, 3\) to be finite, got 1 of 3"),
        (lambda d: smoothest_of(np.ones((5, 2)), d), "the 2 neurons.*for 3"),
        (lambda d: objective(np.eye(2), np.eye(3), d), r"P of shape \(3, 3\).*got \(2, 2\)"),
        (lambda d: objective(np.full((3, 3), np.nan), np.eye(3), d), "P .* to be finite"),
    ],
)
def test_what_does_not_fit_is_told_with_its_shape(call, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call(operators.forward_difference(3))


def test_a_scale_near_the_end_of_float64_moves_no_rotation_and_beyond_is_refused() -> None:
    weight, samples, second = layer(10, 20, 300, 13)
    smoothness = operators.fourier_second(10)
    plain = smoothest(second, smoothness, weight=weight)
    for scale in (1e-270, 1e270):
        found = smoothest(scale * second, smoothness, weight=weight)
        assert found.p == pytest.approx(plain.p, abs=1e-12)
        assert found.optimal == pytest.approx(scale * plain.optimal, rel=1e-12)
        assert found.gaps == pytest.approx(plain.gaps, rel=1e-10)
    for size in (1e-200, 1e-150, 1e150, 1e200):
        with pytest.raises(UsageError, match=r"samples \(300, 10\).*another unit"):
            smoothest_of(size * samples, smoothness)
    for size in (1e-310, 1e300):
        with pytest.raises(UsageError, match=r"second moment B \(10, 10\).*another unit"):
            smoothest(size * second, smoothness)
    with pytest.raises(UsageError, match=r"given matrix of the hidden data: .*another unit"):
        smoothest(1e200 * second, operators.of_matrix(1e100 * smoothness.matrix()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
def test_narrow_read_only_and_strided_input_is_what_its_values_are(dtype) -> None:
    rng = np.random.default_rng(14)
    samples, weight = (rng.integers(-9, 10, shape).astype(dtype) for shape in ((40, 6), (6, 9)))
    smoothness = operators.forward_difference(6)
    wide = np.float64(samples), np.float64(weight)
    plain = routes(wide[0], smoothness, wide[1])
    samples.flags.writeable = weight.flags.writeable = False
    odd = np.repeat(samples, 2, axis=0)[::2], np.asfortranarray(weight)
    for centred in (False, True):
        one, two = (smoothest_of(x, smoothness, weight=w, centred=centred) for x, w in (wide, odd))
        assert np.array_equal(one.p, two.p)
    second = np.asfortranarray(wide[0].T @ wide[0] / 40)[::-1, ::-1]
    second.flags.writeable = False
    found = smoothest(second[::-1, ::-1], smoothness, weight=weight)
    assert found.p == pytest.approx(plain[0].p, abs=1e-10)
    for call in (lambda: smoothest(second * 1j, smoothness), lambda: smoothest_of(samples * 1j, smoothness)):
        with pytest.raises(UsageError, match=r"expected real numbers, got .* of complex"):
            call()
    with pytest.raises(UsageError, match="weight: expected real numbers"):
        smoothest(second, smoothness, weight=weight * 1j)
    with pytest.raises(UsageError, match="P: expected real numbers"):
        objective(np.eye(6) * 1j, second, smoothness)


def test_what_is_as_small_as_the_negative_eigenvalues_is_no_component() -> None:
    """A second moment that was rounded in float32 has eigenvalues on both sides of 0."""
    found = smoothest(with_eigenvalues(np.array([4.0, 2, 1, 1e-9, -1.5e-9, -2e-9]), 0), operators.forward_difference(6))
    assert found.rank == 3
    assert found.b[4:].tolist() == [0, 0]
    assert found.ties == ((4, 6),)
    assert found.optimal >= 0
    assert "rank 3 of 6" in found.status
    assert smoothest(with_eigenvalues(np.array([4.0, 2, 1, 1e-9, 0.0]), 0), operators.forward_difference(5)).rank == 4


def test_rounding_that_is_not_symmetric_is_halved_on_both_sides() -> None:
    _, _, second = layer(8, 12, 100, 15)
    noise = np.random.default_rng(15).standard_normal((8, 8))
    smoothness = operators.forward_difference(8)
    one, two = (smoothest(second + 1e-8 * part, smoothness) for part in (noise - noise.T, (noise.T - noise)))
    assert one.b == pytest.approx(smoothest(second, smoothness).b, rel=1e-12)
    assert two.p == pytest.approx(one.p, abs=1e-12)
