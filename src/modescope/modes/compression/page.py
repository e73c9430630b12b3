"""A compression as blocks: what the file holds and how far to trust it, every weight with its errors, and what was copied."""

from collections import Counter
from collections.abc import Iterator

from modescope.blocks import Block, Cell, Note, Section, Table
from modescope.modes.compression.document import document
from modescope.modes.compression.result import CompressedLayer, Compression
from modescope.pictures import number
from modescope.reports import Report

LISTED = 500  # rows of tables of what is copied
HEADINGS = (
    ("weight", "Name of the tensor."),
    ("kind", "Layer kind."),
    ("shape", "Outputs × inputs, kernels flattened into the inputs."),
    ("modes", "Their number; empty where the weight stays as it is."),
    ("parameters", "Of the modes, or of the weight where it stays."),
    ("of dense", "The same over those of the weight."),
    ("error", "Frobenius norm of what is lost, over that of the weight."),
    ("spectral error", "Spectral norm of what is lost, over that of the weight."),
    ("output error", "Root mean square of what the outputs lose, over that of the outputs, on the inputs of the calibration."),
    ("reason", "How the number of modes came about."),
)
_EY = "Eckart & Young (1936), doi:10.1007/BF02288367"


def report(result: Compression, /) -> Report:
    """The page of a compression, `Compression.report`."""
    overview = Table(
        "",
        tuple(heading for heading, _ in HEADINGS),
        tuple(map(_line, result.layers)),
        about=tuple(about for _, about in HEADINGS),
    )
    return Report(
        (*_notes(result), overview, *_copied(result)),
        document(result),
        "layers",
        title="A checkpoint in modes" if result.output is not None else "A plan to put a checkpoint into modes",
        code=_code(result),
    )


def _notes(result: Compression) -> Iterator[Note]:
    totals = result.totals
    done = f"{totals.in_modes} of {len(result.layers)} weights are in modes, {totals.copied} tensors are copied bit for bit"
    yield Note(
        f"{totals.parameters:,} of {totals.dense_parameters:,} parameters ({totals.share:.1%}); {done}. "
        f"Tensors take {totals.bytes:,} bytes, in the source {totals.dense_bytes:,}."
    )
    if result.output is None:
        yield Note("A plan: nothing was written, and errors are those of the truncation before rounding.", "caution")
    elif result.verified:
        yield Note("The file was read back: copies agree bit for bit, and errors are measured on the numbers that it holds.")
    if result.options.get("form") == "dense":
        yield Note(
            "The dense form holds the product of the modes in the shape of the weight: the file is as large as the source, and the "
            "parameters counted here are those that its modes would have.",
            "caution",
        )
    if any(one.output_error is not None for one in result.layers):
        yield Note(
            "Weights with a calibration keep what their outputs need on its inputs; on other inputs they may lose more than their "
            "output error says. Each layer is judged on the inputs of the network as it was, not on those after others changed."
        )
    elif result.totals.in_modes:
        yield Note(
            "Errors are of the weights alone, and each truncation is the nearest one of its rank; how much the network loses they "
            "do not say: measure that on data.",
            source=_EY,
        )


def _line(one: CompressedLayer) -> tuple[Cell, ...]:
    return (
        one.name,
        one.kind,
        "×".join(map(str, one.shape)),
        one.modes,
        one.parameters,
        number(one.parameters / one.dense_parameters),
        number(one.error),
        None if one.spectral_error is None else number(one.spectral_error),
        None if one.output_error is None else number(one.output_error),
        one.reason,
    )


def _copied(result: Compression) -> Iterator[Block]:
    if result.others:
        reasons = Counter(one.reason for one in result.others)
        yield Note("Copied: " + "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common()) + ".")
    for title, key, rows in (("Copied tensors", "copied", result.others), ("Not in the file", "missing", result.left_out)):
        if rows:
            more = f": the first {LISTED} of {len(rows):,}" if len(rows) > LISTED else ""
            lines = tuple((one.name, "×".join(map(str, one.shape)), one.reason) for one in rows[:LISTED])
            yield Section(f"{title}{more}", (Table("", ("tensor", "shape", "reason"), lines),), f"about={key}", folded=True)


def _code(result: Compression) -> str:
    options = result.options
    said = [f"{name}={options[name]!r}" for name in ("budget", "modes", "energy") if options.get(name) is not None]
    said += [f"by={options['by']!r}"] if options.get("by", "parameters") != "parameters" else []
    said += [f"form={options['form']!r}"] if options.get("form", "factored") != "factored" else []
    said += ["embeddings=True"] if options.get("embeddings") else []
    said += ["calibration=calibration"] if options.get("calibration") else []
    for name in ("include", "exclude", "kind"):
        said += [f"{name}={tuple(options[name])!r}"] if options.get(name) else []
    said += [f"min_dim={options['min_dim']}"] if options.get("min_dim", 1) != 1 else []
    said += [f"dtype={options['dtype']!r}"] if options.get("dtype") else []
    path = result.source.get("path")
    first = repr(path) if path else "checkpoint"
    second = "" if result.output is None else f", {str(result.output)!r}"
    return f"import modescope as ms\n\nresult = ms.compress({first}{second}, {', '.join(said)})\n"
