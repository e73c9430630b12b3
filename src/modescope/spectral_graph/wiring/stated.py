"""A wiring that a user states: pairs of layer names, or mappings that also say how channels meet, in Python or in a JSON file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.errors import UnreadableError, UsageError
from modescope.spectral_graph.wiring import Gap, Layer, Link, Norm, Rows, Wiring, weights
from modescope.spectral_graph.wiring._joining import assembled, flattened, join, mismatch

LARGEST = 1 << 24  # bytes of a JSON file: millions of rows, far above any hand-written wiring
LAYOUTS = ("channels_first", "channels_last")
RELATIONS = ("next", "flatten", "concatenation", "residual", "product", "attention", "stated")
_KEYS = frozenset({"from", "to", "relation", "rows", "layout", "offset", "after", "before", "through", "note"})


@dataclass(frozen=True)
class _Entry:
    """One link as it was stated; `place` names it in errors."""

    place: str
    source: str
    target: str
    more: Mapping[str, Any]


def stated(
    checkpoint: Checkpoint, wiring: Path | Sequence[Any], /, *, view: str | None = None, flatten: str | None = None
) -> Wiring:
    """A wiring from a list of links.

    Each link is a pair (from, to) of layer names, or a mapping with "from", "to" and, where wanted:

    - "relation": one of `RELATIONS`, by default "stated".
    - how channels meet, at most one of: "rows", the output of the writer that each channel of the reader meets, -1 for none;
      "layout", "channels_first" or "channels_last", for positions flattened between the two; "offset", the first of a run of
      channels of the reader that meet the writer's outputs, as in a concatenation.
    - "after" and "before": a name or names of normalisations, after the writer and before the reader.
    - "through": names of operations in between. "note": a sentence.

    Layers are put in an order in which every link leads forwards, otherwise that of the checkpoint.

    Args:
        checkpoint: Its headers are used.
        wiring: The links, or a JSON file with a list of them, or with an object whose "links" is one.
        view: "heads" for attention by heads.
        flatten: The layout of links that state none, where only the sizes tell that positions were flattened.

    Raises:
        UsageError: An entry is malformed, names a layer that does not exist, or closes a circle; the entry is named.
        UnreadableError: The file cannot be read or is no JSON.
    """
    offered = {layer.name: layer for several in weights.layers(checkpoint, view=view).values() for layer in several}
    names = _names(checkpoint, offered)
    entries, where = _entries(wiring)
    used: dict[str, Layer] = {}
    resolved: list[tuple[_Entry, str, str]] = []
    for entry in entries:
        source, target = (_resolved(entry, name, names, offered) for name in (entry.source, entry.target))
        used |= {end: used.get(end, offered[end]) for end in (source, target)}
        resolved.append((entry, source, target))
    for entry, source, target in resolved:
        after, before = (_norms(checkpoint, entry, key) for key in ("after", "before"))
        used[source] = replace(used[source], after=_together(used[source].after, after))
        used[target] = replace(used[target], before=_together(used[target].before, before))
    joined = [_joined(entry, used[source], used[target], flatten) for entry, source, target in resolved]
    order = _order([name for name in offered if name in used], resolved)
    return assembled([used[name] for name in order], joined, "stated", [where] if where else [])


def _entries(wiring: Path | Sequence[Any]) -> tuple[list[_Entry], str]:
    name, links = "wiring", wiring
    if isinstance(wiring, Path):
        name, links = wiring.name, _of_file(wiring)
    if not isinstance(links, Sequence) or isinstance(links, str | bytes):
        raise UsageError(f"{name}: expected a list of links, got {_shown(links)}.")
    if not links:
        raise UsageError(f"{name}: expected at least one link, got an empty list.")
    where = f"as stated in {name}" if isinstance(wiring, Path) else ""
    return [_entry(f"{name}, entry {number}", item) for number, item in enumerate(links)], where


def _of_file(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            raise UnreadableError(f"{path}: expected a list of links of at most {LARGEST} bytes, got {path.stat().st_size}.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: expected a JSON file with a list of links ({error}).") from error
    if isinstance(found, dict):
        if not isinstance(found.get("links"), list):
            got = f"{_shown(found['links'])} there" if "links" in found else f"an object with the keys {_shown(sorted(found))}"
            raise UsageError(f"{path.name}: expected a list of links, or an object with one in 'links', got {got}.")
        return found["links"]
    return found


def _entry(place: str, item: Any) -> _Entry:
    if isinstance(item, Mapping):
        unknown = sorted(str(key) for key in item if key not in _KEYS)
        if unknown:
            raise UsageError(f"{place}: expected keys among {', '.join(sorted(_KEYS))}, got {', '.join(unknown)}.")
        ends, more = (item.get("from"), item.get("to")), item
    elif isinstance(item, Sequence) and not isinstance(item, str | bytes) and len(item) == 2:
        ends, more = (item[0], item[1]), {}
    else:
        raise UsageError(f"{place}: expected a pair (from, to) or a mapping with 'from' and 'to', got {_shown(item)}.")
    for word, end in zip(("from", "to"), ends, strict=True):
        if not isinstance(end, str) or not end:
            raise UsageError(f"{place}: expected the name of a layer in {word!r}, got {_shown(end)}.")
    if sum(key in more for key in ("rows", "layout", "offset")) > 1:
        raise UsageError(f"{place}: expected one of 'rows', 'layout' and 'offset', got several.")
    relation = more.get("relation", "stated")
    if relation not in RELATIONS:
        raise UsageError(f"{place}: expected a relation among {', '.join(RELATIONS)}, got {_shown(relation)}.")
    return _Entry(place, str(ends[0]), str(ends[1]), more)


def _names(checkpoint: Checkpoint, offered: Mapping[str, Layer]) -> dict[str, list[str]]:
    """Layers by every name that may be used for them: their own, that of their tensor, and its aliases."""
    names: dict[str, list[str]] = {name: [name] for name in offered}
    other = {tensor.name: (tensor.name, *tensor.aliases) for tensor in checkpoint.tensors}
    for layer in offered.values():
        for name in other[layer.matrix.tensor]:
            if name not in offered and layer.name not in names.setdefault(name, []):
                names[name].append(layer.name)
    return names


def _resolved(entry: _Entry, name: str, names: Mapping[str, list[str]], offered: Mapping[str, Layer]) -> str:
    found = names.get(name, [])
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{entry.place}: {name} holds several layers; expected one of {', '.join(map(repr, found[:8]))}.")
    close = get_close_matches(name, names, n=3, cutoff=0.5) or list(offered)[:3]
    hint = f"Close: {', '.join(close)}." if close else "The checkpoint has no layers."
    raise UsageError(f"{entry.place}: expected the name of a layer, got {_shown(name)}. {hint}")


def _joined(entry: _Entry, writer: Layer, reader: Layer, flatten: str | None) -> Link | Gap:
    rows = _rows(entry, writer, reader, flatten)
    if isinstance(rows, Gap):
        return rows
    through, note = entry.more.get("through", ()), entry.more.get("note", "")
    if isinstance(through, str) or not isinstance(through, Sequence) or not all(isinstance(word, str) for word in through):
        raise UsageError(f"{entry.place}: expected a list of names of operations in 'through', got {_shown(through)}.")
    if not isinstance(note, str):
        raise UsageError(f"{entry.place}: expected a sentence in 'note', got {_shown(note)}.")
    return join(writer, reader, entry.more.get("relation", "stated"), rows=rows, through=tuple(through), note=note)


def _rows(entry: _Entry, writer: Layer, reader: Layer, flatten: str | None) -> Rows | Gap | None:
    more = entry.more
    if "rows" in more:
        return _list_of_rows(entry, more["rows"])
    if "offset" in more:
        offset = more["offset"]
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            raise UsageError(f"{entry.place}: expected a whole number of 0 or more in 'offset', got {_shown(offset)}.")
        if offset + writer.out > reader.channels:
            reason = f"{mismatch(writer, reader)}: with offset {offset} they end at {offset + writer.out}"
            return Gap(writer.name, reader.name, reason)
        rows = np.full(reader.channels, -1)
        rows[offset : offset + writer.out] = np.arange(writer.out)
        return rows
    layout = more.get("layout", flatten)
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"{entry.place}: expected a layout among {', '.join(LAYOUTS)}, got {_shown(layout)}.")
    if writer.out == reader.channels:
        return None
    if layout is None:
        whole = writer.out and reader.channels % writer.out == 0
        hint = ": if positions were flattened, state their layout" if whole else ""
        return Gap(writer.name, reader.name, mismatch(writer, reader) + hint)
    found = flattened(writer, reader, channels_last=layout == "channels_last")
    return Gap(writer.name, reader.name, f"{mismatch(writer, reader)}, which is no multiple") if found is None else found


def _list_of_rows(entry: _Entry, rows: Any) -> Rows:
    wrong = f"{entry.place}: expected a list of whole numbers of -1 or more in 'rows', got {_shown(rows)}."
    try:
        found = np.asarray(rows)
    except ValueError as error:
        raise UsageError(wrong) from error
    if found.ndim != 1 or found.dtype.kind not in "iu" or found.min(initial=0) < -1:
        raise UsageError(wrong)
    return found.astype(np.int64)


def _norms(checkpoint: Checkpoint, entry: _Entry, key: str) -> tuple[Norm, ...]:
    names = entry.more.get(key, ())
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"{entry.place}: expected names of normalisations in {key!r}, got {_shown(names)}.")
    found = []
    for name in names:
        norm = weights.norm(checkpoint, name)
        if norm is None:
            close = get_close_matches(name, weights.modules(checkpoint), n=3, cutoff=0.5)
            hint = f" Close: {', '.join(close)}." if close else ""
            raise UsageError(f"{entry.place}: expected the name of a normalisation in {key!r}, got {_shown(name)}.{hint}")
        found.append(norm)
    return tuple(found)


def _together(known: tuple[Norm, ...], more: tuple[Norm, ...]) -> tuple[Norm, ...]:
    """Norms that several links of one layer name, each once."""
    names = {norm.name for norm in known}
    return (*known, *(norm for norm in more if norm.name not in names))


def _order(names: list[str], links: Sequence[tuple[_Entry, str, str]]) -> list[str]:
    """An order in which every link leads forwards, as near as may be to the one given."""
    waiting = dict.fromkeys(names)
    placed: list[str] = []
    while waiting:
        held = {target for _, source, target in links if source in waiting}
        ready = next((name for name in waiting if name not in held), None)
        if ready is None:
            entry = next(entry for entry, source, target in links if source in waiting and target in waiting)
            raise UsageError(
                f"{entry.place}: expected links that lead forwards, got a circle through {entry.source} and {entry.target}. "
                "Leave out the link that leads back."
            )
        placed.append(ready)
        del waiting[ready]
    return placed


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
