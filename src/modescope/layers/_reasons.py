"""Why a tensor holds no linear map, judged by its header: the one list of reasons, asked by every kind before it claims."""

import re
from collections.abc import Mapping
from functools import lru_cache
from math import prod

from modescope.layers._factors import belongs
from modescope.layers._names import NORMS, layer_class, own, sibling
from modescope.matrix import Tensor

_PACKED = "packed or integer-coded weights: dequantise first"
_SCALE = "scale or zero point of quantised weights, not a weight"
_OPTIMIZER = "optimizer state, not a weight"
_COPY = "averaged copy of the weights (EMA): a second model, to be opened by itself"
_BEFORE = "stored before its parametrisation (weight norm, spectral norm, pruning): open the live model for the effective weight"
_MASK = "mask, not a weight"
_ADAPTER = "part of an adapter that is no plain product of two factors"
_VECTOR = "a single vector, not a weight matrix"

# In this order; the first that is found in the name, in lower case, gives the reason.
_BY_PATH = tuple(
    (re.compile(pattern, re.DOTALL), reason)
    for pattern, reason in (
        (r"\A(?:[^.]*\.)?(?:optimizers?|optim|optimi[sz]er_states?|optim_states?)\.", _OPTIMIZER),
        (
            r"(?:\A|[._])(?:exp_avg(?:_sq)?|max_exp_avg_sq|exp_inf|momentum_buffer|square_avg|grad_avg|acc_delta)(?:[._]|\Z)",
            _OPTIMIZER,
        ),
        (r"(?:\A|[._])(?:master_(?:params?|weights?)|fp32_(?:params?|weights?|groups))(?:[._]|\Z)", _OPTIMIZER),
        (r"\A(?:[^.]*\.)?(?:ema|\w+_ema|ema_(?:model|params?|state_dict)|shadow_params|averaged_model|swa_model)\.", _COPY),
        (r"\.quant_state\.|\.(?:absmax|quant_map|nested_absmax|nested_quant_map)\Z", _SCALE),
        (r"(?:\A|\.)(?:scb|qzeros|g_idx|zero_points?|(?:weight|input|output|k|v)_(?:scale(?:_inv|_2)?|zero_point))\Z", _SCALE),
        (r"(?:\A|[._])(?:blocks|proj)_scales\Z", _SCALE),
        (r"(?:\A|\.)(?:qweight|weight_packed)\Z|_proj_blocks\Z", _PACKED),
        (r"(?:\A|[._])num_batches_tracked\Z", "counter of batches, not a weight"),
        (r"(?:\A|[._])(?:running_(?:mean|var)|moving_(?:mean|variance))\Z", "running statistic of a normalisation, not a weight"),
        (r"(?:\A|[._])(?:position|token_type)_ids\Z", "position or type indices, not a weight"),
        (r"(?:\A|[._])relative_position_index\Z", "position or type indices, not a weight"),
        (r"(?:\A|[._])(?:inv_freq|freqs(?:_cis|_cos|_sin)?|(?:cos|sin)_cached)\Z", "rotary frequencies: fixed, not trained"),
        (r"(?:\A|[._])(?:mask|masked_bias)\Z", _MASK),
        (r"(?:\A|\.)parametrizations\.", _BEFORE),
        (r"(?:\A|\.)weight_(?:orig|g)\Z", _BEFORE),
        (
            r"(?:\A|\.)(?:hada_|lokr_|oft_|boft_|ia3_|vera_)\w*(?:\.[^.]+)?\Z",
            _ADAPTER,
        ),
    )
)
_BIAS = re.compile(r"(?:\A|.*_)(?:bias(?:_ih|_hh)?(?:_[kv])?(?:_l\d+)?(?:_reverse)?)\Z", re.DOTALL)
_NORM = re.compile(r"norm|(?:\A|_)(?:ln|bn|gn)(?:\d|_|\Z)")


