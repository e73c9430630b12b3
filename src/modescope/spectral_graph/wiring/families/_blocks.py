"""Transformers made of equal blocks around one residual stream: a table of names, and the wiring it means."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Layer, Norm, Wiring, weights
from modescope.spectral_graph.wiring._drawing import Drawing, Stream

ROTARY = "rotary positions turn queries against keys: QK circuits are those of equal positions"
POST = "norms stand after each addition: what was written earlier passed all norms since, of which only the last is folded"


@dataclass(frozen=True)
class Head:
    """Layers on top of a stream.

    Attributes:
        reader: Module that reads the stream.
        then: Modules that read what `reader` writes.
        norm: Between the two.
        through: Operations between the two.
        table: The last of `then`, or `reader` where there is none, is a table of vectors that may be tied to an embedding.
    """

    reader: str
    then: tuple[str, ...] = ()
    norm: str = ""
    through: tuple[str, ...] = ()
    table: bool = False


@dataclass(frozen=True)
class Table:
    """Names of the modules of a family; those of a block without the block's own name, the others without the model's.

    Attributes:
        blocks: Module that holds the blocks, by number.
        output: Output projection of the attention.
        query: Query projection; empty where `fused` holds it.
        key: Key projection.
        value: Value projection.
        fused: Projection of all three.
        mlp: First layers of the MLP: one, or those whose outputs are multiplied.
        gate_up: Both of them in one tensor, gate first; `mlp` is empty then.
        mlp_out: Its last layer.
        attention_norm: The norm of the attention: before it, or after its addition in a post-norm family.
        mlp_norm: That of the MLP.
        after_attention: Norm of what the attention writes, before its addition.
        after_mlp: That of the MLP.
        query_norm: Norm of each query.
        key_norm: Norm of each key.
        embeddings: Modules whose vectors make the stream.
        embedding_norm: Norm of the stream before the first block.
        embedding_map: From the stream of the embeddings into that of the blocks, where they differ in width.
        final_norm: After the last one.
        heads: On top.
        post: Norms stand after the additions.
        parallel: Attention and MLP of a block read one state of the stream.
        rotary: Queries and keys are turned by their positions.
    """

    blocks: str
    output: str
    query: str = ""
    key: str = ""
    value: str = ""
    fused: str = ""
    mlp: tuple[str, ...] = ()
    gate_up: str = ""
    mlp_out: str = ""
    attention_norm: str = ""
    mlp_norm: str = ""
    after_attention: str = ""
    after_mlp: str = ""
    query_norm: str = ""
    key_norm: str = ""
    embeddings: tuple[str, ...] = ()
    embedding_norm: str = ""
    embedding_map: str = ""
    final_norm: str = ""
    heads: tuple[Head, ...] = ()
    post: bool = False
    parallel: bool = False
    rotary: bool = False


def wire(checkpoint: Checkpoint, table: Table, name: str, view: str | None = None) -> Wiring:
    """Draw every stream of this table that the checkpoint holds.

    Args:
        checkpoint: Its headers are used.
        table: Names of the family.
        name: Of the family.
        view: None, "heads" or "circuits".
    """
    drawing = Drawing(checkpoint, view)
    for root in roots(checkpoint, table.blocks, f"{table.output}."):
        _model(drawing, table, root)
    if table.post:
        drawing.notes.append(POST)
    if table.rotary and view == "circuits":
        drawing.notes.append(ROTARY)
    return drawing.finished(name)


def roots(checkpoint: Checkpoint, blocks: str, layer: str = "") -> tuple[str, ...]:
    """What stands before the name of the blocks: "bert." of "bert.encoder.layer.0.output.dense.weight"; each once.

    Args:
        checkpoint: Whose names are looked at.
        blocks: Name of the blocks.
        layer: A layer that they have, so that a tower of another kind with blocks of the same name is none.
    """
    pattern = re.compile(rf"(|.*?\.){re.escape(blocks)}\.\d{{1,9}}\.{re.escape(layer)}", re.DOTALL)
    found = (pattern.match(tensor.name) for tensor in checkpoint.tensors)
    return tuple(dict.fromkeys(match[1] for match in found if match is not None))


def numbered(checkpoint: Checkpoint, prefix: str) -> Iterator[str]:
    """Prefixes of the blocks, in the order of their numbers: "encoder.layer.0." and so on."""
    pattern = re.compile(rf"{re.escape(prefix)}\.(\d{{1,9}})\.")
    found = {int(match[1]) for tensor in checkpoint.tensors if (match := pattern.match(tensor.name)) is not None}
    yield from (f"{prefix}.{number}." for number in sorted(found))


def activation(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The activation of the MLPs, where the configuration tells it."""
    keys = ("hidden_act", "activation_function", "hidden_activation", "activation", "feed_forward_proj")
    found = next(filter(None, (weights.config(checkpoint, key) for key in keys)), "")
    return (found,) if found else ()


