"""One pair of layers: its overlaps, the edges among them that are worth keeping, and its block statistics."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.seeds import generator
from modescope.spectral_graph.chains import exact_tail
from modescope.spectral_graph.hubs import entropy
from modescope.spectral_graph.modes import UNSTABLE
from modescope.spectral_graph.nulls import Null, Tested, rotation
from modescope.spectral_graph.overlaps import aggregated, effective, pair, products
from modescope.spectral_graph.pairs import Modes, Nodes, Pair
from modescope.spectral_graph.result import Connection
from modescope.spectral_graph.structures import STRUCTURES, Met
from modescope.spectral_graph.wiring import Link
from modescope.svd import Values

CERTAIN = 1 - 1e-9  # a p-value that every edge has at most


@dataclass(frozen=True)
class Plan:
    """What is done to every pair.

    Attributes:
        null: What an edge would be by accident.
        most: Largest p-value of interest.
        draws: Of a simulated null.
        seed: Of the draws; every pair has a stream of its own.
        structure: Names of block statistics.
        lined: Links whose first edge is told by itself, for chains.
    """

    null: Null
    most: float
    draws: int
    seed: int
    structure: Sequence[str] = ()
    lined: Collection[Link] = ()


@dataclass(frozen=True, eq=False)
class Joined:
    """A pair that was tested; how many of its edges are significant is known when all pairs are.

    Attributes:
        connection: Without that number.
        tested: Edges whose own p-value is of interest.
        weights: (e,) their overlaps.
        unstable: (e,) rounding alone may have made them.
        silent: (e,) one of their ends has a value of zero.
        top: Overlap and log p of the edge between the first nodes, or None where it was not asked for.
    """

    connection: Connection
    tested: Tested
    weights: Values
    unstable: NDArray[np.bool_]
    silent: NDArray[np.bool_]
    top: tuple[float, float] | None


def joined(plan: Plan, link: Link, writer: Modes, reader: Modes) -> Joined:
    """Test one pair.

    Args:
        plan: What to do.
        link: How the two layers are joined.
        writer: With `u`.
        reader: With `vh`.
    """
    seen = pair(link, writer, reader)
    single = products(seen)
    weights = aggregated(single, seen.reader_nodes, seen.writer_nodes)
    seed = int(generator(plan.seed, "edges", link.source, link.target).integers(1 << 62))
    redrawing = getattr(plan.null, "redrawing", None)  # a null that needs the weights themselves
    more = {} if redrawing is None else {"redraw": redrawing(link, writer.layer, reader.layer, seen)}
    tested = plan.null.test(seen, weights, most=plan.most, draws=plan.draws, seed=seed, **more)
    met = Met(link, writer, reader, seen, weights, single, plan.draws, seed)
    connection = Connection(
        source=link.source,
        target=link.target,
        relation=link.relation,
        shared=seen.writer.shape[0],
        dimension=seen.dimension,
        multiplicity=seen.reader.shape[2],
        through=link.through,
        tested=weights.size,
        significant=0,
        effective=effective(seen),
        composition=_composition(single, writer.s, reader.s),
        entropy=entropy(weights, modes=np.outer(_sizes(seen.reader_nodes), _sizes(seen.writer_nodes))),
        structure={name: STRUCTURES[name](met) for name in plan.structure},
        note="; ".join(filter(None, (link.note, tested.note))),
    )
    return Joined(
        connection,
        tested,
        weights[tested.reader, tested.writer],
        writer.blur[tested.writer] + reader.blur[tested.reader] > UNSTABLE,
        _zero(writer)[tested.writer] | _zero(reader)[tested.reader],
        _top(plan, seen, weights, more, seed) if any(link is lined for lined in plan.lined) else None,
    )


def _top(plan: Plan, pair: Pair, weights: Values, more: Mapping[str, Any], seed: int) -> tuple[float, float]:
    """Overlap of the first nodes and its p-value under the null of the graph; 1 where that exceeds what can be asked for."""
    if plan.null is rotation:
        first = np.zeros(1, dtype=np.int64)
        return float(weights[0, 0]), float(exact_tail(pair, first, first, weights[:1, 0])[0])
    found = plan.null.test(pair, weights, most=CERTAIN, draws=plan.draws, seed=seed, **more)
    at = np.flatnonzero((found.reader == 0) & (found.writer == 0))
    return float(weights[0, 0]), float(found.log_p[at[0]]) if at.size else 0.0


def _zero(modes: Modes) -> NDArray[np.bool_]:
    """(nodes,) whose value cannot be told from zero."""
    return np.array([start >= modes.rank for start, _ in modes.nodes], dtype=np.bool_)


def _composition(single: Values, written: Values, read: Values) -> float:
    """||W_reader W_writer||^2 over the product of both squared norms, whatever the sizes of the numbers."""
    if written[0] == 0 or read[0] == 0:
        return 0.0
    a, b = (written / written[0]) ** 2, (read / read[0]) ** 2
    return float(b @ single @ a / (a.sum() * b.sum()))


def _sizes(nodes: Nodes) -> Values:
    return np.array([stop - start for start, stop in nodes], dtype=np.float64)
