"""Compress a checkpoint: weights become as few modes as a budget leaves them, everything else is copied bit for bit."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope import measuring
from modescope.checkpoints import Checkpoint, described, open
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UsageError
from modescope.modes.compression.checking import Errors, Written, check_copy, errors
from modescope.modes.compression.eligible import FORMED, REMEDY, Form, Weight, eligible
from modescope.modes.compression.making import moved_biases, promised
from modescope.modes.compression.planning import Goal, Planned, Progress, Wanted, check, inputs_of, plan
from modescope.modes.compression.result import SCHEMA, CompressedLayer, Compression, Totals
from modescope.modes.compression.writing import CODES, Entry, Part, write
from modescope.selection import Selection

if TYPE_CHECKING:
    from modescope.modes.calibration import Calibration

Counting = Callable[[tuple[str, ...]], "Calibration"]

FORMS = ("factored", "dense")
SUFFIX = ".safetensors"
ABANDONED = 86_400.0  # seconds after which a hidden file has no living writer
HALF = 0.5  # budget where nothing is asked for
OURS = "modescope"  # key of the metadata that says what the file is
UNSELECTED = "not selected"  # how the reason for a tensor begins that include, exclude or kind left out
PACKED = "packed"  # how the reason for a tensor begins whose bits no array can hold


def compress(
    source: Any,
    output: str | Path | None = None,
    /,
    *,
    budget: float | None = None,
    by: str = "parameters",
    modes: Wanted | None = None,
    energy: float | None = None,
    calibration: "Calibration | str | Path | Counting | None" = None,
    form: Form = "factored",
    embeddings: bool = False,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    kind: str | Sequence[str] = (),
    min_dim: int = 1,
    dtype: str | None = None,
    progress: Progress | None = None,
) -> Compression:
    """Put the weights of a checkpoint into modes, W' = xi_out diag(s) xi_in, and write the result as one safetensors file.

    The factored form holds `NAME.xi_out` (out, p), `NAME.s` (p,) and `NAME.xi_in` (p, in, *kernel) in place of `NAME.weight`, as
    mode layers have them in a state dict: `load_compressed` puts them into a network. The dense form holds W' in the shape of the
    weight, for programs that know nothing of modes; it is as large as the source. All other tensors and the metadata stay as they
    are, and a tied tensor is written once, its other names in the metadata.

    Without a calibration each truncation is the one nearest to the weight. With one it is nearest to what the layer gives on the
    inputs that were counted, and a bias beside the weight takes up the mean of what is lost. Every layer is judged on the inputs of
    the network as it was. Weights of layers that the calibration does not know are truncated plainly, and so are embeddings.

    Two passes: the first takes the singular values (with a calibration the vectors as well), the second the vectors and
    writes. One weight is in memory at a time, as a few float64 matrices of its size, and with a calibration its moments. The cost
    is that of the two decompositions, and of reading both files once more to verify.

    Args:
        source: A checkpoint as for `scan`: a file, a folder, an index of shards, a module or a state dict. It is never changed.
        output: The file, ".safetensors". It appears when it is complete and verified; without it the result is a plan, whose errors
            are foreseen.
        budget: Share of ALL parameters of the checkpoint that the new one may hold, so that what cannot become modes counts, too;
            0.5 where none of `budget`, `modes` and `energy` is given. The numbers of modes are those with the least sum of squared
            relative errors.
        by: What the budget counts: "parameters", or "flops", the multiply-adds of the weights that may become modes.
        modes: In place of a budget a number of modes for every weight, a share of its rank, or numbers by name or glob.
        energy: In place of a budget the share of the energy that the modes of each weight hold.
        calibration: Moments of the inputs of layers from `calibrate`, or the file of them; or a function that takes the names of
            the layers whose inputs are wanted and gives them, called once everything else has been found in order.
        form: "factored" or "dense".
        embeddings: Take tables of embeddings as well. They are often tied to an output layer that the file does not show.
        include: Globs on tensor names; a weight must match one, unless there are none.
        exclude: Globs on tensor names; a weight must match none.
        kind: Only these layer kinds.
        min_dim: Smallest short side of a weight.
        dtype: Of the factors, "float32", "float16", "bfloat16" or "float64"; by default that of each weight.
        progress: Called with what is done, how much of it, and of all.

    Returns:
        `Compression`. Where it was written, its errors are measured on the numbers in the file, read back, against the source in
        float64, and all else has been compared bit for bit.

    Raises:
        UsageError: An option out of range, a budget that cannot be met (the message names the least), nothing that could become
            modes, or an output that cannot be written or is read from.
        UnreadableError: The source or the calibration cannot be opened, or holds what no safetensors file can.
        UnsafeError: Opening it would run code.
        MatrixError: What was read back is not what it should be; the output was not kept.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011; Eckart & Young (1936), doi:10.1007/BF02288367.
    """
    goal = Goal(HALF if budget is modes is energy is None else budget, modes, energy, by)
    check(goal)
    if form not in FORMS:
        raise UsageError(f"compress: expected form as {' or '.join(FORMS)}, got {form!r}.")
    if dtype is not None and dtype not in FORMED:
        raise UsageError(f"compress: expected dtype as one of {', '.join(FORMED)}, got {dtype!r}.")
    selection = Selection.of(include=include, exclude=exclude, kind=kind, min_dim=min_dim)
    checkpoint = open(source)
    path = None if output is None else _place(Path(output), checkpoint)
    _storable(checkpoint)
    weights, others = eligible(checkpoint, selection, form, embeddings=embeddings)
    if not weights:
        # what one can do something about comes first
        helping = sorted(others, key=lambda one: (REMEDY not in one.reason, not one.reason.startswith(UNSELECTED)))
        reasons = "; ".join(dict.fromkeys(f"{shown(one.name)}: {one.reason}" for one in helping[:2]))
        raise UsageError(f"{_named(checkpoint)}: expected a weight that can become modes, got none ({reasons or 'no tensors'}).")
    inputs = _calibration(calibration, weights)
    if inputs is not None and not any(inputs_of(one, inputs) is not None for one in weights):
        known = ", ".join(map(shown, list(inputs.moments)[:3]))
        raise UsageError(
            f"{_named(checkpoint)}: expected a calibration of its layers, got one of {known}; "
            "none of these is a layer whose weight may become modes."
        )
    total = sum(tensor.size for tensor in checkpoint.tensors)
    planned = plan(weights, goal, total, inputs, progress)
    parts = tuple(promised(checkpoint, planned, form, dtype, inputs))
    options = _options(goal, form, embeddings, selection, dtype, inputs)
    found: dict[str, Errors] = {}
    if path is not None:
        found = _written(path, checkpoint, planned, parts, _metadata(checkpoint, planned, form, options), inputs, progress)
    return Compression(
        layers=tuple(_layer(one, form, found.get(one.weight.tensor.name), inputs) for one in planned),
        others=others,
        totals=_totals(checkpoint, planned, parts, inputs),
        output=path,
        verified=path is not None,
        left_out=checkpoint.skipped,
        source=measuring.source(checkpoint, hashed=path is not None),
        options=options,
        meta=dict(measuring.versions()),
    )


def _place(path: Path, checkpoint: Checkpoint) -> Path:
    """The output, if it may be written."""
    if path.suffix != SUFFIX:
        raise UsageError(f"{path}: expected an output that ends in {SUFFIX}, got {path.suffix or 'no suffix'!r}.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK) or path.is_dir():
        raise UsageError(f"{path}: cannot be written (no such folder, no permission, or a folder itself).")
    read = checkpoint.path
    if read is not None and path.exists():
        whole = read.is_dir() or read.suffix == ".json"
        home = (read if read.is_dir() else read.parent).resolve()
        if path.samefile(read) or (whole and path.resolve().is_relative_to(home)):
            raise UsageError(f"{path}: is read by this command, and would be lost. Write to another file.")
    return path


def _storable(checkpoint: Checkpoint) -> None:
    """Refuse what no safetensors file can hold before any work."""
    for tensor in checkpoint.tensors:
        if tensor.stored not in CODES:
            raise UnreadableError(
                f"{_named(checkpoint)}: {shown(tensor.name)}: expected a dtype that safetensors can hold, got {tensor.stored}."
            )
    for skip in checkpoint.skipped:
        if skip.reason.startswith(PACKED):
            raise UnreadableError(f"{_named(checkpoint)}: {shown(skip.name)}: cannot be copied ({skip.reason}).")


def _named(checkpoint: Checkpoint) -> str:
    return "compress" if checkpoint.path is None else described(checkpoint.path)


def _calibration(given: "Calibration | str | Path | Counting | None", weights: Sequence[Weight]) -> "Calibration | None":
    if isinstance(given, str | Path):
        from modescope.modes.calibration import load

        return load(given)
    if callable(given):
        return given(tuple(dict.fromkeys(one.layer for one in weights if one.kind != "embedding")))
    return given


def _metadata(checkpoint: Checkpoint, planned: Sequence[Planned], form: Form, options: Mapping[str, Any]) -> dict[str, str]:
    """What the writer of the source said, other names of tied tensors as torch's library keeps them, and what was done."""
    layers = {
        one.weight.tensor.name: {"modes": one.modes, "shape": list(one.weight.tensor.shape), "layout": one.weight.layout}
        for one in planned
        if one.modes is not None
    }
    said = {"schema": SCHEMA, "form": form, "layers": layers, "options": dict(options)}
    tied = {alias: tensor.name for tensor in checkpoint.tensors for alias in tensor.aliases}
    return {"format": "pt"} | dict(checkpoint.metadata) | tied | {OURS: json.dumps(said)}


