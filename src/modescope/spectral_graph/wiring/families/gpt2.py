"""GPT-2: norms before attention and MLP, a fused projection stored (in, out), an output head tied to the embedding."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"gpt2"})
TABLE = Table(
    blocks="h",
    fused="attn.c_attn",
    output="attn.c_proj",
    mlp=("mlp.c_fc",),
    mlp_out="mlp.c_proj",
    attention_norm="ln_1",
    mlp_norm="ln_2",
    embeddings=("wte", "wpe"),
    final_norm="ln_f",
    heads=(Head("lm_head", table=True), Head("score"), Head("classifier")),
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream, each reader after a norm of its own."""
    return wire_table(checkpoint, TABLE, "gpt2", view)
