"""How architectures store their attention: the one table of layouts, and where a configuration tells the number of heads."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.layers._names import EXACT, bias_length, layer_class, number, own
from modescope.matrix import Tensor

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Heads:
    """Number of query heads, and of key and value heads (fewer where several queries share one)."""

    query: int
    shared: int


@dataclass(frozen=True)
class Parts:
    """Rows of query, key and value in a fused projection, each (heads, size of a head)."""

    query: Rows
    key: Rows
    value: Rows


Order = Callable[[int, Heads], Parts | None]


def contiguous(rows: int, heads: Heads) -> Parts | None:
    """All queries, then all keys, then all values."""
    size = _head_size(rows, heads)
    if not size:
        return None
    index = np.arange(rows).reshape(-1, size)
    first, second = heads.query, heads.query + heads.shared
    return Parts(index[:first], index[first:second], index[second:])


def interleaved(rows: int, heads: Heads) -> Parts | None:
    """For each key and value head in turn: its queries, its key, its value."""
    size = _head_size(rows, heads)
    if not size or heads.query % heads.shared:
        return None
    index = np.arange(rows).reshape(heads.shared, -1, size)
    return Parts(index[:, :-2].reshape(-1, size), index[:, -2], index[:, -1])


def codegen(rows: int, heads: Heads) -> Parts | None:
    """Four shards, each with its queries, values and keys in this order."""
    size = _head_size(rows, heads)
    if not size or heads.query % 4 or heads.shared != heads.query:
        return None
    index = np.arange(rows).reshape(4, 3, -1, size)
    query, value, key = (index[:, part].reshape(-1, size) for part in range(3))
    return Parts(query, key, value)


def _head_size(rows: int, heads: Heads) -> int:
    """Rows of one head, or 0 where the heads do not add up to `rows`."""
    size, rest = divmod(rows, heads.query + 2 * heads.shared)
    return 0 if rest else size


@dataclass(frozen=True)
class Layout:
    """Where the parts of a fused projection stand.

    Attributes:
        order: Gives the rows of each part.
        heads: Their numbers; one each where only the parts are known.
        by_head: Whether `heads` are the real ones.
    """

    order: Order
    heads: Heads
    by_head: bool


def _plain(order: Order) -> Callable[[Tensor, str, Heads], tuple[Order, Heads]]:
    def layout(_tensor: Tensor, _scope: str, heads: Heads) -> tuple[Order, Heads]:
        return order, heads

    return layout


def _falcon(tensor: Tensor, scope: str, heads: Heads) -> tuple[Order, Heads]:
    if _flag(tensor, f"{scope}new_decoder_architecture"):
        return interleaved, heads
    if _flag(tensor, f"{scope}multi_query", default=True):
        return contiguous, Heads(heads.query, 1)
    return interleaved, Heads(heads.query, heads.query)


def _bigcode(tensor: Tensor, scope: str, heads: Heads) -> tuple[Order, Heads]:
    if _flag(tensor, f"{scope}multi_query", default=True):
        return contiguous, Heads(heads.query, 1)
    return interleaved, heads


def _chatglm(tensor: Tensor, scope: str, heads: Heads) -> tuple[Order, Heads]:
    shared = number(tensor, f"{scope}multi_query_group_num") if _flag(tensor, f"{scope}multi_query_attention") else None
    return contiguous, Heads(heads.query, shared or heads.query)


def _flag(tensor: Tensor, key: str, *, default: bool = False) -> bool:
    return tensor.declared.get(key, str(default)).lower() == "true"


# `config.model_type` -> how its fused projection is stored. An architecture that is missing here is shown whole, and says so.
_FUSED: Mapping[str, Callable[[Tensor, str, Heads], tuple[Order, Heads]]] = {
    **dict.fromkeys(("gpt2", "openai-gpt", "imagegpt", "decision_transformer"), _plain(contiguous)),
    **dict.fromkeys(("phi3", "phi-msft", "mixformer-sequential", "mpt", "dbrx", "qwen", "baichuan"), _plain(contiguous)),
    **dict.fromkeys(("nomic_bert", "modernbert", "blip", "blip_vision_model", "vit"), _plain(contiguous)),
    **dict.fromkeys(("gpt_neox", "gpt_neox_japanese", "bloom", "persimmon", "internlm2"), _plain(interleaved)),
    "codegen": _plain(codegen),
    "falcon": _falcon,
    "RefinedWeb": _falcon,
    "RefinedWebModel": _falcon,
    "gpt_bigcode": _bigcode,
    "chatglm": _chatglm,
}
# Architectures whose linear layers are `Conv1D`, stored (in, out).
_IN_OUT = frozenset({"gpt2", "openai-gpt", "imagegpt", "decision_transformer"})
_IN_OUT_NAMES = frozenset({"c_attn", "c_proj", "c_fc", "q_attn"})

_FUSED_NAME = re.compile(r"(?:\w*_)?(?:w?qkv|qkv_proj|query_key_value|c_attn|w_pack)\Z")
# Names used with one layout only, for a checkpoint without a configuration.
_THIRDS = re.compile(r"(?:\A|\.)(?:blocks\.\d+\.attn\.qkv|c_attn|Wqkv|to_qkv|W_pack)(?:\.base_layer)?\.weight\Z")

_QUERY_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
_SHARED_HEADS = ("num_key_value_heads", "num_kv_heads", "n_head_kv", "attn_config.kv_n_heads")
_HEAD_SIZES = ("head_dim", "kv_channels", "d_kv")


def is_in_out(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a matrix is stored (in, out): by its class, by the architecture, or by its name and its bias."""
    if layer_class(tensor) in EXACT:
        return layer_class(tensor) == "Conv1D"
    if own(tensor.name) not in _IN_OUT_NAMES:
        return False
    family = _family(tensor)
    if family is not None:
        return family[1] in _IN_OUT
    if tensor.shape[0] == tensor.shape[1]:
        # A square matrix with its bias looks the same both ways; the fused projection of the same block does not.
        beside = tensors.get(f"{tensor.module.rpartition('.')[0]}.c_attn.weight")
        if beside is not None and len(beside.shape) == 2 and beside.shape[0] != beside.shape[1]:
            return bias_length(beside, tensors) == beside.shape[1]
    return bias_length(tensor, tensors) == tensor.shape[1]


