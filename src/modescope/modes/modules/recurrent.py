"""Recurrent cells in modes: the equations of torch's cells with two layers of modes, and a loop over a sequence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from modescope.errors import UsageError
from modescope.modes.modules.linear import ModeLinear


class _ModeCell(nn.Module):
    """What the cells have in common: a layer `ih` on the input, a layer `hh` on the state, each with its own modes and bias."""

    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_modes: int | tuple[int, int],
        bias: bool = True,
        *,
        gain: float = 1.0,
        **options: Any,
    ) -> None:
        """Draw the modes.

        Args:
            input_size: Inputs of a step.
            hidden_size: Units.
            n_modes: p of both layers, or one for `ih` and one for `hh`.
            bias: Whether both layers have a bias.
            gain: N Var W of both at the start.
            **options: As of `ModeLayer`.

        Raises:
            UsageError: As `ModeLayer`, or other than one or two numbers of modes.
        """
        super().__init__()
        counts = tuple(n_modes) if isinstance(n_modes, Sequence) else (n_modes, n_modes)
        if len(counts) != 2:
            raise UsageError(f"{type(self).__name__}: expected n_modes as one number or as two, for ih and hh, got {n_modes}.")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.ih = ModeLinear(input_size, self.gates * hidden_size, counts[0], bias, gain=gain, **options)
        self.hh = ModeLinear(hidden_size, self.gates * hidden_size, counts[1], bias, gain=gain, **options)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:  # named as torch does
        """(N, input) and a state (N, hidden) to the next state, or all without N; no state is a state of zeros."""
        if input.dim() not in {1, 2}:
            size, shape = self.input_size, tuple(input.shape)
            raise UsageError(f"{type(self).__name__}: expected an input ({size},) or (N, {size}), got {shape}.")
        given = self.ih(input)
        return self.step(given, self.start(given, hx))

    def step(self, given: Tensor, h: Tensor) -> Tensor:
        """The next state from what `ih` makes of the input, (..., gates * hidden), and from a state (..., hidden)."""
        raise NotImplementedError

    def start(self, given: Tensor, hx: Tensor | None = None) -> Tensor:
        """The state before the first step: the one given, or zeros beside what `ih` makes of an input.

        Raises:
            UsageError: The state given is of another shape.
        """
        shape = (*given.shape[:-1], self.hidden_size)
        if hx is None:
            return given.new_zeros(shape)
        if tuple(hx.shape) != shape:
            raise UsageError(f"{type(self).__name__}: expected a state {shape} beside this input, got {tuple(hx.shape)}.")
        return hx

    def kappa(self, h: Tensor) -> Tensor:
        """States (..., hidden) as the modes of the recurrent weight read them, (..., p): `kappa_k = b_k . h`.

        Through these p numbers alone a state acts on the next one (in a gated cell, beside its own decay).

        References:
            Lin & Huang (2024), arXiv:2310.14621.
        """
        return nn.functional.linear(h, self.hh.xi_in)

    def extra_repr(self) -> str:
        """Sizes, as torch prints them."""
        return f"{self.input_size}, {self.hidden_size}"


class ModeRNNCell(_ModeCell):
    """Drop-in for `torch.nn.RNNCell`: `h' = tanh(W_ih x + b_ih + W_hh h + b_hh)`, or relu.

    Example:
        >>> cell = ModeRNNCell(10, 100, n_modes=(5, 8))
        >>> cell(torch.zeros(10)).shape
        torch.Size([100])
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_modes: int | tuple[int, int],
        bias: bool = True,
        nonlinearity: str = "tanh",
        **options: Any,
    ) -> None:
        """Draw the modes.

        Args:
            input_size: Inputs of a step.
            hidden_size: Units.
            n_modes: p of both layers, or one for `ih` and one for `hh`.
            bias: Whether both layers have a bias.
            nonlinearity: "tanh" or "relu".
            **options: `gain`, and as of `ModeLayer`.

        Raises:
            UsageError: Another nonlinearity, or as `ModeLayer`.
        """
        if nonlinearity not in {"tanh", "relu"}:
            raise UsageError(f"ModeRNNCell: expected nonlinearity as 'tanh' or 'relu', got {nonlinearity!r}.")
        super().__init__(input_size, hidden_size, n_modes, bias, **options)
        self.nonlinearity = nonlinearity

    def step(self, given: Tensor, h: Tensor) -> Tensor:
        """See the class."""
        z = given + self.hh(h)
        return torch.tanh(z) if self.nonlinearity == "tanh" else torch.relu(z)


class ModeGRUCell(_ModeCell):
    """Drop-in for `torch.nn.GRUCell`, with its three gates in its order: reset, update, new.

    As in torch the weights of the gates are stacked to (3 hidden, in), and the stack has one set of modes: what a mode reads is
    shared by the gates, and one mode costs 3 hidden + in + 1 parameters instead of 3 (hidden + in + 1) for a set in each gate.
    """

    gates = 3

    def step(self, given: Tensor, h: Tensor) -> Tensor:
        """See the class."""
        r_x, z_x, n_x = given.chunk(3, -1)
        r_h, z_h, n_h = self.hh(h).chunk(3, -1)
        z = torch.sigmoid(z_x + z_h)
        n = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        return n + z * (h - n)


class ModeRecurrent(nn.Module):
    """A cell along a sequence; what the cell makes of the inputs is computed for all steps at once.

    Example:
        >>> layer = ModeRecurrent(ModeGRUCell(10, 100, n_modes=8), batch_first=True)
        >>> states, last = layer(torch.zeros(4, 25, 10))
        >>> states.shape, last.shape, layer.cell.kappa(states).shape
        (torch.Size([4, 25, 100]), torch.Size([4, 100]), torch.Size([4, 25, 8]))
    """

    def __init__(self, cell: ModeRNNCell | ModeGRUCell, batch_first: bool = False) -> None:
        """Take a cell.

        Args:
            cell: The cell.
            batch_first: Whether sequences are (N, T, input) instead of (T, N, input).
        """
        super().__init__()
        self.cell, self.batch_first = cell, batch_first

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over a sequence.

        Args:
            x: (T, N, input), with `batch_first` (N, T, input), or (T, input).
            hx: The first state, (N, hidden) or (hidden,); by default zeros. Unlike torch's it has no axis of layers.

        Returns:
            The states after each step, in the layout of `x`, and the last of them.

        Raises:
            UsageError: A sequence without steps, or of other than two or three axes, or a state of another shape.
        """
        axis = 1 if self.batch_first and x.dim() == 3 else 0
        if x.dim() not in {2, 3} or not x.shape[axis]:
            raise UsageError(f"ModeRecurrent: expected a sequence of two or three axes and one step or more, got {tuple(x.shape)}.")
        steps = self.cell.ih(x).unbind(axis)
        h = self.cell.start(steps[0], hx)
        states = []
        for given in steps:
            h = self.cell.step(given, h)
            states.append(h)
        return torch.stack(states, axis), h
