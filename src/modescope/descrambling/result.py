"""The result of descrambling a layer: its weights as a criterion orders them, and everything to judge the picture by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.reports import Report
from modescope.svd import Values

if TYPE_CHECKING:
    from pandas import DataFrame

    from modescope.descrambling.network import ReorderedNetwork

SCHEMA = "modescope.descramble/1"


@dataclass(frozen=True, eq=False)
class Descrambling:
    """One layer in another basis of its hidden space.

    `P W` is a view of the weights and no network: a rotation does not commute with an activation. Only a permutation does.

    Attributes:
        layer: Name of the tensor or module, or "weight" where arrays were given.
        side: "left" (the outputs of the layer are rotated, `P W`), "right" (its inputs, `W P^T`), or "joint" (its inputs, by its
            own weights and by what comes in).
        criterion: "smoothness", "permutation", "diagonal_sum" or "diagonal_normsq".
        difference: Name of the smoothness operator, or empty where the criterion has none.
        centred: The mean of the hidden data was taken off.
        samples: Number of samples behind the moments; 0 where none were needed.
        weight: (m, n) the weight, in the orientation in which it acts.
        p: (d, d) orthogonal matrix of the hidden space, or a permutation matrix; d is m on the left side, n on the others.
        view: (m, n) the weight in the new basis: `P W`, or `W P^T`.
        modes: (m, n) `V^T P W` or `W P^T V`, the view in the modes of the operator, which no gauge can change; the view itself
            where there is no operator.
        a: (d,) eigenvalues of `D^T D`, ascending; empty without an operator.
        b: (d,) eigenvalues of the second moment of the hidden data, descending; empty where none was used.
        s: (k,) singular values of the weight, which a rotation leaves as they are.
        rank: Of the second moment; directions beyond it are arbitrary.
        ties: Groups of equal eigenvalues inside which the basis is fixed by convention only: of the operator, and of the data.
        objective: identity, optimal, reached, maximal, random_mean, random_std, score, z_identity, bound by name; None where one
            means nothing.
        axis: What the index that is not turned means: of the inputs on the left side, of the outputs on the others; or None.
        readings: "fourier" (`Concentration`, `Ridge`, and the ridge that sorted gains predict), "modes" (a tuple of `ModeReading`),
            "filter", "baseline", "spectrogram", "gram", "pairing": each with its null, or a sentence that says why there is none.
        controls: The criterion for "untrained", "isotropic" and "shuffled", that a scramble beforehand changes nothing
            ("scrambled"), and how well the data are known ("bootstrap"); likewise.
        cautions: What must be said of the picture, in sentences.
        source: path, format, sha256 of the checkpoint, or what was given.
        options: Everything the numbers depend on besides the data.
        meta: Versions of what computed it.
    """

    layer: str
    side: str
    criterion: str
    difference: str
    centred: bool
    samples: int
    weight: Values
    p: Values
    view: Values
    modes: Values
    a: Values
    b: Values
    s: Values
    rank: int
    ties: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
    objective: Mapping[str, float | None]
    axis: Any = None
    readings: Mapping[str, Any] = field(default_factory=dict)
    controls: Mapping[str, Any] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.descramble/1`; the arrays are saved by `save`."""
        from modescope.descrambling.document import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """The view of the weights, one row per hidden dimension in its new order.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.descrambling.arrays import frame

        return frame(self)

    def report(self) -> Report:
        """The weights before and after as a page, with their spectra, readings, controls and cautions."""
        from modescope.descrambling.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write `.safetensors` (P, P W, V^T P W, spectra), or a report by its suffix (`.html`, `.json`, `.md`, `.csv`).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        from modescope.descrambling.arrays import save

        save(self, path)

    def reordered(self, source: Any, /, *, inputs: Any = None, wiring: Any = None) -> "ReorderedNetwork":
        """The whole network with its neurons in the order of a permutation, proven to be the same function.

        Args:
            source: The network: a path, an `nn.Module`, or a mapping from names to arrays. It is left as it is.
            inputs: Of a module, which is then traced and run before and after: a tensor, a list of batches, or a DataLoader.
                Without them layers that meet are run on random signals.
            wiring: Which layer feeds which, as for `graph`; by default traced, or as far as names tell.

        Returns:
            `ReorderedNetwork`, whose `state` is the checkpoint and `difference` the proof.

        Raises:
            UsageError: It is no permutation, or the order cannot be applied without changing the function; the message says why.
            UnreadableError: The source cannot be opened.
        """
        from modescope.descrambling.network import reordered_network

        if self.criterion != "permutation":
            raise UsageError(
                f"reordered: expected the criterion permutation, got {self.criterion}: a rotation does not commute with an "
                "activation, so that P W is a view and no network."
            )
        return reordered_network(self.p, self.layer, self.side, source, inputs=inputs, wiring=wiring)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()
