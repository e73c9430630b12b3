"""Vision transformers of Hugging Face (ViT, DeiT): patches and positions make the stream."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"vit", "deit"})
TABLE = Table(
    blocks="encoder.layer",
    query="attention.attention.query",
    key="attention.attention.key",
    value="attention.attention.value",
    output="attention.output.dense",
    mlp=("intermediate.dense",),
    mlp_out="output.dense",
    attention_norm="layernorm_before",
    mlp_norm="layernorm_after",
    embeddings=("embeddings.patch_embeddings.projection", "embeddings.position_embeddings"),
    final_norm="layernorm",
    heads=(Head("pooler.dense", ("classifier",), through=("tanh",)), Head("classifier")),
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream, each reader after a norm of its own."""
    return wire_table(checkpoint, TABLE, "vit", view)
