"""Claim: deeper modes of a digits CNN tell digits apart, its strong modes carry them, and only training makes modes stand out.

    python examples/profiled_digits.py --page digits.html       # five seeds, a minute on one core

Three convolutions and two linear layers learn scikit-learn's 8x8 digits, and are profiled: the raw output of each layer on the
output directions of its weight (Praggastis et al. 2022). Separation of the classes is measured on all 1797 images, the rest on the
497 that the network was not trained with.

Claimed, in every seed: accuracy of at least 0.96; classes share modes by more than 0.2 of the Jaccard index more in the first layer
than in the last, where signals are not centred; the share of the signals' variance between classes, eta, is larger by more than 0.2
in the last layer than in the first, and than in the last layer before training, and in every layer more than five times what
permuted labels show; with the strongest half of the modes of all layers but the last the network is right by 0.5 more often than
with the weakest half, and by 0.3 more than with a random half, with the strongest three quarters as often as whole to within 0.03,
and with the weakest three quarters at most in 0.3 of all images; hidden layers with at least 32 modes have two eigenvalues or more
above 1.1 times the edge of noise, the largest above 1.5 times, before training and with permuted entries at most 1.2; and images
made for the leading modes drive them further than the image they started from, than 1000 random images, and, behind the first
layer, than every image of the data, by the same functional.

Not claimed: that eta rises with depth because of training, before it eta rises by more than 0.2 as well, and only not as far; that
the Jaccard index falls from layer to layer, it does not in every seed; that its fall comes from deeper modes being more specific,
as permuted labels fall as well, and centred signals of the linear layers overlap about as by chance; anything about a quarter of
the modes or less, which differs from seed to seed; that first and last layers stand out of noise, nine or ten values are too few
to say; that no digit is best for a mode of the first layer: the best image is black and white, and digits may be nearer to that.
"""

import argparse
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import modescope as ms
from modescope.blocks import Note, Table
from modescope.pictures import number
from modescope.profiles.features import visualise
from modescope.profiles.images import images
from modescope.profiles.passing import bases, signals
from modescope.profiles.survey import survey
from modescope.profiles.truncation import curve
from modescope.reports import Report

SPLIT, EPOCHS, BATCH, RATE = 1300, 40, 64, 3e-3
SHOWN, RANDOM, WAYS = 4, 1000, ("top", "bottom", "random")
CUTS = (("top", 0.5), ("bottom", 0.5), ("random", 0.5), ("top", 0.75), ("bottom", 0.75))
Pictures = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Margins:
    """What is claimed of accuracy: the least, by how much the strong half of the modes is above the weak one, the largest loss."""

    accuracy: float
    weak: float
    loss: float


MARGINS = Margins(accuracy=0.96, weak=0.5, loss=0.03)


@dataclass(frozen=True)
class Layer:
    """One layer: Jaccard indices as means over pairs of classes, and largest eigenvalues over the edge of noise.

    They are of signals as they are, and of signals standardised, "z"; `beats` are shares of modes and signs.
    """

    name: str
    rank: int
    jaccard: float
    jaccard_permuted: float
    jaccard_z: float
    chance: float
    eta: float
    eta_permuted: float
    eta_start: float
    above: int
    ratio: float
    ratio_start: float
    ratio_permuted: float
    beats: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """One trained network: its accuracy on images that it was not trained with, whole and cut, and its layers."""

    seed: int
    accuracy: float
    cut: Mapping[tuple[str, float], float]
    layers: tuple[Layer, ...]

    @property
    def wide(self) -> tuple[Layer, ...]:
        """Hidden layers with enough modes for the law of noise."""
        return tuple(layer for layer in self.layers[1:-1] if layer.rank >= 32)


@cache
def data() -> Pictures:
    """All 1797 images (n, 1, 8, 8) from 0 to 1 and labels, in a fixed random order: the first 1300 are to train with."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    return torch.tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)[order], torch.tensor(labels)[order]


def network(seed: int) -> nn.Sequential:
    """Untrained, with torch's own start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = OrderedDict[str, nn.Module](
            conv1=nn.Conv2d(1, 16, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            conv3=nn.Conv2d(32, 32, 3, padding=1),
            relu3=nn.ReLU(),
            mean=nn.AdaptiveAvgPool2d(2),
            flat=nn.Flatten(),
            fc1=nn.Linear(128, 64),
            relu4=nn.ReLU(),
            fc2=nn.Linear(64, 10),
        )
        return nn.Sequential(parts)


