"""One pass of a data set through a network: the signal of every mode for every image, a batch at a time."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope import checkpoints
from modescope.errors import UsageError
from modescope.matrix import Tensor
from modescope.profiles.aggregates import aggregate
from modescope.profiles.basis import Basis, basis, project
from modescope.profiles.images import Images, Labels, Progress
from modescope.profiles.survey import Site, Survey, run, watched
from modescope.svd import Values

BATCH_NORMS = ("ignore", "fold")


@dataclass(frozen=True, eq=False)
class Passed:
    """What one batch gave.

    Attributes:
        start: Index of its first image in the data set.
        labels: (n,) classes, or None.
        signals: (n, r) by site, float64.
        places: (n, r) index of the position that made the number, row-major, by site; only of the aggregates that choose one.
        predicted: (n,) class with the largest output, or None where the network gives no (n, classes).
        inputs: The batch as it was given to the network.
        outputs: Number of classes that the network tells apart, 0 where `predicted` is None.
    """

    start: int
    labels: Labels | None
    signals: Mapping[str, Values]
    places: Mapping[str, NDArray[np.int64]]
    predicted: Labels | None
    inputs: Any
    outputs: int = 0


def bases(
    model: Any, survey: Survey, /, *, bn: str = "ignore", progress: Progress | None = None, task: str = "modes"
) -> dict[str, Basis]:
    """Modes of every layer that was found, by the name of its site; a layer that is called several times is decomposed once.

    Args:
        model: The network.
        survey: Of this network.
        bn: "ignore", or "fold" to multiply the batch norm that takes the output of a layer into its weight.
        progress: Told the number of layers done.
        task: What it is told that this is.

    Raises:
        UsageError: `bn` is another word, or a batch norm cannot be folded in.
        MatrixError: A weight is empty or not finite.
    """
    if bn not in BATCH_NORMS:
        raise UsageError(f"bn: expected one of {', '.join(BATCH_NORMS)}, got {bn!r}.")
    tensors: dict[str, Tensor] = {}
    for tensor in checkpoints.open(model).tensors:
        if isinstance(tensor, Tensor):
            tensors |= dict.fromkeys((tensor.name, *tensor.aliases), tensor)
    found: dict[tuple[str, str], Basis] = {}
    made: dict[str, Basis] = {}
    for done, site in enumerate(survey.sites, start=1):
        norm = site.norm if bn == "fold" else ""
        key = (site.layer, norm)
        if key not in found:
            weight, bias = (tensors.get(f"{site.layer}.{leaf}".lstrip(".")) for leaf in ("weight", "bias"))
            assert weight is not None
            given = None if bias is None or site.module.bias is None else bias.read()
            found[key] = basis(site.layer, site.module, weight.read(), given, norm=(norm, survey.norms[norm]) if norm else None)
        made[site.name] = found[key]
        if progress is not None:
            progress(task, done, len(survey.sites))
    return made


def passes(
    model: Any,
    images: Images,
    survey: Survey,
    bases: Mapping[str, Basis],
    /,
    *,
    aggregate_by: str = "mean",
    progress: Progress | None = None,
    task: str = "signals",
) -> Iterator[Passed]:
    """Run a network over a data set, and project every layer's raw output on its modes.

    Memory is that of one batch. The network is given back as it was after every batch, before the caller gets it.

    Args:
        model: The network.
        images: The data set.
        survey: Of this network.
        bases: Modes by site; sites without are not looked at.
        aggregate_by: One of `aggregates.AGGREGATES`.
        progress: Told the number of images done after each batch.
        task: What it is told that this is.

    Raises:
        UsageError: The network does not run on a batch, or a signal is not finite: the message names the layer and the image.

    References:
        Praggastis et al. (2022), arXiv:2208.06894: `s = U^T (y - b)` of the raw output `y`.
    """
    chosen = aggregate(aggregate_by)
    sites = tuple(site for site in survey.sites if site.name in bases)
    signals: dict[str, Any] = {}
    places: dict[str, Any] = {}

    def take(site: Site, output: Any) -> None:
        signals[site.name], place = chosen(bases[site.name], output)
        if place is not None:
            places[site.name] = place

    start = 0
    for batch in images.batches():
        count = len(batch)
        if not count:
            continue
        signals.clear()
        places.clear()
        with watched(model, sites, take) as begin:  # not around the yield: the caller and other passes get the network as it was
            begin()
            output = run(model, batch)
        found = {name: value.double().cpu().numpy() for name, value in signals.items()}
        if missing := next((site for site in sites if site.name not in found), None):
            raise UsageError(
                f"layer {missing.name!r}: expected the network to call it on every batch, it did not on the one from image {start} "
                f"on; leave it out by layers=."
            )
        for name, values in found.items():
            _check(name, values, count, start)
        labels = None if images.labels is None else images.labels[start : start + count]
        if images.labels is not None and labels is not None and len(labels) < count:
            raise UsageError(f"labels: expected one for each image, got {len(images.labels)} for more images than that.")
        at = {name: value.cpu().numpy() for name, value in places.items()}
        predicted = _predicted(output, count)
        yield Passed(start, labels, found, at, *((None, batch) if predicted is None else (predicted[0], batch, predicted[1])))
        start += count
        if progress is not None:
            progress(task, start, images.count)
    if not start:
        raise UsageError("data: expected images, got none.")
    if images.labels is not None and start < len(images.labels):
        raise UsageError(f"labels: expected one for each image, got {len(images.labels)} for {start} images.")


def maps(model: Any, batch: Any, survey: Survey, bases: Mapping[str, Basis], /) -> dict[str, NDArray[np.float64]]:
    """Signals of one batch at every position, by site: (n, r, *positions)."""
    found: dict[str, NDArray[np.float64]] = {}

    def take(site: Site, output: Any) -> None:
        found[site.name] = project(bases[site.name], output).double().cpu().numpy()

    with ExitStack() as stack:
        begin = stack.enter_context(watched(model, tuple(site for site in survey.sites if site.name in bases), take))
        begin()
        run(model, batch)
    return found


def signals(
    model: Any, images: Images, survey: Survey, bases: Mapping[str, Basis], /, *, aggregate_by: str = "mean"
) -> dict[str, Values]:
    """Signals of all images, for data sets whose numbers fit in memory: (N, r) by site."""
    parts: list[Mapping[str, Values]] = [one.signals for one in passes(model, images, survey, bases, aggregate_by=aggregate_by)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check(name: str, values: Values, count: int, start: int) -> None:
    if len(values) != count:
        raise UsageError(f"layer {name!r}: expected a row for each of {count} images, got {len(values)}.")
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise UsageError(
            f"layer {name!r}: expected finite outputs, got {bad.size} of {count} images with others, the first is image "
            f"{start + int(bad[0])}; look at the image, at the scale of the data, or run the network in float32."
        )


def _predicted(output: Any, count: int) -> tuple[Labels, int] | None:
    """Class with the largest output of each image, and the number of classes; None where the output gives none."""
    value = output[0] if isinstance(output, tuple | list) and output else output
    if not hasattr(value, "untyped_storage") or value.ndim != 2 or value.shape[0] != count or value.shape[1] < 2:
        return None
    return value.argmax(dim=1).cpu().numpy(), int(value.shape[1])
