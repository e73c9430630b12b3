"""Other numbers of modes in a layer that is being trained: some dropped, some added, or all replaced, and the optimizer told."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.modes.factors import Modes, kept
from modescope.modes.training import optimizers
from modescope.svd import Values

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from modescope.modes.modules.base import ModeLayer

AXES = {"xi_out": 1, "s": 0, "xi_in": 0}  # which axis of a factor counts the modes


def resizable(model: "nn.Module", /) -> dict[str, "ModeLayer"]:
    """Every layer in modes whose number of modes is its own and whose patterns are free, by name; the network itself is "".

    Layers that share patterns with a neighbour, and such as are held orthonormal, are none.
    """
    from modescope.modes.modules.base import ModeLayer

    return {
        name: one
        for name, one in model.named_modules()
        if isinstance(one, ModeLayer) and type(one).set_modes is ModeLayer.set_modes and not one.orthogonal
    }


def drop(layer: "ModeLayer", which: NDArray[np.intp] | list[int], optimizer: "Optimizer | None" = None, /) -> None:
    """Keep only some modes as they are; the optimizer goes on with what it remembers of them.

    Raises:
        UsageError: No mode is kept, or there is none of a number.
    """
    chosen = np.unique(np.asarray(which, np.intp))
    if not chosen.size or chosen[0] < 0 or chosen[-1] >= layer.n_modes:
        raise UsageError(f"drop: expected some of the modes 0 to {layer.n_modes - 1} to keep, got {list(which)}.")
    _change(layer, kept(layer.modes(), chosen), optimizer, chosen, 0)


def add(layer: "ModeLayer", count: int, rng: np.random.Generator, optimizer: "Optimizer | None" = None, /) -> None:
    """Add modes that do not change what the layer does: fresh input patterns, and output patterns of 0.

    Strength and norm of the input pattern are the means of those that are there, so that the output patterns take a gradient of
    usual size at once. One factor of 0 is a start; two would be a stationary point, where nothing is ever learnt.

    Args:
        layer: The layer.
        count: Modes to add, at least 1.
        rng: Where the patterns are drawn from.
        optimizer: Remembers nothing of what is new.

    Raises:
        UsageError: `count` is below 1.
    """
    if count < 1:
        raise UsageError(f"add: expected a number of modes of 1 or more, got {count}.")
    before = layer.modes()
    outputs, inputs = before.shape
    norm = float(np.sqrt((before.xi_in**2).sum(1).mean())) or 1.0
    drawn = rng.standard_normal((count, inputs))
    fresh = drawn * (norm / np.linalg.norm(drawn, axis=1, keepdims=True))
    strength = float(np.abs(before.s).mean()) or 1.0
    after = Modes(
        np.hstack([before.xi_out, np.zeros((outputs, count))]),
        np.concatenate([before.s, np.full(count, strength)]),
        np.vstack([before.xi_in, fresh]),
    )
    _change(layer, after, optimizer, np.arange(before.count), count)


def exchange(layer: "ModeLayer", modes: Modes, optimizer: "Optimizer | None" = None, /) -> None:
    """Give a layer other modes, as those of an exact truncation; what the optimizer remembered of the old ones is void."""
    old = _parameters(layer)
    layer.set_modes(_laid(modes))
    for name, before in old.items():
        if optimizer is not None:
            optimizers.replace(optimizer, before, getattr(layer, name), {})


def fit_to(model: "nn.Module", tensors: Mapping[str, "Tensor"], source: str, /) -> None:
    """Give the layers in modes as many modes as are found in a state dict, so that it can be loaded.

    Raises:
        UsageError: Names or shapes differ in anything else.
    """
    held = {name: tuple(one.shape) for name, one in model.state_dict().items()}
    given = {name: tuple(one.shape) for name, one in tensors.items()}
    layers = resizable(model)
    free = {id(one) for one in layers.values()}
    places = [name for name, one in model.named_modules(remove_duplicate=False) if id(one) in free]  # a layer may have several
    counted = {_joined(name, leaf): axis for name in places for leaf, axis in AXES.items()}
    wrong = sorted(set(held) ^ set(given)) or [
        name for name, shape in held.items() if not _agree(shape, given[name], counted.get(name))
    ]
    if wrong:
        name = wrong[0]
        raise UsageError(
            f"{source}: expected the tensors of this network, and {name} differs: {held.get(name, 'none')} in the network, "
            f"{given.get(name, 'none')} there."
        )
    for name, layer in layers.items():
        parts = {leaf: tensors[_joined(name, leaf)] for leaf in AXES}
        if parts["s"].shape[0] != layer.n_modes:
            found = {leaf: _numbers(one) for leaf, one in parts.items()}
            layer.set_modes(_laid(Modes(found["xi_out"], found["s"], found["xi_in"].reshape(len(found["s"]), -1))))


def _change(layer: "ModeLayer", modes: Modes, optimizer: "Optimizer | None", survivors: NDArray[np.intp], fresh: int) -> None:
    import torch

    old = _parameters(layer)
    layer.set_modes(_laid(modes))
    for name, before in old.items():
        after: Tensor = getattr(layer, name)
        if optimizer is None or after is before:
            continue
        rows: dict[str, Any] = {}
        for key, value in optimizer.state.get(before, {}).items():
            rows[key] = value
            if torch.is_tensor(value) and value.shape == before.shape:
                held = value.index_select(AXES[name], torch.from_numpy(survivors).to(value.device))
                shape = list(held.shape)
                shape[AXES[name]] = fresh
                rows[key] = torch.cat([held, held.new_zeros(shape)], AXES[name]) if fresh else held
        optimizers.replace(optimizer, before, after, rows)


def _laid(modes: Modes) -> Modes:
    """The same numbers, row by row in memory: sums are rounded otherwise in another layout, and a resumed training would differ."""
    return Modes(*(np.ascontiguousarray(one) for one in (modes.xi_out, modes.s, modes.xi_in)))


def _parameters(layer: "ModeLayer") -> dict[str, "Tensor"]:
    return {name: one for name, one in layer.named_parameters(recurse=False) if name in AXES}


def _agree(held: tuple[int, ...], given: tuple[int, ...], axis: int | None) -> bool:
    if axis is None or len(held) != len(given):
        return held == given
    return held[:axis] + held[axis + 1 :] == given[:axis] + given[axis + 1 :]


def _numbers(tensor: "Tensor") -> Values:
    found: Values = tensor.double().cpu().numpy()
    return found


def _joined(name: str, leaf: str) -> str:
    return f"{name}.{leaf}" if name else leaf
