"""What a network loses when the modes of a layer are taken out in some order: whether an order by importance means anything.

Removing is setting s_k = 0. If the smallest cost less than modes at random, and the largest more, the order is worth something;
that comparison is the evidence, not the curve of the smallest by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope.errors import UsageError
from modescope.modes.reading.evaluating import BATCH, Loss, Sample, scored, strengths_of
from modescope.svd import Values

DRAWS = 20  # random orders: the least p-value is then 1 / 21
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
POINT = 0.01  # of accuracy
MIDDLE = (0.3, 0.7)  # shares removed over which orders are compared: below nothing is lost yet, above nothing is left
MEANING = (
    "Mean accuracy, or loss where targets are numbers, over 30 % to 70 % removed, against random orders: the share of these, this "
    "one among them, that do as well."
)


@dataclass(frozen=True, eq=False)
class Curve:
    """What is left along one order, or along several random ones.

    Attributes:
        loss: (n,) mean loss of a sample, the mean over the draws.
        accuracy: (n,) share of samples that are right, likewise; None where targets are numbers.
        loss_spread: (n,) standard deviation over the draws; 0 of a single order.
        accuracy_spread: (n,) likewise.
        draws: Orders behind it.
    """

    loss: Values
    accuracy: Values | None
    loss_spread: Values
    accuracy_spread: Values | None
    draws: int


@dataclass(frozen=True, eq=False)
class Removal:
    """Curves of one layer, the others whole.

    Attributes:
        layer: Its name.
        modes: p.
        removed: (n,) modes that are out; the first entry is 0, the whole network.
        curves: By the name of the order: "random", and those that were asked for.
        p: For every order but "random", the probability that a random order leaves as much, or as little where the order is meant
            to take the largest first; see `MEANING`.
    """

    layer: str
    modes: int
    removed: NDArray[np.int64]
    curves: Mapping[str, Curve]
    p: Mapping[str, float]

    @property
    def spare(self) -> int | None:
        """The most modes, of the numbers tried, that leave, the smallest first, before more than a point of accuracy is lost.

        None without accuracy or such an order. It is of this layer alone: together with other layers fewer may be spared.
        """
        curve = self.curves.get("smallest")
        if curve is None or curve.accuracy is None:
            return None
        lost = np.flatnonzero(curve.accuracy < curve.accuracy[0] - POINT - 1e-12)
        return int(self.removed[-1 if not lost.size else lost[0] - 1])


def orders(values: ArrayLike, /) -> dict[str, NDArray[np.intp]]:
    """The two orders of an importance: the smallest first and the largest first. Equal ones stay in the order of the modes."""
    values = np.asarray(values, np.float64)
    return {"smallest": np.argsort(values, kind="stable"), "largest": np.argsort(-values, kind="stable")}


def removal(
    model: Any,
    layer: str,
    data: Sample,
    first: Mapping[str, NDArray[np.intp]],
    /,
    *,
    rng: np.random.Generator,
    removed: ArrayLike | None = None,
    draws: int = DRAWS,
    harmful: tuple[str, ...] = ("largest",),
    loss: Loss | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Removal:
    """Take the modes of a layer out, order by order; the network stays as it is.

    Args:
        model: An `nn.Module`.
        layer: Name of a layer in modes.
        data: What the network is judged by.
        first: Orders by name, each the modes in the order in which they leave; `orders` makes two of an importance.
        rng: For the random orders.
        removed: How many are out at each point; by default every tenth part of them.
        draws: Random orders, at least 1.
        harmful: Those of `first` that take the most important ones first.
        loss: Of each sample; by default `evaluating.usual_loss`.
        batch: Samples at once.
        progress: Told the number of samples done, and of all.

    Raises:
        UsageError: An order is none of all modes, a number to remove is none, or the network does not run on the data.
    """
    s = strengths_of(model, layer)
    for name, order in first.items():
        if name == "random" or sorted(np.asarray(order).tolist()) != list(range(s.size)):
            raise UsageError(
                f"{layer}: expected the order {name!r} to name each of {s.size} modes once, and not to be called random."
            )
    if draws < 1:
        raise UsageError(f"{layer}: expected random orders, at least 1, got {draws}.")
    usual = np.round(np.array(SHARES) * s.size)
    points = np.unique(np.concatenate([[0], np.asarray(usual if removed is None else removed, np.float64)])).astype(np.int64)
    if points[0] < 0 or points[-1] > s.size:
        raise UsageError(f"{layer}: expected to remove 0 to {s.size} modes, got {points[0]} to {points[-1]}.")
    named = {name: np.asarray(order)[None] for name, order in first.items()}
    named["random"] = np.stack([rng.permutation(s.size) for _ in range(draws)])
    every = np.concatenate(list(named.values()))
    rows = np.concatenate([_without(s, order, points) for order in every])
    found = scored(model, {layer: rows}, data, loss=loss, batch=batch, progress=progress)
    losses = found.loss.reshape(len(every), points.size)
    hits = None if found.accuracy is None else found.accuracy.reshape(len(every), points.size)
    middle = (points >= MIDDLE[0] * s.size) & (points <= MIDDLE[1] * s.size)
    good = (-losses if hits is None else hits)[:, middle if middle.any() else slice(None)].mean(1)
    curves, p, start = {}, {}, 0
    for name, some in named.items():
        own = slice(start, start + len(some))
        curves[name] = _curve(losses[own], None if hits is None else hits[own])
        if name != "random":
            sign = -1.0 if name in harmful else 1.0
            as_good = sign * good[-draws:] >= sign * good[start] - 1e-12
            p[name] = float((1 + as_good.sum()) / (1 + draws))
        start += len(some)
    return Removal(layer, s.size, points, curves, p)


def _without(s: Values, order: NDArray[np.intp], points: NDArray[np.int64]) -> Values:
    place = np.empty(s.size, np.int64)
    place[order] = np.arange(s.size)
    kept: Values = np.where(place >= points[:, None], s, 0.0)
    return kept


def _curve(losses: Values, hits: Values | None) -> Curve:
    several = len(losses) > 1
    spread = losses.std(0, ddof=1) if several else np.zeros(losses.shape[1])
    if hits is None:
        return Curve(losses.mean(0), None, spread, None, len(losses))
    return Curve(losses.mean(0), hits.mean(0), spread, hits.std(0, ddof=1) if several else np.zeros(hits.shape[1]), len(losses))
