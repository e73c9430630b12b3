"""The weight of a layer beside matrices that have learnt nothing, and its operator beside its unfolding, as tables."""

from collections.abc import Iterator, Mapping

from modescope.blocks import Block, Cell, Note, Table
from modescope.pictures import number
from modescope.profiles.operator_norms import OperatorNorm
from modescope.profiles.result import ProfiledLayer
from modescope.profiles.validation import MEANINGS, Count, Range, Validation

NAMES = {
    "above_edge": "above the edge",
    "above_margin": "above 1.1 × edge",
    "above_tracy_widom": "above Tracy-Widom 99 %",
    "ratio": "largest / edge",
    "distance": "distance to the law",
    "stable_rank": "stable rank",
    "effective_rank": "effective rank",
}
GROUPS = 8  # that are told one by one
OPERATOR = {
    "unfolding": "Largest singular value of the unfolded weight, which acts on single patches.",
    "norm": "Largest gain of the convolution on whole images, padded in a circle.",
    "lower": "What the norm cannot be below.",
    "upper": "What it cannot exceed: the unfolding times the root of the patches that share a position.",
    "four_way": "What it cannot exceed by the best of four ways to unfold.",
    "zero_padded": "What it cannot exceed with zeros around the image.",
}
_MP = "Marchenko & Pastur (1967), doi:10.1070/SM1967v001n04ABEH001994"
_SEDGHI = "Sedghi, Gupta & Long (2019), arXiv:1805.10408; Singla & Feizi (2021), arXiv:1911.10258"


def validated(layer: ProfiledLayer, /) -> Iterator[Block]:
    """The spectrum beside its start, shuffled entries and Gaussian ones."""
    for one in layer.validation[:GROUPS]:
        if one.trained is None:
            yield Note(f"No comparison with noise: {one.status}.", "caution")
            continue
        if one.status != "ok":
            yield Note(f"Compared with noise {one.status}.", "caution")
        yield _table(one)
        yield Note(_verdict(one), source=_MP)
    if len(layer.validation) > GROUPS:
        yield Note(f"{GROUPS} groups of {len(layer.validation)} are shown; the document has all.")


def operator(one: OperatorNorm | None, /) -> Iterator[Block]:
    """Norm and bounds of a convolution as an operator."""
    if one is None:
        return
    rows = [(name.replace("_", " "), _cell(getattr(one, name)), said) for name, said in OPERATOR.items()]
    yield Table("Operator and unfolding", ("number", "value", "meaning"), tuple(row for row in rows if row[1] is not None))
    said = f"{one.statement[:1].upper()}{one.statement[1:]}."
    yield Note(said if one.holds else f"{said} A bound is broken, which is a fault: please report it.", source=_SEDGHI)


def _table(one: Validation) -> Table:
    group = "" if one.group is None else f", group {one.group}"
    drawn = f"range over {one.draws}, mean in brackets"
    rows = [_row("this weight", one.trained), _row(f"start: {one.start_from}", one.start)]
    rows += [_ranges(f"entries in random places: {drawn}", one.permuted), _ranges(f"Gaussian entries: {drawn}", one.gaussian)]
    return Table(
        f"Beside noise{group}",
        ("of", *NAMES.values()),
        tuple(rows),
        about=("The weight, or what it is compared with.", *(MEANINGS[name] for name in NAMES)),
    )


def _row(name: str, found: Count | None) -> tuple[Cell, ...]:
    if found is None:
        return (name, *(None for _ in NAMES))
    return (name, *(_cell(getattr(found, key)) for key in NAMES))


def _ranges(name: str, found: Mapping[str, Range] | None) -> tuple[Cell, ...]:
    if found is None:
        return (name, *(None for _ in NAMES))
    return (name, *(f"{found[key].low:.3g} to {found[key].high:.3g} ({found[key].mean:.3g})" for key in NAMES))


def _verdict(one: Validation) -> str:
    """The number that a test stands behind, and the p-value of the other."""
    said = []
    if one.bulk is not None and one.bulk.outliers is not None:
        count = one.bulk.outliers
        said.append(f"{count} {'mode is' if count == 1 else 'modes are'} more than noise. {MEANINGS['bulk']}")
    elif one.bulk is not None:
        said.append(f"No verdict on single modes: {one.bulk.status}.")
    if one.p is not None:
        said.append(f"Largest over edge: p = {one.p:.3g}. {MEANINGS['p']}")
    return " ".join(said)


def _cell(value: float | None) -> Cell:
    return None if value is None else number(float(value))
