"""Which tensors of a checkpoint may become modes, how each is stored, and why the others stay as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from modescope.checkpoints import Checkpoint
from modescope.layers._layouts import is_in_out
from modescope.layers._names import bias_length
from modescope.matrix import Array, Matrix, Skip, Tensor
from modescope.modes.counting import Cost
from modescope.selection import Selection, select

Form = Literal["factored", "dense"]
Layout = Literal["rows", "columns", "channels last"]

FACTORS = ("xi_out", "s", "xi_in")
WEIGHT = "weight"  # last part of the name of what a mode layer can stand for
FORMED = ("float64", "float32", "float16", "bfloat16")  # dtypes that factors may have
REMEDY = "the dense form can take it"
AXES = 4  # of the kernel of the largest convolution that has a mode layer
MAPS = frozenset({"dense", "transposed", "fused_qkv", "convolution", "embedding"})
STACKS = frozenset({"gru", "lstm", "rnn", "multihead_attention"})  # one matrix each, of a module that reads it by itself
_WHY_KIND = {
    "lora": "an adapter is of low rank already",
    "mode_factors": "in modes already",
    "grouped_convolution": "grouped: every group would need modes of its own",
    "depthwise_convolution": "one filter for each channel: there is no matrix to truncate",
    "transposed_convolution": "a transposed convolution has no mode layer",
    "experts": "stacked experts have no mode layer",
}


@dataclass(frozen=True)
class Weight:
    """A weight that modes may stand for, seen whole as (out, in).

    Attributes:
        tensor: The tensor.
        kind: Layer kind.
        shape: (out, in) of the matrix, kernels flattened into the inputs.
        layout: How it is stored: rows are outputs, columns are outputs, or a kernel (*k, in, out).
        bias: Name of the bias beside it, or empty.
    """

    tensor: Tensor
    kind: str
    shape: tuple[int, int]
    layout: Layout
    bias: str = ""

    @property
    def layer(self) -> str:
        """Name of the module, which the names of its factors begin with."""
        return self.tensor.module

    @property
    def cost(self) -> Cost:
        """Parameters, as it is and as modes."""
        return Cost(*self.shape)

    @property
    def factors(self) -> dict[str, str]:
        """Names of the three factors in a state dict, by what they are."""
        return {factor: f"{self.layer}.{factor}" if self.layer else factor for factor in FACTORS}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input pattern: (in,), of a convolution (in, *kernel)."""
        return self.tensor.shape[1:] if self.kind == "convolution" and self.layout == "rows" else self.shape[1:]

    def read(self) -> Array:
        """(out, in) in its stored dtype."""
        stored = self.tensor.read()
        if self.layout == "channels last":
            stored = np.moveaxis(stored, (-1, -2), (0, 1))
        return stored.reshape(-1, self.tensor.shape[-1]).T if self.layout == "columns" else stored.reshape(self.shape)

    def stored(self, matrix: Array) -> Array:
        """A matrix (out, in) in the shape in which the tensor is stored."""
        shape = self.tensor.shape
        if self.layout == "columns":
            return matrix.T.reshape(shape)
        if self.layout == "channels last":
            return np.moveaxis(matrix.reshape(shape[-1], shape[-2], *shape[:-2]), (0, 1), (-1, -2))
        return matrix.reshape(shape)


def eligible(
    checkpoint: Checkpoint, selection: Selection, form: Form, *, embeddings: bool
) -> tuple[tuple[Weight, ...], tuple[Skip, ...]]:
    """Every weight that may become modes, in the order of the checkpoint, and a reason for every other tensor.

    In the factored form a weight must be the `weight` of a layer for which there is a mode layer, and of that layer alone. In the
    dense form whatever is one matrix may be truncated. Embeddings are left as they are unless they are asked for: they are often
    tied to an output layer that the file does not show.

    Args:
        checkpoint: What was opened.
        selection: Which matrices.
        form: What will be written.
        embeddings: Whether tables of embeddings may be taken.
    """
    tensors = {tensor.name: tensor for tensor in checkpoint.tensors}
    matrices, skipped = select(checkpoint.tensors, selection)
    seen: dict[str, list[Matrix]] = {}
    for matrix in matrices:
        seen.setdefault(matrix.tensor, []).append(matrix)
    why = {skip.name: skip.reason for skip in skipped}
    taken: list[Weight] = []
    left: list[Skip] = []
    for tensor in checkpoint.tensors:
        views = seen.get(tensor.name)
        reason = why.get(tensor.name, "no matrix") if views is None else _why_not(tensor, views, tensors, form, embeddings)
        if views is None or reason:
            left.append(Skip(tensor.name, tensor.shape, reason))
        else:
            taken.append(_weight(tensor, views, tensors))
    return tuple(taken), tuple(left)


def _why_not(tensor: Tensor, views: list[Matrix], tensors: Mapping[str, Tensor], form: Form, embeddings: bool) -> str:
    """Empty for a tensor that may become modes."""
    kind = views[0].kind
    if tensor.stored not in FORMED:
        return f"stored as {tensor.stored}, which is too coarse for factors"
    if kind not in MAPS | (STACKS if form == "dense" else frozenset()):
        other = f"is read by its module by itself, so that no mode layer can stand for it; {REMEDY}"
        return _WHY_KIND.get(kind, f"{kind}: {other if kind in STACKS else 'not one matrix'}")
    if kind == "embedding" and not embeddings:
        return "an embedding, left as it is unless embeddings are asked for"
    if form == "dense":
        return ""
    if tensor.leaf != WEIGHT:
        return f"not the weight of a layer by its name, so that no mode layer can stand for it; {REMEDY}"
    if tensor.aliases:
        return f"tied to {', '.join(tensor.aliases)}: one mode layer cannot stand for both; {REMEDY}"
    if kind == "convolution" and len(tensor.shape) > AXES:
        return f"a convolution over three axes has no mode layer; {REMEDY}"
    owner = tensor.module.rpartition(".")[0]
    if tensor.module.rpartition(".")[2] == "out_proj" and f"{owner}.in_proj_weight".lstrip(".") in tensors:
        return f"the output of torch's attention, which reads its weight by itself; {REMEDY}"
    if taken := [name for name in _weight(tensor, views, tensors).factors.values() if name in tensors]:
        return f"the name {taken[0]} of its factors is taken by another tensor"
    return ""


def _weight(tensor: Tensor, views: list[Matrix], tensors: Mapping[str, Tensor]) -> Weight:
    kind, shape = views[0].kind, tensor.shape
    layout: Layout = "rows"
    if kind in {"embedding", "transposed"} or (kind == "fused_qkv" and is_in_out(tensor, tensors)):
        layout = "columns"
    elif kind == "convolution" and views[0].shape[0] != shape[0]:
        layout = "channels last"
    outputs = shape[0] if layout == "rows" else shape[-1]
    bias = f"{tensor.module}.bias" if tensor.module else "bias"
    mine = tensor.leaf == WEIGHT and bias_length(tensor, tensors) == outputs
    floating = mine and tensors[bias].stored in FORMED and not tensors[bias].aliases
    return Weight(tensor, kind, (outputs, prod(shape) // outputs), layout, bias if floating else "")
