import numpy as np
import pytest

from layer_cases import by_name, counting, seen, skipped

UP, DOWN = "layers.0.mlp.experts.gate_up_proj", "layers.0.mlp.experts.down_proj"


def samples():
    pair = [counting(UP, (2, 8, 3)), counting(DOWN, (2, 3, 4))]
    lone = counting("block_sparse_moe.input_linear.weight", (2, 8, 3), config_model_type="granitemoe")
    unknown = counting("moe.w1", (2, 4, 3))
    return [*((tensor, by_name(*pair)) for tensor in pair), (lone, by_name(lone)), (unknown, by_name(unknown))]


def test_each_expert_is_a_matrix():
    row = seen(*(tensor for tensor, _ in samples()[:2]))[DOWN, "expert 1"]
    assert (row.kind, row.note) == ("experts", "")
    np.testing.assert_array_equal(row.read(), np.arange(12, 24).reshape(3, 4))


def test_the_two_projections_tell_how_experts_are_stored():
    stored_in_out = [counting(UP, (2, 3, 8), config_model_type="llama4"), counting(DOWN, (2, 4, 3), config_model_type="llama4")]
    rows = seen(*stored_in_out)
    assert rows[UP, "expert 0 gate"].shape == (4, 3)
    np.testing.assert_array_equal(rows[UP, "expert 0 up"].read(), np.arange(24).reshape(3, 8).T[4:])
    np.testing.assert_array_equal(rows[DOWN, "expert 1"].read(), np.arange(12, 24).reshape(4, 3).T)


def test_gate_and_up_come_one_after_the_other_or_in_turn_as_the_architecture_has_them():
    mixtral = seen(counting(UP, (1, 4, 3), config_model_type="mixtral", config_hidden_size=3))
    np.testing.assert_array_equal(mixtral[UP, "expert 0 up"].read(), [[6, 7, 8], [9, 10, 11]])
    oss = seen(counting(UP, (1, 3, 4), config_model_type="gpt_oss", config_hidden_size=3))
    np.testing.assert_array_equal(oss[UP, "expert 0 gate"].read(), [[0, 4, 8], [2, 6, 10]])
    np.testing.assert_array_equal(oss[UP, "expert 0 up"].read(), [[1, 5, 9], [3, 7, 11]])


def test_without_an_architecture_gate_and_up_stay_together_and_it_is_said():
    row = seen(counting(UP, (2, 8, 3)), counting(DOWN, (2, 3, 4)))[UP, "expert 0"]
    assert row.shape == (8, 3)
    assert row.note == "gate and up are fused: their order is not known, not split"


def test_an_orientation_that_is_not_known_is_said():
    assert seen(counting("moe.w1", (2, 4, 3)))["moe.w1", "expert 0"].note == "orientation not known: taken as (out, in)"


@pytest.mark.parametrize(("bias", "shape"), [(3, (3, 4)), (4, (4, 3))])
def test_a_bias_tells_the_outputs(bias, shape):
    tensors = counting("experts.up", (2, 4, 3)), counting("experts.up_bias", (2, bias))
    assert seen(*tensors)["experts.up", "expert 0"].shape == shape
    assert skipped(*tensors) == {"experts.up_bias": "bias, not a linear map"}


def test_the_hidden_size_tells_the_side():
    name = "experts.down_proj"
    assert seen(counting(name, (2, 3, 4), config_hidden_size=3))[name, "expert 0"].shape == (3, 4)
    assert seen(counting(name, (2, 4, 3), config_hidden_size=3))[name, "expert 0"].shape == (3, 4)


def test_the_two_projections_tell_it_without_any_configuration():
    rows = seen(counting(UP, (2, 3, 8)), counting(DOWN, (2, 4, 3)))
    assert rows[UP, "expert 0"].shape == (8, 3)
    assert rows[DOWN, "expert 0"].shape == (3, 4)


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("moe.conv1.weight", (4, 3, 3), "convolution"),
        ("experts.dwconv.weight", (4, 1, 3), "depthwise_convolution"),
        ("experts.up_transpose.weight", (4, 3, 3), "experts"),
    ],
)
def test_a_convolution_inside_an_expert_is_still_one(name, shape, kind):
    assert {row.kind for row in seen(counting(name, shape)).values()} == {kind}
