"""The spectral graph: which modes of one layer feed which of the next."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modescope.cli._options import Listed, written

if TYPE_CHECKING:
    from modescope.spectral_graph.result import SpectralGraph


WHOLE = ("json", "jsonl")  # forms for programs, which get every edge and every connection


class Null(click.Choice[str]):
    """The nulls that were found, looked up only when the option is used or explained."""

    def __init__(self) -> None:
        from pkgutil import iter_modules

        folder = str(Path(__file__).parents[1] / "spectral_graph" / "nulls")  # the files' names, without importing them
        super().__init__(sorted(item.name for item in iter_modules([folder]) if not item.name.startswith("_")))


@click.command("graph", short_help="Which modes of one layer feed which of the next, with their significance.")
@click.argument("path", metavar="PATH")
@click.option("--include", multiple=True, type=Listed(), metavar="GLOB", help="Only tensors whose name matches. Repeatable.")
@click.option("--exclude", multiple=True, type=Listed(), metavar="GLOB", help="No tensor whose name matches. Repeatable.")
@click.option(
    "--wiring",
    metavar="HOW",
    help="What feeds what: order (one chain, in the order of the file), family (by config.json), or a JSON file that lists the "
    "pairs; by default the family where it is known, else the order where it is not ambiguous.",
)
@click.option("--view", metavar="VIEW", help="How attention is seen: heads, or circuits for the products QK and OV of each head.")
@click.option(
    "--flatten",
    type=click.Choice(["channels_first", "channels_last"]),
    help="Order in which positions and channels were flattened before a dense layer; by default channels_first.",
)
@click.option(
    "--convention",
    type=click.Choice(["svr", "cosvr", "channel"]),
    default="svr",
    show_default=True,
    help="Side of a convolution that its kernel positions belong to: svr the reader's, cosvr the writer's, channel neither.",
)
@click.option(
    "--gauge",
    type=click.Choice(["folded", "raw", "unit_rows", "balanced"]),
    default="folded",
    show_default=True,
    help="Scale of the channels: folded multiplies normalisations into the weights, raw leaves these as stored.",
)
@click.option(
    "--activation",
    metavar="NAME",
    help="What lies between layers where the file cannot tell, as relu; the gauges unit_rows and balanced need to know.",
)
@click.option(
    "--level",
    default=0.05,
    show_default=True,
    help="Probability of any false edge in the network; for bh and by the share of false ones.",
)
@click.option(
    "--correction",
    type=click.Choice(["bonferroni", "bh", "by", "none"]),
    default="bonferroni",
    show_default=True,
    help="For the number of edges tested: Bonferroni, Benjamini-Hochberg, Benjamini-Yekutieli.",
)
@click.option("--null", type=Null(), default="rotation", show_default=True, help="What an overlap would be by accident.")
@click.option("--draws", default=1000, show_default=True, help="Draws of the nulls that are simulated.")
@click.option("--seed", default=0, show_default=True, help="Derives every draw.")
@click.option(
    "--keep", default=1e-3, show_default=True, metavar="P", help="Edges up to this p-value are kept beside the significant."
)
@click.option(
    "--structure",
    multiple=True,
    type=click.Choice(["near_kernels", "dead_channels", "internal_dimensions", "bias"]),
    default=["near_kernels"],
    show_default=True,
    help="Statistics of whole blocks for every pair of layers; internal_dimensions is simulated with --draws, bias tests the bias "
    "of a layer as one more direction that it writes. Repeatable.",
)
@click.option(
    "--search",
    default=0,
    show_default=True,
    metavar="N",
    help="Search the best path along every line of layers, with N draws of its null; 0 tests the path of first modes only.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Threads; by default one per processor.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory budget in GB; by default half of the machine's.",
)
@click.option("--device", help="A CUDA device such as cuda:0; by default the CPU.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written("Write to this file, not to stdout; .graphml, .nodelink.json and .parquet are exports for other programs.")
def command(
    path: str,
    wiring: str | None,
    memory: float | None,
    quiet: bool,
    format: str | None,
    json: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """Which modes of one layer of PATH feed which of the next: overlaps that random directions do not show.

    An edge joins a direction that one layer writes to a direction that a later one reads. It reads weights alone: what a direction
    means, or how often it is active, it cannot tell. With `-o graph.html` the result is a page. Pairs that cannot be joined, and
    layers that fail, cost their own edges only.
    """
    from modescope.cli import FAILED_ROWS, INTERRUPTED
    from modescope.cli._progress import progress
    from modescope.cli._write import check
    from modescope.errors import Interrupted, UsageError
    from modescope.render._plain import plain
    from modescope.spectral_graph import graph

    check(output, path, *([wiring] if wiring not in (None, "order", "family") else []))
    if memory is not None and not memory < 1e9:
        raise UsageError(f"--memory: expected a number of GB, got {memory}.")
    room = None if memory is None else int(memory * 1e9)
    form = "json" if json else format
    try:
        with progress(quiet=quiet) as update:
            result = graph(path, wiring=wiring, memory=room, progress=update, **options)
    except Interrupted as stop:
        _write(stop.partial, form, output)
        print(f"interrupted after {len(stop.partial)} pairs of layers; these are kept.", file=sys.stderr)
        return INTERRUPTED
    _write(result, form, output)
    if not result.connections:
        from modescope.spectral_graph.preface import NOTHING

        print(plain(NOTHING), file=sys.stderr)
    for layer in result.failed:
        print(f"failed: {layer.name!a}: {plain(layer.status)}", file=sys.stderr)
    for gap in result.gaps:
        print(f"not joined: {gap.source or '?'!a} to {gap.target or '?'!a}: {plain(gap.reason)}", file=sys.stderr)
    broken = any(gap.source and gap.target and not gap.chosen for gap in result.gaps)  # what the user left out is no fault
    return FAILED_ROWS if result.failed or broken else 0


def _write(result: "SpectralGraph", form: str | None, output: Path | None) -> None:
    """As a report, or as the export that the name of the file asks for."""
    from modescope.cli._write import chosen, write
    from modescope.spectral_graph.exports import export

    wanted = export(output) if output is not None and form is None else None
    if wanted is not None and output is not None:
        wanted(result, output)
        return
    to = chosen(form, output, "table")
    report = result.report()
    if to in WHOLE:
        report = replace(report, document=result.to_dict())
    write(report, to, output)
