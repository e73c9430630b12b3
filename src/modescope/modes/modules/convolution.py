"""Convolutions in modes: p filters over the inputs, then a 1 x 1 convolution to the outputs that takes the strengths along."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modescope.errors import UsageError
from modescope.modes.modules.base import Init, ModeLayer, check

Sides = int | tuple[int, ...]


class _ModeConv(ModeLayer):
    """What the two have in common: a plain convolution with the input patterns for filters does all that concerns the grid."""

    plain: Callable[..., Any]
    convolved: Callable[..., Tensor]
    axes: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sides,
        n_modes: int,
        stride: Sides = 1,
        padding: Sides | str = 0,
        dilation: Sides = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
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
            in_channels: Channels that come in.
            out_channels: Channels that go out.
            kernel_size: Sides of the kernel.
            n_modes: p, at least 1.
            stride: As of the plain convolution, and so all up to `padding_mode`.
            padding: See there; also "same" and "valid".
            dilation: See there.
            groups: 1.
            bias: Whether there is a bias, which begins at 0.
            padding_mode: See there.
            device: As of any torch module; on "meta" nothing is drawn until `reset_parameters`.
            dtype: Likewise.
            init: "spectral", "iid", "published", or a function like those of `initialisation`.
            gain: N Var W at the start, N the inputs of one output: 2 for ReLU, 1 for linear.
            frozen_strength: Fix s at 1: plain low rank.
            orthogonal: Keep the patterns orthonormal, so that |s| are the singular values of the unfolded weight.
            generator: Where the draws come from; by default torch's own, which `torch.manual_seed` sets.

        Raises:
            UsageError: Groups other than 1, a kernel of another number of axes, or as `ModeLayer`.
        """
        name = type(self).__name__
        sides = kernel_size if isinstance(kernel_size, tuple) else (kernel_size,) * self.axes
        if groups != 1:
            raise UsageError(
                f"{name}: expected groups=1, got {groups}; the modes of a grouped convolution are those of its groups."
            )
        if len(sides) != self.axes:
            raise UsageError(f"{name}: expected a kernel of {self.axes} sides, got {kernel_size}.")
        check(name, in_channels=in_channels, out_channels=out_channels, n_modes=n_modes)
        for side in sides:
            check(name, kernel_size=side)
        rules = type(self).plain(
            in_channels, n_modes, kernel_size, stride, padding, dilation, bias=False, padding_mode=padding_mode, device="meta"
        )
        super().__init__(
            out_channels,
            in_channels,
            n_modes,
            kernel=sides,
            bias=bias,
            init=init,
            gain=gain,
            frozen_strength=frozen_strength,
            orthogonal=orthogonal,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = rules.kernel_size, rules.stride, rules.padding
        self.dilation, self.padding_mode, self.groups = rules.dilation, rules.padding_mode, 1
        self._padded = list(rules._reversed_padding_repeated_twice)

    def mode_activations(self, x: Tensor) -> Tensor:
        """(N, in, *grid) to (N, p, *grid): what each mode reads of the input at each place, before its strength."""
        padding: Sides | str = self.padding
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, self._padded, mode=self.padding_mode), 0
        return type(self).convolved(x, self.xi_in, None, self.stride, padding, self.dilation)

    def forward(self, input: Tensor) -> Tensor:  # named as torch does
        """(N, in, *grid) to (N, out, *grid), or both without N."""
        outward = self.xi_out * self.s  # of one size, where the activations have that of a grid
        filters = outward.reshape(*outward.shape, *(1,) * self.axes)
        return type(self).convolved(self.mode_activations(input), filters, self.bias)


class ModeConv1d(_ModeConv):
    """Drop-in for `torch.nn.Conv1d` with p modes of the unfolded weight (out, in * taps)."""

    plain, axes = nn.Conv1d, 1
    convolved = staticmethod(functional.conv1d)


class ModeConv2d(_ModeConv):
    """Drop-in for `torch.nn.Conv2d` with p modes of the unfolded weight (out, in * taps)."""

    plain, axes = nn.Conv2d, 2
    convolved = staticmethod(functional.conv2d)
