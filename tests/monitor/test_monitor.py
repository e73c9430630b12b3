"""A watched training: which steps are recorded and what they hold, that nothing of the training changes, and what failing costs."""

import copy
import logging
import math
import random
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from modescope.errors import UsageError
from modescope.monitor import FAILED, PASSED, Monitor, pace
from modescope.scanning import scan
from modescope.store import Store
from monitor_cases import Clock, Memory, batch, network, sgd


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace, "perf_counter", found)
    return found


def steps(monitor: Monitor, count: int, clock: Clock | None = None, seconds: float = 1.0) -> None:
    for _ in range(count):
        if clock is not None:
            clock.now += seconds
        monitor.step()


# which steps


@pytest.mark.parametrize(
    ("every", "count", "final", "expected"),
    [
        (5, 12, True, [0, 5, 10, 12]),
        (5, 12, False, [0, 5, 10]),
        (5, 10, True, [0, 5, 10]),
        (1, 3, True, [0, 1, 2, 3]),
        (100, 3, True, [0, 3]),
        (100, 0, True, [0]),
    ],
)
def test_multiples_of_every_are_recorded_and_the_first_and_the_last_step(every, count, final, expected):
    store = Memory()
    with Monitor(network(), store, run="a", every=every, budget=math.inf, final=final) as monitor:
        steps(monitor, count)
    assert store.steps == expected == list(monitor.observed)
    assert {run for run, _ in store.kept} == {"a"}
    assert monitor.cost.observations == len(expected)


def test_numbers_may_skip_a_multiple_and_one_that_does_not_grow_is_no_step():
    store = Memory()
    monitor = Monitor(network(), store, every=10, budget=math.inf)
    monitor.start(7)
    for n in (8, 9, 9, 13, 13, 12, 19, 20, 20, 19, 20, 41):
        monitor.step(n)
    monitor.close()
    assert store.steps == [7, 13, 20, 41]
    assert store.calls == 4


def test_step_and_close_give_the_scan_that_was_recorded_or_none():
    store = Memory()
    monitor = Monitor(network(), store, run="a", every=2, budget=math.inf)
    assert monitor.start() is store.kept["a", 0]
    assert monitor.start() is None
    assert monitor.step() is None
    assert monitor.step() is store.kept["a", 2]
    assert monitor.step() is None
    assert monitor.close() is store.kept["a", 3]
    assert monitor.close() is None
    assert monitor.step() is None
    assert store.steps == [0, 2, 3]


def test_a_training_that_goes_on_after_its_end_is_watched_again_and_no_step_twice():
    store = Memory()
    monitor = Monitor(network(), store, every=4, budget=math.inf)
    with monitor:
        steps(monitor, 6)
    monitor.start(6)
    steps(monitor, 3)
    monitor.close()
    assert store.steps == [0, 4, 6, 8, 9]
    assert store.calls == 5


def test_without_start_the_first_step_is_the_first_observation():
    store = Memory()
    monitor = Monitor(network(), store, every=10, budget=math.inf)
    steps(monitor, 10)
    assert store.steps == [1, 10]


def test_the_numbers_belong_to_exactly_that_step():
    model, store = network(), Memory()
    optimizer = sgd(model)
    copies = {}
    with Monitor(model, store, run="a", every=3, budget=math.inf, min_dim=16, seed=5, options={"rank": {"energy": 0.5}}) as monitor:
        copies[0] = copy.deepcopy(model)
        for n in range(1, 8):
            batch(optimizer, model)
            copies[n] = copy.deepcopy(model)
            monitor.step()
    assert monitor.observed == (0, 3, 6, 7)
    for n in monitor.observed:
        alone, kept = scan(copies[n], min_dim=16, seed=5, options={"rank": {"energy": 0.5}}), store.kept["a", n]
        assert [row.name for row in kept] == ["0.weight", "3.weight"]
        for row in alone:
            assert np.array_equal(kept[row.name].s, row.s)
            assert kept[row.name].measures == row.measures
    assert not np.array_equal(store.kept["a", 3]["0.weight"].s, store.kept["a", 6]["0.weight"].s)


