import numpy as np
import pytest

from layer_cases import by_name, counting, seen

BIAS = counting("h.0.mlp.c_fc.bias", (3,))


def samples():
    declared = counting("h.0.mlp.c_fc.weight", (2, 3), module="Conv1D")
    family = counting("h.0.attn.c_proj.weight", (4, 4), config_model_type="gpt2")
    bare = counting("h.0.mlp.c_fc.weight", (2, 3))
    kernel = counting("params.Dense_0.kernel", (2, 3))
    return [
        (declared, by_name(declared)),
        (family, by_name(family)),
        (bare, by_name(bare, BIAS)),
        (kernel, by_name(kernel)),
    ]


def test_conv1d_is_turned():
    row = seen(counting("h.0.mlp.c_fc.weight", (2, 3), module="Conv1D"))["h.0.mlp.c_fc.weight", "transposed"]
    assert row.kind == "transposed"
    np.testing.assert_array_equal(row.read(), [[0, 3], [1, 4], [2, 5]])


def test_conv1d_has_the_singular_values_of_the_transposed_linear_layer():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 3))
    stored = counting("c_fc.weight", (5, 3), module="Conv1D")
    (row,) = seen(type(stored)(stored.name, stored.shape, "float64", lambda: weight, stored.declared)).values()
    x, bias = rng.standard_normal((2, 5)), rng.standard_normal(3)
    np.testing.assert_allclose(x @ weight + bias, x @ row.read().T + bias, rtol=1e-14)


@pytest.mark.parametrize(("bias", "kind"), [(3, "transposed"), (2, "dense"), (None, "dense")])
def test_a_bare_name_needs_a_bias_as_long_as_the_second_axis(bias, kind):
    tensors = [counting("h.0.mlp.c_fc.weight", (2, 3))]
    tensors += [counting("h.0.mlp.c_fc.bias", (bias,))] if bias else []
    assert [row.kind for row in seen(*tensors).values()] == [kind]


def test_a_declared_linear_layer_of_that_name_is_not_turned():
    tensors = [counting("mlp.c_fc.weight", (2, 3), module="Linear"), counting("mlp.c_fc.bias", (3,))]
    assert [row.kind for row in seen(*tensors).values()] == ["dense"]


@pytest.mark.parametrize(("shape", "bias", "kind"), [((4, 12), 12, "transposed"), ((12, 4), 12, "dense")])
def test_a_square_projection_is_stored_as_the_fused_one_beside_it(shape, bias, kind):
    square = [counting("h.0.attn.c_proj.weight", (4, 4)), counting("h.0.attn.c_proj.bias", (4,))]
    fused = [counting("h.0.attn.c_attn.weight", shape), counting("h.0.attn.c_attn.bias", (bias,))]
    (row,) = (row for row in seen(*square, *fused).values() if row.tensor == "h.0.attn.c_proj.weight")
    assert row.kind == kind


def test_an_architecture_with_linear_layers_of_these_names_is_not_turned():
    tensors = [
        counting("h.0.attn.c_proj.weight", (4, 4), config_model_type="gpt_bigcode"),
        counting("h.0.attn.c_proj.bias", (4,)),
    ]
    assert [row.kind for row in seen(*tensors).values()] == ["dense"]


def test_output_heads_are_columns_after_turning():
    tensor = counting("h.0.attn.c_proj.weight", (4, 3), module="Conv1D", config_model_type="gpt2", config_n_head=2)
    rows = seen(tensor, view="heads")
    assert [view for _, view in rows] == ["output head 0", "output head 1"]
    np.testing.assert_array_equal(rows[tensor.name, "output head 1"].read(), np.arange(12).reshape(4, 3).T[:, 2:])
