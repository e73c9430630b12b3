"""Fits of one layer: what waits for a budget is not computed twice, and what is not kept is the same the second time."""

import pytest
import torch

from modes_conversion_cases import inputs, mlp
from modescope.modes.calibration import calibrate
from modescope.modes.conversion import convert, layer_fit
from modescope.modes.conversion.layer_fit import Fit
from modescope.modes.conversion.replaceable import replaceable


def test_truncations_wait_for_the_budget_unless_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x, calls = mlp(), inputs(), []
    cut = layer_fit.of_weight
    monkeypatch.setattr(layer_fit, "of_weight", lambda weight: calls.append(weight.shape) or cut(weight))
    once = convert(net, budget=0.6).model(x)
    assert len(calls) == 3
    monkeypatch.setattr(layer_fit, "KEPT", 0)
    assert torch.equal(convert(net, budget=0.6).model(x), once)
    assert len(calls) == 9


def test_uses_and_idle_weights_come_from_the_calibration() -> None:
    net = mlp()
    parts, _ = replaceable(net)
    fit = Fit(calibrate(net, inputs(), ["0"]), centred=True, frozen=False)
    assert [bool(fit.idle(part)) for part in parts] == [False, True, True]
    assert [fit.cut(part).by for part in parts] == ["outputs", "weight", "weight"]
    (table,), _ = replaceable(torch.nn.Embedding(9, 4))
    assert "no multiply-adds" in fit.idle(table)
