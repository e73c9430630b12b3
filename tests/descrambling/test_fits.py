"""Modes read as curves: planted ones are named, random ones are not, and the null is the law of random directions."""

import numpy as np
import pytest
from scipy.stats import beta, binom, ks_2samp, kstest

from modescope.descrambling.axis import InputAxis
from modescope.descrambling.families import biexponential, chebyshev, exponential, polynomial, sinusoid, standard
from modescope.descrambling.fits import null, read_modes
from modescope.errors import UsageError
from modescope.laws.haar_frames import directions, frame
from modescope.seeds import generator
from reading_cases import fit

AXIS = InputAxis(64, 0.0, 0.5, "time", "us")
T = AXIS.values
X = np.linspace(-1, 1, 64)


@pytest.mark.parametrize(
    ("mode", "family"),
    [
        (np.sin(2 * np.pi * 0.237 * T), "sinusoid"),
        (np.exp(-T / 7), "exponential decay"),
        (0.6 * np.exp(-T / 2) - 0.7 * np.exp(-T / 9), "biexponential decay"),
        (4 * X**3 - 3 * X, "one Chebyshev polynomial up to T_4"),
        (X**4 - 0.8 * X**3 + 0.3 * X, "span of T_0 to T_4"),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_planted_mode_is_called_by_its_family(mode: np.ndarray, family: str, noise: float) -> None:
    rng = np.random.default_rng(1)
    (reading,) = read_modes((mode + noise * rng.standard_normal(64))[None], axis=AXIS, draws=99)
    best = reading.fits[reading.best]
    assert best.family == family
    assert best.r2 == pytest.approx(1, abs=1e-9 if noise == 0 else 0.03)
    assert best.p == 1 / 100
    assert best.curve == pytest.approx(mode, abs=1e-6 if noise == 0 else 0.05)
    assert f"{family} explains {best.r2:.2f}" in reading.status


def test_random_modes_are_called_by_no_family_in_nineteen_of_twenty_cases() -> None:
    """60 modes against one null of 99 draws; the .9999 quantile of the binomial, and half as much for the common null."""
    modes = directions(np.random.default_rng(7), 60, 20)
    called = sum(reading.best is not None for reading in read_modes(modes, draws=99))
    assert called <= 1.5 * binom.ppf(1 - 1e-4, 60, 0.05)


@pytest.mark.parametrize("family", standard(), ids=lambda family: family.name)
def test_the_p_value_of_a_random_mode_is_that_of_its_rank(family) -> None:
    """400 modes against 399 draws of another stream: equal laws pass .001 in 999 of 1000 seeds."""
    beside = null(family, 24, draws=399, seed=3)
    other = null(family, 24, draws=400, seed=4)
    assert ks_2samp(beside.r2, other.r2).pvalue > 1e-3
    assert beside.p(beside.r2[-1]) == pytest.approx(2 / 400)
    assert beside.p(2.0) == 1 / 400
    assert beside.p(-1.0) == 1


@pytest.mark.parametrize("degree", [1, 3, 6])
def test_random_modes_reach_the_beta_law_of_a_fixed_span(degree: int) -> None:
    """The squared cosine between a random direction and k of n - 1 dimensions is Beta(k / 2, (n - 1 - k) / 2)."""
    n = 40
    r2 = null(polynomial(degree), n, draws=2000).r2
    assert kstest(r2, beta(degree / 2, (n - 1 - degree) / 2).cdf).pvalue > 1e-3


def test_modes_that_must_be_smooth_are_not_called_polynomials_for_it() -> None:
    """In a space of polynomials every random mode is one; in all 64 dimensions next to none is."""
    space = np.linalg.qr(np.polynomial.chebyshev.chebvander(X, 5))[0].T
    mode = np.random.default_rng(0).standard_normal(6) @ space
    (free,) = read_modes(mode[None], families=[polynomial(5)])
    (bound,) = read_modes(mode[None], families=[polynomial(5)], span=space)
    assert free.fits[0].p == 1 / 200
    assert bound.fits[0].null.dimension == 6
    assert bound.fits[0].null.r2.min() > 1 - 1e-9
    assert bound.best is None
    assert "no curve fits it better" in bound.status


def test_a_share_does_not_depend_on_scale_sign_or_offset() -> None:
    mode = np.random.default_rng(5).standard_normal(64).cumsum()
    families = [sinusoid(), exponential(), polynomial(3)]
    plain = read_modes(mode[None], families=families)[0].fits
    for changed in (-mode, 1e-150 * mode, 1e150 * mode, mode + 100):
        for one, other in zip(plain, read_modes(changed[None], families=families)[0].fits, strict=True):
            assert other.r2 == pytest.approx(one.r2, abs=1e-7)
            assert other.p == one.p


def test_amplitudes_and_curves_are_in_units_of_the_mode() -> None:
    (reading,) = read_modes(5000 * np.exp(-T / 7)[None], axis=AXIS, families=[exponential()])
    found = {p.name: p.value for p in reading.fits[0].parameters}
    assert found["amplitude"] == pytest.approx(5000, rel=1e-6)
    assert reading.fits[0].curve[0] == pytest.approx(5000, rel=1e-6)


def test_more_freedom_explains_more_and_is_charged_for() -> None:
    modes = np.random.default_rng(6).standard_normal((3, 48)).cumsum(1)
    for reading in read_modes(modes, families=[exponential(), biexponential(), chebyshev(3), polynomial(3), polynomial(6)]):
        one, two, single, few, many = reading.fits
        assert two.r2 >= one.r2 - 1e-6
        assert few.r2 >= single.r2
        assert many.r2 >= few.r2
        for found in reading.fits:
            assert found.charged > 48 * np.log(1 - found.r2)


def test_the_search_is_repeated_on_every_random_mode() -> None:
    """Of random modes of 64 inputs a fixed frequency explains 2 / 63; the best of all frequencies several times that."""
    assert null(sinusoid(), 64).r2.mean() > 3 * 2 / 63


@pytest.mark.parametrize("family", [sinusoid(), exponential(), biexponential()], ids=lambda family: family.name)
def test_random_modes_are_searched_as_well_as_parameters_are(family) -> None:
    """The same directions, each followed to the end: the null is at most a hundredth of its own mean below."""
    vectors = directions(generator(3, "fits", family.name), 9, 24)
    full = np.sort([fit(family, vector).r2 for vector in vectors])
    assert null(family, 24, draws=9, seed=3).r2 == pytest.approx(full, abs=0.01 * full.mean())


def test_a_constant_mode_has_nothing_to_fit() -> None:
    (reading,) = read_modes(np.full((1, 32), 3.0), families=[polynomial(2)])
    assert reading.fits[0].r2 is None
    assert reading.fits[0].p is None
    assert "constant up to rounding" in reading.fits[0].status
    assert reading.best is None


def test_where_all_directions_fit_alike_none_is_called_good() -> None:
    """In one dimension every random mode is the mode; in a span of polynomials every mode is one, up to rounding."""
    space = np.linalg.qr(np.polynomial.chebyshev.chebvander(X, 4))[0].T
    for mode, within in ((-3.3 * space[2], space[2:3]), (X, space)):
        (reading,) = read_modes(mode[None], families=[polynomial(4)], span=within)
        assert reading.fits[0].p == 1
        assert reading.best is None


@pytest.mark.parametrize("family", [exponential(), biexponential()], ids=lambda family: family.name)
def test_a_decay_runs_towards_higher_values_of_its_axis(family) -> None:
    """The same signal, stored from either end of its axis: one fit, and a curve in the order of the mode."""
    signal = np.exp(-T / 7) - 0.3 * np.exp(-T / 2) + 0.01 * np.random.default_rng(3).standard_normal(64)
    (up,) = read_modes(signal[None], axis=AXIS, families=[family], draws=19)
    (down,) = read_modes(signal[::-1][None], axis=InputAxis(64, T[-1], -0.5, "time", "us"), families=[family], draws=19)
    assert down.fits[0].r2 == pytest.approx(up.fits[0].r2, abs=1e-12)
    assert down.fits[0].p == up.fits[0].p
    assert [p.value for p in down.fits[0].parameters] == pytest.approx([p.value for p in up.fits[0].parameters], rel=1e-9)
    assert down.fits[0].curve[::-1] == pytest.approx(up.fits[0].curve, abs=1e-9)
    random = np.random.default_rng(4).standard_normal((19, 1, 64)).cumsum(2)
    beside = [read_modes(signal[None], families=[family], random=random)[0].fits[0].null.r2]
    backwards = InputAxis(64, 0.0, -1.0)
    beside.append(read_modes(signal[::-1][None], axis=backwards, families=[family], random=random[:, :, ::-1])[0].fits[0].null.r2)
    assert beside[0] == pytest.approx(beside[1], abs=1e-12)


@pytest.mark.parametrize(("count", "called"), [(2, True), (3, False)])
def test_every_further_family_must_be_paid_for(count: int, called: bool) -> None:
    """One of 99 random modes is as straight as the mode: p = .02, which two families leave below .05 and three do not."""
    random = np.random.default_rng(0).standard_normal((99, 1, 64))
    random[7] = X
    mode = X + 0.05 * np.random.default_rng(1).standard_normal(64)
    (reading,) = read_modes(mode[None], families=[polynomial(1)] * count, random=random)
    assert reading.fits[0].p == 2 / 100
    assert (reading.best is not None) is called


def test_the_same_seed_gives_the_same_null_and_another_one_does_not() -> None:
    assert np.array_equal(null(sinusoid(), 32, draws=20, seed=1).r2, null(sinusoid(), 32, draws=20, seed=1).r2)
    assert not np.array_equal(null(sinusoid(), 32, draws=20, seed=1).r2, null(sinusoid(), 32, draws=20, seed=2).r2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: read_modes(m, axis=InputAxis(31)), "expected 32 points, one per entry of a mode, got 31"),
        (lambda m: read_modes(m, draws=98), "draws of 99 or more"),
        (lambda m: read_modes(m, families=[sinusoid()], draws=18), "draws of 19 or more"),
        (lambda m: read_modes(m[:, :6], families=[sinusoid()]), "sinusoid: expected modes of 7 or more inputs to fit, got 6"),
        (lambda m: read_modes(m, span=np.ones((2, 32))), "expected orthonormal rows"),
        (lambda m: read_modes(m, span=np.eye(31)), "at most 32 rows of 32 inputs"),
        (lambda m: read_modes(m * np.nan), "64 of 64 entries"),
        (lambda m: read_modes(m[0]), r"got shape \(32,\)"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(frame(np.random.default_rng(0), 2, 32))
