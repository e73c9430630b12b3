"""Input modes of random weights on the same data: what the data alone write into `V^T P W`.

The rows of `V^T P W` are principal components of the hidden data times the weight. Where a few directions of the inputs hold most
of their variance, these rows lean towards them for any weight, so that smooth data make smooth modes before anything is learnt.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh

from modescope.descrambling.finite import finite_matrix
from modescope.errors import UsageError
from modescope.laws.haar_frames import frame
from modescope.moments import Moments
from modescope.seeds import generator

Values = NDArray[np.float64]

DRAWS = 199


def random_modes(
    weight: ArrayLike,
    inputs: Moments,
    /,
    *,
    count: int,
    bias: ArrayLike | None = None,
    centred: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> Values:
    """Leading rows of `V^T P W` for weights that keep the singular values and output modes, and lose the input modes.

    Their input modes are rotated at random, uniformly over all rotations, and each is descrambled with the moments of the data. A
    weight whose law no rotation of the inputs changes, as Gaussian ones before training, has modes of this very law.

    Args:
        weight: (m, n) weight of a layer that is descrambled on the left.
        inputs: Moments of its inputs.
        count: Rows, at most m; smooth modes come first.
        bias: (m,) as for the result, or None.
        centred: As for the result.
        draws: Random weights, at least 1, each an eigendecomposition of min(m, n + 1) rows and columns.
        seed: Of these draws.

    Returns:
        (draws, count, n), for `read_modes` as `random`.

    Raises:
        UsageError: Shapes do not fit, entries are not finite, or an option is out of range.
    """
    rows = finite_matrix(weight, "weight")
    m, n = rows.shape
    if inputs.mean.size != n:
        raise UsageError(f"random_modes: expected moments of {n} inputs for a weight {rows.shape}, got {inputs.mean.size}.")
    if not 1 <= count <= m or draws < 1:
        raise UsageError(f"random_modes: expected a count of 1 to {m} and 1 draw or more, got {count} and {draws}.")
    offset = np.zeros(m) if bias is None else finite_matrix(np.atleast_2d(bias), "bias")[0]
    if offset.size != m:
        raise UsageError(f"random_modes: expected a bias of {m} numbers for a weight {rows.shape}, got {offset.size}.")
    variance, basis = np.linalg.eigh(inputs.covariance)
    mean = inputs.mean @ basis
    s, offset = _own(rows, offset)
    kept = min(count, offset.size)  # a mode beyond these is zero
    rng = generator(seed, "random modes")
    found = np.zeros((draws, count, n))
    drawn = np.zeros((offset.size, n))
    for place in range(draws):
        drawn[: s.size] = s[:, None] * frame(rng, s.size, n)  # in the basis of the data, where a random frame is as random
        second = (drawn * variance) @ drawn.T
        if not centred:
            shift = drawn @ mean + offset
            second += np.outer(shift, shift)
        _, leading = eigh(second, subset_by_index=[offset.size - kept, offset.size - 1])
        found[place, :kept] = leading[:, ::-1].T @ drawn @ basis.T
    return found


def _own(rows: Values, offset: Values) -> tuple[Values, Values]:
    """Singular values, and the offset in the basis of output modes; of a tall weight what is left of it is one more direction."""
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    within = offset @ u
    rest = [] if rows.shape[0] <= rows.shape[1] else [float(np.linalg.norm(offset - u @ within))]
    return s, np.concatenate([within, rest])
