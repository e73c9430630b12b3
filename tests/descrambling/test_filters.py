"""Filters, differentiators and baselines: planted ones are named with their edges, random weights have none."""

import numpy as np
import pytest
from scipy.linalg import circulant
from scipy.stats import binom

from modescope.descrambling.axis import InputAxis
from modescope.descrambling.filters import KINDS, gain, read_baseline, read_filter
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame

N = 64
F = np.fft.rfftfreq(N)  # cycles per input
AXIS = InputAxis(N, 0.0, 0.5, "time", "us")  # the highest frequency is 1 MHz, a bin 1/32 MHz
STEP = 1 / 32


def convolution(response: np.ndarray, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """A circular filter of given gain, behind a random rotation."""
    rng = np.random.default_rng(seed)
    weight = frame(rng, N, N) @ circulant(np.fft.irfft(response, N))
    return weight + noise * rng.standard_normal((N, N))


BAND = (F > 0.1) & (F < 0.3)
PLANTED = {
    "low-pass": [(1.0 * (F <= 0.2), (0, 12.5)), (np.exp(-((32 * 2 * F / 9) ** 2) / 2), (0, 10.6))],
    "high-pass": [(1.0 * (F >= 0.3), (19.5, 32)), (1 - np.exp(-((32 * 2 * F / 6) ** 2) / 2), (7.06, 32))],
    "band-pass": [(1.0 * BAND, (6.5, 19.5)), (np.exp(-((64 * F - 12.3) ** 2) / 72), (5.2, 19.4))],
    "notch": [(1.0 - BAND, (6.5, 19.5)), (1.2 - np.exp(-((64 * F - 15) ** 2) / 32), (10.3, 19.7))],
    "differentiator": [(2 * np.sin(np.pi * F), (0, 32)), (np.sin(2 * np.pi * F), (0, 16)), (2 * np.pi * F, (0, 32))],
}
CASES = [(kind, *case) for kind, cases in PLANTED.items() for case in cases]


@pytest.mark.parametrize(("kind", "response", "edges"), CASES, ids=[f"{kind}-{i}" for i, (kind, *_) in enumerate(CASES)])
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_a_planted_filter_is_named_with_its_edges(kind: str, response, edges: tuple[float, float], noise: float) -> None:
    found = read_filter(convolution(response, noise=noise), axis=AXIS, draws=19)
    best = found.templates[0]
    assert found.kind == best.kind == kind
    assert best.score > 0.97
    assert found.p == 1 / 20
    sharp = np.unique(response).size == 2
    assert best.edges == pytest.approx((edges[0] * STEP, edges[1] * STEP), abs=1e-9 if sharp else 1.2 * STEP)
    value = found.gain.value
    for template in found.templates:
        rest = value - template.curve
        assert template.score == pytest.approx(1 - (rest @ rest) / ((value - value.mean()) ** 2).sum(), abs=1e-9)
    assert found.status.startswith(f"a {kind}")
    assert "MHz" in found.status
    assert {template.kind for template in found.templates} == set(KINDS)


def test_another_kind_that_fits_as_well_is_named_beside() -> None:
    """A central difference passes a band: with much noise under it the two cannot be told apart."""
    found = read_filter(convolution(np.sin(2 * np.pi * F), noise=0.02), axis=AXIS, draws=19)
    assert {template.kind for template in found.templates[:2]} == {"band-pass", "differentiator"}
    assert min(template.score for template in found.templates[:2]) > 0.95
    assert "nearly as well: a differentiator with its maximum at" in found.status
    sharp = read_filter(convolution(1.0 * BAND), axis=AXIS, draws=19)
    assert "nearly as well" not in sharp.status


def test_random_weights_are_called_filters_in_one_of_twenty_cases() -> None:
    """150 seeds; a right p-value exceeds the .9999 quantile of the binomial once in 10 000 runs."""
    small, named = 0, 0
    for seed in range(150):
        weight = np.linspace(2, 0.1, 6)[:, None] * frame(np.random.default_rng(5000 + seed), 6, 24)
        found = read_filter(weight, draws=19, seed=seed)
        small += found.p <= 0.05
        named += found.kind != "none"
    low, high = binom.ppf([1e-4, 1 - 1e-4], 150, 0.05)
    assert low <= small <= high
    assert named <= small


def test_a_random_weight_passes_for_free_of_baselines_in_one_of_twenty_cases() -> None:
    small, shares = 0, []
    for seed in range(300):
        weight = np.linspace(2, 0.1, 6)[:, None] * frame(np.random.default_rng(9000 + seed), 6, 24)
        found = read_baseline(weight, draws=19, seed=seed)
        small += found.p <= 0.05
        shares.append(found.share)
    low, high = binom.ppf([1e-4, 1 - 1e-4], 300, 0.05)
    assert low <= small <= high
    assert np.mean(shares) == pytest.approx(1, abs=5 * np.std(shares) / np.sqrt(300))  # the mean over all directions


def test_the_gain_is_that_of_the_convolution_and_no_rotation_changes_it() -> None:
    response = 2 * np.sin(np.pi * F) + 0.3
    weight = convolution(response)
    found = gain(weight, axis=AXIS)
    assert found.value == pytest.approx(response * np.sqrt(N), rel=1e-12)
    assert found.frequency == pytest.approx(F * 2)
    assert found.unit == "MHz"
    u, s, vh = np.linalg.svd(np.random.default_rng(1).standard_normal((10, N)), full_matrices=False)
    assert gain(u * s @ vh).value == pytest.approx(gain(s[:, None] * vh).value, rel=1e-12)
    assert gain(np.eye(N)).value == pytest.approx(np.full(33, np.sqrt(N)))
    assert gain(np.eye(N)).unit == "cycles per input"


def best_levels(value: np.ndarray, ranges: list[tuple[int, int]], sign: float) -> float:
    """Share of variation explained by the best two-level curve, one least-squares fit after the other."""
    total, best = ((value - value.mean()) ** 2).sum(), 0.0
    for start, stop in ranges:
        inside = np.zeros(value.size, bool)
        inside[start:stop] = True
        if sign * (value[inside].mean() - value[~inside].mean()) > 0:
            rest = value - np.where(inside, value[inside].mean(), value[~inside].mean())
            best = max(best, 1 - (rest @ rest) / total)
    return best


@pytest.mark.parametrize("seed", range(5))
def test_no_sharp_template_is_better_than_the_best_one(seed: int) -> None:
    """Noise is matched by sharp edges, or by a Gaussian: never worse than by the best of all sharp ones."""
    value = np.random.default_rng(seed).random(17) + 1
    inner = [(a, b) for a in range(1, 16) for b in range(a + 1, 17)]
    for kind, ranges, sign in [
        ("low-pass", [(0, b) for b in range(1, 17)], 1),
        ("high-pass", [(a, 17) for a in range(1, 17)], 1),
        ("band-pass", inner, 1),
        ("notch", inner, -1),
    ]:
        match = KINDS[kind](value)
        assert match.score >= best_levels(value, ranges, sign) - 1e-12
        rest = value - match.curve
        assert match.score == pytest.approx(1 - (rest @ rest) / ((value - value.mean()) ** 2).sum(), abs=1e-12)


def test_a_template_in_the_wrong_direction_explains_nothing() -> None:
    rising = np.arange(20.0)
    assert KINDS["low-pass"](rising).score == 0
    assert KINDS["high-pass"](rising).score > 0.7
    assert KINDS["differentiator"](rising).score == pytest.approx(1, abs=1e-5)
    assert KINDS["differentiator"](rising[::-1]).score < 0
    assert KINDS["differentiator"](rising + 20).score < 0.7  # it goes through zero, or is none


def test_a_flat_gain_is_no_filter() -> None:
    """All singular values of an orthogonal weight are 1, and so is its gain: only rounding varies."""
    found = read_filter(frame(np.random.default_rng(0), 32, 32), draws=19)
    assert (found.kind, found.p) == ("none", 1)
    assert found.status.startswith("no filter")
    assert all(template.score <= 0 for template in found.templates)


def test_a_gain_that_is_not_random_but_like_no_template_is_not_named() -> None:
    """One and a half periods of a cosine: a notch explains more than of a random gain, and less than half."""
    found = read_filter(convolution(1 + 0.5 * np.cos(2 * np.pi * 3 * F)), draws=39)
    assert found.p <= 0.05
    assert found.templates[0].score < 0.5
    assert found.kind == "none"
    assert found.status.startswith("no filter that is known")


def test_two_edges_must_explain_more_than_one() -> None:
    """The gain at zero lies a little nearer to the stopped level: leaving it out explains more, but not enough for an edge."""
    response = 0.2 + 1.0 * (F <= 0.2) + 0.1 * np.random.default_rng(0).standard_normal(F.size)
    response[0] = 0.66
    found = read_filter(convolution(np.abs(response)), draws=19)
    by_kind = {template.kind: template for template in found.templates}
    assert by_kind["band-pass"].score > by_kind["low-pass"].score
    assert found.kind == "low-pass"


def test_the_untrained_control_stands_beside() -> None:
    blank = np.random.default_rng(3).standard_normal((40, N))
    found = read_filter(convolution(1.0 * BAND), axis=AXIS, untrained=blank, draws=19)
    assert found.templates[0].untrained == KINDS["band-pass"](gain(blank).value).score
    assert f"before training {found.templates[0].untrained:.2f}" in found.status
    assert read_filter(convolution(1.0 * BAND), draws=19).templates[0].untrained is None


def test_baselines_in_the_kernel_are_found_degree_by_degree() -> None:
    rng = np.random.default_rng(2)
    polynomials = np.linalg.qr(np.vander(np.linspace(-1, 1, N), 3, increasing=True))[0]
    weight = rng.standard_normal((30, N))
    weight -= weight @ polynomials[:, :2] @ polynomials[:, :2].T  # offset and slope, but no curvature
    found = read_baseline(weight, degree=2, untrained=rng.standard_normal((30, N)), draws=39)
    assert found.passed[:2] == pytest.approx([0, 0], abs=1e-25)
    assert found.passed[2] > 0.3
    assert found.share == pytest.approx(found.passed.mean())
    assert found.p == 1 / 40
    assert not found.removed
    assert found.status.endswith(f"degree 2 alone passes at {found.passed[2]:.2g}")
    assert found.untrained > 0.5
    slopes = read_baseline(weight, degree=1, draws=39)
    assert slopes.removed
    assert slopes.status.startswith("polynomials up to degree 1 pass at")


def test_a_baseline_that_is_only_weakened_is_not_called_removed() -> None:
    """So many rows that the null is narrow: a fifth less than the mean is rare, and nothing is removed."""
    rng = np.random.default_rng(6)
    slow = np.linalg.qr(np.vander(np.linspace(-1, 1, N), 2, increasing=True))[0]
    weight = rng.standard_normal((60, N))
    found = read_baseline(weight - 0.2 * weight @ slow @ slow.T, draws=39)
    assert found.p <= 0.05
    assert found.share > 0.5
    assert not found.removed
    assert found.status.startswith("weakened and not removed: polynomials up to degree 1 pass at")
    gone = read_baseline(weight - 0.5 * weight @ slow @ slow.T, draws=39)
    assert gone.removed
    assert gone.status.startswith("polynomials up to degree 1 pass at")


@pytest.mark.parametrize("weight", [3 * np.eye(9), frame(np.random.default_rng(0), 9, 9)])
def test_a_weight_that_passes_all_directions_alike_removes_no_baseline(weight: np.ndarray) -> None:
    """All shares are 1 up to rounding, the random ones as well."""
    assert all(read_baseline(weight, degree=degree, draws=19).p == 1 for degree in range(4))


def test_what_passes_of_an_offset_is_the_gain_at_zero() -> None:
    weight = np.random.default_rng(4).standard_normal((12, N))
    found = read_baseline(weight, degree=0, draws=19)
    assert found.passed[0] == pytest.approx(gain(weight).value[0] ** 2 / (weight**2).sum())
    assert read_baseline(weight + 1, degree=0, draws=19).status.startswith("no baseline removal: an offset passes at")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda w: read_filter(w[:, :13]), "14 or more inputs"),
        (lambda w: read_filter(0 * w), "weight: expected one other than zero"),
        (lambda w: read_filter(w, untrained=w[:, 1:]), r"untrained weight: expected 16 inputs.*got shape \(4, 15\)"),
        (lambda w: read_filter(w, axis=InputAxis(15)), "expected 16 points, one per input of the weight, got 15"),
        (lambda w: read_filter(w, draws=18), "draws: expected 19 or more"),
        (lambda w: read_baseline(w, degree=15), "degree of 0 to 14 for 16 inputs"),
        (lambda w: read_baseline(w, draws=3), "draws: expected 19 or more"),
        (lambda w: gain(w * np.inf), "not finite"),
    ],
)
def test_what_cannot_be_read_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(np.random.default_rng(0).standard_normal((4, 16)))
