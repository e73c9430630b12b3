"""GPT-NeoX and Pythia: a fused projection by head, rotary positions, attention and MLP in parallel unless the config says no."""

from dataclasses import replace

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table
from modescope.spectral_graph.wiring.weights import config

MODELS = frozenset({"gpt_neox"})
TABLE = Table(
    blocks="layers",
    fused="attention.query_key_value",
    output="attention.dense",
    mlp=("mlp.dense_h_to_4h",),
    mlp_out="mlp.dense_4h_to_h",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    embeddings=("embed_in",),
    final_norm="final_layer_norm",
    heads=(Head("embed_out", table=True), Head("score"), Head("classifier")),
    rotary=True,
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream; where the blocks are parallel, attention and MLP of one block are not connected."""
    parallel = config(checkpoint, "use_parallel_residual") != "false"  # the architecture's default
    return wire_table(checkpoint, replace(TABLE, parallel=parallel), "gpt_neox", view)
