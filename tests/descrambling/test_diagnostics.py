"""Where a rotation stands: laws of random rotations by sampling, planted means and planted ridges."""

import math

import numpy as np
import pytest
from scipy.linalg import circulant

from modescope.descrambling import diagnostics, operators
from modescope.descrambling.closed_form import objective, smoothest, smoothest_of
from modescope.errors import UsageError
from rotation_cases import haar, layer, with_eigenvalues


@pytest.mark.parametrize("name", ["forward", "fourier-second"])
def test_mean_and_variance_over_random_rotations_are_exact(name: str) -> None:
    """20000 draws: the mean scatters by 1 / 141 of the standard deviation, the variance by a few per cent."""
    m, draws = 6, 20_000
    _, _, second = layer(m, 9, 100, 0)
    smoothness = operators.OPERATORS[name](m)
    law = diagnostics.scale(smoothest(second, smoothness))
    q, r = np.linalg.qr(np.random.default_rng(1).standard_normal((draws, m, m)))
    rotations = q * np.sign(np.einsum("kii->ki", r))[:, None, :]
    a = smoothness.matrix().T @ smoothness.matrix()
    values = np.einsum("kij,kij->k", a @ rotations, rotations @ second)
    assert abs(values.mean() - law.random_mean) < 3 * law.random_std / math.sqrt(draws)
    assert values.var() == pytest.approx(law.random_std**2, rel=0.05)
    assert law.optimal < values.min()
    assert values.max() < law.maximal


def test_the_native_order_is_measured_and_found_smooth_where_it_is() -> None:
    x = np.random.default_rng(2).standard_normal((400, 24)).cumsum(axis=1)  # neurons that drift along their index
    smoothness = operators.forward_difference(24)
    law = diagnostics.scale(smoothest_of(x, smoothness))
    second = x.T @ x / 400
    assert law.identity == pytest.approx(objective(np.eye(24), second, smoothness), rel=1e-10)
    assert law.z_identity is not None
    assert law.z_identity < -5
    assert law.gain_identity == pytest.approx(law.identity / law.optimal)
    order = np.random.default_rng(0).permutation(24)
    mixed = diagnostics.scale(smoothest_of(x[:, order] @ haar(24, 1), smoothness))
    assert mixed.z_identity is not None
    assert abs(mixed.z_identity) < 3
    assert mixed.optimal == pytest.approx(law.optimal, rel=1e-10)
    assert mixed.random_std == pytest.approx(law.random_std, rel=1e-10)


def test_numbers_that_mean_nothing_are_missing_with_a_reason() -> None:
    flat = diagnostics.scale(smoothest(np.diag([3.0, 2, 1]), operators.diagonal(np.ones(3))))
    assert flat.z_identity is None
    assert flat.status == "every rotation is equally smooth"
    white = diagnostics.scale(smoothest(np.eye(5), operators.forward_difference(5)))
    assert white.z_identity is None
    assert white.gain_random == pytest.approx(1)
    free = diagnostics.scale(smoothest(np.diag([1.0, 0, 0]), operators.forward_difference(3)))
    assert (free.gain_random, free.gain_identity) == (None, None)
    assert "least value is 0" in free.status
    single = diagnostics.scale(smoothest(np.eye(1), operators.forward_difference(1)))
    assert single.z_identity is None


@pytest.mark.parametrize(("n", "low", "high"), [(128, 2.9, 3.7), (64, 7.3, 9.5)])
def test_untrained_weights_on_white_inputs_already_gain_by_their_known_factors(n: int, low: float, high: float) -> None:
    for seed in range(4):
        weight = np.random.default_rng(seed).standard_normal((64, n))
        gain = diagnostics.scale(smoothest(weight @ weight.T, operators.fourier_second(64))).gain_random
        assert gain is not None
        assert low < gain < high


