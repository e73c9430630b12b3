"""How well a network still tells classes apart when its layers keep some of their modes only."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.activations import given_back
from modescope.errors import UsageError
from modescope.measures import bulk
from modescope.profiles.basis import Basis
from modescope.profiles.images import Images, Labels, Progress
from modescope.profiles.survey import Survey, run
from modescope.seeds import generator
from modescope.svd import Values

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
WAYS = ("top", "bottom", "random", "outliers")
MOST = 1000  # images; there are as many passes over them as truncations
DRAWS = 3
PROBED, SECONDS = 32, 180  # images that are timed, and how long it may take where nobody asked for it
CLEAR = 8  # times as long as it may take: no larger batch makes up for that, and none is timed
TIMED = 5e8  # multiply-adds of the sum of modes that is timed
LEVEL = 0.01  # of the outliers, over all layers
NORMAL = 1.959963984540054  # quantile of the interval

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Truncation:
    """One way to cut layers down, and how many images the network still gets right.

    Attributes:
        layers: What was cut: one layer, or all but the last together.
        which: "top", "bottom", "random" or "outliers".
        share: Of the modes of each layer that was asked for; None of outliers, whose number the weights decide.
        kept: Modes kept of each of the layers.
        ranks: Modes there are of each.
        hits: Images right, once for every draw of modes; once where nothing is drawn.
        images: Number of images.
        low: Lower end of the interval of `accuracy` that 95 % of such samples of images have; Wilson's.
        high: Upper end.
    """

    layers: tuple[str, ...]
    which: str
    share: float | None
    kept: tuple[int, ...]
    ranks: tuple[int, ...]
    hits: tuple[int, ...]
    images: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """Share of the images that are right, the mean over draws."""
        return float(np.mean(self.hits)) / self.images


@dataclass(frozen=True, eq=False)
class Truncations:
    """What truncating cost.

    Attributes:
        points: By layer, way and share; those of all layers together are last.
        against: What an image is compared with to be right: "labels", or "the whole network", its own answers without labels.
        images: Number of images that were used, a random sample where there are more.
        hits: Images that the whole network gets right.
        together: Layers that are cut together: all that can be but the one that gives the classes.
        left_out: Layers and ways without a point, each with the reason.
        status: "ok", or why there is nothing to count.
    """

    points: tuple[Truncation, ...]
    against: str
    images: int
    hits: int
    together: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    status: str = "ok"


def weights(basis: Basis, modes: Any = None, /) -> Values:
    """Sum over singular triples of a layer, without the gain of a batch norm that was folded in.

    Args:
        basis: Modes of the layer.
        modes: Indices of those that are kept; by default all.

    Returns:
        (groups, out / groups, in / groups * taps).
    """
    chosen = np.arange(basis.s.size) if modes is None else np.asarray(modes, dtype=np.intp)
    found = np.zeros((basis.groups, *basis.shape))
    for group in range(basis.groups):
        own = chosen[basis.group[chosen] == group]
        found[group] = (basis.u[own].T * basis.s[own]) @ basis.vh[own]
    gain = basis.gain.reshape(basis.groups, -1, 1)
    # what a norm multiplies with 0 has no part in any mode: it stays 0
    return np.divide(found, gain, out=np.zeros_like(found), where=gain != 0)


def layered(model: Any, survey: Survey, bases: Mapping[str, Basis], /) -> tuple[dict[str, Basis], dict[str, str]]:
    """Modes by layer, in the order in which layers run, and layers whose weight cannot be replaced, with the reason."""
    holders: dict[int, list[tuple[int, str]]] = {}
    for name, module in model.named_modules():
        for leaf, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if parameter.numel():
                holders.setdefault(parameter.data_ptr(), []).append((id(module), f"{name}.{leaf}".lstrip(".")))
    found: dict[str, Basis] = {}
    reasons: dict[str, str] = {}
    for site in survey.sites:
        if site.name not in bases or site.layer in reasons:
            continue
        weight = dict(site.module.named_parameters(recurse=False)).get("weight")
        if weight is None:
            reasons[site.layer] = "its weight is computed from other parameters when it runs, and cannot be replaced by itself"
            continue
        others = [
            name for owner, name in holders.get(weight.data_ptr(), []) if (owner, name) != (id(site.module), _weight(site.layer))
        ]
        if others:
            reasons[site.layer] = f"its weight is {others[0]} as well: to cut one would cut both"
        elif found.setdefault(site.layer, bases[site.name]) is not bases[site.name]:
            del found[site.layer]
            reasons[site.layer] = "its calls go to several batch norms, each of which makes other modes of it: use bn='ignore'"
    return found, reasons


@contextmanager
def truncated(model: Any, survey: Survey, bases: Mapping[str, Basis], keep: Mapping[str, Any], /) -> Iterator[None]:
    """Lend a network whose layers keep some of their modes only.

    The weight of a layer is replaced by the sum over the singular triples that are kept; biases and batch norms stay. Where all are
    kept nothing is replaced. The parameters stay the same objects and show other numbers for a while; those they had are never
    written to, so that they are back bit by bit, whatever happens meanwhile.

    Args:
        model: The network.
        survey: Of this network.
        bases: Its modes by site.
        keep: Indices of the modes that are kept, by layer; a layer that is called several times is cut in all its calls.

    Raises:
        UsageError: There is no such layer or mode, or the weight of a layer cannot be replaced.
    """
    import torch

    found, reasons = layered(model, survey, bases)
    modules = {site.layer: site.module for site in survey.sites}
    chosen = {name: _modes(name, modes, found, reasons) for name, modes in keep.items()}
    replaced: list[tuple[Any, Any]] = []
    try:
        for name, modes in chosen.items():
            if modes.size == found[name].s.size:
                continue
            weight = modules[name].weight
            with torch.no_grad():
                value = torch.empty_like(weight).copy_(torch.from_numpy(_stored(found[name], modules[name], modes)))
            replaced.append((weight, weight.data))
            weight.data = value
        yield
    finally:
        for weight, held in replaced:
            weight.data = held


def curve(
    model: Any,
    images: Images,
    survey: Survey,
    bases: Mapping[str, Basis],
    /,
    *,
    shares: Sequence[float] = SHARES,
    which: Sequence[str] = WAYS,
    layers: Sequence[str] | None = None,
    draws: int = DRAWS,
    most: int = MOST,
    level: float = LEVEL,
    seed: int = 0,
    progress: Progress | None = None,
) -> Truncations:
    """Accuracy of a network as a function of the modes that its layers keep: of each layer alone, and of all but the last together.

    Each truncation is one pass over the same images, which are held in memory; truncations that keep the same modes share one.

    Args:
        model: The network; it is given back as it was.
        images: The data set. Without labels the answers of the whole network stand for them: what is counted is agreement.
        survey: Of this network.
        bases: Its modes by site.
        shares: Of the modes of a layer that are kept, `max(1, round(share * rank))` of them.
        which: Modes that are kept: "top" and "bottom" by singular value, "random", and "outliers", those above the noise of the
            weight by `measures.bulk`, which may be none. Layers that it has no verdict for have no point; together with others they
            stay whole.
        layers: Those with points of their own; by default all, and with () there are only those of all together.
        draws: Of random modes. Modes of a larger share contain those of a smaller one.
        most: Images at most; of more a random sample is taken.
        level: Probability that noise shows an outlier in any layer.
        seed: Of the sample and of random modes.
        progress: Told how many images were done, counted over all passes.

    Raises:
        UsageError: An argument is out of range, or the network does not run on the images.

    References:
        Wilson (1927), doi:10.1080/01621459.1927.10502953, for the interval.
    """
    _checked(shares, which, draws, most)
    found, reasons = layered(model, survey, bases)
    own = list(found) if layers is None else [_known(name, found, reasons) for name in layers]
    batches, labels, count = _sample(images, most, seed)
    with given_back(model):
        answers = _answers(model, batches)
        if isinstance(answers, str):
            return Truncations(
                (), "labels" if labels is not None else "the whole network", count, 0, (), tuple(reasons.items()), answers
            )
        predicted, classes = answers
        right = predicted if labels is None else labels
        last = survey.sites[-1]
        together = tuple(name for name in found if not (name == last.layer and last.shape[0] == classes))
        groups = dict.fromkeys([*((name,) for name in own), *([together] if together else [])])
        plans, missing = _plans(found, list(groups), shares, which, draws, level, seed)
        keys = {_key(keep, found) for plan in plans for keep in plan.keeps}
        hits = {(): int((predicted == right).sum())}
        total, done = count * len(keys - {()}), 0
        for plan in plans:
            for keep in plan.keeps:
                if (key := _key(keep, found)) in hits:
                    continue
                with truncated(model, survey, bases, keep):
                    hits[key] = 0
                    for part, wanted in zip(batches, _split(right, batches), strict=True):
                        hits[key] += int((_predicted(run(model, part)) == wanted).sum())
                        done += len(part)
                        if progress is not None:
                            progress("truncation", done, total)
    points = tuple(_point(plan, [hits[_key(keep, found)] for keep in plan.keeps], found, count) for plan in plans)
    against = "the whole network" if labels is None else "labels"
    return Truncations(points, against, count, hits[()], together, (*reasons.items(), *missing))


def truncations(
    model: Any,
    images: Images,
    survey: Survey,
    bases: Mapping[str, Basis],
    /,
    *,
    wanted: bool | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Truncations | str:
    """`curve` with its defaults where it is wanted, or a sentence why there is none.

    Args:
        model: The network.
        images: The data set.
        survey: Of this network.
        bases: Its modes by site.
        wanted: None for yes if it takes minutes, by the time that one batch takes.
        seed: See `curve`.
        progress: See `curve`.
    """
    if wanted is False:
        return "not asked for"
    if wanted is None:
        passes = (len(survey.sites) + 1) * (len(SHARES) * (2 + DRAWS) + 1)
        total = passes * min(MOST, MOST if images.count is None else images.count)
        seconds = total * _each(model, images.first())
        if seconds < CLEAR * SECONDS:
            seconds = total * _each(model, images.first(PROBED))
            seconds += sum(map(_composing, layered(model, survey, bases)[0].values()))
        if seconds > SECONDS:
            return f"it would take about {seconds / 60:.0f} minutes here; ask for it by truncation=True"
    try:
        found = curve(model, images, survey, bases, seed=seed, progress=progress)
    except KeyboardInterrupt:  # what was found before this last step is worth more than an end without it
        return "interrupted before it was done"
    return found if found.points else found.status


def _each(model: Any, few: Any) -> float:
    """Seconds that the network takes for one of some images."""
    with given_back(model):
        run(model, few)  # what is prepared on the first call is not timed
        start = time.perf_counter()
        run(model, few)
        return (time.perf_counter() - start) / len(few)


def _composing(basis: Basis) -> float:
    """About how many seconds it takes to sum the modes of a layer for all its truncations, alone and with others."""
    few = max(1, min(basis.s.size, int(TIMED / (basis.groups * math.prod(basis.shape)))))
    start = time.perf_counter()
    weights(basis, np.arange(few))
    taken = time.perf_counter() - start
    return 2 * (2 + DRAWS) * sum(share for share in SHARES if share < 1) * basis.s.size / few * taken


def interval(hits: float, count: int, /) -> tuple[float, float]:
    """Ends of Wilson's 95 % interval of a share, `hits` of `count`.

    References:
        Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    share, square = hits / count, NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = NORMAL * np.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return min(share, max(0.0, float(middle - half))), max(share, min(1.0, float(middle + half)))


