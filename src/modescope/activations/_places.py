"""Where in a model the named layers run: as modules of their own, or as products inside torch's attention."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from modescope.errors import UsageError

PROJECTIONS = ("query", "key", "value")

_PACKED = re.compile(rf"(?:(.*)\.)?in_proj_weight ({'|'.join(PROJECTIONS)})", re.S)
_APART = re.compile(r"(?:(.*)\.)?([qkv])_proj_weight", re.S)


@dataclass(frozen=True, eq=False)
class Place:
    """A layer and how it is reached.

    Attributes:
        name: As it was asked for.
        module: The module, or the attention that the projection belongs to.
        attention: The attention that multiplies with the layer's weight and calls no module for it, or None.
        part: Which of its products: "out" or one of `PROJECTIONS`; "" where there is no attention.
    """

    name: str
    module: Any
    attention: Any = None
    part: str = ""

    @property
    def hooked(self) -> bool:
        """Whether the module's own call is the layer's."""
        return self.part not in PROJECTIONS


def places(model: Any, layers: Sequence[str]) -> dict[str, Place]:
    """Layers by name: those of `model.named_modules()`, and the input projections of torch's attention by their weights' names.

    Raises:
        UsageError: It is no module, has none of that name, cannot be watched, no layer is named, or torch is not installed.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise UsageError("activations of a model need torch: pip install 'modescope[torch]'.") from error
    if not callable(getattr(model, "named_modules", None)):
        raise UsageError(f"capture: expected a torch nn.Module, got {type(model).__name__}.")
    if not layers:
        raise UsageError("capture: expected the name of a layer at least, got none.")
    _watchable(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    found = {name: _place(name, modules) for name in layers}
    for name, place in found.items():
        if place is None:
            raise UsageError(_unknown(model, name, list(modules)))
        if _is(place.module, "ScriptModule"):
            raise UsageError(
                f"layer {name!r}: expected a module that torch calls, got {type(place.module).__name__}, into which no hook can be "
                "put; pass the model before torch.jit compiled it."
            )
    return {name: place for name, place in found.items() if place is not None}


def _watchable(model: Any) -> None:
    from torch.nn.parameter import is_lazy

    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise UsageError(f"{type(model).__name__}: expected weights with a shape, {name!r} has none yet; call the model once.")
    for module in model.modules():
        if _is(module, "DataParallel") and len(module.device_ids) > 1:
            raise UsageError(
                f"{type(model).__name__}: expected a model on one thread, got DataParallel over {len(module.device_ids)} devices; "
                "pass its .module."
            )


def _place(name: str, modules: dict[str, Any]) -> Place | None:
    if name in modules:
        around, _, leaf = name.rpartition(".")
        attention = modules.get(around) if leaf == "out_proj" else None
        if _is(attention, "MultiheadAttention"):
            return Place(name, modules[name], attention, "out")
        return Place(name, modules[name])
    for pattern, packed in ((_PACKED, True), (_APART, False)):
        if match := pattern.fullmatch(str(name)):
            attention = modules.get(match[1] or "")
            if _is(attention, "MultiheadAttention") and (getattr(attention, "in_proj_weight", None) is not None) == packed:
                part = match[2] if packed else next(one for one in PROJECTIONS if one[0] == match[2])
                return Place(name, attention, attention, part)
    return None


def _unknown(model: Any, name: str, modules: list[str]) -> str:
    known = [other for other in modules if other]
    close = get_close_matches(str(name), known, n=3, cutoff=0.5) or known[:3]
    said = f"{type(model).__name__}: expected the name of a module, got {name!r}"
    if close:
        return f"{said}; did you mean {', '.join(map(repr, close))}?"
    return f"{said}; the model has none but itself, ''."


def _is(module: Any, name: str) -> bool:
    return any(base.__name__ == name for base in type(module).__mro__)