def is_fused(tensor: Tensor) -> bool:
    """Whether the name is that of a fused query, key and value projection."""
    return _FUSED_NAME.match(own(tensor.name)) is not None


def fused_layout(tensor: Tensor, rows: int, inputs: int) -> Layout | None:
    """Where query, key and value stand among the rows of a fused projection (rows, inputs), or None where it is not known."""
    family = _family(tensor)
    if family is not None:
        scope, name = family
        heads = head_counts(tensor)
        if heads is not None:
            order, heads = _FUSED[name](tensor, scope, heads)
            # The heads must also have the size that is declared, or unequal numbers that happen to add up would pass.
            size = next(filter(None, (number(tensor, scope + key) for key in _HEAD_SIZES)), inputs // heads.query)
            fits = order(rows, heads) is not None and size == _head_size(rows, heads)
            return Layout(order, heads, by_head=True) if fits else None
        thirds = _FUSED[name](tensor, scope, Heads(1, 1))[0] is contiguous
    else:
        thirds = _THIRDS.search(tensor.name) is not None
    if not thirds or rows != 3 * inputs:
        return None
    heads = head_counts(tensor)
    if heads is not None and heads.query == heads.shared and contiguous(rows, heads) is not None:
        return Layout(contiguous, heads, by_head=True)
    return Layout(contiguous, Heads(1, 1), by_head=False)


def head_counts(tensor: Tensor) -> Heads | None:
    """Number of heads the configuration tells, or None."""
    for scope in _scopes(tensor):
        side = ("decoder_attention_heads",) if "decoder" in tensor.name.split(".") else ()
        keys = (*side, *_QUERY_HEADS)
        query = next(filter(None, (number(tensor, scope + key) for key in keys)), None)
        if query is not None:
            shared = next(filter(None, (number(tensor, scope + key) for key in _SHARED_HEADS)), None)
            return Heads(query, shared or query)
    return None


def _family(tensor: Tensor) -> tuple[str, str] | None:
    """The configuration's prefix and the architecture it names, where the table knows it."""
    for scope in _scopes(tensor):
        name = tensor.declared.get(f"{scope}model_type", "")
        if name in _FUSED:
            return scope, name
    return None


def _scopes(tensor: Tensor) -> Iterator[str]:
    """Where in a nested configuration the entries of this tensor may stand, the most special first."""
    for part in ("vision", "text", "audio", "encoder", "decoder"):
        if part in tensor.name:
            yield f"config.{part}_config."
            yield f"config.{part}."
    yield "config."
    yield "config.text_config."
