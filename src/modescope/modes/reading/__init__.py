"""Read a network in modes: which modes matter and by how much, what is lost without them, and how compact its latent space is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modescope import measuring
from modescope.errors import Interrupted, UsageError
from modescope.modes.counting import Cost
from modescope.modes.factors import Modes, svd
from modescope.modes.initialisation import iid, published, spectral
from modescope.modes.reading.broken_power_law import RESAMPLES, RUNS, broken_power_law
from modescope.modes.reading.evaluating import (
    Loss,
    Sample,
    chosen_layers,
    gradients,
    increases,
    mode_layers,
    sample,
    scored,
    strengths_of,
)
from modescope.modes.reading.factor_files import Factors, factors_of, init_of
from modescope.modes.reading.importance import MEASURES, agreement, first_order
from modescope.modes.reading.init_null import Init, sorted_at_start
from modescope.modes.reading.latent import DIRECTIONS, effective_modes, mode_cosines, of_values
from modescope.modes.reading.removal import DRAWS, Removal, orders, removal
from modescope.modes.reading.result import Reading, ReadLayer
from modescope.modes.reading.states import Space, spaces
from modescope.modes.training.networks import drawn_by
from modescope.seeds import generator
from modescope.svd import Values

Progress = Callable[[str, int, int | None], None]

STARTS: Mapping[str, Init] = {"spectral": spectral, "iid": iid, "published": published}
FITTED = ("omega", "tau")  # whose sorted values are fitted
NULL, LEAST_NULL = 200, 80  # untrained layers: p of a slope is 4 / (draws + 1) at least
FEW = 200  # samples below which an accuracy is coarse
LEAST = "least increase"  # the order by the exact increase of the loss


def read(
    model: Any,
    data: Any = None,
    /,
    *,
    layers: str | Sequence[str] | None = None,
    runs: Sequence[Any] = (),
    untrained: Any = None,
    dense: Any = None,
    init: str | None = None,
    draws: int = DRAWS,
    null: int = NULL,
    resamples: int = RESAMPLES,
    q: int = DIRECTIONS,
    loss: Loss | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reading:
    """Read every layer in modes of a network; the network is given back as it was.

    Args:
        model: An `nn.Module` with layers in modes.
        data: A `Task`, of which the test part is taken, or a pair of inputs and targets. Without data it is what the factors say by
            themselves.
        layers: Names or globs of the layers; by default all.
        runs: The same network trained from other seeds: sorted importances are then means over the runs.
        untrained: The network before training, whose latent space is shown beside.
        dense: A dense network, trained on the same data, likewise.
        init: What the layers were drawn by before training, one of `STARTS`; importances of such layers are the null of the fits.
            By default what the layers say themselves, and "spectral" with a caution where they do not.
        draws: Random orders in which modes are removed.
        null: Untrained layers that are drawn, 80 or more; 0 for none.
        resamples: Bootstrap resamples of the fits.
        q: Directions of a class.
        loss: Takes outputs and targets and gives the loss of each sample; by default cross-entropy, or the squared error.
        seed: Of all draws.
        progress: Told what is done, how much of it, and of all.

    Returns:
        `Reading`.

    Raises:
        UsageError: There are no layers in modes, an option is out of range, or a network does not run on the data.
        Interrupted: On Ctrl-C, with the layers that were finished by then.
    """
    _check(draws=draws, resamples=resamples, q=q)
    _start(init, null)
    held = chosen_layers(model, layers)
    judged = None if data is None else sample(data)
    factors = {name: Factors(layer.modes(), layer.frozen_strength) for name, layer in held.items()}
    others = [{name: layer.modes() for name, layer in mode_layers(one).items()} for one in runs]
    _alike({name: one.modes for name, one in factors.items()}, others)
    whole = None if judged is None else scored(model, {name: strengths_of(model, name)[None] for name in held}, judged, loss=loss)
    start = _Start.of(init, drawn_by(held.values()))
    tasks, settings = _Told(progress), _Settings(start.init, null, resamples, seed)
    found: list[ReadLayer] = []
    latent: list[Space] = []

    def result(*more: str) -> Reading:
        return Reading(
            layers=tuple(found),
            spaces=tuple(latent),
            samples=0 if judged is None else len(judged.x),
            loss=None if whole is None else float(whole.loss[0]),
            accuracy=None if whole is None or whole.accuracy is None else float(whole.accuracy[0]),
            cautions=(*more, *_cautions(found, judged, len(runs) + 1, start if null else None)),
            source={"model": type(model).__name__, "data": None if judged is None else judged.source, "runs": len(runs) + 1},
            options={
                "layers": None if layers is None else [layers] if isinstance(layers, str) else list(layers),
                "untrained": untrained is not None,
                "dense": dense is not None,
                "init": start.init,
                "draws": draws,
                "null": null,
                "resamples": resamples,
                "q": q,
                "seed": seed,
            },
            meta=measuring.versions(),
        )

    try:
        slopes = {} if judged is None else gradients(model, list(held), judged, loss=loss)
        for name, one in factors.items():
            measured: dict[str, Values] = {}
            curves = None
            if judged is not None:
                measured["first_order"] = first_order(strengths_of(model, name), slopes[name])
                measured["increase"] = increases(model, name, judged, loss=loss, progress=tasks(f"{name}: one mode out"))
                first = orders(one.modes.omega) | {LEAST: orders(measured["increase"])["smallest"]}
                rng = generator(seed, name, "removal")
                told = tasks(f"{name}: removal")
                curves = removal(model, name, judged, first, rng=rng, draws=draws, loss=loss, progress=told)
            found.append(_layer(name, one, [other[name] for other in others], measured, curves, settings, tasks))
        for called, network in (("this network", model), ("untrained", untrained), ("dense", dense)):
            if judged is not None and network is not None:
                latent += spaces(network, judged, network=called, q=q, progress=tasks(f"latent space, {called}"))
    except KeyboardInterrupt:
        said = f"Interrupted: {len(found)} of {len(held)} layers were read, and {'some' if latent else 'no'} latent spaces."
        raise Interrupted(result(said)) from None
    return result()


def read_factors(
    path: str | Path,
    /,
    *,
    layers: str | Sequence[str] | None = None,
    runs: Sequence[str | Path] = (),
    init: str | None = None,
    null: int = NULL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> Reading:
    """What the factors of a checkpoint say by themselves: it is opened as data, and nothing in it is run.

    Args:
        path: A checkpoint with `NAME.xi_out`, `NAME.s` and `NAME.xi_in`.
        layers: As of `read`, and so all others.
        runs: Checkpoints of the same network trained from other seeds.
        init: See there; the file of a training says it.
        null: See there.
        resamples: See there.
        seed: See there.
        progress: See there.

    Raises:
        UsageError: There are no layers in modes in it, or an option is out of range.
        UnreadableError: It cannot be read.
        UnsafeError: It holds code.
        Interrupted: On Ctrl-C, with the layers that were finished by then.
    """
    _check(resamples=resamples)
    _start(init, null)
    factors, skipped = factors_of(path, layers)
    others = [{name: one.modes for name, one in factors_of(run)[0].items()} for run in runs]
    _alike({name: one.modes for name, one in factors.items()}, others)
    start = _Start.of(init, init_of(path))
    tasks, settings = _Told(progress), _Settings(start.init, null, resamples, seed)
    found: list[ReadLayer] = []

    def result(*more: str) -> Reading:
        return Reading(
            layers=tuple(found),
            skipped=skipped,
            cautions=(*more, *_cautions(found, None, len(runs) + 1, start if null else None)),
            source={"model": str(path), "data": None, "runs": len(runs) + 1},
            options={
                "layers": None if layers is None else [layers] if isinstance(layers, str) else list(layers),
                "init": start.init,
                "null": null,
                "resamples": resamples,
                "seed": seed,
            },
            meta=measuring.versions(),
        )

    try:
        for name, one in factors.items():
            found.append(_layer(name, one, [other[name] for other in others], {}, None, settings, tasks))
    except KeyboardInterrupt:
        raise Interrupted(result(f"Interrupted: {len(found)} of {len(factors)} layers were read.")) from None
    return result()


class _Told:
    """What is told of each task, under its name."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def __call__(self, name: str) -> Callable[[int, int], None]:
        def update(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(name, done, total)

        return update


@dataclass(frozen=True)
class _Start:
    """How the layers were drawn, and whether that is a guess."""

    init: str
    guessed: bool

    @classmethod
    def of(cls, asked: str | None, said: str | None) -> "_Start":
        found = asked or said
        return cls("spectral", True) if found is None or found not in STARTS else cls(found, False)


@dataclass(frozen=True)
class _Settings:
    """Of the fits."""

    init: str
    null: int
    resamples: int
    seed: int


def _layer(
    name: str,
    one: Factors,
    others: Sequence[Modes],
    measured: Mapping[str, Values],
    curves: Removal | None,
    settings: _Settings,
    tasks: _Told,
) -> ReadLayer:
    modes = one.modes
    values = {key: measure(modes) for key, measure in MEASURES.items()} | dict(measured)
    s = svd(modes)[1]
    fitted = {key: MEASURES[key] for key in FITTED}
    untrained: Mapping[str, Values] = {}
    if settings.null:
        untrained = sorted_at_start(
            modes.shape,
            modes.count,
            STARTS[settings.init],
            fitted,
            rng=generator(settings.seed, name, "untrained"),
            draws=settings.null,
            runs=len(others) + 1,
            frozen=one.frozen,
            progress=tasks(f"{name}: untrained layers"),
        )
    laws = {}
    for key, measure in fitted.items():
        lists = np.stack([values[key], *(measure(other) for other in others)])
        rng = generator(settings.seed, name, key, "power law")
        laws[key] = broken_power_law(lists, rng=rng, null=untrained.get(key), init=settings.init, resamples=settings.resamples)
    agreed = {}
    if "increase" in values:
        rng = generator(settings.seed, name, "agreement")
        agreed = {key: agreement(value, values["increase"], rng=rng) for key, value in values.items() if key != "increase"}
    return ReadLayer(
        name=name,
        modes=modes,
        cost=Cost(*modes.shape, frozen=one.frozen),
        importance=values,
        agreement=agreed,
        power_laws=laws,
        effective=effective_modes(values["omega"]),
        stable_rank=of_values(s),
        rank=int((s > max(modes.shape) * np.finfo(np.float64).eps * s[0]).sum()),
        cosines=mode_cosines(modes),
        removal=curves,
    )


def _alike(first: Mapping[str, Modes], others: Sequence[Mapping[str, Modes]]) -> None:
    for name, modes in first.items():
        for other in others:
            if name not in other or (other[name].shape, other[name].count) != (modes.shape, modes.count):
                raise UsageError(
                    f"runs: expected networks like the first, with a layer {name!r} of {modes.count} modes and shape {modes.shape}."
                )


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or count < 1:
            raise UsageError(f"{name}: expected a number of at least 1, got {count!r}.")


def _start(init: str | None, null: int) -> None:
    if init is not None and init not in STARTS:
        raise UsageError(f"init: expected what the layers were drawn by, one of {', '.join(STARTS)}, got {init!r}.")
    if not isinstance(null, int) or (null and null < LEAST_NULL):
        raise UsageError(
            f"null: expected 0, or {LEAST_NULL} untrained layers or more, since fewer cannot tell anything at 5 %; got {null!r}."
        )


def _cautions(layers: Sequence[ReadLayer], data: Sample | None, runs: int, start: "_Start | None") -> tuple[str, ...]:
    """What a reader must know before the numbers."""
    said = []
    if data is not None and len(data.x) < FEW:
        said.append(f"There are {len(data.x)} samples: one of them is {1 / len(data.x):.1%} of the accuracy.")
    if runs == 1:
        said.append("One run: intervals are those of its modes, not of training. Runs from other seeds would show what changes.")
    elif runs < RUNS:
        said.append(f"{runs} runs are too few to resample: intervals are those of modes within a layer.")
    if over := [layer.name for layer in layers if layer.modes.count > min(layer.modes.shape)]:
        said.append(f"More modes than rank in {', '.join(over[:4])}: single modes there are one of many ways to write the weight.")
    if start is not None and start.guessed:
        said.append(
            f"Nothing says how the modes were drawn before training: fits are held against {start.init} layers; init= names others."
        )
    return tuple(said)
