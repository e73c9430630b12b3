"""Pictures of modes: the images at both ends of their signals, and images that were made to drive them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.errors import Interrupted, UsageError
from modescope.profiles import transforms
from modescope.profiles.exemplars import Crops, crops
from modescope.profiles.features import Feature, visualise
from modescope.profiles.gathering import Gathered
from modescope.profiles.images import Progress
from modescope.profiles.receptive import Field, fields
from modescope.profiles.subject import Subject
from modescope.profiles.survey import run

BUDGET = 120.0  # seconds of features that nobody asked for
CLIMB = 3.0  # times a pass of the network that a step of a climb takes, as it also goes backwards


@dataclass(frozen=True, eq=False)
class Pictured:
    """Pictures by site.

    Attributes:
        crops: Images of the data set.
        features: Images that were made, or a sentence that says why there are none.
    """

    crops: Crops
    features: Mapping[str, tuple[Feature, ...] | str]


def pictured(
    subject: Subject,
    gathered: Gathered,
    /,
    *,
    shown: int,
    features: int | None,
    span: tuple[float, float] | None,
    seed: int,
    progress: Progress | None,
) -> Pictured:
    """Fetch and make the pictures of the first modes that are kept.

    Args:
        subject: The network, its images and its modes.
        gathered: What the pass over the images gave.
        shown: Modes of each site whose images are fetched.
        features: Modes of each site that images are made for; None for `shown` where that takes less than `BUDGET`.
        span: Of the numbers of such images; by default that of the data.
        seed: Of all draws.
        progress: Told the task and what is done of it.
    """
    chosen = {name: one.modes[:shown].tolist() for name, one in subject.kept.items()}
    placed: dict[str, Field] = {}
    if any(one.top.places is not None for one in gathered.extremes.values()):
        placed = fields(subject.model, subject.survey, subject.images.first())
    fetched = crops(subject.images, gathered.extremes, modes=chosen, fields=placed, progress=progress)
    within = gathered.span if span is None else span
    count = shown if features is None else features
    if reason := _refused(subject, within, count, asked=features is not None):
        return Pictured(fetched, {site.name: reason for site in subject.survey.sites})
    return Pictured(fetched, _made(subject, within, count, seed, progress))


def _refused(subject: Subject, span: tuple[float, float], count: int, *, asked: bool) -> str:
    """Why no images are made, or nothing."""
    few = subject.images.first()
    if not count:
        return "no images were asked for"
    if not few.dtype.is_floating_point if hasattr(few, "is_floating_point") else few.dtype.kind != "f":
        return "the network takes no floating-point images, which could be changed little by little"
    if not asked and (seconds := _seconds(subject.model, few, len(subject.survey.sites), 2 * count)) > BUDGET:
        return f"it would take about {seconds / 60:.0f} minutes here; ask for it by features={count}"
    return "" if span[0] < span[1] else "all numbers of the images are equal; say in which span an image may lie"


def _made(
    subject: Subject, span: tuple[float, float], count: int, seed: int, progress: Progress | None
) -> dict[str, tuple[Feature, ...] | str]:
    names = [site.name for site in subject.survey.sites]
    found: dict[str, tuple[Feature, ...] | str] = {}
    for name in names:
        try:
            found[name] = visualise(
                subject.model,
                name,
                subject.kept[name].modes[:count].tolist(),
                survey=subject.survey,
                basis=subject.bases[name],
                shape=tuple(subject.images.first().shape[1:]),
                span=span,
                seed=seed,
                progress=progress,
            )
        except (UsageError, Interrupted) as error:
            found[name] = str(error)
            if isinstance(error, Interrupted):
                return found | dict.fromkeys((other for other in names if other not in found), "interrupted before")
        else:
            if any("interrupted" in one.status for one in found[name] if not isinstance(one, str)):
                return found | dict.fromkeys((other for other in names if other not in found), "interrupted before")
    return found


def _seconds(model: Any, few: Any, sites: int, images: int) -> float:
    """About how long making images takes: passes up to each site, forwards and backwards, half of the network on average."""
    from modescope.activations import given_back

    with given_back(model):
        run(model, few)
        start = time.perf_counter()
        run(model, few)
        taken = time.perf_counter() - start
    steps = transforms.steps(tuple(few.shape[2:]))
    return taken / len(few) * CLIMB / 2 * steps * images * sites
