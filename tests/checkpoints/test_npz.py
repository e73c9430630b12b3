import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import real
from checkpoint_cases import counting, read_all, reasons, same, written
from modescope import checkpoints
from modescope.errors import UnreadableError, UnsafeError
from modescope.matrix import Array


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {"layer.weight": counting(3, 4), "layer/bias": counting(3, dtype=np.float16)}
    np.savez(folder / "model.npz", **arrays)
    return folder / "model.npz", arrays


def compressed(folder: Path, array: Array) -> Path:
    np.savez_compressed(folder / "packed.npz", w=array)
    return folder / "packed.npz"


def patched(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    return written(path, data.replace(old, new))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_stored_and_compressed_members_hold_the_same_numbers(tmp_path, save, order):
    arrays = {
        "w": np.asarray(counting(5, 6), order=order),
        "big": counting(2, 3, dtype=">f8"),
        "none": np.zeros((0, 4)),
        "one": np.array(2.5),
    }
    save(tmp_path / "m.npz", **arrays)
    found = read_all(tmp_path / "m.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype.isnative


def test_a_stored_member_is_mapped_where_it_lies(tmp_path):
    np.savez(tmp_path / "m.npz", w=counting(1000, 100))
    tensor = checkpoints.open(tmp_path / "m.npz").tensors[0]
    assert isinstance(tensor.read().base, np.memmap)


def test_python_objects_are_refused_and_not_loaded(tmp_path):
    np.savez(tmp_path / "m.npz", allow_pickle=True, w=np.array([print], dtype=object))
    with pytest.raises(UnsafeError, match=r"'w'.*objects"):
        checkpoints.open(tmp_path / "m.npz")


def test_other_files_in_the_archive_are_skipped_with_a_reason(tmp_path):
    path, arrays = sample(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "hello")
    assert reasons(path) == {"notes.txt": "a file in the archive that is no array"}
    assert read_all(path).keys() == arrays.keys()


def test_one_array_that_is_no_number_costs_only_itself(tmp_path):
    np.savez(tmp_path / "m.npz", w=counting(2, 2), text=np.array(["a"]), records=np.zeros(2, [("a", "<f4")]))
    assert reasons(tmp_path / "m.npz").keys() == {"text", "records"}
    assert list(read_all(tmp_path / "m.npz")) == ["w"]


def test_a_truncated_archive_is_an_error_that_names_the_file(tmp_path):
    path, _ = sample(tmp_path)
    whole = path.read_bytes()
    for size in (0, 3, 30, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnreadableError, match=r"model\.npz"):
            checkpoints.open(written(path, whole[:size]))


def test_a_header_that_promises_more_than_the_member_holds_is_refused_before_memory_is_taken(tmp_path):
    path = compressed(tmp_path, counting(4, 4))
    with zipfile.ZipFile(path) as archive:
        data = archive.read("w.npy").replace(b"(4, 4), ", b"(9999999")  # the same length, and no valid tuple
        larger = archive.read("w.npy").replace(b"(4, 4), }", b"(9**9,)} ").replace(b"9**9", b"9999")
    for body in (data, larger):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w.npy", body)
        with pytest.raises(UnreadableError, match="'w'"):
            checkpoints.open(path)


def test_a_directory_that_promises_an_impossible_ratio_is_refused(tmp_path):
    path = compressed(tmp_path, counting(4, 4))
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("w.npy").file_size.to_bytes(4, "little")
    with pytest.raises(UnreadableError, match=r"lies|damaged"):
        checkpoints.open(patched(path, size, (2**31).to_bytes(4, "little")))


def test_changed_bytes_of_a_compressed_member_fail_its_checksum(tmp_path):
    path = compressed(tmp_path, np.random.default_rng(0).normal(size=(400, 400)))
    tensor = checkpoints.open(path).tensors[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match=r"packed\.npz"):
        tensor.read()


def test_members_of_one_name_are_refused(tmp_path):
    path, _ = sample(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("layer.weight.npy", b"other")
    with pytest.raises(UnreadableError, match="twice"):
        checkpoints.open(path)


def test_other_compression_is_refused(tmp_path):
    path, _ = sample(tmp_path)
    with zipfile.ZipFile(path) as archive:
        body = archive.read("layer.weight.npy")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("w.npy", body)
    with pytest.raises(UnreadableError, match="method 14"):
        checkpoints.open(path)


@pytest.mark.real
def test_the_grapheme_network_opens_and_equals_numpy(tmp_path):
    path = real.path("g2p-en") / "g2p_en" / "checkpoint20.npz"
    found = read_all(path)
    assert found["enc_w_ih"].shape == (768, 256)
    with np.load(path) as expected:
        assert found.keys() == set(expected)
        assert all(same(found[name], expected[name]) for name in expected)