def attention(
    drawing: Drawing, table: Table, block: str, stream: Stream, norm: Norm | None, after: Norm | None = None
) -> tuple[Layer, ...]:
    """Queries, keys and values read a stream; gives the output projections, which the caller lets write into one.

    Args:
        drawing: To draw in.
        table: Names.
        block: Prefix of the block.
        stream: What is read.
        norm: What the readers' input passed last.
        after: Norm of what is written.
    """
    names = {part: block + (getattr(table, part) or table.fused) for part in ("query", "key", "value")}
    parts = {part: part if table.fused else "" for part in names}
    outputs = drawing.parts(block + table.output)
    if drawing.view == "circuits":
        seen = {part: drawing.parts(names[part], parts[part]) for part in names}
        circuits = drawing.circuits(seen["query"], seen["key"], seen["value"], outputs, norm)
        if circuits is not None:
            reading, writing = circuits
            drawing.read(stream, (*reading, *writing))
            if table.query_norm:
                drawing.notes.append("norms of queries and keys stand inside the QK circuits and are left out")
            return writing
        drawing.notes.append(f"{block}{table.output}: heads are not known, its layers are shown whole")
    taken = {}
    for part, name in names.items():
        own = table.query_norm if part == "query" else table.key_norm if part == "key" else ""
        taken[part] = drawing.take(name, parts[part], norm, drawing.norm(block + own) if own else None)
        if not taken[part]:
            drawing.missing("", name, f"{name} ({part})")
        drawing.read(stream, taken[part])
    outputs = drawing.take(block + table.output, after=after)
    if not outputs:
        drawing.missing(taken["value"][0].name if taken["value"] else "", block + table.output, block + table.output)
    drawing.values_to_output(taken["value"], outputs)
    return outputs


def mlp(
    drawing: Drawing, table: Table, block: str, stream: Stream, norm: Norm | None, after: Norm | None = None
) -> tuple[Layer, ...]:
    """The first layers of an MLP read a stream; gives the last one, which the caller lets write into one."""
    names = (table.gate_up, table.gate_up) if table.gate_up else table.mlp
    if table.gate_up:
        entries = [*drawing.halves(block + table.gate_up, norm)]
    else:
        entries = [drawing.take(block + name, norm=norm) for name in names]
    last = drawing.take(block + table.mlp_out, after=after)
    for name, entry in zip(names, entries, strict=True):
        if not entry:
            drawing.missing("", block + name, block + name)
        drawing.read(stream, entry)
        drawing.feed(entry, last, "product" if len(names) > 1 else "next", activation(drawing.checkpoint))
    if not last and entries and entries[0]:
        drawing.missing(entries[0][0].name, block + table.mlp_out, block + table.mlp_out)
    return last


