"""Damaged files of every binary format: the answer is an array or a `ModescopeError`, never another exception or a hang."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoint_cases import SETTINGS, counting, framed, laid_out
from modescope import checkpoints
from modescope.errors import ModescopeError

LARGEST = 1 << 22  # entries that are read; a lie about a larger shape must have been told from the file's size before


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, counting(3, 4))
    return file.getvalue()


def npz(save: Any = np.savez) -> bytes:
    file = io.BytesIO()
    save(file, **{"a.weight": counting(3, 4), "b": counting(5, dtype=np.float16)})
    return file.getvalue()


def torch_bytes(*, legacy: bool) -> bytes:
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    value = {"model": {"fc.weight": torch.ones(3, 4), "b": torch.ones(3).bfloat16()}, "epoch": 3, "list": [torch.ones(2)]}
    torch.save(value, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


FILES = {
    "safetensors": lambda: framed(*laid_out({"a.weight": counting(3, 4), "b": counting(5, dtype=np.float16)}, {"format": "pt"})),
    "npy": npy,
    "npz": npz,
    "npz compressed": lambda: npz(np.savez_compressed),
    "torch zip": lambda: torch_bytes(legacy=False),
    "torch legacy": lambda: torch_bytes(legacy=True),
}
SUFFIX = {kind: {"torch": ".pt"}.get(kind.split()[0], f".{kind.split()[0]}") for kind in FILES}


def survives(path: Path) -> None:
    """Open and read everything; only our own errors may come out, and they must fit on three lines."""
    told = ""
    try:
        for tensor in checkpoints.open(path).tensors:
            assert tensor.size <= LARGEST
            array = tensor.read()
            assert array.shape == tensor.shape
            array.tobytes()
    except ModescopeError as error:
        told = str(error)
    assert told.count("\n") < 3
    assert len(told) < 1500


def damaged(data: bytes, edits: list[tuple[float, int]], cut: float | None, inserted: tuple[float, bytes] | None) -> bytes:
    found = bytearray(data)
    for at, value in edits:
        found[int(at * (len(found) - 1))] = value
    if inserted is not None:
        place = int(inserted[0] * len(found))
        found[place:place] = inserted[1]
    return bytes(found if cut is None else found[: int(cut * len(found))])


fractions = st.floats(0, 1)


@pytest.mark.filterwarnings("default")  # what a damaged file makes a library warn of is not under test
@pytest.mark.parametrize("kind", FILES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(fractions, st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | fractions,
    inserted=st.none() | st.tuples(fractions, st.binary(min_size=1, max_size=9)),
)
def test_a_damaged_file_is_read_or_refused(kind, tmp_path, edits, cut, inserted):
    path = tmp_path / f"m{SUFFIX[kind]}"
    path.write_bytes(damaged(FILES[kind](), edits, cut, inserted))
    survives(path)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere_is_read_or_refused(kind, tmp_path):
    data = FILES[kind]()
    for size in range(0, len(data), max(len(data) // 120, 1)):
        path = tmp_path / f"m{SUFFIX[kind]}"
        path.write_bytes(data[:size])
        survives(path)


@pytest.mark.filterwarnings("default")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(st.tuples(fractions, st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_pickle_inside_a_whole_archive_is_read_or_refused(tmp_path, edits):
    source = zipfile.ZipFile(io.BytesIO(torch_bytes(legacy=False)))
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        for member in source.namelist():
            data = source.read(member)
            archive.writestr(member, damaged(data, edits, None, None) if member.endswith("data.pkl") else data)
    survives(tmp_path / "m.pt")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
known_keys = st.sampled_from(["weight_map", "alpha_pattern", "lora_alpha", "r", "peft_type", "x", *SETTINGS])
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "F8_E4M3", "F4", "BOOL"]) | json_values,
        "shape": st.lists(st.integers(0, 4), max_size=3) | json_values,
        "data_offsets": st.lists(st.integers(0, 40), min_size=2, max_size=2) | json_values,
    }
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.dictionaries(st.text(max_size=6) | st.just("__metadata__"), entries | json_values, max_size=4),
    data=st.binary(max_size=48),
)
def test_any_json_in_a_safetensors_header_is_read_or_refused(tmp_path, header, data):
    (tmp_path / "m.safetensors").write_bytes(framed(header, data))
    survives(tmp_path / "m.safetensors")


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "model.safetensors.index.json"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.dictionaries(known_keys, json_values))
def test_any_json_in_a_folder_is_read_or_refused(tmp_path, name, keys):
    for stem in ("model", "adapter_model"):
        (tmp_path / f"{stem}.safetensors").write_bytes(framed(*laid_out({"a.lora_A.weight": counting(2, 4), "b": counting(3)})))
    (tmp_path / name).write_text(json.dumps(keys))
    survives(tmp_path)
