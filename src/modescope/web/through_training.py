"""How the numbers of a run moved: chosen measures of every matrix over the steps of training."""

from collections.abc import Container, Iterable, Mapping

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

    Every picture has the same matrices in the same order, so that a matrix looks alike in all of them: one without a number has
    no value there. Where a network has more than can be told apart, those that moved most are drawn, and the caption says so.

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
    shares = _shares(lines)
    kept = set(sorted(shares, key=lambda label: -shares[label])[:LINES])
    caption = f" The {LINES} of {len(shares)} matrices that moved most in one of the pictures." if len(shares) > LINES else ""
    curves = tuple(_curve(*chosen, found, kept, caption) for chosen, found in zip(CHOSEN, lines, strict=True))
    drawn = tuple(curve for curve in curves if any(value is not None for series in curve.series for value in series.y))
    return (Section("Through training", drawn, "view=training", layout="grid"),) if drawn else ()


def _shares(pictures: Iterable[Mapping[str, Line]]) -> dict[str, float]:
    """How far every matrix with a number moved beside the one that moved most, in the picture where that is most."""
    shares: dict[str, float] = {}
    for lines in pictures:
        moved = {label: by for label, line in lines.items() if (by := _moved(line)) is not None}
        most = max(moved.values(), default=0.0)
        for label, by in moved.items():
            shares[label] = max(shares.get(label, 0.0), by / most if most else 0.0)
    return shares


def _curve(measure: str, name: str, title: str, lines: Mapping[str, Line], kept: Container[str], caption: str) -> Curve:
    series = tuple(_series(label, line) for label, line in lines.items() if label in kept)
    told = quantities(measures()[measure].Result)[name]
    return Curve(title, Axis("step"), Axis(f"{title.lower()} ({told.unit})"), series, caption=told.meaning + caption)


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
