"""How the numbers of a run moved: chosen measures of every matrix over the steps of training."""

from collections.abc import Iterable, Mapping

from modescope.blocks import Axis, Curve, Section, Series
from modescope.measures import measures
from modescope.quantity import quantities
from modescope.store import Store

CHOSEN = (
    ("bulk", "outliers", "Signal modes"),
    ("norms", "spectral", "Norm"),
    ("rank", "stable", "Stable rank"),
    ("tail", "alpha", "Alpha"),
)
STEPS = 200  # drawn of a run
LINES = 12  # drawn in one picture

Line = Mapping[int, float | None]


def through_training(store: Store, run: str, /) -> tuple[Section, ...]:
    """A section with one picture per measure and one line per matrix; none where no step has a number.

    Where a network has more matrices than can be told apart, those that moved most are drawn, and the caption says so.

    Raises:
        UsageError: The store has no such numbers.
    """
    names = ", ".join(f'"{measure}.{name}"' for measure, name, _ in CHOSEN)
    told = run.replace("'", "''")
    answer = store.query(
        f"SELECT step, name, view, {names} FROM rows WHERE run = '{told}' AND step IS NOT NULL ORDER BY name, view, step"
    )
    lines: list[dict[str, dict[int, float | None]]] = [{} for _ in CHOSEN]
    several = _several((name, view) for _, name, view, *_ in answer.rows)
    for step, name, view, *values in answer.rows:
        label = f"{name} {view}" if name in several else str(name)
        for found, value in zip(lines, values, strict=True):
            found.setdefault(label, {})[int(step)] = value
    curves = tuple(_curve(*chosen, found) for chosen, found in zip(CHOSEN, lines, strict=True))
    drawn = tuple(curve for curve in curves if curve.series)
    return (Section("Through training", drawn, "view=training", layout="grid"),) if drawn else ()


def _curve(measure: str, name: str, title: str, lines: Mapping[str, Line]) -> Curve:
    moved = {label: _moved(line) for label, line in lines.items()}
    moving = sorted((label for label, by in moved.items() if by is not None), key=lambda label: -(moved[label] or 0.0))
    kept = set(moving[:LINES])
    series = tuple(_series(label, line) for label, line in lines.items() if label in kept)
    told = quantities(measures()[measure].Result)[name]
    caption = told.meaning
    if len(moving) > LINES:
        caption += f" The {LINES} of {len(moving)} matrices that moved most."
    return Curve(title, Axis("step"), Axis(f"{title.lower()} ({told.unit})"), series, caption=caption)


def _series(label: str, line: Line) -> Series:
    steps = sorted(line)
    if len(steps) > STEPS:
        steps = [steps[round(index * (len(steps) - 1) / (STEPS - 1))] for index in range(STEPS)]
    return Series(label, tuple(float(step) for step in steps), tuple(line[step] for step in steps))


def _moved(line: Line) -> float | None:
    """How far a line reaches from its lowest to its highest value; None where it has none."""
    values = [value for value in line.values() if value is not None]
    return max(values) - min(values) if values else None


def _several(found: Iterable[tuple[str, str]]) -> set[str]:
    """Names with more than one view."""
    pairs = set(found)
    names = [name for name, _ in pairs]
    return {name for name in names if names.count(name) > 1}
