"""What a descrambled picture is compared with: untrained weights, white or shuffled data, a scramble, and other samples.

Smoothness is reached for any weights. Only what differs from these controls, and what survives other samples of the data, speaks
of the network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.descrambling.closed_form import Rotation, objective, smoothest
from modescope.descrambling.diagnostics import Scale, scale
from modescope.descrambling.operators import Smoothness
from modescope.descrambling.wiretaps import left
from modescope.errors import UsageError
from modescope.laws import haar_frames as haar
from modescope.moments import Moments, merged
from modescope.seeds import generator
from modescope.svd import Values

DRAWS = 50  # of a bootstrap: its 5 % quantile is the third smallest
QUANTILE = 0.05
STABLE = 0.9  # smallest cosine between subspaces from which they count as the same
FEW = 20  # blocks below which a bootstrap over blocks says little
SAME = 1e-8  # change of a scrambled view, relative to its largest entry, up to which it is rounding

Weights = NDArray[np.float64]
Initial = Callable[[np.random.Generator, int, int], Values]


@dataclass(frozen=True, eq=False)
class Control:
    """The scale of the criterion for something that is not the trained network with its data.

    Attributes:
        name: Which control.
        scale: As for the result itself.
        rotation: Its own smoothest rotation.
        status: What it is, and what it is for.
    """

    name: str
    scale: Scale
    rotation: Rotation
    status: str


@dataclass(frozen=True)
class Scrambled:
    """What a random rotation of the hidden space before descrambling changes: nothing, where all is determined.

    Attributes:
        objective: Relative change of the least value.
        modes: Largest change in `|V' P W|`, relative to its largest entry.
        view: The same in `P W`, with signs and ties fixed.
        rank: Of the scrambled second moment.
        status: "ok", or what is not determined.
    """

    objective: float
    modes: float
    view: float
    rank: int
    status: str


@dataclass(frozen=True, eq=False)
class Stability:
    """How well leading subspaces of the hidden data are known from these samples.

    Attributes:
        sizes: (k,) numbers r of leading components: 1, 2, 4, ... below the rank.
        cosines: (draws, k) smallest cosine between the leading r-dimensional subspaces; 0 where a draw has a lower rank than r.
        low: (k,) their 5 % quantile, or the least of fewer than 20 draws.
        trusted: Largest r up to which all of `low` stay above .9; 0 where not even the first component is known.
        status: A sentence.
    """

    sizes: NDArray[np.int64]
    cosines: Values
    low: Values
    trusted: int
    status: str


def gaussian(random: np.random.Generator, rows: int, columns: int, /) -> Values:
    """(rows, columns) independent normal weights of variance `1 / columns`."""
    found: Values = random.standard_normal((rows, columns)) / np.sqrt(columns)
    return found


def uniform(random: np.random.Generator, rows: int, columns: int, /) -> Values:
    """(rows, columns) independent weights, uniform within `1 / sqrt(columns)`: how torch starts a linear layer."""
    edge = 1 / np.sqrt(columns)
    found: Values = random.uniform(-edge, edge, (rows, columns))
    return found


def measured(name: str, second: ArrayLike, smoothness: Smoothness, /, *, status: str = "ok") -> Control:
    """A control from its own second moment, such as that of the same network before it was trained.

    Args:
        name: Which control.
        second: (m, m) second moment B of its hidden data.
        smoothness: The operator of the result.
        status: What it is.

    Raises:
        UsageError: As `smoothest`.
    """
    rotation = smoothest(second, smoothness)
    return Control(name, scale(rotation), rotation, status)


def untrained(
    weight: ArrayLike,
    inputs: Moments,
    smoothness: Smoothness,
    /,
    *,
    centred: bool = False,
    initial: Initial = uniform,
    seed: int = 0,
) -> Control:
    """Random weights of the same shape on the same data; without a bias.

    Args:
        weight: (m, n), of which only the shape is used.
        inputs: Moments of the layer's inputs.
        smoothness: The operator of the result.
        centred: As for the result.
        initial: How weights are drawn, `uniform`, `gaussian` or your own.
        seed: Of the draw.

    Raises:
        UsageError: Shapes do not fit.
    """
    drawn = initial(generator(seed, "descrambling", "untrained"), *_matrix(weight).shape)
    status = (
        f"weights drawn from the {initial.__name__} distribution on the same data: a gain that they reach says nothing of training"
    )
    return measured("untrained", left(drawn, inputs, centred=centred), smoothness, status=status)


def isotropic(weight: ArrayLike, smoothness: Smoothness, /) -> Control:
    """The weights on white inputs, `C = I`: what they order without the order of the data.

    Args:
        weight: (m, n) weight.
        smoothness: The operator of the result.

    Raises:
        UsageError: It does not fit the operator, or is zero.
    """
    w = _matrix(weight)
    status = "the same weights on white inputs: principal components are their left singular vectors"
    return measured("isotropic", w @ w.T, smoothness, status=status)


def shuffled(
    weight: ArrayLike,
    inputs: Moments,
    smoothness: Smoothness,
    /,
    *,
    bias: ArrayLike | None = None,
    centred: bool = False,
) -> Control:
    """The weights on inputs whose coordinates were shuffled over the samples, each by itself, in the limit of many shuffles.

    A shuffle keeps what every coordinate does and takes away what they do together: the covariance becomes its diagonal.

    Args:
        weight: (m, n) weight.
        inputs: Moments of the layer's inputs.
        smoothness: The operator of the result.
        bias: (m,) or None.
        centred: As for the result.

    Raises:
        UsageError: Shapes do not fit.
    """
    alone = Moments(inputs.count, inputs.mean, np.diag(np.diagonal(inputs.scatter)))
    second = left(_matrix(weight), alone, None if bias is None else np.asarray(bias), centred=centred)
    status = "the same weights on inputs without correlations: the difference is what the data bring"
    return measured("shuffled", second, smoothness, status=status)


def scrambled(weight: ArrayLike, second: ArrayLike, smoothness: Smoothness, /, *, seed: int = 0) -> Scrambled:
    """Rotate the hidden space at random, descramble, and compare: the result must not depend on the basis it started from.

    Args:
        weight: (m, n) weight.
        second: (m, m) second moment B of its hidden data.
        smoothness: The operator of the result.
        seed: Of the rotation.

    Raises:
        UsageError: As `smoothest`.
    """
    w, b = _matrix(weight), np.asarray(second, dtype=np.float64)
    before = smoothest(b, smoothness, weight=w)
    turn = haar.frame(generator(seed, "descrambling", "scramble"), b.shape[0], b.shape[0])
    after = smoothest(turn @ b @ turn.T, smoothness, weight=turn @ w)
    one, two = before.p @ w, after.p @ turn @ w
    size = max(float(np.abs(one).max()), np.finfo(np.float64).tiny)
    modes = [smoothness.modes.T @ view for view in (one, two)]
    size_modes = max(float(np.abs(modes[0]).max()), np.finfo(np.float64).tiny)
    view = float(np.abs(one - two).max()) / size
    reached = objective(after.p @ turn, b, smoothness)
    return Scrambled(
        objective=abs(reached - before.optimal) / before.optimal if before.optimal > 0 else abs(reached),
        modes=float(np.abs(np.abs(modes[0]) - np.abs(modes[1])).max()) / size_modes,
        view=view,
        rank=after.rank,
        status="ok" if view <= SAME else f"the view moves by {view:.1g} of its largest entry: close components are not determined",
    )


def through(inputs: Moments, weight: ArrayLike, bias: ArrayLike | None = None, /) -> Moments:
    """Moments of the preactivations `W x + c`, of one block of samples say, from those of the inputs.

    Args:
        inputs: Moments of x, n numbers.
        weight: (m, n) weight.
        bias: (m,) or None.

    Raises:
        UsageError: Shapes do not fit.
    """
    w = _matrix(weight)
    if w.shape[1] != inputs.mean.size:
        raise UsageError(f"through: expected a weight (m, {inputs.mean.size}) for these inputs, got {w.shape}.")
    mean = w @ inputs.mean
    if bias is not None:
        mean = mean + np.asarray(bias, dtype=np.float64)
    scatter = w @ inputs.scatter @ w.T
    return Moments(inputs.count, mean, (scatter + scatter.T) / 2)


def bootstrap(samples: ArrayLike, /, *, centred: bool = False, draws: int = DRAWS, seed: int = 0) -> Stability:
    """Leading subspaces from samples drawn again, each a Poisson number of times, against those from all.

    Args:
        samples: (N, m) hidden data, independent, one sample per row.
        centred: As for the result.
        draws: How often.
        seed: Of the draws.

    Raises:
        UsageError: There are fewer than 2 samples, they are not finite, or do not vary.
    """
    data = _samples(samples, "bootstrap", centred=centred)
    return _drawn_again(lambda w: _weighted(data, w, centred=centred), data.shape[0], draws, seed, f"{data.shape[0]} samples")


def bootstrap_blocks(blocks: Sequence[Moments], /, *, centred: bool = False, draws: int = DRAWS, seed: int = 0) -> Stability:
    """The same for data that are not kept: whole blocks are drawn again, from the moments of each.

    Args:
        blocks: Moments of the hidden data of disjoint random parts of the samples; 20 or more, of any sizes. `through` takes them
            from the inputs of a layer.
        centred: As for the result.
        draws: How often.
        seed: Of the draws.

    Raises:
        UsageError: There are fewer than 2 blocks, or they differ in m.
    """
    second = _of_blocks(blocks, "bootstrap_blocks", centred=centred)
    what = f"{len(blocks)} blocks" + (f", and {FEW} or more are needed for a fair one" if len(blocks) < FEW else "")
    return _drawn_again(second, len(blocks), draws, seed, what)


def split_half(samples: ArrayLike, /, *, centred: bool = False, draws: int = 10, seed: int = 0) -> Stability:
    """Leading subspaces from one random half of the samples against those from the other.

    Args:
        samples: As for `bootstrap`.
        centred: As for the result.
        draws: Number of splits.
        seed: Of the splits.

    Raises:
        UsageError: As `bootstrap`.
    """
    data = _samples(samples, "split_half", centred=centred)
    return _split(lambda w: _weighted(data, w, centred=centred), data.shape[0], draws, seed, f"{data.shape[0]} samples")


def split_half_blocks(blocks: Sequence[Moments], /, *, centred: bool = False, draws: int = 10, seed: int = 0) -> Stability:
    """The same for data that are not kept, from half of the blocks against the other half.

    Args:
        blocks: As for `bootstrap_blocks`; of one size, or the halves differ.
        centred: As for the result.
        draws: Number of splits.
        seed: Of the splits.

    Raises:
        UsageError: As `bootstrap_blocks`.
    """
    second = _of_blocks(blocks, "split_half_blocks", centred=centred)
    return _split(second, len(blocks), draws, seed, f"{len(blocks)} blocks")


def _drawn_again(second: Callable[[Weights], Values], count: int, draws: int, seed: int, what: str) -> Stability:
    random = generator(seed, "descrambling", "bootstrap")
    whole, rank = _components(second(np.ones(count)))

    def pair() -> tuple[Values, Values, int]:
        weights = np.zeros(count)
        while not weights.any():
            weights = random.poisson(1.0, count).astype(np.float64)
        return whole, *_drawn(second(weights))

    return _stability(pair, rank, draws, f"bootstrap of {what}")


def _split(second: Callable[[Weights], Values], count: int, draws: int, seed: int, what: str) -> Stability:
    random = generator(seed, "descrambling", "split half")
    _, rank = _components(second(np.ones(count)))

    def pair() -> tuple[Values, Values, int]:
        half = np.zeros(count)
        half[random.permutation(count)[: count // 2]] = 1
        one, first = _drawn(second(half))
        two, other = _drawn(second(1 - half))
        return one, two, min(first, other)

    return _stability(pair, rank, draws, f"halves of {what}")


def _stability(pair: Callable[[], tuple[Values, Values, int]], rank: int, draws: int, what: str) -> Stability:
    if draws < 1:
        raise UsageError(f"stability: expected at least 1 draw, got {draws}.")
    sizes = 2 ** np.arange(max(rank - 1, 0).bit_length())  # 1, 2, 4, ... below the rank; all of it is the same in every draw
    cosines = np.empty((draws, sizes.size))
    for row in cosines:
        one, two, known = pair()  # beyond the rank of a draw the basis is arbitrary, and its cosines would be an accident
        overlap = one.T @ two
        row[:] = [np.linalg.svd(overlap[:r, :r], compute_uv=False)[-1] if r <= known else 0.0 for r in sizes]
    low = np.quantile(cosines, QUANTILE, axis=0, method="lower")
    held = np.minimum.accumulate(low) > STABLE
    trusted = int(sizes[held][-1]) if held.any() else 0
    if not sizes.size:
        status = f"{what}: the hidden data have rank {rank}, so there is no subspace to compare"
    else:
        status = (
            f"{what}: the leading {trusted} of {rank} components span a subspace that holds; read no single row beyond"
            if trusted
            else f"{what}: not even the first component is known"
        )
        whole = int(sizes[low > STABLE].max(initial=0))
        if whole > trusted:
            status += f"; the leading {whole} hold as a whole, though not in their order"
    return Stability(sizes, cosines, low, trusted, status)


def _components(second: Values) -> tuple[Values, int]:
    """Those of all data, which must vary."""
    u, rank = _drawn(second)
    if rank == 0:
        raise UsageError(
            f"stability: expected hidden data that vary, got a second moment {second.shape} of zeros. Pass other inputs."
        )
    return u, rank


def _drawn(second: Values) -> tuple[Values, int]:
    """Principal components in descending order, and the rank: 0 for few samples that happen to be equal."""
    b, u = np.linalg.eigh(second)
    return u[:, ::-1], int(np.count_nonzero(b > b.size * np.finfo(np.float64).eps * max(b[-1], 0.0)))


def _weighted(data: Values, weights: Weights, *, centred: bool) -> Values:
    total = weights.sum()
    if centred:
        data = data - weights @ data / total
    found: Values = (data.T * weights) @ data / total
    return found


def _of_blocks(blocks: Sequence[Moments], name: str, *, centred: bool) -> Callable[[Weights], Values]:
    """The second moment of blocks that count more than once or not at all."""
    if len(blocks) < 2:
        raise UsageError(
            f"{name}: expected moments of at least 2 blocks of samples, got {len(blocks)}. Cut the samples in 20 or more."
        )
    centre = merged(blocks).mean
    means = np.array([block.mean - centre for block in blocks])  # about the mean of all, which costs no digits
    counts = np.array([float(block.count) for block in blocks])

    def second(weights: Weights) -> Values:
        total = weights @ counts
        shift = (weights * counts) @ means / total
        found = (means.T * (weights * counts)) @ means
        for weight, block in zip(weights, blocks, strict=True):
            if weight:
                found += weight * block.scatter
        mean = shift + centre
        offset = np.outer(shift, shift)
        return np.asarray(found / total - offset + (0.0 if centred else np.outer(mean, mean)), dtype=np.float64)

    return second


def _samples(samples: ArrayLike, name: str, *, centred: bool) -> Values:
    """Samples in float64, about their mean where they will be centred: exactly 0 where they do not vary."""
    data = np.asarray(samples, dtype=np.float64)
    if data.ndim != 2 or data.shape[0] < 2 or data.shape[1] == 0:
        raise UsageError(f"{name}: expected at least 2 samples of shape (N, m), one per row, got {data.shape}.")
    if bad := int(np.count_nonzero(~np.isfinite(data))):
        raise UsageError(f"{name}: expected finite samples {data.shape}, got {bad} entries that are not.")
    if centred:
        data = data - data[0]  # copies of one sample differ by nothing, while their mean is off by rounding
        data = data - data.mean(axis=0)
    return data


def _matrix(weight: ArrayLike) -> Values:
    w = np.asarray(weight, dtype=np.float64)
    if w.ndim != 2 or not w.size or not np.isfinite(w).all():
        raise UsageError(f"controls: expected a finite weight of shape (m, n), got {w.shape}, {int(np.isfinite(w).sum())} finite.")
    return w
