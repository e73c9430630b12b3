"""The result of a compression: what became of every weight, what it lost, and what the file holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.matrix import Skip
from modescope.reports import Report

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.modes/1"


@dataclass(frozen=True)
class CompressedLayer:
    """One weight that could become modes.

    Attributes:
        name: Name of the tensor.
        kind: Layer kind.
        shape: (out, in), kernels flattened into the inputs.
        dtype: Of the tensor in the source.
        modes: Their number, or None where the weight stays as it is.
        parameters: Of the weight as it is now counted: those of its modes, also where the dense form stores their product.
        dense_parameters: Of the weight in the source.
        factored: Whether the file holds its factors.
        error: `||W - W'||_F / ||W||_F`: of what is stored, or what is foreseen where nothing was written; 0 for one that stays.
        spectral_error: `||W - W'||_2 / ||W||_2`, likewise; None where nothing was written.
        output_error: Root mean square of what the outputs lose over that of the outputs, on the inputs of the calibration; None
            without it.
        bias: Name of the bias that takes up the mean of what is lost, or empty.
        reason: How the number of modes came about.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    dtype: str
    modes: int | None
    parameters: int
    dense_parameters: int
    factored: bool
    error: float
    spectral_error: float | None
    output_error: float | None
    bias: str
    reason: str


@dataclass(frozen=True)
class Totals:
    """Of the whole checkpoint.

    Attributes:
        parameters: Counted as in its layers.
        dense_parameters: In the source.
        bytes: Of the tensors in the file, or that it would have.
        dense_bytes: Of the tensors in the source.
        in_modes: Weights that became modes.
        copied: Tensors that are the same bit for bit.
    """

    parameters: int
    dense_parameters: int
    bytes: int
    dense_bytes: int
    in_modes: int
    copied: int

    @property
    def share(self) -> float:
        """Of the parameters that are left."""
        return self.parameters / self.dense_parameters if self.dense_parameters else 1.0


@dataclass(frozen=True)
class Compression:
    """What became of a checkpoint.

    Attributes:
        layers: Weights that could become modes, in the order of the checkpoint.
        others: Tensors that are copied, with the reason.
        totals: Of the whole.
        output: The file, or None where this is a plan only.
        verified: Whether the file was read back and every tensor compared: copies bit for bit, modes by their errors.
        left_out: Parts of the source that are no weights and are not in the file, with the reason.
        source: Path, format, SHA-256, number of tensors and of parameters.
        options: Everything the numbers depend on besides.
        meta: Versions of what computed it.
    """

    layers: tuple[CompressedLayer, ...]
    others: tuple[Skip, ...]
    totals: Totals
    output: Path | None
    verified: bool
    left_out: tuple[Skip, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __iter__(self) -> Iterator[CompressedLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, name: str) -> CompressedLayer:
        """One weight by its name.

        Raises:
            KeyError: There is none of that name that could become modes.
        """
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"expected one of {', '.join(layer.name for layer in self.layers[:8])} ..., got {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.modes/1`."""
        from modescope.modes.compression.document import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """A row for every weight that could become modes.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.modes.compression.document import frame

        return frame(self)

    def report(self) -> Report:
        """The totals, every weight with its errors, and what was copied, as a page."""
        from modescope.modes.compression.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write the report in the form that the suffix of the file names (`.html`, `.json`, `.md`, `.csv`).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        self.report().save(path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()
