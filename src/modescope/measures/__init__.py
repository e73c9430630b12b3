"""Measures: what can be said of ONE spectrum. One file per measure; the file name is the name of the measure.

A measure module has `analyze(spectrum, /, *, option=default) -> result`, where the result is a frozen dataclass whose numbers
are `quantity` fields and whose `status` is "ok" or a sentence, and `Result`, the class of that result. The options `seed`,
`level` and `tests` mean the same in every measure that has them: the integer all randomness is derived from, the family-wise
level, and the number of matrices in the family.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol

from modescope.registry import modules
from modescope.spectrum import Spectrum


class Measure(Protocol):
    """What a module in this folder must offer; keyword-only options may be added to `analyze`."""

    def analyze(self, spectrum: Spectrum, /) -> Any:
        """Read one spectrum and return a frozen result with a status."""


def measures() -> Mapping[str, ModuleType]:
    """Every measure by name."""
    return modules("modescope.measures")