def test_runs_without_a_name_get_different_ones_that_need_no_quoting():
    names = {Monitor(network(), Memory()).run for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", name) for name in names)


# the model and the training


class Noise(nn.Module):
    """A weight that is another one every time it is computed."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + 0.01 * torch.randn_like(weight)


def noisy(seed: int) -> nn.Sequential:
    model = network(seed)
    parametrize.register_parametrization(model[3], "weight", Noise())
    return model


def normed(seed: int) -> nn.Sequential:
    model = network(seed)
    parametrizations.spectral_norm(model[3])
    return model


def half(seed: int) -> nn.Sequential:
    return network(seed).to(torch.bfloat16).float()


def trained(make: Any, count: int, monitor: Any) -> dict[str, Any]:
    """Everything a training leaves behind, watched by `monitor(model)` or not at all."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global stream is what must not move
    model = make(1)
    optimizer = sgd(model)
    model[5].bias.requires_grad_(False)
    watcher = monitor(model)
    if watcher is not None:
        watcher.start()
    losses = []
    for n in range(1, count + 1):
        model[0].train(n % 2 == 0)
        losses.append(batch(optimizer, model))
        if watcher is not None:
            watcher.step()
    if watcher is not None:
        watcher.close()
    return {
        "losses": losses,
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "grads": {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()},
        "flags": {name: (p.requires_grad, p.device, p.dtype, p.is_leaf) for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "optimizer": optimizer.state_dict()["state"],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1:],  # noqa: NPY002
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


@pytest.mark.parametrize("make", [network, noisy, normed, half])
def test_a_watched_training_is_bit_for_bit_the_one_nobody_watches(make):
    store = Memory()
    alone = trained(make, 40, lambda _: None)
    watched = trained(make, 40, lambda model: Monitor(model, store, every=5, budget=math.inf))
    assert len(store.steps) == 9
    assert not any(found.failed for found in store.kept.values())
    for key, value in alone.items():
        assert same(value, watched[key]), key


def test_names_are_those_inside_compiled_and_parallel_wrappers(tmp_path):
    model = network()
    names = [name for name, p in model.named_parameters() if p.ndim == 2]
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(model)
        compiled = [torch.compile(each, backend="eager") for each in (model, parallel)]
        for wrapped in (model, nn.DataParallel(model), parallel, *compiled):
            store = Memory()
            with Monitor(wrapped, store):
                pass
            assert [row.name for row in next(iter(store.kept.values()))] == names
    finally:
        torch.distributed.destroy_process_group()


def test_a_layer_that_is_called_module_is_no_wrapper():
    store = Memory()
    with Monitor(nn.ModuleDict({"module": nn.Linear(20, 30)}), store):
        pass
    assert [row.name for row in next(iter(store.kept.values()))] == ["module.weight"]


# the budget


def test_steps_that_the_budget_does_not_allow_are_left_out_and_said_once(clock, caplog):
    store = Memory(clock=clock, seconds=[2.0])
    with Monitor(network(), store, every=10, budget=0.02, final=False) as monitor:
        steps(monitor, 2510, clock, 0.1)
        assert store.steps == [0, 2500]  # 2 s, and 3 s that must be free, are 2 % of 250 s
        steps(monitor, 4490, clock, 0.1)
    assert store.steps == [0, *range(2500, 7000, 1000)]
    assert monitor.cost.share == pytest.approx(12 / 700)
    said = [record for record in caplog.records if record.name.startswith("modescope")]
    assert len(said) == 1
    assert said[0].levelno == logging.WARNING
    assert "takes 2 s and a step 0.1 s: at a budget of 2 % there will be one in about 1000 steps, not in 10" in said[0].getMessage()


def test_it_is_said_after_ten_multiples_in_a_row_that_did_not_fit(clock, caplog):
    monitor = Monitor(network(), Memory(clock=clock, seconds=[2.0]), every=10, budget=0.02, final=False)
    monitor.start()
    steps(monitor, 10 * PASSED - 1, clock, 0.1)
    assert not caplog.records
    steps(monitor, 1, clock, 0.1)
    assert len(caplog.records) == 1


def test_a_budget_that_is_kept_is_not_worth_a_word(clock, caplog):
    store = Memory(clock=clock, seconds=[0.1])
    with Monitor(network(), store, every=20, budget=0.02) as monitor:
        steps(monitor, 100, clock)
    assert store.steps == [0, 20, 40, 60, 80, 100]
    assert not caplog.records


def test_the_last_observation_is_beside_the_budget(clock):
    store = Memory(clock=clock, seconds=[1.0])
    with Monitor(network(), store, every=10, budget=0.02) as monitor:
        steps(monitor, 55, clock)
    assert store.steps == [0, 55]
    assert (monitor.cost.seconds, monitor.cost.final, monitor.cost.training) == (1.0, 1.0, 55.0)


def test_a_real_training_goes_beyond_its_budget_by_one_observation_at_most():
    model, store, spent = network(), Memory(), [0.0]
    optimizer = sgd(model)
    scan(model, workers=1)  # what the first scan of a process imports is no part of the question
    with Monitor(model, store, every=10, budget=0.2, workers=1, on_record=lambda *_: spent.append(0.0)) as monitor:
        for _ in range(1500):
            batch(optimizer, model)
            monitor.step()
            if spent[-1] == 0.0:
                spent[-1] = monitor.cost.seconds
    cost = monitor.cost
    dearest = max(after - before for before, after in pairwise(spent) if after)
    assert len(store.steps) >= 2  # the first and the last are always taken; how many more, the machine decides
    assert store.steps[-1] == 1500
    assert 0 < cost.seconds <= 0.2 * cost.training + dearest


# failing


def test_an_observation_that_cannot_be_recorded_costs_itself_alone_and_is_said_once(caplog):
    store = Memory(fails=[None, OSError(28, "No space left on device"), None, OSError("again"), OSError("again"), None])
    with Monitor(network(), store, every=1, budget=math.inf) as monitor:
        steps(monitor, 6)
    assert store.steps == [0, 2, 5, 6] == list(monitor.observed)
    assert monitor.cost.observations == 7
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "step 1 is not recorded and the training goes on: OSError: [Errno 28] No space left on device" in said[0]


def test_after_several_failures_in_a_row_observing_stops(caplog):
    store = Memory(fails=[OSError("full")] * 99)
    with Monitor(network(), store, every=1, budget=math.inf) as monitor:
        steps(monitor, 20)
    assert store.calls == FAILED
    assert monitor.observed == ()
    assert len(caplog.records) == 2
    assert f"{FAILED} observations in a row failed" in caplog.records[1].getMessage()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interruption_while_observing_passes_through(error):
    monitor = Monitor(network(), Memory(fails=[None, error]), every=1, budget=math.inf)
    monitor.start()
    with pytest.raises(type(error)):
        monitor.step()


def test_leaving_by_an_exception_observes_nothing_more():
    store = Memory()
    monitor = Monitor(network(), store, every=2, budget=math.inf)

    def breaks() -> None:
        with monitor:
            steps(monitor, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks()
    monitor.close()
    assert store.steps == [0, 2]


def test_a_weight_that_is_not_finite_costs_its_row_and_the_rest_is_recorded():
    model, store = network(), Memory()
    with torch.no_grad():
        model[0].weight[0, 0] = math.nan
    with Monitor(model, store):
        pass
    found = next(iter(store.kept.values()))
    assert [row.name for row in found.failed] == ["0.weight"]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"every": 0}, "every: expected"),
        ({"budget": 0.0}, "budget: expected"),
        ({"budget": math.nan}, "budget: expected"),
        ({"run": ""}, "run: expected"),
        ({"run": "a\nb"}, "run: expected"),
        ({"level": 2.0}, "level: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"kind": "dens"}, "kind 'dens'"),
        ({"view": "slice"}, "view 'slice'"),
        ({"min_dim": 0}, "min_dim: expected"),
        ({"options": {"tails": {}}}, "tails"),
        ({"options": {"rank": {"energy": 3.0}}}, "rank.energy"),
        ({"loggers": [object()]}, "loggers: expected"),
        ({"model": Path("model.pt")}, "expected a torch nn.Module"),
        ({"store": 7}, "store: expected"),
    ],
)
def test_a_wrong_argument_is_refused_before_the_training(options, words):
    arguments = {"model": network(), "store": Memory()} | options
    with pytest.raises(UsageError, match=re.escape(words)):
        Monitor(arguments.pop("model"), arguments.pop("store"), **arguments)


