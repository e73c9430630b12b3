"""Everything that is read off a descrambled layer, by name: each with its null, or the sentence that says why there is none."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from modescope.descrambling.diagnostics import judged, predicted_ridge
from modescope.descrambling.families import standard
from modescope.descrambling.filters import read_baseline, read_filter
from modescope.descrambling.fits import LEVEL, read_modes
from modescope.descrambling.fourier import concentration, ridge
from modescope.descrambling.random_modes import random_modes
from modescope.descrambling.spectrograms import Spectrogram, column_gram, row_gram, spectrograms
from modescope.descrambling.turned import Turned
from modescope.errors import UsageError
from modescope.svd import Values

WORK = 4e11  # multiply-adds of a null, some minute of one core
LEADING = 5  # modes that curves are fitted to, and that have a spectrogram
ENOUGH = math.ceil(1 / LEVEL) - 1  # draws with which one p-value can reach the level
UNKNOWN = "random directions stand for the null, which knows nothing of what the data do to random weights"
LEAST: Mapping[str, int] = MappingProxyType(
    {
        "fourier": ENOUGH,
        "modes": math.ceil(len(standard()) / LEVEL) - 1,  # it is multiplied by the number of families
        "filter": ENOUGH,
        "baseline": ENOUGH,
        "spectrogram": 1,
        "gram": 1,
        "pairing": 1,
    }
)
"""Readings, each with the draws that its null asks for."""


@dataclass(frozen=True, eq=False)
class Gram:
    """What the rows, and what the columns, of a weight have in common.

    Attributes:
        outputs: (m, m) `W W^T`: how much its outputs share.
        inputs: (n, n) `W^T W`: how much its inputs are treated alike.
        turned: (d, d) the one of the two that descrambling turns, in the new basis; the other is what it was.
        status: A sentence.
    """

    outputs: Values
    inputs: Values
    turned: Values
    status: str


@dataclass(frozen=True, eq=False)
class Pairing:
    """Which component of the hidden data lies on which mode of the operator, `M_ij = (v_i^T P u_j)^2`.

    Rows and columns sum to 1, and the objective is `sum_ij a_i b_j M_ij`.

    Attributes:
        identity: (d, d) in the basis that the network has.
        reached: (d, d) in the one that is shown.
        diagonal: Mean of the diagonal of `reached`: 1 for the smoothest rotation, 1 / d on average for a random one.
        identity_diagonal: The same in the network's own basis.
        status: A sentence.
    """

    identity: Values
    reached: Values
    diagonal: float
    identity_diagonal: float
    status: str


def read(turned: Turned, names: Sequence[str], /) -> dict[str, Any]:
    """Readings by name, or the sentences that say why there is none.

    Args:
        turned: The layer.
        names: Some of `LEAST`.
    """
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = MADE[name](turned)
        except UsageError as error:  # too few inputs for a reading: the others are there
            found[name] = str(error)
    return found


def _dear(name: str, turned: Turned, shape: tuple[int, ...], what: str) -> str:
    """Why a null takes too long, and what to do; empty where it does not."""
    rows, columns = shape
    each = min(rows, columns) ** 2 * (rows + columns)
    if turned.draws * each <= WORK:
        return ""
    most = int(WORK / each)
    remedy = f"ask for {most} draws or fewer" if most >= LEAST[name] else "take a part of the layer"
    return f"its null takes {turned.draws} random {what} of {rows} x {columns}, minutes of work; {remedy}"


def _fourier(turned: Turned) -> Any:
    before = turned.before
    untrained = None if before is None else before[1].p @ before[0].shown
    share: Any = _dear("fourier", turned, turned.space.shown.shape, "rotations of a weight")
    share = share or concentration(turned.space.shown, turned.view, untrained=untrained, draws=turned.draws, seed=turned.seed)
    operator, rotation = turned.space.operator, turned.solved.rotation
    if operator is None or rotation is None:
        return share, "a ridge lies along the modes of an operator, which a diagonal criterion has none of"
    found = ridge(turned.modes, operator.modes)
    if turned.criterion != "smoothness":
        return share, found, "the curve that sorted gains predict is that of the smoothest rotation, not of an order of the neurons"
    if turned.side != "left":
        said = "the curve that sorted gains predict is that of the inputs of a layer, for the side left; here data sort the modes"
        return share, found, said
    assert turned.moments is not None
    entered = turned.moments.covariance if turned.centred else turned.moments.second
    return share, found, predicted_ridge(turned.found.weight, entered, rotation)


def _modes(turned: Turned) -> Any:
    modes = _leading(turned)
    if turned.criterion != "smoothness" or turned.side != "left":
        found = read_modes(modes, axis=turned.axis, draws=turned.draws, seed=turned.seed)
        return found if turned.side != "joint" else tuple(replace(one, status=f"{one.status}; {UNKNOWN}") for one in found)
    assert turned.moments is not None
    if dear := _dear("modes", turned, turned.found.weight.shape, "weights"):
        raise UsageError(f"{dear}, or fit the right singular vectors of the weight by fits.read_modes, whose null asks for no data")
    beside = random_modes(
        turned.found.weight,
        turned.moments,
        count=modes.shape[0],
        bias=turned.found.bias,
        centred=turned.centred,
        draws=turned.draws,
        seed=turned.seed,
    )
    return read_modes(modes, axis=turned.axis, random=beside, seed=turned.seed)


def _leading(turned: Turned) -> Values:
    """Rows of `V^T P W` for the smoothest rotation; otherwise singular vectors, which no basis of the hidden space changes."""
    if turned.criterion == "smoothness":
        return turned.modes[: min(LEADING, *turned.modes.shape)]
    _, s, vh = np.linalg.svd(turned.space.shown, full_matrices=False)
    found: Values = s[:LEADING, None] * vh[:LEADING]
    return found


def _filter(turned: Turned) -> Any:
    if turned.side != "left":
        return "a layer filters what goes into it: ask for the side left, or for the layer that reads these outputs"
    return read_filter(turned.found.weight, axis=turned.axis, untrained=turned.initial()[0], draws=turned.draws, seed=turned.seed)


def _baseline(turned: Turned) -> Any:
    if turned.side != "left":
        return "a baseline is removed from what goes into a layer: ask for the side left, or for the layer that reads these outputs"
    return read_baseline(turned.found.weight, untrained=turned.initial()[0], draws=turned.draws, seed=turned.seed)


def _spectrogram(turned: Turned) -> Spectrogram:
    found = spectrograms(_leading(turned), axis=turned.axis)
    return found if turned.axis.quantity != "output" else replace(found, unit=found.unit.replace("per input", "per output"))


def _gram(turned: Turned) -> Gram:
    weight = turned.found.weight
    kept = "Wᵀ W" if turned.side == "left" else "W Wᵀ"
    status = f"{kept} is the same before and after: no basis of the hidden space changes it"
    return Gram(row_gram(weight), column_gram(weight), row_gram(turned.view), status)


def _pairing(turned: Turned) -> Pairing | str:
    rotation = turned.solved.rotation
    if rotation is None:
        return "a diagonal criterion asks for no hidden data, whose components could be paired"
    d = rotation.b.size
    own, reached = (judged(p, rotation).pairing for p in (np.eye(d), turned.solved.p))
    shares = [float(np.trace(pairing)) / d for pairing in (own, reached)]
    status = (
        f"{shares[1]:.2f} of the components lie on the mode of their rank, {shares[0]:.2f} in the network's own basis and "
        f"{1 / d:.2g} on average in a random one"
    )
    return Pairing(own, reached, shares[1], shares[0], status)


MADE: Mapping[str, Callable[[Turned], Any]] = MappingProxyType(
    {
        "fourier": _fourier,
        "modes": _modes,
        "filter": _filter,
        "baseline": _baseline,
        "spectrogram": _spectrogram,
        "gram": _gram,
        "pairing": _pairing,
    }
)
