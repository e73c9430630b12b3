"""What came of a training: how it went epoch by epoch, and why it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.reports import Report

if TYPE_CHECKING:
    from pandas import DataFrame

    from modescope.modes.training.trials import Trials


@dataclass(frozen=True)
class Epoch:
    """The network at the end of an epoch.

    Attributes:
        epoch: Its number, from 1.
        loss: Mean loss of a training sample, with penalties, by the network as it was when it met the sample: it lags behind the
            weights.
        train_accuracy: Share of training samples that were right then; None of numbers. It lags likewise.
        validation_loss: Mean loss of the held-out samples; None where there are none.
        validation_accuracy: Share of them that are right; None likewise, and of numbers.
        test_loss: Mean loss of the test samples.
        accuracy: Share of test samples that are right; None of numbers.
        seconds: Time of the epoch, with its tests and without what is written.
        parameters: Trainable numbers of the network.
        modes: Number of modes of every layer in modes, by its name.
        changes: What was pruned or grown after the epoch, in sentences; the numbers above are from before that.
    """

    epoch: int
    loss: float
    train_accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float
    accuracy: float | None
    seconds: float
    parameters: int
    modes: Mapping[str, int]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FittedLayer:
    """A weight of the network that is in modes or could have been.

    Attributes:
        name: Of the layer.
        shape: Outputs and inputs, kernels flattened into the inputs.
        modes: Their number; None of a dense layer.
        parameters: Of the modes, or of the dense weight; what tied layers share is counted in each.
        dense_parameters: Of the dense weight.
    """

    name: str
    shape: tuple[int, int]
    modes: int | None
    parameters: int
    dense_parameters: int


@dataclass(frozen=True, eq=False)
class Fit:
    """A training, or the part of one that was done.

    Attributes:
        epochs: One for each that was finished, in order.
        settings: Everything that the weights depend on besides the network and the data.
        source: The data: name, where they come from, number of samples and SHA-256.
        stopped: Why it ended, in a sentence.
        best_epoch: Number of the epoch of the best validation, or the last one where there is none. With `patience` the network has
            its weights.
        resumed: Epochs that were done by an earlier run.
        notes: What must be said besides, in sentences.
        layers: Weights of the network as it is now.
        dense_parameters: Trainable numbers of the network if every layer in modes were dense.
        meta: Versions, and where it ran.
    """

    epochs: tuple[Epoch, ...]
    settings: Mapping[str, Any]
    source: Mapping[str, Any]
    stopped: str
    best_epoch: int
    resumed: int = 0
    notes: tuple[str, ...] = ()
    layers: tuple[FittedLayer, ...] = ()
    dense_parameters: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kept(self) -> Epoch | None:
        """The epoch whose weights the network has; None where none was finished."""
        if not self.epochs:
            return None
        return self.epochs[self.best_epoch - 1] if self.settings.get("patience") else self.epochs[-1]

    @property
    def accuracy(self) -> float | None:
        """Share of the test samples that the network is right about; None of numbers."""
        return None if self.kept is None else self.kept.accuracy

    @property
    def seconds(self) -> float:
        """Time of all epochs together."""
        return sum(one.seconds for one in self.epochs)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.modes/1`, in its part `training`."""
        return self._alone().to_dict()

    def to_pandas(self) -> "DataFrame":
        """A row for every epoch, with a column for the modes of each layer.

        Raises:
            UsageError: pandas is missing.
        """
        return self._alone().to_pandas()

    def report(self) -> Report:
        """Learning curves and modes by layer, as a page."""
        return self._alone().report()

    def save(self, path: str | Path) -> None:
        """Write the report by the suffix of the file (`.html`, `.json`, `.csv`, ...).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def _alone(self) -> "Trials":
        from modescope.modes.training.trials import Trials

        return Trials((self,))
