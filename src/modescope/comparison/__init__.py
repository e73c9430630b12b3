"""Compare checkpoints: measures side by side, the difference as a spectrum of its own, and modes followed from one to the next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from modescope import measuring
from modescope.checkpoints import Checkpoint, open
from modescope.comparison import intruders as intruding
from modescope.comparison.difference import Difference, difference
from modescope.comparison.difference import matrix as subtracted
from modescope.comparison.matching import Modes, unchanged
from modescope.comparison.matching import match as matched_modes
from modescope.comparison.pairing import Pairing, Unpaired, pair
from modescope.comparison.result import Change, Comparison, Layer
from modescope.comparison.strands import crossings, strands
from modescope.comparison.subspaces import Inside, angles, inside
from modescope.digest import operand_digest
from modescope.errors import Interrupted, UsageError
from modescope.matrix import Matrix
from modescope.measures import bind, measures
from modescope.result import Row
from modescope.scanning import Progress
from modescope.schedule import budget, load, run
from modescope.selection import Selection, select
from modescope.spectrum import Spectrum, decompose
from modescope.svd import Engine

WRITTEN = 16  # modes of a difference whose directions are looked at
TOGETHER = 4  # times the memory of one decomposition that a layer takes: vectors of up to three checkpoints, and a difference


@dataclass(frozen=True)
class _Plan:
    """What is done to every layer."""

    layers: Mapping[tuple[str, str], tuple[Matrix, ...]]
    bound: Mapping[str, Mapping[str, Any]]
    modes: int
    epsilon: float
    level: float
    engine: Engine


@dataclass(frozen=True, eq=False)
class _Seen:
    """One matrix of one checkpoint: its row, its spectrum, and its modes or why there are none."""

    matrix: Matrix
    row: Row
    spectrum: Spectrum | None
    modes: Modes | str


def compare(
    a: Any,
    b: Any,
    /,
    *more: Any,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    kind: str | Sequence[str] = (),
    min_dim: int = 1,
    view: str | None = None,
    level: float = 0.01,
    seed: int = 0,
    modes: int = 32,
    epsilon: float = intruding.EPSILON,
    device: str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """Compare checkpoints of one network in order: before and after fine-tuning, or the stages of a training.

    Matrices are paired by name and view; names may differ by a prefix such as "module.". The measures of each are those of `scan`
    with the same options. Every overlap stands beside what random directions show.

    Args:
        a: The first checkpoint: whatever `open` takes.
        b: The second one.
        *more: Later ones.
        include: As for `scan`, by the names in each checkpoint.
        exclude: As for `scan`.
        kind: As for `scan`.
        min_dim: As for `scan`.
        view: As for `scan`; the vectors that modes are matched by exist of all views but "operator".
        level: Probability that a network of pure noise shows any signal mode, and random directions any match in any change;
            divided by the number of matrices, for matches also by the number of changes.
        seed: Derives every random twin, as for `scan`.
        modes: How many of the largest modes are matched.
        epsilon: A leading mode is an intruder where its largest |cosine| with any earlier mode is below this.
        device: A CUDA device; by default the CPU.
        progress: Called in the calling thread after every layer, with the row of the last checkpoint.

    Returns:
        `Comparison`, with one layer per matrix that all have; what fails costs its own layer only.

    Raises:
        UsageError: A value out of range, or checkpoints that have no matrix in common.
        UnreadableError: A source cannot be opened.
        UnsafeError: Opening it would run code.
        Interrupted: KeyboardInterrupt, with what was finished.
    """
    measuring.check(level=level, seed=seed)
    if modes < 1:
        raise UsageError(f"modes: expected how many modes to match, 1 or more, got {modes}.")
    if not 0 < epsilon <= 1:
        raise UsageError(f"epsilon: expected a cosine above 0 and at most 1, got {epsilon}.")
    chosen = Selection.of(include=include, exclude=exclude, kind=kind, min_dim=min_dim, view=view)
    checkpoints = [open(source) for source in (a, b, *more)]
    selected = [select(checkpoint.tensors, chosen)[0] for checkpoint in checkpoints]
    pairing = pair(selected)
    if not pairing.layers:
        raise UsageError(_nothing_common(checkpoints, selected, pairing))
    tests = len(pairing.layers)
    changes = len(checkpoints) - 1 + (len(checkpoints) > 2)  # every step, and the whole
    bound = bind({"seed": seed, "level": level, "tests": tests}, {})
    plan = _Plan(
        {(layer[0].tensor, layer[0].view): layer for layer in pairing.layers},
        bound,
        modes,
        epsilon,
        level / (tests * changes),
        measuring.engine(device),
    )
    options: dict[str, Any] = {"seed": seed, "level": level, "tests": tests, "modes": modes, "epsilon": epsilon, "view": view}
    options |= {"include": list(chosen.include), "exclude": list(chosen.exclude), "kind": list(chosen.kind), "min_dim": min_dim}
    options |= {"device": device, "measures": bound}
    done: dict[int, Layer] = {}
    finish = partial(_finish, checkpoints, pairing, options, done)
    firsts = [layer[0] for layer in pairing.layers]
    works = [len(layer) * load(layer[0]).work for layer in pairing.layers]
    work = 0.0
    try:
        for index, layer in run(firsts, partial(_layer, plan), memory=budget() // TOGETHER):
            done[index] = layer
            work += works[index]
            if progress is not None:
                progress(Progress(work, sum(works), len(done), len(works), layer.rows[-1]))
    except KeyboardInterrupt:
        raise Interrupted(finish(complete=False)) from None
    return finish(complete=True)


def _layer(plan: _Plan, first: Matrix) -> Layer:
    """Measure one matrix in every checkpoint and follow its modes; what is wrong becomes a status. Runs in a worker thread."""
    matrices = plan.layers[first.tensor, first.view]
    start = latest = _seen(plan, first, None)
    rows, steps = [start.row], []
    windows = [_window(plan, start)]
    for number, matrix in enumerate(matrices[1:], 1):
        before, latest = latest, _seen(plan, matrix, latest)
        rows.append(latest.row)
        steps.append(_change(plan, number - 1, number, before, latest))
        windows.append(_window(plan, latest))
    change = steps[0] if len(steps) == 1 else _change(plan, 0, len(steps), start, latest)
    matched = [step.matching for step in steps if step.matching is not None]
    names = tuple(matrix.tensor for matrix in matrices)
    if len(matched) < len(steps):
        return Layer(names, first.view, tuple(rows), change, tuple(steps))
    found = strands(matched, windows)
    return Layer(names, first.view, tuple(rows), change, tuple(steps), found, crossings(found, len(matched)))


def _seen(plan: _Plan, matrix: Matrix, before: _Seen | None) -> _Seen:
    """Decompose and measure one matrix; one that is the same as the one before is not computed again."""
    try:
        digest = operand_digest(matrix.read())
        if before is not None and before.spectrum is not None and before.row.digest == digest and before.row.name == matrix.tensor:
            return replace(before, matrix=matrix, row=replace(before.row, aliases=matrix.aliases, parts=matrix.parts))
        spectrum = decompose(matrix, engine=plan.engine)
        results = {name: measure.analyze(spectrum, **plan.bound[name]) for name, measure in measures().items()}
    except UsageError:
        raise  # an option is wrong for every matrix
    except Exception as error:  # whatever it is, it costs this layer and not the hours before it
        row = measuring.failed(matrix, error)
        return _Seen(matrix, row, None, row.status)
    row = replace(
        measuring.blank(matrix),
        note=spectrum.note,
        measures=results,
        s=spectrum.s,
        engine=spectrum.engine,
        floor=spectrum.floor,
        digest=digest,
    )
    return _Seen(matrix, row, spectrum, _modes(plan, matrix, spectrum))


def _modes(plan: _Plan, matrix: Matrix, spectrum: Spectrum) -> Modes | str:
    """All modes that can be told from zero; the directions of the others are rounding."""
    try:
        full = decompose(matrix, vectors=True, engine=plan.engine)
    except UsageError:
        raise
    except Exception as error:
        return measuring.reason(error, matrix)
    assert full.u is not None
    assert full.vh is not None
    count = int((full.s > max(spectrum.tolerance, full.tolerance)).sum())
    return Modes(full.s[:count], full.u[:, :count], full.vh[:count])


def _window(plan: _Plan, seen: _Seen) -> Any:
    return np.empty(0) if isinstance(seen.modes, str) else seen.modes.s[: plan.modes].copy()


def _change(plan: _Plan, start: int, stop: int, before: _Seen, after: _Seen) -> Change:
    """Everything between two checkpoints."""
    for number, seen in ((start, before), (stop, after)):
        if seen.spectrum is None:
            return Change(start, stop, f"checkpoint {number}: {seen.row.status}")
    assert before.spectrum is not None
    assert after.spectrum is not None
    try:
        found, _ = difference(before.matrix, after.matrix, (before.spectrum, after.spectrum), plan.bound, engine=plan.engine)
    except UsageError:
        raise
    except Exception as error:
        return Change(start, stop, f"no difference: {measuring.reason(error, before.matrix)}")
    status = "identical" if found.identical else "ok"
    a, b = before.modes, after.modes
    if isinstance(a, str) or isinstance(b, str):
        return Change(start, stop, status, found, note=f"modes not compared: {a if isinstance(a, str) else b}")
    k = min(plan.modes, a.s.size, b.s.size)
    if not k:
        return Change(start, stop, status, found, note="modes not compared: one of the two is a zero matrix")
    return Change(
        start,
        stop,
        status,
        found,
        tuple(angles((a.u[:, :k], a.vh[:k]), (b.u[:, :k], b.vh[:k]))),
        intruding.intruders(a, b, modes=k, epsilon=plan.epsilon),
        _inside(plan, found, before.matrix, after.matrix, a),
        unchanged(a, modes=k, level=plan.level) if found.identical else matched_modes(a, b, modes=plan.modes, level=plan.level),
    )


def _inside(plan: _Plan, found: Difference, before: Matrix, after: Matrix, modes: Modes) -> Inside | None:
    count = min(found.rank if found.outliers is None else found.outliers, WRITTEN, plan.modes)
    if not count:
        return None
    top = decompose(subtracted(before, after), vectors=True, k=count, engine=plan.engine)
    assert top.u is not None
    assert top.vh is not None
    k = min(plan.modes, modes.s.size)
    return inside((top.u, top.s, top.vh), modes.u[:, :k], modes.vh[:k])


def _nothing_common(checkpoints: Sequence[Checkpoint], selected: Sequence[Sequence[Matrix]], pairing: Pairing) -> str:
    """Why there is nothing to compare, with an example."""
    for number, (checkpoint, found) in enumerate(zip(checkpoints, selected, strict=True)):
        if not found:
            return f"compare: expected matrices in every checkpoint, got none that is selected in {_place(checkpoint, number)}."
    said = pairing.unpaired[0]
    text = f"compare: expected matrices of one name, view and shape in all {len(checkpoints)} checkpoints, got none in common; as "
    return f"{text}{said.name!a} (view {said.view!r}): {said.reason}."


def _place(checkpoint: Checkpoint, number: int) -> str:
    return f"checkpoint {number}" if checkpoint.path is None else str(checkpoint.path)


def _finish(
    checkpoints: Sequence[Checkpoint], pairing: Pairing, options: Mapping[str, Any], done: Mapping[int, Layer], *, complete: bool
) -> Comparison:
    missing = tuple(
        Unpaired(layer[0].tensor, layer[0].view, tuple(matrix.shape for matrix in layer), "interrupted before its turn")
        for index, layer in enumerate(pairing.layers)
        if index not in done
    )
    said = tuple(measuring.source(checkpoint, hashed=complete) for checkpoint in checkpoints)
    layers = tuple(done[index] for index in sorted(done))
    return Comparison(said, layers, (*pairing.unpaired, *missing), options, pairing.renamed, measuring.versions(), complete)
