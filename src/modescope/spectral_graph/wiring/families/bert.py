"""BERT and its kin (RoBERTa, ELECTRA, MiniLM, CamemBERT, XLM-R): norms after every addition."""

from modescope.checkpoints import Checkpoint
from modescope.spectral_graph.wiring import Wiring
from modescope.spectral_graph.wiring.families._blocks import Head, Table
from modescope.spectral_graph.wiring.families._blocks import wire as wire_table

MODELS = frozenset({"bert", "roberta", "electra", "camembert", "xlm-roberta", "data2vec-text", "splinter"})
TABLE = Table(
    blocks="encoder.layer",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    mlp=("intermediate.dense",),
    mlp_out="output.dense",
    attention_norm="attention.output.LayerNorm",
    mlp_norm="output.LayerNorm",
    embeddings=("embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.token_type_embeddings"),
    embedding_norm="embeddings.LayerNorm",
    embedding_map="embeddings_project",
    heads=(
        Head("pooler.dense", ("classifier", "cls.seq_relationship"), through=("tanh",)),
        Head("cls.predictions.transform.dense", ("cls.predictions.decoder",), "cls.predictions.transform.LayerNorm", table=True),
        Head("lm_head.dense", ("lm_head.decoder",), "lm_head.layer_norm", table=True),
        Head("generator_predictions.dense", ("generator_lm_head",), "generator_predictions.LayerNorm", table=True),
        Head("discriminator_predictions.dense", ("discriminator_predictions.dense_prediction",)),
        Head("classifier.dense", ("classifier.out_proj",)),
        Head("classifier"),
        Head("qa_outputs"),
    ),
    post=True,
)


def claims(model_type: str, /) -> int:
    """3 for its models."""
    return 3 if model_type in MODELS else 0


def wire(checkpoint: Checkpoint, /, *, view: str | None = None) -> Wiring:
    """One stream, written by embeddings, attention and MLP, read after the norm that follows each addition."""
    return wire_table(checkpoint, TABLE, "bert", view)
