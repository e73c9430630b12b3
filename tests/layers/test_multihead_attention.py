import numpy as np
import pytest
import torch

from layer_cases import by_name, counting, live, seen


def samples():
    declared = counting("attn.in_proj_weight", (6, 2), module="MultiheadAttention", num_heads=2)
    bare = counting("attn.in_proj_weight", (6, 2))
    separate = counting("attn.k_proj_weight", (4, 3), module="MultiheadAttention", num_heads=2)
    return [(tensor, by_name(tensor)) for tensor in (declared, bare, separate)]


def test_the_projection_is_query_key_and_value_on_top_of_each_other():
    rows = seen(counting("attn.in_proj_weight", (6, 2)))
    assert [view for _, view in rows] == ["query", "key", "value"]
    np.testing.assert_array_equal(rows["attn.in_proj_weight", "key"].read(), [[4, 5], [6, 7]])


@pytest.mark.parametrize("widths", [{}, {"kdim": 3, "vdim": 5}])
def test_the_heads_reproduce_the_output_of_the_module(widths):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(8, 2, bias=False, dtype=torch.float64, **widths)
    rows = seen(*live(module, "attn"), view="heads")
    part_of = {part: next(name for name, view in rows if view == f"{part} head 0") for part in ("query", "key", "value")}
    query = torch.randn(4, 8, dtype=torch.float64)
    key, value = (torch.randn(6, widths.get(width, 8), dtype=torch.float64) for width in ("kdim", "vdim"))
    result = np.zeros((4, 8))
    for head in range(2):
        q, k, v = (
            of.numpy() @ rows[part_of[part], f"{part} head {head}"].read().T
            for part, of in (("query", query), ("key", key), ("value", value))
        )
        scores = np.exp(q @ k.T / np.sqrt(4))
        result += (scores / scores.sum(1, keepdims=True)) @ v @ rows["attn.out_proj.weight", f"output head {head}"].read().T
    np.testing.assert_allclose(result, module(query, key, value)[0].detach().numpy(), atol=1e-12)


def test_the_parts_bound_the_norm_of_the_whole():
    whole = np.random.default_rng(0).standard_normal((6, 4))
    norms = [np.linalg.norm(part, 2) for part in np.split(whole, 3)]
    assert max(norms) <= np.linalg.norm(whole, 2) <= np.linalg.norm(norms)


def test_without_a_number_of_heads_the_parts_are_shown_and_it_is_said():
    rows = seen(counting("attn.in_proj_weight", (6, 2)), view="heads")
    assert {(row.view, row.note) for row in rows.values()} == {
        (part, "number of heads not declared") for part in ("query", "key", "value")
    }
