"""GPT-J: attention and MLP read one norm of one state, rotary positions."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"gptj"})
TABLE = Table(
    blocks="h",
    query="attn.q_proj",
    key="attn.k_proj",
    value="attn.v_proj",
    output="attn.out_proj",
    mlp=("mlp.fc_in",),
    mlp_out="mlp.fc_out",
    attention_norm="ln_1",
    mlp_norm="ln_1",
    embeddings=("wte",),
    final_norm="ln_f",
    heads=(Head("lm_head", table=True), Head("score")),
    parallel=True,
    rotary=True,
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream; attention and MLP of one block are not connected."""
    return wire_table(checkpoint, TABLE, "gptj", view)
