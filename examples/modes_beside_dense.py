"""Claim: at a third of the parameters, and tuned alike, a network in modes is measured beside a dense one, whatever comes out.

    python scripts/models.py mnist dataset-fashion-mnist
    python examples/modes_beside_dense.py                      # both data sets, every way, five seeds: half an hour of one core
    python examples/modes_beside_dense.py --data digits --seeds 3

The network is 784-100-100-10 with ReLU. In modes it has 26 in each hidden layer and a dense last one, where modes would save
nothing: 29,236 weights of 89,400, beside the biases, which all have. Every way of training gets the same epochs, batches, decay and
halving of the rate, and the same four rates to choose from on a sixth of the training data; the chosen one is then trained on all
of it from five seeds and tested once. "Fashion" is Fashion-MNIST, 60,000 and 10,000 pictures of clothes. "Digits" are 10,000
pictures of MNIST, cut into 8,000 and 2,000; they are not the 60,000 that MNIST's usual numbers are from.

Claimed: the numbers of weights; that modes from a spectral start lose less than one point of accuracy to dense training, on either
data, in the mean over seeds; that on clothes a dense network that is cut to the same modes once it is trained loses more than that.

Not claimed: parity, which is a question of standard errors, and the table shows that the gap is no chance; that one way is the best
on other data; any gain of time at this size, where a step is mostly overhead; that the published penalties need lose as much: they
are best at the smallest rate, below which nothing was tried.
"""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from time import process_time

import numpy as np
import torch
from downloads import archive
from torch import Tensor, nn

from modescope.modes import tasks
from modescope.modes.conversion import to_modes
from modescope.modes.factors import truncated
from modescope.modes.modules.base import ModeLayer
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.penalties import hoyer, orthogonality
from modescope.modes.tasks import Task
from modescope.modes.training.fitting import fit

SIZES = (784, 100, 100, 10)
P = 26
RATES = (0.001, 0.003, 0.009, 0.027)
VALIDATION = 1 / 6
EPOCHS = {"fashion": 20, "digits": 40}
SEEDS = 5
TESTED = 2_000
ORTHOGONALITY = 30.0  # weight of the published penalty


