"""Claim: in modes classes of digits share fewer directions than in a dense network, whose states are the more compact ones.

    python examples/latent_space_of_modes.py          # five splits, half a minute on one core
    python examples/latent_space_of_modes.py --quick  # two splits

Networks 64-100-100-10 in 30 spectral modes (10 in the last layer) and dense ones are trained by the recipe of `digits_in_modes.py`,
and read on 360 test images, before and after. The states are what enters each layer, and the outputs. Their participation ratio is
the number of directions that they vary in; the overlap of classes is the mean squared cosine of the angles between the leading four
directions of two classes, each centred by its own mean, beside what random directions have. The dense network is also read with
its weights cut to as many modes, which shows whether their number is enough for what is different. The effective number of modes
is (sum omega)^2 / sum omega^2.

Claimed: in the second hidden layer, in every split, classes overlap less in modes than before training and than in the dense
network, by more than 0.05 each, and that network cut to as many modes stays within 0.05 of what it was; overlaps of hidden states
are more than twice those of random directions in all networks. As means over the splits: both networks are more compact in both
hidden layers after training than before, the dense one more so; the stable rank of the hidden layers in modes falls below two
thirds, while the effective number of modes stays above nine tenths of their number.

Not claimed: that states become compact with depth because of training, before it they do as well; that modes disentangle classes
in other networks, at other rates, or by other measures; that what overlaps less is classified better: for accuracy see
`digits_in_modes.py`.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import torch
from digits_in_modes import EPOCHS, USEFUL, WAYS, cut, network, trained

from modescope.modes import tasks
from modescope.modes.reading.evaluating import mode_layers, sample
from modescope.modes.reading.latent import Overlap, effective_modes, stable_rank
from modescope.modes.reading.states import chosen, spaces

SPLITS, CUT = 5, "dense, cut"
NETWORKS = {"modes": USEFUL, "dense": WAYS["dense"].counts}


@dataclass(frozen=True)
class Depth:
    """States at one depth of one network: how compact they are, how far classes overlap, and what random directions would."""

    network: str
    trained: bool
    split: int
    depth: int
    participation: float
    overlap: float
    null: float


@dataclass(frozen=True)
class Carried:
    """How many modes carry a layer, by omega and by its stable rank."""

    layer: str
    trained: bool
    split: int
    effective: float
    stable: float


def depths(name: str, net: Any, split: int, *, after: bool) -> list[Depth]:
    """States of a network, from its inputs to its outputs."""
    found = []
    for one in chosen(spaces(net, sample(tasks.digits(split))), "states"):
        assert isinstance(one.overlap, Overlap)
        found.append(Depth(name, after, split, one.depth, one.participation, one.overlap.mean, one.overlap.null))
    return found


def carried(net: Any, split: int, *, after: bool) -> list[Carried]:
    """The layers in modes of a network."""
    layers = {name: one.modes() for name, one in mode_layers(net).items()}
    return [Carried(name, after, split, effective_modes(one.omega), stable_rank(one)) for name, one in layers.items()]


def runs(splits: Iterable[int], *, epochs: int = EPOCHS) -> tuple[list[Depth], list[Carried]]:
    """Both networks before and after their training, for every split."""
    states, modes = [], []
    for split in splits:
        for name, counts in NETWORKS.items():
            for after in (False, True):
                net = trained(counts, split, epochs=epochs)[0] if after else network(counts, split).eval()
                states += depths(name, net, split, after=after)
                if name == "modes":
                    modes += carried(net, split, after=after)
                elif after:
                    states += depths(CUT, cut(net), split, after=after)
    return states, modes


def of(states: Iterable[Depth], name: str, what: str, *, after: bool) -> list[list[float]]:
    """One number of the states by depth, in a list over the splits."""
    own = [one for one in states if (one.network, one.trained) == (name, after)]
    return [[getattr(one, what) for one in own if one.depth == depth] for depth in sorted({one.depth for one in own})]


def table(states: list[Depth], modes: list[Carried]) -> str:
    """Means ± sd over the splits, by depth."""
    size = max(one.depth for one in states) + 1
    places = ["inputs", *(f"hidden {depth}" for depth in range(1, size - 1)), "outputs"]
    lines = []
    for what, said in (("participation", "participation ratio"), ("overlap", "overlap of classes")):
        lines.append(f"{said:<20}" + "".join(f"{place:>16}" for place in places))
        for name in (*NETWORKS, CUT):
            for after in (True,) if name == CUT else (False, True):
                cells = (_spread(values) for values in of(states, name, what, after=after))
                lines.append(f"{f'{name}, {_when(after)}':<20}" + "".join(f"{cell:>16}" for cell in cells))
        if what == "overlap":
            random = of(states, "dense", "null", after=True)
            lines.append(f"{'random directions':<20}" + "".join(f"{values[0]:>16.2f}" for values in random))
        lines.append("")
    lines.append(f"{'layers in modes':<20}{'effective modes':>18}{'stable rank':>18}")
    for layer in dict.fromkeys(one.layer for one in modes):
        for after in (False, True):
            own = [one for one in modes if (one.layer, one.trained) == (layer, after)]
            name = f"{layer}, {_when(after)}"
            lines.append(f"{name:<20} {_spread([one.effective for one in own]):>17} {_spread([one.stable for one in own]):>17}")
    return "\n".join(lines)


def _when(after: bool) -> str:
    return "trained" if after else "untrained"


def _spread(values: list[float]) -> str:
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def main() -> None:
    """Train, read and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two splits, 15 epochs")
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"splits of the data, 2 or more (default: {SPLITS})")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(table(*(runs(range(2), epochs=15) if given.quick else runs(range(given.splits)))))


if __name__ == "__main__":
    main()
