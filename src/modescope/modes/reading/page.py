"""A network in modes that was read, as blocks: cautions, an overview of its layers, its latent space, a section for each layer."""

from collections.abc import Iterator, Sequence

import numpy as np

from modescope.blocks import Block, Cell, Note, Section, Table
from modescope.modes.reading import blocks as reading_blocks
from modescope.modes.reading.broken_power_law import ALPHA
from modescope.modes.reading.document import document
from modescope.modes.reading.result import Reading, ReadLayer
from modescope.pictures import number, small
from modescope.reports import Report

LISTED = 200  # rows of what is left out
NAMED = 6  # layers in a sentence
HEADINGS = (
    ("layer", "Name of the layer."),
    ("shape", "Outputs × inputs of the weight, kernels flattened."),
    ("modes", "p, the number of modes."),
    ("effective", "n_eff = (sum omega)^2 / sum omega^2: modes that carry the layer, 1 to p."),
    ("stable rank", "Squared Frobenius over squared spectral norm of the weight, at most its rank."),
    ("rank", "Of the weight, at most p and the shorter side."),
    ("parameters", "Of its modes, without the bias."),
    ("of dense", "Parameters over those of the dense layer; above 1 nothing is saved."),
    ("sorted importance", "Verdict on sorted omega: two power laws with a break, one, an exponential, or undecided."),
)
MEASURED = (
    ("can go", "Modes, the smallest omega first, that this layer alone can lose within a point of accuracy, of the numbers tried."),
    ("rho", "Spearman's correlation of omega with the exact increase of the loss when a mode is taken out alone."),
    ("p smallest", "Share of random orders that leave as much as omega's smallest first, over 30 % to 70 % removed."),
    ("p largest", "Share of random orders that leave as little as omega's largest first, likewise."),
)
PICTURE = "Importance omega of the modes, the largest first, on a logarithmic scale."
_PAPER = "Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011"


def report(result: Reading, /) -> Report:
    """The page of a reading, `Reading.report`."""
    headings = HEADINGS + (MEASURED if result.samples else ())
    overview = Table(
        "",
        tuple(heading for heading, _ in headings),
        tuple(_line(layer)[: len(headings)] for layer in result.layers),
        about=tuple(about for _, about in headings),
        links=tuple(f"layer={layer.name}" for layer in result.layers),
        pictures=tuple(small(np.sort(layer.importance["omega"])[::-1]) for layer in result.layers),
        picture=PICTURE,
    )
    return Report(
        (
            *_notes(result),
            overview,
            *reading_blocks.latent(result),
            *_left_out(result),
            *(reading_blocks.section(layer) for layer in result.layers),
        ),
        document(result),
        "reading",
        title=f"{result.source.get('model', 'A network')}, read in modes",
        code=_code(result),
    )


def _notes(result: Reading) -> Iterator[Note]:
    count = len(result.layers)
    said = f"{count} {'layer' if count == 1 else 'layers'} in modes, W = xi_out diag(s) xi_in."
    if result.samples:
        right = "" if result.accuracy is None else f"; it is right on {result.accuracy:.1%} of them"
        said += f" The loss on {result.samples:,} samples is {result.loss:.4g}{right}."
    else:
        said += " No data were given: this is what the factors say by themselves, not what the modes do."
    yield Note(said, source=_PAPER)
    if count:
        yield Note(_costs(result.layers))
    if judged := [layer for layer in result.layers if layer.removal is not None and layer.removal.spare is not None]:
        yield Note(_spared(judged))
        yield _sure(judged)
    yield from (Note(text, "caution") for text in result.cautions)


def _costs(layers: Sequence[ReadLayer]) -> str:
    own = sum(layer.cost.factored(layer.modes.count) for layer in layers)
    dense = sum(layer.cost.dense for layer in layers)
    modes = sum(layer.modes.count for layer in layers)
    return f"{modes:,} modes cost {own:,} parameters, {own / dense:.0%} of the {dense:,} of the same layers if they were dense."


def _spared(layers: Sequence[ReadLayer]) -> str:
    """How many modes matter, as far as it was measured."""
    told = [
        f"{layer.removal.spare or 'none'} of {layer.modes.count} in {layer.name or 'the network'}"
        for layer in layers[:NAMED]
        if layer.removal is not None
    ]
    more = f", and see {len(layers) - NAMED} more below" if len(layers) > NAMED else ""
    return f"Modes that a layer alone can lose within a point of accuracy, the smallest omega first: {', '.join(told)}{more}."


def _sure(layers: Sequence[ReadLayer]) -> Note:
    """Whether the order by omega is worth anything."""
    curves = [layer.removal for layer in layers if layer.removal is not None]
    draws = min(one.curves["random"].draws for one in curves)
    if 1 / (draws + 1) > ALPHA:
        return Note(f"{draws} random orders cannot tell at 5 % whether an order by omega is worth anything; 19 can.", "caution")
    better = sum(one.p["smallest"] <= ALPHA for one in curves)
    if not better:
        said = (
            "In no layer is it better, at 5 % (p smallest), to take modes out by omega than at random: do not choose modes by it."
        )
        return Note(said, "caution")
    said = f"In {better} of {len(curves)} layers it is better, at 5 % (p smallest), to take modes out by omega than at random"
    return Note(f"{said}.") if better == len(curves) else Note(f"{said}; do not choose modes by it elsewhere.", "caution")


def _line(layer: ReadLayer) -> tuple[Cell, ...]:
    p = layer.modes.count
    agreed, curves = layer.agreement.get("omega"), layer.removal
    return (
        layer.name,
        "×".join(map(str, layer.modes.shape)),
        p,
        _cell(layer.effective),
        _cell(layer.stable_rank),
        layer.rank,
        layer.cost.factored(p),
        _cell(layer.cost.factored(p) / layer.cost.dense),
        layer.power_laws["omega"].verdict,
        None if curves is None else curves.spare,
        None if agreed is None else _cell(agreed.rho),
        None if curves is None else _cell(curves.p["smallest"]),
        None if curves is None else _cell(curves.p["largest"]),
    )


def _cell(value: float | None) -> Cell:
    return None if value is None else number(value)


def _left_out(result: Reading) -> Iterator[Block]:
    if result.skipped:
        more = f": the first {LISTED} of {len(result.skipped):,}" if len(result.skipped) > LISTED else ""
        yield Section("", (Table(f"Not read{more}", ("what", "reason"), result.skipped[:LISTED]),))


def _code(result: Reading) -> str:
    """Lines of Python that make the same result."""
    if not result.samples:
        return f"from modescope.modes.reading import read_factors\n\nresult = read_factors({str(result.source.get('model'))!r})\n"
    said = ["model", "data", *(f"{name}={name}" for name in ("untrained", "dense") if result.options.get(name))]
    said += [f"seed={result.options['seed']}"] if result.options.get("seed") else []
    return f"from modescope.modes.reading import read\n\nresult = read({', '.join(said)})\n"
