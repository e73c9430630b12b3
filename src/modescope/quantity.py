"""A measured number is a documented field: what it means, its formula, unit and range, when it means nothing, its source.

The reference of measures in the documentation, the columns of tables and the JSON schema are all made from these fields.
"""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """What a reader must know about one number.

    Attributes:
        meaning: One plain sentence.
        formula: In the symbols of the reference: `s` singular values, `lambda = s**2`, `M <= N` the sides of the matrix.
        unit: "W" (units of a weight), "W^2", "1" (dimensionless), "count", "probability".
        range: Where it can lie.
        void: When it means nothing, and is null.
        source: Paper and equation, or "definition".
    """

    meaning: str
    formula: str
    unit: str
    range: str
    void: str
    source: str


def quantity(*, meaning: str, formula: str, unit: str, range: str, void: str, source: str) -> Any:
    """A dataclass field, None by default, that carries its `Quantity`; see there for the arguments."""
    return field(default=None, metadata={"quantity": Quantity(meaning, formula, unit, range, void, source)})


def quantities(result: type) -> dict[str, Quantity]:
    """The documented numbers of a result class, by field name, in order."""
    return {item.name: item.metadata["quantity"] for item in fields(result) if "quantity" in item.metadata}
