"""Images that climb the gradient of an objective, some at a time, inside the range that images have.

The start of an image depends on the seed, the layer, the mode and the sign only, and the movements on the seed and the layer: which
others it climbs with changes nothing.

References:
    Olah, Mordvintsev & Schubert (2017), doi:10.23915/distill.00007.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.profiles.aggregates import Aggregate, centre, largest, mean, root_mean_square, smallest
from modescope.profiles.basis import Basis
from modescope.profiles.linear_optimum import on_box
from modescope.profiles.parametrisations import Parametrisation, drawn, image, parametrisation
from modescope.profiles.survey import Site, run, watched
from modescope.profiles.transforms import Movement, draw, moved, movement
from modescope.profiles.transforms import steps as usual_steps
from modescope.seeds import generator
from modescope.svd import Values

OBJECTIVES: Mapping[str, tuple[Aggregate, Aggregate | None]] = {
    "centre": (centre, centre),
    "mean": (mean, mean),
    "max": (largest, smallest),
    "rms": (root_mean_square, None),
}
"""Of the signal of u, and of -u read as that of u; None where both are the same number."""

TRANSFORMS = ("auto", "none")
RATE = 0.05  # of Adam
MEMORY = 1 << 30  # bytes that are kept for gradients at once
HISTORY = 32  # scores that are kept of a climb, beside the first
DIVERSITY = 1.0
COLOURED = 3
LINEAR = 1e-3  # relative deviation, in float32, up to which a functional counts as linear


@dataclass(frozen=True)
class Term:
    """A mode of a site and its weight in an objective."""

    site: str
    mode: int
    weight: float = 1.0


@dataclass(frozen=True)
class Wish:
    """What one image, or the variants of one, are made for."""

    terms: tuple[Term, ...]
    sign: int

    @property
    def words(self) -> tuple[str, ...]:
        """What the draws of its start are for."""
        named = [f"{term.mode} of {term.site}" + (f" by {term.weight!r}" if term.weight != 1 else "") for term in self.terms]
        return ("feature", *named, str(self.sign))


@dataclass(frozen=True, eq=False)
class Climb:
    """Everything that all images of one call have in common."""

    model: Any
    sites: tuple[Site, ...]
    bases: Mapping[str, Basis]
    shape: tuple[int, ...]
    span: tuple[float, float]
    normalise: Callable[[Any], Any] | None
    objective: str
    asked: int | None
    transforms: str
    parametrisation: str
    natural: bool
    variants: int
    diversity: float
    seed: int
    batch: int | None

    def __post_init__(self) -> None:
        low, high = self.span
        if not self.shape or any(not isinstance(size, int | np.integer) or size < 1 for size in self.shape):
            raise UsageError(f"shape: expected (channels, *sizes) of one image, whole numbers from 1, got {self.shape}.")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"span: expected the least and the largest value of an image, finite, got {self.span}.")
        if self.objective not in OBJECTIVES:
            raise UsageError(f"objective: expected one of {', '.join(OBJECTIVES)}, got {self.objective!r}.")
        if self.transforms not in TRANSFORMS:
            raise UsageError(f"transforms: expected one of {', '.join(TRANSFORMS)}, got {self.transforms!r}.")
        if self.natural and self.shape[0] != COLOURED:
            raise UsageError(f"natural: expected images of 3 channels, red, green and blue, got {self.shape[0]}.")
        batch = 1 if self.batch is None else self.batch
        for name, value, least in (
            ("steps", self.steps, 1),
            ("variants", self.variants, 1),
            ("batch", batch, 1),
            ("seed", self.seed, 0),
        ):
            if not isinstance(value, int | np.integer) or value < least:
                raise UsageError(f"{name}: expected a whole number, at least {least}, got {value}.")
        if not self.diversity >= 0 or math.isinf(self.diversity):
            raise UsageError(f"diversity: expected a share of the score, 0 or more, got {self.diversity}.")

    @property
    def steps(self) -> int:
        """How many are asked for, by default by the size of the image."""
        return usual_steps(self.shape[1:]) if self.asked is None else self.asked

    @property
    def movement(self) -> Movement | None:
        """How images are moved before each step."""
        return movement(self.shape[1:]) if self.transforms == "auto" and len(self.shape) > 1 else None

    @cached_property
    def form(self) -> Parametrisation:
        """What the free numbers of an image are."""
        return parametrisation(self.parametrisation, self.shape)

    @property
    def named(self) -> str:
        """The objective, as it is for layers that have no positions."""
        return "unit" if all(len(site.shape) == 1 for site in self.sites) and self.objective != "rms" else self.objective

    @property
    def layer(self) -> str:
        """Names of all sites."""
        return " + ".join(site.name for site in self.sites)


@dataclass(frozen=True, eq=False)
class Reached:
    """Where images of one wish after another came to, a row for every variant.

    Attributes:
        images: (N, channels, *sizes).
        steps: Steps that were made; fewer than were asked for after Ctrl-C.
        history: Steps and the objectives (N,) of the unmoved images then, with the sign in them; the first is the start.
        shares: How far from the middle of the range to the best image in it; None where the objective is not linear in the image.
        lost: (N,) whether the gradient was not finite at some step.
        still: (N,) whether the gradient was 0 at every step.
    """

    images: Values
    steps: int
    history: tuple[tuple[int, Values], ...]
    shares: tuple[float | None, ...]
    lost: NDArray[np.bool_]
    still: NDArray[np.bool_]


class _Stop(BaseException):
    """The last layer that matters has run. No `Exception`: a network that catches errors must not catch it."""


class Signals:
    """The objective of images, computed inside the hooks of the network."""

    def __init__(self, climb: Climb) -> None:
        self._climb = climb
        self._bases = dict(climb.bases)
        self._outputs: dict[str, tuple[Any, Any]] = {}
        self._raw: dict[str, Any] = {}
        self._begin: Callable[[], None] = self._outputs.clear

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks on the network, which is in evaluation mode and given back as it was."""
        with watched(self._climb.model, self._climb.sites, self._take) as begin:
            self._begin = begin
            yield

    def narrowed(self, wishes: Sequence[Wish]) -> dict[str, Any]:
        """Look at no more modes than these wishes need.

        Returns:
            (images, modes) weights by site, with the sign in them; an image for every variant of every wish.
        """
        import torch

        weights: dict[str, Any] = {}
        for name, basis in self._climb.bases.items():
            modes = sorted({term.mode for wish in wishes for term in wish.terms if term.site == name})
            if basis.groups > 1:  # a projection is a product for every group, with as many modes in each
                modes = list(range(basis.s.size))
            self._bases[name] = replace(basis, s=basis.s[modes], u=basis.u[modes], vh=basis.vh[modes], group=basis.group[modes])
            place = {mode: index for index, mode in enumerate(modes)}
            table = np.zeros((len(wishes), len(modes)))
            for row, wish in enumerate(wishes):
                for term in wish.terms:
                    if term.site == name:
                        table[row, place[term.mode]] += wish.sign * term.weight
            weights[name] = torch.as_tensor(table.repeat(self._climb.variants, axis=0))
        return weights

    def gains(self, images: Any, weights: Mapping[str, Any]) -> Any:
        """(N,) what is to be driven up, with the sign in it.

        Raises:
            UsageError: The network does not run on them, or does not reach the layers.
        """
        climb = self._climb
        self._outputs.clear()
        self._begin()
        try:
            run(climb.model, images if climb.normalise is None else climb.normalise(images))
        except _Stop:
            pass
        else:
            missing = next(site.name for site in climb.sites if site.name not in self._outputs)
            raise UsageError(f"layer {missing!r}: expected the network to call it on an image of shape {climb.shape}, it did not.")
        total: Any = 0.0
        for name, (up, down) in self._outputs.items():
            weight = weights[name].to(up.device, up.dtype)
            values = up if down is None else up.where(weight > 0, down)
            total = total + (weight * values).sum(dim=1)
        return total

    def similarity(self) -> Any:
        """(wishes,) mean cosine of the Gram matrices, channel by channel, of the variants of each wish, over pairs and layers."""
        count = self._climb.variants
        total: Any = 0.0
        for raw in self._raw.values():
            gram = (raw @ raw.mT).reshape(-1, count, raw.shape[1] ** 2)
            unit = gram / gram.norm(dim=2, keepdim=True).clamp_min(1e-30)
            total = total + ((unit @ unit.mT).sum(dim=(1, 2)) - count) / (count * (count - 1))
        return total / len(self._raw)

    def _take(self, site: Site, output: Any) -> None:
        """The objective is computed inside the hook: what follows may change the output in place."""
        basis = self._bases[site.name]
        up, down = OBJECTIVES[self._climb.objective]
        values = up(basis, output)[0]
        other = values if down is up else None if down is None else down(basis, output)[0]
        self._outputs[site.name] = values, other
        if self._climb.variants > 1 and self._climb.diversity:
            bias = output.new_tensor(basis.bias).reshape(1, -1, 1)
            raw = output.reshape(*output.shape[:2], -1) - bias
            self._raw[site.name] = raw.float() if raw.element_size() < 4 else raw
        if len(self._outputs) == len(self._climb.sites):
            raise _Stop


