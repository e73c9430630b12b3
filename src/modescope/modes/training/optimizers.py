"""The optimizer of a training: made from its recipe, kept as tensors and numbers, and told of parameters that change their size."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError
from modescope.modes.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

Rows = Mapping[str, "Tensor"]
PLAIN = (bool, int, float, str, type(None))


def made(recipe: Recipe, model: "nn.Module", /) -> "Optimizer":
    """The optimizer that a recipe asks for, over all parameters that are trained.

    Raises:
        UsageError: There is nothing to train, or the function of the recipe gives something else.
    """
    import torch

    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    if not trained:
        raise UsageError(f"{type(model).__name__}: expected a network with parameters to train, got none that takes a gradient.")
    if not isinstance(recipe.optimizer, str):
        found = recipe.optimizer(list(trained.values()))
        if not isinstance(found, torch.optim.Optimizer):
            raise UsageError(f"optimizer: expected a function that gives a torch optimizer, got {type(found).__name__} from it.")
        return found
    free = {name for name, one in trained.items() if _undecayed(name, one)}
    groups = [
        {"params": [one for name, one in trained.items() if name not in free], "weight_decay": recipe.weight_decay},
        {"params": [one for name, one in trained.items() if name in free], "weight_decay": 0.0},
    ]
    fused = all(one.is_floating_point() and one.device.type in ("cpu", "cuda") for one in trained.values())
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.lr, fused=fused)


def kept(optimizer: "Optimizer", model: "nn.Module", /) -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """What an optimizer remembers: tensors by `KEY.PARAMETER`, and numbers with the settings of its groups as plain data.

    Raises:
        UsageError: It remembers something that is neither.
    """
    import torch

    names = {id(one): name for name, one in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for parameter, rows in optimizer.state.items():
        for key, value in rows.items():
            if torch.is_tensor(value):
                tensors[f"{key}.{names[id(parameter)]}"] = value
            elif isinstance(value, PLAIN):
                numbers[f"{key}.{names[id(parameter)]}"] = value
            else:
                raise UsageError(
                    f"{type(optimizer).__name__}: expected an optimizer that remembers tensors and numbers, which a run folder can "
                    f"keep, got {type(value).__name__} as its {key}. Train without a folder."
                )
    groups = [{key: value for key, value in group.items() if _is_plain(value)} for group in optimizer.param_groups]
    return tensors, {"state": numbers, "groups": groups}


def restore(optimizer: "Optimizer", model: "nn.Module", tensors: Rows, numbers: Mapping[str, Any], /) -> None:
    """Give a fresh optimizer of the same recipe what another remembered."""
    parameters = dict(model.named_parameters())
    for entry, value in (*tensors.items(), *numbers["state"].items()):
        key, _, name = entry.partition(".")
        parameter = parameters[name]
        if hasattr(value, "to"):
            value = value.clone() if key == "step" else value.to(parameter.device, copy=True)
        optimizer.state[parameter][key] = value
    for group, said in zip(optimizer.param_groups, numbers["groups"], strict=True):
        group.update({key: tuple(value) if isinstance(value, list) else value for key, value in said.items()})


def replace(optimizer: "Optimizer", old: "Tensor", new: "Tensor", rows: Mapping[str, Any], /) -> None:
    """Train another parameter in the place of one, with what is remembered for it; empty `rows` begin anew."""
    for group in optimizer.param_groups:
        group["params"] = [new if one is old else one for one in group["params"]]
    optimizer.state.pop(old, None)
    if rows:
        optimizer.state[new] = dict(rows)


def _undecayed(name: str, parameter: "Tensor") -> bool:
    leaf = name.rpartition(".")[2]
    return leaf.startswith("bias") or (leaf == "weight" and parameter.ndim < 2)  # a norm's scale


def _is_plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, tuple) and all(isinstance(one, PLAIN) for one in value))
