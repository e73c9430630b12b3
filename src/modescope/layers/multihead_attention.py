"""Input projections of torch's `MultiheadAttention`: query, key and value, stacked (3E, E) or separate."""

from collections.abc import Iterator, Mapping
from functools import partial

from modescope.layers._names import layer_class, named_freely, number
from modescope.layers._reasons import is_weight
from modescope.layers._rows import rows
from modescope.matrix import Matrix, Tensor

_SEPARATE = {"q_proj_weight": "query", "k_proj_weight": "key", "v_proj_weight": "value"}


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """3 where the class is declared, 2 by the names torch gives."""
    if len(tensor.shape) != 2 or not _parts(tensor):
        return 0
    declared = layer_class(tensor) == "MultiheadAttention"
    if not (declared or named_freely(tensor)) or not is_weight(tensor, tensors):
        return 0
    return 3 if declared else 2


def views(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """One matrix for query, key and value each."""
    yield from _split(tensor, heads=1, named=False)


def _heads(tensor: Tensor, _tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    heads = number(tensor, "num_heads")
    size = tensor.shape[0] // len(_parts(tensor))
    if heads is None or size % heads:
        yield from _split(tensor, heads=1, named=False, note="number of heads not declared")
    else:
        yield from _split(tensor, heads=heads, named=True)


requested = {"heads": _heads}


def _parts(tensor: Tensor) -> tuple[str, ...]:
    """Names of the parts along dim 0, or none where this is no such projection."""
    leaf = tensor.leaf
    if leaf in _SEPARATE:
        return (_SEPARATE[leaf],)
    return ("query", "key", "value") if leaf == "in_proj_weight" and tensor.shape[0] % 3 == 0 else ()


def _split(tensor: Tensor, *, heads: int, named: bool, note: str = "") -> Iterator[Matrix]:
    parts = _parts(tensor)
    n_rows, n_in = tensor.shape
    size = n_rows // len(parts) // heads
    for number_of_part, part in enumerate(parts):
        for head in range(heads):
            start = (number_of_part * heads + head) * size
            view = f"{part} head {head}" if named else part
            yield Matrix(tensor.name, view, (size, n_in), tensor.stored, partial(rows, tensor.read, start, start + size), note=note)
