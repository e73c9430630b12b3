"""The result of profiling a network: its modes with what they respond to, classes, and how far both can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.profiles.algebra import Profile
from modescope.profiles.basis import Basis
from modescope.profiles.class_sums import ClassStatistics
from modescope.profiles.exemplars import Crops, Extremes
from modescope.profiles.features import Feature
from modescope.profiles.hypergraph import ClassHypergraph
from modescope.profiles.membership import Membership
from modescope.profiles.operator_norms import OperatorNorm
from modescope.profiles.sample import Sample
from modescope.profiles.selection import Ranked
from modescope.profiles.separation import Separation
from modescope.profiles.truncation import Truncations
from modescope.profiles.validation import Validation
from modescope.reports import Report

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA = "modescope.profile/1"


@dataclass(frozen=True, eq=False)
class ProfiledLayer:
    """One call of a layer, and what its modes respond to.

    Attributes:
        site: Name of the layer, with "@0", "@1" behind it where the network calls it several times.
        basis: Its modes.
        output: (d, *positions) of its output for one image.
        kept: Modes that are followed, by their singular values alone.
        extremes: Images with the largest and the smallest signals.
        statistics: Signals by class; None without labels.
        membership: Modes of each class; None without labels.
        separation: How far classes are apart, by how signals were standardised: the way that was asked for, and "none"; empty
            without labels.
        features: Images that were made to drive its leading modes, or a sentence that says why there are none.
        validation: Its spectrum beside noise and beside the start of training; of a grouped convolution one for each group.
        operator: Norm of the convolution beside that of its unfolding, with the bounds between them; None of other layers.
    """

    site: str
    basis: Basis
    output: tuple[int, ...]
    kept: Ranked
    extremes: Extremes
    statistics: ClassStatistics | None
    membership: Membership | None
    separation: Mapping[str, Separation]
    features: tuple[Feature, ...] | str
    validation: tuple[Validation, ...]
    operator: OperatorNorm | None


@dataclass(frozen=True, eq=False)
class NetworkProfile:
    """What the modes of a network respond to on a data set.

    Attributes:
        layers: In the order in which they run.
        whole: Which modes matter, over all images.
        classes: The same by class, by its name; empty without labels.
        hypergraph: Classes as sets of modes; None without labels.
        crops: Pictures of the images at the ends of the modes that are shown.
        sample: Signals of some images, for distributions.
        truncation: Accuracy by what is kept of the modes, or a sentence that says why there is none.
        images: Number of images.
        accuracy: Share of images whose largest output is their label; None without labels or classes among the outputs.
        skipped: Layers that are left out, with the reason.
        unread: Images that could not be read, with the reason.
        cautions: What must be said of all this, in sentences.
        source: The network and the data.
        options: Everything the numbers depend on besides.
        meta: Versions of what computed it.
    """

    layers: tuple[ProfiledLayer, ...]
    whole: Profile
    classes: Mapping[str, Profile]
    hypergraph: ClassHypergraph | None
    crops: Crops
    sample: Sample
    truncation: Truncations | str
    images: int
    accuracy: float | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    cautions: tuple[str, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, site: str) -> ProfiledLayer:
        """One layer by name.

        Raises:
            KeyError: There is none of that name.
        """
        for layer in self.layers:
            if layer.site == site:
                return layer
        raise KeyError(f"expected one of {', '.join(layer.site for layer in self.layers)}, got {site!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.profile/1`."""
        from modescope.profiles.document import document

        return document(self)

    def to_pandas(self) -> "DataFrame":
        """A row for every mode that is followed.

        Raises:
            UsageError: pandas is missing.
        """
        from modescope.profiles.document import frame

        return frame(self)

    def to_hif(self) -> dict[str, Any]:
        """The hypergraph of classes in the Hypergraph Interchange Format.

        Raises:
            UsageError: There are no labels, and so no classes.
        """
        from modescope.profiles.document import interchanged

        return interchanged(self)

    def report(self) -> Report:
        """Layers with their modes, pictures, distributions, classes and curves, as a page."""
        from modescope.profiles.page import report

        return report(self)

    def save(self, path: str | Path) -> None:
        """Write the profiles (`.safetensors`), the hypergraph (`.hif.json`), or a report by its suffix (`.html`, `.json`, ...).

        Raises:
            UsageError: Another suffix, or a file that cannot be written.
        """
        from modescope.profiles.arrays import save

        save(self, path)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()
