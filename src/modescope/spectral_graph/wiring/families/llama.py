"""Llama and its kin (Mistral, Qwen2, Qwen3, SmolLM3, Phi-3): RMS norms, gated MLPs, fewer key and value heads, rotary positions."""

from dataclasses import replace

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table
from modescope.spectral_graph.wiring.weights import config

TABLE = Table(
    blocks="layers",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    output="self_attn.o_proj",
    mlp=("mlp.gate_proj", "mlp.up_proj"),
    mlp_out="mlp.down_proj",
    attention_norm="input_layernorm",
    mlp_norm="post_attention_layernorm",
    embeddings=("embed_tokens",),
    final_norm="norm",
    heads=(Head("lm_head", table=True), Head("score"), Head("qa_outputs")),
    rotary=True,
)
_FUSED = replace(TABLE, query="", key="", value="", fused="self_attn.qkv_proj", mlp=(), gate_up="mlp.gate_up_proj")
_NORMED = replace(TABLE, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
_PARALLEL = replace(TABLE, parallel=True, mlp_norm="input_layernorm")
_BETWEEN = replace(
    TABLE, mlp_norm="pre_feedforward_layernorm", after_attention="post_attention_layernorm", after_mlp="post_feedforward_layernorm"
)
TABLES = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "smollm3", "stablelm", "gemma"), TABLE),
    "qwen3": _NORMED,
    "phi3": _FUSED,
    "gemma2": _BETWEEN,
    **dict.fromkeys(("gemma3_text", "gemma3"), replace(_BETWEEN, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")),
}


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in TABLES else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream, each reader after an RMS norm of its own; gate and up projections are multiplied before the down projection.

    In a parallel StableLM attention and MLP read one norm of one state.
    """
    table = TABLES[config(checkpoint, "model_type")]
    if config(checkpoint, "model_type") == "stablelm" and config(checkpoint, "use_parallel_residual") == "true":
        table = _PARALLEL
    return wire_table(checkpoint, table, "llama", view)
