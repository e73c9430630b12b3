"""What is looked for in a hidden space: the smoothest rotation, the smoothest order of its neurons, or a large diagonal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modescope.descrambling.closed_form import Rotation, objective, smoothest
from modescope.descrambling.diagnostics import judged, scale
from modescope.descrambling.diagonal import Diagonal, max_diag_normsq, max_diag_sum
from modescope.descrambling.operators import Smoothness
from modescope.descrambling.permutations import smoothest_order
from modescope.svd import Values

Reached = Mapping[str, float | None]

DIAGONAL = ("diagonal_sum", "diagonal_normsq")  # these ask for a square weight and for no data


@dataclass(frozen=True, eq=False)
class Space:
    """A hidden space.

    Attributes:
        shown: (d, k) the weight with its rows in that space: W where its outputs are turned, its transpose where its inputs are.
        second: (d, d) second moment of the hidden data; None where the criterion asks for none.
        operator: Smoothness along the hidden index, likewise.
    """

    shown: Values
    second: Values | None = None
    operator: Smoothness | None = None


@dataclass(frozen=True, eq=False)
class Solved:
    """What a criterion found.

    Attributes:
        p: (d, d) orthogonal matrix, or a permutation matrix.
        reached: The objective by the names that `Descrambling.objective` has.
        said: What must be said of it, in sentences.
        rotation: The smoothest rotation of the same data, which bounds an order as well; None without data.
    """

    p: Values
    reached: Reached
    said: tuple[str, ...] = ()
    rotation: Rotation | None = None


def smoothness(space: Space, seed: int, /) -> Solved:  # noqa: ARG001 - a closed form draws nothing
    """The smoothest rotation."""
    rotation, reached = _smoothest(space)
    own = judged(rotation.p, rotation)
    return Solved(rotation.p, {**reached, "reached": own.objective, "score": own.score}, rotation=rotation)


def permutation(space: Space, seed: int, /) -> Solved:
    """The smoothest order of the neurons, or the best that several searches find."""
    rotation, reached = _smoothest(space)
    second, operator = _data(space)
    order = smoothest_order(second, operator, seed=seed)
    mean, p = order.random_mean, order.p
    score = (mean - order.value) / (mean - order.bound) if mean > order.bound else None
    gap = "" if order.exact or order.gap is None else f", at most {order.gap:.2%} above the smoothest there is"
    said = f"A permutation of the neurons, {order.status}{gap}. The network in this order is the same function."
    value = objective(p, second, operator)
    reached = {**reached, "reached": value, "score": score, "random_mean": mean, "random_std": None, "z_identity": None}
    return Solved(p, {**reached, "bound": order.bound}, (said,), rotation)


def diagonal_sum(space: Space, seed: int, /) -> Solved:  # noqa: ARG001 - a closed form draws nothing
    """The rotation of the largest sum on the diagonal."""
    imposed = "P W is symmetric and positive for any weight: that it looks diagonal says nothing of the network."
    return _diagonal(max_diag_sum(space.shown), imposed)


def diagonal_normsq(space: Space, seed: int, /) -> Solved:
    """A rotation of a large sum of squares on the diagonal."""
    return _diagonal(max_diag_normsq(space.shown, seed=seed))


def _smoothest(space: Space) -> tuple[Rotation, Reached]:
    second, operator = _data(space)
    rotation = smoothest(second, operator, weight=space.shown)
    line = scale(rotation)
    return rotation, {
        "identity": line.identity,
        "optimal": line.optimal,
        "maximal": line.maximal,
        "random_mean": line.random_mean,
        "random_std": line.random_std,
        "z_identity": line.z_identity,
    }


def _data(space: Space) -> tuple[Values, Smoothness]:
    assert space.second is not None
    assert space.operator is not None
    return space.second, space.operator


def _diagonal(found: Diagonal, *said: str) -> Solved:
    reached = {"identity": found.identity, "optimal": None, "maximal": found.bound, "reached": found.value, "score": None}
    status = (f"{found.status[0].upper()}{found.status[1:]}.",) if found.status != "ok" else ()
    return Solved(found.p, reached, (*said, *status))


CRITERIA: Mapping[str, Callable[[Space, int], Solved]] = MappingProxyType(
    {"smoothness": smoothness, "permutation": permutation, "diagonal_sum": diagonal_sum, "diagonal_normsq": diagonal_normsq}
)
