"""Which modules of a network modes can stand for, and a sentence for each that has weights and stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modescope.matrix import Array
from modescope.modes.counting import Cost

KINDS = {"Linear": "linear", "Conv1d": "convolution", "Conv2d": "convolution", "Embedding": "embedding"}
CELLS = {"RNNCell": 1, "GRUCell": 3}
FLOATS = ("torch.float64", "torch.float32", "torch.float16", "torch.bfloat16")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OLD_STYLE = ("weight_g", "weight_orig", "weight_mask", "weight_v")  # of torch's weight_norm, spectral_norm and pruning
WITHOUT_MODES = "no layer of modes takes its place"


@dataclass(frozen=True, eq=False)
class Part:
    """One weight that modes can stand for.

    Attributes:
        name: Of its layer, and for a recurrent cell ".ih" or ".hh" after it.
        layer: Name of the layer, as in `named_modules()`.
        leaf: Name of the weight in it.
        module: The layer.
        kind: "linear", "transposed" (a linear layer that stores (in, out)), "convolution", "embedding" or "cell".
        biased: Whether what it gives has a bias added.
    """

    name: str
    layer: str
    leaf: str
    module: Any
    kind: str
    biased: bool

    @property
    def tensor(self) -> str:
        """Name of the weight, as in `named_parameters()`."""
        return f"{self.layer}.{self.leaf}".lstrip(".")

    @property
    def shape(self) -> tuple[int, ...]:
        """As torch stores it."""
        return tuple(getattr(self.module, self.leaf).shape)

    def cost(self, *, uses: float = 1.0, frozen: bool = False) -> Cost:
        """What it costs as it is and as modes."""
        out, *inputs = self.shape[::-1] if self.kind in ("transposed", "embedding") else self.shape
        flat = 1
        for side in inputs:
            flat *= side
        return Cost(out, flat, uses, frozen)

    def read(self) -> Array:
        """(out, in) in float64 or float32, kernels flattened; a view or a copy."""
        import torch

        weight = getattr(self.module, self.leaf).detach().cpu()
        matrix = weight if weight.dtype == torch.float64 else weight.float()
        found: Array = (matrix.T if self.kind in ("transposed", "embedding") else matrix.flatten(1)).numpy()
        return found


def replaceable(model: Any, /) -> tuple[tuple[Part, ...], Mapping[str, str]]:
    """The weights that modes can stand for, in the order of `named_modules()`, and the other modules with weights.

    A module qualifies by its exact class: what a subclass does with its weight is not known. Weights that two modules share, that
    are computed from other parameters, or that torch's attention reads without calling the module, are left alone.

    Returns:
        Parts, and a reason by layer for every module that owns a matrix and is none of them.
    """
    import torch

    holders: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                holders.setdefault(_storage(parameter), []).append(f"{name}.{leaf}".lstrip("."))
    modules = dict(model.named_modules(remove_duplicate=False))
    parts: list[Part] = []
    reasons: dict[str, str] = {}
    for name, module in model.named_modules():
        if not _has_matrix(module):
            continue
        leaves = _leaves(module)
        reason = _why_not(module, leaves) or next(filter(None, (_shared(name, leaf, module, holders) for leaf in leaves)), "")
        around, _, leaf = name.rpartition(".")
        if leaf == "out_proj" and name and isinstance(modules.get(around), torch.nn.MultiheadAttention):
            reason = "torch's attention reads its weight without calling it"
        if reason:
            reasons[name] = reason
        else:
            parts += [_part(name, leaf, module) for leaf in leaves]
    return tuple(parts), reasons


def _part(name: str, leaf: str, module: Any) -> Part:
    kind = type(module).__name__
    if kind in CELLS:
        side = leaf.removeprefix("weight_")
        return Part(f"{name}.{side}".lstrip("."), name, leaf, module, "cell", module.bias)
    biased = kind != "Embedding" and module.bias is not None
    return Part(name, name, leaf, module, KINDS.get(kind, "transposed"), biased)


def _why_not(module: Any, leaves: tuple[str, ...]) -> str:
    """Empty for a module that modes can replace."""
    import torch
    from torch.nn.parameter import is_lazy
    from torch.nn.utils import parametrize

    from modescope.modes.modules.base import ModeLayer

    kind = type(module).__name__
    if isinstance(module, ModeLayer):
        return "in modes already"
    if isinstance(module, torch.jit.ScriptModule):
        return "compiled by torch.jit: convert the network before"
    if parametrize.is_parametrized(module) or any(name in (*module._parameters, *module._buffers) for name in OLD_STYLE):
        return "its weight is computed from other parameters; remove the parametrization first"
    if any(is_lazy(one) for one in module.parameters(recurse=False)):
        return "its weight has no shape yet; call the network once"
    if not leaves:
        return _sentence(module, kind)
    if kind in ("Conv1d", "Conv2d") and module.groups != 1:
        return f"a convolution in {module.groups} groups: each would need modes of its own"
    if kind == "Embedding" and (module.max_norm is not None or module.scale_grad_by_freq or module.sparse):
        return "an embedding with max_norm, scale_grad_by_freq or sparse: modes do not offer them"
    if any(getattr(module, name) for name in HOOKS):
        return "it has hooks, which would be lost; remove them and put them on the new layer"
    for leaf in leaves:
        weight = getattr(module, leaf)
        if str(weight.dtype) not in FLOATS:
            return f"its weight is {str(weight.dtype).removeprefix('torch.')}, and modes are float64, 32, 16 or bfloat16"
        if weight.is_meta:
            return "its weight is on the meta device and has no values"
        if bad := weight.numel() - int(torch.isfinite(weight.detach()).sum()):
            return f"{bad} of the {weight.numel()} entries of its weight are not finite"
    return ""


def _sentence(module: Any, kind: str) -> str:
    import torch

    near = next((base.__name__ for base in type(module).__mro__ if base.__name__ in (*KINDS, *CELLS)), "")
    if near and not near.startswith("Lazy"):
        return f"{kind} is not torch's own {near}: what it does with its weight is not known"
    if isinstance(module, torch.nn.MultiheadAttention):
        return "torch's attention keeps its projections packed and calls no module for them"
    if isinstance(module, torch.nn.RNNBase):
        return f"{kind} runs whole sequences in one kernel; {WITHOUT_MODES}"
    return f"{kind}: {WITHOUT_MODES}"


def _leaves(module: Any) -> tuple[str, ...]:
    """Names of the weights of a module that modes may replace, by its exact class."""
    import torch

    kind = type(module)
    if kind in (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Embedding):
        return ("weight",)
    if kind in (torch.nn.RNNCell, torch.nn.GRUCell):
        return ("weight_ih", "weight_hh")
    return ("weight",) if kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils" else ()


def _has_matrix(module: Any) -> bool:
    from torch.nn.parameter import is_lazy

    own = [one for one in module._parameters.values() if one is not None]
    return any(is_lazy(one) or one.dim() > 1 for one in own) or bool(getattr(module, "parametrizations", None))


def _shared(name: str, leaf: str, module: Any, holders: Mapping[int, list[str]]) -> str:
    own = f"{name}.{leaf}".lstrip(".")
    others = [other for other in holders[_storage(getattr(module, leaf))] if other != own]
    return f"its weight is {others[0]} as well" if others else ""


def _storage(parameter: Any) -> int:
    """What two parameters that begin at one place in memory have in common."""
    from torch.nn.parameter import is_lazy

    if is_lazy(parameter) or parameter.is_meta or not parameter.numel():
        return id(parameter)
    return int(parameter.data_ptr())
