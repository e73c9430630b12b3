import numpy as np
import pytest

from layer_cases import by_name, counting, filled, formed, seen, singular_values, skipped

STEM = "base_model.model.layers.0.q_proj"


def pair(tag=("lora_A", "lora_B"), ending=".weight", a=(2, 3), b=(4, 2), **declared):
    return [counting(f"{STEM}.{tag[0]}{ending}", a, **declared), counting(f"{STEM}.{tag[1]}{ending}", b, **declared)]


def samples():
    magnitude = counting(f"{STEM}.lora_magnitude_vector.default.weight", (4,))
    kohya = [*pair(("lora_down", "lora_up")), counting(f"{STEM}.alpha", ())]
    checkpoints = [
        pair(),
        pair(ending=".default.weight"),
        pair(module="LoRA", lora_scale=2.0),
        pair(module="Linear"),
        pair(("lora_embedding_A", "lora_embedding_B"), ".default"),
        pair(a=(2, 3, 3, 3), b=(4, 2, 1, 1), module="Conv2d"),
        pair()[:1],
        kohya,
        [*pair(ending=".default.weight"), magnitude],
    ]
    return [(tensor, by_name(*tensors)) for tensors in checkpoints for tensor in tensors]


def only(*tensors):
    (row,) = seen(*tensors).values()
    return row


@pytest.mark.parametrize(
    ("tag", "ending"),
    [
        (("lora_A", "lora_B"), ".weight"),
        (("lora_A", "lora_B"), ".default.weight"),
        (("lora_A", "lora_B"), ""),
        (("lora_a", "lora_b"), ".weight"),
        (("lora_down", "lora_up"), ".weight"),
        (("lora.down", "lora.up"), ".weight"),
        (("lora_embedding_A", "lora_embedding_B"), ".default"),
    ],
)
def test_a_pair_is_one_row_and_the_other_half_says_where_it_went(tag, ending):
    inner, outer = pair(tag, ending, lora_scale=0.5)
    row = only(outer, inner)
    assert (row.kind, row.tensor, row.view, row.shape) == ("lora", inner.name, "product", (4, 3))
    assert row.parts == (inner.name, outer.name)
    assert row.note == ""
    np.testing.assert_array_equal(formed(row), 0.5 * outer.read() @ inner.read())
    assert skipped(outer, inner) == {outer.name: f"analysed together with {inner.name}"}


def test_the_product_has_the_values_of_the_formed_matrix():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((3, 20)), rng.standard_normal((15, 3))
    row = only(filled("l.lora_A.weight", A, **{"lora.scale": "4.0"}), filled("l.lora_B.weight", B))
    product = row.read()
    core = np.linalg.qr(product.left).R @ np.linalg.qr(product.right.T).R.T
    np.testing.assert_allclose(product.scale * singular_values(core), singular_values(4 * B @ A)[:3], rtol=1e-12)


def test_the_scale_of_kohya_is_alpha_over_rank_and_read_only_with_the_pair():
    alpha = filled(f"{STEM}.alpha", np.array(8.0))
    inner, outer = pair(("lora_down", "lora_up"))
    row = only(inner, outer, alpha)
    assert row.read().scale == 4.0
    assert row.parts == (inner.name, outer.name, alpha.name)
    assert row.note == ""
    assert skipped(inner, outer, alpha)[alpha.name] == f"scale of an adapter, read with {inner.name}"


def test_a_declared_scale_goes_before_alpha():
    inner, outer = pair(("lora_down", "lora_up"), lora_scale=0.25)
    assert only(inner, outer, filled(f"{STEM}.alpha", np.array(8.0))).read().scale == 0.25


def test_a_scale_that_nobody_declares_is_one_and_said():
    row = only(*pair())
    assert row.read().scale == 1.0
    assert row.note == "scale not declared: taken as 1"


def test_convolution_adapters_are_flattened():
    inner, outer = pair(a=(2, 3, 3, 3), b=(4, 2, 1, 1))
    row = only(inner, outer)
    assert row.shape == (4, 27)
    np.testing.assert_array_equal(formed(row), outer.read().reshape(4, 2) @ inner.read().reshape(2, 27))


def test_bare_lower_case_arrays_are_stored_in_out():
    inner, outer = pair(("lora_a", "lora_b"), "", a=(3, 2), b=(2, 4))
    np.testing.assert_array_equal(formed(only(inner, outer)), (inner.read() @ outer.read()).T)


def test_halves_are_matched_by_exact_stem_and_adapter():
    inner = counting("layers.1.q.lora_A.default.weight", (2, 3))
    for other in ("layers.11.q.lora_B.default.weight", "layers.1.q.lora_B.other.weight", "layers.1.q.lora_B.weight"):
        reasons = skipped(inner, counting(other, (4, 2)))
        assert reasons[inner.name] == "its pair layers.1.q.lora_B.default.weight is missing"
        assert "missing" in reasons[other]


def test_factors_that_do_not_multiply_are_skipped_with_their_shapes():
    inner, outer = pair(a=(2, 3), b=(4, 5))
    assert skipped(inner, outer)[inner.name] == "factors of shapes (2, 3) and (4, 5) do not multiply"


def test_a_third_factor_is_not_passed_over():
    middle = counting(f"{STEM}.lora_mid.weight", (2, 2, 3, 3))
    inner, outer = pair(("lora_down", "lora_up"))
    assert "third factor" in skipped(inner, outer, middle)[inner.name]


def test_a_decomposed_adapter_says_that_its_magnitudes_are_left_out():
    magnitude = counting(f"{STEM}.lora_magnitude_vector", (4,))
    row = only(*pair(lora_scale=1.0), magnitude)
    assert row.note == "without the magnitudes of DoRA, which rescale the merged weight"
    assert "DoRA" in skipped(*pair(), magnitude)[magnitude.name]


def test_a_full_weight_saved_beside_the_adapter_is_a_dense_map():
    tensor = counting("base_model.model.score.weight", (2, 3), module="LoRA")
    assert only(tensor).kind == "dense"


def test_integer_factors_are_skipped_with_the_reason():
    inner, outer = pair()
    packed = counting(inner.name, inner.shape, "int8")
    reasons = skipped(packed, outer)
    assert "dequantise" in reasons[inner.name]
    assert inner.name in reasons[outer.name]
