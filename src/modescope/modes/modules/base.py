"""What every mode layer is: a module that holds xi_out, s and xi_in, trains them directly and never forms its weight."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modescope.errors import UsageError
from modescope.modes.counting import Cost
from modescope.modes.factors import Modes
from modescope.modes.initialisation import iid, published, spectral

Init = Callable[[int, int, int, np.random.Generator, float], Modes]
INITS: dict[str, Init] = {"spectral": spectral, "iid": iid, "published": published}


class ModeLayer(nn.Module):
    """A layer whose weight is `W = xi_out diag(s) xi_in`, of which only the factors exist.

    The state dict holds `xi_out`, `s`, `xi_in` and, where there is one, `bias`: plain tensors that plain torch opens.

    Attributes:
        xi_out: (out, p) output patterns.
        s: (p,) signed strengths; a buffer of ones where they are frozen.
        xi_in: (p, in, *kernel) input patterns.
        bias: (out,) or None.
    """

    xi_out: Tensor
    s: Tensor
    xi_in: Tensor
    bias: Tensor | None

    def __init__(
        self,
        outputs: int,
        inputs: int,
        n_modes: int,
        *,
        kernel: tuple[int, ...] = (),
        bias: bool = True,
        init: str | Init = "spectral",
        gain: float = 2.0,
        frozen_strength: bool = False,
        generator: torch.Generator | None = None,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Draw the modes.

        Args:
            outputs: Rows of the weight.
            inputs: Columns of the weight, without the kernel.
            n_modes: p, at least 1. More than min(out, in) adds parameters and no rank.
            kernel: Sides of a convolution's kernel.
            bias: Whether there is a bias, which begins at 0.
            init: "spectral", "iid", "published", or a function like those of `initialisation`.
            gain: N Var W at the start, N the fan-in: 2 for ReLU, 1 for linear.
            frozen_strength: Fix s at 1: plain low rank.
            generator: Where the draws come from; by default torch's own, which `torch.manual_seed` sets.
            device: As of any torch module.
            dtype: Likewise.

        Raises:
            UsageError: A size below 1, an unknown `init`, or a gain that is not positive.
        """
        super().__init__()
        name = type(self).__name__
        if min(outputs, inputs, *kernel, 1) < 1 or n_modes < 1:
            raise UsageError(
                f"{name}: expected sizes and a number of modes of 1 or more, got {outputs} x {inputs}, {n_modes} modes."
            )
        if isinstance(init, str) and init not in INITS:
            raise UsageError(f"{name}: expected init as one of {', '.join(INITS)} or a function, got {init!r}.")
        if not 0 < gain < np.inf:
            raise UsageError(f"{name}: expected a gain N Var W above 0, got {gain}.")
        self.kernel, self.frozen_strength = tuple(kernel), frozen_strength
        made = {"device": device, "dtype": dtype}
        self.xi_out = nn.Parameter(torch.empty(outputs, n_modes, **made))
        strengths = torch.ones(n_modes, **made)
        if frozen_strength:
            self.register_buffer("s", strengths)
        else:
            self.s = nn.Parameter(strengths)
        self.xi_in = nn.Parameter(torch.empty(n_modes, inputs, *kernel, **made))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs, **made)) if bias else None)
        if not self.xi_out.is_meta:
            draw = INITS[init] if isinstance(init, str) else init
            seed = int(torch.randint(2**62, (), generator=generator))
            fan_in = inputs * int(np.prod(kernel, dtype=int))
            self.set_modes(draw(outputs, fan_in, n_modes, np.random.default_rng(seed), gain))

    @property
    def n_modes(self) -> int:
        """p, the number of modes."""
        return self.s.shape[0]

    @property
    def cost(self) -> Cost:
        """Parameters and multiply-adds, beside those of the dense layer; the bias counts in neither."""
        return Cost(self.xi_out.shape[0], self.xi_in[0].numel(), frozen=self.frozen_strength)

    @property
    def weight(self) -> Tensor:
        """(out, in, *kernel) the weight, formed at each call; the forward pass never does."""
        return ((self.xi_out * self.s) @ self.xi_in.flatten(1)).unflatten(1, self.xi_in.shape[1:])

    def modes(self) -> Modes:
        """The factors as arrays in float64, kernels flattened."""
        xi_out, s, xi_in = (one.detach().to("cpu", torch.float64).numpy() for one in (self.xi_out, self.s, self.xi_in.flatten(1)))
        return Modes(xi_out, s, xi_in)

    def set_modes(self, modes: Modes) -> None:
        """Take other modes for the same weight shape, in place where their number is the same.

        Where it differs the parameters are new ones, which an optimizer must be told of. Frozen strengths stay 1: what is given is
        shared by the two patterns.

        Raises:
            UsageError: They belong to a weight of another shape.
        """
        shape = (self.xi_out.shape[0], self.xi_in[0].numel())
        if modes.shape != shape:
            raise UsageError(f"{type(self).__name__}: expected modes of a weight {shape}, got {modes.shape}.")
        s, xi_out, xi_in = modes.s, modes.xi_out, modes.xi_in
        if self.frozen_strength:
            root = np.sqrt(np.abs(s))
            s, xi_out, xi_in = np.ones_like(s), xi_out * root * np.where(s < 0, -1.0, 1.0), xi_in * root[:, None]
        self._put("xi_out", xi_out)
        self._put("s", s)
        self._put("xi_in", xi_in.reshape(modes.count, *self.xi_in.shape[1:]))

    def balance(self) -> None:
        """Rescale every mode to `||a|| = ||b|| = |s|` (with frozen strengths `||a|| = ||b||`); the weight stays."""
        from modescope.modes.factors import balanced

        self.set_modes(balanced(self.modes()))

    def gauge(self, c: Any, d: Any) -> None:
        """Rescale every mode by `(c, 1/(cd), d)`; the weight stays.

        Raises:
            UsageError: A factor is 0 or not finite, or the strengths are frozen.
        """
        from modescope.modes.factors import gauged

        if self.frozen_strength:
            raise UsageError(f"{type(self).__name__}: expected strengths that are not frozen, as a gauge changes them.")
        self.set_modes(gauged(self.modes(), c, d))

    def extra_repr(self) -> str:
        """Sizes, as torch prints them."""
        inputs, outputs = self.xi_in.shape[1], self.xi_out.shape[0]
        return f"{inputs}, {outputs}, n_modes={self.n_modes}, bias={self.bias is not None}"

    def _put(self, name: str, values: np.ndarray[Any, Any]) -> None:
        held: Tensor = getattr(self, name)
        given = torch.from_numpy(np.array(values)).to(held.device, held.dtype)
        with torch.no_grad():
            if held.shape == given.shape:
                held.copy_(given)
            elif isinstance(held, nn.Parameter):
                setattr(self, name, nn.Parameter(given, requires_grad=held.requires_grad))
            else:
                setattr(self, name, given)
