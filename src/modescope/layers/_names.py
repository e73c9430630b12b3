"""What a header says of a tensor: the layer that owns it, the class that was declared, the numbers of its configuration."""

import re
from collections.abc import Mapping
from functools import lru_cache

from modescope.matrix import Tensor

LINEAR = frozenset({"Linear", "LazyLinear", "NonDynamicallyQuantizableLinear"})
CONVOLUTIONS = frozenset({"Conv1d", "Conv2d", "Conv3d"})
TRANSPOSED_CONVOLUTIONS = frozenset({"ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"})
EMBEDDINGS = frozenset({"Embedding", "EmbeddingBag"})
NORMS = frozenset(
    {"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm", "LayerNorm", "GroupNorm", "RMSNorm"}
    | {"InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LocalResponseNorm"}
)
RECURRENT = frozenset({"LSTM", "LSTMCell", "GRU", "GRUCell", "RNN", "RNNCell"})

# A declared class of this set says what its weight is, so no rule about names may say otherwise.
EXACT = (
    LINEAR
    | CONVOLUTIONS
    | TRANSPOSED_CONVOLUTIONS
    | EMBEDDINGS
    | NORMS
    | RECURRENT
    | {"Conv1D", "MultiheadAttention", "Bilinear", "PReLU"}
)

_REMEMBERED = 1 << 16  # names kept: several kinds ask about each, one after another
_WRAPPERS = frozenset({"weight", "base_layer"})
_NUMBERS = re.compile(r"\d{1,9}(?:,\d{1,9})*")
_EXPERTS = re.compile(r"(?:\A|[._])(?:\w*experts?|moe|\w*_moe)(?:[._]|\Z)")


@lru_cache(_REMEMBERED)
def own(name: str) -> str:
    """Name of the layer itself in lower case: `c_attn` of `h.0.attn.c_attn.weight`, `pos_embed` of `vit.pos_embed`."""
    parts = name.lower().split(".")
    while len(parts) > 1 and parts[-1] in _WRAPPERS:
        parts.pop()
    return parts[-1]


@lru_cache(_REMEMBERED)
def step(name: str) -> str:
    """Name of the layer itself, with its container's where it is only a number: `deconv.0` of `head.deconv.0.weight`."""
    parts = name.lower().split(".")
    while len(parts) > 1 and parts[-1] in _WRAPPERS:
        parts.pop()
    return ".".join(parts[-2:] if parts[-1].isdecimal() else parts[-1:])


def layer_class(tensor: Tensor) -> str:
    """Class of the layer that was declared, or an empty text."""
    return tensor.declared.get("module", "")


def named_freely(tensor: Tensor) -> bool:
    """Whether the name may decide: no class was declared that already says what the weight is."""
    return layer_class(tensor) not in EXACT


def is_named_weight(tensor: Tensor) -> bool:
    """Whether the last part of the name says that this is the weight of a layer."""
    leaf = tensor.leaf.lower()
    return leaf in {"w", "kernel"} or leaf.endswith(("weight", "_w"))


@lru_cache(_REMEMBERED)
def is_stacked(name: str) -> bool:
    """Whether the name is that of stacked experts, and not of a convolution inside one."""
    return _EXPERTS.search(name.lower()) is not None and "conv" not in step(name) and not is_depthwise(name)


_DEPTHWISE = re.compile(r"(?:\A|[._])(?:depth_?wise\w*|dw_?conv\w*|conv_?dw\w*|dw\d*|depth_conv)(?:[._]|\Z)")


@lru_cache(_REMEMBERED)
def is_depthwise(name: str) -> bool:
    """Whether the name hints at one filter per channel."""
    return _DEPTHWISE.search(name.lower()) is not None


def sibling(tensor: Tensor, leaf: str, tensors: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor of the same layer with another last part: the `bias` beside a `weight`."""
    return tensors.get(f"{tensor.module}.{leaf}" if tensor.module else leaf)


def bias_length(tensor: Tensor, tensors: Mapping[str, Tensor]) -> int | None:
    """Length of the one-dimensional bias beside a weight, or None."""
    bias = sibling(tensor, "bias", tensors)
    return bias.shape[0] if bias is not None and bias is not tensor and len(bias.shape) == 1 else None


def numbers(tensor: Tensor, key: str) -> tuple[int, ...]:
    """Declared whole numbers ("2,2" is (2, 2)); empty where nothing usable was declared."""
    text = tensor.declared.get(key, "").strip("()[] ").replace(" ", "").rstrip(",")
    return tuple(int(part) for part in text.split(",")) if _NUMBERS.fullmatch(text) else ()


def per_axis(tensor: Tensor, key: str, axes: int) -> tuple[int, ...] | None:
    """Declared positive whole numbers, one per axis (a single one counts for all), or None."""
    found = numbers(tensor, key)
    found = found * axes if len(found) == 1 else found
    return found if len(found) == axes and min(found) > 0 else None


def number(tensor: Tensor, key: str) -> int | None:
    """One declared positive whole number, or None."""
    found = per_axis(tensor, key, 1)
    return found[0] if found else None


def join(*sentences: str) -> str:
    """The notes that are not empty, in one line."""
    return "; ".join(filter(None, sentences))
