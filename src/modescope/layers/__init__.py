"""Layer kinds: tensors in, matrices out. One file per kind; the strongest claim on a tensor decides how it is seen.

A kind has `claims(tensor, tensors, /) -> int` (0 none, 1 shape, 2 name or neighbours, 3 declared by file, module or config) and
`views(tensor, tensors, /) -> Iterator[Matrix | Skip]`; `tensors` holds every tensor of the checkpoint by name, so that a kind may
look at a bias or at the other half of a pair. Both judge by the header alone and read no numbers. A kind may offer further
views by name in `requested`, a mapping from view name to a function like `views`.

The plain readings (`dense`, `convolution`, `transposed`) claim 2 where their class is declared, so that a kind that knows more of
a layer may outrank them with 3.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from modescope.errors import UsageError
from modescope.matrix import Matrix, Skip, Tensor
from modescope.registry import modules, strongest


class Kind(Protocol):
    """What a module in this folder must offer."""

    def claims(self, tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
        """How strong the evidence is that this kind knows the tensor."""

    def views(self, tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix | Skip]:
        """The matrices in it, or why there are none."""


def matrices(tensors: Iterable[Tensor], *, view: str | None = None) -> Iterator[Matrix | Skip]:
    """Every matrix of a checkpoint, and a skip with its reason for every tensor that has none.

    Args:
        tensors: The tensors of one checkpoint; only their headers are used.
        view: A named view for the kinds that offer it ("slices", "operator", "heads"); the others keep their default.

    Yields:
        `Matrix` with its kind filled in, or `Skip`. Each tensor yields at least one of them.

    Raises:
        UsageError: Two kinds claim one tensor with equal evidence, or no kind offers the view.
    """
    kinds = modules(__name__)
    if view is not None and view not in named_views():
        raise UsageError(f"view {view!r}: expected one of {', '.join(named_views())}, or none for the default views.")
    known = {tensor.name: tensor for tensor in tensors}
    for tensor in known.values():
        winner = strongest({name: kind.claims(tensor, known) for name, kind in kinds.items()}, tensor.name)
        if winner is None:
            yield Skip(tensor.name, tensor.shape, _why_nobody_claims(tensor))
            continue
        views = getattr(kinds[winner], "requested", {}).get(view, kinds[winner].views)
        for seen in views(tensor, known):
            yield _completed(seen, winner, tensor) if isinstance(seen, Matrix) else seen


def named_views() -> tuple[str, ...]:
    """Names of the views that can be requested besides each kind's default."""
    return tuple(sorted({name for kind in modules(__name__).values() for name in getattr(kind, "requested", {})}))


def _completed(matrix: Matrix, kind: str, tensor: Tensor) -> Matrix:
    """The matrix with its kind, and with the other names of a tied tensor: one spectrum, several names."""
    tied = f"also known as {', '.join(tensor.aliases)}; analysed once" if tensor.aliases else ""
    note = "; ".join(filter(None, (matrix.note, tied)))
    return replace(matrix, kind=kind, aliases=tensor.aliases, note=note)


def _why_nobody_claims(tensor: Tensor) -> str:
    if len(tensor.shape) < 2:
        return {0: "a single number", 1: "one-dimensional"}[len(tensor.shape)] + ": not a weight matrix"
    return "no linear map known for this tensor"
