"""Measures: what can be said of ONE spectrum. One file per measure; the file name is the name of the measure.

A measure module has `analyze(spectrum, /, *, option=default) -> result`, where the result is a frozen dataclass whose numbers
are `quantity` fields and whose `status` is "ok" or a sentence, and `Result`, the class of that result. The options `seed`,
`level` and `tests` mean the same in every measure that has them: the integer all randomness is derived from, the family-wise
level, and the number of matrices in the family.

A measure may also have `blocks(kept, result, /) -> Iterator[Block]`: its sentences and drawings, made from its result and from what
is kept of the spectrum when the matrix is gone (`pictures.Kept`).
"""

import math
from collections.abc import Mapping
from inspect import signature
from types import ModuleType
from typing import Any, Protocol

from modescope.blocks import Block, Note
from modescope.errors import UsageError
from modescope.pictures import Kept
from modescope.registry import modules
from modescope.spectrum import Spectrum


class Measure(Protocol):
    """What a module in this folder must offer; keyword-only options may be added to `analyze`."""

    def analyze(self, spectrum: Spectrum, /) -> Any:
        """Read one spectrum and return a frozen result with a status."""


def blocks(name: str, kept: Kept, result: Any, /) -> tuple[Block, ...]:
    """What a measure says and draws of its result; a fault in it becomes a note, so that the rest is still shown."""
    draw = getattr(measures()[name], "blocks", None)
    try:
        return tuple(draw(kept, result)) if draw is not None else ()
    except Exception as error:
        return (Note(f"{name} could not be drawn: {type(error).__name__}: {error}", level="error"),)


def measures() -> Mapping[str, ModuleType]:
    """Every measure by name."""
    return modules("modescope.measures")


WORDS = {int: "an integer of 0 or more", float: "a number of 0 or more", bool: "true or false"}
COMMON = ("seed", "level", "tests")  # options that a scan gives to every measure that has them


def options(measure: ModuleType) -> dict[str, Any]:
    """A measure's own options and their defaults, read from the signature of `analyze`."""
    parameters = signature(measure.analyze).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in COMMON}


def bind(common: Mapping[str, Any], chosen: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Every measure with the options it will be called with.

    Args:
        common: Values of `seed`, `level` and `tests`.
        chosen: Changed options by measure and name, `{"tail": {"bootstrap": 200}}`.

    Raises:
        UsageError: No such measure or option, or a value of another type than the default's.
    """
    bound = {}
    known = measures()
    for name in chosen:
        if name not in known:
            raise UsageError(f"measure {name!r}: expected one of {', '.join(known)}.")
    for name, measure in known.items():
        mine = options(measure)
        for key, value in chosen.get(name, {}).items():
            if key not in mine:
                raise UsageError(f"option {name}.{key}: expected one of {', '.join(f'{name}.{o}' for o in mine) or 'none'}.")
            expected = type(mine[key])
            fits = type(value) is expected or (expected is float and type(value) is int)
            if not fits or (expected is not bool and expected in (int, float) and not 0 <= value < math.inf):
                raise UsageError(f"option {name}.{key}: expected {WORDS.get(expected, expected.__name__)}, got {value!r}.")
            mine[key] = value
        accepted = signature(measure.analyze).parameters
        bound[name] = {**mine, **{key: value for key, value in common.items() if key in accepted}}
    return bound
