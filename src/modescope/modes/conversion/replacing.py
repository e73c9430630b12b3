"""One module for another in a network: mode layers for plain ones, plain ones for mode layers, and the swap that can be undone."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modescope.errors import UsageError
from modescope.modes.factors import Modes
from modescope.modes.initialisation import spectral
from modescope.svd import Values


def in_modes(module: Any, modes: Mapping[str, Modes], shifts: Mapping[str, Values | None], *, frozen_strength: bool = False) -> Any:
    """The mode layer that takes the place of a plain one: same dtype, device, training flag, and what is trained stays trained.

    Args:
        module: Of a class that `replaceable` names.
        modes: Of its weights, by leaf: "weight", or "weight_ih" and "weight_hh".
        shifts: What is added to their biases, by leaf; None for nothing.
        frozen_strength: Fix s at 1.
    """
    import torch

    from modescope.modes.modules.base import ModeLayer
    from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
    from modescope.modes.modules.embedding import ModeEmbedding
    from modescope.modes.modules.linear import ModeLinear
    from modescope.modes.modules.recurrent import ModeGRUCell, ModeRNNCell

    first = getattr(module, next(iter(modes)))
    given = iter(modes.values())
    made: dict[str, Any] = {
        "init": lambda *_: next(given),
        "generator": torch.Generator(),  # nothing is drawn, and the user's random numbers stay where they are
        "frozen_strength": frozen_strength,
        "device": first.device,
        "dtype": first.dtype,
    }
    counts = tuple(one.count for one in modes.values())
    new: Any
    if isinstance(module, torch.nn.RNNCell | torch.nn.GRUCell):
        sizes = (module.input_size, module.hidden_size, (counts[0], counts[1]), bool(module.bias))
        rnn = isinstance(module, torch.nn.RNNCell)
        new = ModeRNNCell(*sizes, nonlinearity=str(module.nonlinearity), **made) if rnn else ModeGRUCell(*sizes, **made)
        for leaf in modes:
            side = leaf.removeprefix("weight_")
            _carry(getattr(new, side), getattr(module, leaf), getattr(module, f"bias_{side}", None), shifts[leaf])
    else:
        bias = getattr(module, "bias", None)
        if isinstance(module, torch.nn.Embedding):
            new = ModeEmbedding(module.num_embeddings, module.embedding_dim, counts[0], _padding(module), **made)
        elif isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d):
            kind: Any = ModeConv1d if isinstance(module, torch.nn.Conv1d) else ModeConv2d
            sides = (module.in_channels, module.out_channels, module.kernel_size, counts[0])
            rules = (module.stride, module.padding, module.dilation, 1, bias is not None, module.padding_mode)
            new = kind(*sides, *rules, **made)
        else:
            outputs, inputs = modes["weight"].shape
            new = ModeLinear(inputs, outputs, counts[0], bias is not None, **made)
        _carry(new, first, bias, shifts["weight"])
    for layer in new.modules():
        if isinstance(layer, ModeLayer):
            layer.init = _anew  # the one above gives no more, and cannot be pickled
    return new.train(module.training)


def _anew(outputs: int, inputs: int, p: int, rng: np.random.Generator, gain: float) -> Modes:
    """What `reset_parameters` draws in a layer that was made from a weight: no name, as its modes were not drawn at first."""
    return spectral(outputs, inputs, p, rng, gain)


def plain(layer: Any) -> Any:
    """The torch layer that a mode layer or cell is, with the weight formed in float64 and rounded to the dtype of the factors.

    Raises:
        UsageError: There is no torch layer for this class.
    """
    import torch

    from modescope.modes.modules.base import ModeLayer
    from modescope.modes.modules.convolution import ModeConv1d, ModeConv2d
    from modescope.modes.modules.embedding import ModeEmbedding
    from modescope.modes.modules.linear import ModeLinear
    from modescope.modes.modules.recurrent import ModeGRUCell, ModeRNNCell

    new: Any
    if isinstance(layer, ModeRNNCell | ModeGRUCell):
        made = {"device": layer.ih.xi_in.device, "dtype": layer.ih.xi_in.dtype}
        sizes = (layer.input_size, layer.hidden_size, layer.ih.bias is not None)
        if isinstance(layer, ModeRNNCell):
            new = _blank(torch.nn.RNNCell, *sizes, nonlinearity=layer.nonlinearity, **made)
        else:
            new = _blank(torch.nn.GRUCell, *sizes, **made)
        for side in ("ih", "hh"):
            _fill(getattr(new, f"weight_{side}"), getattr(new, f"bias_{side}", None), getattr(layer, side))
    elif isinstance(layer, ModeLayer):
        made = {"device": layer.xi_in.device, "dtype": layer.xi_in.dtype}
        if isinstance(layer, ModeLinear):
            new = _blank(torch.nn.Linear, layer.in_features, layer.out_features, layer.bias is not None, **made)
        elif isinstance(layer, ModeEmbedding):
            if layer.bias is not None:
                raise UsageError("to_dense: expected an embedding without a bias, as torch's has none, got one with it.")
            new = _blank(torch.nn.Embedding, layer.num_embeddings, layer.embedding_dim, layer.padding_idx, **made)
        elif isinstance(layer, ModeConv1d | ModeConv2d):
            sides = (layer.in_channels, layer.out_channels, layer.kernel_size)
            rules = (layer.stride, layer.padding, layer.dilation, 1, layer.bias is not None, layer.padding_mode)
            new = _blank(type(layer).plain, *sides, *rules, **made)
        else:
            raise UsageError(f"to_dense: expected a mode layer of this library, got {type(layer).__name__}.")
        _fill(new.weight, getattr(new, "bias", None), layer)
    else:
        raise UsageError(f"to_dense: expected a mode layer, got {type(layer).__name__}.")
    return new.train(layer.training)


class Swaps:
    """Replacements in a network, everywhere where the old module stood, which can all be taken back."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._undo: list[tuple[Any, str, Any]] = []

    def put(self, old: Any, new: Any) -> None:
        """Replace a module; where it is the network itself, `model` is the new one from then on."""
        if old is self.model:
            self.model = new
            return
        places = [(around, leaf) for around in self.model.modules() for leaf, held in around._modules.items() if held is old]
        for around, leaf in places:
            self._undo.append((around, leaf, old))
            around._modules[leaf] = new

    def back(self) -> None:
        """Put all old modules where they were."""
        while self._undo:
            around, leaf, old = self._undo.pop()
            around._modules[leaf] = old


