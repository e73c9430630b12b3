"""Tensors of a checkpoint and the matrices seen in them: name, shape, stored dtype and how to read the numbers.

Both nouns are lazy: `read` is a thunk, so a checkpoint of any size costs the memory of one matrix. A thunk may travel to
another process, so it is a `functools.partial` of a module-level function and holds a path and an offset, never an open file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

type_of_entries = Any  # bfloat16 and the 8-bit floats are NumPy dtypes only through ml_dtypes
Array = NDArray[type_of_entries]


@dataclass(frozen=True)
class Tensor:
    """One named array of a checkpoint.

    Attributes:
        name: Exactly the name in the file, or that of `named_parameters()`.
        shape: As stored; of a Keras kernel in the order of PyTorch, (out, in, *k).
        stored: Dtype on disk by its NumPy or ml_dtypes name ("float32", "bfloat16", "float8_e4m3fn", "int8").
        read: Gives the array in its stored dtype; no numbers move before this call.
        declared: What file, module or config says of the tensor, as text: "module" is the class of the layer that owns it
            ("Conv2d"), its hyperparameters stand by their own names ("groups", "stride", "padding", "num_heads"), and
            entries of a config.json stand under "config." ("config.model_type").
        aliases: Other names of the same storage (tied weights).
    """

    name: str
    shape: tuple[int, ...]
    stored: str
    read: Callable[[], Array]
    declared: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """Name without its last part: `encoder.0` of `encoder.0.weight`, the layer that owns the tensor."""
        return self.name.rpartition(".")[0]

    @property
    def leaf(self) -> str:
        """Last part of the name: `weight` of `encoder.0.weight`."""
        return self.name.rpartition(".")[2]

    @property
    def size(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Product:
    """A matrix known as `scale * left @ right` and never formed: `left` is (out, r), `right` is (r, in)."""

    left: Array
    right: Array
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """A block-diagonal matrix: `blocks` is (count, out, in); its singular values are the union of those of the blocks."""

    blocks: Array


@dataclass(frozen=True, eq=False)
class Convolution:
    """The linear operator of a convolution with circular padding on a grid, never formed.

    Attributes:
        kernel: (out, in / groups, *k), as torch stores a convolution.
        grid: Input size in positions per axis, at least the dilated kernel.
        stride: Per axis, dividing the grid.
        dilation: Per axis.
        groups: Number of groups.
    """

    kernel: Array
    grid: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1


Operand = Array | Product | Blocks | Convolution


@dataclass(frozen=True)
class Matrix:
    """One linear map seen in a tensor; it acts as `y = W x`.

    Attributes:
        tensor: Name of the tensor it comes from.
        view: How the tensor became a matrix ("dense", "unfolding", "gate i", "query"); (tensor, view) is unique.
        shape: (out, in) of `W`, also where it is never formed.
        stored: Dtype on disk.
        read: Gives an array (out, in), or an operand that stands for a matrix that is not formed.
        kind: The layer kind that made it, filled in by `layers`.
        note: A sentence for the row, or empty.
        aliases: Other names of the same storage.
        parts: Names of all tensors it reads when they are more than `tensor` (the two factors of a LoRA pair).
    """

    tensor: str
    view: str
    shape: tuple[int, int]
    stored: str
    read: Callable[[], Operand]
    kind: str = ""
    note: str = ""
    aliases: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.tensor} (view {self.view!r})"


@dataclass(frozen=True)
class Skip:
    """A tensor, or another part of a checkpoint, that is not analysed: always with its reason, never a silent gap."""

    name: str
    shape: tuple[int, ...]
    reason: str
