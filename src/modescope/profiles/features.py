"""Images that a network was not shown: what drives the signal of a mode, or of several, as far as an image can.

An image starts at the middle of its range and climbs the very functional that it is judged by. Which others it is made with
changes nothing.

References:
    Praggastis et al. (2022), arXiv:2208.06894.
    Olah, Mordvintsev & Schubert (2017), doi:10.23915/distill.00007.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modescope.errors import Interrupted, UsageError
from modescope.profiles.basis import Basis
from modescope.profiles.climbing import DIVERSITY, OBJECTIVES, Climb, Reached, Signals, Term, Wish, climbed, fitting
from modescope.profiles.images import Progress
from modescope.profiles.survey import Site, Survey
from modescope.svd import Values


@dataclass(frozen=True, eq=False)
class Feature:
    """An image that was made to drive one mode, or a weighted sum of several.

    Attributes:
        layer: Name of the site, or of all sites of a combination, joined by " + ".
        mode: The mode, counted from 0; None for a combination.
        sign: 1 where the signal was driven up, along the output direction u; -1 where it was driven down, along -u.
        variant: Which of several images for one objective this is.
        terms: The modes with their weights.
        image: (channels, *sizes) inside the range that was asked for.
        score: Objective of this image, unmoved: the aggregated signal, or the weighted sum of them. Not multiplied by the sign.
        before: The same of the image it started from.
        history: (step, score) on the way, of the unmoved image; the first is the start.
        sigma: Singular value of the mode, or None for a combination.
        share: How far the score came, from that of the middle of the range, 0, to the best that any image in the range can have, 1;
            None unless the objective is linear in the image, as it is in a first layer.
        seed: What the start and the movements were drawn with.
        objective: "centre", "mean", "max", "rms", or "unit" where the layer has no positions.
        transforms: How the image was moved before each step, or "none".
        parametrisation: "fft" or "pixel".
        steps: Steps that were made.
        status: "ok", or what must be said.
    """

    layer: str
    mode: int | None
    sign: int
    variant: int
    terms: tuple[Term, ...]
    image: Values
    score: float
    before: float
    history: tuple[tuple[int, float], ...]
    sigma: float | None
    share: float | None
    seed: int
    objective: str
    transforms: str
    parametrisation: str
    steps: int
    status: str

    def __post_init__(self) -> None:
        self.image.flags.writeable = False


def visualise(
    model: Any,
    site: str | Site,
    modes: Sequence[int],
    /,
    *,
    survey: Survey,
    basis: Basis,
    shape: Sequence[int],
    span: tuple[float, float] = (0.0, 1.0),
    normalise: Callable[[Any], Any] | None = None,
    objective: str = "centre",
    signs: Sequence[int] | None = None,
    steps: int | None = None,
    transforms: str = "auto",
    parametrisation: str = "fft",
    natural: bool = False,
    variants: int = 1,
    diversity: float = DIVERSITY,
    seed: int = 0,
    batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[Feature, ...]:
    """An image for every mode and sign of one site.

    The network runs up to the layer only, in evaluation mode and on the device where it is, and is given back as it was: gradients
    are taken in the image alone. Ctrl-C gives what there is by then, with a status that says so.

    Args:
        model: The network.
        site: A site of the survey, or its name.
        modes: Modes counted from 0.
        survey: Of this network.
        basis: Modes of the site.
        shape: (channels, *sizes) of an image; (in,) where it has no positions.
        span: Range of its values, before `normalise`.
        normalise: What the network needs done to such images (N, channels, *sizes), differentiable; by default nothing.
        objective: "centre", the signal at the middle position; "mean", which saturates images and sees brightness alone in a first
            layer; "max"; or "rms", which is the same for both signs. All are the same where a layer has no positions.
        signs: 1 and -1 by default, 1 for "rms".
        steps: Number of steps; by default by the size of the image, 128 to 512.
        transforms: "auto", to move images a little before each step, by their size; or "none".
        parametrisation: "fft", coefficients that weigh less the higher their frequency; or "pixel".
        natural: The channels are red, green and blue of natural images: their usual correlation is put in.
        variants: Images for every mode and sign.
        diversity: How much variants are kept apart, as a share of the score for each unit of similarity of their Gram matrices
            in the layer; 0 for independent ones.
        seed: Of starts and movements.
        batch: Images made at once; by default what fits in `MEMORY` bytes of gradients. It changes nothing but speed.
        progress: Told the number of images done so far, steps counted in.

    Returns:
        Features by mode, sign and variant in the order in which they were asked for.

    Raises:
        UsageError: An option is none of those above, the network does not run on such images, or its signals are not finite.
        Interrupted: Ctrl-C before the first step.
    """
    found = _site(survey, site)
    if objective not in OBJECTIVES:
        raise UsageError(f"objective: expected one of {', '.join(OBJECTIVES)}, got {objective!r}.")
    wanted = tuple(signs) if signs is not None else (1, -1) if OBJECTIVES[objective][1] else (1,)
    if not wanted or any(sign not in {1, -1} for sign in wanted):
        raise UsageError(f"signs: expected 1, -1 or both, got {wanted}.")
    climb = Climb(
        model, (found,), {found.name: basis}, tuple(shape), span, normalise, objective, steps, transforms, parametrisation,
        natural, variants, diversity, seed, batch,
    )  # fmt: skip
    terms = [_term(found.name, mode, 1.0, basis) for mode in modes]
    return _made(climb, [Wish((term,), sign) for term in terms for sign in wanted], progress)


def combined(
    model: Any,
    weights: Mapping[str, Mapping[int, float]],
    /,
    *,
    survey: Survey,
    bases: Mapping[str, Basis],
    shape: Sequence[int],
    span: tuple[float, float] = (0.0, 1.0),
    normalise: Callable[[Any], Any] | None = None,
    objective: str = "centre",
    steps: int | None = None,
    transforms: str = "auto",
    parametrisation: str = "fft",
    natural: bool = False,
    variants: int = 1,
    diversity: float = DIVERSITY,
    seed: int = 0,
    batch: int | None = None,
    progress: Progress | None = None,
) -> tuple[Feature, ...]:
    """Images for one weighted sum of signals, of one layer or of several.

    Signals are not rescaled: divide a weight by the singular value of its mode where modes are to count alike.

    Args:
        model: The network.
        weights: Weight of each mode by the name of its site; a negative one drives a signal down.
        survey: Of this network.
        bases: Modes by site.
        shape: As `visualise` takes it, and so are the others.
        span: See there.
        normalise: See there.
        objective: See there; with "rms" all weights are positive.
        steps: See there.
        transforms: See there.
        parametrisation: See there.
        natural: See there.
        variants: See there.
        diversity: See there.
        seed: See there.
        batch: See there.
        progress: See there.

    Returns:
        One feature for each variant.

    Raises:
        UsageError: As there; or there is no weight.
        Interrupted: Ctrl-C before the first step.
    """
    given = {name: own for name, own in weights.items() if any(own.values())}
    if not given:
        raise UsageError("weights: expected a weight other than 0 for a mode of a site, got none.")
    if missing := [name for name in given if name not in bases]:
        raise UsageError(f"bases: expected the modes of every site that has a weight, got none of {missing[0]!r}.")
    sites = tuple(_site(survey, name) for name in given)
    terms = tuple(_term(name, mode, value, bases[name]) for name, own in given.items() for mode, value in own.items() if value)
    climb = Climb(
        model, sites, {one.name: bases[one.name] for one in sites}, tuple(shape), span, normalise, objective, steps, transforms,
        parametrisation, natural, variants, diversity, seed, batch,
    )  # fmt: skip
    return _made(climb, [Wish(terms, 1)], progress)


def _made(climb: Climb, wishes: list[Wish], progress: Progress | None) -> tuple[Feature, ...]:
    """Features for all wishes, some at a time."""
    if not wishes:
        return ()
    if OBJECTIVES[climb.objective][1] is None and any(wish.sign * term.weight < 0 for wish in wishes for term in wish.terms):
        raise UsageError(
            f"signs: expected 1 with the objective {climb.objective!r}, which is the same number for both; got -1. "
            "Use 'centre', 'mean' or 'max'."
        )
    found: list[Feature] = []
    steps = climb.steps
    try:
        signals = Signals(climb)
        with signals.listening():
            at_once = max((climb.batch or fitting(climb, signals, wishes[0])) // climb.variants, 1)
            for first in range(0, len(wishes), at_once):
                some = wishes[first : first + at_once]

                def told(done: int, first: int = first, count: int = len(some)) -> None:
                    if progress is not None:
                        images = climb.variants * (first + count * done / steps)
                        progress(f"features of {climb.layer}", int(images), climb.variants * len(wishes))

                reached = climbed(climb, signals, some, told, begun=bool(found))
                found += _features(climb, some, reached)
                if reached.steps < steps:
                    break
    except KeyboardInterrupt:
        if not found:
            raise Interrupted(()) from None
        last = replace(found[-1], status=_joined(found[-1].status, "interrupted after this one"))
        return (*found[:-1], last)
    return tuple(found)


def _features(climb: Climb, wishes: Sequence[Wish], reached: Reached) -> list[Feature]:
    """One for each variant of each wish."""
    found = []
    for place, wish in enumerate(wish for wish in wishes for _ in range(climb.variants)):
        single = wish.terms[0] if len(wish.terms) == 1 and wish.terms[0].weight == 1 else None
        scores = tuple((step, wish.sign * float(values[place])) for step, values in reached.history)
        found.append(
            Feature(
                layer=climb.layer,
                mode=None if single is None else single.mode,
                sign=wish.sign,
                variant=place % climb.variants,
                terms=wish.terms,
                image=reached.images[place].copy(),
                score=scores[-1][1],
                before=scores[0][1],
                history=scores,
                sigma=None if single is None else float(climb.bases[single.site].s[single.mode]),
                share=reached.shares[place],
                seed=climb.seed,
                objective=climb.named,
                transforms="none" if climb.movement is None else str(climb.movement),
                parametrisation=climb.form.name,
                steps=reached.steps,
                status=_status(climb, wish, reached.steps, bool(reached.lost[place]), bool(reached.still[place])),
            )
        )
    return found


def _status(climb: Climb, wish: Wish, done: int, lost: bool, still: bool) -> str:
    """What must be said of an image."""
    said = []
    if done < climb.steps:
        said.append(f"interrupted after {done} of {climb.steps} steps")
    if lost:
        said.append("the gradient was not finite at some step, which was left out")
    if still and done:
        said.append("no gradient reached the image, which is as it started")
    for term in wish.terms:
        basis = climb.bases[term.site]
        tie = next(((a, b) for a, b in basis.ties if a <= term.mode < b), None)
        if tie is not None:
            said.append(
                f"modes {tie[0]} to {tie[1] - 1} of {term.site} have equal singular values: others of their span do as well"
            )
    if climb.transforms == "auto" and len(climb.shape) != 3:
        moves = "moved, but neither turned nor scaled" if climb.movement is not None else "not moved"
        said.append(f"the image has {len(climb.shape) - 1} axes of positions and was {moves}")
    return "; ".join(said) or "ok"


def _joined(status: str, more: str) -> str:
    return more if status == "ok" else f"{status}; {more}"


def _site(survey: Survey, site: str | Site) -> Site:
    if isinstance(site, Site):
        return site
    found = next((one for one in survey.sites if one.name == site), None)
    if found is None:
        known = ", ".join(repr(one.name) for one in survey.sites[:6]) + (", ..." if len(survey.sites) > 6 else "")
        raise UsageError(f"site: expected a layer of the survey, {known}; got {site!r}.")
    return found


def _term(site: str, mode: int, weight: float, basis: Basis) -> Term:
    """A mode that is there, and its weight."""
    count = basis.s.size
    if isinstance(mode, bool) or not isinstance(mode, int | np.integer) or not 0 <= mode < count:
        raise UsageError(f"modes: expected numbers from 0 to {count - 1} of layer {site!r}, got {mode!r}.")
    if not math.isfinite(weight):
        raise UsageError(f"weights: expected finite numbers, got {weight} for mode {mode} of {site!r}.")
    return Term(site, int(mode), float(weight))
