"""Descrambling: the rotation or permutation of a hidden space that makes its signals, and with them the weights, readable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modescope import measuring
from modescope.descrambling import controls as controlling
from modescope.descrambling.axis import InputAxis, parsed
from modescope.descrambling.closed_form import Rotation, objective, smoothest
from modescope.descrambling.diagnostics import cautions, judged, mean_dominance, scale
from modescope.descrambling.diagonal import max_diag_normsq, max_diag_sum
from modescope.descrambling.filters import read_baseline, read_filter
from modescope.descrambling.fits import read_modes
from modescope.descrambling.fourier import concentration, ridge
from modescope.descrambling.operators import OPERATORS, Smoothness, of_matrix
from modescope.descrambling.permutations import smoothest_order
from modescope.descrambling.result import Descrambling
from modescope.descrambling.source import Given, data, given
from modescope.descrambling.wiretaps import joint, left, right
from modescope.errors import UsageError
from modescope.moments import Moments
from modescope.svd import Values

SIDES = ("left", "right", "joint")
CRITERIA = ("smoothness", "permutation", "diagonal_sum", "diagonal_normsq")
READINGS = ("fourier", "modes", "filter", "baseline")
CONTROLS = ("untrained", "isotropic", "shuffled", "scrambled")
LEADING = 5  # input modes that curves are fitted to
DRAWS = 199
NO_NETWORK = "P W is a view of the weights: a rotation does not commute with the activation, so no network has these weights."


@dataclass(frozen=True, eq=False)
class _Space:
    """The hidden space that is turned.

    Attributes:
        shown: (d, k) the weight with its rows in that space: W, or its transpose.
        second: (d, d) second moment of the hidden data.
        operator: Smoothness along its index.
    """

    shown: Values
    second: Values
    operator: Smoothness


def descramble(
    source: Any,
    /,
    *,
    layer: str | None = None,
    inputs: Any = None,
    moments: Moments | None = None,
    bias: Any = True,
    side: str = "left",
    criterion: str = "smoothness",
    difference: str | Smoothness | Values = "forward",
    centred: bool = False,
    axis: str | InputAxis | None = None,
    readings: str | Sequence[str] = READINGS,
    controls: str | Sequence[str] = CONTROLS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Descrambling:
    """Turn the hidden space of one layer so that its signals are smooth along the neuron index, and look at the weights there.

    The smoothest rotation is known in closed form: the i-th largest principal component of the hidden data goes to the i-th
    smoothest mode of the difference operator. What the picture shows along the hidden axis is therefore imposed by the criterion;
    what the network learnt is in the spectrum and in the input side of `V^T P W`, to be read beside the controls.

    Args:
        source: A weight (m, n), a path, an `nn.Module`, a mapping from names to arrays, or an opened `Checkpoint`.
        layer: Name of a module or tensor; not for an array.
        inputs: Of the network where `source` is a module (a tensor, batches, a DataLoader); otherwise of the layer: (N, n), one
            sample per row, or an iterable of such.
        moments: Of the inputs of the layer, in place of these.
        bias: True for the bias beside the weight, False for none, or (m,) numbers. Only the side "left" asks.
        side: "left" turns the outputs of the layer, its preactivations; "right" its inputs, which are what the activation before
            made; "joint" its inputs by both, these and its own weights.
        criterion: "smoothness", "permutation" (the smoothest order of the neurons), "diagonal_sum" or "diagonal_normsq" of a
            square weight, which ask for no data.
        difference: How smoothness is measured: a key of `operators.OPERATORS`, a `Smoothness`, or the matrix D.
        centred: Take the mean of the hidden data off.
        axis: What the input index means, as "0:0.008:us".
        readings: Some of "fourier", "modes", "filter", "baseline".
        controls: Some of "untrained", "isotropic", "shuffled", "scrambled"; of the left side and the smoothness criterion.
        draws: Of the nulls that readings stand beside.
        seed: Of all draws.

    Returns:
        `Descrambling`.

    Raises:
        UsageError: A layer, option or array that does not exist or fit: the message says which, its shape, and what to do.
        UnreadableError: The source cannot be opened.
        UnsafeError: Opening it would run code.

    References:
        Amey, Keeley, Choudhury & Kuprov (2021), doi:10.1073/pnas.2016917118; Sule, Spencer & Czaja (2025),
        doi:10.1016/j.acha.2025.101793, for the closed form.
    """
    readings, controls = _several("readings", readings, READINGS), _several("controls", controls, CONTROLS)
    for word, value, known in (("side", side, SIDES), ("criterion", criterion, CRITERIA)):
        if value not in known:
            raise UsageError(f"{word}: expected one of {', '.join(known)}, got {value!r}.")
    if draws < 1 or seed < 0:
        raise UsageError(f"draws, seed: expected draws of 1 or more and a seed of 0 or more, got {draws} and {seed}.")
    found = given(source, layer, bias)
    known_moments = data(source, found, inputs, moments)
    along = _axis(axis, found.weight.shape[1])
    options: dict[str, Any] = {
        "side": side,
        "criterion": criterion,
        "difference": difference if isinstance(difference, str) else "own",
        "centred": centred,
        "bias": found.bias is not None,
        "axis": None if axis is None else str(axis),
        "readings": list(readings),
        "controls": list(controls),
        "draws": draws,
        "seed": seed,
    }
    if criterion.startswith("diagonal"):
        return _diagonal(found, side, criterion, along, options, seed)
    space = _space(found, known_moments, side, difference, centred=centred)
    rotation = smoothest(space.second, space.operator, weight=space.shown)
    p, said, reached = _solved(criterion, space, rotation, seed)
    view = p @ space.shown
    modes = space.operator.modes.T @ view
    on_left = side == "left"
    assert known_moments is not None
    dominance = None if centred else mean_dominance(space.second, _mean(found, known_moments, side))
    return Descrambling(
        layer=found.name,
        side=side,
        criterion=criterion,
        difference=space.operator.name,
        centred=centred,
        samples=known_moments.count,
        weight=found.weight,
        p=p,
        view=view if on_left else view.T,
        modes=modes if on_left else modes.T,
        a=space.operator.a,
        b=rotation.b,
        s=_values(found.weight),
        rank=rotation.rank,
        ties=(space.operator.ties, rotation.ties),
        objective=reached,
        axis=along,
        readings=_readings(readings, found, view, modes, space, along, draws, seed) if on_left else {},
        controls=_controls(controls, found, known_moments, space, centred, seed) if on_left and criterion == "smoothness" else {},
        cautions=(
            *([NO_NETWORK] if criterion == "smoothness" else []),
            *said,
            *cautions(rotation, samples=known_moments.count, dominance=dominance),
        ),
        source=found.source,
        options=options,
        meta=measuring.versions(),
    )


def _values(weight: Values) -> Values:
    found: Values = np.linalg.svd(weight, compute_uv=False).astype(np.float64)
    return found


def _several(word: str, given: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    found = (given,) if isinstance(given, str) else tuple(given)
    for name in found:
        if name not in known:
            raise UsageError(f"{word}: expected some of {', '.join(known)}, got {name!r}.")
    return found


def _axis(axis: str | InputAxis | None, size: int) -> InputAxis | None:
    if isinstance(axis, str):
        return parsed(axis, size)
    if axis is not None and axis.size != size:
        raise UsageError(f"axis: expected {size} points, one per input, got {axis.size}.")
    return axis


def _space(found: Given, moments: Moments | None, side: str, difference: Any, *, centred: bool) -> _Space:
    if moments is None:
        raise UsageError(
            f"{found.name}: expected inputs (N, {found.weight.shape[1]}) or their moments, which the criterion asks for, got none. "
            "The criteria diagonal_sum and diagonal_normsq of a square weight ask for no data."
        )
    on_left = side == "left"
    shown = found.weight if on_left else np.ascontiguousarray(found.weight.T)
    if on_left:
        second = left(found.weight, moments, found.bias, centred=centred)
    elif side == "right":
        second = right(moments, centred=centred)
    else:
        second = joint(moments, found.weight, centred=centred)
    return _Space(shown, second, _operator(difference, shown.shape[0]))


def _operator(difference: Any, size: int) -> Smoothness:
    if isinstance(difference, Smoothness):
        return difference
    if isinstance(difference, str):
        if difference not in OPERATORS:
            raise UsageError(f"difference: expected one of {', '.join(OPERATORS)}, a Smoothness or a matrix D, got {difference!r}.")
        return OPERATORS[difference](size)
    return of_matrix(difference)


def _solved(
    criterion: str, space: _Space, rotation: Rotation, seed: int
) -> tuple[Values, tuple[str, ...], Mapping[str, float | None]]:
    """P, what must be said of it, and the criterion: where it stands between the least and the largest value."""
    line = scale(rotation)
    reached: dict[str, float | None] = {
        "identity": line.identity,
        "optimal": line.optimal,
        "maximal": line.maximal,
        "random_mean": line.random_mean,
        "random_std": line.random_std,
        "z_identity": line.z_identity,
    }
    if criterion == "smoothness":
        own = judged(rotation.p, rotation)
        return rotation.p, (), reached | {"reached": own.objective, "score": own.score}
    order = smoothest_order(space.second, space.operator, seed=seed)
    p = order.p
    mean = order.random_mean
    score = (mean - order.value) / (mean - order.bound) if mean > order.bound else None
    value = objective(p, space.second, space.operator)
    gap = "" if order.exact or order.gap is None else f", at most {order.gap:.2%} above the smoothest there is"
    said = f"A permutation of the neurons, {order.status}{gap}. The network in this order is the same function."
    return p, (said,), reached | {"reached": value, "score": score, "random_mean": mean, "bound": order.bound}


def _mean(found: Given, moments: Moments, side: str) -> Values:
    if side != "left":
        return moments.mean
    return found.weight @ moments.mean + (0.0 if found.bias is None else found.bias)


def _diagonal(found: Given, side: str, criterion: str, axis: InputAxis | None, options: dict[str, Any], seed: int) -> Descrambling:
    if side == "joint":
        raise UsageError("side: expected left or right for a diagonal criterion, which asks for no data, got 'joint'.")
    shown = found.weight if side == "left" else np.ascontiguousarray(found.weight.T)
    solved = max_diag_sum(shown) if criterion == "diagonal_sum" else max_diag_normsq(shown, seed=seed)
    view = solved.p @ shown
    view = view if side == "left" else view.T
    reached = {"identity": solved.identity, "optimal": None, "maximal": solved.bound, "reached": solved.value, "score": None}
    imposed = "P W is symmetric and positive for any weight: that it looks diagonal says nothing of the network."
    said = ([imposed] if criterion == "diagonal_sum" else []) + ([f"{solved.status}."] if solved.status != "ok" else [])
    return Descrambling(
        layer=found.name,
        side=side,
        criterion=criterion,
        difference="",
        centred=False,
        samples=0,
        weight=found.weight,
        p=solved.p,
        view=view,
        modes=view,
        a=np.empty(0),
        b=np.empty(0),
        s=_values(found.weight),
        rank=int(np.linalg.matrix_rank(found.weight)),
        ties=((), ()),
        objective=reached,
        axis=axis,
        cautions=(NO_NETWORK, *said),
        source=found.source,
        options=options,
        meta=measuring.versions(),
    )


def _readings(
    names: Sequence[str], found: Given, view: Values, modes: Values, space: _Space, axis: InputAxis | None, draws: int, seed: int
) -> dict[str, Any]:
    """Each reading, or the sentence that says why there is none."""
    rows = modes[: min(LEADING, *modes.shape)]
    control = controlling.uniform(np.random.default_rng(seed), *found.weight.shape)
    made: dict[str, Callable[[], Any]] = {
        "fourier": lambda: (concentration(found.weight, view, draws=draws, seed=seed), ridge(modes, space.operator.modes)),
        "modes": lambda: read_modes(rows, axis=axis, draws=draws, seed=seed),
        "filter": lambda: read_filter(found.weight, axis=axis, untrained=control, draws=draws, seed=seed),
        "baseline": lambda: read_baseline(found.weight, untrained=control, draws=draws, seed=seed),
    }
    readings: dict[str, Any] = {}
    for name in names:
        try:
            readings[name] = made[name]()
        except UsageError as error:  # too few inputs for a reading: the others are there
            readings[name] = str(error)
    return readings


def _controls(names: Sequence[str], found: Given, moments: Moments, space: _Space, centred: bool, seed: int) -> dict[str, Any]:
    """The criterion for what is not the trained network with its data; the scramble must leave the result as it is."""
    made: dict[str, Callable[[], Any]] = {
        "untrained": lambda: controlling.untrained(found.weight, moments, space.operator, centred=centred, seed=seed),
        "isotropic": lambda: controlling.isotropic(found.weight, space.operator),
        "shuffled": lambda: controlling.shuffled(found.weight, moments, space.operator, bias=found.bias, centred=centred),
        "scrambled": lambda: controlling.scrambled(found.weight, space.second, space.operator, seed=seed),
    }
    return {name: made[name]() for name in names}
