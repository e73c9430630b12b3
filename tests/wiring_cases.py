"""Small checkpoints of every family, and what each layer reads according to a forward pass in symbols: sets of writers."""

import json
from dataclasses import dataclass, field

import numpy as np
import torch

from checkpoint_cases import write_safetensors
from modescope import checkpoints

D, HEADS, SHARED, FF, VOCAB, DEPTH = 8, 4, 2, 12, 18, 2
WORDS = {"vocab_size": VOCAB, "hidden_size": D, "num_attention_heads": HEADS}


def folder(tmp_path, config, shapes, seed=0):
    """A checkpoint beside its config.json, with random entries."""
    generator = np.random.default_rng(seed)
    arrays = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    write_safetensors(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_text(json.dumps(config))
    return checkpoints.open(tmp_path), arrays


def live(module):
    return checkpoints.open(module)


def bare(arrays):
    return checkpoints.open({name: np.zeros(shape, np.float32) for name, shape in arrays.items()})


def joins(wiring):
    return {(link.source, link.target) for link in wiring.links}


def norms(layers):
    return [norm.name for norm in layers]


@dataclass(frozen=True)
class State:
    """An activation: whose outputs it is a sum of, and the norm it passed last."""

    writers: frozenset = frozenset()
    norm: str | None = None

    def __add__(self, other):
        return State(self.writers | other.writers)

    __mul__ = __add__


@dataclass
class Paper:
    """A network as its paper writes it; remembers what each layer was given."""

    reads: dict = field(default_factory=dict)

    def linear(self, name, x):
        self.reads[name] = x
        return State(frozenset({name}))

    def norm(self, name, x):
        return State(x.writers, name)

    def attention(self, q, k, v):
        del q, k  # they say where to look, not what is passed on
        return State(v.writers)

    @property
    def joins(self):
        return {(writer, reader) for reader, state in self.reads.items() for writer in state.writers}

    @property
    def norms(self):
        return {reader: state.norm for reader, state in self.reads.items()}


def embedded(paper, *names):
    states = [paper.linear(f"{name}.weight", State()) for name in names]
    for name in names:
        del paper.reads[f"{name}.weight"]
    x = states[0]
    for state in states[1:]:
        x = x + state
    return x


def bert(root="bert.", heads=("pooler.dense",)):
    b = [f"{root}encoder.layer.{n}." for n in range(DEPTH)]
    e = f"{root}embeddings."
    shapes = {f"{e}word_embeddings.weight": (VOCAB, D), f"{e}position_embeddings.weight": (10, D)}
    shapes |= {f"{e}token_type_embeddings.weight": (2, D), **norm(f"{e}LayerNorm")}
    for p in b:
        for leaf in ("query", "key", "value"):
            shapes |= linear(f"{p}attention.self.{leaf}", D, D)
        shapes |= linear(f"{p}attention.output.dense", D, D) | norm(f"{p}attention.output.LayerNorm")
        shapes |= linear(f"{p}intermediate.dense", FF, D) | linear(f"{p}output.dense", D, FF) | norm(f"{p}output.LayerNorm")
    for head in heads:
        shapes |= linear(root + head, D, D)
    paper = Paper()
    x = embedded(paper, f"{e}word_embeddings", f"{e}position_embeddings", f"{e}token_type_embeddings")
    x = paper.norm(f"{e}LayerNorm", x)
    for p in b:
        q, k, v = (paper.linear(f"{p}attention.self.{leaf}.weight", x) for leaf in ("query", "key", "value"))
        a = paper.linear(f"{p}attention.output.dense.weight", paper.attention(q, k, v))
        x = paper.norm(f"{p}attention.output.LayerNorm", x + a)
        h = paper.linear(f"{p}output.dense.weight", paper.linear(f"{p}intermediate.dense.weight", x))
        x = paper.norm(f"{p}output.LayerNorm", x + h)
    for head in heads:
        paper.linear(f"{root}{head}.weight", x)
    return {"model_type": "bert", "hidden_act": "gelu", **WORDS}, shapes, paper


def bert_with(architecture, kind):
    """A BERT with an output head of its class."""
    config, shapes, paper = bert(heads=("pooler.dense",) if kind == "classes" else ())
    last = f"bert.encoder.layer.{DEPTH - 1}."
    x = paper.reads[f"{last}intermediate.dense.weight"] + State(frozenset({f"{last}output.dense.weight"}))
    x = paper.norm(f"{last}output.LayerNorm", x)
    if kind == "classes":
        shapes |= linear("classifier", 3, D)
        paper.linear("classifier.weight", State(frozenset({"bert.pooler.dense.weight"})))
    else:
        shapes |= linear("cls.predictions.transform.dense", D, D) | norm("cls.predictions.transform.LayerNorm")
        h = paper.norm("cls.predictions.transform.LayerNorm", paper.linear("cls.predictions.transform.dense.weight", x))
        if kind == "tied":
            paper.linear("bert.embeddings.word_embeddings.weight unembedding", h)
        else:
            shapes["cls.predictions.decoder.weight"] = (VOCAB, D)
            paper.linear("cls.predictions.decoder.weight", h)
    return config | {"architectures": [architecture]}, shapes, paper


def distilbert():
    root = "distilbert."
    e = f"{root}embeddings."
    shapes = {f"{e}word_embeddings.weight": (VOCAB, D), f"{e}position_embeddings.weight": (10, D), **norm(f"{e}LayerNorm")}
    paper = Paper()
    x = paper.norm(f"{e}LayerNorm", embedded(paper, f"{e}word_embeddings", f"{e}position_embeddings"))
    for n in range(DEPTH):
        p = f"{root}transformer.layer.{n}."
        for leaf in ("q_lin", "k_lin", "v_lin", "out_lin"):
            shapes |= linear(f"{p}attention.{leaf}", D, D)
        shapes |= norm(f"{p}sa_layer_norm") | linear(f"{p}ffn.lin1", FF, D) | linear(f"{p}ffn.lin2", D, FF)
        shapes |= norm(f"{p}output_layer_norm")
        q, k, v = (paper.linear(f"{p}attention.{leaf}.weight", x) for leaf in ("q_lin", "k_lin", "v_lin"))
        x = x + paper.linear(f"{p}attention.out_lin.weight", paper.attention(q, k, v))
        x = paper.norm(f"{p}sa_layer_norm", x)
        x = x + paper.linear(f"{p}ffn.lin2.weight", paper.linear(f"{p}ffn.lin1.weight", x))
        x = paper.norm(f"{p}output_layer_norm", x)
    shapes |= linear("pre_classifier", D, D) | linear("classifier", 3, D)
    paper.linear("classifier.weight", paper.linear("pre_classifier.weight", x))
    return {"model_type": "distilbert", "n_heads": HEADS, "dim": D, "activation": "gelu"}, shapes, paper


def gpt2():
    shapes = {"transformer.wte.weight": (VOCAB, D), "transformer.wpe.weight": (10, D)}
    paper = Paper()
    x = embedded(paper, "transformer.wte", "transformer.wpe")
    for n in range(DEPTH):
        p = f"transformer.h.{n}."
        shapes |= norm(f"{p}ln_1") | norm(f"{p}ln_2")
        shapes |= linear(f"{p}attn.c_attn", D, 3 * D, bias=3 * D) | linear(f"{p}attn.c_proj", D, D)
        shapes |= linear(f"{p}mlp.c_fc", D, FF, bias=FF) | linear(f"{p}mlp.c_proj", FF, D, bias=D)
        y = paper.norm(f"{p}ln_1", x)
        q, k, v = (paper.linear(f"{p}attn.c_attn.weight {part}", y) for part in ("query", "key", "value"))
        x = x + paper.linear(f"{p}attn.c_proj.weight", paper.attention(q, k, v))
        x = x + paper.linear(f"{p}mlp.c_proj.weight", paper.linear(f"{p}mlp.c_fc.weight", paper.norm(f"{p}ln_2", x)))
    shapes |= norm("transformer.ln_f")
    paper.linear("transformer.wte.weight unembedding", paper.norm("transformer.ln_f", x))
    config = {"model_type": "gpt2", "n_head": HEADS, "n_embd": D, "architectures": ["GPT2LMHeadModel"]}
    return config | {"activation_function": "gelu_new"}, shapes, paper


def gpt_neo():
    shapes = {"transformer.wte.weight": (VOCAB, D), "transformer.wpe.weight": (10, D), **norm("transformer.ln_f")}
    paper = Paper()
    x = embedded(paper, "transformer.wte", "transformer.wpe")
    for n in range(DEPTH):
        p = f"transformer.h.{n}."
        a = f"{p}attn.attention."
        for leaf in ("q_proj", "k_proj", "v_proj"):
            shapes[f"{a}{leaf}.weight"] = (D, D)
        shapes |= linear(f"{a}out_proj", D, D) | linear(f"{p}mlp.c_fc", FF, D) | linear(f"{p}mlp.c_proj", D, FF)
        shapes |= norm(f"{p}ln_1") | norm(f"{p}ln_2")
        y = paper.norm(f"{p}ln_1", x)
        q, k, v = (paper.linear(f"{a}{leaf}.weight", y) for leaf in ("q_proj", "k_proj", "v_proj"))
        x = x + paper.linear(f"{a}out_proj.weight", paper.attention(q, k, v))
        x = x + paper.linear(f"{p}mlp.c_proj.weight", paper.linear(f"{p}mlp.c_fc.weight", paper.norm(f"{p}ln_2", x)))
    return {"model_type": "gpt_neo", "num_heads": HEADS, "hidden_size": D}, shapes, paper


def gptj():
    shapes = {"transformer.wte.weight": (VOCAB, D), **norm("transformer.ln_f"), **linear("lm_head", VOCAB, D)}
    paper = Paper()
    x = embedded(paper, "transformer.wte")
    for n in range(DEPTH):
        p = f"transformer.h.{n}."
        for leaf in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes[f"{p}attn.{leaf}.weight"] = (D, D)
        shapes |= linear(f"{p}mlp.fc_in", FF, D) | linear(f"{p}mlp.fc_out", D, FF) | norm(f"{p}ln_1")
        y = paper.norm(f"{p}ln_1", x)
        q, k, v = (paper.linear(f"{p}attn.{leaf}.weight", y) for leaf in ("q_proj", "k_proj", "v_proj"))
        a = paper.linear(f"{p}attn.out_proj.weight", paper.attention(q, k, v))
        x = x + a + paper.linear(f"{p}mlp.fc_out.weight", paper.linear(f"{p}mlp.fc_in.weight", y))
    paper.linear("lm_head.weight", paper.norm("transformer.ln_f", x))
    return {"model_type": "gptj", "n_head": HEADS, "n_embd": D}, shapes, paper


def gpt_neox(parallel=True):
    shapes = {"gpt_neox.embed_in.weight": (VOCAB, D), "embed_out.weight": (VOCAB, D), **norm("gpt_neox.final_layer_norm")}
    paper = Paper()
    x = embedded(paper, "gpt_neox.embed_in")
    for n in range(DEPTH):
        p = f"gpt_neox.layers.{n}."
        shapes |= linear(f"{p}attention.query_key_value", 3 * D, D) | linear(f"{p}attention.dense", D, D)
        shapes |= linear(f"{p}mlp.dense_h_to_4h", FF, D) | linear(f"{p}mlp.dense_4h_to_h", D, FF)
        shapes |= norm(f"{p}input_layernorm") | norm(f"{p}post_attention_layernorm")
        y = paper.norm(f"{p}input_layernorm", x)
        q, k, v = (paper.linear(f"{p}attention.query_key_value.weight {part}", y) for part in ("query", "key", "value"))
        a = paper.linear(f"{p}attention.dense.weight", paper.attention(q, k, v))
        z = paper.norm(f"{p}post_attention_layernorm", x if parallel else x + a)
        x = x + a + paper.linear(f"{p}mlp.dense_4h_to_h.weight", paper.linear(f"{p}mlp.dense_h_to_4h.weight", z))
    paper.linear("embed_out.weight", paper.norm("gpt_neox.final_layer_norm", x))
    return {"model_type": "gpt_neox", "use_parallel_residual": parallel, **WORDS}, shapes, paper


def llama(model_type="llama", *, biases=False, normed=False, between=False, fused=False, tied=False):
    size = D // HEADS
    shapes = {"model.embed_tokens.weight": (VOCAB, D), "model.norm.weight": (D,)}
    paper = Paper()
    x = embedded(paper, "model.embed_tokens")
    for n in range(DEPTH):
        p = f"model.layers.{n}."
        a, m = f"{p}self_attn.", f"{p}mlp."
        sizes = {"q_proj": D, "k_proj": SHARED * size, "v_proj": SHARED * size}
        if fused:
            shapes |= {f"{a}qkv_proj.weight": (sum(sizes.values()), D), f"{m}gate_up_proj.weight": (2 * FF, D)}
            qkv = [f"{a}qkv_proj.weight {part}" for part in ("query", "key", "value")]
            gate, up = f"{m}gate_up_proj.weight gate", f"{m}gate_up_proj.weight up"
        else:
            shapes |= {f"{a}{leaf}.weight": (rows, D) for leaf, rows in sizes.items()}
            shapes |= {f"{m}gate_proj.weight": (FF, D), f"{m}up_proj.weight": (FF, D)}
            qkv = [f"{a}{leaf}.weight" for leaf in sizes]
            gate, up = f"{m}gate_proj.weight", f"{m}up_proj.weight"
        if biases:
            shapes |= {f"{a}{leaf}.bias": (rows,) for leaf, rows in sizes.items()}
        if normed:
            shapes |= {f"{a}q_norm.weight": (size,), f"{a}k_norm.weight": (size,)}
        shapes |= {f"{a}o_proj.weight": (D, D), f"{m}down_proj.weight": (D, FF)}
        shapes |= {f"{p}input_layernorm.weight": (D,), f"{p}post_attention_layernorm.weight": (D,)}
        if between:
            shapes |= {f"{p}pre_feedforward_layernorm.weight": (D,), f"{p}post_feedforward_layernorm.weight": (D,)}
        y = paper.norm(f"{p}input_layernorm", x)
        q, k, v = (paper.linear(name, y) for name in qkv)
        x = x + paper.linear(f"{a}o_proj.weight", paper.attention(q, k, v))
        z = paper.norm(f"{p}{'pre_feedforward' if between else 'post_attention'}_layernorm", x)
        x = x + paper.linear(f"{m}down_proj.weight", paper.linear(gate, z) * paper.linear(up, z))
    y = paper.norm("model.norm", x)
    if tied:
        paper.linear("model.embed_tokens.weight unembedding", y)
    else:
        shapes["lm_head.weight"] = (VOCAB, D)
        paper.linear("lm_head.weight", y)
    config = {"model_type": model_type, **WORDS, "num_key_value_heads": SHARED, "rms_norm_eps": 1e-6, "hidden_act": "silu"}
    return config | {"head_dim": size, "architectures": ["LlamaForCausalLM"]}, shapes, paper


def phi():
    shapes = {"model.embed_tokens.weight": (VOCAB, D), **norm("model.final_layernorm"), **linear("lm_head", VOCAB, D)}
    paper = Paper()
    x = embedded(paper, "model.embed_tokens")
    for n in range(DEPTH):
        p = f"model.layers.{n}."
        for leaf in ("q_proj", "k_proj", "v_proj", "dense"):
            shapes |= linear(f"{p}self_attn.{leaf}", D, D)
        shapes |= linear(f"{p}mlp.fc1", FF, D) | linear(f"{p}mlp.fc2", D, FF) | norm(f"{p}input_layernorm")
        y = paper.norm(f"{p}input_layernorm", x)
        q, k, v = (paper.linear(f"{p}self_attn.{leaf}.weight", y) for leaf in ("q_proj", "k_proj", "v_proj"))
        a = paper.linear(f"{p}self_attn.dense.weight", paper.attention(q, k, v))
        x = x + a + paper.linear(f"{p}mlp.fc2.weight", paper.linear(f"{p}mlp.fc1.weight", y))
    paper.linear("lm_head.weight", paper.norm("model.final_layernorm", x))
    return {"model_type": "phi", **WORDS}, shapes, paper


def vit():
    e = "vit.embeddings."
    shapes = {f"{e}patch_embeddings.projection.weight": (D, 3, 4, 4), f"{e}patch_embeddings.projection.bias": (D,)}
    shapes |= {
        f"{e}position_embeddings": (1, 5, D),
        f"{e}cls_token": (1, 1, D),
        **norm("vit.layernorm"),
        **linear("classifier", 3, D),
    }
    paper = Paper()
    x = embedded(paper, f"{e}patch_embeddings.projection") + State(frozenset({f"{e}position_embeddings"}))
    for n in range(DEPTH):
        p = f"vit.encoder.layer.{n}."
        for leaf in ("query", "key", "value"):
            shapes |= linear(f"{p}attention.attention.{leaf}", D, D)
        shapes |= linear(f"{p}attention.output.dense", D, D) | norm(f"{p}layernorm_before") | norm(f"{p}layernorm_after")
        shapes |= linear(f"{p}intermediate.dense", FF, D) | linear(f"{p}output.dense", D, FF)
        y = paper.norm(f"{p}layernorm_before", x)
        q, k, v = (paper.linear(f"{p}attention.attention.{leaf}.weight", y) for leaf in ("query", "key", "value"))
        x = x + paper.linear(f"{p}attention.output.dense.weight", paper.attention(q, k, v))
        h = paper.linear(f"{p}intermediate.dense.weight", paper.norm(f"{p}layernorm_after", x))
        x = x + paper.linear(f"{p}output.dense.weight", h)
    paper.linear("classifier.weight", paper.norm("vit.layernorm", x))
    return {"model_type": "vit", **WORDS}, shapes, paper


def t5(gated=True):
    shapes = {"shared.weight": (VOCAB, D), "lm_head.weight": (VOCAB, D)}
    paper = Paper()
    x = y = embedded(paper, "shared")

    def attends(p, kind, mine, theirs):
        shapes.update({f"{p}{kind}.{leaf}.weight": (D, D) for leaf in "qkvo"} | {f"{p}layer_norm.weight": (D,)})
        q = paper.linear(f"{p}{kind}.q.weight", mine)
        k, v = (paper.linear(f"{p}{kind}.{leaf}.weight", theirs) for leaf in "kv")
        return paper.linear(f"{p}{kind}.o.weight", paper.attention(q, k, v))

    def computes(p, state):
        names = ("wi_0", "wi_1") if gated else ("wi",)
        shapes.update({f"{p}DenseReluDense.{name}.weight": (FF, D) for name in names} | {f"{p}layer_norm.weight": (D,)})
        shapes[f"{p}DenseReluDense.wo.weight"] = (D, FF)
        first = [paper.linear(f"{p}DenseReluDense.{name}.weight", state) for name in names]
        return paper.linear(f"{p}DenseReluDense.wo.weight", first[0] * first[-1])

    for n in range(DEPTH):
        p = f"encoder.block.{n}.layer."
        z = paper.norm(f"{p}0.layer_norm", x)
        x = x + attends(f"{p}0.", "SelfAttention", z, z)
        x = x + computes(f"{p}1.", paper.norm(f"{p}1.layer_norm", x))
    shapes |= {"encoder.final_layer_norm.weight": (D,), "decoder.final_layer_norm.weight": (D,)}
    memory = paper.norm("encoder.final_layer_norm", x)
    for n in range(DEPTH):
        p = f"decoder.block.{n}.layer."
        z = paper.norm(f"{p}0.layer_norm", y)
        y = y + attends(f"{p}0.", "SelfAttention", z, z)
        y = y + attends(f"{p}1.", "EncDecAttention", paper.norm(f"{p}1.layer_norm", y), memory)
        y = y + computes(f"{p}2.", paper.norm(f"{p}2.layer_norm", y))
    paper.linear("lm_head.weight", paper.norm("decoder.final_layer_norm", y))
    return {"model_type": "t5", "num_heads": HEADS, "d_model": D, "layer_norm_epsilon": 1e-6}, shapes, paper


def linear(name, rows, columns, bias=None):
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows if bias is None else bias,)}


