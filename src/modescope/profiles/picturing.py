"""Pictures of modes: the images at both ends of their signals, and images that were made to drive them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.errors import Interrupted, UsageError
from modescope.profiles import transforms
from modescope.profiles.basis import Basis
from modescope.profiles.exemplars import Crops, crops
from modescope.profiles.features import Feature, visualise
from modescope.profiles.gathering import Gathered
from modescope.profiles.images import Images, Progress
from modescope.profiles.receptive import Field, fields
from modescope.profiles.selection import Ranked
from modescope.profiles.survey import Survey, run

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
    model: Any,
    images: Images,
    survey: Survey,
    bases: Mapping[str, Basis],
    kept: Mapping[str, Ranked],
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
        model: The network.
        images: The data set.
        survey: Of this network.
        bases: Modes by site.
        kept: Which of them are followed.
        gathered: What the pass over the images gave.
        shown: Modes of each site whose images are fetched.
        features: Modes of each site that images are made for; None for `shown` where that takes less than `BUDGET`.
        span: Of the numbers of such images; by default that of the data.
        seed: Of all draws.
        progress: Told the task and what is done of it.
    """
    chosen = {name: one.modes[:shown].tolist() for name, one in kept.items()}
    placed: dict[str, Field] = {}
    if any(one.top.places is not None for one in gathered.extremes.values()):
        placed = fields(model, survey, images.first())
    fetched = crops(images, gathered.extremes, modes=chosen, fields=placed, progress=progress)
    return Pictured(fetched, _made(model, images, survey, bases, kept, gathered, shown, features, span, seed, progress))


def _made(
    model: Any,
    images: Images,
    survey: Survey,
    bases: Mapping[str, Basis],
    kept: Mapping[str, Ranked],
    gathered: Gathered,
    shown: int,
    features: int | None,
    span: tuple[float, float] | None,
    seed: int,
    progress: Progress | None,
) -> dict[str, tuple[Feature, ...] | str]:
    names = [site.name for site in survey.sites]
    few = images.first()
    if features == 0:
        return dict.fromkeys(names, "no images were asked for")
    if not few.dtype.is_floating_point if hasattr(few, "is_floating_point") else few.dtype.kind != "f":
        return dict.fromkeys(names, "the network takes no floating-point images, which could be changed little by little")
    count = shown if features is None else features
    if features is None:
        seconds = _seconds(model, few, len(names), 2 * count)
        if seconds > BUDGET:
            said = f"it would take about {seconds / 60:.0f} minutes here; ask for it by features={count}"
            return dict.fromkeys(names, said)
    low, high = gathered.span if span is None else span
    if not low < high:
        return dict.fromkeys(names, "all numbers of the images are equal; say in which span an image may lie")
    found: dict[str, tuple[Feature, ...] | str] = {}
    for name in names:
        try:
            found[name] = visualise(
                model,
                name,
                kept[name].modes[:count].tolist(),
                survey=survey,
                basis=bases[name],
                shape=tuple(few.shape[1:]),
                span=(low, high),
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