@dataclass(frozen=True, eq=False)
class _Plan:
    """A point to come: modes by layer, once for each draw."""

    layers: tuple[str, ...]
    which: str
    share: float | None
    keeps: tuple[dict[str, Indices], ...]


def _plans(
    found: Mapping[str, Basis],
    groups: Sequence[tuple[str, ...]],
    shares: Sequence[float],
    which: Sequence[str],
    draws: int,
    level: float,
    seed: int,
) -> tuple[list[_Plan], list[tuple[str, str]]]:
    """Points in their order, and why layers have none of outliers."""
    outliers, missing = _outliers(found, level, seed) if "outliers" in which else ({}, {})
    plans = []
    for group in groups:
        for way in which:
            if way == "outliers":
                if judged := {name: outliers[name] for name in group if name in outliers}:
                    plans.append(_Plan(group, way, None, (judged,)))
                continue
            for share in shares:
                times = draws if way == "random" else 1
                keeps = tuple(
                    {name: _chosen(name, found[name].s.size, way, share, draw, seed) for name in group} for draw in range(times)
                )
                plans.append(_Plan(group, way, share, keeps))
    return plans, [(f"{name}, outliers", why) for name, why in missing.items()]


def _chosen(name: str, rank: int, way: str, share: float, draw: int, seed: int) -> Indices:
    count = max(1, round(share * rank))
    if way == "top":
        return np.arange(count)
    if way == "bottom":
        return np.arange(rank - count, rank)
    return np.sort(generator(seed, "modes kept", name, str(draw)).permutation(rank)[:count])


