"""Whether the modes of a layer are more than noise: its spectrum beside its start, shuffled entries and Gaussian ones.

Two counts stand side by side and are not the same. Those of `Count` are plain comparisons with a fixed edge, made in one
way for the weight and for each of its controls: noise passes the edge itself in one matrix of eight. `bulk` is the test of the
library: noise and outliers fitted together, with one level over all matrices, and twins where entries are heavy-tailed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from modescope import checkpoints, twins
from modescope.errors import MatrixError, ModescopeError, UsageError
from modescope.laws import marchenko_pastur, tracy_widom, wishart
from modescope.matrix import Array, Matrix, Tensor
from modescope.measures.bulk import Result as Bulk
from modescope.measures.bulk import analyze
from modescope.profiles.basis import Basis, by_outputs
from modescope.profiles.images import Progress
from modescope.profiles.survey import Site, Survey
from modescope.profiles.truncation import weights
from modescope.seeds import generator
from modescope.spectrum import Spectrum, decompose
from modescope.svd import Values
from modescope.svd.gram import gram

SMALLEST, SMALL = 8, 32  # values of a matrix: below the first nothing is said, below the second with caution
LEAST_DRAWS, DRAWS = 10, 19
WORK = 2e11  # multiply-adds of all permutations of a matrix, some ten seconds; beyond it there are none
MARGIN = 1.1  # of the edge: the 99 % quantile of Gaussian noise is 1.05 to 1.07 of it where the short side is 16 to 64
ROUNDING = 1e-24  # share of the energy that is rounding and no noise
TAIL = 0.01  # of the Tracy-Widom law
LEVEL = 0.01

Variance = Callable[[Values, int, float], float]
"""Variance of the noise from eigenvalues (m,) in ascending order, the long side and the standard deviation of the entries."""


@dataclass(frozen=True)
class Count:
    """What a spectrum shows against one fixed edge; `MEANINGS` has a sentence for each.

    Attributes:
        above_edge: Eigenvalues above the Marchenko-Pastur edge.
        above_margin: Above 1.1 times the edge.
        above_tracy_widom: Above the level that the largest of Gaussian noise passes with probability .01.
        ratio: Largest eigenvalue over the edge.
        distance: Kolmogorov-Smirnov distance between the law and the eigenvalues below the edge, their scale fitted.
        stable_rank: Sum of eigenvalues over the largest.
        effective_rank: Exponential of the entropy of the shares of the eigenvalues.
    """

    above_edge: int
    above_margin: int
    above_tracy_widom: int
    ratio: float
    distance: float
    stable_rank: float
    effective_rank: float


MEANINGS: Mapping[str, str] = {
    "above_edge": "Eigenvalues above the asymptotic edge: a description, as one noise matrix in eight has one, too.",
    "above_margin": "Eigenvalues above 1.1 times the edge: a robust rule for comparing matrices of one shape, without a level.",
    "above_tracy_widom": "Eigenvalues above what the largest of Gaussian noise of known variance passes once in a hundred.",
    "ratio": "Largest eigenvalue over the edge.",
    "distance": "Largest difference between the distribution of the eigenvalues below the edge and the law.",
    "stable_rank": "How many modes as strong as the first would carry the same energy.",
    "effective_rank": "How many equal modes have the entropy of the energies.",
    "p": "Share of shuffled matrices, this one counted in, whose largest eigenvalue is as large; not corrected for several layers.",
    "bulk": "The library's own test: noise and outliers fitted together, with one level over all matrices of the network.",
}
"""What each number is, in one sentence."""


@dataclass(frozen=True)
class Range:
    """A number over several draws."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True, eq=False)
