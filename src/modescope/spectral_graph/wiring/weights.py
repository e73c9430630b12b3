"""The layers a checkpoint can offer to a wiring, and its normalisations, found by the names and headers of their tensors."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.errors import MatrixError, UsageError
from modescope.layers import matrices
from modescope.layers._names import number
from modescope.matrix import Array, Blocks, Matrix, Tensor
from modescope.selection import Selection, select
from modescope.spectral_graph.wiring import Gains, Layer, Norm, Rows
from modescope.svd import Values

EPS = 1e-5  # of a normalisation that declares none: torch's default
VIEWS = ("heads",)  # views whose matrices have channels on both sides
_SCALES, _SHIFTS = ("weight", "gamma", "scale"), ("bias", "beta")
_MEANS, _VARIANCES = ("running_mean", "moving_mean"), ("running_var", "moving_variance")
_NORMED = re.compile(r"norm|(?:\A|_)(?:ln|gn)(?:\d|_|\Z)")
_BATCH = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"})
_CENTRED = frozenset({"LayerNorm"})
_PLAIN = frozenset({"RMSNorm", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"})


def layers(
    checkpoint: Checkpoint,
    *,
    view: str | None = None,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> dict[str, tuple[Layer, ...]]:
    """Every layer a checkpoint can offer, by the name of its tensor, in the order of the checkpoint.

    Columns of each matrix stand in the order (channel, tap): those of a convolution as `weight.reshape(out, -1)` has them, those
    of a transposed one after its first two axes are exchanged. A grouped convolution is one layer of several blocks.

    Args:
        checkpoint: Its headers are used; no weights are read.
        view: "heads" to see attention projections head by head; by default whole.
        include: Globs on tensor names; a name must match one of them, unless there are none.
        exclude: Globs on tensor names; a name must match none.

    Returns:
        Layers without normalisations. Their names are those of the tensors, followed by the view where a tensor gives several.

    Raises:
        UsageError: The view is none of a layer's.
    """
    if view is not None and view not in VIEWS:
        raise UsageError(f"view {view!r}: expected {', '.join(map(repr, VIEWS))} or none; a graph needs channels on both sides.")
    chosen, _ = select(checkpoint.tensors, Selection.of(include=include, exclude=exclude, view=view))
    by_tensor: dict[str, list[Matrix]] = {}
    for matrix in chosen:
        by_tensor.setdefault(matrix.tensor, []).append(matrix)
    known = {tensor.name: tensor for tensor in checkpoint.tensors}
    numbers = _row_numbers(known, {matrix.tensor: matrix.kind for matrix in chosen}, view)
    found = {}
    for name, seen in by_tensor.items():
        joined = [_of_groups(known[name], seen)] if seen[0].view.startswith("group ") else seen
        found[name] = tuple(_layer(known, numbers, matrix, alone=len(joined) == 1) for matrix in joined)
    return found


def norm(checkpoint: Checkpoint, module: str, *, centred: bool | None = None) -> Norm | None:
    """A normalisation by the name of its module, or None where no tensor of it is stored.

    A batch norm is known by its running statistics, another one by its class or its name, or by a gain and a shift. It subtracts
    the mean where its class says so, otherwise where it has a shift or the configuration names an epsilon of layer norms; without
    any of these it is taken for an RMS norm. Gemma stores
    gains as their difference from 1.

    Args:
        checkpoint: Its headers are used; the numbers are read when the gains are asked for.
        module: Name of the module, without the last part of its tensors' names.
        centred: Whether it subtracts the mean over the channels, where the caller knows; ignored for batch norms.

    Returns:
        `Norm`; reading it raises `MatrixError` for running variances that are negative or not finite.
    """
    prefix = f"{module}." if module else ""
    here = {tensor.name: tensor for tensor in checkpoint.tensors if tensor.module == module}
    # One tensor may stand under several names; a tied gain is still this module's.
    here |= {name: tensor for tensor in checkpoint.tensors for name in tensor.aliases if name.rpartition(".")[0] == module}
    scale, shift, mean, variance = (
        next((here[prefix + leaf] for leaf in leaves if prefix + leaf in here), None)
        for leaves in (_SCALES, _SHIFTS, _MEANS, _VARIANCES)
    )
    parts = [part for part in (scale, shift, mean, variance) if part is not None]
    if not parts or any(len(part.shape) != 1 or part.shape != parts[0].shape for part in parts):
        return None
    declared = parts[0].declared
    if variance is not None or declared.get("module") in _BATCH:
        if mean is None or variance is None:
            return None  # one that keeps no statistics depends on the data
        read = partial(_batch_gains, scale, shift, mean, variance, _eps(declared))
        return Norm(module, parts[0].shape[0], read)
    if scale is None:
        return None
    kind = declared.get("module", "")
    if centred is None:
        named = bool(_NORMED.search(kind.lower() or module.rpartition(".")[2].lower()))
        if not named and (kind or shift is None):
            return None  # slopes of an activation, or gains that stand by themselves
        centred = kind in _CENTRED or (kind not in _PLAIN and (shift is not None or _layer_normed(declared)))
    return Norm(module, scale.shape[0], partial(_gains, scale, shift, _offset(declared)), centred=centred)


def gain(checkpoint: Checkpoint, name: str) -> Norm | None:
    """A vector of gains by the name of its parameter: a normalisation that takes no statistics; None where it is not stored."""
    tensor = next((tensor for tensor in checkpoint.tensors if name in (tensor.name, *tensor.aliases)), None)
    return None if tensor is None else Norm(name, prod(tensor.shape), partial(_plain_gains, tensor))


def is_batch_norm(checkpoint: Checkpoint, module: str) -> bool:
    """Whether a module keeps running statistics."""
    prefix = f"{module}." if module else ""
    return any(tensor.name == prefix + leaf for tensor in checkpoint.tensors for leaf in _VARIANCES)


def modules(checkpoint: Checkpoint) -> Iterator[str]:
    """Names of all modules that own a tensor, in the order of the checkpoint, each once."""
    yield from dict.fromkeys(tensor.module for tensor in checkpoint.tensors)


def config(checkpoint: Checkpoint, key: str) -> str:
    """An entry of the model's configuration ("model_type"), or an empty text."""
    return next((tensor.declared[f"config.{key}"] for tensor in checkpoint.tensors if f"config.{key}" in tensor.declared), "")


