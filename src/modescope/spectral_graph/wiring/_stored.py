"""Which layers of a checkpoint a weight in use is: found by the storage of the parameter, also through slices and transposes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.errors import UsageError
from modescope.layers import matrices
from modescope.matrix import Array, Matrix
from modescope.spectral_graph.wiring import Layer, Rows
from modescope.spectral_graph.wiring.weights import layers
from modescope.svd import Values

FROM_THE_RIGHT = "the tensor is multiplied from the right, as in x @ W: its first axis is read and its second is written"
BOTH = "the tensor is used in both directions"


@dataclass(frozen=True, eq=False)
class Placed:
    """A layer in its tensor.

    Attributes:
        layer: The layer.
        rows: (out,) places along the axis of outputs of the tensor.
        columns: (channels,) places along its axis of inputs.
        turned: Outputs lie along the second axis of the tensor.
    """

    layer: Layer
    rows: Rows
    columns: Rows
    turned: bool = False


@dataclass(frozen=True, eq=False)
class Part:
    """A layer in a weight in use.

    Attributes:
        layer: The layer.
        rows: (outputs of the weight,) row of the layer that each is, -1 for none.
        columns: (channels of the layer,) input of the weight that each is, -1 for none.
    """

    layer: Layer
    rows: Rows
    columns: Rows


class Stored:
    """The parameters and buffers of a model, and the layers of its checkpoint."""

    def __init__(self, model: Any, checkpoint: Checkpoint, view: str | None) -> None:
        self.placed = _named(model, placed(checkpoint, view))
        names = {alias: tensor.name for tensor in checkpoint.tensors for alias in (tensor.name, *tensor.aliases)}
        self._learned = {id(tensor) for tensor in model.parameters()}
        self._own = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._parameters: dict[int, list[tuple[str, Any]]] = {}
        self._modules: dict[int, str] = {}
        self._names: dict[int, str] = {}
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            self._modules.setdefault(id(tensor), name.rpartition(".")[0])
            self._names[id(tensor)] = names.get(name, name)
            self._parameters.setdefault(_storage(tensor), []).append((names.get(name, name), tensor))
        shapes = {tensor.name: tensor.shape for tensor in checkpoint.tensors}
        for name, parameter in model.named_parameters():
            held = shapes.get(names.get(name, name))
            if held is not None and held != tuple(parameter.shape):
                raise UsageError(
                    f"{name}: expected the model that belongs to the checkpoint; "
                    f"its shape is {tuple(parameter.shape)} in the model and {held} in the checkpoint."
                )

    def holds(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter or buffer of the model, or a part of one."""
        return id(tensor) in self._own or self._around(tensor) is not None

    def owner(self, tensor: Any) -> Any | None:
        """The parameter that a tensor is, or is part of."""
        around = self._around(tensor)
        return around[1] if around is not None and id(around[1]) in self._learned else None

    def name(self, tensor: Any) -> str:
        """Name of the parameter or buffer that a tensor is, or is part of; otherwise empty."""
        around = self._around(tensor)
        return around[0] if around else ""

    def vector(self, tensor: Any) -> str:
        """Name of the parameter that a tensor is all of, where only one of its axes is longer than 1; otherwise empty."""
        around = self._around(tensor)
        if around is None or id(around[1]) not in self._learned:
            return ""
        name, parameter = around
        whole = tensor.numel() == parameter.numel() == max(parameter.shape, default=0) == max(tensor.shape, default=0)
        return name if whole and parameter.numel() > 1 else ""

    def module(self, tensor: Any) -> str | None:
        """Name of the module that owns a parameter or buffer."""
        return self._modules.get(id(tensor))

    def names(self, tensor: Any) -> tuple[Layer, ...]:
        """All layers of the tensor that a parameter is, or is part of."""
        around = self._around(tensor)
        return tuple(place.layer for place in self.placed.get(around[0], ())) if around else ()

    def parts(self, weight: Any) -> tuple[Part, ...]:
        """The layers that a weight (out, in) or (out, in, *k) in use is; none where it is no part of a stored tensor."""
        around = self._around(weight)
        if around is None:
            return ()
        name, parameter = around
        if weight.ndim > 2 or (parameter.ndim > 2 and prod(parameter.shape[2:]) > 1):
            whole = weight.shape == parameter.shape and weight.stride() == parameter.stride()
            return tuple(Part(p.layer, _count(p.layer.out), _count(p.layer.channels)) for p in self.placed.get(name, ()) if whole)
        if weight.ndim < 2 or parameter.ndim < 2 or not parameter.is_contiguous():
            return ()
        found = _region(weight, parameter)
        return () if found is None else tuple(_parts(self.placed.get(name, ()), parameter, *found))

    def of_module(self, module: str, weight: Any) -> tuple[Part, ...]:
        """The layer of a module whose weight is computed when it runs."""
        found = self.placed.get(f"{module}.weight" if module else "weight", ())
        if len(found) != 1 or weight.ndim < 2:
            return ()
        layer = found[0].layer
        shaped = weight.ndim > 2 or tuple(weight.shape) == layer.matrix.shape
        if found[0].turned or not shaped or layer.out * layer.matrix.shape[1] // layer.groups != weight.numel():
            return ()
        return (Part(layer, _count(layer.out), _count(layer.channels)),)

    def _around(self, tensor: Any) -> tuple[str, Any] | None:
        if id(tensor) in self._own:
            return self._names[id(tensor)], tensor
        start = tensor.storage_offset() if tensor.layout is _strided(tensor) else -1
        for name, parameter in self._parameters.get(_storage(tensor), ()):
            if parameter.dtype == tensor.dtype and 0 <= start - parameter.storage_offset() < parameter.numel():
                return name, parameter
        return None