def test_a_folder_that_is_no_store_is_refused_before_the_training(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        Monitor(network(), tmp_path)


def test_without_duckdb_a_folder_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match=r"modescope\[store\]"):
        Monitor(network(), tmp_path / "runs")


# the store


def test_a_store_answers_with_what_the_model_was_at_each_step(tmp_path):
    model = network()
    optimizer = sgd(model)
    copies = {}
    with Monitor(model, tmp_path / "runs", run="digits", every=5, budget=math.inf) as monitor:
        copies[0] = copy.deepcopy(model)
        for n in range(1, 13):
            batch(optimizer, model)
            copies[n] = copy.deepcopy(model)
            monitor.step()
    store = Store(tmp_path / "runs", create=False)
    (recorded,) = store.runs()
    assert (recorded.run, recorded.steps, recorded.matrices, recorded.failed) == ("digits", (0, 5, 10, 12), 3, 0)
    assert monitor.observed == recorded.steps
    for n in recorded.steps:
        alone, kept = scan(copies[n]), store.scan("digits", n)
        assert [row.name for row in kept] == [row.name for row in alone]
        for row in alone:
            assert np.array_equal(kept[row.name].s, row.s)
            assert kept[row.name].measures == row.measures
    found = store.query("""SELECT step, "norms.spectral" FROM rows WHERE name = '3.weight' ORDER BY step""").rows
    assert found == tuple((n, scan(copies[n])["3.weight"].number("norms", "spectral")) for n in recorded.steps)


