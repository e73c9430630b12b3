"""Gauges: what the rows and the input channels of each weight are multiplied by before it is decomposed.

The graph is no function of what a network computes. A normalisation stands beside a weight as a diagonal factor that belongs to
it as much as to the weight, and a network with positively homogeneous activations computes the same after channel `c` of a layer
is multiplied by `t_c > 0` and what reads it by `1 / t_c`. A gauge fixes these factors:

- `raw`: the weights as stored.
- `folded`: the gains of normalisations are multiplied in, with their signs.
- `unit_rows`: folded, then `t_c` is one over the norm of the weights that lead into `c`.
- `balanced`: folded, then the weights that lead into `c` and those that lead out of it have equal norms, for all channels at once.
  This is the gauge of least sum of squares, the one that weight decay favours (Stock et al. 2019, arXiv:1902.10416).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from modescope.errors import MatrixError, UsageError
from modescope.matrix import Array, Blocks, Convolution, Operand, Product
from modescope.spectral_graph.wiring import Gains, Layer, Link, Norm, Rows, Wiring
from modescope.svd import Values

LINEAR = frozenset({
    *("identity", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"),
    *("flatten", "unflatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "clone", "to"),
    *("mean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
})  # fmt: skip
"""Operations, by the names that wirings use, that are linear and treat all channels alike."""

HOMOGENEOUS = LINEAR | {
    *("relu", "leaky_relu", "rrelu", "prelu", "amax", "max_pool1d", "max_pool2d", "max_pool3d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
}  # fmt: skip
"""Operations that commute with multiplying a channel by a positive number."""

PER_CHANNEL = frozenset({"batch_norm", "gain"})
"""Normalisations that treat each channel by itself, so that a wiring can fold them."""

SHARED = frozenset({"residual", "product", "attention"})  # relations by which a channel is more than what its writer wrote
SWEEPS = 200  # over all layers, until a network is balanced; some twenty are usual
LEVELS = 20  # sweeps per layer over the common factors of the layers
BALANCED = 1e-13  # largest relative difference of two norms that needs no further sweep


@dataclass(frozen=True, eq=False)
class Step:
    """One linear step on channels: `x -> gains * (x - mean) + shift`.

    Attributes:
        gains: (channels,) what each channel is multiplied by.
        shift: (channels,) what is added, or None.
        mean: (channels,) which mean is subtracted from each channel: those with one number share it. None: none is.
    """

    gains: Values
    shift: Values | None = None
    mean: Rows | None = None


@dataclass(frozen=True, eq=False)
class Scaling:
    """What a gauge does to one layer: the matrices of the steps behind it, the weight, and those of the steps in front of it.

    Attributes:
        behind: Steps on the rows, and on the bias, in the order in which they act.
        before: Steps on the input channels, in the order in which they act; what they add is left out.
        notes: Sentences about the layer in this gauge.
        failure: Why the gauge cannot be had for this layer; empty where it can.
    """

    behind: tuple[Step, ...] = ()
    before: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    failure: str = ""


Scalings = Mapping[str, Scaling]


def in_gauge(wiring: Wiring, gauge: str, /, *, activation: str | None = None) -> Wiring:
    """The same wiring with every weight and bias as the gauge has them; normalisations that were folded are gone.

    Weights are read and multiplied when a layer is decomposed. Options and errors are those of `scalings`; a layer whose
    normalisations cannot be used raises `MatrixError` when it is read.
    """
    found = scalings(wiring, gauge, activation=activation)
    return replace(wiring, layers=tuple(_seen(layer, found[layer.name]) for layer in wiring.layers))


def scalings(wiring: Wiring, gauge: str, /, *, activation: str | None = None) -> Scalings:
    """What a gauge multiplies each layer by.

    Reads the normalisations; `unit_rows` and `balanced` also read the weights, one layer at a time, and keep only norms. They
    assume that a layer which others read is no output of the network besides.

    Args:
        wiring: The layers and what lies between them.
        gauge: A key of `GAUGES`.
        activation: The activation between all layers, where the wiring does not know it; only `unit_rows` and `balanced` ask.

    Returns:
        A scaling per name of a layer. A layer whose normalisations cannot be used has its `failure` there, and costs itself only.

    Raises:
        UsageError: No such gauge; or the network has no such freedom: the line names two layers and what lies between them.
    """
    if gauge not in GAUGES:
        raise UsageError(f"graph: expected a gauge among {', '.join(map(repr, GAUGES))}, got {gauge!r}.")
    return MappingProxyType(dict(GAUGES[gauge](wiring, activation)))


def scaled(layer: Layer, operand: Operand, scaling: Scaling, /) -> Operand:
    """Multiply the matrix of a layer as its scaling says; products and blocks are multiplied by their parts, never formed.

    Args:
        layer: Whose matrix it is.
        operand: What `layer.matrix.read` gave.
        scaling: The layer's own.

    Returns:
        The operand itself where nothing is to be done, otherwise a new one in float64.

    Raises:
        MatrixError: The gauge cannot be had for this layer, or the operand is a convolution on a grid.
    """
    if scaling.failure:
        raise MatrixError(scaling.failure)
    if isinstance(operand, Convolution):
        raise MatrixError(f"{layer.name}: a convolution on a grid has no channels to scale. Ask for its unfolding.")
    if not scaling.behind and not scaling.before:
        return operand
    with np.errstate(invalid="ignore", over="ignore"):  # entries that are not finite are told where the matrix is decomposed
        match operand:
            case Product(left, right, scale):
                own = right.astype(np.float64, order="C")
                return Product(_by_rows(left, scaling), _by_channels(own, layer.taps, scaling), scale)
            case Blocks(blocks):
                return Blocks(_of_blocks(layer, blocks, scaling))
            case _:
                return _by_channels(_by_rows(operand, scaling), layer.taps, scaling)


def scaled_bias(layer: Layer, scaling: Scaling, /) -> Values | None:
    """The bias of a layer in a gauge: with folded batch norms `(b - mean) gamma / sqrt(var + eps) + beta`.

    What normalisations before the layer add is not part of it.

    Returns:
        (out,), or None where there is neither a bias nor anything added to one.

    Raises:
        MatrixError: The gauge cannot be had for this layer, or the bias has another length or entries that are not finite.
    """
    if scaling.failure:
        raise MatrixError(scaling.failure)
    if layer.bias is None and not any(step.shift is not None for step in scaling.behind):
        return None
    bias = np.zeros(layer.out) if layer.bias is None else np.asarray(layer.bias(), dtype=np.float64)
    if bias.shape != (layer.out,):
        raise MatrixError(f"{layer.name}: expected a bias of shape ({layer.out},), read {bias.shape}.")
    if not np.isfinite(bias).all():
        raise MatrixError(
            f"{layer.name}: {np.count_nonzero(~np.isfinite(bias))} of {bias.size} entries of the bias are not finite."
        )
    for step in scaling.behind:
        bias = _centred(bias[:, None].copy(), step.mean)[:, 0] * step.gains
        if step.shift is not None:
            bias += step.shift
    return bias


def raw(wiring: Wiring, _activation: str | None = None, /) -> Scalings:
    """Nothing is multiplied."""
    return {layer.name: Scaling() for layer in wiring.layers}


def folded(wiring: Wiring, _activation: str | None = None, /) -> Scalings:
    """The normalisations beside each layer: gains after it scale its rows, gains before it its input channels."""
    return {layer.name: fold(layer) for layer in wiring.layers}


def unit_rows(wiring: Wiring, activation: str | None = None, /) -> Scalings:
    """Every row that others read has norm one; rows of zeros stay. Layers in order, as each changes the rows of the next."""
    free = _Freedom(wiring, activation)
    for name in free.writers:
        incoming = free.incoming(name)
        free.multiply(name, np.where(_is_norm(incoming), incoming, 1.0) ** -0.5)
    return free.scalings()


def balanced(wiring: Wiring, activation: str | None = None, /) -> Scalings:
    """Into and out of every channel lead weights of equal norm; channels that nothing enters or leaves stay.

    Setting one layer right disturbs its neighbours, so that sweeps over all layers follow each other; each lowers the sum of
    squares, which is convex in the logarithms of the factors. A common factor per layer travels slowest and is solved for apart.
    """
    free = _Freedom(wiring, activation)
    for _ in range(SWEEPS):
        free.level()
        if max((free.balance(name) for name in (*free.writers, *reversed(free.writers[:-1]))), default=0.0) <= BALANCED:
            return free.scalings()
    return free.scalings(f"channels are not balanced to {BALANCED:g} after {SWEEPS} sweeps")


GAUGES: Mapping[str, Callable[[Wiring, str | None], Scalings]] = MappingProxyType(
    {"raw": raw, "folded": folded, "unit_rows": unit_rows, "balanced": balanced}
)
"""Every gauge by its name."""


def fold(layer: Layer, /) -> Scaling:
    """The normalisations beside one layer.

    With `x -> gain * (x - mean(x)) + shift` before it, `W` becomes `W diag(gain) (I - 1 1^T / N)`; several act in their order.
    The factor by which a layer norm divides depends on the input and is left out.
    """
    try:
        notes = list[str]()
        behind = tuple(_step(layer, norm, layer.out, notes) for norm in layer.after)
        before = tuple(_step(layer, norm, layer.channels, notes) for norm in layer.before)
    except MatrixError as error:
        return Scaling(failure=str(error))
    return Scaling(behind, before, tuple(notes))


def _seen(layer: Layer, scaling: Scaling) -> Layer:
    if not scaling.behind and not scaling.before and not scaling.failure:
        return layer
    unbiased = layer.bias is None and not any(step.shift is not None for step in scaling.behind)
    return replace(
        layer,
        matrix=replace(layer.matrix, read=partial(_read, layer, scaling)),
        after=(),
        before=(),
        bias=None if unbiased else partial(_read_bias, layer, scaling),
        note="; ".join(filter(None, (layer.note, *scaling.notes))),
    )


def _read(layer: Layer, scaling: Scaling) -> Operand:
    return scaled(layer, layer.matrix.read(), scaling)


def _read_bias(layer: Layer, scaling: Scaling) -> Values:
    bias = scaled_bias(layer, scaling)
    return np.zeros(layer.out) if bias is None else bias


def _step(layer: Layer, norm: Norm, count: int, notes: list[str]) -> Step:
    """A normalisation on the channels of a layer that meet it."""
    gains, at = _gains(layer, norm, count)
    notes += _said(norm, gains)
    mean = _means(norm, at) if norm.centred and layer.groups == 1 else None
    if norm.centred and mean is None:
        why = "the layer has several groups" if layer.groups > 1 else "the layer meets a part of it"
        notes.append(f"the mean that {norm.name} subtracts is not folded: {why}")
    return Step(gains.scale[at], gains.shift[at], mean)


def _gains(layer: Layer, norm: Norm, count: int) -> tuple[Gains, Rows]:
    """Gains of a normalisation that were looked at, and the one that each channel meets."""
    try:
        gains = norm.read()
    except MatrixError as error:
        raise MatrixError(f"{layer.name}: {error}") from error
    if gains.scale.shape != (norm.size,) or gains.shift.shape != (norm.size,):
        raise MatrixError(
            f"{layer.name}: expected {norm.size} gains and shifts of {norm.name}, read {gains.scale.shape} and {gains.shift.shape}."
        )
    at = np.arange(norm.size) if norm.at is None else norm.at
    if at.shape != (count,) or (count and not 0 <= at.min() <= at.max() < norm.size):
        raise MatrixError(f"{layer.name}: {norm.name} has {norm.size} channels, which do not fit the {count} of the layer.")
    bad = np.count_nonzero(~(np.isfinite(gains.scale) & np.isfinite(gains.shift)))
    if bad:
        raise MatrixError(f"{layer.name}: {bad} of {norm.size} gains or shifts of {norm.name} are not finite.")
    return gains, at


def _said(norm: Norm, gains: Gains) -> Iterator[str]:
    if gains.small:
        shown = ", ".join(map(str, gains.small[:8])) + (", ..." if len(gains.small) > 8 else "")
        many = "channels have running variances" if len(gains.small) > 1 else "channel has a running variance"
        yield f"{norm.name}: {len(gains.small)} {many} below eps, which sets the gain there: {shown}"


def _means(norm: Norm, at: Rows) -> Rows | None:
    """Which channels were centred together: the k-th places of all channels of the norm, as in one flattened position."""
    counts = np.bincount(at, minlength=norm.size)
    if counts.min() != counts.max():
        return None
    order = np.argsort(at, kind="stable")
    mean = np.empty(at.size, dtype=np.int64)
    mean[order] = np.tile(np.arange(counts[0]), norm.size)
    return mean


def _by_rows(a: Array, scaling: Scaling) -> Array:
    """Steps on the rows of a copy of `a`."""
    a = a.astype(np.float64, order="C")
    for step in scaling.behind:
        a = _centred(a, step.mean)
        a *= step.gains[:, None]
    return a


def _by_channels(a: Array, taps: int, scaling: Scaling) -> Array:
    """Steps on the last axis of `a`, which is (channel, tap), the one next to the weight first; `a` is written to."""
    x = a.reshape(a.shape[0], -1, taps)
    for step in reversed(scaling.before):
        x *= step.gains[:, None]
        x = _centred(x.swapaxes(0, 1), step.mean).swapaxes(0, 1)  # subtracting a mean is symmetric
    return x.reshape(a.shape)


def _centred(a: Array, mean: Rows | None) -> Array:
    """Subtract from `a`, in place, the means along its first axis that `mean` names."""
    if mean is not None:
        for position in range(int(mean.max()) + 1):
            together = np.flatnonzero(mean == position)
            a[together] -= a[together].mean(axis=0)
    return a


def _of_blocks(layer: Layer, blocks: Array, scaling: Scaling) -> Array:
    x = blocks.astype(np.float64)
    count, out, inn = x.shape
    for step in scaling.behind:
        x *= step.gains.reshape(count, out, 1)
    for step in scaling.before:
        x *= np.repeat(step.gains, layer.taps).reshape(count, 1, inn)
    return x


class _Freedom:
    """The factors of all channels that others read, while they are being chosen."""

    def __init__(self, wiring: Wiring, activation: str | None) -> None:
        _refuse(wiring, activation)
        self.layers = {layer.name: layer for layer in wiring.layers}
        self.base = {layer.name: fold(layer) for layer in wiring.layers}
        self.read_by: dict[str, list[tuple[str, Rows]]] = defaultdict(list)
        self.reads: dict[str, list[tuple[str, Rows]]] = defaultdict(list)
        for link in wiring.links:
            rows = _rows(link, self.layers[link.source], self.layers[link.target])
            self.read_by[link.source].append((link.target, rows))
            self.reads[link.target].append((link.source, rows))
        self.writers = [layer.name for layer in wiring.layers if layer.name in self.read_by]
        self.factors = {name: np.ones(self.layers[name].out) for name in self.writers}

    def multiply(self, name: str, factors: Values) -> None:
        """Multiply the channels that a layer writes."""
        self.factors[name] = self.factors[name] * factors

    def scaling(self, name: str) -> Scaling:
        """The folded scaling times the factors as they are now."""
        found = self.base[name]
        if name in self.factors:
            found = replace(found, behind=(*found.behind, Step(self.factors[name])))
        if self.reads[name]:
            gains = np.ones(self.layers[name].channels)
            for source, rows in self.reads[name]:
                met = rows >= 0
                gains[met] /= self.factors[source][rows[met]]
            found = replace(found, before=(Step(gains), *found.before))
        return found

    def scalings(self, note: str = "") -> Scalings:
        """Those of all layers."""
        found = {name: self.scaling(name) for name in self.layers}
        return {name: replace(one, notes=(*one.notes, note)) for name, one in found.items()} if note else found

    def incoming(self, name: str) -> Values:
        """(out,) squared norms of the weights into each channel."""
        return self._squares(name)[0]

    def outgoing(self, name: str) -> Values:
        """(out,) squared norms of the weights out of each channel, over all readers, taps and flattened positions."""
        total = np.zeros(self.layers[name].out)
        for target, rows in self.read_by[name]:
            met = rows >= 0
            np.add.at(total, rows[met], self._squares(target)[1][met])
        return total

    def balance(self, name: str) -> float:
        """Make the norms of one layer equal; returns the largest relative difference there was."""
        incoming, outgoing = self.incoming(name), self.outgoing(name)
        alive = _is_norm(incoming) & _is_norm(outgoing)
        ratio = np.where(alive, outgoing, 1.0) / np.where(alive, incoming, 1.0)
        self.multiply(name, ratio**0.25)
        return float(np.abs(np.log(ratio)).max(initial=0.0)) / 2

    def level(self) -> None:
        """Find the factor per layer that makes the sum of squares least, all channels of a layer sharing it."""
        place = {name: i for i, name in enumerate(self.writers)}
        into = [list[tuple[int, float]]() for _ in place]  # squared norms by the factor that their columns are divided by; -1: none
        out = [list[tuple[int, float]]() for _ in place]  # by the factor that their rows are multiplied by
        for name in self.layers:
            rows, channels = self._squares(name)
            at, rest = place.get(name, -1), float(rows.sum())
            for source, met in self.reads[name]:
                part = float(channels[met >= 0].sum())
                out[place[source]].append((at, part))
                rest -= part
                if at >= 0:
                    into[at].append((place[source], part))
            if at >= 0:
                into[at].append((-1, max(rest, 0.0)))
        factors = np.ones(len(place) + 1)  # squared; the last one stays
        for _ in range(LEVELS * len(place)):
            before = factors.copy()
            for i in range(len(place)):
                above = sum(part * factors[at] for at, part in out[i])
                below = sum(part / factors[at] for at, part in into[i])
                if 0 < below < np.inf and 0 < above < np.inf:
                    factors[i] = np.sqrt(above / below)
            if np.allclose(factors, before, rtol=BALANCED, atol=0):
                break
        for name, i in place.items():
            self.multiply(name, np.full(self.layers[name].out, np.sqrt(factors[i])))

    def _squares(self, name: str) -> tuple[Values, Values]:
        """Squared norms of the rows (out,) and of the input channels (channels,) of a layer; zeros where it cannot be had."""
        layer = self.layers[name]
        try:
            operand = scaled(layer, layer.matrix.read(), self.scaling(name))
        except MatrixError:
            return np.zeros(layer.out), np.zeros(layer.channels)
        match operand:
            case Product():
                left, right = (np.asarray(x, dtype=np.float64) for x in (operand.left, operand.right))
                rows = operand.scale**2 * ((left @ (right @ right.T)) * left).sum(axis=1)
                columns = operand.scale**2 * ((left.T @ left @ right) * right).sum(axis=0)
            case Blocks():
                square = operand.blocks.astype(np.float64) ** 2
                rows, columns = square.sum(axis=2).ravel(), square.sum(axis=1).ravel()
            case _:
                square = np.asarray(operand, dtype=np.float64) ** 2
                rows, columns = square.sum(axis=1), square.sum(axis=0)
        return rows, columns.reshape(layer.channels, layer.taps).sum(axis=1)


def _is_norm(squares: Values) -> NDArray[np.bool_]:
    """Which squared norms can be divided by: not those of dead channels, nor of weights that are not finite."""
    return np.isfinite(squares) & (squares > 0)


def _rows(link: Link, writer: Layer, reader: Layer) -> Rows:
    rows = np.arange(writer.out) if link.rows is None else link.rows
    if rows.shape != (reader.channels,) or rows.max(initial=-1) >= writer.out:
        raise UsageError(
            f"graph: {writer.name!r} writes {writer.out} channels, which do not fit the {reader.channels} of {reader.name!r}."
        )
    return rows


def _refuse(wiring: Wiring, activation: str | None) -> None:
    """Raise where multiplying a channel and dividing what reads it may change what the network computes."""
    if activation is not None and _plain(activation) not in HOMOGENEOUS:
        raise UsageError(f"graph: this gauge needs a positively homogeneous activation such as 'relu', got {activation!r}.")
    layers = {layer.name: layer for layer in wiring.layers}
    sources = {link.source for link in wiring.links}
    for gap in wiring.gaps:
        if not gap.source or gap.source in sources:
            between = f"{gap.source or 'something'!r} and {gap.target or 'something'!r}"
            raise UsageError(
                f"graph: this gauge needs to know all that reads a layer; between {between} it does not: {gap.reason}."
            )
    met: dict[str, Values] = {}
    for link in wiring.links:
        between = f"{link.source!r} and {link.target!r}"
        why = _obstacle(link, layers[link.source], layers[link.target])
        if not why and activation is None and wiring.how != "traced":
            why = "an activation that the wiring does not know; pass activation='relu' if it is one"
        rows = _rows(link, layers[link.source], layers[link.target])
        already = met.setdefault(link.target, np.zeros(rows.size, dtype=np.int64))
        already += rows >= 0
        if not why and already.max(initial=0) > 1:
            why = "channels that several layers write, which would have to share one scale"
        if why:
            raise UsageError(f"graph: this gauge multiplies channels by positive numbers, but between {between} stands {why}.")


def _obstacle(link: Link, writer: Layer, reader: Layer) -> str:
    """What between two layers does not let a scale of a channel pass, or nothing."""
    if link.relation in SHARED:
        return f"a {link.relation} connection"
    norms = 0
    for name in link.through:
        plain = _plain(name)
        if plain in PER_CHANNEL and norms < len(writer.after) + len(reader.before):
            norms += 1
        elif plain not in HOMOGENEOUS or (norms > len(writer.after) and plain not in LINEAR):
            return f"{name} after a normalisation" if plain in HOMOGENEOUS else name
    if any(norm.centred for norm in (*writer.after, *reader.before)):
        return "a layer norm"
    if reader.before and norms <= len(writer.after):
        return f"{reader.before[0].name}, whose place in the order of operations is not known"
    return ""


def _plain(name: str) -> str:
    """Name of an operation without the underscore of its in-place form."""
    return name.lower().rstrip("_")
