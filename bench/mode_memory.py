"""Memory of training a mode layer against a dense one: weights, gradients and AdamW's moments, counted and as a process's peak."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from _measure import NotMeasuredError, Ratio, Size

from modescope.modes.counting import Cost

CHILD = Path(__file__).parent / "_mode_peak_memory.py"
BATCH, PARTS = 256, (64, 16, 4, 2)  # N / p
EXACT = {"MALLOC_MMAP_THRESHOLD_": "131072"}  # GNU: what is freed goes back to the system at once
WIDTHS = {Size.SMOKE: (64,), Size.DEFAULT: (1024, 4096), Size.LARGE: (1024, 2048, 4096)}
BUFFERS = "products keep buffers of their own, some MB for layers of any size"


def rows(size: Size, /) -> Iterator[Ratio]:
    """What is held against the count of parameters, and the peak of a fresh process against that and the batch's activations."""
    batch = 4 if size is Size.SMOKE else BATCH
    for n in WIDTHS[size]:
        counts = [max(n // part, 1) for part in (PARTS[:1] if size is Size.SMOKE else PARTS)]
        words = "weights, gradients and moments", f"peak memory of a training step, batch {batch}"
        try:
            dense, *found = _held(n, batch, [0, *counts])
        except NotMeasuredError as reason:
            for p in counts:
                yield Ratio(f"{words[0]}, ModeLinear({n}, {n}, {p})", "nn.Linear", None, remark=f"not measured: {reason}")
            continue
        for p, ours in zip(counts, found, strict=True):
            cost = Cost(n, n)
            parameters = cost.factored(p) + n, cost.dense + n  # both have a bias
            everything = 16 * parameters[0] + 4 * batch * (4 * n + 2 * p), 16 * parameters[1] + 4 * batch * 4 * n
            for name, key, (mine, other), by, within in (
                (words[0], "held", parameters, "parameters", 1.01),
                (words[1], "peak", everything, "these and the layer's activations with their gradients", 1.25),
            ):
                share, held = mine / other, (ours[key], dense[key])
                remark = f"in bytes; {share:.3g} by {by}"
                against = f"{name}, ModeLinear({n}, {n}, {p})"
                yield Ratio(against, "nn.Linear", within * share, held[0] / held[1], *held, remark=remark, if_missed=BUFFERS)


def _held(width: int, batch: int, cases: list[int]) -> list[dict[str, int]]:
    command = [sys.executable, str(CHILD), *map(str, (width, batch, *cases))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | EXACT)
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    found: list[dict[str, int]] = [json.loads(line) for line in done.stdout.splitlines()]
    return found