def _outliers(found: Mapping[str, Basis], level: float, seed: int) -> tuple[dict[str, Indices], dict[str, str]]:
    kept: dict[str, Indices] = {}
    missing: dict[str, str] = {}
    for name, basis in found.items():
        if basis.spectrum is None:
            missing[name] = f"{basis.groups} groups: the noise of each would be another"
            continue
        result = bulk.analyze(basis.spectrum, level=level, tests=len(found), seed=seed)
        if result.outliers is None:
            missing[name] = result.status
        else:
            kept[name] = np.arange(result.outliers)
    return kept, missing


def _key(keep: Mapping[str, Indices], found: Mapping[str, Basis]) -> tuple[Any, ...]:
    """What two truncations that are the same have in common; () of the whole network."""
    return tuple(sorted((name, modes.tobytes()) for name, modes in keep.items() if modes.size < found[name].s.size))


def _point(plan: _Plan, hits: list[int], found: Mapping[str, Basis], count: int) -> Truncation:
    ranks = tuple(found[name].s.size for name in plan.layers)
    kept = tuple(plan.keeps[0][name].size if name in plan.keeps[0] else found[name].s.size for name in plan.layers)
    low, high = interval(float(np.mean(hits)), count)
    return Truncation(plan.layers, plan.which, plan.share, kept, ranks, tuple(hits), count, low, high)


