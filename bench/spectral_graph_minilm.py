"""The whole spectral graph of a real encoder, all modes and all edges, against the SVDs of its layers alone."""

from collections.abc import Iterator
from functools import partial

from _measure import NotMeasuredError, Ratio, Size, compare
from _models import minilm
from _processor import spent

from modescope.checkpoints import open
from modescope.spectral_graph import graph
from modescope.spectral_graph.gauges import in_gauge
from modescope.spectral_graph.wiring import Layer
from modescope.spectral_graph.wiring.finding import find
from modescope.spectrum import decompose

GRAPH, ALONE = "graph of MiniLM-L6, processor time", "all vectors of its layers"
MORE = "the same with near-kernels of all pairs"
WHY = "225 pairs for 40 layers"


def rows(size: Size, /) -> Iterator[Ratio]:
    """From the file to tested edges; in a smoke test the first block only."""
    try:
        path = minilm().parent
        only = ("*layer.0.*",) if size is Size.SMOKE else ()
        layers = in_gauge(find(open(path), include=only), "folded").layers
        for what, structure, limit in ((GRAPH, (), 1.5), (MORE, ("near_kernels",), 2.0)):
            ours = spent(partial(graph, path, include=only, workers=1, structure=structure))
            alone = spent(partial(_decomposed, layers))
            yield compare(what, ALONE, ours, alone, limit=limit, rounds=1 if only else 2, if_missed=WHY)
    except NotMeasuredError as reason:
        yield Ratio(GRAPH, ALONE, 1.5, remark=f"not measured: {reason}")


def _decomposed(layers: tuple[Layer, ...]) -> None:
    for layer in layers:
        decompose(layer.matrix, vectors=True)
