"""Second moments of the hidden data that a descrambler makes smooth: of a layer's outputs, of the next layer's inputs, or both.

All are divided by the number of samples, which scales the objective and moves no minimum. Three questions, three functions: `left`
for `P W` of the layer that writes the hidden space, `right` for `W P^T` of the layer that reads it, `joint` for the same with that
layer's weights as further data.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError
from modescope.moments import Moments, Values

Array = NDArray[Any]


def left(weight: Array, inputs: Moments, bias: Array | None = None, *, centred: bool = False) -> Values:
    """Second moment of the preactivations `W x + c`, from the moments of the inputs alone.

    Args:
        weight: (m, n) weight W.
        inputs: Moments of the layer's inputs x, n numbers each.
        bias: (m,) bias c, or None for none.
        centred: Take the mean of the preactivations off; the bias then drops out.

    Returns:
        (m, m) `W C W^T + W mu c^T + c mu^T W^T + c c^T` with C uncentred, or `W (C - mu mu^T) W^T`; symmetric.

    Raises:
        UsageError: Shapes do not fit, or entries are not finite.
    """
    w = _real(weight, "left", "weight")
    if w.ndim != 2 or w.shape[1] != inputs.mean.size:
        raise UsageError(
            f"left: expected a weight (m, {inputs.mean.size}) that acts on the {inputs.mean.size} inputs the moments are of, got "
            f"{w.shape}; use the moments of this layer's own inputs."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        found = _hidden(w, inputs, bias, centred=centred)
    if not np.isfinite(found).all():
        raise UsageError(f"left: expected a weight {w.shape} and inputs whose squares float64 can hold; give them in another unit.")
    return _symmetric(found)


def _hidden(w: Values, inputs: Moments, bias: Array | None, *, centred: bool) -> Values:
    found = w @ inputs.covariance @ w.T
    if not centred:
        mean = w @ inputs.mean
        if bias is not None:
            c = _real(bias, "left", "bias")
            if c.shape != mean.shape:
                raise UsageError(f"left: expected a bias {mean.shape} for a weight {w.shape}, got {c.shape}.")
            mean = mean + c
        found = found + np.outer(mean, mean)  # the same as the four terms, and no digit is lost where they nearly cancel
    return np.asarray(found, dtype=np.float64)


def right(outputs: Moments, *, centred: bool = False) -> Values:
    """Second moment of the postactivations, which the next layer reads.

    Args:
        outputs: Moments of the postactivations `f(W x + c)`, m numbers each.
        centred: Take their mean off.

    Returns:
        (m, m) `E[f f^T]`, or the covariance; symmetric.
    """
    return _symmetric(outputs.covariance if centred else outputs.second)


def joint(outputs: Moments, next_weight: Array, *, centred: bool = False) -> Values:
    """Second moment of the postactivations with the next layer's weights as further data columns.

    The columns `mu W^T` are stacked beside the postactivations F, one sample per column, with `mu = ||F||_2 / ||W^T||_2`, so that
    the largest singular values of both are equal. What is returned is the second moment of the stack, divided by the N of F.

    Args:
        outputs: Moments of the postactivations, m numbers each.
        next_weight: (k, m) weight of the layer that reads them.
        centred: Take the mean of the postactivations off; the weights are left as they are.

    Returns:
        (m, m) `(F F^T + mu^2 W^T W) / N`; symmetric.

    Raises:
        UsageError: Shapes do not fit, entries are not finite, or one of the two is zero everywhere, so that no ratio exists.

    References:
        Amey, Keeley, Choudhury & Kuprov (2021), doi:10.1073/pnas.2016917118.
    """
    w = _real(next_weight, "joint", "next weight")
    w = w / (np.abs(w).max(initial=0.0) or 1.0)  # its scale drops out, and squares of it stay in range
    m = outputs.mean.size
    if w.ndim != 2 or w.shape[1] != m:
        raise UsageError(
            f"joint: expected a next weight (k, {m}) that reads the {m} outputs the moments are of, got {w.shape}; "
            "use the layer that follows, (out, in)."
        )
    data = right(outputs, centred=centred)
    own = w.T @ w
    power, gain = (float(np.linalg.eigvalsh(a)[-1]) for a in (data, own))
    if power <= 0 or gain <= 0:
        zero = f"outputs, {m} numbers in {outputs.count} samples," if power <= 0 else f"next weight {w.shape}"
        raise UsageError(f"joint: expected data and weights that are not zero, but the {zero} vanish; use right or left.")
    return _symmetric(data + power / gain * own)


def _real(array: Array, function: str, name: str) -> Values:
    a = np.asarray(array)
    if a.dtype.kind not in "biufV" or a.dtype.type is np.void:
        raise UsageError(f"{function}: expected a real {name}, got shape {a.shape} of {a.dtype}.")
    found: Values = a.astype(np.float64)
    if bad := found.size - int(np.isfinite(found).sum()):
        raise UsageError(f"{function}: expected a finite {name} of shape {found.shape}, got {bad} non-finite entries.")
    return found


def _symmetric(b: Values) -> Values:
    found: Values = (b + b.T) / 2
    return found
