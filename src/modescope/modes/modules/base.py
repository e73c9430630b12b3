"""What every mode layer is: a module that holds xi_out, s and xi_in, trains them directly and never forms its weight."""

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modescope.errors import UsageError
from modescope.modes.counting import Cost
from modescope.modes.factors import Modes, balanced, gauged, orthonormal
from modescope.modes.initialisation import iid, published, spectral
from modescope.modes.modules.orthogonal import Orthonormal, is_orthonormal

Init = Callable[[int, int, int, np.random.Generator, float], Modes]
INITS: dict[str, Init] = {"spectral": spectral, "iid": iid, "published": published}


class ModeLayer(nn.Module):
    """A layer whose weight is `W = xi_out diag(s) xi_in`, of which only the factors exist.

    The state dict holds `xi_out`, `s`, `xi_in` and, where there is one, `bias`: plain tensors that plain torch opens. With
    `orthogonal=True` it holds `parametrizations.xi_out.original` and `parametrizations.xi_in.original` instead of the patterns,
    which are their Q factors; `plain` gives a copy with the plain names.

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
        orthogonal: bool = False,
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
            orthogonal: Keep the columns of xi_out and the flattened rows of xi_in orthonormal, so that |s| are the singular values.
            generator: Where the draws come from; by default torch's own, which `torch.manual_seed` sets.
            device: As of any torch module; on "meta" nothing is drawn until `reset_parameters`.
            dtype: Likewise.

        Raises:
            UsageError: A size that is no whole number of 1 or more, an unknown `init`, a gain that is not positive, or orthogonal
                patterns that are more than fit or whose strengths are frozen.
        """
        super().__init__()
        name = type(self).__name__
        check(name, outputs=outputs, inputs=inputs, n_modes=n_modes)
        for side in kernel:
            check(name, kernel_size=side)
        fan_in = inputs * int(np.prod(kernel, dtype=int))
        if orthogonal and frozen_strength:
            raise UsageError(f"{name}: expected strengths that train with orthogonal patterns, got frozen_strength=True.")
        if orthogonal and n_modes > min(outputs, fan_in):
            raise UsageError(
                f"{name}: expected at most {min(outputs, fan_in)} orthogonal modes of a weight {(outputs, fan_in)}, got {n_modes}."
            )
        if isinstance(init, str) and init not in INITS:
            raise UsageError(f"{name}: expected init as one of {', '.join(INITS)} or a function, got {init!r}.")
        if not 0 < gain < np.inf:
            raise UsageError(f"{name}: expected a gain N Var W above 0, got {gain}.")
        self.kernel, self.frozen_strength, self.init, self.gain = tuple(kernel), frozen_strength, init, gain
        made = {"device": device, "dtype": dtype}
        self.xi_out = nn.Parameter(torch.empty(outputs, n_modes, **made))
        strengths = torch.ones(n_modes, **made)
        if frozen_strength:
            self.register_buffer("s", strengths)
        else:
            self.s = nn.Parameter(strengths)
        self.xi_in = nn.Parameter(torch.empty(n_modes, inputs, *kernel, **made))
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs, **made)) if bias else None)
        if orthogonal:  # unchecked, as there are no numbers yet to check with
            parametrize.register_parametrization(self, "xi_out", Orthonormal(rows=False), unsafe=True)
            parametrize.register_parametrization(self, "xi_in", Orthonormal(rows=True), unsafe=True)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the modes anew and set the bias to 0, as after `to_empty`; nothing happens on the meta device.

        Args:
            generator: Where the draws come from; by default torch's own.
        """
        if self.s.is_meta:
            return
        draw = INITS[self.init] if isinstance(self.init, str) else self.init
        where = "cpu" if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=where))
        outputs, inputs = self.shape
        self.set_modes(draw(outputs, inputs, self.n_modes, np.random.default_rng(seed), self.gain))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def n_modes(self) -> int:
        """p, the number of modes."""
        return self.s.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of the weight, kernels flattened into the inputs."""
        held_out, held_in = self._held("xi_out"), self._held("xi_in")
        return held_out.shape[0], held_in.numel() // held_in.shape[0]

    @property
    def orthogonal(self) -> bool:
        """Whether the patterns are held orthonormal."""
        return is_orthonormal(self, "xi_out")

    @property
    def cost(self) -> Cost:
        """Parameters and multiply-adds, beside those of the dense layer; the bias counts in neither."""
        return Cost(*self.shape, frozen=self.frozen_strength)

    @property
    def weight(self) -> Tensor:
        """(out, in, *kernel) the weight, formed at each call; the forward pass never does."""
        xi_in = self.xi_in
        return ((self.xi_out * self.s) @ xi_in.flatten(1)).reshape(-1, *xi_in.shape[1:])

    def modes(self) -> Modes:
        """The factors as arrays in float64, kernels flattened."""
        xi_out, s, xi_in = (one.detach().to("cpu", torch.float64).numpy() for one in (self.xi_out, self.s, self.xi_in.flatten(1)))
        return Modes(xi_out, s, xi_in)

    def set_modes(self, modes: Modes) -> None:
        """Take other modes for the same weight shape, in place where their number is the same.

        Where it differs the parameters are new ones, which an optimizer must be told of. Frozen strengths stay 1: what is given is
        shared by the two patterns. An orthogonal layer takes the singular triples of the weight, unless the patterns given are
        orthonormal already.

        Raises:
            UsageError: They belong to a weight of another shape, or are more than fit an orthogonal layer.
        """
        if modes.shape != self.shape:
            raise UsageError(f"{type(self).__name__}: expected modes of a weight {self.shape}, got {modes.shape}.")
        if self.orthogonal:
            if modes.count > min(self.shape):
                raise UsageError(
                    f"{type(self).__name__}: expected at most {min(self.shape)} orthogonal modes of a weight {self.shape}, "
                    f"got {modes.count}."
                )
            modes = orthonormal(modes)
        s, xi_out, xi_in = modes.s, modes.xi_out, modes.xi_in
        if self.frozen_strength:
            root = np.sqrt(np.abs(s))
            s, xi_out, xi_in = np.ones_like(s), xi_out * root * np.where(s < 0, -1.0, 1.0), xi_in * root[:, None]
        self._put("xi_out", xi_out)
        self._put("s", s)
        self._put("xi_in", xi_in.reshape(modes.count, *self._held("xi_in").shape[1:]))

    def balance(self) -> None:
        """Rescale every mode to `||a|| = ||b|| = |s|` (with frozen strengths `||a|| = ||b||`); the weight stays.

        Raises:
            UsageError: The patterns are held orthonormal.
        """
        self._check_free()
        self.set_modes(balanced(self.modes()))

    def gauge(self, c: Any, d: Any) -> None:
        """Rescale every mode by `(c, 1/(cd), d)`; the weight stays.

        Raises:
            UsageError: A factor is 0 or not finite, the strengths are frozen, or the patterns are held orthonormal.
        """
        self._check_free()
        if self.frozen_strength:
            raise UsageError(f"{type(self).__name__}: expected strengths that are not frozen, as a gauge changes them.")
        self.set_modes(gauged(self.modes(), c, d))

    def extra_repr(self) -> str:
        """Sizes, as torch prints them."""
        options = [name for name in ("frozen_strength", "orthogonal") if getattr(self, name)]
        sizes = f"{self._held('xi_in').shape[1]}, {self.shape[0]}, n_modes={self.n_modes}, bias={self.bias is not None}"
        return ", ".join([sizes, *(f"{name}=True" for name in options)])

    def _check_free(self) -> None:
        if self.orthogonal:
            raise UsageError(f"{type(self).__name__}: expected free patterns, got orthonormal ones, whose scale is fixed.")

    def _owner(self, name: str) -> tuple[nn.Module, str]:
        """Who holds a factor, and under which name: a parametrisation where it is orthonormal."""
        return (self.get_submodule(f"parametrizations.{name}"), "original") if is_orthonormal(self, name) else (self, name)

    def _held(self, name: str) -> Tensor:
        owner, leaf = self._owner(name)
        held: Tensor = getattr(owner, leaf)
        return held

    def _put(self, name: str, values: np.ndarray[Any, Any]) -> None:
        owner, leaf = self._owner(name)
        held = self._held(name)
        given = torch.from_numpy(np.array(values)).to(held.device, held.dtype)
        with torch.no_grad():
            if held.shape == given.shape:
                held.copy_(given)
            elif isinstance(held, nn.Parameter):
                setattr(owner, leaf, nn.Parameter(given, requires_grad=held.requires_grad))
            else:
                setattr(owner, leaf, given)


def check(layer: str, /, **sizes: object) -> None:
    """Refuse sizes that are no whole numbers of 1 or more.

    Raises:
        UsageError: The first that is none, by its name.
    """
    for what, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise UsageError(f"{layer}: expected {what} as a whole number of 1 or more, got {size!r}.")
