from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from checkpoint_cases import counting, read_all, reasons, same
from modescope import checkpoints
from modescope.errors import UnreadableError


def sample(_folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {"layer.weight": counting(3, 4), "layer.bias": counting(3, dtype=ml_dtypes.bfloat16)}
    return arrays, arrays


class Remote:
    """An array that counts how often it is read, like a dataset in a file."""

    def __init__(self, array: Any) -> None:
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        self.reads += 1
        return np.array(self.array, dtype=dtype)


class Bare:
    """An array that shows nothing until it is asked for."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return counting(2, 3)


def test_nested_mappings_are_joined_by_dots():
    scales = [counting(2), counting(3)]
    found = read_all({"encoder": {"fc": {"weight": counting(2, 3)}}, "head": {"weight": counting(3, 2)}, "scales": scales})
    shapes = {"encoder.fc.weight": (2, 3), "head.weight": (3, 2), "scales.0": (2,), "scales.1": (3,)}
    assert {name: array.shape for name, array in found.items()} == shapes


def test_any_mapping_will_do():
    assert list(read_all(MappingProxyType({"w": counting(2, 2)}))) == ["w"]


def test_the_callers_arrays_are_neither_copied_nor_writable_through_ours():
    array = counting(3, 4)
    found = read_all({"w": array})["w"]
    assert np.shares_memory(found, array)
    assert not found.flags.writeable
    assert array.flags.writeable


def test_a_lazy_array_is_read_only_when_its_numbers_are_wanted():
    remote = Remote(counting(3, 4))
    (tensor,) = checkpoints.open({"w": remote}).tensors
    assert (remote.reads, tensor.shape) == (0, (3, 4))
    assert same(tensor.read(), counting(3, 4))


def test_an_array_that_must_be_asked_is_asked():
    assert same(read_all({"w": Bare()})["w"], counting(2, 3))


def test_the_same_memory_under_two_names_is_one_tensor():
    shared = counting(3, 4)
    tensors = checkpoints.open({"a": shared, "b": shared, "view": shared[:, :], "turned": shared.T, "copy": shared.copy()}).tensors
    assert {t.name: t.aliases for t in tensors} == {"a": ("b", "view"), "turned": (), "copy": ()}


def test_foreign_byte_order_is_turned():
    found = read_all({"w": counting(2, 3).astype(">f4")})["w"]
    assert same(found, counting(2, 3))


def test_what_is_no_array_of_numbers_is_skipped_with_a_reason():
    other = {
        "text": np.array(["a"]),
        "objects": np.array([None]),
        "step": 3,
        "lists": [[1.0]],
        "scalar": np.float64(2),
    }
    assert reasons({"w": counting(2, 2), **other}).keys() == other.keys()


def test_torch_tensors_stand_beside_arrays():
    torch = pytest.importorskip("torch")
    value = torch.arange(6.0).reshape(2, 3).bfloat16().requires_grad_()
    found = read_all({"t": value, "n": counting(2, 2)})
    assert found["t"].dtype.name == "bfloat16"
    assert found["t"].astype(np.float32).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not found["t"].flags.writeable


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(UnreadableError, match=r"'a\.b\.c' twice"):
        checkpoints.open({"a": {"b.c": counting(2, 2)}, "a.b": {"c": counting(2, 2)}})


def test_an_empty_mapping_has_no_tensors():
    assert checkpoints.open({}).tensors == ()
