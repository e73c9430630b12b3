"""How Keras lays weights out in HDF5: names of its variables, order of its layers, and axes of its kernels."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modescope.checkpoints._config import as_text

EPS = "0.001"  # of a normalisation, where the model's description is not stored: Keras's default
NESTING = 32  # models inside models
_NUMBERED = re.compile(r"(.+?)(?:_\d+)?\Z", re.DOTALL)
_CONVOLUTION = re.compile(r"(separable_|depthwise_)?conv([123])d(_transpose)?\Z")
_ATTENTION = frozenset(
    {"query", "key", "value", "attention_output", "query_dense", "key_dense", "value_dense", "output_dense", "einsum_dense"}
)
_NORMS = frozenset({"batch_normalization", "layer_normalization", "group_normalization", "unit_normalization"})
# Variables of a layer in the order in which Keras numbers them, and the number of axes of the first.
_PLAIN, _CELL = ("kernel", "bias"), ("kernel", "recurrent_kernel", "bias")
_VARIABLES: Mapping[str, tuple[tuple[str, ...], int]] = {
    "dense": (_PLAIN, 2),
    **{
        f"{kind}conv{n}d{end}": (_PLAIN, n + 2)
        for n in (1, 2, 3)
        for kind, end in (("", ""), ("", "_transpose"), ("depthwise_", ""))
    },
    **{f"separable_conv{n}d": (("depthwise_kernel", "pointwise_kernel", "bias"), n + 2) for n in (1, 2)},
    "embedding": (("embeddings",), 2),
    **dict.fromkeys(("lstm_cell", "gru_cell", "simple_rnn_cell"), (_CELL, 2)),
}
_OWN = {  # what our own names for settings are called in Keras
    "filters": "out_channels",
    "kernel_size": "kernel_size",
    "strides": "stride",
    "padding": "padding",
    "dilation_rate": "dilation",
    "units": "out_features",
    "input_dim": "num_embeddings",
    "output_dim": "embedding_dim",
    "num_heads": "num_heads",
    "epsilon": "eps",
}

Axes = Literal["as stored", "turned", "convolution", "depthwise", "transposed"]


@dataclass(frozen=True)
class Variable:
    """One array as Keras means it.

    Attributes:
        name: Parts of its name joined by dots; the last is that of the variable ("kernel", "moving_mean").
        axes: How its axes have to be turned.
        declared: What is known of its layer.
        unusable: Why it holds no linear map we can see, or empty.
    """

    name: str
    axes: Axes
    declared: Mapping[str, str]
    unusable: str = ""


Shape = tuple[int, ...]
Classes = Mapping[str, tuple[str, Mapping[str, Any]]]


def classes(model: Mapping[str, Any], /) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Class and settings of every layer by its name; names that stand for several are left out.

    Args:
        model: The model's description as decoded from JSON. Nothing in it is looked up, imported or run.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    repeated: set[str] = set()
    for name, described in _layers(model, 0):
        if name in found and found[name] != described:
            repeated.add(name)
        found[name] = described
    return {name: described for name, described in found.items() if name not in repeated}


def variable(path: Sequence[str], shapes: Mapping[str, Shape], layer: str, known: Classes, /) -> Variable:
    """What one array is.

    Args:
        path: Names of the groups that lead to it, and its own. In a container `vars` it is only numbered: its name follows from
            the class of its layer, or from the shapes beside it.
        shapes: Shapes of all arrays of its group, by name.
        layer: Name of the layer where the file tells it, or empty.
        known: Classes of layers by name, from the model's description.
    """
    *groups, own = path
    numbered = len(groups) > 0 and groups[-1] == "vars"
    parts = _shortened(groups)
    described, settings = next((known[name] for name in (layer, *reversed(parts)) if name in known), ("", {}))
    kind = _snake(described)
    if not described or (numbered and kind not in _VARIABLES.keys() | _NORMS):  # a wrapper's class says nothing of the cell inside
        kind = _kind_by_name(parts, layer, shapes if numbered else {}) or kind
    leaf = _numbered_leaf(own, shapes, kind) if numbered else own.removesuffix(":0")
    bias = shapes.get(next((other for other in shapes if other.removesuffix(":0") == "bias"), "1" if numbered else ""), ())
    name = ".".join((*parts, leaf))
    declared = _declared(described, settings, kind, leaf)
    shape = shapes[own]
    if leaf == "recurrent_kernel" and len(shape) == 2:
        return Variable(name, "turned", declared)
    if not leaf.endswith("kernel") or len(shape) < 3:
        return Variable(name, "as stored", declared)
    if kind in {"einsum_dense", "multi_head_attention"} or (
        not described and not _ATTENTION.isdisjoint({parts[-1:][0] if parts else "", layer})
    ):
        return Variable(name, "as stored", declared, "kernel of an attention in Keras's own axes: which are inputs is not stored")
    axes = _axes(kind, leaf, shape, bias)
    return Variable(name, axes, {**declared, **_geometry(axes, shape)} if len(shape) <= 5 else declared)


def _layers(model: Any, depth: int) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    if not isinstance(model, Mapping) or depth > NESTING:
        return
    config = model.get("config")
    if not isinstance(config, Mapping):
        return
    name, described = config.get("name", model.get("name")), model.get("class_name")
    inner = config.get("layers")
    if isinstance(name, str) and isinstance(described, str) and not isinstance(inner, list):
        yield name, (described, config)
    for layer in inner if isinstance(inner, list) else [config.get("layer"), config.get("backward_layer")]:
        yield from _layers(layer, depth + 1)


def _shortened(groups: Sequence[str]) -> list[str]:
    """Groups that name a layer: containers are none, and a scope that repeats the layer's name says nothing new."""
    kept: list[str] = []
    for part in groups:
        if part in {"vars", "layers"} or (not kept and part == "model_weights"):
            continue
        if kept and _base(part) == _base(kept[-1]) and (part == kept[-1] or part.startswith(f"{kept[-1]}_")):
            continue
        kept.append(part)
    return kept


