"""One layer as a section: its modes, what drives each, what classes do with them, and what is left without them."""

from collections.abc import Iterator

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Mark, Note, Section, Series, Table
from modescope.pictures import VISIBLE, number, numbers, thinned
from modescope.profiles import class_blocks, drawn, truncation_blocks, validation_blocks
from modescope.profiles.document import energies, used, verdicts
from modescope.profiles.result import NetworkProfile, ProfiledLayer

ROWS = 64  # modes in a table
CLASSES = 2  # that are named at each end of a mode


def section(result: NetworkProfile, layer: ProfiledLayer, most: int, code: str, /) -> Section:
    """Everything about one layer; pictures have at most `most` pixels a side."""
    names = result.source.get("classes", ())
    blocks: list[Block] = [Note(_said(layer)), *_cautions(layer)]
    aggregate = str(result.options.get("aggregate", "mean"))
    shown = sorted({mode for site, mode, _ in result.crops.shots if site == layer.site})
    for mode in shown:
        pictures = (*drawn.made(layer, mode, most, aggregate), *drawn.exemplars(result, layer.site, mode, most))
        blocks.append(Section(f"Mode {mode}", (*pictures, *class_blocks.distribution(result, layer, mode)), layout="grid"))
    if isinstance(layer.features, str):
        blocks.append(Note(f"No images were made that drive these modes: {layer.features}."))
    if shown:
        scaled = "; images that were made are scaled from their smallest to their largest number"
        blocks.append(Note(f"Pictures: {result.crops.note}{'' if isinstance(layer.features, str) else scaled}."))
    blocks.append(_modes(result, layer))
    charts = (*class_blocks.means(layer, names), *truncation_blocks.alone(result.truncation, layer.basis.layer), *_spectrum(layer))
    blocks += [
        Section("Classes, truncation and spectrum" if len(charts) > 1 else "Spectrum", charts, layout="grid"),
        Section("The weight itself", (*validation_blocks.validated(layer), *validation_blocks.operator(layer.operator))),
    ]
    lines = f"{code}\nlayer = result[{layer.site!r}]\n"
    return Section(layer.site, tuple(blocks), key=f"layer={layer.site}", folded=True, code=lines)


def outliers(layer: ProfiledLayer, /) -> int | None:
    """Modes that noise does not explain, or None where there is no verdict for any."""
    found = verdicts(layer)
    return None if all(one is None for one in found) else sum(one is True for one in found)


def ratio(layer: ProfiledLayer, /) -> float | None:
    """Largest eigenvalue over the edge of noise, of the group where that is most."""
    found = [one.trained.ratio for one in layer.validation if one.trained is not None]
    return max(found) if found else None


def followed(layer: ProfiledLayer, /) -> str:
    """How many modes are followed, and by which rule."""
    kept = layer.kept
    if kept.modes.size == layer.basis.s.size:
        return f"all {kept.modes.size}"
    amount = "" if kept.amount is None else f" {kept.amount:g}"
    return f"{kept.modes.size} of {layer.basis.s.size} by {kept.rule}{amount}"


def _said(layer: ProfiledLayer) -> str:
    basis = layer.basis
    reads = "×".join(map(str, basis.kernel))
    groups = f", {basis.groups} groups" if basis.groups > 1 else ""
    positions = f" at {'×'.join(map(str, layer.output[1:]))} positions" if layer.output[1:] else ""
    folded = f" The batch norm {basis.norm} is multiplied in." if basis.norm else ""
    return (
        f"{basis.kind}, {basis.channels} outputs{positions}, each of {reads} inputs{groups}. "
        f"Modes followed: {followed(layer)}.{folded}"
    )


def _cautions(layer: ProfiledLayer) -> Iterator[Note]:
    if layer.kept.note:
        yield Note(f"{layer.kept.note[:1].upper()}{layer.kept.note[1:]}.", "caution")
    if layer.basis.ties:
        groups = ", ".join(f"{start} to {stop - 1}" for start, stop in layer.basis.ties[:8])
        yield Note(f"Equal singular values: modes {groups}. Inside such a group single modes mean nothing.", "caution")
    if layer.membership is not None and layer.membership.note:
        yield Note(layer.membership.note, "caution")


def _modes(result: NetworkProfile, layer: ProfiledLayer) -> Table:
    share, outlier, usage = energies(layer), verdicts(layer), used(result, layer)
    labelled = layer.membership is not None
    ends = ("highest classes", "lowest classes") if labelled else ()
    rows = []
    for mode in layer.kept.modes[:ROWS].tolist():
        verdict = outlier[mode]
        row: list[Cell] = [
            mode,
            number(float(layer.basis.s[mode])),
            number(float(share[mode])),
            None if verdict is None else ("yes" if verdict else "no"),
            number(float(usage[mode])),
        ]
        rows.append((*row, *_ends(result, layer, mode)))
    more = f": the first {ROWS} of {layer.kept.modes.size}" if layer.kept.modes.size > ROWS else ""
    return Table(
        f"Modes{more}",
        ("mode", "singular value", "share of squares", "more than noise", "matters for", *ends),
        tuple(rows),
        about=(
            "Counted from 0, the largest singular value.",
            "Of the unfolded weight.",
            "Square over the sum of all squares of the layer.",
            "By the test of the bulk; empty where that has no verdict, as with fewer than 16 values.",
            "Share of the images for which it is among the fewest modes that carry the share asked for of their signal.",
            *("Classes with the largest mean signal.", "Classes with the smallest, which may be negative.")[: len(ends)],
        ),
    )


def _ends(result: NetworkProfile, layer: ProfiledLayer, mode: int) -> tuple[Cell, ...]:
    """Classes at both ends of a mode, with their means in common units."""
    if layer.membership is None or layer.statistics is None:
        return ()
    names = result.source.get("classes", ())
    column = layer.membership.profile[:, int(np.searchsorted(layer.statistics.modes, mode))]
    there = np.flatnonzero(layer.membership.counts > 0)
    order = there[np.argsort(-column[there], kind="stable")].tolist()
    count = min(CLASSES, len(order) // 2) or 1
    return tuple(", ".join(f"{names[c]} ({column[c]:+.2f})" for c in part) for part in (order[:count], order[::-1][:count]))


def _spectrum(layer: ProfiledLayer) -> Iterator[Curve]:
    s = layer.basis.s
    if not s.size or not s[0] > 0:
        return
    s = s[s > VISIBLE * s[0]]
    at = thinned(s.size)
    marks = [
        Mark(number(float(np.sqrt(one.bulk.edge_upper))) or 0, "edge of noise", "y")
        for one in layer.validation
        if len(layer.validation) == 1 and not layer.basis.norm and one.bulk is not None and one.bulk.edge_upper is not None
    ]
    yield Curve(
        "Singular values",
        Axis("mode"),
        Axis("singular value", log=True),
        (Series("unfolded weight", numbers(at), numbers(s[at]), drawn="points"),),
        tuple(marks),
        caption="Of the unfolded weight: energies of combinations of filters, and not gains of the convolution.",
    )
