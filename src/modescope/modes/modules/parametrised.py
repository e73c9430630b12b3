"""Modes inside modules that exist: their weights become functions of xi_out, s and xi_in, by torch's parametrizations.

It works wherever a module reads its weight by name, and costs what it saves: the weight is formed at each forward pass (once within
`torch.nn.utils.parametrize.cached()`), so parameters and the state of an optimizer shrink and time does not. The layers of this
folder never form it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modescope.errors import UsageError
from modescope.modes.factors import Modes


class ModeParametrization(nn.Module):
    """A tensor as the modes of its unfolding (first axis, all others), which is transposed for embeddings: tokens are inputs.

    Attributes:
        n_modes: p.
        shape: Of the tensor.
        transposed: Whether the modes are those of the transpose.
    """

    def __init__(self, n_modes: int, shape: Sequence[int], transposed: bool = False) -> None:
        super().__init__()
        self.n_modes, self.shape, self.transposed = n_modes, tuple(shape), transposed

    def forward(self, xi_out: Tensor, s: Tensor, xi_in: Tensor) -> Tensor:
        """The tensor of (out, p), (p,) and (p, in)."""
        weight = (xi_out * s) @ xi_in
        return (weight.T if self.transposed else weight).reshape(self.shape)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The modes nearest to a tensor: its truncated SVD, found in float64, a third of the strength in each factor."""
        matrix = weight.detach().flatten(1).to(torch.float64)
        u, values, vh = torch.linalg.svd(matrix.T if self.transposed else matrix, full_matrices=False)
        third = values[: self.n_modes] ** (1 / 3)
        factors = (u[:, : self.n_modes] * third, third, third[:, None] * vh[: self.n_modes])
        xi_out, s, xi_in = (one.to(weight.dtype).contiguous() for one in factors)
        return xi_out, s, xi_in


def parametrize_modes(module: nn.Module, n_modes: int, names: Sequence[str] = ("weight",)) -> nn.Module:
    """Replace weights of one module by p modes each, the nearest to what they hold.

    The weight NAME is read and written as before (what is written is truncated to p modes), while the parameters are
    `parametrizations.NAME.original0`, `1` and `2`: xi_out (out, p), s (p,) and xi_in (p, in), kernels flattened. An optimizer must
    be made after this. `torch.nn.utils.parametrize.remove_parametrizations(module, NAME, leave_parametrized=True)` leaves a dense
    weight of rank p at most.

    Args:
        module: Any: `Linear`, convolutions, `Embedding`, `MultiheadAttention` (`in_proj_weight`), `RNN`, `GRU` and `LSTM`
            (`weight_ih_l0` and so on: one set of modes for all gates), or your own. It is changed, not its children.
        n_modes: p, at most the smaller side of each unfolded weight.
        names: The weights.

    Returns:
        The module.

    Raises:
        UsageError: A name is no parameter of two axes or more and of a real floating type, or is parametrized already, or holds
            values that are not finite, or p is out of range. Nothing was changed then.
    """
    kind = type(module).__name__
    if len(set(names)) != len(names):
        raise UsageError(f"parametrize_modes: {kind}: expected each name once, got {', '.join(names)}.")
    for name in names:
        if parametrize.is_parametrized(module, name):
            raise UsageError(f"parametrize_modes: {kind}.{name}: expected a plain weight, got one that is parametrized already.")
        weight = module._parameters.get(name)
        if weight is None or weight.dim() < 2 or not weight.is_floating_point():
            held = ", ".join(key for key, one in module._parameters.items() if one is not None and one.dim() > 1) or "none"
            raise UsageError(f"parametrize_modes: {kind}.{name}: expected the name of a weight of this module ({held}).")
        most = min(weight.shape[0], weight[0].numel())
        if not 1 <= n_modes <= most:
            raise UsageError(
                f"parametrize_modes: {kind}.{name}: expected 1 to {most} modes for shape {tuple(weight.shape)}, got {n_modes}."
            )
        if not torch.isfinite(weight).all():
            raise UsageError(f"parametrize_modes: {kind}.{name}: expected finite values, got some that are not.")
    for name in names:
        shape = getattr(module, name).shape
        transposed = isinstance(module, nn.Embedding | nn.EmbeddingBag)
        parametrize.register_parametrization(module, name, ModeParametrization(n_modes, shape, transposed))
    return module


def parametrised_modes(module: nn.Module, name: str = "weight") -> Modes:
    """The modes of a weight that `parametrize_modes` made, as arrays.

    Raises:
        UsageError: The weight holds no modes.
    """
    held = module.parametrizations[name] if parametrize.is_parametrized(module, name) else None  # type: ignore[index]
    if held is None or not isinstance(held[0], ModeParametrization):
        raise UsageError(f"parametrised_modes: {type(module).__name__}.{name}: expected a weight in modes, got a plain one.")
    return Modes(*(getattr(held, f"original{at}").detach().to("cpu", torch.float64).numpy() for at in range(3)))
