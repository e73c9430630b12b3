"""The comparison as blocks: an overview of the layers, and for each the numbers side by side, its change and its modes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from modescope.blocks import Axis, Block, Cell, Curve, Heatmap, Histogram, Mark, Note, Numbers, Section, Series, Table
from modescope.comparison.difference import Difference
from modescope.comparison.matching import STANDS
from modescope.comparison.result import Change, Comparison, Layer
from modescope.measures import blocks
from modescope.pictures import number, numbers, small
from modescope.reference import reference
from modescope.reports import Report
from modescope.result import COLUMNS
from modescope.svd import Values

REFERENCE = "about=numbers"  # key of the section that explains the numbers
SIDE = 64  # cells of a heat map per side
FAINT = 0.1  # overlaps below are drawn as none
STRANDS = 24  # strands that are drawn
LISTED = 12  # matches, intruders and the like that a page names one by one
HEADINGS = (
    ("layer", "Name in the first checkpoint, and the view where a tensor has several."),
    ("shape", "Outputs × inputs."),
    ("change", "Spectral norm of the difference over that of the first checkpoint."),
    ("change, Frobenius", "Frobenius norm of the difference over that of the first checkpoint."),
    ("rank of change", "Modes of the difference above the rounding of the stored weights."),
    ("above noise", "Modes of the difference that stand above its noise edge, or above rounding where there is no other noise."),
    ("intruders", "Leading modes of the last checkpoint that resemble no mode of the first."),
    (
        "kept",
        f"Modes among the first ones looked at that are found again up to the last checkpoint, by cosines of {STANDS:g} or more.",
    ),
    ("births", "Strands that begin after the first checkpoint."),
    ("deaths", "Strands that end before the last checkpoint."),
    ("crossings", "Pairs of strands that change places."),
    ("note", "What a reader of the numbers must know beside them."),
)
PICTURE = "Singular values of the difference, the largest first, on a logarithmic scale."
_BG = "Björck & Golub (1973), doi:10.1090/S0025-5718-1973-0348991-3"
_INTRUDERS = "Shuttleworth et al. (2024), arXiv:2410.21228"
_WEDIN = "Wedin (1972), doi:10.1007/BF01932678"
_HAAR = "squared cosine of random directions: Beta(1/2, (n - 1) / 2)"


def report(comparison: Comparison) -> Report:
    """The page of a comparison, `Comparison.report`."""
    code = _code(comparison)
    keys = tuple(f"layer={layer.label}" for layer in comparison.layers)
    overview = Table(
        "",
        tuple(heading for heading, _ in HEADINGS),
        tuple(map(_line, comparison.layers)),
        about=tuple(about for _, about in HEADINGS),
        links=keys,
        pictures=tuple(small(_spectrum(layer.change)) for layer in comparison.layers),
        picture=PICTURE,
    )
    sections = (_section(comparison, layer, key, code) for layer, key in zip(comparison.layers, keys, strict=True))
    return Report(
        (overview, *_notes(comparison), _checkpoints(comparison), *_unpaired(comparison), *sections, _reference()),
        comparison.to_dict(),
        "layers",
        title=_title(_names(comparison)),
        code=f'{code}\ncomparison.report().save("compare.html")\n',
    )


def _reference() -> Section:
    """What every number means, once for all layers."""
    tables = tuple(block for block in reference().blocks if isinstance(block, Table))
    return Section("Reference of the numbers", tables, REFERENCE, folded=True)


def _spectrum(change: Change) -> Values:
    return np.empty(0) if change.difference is None else change.difference.s


def _names(comparison: Comparison) -> list[str]:
    """What the checkpoints are called: their file names, with the folder where those are the same."""
    paths = [None if checkpoint["path"] is None else Path(checkpoint["path"]) for checkpoint in comparison.checkpoints]
    short = [path.name if path is not None else "a live model" for path in paths]
    if len(set(short)) < len(short):
        short = [f"{path.parent.name}/{path.name}" if path is not None else "a live model" for path in paths]
    return short


def _title(names: list[str]) -> str:
    return " → ".join(names if len(names) == 2 else [names[0], "…", names[-1]])


def _code(comparison: Comparison) -> str:
    sources = [
        f"model_{number}" if checkpoint["path"] is None else repr(checkpoint["path"])
        for number, checkpoint in enumerate(comparison.checkpoints)
    ]
    said = comparison.options
    options = f"level={said['level']!r}, seed={said['seed']!r}, modes={said['modes']!r}"
    return f"import modescope as ms\n\ncomparison = ms.compare({', '.join(sources)}, {options})"


def _checkpoints(comparison: Comparison) -> Table:
    return Table(
        "Checkpoints",
        ("checkpoint", "source", "format", "tensors", "parameters"),
        tuple(
            (str(index), name, checkpoint["format"], checkpoint["tensors"], checkpoint["parameters"])
            for index, (name, checkpoint) in enumerate(zip(_names(comparison), comparison.checkpoints, strict=True))
        ),
    )


def _line(layer: Layer) -> tuple[Cell, ...]:
    change = layer.change
    d, matching = change.difference, change.matching
    whole = len(layer.steps) > 1  # then strands say more than the one step from the first to the last
    last = len(layer.rows)
    kept: int | None = None
    if layer.strands and whole:
        kept = sum(strand.start == 0 and strand.stop == last and min(strand.overlaps) >= STANDS for strand in layer.strands)
    elif matching is not None:
        kept = sum(match.kept for match in matching.matches)
    followed = bool(layer.strands)
    return (
        layer.label,
        "×".join(map(str, layer.rows[0].shape)),
        None if d is None else _shown(d.relative_spectral),
        None if d is None else _shown(d.relative_frobenius),
        None if d is None else d.rank,
        None if d is None else d.outliers,
        None if change.intruders is None else len(change.intruders.found),
        kept,
        layer.births if followed else None,
        layer.deaths if followed else None,
        len(layer.crossings) if followed else None,
        "; ".join(_remarks(layer)),
    )


def _remarks(layer: Layer) -> Iterator[str]:
    if layer.status != "ok":
        yield layer.status
    change = layer.change
    if change.status == "identical":
        yield "identical"
    elif change.difference is not None:
        d = change.difference
        if d.retyped:
            yield d.outliers_by
        elif d.outliers is None:
            yield f"modes above noise: {d.outliers_by}"
        elif _misfit(d):
            yield f"the noise of the change is {d.measures['bulk'].fit}"
    if change.note:
        yield change.note
    if layer.strands and _hidden(layer):
        yield "spaces so small that no match can be told from chance: no births, no deaths"


def _misfit(d: Difference) -> bool:
    bulk = d.measures["bulk"]
    return bulk.fit_ratio is not None and bulk.fit_ratio > 1


def _hidden(layer: Layer) -> bool:
    """No overlap is rare enough for a match, and some modes are without one."""
    found = [step.matching for step in layer.steps if step.matching is not None]
    return any(not np.isfinite(matching.threshold) and (matching.lost or matching.born) for matching in found)


def _notes(comparison: Comparison) -> Iterator[Note]:
    counts = comparison.summary()
    layers = "1 layer" if counts["layers"] == 1 else f"{counts['layers']} layers"
    text = f"{layers}, {counts['identical']} identical, {counts['failed']} failed; {counts['unpaired']} matrices not compared"
    yield Note(text + ("." if comparison.complete else "; interrupted before the rest."))
    first = len(comparison.checkpoints) - 1
    yield Note(
        f"Numbers of a change are those from checkpoint 0 to checkpoint {first}"
        + ("; births, deaths, crossings and kept modes are those of the strands through all checkpoints." if first > 1 else ".")
        + f" Modes are counted from 0, and the first {comparison.options['modes']} are looked at. A match is an overlap that "
        f"random directions, on one side or on both, would show in no change of the network but with probability "
        f"{comparison.options['level']:g}, approximately so for groups of modes.",
        source=_HAAR,
    )
    for index, (before, after) in enumerate(comparison.renamed, 1):
        if before or after:
            yield Note(
                f"Names of checkpoint {index} that were in no other were paired without a prefix: {before!r} of checkpoint 0, "
                f"{after!r} of its own.",
                level="caution",
            )


def _unpaired(comparison: Comparison) -> Iterator[Table]:
    if comparison.unpaired:
        yield Table(
            "Not compared",
            ("matrix", "view", "reason"),
            tuple((item.name, item.view, item.reason) for item in comparison.unpaired),
        )


def _section(comparison: Comparison, layer: Layer, key: str, code: str) -> Section:
    """One layer: its numbers side by side, what the change wrote, and what became of its modes."""
    row = layer.rows[0]
    said: list[Block] = [Note(f"{row.kind}, {row.shape[0]} outputs × {row.shape[1]} inputs, stored as {_dtypes(layer)}.")]
    if layer.status != "ok":
        said.append(Note(f"Not all numbers: {layer.status.rstrip('.')}.", level="error"))
    change = layer.change
    if change.difference is not None:
        said += _change(change, change.difference)
    if change.note:
        said.append(Note(f"{change.note[0].upper()}{change.note[1:].rstrip('.')}.", level="caution"))
    said += _modes(layer, comparison)
    drawings = tuple(_drawings(layer))
    return Section(
        layer.label,
        (
            *said,
            *([Section("Pictures", drawings, layout="grid")] if drawings else []),
            _side_by_side(layer),
            *_matches(change),
        ),
        key,
        folded=True,
        code=f"{code}\nlayer = comparison[{f'{layer.name} {layer.view}'!r}]\nlayer.change.difference.s, layer.strands\n",
    )


def _dtypes(layer: Layer) -> str:
    return ", ".join(dict.fromkeys(row.dtype for row in layer.rows))


def _change(change: Change, d: Difference) -> Iterator[Note]:
    """What the difference of the weights says."""
    if change.status == "identical":
        yield Note("The weights are identical in the first and the last checkpoint.")
        return
    if d.relative_spectral is not None and d.relative_frobenius is not None:
        yield Note(
            f"From checkpoint {change.start} to checkpoint {change.stop} the weights change by {d.relative_spectral:.2g} of their "
            f"spectral norm and {d.relative_frobenius:.2g} of their Frobenius norm."
        )
    if d.retyped:
        yield Note(f"{d.outliers_by[0].upper()}{d.outliers_by[1:]}. No mode of the change carries anything else.")
        return
    yield Note(
        f"{d.rank} of {d.s.size} modes of the change exceed {d.rounding:.2g}, about what independent rounding to the stored type "
        f"adds to it (standard deviation of an entry about {d.rounding_sigma:.1g}); the others cannot be told from such rounding.",
        source="Bandeira & van Handel (2016), doi:10.1214/15-AOP1025",
    )
    if d.outliers is None:
        yield Note(f"How many of them stand above noise cannot be told: {d.outliers_by}.", level="caution")
    else:
        modes = "1 mode stands" if d.outliers == 1 else f"{d.outliers} modes stand"
        by_law = d.measures["bulk"].outliers is not None
        yield Note(
            f"Of the change, {modes} {d.outliers_by}."
            + (
                " Noise here is the Marchenko-Pastur law; a change spread over many directions counts as noise, too."
                if by_law
                else ""
            )
            + (f" The noise of the change is {d.measures['bulk'].fit}." if _misfit(d) else ""),
            "caution" if _misfit(d) else "plain",
            "Benaych-Georges & Nadakuditi (2012), doi:10.1016/j.jmva.2012.04.019" if by_law else "",
        )
    if change.inside is not None:
        i = change.inside
        yield Note(
            f"Of the energy of the first {i.modes} modes of the change, {i.left.share:.0%} of the output side lies in the space of "
            f"the first {i.k} modes before it (random directions: {i.left.expected:.0%}, rarely above {i.left.high:.0%}), and "
            f"{i.right.share:.0%} of the input side (random: {i.right.expected:.0%}, rarely above {i.right.high:.0%}).",
            source=_BG,
        )


def _modes(layer: Layer, comparison: Comparison) -> Iterator[Note]:
    """What became of the modes."""
    found, matching = layer.change.intruders, layer.change.matching
    if found is not None:
        listed = ", ".join(f"{x.mode} ({x.cosine:.2f})" for x in found.found[:LISTED])
        more = f" and {len(found.found) - LISTED} more" if len(found.found) > LISTED else ""
        yield Note(
            f"{len(found.found)} of the first {found.looked} modes after the change are intruders: the largest |cosine| of their "
            f"output direction with that of any mode before it is below {found.epsilon:g}"
            + (f": modes {listed}{more}." if listed else ".")
            + f" For a random direction it stays below {found.null:.2g} 99 times in a hundred.",
            "plain" if found.status == "ok" else "caution",
            _INTRUDERS,
        )
        if found.status != "ok":
            yield Note(f"{found.status[0].upper()}{found.status[1:]}.", level="caution", source=_INTRUDERS)
    if matching is not None and any(len(match.before) > 1 or len(match.after) > 1 for match in matching.matches):
        grouped = sum(len(match.before) for match in matching.matches if len(match.before) > 1 or len(match.after) > 1)
        yield Note(
            f"{grouped} modes were compared as subspaces, since the change may have mixed them: by the cosines that are left when "
            "the one basis is turned onto the other. Which of them is which means nothing.",
            level="caution",
            source=_WEDIN,
        )
    if layer.strands and len(layer.steps) > 1:
        whole = sum(strand.start == 0 and strand.stop == len(layer.rows) for strand in layer.strands)
        left = sum(strand.end == "left" for strand in layer.strands)
        mixed = sum(strand.end == "unclear" for strand in layer.strands)
        yield Note(
            f"{whole} strands run through all checkpoints; {layer.births} are born, {layer.deaths} die, {left} leave the first "
            f"{comparison.options['modes']} modes, {mixed} go on mixed with others or cannot be told, "
            f"and {len(layer.crossings)} pairs change places."
        )


def _drawings(layer: Layer) -> Iterator[Block]:
    change = layer.change
    d = change.difference
    if d is not None and not d.identical:
        drawn = [block for block in blocks("bulk", d, d.measures["bulk"]) if isinstance(block, Histogram | Curve)]
        yield from (_renamed(block) for block in drawn[:1])
    if change.angles:
        yield _angles(change)
    if change.matching is not None:
        yield _heatmap(change, change.matching.overlaps)
    if layer.strands:
        yield _strands(layer)


def _renamed(block: Histogram | Curve) -> Histogram | Curve:
    """The drawing of a measure under a title that says it is the change that is drawn."""
    return replace(block, title=f"The change: {block.title[0].lower()}{block.title[1:]}")


def _angles(change: Change) -> Curve:
    """Overlap of leading subspaces over their size, beside what random ones show."""
    k = numbers([angles.k for angles in change.angles])
    series = []
    for name in ("left", "right"):
        side = "output" if name == "left" else "input"
        found = [getattr(angles, name) for angles in change.angles]
        expected = numbers([overlap.expected for overlap in found])
        series.append(
            Series(
                f"random, {side}",
                k,
                expected,
                "null",
                low=expected,
                high=numbers([min(overlap.high, 1.0) for overlap in found]),
            )
        )
        series.append(Series(f"{side} directions", k, numbers([overlap.share for overlap in found])))
    return Curve(
        "Leading subspaces before and after",
        Axis("modes in the subspace", log=True),
        Axis("mean squared cosine"),
        tuple(series),
        caption="1: the same subspace. Bands: mean of random subspaces, and what they exceed once in a hundred.",
    )


def _heatmap(change: Change, overlaps: Values) -> Heatmap:
    """Signed overlaps of modes before and after; larger windows by the largest of each cell."""
    values, ends = _binned(overlaps), overlaps.shape
    return Heatmap(
        "Modes before and after",
        Axis(f"mode in checkpoint {change.stop}"),
        Axis(f"mode in checkpoint {change.start}"),
        tuple(tuple(round(float(value), 2) if abs(value) >= FAINT else 0 for value in row) for row in values),
        (-0.5, ends[1] - 0.5),
        (-0.5, ends[0] - 0.5),
        value="overlap",
        centred=True,
        caption=f"Root of the product of both cosines, from {FAINT:g} on; negative where a gain has turned round."
        + (" Each cell is the largest of several." if values.shape != overlaps.shape else ""),
    )


def _binned(overlaps: Values) -> Values:
    for axis in (0, 1):
        size = overlaps.shape[axis]
        if size > SIDE:
            starts = np.linspace(0, size, SIDE, endpoint=False).astype(np.int64)
            high, low = (reduce.reduceat(overlaps, starts, axis=axis) for reduce in (np.maximum, np.minimum))
            overlaps = np.where(high >= -low, high, low)
    return overlaps


def _strands(layer: Layer) -> Curve:
    """Singular values along the strands; the strongest ones."""
    order = sorted(range(len(layer.strands)), key=lambda i: (-max(layer.strands[i].values), i))[:STRANDS]
    series = []
    for i in sorted(order):
        strand = layer.strands[i]
        x: Numbers = tuple(float(at) for at in range(strand.start, strand.stop))
        series.append(Series(f"strand {i}", x, numbers(strand.values), drawn="line" if len(x) > 1 else "points"))
    marks = sorted({crossing.step for crossing in layer.crossings})
    hidden = len(layer.strands) - len(series)
    return Curve(
        "Modes through the checkpoints",
        Axis("checkpoint"),
        Axis("singular value", log=True),
        tuple(series),
        tuple(Mark(step + 0.5, "crossing") for step in marks),
        "Inside a group of near-degenerate modes the order of the values is followed, not a direction."
        + (f" The {len(series)} strongest of {len(layer.strands)} strands." if hidden else ""),
    )


def _side_by_side(layer: Layer) -> Table:
    """The numbers of every checkpoint, and those of the change."""
    d = layer.change.difference
    rows = []
    for _, measure, name in COLUMNS:
        results = [row.measures.get(measure) for row in layer.rows] + [None if d is None else d.measures[measure]]
        rows.append((f"{measure}.{name}", *(None if r is None else _shown(getattr(r, name)) for r in results)))
    columns = tuple(f"checkpoint {number}" for number in range(len(layer.rows)))
    return Table("Numbers side by side", ("number", *columns, "of the change"), tuple(rows), links=(REFERENCE,) * len(rows))


def _matches(change: Change) -> Iterator[Table]:
    """The first matches one by one."""
    if change.matching is None:
        return
    found = change.matching.matches
    yield Table(
        "Matched modes" + (f": the first {LISTED} of {len(found)}" if len(found) > LISTED else ""),
        ("before", "after", "overlap", "cosine, output", "cosine, input", "p", "note"),
        tuple(
            (
                _places(match.before),
                _places(match.after),
                number(match.overlap),
                number(match.left),
                number(match.right),
                number(match.corrected),
                "; ".join(
                    [
                        *([f"a subspace, least joint cosine {match.cosines[-1]:.2g}"] if match.cosines else []),
                        *(["a part may lie beyond the modes looked at"] if match.cut else []),
                    ]
                ),
            )
            for match in found[:LISTED]
        ),
        about=(
            "Places before the change, counted from 0.",
            "Places after it.",
            "Root of the product of both cosines; of subspaces the root mean square of the joint principal cosines.",
            "Cosine of the output directions; of subspaces the root mean square.",
            "The same of the input directions.",
            "Probability that the best of all pairs agrees as well where the directions of either side, or of both, are random.",
            "What is compared.",
        ),
    )


def _places(modes: tuple[int, ...]) -> str:
    """Places as ranges: "3", "0-4, 7"."""
    parts: list[list[int]] = []
    for mode in modes:
        if parts and parts[-1][1] == mode - 1:
            parts[-1][1] = mode
        else:
            parts.append([mode, mode])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _shown(value: float | int | None) -> Cell:
    return number(value) if isinstance(value, float) else value
