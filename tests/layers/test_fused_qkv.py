import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, live, seen

GPT2 = {"config_model_type": "gpt2", "config_n_head": 2}
NEOX = {"config_model_type": "gpt_neox", "config_num_attention_heads": 2}


def samples():
    bare = counting("h.0.attn.c_attn.weight", (2, 6))
    tensors = [
        counting("h.0.attn.c_attn.weight", (4, 12), module="Conv1D", **GPT2),
        counting("h.0.attn.c_attn.weight", (4, 12), **GPT2),
        counting("layers.0.attention.query_key_value.weight", (12, 4), **NEOX),
        counting("blocks.0.attn.qkv.weight", (6, 2), module="Linear"),
        counting("layers.0.self_attn.qkv_proj.weight", (8, 4)),
    ]
    return [(bare, by_name(bare, counting("h.0.attn.c_attn.bias", (6,)))), *((tensor, by_name(tensor)) for tensor in tensors)]


def views_of(tensor, *others, view=None):
    return {row.view: row for row in seen(tensor, *others, view=view).values() if row.tensor == tensor.name}


def test_gpt2_stores_its_parts_side_by_side_as_columns():
    rows = views_of(counting("h.0.attn.c_attn.weight", (2, 6), module="Conv1D"))
    assert list(rows) == ["query", "key", "value"]
    np.testing.assert_array_equal(rows["key"].read(), [[2, 8], [3, 9]])
    assert rows["key"].kind == "fused_qkv"


def test_a_bare_fused_projection_is_turned_where_its_bias_says_so():
    turned = views_of(counting("attn.c_attn.weight", (2, 6)), counting("attn.c_attn.bias", (6,)))
    straight = views_of(counting("attn.c_attn.weight", (6, 2)), counting("attn.c_attn.bias", (6,)))
    np.testing.assert_array_equal(turned["value"].read(), [[4, 10], [5, 11]])
    np.testing.assert_array_equal(straight["value"].read(), [[8, 9], [10, 11]])


def test_gpt_neox_interleaves_its_parts_by_head():
    rows = views_of(counting("attention.query_key_value.weight", (6, 1), **NEOX | {"config_head_dim": 1}))
    np.testing.assert_array_equal([rows[part].read()[:, 0] for part in ("query", "key", "value")], [[0, 3], [1, 4], [2, 5]])


def test_grouped_heads_have_unequal_parts():
    said = {"config_model_type": "phi3", "config_num_attention_heads": 4, "config_num_key_value_heads": 2}
    tensor = counting("self_attn.qkv_proj.weight", (16, 8), **said)
    assert {view: row.shape for view, row in views_of(tensor).items()} == {"query": (8, 8), "key": (4, 8), "value": (4, 8)}
    heads = views_of(tensor, view="heads")
    assert list(heads) == [*(f"query head {i}" for i in range(4)), "key head 0", "key head 1", "value head 0", "value head 1"]
    np.testing.assert_array_equal(heads["value head 1"].read()[:, 0], [14 * 8, 15 * 8])


FALCON = {"config_model_type": "falcon", "config_num_attention_heads": 4}


@pytest.mark.parametrize(
    ("said", "value_rows"),
    [
        ({"config_multi_query": "True"}, {"query": range(8), "key": (8, 9), "value": (10, 11)}),
        (
            {"config_new_decoder_architecture": "true", "config_num_kv_heads": 2},
            {"query": (0, 1, 2, 3, 8, 9, 10, 11), "key": (4, 5, 12, 13), "value": (6, 7, 14, 15)},
        ),
        (
            {"config_multi_query": "false"},
            {"query": (0, 1, 6, 7, 12, 13, 18, 19), "key": (2, 3, 8, 9, 14, 15, 20, 21), "value": (4, 5, 10, 11, 16, 17, 22, 23)},
        ),
    ],
)
def test_falcon_has_three_layouts_and_the_configuration_tells_which(said, value_rows):
    n_rows = sum(map(len, value_rows.values()))
    rows = views_of(counting("h.0.self_attention.query_key_value.weight", (n_rows, 8), **FALCON, **said))
    for part, expected in value_rows.items():
        np.testing.assert_array_equal(rows[part].read()[:, 0] / 8, list(expected))