def is_weight(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a kind may claim the tensor: nothing speaks against a linear map, and it is no part of an adapter."""
    return not belongs(tensor, tensors) and why_not(tensor, tensors) is None


def why_not(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """Why the tensor holds no linear map, as a phrase, or None where nothing speaks against one.

    Args:
        tensor: The tensor; only its header is used.
        tensors: All tensors of the checkpoint by name.
    """
    if 0 in tensor.shape:
        return "empty: no entries"
    return (
        _by_path(tensor.name)
        or _by_dtype(tensor, tensors)
        or _by_neighbours(tensor, tensors)
        or _by_class(tensor)
        or _by_leaf(tensor)
        or ("buffer of its layer, not a trained weight" if tensor.declared.get("buffer", "").lower() == "true" else None)
    )


@lru_cache(1 << 16)
def _by_path(name: str) -> str | None:
    lowered = name.lower()
    return next((reason for pattern, reason in _BY_PATH if pattern.search(lowered)), None)


def _by_dtype(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    stored = tensor.stored
    if stored == "float8_e8m0fnu":
        return _SCALE  # powers of two without a sign
    if stored.startswith(("float", "bfloat")):
        scaled = stored.startswith(("float8", "float6", "float4")) and _scale_beside(tensor, tensors)
        return f"{stored} codes with their scales in {scaled}: dequantise first" if scaled else None
    if stored.startswith("complex"):
        return "complex entries are not supported"
    if stored.startswith(("qint", "quint")):
        return _PACKED
    if stored == "bool":
        return "truth values, not a weight"
    if not stored.startswith(("int", "uint")):
        return f"entries of type {stored} are not supported"
    return _PACKED if len(tensor.shape) > 1 and own(tensor.name) != tensor.leaf.lower() else "integer tensor, not a weight"


def _scale_beside(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    names = (f"{tensor.name}{ending}" for ending in ("_scale_inv", "_scale", "_scales"))
    return next((name for name in names if name in tensors), None)


def _by_neighbours(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    leaf = tensor.leaf
    if leaf == "weight_v" and sibling(tensor, "weight_g", tensors):
        return _BEFORE
    if leaf in {"weight_u", "weight_v"} and sibling(tensor, "weight_orig", tensors):
        return "vector of the power iteration of a spectral norm, not a weight"
    if leaf == "scales" and sibling(tensor, "qweight", tensors):
        return _SCALE
    if leaf == "weight" and len(tensor.shape) > 1:
        bias = sibling(tensor, "bias", tensors)
        if bias is not None and bias.shape == tensor.shape:
            return "one factor per entry (scale of a normalisation), not a linear map"
    return _COPY if "ema" in tensor.name.lower() and _copied(tensor.name) in tensors else None


def _copied(name: str) -> str:
    """Name without its mark of an average: `layer.weight` of `layer.weight_ema` or of `layer_ema.weight`."""
    bare = (part.removesuffix("_ema").removeprefix("ema_") for part in name.split("."))
    plain = ".".join(bare)
    return "" if plain == name else plain


def _by_class(tensor: Tensor) -> str | None:
    declared = layer_class(tensor)
    if declared in NORMS:
        return f"{'shift' if tensor.leaf == 'bias' else 'scale'} of a normalisation, not a linear map"
    if declared == "PReLU":
        return "slopes of an activation, not a linear map"
    if declared == "Bilinear" and len(tensor.shape) == 3:
        return "bilinear form: no single linear map"
    return None


def _by_leaf(tensor: Tensor) -> str | None:
    leaf = tensor.leaf.lower()
    axes = len(tensor.shape)
    if _BIAS.match(leaf):
        if axes == 4 and tensor.shape[:2] == (1, 1) and tensor.shape[2] == tensor.shape[3]:
            return _MASK
        return "bias: one-dimensional, not a weight matrix" if axes == 1 else "bias, not a linear map"
    if axes == 1 and _NORM.search(own(tensor.name)):
        return "scale of a normalisation: one-dimensional, not a weight matrix"
    may_be_vector = axes > 2 or (axes == 2 and leaf.endswith("token"))
    if may_be_vector and not leaf.endswith("weight") and prod(tensor.shape) == max(tensor.shape):
        return _VECTOR
    return None