class _Adam:
    """Steps up a gradient; the one that ships with torch loads a compiler first, which takes seconds.

    References:
        Kingma & Ba (2015), arXiv:1412.6980, algorithm 1.
    """

    def __init__(self, free: Any, /, *, first: float = 0.9, second: float = 0.999, floor: float = 1e-8) -> None:
        import torch

        self._free, self._first, self._second, self._floor = free, first, second, floor
        self._mean, self._square, self._steps = torch.zeros_like(free), torch.zeros_like(free), 0

    def up(self, slope: Any) -> None:
        """Change the free numbers by one step, in place."""
        import torch

        self._steps += 1
        self._mean.lerp_(slope, 1 - self._first)
        self._square.lerp_(slope.square(), 1 - self._second)
        mean = self._mean / (1 - self._first**self._steps)
        square = self._square / (1 - self._second**self._steps)
        with torch.no_grad():
            self._free += RATE * mean / (square.sqrt() + self._floor)


def climbed(climb: Climb, signals: Signals, wishes: Sequence[Wish], told: Callable[[int], None], /, *, begun: bool) -> Reached:
    """Let the images of some wishes climb together.

    Args:
        climb: How.
        signals: Of the network, listening.
        wishes: What for.
        told: Called with the number of steps made.
        begun: Something was made before: an interruption gives what there is even before the first step.

    Raises:
        KeyboardInterrupt: Before the first step, where nothing was made before.
    """
    import torch

    weights = signals.narrowed(wishes)
    free = _start(climb, wishes)
    adam = _Adam(free)
    names = tuple(site.name for site in climb.sites)
    random = generator(climb.seed, "movements", *names)
    marks = {round(share * climb.steps / HISTORY) for share in range(HISTORY + 1)}
    history: list[tuple[int, Values]] = []
    lost = np.zeros(len(free), bool)
    still = np.ones(len(free), bool)
    done = 0
    try:
        for step in range(climb.steps):
            if step in marks:
                history.append((step, _scores(climb, signals, free, weights)))
                if not step:
                    _check_start(climb, history[0][1])
            slope = _slope(climb, signals, free, weights, random)
            flat = slope.reshape(len(slope), -1)
            finite = flat.isfinite().all(dim=1)
            lost |= ~finite.cpu().numpy()
            still &= ~(flat != 0).any(dim=1).cpu().numpy()
            adam.up(slope.where(finite.reshape(-1, *[1] * (slope.ndim - 1)), torch.zeros_like(slope)))
            done = step + 1
            told(done)
    except KeyboardInterrupt:
        if not done and not begun:
            raise
    if not history or history[-1][0] < done:
        history.append((done, _scores(climb, signals, free, weights)))
    free = free.detach()
    shares = _shares(climb, signals, free, weights, history[-1][1])
    images = image(climb.form, free, climb.shape, climb.span, natural=climb.natural).double().cpu().numpy()
    return Reached(images, done, tuple(history), shares, lost, still)