def _sample(images: Images, most: int, seed: int) -> tuple[list[Any], Labels | None, int]:
    """Images in the order of the data set, all or a random sample, in batches of its size; their labels; how many there are."""
    count = images.count if images.count is not None else sum(len(batch) for batch in images.batches())
    rows = np.arange(count)
    if count > most:
        rows = np.sort(generator(seed, "images that truncations are counted on").choice(count, most, replace=False))
    pieces, start, size = [], 0, 1
    for batch in images.batches():
        own = rows[(rows >= start) & (rows < start + len(batch))] - start
        start, size = start + len(batch), max(size, len(batch))
        if own.size:
            pieces.append(batch if own.size == len(batch) else batch[own])
    if not pieces:
        raise UsageError("data: expected images, got none.")
    if images.labels is not None and start != len(images.labels):
        raise UsageError(f"labels: expected one for each image, got {len(images.labels)} for {start} images.")
    return _joined(pieces, size), None if images.labels is None else images.labels[rows], rows.size


def _joined(pieces: list[Any], size: int) -> list[Any]:
    """Neighbouring pieces of one shape as batches of some size: a sample leaves few images of each batch that was read."""
    runs: list[list[Any]] = []
    for piece in pieces:
        last = runs[-1] if runs else []
        if last and piece.shape[1:] == last[0].shape[1:] and len(piece) + sum(map(len, last)) <= size:
            last.append(piece)
        else:
            runs.append([piece])
    return [part[0] if len(part) == 1 else _concatenated(part) for part in runs]


