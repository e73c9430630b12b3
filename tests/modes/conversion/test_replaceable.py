"""Which modules modes can stand for: each kind of layer that cannot says why, and none is taken by mistake."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from modes_conversion_cases import convolutional, mlp
from modescope.modes.conversion.replaceable import replaceable


class Own(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * 2


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(3, 4))


def hooked() -> nn.Linear:
    layer = nn.Linear(4, 4)
    layer.register_forward_hook(lambda *_: None)
    return layer


def poisoned() -> nn.Linear:
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight[0, 0] = float("nan")
    return layer


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Conv2d(4, 4, 3, groups=2), "2 groups"),
        (lambda: nn.Conv3d(4, 4, 3), "Conv3d: no layer of modes"),
        (lambda: nn.ConvTranspose2d(4, 4, 3), "ConvTranspose2d: no layer"),
        (lambda: nn.Bilinear(3, 4, 5), "Bilinear: no layer"),
        (lambda: nn.LSTM(4, 4), "whole sequences"),
        (lambda: nn.GRU(4, 4), "whole sequences"),
        (lambda: nn.LSTMCell(4, 4), "LSTMCell: no layer"),
        (lambda: nn.EmbeddingBag(5, 4), "EmbeddingBag: no layer"),
        (lambda: nn.Embedding(5, 4, max_norm=1.0), "max_norm"),
        (lambda: nn.Embedding(5, 4, sparse=True), "sparse"),
        (lambda: Own(4, 4), "Own is not torch's own Linear"),
        (Bare, "Bare: no layer"),
        (lambda: nn.LazyLinear(4), "no shape yet"),
        (lambda: parametrizations.weight_norm(nn.Linear(4, 4)), "computed from other parameters"),
        (lambda: nn.utils.spectral_norm(nn.Linear(4, 4)), "computed from other parameters"),
        (lambda: prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5), "computed from other parameters"),
        (hooked, "hooks"),
        (poisoned, "1 of the 16 entries"),
        (lambda: nn.Linear(4, 4, device="meta"), "meta device"),
        (lambda: nn.Linear(4, 4, dtype=torch.complex64), "complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_what_modes_cannot_stand_for_says_why(make: Any, said: str) -> None:
    parts, reasons = replaceable(nn.Sequential(nn.Linear(3, 3), make()))
    assert [part.name for part in parts] == ["0"]
    assert said in reasons["1"]


def test_the_projections_of_attention_stay() -> None:
    parts, reasons = replaceable(nn.TransformerEncoderLayer(8, 2, 16))
    assert [part.name for part in parts] == ["linear1", "linear2"]
    assert "packed" in reasons["self_attn"]
    assert "without calling it" in reasons["self_attn.out_proj"]


def test_weights_of_two_layers_stay_and_name_each_other() -> None:
    net = nn.ModuleDict({"embed": nn.Embedding(9, 4), "head": nn.Linear(4, 9, bias=False), "other": nn.Linear(4, 4)})
    net["head"].weight = net["embed"].weight
    parts, reasons = replaceable(net)
    assert [part.name for part in parts] == ["other"]
    assert reasons == {"embed": "its weight is head.weight as well", "head": "its weight is embed.weight as well"}


def test_one_layer_in_two_places_is_one_part_and_modes_are_no_part_again() -> None:
    from modescope.modes.modules.linear import ModeLinear

    layer = nn.Linear(4, 4)
    parts, reasons = replaceable(nn.Sequential(layer, nn.ReLU(), layer, ModeLinear(4, 4, 1)))
    assert [part.name for part in parts] == ["0"]
    assert reasons == {"3": "in modes already"}


def test_views_of_one_buffer_are_weights_of_their_own() -> None:
    net, flat = nn.Sequential(nn.Linear(3, 3, False), nn.Linear(3, 3, False)), torch.randn(18)
    net[0].weight, net[1].weight = (nn.Parameter(part.view(3, 3)) for part in flat.split(9))
    assert len(replaceable(net)[0]) == 2


def test_parts_know_their_tensor_and_their_matrix() -> None:
    parts = {part.name: part for part in replaceable(convolutional())[0]}
    assert parts["0"].tensor == "0.weight"
    assert parts["0"].read().shape == (parts["0"].cost().outputs, parts["0"].cost().inputs) == (10, 27)
    assert (parts["0"].biased, parts["4"].biased) == (True, False)
    (only,), _ = replaceable(nn.Embedding(9, 4))
    assert (only.tensor, only.read().shape, only.cost().outputs) == ("weight", (4, 9), 4)
    ih, hh = replaceable(nn.ModuleDict({"cell": nn.GRUCell(5, 6)}))[0]
    assert (ih.name, ih.tensor, ih.read().shape) == ("cell.ih", "cell.weight_ih", (18, 5))
    assert (hh.name, hh.layer, hh.read().shape) == ("cell.hh", "cell", (18, 6))
    assert replaceable(mlp(torch.bfloat16))[0][0].read().dtype == "float32"
