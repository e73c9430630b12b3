"""The network in its order: every layer is decomposed once, every pair is tested as soon as both ends are there, and let go."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from modescope import measuring
from modescope.errors import MatrixError, UsageError
from modescope.matrix import Matrix
from modescope.schedule import in_order, load
from modescope.spectral_graph.bias_nodes import bias_node
from modescope.spectral_graph.joining import Joined, Plan, joined
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.pairs import Modes
from modescope.spectral_graph.result import Column
from modescope.spectral_graph.shelf import Shelf
from modescope.spectral_graph.wiring import Gap, Layer, Wiring
from modescope.svd import Engine

HELD = 1 / 8  # share of the memory budget in which directions wait for the layers that meet them
OUTPUTS = 4096  # of a last layer, up to which its output directions are kept
Side = tuple[str, str]  # name of a layer, and "u" or "vh"


@dataclass(eq=False)
class Found:
    """What is known so far.

    Attributes:
        columns: By name of the layer.
        joined: By place of the link in the wiring.
        gaps: Pairs that could not be tested.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    joined: dict[int, Joined] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def work(
    wiring: Wiring,
    plan: Plan,
    found: Found,
    /,
    *,
    engine: Engine,
    workers: int | None,
    memory: int,
    progress: Callable[[float, int, Layer], None],
) -> None:
    """Decompose every layer and test every link; what is wrong with one costs its own column or pair.

    Args:
        wiring: Layers as they are decomposed, and their links.
        plan: What is done to every pair.
        found: Filled as the work goes on, so that what was finished is there whenever it stops.
        engine: As for `decompose`.
        workers: Threads, by default one per processor.
        memory: Budget in bytes.
        progress: Called after every layer with its work in multiply-adds, its place and itself.
    """
    place = {layer.name: index for index, layer in enumerate(wiring.layers)}
    due: dict[int, list[int]] = {}
    last: dict[Side, int] = {}  # when a side of a layer is needed for the last time
    for number, link in enumerate(wiring.links):
        at = max(place[link.source], place[link.target])
        due.setdefault(at, []).append(number)
        for key in ((link.source, "u"), (link.target, "vh")):
            last[key] = max(last.get(key, 0), at)
    matrices = [replace(layer.matrix) for layer in wiring.layers]  # each its own object, also where layers are tied
    layers = {id(matrix): layer for matrix, layer in zip(matrices, wiring.layers, strict=True)}
    results = in_order(matrices, partial(_seen, layers, last, engine), workers=workers, memory=int((1 - HELD) * memory))
    with Shelf(int(HELD * memory)) as shelf:
        for index, (layer, (column, held)) in enumerate(zip(wiring.layers, results, strict=True)):
            found.columns[layer.name] = column
            if held is not None:
                shelf.put(held)
            for number in due.get(index, ()):
                outcome = _joined(plan, wiring, number, found, shelf)
                if isinstance(outcome, Gap):
                    found.gaps.append(outcome)
                else:
                    found.joined[number] = outcome
            for (name, side), when in last.items():
                if when == index:
                    shelf.drop(name, side)
            progress(load(layer.matrix).work, index, layer)


def _joined(plan: Plan, wiring: Wiring, number: int, found: Found, shelf: Shelf) -> Joined | Gap:
    link = wiring.links[number]
    for end in (link.source, link.target):
        if (status := found.columns[end].status) != "ok":
            return Gap(link.source, link.target, f"no modes of {end}: {status}")
    try:
        return joined(plan, link, shelf.get(link.source), shelf.get(link.target))
    except UsageError:
        raise  # an option is wrong for every pair
    except Exception as error:  # whatever it is, it costs this pair and not the hours before it
        return Gap(link.source, link.target, measuring.reason(error, wiring[link.target].matrix))


def _seen(layers: Mapping[int, Layer], last: Mapping[Side, int], engine: Engine, matrix: Matrix) -> tuple[Column, Modes | None]:
    """The column of a layer and its modes; what is wrong with it becomes its status. Runs in a worker thread."""
    layer = layers[id(matrix)]
    column = Column(
        name=layer.name,
        kind=matrix.kind,
        shape=matrix.shape,
        dtype=matrix.stored,
        position=0,
        channels=layer.channels,
        taps=layer.taps,
        groups=layer.groups,
        s=np.empty(0),
        nodes=(),
        blur=np.empty(0),
        note=layer.note,
    )
    try:
        seen = modes(layer, engine=engine)
    except UsageError:
        raise  # an option is wrong for every layer
    except Exception as error:  # whatever it is, it costs this layer and not the hours before it
        return replace(column, status=measuring.reason(error, matrix)), None
    column = replace(column, s=seen.s, nodes=seen.nodes, blur=seen.blur)
    try:
        bias = bias_node(seen)
    except MatrixError as error:  # the modes are there all the same
        column = replace(column, note="; ".join(filter(None, (column.note, f"no bias: {measuring.reason(error, matrix)}"))))
    else:
        column = replace(column, bias=None if bias is None else bias.shares)
    if (layer.name, "u") not in last and layer.out <= OUTPUTS:
        column = replace(column, outputs=seen.u)
    kept = {side: array for side, array in (("u", seen.u), ("vh", seen.vh)) if (layer.name, side) in last}
    return column, replace(seen, u=kept.get("u"), vh=kept.get("vh"))
