"""Which pictures are made where nobody said so, and in which range."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import modescope as ms
from modescope.profiles import picturing, transforms

QUICK = {"truncation": False, "shown": 2}


@pytest.fixture
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), torch.randn(12, 5)


def test_images_that_nobody_asked_for_are_made_where_their_steps_fit_in_the_budget(net, monkeypatch):
    clock = count(step=2.0)  # two seconds between two looks at it
    monkeypatch.setattr(picturing, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    steps = transforms.steps(())
    layers, modes, signs, shown, forwards_and_backwards, half = 2, 2, 2, 4, 3, 0.5
    minutes = 2.0 / shown * steps * layers * modes * signs * forwards_and_backwards * half / 60
    said = f"it would take about {minutes:.0f} minutes here; ask for it by features=2"
    assert [layer.features for layer in ms.profile(*net, **QUICK).layers] == [said, said]
    monkeypatch.setattr(picturing, "BUDGET", minutes * 60 + 1)
    assert [len(layer.features) for layer in ms.profile(*net, **QUICK).layers] == [modes * signs] * layers


def test_an_image_lies_in_the_span_that_is_asked_for_and_else_in_that_of_the_data(net):
    model, data = net
    for span in ((0.25, 0.5), None):
        low, high = (float(data.min()), float(data.max())) if span is None else span
        made = ms.profile(model, data, layers="0", features=1, span=span, **QUICK).layers[0].features
        for one in made:
            assert low <= one.image.min() < one.image.max() <= high
            assert one.image.max() - one.image.min() > (high - low) / 2  # and fills it: a linear layer drives it to its ends
