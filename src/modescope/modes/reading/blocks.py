"""What a reading draws: importances with their fits and the untrained layers, removal curves, cosines, and states by depth."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from modescope.blocks import Axis, Block, Cell, Curve, Mark, Note, Numbers, Role, Section, Series, Table
from modescope.modes.reading.broken_power_law import BrokenPowerLaw
from modescope.modes.reading.latent import Overlap
from modescope.modes.reading.removal import MEANING, Removal
from modescope.modes.reading.result import Reading, ReadLayer
from modescope.modes.reading.states import Space, chosen
from modescope.pictures import number, numbers, thinned

ROWS = 64  # modes in a table
ORDERS: tuple[tuple[str, str, Role], ...] = (
    ("smallest", "smallest omega first", "data"),
    ("least increase", "least loss first", "law"),
    ("random", "at random", "null"),
    ("largest", "largest omega first", "fit"),
)
NAMED = 8  # depths in a caption
ROLES: dict[str, Role] = {"untrained": "null", "dense": "law"}  # of the networks beside this one
COLUMNS = {
    "omega": "|s| ‖a‖ ‖b‖, the norm of its term: free of the gauge.",
    "tau": "|s| with the norms of its patterns; it depends on the gauge.",
    "abs_s": "|s| alone; it depends on the gauge.",
    "first_order": "−s dL/ds, the loss without it to first order.",
    "increase": "Loss with this mode taken out, less the loss.",
}
_FIT = "Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011; the null of untrained layers is our own"


def latent(result: Reading, /) -> Iterator[Section]:
    """Compactness and overlap of classes along the depth, of all networks that were given."""
    if not result.spaces:
        return
    blocks: list[Block] = []
    states, activations = chosen(result.spaces, "states"), chosen(result.spaces, "modes")
    for what, found in (("States", states), ("Mode activations", activations)):
        if found:
            blocks += [_compact(what, found), *_overlaps(what, found)]
    if said := sorted({one.overlap for one in result.spaces if isinstance(one.overlap, str)}):
        blocks.append(Note(f"Some places have no overlap of classes: {'; '.join(said)}."))
    table = Table(
        "Places",
        ("network", "depth", "place", "what", "dimension", "participation", "overlap", "about the origin", "random"),
        tuple(_place(one) for one in result.spaces),
        about=(
            "Which network.",
            "",
            "What the states enter.",
            "",
            "Numbers in a state.",
            "Participation ratio of the covariance, 1 to the dimension; below the number of samples whatever the truth.",
            "Mean squared cosine of the principal angles of two classes, directions about the mean of each class.",
            "The same with directions about the origin, which share what all states have in common.",
            "What random subspaces have, with the 95 % interval.",
        ),
    )
    yield Section("Latent space by depth", (*blocks, table), layout="grid")


def section(layer: ReadLayer, /) -> Section:
    """Everything about one layer."""
    charts = tuple(_importance(name, law) for name, law in layer.power_laws.items() if law.status == "ok")
    removal = () if layer.removal is None else tuple(_removal(layer.removal))
    laws = [Note(f"Sorted {name}: {law.said}", source=_FIT) for name, law in layer.power_laws.items()]
    blocks: tuple[Block, ...] = (
        Section("Importance and removal", (*charts, *removal), layout="grid"),
        *laws,
        *_agreement(layer),
        *_cosines(layer),
        *_modes(layer),
    )
    return Section(
        layer.name or "the network", blocks, key=f"layer={layer.name}", folded=True, code=f"layer = result[{layer.name!r}]\n"
    )


def _importance(name: str, law: BrokenPowerLaw) -> Curve:
    places = thinned(law.values.size)
    x = numbers(places + 1)
    series = []
    if law.null is not None:
        middle = np.sqrt(law.null.low * law.null.high)
        low, high = numbers(law.null.low[places]), numbers(law.null.high[places])
        named = f"untrained, {law.null.init}: 95 % of {law.null.draws}"
        series.append(Series(named, x, numbers(middle[places]), "null", low=low, high=high))
    series.append(Series(name, x, numbers(law.values[places]), "data", "points"))
    series.append(Series("two power laws", x, numbers(law.broken()[places]), "fit"))
    marks = () if law.at is None else (Mark(float(law.at), f"break after {law.at}"),)
    slopes = "" if law.slopes is None else " and ".join(f"{one.value:.2f} ({one.low:.2f} to {one.high:.2f})" for one in law.slopes)
    bic = ", ".join(f"{model} {value:.0f}" for model, value in law.bic.items())
    caption = f"Slopes {slopes}. BIC, lower is better: {bic}."
    return Curve(f"Sorted {name}", Axis("rank", log=True), Axis(name, log=True), tuple(series), marks, caption=caption)


def _removal(one: Removal) -> Iterator[Block]:
    x = numbers(one.removed)
    hits = one.curves["random"].accuracy is not None
    series = []
    for key, name, role in ORDERS:
        if (curve := one.curves.get(key)) is None:
            continue
        y, spread = curve.loss, curve.loss_spread
        if curve.accuracy is not None and curve.accuracy_spread is not None:
            y, spread = curve.accuracy, curve.accuracy_spread
        band: tuple[Numbers, Numbers] = (numbers(y - spread), numbers(y + spread)) if curve.draws > 1 else ((), ())
        series.append(Series(name, x, numbers(y), role, low=band[0], high=band[1]))
    p = ", ".join(f"{name} first {value:.2g}" for name, value in one.p.items() if name in ("smallest", "largest"))
    draws = one.curves["random"].draws
    caption = f"s = 0 for the modes that are out, all else stays. Band: one standard deviation over {draws} random orders. p: {p}."
    yield Curve(
        "Modes taken out", Axis("modes out"), Axis("accuracy" if hits else "loss"), tuple(series), caption=f"{caption} {MEANING}"
    )


def _agreement(layer: ReadLayer) -> Iterator[Table]:
    if layer.agreement:
        rows = [(name, *(_cell(value) for value in (one.rho, one.low, one.high, one.p))) for name, one in layer.agreement.items()]
        yield Table(
            "Order of the modes against the exact increase of the loss",
            ("measure", "rho", "low", "high", "p"),
            tuple(rows),
            about=("", "Spearman's rank correlation.", "95 % interval.", "95 % interval.", "Of orders at random."),
        )


def _cosines(layer: ReadLayer) -> Iterator[Table]:
    rows = tuple(
        (side, one.size, _cell(one.mean), _cell(one.random), f"{one.low:.3g} to {one.high:.3g}")
        for side, one in layer.cosines.items()
    )
    yield Table(
        "Modes against one another",
        ("side", "numbers", "mean |cos|", "random", "95 % of random"),
        rows,
        about=(
            "Patterns of outputs, or of inputs.",
            "In a pattern.",
            "Over pairs of modes.",
            "What random directions have.",
            "Of the mean over as many random directions.",
        ),
    )


def _modes(layer: ReadLayer) -> Iterator[Table]:
    order = np.argsort(-layer.importance["omega"], kind="stable")[:ROWS]
    names = tuple(name for name in COLUMNS if name in layer.importance)
    rows = tuple(
        (int(mode), _cell(float(layer.modes.s[mode])), *(_cell(float(layer.importance[name][mode])) for name in names))
        for mode in order
    )
    more = f": the first {ROWS} of {layer.modes.count}" if layer.modes.count > ROWS else ""
    about = ("Its place in the factors, from 0.", "Signed strength.", *(COLUMNS[name] for name in names))
    yield Table(f"Modes by omega{more}", ("mode", "s", *names), rows, about=about)


def _compact(what: str, found: list[Space]) -> Curve:
    series = [
        Series(name, _depth(own), _values([one.participation for one in own]), ROLES.get(name, "data"))
        for name, own in _networks(found)
    ]
    return Curve(
        f"{what}: compactness",
        Axis("depth"),
        Axis("participation ratio"),
        tuple(series),
        caption=f"Smaller is more compact; the dimension of the layer bounds it, so compare networks at one depth. {_named(found)}",
    )


def _overlaps(what: str, found: list[Space]) -> Iterator[Curve]:
    series: list[Series] = []
    for name, own in _networks(found):
        there = [(one, one.overlap) for one in own if isinstance(one.overlap, Overlap)]
        if there:
            places = [one for one, _ in there]
            role = ROLES.get(name, "data")
            series.append(Series(name, _depth(places), _values([one.mean for _, one in there]), role))
            if len(series) == 1:
                null, low, high = (_values([getattr(one, key) for _, one in there]) for key in ("null", "low", "high"))
                series.append(Series("random subspaces", _depth(places), null, "law", "points", low=low, high=high))
    if series:
        q = next(one.overlap.q for one in found if isinstance(one.overlap, Overlap))
        caption = f"Mean over pairs of classes, {q} directions each about the mean of the class: 0 is orthogonal, 1 is the same. "
        caption += _named(found)
        yield Curve(f"{what}: overlap of classes", Axis("depth"), Axis("overlap"), tuple(series), caption=caption)


def _networks(found: list[Space]) -> Iterator[tuple[str, list[Space]]]:
    for name in dict.fromkeys(one.network for one in found):
        yield name, sorted((one for one in found if one.network == name), key=lambda one: one.depth)


def _depth(found: list[Space]) -> Numbers:
    return numbers([one.depth for one in found])


def _values(values: ArrayLike) -> Numbers:
    return numbers(values)


def _named(found: list[Space]) -> str:
    """What is at each depth, of the first network."""
    _, own = next(_networks(found))
    if len(own) > NAMED:
        return "The table below says what is at each depth."
    return f"Depth {', '.join(f'{one.depth} is {one.place}' for one in own)}."


def _place(one: Space) -> tuple[Cell, ...]:
    found, about = one.overlap, one.uncentred
    return (
        one.network,
        one.depth,
        one.place or "the network",
        one.what,
        one.dimension,
        _cell(one.participation),
        _cell(found.mean) if isinstance(found, Overlap) else None,
        _cell(about.mean) if isinstance(about, Overlap) else None,
        f"{found.null:.3g} ({found.low:.3g} to {found.high:.3g})" if isinstance(found, Overlap) else None,
    )


def _cell(value: float | None) -> Cell:
    return None if value is None else number(value)
