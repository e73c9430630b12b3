"""One pair of layers: its overlaps, the edges among them that are worth keeping, and its block statistics."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modescope.seeds import generator
from modescope.spectral_graph.chains import exact_tail
from modescope.spectral_graph.modes import UNSTABLE
from modescope.spectral_graph.nulls import Null, Tested
from modescope.spectral_graph.overlaps import aggregated, effective, pair, products
from modescope.spectral_graph.pairs import Modes, Pair
from modescope.spectral_graph.result import Connection
from modescope.spectral_graph.structures import STRUCTURES, Met
from modescope.spectral_graph.wiring import Link
from modescope.svd import Values


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
        entropy=_entropy(weights),
        structure={name: STRUCTURES[name](met) for name in plan.structure},
        note="; ".join(filter(None, (link.note, tested.note))),
    )
    return Joined(
        connection,
        tested,
        weights[tested.reader, tested.writer],
        writer.blur[tested.writer] + reader.blur[tested.reader] > UNSTABLE,
        _zero(writer)[tested.writer] | _zero(reader)[tested.reader],
        _top(seen, weights) if any(link is lined for lined in plan.lined) else None,
    )


def _top(pair: Pair, weights: Values) -> tuple[float, float]:
    first = np.zeros(1, dtype=np.int64)
    return float(weights[0, 0]), float(exact_tail(pair, first, first, weights[:1, 0])[0])


def _zero(modes: Modes) -> NDArray[np.bool_]:
    """(nodes,) whose value cannot be told from zero."""
    return np.array([start >= modes.rank for start, _ in modes.nodes], dtype=np.bool_)


def _composition(single: Values, written: Values, read: Values) -> float:
    """||W_reader W_writer||^2 over the product of both squared norms, whatever the sizes of the numbers."""
    if written[0] == 0 or read[0] == 0:
        return 0.0
    a, b = (written / written[0]) ** 2, (read / read[0]) ** 2
    return float(b @ single @ a / (a.sum() * b.sum()))


def _entropy(weights: Values) -> float:
    positive = weights[weights > 0]
    return float(-(positive * np.log(positive)).sum())
