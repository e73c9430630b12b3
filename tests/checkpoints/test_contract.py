"""What every checkpoint format promises; a new one joins by its file, with a `sample` in its own test file."""

import dataclasses
import importlib.util
import pickle
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from checkpoint_cases import same
from modescope import checkpoints
from modescope.checkpoints import HEAD, Checkpoint
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor
from modescope.registry import modules

FORMATS = modules("modescope.checkpoints")
NEEDS_TORCH = {"torch_file", "module"}


def own_tests(name: str) -> ModuleType:
    if name in NEEDS_TORCH:
        pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location(f"samples_{name}", Path(__file__).with_name(f"test_{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=sorted(FORMATS))
def name(request):
    return request.param


@pytest.fixture
def case(name, tmp_path):
    return own_tests(name).sample(tmp_path)


def head_of(source: Any) -> bytes:
    return source.read_bytes()[:HEAD] if isinstance(source, Path) and source.is_file() else b""


def test_a_format_claims_its_own_sample_and_no_other_claims_as_strongly(name, case):
    source, _ = case
    claims = {other: module.claims(source, head_of(source)) for other, module in FORMATS.items()}
    assert claims.pop(name) >= 2
    assert max(claims.values()) < FORMATS[name].claims(source, head_of(source))
    assert checkpoints.open(source).format == name


def test_content_is_believed_before_the_suffix(name, case, tmp_path):
    source, expected = case
    if not isinstance(source, Path) or source.is_dir() or source.suffix == ".json":  # an index is a JSON file by name
        pytest.skip("not a single file of numbers")
    for suffix in (".pt", ".npz", ".npy", ".safetensors", ".unknown", ""):
        copy = tmp_path / f"another{suffix}"
        shutil.copy(source, copy)
        assert checkpoints.open(copy).format == name
        assert len(checkpoints.open(copy).tensors) == len(expected)


def test_every_tensor_pickles_and_reads_its_shape_dtype_and_values(case):
    source, expected = case
    found = {tensor.name: tensor for tensor in checkpoints.open(source).tensors}
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        for one in (tensor, pickle.loads(pickle.dumps(tensor))):
            array = one.read()
            assert isinstance(array, np.ndarray)
            assert array.shape == one.shape
            assert array.dtype.name == one.stored
            assert same(np.ascontiguousarray(array), expected[name])


def test_opening_reads_no_weights(case):
    """Every stored byte of a weight is turned over after the checkpoint was opened: reading must give the new ones."""
    source, expected = case
    if not isinstance(source, Path):
        pytest.skip("a live object holds its numbers anyway")
    tensors = checkpoints.open(source).tensors
    files = (
        [source]
        if source.is_file() and source.suffix != ".json"
        else sorted(source.parent.glob("*") if source.is_file() else source.glob("*"))
    )
    turned = {}
    for path in files:
        data = path.read_bytes()
        for name, array in expected.items():
            raw = array.tobytes()
            flipped = bytes(byte ^ 0x01 for byte in raw)
            if raw in data:
                data = data.replace(raw, flipped)
                turned[name] = np.frombuffer(flipped, array.dtype).reshape(array.shape)
        path.write_bytes(data)
    assert turned.keys() == expected.keys()
    for tensor in tensors:
        assert same(np.ascontiguousarray(tensor.read()), turned[tensor.name])


def test_thunks_keep_no_file_open(case):
    source, _ = case
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else None
    kept = [checkpoints.open(source) for _ in range(20)]
    if before is not None:
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3
    assert kept


def test_everything_found_is_frozen(case):
    checkpoint = checkpoints.open(case[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        checkpoint.tensors[0].name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        checkpoint.format = "other"


def test_declared_facts_are_text(case):
    for tensor in checkpoints.open(case[0]).tensors:
        assert all(isinstance(key, str) and isinstance(value, str) for key, value in tensor.declared.items())


def test_a_format_looks_at_any_source_without_an_exception(name, tmp_path):
    for source in (tmp_path, tmp_path / "absent", 3, None, "text", object(), {}, []):
        assert FORMATS[name].claims(source, b"") in range(4)
    for head in (b"\0" * HEAD, b"\xff" * HEAD, b"PK\x03\x04", b"PK", b"\x80", b"\x80\x02", b"{", b"\x93NUMPY"):
        path = tmp_path / "file"
        path.write_bytes(head)
        assert FORMATS[name].claims(path, head) in range(4)


def test_the_first_line_of_a_format_is_its_help(name):
    line = (FORMATS[name].__doc__ or "").partition("\n")[0]
    assert line.endswith(".")
    assert 20 < len(line) < 132


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_may_be_text_and_an_open_checkpoint_is_given_back(tmp_path, kind):
    np.save(tmp_path / "w.npy", np.ones((2, 2)))
    checkpoint = checkpoints.open(kind(tmp_path / "w.npy"))
    assert checkpoint.path == tmp_path / "w.npy"
    assert checkpoints.open(checkpoint) is checkpoint


def test_what_no_format_knows_is_an_error_that_lists_them(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UnreadableError, match=r"notes\.txt.*safetensors.*torch_file"):
        checkpoints.open(tmp_path / "notes.txt")
    with pytest.raises(UnreadableError, match=r"a builtins\.int"):
        checkpoints.open(3)


def test_a_path_that_is_absent_or_no_file_is_an_error_and_not_a_hang(tmp_path):
    import os

    with pytest.raises(UnreadableError, match=r"absent.*No such file"):
        checkpoints.open(tmp_path / "absent")
    with pytest.raises(UnreadableError):
        checkpoints.open("nul\0byte")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableError, match="neither"):
        checkpoints.open(tmp_path / "pipe")


def test_a_name_that_stands_twice_is_refused_whatever_the_format(monkeypatch):
    twice = ModuleType("twice")
    twice.claims = lambda source, head, /: 3  # type: ignore[attr-defined]
    twice.tensors = lambda source, /: iter([Tensor("w", (1,), "float32", list)] * 2 + [Skip("s", (), "r")])  # type: ignore[attr-defined]
    monkeypatch.setattr(checkpoints, "modules", lambda _: {"twice": twice})
    with pytest.raises(UnreadableError, match="'w' twice"):
        checkpoints.open(object())


def test_skips_and_tensors_are_told_apart(tmp_path):
    checkpoint = checkpoints.open({"w": np.ones((2, 2)), "epoch": 3})
    assert isinstance(checkpoint, Checkpoint)
    assert [tensor.name for tensor in checkpoint.tensors] == ["w"]
    assert [skip.name for skip in checkpoint.skipped] == ["epoch"]
