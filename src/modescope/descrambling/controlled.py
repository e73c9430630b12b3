"""Every control beside a descrambled layer, by name: the same criterion on something else, or why there is no such thing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from modescope.descrambling import controls
from modescope.descrambling.criteria import Solved, Space
from modescope.descrambling.diagnostics import scale
from modescope.descrambling.feeding import Hidden
from modescope.descrambling.turned import Turned, second
from modescope.errors import UsageError
from modescope.laws import haar_frames as haar
from modescope.moments import Moments
from modescope.seeds import generator

NO_DATA = "a diagonal criterion asks for no data, so that there are none to change"


@dataclass(frozen=True, eq=False)
class Compared:
    """What another criterion than smoothness reaches for something that is not the trained network with its data.

    Attributes:
        name: Which control.
        objective: As in `Descrambling.objective`.
        status: What it is, and what it is for.
    """

    name: str
    objective: Mapping[str, float | None]
    status: str


def control(turned: Turned, names: Sequence[str], hidden: Hidden | str, /) -> dict[str, Any]:
    """Controls by name, or the sentences that say why there is none.

    Args:
        turned: The layer.
        names: Some of `NAMES`.
        hidden: Its hidden data, or why there are none to draw again.
    """
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = _bootstrap(turned, hidden) if name == "bootstrap" else MADE[name](turned)
        except UsageError as error:  # data that are zero once they are shuffled, say: the other controls are there
            found[name] = str(error)
    return found


def _untrained(turned: Turned) -> Any:
    if turned.before is None:
        return (
            "the data are the activations of the layers before: pass as untrained the whole network before training, a module, "
            "with inputs that it can be run on"
        )
    _, solved = turned.before
    what = "the weights before training" if turned.untrained is not None else "weights drawn from the uniform distribution"
    data = "" if turned.needs_no_data else " on the same data" if turned.fed is None else " on the activations of then"
    return _compared(turned, "untrained", solved, f"{what}{data}: a gain that they reach says nothing of training")


def _isotropic(turned: Turned) -> Any:
    if turned.needs_no_data:
        return NO_DATA
    if turned.side == "right":
        return "white activations have no order: every rotation of them is as good as any other"
    size = turned.found.weight.shape[1]
    white = Moments(1, np.zeros(size), np.eye(size))
    status = "the same weights on white inputs: " + (
        "principal components are their left singular vectors" if turned.side == "left" else "the weights alone give the order"
    )
    space = _fed(turned, white, with_bias=False)
    return _compared(turned, "isotropic", turned.solve(space), status)


def _shuffled(turned: Turned) -> Any:
    if turned.needs_no_data:
        return NO_DATA
    assert turned.moments is not None
    kept = turned.moments
    alone = Moments(kept.count, kept.mean, np.diag(np.diagonal(kept.scatter)))
    status = "the same weights on inputs without correlations: the difference is what the data bring"
    space = _fed(turned, alone, with_bias=True)
    return _compared(turned, "shuffled", turned.solve(space), status)


def _scrambled(turned: Turned) -> Any:
    if turned.criterion == "permutation":
        return "an order is one of these very neurons: after a rotation of their space there would be others to order"
    if turned.needs_no_data:
        return _diagonal_scrambled(turned)
    assert turned.space.second is not None
    assert turned.space.operator is not None
    return controls.scrambled(turned.space.shown, turned.space.second, turned.space.operator, seed=turned.seed)


def _diagonal_scrambled(turned: Turned) -> controls.Scrambled:
    """The same for a criterion without data; a search may end elsewhere when it starts from another basis."""
    shown = turned.space.shown
    turn = haar.frame(generator(turned.seed, "descrambling", "scramble"), shown.shape[0], shown.shape[0])
    after = turned.solve(replace(turned.space, shown=turn @ shown))
    view, size = after.p @ turn @ shown, max(float(np.abs(turned.view).max()), np.finfo(np.float64).tiny)
    apart = float(np.abs(view - turned.view).max()) / size
    values = [solved.reached["reached"] or 0.0 for solved in (turned.solved, after)]
    change = abs(values[1] - values[0]) / max(abs(values[0]), np.finfo(np.float64).tiny)
    status = (
        "ok" if apart <= controls.SAME else f"the view moves by {apart:.1g} of its largest entry: another basis leads elsewhere"
    )
    modes = float(np.abs(np.abs(view) - np.abs(turned.view)).max()) / size
    return controls.Scrambled(change, modes, apart, int(np.linalg.matrix_rank(shown)), status)


def _bootstrap(turned: Turned, hidden: Hidden | str) -> Any:
    if turned.needs_no_data:
        return NO_DATA
    if turned.side == "joint":
        return "weights count as data here, and are no sample of anything: the side right says how well the data are known"
    return hidden if isinstance(hidden, str) else hidden.stability(centred=turned.centred, seed=turned.seed)


def _fed(turned: Turned, moments: Moments, *, with_bias: bool) -> Space:
    weight, bias = turned.found.weight, turned.found.bias if with_bias else None
    return turned.other(weight, second(turned.side, weight, bias, moments, centred=turned.centred))


def _compared(turned: Turned, name: str, solved: Solved, status: str) -> Any:
    if turned.criterion == "smoothness":
        assert solved.rotation is not None
        return controls.Control(name, scale(solved.rotation), solved.rotation, status)
    return Compared(name, solved.reached, status)


MADE: Mapping[str, Callable[[Turned], Any]] = MappingProxyType(
    {"untrained": _untrained, "isotropic": _isotropic, "shuffled": _shuffled, "scrambled": _scrambled}
)
NAMES = (*MADE, "bootstrap")
