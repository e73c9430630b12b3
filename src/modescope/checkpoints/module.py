"""Live torch models (`nn.Module`), with the weights they really use: parametrised ones as their layer sees them."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from modescope.checkpoints import _torch_arrays
from modescope.checkpoints._config import as_text, flattened
from modescope.matrix import Array, Skip, Tensor

HYPERPARAMETERS = (
    *("in_features", "out_features", "in_channels", "out_channels", "kernel_size", "stride", "padding", "padding_mode"),
    *("dilation", "groups", "transposed", "output_padding", "num_embeddings", "embedding_dim", "padding_idx", "embed_dim"),
    *("num_heads", "kdim", "vdim", "head_dim", "batch_first", "input_size", "hidden_size", "num_layers", "bidirectional"),
    *("proj_size", "num_features", "normalized_shape", "num_groups", "num_channels", "eps", "nf", "nx"),
)
_reading = threading.Lock()


def claims(source: Any, _head: bytes, /) -> int:
    """3 for an instance of torch's Module, told by its ancestors' names so that torch need not be imported."""
    return (
        3 if any(base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module" for base in type(source).__mro__) else 0
    )


def tensors(source: Any, /) -> Iterator[Tensor | Skip]:
    """Every parameter and buffer under its name in `named_parameters()`, and each effective weight under its layer's name.

    A weight that is computed from others (`torch.nn.utils.parametrize`, weight norm, spectral norm, pruning) is one tensor,
    `layer.weight`; what it is computed from is skipped. Reading leaves the model as it was: its numbers, its gradients, its mode.
    """
    seen: dict[Any, Tensor] = {}
    skips: list[Skip] = []
    for item, key in _found(source):
        if isinstance(item, Skip):
            skips.append(item)
        elif key in seen:
            if item.name not in (seen[key].name, *seen[key].aliases):
                seen[key] = replace(seen[key], aliases=(*seen[key].aliases, item.name))
        else:
            seen[key] = item
    yield from seen.values()
    yield from skips


def _found(model: Any) -> Iterator[tuple[Tensor | Skip, Any]]:
    configs: dict[str, dict[str, str]] = {}
    for prefix, layer in model.named_modules(remove_duplicate=False):
        if (config := _config(layer)) is not None and _outermost(prefix, configs) is None:
            configs[prefix] = config
        declared = (_outermost(prefix, configs) or {}) | _hyperparameters(layer)
        raw = _raw(layer)
        for leaf, parameter in layer.named_parameters(recurse=False, remove_duplicate=False):
            yield _direct(_joined(prefix, leaf), layer, leaf, parameter, declared, raw.get(leaf))
        for leaf, compute in _effective(layer).items():
            yield _computed(_joined(prefix, leaf), layer, leaf, compute, declared)
        for leaf, buffer in layer.named_buffers(recurse=False, remove_duplicate=False):
            yield _direct(_joined(prefix, leaf), layer, leaf, buffer, {**declared, "buffer": "true"}, raw.get(leaf))


def _direct(
    name: str, layer: Any, leaf: str, value: Any, declared: Mapping[str, str], raw: str | None
) -> tuple[Tensor | Skip, Any]:
    shape = _torch_arrays.shape_of(value)
    reason = raw or _torch_arrays.why_unreadable(value)
    if reason is not None:
        return Skip(name, shape, reason), None
    read = partial(_read, layer, leaf)
    return Tensor(name, shape, _torch_arrays.stored_name(value), read, declared), _torch_arrays.storage_key(value)


def _computed(name: str, layer: Any, leaf: str, compute: Any, declared: Mapping[str, str]) -> tuple[Tensor | Skip, Any]:
    value = _evaluated(layer, compute)  # only the computation knows its shape
    reason = _torch_arrays.why_unreadable(value)
    if reason is not None:
        return Skip(name, _torch_arrays.shape_of(value), reason), None
    read = partial(_read_computed, layer, leaf)
    return Tensor(name, tuple(value.shape), _torch_arrays.stored_name(value), read, declared), (id(layer), leaf)


def _read(layer: Any, leaf: str, /) -> Array:
    return _torch_arrays.as_array(getattr(layer, leaf))


def _read_computed(layer: Any, leaf: str, /) -> Array:
    return _torch_arrays.as_array(_evaluated(layer, _effective(layer)[leaf]))


def _evaluated(layer: Any, compute: Any) -> Any:
    """The value of a computed weight, without the updates that computing it in training mode would make."""
    import torch

    with _reading, torch.no_grad(), evaluating(layer):
        return compute()


@contextmanager
def evaluating(layer: Any, /) -> Iterator[None]:
    """A module and all within in evaluation mode for a while; each is then in the mode it was in."""
    modes = [(module, module.training) for module in layer.modules()]
    try:
        for module, _ in modes:
            module.training = False  # not eval(), which a model may have given other effects
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _effective(layer: Any) -> dict[str, Any]:
    """The weights of a layer that are computed when it runs, each with the function that computes it."""
    computed = dict(layer.named_children()).get("parametrizations")
    # Each is called by itself: an attribute access would go through torch's cache and could leave a copy without gradient in it.
    found: dict[str, Any] = (
        {leaf: module for leaf, module in computed.named_children() if _is_parametrization(module)} if computed else {}
    )
    for hook in vars(layer).get("_forward_pre_hooks", {}).values():
        if (spec := _hook(hook)) is not None:
            leaf, compute = spec
            found[leaf] = partial(compute, layer)
    return found


def _hook(hook: Any) -> tuple[str, Any] | None:
    """Name and computation of a weight made by one of torch's older hooks."""
    bases = {base.__name__ for base in type(hook).__mro__ if base.__module__.startswith("torch.nn.utils.")}
    if "WeightNorm" in bases:
        return hook.name, hook.compute_weight
    if "SpectralNorm" in bases:
        return hook.name, partial(_spectrally_normed, hook)
    if "BasePruningMethod" in bases:
        return hook._tensor_name, hook.apply_mask
    return None


