"""Lines: layers that follow each other with no branch, the places where a chain of modes can be told before looking."""

from collections import Counter
from collections.abc import Iterator, Sequence

from modescope.spectral_graph.chains import fixed, searched
from modescope.spectral_graph.joining import Joined
from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.overlaps import overlaps, pair
from modescope.spectral_graph.pairs import Pair
from modescope.spectral_graph.result import Chain
from modescope.spectral_graph.wiring import Wiring
from modescope.svd import Engine, Values

Line = tuple[int, ...]  # places of links in a wiring, each beginning where the one before it ends
SHORTEST = 2


def lines(wiring: Wiring, /) -> tuple[Line, ...]:
    """Longest runs of at least two links in which every layer is read by one other and reads from one other."""
    out = Counter(link.source for link in wiring.links)
    into = Counter(link.target for link in wiring.links)
    alone = {
        link.source: number
        for number, link in enumerate(wiring.links)
        if out[link.source] == 1 and into[link.target] == 1 and link.source != link.target
    }
    targets = {wiring.links[number].target for number in alone.values()}
    found = []
    for start, first in alone.items():
        if start in targets:
            continue
        line = [first]
        while (following := alone.get(wiring.links[line[-1]].target)) is not None:
            line.append(following)
        if len(line) >= SHORTEST:
            found.append(tuple(line))
    return tuple(found)


def names(wiring: Wiring, line: Line, /) -> tuple[str, ...]:
    """Layers along a line."""
    return (wiring.links[line[0]].source, *(wiring.links[number].target for number in line))


def first_modes(wiring: Wiring, line: Line, joined: Sequence[Joined], /, *, most: float) -> Chain:
    """The chain of the first node of every layer, tested as fixed in advance.

    Args:
        wiring: The line is one of its.
        line: Places of the links.
        joined: Their pairs.
        most: Logarithm of the largest significant p-value.
    """
    weights, log_p = zip(*(item.top for item in joined if item.top is not None), strict=True)
    return fixed(names(wiring, line), (0,) * (len(line) + 1), weights, log_p, most=most)


def best(wiring: Wiring, line: Line, /, *, draws: int, seed: int, most: float, engine: Engine) -> Chain:
    """The best path along a line against that of random writers; its layers are decomposed again, two at a time.

    Args:
        wiring: The line is one of its.
        line: Places of the links.
        draws: Random networks.
        seed: Of the draws.
        most: Logarithm of the largest significant p-value.
        engine: As for `decompose`.
    """
    return searched(names(wiring, line), _gaps(wiring, line, engine), draws=draws, seed=seed, most=most)


def _gaps(wiring: Wiring, line: Line, engine: Engine) -> Iterator[tuple[Pair, Values]]:
    writer = modes(wiring[wiring.links[line[0]].source], engine=engine)
    for number in line:
        link = wiring.links[number]
        reader = modes(wiring[link.target], engine=engine)
        seen = pair(link, writer, reader)
        yield seen, overlaps(seen)
        writer = reader
