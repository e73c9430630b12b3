"""Which tensors may become modes, and what is said of the others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from modes_compression_cases import saved
from modescope.checkpoints import open
from modescope.matrix import Array
from modescope.modes.compression.eligible import Form, Weight, eligible
from modescope.selection import Selection

ONES = np.ones


def judged(source: Any, form: Form = "factored", *, embeddings: bool = False) -> tuple[dict[str, Weight], dict[str, str]]:
    taken, left = eligible(open(source), Selection(), form, embeddings=embeddings)
    return {one.tensor.name: one for one in taken}, {one.name: one.reason for one in left}


@pytest.mark.parametrize(
    ("tensors", "name", "reason"),
    [
        ({"a.bias": ONES(5)}, "a.bias", "one-dimensional"),
        ({"a.W": ONES((5, 4))}, "a.W", "not the weight of a layer by its name"),
        ({"a.weight": ONES((5, 4)), "a.xi_in": ONES((2, 4))}, "a.weight", "the name a.xi_in of its factors is taken"),
        ({"c.weight": ONES((5, 4, 3, 3, 3))}, "c.weight", "three axes"),
        ({"emb.word_embeddings.weight": ONES((50, 4))}, "emb.word_embeddings.weight", "an embedding"),
        ({"r.weight_ih_l0": ONES((12, 4)), "r.weight_hh_l0": ONES((12, 3))}, "r.weight_ih_l0", "read by its module by itself"),
        ({"m.in_proj_weight": ONES((12, 4)), "m.out_proj.weight": ONES((4, 4))}, "m.out_proj.weight", "torch's attention"),
        ({"in_proj_weight": ONES((12, 4)), "out_proj.weight": ONES((4, 4))}, "out_proj.weight", "torch's attention"),
        ({"m.in_proj_weight": ONES((12, 4)), "m.out_proj.weight": ONES((4, 4))}, "m.in_proj_weight", "by its module by itself"),
        ({"x.lora_A.weight": ONES((2, 8)), "x.lora_B.weight": ONES((6, 2))}, "x.lora_A.weight", "low rank already"),
        ({"q.weight": ONES((5, 4), np.int8)}, "q.weight", "packed or integer"),
        ({"l.xi_out": ONES((5, 2)), "l.s": ONES(2), "l.xi_in": ONES((2, 4))}, "l.xi_in", "modes"),
    ],
)
def test_what_cannot_become_a_mode_layer_stays_with_its_reason(
    tensors: dict[str, Array], name: str, reason: str, tmp_path: Path
) -> None:
    taken, left = judged(saved(tmp_path, tensors))
    assert name not in taken
    assert reason in left[name]


def test_every_tensor_is_either_taken_or_told_why_not(tmp_path: Path) -> None:
    tensors = {"a.weight": ONES((5, 4)), "a.bias": ONES(5), "t": ONES((2, 3)), "e": np.array(1.0), "odd": ONES((1, 2, 3, 4, 5, 6))}
    taken, left = judged(saved(tmp_path, tensors))
    assert set(taken) | set(left) == set(tensors)
    assert not set(taken) & set(left)
    assert all(left.values())


def test_the_dense_form_takes_whatever_is_one_matrix(tmp_path: Path) -> None:
    tensors = {
        "W": ONES((5, 4)),
        "c.weight": ONES((5, 4, 3, 3, 3)),
        "m.in_proj_weight": ONES((12, 4)),
        "m.out_proj.weight": ONES((4, 4)),
        "r.weight_ih_l0": ONES((12, 4)),
        "r.weight_hh_l0": ONES((12, 3)),
    }
    taken, left = judged(saved(tmp_path, tensors), "dense")
    assert set(taken) == set(tensors)
    assert not left
    assert taken["c.weight"].shape == (5, 108)
    assert taken["m.in_proj_weight"].shape == (12, 4)


def test_layers_that_are_declared_decide_for_themselves() -> None:
    network = nn.ModuleDict(
        {
            "grouped": nn.Conv2d(8, 8, 3, groups=2),
            "deep": nn.Conv2d(8, 8, 3, groups=8),
            "up": nn.ConvTranspose2d(8, 4, 3),
            "plain": nn.Conv2d(8, 4, 3),
            "line": nn.Conv1d(8, 4, 5),
            "fc": nn.Linear(8, 4),
        }
    )
    taken, left = judged(network)
    assert set(taken) == {"plain.weight", "line.weight", "fc.weight"}
    assert "grouped" in left["grouped.weight"]
    assert "one filter for each channel" in left["deep.weight"]
    assert "transposed convolution" in left["up.weight"]
    assert taken["line.weight"].shape == (4, 40)
    assert taken["line.weight"].input_shape == (8, 5)
    assert {one.bias for one in taken.values()} == {"plain.bias", "line.bias", "fc.bias"}


def test_a_weight_goes_back_into_the_shape_in_which_it_is_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "rows.weight": rng.standard_normal((5, 4)),
        "h.c_fc.weight": rng.standard_normal((4, 9)),
        "h.c_fc.bias": rng.standard_normal(9),
        "conv.weight": rng.standard_normal((6, 5, 3, 2)),
        "keras.kernel": rng.standard_normal((3, 2, 5, 6)),
        "keras.bias": rng.standard_normal(6),
        "pos_embed": rng.standard_normal((1, 7, 4)),
    }
    taken, _ = judged(saved(tmp_path, tensors), "dense", embeddings=True)
    assert {name: one.layout for name, one in taken.items()} == {
        "rows.weight": "rows",
        "h.c_fc.weight": "columns",
        "conv.weight": "rows",
        "keras.kernel": "channels last",
        "pos_embed": "columns",
    }
    for name, one in taken.items():
        matrix = one.read()
        assert matrix.shape == one.shape
        np.testing.assert_array_equal(one.stored(np.array(matrix)), tensors[name])
    np.testing.assert_array_equal(taken["keras.kernel"].read(), tensors["keras.kernel"].transpose(3, 2, 0, 1).reshape(6, -1))


def test_a_tied_weight_is_left_to_both_of_its_layers() -> None:
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    taken, left = judged(nn.Sequential(a, b))
    assert not taken
    assert "tied to 1.weight" in left["0.weight"]
    assert set(judged(nn.Sequential(a, b), "dense")[0]) == {"0.weight"}
    assert torch.equal(a.weight, b.weight)
