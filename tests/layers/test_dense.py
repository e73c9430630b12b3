import numpy as np
import pytest

from layer_cases import by_name, counting, formed, seen

BERT = {"config_model_type": "bert", "config_num_attention_heads": 2}
LLAMA = {"config_model_type": "llama", "config_num_attention_heads": 4, "config_num_key_value_heads": 2}
ATTENTION = "encoder.layer.0.attention"


def samples():
    declared = counting("encoder.fc.weight", (2, 3), module="Linear")
    bare = counting("fc_w", (2, 3))
    query = counting(f"{ATTENTION}.self.query.weight", (4, 6), **BERT)
    output = counting(f"{ATTENTION}.output.dense.weight", (6, 4), **BERT)
    return [(tensor, by_name(tensor)) for tensor in (declared, bare, query, output)]


def test_a_dense_map_is_its_tensor_as_stored():
    row = seen(counting("fc.weight", (2, 3)))["fc.weight", "dense"]
    assert row.kind == "dense"
    np.testing.assert_array_equal(row.read(), [[0, 1, 2], [3, 4, 5]])


def test_an_output_head_is_not_turned_though_it_may_be_tied_to_an_embedding():
    assert seen(counting("lm_head.weight", (7, 3)))["lm_head.weight", "dense"].shape == (7, 3)
    assert seen(counting("embed_out.weight", (7, 3)))["embed_out.weight", "dense"].shape == (7, 3)


def test_a_row_matrix_of_a_mapping_is_analysed():
    assert seen(counting("a", (1, 5)))["a", "dense"].shape == (1, 5)


def test_query_heads_are_rows_and_output_heads_are_columns():
    rows = seen(counting(f"{ATTENTION}.self.query.weight", (4, 2), **BERT), view="heads")
    assert [view for _, view in rows] == ["query head 0", "query head 1"]
    np.testing.assert_array_equal(rows[f"{ATTENTION}.self.query.weight", "query head 1"].read(), [[4, 5], [6, 7]])
    columns = seen(counting(f"{ATTENTION}.output.dense.weight", (2, 4), **BERT), view="heads")
    np.testing.assert_array_equal(columns[f"{ATTENTION}.output.dense.weight", "output head 1"].read(), [[2, 3], [6, 7]])


def test_shared_key_heads_are_counted_by_the_configuration():
    name = "model.layers.0.self_attn.k_proj.weight"
    assert len(seen(counting(name, (4, 8), **LLAMA), view="heads")) == 2
    assert len(seen(counting(name.replace("k_proj", "q_proj"), (8, 8), **LLAMA), view="heads")) == 4


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_encoder_and_decoder_have_their_own_heads(side):
    declared = {"config_encoder_attention_heads": 2, "config_decoder_attention_heads": 3}
    rows = seen(counting(f"model.{side}.layers.0.self_attn.v_proj.weight", (6, 6), **declared), view="heads")
    assert len(rows) == {"encoder": 2, "decoder": 3}[side]


def test_a_nested_configuration_of_the_vision_tower_counts_for_the_vision_tower():
    said = {"config_num_attention_heads": 2, "config_vision_config.num_attention_heads": 4}
    assert len(seen(counting("vision_model.layers.0.self_attn.q_proj.weight", (8, 8), **said), view="heads")) == 4
    assert len(seen(counting("language_model.layers.0.self_attn.q_proj.weight", (8, 8), **said), view="heads")) == 2


def test_without_a_number_of_heads_the_projection_stays_whole_and_says_so():
    (row,) = seen(counting("self_attn.q_proj.weight", (4, 6)), view="heads").values()
    assert (row.view, row.note) == ("dense", "number of heads not declared")
    (row,) = seen(counting("self_attn.q_proj.weight", (5, 6), config_n_head=2), view="heads").values()
    assert row.view == "dense"
    assert "do not divide" in row.note


def test_what_is_no_attention_is_not_cut_into_heads():
    assert [view for _, view in seen(counting("encoder.layer.0.output.dense.weight", (4, 6), **BERT), view="heads")] == ["dense"]


def test_the_heads_of_the_output_projection_add_up_to_it():
    name = "decoder.layers.0.self_attn.o_proj.weight"
    heads = seen(counting(name, (4, 6), config_n_head=3), view="heads").values()
    np.testing.assert_array_equal(np.hstack([formed(head) for head in heads]), np.arange(24).reshape(4, 6))
