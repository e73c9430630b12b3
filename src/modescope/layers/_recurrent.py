"""Names and shapes of recurrent layers, as torch stores them: the gates of a layer are blocks of rows."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial

from modescope.layers._names import layer_class, named_freely
from modescope.layers._reasons import is_weight
from modescope.layers._rows import rows
from modescope.matrix import Matrix, Tensor

_LEAF = re.compile(r"(?P<before>(?:.*_)?w(?:eight)?_)(?P<side>ih|hh|hr)(?P<after>(?:_l\d+)?(?:_reverse)?)\Z", re.DOTALL)


def evidence(tensor: Tensor, tensors: Mapping[str, Tensor], classes: frozenset[str], gates: int) -> int:
    """How strongly a tensor is a weight of a recurrent layer with this number of gates.

    Args:
        tensor: The tensor.
        tensors: All tensors of the checkpoint by name.
        classes: Classes of that layer: evidence 3 where one is declared.
        gates: Blocks of rows per hidden unit: 4 in an LSTM, 3 in a GRU, 1 in a plain network. Without a class they are counted:
            the hidden-to-hidden weight has (gates * hidden, hidden) entries.
    """
    if len(tensor.shape) != 2 or (side := _side(tensor.leaf)) is None:
        return 0
    found = 0
    if layer_class(tensor) in classes and (side == "hr" or tensor.shape[0] % gates == 0):
        found = 3
    elif named_freely(tensor) and _gates(tensor, tensors) == gates:
        found = 2
    return found if found and is_weight(tensor, tensors) else 0


def blocks(tensor: Tensor, names: tuple[str, ...]) -> Iterator[Matrix]:
    """One matrix per gate, in the order of the names; the projection of a projected LSTM as it is."""
    n_rows, n_in = tensor.shape
    if _side(tensor.leaf) == "hr":
        yield Matrix(tensor.name, "projection", (n_rows, n_in), tensor.stored, tensor.read)
        return
    size = n_rows // len(names)
    for index, name in enumerate(names):
        read = partial(rows, tensor.read, index * size, (index + 1) * size)
        yield Matrix(tensor.name, f"gate {name}", (size, n_in), tensor.stored, read)


@lru_cache(1 << 12)
def _match(leaf: str) -> re.Match[str] | None:
    return _LEAF.match(leaf)


def _side(leaf: str) -> str | None:
    found = _match(leaf)
    return found["side"] if found else None


def _beside(tensor: Tensor, side: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    found = _match(tensor.leaf)
    if found is None:
        return None
    leaf = f"{found['before']}{side}{found['after']}"
    beside = tensors.get(f"{tensor.module}.{leaf}" if tensor.module else leaf)
    return beside if beside is not None and len(beside.shape) == 2 else None


def _gates(tensor: Tensor, tensors: Mapping[str, Tensor]) -> int | None:
    """Gates of a layer, counted by the shapes of its weights; None where they do not fit together."""
    inner, projected = _beside(tensor, "hh", tensors), _beside(tensor, "hr", tensors)
    if inner is None:
        return None
    hidden = projected.shape[1] if projected is not None else inner.shape[1]
    gates, rest = divmod(inner.shape[0], hidden) if hidden else (0, 1)
    outer = _beside(tensor, "ih", tensors)
    if rest or (outer is not None and outer.shape[0] != inner.shape[0]) or (projected is not None and gates != 4):
        return None
    return gates
