"""Claim: the norm of a mode orders modes by what they do, on digits; the two slopes of sorted importances are there untrained too.

    python examples/importance_of_modes.py          # two starts, five splits: a minute on one core
    python examples/importance_of_modes.py --quick  # one start, two splits

Networks 64-100-100-10 with 30 modes in every layer, from the published start and from a spectral one, are trained by the recipe of
`digits_in_modes.py`, one for each split, and read on its 360 test images. Modes of a hidden layer are taken out by their norm omega
= |s| ||a|| ||b|| and by the published tau, the smallest first, the largest first, and in 20 random orders. Measures of importance
are held against the exact increase of the loss when one mode is taken out. Sorted importances, means over the splits, are fitted by
two power laws with a free break, one power law, and an exponential, and the same is done to layers that were never trained.

Claimed, for the means over the splits and both starts: with 30, 50 and 70 % of the modes of one hidden layer out, the smallest
first leave more accuracy than random ones, and these more than the largest first, by omega and by tau; from the published start the
second slope of tau is more than twice the first and BIC prefers the break to one line, and untrained layers have a second slope
more than twice the first as well; a change of gauge changes tau and not omega, though the network stays the same.

Not claimed: a learnt power law, as untrained layers bend; that one measure is best, correlations differ between layers and starts;
that later layers are always more redundant; that a mode which is not missed alone is not missed with others.
"""

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from digits_in_modes import EPOCHS, EVERY, trained

from modescope.modes import tasks
from modescope.modes.initialisation import published, spectral
from modescope.modes.reading.broken_power_law import BrokenPowerLaw, broken_power_law
from modescope.modes.reading.evaluating import gradients, increases, sample, strengths_of
from modescope.modes.reading.importance import MEASURES, agreement, first_order, omega, tau
from modescope.modes.reading.init_null import sorted_at_start
from modescope.modes.reading.removal import orders, removal
from modescope.seeds import generator
from modescope.svd import Values

STARTS = {"published": published, "spectral": spectral}
LAYERS = ("layers.0", "layers.1", "layers.2")
OUT = (0.3, 0.5, 0.7)
ORDERS = ("smallest", "random", "largest")
SPLITS, NULL = 5, 200
FITS = (
    "sorted importances: slopes with 95 %, those of untrained layers with p, p of such a bend in one power law, BIC of three laws"
)
COLUMNS = (("break", 5), ("slope", 22), ("slope behind", 24), ("untrained", 13), ("p", 5), ("bend", 5), ("broken/line/exp.", 18))


@dataclass(frozen=True, eq=False)
class Read:
    """One layer of one network: importances, accuracy without some modes by measure and order, and rank correlations."""

    start: str
    layer: str
    split: int
    importance: Mapping[str, Values]
    left: Mapping[tuple[str, str], Values]
    rho: Mapping[str, float]


def read(start: str, split: int, net: Any, *, draws: int = 20) -> list[Read]:
    """The layers of a trained network; what the outputs lose is not asked of the last one, where 20 of 30 modes add no rank."""
    judged = sample(tasks.digits(split))
    slopes, found = gradients(net, LAYERS, judged), []
    for name, layer in zip(LAYERS, net.layers, strict=True):
        modes, rng = layer.modes(), generator(split, start, name)
        values = {key: measure(modes) for key, measure in MEASURES.items()}
        values["first order"] = first_order(strengths_of(net, name), slopes[name])
        exact = increases(net, name, judged)
        rho = {key: agreement(one, exact, rng=rng).rho for key, one in values.items()}
        left = {}
        if name != LAYERS[-1]:
            points = np.round(np.array(OUT) * modes.count)
            for key in ("omega", "tau"):
                drawn = generator(split, start, name, "random orders")  # the same ones for both measures
                curves = removal(net, name, judged, orders(values[key]), rng=drawn, removed=points, draws=draws).curves
                left |= {(key, order): curves[order].accuracy[1:] for order in ORDERS}
        found.append(Read(start, name, split, values, left, {key: 0.0 if one is None else one for key, one in rho.items()}))
    return found


def runs(start: str, splits: Iterable[int], *, epochs: int = EPOCHS) -> list[Read]:
    """Networks of one start, one for each split, read."""
    return [one for split in splits for one in read(start, split, trained(EVERY, split, epochs=epochs, init=start)[0])]


