"""Phi-1 and Phi-2: attention and MLP read one norm of one state, rotary positions."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"phi"})
TABLE = Table(
    blocks="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.dense",
    mlp=("mlp.fc1",),
    mlp_out="mlp.fc2",
    attention_norm="input_layernorm",
    mlp_norm="input_layernorm",
    embeddings=("embed_tokens",),
    final_norm="final_layernorm",
    heads=(Head("lm_head", table=True), Head("score")),
    parallel=True,
    rotary=True,
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream; attention and MLP of one block are not connected."""
    return wire_table(checkpoint, TABLE, "phi", view)