def _start(climb: Climb, wishes: Sequence[Wish]) -> Any:
    """Free numbers of all images on the device of the network, ready for gradients."""
    import torch

    starts = [
        drawn(climb.form, climb.shape, generator(climb.seed, *wish.words, str(variant)))
        for wish in wishes
        for variant in range(climb.variants)
    ]
    like = next((p for p in climb.model.parameters() if p.is_floating_point()), torch.zeros(()))
    kind = torch.float64 if like.dtype == torch.float64 else torch.float32
    return torch.as_tensor(np.stack(starts)).to(like.device, kind).requires_grad_()


def _slope(climb: Climb, signals: Signals, free: Any, weights: Mapping[str, Any], random: np.random.Generator) -> Any:
    """Gradient of the objective of moved images in their free numbers, image by image."""
    import torch

    with torch.enable_grad():
        images = image(climb.form, free, climb.shape, climb.span, natural=climb.natural)
        if climb.movement is not None:
            how = draw(climb.movement, len(climb.shape) - 1, random)
            images = moved(images, climb.movement, how, sum(climb.span) / 2)
        gains = signals.gains(images, weights)
        total = gains.sum()
        if climb.variants > 1 and climb.diversity:
            scale = gains.detach().abs().reshape(-1, climb.variants).sum(dim=1)
            total = total - climb.diversity * (scale * signals.similarity()).sum()
        if not total.requires_grad:
            raise UsageError(
                f"layer {climb.layer!r}: expected a signal that depends on the image smoothly, but no gradient comes back."
            )
        found = torch.autograd.grad(total, free, allow_unused=True)[0]
    return torch.zeros_like(free) if found is None else found