def _layer(known: Mapping[str, Tensor], numbers: Mapping[tuple[str, str], Rows], matrix: Matrix, *, alone: bool) -> Layer:
    tensor = known[matrix.tensor]
    channels, groups = _channels(tensor, matrix)
    name = matrix.tensor if alone else f"{matrix.tensor} {matrix.view}"
    return Layer(
        name,
        matrix,
        channels,
        taps=matrix.shape[1] // channels,
        groups=groups,
        bias=_bias(known, numbers, matrix),
        note=matrix.note,
        aliases=tuple(tensor.aliases),
    )


def _channels(tensor: Tensor, matrix: Matrix) -> tuple[int, int]:
    """Input channels and groups of a matrix, by what its kind says of the shape of the tensor."""
    groups = 1
    match matrix.kind:
        case "convolution" if "stored channels last" in matrix.note:
            channels = tensor.shape[-2]
        case "convolution":
            channels = tensor.shape[1]
        case "transposed_convolution" if matrix.view == "unfolding":
            channels = tensor.shape[0]
        case "grouped_convolution" | "transposed_convolution" | "depthwise_convolution":
            taps = prod(tensor.shape[2:])
            channels = matrix.shape[1] // taps
            groups = channels if matrix.view == "channels" else _declared_groups(tensor)
        case "lora" | "mode_factors" if len(tensor.shape) > 2:
            channels = tensor.shape[1]
        case _:
            channels = matrix.shape[1]
    return (channels, groups) if channels and matrix.shape[1] % channels == 0 else (matrix.shape[1], groups)


def _declared_groups(tensor: Tensor) -> int:
    return number(tensor, "groups") or 1  # one at least: its kind saw several


def _of_groups(tensor: Tensor, seen: Sequence[Matrix]) -> Matrix:
    """One block-diagonal matrix of all groups; blocks, and columns in each, stand in the order of the input channels."""
    exchanged = seen[0].kind == "transposed_convolution"
    groups = _declared_groups(tensor)
    out, columns = seen[0].shape
    read = partial(_blocks, tensor.read, groups, exchanged)
    return replace(seen[0], view="groups", shape=(groups * out, groups * columns), read=read)


def _blocks(read: Callable[[], Array], groups: int, exchanged: bool) -> Blocks:
    kernel = read()
    parts = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
    if exchanged:
        parts = parts.swapaxes(1, 2)
    return Blocks(parts.reshape(*parts.shape[:2], -1))


