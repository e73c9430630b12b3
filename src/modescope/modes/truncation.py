"""A weight cut to its p best modes, for every p at once: nearest to the weight itself, or to what the layer gives on its inputs.

Both are one form, `W' = U_p U_p^T W` with orthonormal columns U: the left singular vectors of W, or the eigenvectors of
`W C W^T`, the second moment of the outputs. No inverse of C is taken, so that it may have any rank.
"""

from dataclasses import dataclass

import numpy as np

from modescope.errors import MatrixError, UsageError
from modescope.matrix import Array
from modescope.modes.factors import Modes, of_svd
from modescope.moments import Moments
from modescope.spectrum import signed
from modescope.svd import Values
from modescope.svd.policy import exact

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Cut:
    """All truncations of one weight (out, in) by one criterion; r = min(out, in).

    Attributes:
        tails: (r + 1,) squared error that 0 to r modes leave, descending to 0: `||W - W'||_F^2` of a cut by the weight,
            `E||W h - W' h||^2` of one by the outputs, there with the bias corrected where it is centred. Always in units of its
            criterion, so that only `relative` may be compared between layers.
        basis: (out, r) orthonormal columns U, best first.
        core: (r, in) the rows of `U^T W`; the first p of each make the p modes.
        mean: (in,) mean input of a centred cut by the outputs, else None.
        by: "weight" or "outputs".
    """

    tails: Values
    basis: Values
    core: Values
    mean: Values | None
    by: str

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs of the weight."""
        return self.basis.shape[0], self.core.shape[1]

    @property
    def total(self) -> float:
        """The squared error of no modes at all."""
        return float(self.tails[0])

    @property
    def relative(self) -> Values:
        """(r + 1,) `tails` as shares of `total`: 1 without modes, 0 with all; of a layer that gives nothing, 0 from 1 mode on."""
        shares: Values = self.tails / self.total if self.total > 0 else np.zeros_like(self.tails)
        shares[0] = 1.0
        return shares

    @property
    def weight_tails(self) -> Values:
        """(r + 1,) `||W - W'||_F^2` with 0 to r modes, whatever the criterion was."""
        return _tails(np.einsum("ij,ij->i", self.core, self.core))

    @property
    def rank(self) -> int:
        """Modes that the weight has in float64; further ones are 0 in all their factors and cannot be trained."""
        sizes = np.linalg.norm(self.core, axis=1)
        seen = np.flatnonzero(sizes > max(self.shape) * EPS * sizes.max())
        return int(seen[-1]) + 1 if seen.size else 0

    def modes(self, p: int) -> Modes:
        """The p modes, balanced and with orthogonal patterns, strongest first.

        Raises:
            UsageError: p is below 1 or above r.
        """
        r = self.tails.size - 1
        if not 1 <= p <= r:
            raise UsageError(f"expected 1 to {r} modes of a weight {self.shape}, got {p}.")
        if self.by == "weight":
            s = np.linalg.norm(self.core[:p], axis=1)
            vh = np.divide(self.core[:p], s[:, None], out=np.zeros_like(self.core[:p]), where=s[:, None] > 0)
            return of_svd(self.basis[:, :p], s, vh)
        found = exact(self.core[:p], vectors=True)
        assert found.u is not None
        assert found.vh is not None
        u, vh = signed(self.basis[:, :p] @ found.u, found.vh)
        return of_svd(u, found.s, vh)

    def bias_shift(self, p: int) -> Values | None:
        """(out,) what to add to the bias, `(W - W') E[h]`, so that the mean output stays; None of a cut that is not centred."""
        if self.mean is None:
            return None
        shift: Values = self.basis[:, p:] @ (self.core[p:] @ self.mean)
        return shift


def of_weight(weight: Array, /) -> Cut:
    """Truncations that are nearest to the weight: the leading terms of its SVD.

    Args:
        weight: (out, in), finite, of any real dtype; kernels flattened in order (channel, tap).

    Returns:
        `Cut` by "weight": with p modes the spectral error is the next singular value, and the squared Frobenius error the sum of
        the squares of all that follow.

    Raises:
        UsageError: It is no finite matrix.
        MatrixError: No driver converged.

    References:
        Eckart & Young (1936), doi:10.1007/BF02288367.
    """
    u, s, vh = _svd(_checked(weight))
    return Cut(_tails(s**2), u, s[:, None] * vh, None, "weight")


def of_outputs(weight: Array, moments: Moments, /, *, centred: bool) -> Cut:
    """Truncations that are nearest to what the layer gives on inputs with these moments.

    The error is the least that any weight of rank p has, never above that of the plain truncation on the same inputs. Directions in
    which the layer gives nothing on these inputs come last, ordered by what the weight has there, so that all r modes are W.

    Args:
        weight: (out, in), as of `of_weight`.
        moments: Of the layer's inputs, in the columns of the weight.
        centred: Take the covariance and correct the bias, `c' = c + (W - W') E[h]`, instead of the second moment. For layers with a
            bias only; the error is never larger than without.

    Returns:
        `Cut` by "outputs".

    Raises:
        UsageError: It is no finite matrix, or the moments are of another number of inputs.
        MatrixError: No driver converged.
    """
    w = _checked(weight).astype(np.float64)
    if moments.mean.size != w.shape[1]:
        raise UsageError(f"expected moments of {w.shape[1]} inputs for a weight {w.shape}, got those of {moments.mean.size}.")
    frame, r = None, w
    if w.shape[0] > w.shape[1]:  # W = Q R: the outputs live in the span of Q, and R C R^T is as small as the smaller Gram matrix
        frame, s, vh = _svd(w)  # several times faster than a QR factorisation
        r = s[:, None] * vh
    c = moments.covariance if centred else moments.second
    try:
        squares, u = np.linalg.eigh(_symmetric(r @ c @ r.T))
    except np.linalg.LinAlgError as error:
        raise MatrixError(f"weight {w.shape}: no driver converged ({error}).") from error
    squares, u = np.clip(squares[::-1], 0.0, None), np.ascontiguousarray(u[:, ::-1])
    given = int((squares > sum(w.shape) * EPS * squares[0]).sum())  # the rest is the rounding of what was multiplied
    if given < len(squares):
        squares[given:] = 0.0
        silent = u[:, given:]
        u[:, given:] = silent @ _svd(silent.T @ r)[0]
    core = u.T @ r
    return Cut(_tails(squares), u if frame is None else frame @ u, core, moments.mean if centred else None, "outputs")


def outputs_left(cut: Cut, moments: Moments, /, *, centred: bool) -> Values:
    """What truncations leave of the outputs on inputs with these moments, whichever criterion made them.

    Returns:
        (r + 1,) `E||W h - W' h||^2` with 0 to r modes, the mean taken out where `centred`.

    Raises:
        UsageError: The moments are of another number of inputs.
    """
    if moments.mean.size != cut.shape[1]:
        raise UsageError(f"expected moments of {cut.shape[1]} inputs for a weight {cut.shape}, got those of {moments.mean.size}.")
    c = moments.covariance if centred else moments.second
    # columns of the basis are orthonormal, so the squares of what they lack add up
    return _tails(np.clip(np.einsum("ij,ij->i", cut.core @ c, cut.core), 0.0, None))


def _tails(squares: Values) -> Values:
    """(r + 1,) sums over k >= p, the smallest first."""
    return np.concatenate([np.cumsum(squares[::-1])[::-1], [0.0]])


def _symmetric(a: Values) -> Values:
    half: Values = (a + a.T) / 2
    return half


def _svd(a: Array) -> tuple[Values, Values, Values]:
    try:
        found = exact(a, vectors=True)
    except np.linalg.LinAlgError as error:
        raise MatrixError(f"weight {a.shape}: no driver converged ({error}).") from error
    assert found.u is not None
    assert found.vh is not None
    u, vh = signed(found.u, found.vh)
    return u, found.s, vh


def _checked(weight: Array) -> Array:
    a = np.asarray(weight)
    if a.ndim != 2 or 0 in a.shape or (a.dtype.kind not in "fV" or a.dtype.type is np.void):
        raise UsageError(f"expected a weight (out, in) of floating-point numbers, got {a.dtype} of shape {a.shape}.")
    with np.errstate(over="ignore"):
        energy = float(np.square(a, dtype=np.float64).sum())
    if not np.isfinite(energy):
        raise UsageError(f"expected a weight {a.shape} whose entries and their squares are finite in float64, got others.")
    return a
