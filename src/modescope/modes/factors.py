"""A weight as its modes: W = xi_out diag(s) xi_in, what its factors say, and its SVD without ever forming it.

Mode k is the rank-one term `s[k] * outer(xi_out[:, k], xi_in[k])`. Modes are neither orthogonal nor normalised, and `s` is signed:
it is no singular value. A mode may be rescaled by (c, 1/(cd), d) without any change to the weight; what does not depend on that
gauge is `omega`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.matrix import Array, Product
from modescope.spectrum import signed
from modescope.svd import Values
from modescope.svd.product import product


@dataclass(frozen=True, eq=False)
class Modes:
    """A weight (out, in) as p modes, in float64.

    Attributes:
        xi_out: (out, p) output patterns, one in each column.
        s: (p,) signed strengths.
        xi_in: (p, in) input patterns, one in each row; kernels are flattened in order (channel, tap).
    """

    xi_out: Values
    s: Values
    xi_in: Values

    def __post_init__(self) -> None:
        arrays = [np.array(one, np.float64) for one in (self.xi_out, self.s, self.xi_in)]
        xi_out, s, xi_in = arrays
        p = s.size
        if (
            s.ndim != 1
            or not all(one.size for one in arrays)
            or xi_out.ndim != 2
            or xi_in.ndim != 2
            or xi_out.shape[1] != p
            or xi_in.shape[0] != p
        ):
            raise UsageError(
                f"modes: expected xi_out (out, p), s (p,) and xi_in (p, in) with p at least 1, got {xi_out.shape}, {s.shape} and "
                f"{xi_in.shape}."
            )
        for name, one in zip(("xi_out", "s", "xi_in"), arrays, strict=True):
            if bad := one.size - int(np.isfinite(one).sum()):
                raise UsageError(f"modes: expected finite {name} of shape {one.shape}, got {bad} entries that are not.")
            one.flags.writeable = False
            object.__setattr__(self, name, one)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of the weight."""
        return self.xi_out.shape[0], self.xi_in.shape[1]

    @property
    def count(self) -> int:
        """p, the number of modes."""
        return self.s.size

    @property
    def weight(self) -> Values:
        """(out, in) the weight itself, formed at each call."""
        formed: Values = (self.xi_out * self.s) @ self.xi_in
        return formed

    @property
    def omega(self) -> Values:
        """(p,) strength of each mode, `|s| ||a|| ||b||`: the Frobenius norm of its term, which no gauge changes."""
        strengths: Values = np.abs(self.s) * np.linalg.norm(self.xi_out, axis=0) * np.linalg.norm(self.xi_in, axis=1)
        return strengths

    @property
    def energy(self) -> float:
        """`||W||_F^2` from the Gram matrices of the patterns, without the weight. Energies of modes do not add up to it."""
        overlaps = (self.xi_out.T @ self.xi_out) * (self.xi_in @ self.xi_in.T)
        return float(self.s @ overlaps @ self.s)


def svd(modes: Modes, /) -> tuple[Values, Values, Values]:
    """The SVD of the weight by two thin QR factorisations and a p x p core, in O(p^2 (in + out) + p^3).

    Returns:
        `(u, s, vh)` with min(p, out, in) singular triples in the convention of `Spectrum`: descending, signs canonical.
    """
    found = product(Product(modes.xi_out * modes.s, modes.xi_in), vectors=True)
    assert found.u is not None
    assert found.vh is not None
    u, vh = signed(found.u, found.vh)
    return u, found.s, vh


def of_svd(u: Array, s: Array, vh: Array, /) -> Modes:
    """Balanced modes of a singular value decomposition: each of the three factors carries a third of the strength.

    Args:
        u: (out, k) output directions.
        s: (k,) singular values, not negative.
        vh: (k, in) input directions.
    """
    third = np.cbrt(np.asarray(s, np.float64))
    return Modes(u * third, third, third[:, None] * vh)


def balanced(modes: Modes, /) -> Modes:
    """The same modes in the gauge `||a|| = ||b|| = |s| = omega^(1/3)`, sign kept in s.

    It is where `(||a||^2 + s^2 + ||b||^2) / 2` is least over the gauge, `3/2 omega^(2/3)`, and where weight decay drives the
    factors. A mode of strength 0 becomes 0 in all its factors.
    """
    third = np.cbrt(modes.omega)
    sign = np.where(np.signbit(modes.s), -1.0, 1.0)
    return Modes(
        modes.xi_out * _over(third, np.linalg.norm(modes.xi_out, axis=0)),
        sign * third,
        modes.xi_in * _over(third, np.linalg.norm(modes.xi_in, axis=1))[:, None],
    )


def orthonormal(modes: Modes, /) -> Modes:
    """The same weight in modes with orthonormal patterns: these where theirs are, up to 1e-5, and else its singular triples."""
    grams = modes.xi_out.T @ modes.xi_out, modes.xi_in @ modes.xi_in.T
    if all(np.abs(gram - np.eye(modes.count)).max() <= 1e-5 for gram in grams):
        return modes
    return Modes(*svd(modes))


def gauged(modes: Modes, c: Array | float, d: Array | float, /) -> Modes:
    """The same weight in another gauge, `(c a, s / (c d), d b)`.

    Args:
        modes: The modes.
        c: Factor of the output patterns, one for all or (p,), not 0.
        d: Factor of the input patterns, likewise.

    Raises:
        UsageError: A factor is 0 or not finite, or there are not as many as modes.
    """
    c, d = (np.asarray(one, np.float64) for one in (c, d))
    if any(one.shape not in {(), (1,), modes.s.shape} for one in (c, d)):
        raise UsageError(f"gauge: expected one factor, or one for each of {modes.count} modes, got shapes {c.shape} and {d.shape}.")
    if not (np.isfinite(c * d).all() and np.all(c * d != 0)):
        raise UsageError("gauge: expected finite factors c and d that are not 0.")
    c, d = np.broadcast_to(c, modes.s.shape), np.broadcast_to(d, modes.s.shape)
    return Modes(modes.xi_out * c, modes.s / (c * d), modes.xi_in * d[:, None])


def truncated(modes: Modes, p: int, /) -> Modes:
    """The p modes that are nearest to the weight of others, balanced and orthogonal; never forms the weight.

    Raises:
        UsageError: p is below 1 or above min(p before, out, in).

    References:
        Eckart & Young (1936), doi:10.1007/BF02288367.
    """
    u, s, vh = svd(modes)
    if not 1 <= p <= s.size:
        raise UsageError(f"truncated: expected 1 to {s.size} modes of {modes.count} in a weight {modes.shape}, got {p}.")
    return of_svd(u[:, :p], s[:p], vh[:p])


def kept(modes: Modes, which: NDArray[np.intp] | list[int], /) -> Modes:
    """Some of the modes, in the order they are named."""
    return Modes(modes.xi_out[:, which], modes.s[which], modes.xi_in[which])


def _over(strength: Values, norm: Values) -> Values:
    safe: Values = np.divide(strength, norm, out=np.zeros_like(strength), where=norm > 0)
    return safe
