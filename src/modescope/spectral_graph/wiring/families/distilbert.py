"""DistilBERT: BERT without token types and pooler, under names of its own."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"distilbert"})
TABLE = Table(
    blocks="transformer.layer",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    output="attention.out_lin",
    mlp=("ffn.lin1",),
    mlp_out="ffn.lin2",
    attention_norm="sa_layer_norm",
    mlp_norm="output_layer_norm",
    embeddings=("embeddings.word_embeddings", "embeddings.position_embeddings"),
    embedding_norm="embeddings.LayerNorm",
    heads=(
        Head("vocab_transform", ("vocab_projector",), "vocab_layer_norm", table=True),
        Head("pre_classifier", ("classifier",), through=("relu",)),
        Head("classifier"),
        Head("qa_outputs"),
    ),
    post=True,
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream, read after the norm that follows each addition."""
    return wire_table(checkpoint, TABLE, "distilbert", view)
