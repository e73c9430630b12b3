"""Inspect a checkpoint: what the file is and what would be analysed, without reading a weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from modescope.blocks import Note, Table
from modescope.checkpoints import open
from modescope.errors import UnsafeError
from modescope.matrix import Matrix, Skip, Tensor
from modescope.reports import Report
from modescope.selection import Selection, select
from modescope.version import __version__

SCHEMA = "modescope.inspect/1"


@dataclass(frozen=True)
class Inspection:
    """The contents of a checkpoint by its header.

    Attributes:
        source: path, format, number of tensors, of parameters, bytes, and the metadata that the file's writer left.
        tensors: Every tensor.
        matrices: What a scan would analyse.
        skipped: What it would not, and why.
        unsafe: What was refused because reading it would run code, as name and reason.
    """

    source: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    matrices: tuple[Matrix, ...]
    skipped: tuple[Skip, ...]
    unsafe: tuple[Skip, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data under the schema `modescope.inspect/1`."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "source": dict(self.source),
            "tensors": [
                {"name": t.name, "shape": list(t.shape), "dtype": t.stored, "bytes": nbytes(t), "aliases": list(t.aliases)}
                for t in self.tensors
            ],
            "matrices": [
                {"name": m.tensor, "view": m.view, "kind": m.kind, "shape": list(m.shape), "note": m.note or None}
                for m in self.matrices
            ],
            "skipped": [_plain(skip) for skip in self.skipped],
            "unsafe": [_plain(skip) for skip in self.unsafe],
        }

    def report(self) -> Report:
        """The same as tables for people."""
        said = self.source
        blocks: list[Table | Note] = [
            Note(
                f"{said['path'] or 'live object'}: {said['format']}, {said['tensors']} tensors, {said['parameters']:,} parameters, "
                f"{said['bytes']:,} bytes"
            ),
            *(
                [Note("Its writer says: " + "; ".join(f"{k}: {v}" for k, v in said["metadata"].items()))]
                if said["metadata"]
                else []
            ),
            Table(
                f"{len(self.matrices)} matrices to analyse",
                ("matrix", "view", "kind", "shape", "dtype", "note"),
                tuple((m.tensor, m.view, m.kind, "×".join(map(str, m.shape)), m.stored, m.note) for m in self.matrices),
            ),
            Table(
                f"{len(self.skipped)} left out",
                ("tensor", "shape", "reason"),
                tuple((s.name, "×".join(map(str, s.shape)), s.reason) for s in self.skipped),
            ),
        ]
        if self.unsafe:
            blocks.append(Table("refused as unsafe", ("part", "reason"), tuple((s.name, s.reason) for s in self.unsafe)))
        return Report(tuple(blocks), self.to_dict(), "matrices")

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def inspect(
    source: Any,
    /,
    *,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    kind: str | Sequence[str] = (),
    min_dim: int = 1,
    view: str | None = None,
) -> Inspection:
    """Say what a checkpoint holds and what `scan` with the same selection would do with it; no weight is read.

    An input whose reading would run code is not an error here: it is what the inspection reports.

    Args:
        source: What `scan` takes.
        include: As for `scan`.
        exclude: As for `scan`.
        kind: As for `scan`.
        min_dim: As for `scan`.
        view: As for `scan`.

    Raises:
        UsageError: An option that does not exist.
        UnreadableError: The source cannot be opened.
    """
    chosen = Selection.of(include=include, exclude=exclude, kind=kind, min_dim=min_dim, view=view)
    try:
        checkpoint = open(source)
    except UnsafeError as error:
        said = {"path": str(source), "format": "refused", "tensors": 0, "parameters": 0, "bytes": _size(source), "metadata": {}}
        return Inspection(said, (), (), (), (Skip(str(source), (), str(error)),))
    matrices, skipped = select(checkpoint.tensors, chosen)
    said = {
        "path": None if checkpoint.path is None else str(checkpoint.path),
        "format": checkpoint.format,
        "tensors": len(checkpoint.tensors),
        "parameters": sum(tensor.size for tensor in checkpoint.tensors),
        "bytes": sum(nbytes(tensor) for tensor in checkpoint.tensors),
        "metadata": dict(checkpoint.metadata),
    }
    return Inspection(said, checkpoint.tensors, matrices, (*checkpoint.skipped, *skipped))


def nbytes(tensor: Tensor) -> int:
    """Bytes of a tensor as stored, 0 where its dtype is none that NumPy or ml_dtypes know."""
    known = getattr(ml_dtypes, tensor.stored, None)
    try:
        return int(tensor.size * np.dtype(known or tensor.stored).itemsize)
    except TypeError:
        return 0


def _plain(skip: Skip) -> dict[str, Any]:
    return {"name": skip.name, "shape": list(skip.shape), "reason": skip.reason}


def _size(source: Any) -> int:
    path = Path(source)
    return path.stat().st_size if path.is_file() else 0
