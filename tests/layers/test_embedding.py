import numpy as np
import pytest

from layer_cases import by_name, counting, seen


def samples():
    tensors = [counting("tokens.weight", (5, 3), module="Embedding"), counting("vit.pos_embed", (1, 5, 3))]
    names = [
        "wte.weight",
        "transformer.wpe.weight",
        "embeddings.word_embeddings.weight",
        "model.embed_tokens.weight",
        "enc_emb",
        "shared.weight",
    ]
    names += ["gpt_neox.embed_in.weight", "block.0.relative_attention_bias.weight", "attn.relative_position_bias_table"]
    return [(tensor, by_name(tensor)) for tensor in [*tensors, *(counting(name, (5, 3)) for name in names)]]


def test_the_input_is_a_token_and_the_output_its_vector():
    row = seen(counting("wte.weight", (3, 2)))["wte.weight", "embedding"]
    assert (row.kind, row.shape) == ("embedding", (2, 3))
    one_hot = np.array([0, 1, 0])
    np.testing.assert_array_equal(row.read() @ one_hot, [2, 3])


def test_an_axis_that_broadcasts_over_the_batch_is_dropped():
    (row,) = seen(counting("pos_embed", (1, 3, 2))).values()
    np.testing.assert_array_equal(row.read(), [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize("name", ["unembed.weight", "embed_out.weight", "time_embed.0.weight", "patch_embed.proj.weight"])
def test_a_linear_map_near_an_embedding_is_none(name):
    assert [row.kind for row in seen(counting(name, (5, 3))).values()] == ["dense"]


def test_a_layer_with_a_bias_is_no_embedding_whatever_its_name():
    tensors = counting("visual_embedding.weight", (5, 3)), counting("visual_embedding.bias", (5,))
    assert [row.kind for row in seen(*tensors).values()] == ["dense"]


def test_a_declared_linear_layer_is_no_embedding_whatever_its_name():
    assert [row.kind for row in seen(counting("embedding.weight", (5, 3), module="Linear")).values()] == ["dense"]
