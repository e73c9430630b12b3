"""The callback of the Hugging Face Trainer, against a Trainer that calls it as documented."""

import math
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from modescope.errors import UsageError
from modescope.monitor import Monitor
from modescope.monitor.huggingface import callback
from monitor_cases import Memory, batch, network, sgd


class TrainerCallback:
    """Every event takes args, state and control by position and the rest by name."""

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...
    def on_substep_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None: ...


@dataclass
class State:
    global_step: int = 0
    is_world_process_zero: bool = True


class Trainer:
    """Calls the events of a training in their order; `accumulation` batches make one step."""

    def __init__(self, model: nn.Module, callbacks: list[Any], *, accumulation: int = 1, zero: bool = True, done: int = 0) -> None:
        self.model, self.callbacks, self.accumulation = model, callbacks, accumulation
        self.state = State(done, zero)
        self._call("on_init_end")

    def train(self, count: int) -> None:
        optimizer = sgd(self.model)
        self._call("on_train_begin")
        for _ in range(count):
            self._call("on_step_begin")
            for _ in range(self.accumulation - 1):
                self._call("on_substep_end")
            batch(optimizer, self.model)
            self.state.global_step += 1
            self._call("on_step_end")
        self._call("on_train_end")

    def _call(self, event: str) -> None:
        for each in self.callbacks:
            result = getattr(each, event)(object(), self.state, object(), model=self.model, optimizer=None, train_dataloader=None)
            assert result is None  # anything else would replace the Trainer's control


@pytest.fixture
def _transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("transformers")
    module.TrainerCallback = TrainerCallback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", module)


@pytest.mark.usefixtures("_transformers")
@pytest.mark.parametrize(("accumulation", "done", "expected"), [(1, 0, [0, 4, 8, 9]), (3, 0, [0, 4, 8, 9]), (1, 6, [6, 8, 12, 15])])
def test_optimizer_steps_of_the_trainer_are_observed_also_where_it_resumes(accumulation, done, expected):
    model, store = network(), Memory()
    found = callback(Monitor(model, store, every=4, budget=math.inf))
    assert isinstance(found, TrainerCallback)
    Trainer(model, [found], accumulation=accumulation, done=done).train(9)
    assert store.steps == expected


@pytest.mark.usefixtures("_transformers")
def test_a_monitor_that_was_started_before_takes_the_numbers_of_the_trainer():
    model, store = network(), Memory()
    with Monitor(model, store, every=4, budget=math.inf) as monitor:
        Trainer(model, [callback(monitor)], done=6).train(9)
    assert store.steps == [0, 7, 8, 12, 15]  # 7 passes the multiple 4


@pytest.mark.usefixtures("_transformers")
def test_only_the_first_process_of_all_observes():
    model, store = network(), Memory()
    Trainer(model, [callback(Monitor(model, store, every=1, budget=math.inf))], zero=False).train(3)
    assert store.calls == 0


def test_without_transformers_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match="pip install transformers"):
        callback(Monitor(network(), Memory()))
