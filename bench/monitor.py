"""A training that is watched within a budget, against the same training that nobody watches."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from tempfile import TemporaryDirectory

import torch
from _measure import Ratio, Size, least
from torch import nn

from modescope.monitor import Cost, Monitor

BUDGET = 0.02
BATCH = 512
SIZES = {Size.SMOKE: (16, 5, 1), Size.DEFAULT: (256, 2500, 4), Size.LARGE: (768, 2500, 4)}  # width, steps, rounds


def rows(size: Size, /) -> Iterator[Ratio]:
    """The time of the training as seen from outside, then the monitor's own books."""
    width, steps, rounds = SIZES[size]
    what = f"{steps} steps of a {width} wide MLP, watched"
    costs: list[Cost] = []
    ours, theirs = least(partial(_watched, width, steps, costs), partial(_alone, width, steps), rounds=rounds)
    seen = " or ".join(map(str, sorted({cost.observations for cost in costs})))
    remark = f"{seen} observations at a budget of {BUDGET:.0%}"
    against, missed = "the same, not watched", "two runs of one training differ by 2 % and more"
    yield Ratio(what, against, 1 + BUDGET, ours / theirs, ours, theirs, remark=remark, if_missed=missed)
    last, remark = costs[-1], "observing in the monitor's own books"
    yield Ratio(what, "its training time", BUDGET, last.share, last.seconds, last.training, remark=remark)


def _watched(width: int, steps: int, costs: list[Cost]) -> float:
    with TemporaryDirectory() as folder:
        model = _network(width)
        monitor = Monitor(model, folder, every=50, budget=BUDGET, final=False, workers=1)
        start = time.perf_counter()
        with monitor:
            _train(model, steps, monitor.step)
        costs.append(monitor.cost)
        return time.perf_counter() - start


def _alone(width: int, steps: int) -> float:
    model = _network(width)
    start = time.perf_counter()
    _train(model, steps, lambda: None)
    return time.perf_counter() - start


def _network(width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def _train(model: nn.Module, steps: int, after: Callable[[], object]) -> None:
    inputs, labels = torch.randn(4 * BATCH, 64), torch.randint(10, (4 * BATCH,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(steps):
        some = torch.randint(len(inputs), (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[some]), labels[some]).backward()
        optimizer.step()
        after()