def test_a_given_rotation_is_judged_against_the_exact_one() -> None:
    _, _, second = layer(8, 12, 200, 3)
    smoothness = operators.forward_difference(8)
    best = smoothest(second, smoothness)
    exact = diagnostics.judged(best.p, best)
    assert exact.excess == pytest.approx(0, abs=1e-12)
    assert exact.score == pytest.approx(1)
    assert exact.pairing == pytest.approx(np.eye(8), abs=1e-12)
    assert exact.orthogonality < 1e-13
    assert exact.status == "ok"
    p = haar(8, 0)
    found = diagnostics.judged(p, best)
    assert found.objective == pytest.approx(objective(p, second, smoothness), rel=1e-12)
    assert found.excess == pytest.approx(found.objective / best.optimal - 1)
    assert found.pairing.sum(axis=0) == pytest.approx(np.ones(8))
    assert found.pairing.sum(axis=1) == pytest.approx(np.ones(8))
    assert found.determinant == pytest.approx(np.linalg.det(p))
    assert found.status.startswith("not converged")
    scores = [diagnostics.judged(haar(8, seed), best).score for seed in range(300)]
    assert abs(np.mean([score for score in scores if score is not None])) < 0.05
    assert "not orthogonal" in diagnostics.judged(np.zeros((8, 8)), best).status
    with pytest.raises(UsageError, match=r"\(8, 8\), got \(3, 3\)"):
        diagnostics.judged(np.eye(3), best)


def test_pairing_is_a_block_in_a_harmonic_that_was_turned() -> None:
    best = smoothest(layer(9, 20, 200, 4)[2], operators.fourier_second(9))
    turn = np.eye(9)
    turn[1:3, 1:3] = [[0.6, -0.8], [0.8, 0.6]]
    found = diagnostics.judged(best.smoothness.modes @ turn @ best.u.T, best)
    assert found.pairing[1:3, 1:3] == pytest.approx(np.array([[0.36, 0.64], [0.64, 0.36]]))
    assert found.pairing[3:, 3:] == pytest.approx(np.eye(6), abs=1e-12)
    assert found.excess == pytest.approx(0, abs=1e-12)


def test_ranks_count_equal_components() -> None:
    found = smoothest(with_eigenvalues(np.array([2.0, 2, 2, 2, 0, 0, 0]), 0), operators.forward_difference(7))
    ranks = diagnostics.spectra(found)
    assert ranks.effective_rank == pytest.approx(4)
    assert ranks.stable_rank == pytest.approx(4)
    assert ranks.top_share == pytest.approx(0.25)
    uneven = diagnostics.spectra(smoothest(with_eigenvalues(np.array([2.0, 1, 1, 0]), 0), operators.forward_difference(4)))
    assert uneven.effective_rank == pytest.approx(2**1.5)  # one half of 1 bit and two quarters of 2 bits are 1.5 bits
    assert ranks.cumulative[-1] == pytest.approx(found.optimal)
    assert ranks.cost[0] == 0


def test_a_mean_that_leads_is_told_and_a_small_one_is_not() -> None:
    rng = np.random.default_rng(5)
    x = np.maximum(rng.standard_normal((4000, 20)) @ rng.standard_normal((20, 12)), 0)
    mean = x.mean(axis=0)
    found = diagnostics.mean_dominance(x.T @ x / 4000, mean)
    assert found.share == pytest.approx((mean @ mean) / (x**2).sum(axis=1).mean())
    assert found.cosine is not None
    assert found.cosine > 0.98
    centred = np.linalg.eigvalsh(np.cov(x.T, bias=True))
    assert found.top_share_centred == pytest.approx(centred[-1] / centred.sum())
    assert "first component" in found.status
    y = rng.standard_normal((4000, 12))
    assert diagnostics.mean_dominance(y.T @ y / 4000, y.mean(axis=0)).status == "ok"
    none = diagnostics.mean_dominance(np.eye(3), np.zeros(3))
    assert (none.share, none.cosine) == (0, None)
    constant = diagnostics.mean_dominance(np.ones((3, 3)), np.ones(3))
    assert constant.share == pytest.approx(1)
    assert constant.top_share_centred is None
    with pytest.raises(UsageError, match=r"\(3, 3\) and \(2,\)"):
        diagnostics.mean_dominance(np.eye(3), np.ones(2))
    with pytest.raises(UsageError, match="not zero"):
        diagnostics.mean_dominance(np.zeros((2, 2)), np.zeros(2))


