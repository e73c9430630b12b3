"""What can be shown: frozen blocks of pure data that an analysis yields and a renderer draws; neither knows the other."""

from dataclasses import dataclass

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        title: One line, or empty.
        columns: Names of the columns.
        rows: Cells in the order of the columns; None is a missing value.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Note:
    """One or more plain sentences."""

    text: str


Block = Table | Note
