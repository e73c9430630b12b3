"""Convolutions in modes: p filters over the inputs, a scale for each, and a 1 x 1 convolution to the outputs."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from modescope.errors import UsageError
from modescope.modes.modules.base import ModeLayer

Sides = int | tuple[int, ...]


class _ModeConv(ModeLayer):
    """What the two have in common: a plain convolution with the input patterns for filters does all that concerns the grid."""

    plain: type[nn.Conv1d] | type[nn.Conv2d]
    convolved: Callable[..., Tensor]

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
        **options: Any,
    ) -> None:
        """Draw the modes.

        Args:
            in_channels: Channels that come in.
            out_channels: Channels that go out.
            kernel_size: Sides of the kernel.
            n_modes: p.
            stride: As of the plain convolution, and so all up to `padding_mode`.
            padding: See there; also "same" and "valid".
            dilation: See there.
            groups: 1.
            bias: Whether there is a bias.
            padding_mode: See there.
            **options: As of `ModeLayer`.

        Raises:
            UsageError: Groups other than 1, or as `ModeLayer`.
        """
        if groups != 1:
            raise UsageError(
                f"{type(self).__name__}: expected groups=1, got {groups}; the modes of a grouped convolution are those of its groups."
            )
        rules = self.plain(
            in_channels, n_modes, kernel_size, stride, padding, dilation, bias=False, padding_mode=padding_mode, device="meta"
        )
        super().__init__(out_channels, in_channels, n_modes, kernel=rules.kernel_size, bias=bias, **options)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = rules.kernel_size, rules.stride, rules.padding
        self.dilation, self.padding_mode, self.groups = rules.dilation, rules.padding_mode, 1
        self._padded = list(rules._reversed_padding_repeated_twice)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in, *grid) to (N, out, *grid), or both without N."""
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, self._padded, mode=self.padding_mode), 0
        convolved, ones = type(self).convolved, (1,) * len(self.kernel)
        m = convolved(x, self.xi_in, None, self.stride, padding, self.dilation)
        return convolved(m * self.s.view(-1, *ones), self.xi_out.view(*self.xi_out.shape, *ones), self.bias)


class ModeConv1d(_ModeConv):
    """Drop-in for `torch.nn.Conv1d` with p modes of the unfolded weight (out, in * taps)."""

    plain = nn.Conv1d
    convolved = staticmethod(functional.conv1d)


class ModeConv2d(_ModeConv):
    """Drop-in for `torch.nn.Conv2d` with p modes of the unfolded weight (out, in * taps)."""

    plain = nn.Conv2d
    convolved = staticmethod(functional.conv2d)
