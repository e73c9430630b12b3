"""A profiled network as blocks: cautions, an overview of its layers, classes, truncation, and a section for each layer."""

from collections.abc import Iterator
from typing import Any

from modescope.blocks import Block, Cell, Note, Section, Table
from modescope.pictures import number, small
from modescope.profiles import class_blocks, drawn, layer_blocks, truncation_blocks
from modescope.profiles.document import document
from modescope.profiles.result import NetworkProfile, ProfiledLayer
from modescope.reports import Report

TOLD = 8  # modes of a layer in the document beside it, so that a page stays small
LISTED = 200  # rows of tables of what is left out
HEADINGS = (
    ("layer", "Name of the layer; with @0, @1 behind it where the network calls it several times."),
    ("kind", "Its class."),
    ("shape", "Outputs × inputs of the unfolded weight, of one group."),
    ("modes followed", "How many, and the rule that chose them."),
    ("largest / edge", "Largest eigenvalue over the edge of noise, its variance that of the entries."),
    ("outliers", "Modes that noise does not explain, by the test of the bulk; empty where that has no verdict."),
    ("operator norm", "Largest gain of the convolution on whole images."),
    ("between classes", "Share of the variance of the signals that lies between class means."),
    ("permuted", "The largest such share among permuted labels."),
    ("Jaccard", "Mean Jaccard index of the modes of two classes."),
    ("by chance", "The same for random sets of as many modes."),
)
OF_CLASSES = 4  # of them, the last, which are there with labels only
PICTURE = "Singular values, the largest first, on a logarithmic scale."
DEFAULTS: dict[str, Any] = {  # of `profile`: what code need not say
    "aggregate": "mean",
    "bn": "ignore",
    "select": "topk",
    "amount": None,
    "share": 0.1,
    "compat": "",
    "standardise": "z",
    "rule": "topm",
    "value": None,
    "signed": True,
    "scope": "layer",
    "shown": 4,
    "exemplars": 9,
    "features": None,
    "span": None,
    "truncation": None,
    "resamples": 200,
    "permutations": 20,
    "seed": 0,
}
_PAPER = "Praggastis et al. (2022), arXiv:2208.06894"


def report(result: NetworkProfile, /) -> Report:
    """The page of a profiled network, `NetworkProfile.report`."""
    code, most = _code(result), drawn.side(result)
    keys = tuple(f"layer={layer.site}" for layer in result.layers)
    columns = len(HEADINGS) if result.source.get("classes") else len(HEADINGS) - OF_CLASSES
    overview = Table(
        "",
        tuple(heading for heading, _ in HEADINGS[:columns]),
        tuple(_line(result, layer)[:columns] for layer in result.layers),
        about=tuple(about for _, about in HEADINGS[:columns]),
        links=keys,
        pictures=tuple(small(layer.basis.s) for layer in result.layers),
        picture=PICTURE,
    )
    return Report(
        (
            *_notes(result, most),
            overview,
            *class_blocks.separation(result),
            *_truncation(result),
            *class_blocks.graph(result),
            *class_blocks.overlaps(result),
            *_left_out(result),
            *(layer_blocks.section(result, layer, most, code) for layer in result.layers),
        ),
        document(result, modes=TOLD, unread=LISTED),
        "layers",
        title=f"{result.source.get('model', 'A network')}, profiled",
        code=f'{code}\nresult.report().save("profile.html")\n',
    )


def _notes(result: NetworkProfile, most: int) -> Iterator[Note]:
    names = result.source.get("classes", ())
    classes = f" of {len(names)} classes" if names else ", without labels"
    right = "" if result.accuracy is None else f" The network is right on {result.accuracy:.1%} of them."
    yield Note(
        f"{result.images:,} images{classes}.{right} The signal of a mode is the raw output of its layer, less the bias, on the "
        f"output direction of the mode; positions become one number by {result.options.get('aggregate', 'mean')}.",
        source=_PAPER,
    )
    yield from (Note(text, "caution") for text in result.cautions)
    if any(max(picture.shape[:2]) > most for picture in result.crops.pictures.values()):
        yield Note(f"Pictures are reduced to {most} pixels on their longer side, so that the page stays small.")


def _truncation(result: NetworkProfile) -> Iterator[Section]:
    if found := tuple(truncation_blocks.together(result.truncation)):
        yield Section("Truncation", found)


def _line(result: NetworkProfile, layer: ProfiledLayer) -> tuple[Cell, ...]:
    found = layer.separation.get(str(result.options.get("standardise", "z")))
    null = None if found is None else found.eta.null
    return (
        layer.site,
        layer.basis.kind,
        "×".join(map(str, layer.basis.shape)),
        layer_blocks.followed(layer),
        _cell(layer_blocks.ratio(layer)),
        layer_blocks.outliers(layer),
        _cell(None if layer.operator is None else layer.operator.norm),
        _cell(None if found is None else found.eta.value),
        _cell(None if null is None else null.high),
        _cell(None if found is None else found.jaccard.value),
        _cell(None if found is None else found.jaccard.expected),
    )


def _cell(value: float | None) -> Cell:
    return None if value is None else number(value)


def _left_out(result: NetworkProfile) -> Iterator[Block]:
    for title, what, rows in (("Layers left out", "layer", result.skipped), ("Images left out", "image", result.unread)):
        if rows:
            more = f": the first {LISTED} of {len(rows):,}" if len(rows) > LISTED else ""
            yield Table(f"{title}{more}", (what, "reason"), rows[:LISTED])


def _code(result: NetworkProfile) -> str:
    """Lines of Python that make the same result; what was an object in memory has a name and a comment."""
    said = ["labels=labels"] if result.source.get("classes") else []
    comments = ["# model: the network", "# images: the data, as the network takes them"]
    comments += ["# labels: the class of each image"] if said else []
    if result.options.get("untrained"):
        comments.append("# untrained: the network before training")
        said.append("untrained=untrained")
    for name, usual in DEFAULTS.items():
        value = result.options.get(name, usual)
        if value != usual:
            said.append(f"{name}={tuple(value) if isinstance(value, list) else value!r}")
    return "\n".join(["import modescope as ms", "", *comments, f"result = ms.profile({', '.join(['model', 'images', *said])})"])