def _spectrally_normed(hook: Any, layer: Any) -> Any:
    return hook.compute_weight(layer, do_power_iteration=False)


def _raw(layer: Any) -> dict[str, str]:
    """Parameters and buffers of this very layer that a weight is computed from, with the reason to skip them."""
    found = dict.fromkeys(("original", *(f"original{i}" for i in range(8))), "weight") if _is_parametrization(layer) else {}
    for leaf in _effective(layer):
        found |= {f"{leaf}{end}": leaf for end in ("_g", "_v", "_orig", "_u", "_mask")}
    return {leaf: f"what the effective {of} is computed from" for leaf, of in found.items()}


def _is_parametrization(layer: Any) -> bool:
    return any(base.__name__ == "ParametrizationList" for base in type(layer).__mro__)


def _hyperparameters(layer: Any) -> dict[str, str]:
    own = vars(layer)
    texts = {name: as_text(own[name]) for name in HYPERPARAMETERS if name in own}
    return {"module": _class(layer)} | {name: text for name, text in texts.items() if text is not None}


def _class(layer: Any) -> str:
    """Name of the closest public class of torch.nn (or of the one transposed layer outside it) a layer descends from."""
    import torch.nn

    for base in type(layer).__mro__:
        public = getattr(torch.nn, base.__name__, None) is base and base is not torch.nn.Module
        if public or (base.__name__ == "Conv1D" and base.__module__.startswith("transformers.")):
            return str(base.__name__)
    return str(getattr(layer, "original_name", type(layer).__name__))  # a scripted layer remembers what it was


def _config(layer: Any) -> dict[str, str] | None:
    config = vars(layer).get("config")
    if not callable(getattr(type(config), "to_dict", None)):
        return None
    return flattened(config.to_dict())


def _outermost(prefix: str, configs: Mapping[str, dict[str, str]]) -> dict[str, str] | None:
    return next((config for at, config in configs.items() if not at or prefix == at or prefix.startswith(f"{at}.")), None)


def _joined(prefix: str, leaf: str) -> str:
    return f"{prefix}.{leaf}" if prefix else leaf