def _concatenated(parts: list[Any]) -> Any:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    import torch

    return torch.cat(parts)


def _answers(model: Any, batches: list[Any]) -> tuple[Labels, int] | str:
    """Classes that the whole network gives, and how many there are; or why it gives none."""
    found, classes = [], 0
    for part in batches:
        output = _output(run(model, part))
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) != 2 or shape[0] != len(part) or shape[1] < 2:
            said = f"{type(output).__name__} of shape {shape}" if shape else type(output).__name__
            return f"expected an output (images, classes) to count what is right, got {said} for {len(part)} images"
        found.append(_predicted(output))
        classes = shape[1]
    return np.concatenate(found), classes


def _output(output: Any) -> Any:
    return output[0] if isinstance(output, tuple | list) and output else output


def _predicted(output: Any) -> Labels:
    """Class of the largest output; -1, which is never right, where one is not a number."""
    value = _output(output)
    found: Labels = value.argmax(dim=1).masked_fill(value.isnan().any(dim=1), -1).cpu().numpy()
    return found


def _split(values: Labels, batches: list[Any]) -> list[Labels]:
    edges = np.cumsum([0, *map(len, batches)])
    return [values[a:b] for a, b in pairwise(edges)]


def _stored(basis: Basis, module: Any, modes: Indices) -> Values:
    """The weight as torch stores it."""
    kernel = weights(basis, modes).reshape(basis.groups, basis.shape[0], *basis.kernel)
    if getattr(module, "transposed", False):
        kernel = kernel.swapaxes(1, 2)
    return np.ascontiguousarray(kernel.reshape(-1, *kernel.shape[2:]))


def _modes(name: str, modes: Any, found: Mapping[str, Basis], reasons: Mapping[str, str]) -> Indices:
    rank = found[_known(name, found, reasons)].s.size
    given = np.asarray(modes)
    if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= rank)):
        raise UsageError(f"keep[{name!r}]: expected indices of its {rank} modes, from 0 to {rank - 1}, got {modes!r:.60}.")
    if np.unique(given).size < given.size:
        raise UsageError(f"keep[{name!r}]: expected each mode once, got {modes!r:.60}.")
    return given.astype(np.intp)


def _known(name: str, found: Mapping[str, Basis], reasons: Mapping[str, str]) -> str:
    if name in reasons:
        raise UsageError(f"layer {name!r}: expected one whose weight can be replaced; {reasons[name]}.")
    if name not in found:
        some = ", ".join(map(repr, list(found)[:6]))
        raise UsageError(f"layer {name!r}: expected a layer that was looked at, by its name in the network: {some}.")
    return name


def _weight(layer: str) -> str:
    return f"{layer}.weight".lstrip(".")


def _checked(shares: Sequence[float], which: Sequence[str], draws: int, most: int) -> None:
    for share in shares:
        if not 0 < share <= 1:
            raise UsageError(f"shares: expected shares of the modes, above 0 and up to 1, got {share}.")
    for way in which:
        if way not in WAYS:
            raise UsageError(f"which: expected {', '.join(WAYS)}, got {way!r}.")
    if draws < 1 or most < 1:
        raise UsageError(f"draws, most: expected at least 1 of each, got {draws} and {most}.")