def _blank(kind: Any, *args: Any, device: Any, **options: Any) -> Any:
    """A plain layer whose numbers do not matter; the user's random numbers stay where they are."""
    import torch

    with torch.random.fork_rng(devices=[]):  # meta tensors, the other way, load a large part of torch to be emptied
        return kind(*args, **options).to(device)


def _carry(new: Any, weight: Any, bias: Any, shift: Values | None) -> None:
    """Bias and flags of a plain layer, for a mode layer that has its modes."""
    import torch

    for name in ("xi_out", "s", "xi_in"):
        if isinstance(getattr(new, name), torch.nn.Parameter):
            getattr(new, name).requires_grad_(weight.requires_grad)
    if isinstance(bias, torch.Tensor):
        with torch.no_grad():
            new.bias.copy_(bias if shift is None else bias.cpu().to(torch.float64) + torch.from_numpy(np.array(shift)))
        new.bias.requires_grad_(bias.requires_grad)


def _fill(weight: Any, bias: Any, layer: Any) -> None:
    import torch

    from modescope.modes.modules.embedding import ModeEmbedding

    formed = torch.from_numpy(np.array(layer.modes().weight))
    if isinstance(layer, ModeEmbedding):
        formed = formed.T
    with torch.no_grad():
        weight.copy_(formed.reshape(weight.shape))
        if isinstance(bias, torch.Tensor):
            bias.copy_(layer.bias)
            bias.requires_grad_(layer.bias.requires_grad)
    weight.requires_grad_(layer.xi_in.requires_grad)


def _padding(module: Any) -> int | None:
    """The padding of an embedding where its vector is 0; elsewhere it is a token as all others, whose modes keep its vector."""
    index = module.padding_idx
    return None if index is None or bool(module.weight[index].detach().any()) else int(index)
