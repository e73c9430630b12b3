import pytest

from layer_cases import by_name, counting, seen, skipped

REASONS = [
    ("empty", counting("fc.weight", (0, 4))),
    ("bias", counting("fc.bias", (4,))),
    ("bias", counting("experts.gate_up_proj_bias", (2, 4))),
    ("bias", counting("attn.bias_k", (1, 1, 8), module="MultiheadAttention")),
    ("normalisation", counting("ln_1.weight", (4,))),
    ("normalisation", counting("norm.weight", (3, 4), module="LayerNorm")),
    ("activation", counting("act.weight", (4,), module="PReLU")),
    ("bilinear", counting("b.weight", (2, 3, 4), module="Bilinear")),
    ("running statistic", counting("bn.running_mean", (4,), buffer="true")),
    ("counter", counting("bn.num_batches_tracked", (), "int64", buffer="true")),
    ("indices", counting("embeddings.position_ids", (1, 512), "int64")),
    ("mask", counting("h.0.attn.bias", (1, 1, 8, 8))),
    ("mask", counting("attn_mask", (4, 49, 49))),
    ("rotary", counting("rotary_emb.inv_freq", (4,))),
    ("rotary", counting("freqs_cis", (16, 4))),
    ("buffer", counting("projection.weight", (4, 3), buffer="true")),
    ("optimizer", counting("optimizer.state.0.exp_avg", (4, 3))),
    ("optimizer", counting("fc.weight.momentum_buffer", (4, 3))),
    ("EMA", counting("ema.fc.weight", (4, 3))),
    ("EMA", counting("model_ema.fc.weight", (4, 3))),
    ("dequantise", counting("q.qweight", (4, 3), "int32")),
    ("quantised", counting("q.qzeros", (4, 3), "int32")),
    ("quantised", counting("fc.weight.absmax", (4, 3))),
    ("quantised", counting("fc.SCB", (4,))),
    ("dequantise", counting("fc.weight", (4, 3), "int8")),
    ("dequantise", counting("fc.weight", (4, 3), "qint8")),
    ("integer", counting("table", (4, 3), "int64")),
    ("truth", counting("chosen", (4, 3), "bool")),
    ("complex", counting("phase.weight", (4, 3), "complex64")),
    ("type <U3", counting("words", (4, 3), "<U3")),
    ("parametrisation", counting("fc.parametrizations.weight.original1", (4, 3))),
    ("parametrisation", counting("fc.weight_orig", (4, 3))),
    ("single vector", counting("cls_token", (1, 1, 8))),
    ("adapter", counting("q.hada_w1_a", (4, 3))),
]


def samples():
    beside = counting("norm.weight", (3, 4)), counting("norm.bias", (3, 4))
    return [*((tensor, by_name(tensor)) for _, tensor in REASONS), (beside[0], by_name(*beside))]


@pytest.mark.parametrize(("word", "tensor"), REASONS, ids=lambda case: getattr(case, "name", case))
def test_the_reason_says_what_the_tensor_is(word, tensor):
    assert word in skipped(tensor)[tensor.name]


@pytest.mark.parametrize(
    ("tensor", "beside", "word"),
    [
        (counting("q.scales", (2, 4), "float16"), counting("q.qweight", (2, 4), "int32"), "quantised"),
        (counting("fc.weight", (4, 4), "float8_e4m3fn"), counting("fc.weight_scale_inv", (1, 1)), "dequantise"),
        (counting("fc.weight_v", (4, 3)), counting("fc.weight_g", (4, 1)), "parametrisation"),
        (counting("norm.weight", (3, 4)), counting("norm.bias", (3, 4)), "normalisation"),
        (counting("fc.weight_ema", (3, 4)), counting("fc.weight", (3, 4)), "EMA"),
    ],
)
def test_a_neighbour_tells_what_the_name_alone_does_not(tensor, beside, word):
    assert word in skipped(tensor, beside)[tensor.name]
    assert tensor.name not in skipped(tensor)


def test_vectors_and_numbers_nothing_is_known_of_are_skipped_too():
    assert skipped(counting("gamma", (4,)), counting("temperature", ())) == {
        "gamma": "one-dimensional: not a weight matrix",
        "temperature": "a single number: not a weight matrix",
    }


@pytest.mark.parametrize(
    "name", ["mask_head.weight", "schema.weight", "norm1.linear.weight", "normal.weight", "stream.weight", "bias_net.weight"]
)
def test_a_matrix_with_a_suspicious_name_is_still_a_matrix(name):
    assert [row.kind for row in seen(counting(name, (4, 3))).values()] == ["dense"]


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float32", "float64", "float8_e5m2"])
def test_every_floating_type_is_analysed(stored):
    assert [row.stored for row in seen(counting("fc.weight", (4, 3), stored)).values()] == [stored]
