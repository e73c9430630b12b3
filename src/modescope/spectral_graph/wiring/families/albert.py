"""ALBERT: one block used at every depth. What it writes it reads in the next pass, so its readers stand a second time."""

from dataclasses import replace

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring._drawing import Drawing, Stream
from modescope.spectral_graph.wiring.families._blocks import POST, Head, Table, attention, heads, mlp, numbered, roots
from modescope.spectral_graph.wiring.weights import config

AGAIN = "again"  # ends the name of a layer as it is met in every pass but the first
TABLE = Table(
    blocks="encoder.albert_layer_groups",
    query="attention.query",
    key="attention.key",
    value="attention.value",
    output="attention.dense",
    mlp=("ffn",),
    mlp_out="ffn_output",
    attention_norm="attention.LayerNorm",
    mlp_norm="full_layer_layer_norm",
    embeddings=("embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.token_type_embeddings"),
    embedding_norm="embeddings.LayerNorm",
    heads=(
        Head("pooler", ("classifier", "sop_classifier.classifier"), through=("tanh",)),
        Head("predictions.dense", ("predictions.decoder",), "predictions.LayerNorm", table=True),
        Head("classifier"),
        Head("qa_outputs"),
    ),
    post=True,
)


def claims(model_type: str, /) -> int:
    """3 for ALBERT."""
    return 3 if model_type == "albert" else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """Embeddings in a narrow stream, a map into the wide one, and its blocks.

    What a block writes is read by the same block in the next pass. Links lead forwards, so the readers of a block stand a second
    time, as "... again": joined to what the block wrote, with the norm that ends it before them. More passes add nothing new.
    """
    drawing = Drawing(checkpoint, view)
    for root in roots(checkpoint, TABLE.blocks):
        narrow, stream = Stream(), Stream()
        for name in TABLE.embeddings:
            drawing.write(narrow, drawing.embedding(root + name))
        mapping = drawing.take(f"{root}encoder.embedding_hidden_mapping_in", norm=drawing.norm(root + TABLE.embedding_norm))
        drawing.read(narrow, mapping)
        drawing.write(stream, mapping)
        groups = [[*numbered(checkpoint, f"{group}albert_layers")] for group in numbered(checkpoint, root + TABLE.blocks)]
        passes = _passes(checkpoint, len(groups))
        for blocks in groups:
            _group(drawing, blocks, stream, passes)
        heads(drawing, root, TABLE.heads, stream, stream.norm, root + TABLE.embeddings[0])
    drawing.notes.append(POST)
    return drawing.finished("albert")


def _passes(checkpoint: Checkpoint, groups: int) -> int:
    depth = config(checkpoint, "num_hidden_layers")
    return max(1, int(depth) // groups) if depth.isdecimal() and groups else 1


def _group(drawing: Drawing, blocks: list[str], stream: Stream, passes: int) -> None:
    """One pass through the blocks of a group, and what the further passes read."""
    entry, known = len(stream.writers), set(stream.readers)
    for block in blocks:
        drawing.write(stream, attention(drawing, TABLE, block, stream, stream.norm))
        stream.norm = drawing.norm(block + TABLE.attention_norm)
        drawing.write(stream, mlp(drawing, TABLE, block, stream, stream.norm))
        stream.norm = drawing.norm(block + TABLE.mlp_norm)
    if passes < 2:
        return
    for name, seen in [(name, seen) for name, seen in stream.readers.items() if name not in known]:
        layer = drawing.layers[name]
        # The first block of a group is entered after another norm in its first pass, so all that it reads is seen anew.
        entered = seen == entry
        before = (stream.norm,) if entered and stream.norm is not None else layer.before
        again = drawing.add(replace(layer, name=f"{name} {AGAIN}", before=before))
        drawing.read(stream, (again,), start=0 if entered else seen)
    names = ", ".join(block.rstrip(".") for block in blocks)
    drawing.notes.append(
        f"{names}: used {passes} times; its readers stand a second time, as '{AGAIN}', joined to what it wrote in earlier passes"
    )
