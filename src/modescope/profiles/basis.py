"""The modes of one layer and how its raw outputs are projected on them."""

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import MatrixError, UsageError
from modescope.matrix import Array, Matrix
from modescope.spectrum import Spectrum, decompose, signed
from modescope.svd import Values

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Basis:
    """Modes of a linear layer or a convolution, in descending order over all its groups; d output channels, r modes.

    A grouped convolution is block-diagonal: every mode lives in one group, and the modes of all groups stand in one order.

    Attributes:
        layer: Name of the module, as in `model.named_modules()`.
        kind: Its class, "Conv2d".
        kernel: Shape of what one group of outputs reads, (in / groups, *taps); (in,) of a linear layer.
        groups: Number of groups.
        s: (r,) singular values, descending.
        u: (r, d / groups) output directions as rows, inside their group.
        vh: (r, in / groups * taps) input directions as rows, in the order (channel, *taps).
        group: (r,) the group of each mode.
        bias: (d,) what is taken off an output before it is projected: the bias of the layer, or 0.
        gain: (d,) what outputs are multiplied with after that: of a batch norm that was folded in, or 1.
        norm: Name of the batch norm that was folded in, or empty.
        spectrum: Of the unfolded weight, for laws and counts; None where there are several groups.
    """

    layer: str
    kind: str
    kernel: tuple[int, ...]
    groups: int
    s: Values
    u: Values
    vh: Values
    group: Indices
    bias: Values
    gain: Values
    norm: str = ""
    spectrum: Spectrum | None = None
    _prepared: dict[tuple[Any, Any], tuple[Any, Any]] = field(default_factory=dict, init=False, repr=False)

    @property
    def channels(self) -> int:
        """Number of output channels d."""
        return self.bias.size

    @property
    def shape(self) -> tuple[int, int]:
        """(d / groups, in / groups * taps) of the matrix of one group."""
        return self.u.shape[1], self.vh.shape[1]

    @property
    def patches(self) -> Values:
        """(r, in / groups, *taps): input directions folded back to the shape of what the layer sees at one position."""
        return self.vh.reshape(-1, *self.kernel)

    @property
    def ties(self) -> tuple[tuple[int, int], ...]:
        """Half-open ranges of modes whose values are closer than 1e-6 of the largest; single vectors mean nothing inside."""
        from modescope.spectrum import DEGENERATE

        if not self.s.size or self.s[0] == 0:
            return ((0, self.s.size),) if self.s.size > 1 else ()
        cuts = np.flatnonzero(self.s[:-1] - self.s[1:] >= DEGENERATE * self.s[0]) + 1
        edges = [0, *cuts.tolist(), self.s.size]
        return tuple((a, b) for a, b in pairwise(edges) if b - a > 1)

    def directions(self) -> Values:
        """(d, r) output directions over all channels, 0 outside the group of the mode."""
        found = np.zeros((self.groups, self.u.shape[1], self.s.size))
        found[self.group, :, np.arange(self.s.size)] = self.u
        return found.reshape(self.channels, self.s.size)


def basis(layer: str, module: Any, weight: Array, bias: Array | None = None, *, norm: tuple[str, Any] | None = None) -> Basis:
    """Decompose the unfolded weight of a layer.

    Args:
        layer: Its name.
        module: The module, for its class, its groups and whether it is transposed.
        weight: Its effective weight, as torch stores it: (out, in / groups, *taps); of a transposed convolution (in, out / groups,
            *taps).
        bias: (out,) or None.
        norm: Name and module of a batch norm that takes the output, to fold in: its gain multiplies output channels.

    Returns:
        `Basis`. With a batch norm the modes are those of `diag(g) W`, `g = gamma / sqrt(var + eps)`, and the projections those of
        the normalised output less its constant part, which is `g (y - b)`.

    Raises:
        MatrixError: The weight is empty or not finite.
        UsageError: The batch norm keeps no running statistics.

    References:
        Praggastis et al. (2022), arXiv:2208.06894, for the unfolding and the projection on its left singular vectors.
    """
    kernel = by_outputs(module, weight)
    groups = kernel.shape[0]
    if not kernel.size:
        raise MatrixError(f"{layer}: no entries, shape {tuple(np.shape(weight))}.")
    channels = kernel.shape[0] * kernel.shape[1]
    gain = np.ones(channels) if norm is None else _gain(*norm)
    stack = kernel.reshape(groups, kernel.shape[1], -1) * gain.reshape(groups, -1, 1)
    spectrum: Spectrum | None = None
    if groups == 1:
        matrix = Matrix(
            f"{layer}.weight", "unfolding", stack[0].shape, "float64", partial(_first, stack), kind=type(module).__name__
        )
        spectrum = decompose(matrix, vectors=True)
        assert spectrum.u is not None
        assert spectrum.vh is not None
        s, u, vh, group = spectrum.s, spectrum.u.T, spectrum.vh, np.zeros(spectrum.s.size, np.intp)
    else:
        s, u, vh, group = _grouped(layer, stack)
    return Basis(
        layer=layer,
        kind=type(module).__name__,
        kernel=kernel.shape[2:],
        groups=groups,
        s=s,
        u=np.ascontiguousarray(u),
        vh=vh,
        group=group,
        bias=np.zeros(channels) if bias is None else np.array(bias, dtype=np.float64),
        gain=gain,
        norm="" if norm is None else norm[0],
        spectrum=spectrum,
    )