def _written(
    path: Path,
    checkpoint: Checkpoint,
    planned: Sequence[Planned],
    parts: Sequence[Part],
    said: Mapping[str, str],
    inputs: "Calibration | None",
    progress: Progress | None,
) -> dict[str, Errors]:
    """Write beside the output, read back, compare, and only then put it in its place; whatever happens, nothing half stays."""
    _sweep(path)
    new = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        for i, _ in enumerate(write(new, parts, said)):
            if progress is not None:
                progress("writing", i, len(parts))
        found = _verified(new, checkpoint, planned, inputs, progress)
        new.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error
    finally:
        new.unlink(missing_ok=True)
    return found


def _sweep(path: Path) -> None:
    """Remove what writers of this output left that were killed long ago."""
    for left in path.parent.glob(f".{escape(path.name)}.*{SUFFIX}"):
        with suppress(OSError):  # another one may sweep as well
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()


def _verified(
    path: Path, checkpoint: Checkpoint, planned: Sequence[Planned], inputs: "Calibration | None", progress: Progress | None
) -> dict[str, Errors]:
    written = Written(path)
    by_name = {one.weight.tensor.name: one for one in planned if one.modes is not None}
    tensors = {tensor.name: tensor for tensor in checkpoint.tensors}
    moved = moved_biases(planned, inputs)
    found: dict[str, Errors] = {}
    for i, tensor in enumerate(checkpoint.tensors):
        if progress is not None:
            progress("verifying", i, len(checkpoint.tensors))
        one = by_name.get(tensor.name)
        if one is not None:
            bias = tensors[one.weight.bias].read() if one.weight.bias in moved else None
            found[tensor.name] = errors(written, one, inputs_of(one.weight, inputs), bias)
        elif tensor.name not in moved:
            check_copy(written, tensor)
    if progress is not None:
        progress("verifying", len(checkpoint.tensors), len(checkpoint.tensors))
    return found


