"""A separate attention projection, head by head: rows of query, key and value, columns of the output projection."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from modescope.layers._layouts import head_counts
from modescope.layers._names import join, number, own
from modescope.layers._rows import Read, columns, rows
from modescope.matrix import Matrix, Tensor

_ROWS = {
    "query": frozenset({"q", "q_proj", "q_lin", "query", "query_proj", "wq", "to_q", "q_attn"}),
    "key": frozenset({"k", "k_proj", "k_lin", "key", "key_proj", "wk", "to_k"}),
    "value": frozenset({"v", "v_proj", "v_lin", "value", "value_proj", "wv", "to_v"}),
}
_OUTPUT = frozenset({"o", "o_proj", "out_proj", "out_lin", "wo"})
_OUTPUT_PATH = re.compile(r"(?:att(?:n|ention)\w*\.(?:output\.dense|dense|c_proj|proj)|to_out\.0)(?:\.base_layer)?(?:\.weight)?\Z")


def by_head(tensor: Tensor, tensors: Mapping[str, Tensor], whole: Matrix, read: Read, /) -> Iterator[Matrix]:
    """The heads of an attention projection; the whole matrix where it is none, or where the number of heads is not known.

    Args:
        tensor: The tensor the matrix comes from.
        tensors: All tensors of the checkpoint by name.
        whole: The matrix `W` (out, in) of the projection.
        read: Gives its entries.

    Yields:
        "query head 0" (rows) or "output head 0" (columns), and so on.
    """
    part = _part(tensor)
    if part is None:
        yield whole
        return
    counts = _counts(tensor, tensors)
    if counts is None:
        yield replace(whole, note=join(whole.note, "number of heads not declared"))
        return
    heads = counts[1] if part in {"key", "value"} else counts[0]
    n_out, n_in = whole.shape
    size, rest = divmod(n_in if part == "output" else n_out, heads)
    if rest or not size:
        yield replace(whole, note=join(whole.note, f"{heads} heads do not divide {whole.shape}"))
        return
    for head in range(heads):
        start, stop = head * size, (head + 1) * size
        if part == "output":
            part_read, shape = partial(columns, read, start, stop), (n_out, size)
        else:
            part_read, shape = partial(rows, read, start, stop), (size, n_in)
        yield replace(whole, view=f"{part} head {head}", shape=shape, read=part_read)


def _part(tensor: Tensor) -> str | None:
    name = tensor.name.lower()
    if "att" not in name:
        return None
    mine = own(tensor.name)
    if mine in _OUTPUT or _OUTPUT_PATH.search(name):
        return "output"
    return next((part for part, names in _ROWS.items() if mine in names), None)


def _counts(tensor: Tensor, tensors: Mapping[str, Tensor]) -> tuple[int, int] | None:
    found = head_counts(tensor)
    if found is not None:
        return found.query, found.shared
    # torch's MultiheadAttention declares its heads on its own tensors; its output projection is a layer inside it.
    around = tensor.module.rpartition(".")[0]
    names = (f"{around}.{leaf}" if around else leaf for leaf in ("in_proj_weight", "q_proj_weight"))
    beside = next((tensors[name] for name in names if name in tensors), None)
    heads = number(beside, "num_heads") if beside is not None else None
    return (heads, heads) if heads else None
