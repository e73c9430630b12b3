"""`compress` as a whole: budgets, errors against their laws, bits that are kept, interruptions, and files that lie."""

import json
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from checkpoint_cases import write_safetensors
from matrices_cases import planted
from modes_compression_cases import SHAPES, composed, entries, falling, inputs, linears, relative, saved
from modescope import checkpoints
from modescope.errors import MatrixError, UnreadableError, UsageError
from modescope.matrix import Array
from modescope.modes.calibration import Calibration
from modescope.modes.compression import compress, making, writing
from modescope.scanning import scan

OUT = "out.safetensors"
WEIGHTS = [f"{name}.weight" for name in SHAPES]


def test_the_file_holds_no_more_than_its_share_and_as_many_numbers_as_are_told(tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    for budget in (0.3, 0.5, 0.8):
        result = compress(source, tmp_path / OUT, budget=budget)
        assert result.verified
        assert entries(tmp_path / OUT) == result.totals.parameters <= budget * entries(source)
        assert result.totals.dense_parameters == entries(source)
        assert result.totals.bytes == sum(one.nbytes for one in load_file(tmp_path / OUT).values())


def test_errors_are_the_tails_of_the_spectrum_and_those_of_the_file(tmp_path: Path) -> None:
    tensors = linears("float64")
    result = compress(saved(tmp_path, tensors), tmp_path / OUT, budget=0.4)
    assert [one.name for one in result] == WEIGHTS
    assert result.totals.in_modes > 1
    for one in result:
        weight = tensors[one.name]
        if one.modes is None:
            assert (one.error, one.spectral_error, one.factored) == (0, 0, False)
            continue
        s = np.linalg.svd(weight, compute_uv=False)
        assert one.error == pytest.approx(np.sqrt((s[one.modes :] ** 2).sum() / (s**2).sum()), rel=1e-10)
        assert one.spectral_error == pytest.approx(s[one.modes] / s[0], rel=1e-8)
        left = weight - composed(tmp_path / OUT, one.name.removesuffix(".weight"))
        assert one.error == pytest.approx(relative(left, weight), rel=1e-10)


def test_a_plan_foresees_what_the_file_then_has(tmp_path: Path) -> None:
    source = saved(tmp_path, linears("float64"))
    planned, written = compress(source, budget=0.5), compress(source, tmp_path / OUT, budget=0.5)
    assert (planned.output, planned.verified, planned.totals) == (None, False, written.totals)
    assert [one.modes for one in planned] == [one.modes for one in written]
    np.testing.assert_allclose([one.error for one in planned], [one.error for one in written], rtol=1e-6)
    assert set(tmp_path.iterdir()) == {source, tmp_path / OUT}


def test_planted_rank_is_found_again_up_to_the_rounding_of_the_dtype(tmp_path: Path) -> None:
    weight = planted(np.array([3.0, 2.0, 1.0]), (60, 50)).astype(np.float32)
    result = compress(saved(tmp_path, {"a.weight": weight}), tmp_path / OUT, modes=3)
    assert result["a.weight"].modes == 3
    assert result["a.weight"].error < 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_factors_have_the_dtype_of_their_weight_and_the_error_told_includes_their_rounding(dtype: str, tmp_path: Path) -> None:
    weight = planted(np.array([3.0, 2.0, 1.0]), (60, 50)).astype(np.dtype(getattr(ml_dtypes, dtype, dtype)))
    source = write_safetensors(tmp_path / "model.safetensors", {"a.weight": weight})
    result = compress(source, tmp_path / OUT, modes=3)
    with safe_open(tmp_path / OUT, "pt") as file:
        factors = [file.get_tensor(f"a.{name}") for name in ("xi_out", "s", "xi_in")]
    assert {str(one.dtype).removeprefix("torch.") for one in factors} == {dtype}
    xi_out, s, xi_in = (one.double().numpy() for one in factors)
    assert result["a.weight"].error == pytest.approx(relative(weight.astype(np.float64) - xi_out * s @ xi_in, weight), rel=1e-9)
    eps = float(ml_dtypes.finfo(weight.dtype).eps)
    assert eps / 50 < result["a.weight"].error < 4 * eps  # the weight itself was rounded, too


def test_wider_factors_lose_less(tmp_path: Path) -> None:
    weight = planted(falling(40), (50, 40)).astype(ml_dtypes.bfloat16)
    source = write_safetensors(tmp_path / "model.safetensors", {"a.weight": weight})
    narrow, wide = (compress(source, tmp_path / OUT, modes=20, dtype=dtype)["a.weight"].error for dtype in (None, "float32"))
    assert wide < narrow
    with safe_open(tmp_path / OUT, "pt") as file:
        assert file.get_tensor("a.s").dtype == torch.float32


def test_everything_else_is_there_bit_for_bit(tmp_path: Path) -> None:
    payload = np.array([0x7FC1, 0xFF81, 0x8000, 1], np.uint16).view(ml_dtypes.bfloat16)  # NaNs that differ, -0, a subnormal
    others: dict[str, Array] = {
        "odd.bias": payload,
        "codes": np.arange(6, dtype=np.int8).reshape(2, 3),
        "flags": np.array([True, False]),
        "eight.weight": np.ones((4, 5), ml_dtypes.float8_e4m3fn),
        "none": np.zeros((0, 3), np.float32),
        "one": np.array(2.5),
        "half.bias": np.array([1, np.inf], np.float16),
    }
    a = planted(falling(20), (30, 20)).astype(np.float32)
    source = write_safetensors(tmp_path / "model.safetensors", {"a.weight": a} | others, {"format": "pt", "author": "Ada"})
    result = compress(source, tmp_path / OUT, modes=2)
    back = {tensor.name: tensor for tensor in checkpoints.open(tmp_path / OUT).tensors}
    for name, array in others.items():
        assert back[name].stored == array.dtype.name
        assert back[name].shape == array.shape
        assert back[name].read().tobytes() == array.tobytes()
    assert result.totals.copied == len(others)
    with safe_open(tmp_path / OUT, "pt") as file:
        said = file.metadata()
    assert (said["format"], said["author"]) == ("pt", "Ada")
    assert json.loads(said["modescope"])["layers"] == {"a.weight": {"modes": 2, "shape": [30, 20], "layout": "rows"}}


def test_torch_and_a_scan_read_the_factors(tmp_path: Path) -> None:
    compress(saved(tmp_path, linears()), tmp_path / OUT, modes=4)
    rows = {row.name.partition(".xi")[0]: row for row in scan(tmp_path / OUT).rows}
    s = np.linalg.svd(linears()["enc.0.weight"].astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(rows["enc.0"].s[:4], s[:4], rtol=1e-5)


def test_the_dense_form_has_the_same_tensors_and_low_rank(tmp_path: Path) -> None:
    tensors = linears("float64")
    result = compress(saved(tmp_path, tensors), tmp_path / OUT, modes=4, form="dense")
    found = load_file(tmp_path / OUT)
    assert {name: (one.shape, one.dtype) for name, one in found.items()} == {n: (a.shape, a.dtype) for n, a in tensors.items()}
    for one in result:
        assert not one.factored
        if one.modes is not None:
            assert np.linalg.matrix_rank(found[one.name]) == 4
            assert one.error == pytest.approx(relative(tensors[one.name] - found[one.name], tensors[one.name]), rel=1e-10)
    assert result.totals.bytes == result.totals.dense_bytes
    assert result.totals.parameters < result.totals.dense_parameters


@pytest.mark.parametrize("layout", ["kernel", "in_out", "fused", "embedding"])
def test_other_layouts_are_truncated_as_the_maps_they_are(layout: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape, name = {
        "kernel": ((12, 6, 3, 3), "conv.weight"),
        "in_out": ((20, 80), "h.0.mlp.c_fc.weight"),
        "fused": ((20, 60), "h.0.attn.c_attn.weight"),
        "embedding": ((90, 12), "wte.weight"),
    }[layout]
    weight = rng.standard_normal(shape)
    tensors = {name: weight}
    if layout in {"in_out", "fused"}:
        tensors[name.replace("weight", "bias")] = rng.standard_normal(shape[1])
    source, options = saved(tmp_path, tensors), {"modes": 3, "embeddings": True}
    matrix = weight.reshape(shape[0], -1) if layout == "kernel" else weight.T
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    best = u[:, :3] * s[:3] @ vh[:3]
    result = compress(source, tmp_path / OUT, **options)
    assert result[name].shape == matrix.shape
    found = load_file(tmp_path / OUT)
    layer = name.removesuffix(".weight")
    assert found[f"{layer}.xi_out"].shape == (matrix.shape[0], 3)
    assert found[f"{layer}.xi_in"].shape == ((3, 6, 3, 3) if layout == "kernel" else (3, shape[0]))
    np.testing.assert_allclose(composed(tmp_path / OUT, layer), best, atol=1e-12)
    compress(source, tmp_path / OUT, form="dense", **options)
    back = load_file(tmp_path / OUT)[name]
    assert back.shape == shape
    np.testing.assert_allclose(back.reshape(shape[0], -1) if layout == "kernel" else back.T, best, atol=1e-12)


def test_a_budget_that_cannot_be_met_names_the_least_that_can(tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    with pytest.raises(UsageError, match=r"at least 0\.\d{4} of the parameters.*got 0.05") as caught:
        compress(source, tmp_path / OUT, budget=0.05)
    assert not (tmp_path / OUT).exists()
    least = float(str(caught.value).partition("at least ")[2].split()[0])
    fixed = sum(one.size for name, one in linears().items() if name not in WEIGHTS)
    one_mode = sum(sum(shape) + 1 for shape in SHAPES.values())
    assert least == pytest.approx((fixed + one_mode) / entries(source), abs=1e-4)
    assert {one.modes for one in compress(source, budget=least)} == {1}


def test_numbers_by_name_go_to_these_weights_only(tmp_path: Path) -> None:
    result = compress(saved(tmp_path, linears()), modes={"enc.0": 5, "enc.1.weight": 6})
    assert {one.name: one.modes for one in result} == {"enc.0.weight": 5, "enc.1.weight": 6, "head.weight": None}
    assert {one.name: one.modes for one in compress(saved(tmp_path, linears()), modes={"enc.*": 3})}["enc.1.weight"] == 3


def test_energy_keeps_the_least_number_of_modes_that_holds_it(tmp_path: Path) -> None:
    tensors = linears("float64")
    for one in compress(saved(tmp_path, tensors), energy=0.7):
        if one.modes is not None:
            s = np.linalg.svd(tensors[one.name], compute_uv=False) ** 2
            held = np.cumsum(s) / s.sum()
            assert held[one.modes - 1] >= 0.7 > (held[one.modes - 2] if one.modes > 1 else 0)


def test_a_calibration_keeps_what_the_outputs_need_and_the_bias_takes_up_the_mean(tmp_path: Path) -> None:
    tensors = linears("float64")
    x, moments = inputs(30)
    calibration = Calibration({"enc.0": moments}, {"enc.0": 1.0}, len(x), "planted inputs", {})
    source = saved(tmp_path, tensors)
    calibrated = compress(source, tmp_path / OUT, modes={"enc.0": 4}, calibration=calibration)["enc.0.weight"]
    weight, bias = tensors["enc.0.weight"], tensors["enc.0.bias"]

    def lost(kept: Array, shift: Array) -> float:
        outputs, now = x @ weight.T + bias, x @ kept.T + shift
        return float(np.sqrt(np.square(outputs - now).sum() / np.square(outputs - outputs.mean(0)).sum()))

    moved = load_file(tmp_path / OUT)["enc.0.bias"]
    kept = composed(tmp_path / OUT, "enc.0")
    np.testing.assert_allclose((x @ kept.T + moved).mean(0), (x @ weight.T + bias).mean(0), atol=1e-12)
    assert calibrated.output_error == pytest.approx(lost(kept, moved), rel=1e-10)
    assert calibrated.bias == "enc.0.bias"
    u, s, vh = np.linalg.svd(weight)
    nearest = u[:, :4] * s[:4] @ vh[:4]
    best_plain = lost(nearest, bias + (weight - nearest) @ x.mean(0))
    assert calibrated.output_error < 0.7 * best_plain  # inputs of very different size were planted
    assert calibrated.error >= compress(source, modes={"enc.0": 4})["enc.0.weight"].error
    np.testing.assert_array_equal(load_file(tmp_path / OUT)["enc.1.bias"], tensors["enc.1.bias"])


def test_without_a_bias_the_mean_of_the_inputs_is_part_of_what_is_kept(tmp_path: Path) -> None:
    weight = planted(falling(20), (30, 20))
    x, moments = inputs(20)
    moments = type(moments)(moments.count, moments.mean + 50, moments.scatter)
    x = x + 50
    calibration = Calibration({"a": moments}, {"a": 1.0}, len(x), "shifted inputs", {})
    one = compress(saved(tmp_path, {"a.weight": weight}), tmp_path / OUT, modes=2, calibration=calibration)["a.weight"]
    left = x @ (weight - composed(tmp_path / OUT, "a")).T
    assert one.output_error == pytest.approx(relative(left, x @ weight.T), rel=1e-9)
    assert one.bias == ""


def test_a_calibration_is_read_from_its_file_and_one_of_another_network_is_refused(tmp_path: Path) -> None:
    source, (x, moments) = saved(tmp_path, linears()), inputs(30)
    Calibration({"enc.0": moments}, {"enc.0": 1.0}, len(x), "x", {}).save(tmp_path / "moments.safetensors")
    result = compress(source, modes=3, calibration=tmp_path / "moments.safetensors")
    assert [one.output_error is None for one in result] == [False, True, True]
    with pytest.raises(UsageError, match="expected a calibration of its layers, got one of 'other'"):
        compress(source, calibration=Calibration({"other": moments}, {"other": 1.0}, len(x), "x", {}))
    with pytest.raises(UsageError, match=r"'enc.1.weight': expected 40 inputs, got a calibration of 30"):
        compress(source, calibration=Calibration({"enc.1": moments}, {"enc.1": 1.0}, len(x), "x", {}))
    with pytest.raises(UnreadableError, match="calibration"):
        compress(source, calibration=source)


def test_a_budget_of_multiply_adds_counts_how_often_a_layer_acts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {"conv.weight": rng.standard_normal((20, 10, 3, 3)), "fc.weight": rng.standard_normal((30, 20))}
    source = saved(tmp_path, tensors)
    with pytest.raises(UsageError, match=r"'conv.weight': expected a calibration that says at how many positions"):
        compress(source, budget=0.5, by="flops")
    (x, moments), (_, patches) = inputs(20), inputs(90)
    uses = {"conv": 64.0, "fc": 1.0}
    calibration = Calibration({"conv": patches, "fc": moments}, uses, len(x), "x", {})
    result = compress(source, budget=0.5, by="flops", calibration=calibration)
    spent = {one.name: uses[one.name.removesuffix(".weight")] * one.parameters for one in result}
    assert sum(spent.values()) <= 0.5 * (64 * 1800 + 600)
    assert result["fc.weight"].modes is None  # next to nothing, beside what the convolution costs
    half = compress(source, budget=0.5, by="flops", calibration=Calibration({"conv": patches}, {"conv": 64.0}, len(x), "x", {}))
    assert half["fc.weight"].reason.startswith("stays dense: the calibration does not say how often it is used")


def test_a_weight_whose_inputs_are_not_known_says_that_it_is_judged_otherwise(tmp_path: Path) -> None:
    source, (x, moments) = saved(tmp_path, linears()), inputs(30)
    calibration = Calibration({"enc.0": moments}, {"enc.0": 1.0}, len(x), "x", {})
    said = [one.reason for one in compress(source, budget=0.5, calibration=calibration)]
    assert ["judged by its weight" in reason for reason in said] == [False, True, True]
    assert ["its share of the budget is a rough guess" in reason for reason in said] == [False, True, True]
    assert not any("judged" in one.reason for one in compress(source, budget=0.5))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": 0}, "above 0 and up to 1"),
        ({"budget": 1.5}, "above 0 and up to 1"),
        ({"budget": float("nan")}, "above 0 and up to 1"),
        ({"budget": 0.5, "modes": 3}, "one of budget, modes and energy"),
        ({"energy": 1.0}, "energy, a share"),
        ({"modes": 0}, "modes, a whole number"),
        ({"modes": -2}, "modes, a whole number"),
        ({"modes": True}, "modes, a whole number"),
        ({"modes": 2.5}, "modes, a whole number"),
        ({"modes": {}}, "modes by name"),
        ({"modes": {"enc.0": 0}}, "modes by name"),
        ({"modes": {"nothing": 3}}, "'nothing', but no weight of that name"),
        ({"modes": {"enc.0": 31}}, r"up to 30 modes of a weight \(40, 30\), got 31"),
        ({"by": "bytes"}, "by as parameters or flops"),
        ({"form": "sparse"}, "form as factored or dense"),
        ({"dtype": "int8"}, "dtype as one of"),
        ({"include": "nothing.*"}, "expected a weight that can become modes"),
        ({"kind": "nonsense"}, "kind 'nonsense'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(options: Any, said: str, tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    with pytest.raises(UsageError, match=said):
        compress(source, tmp_path / OUT, **options)
    assert list(tmp_path.iterdir()) == [source]


def test_no_input_is_ever_overwritten(tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    before = source.read_bytes()
    os.link(source, tmp_path / "link.safetensors")
    for output in (source, tmp_path / "link.safetensors"):
        with pytest.raises(UsageError, match="is read by this command"):
            compress(source, output)
    (tmp_path / "link.safetensors").unlink()
    with pytest.raises(UsageError, match="is read by this command"):
        compress(tmp_path, source)
    for odd in (tmp_path / "out.bin", tmp_path / "no" / OUT):
        with pytest.raises(UsageError, match=r"ends in .safetensors|cannot be written"):
            compress(source, odd)
    assert source.read_bytes() == before


def test_an_interruption_leaves_what_was_there_and_nothing_half(tmp_path: Path) -> None:
    source = saved(tmp_path, linears())
    (tmp_path / OUT).write_bytes(b"earlier")
    for stage in ("spectra", "writing", "verifying"):

        def stop(what: str, done: int, _total: int | None, stage: str = stage) -> None:
            if what == stage and done == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            compress(source, tmp_path / OUT, budget=0.5, progress=stop)
        assert (tmp_path / OUT).read_bytes() == b"earlier"
        assert {one.name for one in tmp_path.iterdir()} == {source.name, OUT}


def flipped(write: Callable[..., Any], place: int) -> Callable[..., Any]:
    """The writing of a file, one bit of which then changes on the disk."""

    def wrapped(path: Path, *rest: Any) -> Any:
        yield from write(path, *rest)
        data = bytearray(path.read_bytes())
        data[place] ^= 64
        path.write_bytes(bytes(data))

    return wrapped


def test_a_bit_that_changes_on_the_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = saved(tmp_path, {"a.weight": linears()["enc.0.weight"], "z": np.arange(4, dtype=np.int8)})
    monkeypatch.setattr("modescope.modes.compression.write", flipped(writing.write, -1))  # the narrowest tensor is the last
    with pytest.raises(MatrixError, match="'z': expected the bits of the source back"):
        compress(source, tmp_path / OUT, modes=3)
    monkeypatch.setattr("modescope.modes.compression.write", flipped(writing.write, -5))  # the exponent of a factor
    with pytest.raises(MatrixError, match=r"'a.weight': expected an error of"):
        compress(source, tmp_path / OUT, modes=3)
    assert list(tmp_path.iterdir()) == [source]


def test_factors_that_the_dtype_cannot_hold_are_an_error(tmp_path: Path) -> None:
    weight = 1e30 * planted(falling(20), (30, 20))
    source = saved(tmp_path, {"a.weight": weight})
    with pytest.raises(MatrixError, match="expected factors that float16 can hold"):
        compress(source, tmp_path / OUT, modes=3, dtype="float16")
    assert list(tmp_path.iterdir()) == [source]


def test_weights_that_cannot_be_decomposed_stay_with_the_reason(tmp_path: Path) -> None:
    tensors = linears() | {"bad.weight": np.full((30, 20), np.nan, np.float32), "zero.weight": np.zeros((30, 20), np.float32)}
    result = compress(saved(tmp_path, tensors), tmp_path / OUT, budget=0.7)
    assert "not finite" in result["bad.weight"].reason
    assert "all entries are 0" in result["zero.weight"].reason
    assert np.isnan(load_file(tmp_path / OUT)["bad.weight"]).all()


def test_all_formats_give_the_same_file(tmp_path: Path) -> None:
    tensors = linears()
    torch.save({name: torch.from_numpy(one) for name, one in tensors.items()}, tmp_path / "model.pt")
    np.savez(tmp_path / "model.npz", **tensors)
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = list(tensors)
    shards = {name: f"model-0000{1 + (i > 3)}-of-00002.safetensors" for i, name in enumerate(names)}
    for shard in set(shards.values()):
        saved(folder, {name: tensors[name] for name in names if shards[name] == shard}, shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    found = []
    for source in (saved(tmp_path, tensors), tmp_path / "model.pt", tmp_path / "model.npz", folder, tensors):
        compress(source, tmp_path / OUT, budget=0.5)
        found.append({name: one.tobytes() for name, one in load_file(tmp_path / OUT).items()})
    assert all(one == found[0] for one in found)
    with pytest.raises(UsageError, match="is read by this command"):
        compress(folder, folder / shards[names[0]])


def test_tied_tensors_are_written_once_as_torch_keeps_them(tmp_path: Path) -> None:
    weight = torch.from_numpy(planted(falling(20), (30, 20)))
    torch.save({"a.weight": weight, "b.weight": weight, "c.weight": weight.clone()}, tmp_path / "model.pt")
    result = compress(tmp_path / "model.pt", tmp_path / OUT, modes=3, form="dense")
    assert set(load_file(tmp_path / OUT)) == {"a.weight", "c.weight"}
    with safe_open(tmp_path / OUT, "pt") as file:
        assert file.metadata()["b.weight"] == "a.weight"
    assert result.totals.dense_parameters == 1200
    factored = compress(tmp_path / "model.pt", tmp_path / OUT, modes=3)
    assert {skip.name: skip.reason for skip in factored.others}["a.weight"].startswith("tied to b.weight")


def test_one_weight_at_a_time_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    cut = making.cut

    def noted(weight: Any, calibration: Any) -> Any:
        order.append(weight.tensor.name)
        return cut(weight, calibration)

    monkeypatch.setattr("modescope.modes.compression.making.cut", noted)
    told: list[str] = []

    def progress(what: str, done: int, _total: int | None) -> None:
        told.append(f"{what} {done} {len(order)}")

    compress(saved(tmp_path, linears()), tmp_path / OUT, modes=2, progress=progress)
    assert sorted(order) == sorted(WEIGHTS)
    assert "spectra 3 0" in told  # nothing is decomposed with vectors before the plan stands
    made = [int(one.split()[2]) for one in told if one.startswith("writing")]
    assert all(b - a <= 1 for a, b in pairwise(made))


def test_what_killed_writers_left_long_ago_is_removed_and_nothing_else(tmp_path: Path) -> None:
    source, day = saved(tmp_path, linears()), 86_400
    names = (f".{OUT}.1.safetensors", f".{OUT}.2.safetensors", ".other.safetensors.1.safetensors")
    for name, age in zip(names, (2 * day, 60, 2 * day), strict=True):
        (tmp_path / name).write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    compress(source, tmp_path / OUT, modes=3)
    assert [(tmp_path / name).exists() for name in names] == [False, True, True]
