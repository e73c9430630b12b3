"""Scan a checkpoint: the spectrum of every weight matrix, and what the measures say of it."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np

from modescope import measuring
from modescope.checkpoints import Checkpoint, open
from modescope.digest import operand_digest
from modescope.errors import Interrupted, UsageError
from modescope.matrix import Matrix, Operand, Skip
from modescope.measures import bind, measures
from modescope.outliers import live
from modescope.result import Row, Scan
from modescope.runs import Journal, save
from modescope.schedule import load, run
from modescope.selection import Selection, select
from modescope.spectrum import KRYLOV_SHARE, Spectrum, decompose
from modescope.svd import Engine
from modescope.twins import twin
from modescope.version import __version__


@dataclass(frozen=True)
class Progress:
    """How far a scan is: multiply-adds done and in all, matrices done and in all, and the row just finished."""

    work: float
    total_work: float
    done: int
    total: int
    row: Row


@dataclass(frozen=True)
class _Plan:
    """What is done to every matrix."""

    bound: Mapping[str, Mapping[str, Any]]
    vectors: int
    twin: int | None  # the seed of the null twin that is kept
    engine: Engine
    fixed: str  # everything but the data that the numbers depend on, as text
    journal: Journal | None


def scan(
    source: Any,
    /,
    *,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    kind: str | Sequence[str] = (),
    min_dim: int = 1,
    view: str | None = None,
    level: float = 0.01,
    seed: int = 0,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    vectors: int = 0,
    twin: bool = False,
    device: str | None = None,
    workers: int | None = None,
    memory: int | None = None,
    save_to: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Scan:
    """Measure every weight matrix of a checkpoint.

    The numbers depend on the data, the options and the seed alone: neither on the number of workers nor on the order, nor on which
    optional libraries are installed.

    Args:
        source: A path, an `nn.Module`, a mapping from names to arrays, or an opened `Checkpoint`.
        include: Globs on tensor names ("*.mlp.*"); by default all.
        exclude: Globs on tensor names.
        kind: Layer kinds ("dense", "convolution"); by default all.
        min_dim: Smallest short side of a matrix.
        view: A named view for the kinds that offer it: "slices" or "operator" of convolutions, "heads" of attention.
        level: Probability that a network of pure noise shows any signal mode; divided by the number of matrices scanned.
        seed: Derives every random twin, together with the name and the view of the matrix.
        options: Options of measures by name, `{"tail": {"bootstrap": 200}}`; `modescope measures` lists them.
        vectors: Also keep the vectors of this many largest modes.
        twin: Also keep the singular values of a null twin of every matrix, for a page to draw behind them.
        device: A CUDA device; by default the CPU.
        workers: Threads, by default one per processor.
        memory: Budget in bytes for what runs at the same time, by default half of the machine's.
        save_to: A run folder, written row by row.
        resume: Continue in that folder: a row is used again where hash, view, options and version agree.
        progress: Called in the calling thread after every matrix.

    Returns:
        `Scan`, with one row per matrix in the order of the checkpoint; a matrix that cannot be decomposed costs its own row only.

    Raises:
        UsageError: An option that does not exist, or a value out of range.
        UnreadableError: The source cannot be opened.
        UnsafeError: Opening it would run code.
        Interrupted: KeyboardInterrupt, with what was finished.
    """
    measuring.check(level=level, seed=seed)
    if vectors < 0:
        raise UsageError(f"vectors: expected a number of modes, 0 or more, got {vectors}.")
    if resume and save_to is None:
        raise UsageError("resume: expected the run folder to continue in save_to.")
    chosen = Selection.of(include=include, exclude=exclude, kind=kind, min_dim=min_dim, view=view)
    checkpoint = open(source)
    matrices, skipped = select(checkpoint.tensors, chosen)
    bound = bind({"seed": seed, "level": level, "tests": max(1, len(matrices))}, options or {})
    said: dict[str, Any] = {
        "seed": seed,
        "level": level,
        "tests": len(matrices),
        "view": view,
        "vectors": vectors,
        "twin": twin,
        "device": device,
        "measures": bound,
    }
    plan = _Plan(
        bound=bound,
        vectors=vectors,
        twin=seed if twin else None,
        engine=measuring.engine(device),
        fixed=json.dumps([__version__, said], sort_keys=True),
        journal=None if save_to is None else Journal(Path(save_to), resume=resume),
    )
    said |= {"include": list(chosen.include), "exclude": list(chosen.exclude), "kind": list(chosen.kind), "min_dim": min_dim}
    finish = partial(_finish, checkpoint, matrices, (*checkpoint.skipped, *skipped), said)
    rows: dict[int, tuple[str, Row]] = {}
    if plan.journal is not None:
        plan.journal.begin(
            measuring.source(checkpoint, hashed=False), said
        )  # hashing is left to the end: the first row need not wait
    try:
        _work(matrices, plan, rows, workers, memory, progress)
    except KeyboardInterrupt:
        result = finish(rows, complete=False)
        _save(result, plan, rows, save_to)
        raise Interrupted(result) from None
    result = finish(rows, complete=True)
    _save(result, plan, rows, save_to)
    return result


def _work(
    matrices: Sequence[Matrix],
    plan: _Plan,
    rows: dict[int, tuple[str, Row]],
    workers: int | None,
    memory: int | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    works = [load(matrix).work for matrix in matrices]
    total, done = sum(works), 0.0
    for index, (key, row) in run(matrices, partial(_row, plan), workers=workers, memory=memory):
        rows[index] = key, row
        if plan.journal is not None:
            plan.journal.add(key, row)
        done += works[index]
        if progress is not None:
            progress(Progress(done, total, len(rows), len(matrices), row))


def _row(plan: _Plan, matrix: Matrix) -> tuple[str, Row]:
    """Decompose and measure one matrix; what is wrong with it becomes its status. Runs in a worker thread."""
    digest = ""
    try:
        matrix, digest = _kept(matrix, hashed=plan.journal is not None)
        key = hashlib.sha256(json.dumps([plan.fixed, digest, matrix.tensor, matrix.view, matrix.kind]).encode()).hexdigest()
        if plan.journal is not None and (known := plan.journal.rows.get(key)) is not None:
            return key, known
        spectrum = _spectrum(matrix, plan)
        results = {name: measure.analyze(spectrum, **plan.bound[name]) for name, measure in measures().items()}
        null = None if plan.twin is None or isinstance(part := live(spectrum), str) else twin(spectrum, part, seed=plan.twin)
    except UsageError:
        raise  # an option is wrong for every matrix
    except Exception as error:  # whatever it is, it costs this row and not the hours before it
        return f"failed {matrix}", replace(measuring.failed(matrix, error), digest=digest)
    return key, replace(
        measuring.blank(matrix),
        note=spectrum.note,
        measures=results,
        s=spectrum.s,
        u=spectrum.u,
        vh=spectrum.vh,
        twin=None if null is None else null.s,
        twin_kind="" if null is None else null.kind,
        engine=spectrum.engine,
        floor=spectrum.floor,
        digest=digest,
    )


def _spectrum(matrix: Matrix, plan: _Plan) -> Spectrum:
    """All values, and the first vectors where they were asked for."""
    if not plan.vectors:
        return decompose(matrix, engine=plan.engine)
    if plan.vectors <= KRYLOV_SHARE * min(matrix.shape):
        top = decompose(matrix, vectors=True, k=plan.vectors, engine=plan.engine)
        return replace(decompose(matrix, engine=plan.engine), u=top.u, vh=top.vh)
    full = decompose(matrix, vectors=True, engine=plan.engine)
    assert full.u is not None
    assert full.vh is not None
    return replace(full, u=np.ascontiguousarray(full.u[:, : plan.vectors]), vh=np.ascontiguousarray(full.vh[: plan.vectors]))


def _kept(matrix: Matrix, *, hashed: bool) -> tuple[Matrix, str]:
    """The matrix with what was read of it, which decompose and the twins read again, and the hash of that.

    What is mapped from a file is let go: mapping it again costs nothing, and its pages are not held while twins need the memory.
    """
    operand = matrix.read()
    digest = operand_digest(operand) if hashed else ""
    return (matrix if _is_mapped(operand) else replace(matrix, read=partial(_held, operand))), digest


def _is_mapped(operand: Operand) -> bool:
    base: object = operand
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap)


def _held(operand: Operand) -> Operand:
    return operand


def _finish(
    checkpoint: Checkpoint,
    matrices: Sequence[Matrix],
    skipped: tuple[Skip, ...],
    said: Mapping[str, Any],
    rows: Mapping[int, tuple[str, Row]],
    *,
    complete: bool,
) -> Scan:
    missing = tuple(Skip(m.tensor, m.shape, "interrupted before its turn") for i, m in enumerate(matrices) if i not in rows)
    source = measuring.source(checkpoint, hashed=complete)
    return Scan(tuple(rows[i][1] for i in sorted(rows)), (*skipped, *missing), source, said, measuring.versions(), complete)


def _save(result: Scan, plan: _Plan, rows: Mapping[int, tuple[str, Row]], folder: str | Path | None) -> None:
    if folder is None or plan.journal is None:
        return
    keys = tuple(rows[i][0] for i in sorted(rows))
    plan.journal.keep(keys)
    save(result, Path(folder), keys=keys)
    plan.journal.drop(keys)
