"""The result of reading a network in modes: what its factors say, what data say of them, and what neither can say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.modes.counting import Cost
from modescope.modes.factors import Modes
from modescope.modes.reading.broken_power_law import BrokenPowerLaw
from modescope.modes.reading.importance import Agreement
from modescope.modes.reading.latent import Cosine
from modescope.modes.reading.removal import Removal
from modescope.modes.reading.states import Space
from modescope.reports import Report
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.modes/1"


@dataclass(frozen=True, eq=False)
class ReadLayer:
    """One layer in modes.

    Attributes:
        name: Of the layer.
        modes: Its factors, in the gauge they are in; kernels flattened.
        cost: What it costs, and what the dense layer would.
        importance: (p,) by the name of the measure: "omega", "tau", "abs_s", and with data "first_order" and "increase", the exact
            increase of the loss when the mode is taken out alone.
        agreement: Rank correlation of each other measure with "increase", by its name; empty without data.
        power_laws: Fits to sorted "omega" and "tau", by the name.
        effective: n_eff by omega: how many modes carry it, 1 to p.
        stable_rank: `||W||_F^2 / ||W||_2^2`.
        rank: Of the weight, singular values above rounding.
        cosines: Mean |cos| between its modes, on the "output" and on the "input" side.
        removal: Accuracy and loss with modes taken out; None without data.
    """

    name: str
    modes: Modes
    cost: Cost
    importance: Mapping[str, Values]
    agreement: Mapping[str, Agreement]
    power_laws: Mapping[str, BrokenPowerLaw]
    effective: float
    stable_rank: float
    rank: int
    cosines: Mapping[str, Cosine]
    removal: Removal | None


@dataclass(frozen=True, eq=False)
class Reading:
    """A network in modes, read.

    Attributes:
        layers: Those in modes, in the order of the network.
        spaces: States by depth of every network that was given, and mode activations of this one; empty without data.
        samples: Number of samples; 0 without data.
        loss: Mean loss on them.
        accuracy: Share of them that is right; None of numbers and without data.
        skipped: What was not read, with the reason.
        cautions: What must be said of all this, in sentences.
        source: The network and the data.
        options: Everything the numbers depend on besides.
        meta: Versions of what computed it.
    """

    layers: tuple[ReadLayer, ...]
    spaces: tuple[Space, ...] = ()
    samples: int = 0
    loss: float | None = None
    accuracy: float | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    cautions: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ReadLayer:
        """One layer by name.

        Raises:
            KeyError: There is none of that name.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"expected one of {', '.join(layer.name for layer in self.layers)}, got {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.modes/1`, as its part `reading`."""
        from modescope.modes.reading.document import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """A row for every mode of every layer.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.modes.reading.document import frame

        return frame(self)

    def report(self) -> Report:
        """Layers with their importances, removal curves, cosines and latent space, as a page."""
        from modescope.modes.reading.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write a report by its suffix (`.html`, `.json`, ...).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()
