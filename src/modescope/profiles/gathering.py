"""One pass over the images that feeds every running statistic."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modescope.profiles.algebra import ClassProfiles, Parameters, ProfilesByClass
from modescope.profiles.class_sums import ClassStatistics, ClassSums
from modescope.profiles.exemplars import Exemplars, Extremes
from modescope.profiles.images import Progress
from modescope.profiles.passing import Passed, passes
from modescope.profiles.sample import Sample, Sampling
from modescope.profiles.selection import combined, contributing
from modescope.profiles.subject import Subject


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a pass gave.

    Attributes:
        statistics: Signals of the modes that are kept, by class and site; empty without labels.
        profiles: Which modes matter, by class.
        extremes: Images at both ends of every mode, by site.
        sample: Signals of some images.
        images: Number of images.
        right: Images whose largest output is their label; None without labels, or classes among the outputs.
        outputs: Number of classes among the outputs, 0 without.
        span: Smallest and largest number of the images as the network takes them.
    """

    statistics: Mapping[str, ClassStatistics]
    profiles: ProfilesByClass
    extremes: Mapping[str, Extremes]
    sample: Sample
    images: int
    right: int | None
    outputs: int
    span: tuple[float, float]


def gathered(
    subject: Subject,
    parameters: Parameters,
    /,
    *,
    exemplars: int,
    by_image: bool,
    resamples: int,
    permutations: int,
    seed: int,
    progress: Progress | None,
) -> Gathered:
    """Run a network over a data set once; memory does not depend on the number of images.

    Args:
        subject: The network, its images and its modes.
        parameters: How signals are aggregated and chosen.
        exemplars: Images to keep at each end of a mode.
        by_image: Count by class which images chose a mode, for the rule `fraction` of membership.
        resamples: Bootstrap replicates.
        permutations: Of the labels.
        seed: Of all draws.
        progress: Told the number of images done.

    Raises:
        UsageError: As `passes` and `ClassSums`.
    """
    images, kept = subject.images, subject.kept
    sums = None
    if images.labels is not None:
        sums = ClassSums(
            images.labels,
            {name: one.modes for name, one in kept.items()},
            classes=len(images.classes),
            resamples=resamples,
            permutations=permutations,
            choose=(lambda a: contributing(a, share=parameters.share).selected) if by_image else None,
            seed=seed,
        )
    profiles = ClassProfiles(images.labels, classes=images.classes, parameters=parameters)
    extremes, sampling = Exemplars({name: one.s.size for name, one in subject.bases.items()}, exemplars), Sampling(seed=seed)
    count, right, outputs, low, high = 0, 0, 0, np.inf, -np.inf
    judged = images.labels is not None
    running = passes(subject.model, images, subject.survey, subject.bases, aggregate_by=parameters.aggregate, progress=progress)
    for passed in running:
        if sums is not None:
            sums.add(passed)
        chosen = {n: combined(a, kept[n], share=parameters.share, compat=parameters.compat) for n, a in passed.signals.items()}
        profiles.add(passed, chosen)
        extremes.add(passed)
        sampling.add(passed)
        count += len(next(iter(passed.signals.values())))
        low, high, outputs = *_span(passed, low, high), passed.outputs
        if passed.labels is None or passed.predicted is None:
            judged = False
        else:
            right += int((passed.predicted == passed.labels).sum())
    return Gathered(
        statistics={} if sums is None else sums.value(),
        profiles=profiles.value(),
        extremes=extremes.value(),
        sample=sampling.value(),
        images=count,
        right=right if judged else None,
        outputs=outputs,
        span=(low, high),
    )


def _span(passed: Passed, low: float, high: float) -> tuple[float, float]:
    inputs = passed.inputs
    return min(low, float(inputs.min())), max(high, float(inputs.max()))
