"""Claim: on pictures of clothes as on digits, accuracy rises with the number of modes and levels off, at every width alike.

    python scripts/models.py dataset-fashion-mnist mnist
    python examples/modes_by_width_on_clothes.py                 # five widths, five numbers of modes, three seeds: four minutes
    python examples/modes_by_width_on_clothes.py --data digits   # 8,000 digits of MNIST in the place of clothes
    python examples/modes_by_width_on_clothes.py --way "low rank"   # or penalties: other ways to train as many terms
    python examples/modes_by_width_on_clothes.py --quick         # two widths, one seed

Networks 784-N-N-10 with biases, in spectral modes, p in both hidden layers and a dense last one, learn the first 12,000 pictures of
Fashion-MNIST in six epochs, which is short on purpose, and are tested on its 10,000 test pictures. A dense network of each width
learns the same. Every width and number of modes, and the dense network, takes the best of the same four rates on a sixth of the
training data. The least number of modes at a width is the least one of the table whose mean accuracy is that of the dense network
less one point; Li & Huang (2023) say that it grows as ln N and is then constant. No more modes than units are tried. Low rank has
the strengths fixed at 1; with penalties, the published ones of SVD training are added to the loss of as many modes.

Claimed: at every width two modes are worse than five, and five worse than the dense network; from ten modes on all are within
three points of it; the numbers of weights.

Not claimed: a law of the least number, which five widths, the steps of the table and three seeds leave open, and the verdict says
so; parity with dense training; anything of 60,000 pictures or of more epochs.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean, stdev

import torch
from modes_beside_dense import RATES, VALIDATION, data, penalised
from modes_by_width import laws

from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.reading.scaling import Run, Scaling, scaling
from modescope.modes.tasks import Task
from modescope.modes.training.fitting import fit
from modescope.seeds import generator

WIDTHS = (25, 50, 100, 200, 400)
MODES = (2, 5, 10, 20, 40)
SEEDS, EPOCHS, TRAINED = 3, 6, 12_000
CHOOSING = 1000  # seed of the trainings that only choose a rate
WAYS = {"modes": (False, None), "low rank": (True, None), "penalties": (False, penalised)}  # strengths fixed, penalty


@cache
def pictures(kind: str, count: int = TRAINED) -> Task:
    """The first pictures to learn from, as many as there are up to a number, and all that are tested on."""
    whole = data(kind)
    return replace(whole, x_train=whole.x_train[:count], y_train=whole.y_train[:count])


def network(width: int, p: int | None, seed: int, way: str = "modes") -> ModeMLP:
    """784-N-N-10, untrained; p in both hidden layers, None is dense, and as many modes as are asked for are made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ModeMLP([784, width, width, 10], [p, p, None], over_complete=True, frozen_strength=WAYS[way][0])


def weights(width: int, p: int | None, way: str = "modes") -> int:
    """Trained numbers without biases."""
    return sum(one.numel() for name, one in network(width, p, 0, way).named_parameters() if not name.endswith("bias"))