def _bias_beside(tensor: Tensor, known: Mapping[str, Tensor]) -> tuple[Tensor, int] | None:
    """The bias that belongs to a weight, and the entry of it that belongs to the first row."""
    prefix = f"{tensor.module}." if tensor.module else ""
    separate = {"q_proj_weight": 0, "k_proj_weight": 1, "v_proj_weight": 2}
    if tensor.leaf in separate:
        bias = known.get(f"{prefix}in_proj_bias")
        return (bias, separate[tensor.leaf] * bias.shape[0] // 3) if bias is not None and len(bias.shape) == 1 else None
    leaf = {"kernel": "bias", "w": "b", "W": "b", "xi_in": "bias"}.get(tensor.leaf, tensor.leaf.replace("weight", "bias"))
    bias = known.get(prefix + leaf)
    return (bias, 0) if bias is not None and leaf != tensor.leaf and len(bias.shape) == 1 else None


def _bias(known: Mapping[str, Tensor], numbers: Mapping[tuple[str, str], Rows], matrix: Matrix) -> Callable[[], Values] | None:
    tensor = known[matrix.tensor]
    beside = _bias_beside(tensor, known)
    # The bias of an output projection is added once, not by each head; an embedding and an adapter have none.
    if beside is None or matrix.view.startswith("output head") or matrix.kind in {"embedding", "lora", "experts"}:
        return None
    bias, start = beside
    rows = numbers.get((matrix.tensor, matrix.view))
    if rows is None:
        rows = np.arange(bias.shape[0])
    if rows.size != matrix.shape[0] or rows[-1] + start >= bias.shape[0]:
        return None
    return partial(_read_bias, bias.read, rows + start)


def _read_bias(read: Callable[[], Array], rows: Rows) -> Values:
    return np.asarray(read(), dtype=np.float64)[rows]


def _row_numbers(known: Mapping[str, Tensor], kinds: Mapping[str, str], view: str | None) -> dict[tuple[str, str], Rows]:
    """Which outputs of its tensor each matrix holds: the kinds' own views of a column that holds the number of each output."""
    numbered = {
        name: replace(known[name], read=partial(_numbers, known[name].shape, _output_axis(known[name], kind, known)))
        for name, kind in kinds.items()
        if len(known[name].shape) == 2 and _bias_beside(known[name], known) is not None
    }
    found = {}
    for matrix in matrices([numbered.get(name, tensor) for name, tensor in known.items()], view=view):
        if isinstance(matrix, Matrix) and matrix.tensor in numbered and not matrix.view.startswith("output head"):
            column = matrix.read()
            if isinstance(column, np.ndarray) and column.shape == (matrix.shape[0], 1):
                found[matrix.tensor, matrix.view] = column[:, 0]
    return found


def _output_axis(tensor: Tensor, kind: str, known: Mapping[str, Tensor]) -> int:
    """Along which axis of a stored matrix its outputs lie."""
    beside = _bias_beside(tensor, known)
    if kind == "fused_qkv" and beside is not None:  # never square, as three maps are stacked along its outputs
        return int(beside[0].shape[0] != tensor.shape[0])
    return int(kind == "transposed")


def _numbers(shape: tuple[int, ...], axis: int) -> Array:
    numbers = np.arange(shape[axis])
    return numbers[None, :] if axis else numbers[:, None]


def _eps(declared: Mapping[str, str]) -> float:
    try:
        eps = float(declared.get("eps", EPS))
    except ValueError:
        return EPS
    return eps if eps > 0 else EPS


def _layer_normed(declared: Mapping[str, str]) -> bool:
    """Whether the configuration speaks of layer norms and not of RMS norms; T5 uses the word for the latter."""
    keys = {key.rpartition(".")[2] for key in declared if key.startswith("config.")}
    family = _model_type(declared)
    rms = "rms_norm_eps" in keys or family in {"t5", "mt5", "umt5", "longt5", "switch_transformers"}
    return not rms and any(key.startswith(("layer_norm_ep", "layernorm_ep", "norm_ep")) for key in keys)


def _model_type(declared: Mapping[str, str]) -> str:
    return declared.get("config.text_config.model_type") or declared.get("config.model_type", "")


def _offset(declared: Mapping[str, str]) -> float:
    family = _model_type(declared)
    return 1.0 if family.startswith("gemma") and not family.startswith("gemma3n") else 0.0


def _vector(tensor: Tensor | None, size: int, default: float) -> Values:
    return np.full(size, default) if tensor is None else np.asarray(tensor.read(), dtype=np.float64).reshape(size)


def _batch_gains(scale: Tensor | None, shift: Tensor | None, mean: Tensor, variance: Tensor, eps: float) -> Gains:
    size = variance.shape[0]
    var = _vector(variance, size, 1.0)
    bad = np.flatnonzero(~(var >= 0) | np.isinf(var))
    if bad.size:
        raise MatrixError(
            f"{variance.name}: expected running variances that are finite and not negative, "
            f"got {var[bad[0]]:g} in channel {bad[0]}."
        )
    gain = _vector(scale, size, 1.0) / np.sqrt(var + eps)
    return Gains(gain, _vector(shift, size, 0.0) - _vector(mean, size, 0.0) * gain, tuple(np.flatnonzero(var < eps).tolist()))


def _plain_gains(tensor: Tensor) -> Gains:
    size = prod(tensor.shape)
    return Gains(_vector(tensor, size, 1.0), np.zeros(size))


def _gains(scale: Tensor, shift: Tensor | None, offset: float) -> Gains:
    size = scale.shape[0]
    return Gains(_vector(scale, size, 1.0) + offset, _vector(shift, size, 0.0))
