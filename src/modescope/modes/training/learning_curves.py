"""Trainings as blocks: accuracy with its spread, loss and accuracy by epoch, and how many modes each layer had."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from modescope.blocks import Axis, Block, Cell, Curve, Note, Series, Table
from modescope.modes.training.result import Epoch, Fit
from modescope.modes.training.trials import FEW, Spread, Trials
from modescope.reports import Report

if TYPE_CHECKING:
    from modescope.blocks import Role

ABOUT = (
    "What was trained.",
    "Trainable numbers, with biases.",
    "Trainings from different seeds.",
    "Mean share of the test samples that are right, at the epoch whose weights are kept.",
    "Standard error of that mean over the seeds; it says nothing of other data.",
    "Mean loss of a test sample.",
    "Epochs that were done, of the first training.",
    "Mean time of an epoch, in seconds, with its tests.",
)
LAYERS = (
    "Name of the layer.",
    "Outputs × inputs.",
    "Their number; none where the layer is dense. With auto that is where a third of the break-even is below 8 modes.",
    "Of the weight, without the bias.",
    "Of the dense weight.",
    "Parameters over those of the dense weight; above 1 the modes cost more than they save.",
)
DIGITS = 4


def report(trials: Trials, /) -> Report:
    """The page of some trainings, `Trials.report`."""
    return Report(tuple(_blocks(trials)), trials.to_dict(), "training", "Training in modes")


def _blocks(trials: Trials) -> Iterator[Block]:
    groups: list[tuple[str, Role, tuple[Fit, ...], Spread | None]] = [
        ("modes" if any(_modes(one) for one in trials.fits) else "dense", "data", trials.fits, trials.accuracy)
    ]
    if trials.dense:
        groups.append(("dense", "null", trials.dense, trials.dense_accuracy))
    rows = [_row(name, fits, spread) for name, _, fits, spread in groups if fits and fits[0].epochs]
    columns = ("network", "parameters", "runs", "test accuracy", "±", "test loss", "epochs", "s / epoch")
    yield Table("Result", columns, tuple(rows), ABOUT)
    yield from _notes(trials)
    shown: list[tuple[str, str, Callable[[Epoch], float | None], bool, str]] = [
        (
            "Loss",
            "loss",
            lambda one: one.loss,
            True,
            "Mean over the samples of an epoch, by the weights as they were at each step.",
        ),
        ("Test accuracy", "accuracy", lambda one: one.accuracy, False, "The test samples, at the end of each epoch."),
    ]
    for title, label, of, log, caption in shown:
        series = [
            Series(
                _name(name, one, fits), tuple(row.epoch for row in one.epochs), tuple(of(row) for row in one.epochs), role, "line"
            )
            for name, role, fits, _ in groups
            for one in fits
            if any(of(row) is not None for row in one.epochs)
        ]
        if series:
            yield Curve(title, Axis("epoch"), Axis(label, log=log), tuple(series), caption=caption)
    yield from _modes_by_epoch(trials.fits)


def _row(name: str, fits: tuple[Fit, ...], spread: Spread | None) -> tuple[Cell, ...]:
    kept = [one.kept for one in fits if one.kept is not None]
    counts = sorted({one.parameters for one in kept})
    seconds = [one.seconds / len(one.epochs) for one in fits if one.epochs]
    losses = [one.test_loss for one in kept]
    return (
        name,
        counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
        len(fits),
        None if spread is None else round(spread.mean, DIGITS),
        None if spread is None or spread.stderr is None else round(spread.stderr, DIGITS),
        round(sum(losses) / len(losses), DIGITS),
        len(fits[0].epochs),
        round(sum(seconds) / len(seconds), DIGITS),
    )


def _notes(trials: Trials) -> Iterator[Note]:
    gap, count = trials.gap, trials.fits[0].source["test"] if trials.fits else 0
    if gap is not None:
        error = "" if gap.stderr is None else f" ± {100 * gap.stderr:.2f}"
        yield Note(
            f"Dense minus modes: {100 * gap.mean:+.2f}{error} points over {gap.runs} seeds; one test sample is {100 / count:.3g} "
            "points."
        )
    if trials.accuracy is not None and trials.accuracy.runs < FEW:
        what = "A comparison of accuracies" if trials.dense else "An accuracy to be compared"
        yield Note(f"{what} needs {FEW} seeds or more: of fewer, the spread is not known.", "caution")
    ends = [(one.settings["seed"], one.stopped) for one in trials.fits]
    for end in dict.fromkeys(end for _, end in ends):
        seeds = [str(seed) for seed, said in ends if said == end]
        yield Note(f"{'Seed' if len(seeds) == 1 else 'Seeds'} {', '.join(seeds)}: {end}.")
    for note in dict.fromkeys(note for one in trials.fits for note in one.notes):
        yield Note(note, "caution")


def _modes_by_epoch(fits: tuple[Fit, ...]) -> Iterator[Block]:
    changed = [one for one in fits if any(row.changes for row in one.epochs)]
    for one in changed[:1]:
        series = [
            Series(name, tuple(row.epoch for row in one.epochs), tuple(row.modes[name] for row in one.epochs), "data", "steps")
            for name in _modes(one)
        ]
        yield Curve("Modes", Axis("epoch"), Axis("modes"), tuple(series), caption="Number of modes of each layer.")
        told = [(row.epoch, said) for row in one.epochs for said in row.changes]
        yield Table("Pruned and grown", ("epoch", "before it"), tuple(told))
    for one in fits[:1]:
        rows = [
            (
                layer.name or "the network",
                f"{layer.shape[0]}×{layer.shape[1]}",
                layer.modes,
                layer.parameters,
                layer.dense_parameters,
                round(layer.parameters / layer.dense_parameters, DIGITS),
            )
            for layer in one.layers
        ]
        if rows:
            yield Table("Layers", ("layer", "shape", "modes", "parameters", "dense", "of dense"), tuple(rows), LAYERS)


def _modes(fit: Fit) -> dict[str, Any]:
    return {} if fit.kept is None else dict(fit.kept.modes)


def _name(name: str, fit: Fit, fits: tuple[Fit, ...]) -> str:
    return f"{name}, seed {fit.settings['seed']}" if len(fits) > 1 else name