def reached(
    task: Task, width: int, p: int | None, seed: int, *, rate: float, epochs: int, validation: float = 0.0, way: str = "modes"
) -> float:
    """Accuracy after one training, on what was held out for validation or else on the test pictures."""
    done = fit(
        network(width, p, seed, way),
        task,
        epochs=epochs,
        batch=100,
        lr=rate,
        halve_every=max(epochs // 3, 1),
        seed=seed,
        validation=validation,
        penalty=WAYS[way][1],
    ).epochs[-1]
    found = done.validation_accuracy if validation else done.accuracy
    assert found is not None
    return found


def chosen(task: Task, width: int, p: int | None, *, epochs: int, rates: Sequence[float], way: str = "modes") -> float:
    """The rate of the best accuracy on a sixth of the training data."""
    if len(rates) == 1:
        return rates[0]
    return max(rates, key=lambda rate: reached(task, width, p, CHOOSING, rate=rate, epochs=epochs, validation=VALIDATION, way=way))


def runs(
    task: Task,
    widths: Iterable[int] = WIDTHS,
    modes: Sequence[int] = MODES,
    seeds: Sequence[int] = range(SEEDS),
    *,
    epochs: int = EPOCHS,
    rates: Sequence[float] = RATES,
    way: str = "modes",
) -> Iterator[tuple[Run, float]]:
    """All trainings with their rates, one after the other; no more modes than units, and dense ones beside modes alone."""
    for width in widths:
        for p in (*((None,) if way == "modes" else ()), *(one for one in modes if one <= width)):
            rate = chosen(task, width, p, epochs=epochs, rates=rates, way=way)
            for seed in seeds:
                yield Run(width, p, seed, reached(task, width, p, seed, rate=rate, epochs=epochs, way=way)), rate


def law(rows: Iterable[Run]) -> Scaling:
    """Least numbers of modes, and laws for them."""
    return scaling(rows, rng=generator(0, "modes by width on clothes"))


def accuracies(rows: Iterable[Run]) -> dict[tuple[int, int | None], list[float]]:
    """Accuracies by width and number of modes."""
    held: dict[tuple[int, int | None], list[float]] = {}
    for one in rows:
        held.setdefault((one.width, one.modes), []).append(one.accuracy)
    return held


def line(some: Sequence[Run], rate: float, way: str = "modes") -> str:
    """What one width and number of modes came to."""
    found = [100 * one.accuracy for one in some]
    spread = f"{stdev(found):.2f}" if len(found) > 1 else "-"
    modes = "dense" if some[0].modes is None else str(some[0].modes)
    size = weights(some[0].width, some[0].modes, way)
    return f"{some[0].width:>4} {modes:>6} {size:>8,} {rate:>6} {mean(found):>6.2f} ± {spread}"


def verdict(found: Scaling) -> str:
    """The least numbers, the laws, and which of them is said to hold."""
    lines = [f"{'N':>4} {'least p':>8} {'95 %':>10} {'error':>6} {'share of weights':>17}"]
    for one in found.points:
        least = "none" if one.modes is None else str(one.modes)
        ends = " to ".join("-" if end is None else f"{end:g}" for end in (one.low, one.high))
        error = "-" if one.error is None else f"{one.error:.1f}"
        share = "-" if one.modes is None else f"{weights(one.width, one.modes) / weights(one.width, None):.0%}"
        lines.append(f"{one.width:>4} {least:>8} {ends:>10} {error:>6} {share:>17}")
    return "\n".join([*lines, *laws(found)])


def main() -> None:
    """Train, and print a row for each width and number of modes as soon as it is there, then the least numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("fashion", "digits"), default="fashion", help="data set (default: fashion)")
    parser.add_argument("--way", choices=list(WAYS), default="modes", help="what is trained (default: modes, beside dense)")
    parser.add_argument("--quick", action="store_true", help="two widths, three numbers of modes, one seed, three epochs, one rate")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each (default: {SEEDS})")
    parser.add_argument("--runs", type=Path, help="append every run to this file, a JSON object in each line")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.quick:
        task = pictures(given.data, 3_000)
        made = runs(task, (25, 100), (2, 5, 10), range(1), epochs=3, rates=RATES[1:2], way=given.way)
    else:
        made = runs(pictures(given.data), seeds=range(given.seeds), way=given.way)
    rows: list[Run] = []
    print(f"{'N':>4} {'modes':>6} {'weights':>8} {'rate':>6} {'accuracy ± sd':>13}")
    own = 1 if given.quick else given.seeds
    for one, rate in made:
        rows.append(one)
        if given.runs:
            with given.runs.open("a") as file:
                file.write(json.dumps({"data": given.data, "way": given.way, "rate": rate, **vars(one)}) + "\n")
        if len(rows) % own == 0:
            print(line(rows[-own:], rate, given.way), flush=True)
    if given.way == "modes":
        print(f"\n{verdict(law(rows))}")


if __name__ == "__main__":
    main()
