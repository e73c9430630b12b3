"""What functions of torch do to channels, by their names: move them, act on each by itself, pool them, or sum over them."""

from typing import Any


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOVING = _words(
    """
    adjoint atleast_1d atleast_2d atleast_3d broadcast_to cat channel_shuffle chunk column_stack concat concatenate copy
    diagonal dsplit dstack expand expand_as flatten flip fliplr flipud gather getitem H hsplit hstack index_copy index_put
    index_select masked_scatter masked_select mH moveaxis movedim mT narrow native_channel_shuffle pad permute pixel_shuffle
    pixel_unshuffle ravel repeat repeat_interleave reshape reshape_as resize roll rot90 scatter select select_scatter setitem
    slice_scatter split split_with_sizes squeeze stack swapaxes swapdims T t take take_along_dim tensor_split tile transpose
    tril triu unbind unflatten unfold unsqueeze view view_as vsplit vstack
    """
)
JOINING = frozenset({"cat", "concat", "concatenate", "stack"})
STILL = _words(
    """
    alias alpha_dropout bfloat16 clone contiguous cpu cuda data detach double dropout dropout1d dropout2d dropout3d
    feature_alpha_dropout feature_dropout float half identity pin_memory positive requires_grad_ to type type_as
    """
)
MAKING = _words(
    """
    bernoulli empty_like fill full_like new_empty new_full new_ones new_tensor new_zeros normal ones_like rand_like randn_like
    uniform zero zeros_like
    """
)
EACH = _words(
    """
    abs absolute acos add addcdiv addcmul arccos arcsin arctan asin asinh atan atan2 ceil celu clamp clamp_max clamp_min clip
    copysign cos cosh deg2rad div divide elu erf erfc exp exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac gelu
    hardshrink hardsigmoid hardswish hardtanh hypot ldexp leaky_relu lerp lgamma local_response_norm log log10 log1p log2
    log_softmax logaddexp logit logsigmoid masked_fill maximum minimum mish mul multiply nan_to_num neg negative normalize pow
    prelu reciprocal relu relu6 remainder round rrelu rsqrt rsub selu sgn sigmoid sign silu sin sinc sinh softmax softmin
    softplus softshrink softsign special_erf special_expit special_logit special_softmax sqrt square sub subtract tan tanh
    tanhshrink threshold true_divide trunc where xlogy
    """
)
PRODUCTS = _words(
    """
    addcdiv addcmul atan2 div divide float_power floor_divide fmod mul multiply pow remainder true_divide xlogy
    """
)
POOLS = frozenset(
    f"{kind}pool{d}d" for d in (1, 2, 3) for kind in ("max_", "avg_", "lp_", "adaptive_max_", "adaptive_avg_", "fractional_max_")
) | frozenset(f"max_pool{d}d_with_indices" for d in (1, 2, 3))
RESAMPLING = _words(
    """
    grid_sample interpolate upsample upsample_bilinear upsample_nearest
    """
)
REDUCTIONS = _words(
    """
    amax amin logsumexp max mean median min nanmean nansum norm prod std std_mean sum var var_mean vector_norm
    """
)
CONVOLUTIONS = frozenset(f"{kind}{d}d" for d in (1, 2, 3) for kind in ("conv", "conv_transpose"))
NORMS = _words(
    """
    batch_norm group_norm instance_norm layer_norm rms_norm
    """
)
CONTRACTIONS = _words(
    """
    addbmm addmm baddbmm bmm matmul mm
    """
)
WRITING = frozenset({"set"})  # another tensor's data
TABLES = frozenset({"embedding", "embedding_bag"})
OUTSIDE = _words(
    """
    array item numpy tolist
    """
)
COMPARISONS = _words(
    """
    bitwise_and bitwise_not bitwise_or bitwise_xor and or xor invert eq ge greater greater_equal gt isclose isfinite isinf isnan
    isneginf isposinf le less less_equal logical_and logical_not logical_or logical_xor lt ne not_equal signbit
    """
)
EXTREMES = frozenset({"amax", "amin", "max", "min"})
SORTING = frozenset({"kthvalue", "msort", "sort", "topk"})
GAIN = "gain"
_PLAIN = {
    "__truediv__": "div",
    "__rtruediv__": "div",
    "__itruediv__": "div",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "linalg_norm": "norm",
    "linalg_vector_norm": "norm",
    "linalg_matmul": "matmul",
    "rmatmul": "matmul",
    "im2col": "unfold",
}
_REFLECTED = _words("radd rsub rmul rdiv rpow rmatmul iadd isub imul idiv ipow iand")


def named(function: Any) -> tuple[str, bool]:
    """Plain name of a function of torch, and whether it changes its first argument: `add` for `Tensor.__iadd__`."""
    name = str(getattr(function, "__name__", type(function).__name__))
    if name == "__get__":
        return str(getattr(function.__self__, "__name__", name)), False
    if name in _PLAIN:
        return _PLAIN[name], name == "__itruediv__"
    if name.startswith("__") and name.endswith("__"):
        plain = name[2:-2]
        inner = plain[1:] if plain in _REFLECTED else plain
        return _PLAIN.get(inner, inner), plain == "setitem" or (plain in _REFLECTED and plain[0] == "i")
    name = name.removeprefix("_") if name in {"_softmax", "_log_softmax"} else name
    plain = name.removesuffix("_") if name != "requires_grad_" else name
    plain = plain.removeprefix("_") if plain.startswith("_max_pool") else plain
    return _PLAIN.get(plain, plain), name.endswith("_") and name != "requires_grad_"
