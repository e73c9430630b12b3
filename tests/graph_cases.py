"""Spectral graphs to draw, to write and to export: one with everything in it, one of any size."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from modescope.blocks import Block, Graph, Note, Section, Table
from modescope.reports import Report
from modescope.spectral_graph.result import Chain, Column, Connection, Edges, SpectralGraph
from modescope.spectral_graph.wiring import Gap
from modescope.svd import Values
from report_cases import HOSTILE

N = 32  # channels that all layers share
LEVEL = 0.05
KEEP = 1e-2  # edges whose own p-value is at most that are kept
HOSTILE_LAYER = f"fc {HOSTILE}.weight"
FAILED_LAYER = "skip.weight"
DEPTHS = {"embed.weight": 0, "block.up.weight": 1, "block.gate.weight": 1, HOSTILE_LAYER: 2, "head.weight": 3}
LINKS = (
    ("embed.weight", "block.up.weight", "next"),
    ("embed.weight", "block.gate.weight", "next"),
    ("block.up.weight", HOSTILE_LAYER, "product"),
    ("block.gate.weight", HOSTILE_LAYER, "product"),
    ("embed.weight", HOSTILE_LAYER, "residual"),
    (HOSTILE_LAYER, "head.weight", "next"),
    ("embed.weight", "head.weight", "residual"),
)
PLANTED = {  # reader node: writer node whose direction it reads; layers keep their frames, so a mode may be read twice
    ("embed.weight", "block.up.weight"): {0: 0, 3: 1, 5: 7},
    ("embed.weight", "block.gate.weight"): {1: 0, 2: 2},
    ("block.up.weight", HOSTILE_LAYER): {0: 0, 4: 3},
    (HOSTILE_LAYER, "head.weight"): {0: 0, 2: 4},
}


def planted(structure: Mapping[str, Any] | None = None, *, seed: int = 1) -> SpectralGraph:
    """Five layers of random frames with planted edges, two layers side by side, residual links that span columns, a node of several
    modes, a layer that failed, gaps, chains and a hostile name.

    Args:
        structure: Of the connection from the first to the second layer.
        seed: Of the frames.
    """
    rng = np.random.default_rng(seed)
    modes = {name: 10 if name == "head.weight" else N for name in DEPTHS}
    written = {name: _frame(rng, N)[:, : modes[name]] for name in DEPTHS}
    read = {name: _frame(rng, N)[:, : modes[name]].T for name in DEPTHS}
    for (source, target), pairs in PLANTED.items():
        for reader, writer in pairs.items():
            noisy = written[source][:, writer] + 0.06 * rng.standard_normal(N)
            read[target][reader] = noisy / np.linalg.norm(noisy)
    columns = [_column(name, modes[name], rng) for name in DEPTHS]
    columns.insert(
        4,
        Column(
            FAILED_LAYER, "dense", (N, N), "float16", 2, N, 1, 1, np.empty(0), (), np.empty(0), status="3 entries are not finite"
        ),
    )
    tested = sum(len(_of(columns, source).nodes) * len(_of(columns, target).nodes) for source, target, _ in LINKS)
    parts = [_edges(i, written[s], read[t], _of(columns, s), _of(columns, t), tested) for i, (s, t, _) in enumerate(LINKS)]
    edges = _joined(parts)
    edges.unstable[len(edges) // 2] = True
    edges.exact[-1] = False
    connections = [
        Connection(
            source,
            target,
            relation,
            shared=N,
            dimension=N,
            multiplicity=1,
            through=("relu",) if relation == "next" else (),
            tested=len(_of(columns, source).nodes) * len(_of(columns, target).nodes),
            significant=int(edges.significant[edges.connection == index].sum()),
            effective=np.ones(len(_of(columns, target).nodes)),
            composition=0.04 + 0.01 * index,
            entropy=12.0 + index,
            note="p-values of this pair are bounded from above" if index == len(LINKS) - 1 else "",
        )
        for index, (source, target, relation) in enumerate(LINKS)
    ]
    if structure is not None:
        connections[0] = replace(connections[0], structure=structure)
    names = ("embed.weight", "block.up.weight", HOSTILE_LAYER, "head.weight")
    return SpectralGraph(
        tuple(columns),
        tuple(connections),
        edges,
        (
            Gap(FAILED_LAYER, "head.weight", "3 entries are not finite"),
            Gap("head.weight", "", "nothing is known of what reads it"),
        ),
        (
            Chain(names, (0, 0, 0, 0), (0.9, 0.9, 0.9), (-30.0, -29.0, -28.0), 1e-30, "fixed", 3, "Fisher's, fixed in advance."),
            Chain(names[:3], (1, 3, 4), (0.9, 0.8), (-31.0, -25.0), 0.005, "searched", 2, "Against 200 simulated graphs."),
        ),
        {"path": f"models/{HOSTILE}.safetensors", "format": "safetensors", "sha256": "0" * 64, "tensors": 6, "parameters": 5000},
        {
            "tested": tested,
            "level": LEVEL,
            "correction": "bonferroni",
            "null": "rotation",
            "convention": "svr",
            "gauge": "folded",
            "draws": 1000,
            "seed": seed,
            "keep": KEEP,
        },
        wiring="order of the file",
        notes=(f"The batch norm of {HOSTILE} was folded.",),
        meta={"modescope": "0.0"},
        complete=False,
    )


def large(count: int, *, layers: int = 6, width: int = 512, seed: int = 0) -> SpectralGraph:
    """A chain of layers with `count` edges, the lighter half of them not significant."""
    rng = np.random.default_rng(seed)
    names = [f"layers.{k}.weight" for k in range(layers)]
    columns = tuple(
        Column(
            name,
            "dense",
            (width, width),
            "float32",
            k,
            width,
            1,
            1,
            np.sort(rng.gamma(2.0, 1.0, width))[::-1].copy(),
            tuple((i, i + 1) for i in range(width)),
            np.full(width, 1e-6),
        )
        for k, name in enumerate(names)
    )
    connection = np.sort(rng.integers(0, layers - 1, count))
    taken = np.unique(np.stack([connection, rng.integers(0, width, count), rng.integers(0, width, count)]), axis=1)
    weight = rng.beta(0.5, 8, taken.shape[1]) + 0.02
    log_p = np.asarray(beta.logsf(np.minimum(weight, 1), 0.5, (width - 1) / 2))
    order = np.lexsort((log_p, taken[0]))
    significant = log_p < np.median(log_p)
    edges = Edges(
        *(part[order] for part in (*taken, weight, log_p, significant)),
        np.ones(order.size, np.bool_),
        np.zeros(order.size, np.bool_),
        np.zeros(order.size, np.bool_),
        np.full(order.size, np.nan),
    )
    connections = tuple(
        Connection(
            a, b, "next", width, width, 1, ("relu",), width**2, int(significant[taken[0] == k].sum()), np.ones(width), 0.01, 40.0
        )
        for k, (a, b) in enumerate(itertools.pairwise(names))
    )
    options = {
        "tested": width**2 * (layers - 1),
        "level": LEVEL,
        "correction": "bonferroni",
        "null": "rotation",
        "convention": "svr",
        "gauge": "raw",
        "draws": 1000,
        "seed": seed,
        "keep": KEEP,
    }
    return SpectralGraph(columns, connections, edges, (), (), {"path": "large.safetensors", "format": "safetensors"}, options)


def _frame(rng: np.random.Generator, size: int) -> Values:
    q, r = np.linalg.qr(rng.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def _of(columns: list[Column], name: str) -> Column:
    return next(column for column in columns if column.name == name)


def _column(name: str, modes: int, rng: np.random.Generator) -> Column:
    s = np.sort(rng.gamma(3.0, 0.4, modes))[::-1].copy()
    nodes = tuple((i, i + 1) for i in range(modes))
    if name == "block.up.weight":  # the last four values are zero: one node
        s[-4:] = 0.0
        nodes = (*nodes[:-4], (modes - 4, modes))
    blur = np.full(len(nodes), 1e-6)
    bias = None if name == "embed.weight" else np.full(len(nodes), 1 / (2 * len(nodes)))
    return Column(name, "dense", (modes, N), "float32", DEPTHS[name], N, 1, 1, s, nodes, blur, bias)


def _edges(index: int, u: Values, vh: Values, source: Column, target: Column, tested: int) -> Edges:
    """Edges of one pair that are kept, with the exact p-value of a group of modes against a mode."""
    overlaps = (vh @ u) ** 2
    overlaps = np.add.reduceat(overlaps, [start for start, _ in target.nodes], axis=0)
    overlaps = np.add.reduceat(overlaps, [start for start, _ in source.nodes], axis=1)
    size = np.multiply.outer([b - a for a, b in target.nodes], [b - a for a, b in source.nodes])
    log_p = beta.logsf(np.minimum(overlaps, 1 - 1e-12), size / 2, (N - size) / 2)
    reader, writer = np.nonzero(log_p <= np.log(KEEP))
    order = np.argsort(log_p[reader, writer], kind="stable")
    reader, writer = reader[order], writer[order]
    own = log_p[reader, writer]
    flags: NDArray[np.bool_] = np.ones(own.size, np.bool_)
    return Edges(
        np.full(own.size, index),
        writer,
        reader,
        overlaps[reader, writer],
        own,
        own <= np.log(LEVEL / tested),
        flags,
        ~flags,
        ~flags,
        np.full(own.size, np.nan),
    )


def _joined(parts: list[Edges]) -> Edges:
    def all_of(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Edges(*map(all_of, Edges.__dataclass_fields__))


def flat(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from flat(block.blocks)


def drawing(made: Report) -> Graph:
    return next(block for block in made.blocks if isinstance(block, Graph))


def table(made: Report, title: str) -> Table:
    return next(block for block in made.blocks if isinstance(block, Table) and block.title == title)


def notes(made: Report) -> list[Note]:
    return [block for block in made.blocks if isinstance(block, Note)]


def section(made: Report, name: str) -> Section:
    return next(block for block in made.blocks if isinstance(block, Section) and block.key == f"layer={name}")