def test_codegen_stores_query_value_key_in_four_shards():
    tensor = counting("h.0.attn.qkv_proj.weight", (12, 4), config_model_type="codegen", config_n_head=4)
    rows = views_of(tensor)
    np.testing.assert_array_equal(rows["key"].read()[:, 0] / 4, [2, 5, 8, 11])
    np.testing.assert_array_equal(rows["value"].read()[:, 0] / 4, [1, 4, 7, 10])


@pytest.mark.parametrize("name", ["blocks.3.attn.qkv", "mixer.Wqkv", "attn.to_qkv", "self_attn.W_pack", "h.0.attn.c_attn"])
def test_names_with_one_layout_are_split_in_thirds_without_a_configuration(name):
    rows = views_of(counting(f"{name}.weight", (6, 2)))
    assert list(rows) == ["query", "key", "value"]
    heads = views_of(counting(f"{name}.weight", (6, 2)), view="heads")
    assert {row.note for row in heads.values()} == {"number of heads not declared"}


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((12, 4), {}),
        ((12, 4), {"config_model_type": "an_unknown_one", "config_n_head": 2}),
        ((13, 4), NEOX),
        ((12, 6), NEOX),
    ],
)
def test_a_layout_that_is_not_known_leaves_the_matrix_whole_and_says_so(shape, said):
    for view in (None, "heads"):
        (row,) = views_of(counting("attention.query_key_value.weight", shape, **said), view=view).values()
        assert (row.view, row.shape) == ("dense", shape)
        assert row.note.startswith("layout not known")


def gpt2_block():
    class Conv1D(torch.nn.Module):
        def __init__(self, n_in, n_out):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(n_in, n_out, dtype=torch.float64))
            self.bias = torch.nn.Parameter(torch.randn(n_out, dtype=torch.float64))

        def forward(self, x):
            return x @ self.weight + self.bias

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn, self.c_proj = Conv1D(6, 18), Conv1D(6, 6)

        def forward(self, x):
            q, k, v = (part.reshape(-1, 2, 3).transpose(0, 1) for part in self.c_attn(x).split(6, dim=-1))
            mixed = (q @ k.transpose(1, 2) / 3**0.5).tril().softmax(-1) @ v
            return self.c_proj(mixed.transpose(0, 1).reshape(-1, 6))

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = Attention()
            self.c_fc, self.ln_1 = Conv1D(6, 24), torch.nn.LayerNorm(6)

    torch.manual_seed(0)
    return Block()


@pytest.mark.parametrize("bare", [False, True])
def test_a_gpt2_module_and_its_state_dict_are_seen_alike_and_reproduce_its_attention(bare):
    block = gpt2_block()
    tensors = [
        type(tensor)(
            tensor.name,
            tensor.shape,
            tensor.stored,
            tensor.read,
            {**tensor.declared, **{k.replace("_", ".", 1): str(v) for k, v in GPT2.items()}},
        )
        for tensor in live(block, "h.0", bare=bare)
    ]
    kinds = {row.tensor: row.kind for row in seen(*tensors).values()}
    assert kinds == {
        "h.0.attn.c_attn.weight": "fused_qkv",
        "h.0.attn.c_proj.weight": "transposed",
        "h.0.c_fc.weight": "transposed",
    }
    rows = {row.view: row.read() for row in seen(*tensors, view="heads").values() if ".attn." in row.tensor}
    x = torch.randn(4, 6, dtype=torch.float64)
    bias = {part: block.attn.c_attn.bias.detach().numpy()[i * 6 : (i + 1) * 6] for i, part in enumerate(("query", "key", "value"))}
    result = np.tile(block.attn.c_proj.bias.detach().numpy(), (4, 1))
    for head in range(2):
        at = slice(head * 3, head * 3 + 3)
        q, k, v = (x.numpy() @ rows[f"{part} head {head}"].T + bias[part][at] for part in ("query", "key", "value"))
        scores = np.exp(np.tril(q @ k.T / 3**0.5))
        result += (scores / scores.sum(1, keepdims=True)) @ v @ rows[f"output head {head}"].T
    np.testing.assert_allclose(result, block.attn(x).detach().numpy(), atol=1e-12)