class Validation:
    """One matrix of a layer beside matrices that have learnt nothing.

    Attributes:
        layer: Name of the layer.
        group: Which of its groups, or None of a layer with one.
        shape: (out, in * taps).
        trained: The weight as it is; None where `status` says why.
        start: The same of the weight before training, or None.
        start_from: Where the start comes from, or why there is none.
        permuted: By the names of `Count`, over draws with the entries in random places; None of a matrix so large that it
            would take too long, which `status` says.
        gaussian: The same for Gaussian entries of the same variance.
        draws: Number of each.
        p: Of the ratio of the weight among those with permuted entries, `(rank + 1) / (draws + 1)`; None without.
        bulk: The verdict of `measures.bulk` on the weight: the outliers that the rest of the library speaks of.
        status: "ok", a caution, or why nothing is said.
    """

    layer: str
    group: int | None
    shape: tuple[int, int]
    trained: Count | None = None
    start: Count | None = None
    start_from: str = ""
    permuted: Mapping[str, Range] | None = None
    gaussian: Mapping[str, Range] | None = None
    draws: int = 0
    p: float | None = None
    bulk: Bulk | None = None
    status: str = "ok"

    @property
    def edge(self) -> float | None:
        """Upper end of the noise by `bulk`, as a singular value; None where it has no verdict."""
        return None if self.bulk is None or self.bulk.edge_upper is None else math.sqrt(self.bulk.edge_upper)


def by_entries(_values: Values, _n: int, std: float) -> float:
    """Variance of the entries. Permuting keeps it, so that weight and controls have one edge; strong modes are part of it."""
    return std**2


def by_median(values: Values, n: int, _std: float) -> float:
    """Median eigenvalue over the median of the law: strong modes hardly move it, so that weaker ones are counted beside them."""
    return float(np.median(values)) / (n * float(marchenko_pastur.quantile(0.5, values.size / n)))


def count(s: Values, shape: tuple[int, int], std: float, /, *, variance: Variance = by_entries) -> Count:
    """Compare singular values with the edge of noise.

    Args:
        s: (min(shape),) singular values.
        shape: Of the matrix.
        std: Standard deviation of its entries.
        variance: How the variance of the noise is found.

    Raises:
        MatrixError: All entries are equal, or the values have no scale: there is no noise to compare with.

    References:
        Marchenko & Pastur (1967), doi:10.1070/SM1967v001n04ABEH001994; Johnstone (2001), doi:10.1214/aos/1009210544.
    """
    values, n, m = np.sort(np.asarray(s, dtype=np.float64) ** 2), max(shape), min(shape)
    sigma = math.sqrt(variance(values, n, std))
    if not sigma**2 > ROUNDING * values.sum() / (n * m):
        raise MatrixError("no noise to compare with: all entries are equal, or at least half of the values are zero.")
    edge = marchenko_pastur.edges(n, m, sigma).upper
    law = tracy_widom.scaling(n, m)
    above = int((values > edge).sum())
    below = values[: m - above]
    shares = values[values > 0] / values.sum()
    return Count(
        above_edge=above,
        above_margin=int((values > MARGIN * edge).sum()),
        above_tracy_widom=int((values > sigma**2 * (law.centre + tracy_widom.isf(TAIL) * law.width)).sum()),
        ratio=float(values[-1] / edge),
        distance=_distance(below, n - above),
        stable_rank=float(values.sum() / values[-1]),
        effective_rank=float(np.exp(-(shares * np.log(shares)).sum())),
    )