def _scores(climb: Climb, signals: Signals, free: Any, weights: Mapping[str, Any]) -> Values:
    """Objective of the unmoved images, with the sign in it."""
    images = image(climb.form, free.detach(), climb.shape, climb.span, natural=climb.natural)
    found: Values = signals.gains(images, weights).double().cpu().numpy()
    return found


def _shares(climb: Climb, signals: Signals, free: Any, weights: Mapping[str, Any], scores: Values) -> tuple[float | None, ...]:
    """How far from the middle of the range to the best image in it, where the objective is linear: its slope is one everywhere.

    It is looked at for a random image, and for the corners that would be the best and the worst, whose own scores must be the
    predicted ones.
    """
    import torch

    random = generator(climb.seed, "places").uniform(*climb.span, climb.shape)
    place = torch.as_tensor(random).to(free.device, free.dtype).expand(len(free), *climb.shape)
    value, slope = _linearised(signals, place, weights)

    def predicted(images: Values) -> Values:
        found: Values = value + (slope * (images - random)).reshape(len(slope), -1).sum(axis=1)
        return found

    middle = predicted(np.full(climb.shape, sum(climb.span) / 2))
    best = on_box(slope, span=climb.span).images
    way = predicted(best) - middle
    linear = way > 0
    for corner in (best, on_box(slope, sign=-1, span=climb.span).images):
        reached, again = _linearised(signals, torch.as_tensor(corner.copy()).to(free.device, free.dtype), weights)
        size, off = (np.linalg.norm(one.reshape(len(slope), -1), axis=1) for one in (slope, again - slope))
        linear &= (off <= LINEAR * size) & (np.abs(predicted(corner) - reached) <= LINEAR * way)
    return tuple(float(gain / most) if good else None for gain, most, good in zip(scores - middle, way, linear, strict=True))


def _linearised(signals: Signals, images: Any, weights: Mapping[str, Any]) -> tuple[Values, Values]:
    """Objectives of images and their slopes in the images themselves."""
    import torch

    with torch.enable_grad():
        given = images.detach().clone().requires_grad_()
        gains = signals.gains(given.clone(), weights)  # a network may change its input in place
        slope = torch.autograd.grad(gains.sum(), given, allow_unused=True)[0]
    slope = torch.zeros_like(given) if slope is None else slope
    return gains.detach().double().cpu().numpy(), slope.double().cpu().numpy()


def fitting(climb: Climb, signals: Signals, wish: Wish) -> int:
    """Images whose gradients fit in `MEMORY`, by what the variants of one wish keep for them."""
    import torch

    tensors = (*climb.model.parameters(), *climb.model.buffers())
    own = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = signals.narrowed([wish])
    free = _start(climb, [wish])
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        images = image(climb.form, free, climb.shape, climb.span, natural=climb.natural)
        signals.gains(images, weights)
    each = max(sum(kept.values()) // climb.variants, 1)
    return max(MEMORY // each, 1)


def _check_start(climb: Climb, scores: Values) -> None:
    if not np.isfinite(scores).all():
        raise UsageError(
            f"layer {climb.layer!r}: expected finite signals of a grey image, got {scores[~np.isfinite(scores)][0]}; look at span "
            "and normalise, or run the network in float32."
        )
