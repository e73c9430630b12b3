"""Which matrices of a checkpoint are analysed: globs on names, kinds, a smallest side; what is left out says why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from modescope.errors import UsageError
from modescope.layers import matrices, named_views
from modescope.matrix import Matrix, Skip, Tensor
from modescope.registry import modules


@dataclass(frozen=True)
class Selection:
    """What to look at.

    Attributes:
        include: Globs on tensor names, case-sensitive; a name must match one of them, unless there are none.
        exclude: Globs on tensor names; a name must match none.
        kind: Layer kinds; a matrix must be of one of them, unless there are none.
        min_dim: Smallest short side.
        view: A named view for the kinds that offer it, or None for each kind's default.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    min_dim: int = 1
    view: str | None = None

    @classmethod
    def of(
        cls,
        *,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        kind: str | Sequence[str] = (),
        min_dim: int = 1,
        view: str | None = None,
    ) -> "Selection":
        """A selection from what a user wrote: one text or several for each of the lists.

        Raises:
            UsageError: A kind or view that does not exist, or a smallest side below 1.
        """
        kinds, views = modules("modescope.layers"), named_views()
        for name in _several(kind):
            if name not in kinds:
                raise UsageError(f"kind {name!r}: expected one of {', '.join(kinds)}.")
        if view is not None and view not in views:
            raise UsageError(f"view {view!r}: expected one of {', '.join(views)}.")
        if min_dim < 1:
            raise UsageError(f"min_dim: expected a length of at least 1, got {min_dim}.")
        return cls(_several(include), _several(exclude), _several(kind), min_dim, view)


def select(tensors: Iterable[Tensor], selection: Selection) -> tuple[tuple[Matrix, ...], tuple[Skip, ...]]:
    """The matrices of a checkpoint that are selected, and a reason for every tensor that gives none.

    Raises:
        UsageError: Two layer kinds claim one tensor with equal evidence.
    """
    taken: list[Matrix] = []
    left: list[Skip] = []
    for found in matrices(tensors, view=selection.view):
        if isinstance(found, Skip):
            left.append(found)
        elif reason := _why_not(found, selection):
            left.append(Skip(found.tensor, found.shape, reason))
        else:
            taken.append(found)
    return tuple(taken), tuple(left)


def _several(text: str | Sequence[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def _why_not(matrix: Matrix, selection: Selection) -> str:
    """Empty for a matrix that is selected."""
    names = (matrix.tensor, *matrix.aliases)
    if selection.include and not any(fnmatchcase(name, glob) for name in names for glob in selection.include):
        return f"not selected: no match for include {', '.join(selection.include)}"
    for glob in selection.exclude:
        if any(fnmatchcase(name, glob) for name in names):
            return f"not selected: matches exclude {glob}"
    if selection.kind and matrix.kind not in selection.kind:
        return f"not selected: kind {matrix.kind}"
    if min(matrix.shape) < selection.min_dim:
        return f"not selected: {matrix.view} has short side {min(matrix.shape)}, below {selection.min_dim}"
    return ""