def heads(drawing: Drawing, root: str, found: tuple[Head, ...], stream: Stream, norm: Norm | None, embedding: str = "") -> None:
    """Layers on top of a stream; their names may stand beside the model's or inside it.

    Args:
        drawing: To draw in.
        root: Prefix of the model.
        found: Heads of the family.
        stream: What they read.
        norm: Of its last state.
        embedding: The table that a head without a tensor of its own is tied to.
    """
    outer = root.rstrip(".").rpartition(".")[0]
    prefixes = tuple(dict.fromkeys((root, f"{outer}." if outer else "", "")))
    shared = embedding if _is_tied(drawing) else ""
    placed: set[str] = set()
    for head in found:
        name = _named(drawing, prefixes, head.reader, placed)
        alone = head.table and not head.then
        if not name:
            if alone and shared and not any(drawing.tensor(prefix + head.reader) for prefix in prefixes):
                drawing.read(stream, drawing.unembedding(shared, norm))
            continue
        reader = drawing.unembedding(name, norm) if alone else drawing.take(name, norm=norm)
        drawing.read(stream, reader)
        norms = (weights.norm(drawing.checkpoint, prefix + head.norm) for prefix in prefixes if head.norm)
        between = next(filter(None, norms), None)
        nexts = [following for module in head.then if (following := _named(drawing, prefixes, module, placed))]
        if head.table and not nexts and shared and not alone:
            nexts = [shared]
        for following in nexts:
            after = drawing.unembedding(following, between) if head.table else drawing.take(following, norm=between)
            drawing.feed(reader, after, "next", head.through or activation(drawing.checkpoint))


def _named(drawing: Drawing, prefixes: tuple[str, ...], module: str, placed: set[str]) -> str:
    """The first prefix under which a module is in the checkpoint, with its name; empty where there is none or it was placed."""
    name = next((prefix + module for prefix in prefixes if drawing.has(prefix + module)), "")
    if name in placed:
        return ""
    placed.add(name)
    return name


def _is_tied(drawing: Drawing) -> bool:
    """Whether a head that is no tensor is the transpose of the embedding: the class named has one, and nothing unties it."""
    named = weights.config(drawing.checkpoint, "architectures")
    has_head = any(word in named for word in ("LMHead", "CausalLM", "ConditionalGeneration", "MaskedLM", "ForPreTraining"))
    return has_head and weights.config(drawing.checkpoint, "tie_word_embeddings") != "false"


def _model(drawing: Drawing, table: Table, root: str) -> None:
    stream = Stream()
    for name in table.embeddings:
        drawing.write(stream, drawing.embedding(root + name))
    stream.norm = _optional(drawing, root + table.embedding_norm) if table.embedding_norm else None
    if table.embedding_map and drawing.has(root + table.embedding_map):
        mapping = drawing.take(root + table.embedding_map, norm=stream.norm)
        drawing.read(stream, mapping)
        stream = Stream()
        drawing.write(stream, mapping)
    for block in numbered(drawing.checkpoint, f"{root}{table.blocks}"):
        if table.post:
            _post(drawing, table, block, stream)
        else:
            _pre(drawing, table, block, stream)
    norm = drawing.norm(root + table.final_norm) if table.final_norm else stream.norm
    heads(drawing, root, table.heads, stream, norm, root + table.embeddings[0])


def _pre(drawing: Drawing, table: Table, block: str, stream: Stream) -> None:
    first = drawing.norm(block + table.attention_norm) if table.attention_norm else None
    second = drawing.norm(block + table.mlp_norm) if table.mlp_norm else None
    after, last = (_optional(drawing, block + name) if name else None for name in (table.after_attention, table.after_mlp))
    outputs = attention(drawing, table, block, stream, first, after)
    if not table.parallel:
        drawing.write(stream, outputs)
    written = mlp(drawing, table, block, stream, second, last)
    if table.parallel:
        drawing.write(stream, outputs)
    drawing.write(stream, written)


def _post(drawing: Drawing, table: Table, block: str, stream: Stream) -> None:
    drawing.write(stream, attention(drawing, table, block, stream, stream.norm))
    stream.norm = drawing.norm(block + table.attention_norm)
    drawing.write(stream, mlp(drawing, table, block, stream, stream.norm))
    stream.norm = drawing.norm(block + table.mlp_norm)


def _optional(drawing: Drawing, module: str) -> Norm | None:
    """A norm that a family may lack."""
    return weights.norm(drawing.checkpoint, module)