def remaining(found: Iterable[Read], layer: str, measure: str, order: str) -> Values:
    """Accuracy with 30, 50 and 70 % of the modes out, the mean over the splits."""
    return np.mean([one.left[measure, order] for one in found if one.layer == layer], axis=0)


def law(found: Iterable[Read], layer: str, measure: str, *, null: int = NULL) -> BrokenPowerLaw:
    """Fits to sorted importances, the mean over the splits, with means of as many untrained layers as their null."""
    own = [one for one in found if one.layer == layer]
    start, lists = own[0].start, np.stack([one.importance[measure] for one in own])
    shape = {"layers.0": (100, 64), "layers.1": (100, 100), "layers.2": (10, 100)}[layer]
    rng = generator(0, start, layer, measure)
    measures = {measure: MEASURES[measure]}
    untrained = sorted_at_start(shape, lists.shape[1], STARTS[start], measures, rng=rng, draws=null, runs=len(own))
    return broken_power_law(lists, rng=rng, null=untrained[measure], init=start)


def gauged(net: Any, layer: int, seed: int = 0) -> tuple[float, float]:
    """How far omega and tau of a layer change at most, relative to their largest, when its modes are scaled by powers of two."""
    one, rng = net.layers[layer], np.random.default_rng(seed)
    before = [measure(one.modes()) for measure in (omega, tau)]
    one.gauge(*(2.0 ** rng.integers(-2, 3, one.n_modes) for _ in range(2)))
    after = [measure(one.modes()) for measure in (omega, tau)]
    changed = [float(np.abs(a / a.max() - b / b.max()).max()) for a, b in zip(after, before, strict=True)]
    return changed[0], changed[1]


def table(found: list[Read]) -> str:
    """What is left without modes, correlations, and fits, for every start and layer."""
    starts = dict.fromkeys(one.start for one in found)
    place = f"{'start':<10} {'layer':<9}"
    lines = ["accuracy with modes out, the smallest / random / the largest first"]
    lines.append(f"{place} {'by':<6}" + "".join(f"{f'{out:.0%} out':>22}" for out in OUT))
    for start in starts:
        own = [one for one in found if one.start == start]
        for layer in LAYERS[:-1]:
            for key in ("omega", "tau"):
                left = np.array([remaining(own, layer, key, order) for order in ORDERS]).T
                cells = (" / ".join(f"{one:.3f}" for one in row) for row in left)
                lines.append(f"{start:<10} {layer:<9} {key:<6}" + "".join(f"{cell:>22}" for cell in cells))
    names = [*MEASURES, "first order"]
    lines += ["", "rank correlation with the exact increase of the loss", f"{place} " + "".join(f"{name:>15}" for name in names)]
    for start in starts:
        for layer in LAYERS:
            own = [one for one in found if (one.start, one.layer) == (start, layer)]
            cells = (_spread([one.rho[name] for one in own]) for name in names)
            lines.append(f"{start:<10} {layer:<9} " + "".join(f"{cell:>15}" for cell in cells))
    lines += ["", FITS, f"{place} {'of':<6} " + " ".join(f"{name:>{size}}" for name, size in COLUMNS) + "  verdict"]
    for start in starts:
        for layer in LAYERS[:-1]:
            for key in ("omega", "tau"):
                lines.append(_fitted(start, layer, key, law([one for one in found if one.start == start], layer, key)))
    return "\n".join(lines)


def _fitted(start: str, layer: str, key: str, one: BrokenPowerLaw) -> str:
    slopes = (f"{end.value:.2f} ({end.low:.2f} to {end.high:.2f})" for end in one.slopes)
    null = " / ".join(f"{slope:.2f}" for slope in one.null.slopes)
    bic = " / ".join(f"{one.bic[name]:.0f}" for name in ("broken", "line", "exponential"))
    first, second = slopes
    fit = f"{one.at:>5} {first:>22} {second:>24} {null:>13} {one.null.p:>5.2g} {one.p_line:>5.2g} {bic:>18}  {one.verdict}"
    return f"{start:<10} {layer:<9} {key:<6} {fit}"


def _spread(values: list[float]) -> str:
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def main() -> None:
    """Train, read and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the spectral start, two splits, 15 epochs")
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"splits of the data (default: {SPLITS})")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.quick:
        print(table(runs("spectral", range(2), epochs=15)))
        return
    print(table([one for start in STARTS for one in runs(start, range(given.splits))]))


if __name__ == "__main__":
    main()
