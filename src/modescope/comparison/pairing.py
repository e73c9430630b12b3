"""Which matrix of one checkpoint is which of another: by exact name and view, then by a suffix that all their names share.

A weight that is kept as modes goes by the name it has when it is kept whole, so that a network is found in its compressed form.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modescope.matrix import Matrix

WHOLE = ("dense", "transposed", "unfolding", "embedding", "product")  # views of a weight as one matrix, from outputs to inputs
_FACTOR = re.compile(r"(?:parametrizations\.)?xi_in(?:\.original)?\Z|parametrizations\.(?P<own>[^.]{1,200})\.original2\Z")


@dataclass(frozen=True)
class Unpaired:
    """A matrix that cannot be compared.

    Attributes:
        name: Name of the tensor.
        view: How it became a matrix.
        shapes: Its shape in each checkpoint, None where it is missing.
        reason: One sentence.
    """

    name: str
    view: str
    shapes: tuple[tuple[int, int] | None, ...]
    reason: str


@dataclass(frozen=True)
class Pairing:
    """Matrices by layer.

    Attributes:
        layers: The same matrix in every checkpoint, in the order of the first one.
        unpaired: What is missing somewhere, or has another shape.
        renamed: Per checkpoint after the first, the prefixes that were taken off: of the first one, and its own; ("", "") for none.
    """

    layers: tuple[tuple[Matrix, ...], ...]
    unpaired: tuple[Unpaired, ...]
    renamed: tuple[tuple[str, str], ...]


def pair(checkpoints: Sequence[Sequence[Matrix]]) -> Pairing:
    """Find every matrix of the first checkpoint in all the others.

    Names are compared exactly first, aliases of tied weights included. What is left over is compared without a prefix: the one pair
    of prefixes, such as "module." and "", that lets most names agree, if there is one that lets more agree than any other. A part
    of a name that is a number is never taken off, so that one layer is not taken for another.
    """
    first = checkpoints[0]
    found: list[list[Matrix | None]] = [[matrix] for matrix in first]
    alone: list[tuple[int, Matrix]] = []
    renamed = []
    for index, others in enumerate(checkpoints[1:], 1):
        partners, prefixes = _partners(first, others)
        renamed.append(prefixes)
        for matrix, row in zip(first, found, strict=True):
            row.append(partners.get(id(matrix)))
        taken = {id(matrix) for matrix in partners.values()}
        alone += [(index, matrix) for matrix in others if id(matrix) not in taken]
    layers = [tuple(m for m in row if m is not None) for row in found]
    same = [len(row) == len(checkpoints) and len({m.shape for m in row}) == 1 for row in layers]
    return Pairing(
        tuple(row for row, good in zip(layers, same, strict=True) if good),
        (*(_why_not(row) for row, good in zip(found, same, strict=True) if not good), *_alone(alone, len(checkpoints))),
        tuple(renamed),
    )


def _partners(first: Sequence[Matrix], others: Sequence[Matrix]) -> tuple[dict[int, Matrix], tuple[str, str]]:
    """The partner of each matrix of the first checkpoint by its identity, and the prefixes taken off."""
    known = {(name, _view(m)): m for m in reversed(others) for name in (*m.aliases, _name(m))}
    partners: dict[int, Matrix] = {}
    taken: set[int] = set()
    for matrix in first:
        view = _view(matrix)
        other = next((known[name, view] for name in (_name(matrix), *matrix.aliases) if (name, view) in known), None)
        if other is not None and id(other) not in taken:
            partners[id(matrix)] = other
            taken.add(id(other))
    left = [m for m in first if id(m) not in partners]
    right = [m for m in others if id(m) not in taken]
    prefixes = _prefixes(left, right)
    if prefixes is None:
        return partners, ("", "")
    rest = {(_name(m).removeprefix(prefixes[1]), _view(m)): m for m in right if m.tensor.startswith(prefixes[1])}
    for matrix in left:
        if matrix.tensor.startswith(prefixes[0]):
            other = rest.get((_name(matrix).removeprefix(prefixes[0]), _view(matrix)))
            if other is not None:
                partners[id(matrix)] = other
    return partners, prefixes


def _name(matrix: Matrix) -> str:
    """The name of the tensor, or that of the weight whose modes it is one factor of."""
    if matrix.kind != "mode_factors":
        return matrix.tensor
    return _FACTOR.sub(lambda found: found["own"] or "weight", matrix.tensor)


def _view(matrix: Matrix) -> str:
    """The view, one word for all that are the weight as one matrix."""
    return "whole" if matrix.view in WHOLE else matrix.view


def _prefixes(left: Sequence[Matrix], right: Sequence[Matrix]) -> tuple[str, str] | None:
    """The prefixes that let most names agree, the shortest of those; None where two are equally good or none does."""
    endings: dict[tuple[str, str], list[str]] = {}
    for matrix in right:
        for prefix, rest in _cuts(_name(matrix)):
            endings.setdefault((rest, _view(matrix)), []).append(prefix)
    votes: Counter[tuple[str, str]] = Counter()
    for matrix in left:
        for prefix, rest in _cuts(_name(matrix)):
            for other in endings.get((rest, _view(matrix)), ()):
                if "." in rest or not prefix or not other:
                    votes[prefix, other] += 1
    best = sorted(votes, key=lambda pair: (-votes[pair], len(pair[0]) + len(pair[1])))[:2]
    rank = [(votes[pair], len(pair[0]) + len(pair[1])) for pair in best]
    return None if not best or (len(best) == 2 and rank[0] == rank[1]) else best[0]


def _cuts(name: str) -> Iterator[tuple[str, str]]:
    """Every way to take leading parts without digits alone off a name: ("", "a.b"), ("a.", "b")."""
    start = 0
    yield "", name
    while (dot := name.find(".", start)) >= 0 and not name[start:dot].isdigit():
        start = dot + 1
        yield name[:start], name[start:]


def _why_not(row: Sequence[Matrix | None]) -> Unpaired:
    first = row[0]
    assert first is not None
    shapes = tuple(None if matrix is None else matrix.shape for matrix in row)
    missing = [str(index) for index, matrix in enumerate(row) if matrix is None]
    if missing:
        reason = f"not in checkpoint {', '.join(missing)}"
    else:
        reason = f"shapes differ: {', '.join('×'.join(map(str, matrix.shape)) for matrix in row if matrix is not None)}"
    return Unpaired(first.tensor, first.view, shapes, reason)


def _alone(found: Sequence[tuple[int, Matrix]], count: int) -> Iterator[Unpaired]:
    """Matrices that the first checkpoint does not have, those of one name together."""
    rows: dict[tuple[str, str], dict[int, Matrix]] = {}
    for index, matrix in found:
        rows.setdefault((matrix.tensor, matrix.view), {})[index] = matrix
    for (name, view), row in rows.items():
        shapes = tuple(row[index].shape if index in row else None for index in range(count))
        yield Unpaired(name, view, shapes, f"not in checkpoint {', '.join(str(i) for i in range(count) if i not in row)}")
