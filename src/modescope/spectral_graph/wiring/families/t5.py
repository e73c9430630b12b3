"""T5: an encoder stream and a decoder stream with RMS norms; cross attention reads keys and values from the end of the encoder."""

from dataclasses import replace

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring._drawing import Drawing, Stream
from modescope.spectral_graph.wiring.families._blocks import Head, Table, attention, heads, mlp, numbered, roots

MODELS = frozenset({"t5", "mt5"})
TABLE = Table(
    blocks="block",
    query="SelfAttention.q",
    key="SelfAttention.k",
    value="SelfAttention.v",
    output="SelfAttention.o",
    mlp_out="DenseReluDense.wo",
    heads=(Head("lm_head", table=True),),
)
_CROSS = replace(TABLE, query="EncDecAttention.q", key="EncDecAttention.k", value="EncDecAttention.v", output="EncDecAttention.o")


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """Both streams start at the shared embedding."""
    drawing = Drawing(checkpoint, view)
    for root in roots(checkpoint, "encoder.block"):
        embedding = drawing.embedding(f"{root}shared") or drawing.embedding(f"{root}encoder.embed_tokens")
        encoder, decoder = Stream(), Stream()
        drawing.write(encoder, embedding)
        drawing.write(decoder, embedding)
        for block in numbered(checkpoint, f"{root}encoder.block"):
            _attends(drawing, f"{block}layer.0.", encoder)
            _computes(drawing, f"{block}layer.1.", encoder)
        encoder.norm = drawing.norm(f"{root}encoder.final_layer_norm")
        for block in numbered(checkpoint, f"{root}decoder.block"):
            _attends(drawing, f"{block}layer.0.", decoder)
            _crosses(drawing, f"{block}layer.1.", encoder, decoder)
            _computes(drawing, f"{block}layer.2.", decoder)
        if decoder.writers != [layer.name for layer in embedding]:
            norm = drawing.norm(f"{root}decoder.final_layer_norm")
            heads(drawing, root, TABLE.heads, decoder, norm, f"{root}shared")
    return drawing.finished("t5")


def _attends(drawing: Drawing, block: str, stream: Stream) -> None:
    drawing.write(stream, attention(drawing, TABLE, block, stream, drawing.norm(f"{block}layer_norm")))


def _computes(drawing: Drawing, block: str, stream: Stream) -> None:
    gated = drawing.has(f"{block}DenseReluDense.wi_0")
    names = ("DenseReluDense.wi_0", "DenseReluDense.wi_1") if gated else ("DenseReluDense.wi",)
    drawing.write(stream, mlp(drawing, replace(TABLE, mlp=names), block, stream, drawing.norm(f"{block}layer_norm")))


def _crosses(drawing: Drawing, block: str, encoder: Stream, decoder: Stream) -> None:
    """Queries read the decoder after the norm of the place, keys and values the encoder after its last one; shown whole."""
    queries = drawing.take(block + _CROSS.query, norm=drawing.norm(f"{block}layer_norm"))
    keys, values = (drawing.take(block + name, norm=encoder.norm) for name in (_CROSS.key, _CROSS.value))
    outputs = drawing.take(block + _CROSS.output)
    drawing.read(decoder, queries)
    drawing.read(encoder, (*keys, *values))
    drawing.values_to_output(values, outputs)
    drawing.write(decoder, outputs)
    if drawing.view == "circuits":
        drawing.notes.append("cross attention is shown by heads: its sides read two streams")