def _layer(one: Planned, form: Form, found: Errors | None, inputs: "Calibration | None") -> CompressedLayer:
    weight = one.weight
    spectral = None if found is None else found.spectral
    return CompressedLayer(
        name=weight.tensor.name,
        kind=weight.kind,
        shape=weight.shape,
        dtype=weight.tensor.stored,
        modes=one.modes,
        parameters=weight.cost.dense if one.modes is None else weight.cost.factored(one.modes),
        dense_parameters=weight.cost.dense,
        factored=one.modes is not None and form == "factored",
        error=one.error if found is None else found.frobenius,
        spectral_error=0.0 if one.modes is None else spectral,
        output_error=one.output_error if found is None else found.outputs,
        bias=weight.bias if weight.bias in moved_biases((one,), inputs) else "",
        reason=one.reason,
    )


def _totals(checkpoint: Checkpoint, planned: Sequence[Planned], parts: Sequence[Part], inputs: "Calibration | None") -> Totals:
    total = sum(tensor.size for tensor in checkpoint.tensors)
    in_modes = [one for one in planned if one.modes is not None]
    saved = sum(one.weight.cost.dense - one.weight.cost.factored(one.modes or 0) for one in in_modes)
    return Totals(
        parameters=total - saved,
        dense_parameters=total,
        bytes=sum(entry.size for part in parts for entry in part.entries.values()),
        dense_bytes=sum(Entry(tensor.stored, tensor.shape).size for tensor in checkpoint.tensors),
        in_modes=len(in_modes),
        copied=len(checkpoint.tensors) - len(in_modes) - len(moved_biases(planned, inputs)),
    )


def _options(
    goal: Goal, form: Form, embeddings: bool, selection: Selection, dtype: str | None, inputs: "Calibration | None"
) -> dict[str, Any]:
    chosen = asdict(selection)
    chosen.pop("view")
    return {
        "budget": goal.budget,
        "by": goal.by,
        "modes": dict(goal.modes) if isinstance(goal.modes, Mapping) else goal.modes,
        "energy": goal.energy,
        "form": form,
        "embeddings": embeddings,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()},
        "dtype": dtype,
        "calibration": None if inputs is None else inputs.source,
    }