def validate(
    survey: Survey,
    bases: Mapping[str, Basis],
    /,
    *,
    start: Any = None,
    draws: int = DRAWS,
    level: float = LEVEL,
    variance: Variance = by_entries,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Validation, ...]:
    """Set the spectrum of each layer beside its start, its permuted entries and Gaussian ones.

    What is looked at is the matrix that the modes are of: where a batch norm was folded in, the weight with its gain, and the start
    with the same gain.

    Args:
        survey: Of a network.
        bases: Its modes by site.
        start: The network before training: a module, a state dict, or the path of a checkpoint with the same names. By default each
            layer is started anew by its own `reset_parameters`, in a copy: what torch starts with, and not what the user may have.
        draws: Of permuted and of Gaussian matrices, at least 10.
        level: Of the bulk's outliers, over all matrices.
        variance: How the edge is found: `by_entries` or `by_median`.
        seed: Of all draws.
        progress: Told how many matrices are done.

    Returns:
        One for each layer, in the order in which they run; of a layer of several groups one for each, unless these are too small.

    Raises:
        UsageError: There are fewer draws, or `start` cannot be read.
    """
    if draws < LEAST_DRAWS:
        raise UsageError(f"draws: expected at least {LEAST_DRAWS}, for a range over them to mean something, got {draws}.")
    sites = {site.layer: site for site in survey.sites if site.name in bases}
    before = None if start is None else _tensors(start)
    matrices = [(site, group) for site in sites.values() for group in _groups(bases[site.name])]
    tests = sum(min(bases[site.name].shape) >= SMALLEST for site, _ in matrices)
    found = []
    for done, (site, group) in enumerate(matrices, start=1):
        own = bases[site.name]
        found.append(_validated(site, own, group, before, draws, level, tests, variance, seed))
        if progress is not None:
            progress("validation", done, len(matrices))
    return tuple(found)


def validations(
    survey: Survey,
    bases: Mapping[str, Basis],
    /,
    *,
    untrained: Any = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, tuple[Validation, ...]]:
    """`validate` with its defaults, by site: calls of one layer share what is said of it; several are those of several groups."""
    flat = validate(survey, bases, start=untrained, seed=seed, progress=progress)
    return {site.name: tuple(one for one in flat if one.layer == site.layer) for site in survey.sites if site.name in bases}


def _validated(
    site: Site,
    own: Basis,
    group: int | None,
    before: Mapping[str, Tensor] | None,
    draws: int,
    level: float,
    tests: int,
    variance: Variance,
    seed: int,
) -> Validation:
    blank = partial(Validation, site.layer, group, own.shape)
    short = min(own.shape)
    if short < SMALLEST:
        said = f"{own.groups} groups of shape {own.shape}" if own.groups > 1 else f"shape {own.shape}"
        return blank(status=f"{said}: a short side of {short} is too few values for a law, {SMALLEST} are needed")
    spectrum = own.spectrum
    if spectrum is None:  # a basis of several groups has none
        spectrum = _formed(own, group or 0, weights(own)[group or 0] * own.gain.reshape(own.groups, -1, 1)[group or 0])
    assert spectrum.entries is not None
    std = spectrum.entries.std
    judged = analyze(spectrum, level=level, tests=tests, seed=seed)
    try:
        trained = count(spectrum.s, own.shape, std, variance=variance)
    except MatrixError as error:
        return blank(bulk=judged, status=str(error))
    names = (site.layer, str(group))
    shuffled = []
    if _affordable(own, draws):
        shuffles = _permuted(spectrum, draws, generator(seed, "permuted", *names))
        shuffled = [count(s, own.shape, std, variance=variance) for s in shuffles]
    gauss = generator(seed, "gaussian", *names)
    n, m = max(own.shape), min(own.shape)
    drawn = [count(np.sqrt(wishart.sample(n, m, gauss)) * std, own.shape, std, variance=variance) for _ in range(draws)]
    first, start_from = _start(site, own, group, before, variance, seed)
    rank = sum(one.ratio >= trained.ratio for one in shuffled)
    return blank(
        trained=trained,
        start=first,
        start_from=start_from,
        permuted=_ranges(shuffled) if shuffled else None,
        gaussian=_ranges(drawn),
        draws=draws,
        p=(rank + 1) / (draws + 1) if shuffled else None,
        bulk=judged,
        status=_status(own, draws),
    )


def _affordable(own: Basis, draws: int) -> bool:
    return draws * max(own.shape) * float(min(own.shape)) ** 2 <= WORK