def by_outputs(module: Any, weight: Array, /) -> Values:
    """Weight of a layer by groups, (groups, out / groups, in / groups, *taps), from what torch stores; float64."""
    kernel = np.asarray(weight, dtype=np.float64)
    kernel = kernel.reshape(int(getattr(module, "groups", 1)), -1, *kernel.shape[1:])
    return kernel.swapaxes(1, 2) if getattr(module, "transposed", False) else kernel


def project(basis: Basis, outputs: Any, /) -> Any:
    """Signals: raw outputs less the bias, on the output directions.

    Args:
        basis: Of the layer that made them.
        outputs: Tensor (N, d, *positions), channels second, of any floating type on any device.

    Returns:
        Tensor (N, r, *positions); half precision is widened to float32.
    """
    return ordered(basis, by_group(basis, centred(basis, outputs)))


def centred(basis: Basis, outputs: Any, /) -> Any:
    """Raw outputs (N, d, *positions) less the bias, half precision widened to float32.

    The bias is taken off before anything is summed, so that what is nothing but bias becomes 0 and not its rounding.
    """
    y = outputs.float() if outputs.element_size() < 4 else outputs
    bias = _tensors(basis, y.dtype, y.device)[1]
    return y if bias is None else y - bias.reshape(1, -1, *(1,) * (y.ndim - 2))


def by_group(basis: Basis, y: Any, /) -> Any:
    """`project` of outputs that are `centred`, with modes in the order of the groups they live in.

    `ordered` changes it into theirs: to put numbers in order is cheap, and whole maps is not.
    """
    import torch

    u, _ = _tensors(basis, y.dtype, y.device)
    count, shape = y.shape[0], y.shape[2:]
    y = y.reshape(count, basis.groups, u.shape[2], -1)
    if u.shape[2] == 1:  # depthwise: as many products of one number as there are channels
        signals = y * u
    elif basis.groups == 1 and y.shape[3] == 1:
        signals = y[:, 0, :, 0] @ u[0].T
    else:
        signals = torch.matmul(u, y)
    return signals.reshape(count, basis.s.size, *shape)


def ordered(basis: Basis, signals: Any, /) -> Any:
    """Signals (N, r, ...) of `by_group`, or what was made of them, in the order of the modes."""
    import torch

    return signals if basis.groups == 1 else signals[:, torch.from_numpy(np.argsort(_places(basis))).to(signals.device)]


def _tensors(basis: Basis, dtype: Any, device: Any) -> tuple[Any, Any]:
    """Output directions (groups, modes, channels) with the gain, and the bias, None where it is 0; made once."""
    import torch

    if (dtype, device) not in basis._prepared:
        u = basis.u[_places(basis)].reshape(basis.groups, -1, basis.u.shape[1]) * basis.gain.reshape(basis.groups, 1, -1)
        bias = torch.tensor(basis.bias, dtype=dtype, device=device) if basis.bias.any() else None
        basis._prepared[dtype, device] = torch.from_numpy(u).to(device, dtype), bias
    return basis._prepared[dtype, device]


def _places(basis: Basis) -> Indices:
    """Modes by group, in their order inside it."""
    return np.lexsort((np.arange(basis.group.size), basis.group))


def _first(stack: Values) -> Array:
    found: Array = stack[0]
    return found


def _gain(name: str, norm: Any) -> Values:
    if norm.running_var is None:
        raise UsageError(f"{name}: expected a batch norm with running statistics to fold in, got one without; use bn='ignore'.")
    variance = norm.running_var.detach().double().cpu().numpy()
    gamma = np.ones_like(variance) if norm.weight is None else norm.weight.detach().double().cpu().numpy()
    found: Values = gamma / np.sqrt(variance + norm.eps)
    return found


def _grouped(layer: str, stack: Values) -> tuple[Values, Values, Values, Indices]:
    """Modes of all groups in one descending order."""
    if not np.isfinite(stack).all():
        raise MatrixError(f"{layer}: {int((~np.isfinite(stack)).sum())} of {stack.size} entries are not finite.")
    u, s, vh = np.linalg.svd(stack, full_matrices=False)
    pairs = [signed(one, other) for one, other in zip(u, vh, strict=True)]
    u, vh = np.stack([one.T for one, _ in pairs]), np.stack([other for _, other in pairs])
    order = np.argsort(-s, axis=None, kind="stable")
    rank = s.shape[1]
    return s.ravel()[order], u.reshape(-1, u.shape[2])[order], vh.reshape(-1, vh.shape[2])[order], order // rank
