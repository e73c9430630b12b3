"""What a descrambled layer is compared with, as blocks: the criterion for controls, a scramble, and other samples."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Mark, Note, Series, Table
from modescope.descrambling.controlled import Compared
from modescope.descrambling.controls import STABLE, Control, Scrambled, Stability
from modescope.descrambling.criteria import DIAGONAL
from modescope.descrambling.result import Descrambling
from modescope.pictures import number, numbers

ORDERED = {
    "identity": ("native order", "The criterion for what there is before descrambling."),
    "reached": ("reached", "What the same search reaches."),
    "bound": ("bound", "What no order can go below."),
    "random_mean": ("mean of random", "Its mean over random orders."),
}
TURNED = {
    "identity": ("as stored", "The criterion for what there is before descrambling."),
    "reached": ("reached", "What the same search reaches."),
    "maximal": ("bound", "What no rotation exceeds."),
}


def control(result: Descrambling, /) -> Iterator[Block]:
    """The same numbers for what is not the trained network with its data, the network first; then everything else."""
    if not result.controls:
        yield Note("No controls were computed: smoothness alone is reached for any weights.", "caution")
    scales = {name: found for name, found in result.controls.items() if isinstance(found, Control)}
    if scales:
        yield _scales(result, scales)
    compared = {name: found for name, found in result.controls.items() if isinstance(found, Compared)}
    if compared:
        yield _compared(result, compared)
    for name, found in result.controls.items():
        match found:
            case str():
                yield Note(f"No control {name}: {found}.", "caution")
            case Scrambled():
                yield _scrambled(found)
            case Stability():
                yield from _stability(found)


def _scales(result: Descrambling, others: Mapping[str, Control]) -> Table:
    own = result.objective
    rows = [_row("this network", own["identity"], own["optimal"], own["random_mean"], "")]
    rows += [
        _row(name, found.scale.identity, found.scale.optimal, found.scale.random_mean, found.status)
        for name, found in others.items()
    ]
    return Table(
        "Beside controls",
        ("of", "native order", "least", "mean of random", "random over least", "what it is"),
        tuple(rows),
        about=(
            "What was descrambled by the same criterion.",
            "The criterion without descrambling.",
            "Its least value over all rotations.",
            "Its mean over random rotations.",
            "What descrambling gains over a random basis. Controls gain as well: only a difference speaks of the network.",
            "What the control leaves out.",
        ),
    )


def _row(name: str, native: float | None, least: float | None, mean: float | None, status: str) -> tuple[Cell, ...]:
    gain = mean / least if mean is not None and least else None
    return (name, *(None if value is None else number(value) for value in (native, least, mean, gain)), status)


def _compared(result: Descrambling, others: Mapping[str, Compared]) -> Table:
    """The same for an order of the neurons, and for a large diagonal."""
    shown = TURNED if result.criterion in DIAGONAL else ORDERED
    told: dict[str, tuple[Mapping[str, Any], str]] = {"this network": (result.objective, "")}
    told |= {name: (found.objective, found.status) for name, found in others.items()}
    rows = tuple((name, *(_number(objective.get(key)) for key in shown), status) for name, (objective, status) in told.items())
    return Table(
        "Beside controls",
        ("of", *(title for title, _ in shown.values()), "what it is"),
        rows,
        about=(
            "What was descrambled by the same criterion.",
            *(said for _, said in shown.values()),
            "What the control leaves out.",
        ),
    )


def _number(value: float | None) -> Cell:
    return None if value is None else number(value)


def _scrambled(found: Scrambled) -> Note:
    said = "the result does not depend on the basis" if found.status == "ok" else found.status
    return Note(
        f"After a random rotation of the hidden space the view differs by {found.view:.2g} of its largest entry, and the value "
        f"reached by {found.objective:.2g} of itself: {said}.",
        "plain" if found.status == "ok" else "caution",
    )


def _stability(found: Stability) -> Iterator[Block]:
    """How far the leading subspaces of other samples lie from those of all."""
    yield Note(f"{found.status[:1].upper()}{found.status[1:]}.", "plain" if found.trusted else "caution")
    if not found.sizes.size:
        return
    x, middle = numbers(found.sizes), np.median(found.cosines, axis=0)
    yield Curve(
        "Stability of the leading components",
        Axis("leading components", log=True),
        Axis("smallest cosine"),
        (Series("median of draws", x, numbers(middle), low=numbers(found.low), high=numbers(found.cosines.max(axis=0))),),
        (Mark(STABLE, "holds above", "y"),),
        caption="Smallest cosine between the subspace of the leading components and that of samples drawn again. "
        "Band: from the 5 % quantile to the largest.",
    )
