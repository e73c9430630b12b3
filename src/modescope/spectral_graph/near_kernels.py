"""Near-kernels: whether the channel directions that one layer barely writes are those that the next barely reads.

Both sides live in the space of the N channels they share: the output directions of the writer, and the input directions of the
reader with its taps unfolded as outputs, which are the ones pruning needs. Of each side a block of directions with small singular
values is chosen, directions that do not occur in a thin decomposition included, and the overlap of the two blocks is compared
with that of random subspaces of the same sizes.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from modescope.errors import UsageError
from modescope.laws import haar_block
from modescope.spectral_graph.modes import rounding
from modescope.spectral_graph.pairs import Modes, Pair
from modescope.spectrum import DEGENERATE
from modescope.svd import Values

TINY = 1e-2  # singular value relative to the largest below which a direction is in the near-kernel
FLOOR = 1e-7  # the same below which it counts as zero: root of the rounding, as some are computed from squares
QUARTER = 4  # the fixed block holds one in so many directions
PART = 4096  # rows of a reader that are reduced at a time


@dataclass(frozen=True, eq=False)
class Directions:
    """Directions of one side in the space of shared channels, by descending gain.

    Attributes:
        s: (k,) singular values; those of the N - k directions that are missing are zero.
        basis: (N, k) orthonormal columns.
    """

    s: Values
    basis: Values


@dataclass(frozen=True)
class Block:
    """The overlap of a block of writer directions with a block of reader directions.

    Attributes:
        writer: Dimensions of the one.
        reader: Dimensions of the other.
        overlap: Sum of the squared cosines between them.
        share: The same relative to the smaller of the two dimensions; None where one is empty.
        expected: Mean overlap of random subspaces.
        forced: What any two subspaces of these dimensions share.
        z: Overlap less its mean, in standard deviations; None where it cannot vary.
        p: Probability that random subspaces overlap as much; below 1e-4 not less than is proven, so that z says more. None as well.
        status: "ok", or why there is nothing to test.
    """

    writer: int
    reader: int
    overlap: float
    share: float | None
    expected: float
    forced: int
    z: float | None
    p: float | None
    status: str = "ok"


@dataclass(frozen=True)
class NearKernels:
    """What a writer and a reader leave out together.

    Attributes:
        dimension: N.
        writer_kernel: Directions that the writer does not write at all, up to rounding.
        reader_kernel: Directions that the reader does not read at all.
        small: Directions with less than a hundredth of the largest gain.
        quarter: The smallest quarter of each side, or a whole kernel where it is larger: part of one would be arbitrary.
        status: "ok", or what must be said of both.
    """

    dimension: int
    writer_kernel: int
    reader_kernel: int
    small: Block
    quarter: Block
    status: str = "ok"


def near_kernels(
    writer: Directions,
    reader: Directions,
    /,
    *,
    tiny: float = TINY,
    floors: tuple[float, float] = (FLOOR, FLOOR),
    squares: Values | None = None,
) -> NearKernels:
    """Compare what is barely written with what is barely read.

    Args:
        writer: As `written` gives it.
        reader: As `read` gives it.
        tiny: Singular value relative to the largest below which a direction belongs to the near-kernel.
        floors: The same below which it belongs to the kernel of writer and reader; the rounding of their stored weights.
        squares: (writer, reader) squared cosines between their directions, where they are known.

    Raises:
        ValueError: They live in different spaces.
    """
    dimension = writer.basis.shape[0]
    if reader.basis.shape[0] != dimension:
        raise ValueError(f"near_kernels: expected both in one space, got {dimension} and {reader.basis.shape[0]} dimensions.")
    exact = tuple(dimension - _above(side.s, floor) for side, floor in zip((writer, reader), floors, strict=True))
    small = tuple(dimension - _above(side.s, tiny) for side in (writer, reader))
    fixed = tuple(
        _uncut(side.s, dimension, max(dimension // QUARTER, kernel)) for side, kernel in zip((writer, reader), exact, strict=True)
    )
    if squares is None:
        squares = (writer.basis.T @ reader.basis) ** 2
    return NearKernels(
        dimension=dimension,
        writer_kernel=exact[0],
        reader_kernel=exact[1],
        small=_block(squares, dimension, *small),
        quarter=_block(squares, dimension, *fixed),
    )


def between(
    pair: Pair,
    writer: Modes,
    reader: Modes,
    /,
    *,
    single: Values | None = None,
    complete: bool = True,
    tiny: float = TINY,
) -> NearKernels:
    """The same for a pair while it is in memory.

    Args:
        pair: The two layers in the channels they share.
        writer: Modes of the one; its singular values are used.
        reader: Modes of the other.
        single: (reader modes, writer modes) overlaps of single modes, where they are known.
        complete: Both were decomposed in full.
        tiny: As for `near_kernels`.

    Raises:
        UsageError: They were not.
    """
    if not complete:
        raise UsageError(
            f"{writer.layer.name} to {reader.layer.name}: expected all modes, got the largest only, which hide the near-kernels. "
            "Decompose in full."
        )
    floors = (max(rounding(writer.layer.matrix.stored), FLOOR), max(rounding(reader.layer.matrix.stored), FLOOR))
    whole = pair.writer.shape[0] == writer.layer.out
    left = Directions(writer.s, pair.writer) if whole else written(pair.writer * writer.s)
    right = _of_pair(pair, reader)
    known = single is not None and whole and right.s is reader.s
    squares = single.T if known and single is not None else None
    found = near_kernels(left, right, tiny=tiny, floors=floors, squares=squares)
    if writer.block is None:
        return found
    status = "no law: the directions of a writer in several groups are not free to turn in all channels"
    small, quarter = (replace(block, z=None, p=None, status=status) for block in (found.small, found.quarter))
    return replace(found, small=small, quarter=quarter, status=status)


def written(weight: Values, /) -> Directions:
    """Directions that a layer writes, from its weight or the rows of it that a reader meets.

    Args:
        weight: (channels, in); `u * s` does as well.
    """
    return _decomposed(weight @ weight.T)


def read(weight: Values, /) -> Directions:
    """Channel directions that a layer reads, whatever its taps do with them.

    Args:
        weight: (out, channels, taps); rows of `vh` times their singular values do as well.
    """
    return _read(weight, np.ones(weight.shape[0]))


def _of_pair(pair: Pair, reader: Modes) -> Directions:
    if pair.reader.shape[2] == 1 and pair.reader.shape[1] == reader.layer.channels * reader.layer.taps:
        return Directions(reader.s, pair.reader[:, :, 0].T)
    return _read(pair.reader, reader.s)


def _read(weight: Values, gains: Values) -> Directions:
    out, channels, taps = weight.shape
    step = max(1, PART // max(taps, 1))
    gram = np.zeros((channels, channels))
    for start in range(0, out, step):
        part = (weight[start : start + step] * gains[start : start + step, None, None]).transpose(0, 2, 1).reshape(-1, channels)
        gram += part.T @ part
    return _decomposed(gram)


def _decomposed(gram: Values) -> Directions:
    energy, basis = np.linalg.eigh(gram)
    return Directions(np.sqrt(np.maximum(energy[::-1], 0.0)), basis[:, ::-1])


def _above(s: Values, share: float) -> int:
    """Directions whose singular value is at least a share of the largest, and not zero."""
    return int(np.count_nonzero((s >= share * s[0]) & (s > 0))) if s.size else 0


def _uncut(s: Values, dimension: int, size: int) -> int:
    """The size, or the next that does not cut a group of equal singular values."""
    values = np.zeros(dimension)
    values[: s.size] = s
    while 0 < size < dimension and values[dimension - size - 1] - values[dimension - size] <= DEGENERATE * values[0]:
        size += 1
    return size


def _block(squares: Values, dimension: int, k: int, k2: int) -> Block:
    """The overlap of the last k directions of the writer with the last k2 of the reader, from that of all others."""
    forced = max(0, k + k2 - dimension)
    overlap = max(float(k + k2 - dimension + squares[: dimension - k, : dimension - k2].sum()), 0.0) if min(k, k2) else 0.0
    room = min(k, k2) - forced
    common = Block(k, k2, overlap, overlap / min(k, k2) if min(k, k2) else None, k * k2 / dimension, forced, None, None)
    if room == 0:
        return replace(common, status=f"nothing to test: a block {'is empty' if min(k, k2) == 0 else 'fills the space'}")
    gamma, at = np.ones((1, k2)), np.array([overlap])
    log_p, _ = haar_block.tail(gamma, dimension, k, at)
    return replace(common, z=float(haar_block.z_score(gamma, dimension, k, at)[0]), p=math.exp(float(log_p[0])))
