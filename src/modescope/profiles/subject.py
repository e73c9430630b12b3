"""A network with its images, looked over: what the parts of a profile are made from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.profiles.basis import Basis
from modescope.profiles.images import Images
from modescope.profiles.selection import Ranked
from modescope.profiles.survey import Survey


@dataclass(frozen=True, eq=False)
class Subject:
    """What is looked at.

    Attributes:
        model: The network.
        images: The data set.
        survey: Of this network.
        bases: Modes by site.
        kept: Which of them are followed, by site.
    """

    model: Any
    images: Images
    survey: Survey
    bases: Mapping[str, Basis]
    kept: Mapping[str, Ranked]