def _status(own: Basis, draws: int) -> str:
    said = []
    if not _affordable(own, draws):
        said.append(f"{draws} permutations would take too long and were not drawn")
    if min(own.shape) < SMALL:
        said.append(f"{min(own.shape)} values are few for a law, {SMALL} are enough")
    if own.norm:
        said.append(f"rows are scaled by {own.norm}, which was folded in, and the entries of noise are not")
    return f"with caution: {'; '.join(said)}" if said else "ok"


def _start(
    site: Site, own: Basis, group: int | None, before: Mapping[str, Tensor] | None, variance: Variance, seed: int
) -> tuple[Count | None, str]:
    """Count of the weight before training, and where that is from or why there is none."""
    if before is not None:
        name = f"{site.layer}.weight".lstrip(".")
        if name not in before:
            return None, f"the start has no {name!r}"
        said, weight = "the start that was given", before[name].read()
    else:
        said = "started anew by the layer's own reset_parameters"
        fresh = _fresh(site, seed)
        if isinstance(fresh, str):
            return None, fresh
        weight = fresh
    try:
        kernel = by_outputs(site.module, weight)
        if kernel.shape != (own.groups, own.shape[0], *own.kernel):
            return None, f"the start has another shape, {tuple(np.shape(weight))}"
        block = kernel[group or 0].reshape(own.shape) * own.gain.reshape(own.groups, -1, 1)[group or 0]
        spectrum = _formed(own, group or 0, block)
        assert spectrum.entries is not None
        return count(spectrum.s, own.shape, spectrum.entries.std, variance=variance), said
    except (ModescopeError, ValueError) as error:
        return None, f"the start cannot be compared: {error}"


def _fresh(site: Site, seed: int) -> Array | str:
    """The weight of a copy of a layer that was started anew, or why there is none."""
    import torch

    module = site.module
    if "weight" not in dict(module.named_parameters(recurse=False)):
        return "no start: the weight is computed from other parameters"
    if not callable(getattr(module, "reset_parameters", None)):
        return f"no start: {type(module).__name__} has no reset_parameters"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        # not torch.manual_seed, which seeds accelerators too: nothing gives their random numbers back
        torch.default_generator.manual_seed(int(generator(seed, "start", site.layer).integers(1 << 62)))
        try:
            copy = deepcopy(module).cpu()
            copy.reset_parameters()
        except Exception as error:  # what users hang on a layer may refuse to be copied or started, in any way it likes
            return f"no start: the layer cannot be copied and started anew ({type(error).__name__})"
    found: Array = copy.weight.detach().double().numpy()
    return found


def _tensors(start: Any) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for tensor in checkpoints.open(start).tensors:
        if isinstance(tensor, Tensor):
            found |= dict.fromkeys((tensor.name, *tensor.aliases), tensor)
    return found


def _groups(own: Basis) -> tuple[int | None, ...]:
    """Those that are looked at one by one."""
    return tuple(range(own.groups)) if own.groups > 1 and min(own.shape) >= SMALLEST else (None,)


def _formed(own: Basis, group: int, block: Values) -> Spectrum:
    return decompose(Matrix(f"{own.layer}.weight", f"group {group}", own.shape, "float64", partial(_same, block), kind=own.kind))


def _same(block: Values) -> Array:
    return block


def _permuted(spectrum: Spectrum, draws: int, random: np.random.Generator) -> Iterator[Values]:
    """Singular values with the entries in random places; the mean is left in, as it is in the weight."""
    entries = np.array(spectrum.matrix.read(), dtype=np.float32)  # a copy: it is shuffled where it lies
    shuffles = twins.permuted(entries, random)
    for _ in range(draws):
        yield gram(next(shuffles)).s


def _ranges(counts: list[Count]) -> dict[str, Range]:
    found = {}
    for field in fields(Count):
        values = [float(getattr(one, field.name)) for one in counts]
        found[field.name] = Range(min(values), float(np.mean(values)), max(values))
    return found


def _distance(below: Values, n: int) -> float:
    sigma = marchenko_pastur.scale(below, n) if below.size else 0.0
    return marchenko_pastur.distance(below, n, sigma) if sigma > 0 else 1.0