@dataclass(frozen=True)
class Way:
    """One way of training: what the network is made of, and what is added to its loss.

    Attributes:
        counts: Modes of each layer; None is dense.
        options: Of the layers.
        penalty: A function of the network, or None.
        cut: What a trained network is called that is cut to `P` modes a hidden layer and tested again; none is where it is empty.
    """

    counts: tuple[int | None, ...]
    options: dict[str, object]
    penalty: Callable[[nn.Module], Tensor] | None = None
    cut: str = ""

    def network(self, seed: int) -> ModeMLP:
        """Untrained, drawn from a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ModeMLP(SIZES, self.counts, **self.options)


@dataclass(frozen=True)
class Run:
    """One training: its way, learning rate and seed, weights without biases, accuracy and seconds of one core."""

    data: str
    way: str
    rate: float
    seed: int
    weights: int
    accuracy: float
    seconds: float


def penalised(network: nn.Module) -> Tensor:
    """The published penalties of training in singular vectors: orthonormal patterns, few strengths."""
    return ORTHOGONALITY * orthogonality(network) + hoyer(network)


FULL = (100, 100, 10)
THIRD = (P, P, None)
WAYS = {
    "dense": Way((None, None, None), {}, cut="dense, cut when trained"),
    "modes, spectral init": Way(THIRD, {"init": "spectral"}),
    "modes, normal factors": Way(THIRD, {"init": "iid"}),
    "modes, published init": Way(THIRD, {"init": "published"}),
    "low rank": Way(THIRD, {"init": "spectral", "frozen_strength": True}),
    "SVD training": Way(FULL, {"over_complete": True}, penalised, cut="SVD training, cut"),
}


def data(name: str) -> Task:
    """Pictures of clothes, or of digits in an order of our own, as 784 numbers from 0 to 1."""
    if name == "fashion":
        return tasks.of_idx(archive("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist")
    folder = archive("mnist")
    parts = [json.loads(next(folder.rglob(f"digits/{digit}.json")).read_text())["data"] for digit in range(10)]
    pictures = [np.asarray(part, np.float32).reshape(-1, SIZES[0]) for part in parts]
    labels = np.repeat(np.arange(10), [len(part) for part in pictures])
    order = np.random.default_rng(0).permutation(labels.size)
    x, y = np.vstack(pictures)[order], labels[order]
    return tasks.of_arrays(x[TESTED:], y[TESTED:], x[:TESTED], y[:TESTED], name="digits of MNIST")


def trained(task: Task, name: str, rate: float, seed: int, *, epochs: int, validation: float = 0.0) -> tuple[ModeMLP, float]:
    """Train one network; its accuracy on what was held out for validation, or else on the test data."""
    way = WAYS[name]
    network = way.network(seed)
    done = fit(
        network,
        task,
        epochs=epochs,
        batch=100,
        lr=rate,
        weight_decay=1e-4,
        halve_every=max(epochs // 4, 1),
        seed=seed,
        penalty=way.penalty,
        validation=validation,
    )
    last = done.epochs[-1]
    reached = last.validation_accuracy if validation else last.accuracy
    assert reached is not None
    return network, reached


def cut(network: ModeMLP, task: Task) -> tuple[nn.Module, float]:
    """The network with the best modes for each hidden weight, and its accuracy on the test data."""
    less = to_modes(network, {"layers.0": P, "layers.1": P}) if isinstance(network.layers[0], nn.Linear) else deepcopy(network)
    for layer in less.layers:
        if isinstance(layer, ModeLayer):
            layer.set_modes(truncated(layer.modes(), min(P, layer.n_modes)))
    with torch.no_grad():
        return less, float((less(torch.from_numpy(task.x_test)).argmax(1).numpy() == task.y_test).mean())


def weights(network: nn.Module) -> int:
    """Trained numbers without biases."""
    return sum(one.numel() for name, one in network.named_parameters() if not name.endswith("bias"))


def chosen(task: Task, name: str, *, epochs: int, rates: Sequence[float] = RATES) -> float:
    """The rate of the best accuracy on a sixth of the training data."""
    return max(rates, key=lambda rate: trained(task, name, rate, 1000, epochs=epochs, validation=VALIDATION)[1])


def runs(
    kind: str, name: str, seeds: Sequence[int], *, epochs: int | None = None, rates: Sequence[float] = RATES
) -> dict[str, list[Run]]:
    """All runs of one way on one data set, and the same networks cut, where the way says so."""
    task, length, way = data(kind), epochs or EPOCHS[kind], WAYS[name]
    rate = chosen(task, name, epochs=length, rates=rates) if len(rates) > 1 else rates[0]
    found: dict[str, list[Run]] = {name: [], way.cut: []}
    for seed in seeds:
        start = process_time()
        network, reached = trained(task, name, rate, seed, epochs=length)
        seconds = process_time() - start
        found[name].append(Run(kind, name, rate, seed, weights(network), reached, seconds))
        if way.cut:
            less, reached = cut(network, task)
            found[way.cut].append(Run(kind, way.cut, rate, seed, weights(less), reached, seconds))
    return {called: some for called, some in found.items() if some}


def gap(dense: Sequence[Run], other: Sequence[Run]) -> tuple[float, float]:
    """Points of accuracy by which dense training is better, and the standard error of that difference of two means."""
    a, b = ([100 * run.accuracy for run in some] for some in (dense, other))
    return mean(a) - mean(b), math.sqrt(sum(stdev(some) ** 2 / len(some) for some in (a, b)))


def line(found: Sequence[Run], dense: Sequence[Run]) -> str:
    """One row of the table."""
    reached = [100 * run.accuracy for run in found]
    apart, error = gap(dense, found)
    one = found[0]
    said = "reference" if found is dense else f"{apart:+.2f} ± {error:.2f}"
    return (
        f"{one.data:<8} {one.way:<24} {one.weights:>7,} {one.rate:>6} "
        f"{mean(reached):>6.2f} ± {stdev(reached):.2f} {said:>14} {mean(run.seconds for run in found):>6.0f}"
    )


def main() -> None:
    """Train, and print a row for each way as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=list(EPOCHS), action="append", help="data set (default: both)")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"trainings of each way, 2 or more (default: {SEEDS})")
    parser.add_argument("--runs", type=Path, help="append every run to this file, a JSON object in each line")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'data':<8} {'way':<24} {'weights':>7} {'rate':>6} {'accuracy ± sd':>13} {'points lost':>14} {'s':>6}")
    for kind in given.data or EPOCHS:
        dense: list[Run] = []
        for name in WAYS:
            for found in runs(kind, name, range(given.seeds)).values():
                dense = dense or found
                print(line(found, dense), flush=True)
                if given.runs:
                    with given.runs.open("a") as file:
                        file.writelines(json.dumps(vars(run)) + "\n" for run in found)


if __name__ == "__main__":
    main()
