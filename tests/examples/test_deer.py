"""The simulated traces of `examples/deer.py` are those of the physics that the script names."""

import numpy as np
import pytest
from scipy.integrate import quad

from example_cases import example

deer = example("deer")


def one(value):
    return np.array([[value]])


@pytest.mark.parametrize(
    ("t", "r", "value"),
    [(0.1, 2, -0.21081555773), (0.5, 3, 0.09721269649), (1, 3, 0.03655111521), (2, 5, -0.08569956592)],
)
def test_the_kernel_has_values_known_from_quadrature(t, r, value):
    frequency = 2 * np.pi * 52.04 / r**3
    slow = quad(lambda x: np.cos((1 - 3 * x * x) * frequency * t), 0, 1, epsabs=1e-13, limit=500)[0]
    assert deer.kernel(np.array([t]), np.array([r]))[0, 0] == pytest.approx(value, abs=1e-10)
    assert slow == pytest.approx(value, abs=1e-10)


def test_the_kernel_is_one_at_time_zero_bounded_and_quadratic_at_small_phases():
    kernel = deer.kernel(deer.times(), deer.distances())
    assert (kernel[0] == 1).all()
    assert np.abs(kernel).max() <= 1 + 1e-12
    phase = np.array([1e-3, 1e-2])
    t = phase / (2 * np.pi * 52.04)  # at a distance of 1 nm
    assert deer.kernel(t, np.array([1.0]))[:, 0] == pytest.approx(1 - 0.4 * phase**2, abs=1e-8)


@pytest.mark.parametrize(("phase", "error"), [(50.0, 2e-5), (200.0, 1e-6), (1000.0, 2e-8)])
def test_the_kernel_approaches_its_limit_at_large_phases(phase, error):
    limit = np.sqrt(np.pi / (12 * phase)) * np.cos(phase - np.pi / 4) + np.sin(2 * phase) / (6 * phase)
    t = phase / (2 * np.pi * 52.04)  # at a distance of 1 nm
    assert deer.kernel(np.array([t]), np.array([1.0]))[0, 0] == pytest.approx(limit, abs=error)


def test_the_kernel_on_the_grid_has_its_known_minimum_and_is_ill_conditioned():
    kernel = deer.kernel(deer.times(), deer.distances())
    assert kernel.min() == pytest.approx(-0.2201, abs=5e-5)
    s = np.linalg.svd(kernel, compute_uv=False)
    assert (s > 1e-3 * s[0]).sum() == 71


def test_a_powder_average_needs_nodes_that_resolve_its_phase():
    frequency = 2 * np.pi * 52.04 / deer.NEAR**3
    exact = deer.kernel(deer.times(), np.array([deer.NEAR]))[:, 0]
    for nodes, close in ((256, False), (512, True)):
        x, w = np.polynomial.legendre.leggauss(nodes)
        slow = np.cos((1 - 3 * ((x + 1) / 2) ** 2) * frequency * deer.times()[:, None]) @ (w / 2)
        assert (np.abs(slow - exact).max() < 1e-12) == close


def test_distances_run_from_four_steps_to_half_a_period():
    assert deer.distances()[[0, -1]] == pytest.approx([1.1775, 5.9265], abs=1e-4)
    step = deer.LAST / (deer.POINTS - 1)
    assert 52.04 / deer.NEAR**3 * 4 * step == pytest.approx(1)
    assert pytest.approx(0.5) == 52.04 / deer.FAR**3 * deer.LAST


def test_a_trace_of_one_distance_without_background_is_the_kernel():
    p = np.zeros((1, deer.POINTS))
    p[0, 100] = 1
    found = deer.traces(p, one(1.0), one(0.0), one(3.0))[0]
    assert found == pytest.approx(deer.kernel(deer.times(), deer.distances())[:, 100], abs=1e-6)  # single precision


def test_traces_begin_at_one_and_are_linear_in_the_distribution():
    rng = np.random.default_rng(0)
    p = deer.distributions(2, rng)
    both = np.vstack([p, p.mean(axis=0)])
    depth, rate, dimension = (np.full((3, 1), value) for value in (0.4, 0.3, 2.5))
    found = deer.traces(both, depth, rate, dimension)
    assert found[:, 0] == pytest.approx(np.ones(3), abs=1e-6)
    assert found[2] == pytest.approx(found[:2].mean(axis=0), abs=1e-6)


def test_an_unmodulated_trace_is_its_background():
    p = deer.distributions(1, np.random.default_rng(1))
    found = deer.traces(p, one(0.0), one(0.5), one(3.0))[0]
    assert found == pytest.approx(np.exp(-0.5 * deer.times()), abs=1e-7)


def test_distributions_sum_to_one_and_have_one_to_four_peaks():
    p = deer.distributions(300, np.random.default_rng(2))
    assert (p >= 0).all()
    assert p.sum(axis=1) == pytest.approx(np.ones(300))
    inner = (p[:, 1:-1] > p[:, :-2]) & (p[:, 1:-1] > p[:, 2:])
    assert set(inner.sum(axis=1)) <= {0, 1, 2, 3, 4}
    assert inner.sum(axis=1).max() >= 3


def test_samples_are_stretched_and_seeded():
    (inputs, targets), (again, _) = (deer.samples(50, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(inputs, again)
    assert (inputs.min(axis=1) == 0).all()
    assert (inputs.max(axis=1) == 1).all()
    assert targets.mean(axis=1) == pytest.approx(np.ones(50), rel=1e-5)
