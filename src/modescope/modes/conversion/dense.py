"""Networks in modes back to plain ones, and their weights in files that plain programs open."""

import copy
import json
from pathlib import Path
from typing import Any

from modescope.errors import UsageError
from modescope.modes.conversion.replacing import Swaps, plain
from modescope.modes.saving import save
from modescope.store.parts import place
from modescope.version import __version__

SCHEMA = "modescope.modes/1"
FORMS = ("factored", "dense")


def to_dense(model: Any, /, *, inplace: bool = False) -> Any:
    """Replace every mode layer of a network by the plain torch layer with the same weight.

    Weights are formed in float64 and rounded once, to the dtype of the factors. A `ModeMLP`, also a tied one, stays a `ModeMLP`,
    whose layers are `Linear`. A cell becomes torch's cell; inside a `ModeRecurrent`, which needs its two layers, these become
    `Linear`. Weights in modes by `parametrize_modes` become plain parameters.

    Args:
        model: An `nn.Module`, also a single mode layer.
        inplace: Change this network instead of a copy; one that is a single mode layer or a tied `ModeMLP` cannot be.

    Returns:
        The network.

    Raises:
        UsageError: It is no module, it has nothing in modes, a mode layer has hooks that would be lost, or one has no plain form.
    """
    import torch

    from modescope.modes.conversion.replaceable import HOOKS
    from modescope.modes.modules.base import ModeLayer
    from modescope.modes.modules.mlp import ModeMLP
    from modescope.modes.modules.recurrent import ModeGRUCell, ModeRecurrent, ModeRNNCell

    if not isinstance(model, torch.nn.Module):
        raise UsageError(f"to_dense: expected a torch nn.Module, got {type(model).__name__}.")
    swaps = Swaps(model if inplace else copy.deepcopy(model))
    for name, module in swaps.model.named_modules():
        if isinstance(module, ModeLayer | ModeRNNCell | ModeGRUCell) and any(getattr(module, hooks) for hooks in HOOKS):
            raise UsageError(f"to_dense: {name}: expected a layer without hooks, which would be lost; remove them first.")
    running = {id(module.cell) for module in swaps.model.modules() if isinstance(module, ModeRecurrent)}
    changed = 0
    try:
        for module in list(swaps.model.modules()):
            if isinstance(module, ModeMLP) and module.tied:
                swaps.put(module, module.untied().train(module.training))
        for kind in (ModeRNNCell | ModeGRUCell, ModeLayer):  # what is left of the second after the first stands by itself
            for module in list(swaps.model.modules()):
                if isinstance(module, kind) and id(module) not in running:
                    swaps.put(module, plain(module))
                    changed += 1
    except BaseException:
        swaps.back()
        raise
    changed += _unparametrised(swaps.model)
    if not changed:
        raise UsageError(f"to_dense: expected a network with layers in modes, got {type(model).__name__} without any.")
    return swaps.model


def export(model: Any, path: str | Path, /, *, form: str = "factored") -> None:
    """Write the state of a network to one safetensors file; one that was there is replaced only when the new one is complete.

    The names are those of `state_dict()`, tied tensors stand under each of theirs, and the metadata names the layers in modes.

    Args:
        model: The network.
        path: The file.
        form: "factored", with xi_out, s and xi_in of each mode layer, or "dense", with its weight, as of `to_dense`.

    Raises:
        UsageError: There is no such form, or the file cannot be written; as `to_dense`.
    """
    from modescope.modes.modules.base import ModeLayer

    if form not in FORMS:
        raise UsageError(f"export: expected form {' or '.join(FORMS)}, got {form!r}.")
    numbers = {name: module.n_modes for name, module in model.named_modules() if isinstance(module, ModeLayer)}
    state = (to_dense(model) if form == "dense" else model).state_dict()
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items() if hasattr(tensor, "detach")}
    said = {"format": "pt", "schema": SCHEMA, "form": form, "modes": json.dumps(numbers), "version": __version__}
    try:
        place(Path(path), lambda hidden: save(tensors, hidden, said))
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _unparametrised(model: Any) -> int:
    """Make plain parameters of weights in modes, in place; how many there were."""
    from torch.nn.utils import parametrize

    from modescope.modes.modules.parametrised import ModeParametrization

    found = [
        (module, leaf)
        for module in model.modules()
        for leaf, chain in dict(getattr(module, "parametrizations", {})).items()
        if isinstance(chain[0], ModeParametrization)
    ]
    for module, leaf in found:
        parametrize.remove_parametrizations(module, leaf, leave_parametrized=True)
    return len(found)
