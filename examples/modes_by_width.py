"""Claim: accuracy on digits rises steeply with the number of modes and levels off; how many are enough hardly depends on the width.

    python examples/modes_by_width.py               # five widths, nine numbers of modes, three splits: some minutes on one core
    python examples/modes_by_width.py --quick       # two widths, one split

Networks 64-N-N-10 in spectral modes, p in each layer and at most 10 in the last, beside dense networks of the same widths, all by
the recipe of `digits_in_modes.py` with 30 epochs and a rate of 0.005. Li & Huang (2023) say that the least number of modes grows as
ln N and is then constant. Here it is the least p of the table whose mean accuracy is that of dense networks less one point, with
its error over resampled splits, and laws are compared by `scaling`.

Claimed, at width 100: accuracy below 0.85 with two modes, above 0.95 with ten; at every width more than 20 points between one mode
and five, and less than 5 between eight and twenty; the number of parameters.

Not claimed: that the least number follows a logarithm, a power, or is constant: five widths and one data set do not decide, and the
verdict says so; parity with dense training; any gain of time at these sizes; that the least number is that of other margins.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev

import torch
from digits_in_modes import network, parameters, trained

from modescope.modes.reading.scaling import Run, Scaling, scaling
from modescope.seeds import generator

WIDTHS = (25, 50, 100, 200, 400)
MODES = (1, 2, 3, 5, 8, 10, 15, 20, 30)
SPLITS, EPOCHS = 3, 30


def counts(p: int | None) -> tuple[int | None, ...]:
    """Modes of each layer; None is a dense network. More than 10 in the last layer would add no rank."""
    return (p, p, p) if p is None else (p, p, min(p, 10))


def run(width: int, p: int | None, split: int, *, epochs: int = EPOCHS) -> Run:
    """One training."""
    return Run(width, p, split, trained(counts(p), split, epochs=epochs, width=width)[1].accuracy)


def runs(
    widths: Iterable[int] = WIDTHS, modes: Iterable[int] = MODES, splits: int = SPLITS, *, epochs: int = EPOCHS
) -> Iterable[Run]:
    """All of them, one after the other; no more modes than units."""
    for width in widths:
        for p in (None, *(one for one in modes if one <= width)):
            for split in range(splits):
                yield run(width, p, split, epochs=epochs)


def found(table: Iterable[Run]) -> Scaling:
    """Least numbers of modes, and laws for them."""
    return scaling(table, rng=generator(0, "modes by width"))


def accuracies(table: Iterable[Run], width: int) -> dict[int | None, list[float]]:
    """Accuracies of one width by number of modes."""
    held: dict[int | None, list[float]] = {}
    for one in table:
        if one.width == width:
            held.setdefault(one.modes, []).append(one.accuracy)
    return held


def table(rows: list[Run]) -> str:
    """Accuracy in percent, mean ± sd, a row for each number of modes, then the least numbers and the laws."""
    widths = sorted({one.width for one in rows})
    held = {width: accuracies(rows, width) for width in widths}
    lines = [f"{'modes':<6}" + "".join(f"{f'N = {width}':>14}" for width in widths)]
    for p in [*sorted({one.modes for one in rows if one.modes}), None]:
        cells = (f"{100 * mean(some):.1f} ± {_sd(some):.1f}" if (some := held[width].get(p)) else "" for width in widths)
        lines.append(f"{'dense' if p is None else p:<6}" + "".join(f"{cell:>14}" for cell in cells))
    law = found(rows)
    lines += ["", f"{'N':>4} {'least p':>8} {'95 %':>9} {'error':>6} {'parameters':>11} {'dense':>8} {'runs':>5}"]
    for one in law.points:
        least = "none" if one.modes is None else str(one.modes)
        ends = " to ".join("-" if end is None else f"{end:g}" for end in (one.low, one.high))
        error = "-" if one.error is None else f"{one.error:.1f}"
        cost = "-" if one.modes is None else f"{weights(one.width, one.modes):,}"
        lines.append(f"{one.width:>4} {least:>8} {ends:>9} {error:>6} {cost:>11} {weights(one.width, None):>8,} {one.seeds:>5}")
    return "\n".join([*lines, *laws(law)])


def laws(law: Scaling) -> list[str]:
    """A line for each law of the least numbers, and which of them is said to hold."""
    lines = []
    for name, fit in law.fits.items():
        aicc = "-" if fit.aicc is None else f"{fit.aicc:.1f}"
        said = ", ".join(f"{number:.3g}" for number in fit.parameters)
        lines.append(f"{name}: {said}; residual {fit.residual:.2f}, BIC {fit.bic:.1f}, AICc {aicc}")
    return [*lines, law.said]


def weights(width: int, p: int | None) -> int:
    """Trained numbers of a network."""
    return parameters(network(counts(p), 0, width=width))


def _sd(values: list[float]) -> float:
    return 100 * stdev(values) if len(values) > 1 else 0.0


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two widths, five numbers of modes, one split, 12 epochs")
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"splits of the data (default: {SPLITS})")
    parser.add_argument("--runs", type=Path, help="append every run to this file, a JSON object in each line")
    given = parser.parse_args()
    torch.set_num_threads(1)
    every = runs((25, 100), (1, 2, 5, 10, 20), 1, epochs=12) if given.quick else runs(splits=given.splits)
    done = []
    for one in every:
        done.append(one)
        if given.runs:
            with given.runs.open("a") as file:
                file.write(json.dumps(vars(one)) + "\n")
    print(table(done))


if __name__ == "__main__":
    main()
