from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from checkpoint_cases import counting, read_all, reasons, same, written
from modescope import checkpoints
from modescope.errors import UnreadableError, UnsafeError


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    array = counting(3, 4)
    np.save(folder / "weight.npy", array)
    return folder / "weight.npy", {"weight": array}


def headed(text: str, data: bytes = b"", version: int = 1) -> bytes:
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text.encode() + data


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}\n"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2", "|b1", "<i8", "<c8"])
def test_order_and_byte_order_do_not_change_the_numbers(tmp_path, dtype, order):
    array = np.asarray(counting(3, 4), dtype=dtype, order=order)
    np.save(tmp_path / "w.npy", array)
    found = read_all(tmp_path / "w.npy")["w"]
    assert found.dtype.isnative
    assert found.dtype.name == array.dtype.name == checkpoints.open(tmp_path / "w.npy").tensors[0].stored
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_header_version_is_read(tmp_path, version):
    found = read_all(written(tmp_path / "w.npy", headed(GOOD, counting(2, 2).tobytes(), version)))["w"]
    assert same(found, counting(2, 2))


def test_python_objects_are_refused_and_not_loaded(tmp_path):
    np.save(tmp_path / "w.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    with pytest.raises(UnsafeError, match="objects"):
        checkpoints.open(tmp_path / "w.npy")


def test_objects_inside_records_are_refused_too(tmp_path):
    with pytest.raises(UnsafeError, match="objects"):
        checkpoints.open(
            written(tmp_path / "w.npy", headed("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", bytes(8)))
        )


@pytest.mark.parametrize(
    ("array", "pattern"),
    [
        (np.zeros((2, 2), ml_dtypes.bfloat16), "bfloat16"),
        (np.array(["text"]), "not numbers"),
        (np.zeros(3, [("a", "<f4"), ("b", "<i4")]), "records"),
        (np.zeros(3, "datetime64[s]"), "not numbers"),
    ],
)
def test_what_is_no_number_is_skipped_with_its_reason(tmp_path, array, pattern):
    np.save(tmp_path / "w.npy", array)
    assert pattern in reasons(tmp_path / "w.npy")["w"]
    assert not checkpoints.open(tmp_path / "w.npy").tensors


def test_bytes_after_the_array_are_no_silent_gap(tmp_path):
    path, _ = sample(tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    assert "4 bytes" in reasons(path)["rest of the file"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY",
        headed(GOOD, bytes(15)),
        headed(GOOD, bytes(16), 9),
        headed(GOOD)[:20],
        headed("{'descr': '<f4', 'shape': (2, 2)}", bytes(16)),
        headed("__import__('os')", bytes(16)),
        headed("[1]", bytes(16)),
        headed("(" * 9_000, bytes(16)),
        headed(GOOD.replace("(2, 2)", "(-2, -2)"), bytes(16)),
        headed(GOOD.replace("(2, 2)", "(2.0, 2)"), bytes(16)),
        headed(GOOD.replace("(2, 2)", "(10**9, 2)"), bytes(16)),
        headed(GOOD.replace("(2, 2)", f"({2**62}, {2**62})"), bytes(16)),
        headed(GOOD.replace("False", "'no'"), bytes(16)),
        headed(GOOD.replace("<f4", "<q4"), bytes(16)),
        headed(GOOD.replace("<f4", "i4,i4"), bytes(16)),
        headed(GOOD.replace("<f4", "f999"), bytes(16)),
        headed(GOOD.replace("'<f4'", "[('a',)]"), bytes(16)),
        headed(GOOD.replace("'<f4'", "{'a': 1}"), bytes(16)),
    ],
)
def test_a_damaged_header_is_one_line_that_names_the_file(tmp_path, data):
    path = written(tmp_path / "broken.npy", data)
    with pytest.raises(UnreadableError) as caught:
        checkpoints.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
