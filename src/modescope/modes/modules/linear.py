"""A linear layer in modes: `z = xi_out (s * (xi_in h)) + bias`, in p (in + out) multiply-adds."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from modescope.modes.modules.base import Init, ModeLayer


class ModeLinear(ModeLayer):
    """Drop-in for `torch.nn.Linear` with p modes.

    Example:
        >>> layer = ModeLinear(784, 100, n_modes=20)
        >>> layer.cost.factored(20), layer.cost.dense
        (17700, 78400)

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        n_modes: int,
        bias: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
        *,
        init: str | Init = "spectral",
        gain: float = 2.0,
        frozen_strength: bool = False,
        orthogonal: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the modes.

        Args:
            in_features: Inputs.
            out_features: Outputs.
            n_modes: p, at least 1. More than min(in, out) adds parameters and no rank.
            bias: Whether there is a bias, which begins at 0.
            device: As of any torch module; on "meta" nothing is drawn until `reset_parameters`.
            dtype: Likewise.
            init: "spectral", "iid", "published", or a function like those of `initialisation`.
            gain: N Var W at the start, N the inputs: 2 for ReLU, 1 for linear.
            frozen_strength: Fix s at 1: plain low rank.
            orthogonal: Keep the patterns orthonormal, so that |s| are the singular values; p is at most min(in, out) then.
            generator: Where the draws come from; by default torch's own, which `torch.manual_seed` sets.

        Raises:
            UsageError: As `ModeLayer`.
        """
        super().__init__(
            out_features,
            in_features,
            n_modes,
            bias=bias,
            init=init,
            gain=gain,
            frozen_strength=frozen_strength,
            orthogonal=orthogonal,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        self.in_features, self.out_features = in_features, out_features

    def mode_activations(self, x: Tensor) -> Tensor:
        """(..., in) to (..., p): what each mode reads of the input, before its strength."""
        return functional.linear(x, self.xi_in)

    def forward(self, input: Tensor) -> Tensor:  # named as torch does
        """(..., in) to (..., out)."""
        m, xi_out = self.mode_activations(input), self.xi_out
        if m.numel() > xi_out.numel():  # the strengths multiply the smaller of the two
            return functional.linear(m, xi_out * self.s, self.bias)
        return functional.linear(m * self.s.to(m.dtype), xi_out, self.bias)
