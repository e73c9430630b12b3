"""Training: the same as a loop written out, the same after a kill to the last bit, and refusals before work starts."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import modes_training_cases as cases
from modes_training_cases import RULES, SETTINGS, Fatal, blobs, net, same, weights
from modescope import seeds
from modescope.errors import Interrupted, UnreadableError, UsageError
from modescope.modes import tasks
from modescope.modes.modules.mlp import ModeMLP
from modescope.modes.training import run_folder
from modescope.modes.training.fitting import fit


def fitted(model: nn.Module, folder: Path | None = None, **options: Any) -> Any:
    return fit(model, blobs(), folder=folder, **SETTINGS | RULES | options)


def test_training_equals_a_loop_in_which_adam_is_written_out_as_published() -> None:
    """theta <- theta - lr (direction + decay theta), Adam's direction with (.9, .999, 1e-8), rate halved, biases not decayed."""
    task, lr, decay, batch = blobs(), 0.01, 0.05, 16
    model, twin = net(bias=True).double(), net(bias=True).double()
    x, y = torch.from_numpy(task.x_train).double(), torch.from_numpy(task.y_train)
    first = {name: torch.zeros_like(one) for name, one in twin.named_parameters()}
    second = {name: torch.zeros_like(one) for name, one in twin.named_parameters()}
    t = 0
    for epoch in (1, 2, 3):
        order = seeds.generator(7, "order", str(epoch)).permutation(len(x))
        rate = lr / 2 ** ((epoch - 1) // 2)
        for start in range(0, len(x), batch):
            some = order[start : start + batch]
            twin.zero_grad()
            torch.log_softmax(twin(x[some]), 1)[torch.arange(len(some)), y[some]].mean().neg().backward()
            t += 1
            with torch.no_grad():
                for name, theta in twin.named_parameters():
                    assert theta.grad is not None
                    first[name] = 0.9 * first[name] + 0.1 * theta.grad
                    second[name] = 0.999 * second[name] + 0.001 * theta.grad**2
                    direction = first[name] / (1 - 0.9**t) / ((second[name] / (1 - 0.999**t)).sqrt() + 1e-8)
                    theta -= rate * (direction + (0 if name.endswith("bias") else decay) * theta)
    found = fit(model, task, epochs=3, batch=batch, lr=lr, weight_decay=decay, halve_every=2, seed=7)
    for name, theta in twin.state_dict().items():
        assert torch.allclose(model.state_dict()[name], theta, rtol=0, atol=1e-10), name
    right = (model(torch.from_numpy(task.x_test).double()).argmax(1).numpy() == task.y_test).mean()
    assert found.accuracy == pytest.approx(right, abs=0)


def test_equal_seeds_give_equal_weights_whatever_torch_draws_elsewhere() -> None:
    runs = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        model = Fatal()
        before = torch.get_rng_state()
        fitted(model)
        assert torch.equal(torch.get_rng_state(), before)
        runs.append(weights(model))
    assert same(*runs)
    other = Fatal()
    fitted(other, seed=4)
    assert not same(runs[0], weights(other))


@pytest.mark.slow
def test_a_training_that_was_killed_and_resumed_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    whole = Fatal()
    expected = fitted(whole)
    killed = subprocess.run([sys.executable, cases.__file__, str(tmp_path), "15"], check=False, capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    resumed = Fatal()
    found = fitted(resumed, tmp_path, resume=True)
    assert found.resumed == 3  # 4 steps an epoch: it died in the fourth
    assert same(weights(whole), weights(resumed))
    assert [row.loss for row in found.epochs] == [row.loss for row in expected.epochs]
    assert any("omega" in said for row in expected.epochs for said in row.changes)
    assert any("change nothing yet" in said for row in expected.epochs for said in row.changes)


def test_ctrl_c_leaves_network_and_folder_at_the_last_whole_epoch(tmp_path: Path) -> None:
    model = Fatal(13, KeyboardInterrupt)
    with pytest.raises(Interrupted) as caught:
        fitted(model, tmp_path)
    partial = caught.value.partial
    assert len(partial.epochs) == 3
    assert partial.stopped == "interrupted after 3 of 6 epochs"
    found = run_folder.latest(tmp_path)
    assert found is not None
    assert same(weights(model), found[0].part("model"))
    whole, resumed = Fatal(), Fatal()
    fitted(whole)
    fitted(resumed, tmp_path, resume=True)
    assert same(weights(whole), weights(resumed))


def test_more_epochs_go_on_where_fewer_ended(tmp_path: Path) -> None:
    whole, parts = Fatal(), Fatal()
    fitted(whole)
    fitted(Fatal(), tmp_path, epochs=2)
    found = fitted(parts, tmp_path, resume=True)
    assert (found.resumed, len(found.epochs)) == (2, 6)
    assert same(weights(whole), weights(parts))
    again = Fatal()
    assert fitted(again, tmp_path, resume=True).resumed == 6
    assert same(weights(whole), weights(again))


@pytest.mark.parametrize("cut", [50, -1, 0])
def test_a_damaged_state_costs_one_epoch_and_no_bit(tmp_path: Path, cut: int) -> None:
    whole, resumed = Fatal(), Fatal()
    fitted(whole)
    fitted(Fatal(), tmp_path, epochs=4)
    state = tmp_path / run_folder.STATE
    content = bytearray(state.read_bytes())
    content[-9] ^= 1
    state.write_bytes(bytes(content) if cut < 0 else bytes(content[:-cut]))
    if not cut:
        state.unlink()  # as where it was killed between putting the last one aside and the new one in place
    found = fitted(resumed, tmp_path, resume=True)
    assert found.resumed == 3
    assert [run_folder.STATE in note for note in found.notes] == ([True] if cut else [])
    assert same(weights(whole), weights(resumed))


def test_two_damaged_states_are_an_error_that_names_them(tmp_path: Path) -> None:
    fitted(Fatal(), tmp_path, epochs=2)
    for name in (run_folder.STATE, run_folder.PREVIOUS):
        (tmp_path / name).write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(UnreadableError, match=f"{run_folder.STATE}(?s:.*){run_folder.PREVIOUS}"):
        fitted(Fatal(), tmp_path, resume=True)


def test_a_run_is_resumed_only_as_it_was(tmp_path: Path) -> None:
    fitted(net(), tmp_path, epochs=1)
    state = (tmp_path / run_folder.STATE).read_bytes()

    def refused(words: str, model: nn.Module | None = None, **options: Any) -> None:
        with pytest.raises(UsageError, match=words):
            fitted(net() if model is None else model, tmp_path, **options)

    refused("holds a training already")
    refused("lr 0.005, got 0.01", resume=True, lr=0.01)
    refused("grow", resume=True, grow=None)
    refused(r"layers.0.s was \[4\], got \[5\]", net(modes=(5, 3)), resume=True)
    refused("layers.0.bias was .8., got none", net(bias=False), resume=True)
    with pytest.raises(UsageError, match="other data"):
        fit(net(), blobs(1), folder=tmp_path, resume=True, **SETTINGS, **RULES)
    assert (tmp_path / run_folder.STATE).read_bytes() == state


def test_patience_stops_and_gives_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((130, 6)), rng.integers(0, 3, 130)
    task = tasks.of_arrays(x[:100], y[:100], x[100:], y[100:])  # nothing can be learnt, so that it ends soon
    options: dict[str, Any] = {"epochs": 60, "batch": 16, "lr": 0.02, "validation": 0.3, "patience": 3, "folder": tmp_path}
    model, again = net(), net()
    found = fit(model, task, **options)
    rows = found.epochs
    assert found.stopped == f"no better validation for 3 epochs, after epoch {found.best_epoch}"
    assert len(rows) == found.best_epoch + 3
    rank = [(row.validation_accuracy, -(row.validation_loss or 0)) for row in rows]
    assert max(rank) == rank[found.best_epoch - 1]
    right = (model(torch.from_numpy(task.x_test)).argmax(1).numpy() == task.y_test).mean()
    assert found.accuracy == rows[found.best_epoch - 1].accuracy == pytest.approx(right, abs=0)
    assert fit(again, task, resume=True, **options).best_epoch == found.best_epoch
    assert same(weights(model), weights(again))


def test_held_out_samples_are_not_learnt_from() -> None:
    """A network that must know the class by heart is at chance where it was not told, also on samples of the training part."""
    rng = np.random.default_rng(0)
    x, y = np.eye(40, dtype=np.float32), rng.integers(0, 2, 40)
    task = tasks.of_arrays(x, y, x[:2], y[:2])
    found = fit(nn.Linear(40, 2, bias=False), task, epochs=30, batch=5, lr=0.1, validation=0.5)
    assert found.epochs[-1].train_accuracy == 1
    assert found.epochs[-1].validation_loss == pytest.approx(math.log(2), rel=0.5)
    assert (found.source["train"], found.source["validation"]) == (20, 20)


def test_a_loss_that_is_not_finite_ends_the_training_with_the_weights_before() -> None:
    model = nn.Linear(6, 3)
    calls = []

    def loss(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        calls.append(len(outputs))
        value = nn.functional.cross_entropy(outputs, y)
        return value * (math.nan if outputs.requires_grad and len(calls) > 14 else 1)

    kept = {}
    found = fit(model, blobs(), epochs=9, batch=16, loss=loss, progress=lambda *_: kept.update(weights(model)))
    assert found.stopped.startswith(f"the loss is not finite in epoch {len(found.epochs) + 1}")
    assert 0 < len(found.epochs) < 9
    assert same(weights(model), kept)


def test_any_module_and_numbers_or_signs_can_be_learnt() -> None:
    convolution = nn.Sequential(nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    task = blobs(train=81).shaped(2, 3)  # the last sample would be alone in its batch, which no batch norm takes
    assert fit(convolution, task, epochs=2, batch=16).epochs[1].loss < 2
    assert convolution[1].num_batches_tracked == 10
    linear = fit(nn.Linear(12, 10), cases.teacher(10), epochs=12, lr=0.05, halve_every=4)
    assert linear.accuracy is None
    assert linear.epochs[-1].test_loss < 1e-2
    xor = tasks.xor(train=2000, test=400)
    net_of_xor = ModeMLP([2, 16, 1], [None, None], generator=torch.Generator().manual_seed(0))
    signs = fit(net_of_xor, xor, epochs=6, lr=0.02)
    assert 0.9 < (signs.accuracy or 0) < 0.97497 + 4 * math.sqrt(0.97497 * 0.02503 / 400)


def test_penalty_clip_autocast_and_a_factory_reach_the_training() -> None:
    def trained(**options: Any) -> torch.Tensor:
        model = nn.Linear(6, 3, bias=False)
        with torch.no_grad():
            model.weight.copy_(torch.linspace(-1, 1, 18).reshape(3, 6))
        fit(model, blobs(), epochs=2, batch=16, **options)
        return model.weight.detach()

    plain = trained()
    heavy = trained(penalty=lambda model: 100 * (model.weight**2).sum())
    assert heavy.norm() < 0.99 * plain.norm()
    assert not torch.equal(trained(autocast=True), plain)

    def slow(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=1.0)

    start = torch.linspace(-1, 1, 18).reshape(3, 6)
    moved = trained(optimizer=slow, clip=1e-3) - start
    assert moved.norm() <= 10 * 1e-3 * (1 + 1e-4)  # 10 steps of at most lr x clip
    assert moved.norm() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs: expected a whole number of 1 or more"),
        ({"batch": 2.5}, "batch"),
        ({"lr": math.nan}, "lr: expected a number above 0"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"validation": 1.0}, "validation: expected a share"),
        ({"validation": 0.001}, "holds out some of 80"),
        ({"patience": 3, "validation": 0.0}, "validation above 0 with it"),
        ({"clip": 0.0}, "clip"),
        ({"optimizer": "adam"}, "optimizer: expected adamw"),
        ({"optimizer": lambda _: None}, "gives a torch optimizer"),
        ({"device": "nowhere"}, "device: expected one that torch has"),
        ({"resume": True}, "resume: expected the folder"),
        ({"every": 0}, "every"),
    ],
)
def test_settings_out_of_range_are_refused_before_anything_is_written(tmp_path: Path, options: Any, words: str) -> None:
    folder = None if "resume" in options else tmp_path / "run"
    with pytest.raises(UsageError, match=words):
        fitted(net(), folder, **options)
    assert not (tmp_path / "run" / run_folder.STATE).exists()


def test_networks_that_do_not_fit_the_task_are_refused() -> None:
    for model, words in (
        (nn.Linear(5, 3), "samples of shape .6,."),
        (nn.Linear(6, 4), r"outputs of shape \(2, 3\)"),
        (nn.Identity(), "parameters to train"),
        (nn.Linear(6, 3).requires_grad_(False), "takes a gradient"),
    ):
        with pytest.raises(UsageError, match=words):
            fit(model, blobs())
    for model in (nn.Linear(6, 3), net(modes=(3, 3), tied=True), net(modes=(3, 3), orthogonal=True)):
        with pytest.raises(UsageError, match="own free patterns"):
            fit(model, blobs(), **RULES)


def test_modes_of_every_epoch_reach_a_store(tmp_path: Path) -> None:
    from modescope.store import Store

    fit(net(), blobs(), store=tmp_path / "store", run="small", **SETTINGS | {"epochs": 2})
    (recorded,) = Store(tmp_path / "store").runs()
    assert (recorded.run, recorded.steps, recorded.failed) == ("small", (0, 1, 2), 0)
    assert recorded.matrices == 2