def test_the_ridge_of_a_convolution_is_its_sorted_gain() -> None:
    m = 20
    f = np.abs(np.fft.fftfreq(m, 1 / m))
    gain, power = np.exp(-((f - 4.2) ** 2) / 9), 1 / (1 + f)
    weight, c = haar(m, 0) @ circulant(np.fft.ifft(gain).real), circulant(np.fft.ifft(power).real)
    found = smoothest(weight @ c @ weight.T, operators.fourier_second(m))
    ridge = diagnostics.predicted_ridge(weight, c, found)
    assert ridge.power == pytest.approx(found.b, rel=1e-9, abs=1e-12)
    assert ridge.agreement == pytest.approx(1, abs=1e-9)
    harmonics = (np.arange(m) + 1) // 2
    strength = (gain**2 * power)[harmonics]
    assert strength[np.argsort(-strength, kind="stable")] == pytest.approx(
        strength[[int(2 * k - 1) if k else 0 for k in ridge.harmonic]]
    )
    pairs, counts = np.unique(ridge.harmonic, return_counts=True)
    assert pairs.tolist() == list(range(m // 2 + 1))
    assert counts.tolist() == [1, *([2] * (m // 2 - 1)), 1]


def test_the_ridge_of_a_layer_without_plane_waves_says_so() -> None:
    rng = np.random.default_rng(6)
    localised = np.diag(np.geomspace(10, 0.1, 16))
    found = smoothest(localised @ localised.T, operators.forward_difference(16))
    assert diagnostics.predicted_ridge(localised, np.eye(16), found).agreement < 0.5
    narrow = rng.standard_normal((16, 5))
    assert (
        diagnostics.predicted_ridge(narrow, np.eye(5), smoothest(narrow @ narrow.T, operators.forward_difference(16))).power.size
        == 5
    )
    with pytest.raises(UsageError, match=r"\(16, n\).*\(16, 5\) and \(4, 4\)"):
        diagnostics.predicted_ridge(narrow, np.eye(4), found)


def test_only_components_with_clear_gaps_count_as_resolved() -> None:
    found = smoothest(with_eigenvalues(np.array([8.0, 4.0, 2.0, 1.9, 1.0]), 0), operators.forward_difference(5))
    assert diagnostics.resolved(found, 10_000) == 2
    assert diagnostics.resolved(found, 6) == 0
    assert diagnostics.resolved(found, 10**8) == 4


def test_cautions_name_what_a_reader_would_take_for_a_finding() -> None:
    _, _, second = layer(12, 30, 5, 7)
    ring = smoothest(second, operators.fourier_second(12))
    said = " ".join(diagnostics.cautions(ring, samples=5))
    for words in ("Fourier second derivative, for any weights", "(5 tied groups", "rank 5 of 12", "5 samples for 12 neurons"):
        assert words in said
    clean = smoothest(with_eigenvalues(np.array([8.0, 4.0, 2.0, 1.0]), 0), operators.forward_difference(4))
    assert len(diagnostics.cautions(clean)) == 1
    assert "2 leading components of 4 can be told apart with 100" in " ".join(diagnostics.cautions(clean, samples=100))
    mean = diagnostics.mean_dominance(np.ones((4, 4)), np.ones(4))
    assert "The mean holds 100%" in diagnostics.cautions(clean, dominance=mean)[-1]
    assert "constant and linear" in " ".join(diagnostics.cautions(smoothest(second, operators.second_difference(12)))).lower()


@pytest.mark.parametrize("size", [1e-270, 1e270])
def test_the_scale_of_the_data_moves_no_position(size: float) -> None:
    _, _, second = layer(7, 12, 200, 8)
    smoothness = operators.fourier_second(7)
    one, two = (diagnostics.scale(smoothest(factor * second, smoothness)) for factor in (1.0, size))
    assert two.random_std == pytest.approx(size * one.random_std, rel=1e-12)
    assert two.z_identity == pytest.approx(one.z_identity, rel=1e-9)
    assert two.gain_random == pytest.approx(one.gain_random, rel=1e-9)