def trained(seed: int) -> tuple[nn.Sequential, nn.Sequential]:
    """A network before and after its training."""
    start = network(seed)
    pictures, labels = data()
    return start, fitted(start, (pictures[:SPLIT], labels[:SPLIT]), seed, epochs=EPOCHS, batch=BATCH, rate=RATE)


def fitted(start: nn.Sequential, known: Pictures, seed: int, *, epochs: int, batch: int, rate: float) -> nn.Sequential:
    """A copy of a network after Adam on the cross-entropy."""
    torch.set_num_threads(1)
    model, generator = deepcopy(start), torch.Generator().manual_seed(seed)
    pictures, labels = known
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(pictures), generator=generator).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(pictures[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


def look(seed: int, start: Any, model: Any, whole: Pictures, fresh: Pictures, *, made: int | None = None) -> Result:
    """Everything that is claimed of one network.

    Args:
        seed: Of the network.
        start: The network before its training.
        model: The network.
        whole: Images that classes are compared on.
        fresh: Images that it was not trained with.
        made: How many of its layers images are made for, by default all.
    """
    options: dict[str, Any] = {"labels": whole[1], "select": "all", "signed": False, "features": 0, "truncation": False, "shown": 0}
    profile = ms.profile(model, whole[0], untrained=start, **options)
    before = ms.profile(start, whole[0], resamples=0, permutations=0, **options)
    held = images(fresh[0], fresh[1])
    found = survey(model, held.first())
    modes = bases(model, found)
    cut = curve(model, held, found, modes, shares=(0.5, 0.75), which=WAYS, layers=(), most=len(fresh[0]), seed=seed)
    ahead = beaten(model, whole[0], [layer.site for layer in profile.layers][:made], seed)
    layers = []
    for layer in profile.layers:
        raw, centred, (noise,) = layer.separation["none"], layer.separation["z"], layer.validation
        layers.append(
            Layer(
                name=layer.site,
                rank=layer.basis.s.size,
                jaccard=raw.jaccard.value,
                jaccard_permuted=raw.jaccard.null.mean,
                jaccard_z=centred.jaccard.value,
                chance=raw.jaccard.expected,
                eta=raw.eta.value,
                eta_permuted=raw.eta.null.mean,
                eta_start=before[layer.site].separation["none"].eta.value,
                above=noise.trained.above_margin,
                ratio=noise.trained.ratio,
                ratio_start=noise.start.ratio,
                ratio_permuted=noise.permuted["ratio"].mean,
                beats=ahead.get(layer.site, {}),
            )
        )
    return Result(seed, cut.hits / cut.images, {(one.which, one.share): one.accuracy for one in cut.points}, tuple(layers))


def beaten(model: Any, pictures: Tensor, sites: Iterable[str], seed: int) -> dict[str, dict[str, float]]:
    """By layer, how many images made for its leading modes, both signs, beat their start, random images, and the data.

    The functional is the signal at the centre for all of them, and images are not moved while they are made.
    """
    shape = tuple(pictures.shape[1:])
    found = survey(model, pictures[:2])
    modes = bases(model, found)
    random = torch.rand(RANDOM, *shape, generator=torch.Generator().manual_seed(seed))
    among, real = (signals(model, images(some), found, modes, aggregate_by="centre") for some in (random, pictures))
    ahead: dict[str, dict[str, float]] = {}
    for site in sites:
        own = visualise(model, site, range(SHOWN), survey=found, basis=modes[site], shape=shape, transforms="none", seed=seed)
        others = ([(one.sign * some[site][:, one.mode]).max() for one in own] for some in (among, real))
        rivals = dict(zip(("start", "random", "data"), ([one.sign * one.before for one in own], *others), strict=True))
        reached = [one.sign * one.score for one in own]
        ahead[site] = {name: float(np.mean(np.greater(reached, scores))) for name, scores in rivals.items()}
    return ahead


def table(found: Iterable[Result]) -> str:
    """A line a network, then one for each of its layers."""
    lines = []
    for one in found:
        cut = ", ".join(f"{which} {share:.0%} {one.cut[which, share]:.3f}" for which, share in CUTS)
        lines += [f"seed {one.seed}: accuracy {one.accuracy:.3f}; {cut}"]
        lines += [
            "  layer     r  J none (permuted)  J z (chance)   eta (permuted, start)  outliers  ratio, start, permuted"
            "  made images beat start, random, data"
        ]
        for s in one.layers:
            sets = f"{s.jaccard:7.2f} {s.jaccard_permuted:8.2f} {s.jaccard_z:9.2f} {s.chance:6.2f}"
            apart = f"{s.eta:8.3f} {s.eta_permuted:7.3f} {s.eta_start:6.3f}"
            noise = f"{s.above:9d} {s.ratio:8.2f} {s.ratio_start:5.2f} {s.ratio_permuted:5.2f}"
            lines.append(f"  {s.name:6s} {s.rank:4d} {sets} {apart} {noise}   {' '.join(f'{b:.0%}' for b in s.beats.values())}")
    return "\n".join(lines)


def page(one: Result, start: Any, model: Any, fresh: Pictures, title: str, margins: Margins, **options: Any) -> Report:
    """The profile on images that the network was not trained with, below what is claimed of it."""
    options |= {"select": "all", "signed": False, "untrained": start, "features": SHOWN, "truncation": True}
    report = ms.profile(model, fresh[0], labels=fresh[1], **options).report()
    said = Note(f"Seed {one.seed}: the numbers of this table are those that the script claims something of.")
    return Report((said, claims(one, margins), *report.blocks), report.document, report.items, title=title, code=report.code)


def claims(one: Result, margins: Margins) -> Table:
    """What was found beside what is claimed."""
    first, last, cut = one.layers[0], one.layers[-1], one.cut
    worst = min(layer.eta / layer.eta_permuted for layer in one.layers)
    rows = (
        ("accuracy", one.accuracy, f"claimed: at least {margins.accuracy}"),
        ("Jaccard index, first layer less last", first.jaccard - last.jaccard, "claimed: above 0.2"),
        ("the same with permuted labels", first.jaccard_permuted - last.jaccard_permuted, "so not all of it is due to classes"),
        ("variance between classes, last layer less first", last.eta - first.eta, "claimed: above 0.2"),
        ("the same before training", last.eta_start - first.eta_start, "so depth does part of it without training"),
        ("variance between classes, last layer, trained less untrained", last.eta - last.eta_start, "claimed: above 0.2"),
        ("variance between classes over that of permuted labels, least", worst, "claimed: above 5"),
        (
            "accuracy with the strongest half",
            cut["top", 0.5],
            f"claimed: {margins.weak} above the next line, 0.3 above the one after",
        ),
        ("with the weakest half", cut["bottom", 0.5], ""),
        ("with a random half", cut["random", 0.5], "mean of three draws"),
        ("with the strongest three quarters", cut["top", 0.75], f"claimed: within {margins.loss} of the whole network"),
        ("with the weakest three quarters", cut["bottom", 0.75], "claimed: at most 0.3"),
        ("largest eigenvalue over the edge, wide layers, least", min(s.ratio for s in one.wide), "claimed: above 1.5"),
        ("before training, largest", max(s.ratio_start for s in one.wide), "claimed: at most 1.2"),
        ("with permuted entries, largest", max(s.ratio_permuted for s in one.wide), "claimed: at most 1.2"),
    )
    return Table("What was found", ("number", "value", "what is said of it"), tuple((a, number(b), c) for a, b, c in rows))


def main() -> None:
    """Train, look, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--page", type=Path, help="write the profile of the first seed to this .html file")
    options = parser.parse_args()
    pictures, labels = data()
    fresh = pictures[SPLIT:], labels[SPLIT:]
    networks = {seed: trained(seed) for seed in range(options.seeds)}
    found = [look(seed, *pair, data(), fresh) for seed, pair in networks.items()]
    print(table(found))
    if options.page:
        page(found[0], *networks[0], fresh, "Handwritten digits, profiled", MARGINS).save(options.page)


if __name__ == "__main__":
    main()