def norm(name):
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


FAMILIES = {
    "bert": bert,
    "bert without a prefix": lambda: bert(root=""),
    "bert with classes": lambda: bert_with("BertForSequenceClassification", "classes"),
    "bert with masked words, tied": lambda: bert_with("BertForMaskedLM", "tied"),
    "bert with masked words": lambda: bert_with("BertForMaskedLM", "untied"),
    "distilbert": distilbert,
    "gpt2": gpt2,
    "gpt_neo": gpt_neo,
    "gptj": gptj,
    "gpt_neox": gpt_neox,
    "gpt_neox, in series": lambda: gpt_neox(parallel=False),
    "llama": llama,
    "llama, tied": lambda: llama(tied=True),
    "mistral": lambda: llama("mistral"),
    "qwen2": lambda: llama("qwen2", biases=True),
    "qwen3": lambda: llama("qwen3", normed=True),
    "gemma": lambda: llama("gemma", tied=True),
    "gemma2": lambda: llama("gemma2", between=True, tied=True),
    "gemma3": lambda: llama("gemma3_text", between=True, normed=True, tied=True),
    "phi": phi,
    "phi3": lambda: llama("phi3", fused=True),
    "vit": vit,
    "t5": t5,
    "t5, without gates": lambda: t5(gated=False),
}


def chain():
    """A convolutional network without branches, its sizes all different."""
    nn = torch.nn
    return nn.Sequential(
        *(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 7, 3), nn.BatchNorm2d(7), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(7 * 6, 11), nn.ReLU(), nn.Linear(11, 4)),
    )
