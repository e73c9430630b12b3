"""Pairing by name, view and shape; by alias; without a prefix; and what stays alone, with its reason."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from modescope.comparison.pairing import pair
from modescope.matrix import Matrix


def matrix(name: str, shape: tuple[int, int] = (3, 2), *, view: str = "dense", aliases: tuple[str, ...] = ()) -> Matrix:
    return Matrix(name, view, shape, "float32", partial(np.zeros, shape), "dense", aliases=aliases)


def names(found: tuple[tuple[Matrix, ...], ...]) -> list[tuple[str, ...]]:
    return [tuple(m.tensor for m in layer) for layer in found]


def test_exact_names_are_paired_in_the_order_of_the_first() -> None:
    found = pair([[matrix("b"), matrix("a")], [matrix("a"), matrix("b")], [matrix("b"), matrix("a")]])
    assert names(found.layers) == [("b", "b", "b"), ("a", "a", "a")]
    assert found.unpaired == ()
    assert found.renamed == (("", ""), ("", ""))


def test_views_of_one_tensor_are_not_mixed_up() -> None:
    found = pair([[matrix("w", view="query"), matrix("w", view="key")], [matrix("w", view="key")]])
    assert [layer[0].view for layer in found.layers] == ["key"]
    assert [(item.view, item.reason) for item in found.unpaired] == [("query", "not in checkpoint 1")]


def test_a_tied_weight_is_found_by_its_other_name() -> None:
    found = pair([[matrix("head", aliases=("embed",))], [matrix("embed")]])
    assert names(found.layers) == [("head", "embed")]


def test_prefixes_are_taken_off_where_names_differ_by_them() -> None:
    first = [matrix(f"module.layers.{i}.fc.weight", (3 + i, 2)) for i in range(3)]
    for prefix in ("", "model.", "base_model.model."):
        found = pair([first, [matrix(m.tensor.replace("module.", prefix), m.shape) for m in reversed(first)]])
        assert [layer[0].shape for layer in found.layers] == [(3, 2), (4, 2), (5, 2)]
        assert all(layer[0].shape == layer[1].shape for layer in found.layers)
        assert found.renamed == (("module.", prefix),)


def test_exact_names_come_before_prefixes() -> None:
    found = pair([[matrix("fc.weight"), matrix("module.fc.weight")], [matrix("fc.weight"), matrix("model.fc.weight")]])
    assert names(found.layers) == [("fc.weight", "fc.weight"), ("module.fc.weight", "model.fc.weight")]


def test_one_layer_is_not_taken_for_another() -> None:
    assert pair([[matrix("layers.0.fc.weight")], [matrix("layers.1.fc.weight")]]).layers == ()
    assert pair([[matrix("fc1.weight")], [matrix("fc2.weight")]]).layers == ()


def test_a_suffix_that_fits_two_prefixes_pairs_nothing() -> None:
    found = pair([[matrix("a.x.weight"), matrix("b.x.weight")], [matrix("c.x.weight")]])
    assert found.layers == ()
    assert {item.reason for item in found.unpaired} == {"not in checkpoint 1", "not in checkpoint 0"}


def test_what_is_alone_or_of_another_shape_has_its_reason() -> None:
    found = pair([[matrix("a"), matrix("b", (4, 4)), matrix("c")], [matrix("a"), matrix("b", (4, 5))], [matrix("a"), matrix("d")]])
    assert names(found.layers) == [("a", "a", "a")]
    assert [(item.name, item.reason) for item in found.unpaired] == [
        ("b", "not in checkpoint 2"),
        ("c", "not in checkpoint 1, 2"),
        ("d", "not in checkpoint 0, 1"),
    ]
    assert pair([[matrix("b", (4, 4))], [matrix("b", (4, 5))]]).unpaired[0].reason == "shapes differ: 4×4, 4×5"


@pytest.mark.parametrize(
    ("factor", "weight", "view"),
    [
        ("a.xi_in", "a.weight", "dense"),
        ("xi_in", "weight", "unfolding"),
        ("a.parametrizations.xi_in.original", "a.weight", "transposed"),
        ("a.parametrizations.weight_hh_l0.original2", "a.weight_hh_l0", "dense"),
    ],
)
def test_modes_are_paired_with_the_weight_they_stand_for(factor: str, weight: str, view: str) -> None:
    modes = replace(matrix(factor, view="product"), kind="mode_factors")
    for one, other in ((matrix(weight, view=view), modes), (modes, matrix(weight, view=view)), (modes, modes)):
        assert names(pair([[one], [other]]).layers) == [(one.tensor, other.tensor)]
    prefixed = replace(matrix(f"model.b.{factor}", view="product"), kind="mode_factors")
    assert pair([[matrix(f"module.b.{weight}", view=view)], [prefixed]]).renamed == (("module.", "model."),)
    assert pair([[matrix(weight, view="query")], [modes]]).layers == ()


def test_a_tensor_that_only_has_the_name_of_a_factor_keeps_it() -> None:
    assert pair([[matrix("a.weight")], [matrix("a.xi_in")]]).layers == ()
