import json
import pickle
import time
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from checkpoint_cases import CODES, counting, framed, laid_out, read_all, reasons, same, write_safetensors, written
from modescope import checkpoints
from modescope.errors import UnreadableError

GOOD = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
DATA = bytes(16)


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {"layer.weight": counting(3, 4), "layer.bias": counting(3, dtype=ml_dtypes.bfloat16)}
    return write_safetensors(folder / "model.safetensors", arrays), arrays


@pytest.mark.parametrize("name", CODES)
def test_every_dtype_reads_back_bit_for_bit(tmp_path, name):
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    rng = np.random.default_rng(0)
    array = rng.integers(0, 2 if name == "bool" else 256, (5, 3, dtype.itemsize), dtype=np.uint8).view(dtype)[..., 0]
    (tensor,) = checkpoints.open(write_safetensors(tmp_path / "m.safetensors", {"w": array})).tensors
    assert tensor.stored == name
    assert same(tensor.read(), np.ascontiguousarray(array))


@pytest.mark.parametrize(
    ("code", "raw", "value"),
    [
        ("BF16", b"\xc0\x3f", 1.5),  # sign 0, exponent 127, fraction 1/2; low byte first
        ("BF16", b"\x80\x7f", np.inf),
        ("BF16", b"\x01\x00", 2.0**-133),  # the smallest subnormal
        ("F16", b"\x00\xbe", -1.5),
        ("F8_E4M3", b"\x7e", 448.0),  # the largest: this dtype has no infinity
        ("F8_E4M3", b"\x01", 2.0**-9),
        ("F8_E5M2", b"\x7b", 57344.0),
        ("F8_E5M2", b"\xfc", -np.inf),
        ("F8_E8M0", b"\x80", 2.0),  # exponent alone: 2**(128 - 127)
    ],
)
def test_narrow_floats_have_the_values_of_their_bits(tmp_path, code, raw, value):
    path = written(tmp_path / "m.safetensors", framed({"w": {"dtype": code, "shape": [], "data_offsets": [0, len(raw)]}}, raw))
    assert float(read_all(path)["w"]) == value


def test_our_reader_agrees_with_the_reference_writer(tmp_path):
    from safetensors.numpy import save_file

    arrays = {"a.weight": counting(7, 5), "b": counting(2, 3, 4, dtype=np.float16), "empty": np.zeros((0, 3), np.float32)}
    save_file(arrays, tmp_path / "m.safetensors", metadata={"format": "np"})
    found = read_all(tmp_path / "m.safetensors")
    assert found.keys() == arrays.keys()
    assert all(same(found[name], arrays[name]) for name in arrays)
    assert checkpoints.open(tmp_path / "m.safetensors").tensors[0].declared == {"format": "np"}


def test_empty_tensors_and_single_numbers_are_read(tmp_path):
    arrays = {
        "empty": np.zeros((0, 4), np.float32),
        "number": np.array(3.0, np.float32),
        "none": np.zeros((2, 0), ml_dtypes.bfloat16),
    }
    found = read_all(write_safetensors(tmp_path / "m.safetensors", arrays))
    assert all(same(found[name], arrays[name]) for name in arrays)


def test_a_file_of_empty_tensors_alone_is_read(tmp_path):
    assert read_all(write_safetensors(tmp_path / "m.safetensors", {"empty": np.zeros((0, 4), np.float32)}))["empty"].shape == (0, 4)


@pytest.mark.parametrize("padding", range(4))
def test_the_numbers_need_not_be_aligned(tmp_path, padding):
    header, data = laid_out({"w": counting(3, 4), "v": counting(5, dtype=np.float64), "b": counting(2, dtype=ml_dtypes.bfloat16)})
    found = read_all(written(tmp_path / "m.safetensors", framed(json.dumps(header).encode() + b" " * padding, data)))
    assert float(found["w"].astype(np.float64).sum()) == 78.0
    assert found["v"].tolist() == [1, 2, 3, 4, 5]
    assert found["b"].astype(np.float32).tolist() == [1, 2]


def test_arrays_cannot_be_written_to(tmp_path):
    array = read_all(sample(tmp_path)[0])["layer.weight"]
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 9


@pytest.mark.parametrize("code", ["F4", "F6_E2M3", "F6_E3M2"])
def test_packed_floats_are_named_and_skipped(tmp_path, code):
    size = 2 * {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}[code]
    entries = {
        "packed": {"dtype": code, "shape": [4, 4], "data_offsets": [0, size]},
        "w": {**GOOD, "data_offsets": [size, size + 16]},
    }
    path = written(tmp_path / "m.safetensors", framed(entries, bytes(size + 16)))
    assert code in reasons(path)["packed"]
    assert list(read_all(path)) == ["w"]


DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "0 bytes"),
    "seven bytes": (bytes(7), "7 bytes"),
    "header cut": (framed({"w": GOOD}, DATA)[:30], "cut"),
    "data cut": (framed({"w": GOOD}, DATA)[:-1], "'w'.*up to 16, got 15"),
    "header longer than allowed": ((10**8 + 1).to_bytes(8, "little") + b"{}", "100,000,001"),
    "header longer than the universe": (b"\xff" * 8 + b"{}", "18,446,744"),
    "header longer than the file": ((500).to_bytes(8, "little") + b"{}", "500"),
    "not UTF-8": (framed(b'{"\xff\xfe": 1}'), "UTF-8"),
    "not JSON": (framed(b'{"w": '), "valid JSON"),
    "a list": (framed([1, 2]), "object, got a list"),
    "null": (framed(b"null    "), "object, got null"),
    "nested a million deep": (framed(b'{"a":' * 10**6), "JSON"),
    "endless number": (framed(b'{"a":' + b"9" * 5000 + b"}"), "JSON"),
    "name twice": (framed(b'{"w":1,"w":1}'), "'w' stands twice"),
    "half a surrogate": (framed(b'{"\\ud800":1}'), "UTF-8"),
    "entry of another kind": (framed({"w": 3}), "'w'"),
    "dtype missing": (framed({"w": {"shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "'w'.*dtype"),
    "dtype unknown": (framed({"w": {**GOOD, "dtype": "F99"}}, DATA), "'w'.*'F99'"),
    "dtype a list": (framed({"w": {**GOOD, "dtype": ["F32"]}}, DATA), "'w'.*dtype"),
    "negative axis": (framed({"w": {**GOOD, "shape": [-2, -2]}}, DATA), "'w'.*shape"),
    "fractional axis": (framed({"w": {**GOOD, "shape": [2.0, 2]}}, DATA), "'w'.*shape"),
    "axis a truth value": (framed({"w": {**GOOD, "shape": [True, 4]}}, DATA), "'w'.*shape"),
    "shape that overflows": (framed({"w": {**GOOD, "shape": [2**40, 2**40]}}, DATA), "'w'.*fits"),
    "empty shape that overflows": (framed({"w": {**GOOD, "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}}), "'w'.*fits"),
    "too many axes": (framed({"w": {**GOOD, "shape": [1] * 65}}, DATA), "'w'.*fits"),
    "shape and bytes differ": (framed({"w": {**GOOD, "shape": [2, 3]}}, DATA), "'w'.*24 bytes.*16"),
    "offsets reversed": (framed({"w": {**GOOD, "data_offsets": [16, 0]}}, DATA), "'w'.*begin <= end"),
    "offsets negative": (framed({"w": {**GOOD, "data_offsets": [-16, 0]}}, DATA), "'w'.*data_offsets"),
    "one offset": (framed({"w": {**GOOD, "data_offsets": [0]}}, DATA), "'w'.*data_offsets"),
    "offsets beyond the file": (framed({"w": {**GOOD, "data_offsets": [0, 16]}}, bytes(8)), "'w'.*cut"),
    "hole at the start": (framed({"w": {**GOOD, "data_offsets": [8, 24]}}, bytes(24)), "'w'.*hole"),
    "overlap": (framed({"w": GOOD, "v": {**GOOD, "data_offsets": [8, 24]}}, bytes(24)), "'v'.*overlaps"),
    "bytes after the last tensor": (framed({"w": GOOD}, bytes(20)), "follows the last"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_line_that_names_file_and_fault(tmp_path, case):
    data, pattern = DAMAGED[case]
    path = written(tmp_path / "broken.safetensors", data)
    with pytest.raises(UnreadableError, match=pattern) as caught:
        checkpoints.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_hostile_names_are_data_and_stay_on_their_line_in_errors(tmp_path):
    names = ["<script>alert(1)</script>", "two\nlines", "\x1b[31mred\x1b[0m", "über/模型", "", "x" * 10_000]
    path = write_safetensors(tmp_path / "m.safetensors", {name: counting(1, i + 1) for i, name in enumerate(names)})
    assert list(read_all(path)) == names
    broken = written(tmp_path / "broken.safetensors", framed({"\x1b[31m\n" + "x" * 10_000: {**GOOD, "dtype": "F99"}}))
    with pytest.raises(UnreadableError) as caught:
        checkpoints.open(broken)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_ten_thousand_tensors_open_in_a_moment(tmp_path):
    path = write_safetensors(
        tmp_path / "m.safetensors", {f"layer.{i}.weight": np.full((2, 2), i, np.float32) for i in range(10_000)}
    )
    start = time.process_time()
    tensors = checkpoints.open(path).tensors
    assert time.process_time() - start < 5  # about 0.2 s; parsing the header once per tensor would take minutes
    assert tensors[7_777].read().tolist() == [[7_777, 7_777], [7_777, 7_777]]


def test_a_tensor_larger_than_memory_opens_at_once(tmp_path):
    side = 2**17  # 64 GB as float32, a hole on disk
    header = framed({"w": {"dtype": "F32", "shape": [side, side], "data_offsets": [0, 4 * side**2]}})
    with written(tmp_path / "huge.safetensors", header).open("r+b") as file:
        file.truncate(len(header) + 4 * side**2)
    (tensor,) = checkpoints.open(tmp_path / "huge.safetensors").tensors
    assert len(pickle.dumps(tensor)) < 2000
    assert tensor.read()[-1, -1] == 0


def test_a_file_cut_after_it_was_opened_is_an_error_that_names_the_tensor(tmp_path):
    path, _ = sample(tmp_path)
    tensor = checkpoints.open(path).tensors[0]
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnreadableError, match=r"layer\.weight.*changed"):
        tensor.read()
