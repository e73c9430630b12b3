"""Profiles: what each mode of a vision network responds to, and which modes matter for an image and for a class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modescope import measuring
from modescope.errors import UsageError
from modescope.profiles.aggregates import AGGREGATES
from modescope.profiles.algebra import Parameters
from modescope.profiles.basis import Basis
from modescope.profiles.exemplars import KEPT
from modescope.profiles.gathering import gathered
from modescope.profiles.hypergraph import SCOPES, ClassHypergraph
from modescope.profiles.images import BATCH, Images, Progress
from modescope.profiles.images import images as opened
from modescope.profiles.membership import RULES as MEMBERSHIPS
from modescope.profiles.membership import STANDARDISATIONS, Membership, membership
from modescope.profiles.operator_norms import operator_norms
from modescope.profiles.passing import bases
from modescope.profiles.picturing import pictured
from modescope.profiles.result import NetworkProfile, ProfiledLayer
from modescope.profiles.selection import RULES as SELECTIONS
from modescope.profiles.selection import SHARE, ranked
from modescope.profiles.separation import separation
from modescope.profiles.subject import Subject
from modescope.profiles.survey import Survey, survey
from modescope.profiles.truncation import truncations
from modescope.profiles.validation import validations

SHOWN = 4  # modes of a layer that get pictures
FEWEST = 20  # images of a class whose mean is not called uncertain


def profile(
    model: Any,
    data: Any,
    /,
    *,
    labels: Any = None,
    classes: Sequence[str] | None = None,
    layers: str | Sequence[str] | None = None,
    aggregate: str = "mean",
    bn: str = "ignore",
    select: str = "topk",
    amount: float | None = None,
    share: float = SHARE,
    compat: str = "",
    standardise: str = "z",
    rule: str = "topm",
    value: float | None = None,
    signed: bool = True,
    scope: str = "layer",
    shown: int = SHOWN,
    exemplars: int = KEPT,
    features: int | None = None,
    span: tuple[float, float] | None = None,
    truncation: bool | None = None,
    untrained: Any = None,
    resamples: int = 200,
    permutations: int = 20,
    batch: int = BATCH,
    seed: int = 0,
    progress: Progress | None = None,
) -> NetworkProfile:
    """Look at what the modes of a network respond to on a data set.

    The raw output of every linear layer and convolution, less its bias, is projected on the output directions of the weight: the
    signal of a mode. One pass over the data gives for every mode the images at both ends of its signal, how classes differ in it,
    and how often it matters for an image. The network is given back as it was.

    Args:
        model: An `nn.Module` that runs on a batch of images; on any device.
        data: An array or tensor (N, ...) as the network takes it, a `Dataset` or a `DataLoader` that does not shuffle, a list of
            batches, or `Images`, which `image_files.opened` makes of files.
        labels: (N,) class of each image, integers from 0 or names; by default those that the data have.
        classes: Names of the classes.
        layers: Names or globs of the layers that are looked at; by default all.
        aggregate: How positions become one number: one of `aggregates.AGGREGATES`.
        bn: "ignore", or "fold" to multiply batch norms into the weight before them.
        select: Which modes are followed: one of `selection.RULES`.
        amount: Its parameter.
        share: Of the signal of an image that the modes which matter for it exceed.
        compat: "ddp" for the weights of DeepDataProfiler.
        standardise: How signals of classes are compared: one of `membership.STANDARDISATIONS`.
        rule: Which modes belong to a class: one of `membership.RULES`.
        value: Its parameter.
        signed: Take both directions of a mode for two vertices.
        scope: "layer" for an edge for every class and layer, "network" for one for every class.
        shown: Modes of each layer that get pictures.
        exemplars: Images at each end of a mode.
        features: Modes of each layer that images are made for; by default `shown` where that is done within minutes, else none.
        span: Least and greatest number of an image as the network takes it, for features; by default those of the data.
        truncation: Whether accuracy is measured with parts of the modes; by default where that is done within minutes.
        untrained: The network before training, for comparison; by default its layers are initialised anew.
        resamples: Bootstrap replicates of the images of each class.
        permutations: Of the labels, for the null of the separation of classes.
        batch: Images that the network is given at once, where the data are no batches.
        seed: Of all draws.
        progress: Told the task, the number of images or steps done, and of all.

    Returns:
        `NetworkProfile`.

    Raises:
        UsageError: An option does not exist or fit, there are no images, labels do not fit, no layer can be projected, or outputs
            are not finite; the message names layer and image.

    References:
        Praggastis et al. (2022), arXiv:2208.06894.
    """
    _check(shown=shown, features=0 if features is None else features, resamples=resamples, permutations=permutations)
    if exemplars < 1:
        raise UsageError(f"exemplars: expected the number of images to keep, at least 1, got {exemplars}.")
    for name, word, known in (
        ("aggregate", aggregate, AGGREGATES),
        ("select", select, SELECTIONS),
        ("standardise", standardise, STANDARDISATIONS),
        ("rule", rule, MEMBERSHIPS),
        ("scope", scope, SCOPES),
    ):
        if word not in known:  # before the hour of work after which it would be noticed
            raise UsageError(f"{name}: expected one of {', '.join(known)}, got {word!r}.")
    found = opened(data, labels, classes=classes, batch=batch)
    surveyed = survey(model, found.first(), layers=layers)
    modes = bases(model, surveyed, bn=bn, progress=progress)
    kept = {name: ranked(one, rule=select, amount=amount, tests=len(modes), seed=seed) for name, one in modes.items()}
    parameters = Parameters(aggregate, bn, share, compat, select, amount)
    subject = Subject(model, found, surveyed, modes, kept)
    passed = gathered(
        subject,
        parameters,
        exemplars=exemplars,
        by_image=rule == "fraction",
        resamples=resamples,
        permutations=permutations,
        seed=seed,
        progress=progress,
    )
    members: dict[str, dict[str, Membership]] = {
        name: {
            way: membership(one, modes[name].s[kept[name].modes], standardise=way, rule=rule, value=value, signed=signed)
            for way in dict.fromkeys((standardise, "none"))
        }
        for name, one in passed.statistics.items()
    }
    made = pictured(subject, passed, shown=shown, features=features, span=span, seed=seed, progress=progress)
    judged = validations(surveyed, modes, untrained=untrained, seed=seed, progress=progress)
    norms = {one.site: one for one in operator_norms(model, found.first(), surveyed, modes, progress=progress)}
    layered = tuple(
        ProfiledLayer(
            site=site.name,
            basis=modes[site.name],
            output=site.shape,
            kept=kept[site.name],
            extremes=passed.extremes[site.name],
            statistics=passed.statistics.get(site.name),
            membership=members[site.name][standardise] if site.name in members else None,
            separation={way: separation(passed.statistics[site.name], one) for way, one in members.get(site.name, {}).items()},
            features=made.features[site.name],
            validation=judged[site.name],
            operator=norms.get(site.name),
        )
        for site in surveyed.sites
    )
    return NetworkProfile(
        layers=layered,
        whole=passed.profiles.whole,
        classes=passed.profiles.classes if found.labels is not None else {},
        hypergraph=_hypergraph(layered, modes, found, scope),
        crops=made.crops,
        sample=passed.sample,
        truncation=truncations(model, found, surveyed, modes, wanted=truncation, seed=seed, progress=progress),
        images=passed.images,
        accuracy=None if passed.right is None else passed.right / passed.images,
        skipped=surveyed.skipped,
        unread=found.skipped,
        cautions=_cautions(layered, surveyed, found, aggregate, 0 if passed.right is None else passed.outputs),
        source={"model": type(model).__name__, "data": dict(found.source), "classes": list(found.classes)},
        options={
            "layers": None if layers is None else [layers] if isinstance(layers, str) else list(layers),
            "aggregate": aggregate,
            "bn": bn,
            "select": select,
            "amount": amount,
            "share": share,
            "compat": compat,
            "standardise": standardise,
            "rule": rule,
            "value": value,
            "signed": signed,
            "scope": scope,
            "shown": shown,
            "exemplars": exemplars,
            "features": features,
            "span": None if span is None else list(span),
            "truncation": truncation,
            "untrained": untrained is not None,
            "resamples": resamples,
            "permutations": permutations,
            "seed": seed,
        },
        meta=measuring.versions(),
    )


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 0:
            raise UsageError(f"{name}: expected a number of at least 0, got {count}.")


def _hypergraph(layers: Sequence[ProfiledLayer], modes: Mapping[str, Basis], images: Images, scope: str) -> ClassHypergraph | None:
    members = [layer.membership for layer in layers if layer.membership is not None]
    if not members:
        return None
    edges = {layer.site: layer.validation[0].edge for layer in layers if len(layer.validation) == 1}
    noise = {site: edge for site, edge in edges.items() if edge is not None}
    return SCOPES[scope](members, modes, images.classes, noise=noise)


def _cautions(layers: Sequence[ProfiledLayer], survey: Survey, images: Images, aggregate: str, outputs: int) -> tuple[str, ...]:
    """What a reader must know before the pictures; `outputs` is the number of classes of which one is right, 0 without."""
    said = []
    first = layers[0]
    if aggregate == "mean" and len(first.output) > 1:
        said.append(
            f"The mean over positions sees little but brightness in the first layer, {first.site}, and lets signals of both signs "
            "cancel elsewhere: rms, max or centre show more there."
        )
    if images.labels is not None and (few := int(np.bincount(images.labels, minlength=len(images.classes)).min())) < FEWEST:
        said.append(f"The smallest class has {few} images: its means, and its modes, are uncertain.")
    if outputs and outputs != len(images.classes):
        said.append(
            f"The network tells {outputs} classes apart and the data have {len(images.classes)}: an image counts as right where "
            "the number of its class is that of the largest output, which says nothing where the two are counted differently."
        )
    if images.skipped:
        said.append(f"{_are(len(images.skipped), 'image')} left out, which could not be read.")
    if survey.skipped:
        said.append(f"{_are(len(survey.skipped), 'layer')} left out, each with its reason below.")
    if tied := [layer.site for layer in layers if layer.basis.ties]:
        said.append(f"Some modes have equal singular values, single ones mean nothing there: {', '.join(tied[:4])}.")
    return tuple(said)


def _are(count: int, word: str) -> str:
    return f"1 {word} is" if count == 1 else f"{count} {word}s are"
