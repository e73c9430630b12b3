"""One layer fitted by modes: its truncations, the number of modes a rule chooses from them, the new module and what it lost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modescope.errors import MatrixError, UsageError
from modescope.modes.budget import Candidate
from modescope.modes.calibration import Calibration
from modescope.modes.conversion.deciding import Choice, Choose
from modescope.modes.conversion.replaceable import Part
from modescope.modes.conversion.replacing import in_modes
from modescope.modes.counting import Cost
from modescope.modes.factors import Modes
from modescope.modes.truncation import Cut, of_outputs, of_weight
from modescope.moments import Moments

KEPT = 1 << 26  # entries of truncations that wait for a budget to be shared; those beyond are computed twice


@dataclass(frozen=True)
class Layer:
    """One layer of a converted network, or one weight of a recurrent cell.

    Attributes:
        name: As in `named_modules()`; ".ih" and ".hh" follow that of a recurrent cell.
        shape: Of its weight, as torch stores it.
        modes: Number of modes, None where it is dense.
        parameters: Of the weight as it is now.
        dense_parameters: Of the dense weight.
        factored: Whether it is in modes.
        error: `||W - W'||_F / ||W||_F` of the factors as they are stored, rounded to their dtype; 0 where it is dense.
        output_error: Root mean square of what the outputs lose over that of the outputs, on the inputs of the calibration (about
            the mean where the bias was corrected), without the rounding; None where no calibration was used.
        reason: How the number of modes came about, or why it stays dense.
    """

    name: str
    shape: tuple[int, ...]
    modes: int | None
    parameters: int
    dense_parameters: int
    factored: bool
    error: float
    output_error: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class Fit:
    """How weights are cut.

    Attributes:
        inputs: Moments of what goes into layers, or None.
        centred: Whether biases are corrected.
        frozen: Whether strengths are fixed at 1.
        kept: Truncations that were computed and not yet used.
    """

    inputs: Calibration | None
    centred: bool
    frozen: bool
    kept: dict[str, Cut] = field(default_factory=dict)

    def cost(self, part: Part) -> Cost:
        """What a weight costs; it counts as used once where nothing is known of it."""
        uses = 1.0 if self.inputs is None else self.inputs.uses.get(part.layer, 1.0)
        return part.cost(uses=uses, frozen=self.frozen)

    def idle(self, part: Part) -> str:
        """Why a weight has no multiply-adds that modes could save, or empty."""
        if part.kind == "embedding":
            return "to look a vector up takes no multiply-adds, and modes would take some"
        if self.inputs is None or part.layer not in self.inputs.uses:
            return "the calibration does not say how often it is used"
        return ""

    def cut(self, part: Part) -> Cut:
        """All truncations of a weight, by its outputs where its inputs are known.

        Raises:
            UsageError: The moments are of another number of inputs.
            MatrixError: It could not be decomposed.
        """
        if part.name in self.kept:
            return self.kept.pop(part.name)
        moments = self._moments(part)
        try:
            if moments is None:
                return of_weight(part.read())
            return of_outputs(part.read(), moments, centred=self.centred and part.biased)
        except UsageError as error:
            raise UsageError(f"{part.tensor}: {error}") from error
        except MatrixError as error:
            raise MatrixError(f"{part.tensor}: {error}") from error

    def candidate(self, part: Part) -> Candidate | str:
        """A weight for the choice of its number of modes, or why it stays dense."""
        cut = self.cut(part)
        if sum(one.basis.size + one.core.size for one in (cut, *self.kept.values())) <= KEPT:
            self.kept[part.name] = cut
        return self._candidate(part, cut)

    def layer(self, parts: Sequence[Part], choose: Choose) -> tuple[Any, list[Layer]]:
        """The mode layer for a layer, None where it stays, and a row for each of its weights."""
        cuts = {part.name: self.cut(part) for part in parts}
        chosen = {part.name: self._choice(part, cuts[part.name], choose) for part in parts}
        if all(choice.p is None for choice in chosen.values()):
            return None, [self._row(part, None, None, choice.reason) for part, choice in zip(parts, chosen.values(), strict=True)]
        for part in parts:
            if chosen[part.name].p is None:
                most = self.cost(part).most
                chosen[part.name] = Choice(most, f"{most} modes, the most that save parameters, as its cell is in modes")
        numbers = {part.name: choice.p or 0 for part, choice in zip(parts, chosen.values(), strict=True)}
        modes = {part.leaf: cuts[part.name].modes(numbers[part.name]) for part in parts}
        shifts = {part.leaf: cuts[part.name].bias_shift(numbers[part.name]) for part in parts}
        new = in_modes(parts[0].module, modes, shifts, frozen_strength=self.frozen)
        rows = []
        for part in parts:
            stored = getattr(new, part.leaf.removeprefix("weight_")) if part.kind == "cell" else new
            rows.append(self._row(part, cuts[part.name], stored.modes(), self._said(cuts[part.name], chosen[part.name])))
        return new, rows

    def _moments(self, part: Part) -> Moments | None:
        if self.inputs is None or part.kind == "embedding" or part.leaf == "weight_hh":
            return None
        return self.inputs.moments.get(part.layer)

    def _candidate(self, part: Part, cut: Cut) -> Candidate | str:
        if cut.by == "outputs" and cut.total == 0:
            return "on the inputs of the calibration it gives nothing that varies, so that they say nothing of its modes"
        return Candidate(part.name, self.cost(part), cut.relative, cut.by)

    def _choice(self, part: Part, cut: Cut, choose: Choose) -> Choice:
        found = self._candidate(part, cut)
        return Choice(None, f"stays dense: {found}") if isinstance(found, str) else choose(part, found)

    def _said(self, cut: Cut, choice: Choice) -> str:
        said = choice.reason
        if self.inputs is not None and cut.by == "weight":
            said += "; cut by its weight, as the calibration says nothing of its inputs"
        if choice.p is not None and choice.p > cut.rank:
            said += f"; the weight has rank {cut.rank}, and the modes beyond it are 0 and cannot be trained"
        return said

    def _row(self, part: Part, cut: Cut | None, stored: Modes | None, reason: str) -> Layer:
        cost = self.cost(part)
        if cut is None or stored is None:
            return Layer(part.name, part.shape, None, cost.dense, cost.dense, False, 0.0, None, reason)
        p, w = stored.count, part.read()
        size = float(np.linalg.norm(w.astype(np.float64)))
        error = float(np.linalg.norm(w - stored.weight)) / size if size > 0 else 0.0
        output_error = math.sqrt(cut.relative[p]) if cut.by == "outputs" else None
        return Layer(part.name, part.shape, p, cost.factored(p), cost.dense, True, error, output_error, reason)
