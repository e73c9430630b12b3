"""What the convolution kinds share: their declared geometry, position slices, and the operator on a grid."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import prod

from modescope.layers._names import EXACT, layer_class, number, per_axis
from modescope.layers._rows import Read
from modescope.matrix import Array, Convolution, Matrix, Tensor

GRID = {1: 32, 2: 32, 3: 16}  # positions per axis of the operator view where no input size is declared


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves: what was declared, and 1 for what was not.

    Attributes:
        stride: Per axis.
        dilation: Per axis.
        groups: Number of groups.
        assumed: Names of those that were not declared.
    """

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    assumed: tuple[str, ...]


def geometry(tensor: Tensor) -> Geometry:
    """The declared geometry of a convolution whose weight has two axes more than its grid."""
    axes = len(tensor.shape) - 2
    stride, dilation, groups = per_axis(tensor, "stride", axes), per_axis(tensor, "dilation", axes), number(tensor, "groups")
    found = {"stride": stride, "dilation": dilation, "groups": groups}
    return Geometry(
        stride=stride or (1,) * axes,
        dilation=dilation or (1,) * axes,
        groups=groups or 1,
        assumed=tuple(name for name, value in found.items() if value is None),
    )


def is_declared(tensor: Tensor, classes: frozenset[str]) -> bool:
    """Whether one of the classes is declared and the shape is that of a kernel."""
    return layer_class(tensor) in classes and is_kernel(tensor)


def is_kernel(tensor: Tensor) -> bool:
    """Whether the shape is that of a kernel: one, two or three axes beside the channels."""
    return 3 <= len(tensor.shape) <= 5


def declared_groups(tensor: Tensor) -> int:
    """Declared number of groups where it divides the output channels, otherwise 1."""
    groups = number(tensor, "groups") if layer_class(tensor) in EXACT or "groups" in tensor.declared else None
    return groups if groups is not None and tensor.shape[0] % groups == 0 else 1


def positions(tensor: Tensor) -> Iterator[tuple[int, str]]:
    """Every kernel position: its index in row-major order, and its coordinates as text."""
    for index, at in enumerate(product(*(range(size) for size in tensor.shape[2:]))):
        yield index, ",".join(map(str, at))


def grouped(read: Read, group: int, groups: int) -> Array:
    """Kernel of one group."""
    kernel = read()
    size = kernel.shape[0] // groups
    return kernel[group * size : (group + 1) * size]


def unfolded(read: Read) -> Array:
    """Kernel (out, in, *k) as the matrix (out, in * prod(k)) that acts on a patch in the order (in, *k)."""
    kernel = read()
    return kernel.reshape(kernel.shape[0], -1)


def sliced(read: Read, index: int) -> Array:
    """One position of a kernel (out, in, *k) as a matrix (out, in)."""
    kernel = read()
    return kernel.reshape(*kernel.shape[:2], -1)[:, :, index]


def exchanged(read: Read) -> Array:
    """Kernel with its first two axes exchanged: (in, out, *k) as (out, in, *k)."""
    return read().swapaxes(0, 1)


def operator(tensor: Tensor, read: Read, *, upsampling: bool = False) -> Matrix:
    """The whole convolution on a grid with circular padding, never formed.

    Args:
        tensor: The weight (out, in / groups, *k); its declared stride, dilation, groups and "input_size" are used.
        read: Gives the kernel in that order of axes.
        upsampling: The weight is that of a transposed convolution, whose adjoint is a convolution with the same weight; a
            declared input size then is the coarse side of it.
    """
    axes = len(tensor.shape) - 2
    moves = geometry(tensor)
    groups = declared_groups(tensor)
    size = per_axis(tensor, "input_size", axes) or _last(tensor, axes)
    if size is not None and upsampling:
        size = tuple(n * t for n, t in zip(size, moves.stride, strict=True))
    wanted = size or (GRID[axes],) * axes
    spans = ((k - 1) * d + 1 for k, d in zip(tensor.shape[2:], moves.dilation, strict=True))
    # The grid holds the dilated kernel, and the stride divides it.
    grid = tuple(-(-max(n, span) // t) * t for n, span, t in zip(wanted, spans, moves.stride, strict=True))
    coarse = prod(n // t for n, t in zip(grid, moves.stride, strict=True))
    notes = ["circular padding; zero padding has at most the norm of the supremum over all frequencies, also between these"]
    if upsampling:
        notes.append("adjoint of the layer: same values, u and vh exchanged")
    if size is None:
        notes.append("no input size declared")
    elif grid != size:
        notes.append(f"grid enlarged from {_by(size)} to hold kernel and stride")
    if moves.assumed:
        notes.append(f"not declared, taken as 1: {', '.join(moves.assumed)}")
    return Matrix(
        tensor.name,
        f"operator {_by(grid)}, circular",
        (tensor.shape[0] * coarse, tensor.shape[1] * groups * prod(grid)),
        tensor.stored,
        partial(_operand, read, grid, moves.stride, moves.dilation, groups),
        note="; ".join(notes),
    )


def _last(tensor: Tensor, axes: int) -> tuple[int, ...] | None:
    """The spatial part of a declared input size that names channels or a batch too."""
    for extra in (1, 2):
        found = per_axis(tensor, "input_size", axes + extra)
        if found is not None and "," in tensor.declared["input_size"]:
            return found[extra:]
    return None


def _by(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))


def _operand(read: Read, grid: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], groups: int) -> Convolution:
    return Convolution(read(), grid=grid, stride=stride, dilation=dilation, groups=groups)
