"""How much a convolution amplifies as an operator on whole images, beside what its unfolded weight says of single patches."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product as every
from typing import Any

import numpy as np

from modescope.activations import given_back
from modescope.matrix import Convolution
from modescope.profiles.basis import Basis
from modescope.profiles.images import Progress
from modescope.profiles.survey import Survey, is_convolution, run
from modescope.profiles.truncation import weights
from modescope.svd import Values
from modescope.svd.convolution import convolution

WORK = 3e9  # complex multiply-adds of the eigenvalues, two seconds; beyond it a coarser grid is taken
DENSE = 1 << 20  # entries of an operator that is formed
SHOWN = 257  # values that are kept of its spectrum
ROUNDING = 1e-9  # relative, of a bound that is reached: the Gram route knows the largest value to 1e-15, the sum of many to less


@dataclass(frozen=True, eq=False)
class OperatorNorm:
    """A convolution on the images that reach it.

    The unfolding acts on single patches, and its values are energies of filter directions averaged over frequencies. The operator
    acts on the whole image, and its values are gains of single frequencies.

    Attributes:
        site: Which call of which layer.
        grid: Positions per axis on which the operator was taken: of the input, of a transposed convolution of the output.
        unfolding: Largest singular value of the unfolded weight.
        norm: Largest singular value of the operator with circular padding, or an upper bound where `statement` says so.
        lower: Lower bound of `norm`: what single patches are amplified by. None where it need not hold.
        upper: Upper bound: `unfolding` times the root of the number of patches that a position is part of.
        four_way: Upper bound by the best of all ways to unfold the kernel, times the root of the number of taps.
        zero_padded: Upper bound for padding by zeros: the norm on a grid so much larger that nothing wraps around. None where it
            would take too long.
        values: Values of the operator, descending: all, or 257 of them in even steps of their order.
        count: Number of values.
        holds: Whether all bounds hold.
        statement: Grid, stride and padding in words: what is exact and what is a bound.
    """

    site: str
    grid: tuple[int, ...]
    unfolding: float
    norm: float
    lower: float | None
    upper: float
    four_way: float
    zero_padded: float | None
    values: Values
    count: int
    holds: bool
    statement: str


def operator_norms(
    model: Any, few: Any, survey: Survey, bases: Mapping[str, Basis], /, *, progress: Progress | None = None
) -> tuple[OperatorNorm, ...]:
    """Compare the operator of every convolution with its unfolding, on grids of the size that its input really has.

    Args:
        model: The network; it is run once.
        few: Some images as it takes them.
        survey: Of this network.
        bases: Modes by site; those of a folded batch norm are unfolded again: it is the weight as it is that is looked at.
        progress: Told how many convolutions are done.

    Returns:
        One for each call of a convolution.

    References:
        Sedghi, Gupta & Long (2019), arXiv:1805.10408, for the values; Singla & Feizi (2021), arXiv:1911.10258, for the four ways.
    """
    sites = [site for site in survey.sites if site.name in bases and is_convolution(site.module)]
    sizes = _inputs(model, few, [site.module for site in sites])
    found = []
    for done, site in enumerate(sites, start=1):
        size = site.shape[1:] if site.module.transposed else sizes[id(site.module)][site.call]
        found.append(operator_norm(site.name, site.module, bases[site.name], size))
        if progress is not None:
            progress("operators", done, len(sites))
    return tuple(found)


def operator_norm(name: str, module: Any, basis: Basis, size: tuple[int, ...], /) -> OperatorNorm:
    """The same for one convolution.

    Args:
        name: What to call it.
        module: The module, for stride, dilation, padding and whether it is transposed.
        basis: Its modes.
        size: Positions per axis of its input, of a transposed convolution of its output.
    """
    forward = weights(basis).reshape(basis.groups, basis.shape[0], *basis.kernel)  # by groups: (groups, out, in, *taps)
    if module.transposed:
        forward = forward.swapaxes(1, 2)  # a transposed convolution is the adjoint of the one with this weight
    stride, dilation, taps = tuple(module.stride), tuple(module.dilation), basis.kernel[1:]
    extent = tuple(t * (k - 1) + 1 for t, k in zip(dilation, taps, strict=True))
    full = grid = tuple(max(n, e) for n, e in zip(size, extent, strict=True))
    said = [f"{_shape(size)} positions are fewer than the kernel spans: taken on {_shape(full)}"] if full != tuple(size) else []
    kernel = forward.reshape(-1, *forward.shape[2:])
    divides = not any(n % t for n, t in zip(grid, stride, strict=True))
    unfolded = float(max(np.linalg.norm(one.reshape(len(one), -1), 2) for one in forward))
    lower: float | None = unfolded
    if divides:
        grid = _affordable(kernel, basis.groups, full, stride, extent)
        if grid != full:
            said.append(f"{_shape(full)} positions would take too long: taken on {_shape(grid)}")
        values = convolution(Convolution(kernel, grid, stride, dilation, basis.groups)).s
        multiplicity = math.prod(-(-k // (s // math.gcd(s, t))) for k, s, t in zip(taps, stride, dilation, strict=True))
    else:
        values, how = _undivided(kernel, basis.groups, grid, stride, dilation, extent)
        said.append(f"stride {_shape(stride)} does not divide {_shape(grid)} positions: {how}")
        lower, multiplicity = None, math.prod(taps)
    norm, upper = float(values[0]), unfolded * math.sqrt(multiplicity)
    four_way = _four_way(forward)
    wide = tuple(-(-(n + e - 1) // t) * t for n, e, t in zip(full, extent, stride, strict=True))
    zero_padded = None
    if _work(kernel, basis.groups, wide, stride) <= WORK:
        zero_padded = float(convolution(Convolution(kernel, wide, stride, dilation, basis.groups)).s[0])
    slack = ROUNDING * upper
    holds = (lower is None or lower <= norm + slack) and norm <= min(upper, four_way) + slack
    if zero_padded is not None:
        holds = holds and zero_padded <= min(unfolded * math.sqrt(math.prod(taps)), four_way) + slack
    said.append(_padding(module))
    shown = values if values.size <= SHOWN else values[np.linspace(0, values.size - 1, SHOWN).round().astype(np.intp)]
    return OperatorNorm(
        name,
        grid,
        _unfolding(basis),
        norm,
        lower,
        upper,
        four_way,
        zero_padded,
        shown.copy(),
        values.size,
        bool(holds),
        "; ".join(said),
    )


def _unfolding(basis: Basis) -> float:
    """Largest singular value of the unfolded weight as it is, whatever batch norm was folded in."""
    return float(max(np.linalg.norm(one, 2) for one in weights(basis))) if basis.norm else float(basis.s[0])


def _inputs(model: Any, few: Any, modules: list[Any]) -> dict[int, list[tuple[int, ...]]]:
    """Positions per axis of the input of each module, by its identity, once for every call."""
    sizes: dict[int, list[tuple[int, ...]]] = {id(module): [] for module in modules}

    def took(module: Any, args: Any, kwargs: Any) -> None:
        given = args[0] if args else next(iter(kwargs.values()))
        sizes[id(module)].append(tuple(given.shape[-len(module.kernel_size) :]))

    unique = {id(module): module for module in modules}
    handles = [module.register_forward_pre_hook(took, with_kwargs=True) for module in unique.values()]
    try:
        with given_back(model):
            run(model, few)
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _affordable(
    kernel: Values, groups: int, grid: tuple[int, ...], stride: tuple[int, ...], extent: tuple[int, ...]
) -> tuple[int, ...]:
    """The grid, or a smaller one that still holds the kernel and that the stride divides."""
    while _work(kernel, groups, grid, stride) > WORK:
        smaller = tuple(max(-(-n // (2 * t)), -(-e // t)) * t for n, e, t in zip(grid, extent, stride, strict=True))
        if smaller == grid:
            break
        grid = smaller
    return grid


def _work(kernel: Values, groups: int, grid: tuple[int, ...], stride: tuple[int, ...]) -> float:
    out, inn = kernel.shape[0] // groups, kernel.shape[1] * math.prod(stride)
    return float(groups * math.prod(grid) * max(out, inn) * min(out, inn) ** 2 / (2 * math.prod(stride)))


def _undivided(
    kernel: Values, groups: int, grid: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...], extent: tuple[int, ...]
) -> tuple[Values, str]:
    """Values where no Fourier basis fits: of the operator formed, where it is small, or those at stride 1."""
    outputs = [len(range(0, n, t)) for n, t in zip(grid, stride, strict=True)]
    if kernel.shape[0] * math.prod(outputs) * kernel.shape[1] * math.prod(grid) <= DENSE:
        parts = [np.linalg.svd(_formed(one, grid, stride, dilation), compute_uv=False) for one in np.split(kernel, groups)]
        return np.sort(np.concatenate(parts))[::-1], "the operator was formed"
    ones = (1,) * len(grid)
    coarse = _affordable(kernel, groups, grid, ones, extent)
    return convolution(Convolution(kernel, coarse, ones, dilation, groups)).s, "norm is that at stride 1, an upper bound"


def _formed(kernel: Values, grid: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]) -> Values:
    """(out * outputs, in * positions) of a convolution with circular padding and one group."""
    at = np.stack(np.meshgrid(*(np.arange(0, n, t) for n, t in zip(grid, stride, strict=True)), indexing="ij"), axis=-1)
    at = at.reshape(-1, len(grid))
    found = np.zeros((kernel.shape[0], len(at), kernel.shape[1], math.prod(grid)))
    for tap in np.ndindex(*kernel.shape[2:]):
        reads = np.ravel_multi_index(tuple(((at + np.array(tap) * dilation) % np.array(grid)).T), grid)
        found[:, np.arange(len(at)), :, reads] += kernel[(..., *tap)]
    return found.reshape(kernel.shape[0] * len(at), -1)


def _four_way(kernels: Values) -> float:
    """Root of the number of taps times the least norm of the ways to unfold: every axis of taps beside outputs or beside inputs."""
    axes = range(3, kernels.ndim)
    taps = math.prod(kernels.shape[3:])
    worst = 0.0
    for one in kernels:
        norms = []
        for side in every((False, True), repeat=len(axes)):
            rows = [0, *(axis - 1 for axis, beside in zip(axes, side, strict=True) if beside)]
            columns = [1, *(axis - 1 for axis, beside in zip(axes, side, strict=True) if not beside)]
            height = math.prod(one.shape[axis] for axis in rows)
            norms.append(float(np.linalg.norm(one.transpose(*rows, *columns).reshape(height, -1), 2)))
        worst = max(worst, min(norms))
    return float(math.sqrt(taps) * worst)


def _padding(module: Any) -> str:
    mode = str(module.padding_mode)
    if mode == "circular":
        return "padding is circular: the values are those of the layer"
    if mode == "zeros":
        return (
            "values are for circular padding; the layer pads with zeros, which no Fourier basis fits: zero_padded bounds its norm"
        )
    return f"values are for circular padding; the layer pads by {mode}, of which nothing is said"


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
