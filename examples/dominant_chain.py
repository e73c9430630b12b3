"""Claim: training a digits MLP joins the top modes of consecutive layers, in most seeds but not in every gap.

    python examples/dominant_chain.py               # five seeds, a minute on one core

Networks 64-64-64-64-10 without batch norm, weight decay 5e-4, seeds 0 to 4, each beside itself before the training
(`digits_mlp.py`). Claimed: in at least four of five seeds at least one gap has an edge between the two top modes that is
significant after Bonferroni over the whole network, and no initial network has one; in seed 0 the top quarters of two layers
overlap by more than three standard deviations in at least one gap after training, and in none before.

Not claimed: a dominant chain in every gap or seed (it is false); that these modes mean anything, such as edges of a picture; that
a small p under rotations also is one under channel permutations, or without the component that all channels share. These stand
beside it, because after a ReLU all activations are positive, which alone aligns top modes. An initial network may show an edge
elsewhere: the level is 5 %. Nothing is said of other data, widths, or of batch norm.
"""

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from digits_mlp import State, accuracy, layers, train

import modescope as ms
from modescope.laws.haar_block import z_score

WIDTHS, DECAY, LEVEL = (64, 64, 64, 64, 10), 5e-4, 0.05
ALL = 0.9999999  # a level at which every edge is kept, to look at one of them under another null


@dataclass(frozen=True)
class Gap:
    """Two consecutive layers: the edge between their top modes, and the block of their top quarters."""

    a11: float
    rotation: float
    permutation: float
    positivity: float
    significant: bool
    edges: int
    block_z: float


@dataclass(frozen=True)
class Network:
    """What one network shows."""

    seed: int
    stage: str
    accuracy: float
    gaps: tuple[Gap, ...]
    fisher: float
    best: float
    path: tuple[int, ...]


def networks(seeds: Iterable[int], *, draws: int) -> list[Network]:
    """Every seed, before and after its training."""
    found = []
    for seed in seeds:
        for stage, state in zip(("initial", "trained"), train(WIDTHS, seed=seed, decay=DECAY), strict=True):
            found.append(look(state, seed=seed, stage=stage, draws=draws))
    return found


def look(state: State, *, seed: int, stage: str, draws: int) -> Network:
    """Draw the graph of one network and test its top edges, its top chain and its best path."""
    graph = ms.graph(state, level=LEVEL, search=draws, workers=1)
    top, best = graph.chains
    limit = math.log(LEVEL / graph.options["tested"])
    beside = {null: top_edges(state, null, draws) for null in ("permutation", "positivity")}
    gaps = tuple(
        Gap(
            a11=top.weights[place],
            rotation=math.exp(top.log_p[place]),
            permutation=beside["permutation"][place],
            positivity=beside["positivity"][place],
            significant=top.log_p[place] <= limit,
            edges=connection.significant,
            block_z=top_quarter(state, place),
        )
        for place, connection in enumerate(graph.connections)
    )
    return Network(seed, stage, accuracy(state), gaps, top.p, best.p, best.modes)


def top_edges(state: State, null: str, draws: int) -> list[float]:
    """P-value of the edge between the top modes of every gap under another null; 1 where it is above all levels."""
    graph = ms.graph(state, null=null, draws=draws, correction="none", level=ALL, workers=1)
    edges, found = graph.edges, [1.0] * len(graph.connections)
    for at in np.flatnonzero((edges.writer == 0) & (edges.reader == 0)):
        found[edges.connection[at]] = math.exp(edges.log_p[at])
    return found


def top_quarter(state: State, place: int) -> float:
    """Standard deviations by which the top quarter of a writer and that of its reader overlap more than random subspaces."""
    writer, reader = (state[f"{layers(state)[place + side]}.weight"] for side in (0, 1))
    u, vh = np.linalg.svd(writer)[0], np.linalg.svd(reader, full_matrices=False)[2]
    k, k2 = u.shape[1] // 4, max(len(vh) // 4, 1)
    overlap = ((vh[:k2] @ u[:, :k]) ** 2).sum()
    return float(z_score(np.ones((1, k2)), len(u), k, [overlap])[0])


def table(found: Iterable[Network]) -> str:
    """One line a gap, an initial network above what became of it."""
    lines = [
        "seed network   gap   a11  p rotation  permutation  positivity  significant  edges  top-quarter z  chain p  best path (p)"
    ]
    for network in found:
        for place, gap in enumerate(network.gaps, 1):
            start = f"{network.seed:4d} {network.stage:8s} {place:4d} {gap.a11:6.3f}"
            tests = f"{gap.rotation:11.1e} {gap.permutation:12.1e} {gap.positivity:11.1e} {'yes' if gap.significant else 'no':>12s}"
            end = f"{gap.edges:6d} {gap.block_z:14.1f}"
            whole = f"{network.fisher:9.1e}  {'-'.join(map(str, network.path))} ({network.best:.3f})" if place == 1 else ""
            lines.append(f"{start} {tests} {end} {whole}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Train, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--draws", type=int, default=2000, help="draws of every simulated null (default: 2000)")
    options = parser.parse_args()
    print(table(networks(range(options.seeds), draws=options.draws)))


if __name__ == "__main__":
    main()
