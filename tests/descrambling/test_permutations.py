"""Orders of neurons: paths and round trips, exact against brute force, heuristics between the bounds, planted orders found."""

from itertools import pairwise, permutations

import numpy as np
import pytest

from modescope.descrambling import operators
from modescope.descrambling import permutations as orders
from modescope.descrambling.closed_form import smoothest
from modescope.errors import UsageError

PATHLIKE = [operators.forward_difference, operators.periodic_difference]
GENERAL = [operators.fourier_second, operators.second_difference, operators.fourier_first]
EVERY = pytest.mark.parametrize("operator", [*PATHLIKE, *GENERAL])


def hidden(m: int, seed: int = 0, count: int = 60) -> np.ndarray:
    """(count, m) outputs of a ReLU layer on white data, one sample per row."""
    rng = np.random.default_rng([m, seed])
    return np.maximum(rng.standard_normal((count, m + 4)) @ rng.standard_normal((m + 4, m)), 0)


def cost(d: np.ndarray, samples: np.ndarray, order: np.ndarray) -> float:
    """By the definition: differences of the signals in their new order."""
    return float(np.linalg.norm(d @ samples[:, order].T) ** 2)


def brute(d: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Values of all orders."""
    return np.array([cost(d, samples, np.array(order)) for order in permutations(range(samples.shape[1]))])


def shifted_bumps(m: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(200, m) neurons that respond to places along a line, and the order in which they were before they were mixed."""
    centres = np.linspace(0, 1, m)
    samples = np.exp(-((np.linspace(-0.2, 1.2, 200)[:, None] - centres) ** 2) / 0.02)
    mixed = rng.permutation(m)
    return samples[:, mixed], np.argsort(mixed)


@EVERY
@pytest.mark.parametrize("m", [2, 3, 6])
def test_the_value_is_that_of_the_definition_and_no_order_is_smoother(operator, m: int) -> None:
    samples = hidden(m)
    d = operator(m).matrix()
    found = orders.smoothest_order(samples.T @ samples, operator(m))
    every = brute(d, samples)
    scale = every.max()
    assert found.exact
    assert np.array_equal(np.sort(found.order), np.arange(m))
    assert found.value == pytest.approx(cost(d, samples, found.order), rel=1e-12, abs=1e-12 * scale)
    assert found.value == pytest.approx(np.linalg.norm(d @ found.p @ samples.T) ** 2, rel=1e-12, abs=1e-12 * scale)
    assert found.value == pytest.approx(every.min(), rel=1e-12, abs=1e-12 * scale)
    assert found.identity == pytest.approx(every[0], rel=1e-12, abs=1e-12 * scale)
    assert found.random_mean == pytest.approx(every.mean(), rel=1e-12, abs=1e-12 * scale)
    assert found.bound == found.value
    assert found.gap == 0
    assert found.rotation <= found.value * (1 + 1e-12) + 1e-12 * scale


@pytest.mark.parametrize("operator", PATHLIKE)
def test_trace_form_equals_the_length_of_the_path_through_squared_distances(operator) -> None:
    samples, m = hidden(9), 9
    far = orders.distances(samples.T @ samples)
    slow = ((samples.T[:, None] - samples.T) ** 2).sum(2)
    assert far == pytest.approx(slow, rel=1e-11, abs=1e-9)
    order = np.random.default_rng(0).permutation(m)
    d = operator(m).matrix()
    steps = [far[a, b] for a, b in pairwise(order)]
    if operator is operators.periodic_difference:
        steps.append(far[order[-1], order[0]])
    assert sum(steps) == pytest.approx(cost(d, samples, order), rel=1e-12)


@pytest.mark.parametrize("operator", PATHLIKE)
@pytest.mark.parametrize("m", [4, 7, 8])
def test_held_karp_is_brute_force(operator, m: int) -> None:
    """Exact at 8 neurons; both the path and the ring."""
    samples = hidden(m, seed=m)
    found = orders.smoothest_order(samples.T @ samples, operator(m))
    assert found.origin == "Held-Karp"
    a = operator(m).matrix()
    every = orders.enumerated(a.T @ a, samples.T @ samples)
    assert found.value == pytest.approx(cost(a, samples, every), rel=1e-12)


@pytest.mark.parametrize("operator", PATHLIKE)
@pytest.mark.parametrize("m", [12, 13])
def test_heuristics_lie_between_the_exact_order_and_all_bounds_below_it(operator, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = hidden(m, seed=1)
    second = samples.T @ samples
    exact = orders.smoothest_order(second, operator(m))
    assert exact.exact
    rotation = smoothest(second, operator(m)).optimal
    assert exact.rotation == pytest.approx(rotation, rel=1e-10)
    monkeypatch.setattr(orders, "PATHS", 3)
    found = orders.smoothest_order(second, operator(m))
    assert set(found.tried) >= {"as it is", "Umeyama", "nearest to the rotation", "Fiedler", "first component", "FAQ", "2-opt"}
    assert all(value >= exact.value * (1 - 1e-12) for value in found.tried.values())
    assert found.value == pytest.approx(min(found.tried.values()), rel=1e-11)
    assert found.value == pytest.approx(exact.value, rel=1e-9)
    assert rotation * (1 - 1e-12) <= found.bound <= exact.value * (1 + 1e-12)
    assert found.identity >= found.value


@EVERY
@pytest.mark.parametrize("m", [10, 20, 30])
def test_every_attempt_beats_the_mean_of_all_orders_and_stays_above_the_bounds(operator, m: int) -> None:
    samples = hidden(m, seed=2)
    found = orders.smoothest_order(samples.T @ samples, operator(m), kicks=20)
    assert found.rotation <= found.bound <= min(found.tried.values()) * (1 + 1e-12)
    assert max(found.tried.values()) < found.random_mean
    assert found.gap == pytest.approx(found.value / found.bound - 1, abs=1e-12)
    assert found.exact == (found.gap == 0)


@pytest.mark.parametrize("operator", [operators.forward_difference, operators.second_difference])
@pytest.mark.parametrize("m", [8, 40, 120])
def test_a_planted_order_along_a_line_is_found_again(operator, m: int) -> None:
    """Bumps along a line, mixed: the order comes back, in one direction or the other."""
    samples, planted = shifted_bumps(m, np.random.default_rng(m))
    found = orders.smoothest_order(samples.T @ samples, operator(m))
    assert found.order.tolist() in (planted.tolist(), planted[::-1].tolist())


def test_a_planted_ring_is_found_again() -> None:
    m = 50
    mixed = np.random.default_rng(0).permutation(m)
    angles = 2 * np.pi * mixed / m
    times = np.linspace(0, 2 * np.pi, 150, endpoint=False)[:, None]
    samples = np.exp(4 * np.cos(times - angles))
    found = orders.smoothest_order(samples.T @ samples, operators.periodic_difference(m))
    steps = np.diff(mixed[found.order]) % m
    assert set(steps.tolist()) in ({1}, {m - 1})
    assert found.exact
    assert "proven" in found.status


@pytest.mark.parametrize("operator", PATHLIKE)
def test_the_order_does_not_depend_on_how_the_neurons_were_numbered(operator) -> None:
    """Mixed neurons come out in the same order: W and a permuted W give one picture."""
    samples = hidden(11, seed=3)
    first = orders.smoothest_order(samples.T @ samples, operator(11))
    mixed = np.random.default_rng(1).permutation(11)
    other = orders.smoothest_order(samples[:, mixed].T @ samples[:, mixed], operator(11))
    assert np.array_equal(samples[:, first.order], samples[:, mixed][:, other.order])
    assert other.value == pytest.approx(first.value, rel=1e-12)


def test_a_diagonal_operator_sorts_the_neurons_by_power_at_any_size() -> None:
    samples = hidden(40)
    prices = np.random.default_rng(0).random(40) + 0.1
    found = orders.smoothest_order(samples.T @ samples, operators.diagonal(prices))
    power = (samples**2).sum(0)
    assert found.exact
    assert found.value == pytest.approx(np.sort(prices**2) @ np.sort(power)[::-1], rel=1e-12)


@pytest.mark.parametrize("m", [6, 15])
def test_gains_of_exchanges_are_differences_of_values_and_none_is_left_at_the_end(m: int) -> None:
    rng = np.random.default_rng(m)
    a, b = (x @ x.T for x in rng.standard_normal((2, m, m)))

    def value(order: np.ndarray) -> float:
        return float(np.sum(a * b[np.ix_(order, order)]))

    start = rng.permutation(m)
    end = orders.exchanged(a, b, start)
    assert value(end) <= value(start)
    for order, least in ((start, -np.inf), (end, -1e-9)):
        c = b[np.ix_(order, order)]
        for r in range(m):
            gains = orders._exchange(a, c, a @ c, np.diag(a), r)
            for s in range(m):
                other = order.copy()
                other[[r, s]] = other[[s, r]]
                assert gains[s] == pytest.approx(value(other) - value(order), abs=1e-9 * abs(value(order)))
            assert gains.min() >= least * abs(value(order))


@pytest.mark.parametrize(("n", "seed"), [(5, 0), (30, 0), (30, 1), *((12, seed) for seed in range(8))])
def test_a_polished_trip_has_no_better_reversal_and_no_better_move(n: int, seed: int) -> None:
    """Against all reversals and all moves of up to three stops, by their definition."""
    rng = np.random.default_rng([n, seed])
    points = rng.standard_normal((n, 3))
    far = ((points[:, None] - points) ** 2).sum(2)
    trip = orders.shortened(far, rng.permutation(n))
    assert np.array_equal(np.sort(trip), np.arange(n))

    def length(stops: np.ndarray) -> float:
        return float(far[stops, np.roll(stops, -1)].sum())

    best = length(trip) * (1 - 1e-9)
    for i in range(n):
        turned = np.roll(trip, -i)
        for j in range(2, n):
            assert length(np.concatenate([turned[:j][::-1], turned[j:]])) >= best
        for size in (1, 2, 3):
            piece, rest = turned[:size], turned[size:]
            for at in range(len(rest) + 1):
                for put in (piece, piece[::-1]):
                    assert length(np.concatenate([rest[:at], put, rest[at:]])) >= best


@pytest.mark.parametrize("n", [4, 7, 9])
def test_the_bound_by_trees_is_below_the_shortest_trip_and_near_it(n: int) -> None:
    rng = np.random.default_rng(n)
    points = rng.standard_normal((n, 2))
    far = np.sqrt(((points[:, None] - points) ** 2).sum(2))
    exact = orders.held_karp(far)
    shortest = float(far[exact, np.roll(exact, -1)].sum())
    slow = min(sum(far[t[i - 1], t[i]] for i in range(n)) for t in ((0, *rest) for rest in permutations(range(1, n))))
    assert shortest == pytest.approx(slow, rel=1e-12)
    for steps in (1, 5, 150):
        assert orders.tree_bound(far, shortest * 1.1, steps=steps) <= shortest * (1 + 1e-12)
    assert orders.tree_bound(far, shortest) > 0.9 * shortest


def test_the_projected_bound_is_above_that_of_all_rotations_where_the_data_have_a_mean() -> None:
    samples = hidden(14) + 3
    found = orders.smoothest_order(samples.T @ samples, operators.fourier_second(14), kicks=0)
    assert found.bound > found.rotation * 1.01
    assert found.value >= found.bound


@EVERY
def test_both_spectral_bounds_are_below_every_order(operator) -> None:
    """By themselves, as an order that meets them counts as proven."""
    samples, smoothness = hidden(6, seed=4) + 1, operator(6)
    d = smoothness.matrix()
    second = samples.T @ samples
    rotation, bound = orders._bounds(orders._posed(second, smoothness), smoothness)
    assert rotation == pytest.approx(smoothest(second, smoothness).optimal, rel=1e-10)
    assert rotation <= bound * (1 + 1e-12)
    assert bound < brute(d, samples).min()


def test_orders_depend_on_the_seed_alone() -> None:
    samples = hidden(24)
    for operator in (operators.forward_difference, operators.fourier_second):
        one, two = (orders.smoothest_order(samples.T @ samples, operator(24), seed=3) for _ in range(2))
        assert np.array_equal(one.order, two.order)
        assert one.tried == two.tried


def test_channels_of_a_convolution_are_neurons_over_samples_and_positions() -> None:
    """Channels first, then samples and positions as rows: the planted order of 20 channels comes back."""
    samples, planted = shifted_bumps(20, np.random.default_rng(5))
    channels = samples.T.reshape(20, 8, 5, 5).swapaxes(0, 1)  # (samples, channels, height, width)
    rows = channels.transpose(0, 2, 3, 1).reshape(-1, 20)
    found = orders.smoothest_order(rows.T @ rows, operators.forward_difference(20))
    assert found.order.tolist() in (planted.tolist(), planted[::-1].tolist())


@pytest.mark.parametrize("operator", [operators.forward_difference, operators.fourier_second])
def test_degenerate_data_give_an_order_and_no_failure(operator) -> None:
    for second in (np.zeros((20, 20)), np.ones((20, 20)), np.eye(20)):
        found = orders.smoothest_order(second, operator(20), kicks=5)
        assert np.array_equal(np.sort(found.order), np.arange(20))
        assert found.value == pytest.approx(found.identity, abs=1e-6)
    for m in (1, 2):
        assert orders.smoothest_order(np.eye(m), operator(m)).exact


def test_bad_input_is_refused_with_its_shape() -> None:
    with pytest.raises(UsageError, match=r"expected 5 rows and columns for forward difference, got \(4, 4\)"):
        orders.smoothest_order(np.eye(4), operators.forward_difference(5))
    with pytest.raises(UsageError, match="not finite"):
        orders.smoothest_order(np.full((4, 4), np.nan), operators.forward_difference(4))
    with pytest.raises(UsageError, match="kicks: expected 0 or more, got -1"):
        orders.smoothest_order(np.eye(4), operators.forward_difference(4), kicks=-1)


@pytest.mark.parametrize("kind", ["free", "regular", "own"])
def test_the_projected_bound_holds_for_any_matrix_and_is_the_closer_one_with_a_mean(kind: str) -> None:
    """Criteria that do not see constants, that have them as a mode of their own, and that mix them with others."""
    rng = np.random.default_rng(0)
    d = {"free": np.diff(np.eye(6), axis=0), "regular": np.eye(6) + np.roll(np.eye(6), 1, 0), "own": rng.standard_normal((4, 6))}[
        kind
    ]
    smoothness = operators.of_matrix(d)
    for mean in (0.0, 1.0, 20.0):
        samples = hidden(6, seed=7) + mean
        second = samples.T @ samples
        rotation, bound = orders._bounds(orders._posed(second, smoothness), smoothness)
        least = brute(d, samples).min()
        assert rotation <= bound * (1 + 1e-12)
        assert bound <= least * (1 + 1e-12)
        if mean == 20:
            assert bound - rotation > 0.1 * (least - rotation)


def test_what_is_no_second_moment_is_refused_as_its_bounds_would_prove_what_is_wrong() -> None:
    drawn = np.random.default_rng(0).standard_normal((20, 20))
    for second in (-np.eye(20), drawn + drawn.T):
        for operator in (operators.forward_difference, operators.fourier_second):
            with pytest.raises(UsageError, match=r"positive semidefinite one, got \(20, 20\) with eigenvalues from -"):
                orders.smoothest_order(second, operator(20))
    with pytest.raises(UsageError, match=r"second moment \(4, 4\), its root: .*another unit"):
        orders.smoothest_order(1e300 * np.eye(4), operators.forward_difference(4))


def test_rounding_below_zero_is_no_reason_to_refuse() -> None:
    samples = hidden(12)[:5]
    second = (samples.T @ samples).astype(np.float32)
    assert np.linalg.eigvalsh(np.float64(second))[0] < 0
    found = orders.smoothest_order(second, operators.fourier_second(12), kicks=0)
    assert found.rotation <= found.bound <= found.value


def test_the_bound_by_an_assignment_is_below_every_order_and_helps_where_spectra_do_not() -> None:
    for operator in GENERAL:
        samples = hidden(6, seed=8) + 1
        a, second = operator(6).matrix().T @ operator(6).matrix(), samples.T @ samples
        least = brute(operator(6).matrix(), samples).min()
        for b in (second, orders._centred(second)):
            assert orders.assignment_bound(a, b) <= least * (1 + 1e-12)
    power, prices = np.array([5.0, 1, 3]), np.array([2.0, 7, 4])
    assert orders.assignment_bound(np.diag(prices), np.diag(power)) == pytest.approx(2 * 5 + 4 * 3 + 7 * 1)
    samples, smoothness = hidden(30), operators.second_difference(30)
    found = orders.smoothest_order(samples.T @ samples, smoothness, kicks=0)
    spectral = orders._bounds(orders._posed(samples.T @ samples, smoothness), smoothness)[1]
    assert spectral * 1.1 < found.bound <= found.value


@pytest.mark.parametrize("operator", [*PATHLIKE, operators.second_difference])
@pytest.mark.parametrize("size", [1e-20, 1e20])
def test_the_scale_of_the_data_moves_no_order_and_no_gap(operator, size: float) -> None:
    samples = hidden(18, seed=6)
    one, two = (orders.smoothest_order(factor * samples.T @ samples, operator(18), kicks=3) for factor in (1.0, size))
    assert np.array_equal(one.order, two.order)
    assert two.value == pytest.approx(size * one.value, rel=1e-12)
    assert two.bound == pytest.approx(size * one.bound, rel=1e-9)
    assert two.gap == pytest.approx(one.gap, rel=1e-6)


@pytest.mark.parametrize("operator", [operators.forward_difference, operators.fourier_second])
def test_kicks_improve_on_every_polished_start_where_many_orders_are_nearly_as_good(operator) -> None:
    samples = hidden(40, seed=1)
    found = orders.smoothest_order(samples.T @ samples, operator(40), kicks=60)
    assert found.value == pytest.approx(found.tried["kicks"], rel=1e-12)
    assert found.value < 0.999 * min(value for name, value in found.tried.items() if name != "kicks")
    assert found.origin.endswith(", kicks")


def test_the_bound_by_an_assignment_keeps_what_an_operator_sees_of_constants() -> None:
    """Prices of single neurons, and a trace of their neighbours: all but a diagonal, for which an assignment is exact."""
    samples = hidden(12) + 1
    d = np.diag(np.linspace(1, 2, 12)) + 1e-5 * np.eye(12, k=1)
    found = orders.smoothest_order(samples.T @ samples, operators.of_matrix(d), kicks=0)
    assert 0 <= found.gap < 1e-3
