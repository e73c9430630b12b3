"""The wiring of a checkpoint, by the first way that applies: traced, stated, of a known architecture, in the order of the file."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from modescope.checkpoints import Checkpoint
from modescope.errors import UsageError
from modescope.spectral_graph.wiring import Gap, Wiring
from modescope.spectral_graph.wiring._spine import left_out
from modescope.spectral_graph.wiring.families import families, family
from modescope.spectral_graph.wiring.ordered import ordered
from modescope.spectral_graph.wiring.stated import stated
from modescope.spectral_graph.wiring.weights import config

VIEWS = ("heads", "circuits")
FLATTEN = ("channels_first", "channels_last")
_STATE = "a sequence of (from, to) layer names or the path of a JSON file of them"


def find(
    checkpoint: Checkpoint,
    wiring: Any = None,
    *,
    model: Any = None,
    inputs: Any = None,
    view: str | None = None,
    flatten: str | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> Wiring:
    """Find which layer writes into which.

    Args:
        checkpoint: Its headers are used; no weights are read.
        wiring: None for the first way that applies; "order" or "family" for that one, where "order" also vouches that the layers
            form one chain; a sequence of (from, to) names or of mappings, or the path of a JSON file that holds one.
        model: The live module that the checkpoint was opened from.
        inputs: An example input of it; with it the model is traced.
        view: "heads" for attention by heads; "circuits" for the QK and OV products of each head of a known architecture.
        flatten: Order of flattened positions, where only the sizes tell of them: "channels_first" (torch) or "channels_last".
        include: Globs on tensor names; a layer must match one of them, unless there are none.
        exclude: Globs on tensor names.

    Raises:
        UsageError: An unknown name or option; a wiring that cannot be told from names and sizes, with the candidates.
        UnreadableError: The file of a wiring cannot be read.
    """
    for word, value, choices in (("view", view, VIEWS), ("flatten", flatten, FLATTEN)):
        if value is not None and value not in choices:
            raise UsageError(f"{word}: expected {' or '.join(map(repr, choices))}, or nothing, got {value!r}.")
    if inputs is not None and model is None:
        raise UsageError("inputs: expected a live module to run on them, got a checkpoint without one. Pass the nn.Module itself.")
    if wiring == "order" and isinstance(wiring, str):
        return ordered(checkpoint, view=_whole(view), flatten=flatten, vouched=True, include=include, exclude=exclude)
    if wiring is None and inputs is not None:
        from modescope.spectral_graph.wiring.traced import traced

        _no(flatten, "tracing sees the order of flattened positions")
        return _chosen(traced(model, checkpoint, inputs, view=_whole(view)), include, exclude)
    if inputs is not None:
        raise UsageError(f"inputs: expected no other wiring beside them, got {wiring!r}. Leave one of the two out.")
    if wiring is not None and wiring != "family":
        return _chosen(stated(checkpoint, _source(wiring), view=_whole(view), flatten=flatten), include, exclude)
    known = family(checkpoint)
    if known is not None:
        _no(flatten, "this architecture flattens nothing")
        return _chosen(known.wire(checkpoint, view=view), include, exclude)
    if wiring == "family":
        name = config(checkpoint, "model_type")
        got = f"model_type {name!r}" if name else "no config.json that names one"
        raise UsageError(f"wiring: expected an architecture among {', '.join(families())}, got {got}. Pass {_STATE}.")
    return ordered(checkpoint, view=_whole(view), flatten=flatten, vouched=False, include=include, exclude=exclude)


def _source(wiring: Any) -> Any:
    if isinstance(wiring, str | PathLike):
        path = Path(wiring)
        if not path.is_file():
            raise UsageError(f"wiring: expected 'order', 'family', {_STATE}, got {str(wiring)!r}, which is no file.")
        return path
    if not isinstance(wiring, Sequence):
        raise UsageError(f"wiring: expected 'order', 'family', {_STATE}, got {type(wiring).__name__}.")
    return wiring


def _whole(view: str | None) -> str | None:
    if view == "circuits":
        raise UsageError("view 'circuits': expected a checkpoint whose config.json names a known architecture. Pass view='heads'.")
    return view


def _no(flatten: str | None, why: str) -> None:
    if flatten is not None:
        raise UsageError(f"flatten: expected nothing here, got {flatten!r}: {why}.")


def _chosen(wiring: Wiring, include: str | Sequence[str], exclude: str | Sequence[str]) -> Wiring:
    """The layers that were selected, and what joins two of them."""
    wanted, unwanted = ((globs,) if isinstance(globs, str) else tuple(globs) for globs in (include, exclude))
    if not wanted and not unwanted:
        return wiring
    why = {layer.name: left_out((layer.matrix.tensor, *layer.matrix.aliases), wanted, unwanted) for layer in wiring.layers}
    layers = tuple(layer for layer in wiring.layers if not why[layer.name])
    if not layers:
        raise UsageError(
            f"no layer is selected by include {', '.join(wanted) or 'all'} and exclude {', '.join(unwanted) or 'none'}."
        )
    names = {layer.name for layer in layers}
    links = tuple(link for link in wiring.links if link.source in names and link.target in names)
    dropped = {layer.name for layer in wiring.layers} - names
    cut = (
        Gap(link.source, link.target, why[link.source] or why[link.target])
        for link in wiring.links
        if (link.source in dropped) != (link.target in dropped)
    )
    gaps = tuple(gap for gap in wiring.gaps if gap.source not in dropped and gap.target not in dropped)
    lost = dict.fromkeys(
        (source, f"{target}, which was not selected")
        for source, target in (*((x.source, x.target) for x in wiring.links), *((x.source, x.target) for x in wiring.gaps))
        if source not in dropped and target in dropped
    )
    return replace(wiring, layers=layers, links=links, gaps=(*gaps, *dict.fromkeys(cut)), elsewhere=(*wiring.elsewhere, *lost))
