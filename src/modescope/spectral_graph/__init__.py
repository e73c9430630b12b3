"""The graph of spectral neurons: which modes of one layer feed which modes of the next, and which edges are no accident."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from modescope import measuring
from modescope.checkpoints import Checkpoint, open
from modescope.errors import Interrupted, UsageError
from modescope.scanning import Progress
from modescope.schedule import budget, load
from modescope.spectral_graph.assembly import Decision, assembled, decided
from modescope.spectral_graph.conventions import CONVENTIONS, original, reversed_, svr
from modescope.spectral_graph.corrections import CORRECTIONS
from modescope.spectral_graph.depthwise import without_depthwise
from modescope.spectral_graph.gauges import GAUGES, in_gauge
from modescope.spectral_graph.joining import Plan
from modescope.spectral_graph.lines import best, first_modes, lines
from modescope.spectral_graph.nulls import Null, nulls
from modescope.spectral_graph.result import Chain, Column, SpectralGraph
from modescope.spectral_graph.streaming import Found, work
from modescope.spectral_graph.structures import STRUCTURES
from modescope.spectral_graph.wiring import Gap, Layer, Link, Wiring
from modescope.spectral_graph.wiring.finding import find
from modescope.svd import Engine

LEAST_LEVEL = 1e-300
BALANCED = (
    "In the gauge balanced the directions that a layer writes and those that the next one reads lean on the same channels: in "
    "fresh networks edges, chains and blocks are significant more often than the level says. Compare with one before training."
)
MANY = 1_000_000  # edges from which looking at a share of them as large as the level would take longer than finding them


def graph(
    source: Any,
    /,
    *,
    wiring: Any = None,
    inputs: Any = None,
    view: str | None = None,
    flatten: str | None = None,
    activation: str | None = None,
    convention: str = "svr",
    gauge: str = "folded",
    level: float = 0.05,
    correction: str = "bonferroni",
    null: str = "rotation",
    draws: int = 1000,
    seed: int = 0,
    keep: float = 1e-3,
    structure: str | Sequence[str] = ("near_kernels",),
    search: int = 0,
    include: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    device: str | None = None,
    workers: int | None = None,
    memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> SpectralGraph:
    """Join the modes that one layer writes to the modes that the next one reads, and test every edge.

    A node is one mode of one weight. An edge says how much of what its writer writes its reader reads: the squared cosine between
    `u` of the one and `vh` of the other, summed over kernel positions. Weights alone are used; nonlinearities are ignored. An
    edge says neither what a direction means nor how often it is active.

    Args:
        source: A path, an `nn.Module`, a mapping from names to arrays, or an opened `Checkpoint`.
        wiring: How layers are joined. None: by tracing where `source` is a module and `inputs` are given, by the architecture
            where a config.json names a known one, otherwise by the order of the file where that is unambiguous. "order" or
            "family" ask for one of these; a sequence of (from, to) names, or the path of a JSON file, states it.
        inputs: An example input of the module: a tensor, a tuple of them, or a mapping of keyword arguments.
        view: "heads" splits attention by heads, "circuits" shows QK and OV products of each head.
        flatten: Order of a flattened convolution where the wiring cannot tell: "channels_first" or "channels_last".
        activation: What lies between the layers where the wiring cannot tell; only the gauges "unit_rows" and "balanced" ask.
        convention: How a convolution becomes a matrix: "svr", "cosvr" or "channel".
        gauge: "folded" multiplies gains of normalisations into the weights beside them, "raw" takes weights as stored; "unit_rows"
            and "balanced" also fix the scale of every channel.
        level: Family-wise error rate over all edges of the network, or the rate of the correction that is asked for.
        correction: "bonferroni", "bh", "by" or "none".
        null: What an edge would be by accident; one of the files of `nulls/`.
        draws: Number of draws of a simulated null.
        seed: Of these draws; every pair has a stream of its own.
        keep: Edges that are not significant are kept where their own p-value is at most this.
        structure: Statistics of every pair beside its edges: "near_kernels", "dead_channels", "bias" (which reader meets the bias
            of the writer), and "internal_dimensions", which is simulated with `draws`.
        search: Draws of the null of the best path along every line of layers without branches; 0 searches none.
        include: Globs on tensor names; a layer must match one of them, unless there are none.
        exclude: Globs on tensor names.
        device: A CUDA device for the decompositions; by default the CPU.
        workers: Threads, by default one per processor.
        memory: Budget in bytes, by default half of the machine's.
        progress: Called in the calling thread after every layer.

    Returns:
        `SpectralGraph`. A layer that fails and a pair that does not fit cost only themselves, and are named in `gaps`.

    Raises:
        UsageError: An option that does not exist, a value out of range, or a wiring that is ambiguous, with the candidates.
        UnreadableError: The source cannot be opened.
        UnsafeError: Opening it would run code.
        Interrupted: KeyboardInterrupt, with what was finished.

    References:
        Meller & Berkouk, Singular Value Representation: A New Graph Perspective On Neural Networks (AISTATS 2023),
        arXiv:2302.08183.
    """
    structure, include, exclude = _texts("structure", structure), _texts("include", include), _texts("exclude", exclude)
    options: dict[str, Any] = {
        "convention": convention,
        "gauge": gauge,
        "level": level,
        "correction": correction,
        "null": null,
        "draws": draws,
        "seed": seed,
        "keep": keep,
        "structure": list(structure),
        "search": search,
        "view": view,
        "flatten": flatten,
        "activation": activation,
        "include": list(include),
        "exclude": list(exclude),
        "device": device,
    }
    _check(options)
    checkpoint = open(source)
    model = source if checkpoint.format == "module" else None
    found = find(checkpoint, wiring, model=model, inputs=inputs, view=view, flatten=flatten, include=include, exclude=exclude)
    seen = _checked(without_depthwise(found))
    wired = CONVENTIONS[convention](in_gauge(seen, gauge, activation=activation))
    most = max(keep, level / _fewest(wired) if correction == "bonferroni" else level)
    engine = measuring.engine(device)
    _check_draws(nulls()[null], draws, level, len(wired.links), correction)
    options["wiring"] = _told(wiring, inputs)
    run = _Run(checkpoint, seen, wired, options, Found(), [])
    count = _Count(progress, sum(load(layer.matrix).work for layer in wired.layers), len(wired.layers))
    try:
        work(
            wired,
            Plan(nulls()[null], most, draws, seed, structure, run.lined()),
            run.found,
            engine=engine,
            workers=workers,
            memory=budget() if memory is None else memory,
            progress=count,
        )
        if search and CONVENTIONS[convention] is svr:
            run.search(engine)
        return run.finish(complete=True)  # which hashes the files
    except KeyboardInterrupt:
        raise Interrupted(run.finish(complete=False)) from None


@dataclass(eq=False)
class _Count:
    """Progress of the work, by multiply-adds."""

    callback: Callable[[Progress], None] | None
    total: float
    layers: int
    done: float = 0.0

    def __call__(self, work: float, place: int, layer: Layer) -> None:
        self.done += work
        if self.callback is not None:
            row = replace(measuring.blank(layer.matrix), name=layer.name)
            self.callback(Progress(self.done, self.total, place + 1, self.layers, row))


@dataclass(frozen=True, eq=False)
class _Run:
    """One call, and what it has found so far.

    Attributes:
        checkpoint: What is read.
        wiring: As it was found.
        wired: As it is decomposed: in a gauge and a convention.
        options: As they were given.
        found: Columns, pairs and gaps.
        paths: Best paths, where they were searched.
    """

    checkpoint: Checkpoint
    wiring: Wiring
    wired: Wiring
    options: dict[str, Any]
    found: Found
    paths: list[Chain]

    @property
    def decision(self) -> Decision:
        """What is significant among everything tested so far."""
        joined = [self.found.joined[number] for number in sorted(self.found.joined)]
        return decided(joined, CORRECTIONS[self.options["correction"]], self.options["level"])

    def lined(self) -> tuple[Link, ...]:
        """Links along lines, whose first modes make a chain that is fixed before looking."""
        if CONVENTIONS[self.options["convention"]] is not svr:
            return ()
        return tuple(self.wired.links[number] for line in lines(self.wired) for number in line)

    def column(self, name: str, position: int) -> Column:
        """A column in its place; output directions are those of the network only where it was not run backwards."""
        found = replace(self.found.columns[name], position=position)
        return found if CONVENTIONS[self.options["convention"]] is svr else replace(found, outputs=None)

    def search(self, engine: Engine) -> None:
        """Look for the best path along every line whose pairs are all there."""
        draws, seed, most = self.options["search"], self.options["seed"], self.decision.most
        for line in lines(self.wired):
            if all(number in self.found.joined for number in line):
                self.paths.append(best(self.wired, line, draws=draws, seed=seed, most=most, engine=engine))

    def finish(self, *, complete: bool) -> SpectralGraph:
        """Correct for everything that was tested, and put the graph together."""
        backwards = CONVENTIONS[self.options["convention"]] is reversed_
        joined = self.found.joined
        in_place = [joined[number] for number in sorted(joined)]
        decision = self.decision
        connections, edges = assembled(in_place, decision, keep=math.log(self.options["keep"]), backwards=backwards)
        chains = [
            first_modes(self.wired, line, [joined[number] for number in line], most=decision.most)
            for line in lines(self.wired)
            if all(number in joined for number in line) and CONVENTIONS[self.options["convention"]] is svr
        ]
        layers = [layer.name for layer in self.wired.layers if layer.name in self.found.columns]
        positions = self.wiring.positions()
        gaps = list(self.found.gaps)
        if not complete:
            said = {(gap.source, gap.target) for gap in gaps}
            gaps += [
                Gap(link.source, link.target, "interrupted before its turn")
                for number, link in enumerate(self.wired.links)
                if number not in joined and (link.source, link.target) not in said
            ]
        if backwards:
            layers.reverse()
            gaps = [replace(gap, source=gap.target, target=gap.source) for gap in gaps]
        return SpectralGraph(
            columns=tuple(self.column(name, positions[original(name)]) for name in layers),
            connections=connections,
            edges=edges,
            gaps=(*self.wired.gaps, *gaps),
            chains=(*chains, *self.paths),
            source=measuring.source(self.checkpoint, hashed=complete),
            options=self.options
            | {
                "tested": sum(item.tested for item in connections),
                "log_p_limit": _finite(decision.most),
                "log_p_family_limit": decision.family,
            },
            wiring=self.wired.how,
            notes=(*self.wired.notes, *([BALANCED] if self.options["gauge"] == "balanced" else [])),
            meta=measuring.versions(),
            complete=complete,
        )


def _texts(word: str, given: Any) -> tuple[str, ...]:
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, Sequence) or not all(isinstance(text, str) for text in found):
        raise UsageError(f"{word}: expected a text or a sequence of texts, got {given!r}.")
    return tuple(found)


def _check_draws(null: Null, draws: int, level: float, pairs: int, correction: str) -> None:
    """See that a simulated null can give an answer other than none.

    Raises:
        UsageError: Its smallest p-value is above what is significant.
    """
    least = math.ceil(pairs / level) - 1
    if getattr(null, "SIMULATED", False) and correction == "bonferroni" and draws < least:
        raise UsageError(
            f"draws: expected at least {least} for {pairs} pairs of layers at level {level:g}, got {draws}: with fewer no edge "
            "could be significant. Draw more, select fewer layers, or ask for correction='none'."
        )


def _told(wiring: Any, inputs: Any) -> str | None:
    """How the wiring was asked for, as plain data."""
    if wiring is None:
        return None if inputs is None else "traced"
    return str(wiring) if isinstance(wiring, str | PathLike) else "stated"


def _fewest(wiring: Wiring) -> int:
    """A number of edges that are tested at least: no p-value above the level over it can be significant after Bonferroni."""
    sizes = {layer.name: min(layer.matrix.shape) for layer in wiring.layers}
    likely = sum(sizes[link.source] * sizes[link.target] for link in wiring.links)
    return len(wiring.links) if likely > MANY else 1  # of a small graph everything is looked at: groups may leave few nodes


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _check(options: dict[str, Any]) -> None:
    """See that every option exists and is in range.

    Raises:
        UsageError: One is not.
    """
    for word, known in (("convention", CONVENTIONS), ("gauge", GAUGES), ("correction", CORRECTIONS), ("null", nulls())):
        if options[word] not in known:
            raise UsageError(f"{word}: expected one of {', '.join(known)}, got {options[word]!r}.")
    for name in options["structure"]:
        if name not in STRUCTURES:
            raise UsageError(f"structure: expected some of {', '.join(STRUCTURES)}, got {name!r}.")
    for word in ("level", "keep"):
        if not isinstance(options[word], int | float) or not LEAST_LEVEL <= options[word] < 1:
            raise UsageError(f"{word}: expected a probability between 0 and 1, not below {LEAST_LEVEL:g}, got {options[word]}.")
    if options["search"] and (options["null"], options["convention"]) != ("rotation", "svr"):
        raise UsageError("search: expected the null rotation and the convention svr, under which the best path is judged.")
    for word, least in (("draws", 1), ("seed", 0), ("search", 0)):
        if not isinstance(options[word], int) or options[word] < least:
            raise UsageError(f"{word}: expected an integer of {least} or more, got {options[word]}.")


def _checked(wiring: Wiring) -> Wiring:
    """The wiring without links whose dimensions do not fit, which become gaps that name both layers."""
    links, gaps = [], list(wiring.gaps)
    by_name = {layer.name: layer for layer in wiring.layers}
    for link in wiring.links:
        writer, reader = by_name[link.source], by_name[link.target]
        reason = ""
        if link.rows is None:
            if writer.out != reader.channels:
                reason = f"{link.source} writes {writer.out} channels, {link.target} reads {reader.channels}"
        elif link.rows.shape != (reader.channels,):
            reason = f"{link.target} reads {reader.channels} channels, the link names {link.rows.size} from {link.source}"
        elif link.rows.size and int(link.rows.max()) >= writer.out:
            reason = f"{link.source} writes {writer.out} channels, the link names channel {int(link.rows.max())}"
        elif not (link.rows >= 0).any():
            reason = f"no channel of {link.source} is read by {link.target}"
        if reason:
            gaps.append(Gap(link.source, link.target, reason))
        else:
            links.append(link)
    return replace(wiring, links=tuple(links), gaps=tuple(gaps))
