"""A layer whose hidden space was turned: what its readings and its controls are made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from modescope.descrambling import controls
from modescope.descrambling.axis import InputAxis
from modescope.descrambling.criteria import CRITERIA, DIAGONAL, Solved, Space
from modescope.descrambling.source import Given
from modescope.descrambling.wiretaps import joint, left, right
from modescope.moments import Moments
from modescope.seeds import generator
from modescope.svd import Values

SIDES = ("left", "right", "joint")


@dataclass(frozen=True, eq=False)
class Turned:
    """One layer in the basis that a criterion found.

    Attributes:
        found: The layer.
        side: One of `SIDES`.
        criterion: One of `CRITERIA`.
        space: Its hidden space.
        solved: What the criterion found there.
        view: (d, k) the weight as it is shown, with its rows in the hidden space.
        modes: (d, k) the same in the modes of the operator; the view itself where there is none.
        axis: Of the k places along the side that is not turned.
        moments: Of what goes into the layer; None where the criterion asks for no data.
        untrained: The layer before training, where it was given.
        fed: Moments of what went into it then, where that is known.
        centred: The mean of the hidden data was taken off.
        draws: Of nulls.
        seed: Of all draws.
    """

    found: Given
    side: str
    criterion: str
    space: Space
    solved: Solved
    view: Values
    modes: Values
    axis: InputAxis
    moments: Moments | None
    untrained: Given | None
    fed: Moments | None
    centred: bool
    draws: int
    seed: int

    @property
    def needs_no_data(self) -> bool:
        """It is a diagonal criterion."""
        return self.criterion in DIAGONAL

    def initial(self) -> tuple[Values, Values | None]:
        """Weight and bias of the layer before training; where it was not given, random ones."""
        if self.untrained is not None:
            return self.untrained.weight, self.untrained.bias
        return controls.uniform(generator(self.seed, "descrambling", "untrained"), *self.found.weight.shape), None

    @cached_property
    def before(self) -> tuple[Space, Solved] | None:
        """The hidden space before training and what the criterion finds there; None for inputs of the layer that are not known."""
        space = self._before()
        return None if space is None else (space, self.solve(space))

    def _before(self) -> Space | None:
        weight, bias = self.initial()
        if self.needs_no_data:
            return self.other(weight, None)
        assert self.moments is not None
        if self.side == "right" and self.fed is None:
            return None
        moments = self.moments if self.side == "left" or self.fed is None else self.fed
        return self.other(weight, second(self.side, weight, bias, moments, centred=self.centred))

    def other(self, weight: Values, moment: Values | None) -> Space:
        """The same hidden space with another weight and other data."""
        return Space(oriented(weight, self.side), moment, self.space.operator)

    def solve(self, space: Space) -> Solved:
        """What the same criterion finds in another space."""
        return CRITERIA[self.criterion](space, self.seed)


def oriented(weight: Values, side: str, /) -> Values:
    """The weight with its rows in the hidden space."""
    return weight if side == "left" else np.ascontiguousarray(weight.T)


def second(side: str, weight: Values, bias: Values | None, moments: Moments, /, *, centred: bool) -> Values:
    """Second moment of the hidden data of a side.

    Raises:
        UsageError: Shapes do not fit, or all is zero.
    """
    if side == "left":
        return left(weight, moments, bias, centred=centred)
    return right(moments, centred=centred) if side == "right" else joint(moments, weight, centred=centred)