def placed(checkpoint: Checkpoint, view: str | None) -> dict[str, tuple[Placed, ...]]:
    """Every layer of a checkpoint in its tensor, by the name of the tensor."""
    found = layers(checkpoint, view=view)
    numbered = tuple(_numbered(checkpoint, view, axis) for axis in (0, 1))
    shapes = {tensor.name: tensor.shape for tensor in checkpoint.tensors}
    return {name: tuple(_placed(layer, len(shapes[name]), numbered) for layer in seen) for name, seen in found.items()}


def _named(model: Any, found: Mapping[str, tuple[Placed, ...]]) -> dict[str, tuple[Placed, ...]]:
    """The same, each layer with all names that the model has for its tensor."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
    tied = {name: same for same in names.values() if len(same) > 1 for name in same}

    def with_aliases(tensor: str, place: Placed) -> Placed:
        known = dict.fromkeys((*place.layer.aliases, *tied.get(tensor, ())))
        return replace(place, layer=replace(place.layer, aliases=tuple(name for name in known if name != tensor)))

    return {tensor: tuple(with_aliases(tensor, place) for place in places) for tensor, places in found.items()}


def _placed(layer: Layer, axes: int, numbered: tuple[Mapping[tuple[str, str], Callable[[], Any]], ...]) -> Placed:
    key = (layer.matrix.tensor, layer.matrix.view)
    if axes == 2 and key in numbered[0]:
        first, second = (numbers[key]() for numbers in numbered)
        if isinstance(first, np.ndarray) and first.shape == layer.matrix.shape and first.size:
            turned = bool(first[0, 0] != first[0, -1] or second[0, 0] != second[-1, 0])
            rows, columns = (second, first) if turned else (first, second)
            return Placed(layer, rows[:, 0].astype(np.int64), columns[0].astype(np.int64), turned)
    return Placed(layer, _count(layer.out), _count(layer.channels))


def _numbered(checkpoint: Checkpoint, view: str | None, axis: int) -> dict[tuple[str, str], Callable[[], Any]]:
    """Readers of all matrices, of tensors that hold their place along an axis."""
    tensors = [
        replace(tensor, read=partial(_numbers, tensor.shape, axis)) if len(tensor.shape) == 2 else tensor
        for tensor in checkpoint.tensors
    ]
    seen = (matrix for matrix in matrices(tensors, view=view) if isinstance(matrix, Matrix))
    return {(matrix.tensor, matrix.view): matrix.read for matrix in seen}


def _numbers(shape: tuple[int, ...], axis: int) -> Array:
    numbers = np.arange(shape[axis], dtype=np.int32)
    return np.broadcast_to(numbers[None, :] if axis else numbers[:, None], shape)


def _region(weight: Any, parameter: Any) -> tuple[Rows, Rows, bool] | None:
    """Places of the outputs and of the inputs of a weight in the parameter (a, b) it lies in, and whether it is turned."""
    width = parameter.numel() // parameter.shape[0]
    row, column = divmod(weight.storage_offset() - parameter.storage_offset(), width)
    out, in_ = weight.shape[0], weight.numel() // weight.shape[0]
    steps = tuple(weight.stride()[:2])
    along = {(width, 1): False, (1, width): True}
    turned = along.get(steps)
    if 1 in (out, in_):  # the stride along an axis of one entry says nothing
        turned = along.get((width, steps[1]), turned) if out == 1 and steps[1] == 1 else turned
        turned = {width: False, 1: True}.get(steps[0], turned) if in_ == 1 and width > 1 else turned
    if turned is None or (weight.ndim > 2 and in_ != weight.shape[1]):
        return None
    rows, columns = (column, row) if turned else (row, column)
    return np.arange(rows, rows + out), np.arange(columns, columns + in_), turned


def _parts(found: tuple[Placed, ...], parameter: Any, outs: Rows, ins: Rows, turned: bool) -> Iterator[Part]:
    right = [place for place in found if place.turned == turned]
    for place in right or [_transposed(place) for place in found if place.layer.taps == 1 and place.layer.groups == 1]:
        size = max(parameter.shape[0], parameter.numel() // parameter.shape[0])
        rows, columns = _inverse(place.rows, size)[outs], _inverse(ins, size)[place.columns]
        if (rows >= 0).any() and (columns >= 0).any():
            yield Part(place.layer, rows, columns)


def _inverse(places: Rows, size: int) -> Rows:
    found = np.full(size, -1, np.int64)
    found[places] = np.arange(places.size)
    return found


def transposed_name(name: str) -> str:
    """Name of a layer that applies the tensor of another one the other way round."""
    return f"{name} transposed"


def _transposed(place: Placed) -> Placed:
    """A layer whose tensor is used the other way round: the unembedding of a tied embedding, or `x @ W`."""
    layer = place.layer
    matrix = layer.matrix
    turned = replace(matrix, view="transposed", shape=(matrix.shape[1], matrix.shape[0]), read=partial(_turned, matrix.read))
    found = Layer(transposed_name(layer.name), turned, channels=matrix.shape[0], note=FROM_THE_RIGHT, aliases=layer.aliases)
    return Placed(found, place.columns, place.rows, not place.turned)


def _turned(read: Callable[[], Any]) -> Values:
    operand = read()
    return np.asarray(operand).T


def _count(size: int) -> Rows:
    return np.arange(size, dtype=np.int64)


def _storage(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr()) if tensor.layout is _strided(tensor) else 0


def _strided(tensor: Any) -> Any:
    """The layout of ordinary tensors, or nothing equal to that of this one."""
    return tensor.layout if str(tensor.layout) == "torch.strided" else None
