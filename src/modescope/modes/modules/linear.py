"""A linear layer in modes: `z = xi_out (s * (xi_in h)) + bias`, in p (in + out) multiply-adds."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from modescope.modes.modules.base import ModeLayer


class ModeLinear(ModeLayer):
    """Drop-in for `torch.nn.Linear` with p modes.

    Example:
        >>> layer = ModeLinear(784, 100, n_modes=20)
        >>> layer.cost.factored(20), layer.cost.dense
        (17700, 78400)

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011.
    """

    def __init__(self, in_features: int, out_features: int, n_modes: int, bias: bool = True, **options: Any) -> None:
        """Draw the modes.

        Args:
            in_features: Inputs.
            out_features: Outputs.
            n_modes: p.
            bias: Whether there is a bias.
            **options: As of `ModeLayer`.
        """
        super().__init__(out_features, in_features, n_modes, bias=bias, **options)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        return functional.linear(functional.linear(x, self.xi_in) * self.s, self.xi_out, self.bias)
