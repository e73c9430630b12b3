"""Controls: what they keep and what they take away, and stability that is measured where it was planted."""

import numpy as np
import pytest

from modescope import moments
from modescope.descrambling import controls, operators
from modescope.descrambling.closed_form import smoothest
from modescope.descrambling.diagnostics import scale
from modescope.descrambling.wiretaps import left
from modescope.errors import UsageError
from rotation_cases import haar, layer, with_eigenvalues


def inputs(n: int, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([n, count, seed])
    return rng.standard_normal((count, n)) @ rng.standard_normal((n, n)) + rng.standard_normal(n)


def planted(count: int, seed: int) -> np.ndarray:
    """Twelve neurons with four strong components, well apart, on eight of one strength."""
    s = np.sqrt(np.array([100.0, 50, 25, 12, *np.ones(8)]))
    return np.random.default_rng(seed).standard_normal((count, 12)) * s @ haar(12, 0).T


@pytest.mark.parametrize(("n", "low", "high"), [(128, 2.9, 3.7), (64, 7.3, 9.5)])
def test_untrained_weights_have_the_gain_of_their_shape_on_white_inputs(n: int, low: float, high: float) -> None:
    white = moments.Moments(1000, np.zeros(n), 1000 * np.eye(n))
    for initial in (controls.uniform, controls.gaussian):
        found = controls.untrained(np.ones((64, n)), white, operators.fourier_second(64), initial=initial)
        assert found.scale.gain_random is not None
        assert low < found.scale.gain_random < high
        assert initial.__name__ in found.status


def test_untrained_weights_are_drawn_once_per_seed() -> None:
    data, smoothness = moments.of(inputs(9, 200, 0)), operators.forward_difference(6)
    one, two, other = (controls.untrained(np.ones((6, 9)), data, smoothness, seed=seed) for seed in (3, 3, 4))
    assert one.rotation.b.tolist() == two.rotation.b.tolist()
    assert one.rotation.b[0] != pytest.approx(other.rotation.b[0])
    drawn = controls.uniform(np.random.default_rng(0), 200, 50)
    assert np.abs(drawn).max() <= 50**-0.5
    assert drawn.var() == pytest.approx(1 / 150, rel=0.05)
    assert controls.gaussian(np.random.default_rng(0), 200, 50).var() == pytest.approx(1 / 50, rel=0.05)


def test_centring_reaches_the_untrained_control() -> None:
    data, smoothness = moments.of(inputs(9, 200, 1) + 50), operators.forward_difference(6)
    plain, centred = (controls.untrained(np.ones((6, 9)), data, smoothness, centred=centred) for centred in (False, True))
    assert plain.rotation.b[0] > 10 * centred.rotation.b[0]


def test_white_inputs_leave_the_singular_values_of_the_weight() -> None:
    weight = np.random.default_rng(0).standard_normal((7, 12))
    found = controls.isotropic(weight, operators.forward_difference(7))
    assert found.rotation.b == pytest.approx(np.linalg.svd(weight, compute_uv=False) ** 2)
    assert found.name == "isotropic"


def test_a_measured_control_is_on_the_scale_of_its_own_data() -> None:
    _, _, second = layer(8, 12, 100, 0)
    found = controls.measured("before training", second, operators.forward_difference(8), status="the first checkpoint")
    assert found.scale == scale(smoothest(second, operators.forward_difference(8)))
    assert (found.name, found.status) == ("before training", "the first checkpoint")


@pytest.mark.parametrize("centred", [False, True])
def test_shuffled_inputs_are_those_of_every_coordinate_by_itself(centred: bool) -> None:
    """40000 samples, shuffled: correlations of about .005 are left, and the weights add eight of them."""
    x = inputs(8, 40_000, 2)
    rng = np.random.default_rng(3)
    weight, bias = rng.standard_normal((6, 8)), rng.standard_normal(6)
    alone = np.column_stack([rng.permutation(column) for column in x.T])
    slow = smoothest(left(weight, moments.of(alone), bias, centred=centred), operators.forward_difference(6))
    found = controls.shuffled(weight, moments.of(x), operators.forward_difference(6), bias=bias, centred=centred)
    assert found.rotation.b == pytest.approx(slow.b, rel=0.05)
    assert found.scale.random_mean == pytest.approx(slow.smoothness.a.sum() * slow.b.sum() / 6, rel=0.02)
    true = smoothest(left(weight, moments.of(x), bias, centred=centred), operators.forward_difference(6))
    assert abs(true.b[0] / found.rotation.b[0] - 1) > 0.1


@pytest.mark.parametrize("name", ["forward", "fourier-second"])
def test_a_scramble_changes_nothing_that_is_determined(name: str) -> None:
    weight, _, second = layer(12, 24, 400, 1)
    found = controls.scrambled(weight, second, operators.OPERATORS[name](12))
    assert found.objective < 1e-12
    assert found.view < 1e-10
    assert found.rank == 12
    assert found.status == "ok"
    if name == "forward":
        assert found.modes < 1e-10


def test_a_scramble_shows_what_rounding_leaves_open() -> None:
    b = np.geomspace(1, 1e-15, 24)
    weight = np.random.default_rng(0).standard_normal((24, 30))
    found = controls.scrambled(weight, with_eigenvalues(b, 0), operators.forward_difference(24))
    assert found.objective < 1e-9
    assert "not determined" in found.status


def test_moments_pass_through_a_layer_as_its_outputs_do() -> None:
    x = inputs(5, 60, 4)
    rng = np.random.default_rng(5)
    weight, bias = rng.standard_normal((3, 5)), rng.standard_normal(3)
    found, slow = controls.through(moments.of(x), weight, bias), moments.of(x @ weight.T + bias)
    assert found.count == slow.count
    assert found.mean == pytest.approx(slow.mean, abs=1e-12)
    assert found.scatter == pytest.approx(slow.scatter, abs=1e-10)
    with pytest.raises(UsageError, match=r"\(m, 5\).*got \(3, 4\)"):
        controls.through(moments.of(x), np.ones((3, 4)))


@pytest.mark.parametrize("measure", [controls.bootstrap, controls.split_half])
def test_planted_components_hold_and_those_of_one_strength_do_not(measure) -> None:
    found = measure(planted(2000, 1))
    assert found.sizes.tolist() == [1, 2, 4, 8]
    assert (found.low[:3] > 0.9).all()
    assert found.low[3] < 0.7
    assert found.trusted == 4
    assert "leading 4 of 12" in found.status
    white = measure(np.random.default_rng(0).standard_normal((500, 12)))
    assert white.trusted == 0
    assert "not even the first" in white.status


def test_components_of_one_strength_hold_as_a_whole_where_a_gap_follows() -> None:
    s = np.sqrt(np.array([*[50.0] * 8, *[1.0] * 4]))
    found = controls.bootstrap(np.random.default_rng(1).standard_normal((500, 12)) * s @ haar(12, 0).T)
    assert found.trusted == 0
    assert found.low[3] > 0.95
    assert "the leading 8 hold as a whole" in found.status


def test_more_samples_hold_better_at_the_rate_of_the_root() -> None:
    """The largest sine falls as 1 / sqrt(N): 16 times the samples, a quarter; draws scatter by a third at most."""
    small, large = (controls.bootstrap(planted(count, 2), seed=1).cosines[:, 2] for count in (500, 8000))
    sines = [np.median(np.sqrt(1 - np.minimum(cosines, 1) ** 2)) for cosines in (small, large)]
    assert sines[0] / sines[1] == pytest.approx(4, rel=0.35)


def test_the_bootstrap_scatters_as_new_samples_do() -> None:
    """Sines of the first component between a sample and its redraws against those between the sample size and the truth."""
    drawn = np.concatenate([controls.bootstrap(planted(300, seed), draws=20).cosines[:, 0] for seed in range(10)])
    u = haar(12, 0)[:, 0]
    new = []
    for seed in range(100, 300):
        x = planted(300, seed)
        new.append(abs(np.linalg.eigh(x.T @ x)[1][:, -1] @ u))
    spread = [np.mean(1 - np.minimum(cosines, 1) ** 2) for cosines in (drawn, np.array(new))]
    assert spread[0] / spread[1] == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("measure", [controls.bootstrap, controls.split_half])
def test_a_draw_of_samples_that_do_not_vary_knows_no_component(measure) -> None:
    """Dead neurons that wake for one sample of forty, and so few samples that some draws hold copies of one."""
    sparse = np.zeros((40, 4))
    sparse[3] = [1, 2, 3, 4]
    sparse[7] = [4, -3, 2, -1]
    for found in (measure(sparse), measure(planted(3, 0)[:, :4], centred=True), measure(planted(2, 1), centred=True)):
        assert found.trusted == 0
        assert np.isfinite(found.cosines).all()
    assert (measure(sparse, draws=50).cosines == 0).any()


def test_what_a_draw_does_not_span_holds_by_no_accident() -> None:
    """Samples along coordinates: the null space of a draw that misses some lies along coordinates too, and proves nothing."""
    found = controls.bootstrap(np.diag([8.0, 4, 2, 1]), draws=200)
    missed = np.exp(-1) / (1 - np.exp(-4))  # a sample of four is not drawn, given that any is: about a third
    assert (found.cosines[:, 0] == 0).sum() == pytest.approx(200 * missed, abs=5 * np.sqrt(200 * missed))
    assert set(np.unique(found.cosines[:, 1].round(9))) <= {0.0, 1.0}
    assert (found.cosines[:, 1] == 1).mean() < 0.75


def test_a_half_without_the_second_component_does_not_meet_it_by_accident() -> None:
    """One sample of six has it, so that one half lacks it; where that half has rank 1, its next vector is arbitrary."""
    x = np.zeros((6, 4))
    x[:4, 0], x[4, 3], x[5, 1] = 8, 4, 1
    assert not controls.split_half(x, draws=60).cosines[:, 1].any()


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(
    ("whole", "blocked"),
    [(controls.bootstrap, controls.bootstrap_blocks), (controls.split_half, controls.split_half_blocks)],
)
def test_blocks_of_one_sample_are_the_samples(whole, blocked, centred: bool) -> None:
    x = planted(80, 3) + 4.0
    one = whole(x, centred=centred, draws=7, seed=5)
    two = blocked([moments.of(row[None]) for row in x], centred=centred, draws=7, seed=5)
    assert one.cosines == pytest.approx(two.cosines, abs=1e-9)
    assert one.trusted == two.trusted


def test_blocks_of_many_samples_say_the_same() -> None:
    x = planted(4000, 4)
    blocks = [moments.of(part) for part in np.array_split(x, 40)]
    found = controls.bootstrap_blocks(blocks)
    assert found.trusted == controls.bootstrap(x).trusted == 4
    assert "40 blocks" in found.status
    assert "20 or more" not in found.status
    assert "20 or more" in controls.bootstrap_blocks(blocks[:5]).status
    assert controls.split_half_blocks(blocks).trusted == 4


def test_stability_is_drawn_once_per_seed_and_stops_at_the_rank() -> None:
    x = planted(50, 5)
    assert controls.bootstrap(x, seed=1).cosines.tolist() == controls.bootstrap(x, seed=1).cosines.tolist()
    assert controls.bootstrap(x, seed=1).cosines.tolist() != controls.bootstrap(x, seed=2).cosines.tolist()
    assert controls.bootstrap(planted(6, 6)).sizes.tolist() == [1, 2, 4]
    flat = controls.bootstrap(np.outer(np.arange(1.0, 9), np.ones(3)))
    assert flat.sizes.size == 0
    assert "no subspace" in flat.status


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: controls.bootstrap(np.ones((1, 3))), r"at least 2 samples.*\(1, 3\)"),
        (lambda: controls.bootstrap(np.zeros((5, 3))), "hidden data that vary"),
        (lambda: controls.bootstrap(np.full((7, 3), 0.1), centred=True), "hidden data that vary"),
        (lambda: controls.split_half(np.full((5, 3), np.nan)), "got 15 entries"),
        (lambda: controls.bootstrap(planted(9, 0), draws=0), "at least 1 draw, got 0"),
        (lambda: controls.bootstrap_blocks([moments.of(planted(9, 0))]), "at least 2 blocks.*got 1"),
        (lambda: controls.isotropic(np.ones(3), operators.forward_difference(3)), r"weight of shape \(m, n\), got \(3,\)"),
    ],
)
def test_data_without_an_answer_are_told_so(call, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        call()
