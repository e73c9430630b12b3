"""From tested pairs to a graph: one correction over the whole network, then the edges that are kept."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.spectral_graph.corrections import Correction, bonferroni
from modescope.spectral_graph.joining import Joined
from modescope.spectral_graph.result import Connection, Edges

Parts = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class Decision:
    """What is significant.

    Attributes:
        most: Logarithm of the largest significant p-value of an edge.
        family: The same of a p-value that is corrected for its whole pair, or None where these do not decide.
    """

    most: float
    family: float | None = None


def decided(joined: Sequence[Joined], correction: Correction, level: float, /) -> Decision:
    """Correct for all edges of all pairs; for all pairs, where a simulated null has corrected for the edges of each.

    Args:
        joined: Every pair that was tested.
        correction: From p-values to the largest that is significant.
        level: Of the whole network.
    """
    tests = sum(item.connection.tested for item in joined)
    log_p = np.concatenate([item.tested.log_p for item in joined]) if joined else np.empty(0)
    by_pair = correction is bonferroni and bool(joined) and all(item.tested.family is not None for item in joined)
    return Decision(correction(log_p, tests, level), math.log(level / len(joined)) if by_pair else None)


def assembled(
    joined: Sequence[Joined], decision: Decision, /, *, keep: float, backwards: bool
) -> tuple[tuple[Connection, ...], Edges]:
    """Connections that know how many of their edges are significant, and the edges that are kept.

    Args:
        joined: In the order of the wiring.
        decision: What is significant.
        keep: Logarithm of the p-value up to which an edge is kept though it is not significant.
        backwards: The pairs are those of the network run backwards.
    """
    parts: list[Parts] = []
    connections: list[Connection] = []
    for number, item in enumerate(joined):
        found = item.tested
        significant = found.log_p <= decision.most
        if decision.family is not None and found.family is not None:
            significant = found.family <= decision.family
        kept = np.flatnonzero(significant | (found.log_p <= keep))
        kept = kept[np.lexsort((-item.weights[kept], found.log_p[kept]))]
        ends = (found.reader, found.writer) if backwards else (found.writer, found.reader)
        family = np.full(found.log_p.size, np.nan) if found.family is None else found.family
        columns = (*ends, item.weights, found.log_p, significant, found.exact, item.unstable, item.silent, family)
        parts.append((np.full(kept.size, number), *(column[kept] for column in columns)))
        counted = replace(item.connection, significant=int(significant.sum()))
        connections.append(replace(counted, source=counted.target, target=counted.source) if backwards else counted)
    return tuple(connections), _edges(parts)


def _edges(parts: Sequence[Parts]) -> Edges:
    kinds = (np.int64, np.int64, np.int64, np.float64, np.float64, np.bool_, np.bool_, np.bool_, np.bool_, np.float64)
    columns: list[NDArray[Any]] = [
        np.concatenate([part[index] for part in parts]).astype(kind) if parts else np.empty(0, dtype=kind)
        for index, kind in enumerate(kinds)
    ]
    return Edges(*columns)