def _base(name: str) -> str:
    found = _NUMBERED.match(name)
    return found[1] if found else name


def _snake(described: str) -> str:
    """`depthwise_conv2d` of `DepthwiseConv2D`, `lstm_cell` of `LSTMCell`, as Keras itself writes them."""
    parted = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", described))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", parted).lower()


def _kind_by_name(parts: Sequence[str], layer: str, shapes: Mapping[str, Shape]) -> str:
    """Kind of a layer by the name Keras gives one of its class, where the shapes do not contradict it."""
    for name in (*parts[-1:], layer):
        kind = _base(name)
        if kind in _NORMS or (kind in _VARIABLES and len(shapes.get("0", (0,) * _VARIABLES[kind][1])) == _VARIABLES[kind][1]):
            return kind
    return ""


def _numbered_leaf(own: str, shapes: Mapping[str, Shape], kind: str) -> str:
    """The name of a variable that is only numbered, or its number where neither class nor shapes tell."""
    if not own.isdecimal():
        return own
    if kind in _VARIABLES:
        names = _VARIABLES[kind][0]
    else:
        names = _by_shapes([shapes[str(place)] for place in range(len(shapes)) if str(place) in shapes], kind)
    place = int(own)
    return names[place] if place < len(names) else own


def _by_shapes(shapes: Sequence[Shape], kind: str) -> tuple[str, ...]:
    equal = all(len(shape) == 1 and shape == shapes[0] for shape in shapes)
    if equal and len(shapes) == 4:
        return ("gamma", "beta", "moving_mean", "moving_variance")
    if equal and len(shapes) == 2 and kind in _NORMS - {"batch_normalization"}:
        return ("gamma", "beta")
    biased = len(shapes) == 2 and len(shapes[0]) > 1 and len(shapes[1]) == 1 and shapes[1][0] in shapes[0][-2:]
    if biased or (len(shapes) == 1 and len(shapes[0]) in {4, 5}):
        return ("kernel", "bias")
    return ("kernel", "bias") if shapes and len(shapes[0]) == 3 and len(shapes) <= 2 else ()


def _axes(kind: str, leaf: str, shape: Shape, bias: Shape) -> Axes:
    found = _CONVOLUTION.match(kind)
    if leaf == "depthwise_kernel" or (found and found[1] == "depthwise_"):
        return "depthwise"
    if found and found[3]:
        return "transposed"
    # A layer with a name of its own: the bias tells which of the last two axes is the output.
    by_bias = not found and len(bias) == 1 and bias[0] == shape[-2] != shape[-1]
    return "transposed" if by_bias else "convolution"


def _geometry(axes: Axes, shape: Shape) -> dict[str, str]:
    """The class in the words of the layers that turn a kernel into matrices."""
    taps = len(shape) - 2
    if axes == "depthwise":
        return {"module": f"Conv{taps}d", "groups": str(shape[-2])}
    return {"module": f"ConvTranspose{taps}d" if axes == "transposed" else f"Conv{taps}d"}


def _declared(described: str, settings: Mapping[str, Any], kind: str, leaf: str) -> dict[str, str]:
    found = {ours: text for theirs, ours in _OWN.items() if (text := as_text(settings.get(theirs))) is not None}
    groups = as_text(settings.get("groups"))
    if groups is not None and (kind.startswith("conv") or kind == "group_normalization"):
        found["num_groups" if kind == "group_normalization" else "groups"] = groups
    if described:
        found["keras_class"] = described
    if leaf in {"gamma", "beta", "moving_mean", "moving_variance"}:
        found.setdefault("eps", EPS)
    if kind in {"layer_normalization", "group_normalization"}:
        found["module"] = "LayerNorm" if kind.startswith("layer") else "GroupNorm"
    return found
