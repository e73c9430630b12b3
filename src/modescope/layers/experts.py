"""Stacked experts (experts, a, b): one matrix per expert, with fused gate and up projections split where their order is known."""

import re
from collections.abc import Iterator, Mapping
from functools import partial

from modescope.layers._names import is_stacked, join, named_freely, number, own, sibling
from modescope.layers._reasons import is_weight
from modescope.layers._rows import Read
from modescope.matrix import Array, Matrix, Tensor

_FUSED = re.compile(r"(?:gate_up_proj|input_linear|w13)(?:_weight)?\Z")
_DOWN = re.compile(r"(?:down_proj|output_linear|w2|wo|fc2)(?:_weight)?\Z")
_UP = re.compile(r"(?:up_proj|gate_proj|w1|w3|wi|fc1)(?:_weight)?\Z")
_PARTNERS = {"gate_up_proj": "down_proj", "input_linear": "output_linear", "w13": "w2"}

# `config.model_type` -> step between the rows of one part in a fused gate and up projection: 1 is gate, then up; 2 is in turn.
_STEPS = {
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe", "qwen3_next", "olmoe", "phimoe", "granitemoe", "granitemoehybrid"), 1),
    **dict.fromkeys(("jetmoe", "deepseek_v2", "deepseek_v3", "glm4_moe", "llama4", "llama4_text", "ernie4_5_moe", "dots1"), 1),
    "gpt_oss": 2,
}
# Architectures that multiply from the left, `x @ W`, so that each expert is stored (in, out).
_IN_OUT = frozenset({"gpt_oss", "llama4", "llama4_text"})


def claims(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> int:
    """2 by the name; three axes alone are a convolution."""
    mine = len(tensor.shape) == 3 and is_stacked(tensor.name) and named_freely(tensor)
    return 2 if mine and is_weight(tensor, tensors) else 0


def views(tensor: Tensor, tensors: Mapping[str, Tensor], /) -> Iterator[Matrix]:
    """One matrix per expert, "expert 0"; two where its gate and up projections are fused, "expert 0 gate" and "expert 0 up"."""
    in_out = _is_in_out(tensor, tensors)
    note = "orientation not known: taken as (out, in)" if in_out is None else ""
    experts, n_out, n_in = tensor.shape
    if in_out:
        n_out, n_in = n_in, n_out
    parts = [("", 0, n_out, 1)]
    if _FUSED.match(own(tensor.name)):
        stride = _STEPS.get(tensor.declared.get("config.model_type", tensor.declared.get("config.text_config.model_type", "")))
        if stride is None or n_out % 2 or in_out is None:
            note = join(note, "gate and up are fused: their order is not known, not split")
        elif stride == 1:
            parts = [(" gate", 0, n_out // 2, 1), (" up", n_out // 2, n_out, 1)]
        else:
            parts = [(" gate", 0, n_out, 2), (" up", 1, n_out, 2)]
    for expert in range(experts):
        for part, start, stop, every in parts:
            rows = len(range(start, stop, every))
            read = partial(_expert, tensor.read, expert, bool(in_out), slice(start, stop, every))
            yield Matrix(tensor.name, f"expert {expert}{part}", (rows, n_in), tensor.stored, read, note=note)


def _is_in_out(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool | None:
    """Whether each expert is stored (in, out), or None where nothing tells."""
    _, first, second = tensor.shape
    name = own(tensor.name)
    known = _by_partner(tensor, tensors)
    if known is not None:
        return known
    bias = sibling(tensor, f"{tensor.leaf}_bias", tensors) or sibling(tensor, "bias", tensors)
    if first != second and bias is not None and bias.shape in {(tensor.shape[0], first), (tensor.shape[0], second)}:
        return bias.shape[1] == second
    hidden = number(tensor, "config.hidden_size") or number(tensor, "config.text_config.hidden_size")
    if first != second and hidden in {first, second}:
        if _DOWN.match(name):
            return hidden == second
        if _FUSED.match(name) or _UP.match(name):
            return hidden == first
    family = tensor.declared.get("config.model_type", "")
    return family in _IN_OUT if family in _STEPS else None


def _by_partner(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool | None:
    """By the other projection of the same experts: the fused one has two rows for each column of the one that follows it."""
    for fused, down in _PARTNERS.items():
        if own(tensor.name).removesuffix("_weight") not in {fused, down}:
            continue
        upper, lower = tensors.get(_renamed(tensor, down, fused)), tensors.get(_renamed(tensor, fused, down))
        if upper is None or lower is None or not len(upper.shape) == len(lower.shape) == 3:
            continue
        (_, a, b), (_, c, d) = upper.shape, lower.shape
        if (a, b) == (2 * d, c):
            return False
        if (b, a) == (2 * c, d):
            return True
    return None


def _renamed(tensor: Tensor, old: str, new: str) -> str:
    head, found, tail = tensor.name.rpartition(old)
    return f"{head}{new}{tail}" if found else tensor.name


def _expert(read: Read, expert: int, in_out: bool, rows: slice) -> Array:
    matrix: Array = read()[expert]
    return (matrix.T if in_out else matrix)[rows]
