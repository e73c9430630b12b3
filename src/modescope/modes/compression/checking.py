"""A compressed file against its source: what was copied bit for bit, and the errors that the factors have as they are stored."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import ml_dtypes
import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from modescope.checkpoints import open
from modescope.checkpoints._dtypes import numpy_dtype
from modescope.checkpoints._names import shown
from modescope.errors import MatrixError
from modescope.matrix import Array, Tensor
from modescope.modes.compression.eligible import Weight
from modescope.modes.compression.planning import Planned
from modescope.modes.compression.writing import pieces
from modescope.moments import Moments
from modescope.svd import Values

SMALL = 24  # short side up to which a norm is taken by a full decomposition
TOLERANCE = 1e-8  # of the iteration for a spectral norm, whose value is then right to its square
SLACK = 1e-5  # of an error that was told by singular values of the Gram route


@dataclass(frozen=True)
class Errors:
    """What is lost of one weight, measured on what is stored.

    Attributes:
        frobenius: `||W - W'||_F / ||W||_F`.
        spectral: `||W - W'||_2 / ||W||_2`.
        outputs: `sqrt(E||W h + c - W' h - c'||^2)` over the same of the outputs themselves, their mean taken out where there is a
            bias c that takes it up; None where inputs are not known.
    """

    frobenius: float
    spectral: float
    outputs: float | None


class Written:
    """The tensors of a file that was written, by name."""

    def __init__(self, path: Path) -> None:
        self.tensors = {tensor.name: tensor for tensor in open(path).tensors}

    def read(self, name: str) -> Array:
        """One of them.

        Raises:
            MatrixError: It is not there.
        """
        if name not in self.tensors:
            raise MatrixError(f"{shown(name)}: expected to read it back, got a file without it. The output was not kept.")
        return self.tensors[name].read()


def check_copy(written: Written, tensor: Tensor) -> None:
    """See that a tensor that was copied has the same dtype, shape and bits.

    Raises:
        MatrixError: It has not.
    """
    back, before = written.read(tensor.name), tensor.read()
    same = back.dtype.name == before.dtype.name and back.shape == before.shape
    # an empty memoryview equals none, so that a file that ends early is noticed
    if not same or any(one != other for one, other in zip_longest(pieces(back), pieces(before))):
        raise MatrixError(f"{shown(tensor.name)}: expected the bits of the source back, got others. The output was not kept.")


def errors(written: Written, planned: Planned, moments: Moments | None, bias: Array | None) -> Errors:
    """What is lost of a weight whose modes were written, in float64.

    Args:
        written: The file.
        planned: The weight.
        moments: Of its inputs, or None.
        bias: The bias in the source, where it was moved, else None.

    Raises:
        MatrixError: The factors are not finite, or lose more than the truncation and the rounding of their dtype explain.
    """
    weight = planned.weight
    matrix = weight.read().astype(np.float64)
    kept, stored = _kept(written, weight)
    lost = matrix - kept
    norm = float(np.linalg.norm(matrix))
    found = Errors(float(np.linalg.norm(lost)) / norm, spectral_norm(lost) / spectral_norm(matrix), None)
    rounding = float(_epsilon(stored)) * 2 * np.sqrt(planned.modes or 1)
    if not found.frobenius <= planned.error * (1 + SLACK) + SLACK + rounding:
        raise MatrixError(
            f"{shown(weight.tensor.name)}: expected an error of {planned.error:.3g} with {planned.modes} modes in {stored}, got "
            f"{found.frobenius:.3g} from the file. The output was not kept."
        )
    if moments is None:
        return found
    shift = np.zeros(weight.shape[0])
    if bias is not None:
        shift = bias.astype(np.float64) - written.read(weight.bias).astype(np.float64)
    left = _energy(lost, moments.covariance) + float(np.square(lost @ moments.mean + shift).sum())
    whole = _energy(matrix, moments.covariance if bias is not None else moments.second)
    return Errors(found.frobenius, found.spectral, float(np.sqrt(left / whole)))


def spectral_norm(matrix: Values) -> float:
    """The largest singular value."""
    if min(matrix.shape) <= SMALL or not matrix.any():
        return float(np.linalg.norm(matrix, 2))
    a = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    n = a.shape[1]
    squared = LinearOperator((n, n), matvec=lambda x: a.T @ (a @ x), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(n)
    try:
        top = eigsh(squared, k=1, v0=start, ncv=SMALL, tol=TOLERANCE, return_eigenvectors=False)
    except ArpackError:  # did not converge
        return float(np.linalg.norm(matrix, 2))
    return float(np.sqrt(max(float(top[0]), 0.0)))


def _kept(written: Written, weight: Weight) -> tuple[Values, str]:
    """The weight (out, in) as the file has it, and the dtype it has there."""
    if weight.tensor.name in written.tensors:
        tensor = written.tensors[weight.tensor.name]
        return Weight(tensor, weight.kind, weight.shape, weight.layout).read().astype(np.float64), tensor.stored
    xi_out, s, xi_in = (written.read(name) for name in weight.factors.values())
    strengths = s.astype(np.float64)
    kept: Values = (xi_out.astype(np.float64) * strengths) @ xi_in.reshape(xi_in.shape[0], -1).astype(np.float64)
    return kept, xi_out.dtype.name


def _energy(weight: Values, second: Values) -> float:
    return float(np.einsum("ij,ij->", weight @ second, weight))


def _epsilon(stored: str) -> float:
    return float(ml_dtypes.finfo(numpy_dtype(stored)).eps)