def test_two_trainings_at_once_share_a_store(tmp_path):
    one = Monitor(network(1), tmp_path, run="one", every=1, budget=math.inf)
    two = Monitor(network(2), str(tmp_path), run="two", every=2, budget=math.inf)
    with one, two:
        for _ in range(4):
            one.step()
            two.step()
    assert {found.run: found.steps for found in Store(tmp_path).runs()} == {"one": (0, 1, 2, 3, 4), "two": (0, 2, 4)}


def test_a_store_that_can_no_longer_be_written_stops_no_training(tmp_path, caplog):
    monitor = Monitor(network(), tmp_path / "runs", every=1, budget=math.inf)
    with monitor:
        steps(monitor, 1)
        shutil.rmtree(tmp_path / "runs")
        (tmp_path / "runs").write_text("a file where the folder was")
        steps(monitor, 5)
    assert monitor.observed == (0, 1)
    assert "step 2 is not recorded and the training goes on: UsageError" in caplog.records[0].getMessage()
    assert "observing stops" in caplog.records[-1].getMessage()


# those who are told


class Writer:
    """A TensorBoard writer by its documented signature."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}

    def add_scalar(
        self, tag: str, scalar_value: float, global_step: int | None = None, walltime: float | None = None, new_style: bool = False
    ) -> None:
        assert global_step is not None
        self.scalars[tag, global_step] = float(scalar_value)


class Wandb:
    """A Weights & Biases run by its documented signature; steps must not fall."""

    def __init__(self) -> None:
        self.logged: list[tuple[int | None, dict[str, Any]]] = []

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        assert step is not None
        assert not self.logged or step >= (self.logged[-1][0] or 0)
        self.logged.append((step, data))


def test_loggers_get_the_recorded_numbers_under_the_names_of_their_layers():
    store, writer, wandb, called = Memory(), Writer(), Wandb(), []
    tell = {"loggers": (writer, wandb), "on_record": lambda found, step: called.append((step, found))}
    with Monitor(network(), store, run="a", every=2, budget=math.inf, **tell) as monitor:
        steps(monitor, 3)
    assert [step for step, _ in wandb.logged] == [0, 2, 3]
    assert called == [(step, store.kept["a", step]) for step in (0, 2, 3)]
    assert {tag: value for step, data in wandb.logged if step == 2 for tag, value in data.items()} == {
        tag: value for (tag, step), value in writer.scalars.items() if step == 2
    }
    for (tag, step), value in writer.scalars.items():
        room, layer, number = tag.split("/")
        assert room == "modescope"
        assert value == store.kept["a", step][layer].number(*number.split("."))
    # the short side of the last layer is too short for some measures: what means nothing is not logged
    assert store.kept["a", 2]["5.weight"].number("bulk", "outliers") is None
    assert ("modescope/5.weight/bulk.outliers", 2) not in writer.scalars
    assert {"modescope/0.weight/norms.spectral", "modescope/0.weight/rank.stable", "modescope/0.weight/bulk.outliers"} <= {
        tag for tag, _ in writer.scalars
    }


def test_views_of_one_layer_are_told_apart():
    writer = Writer()
    with Monitor(nn.ModuleDict({"a": nn.MultiheadAttention(24, 2)}), Memory(), loggers=[writer]):
        pass
    assert len([tag for tag, _ in writer.scalars if tag.endswith("/norms.spectral")]) == len(scan(nn.MultiheadAttention(24, 2)))


def test_a_logger_that_fails_is_said_once_and_the_others_are_told(caplog):
    class Broken:
        def log(self, data: dict[str, Any], step: int | None = None) -> None:
            raise ConnectionError("no route\nsecret second line")

    def careless(found: Any, step: int) -> None:
        raise ZeroDivisionError

    store, writer = Memory(), Writer()
    with Monitor(network(), store, every=1, budget=math.inf, loggers=[Broken(), writer], on_record=careless) as monitor:
        steps(monitor, 5)
    assert store.steps == [0, 1, 2, 3, 4, 5]
    assert {step for _, step in writer.scalars} == set(store.steps)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "Broken failed at step 0 and the training goes on: ConnectionError: no route" in said[0]
    assert "careless failed at step 0" in said[1]


@pytest.mark.parametrize("number", [np.int64, torch.tensor])
def test_a_step_may_be_a_number_of_numpy_or_of_torch(number, clock):
    store = Memory(clock=clock, seconds=[0.0])
    with Monitor(network(), store, every=1, budget=1.0, final=False) as monitor:
        for step in (1, 2):
            clock.now += 1.0
            monitor.step(number(step))
    assert store.steps == [0, 1, 2]
    assert all(type(step) is int for step in store.steps)
