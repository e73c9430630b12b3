"""The callback of the Lightning Trainer, against a Trainer that calls it as documented."""

import math
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from modescope.errors import UsageError
from modescope.monitor import Monitor
from modescope.monitor.lightning import callback
from monitor_cases import Memory, batch, network, sgd


class Callback:
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None: ...
    def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...
    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None: ...
    def on_train_end(self, trainer: Any, pl_module: Any) -> None: ...


class Trainer:
    """Calls the hooks of a fit in their order; an optimizer step is taken every `accumulate_grad_batches` batches."""

    def __init__(self, callbacks: list[Any], *, accumulate_grad_batches: int = 1, zero: bool = True) -> None:
        self.callbacks, self.accumulate, self.is_global_zero, self.global_step = callbacks, accumulate_grad_batches, zero, 0

    def fit(self, model: nn.Module, batches: int) -> None:
        optimizer = sgd(model)
        self._call("on_fit_start", model)
        self._call("on_train_start", model)
        for index in range(batches):
            if (index + 1) % self.accumulate == 0:
                batch(optimizer, model)
                self.global_step += 1
            self._call("on_train_batch_end", model, {"loss": 0.0}, None, index)
        self._call("on_train_end", model)

    def _call(self, hook: str, *arguments: Any) -> None:
        for each in self.callbacks:
            getattr(each, hook)(self, *arguments)


def plant(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let only these Lightning modules be installed."""
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        module: Any = None
        if name in names or any(other.startswith(f"{name}.") for other in names):
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None, is_package=True)
            module.__path__ = []
            module.Callback = Callback
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("home", ["lightning.pytorch", "pytorch_lightning"])
@pytest.mark.parametrize(("accumulate", "expected"), [(1, [0, 2, 4, 6, 7]), (3, [0, 2])])
def test_optimizer_steps_of_a_fit_are_observed_under_either_package(monkeypatch, home, accumulate, expected):
    plant(monkeypatch, home)
    model, store = network(), Memory()
    found = callback(Monitor(model, store, every=2, budget=math.inf))
    assert isinstance(found, Callback)
    Trainer([found], accumulate_grad_batches=accumulate).fit(model, 7)
    assert store.steps == expected


def test_only_the_first_process_of_all_observes(monkeypatch):
    plant(monkeypatch, "lightning.pytorch")
    model, store = network(), Memory()
    Trainer([callback(Monitor(model, store, every=1, budget=math.inf))], zero=False).fit(model, 3)
    assert store.calls == 0


def test_without_lightning_the_error_says_what_to_install(monkeypatch):
    plant(monkeypatch)
    with pytest.raises(UsageError, match="pip install lightning"):
        callback(Monitor(network(), Memory()))


def test_what_lightning_itself_lacks_is_no_missing_lightning(monkeypatch, tmp_path):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "lightning").mkdir()
    (tmp_path / "lightning" / "__init__.py").write_text("")
    (tmp_path / "lightning" / "pytorch.py").write_text("import torchmetrics_that_is_absent\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="torchmetrics_that_is_absent"):
        callback(Monitor(network(), Memory()))
    for name in ("lightning", "lightning.pytorch"):
        sys.modules.pop(name, None)
