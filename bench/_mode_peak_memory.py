"""Steps of AdamW on a layer dense (0) or with p modes, each in a fork: given width, batch and the p, prints bytes as JSON lines."""

import json
import os
import re
import sys
from pathlib import Path

import torch
from _mode_turns import adam, step
from torch import nn

from modescope.modes.modules.linear import ModeLinear

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status(field: str) -> int:
    """Bytes of one line of the process status."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())[0])


def made(width: int, modes: int) -> nn.Module:
    """A layer whose entries are drawn in place, so that making it needs no more than what it holds."""
    blank = nn.Linear(width, width, device="meta") if not modes else ModeLinear(width, width, modes, device="meta")
    layer = blank.to_empty(device="cpu")
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.01)
    return layer


def train(layer: nn.Module, width: int, batch: int) -> int:
    """Three steps; bytes of parameters, their gradients and the optimizer's state."""
    optimizer = adam(layer)
    work = step(layer, torch.randn(batch, width), optimizer=optimizer)
    for _ in range(3):
        work()
    gradients = [one.grad for one in layer.parameters() if one.grad is not None]
    state = [one for held in optimizer.state.values() for one in held.values()]
    return sum(one.numel() * one.element_size() for one in (*layer.parameters(), *gradients, *state))


def warm(batch: int) -> None:
    """Load what a step loads, buffers of the products too."""
    for modes in (0, 4):
        train(made(256, modes), 256, batch)


def main() -> None:
    """Every case begins from the same loaded process."""
    if not STATUS.exists():
        sys.exit("the peak of a process is read from /proc, which this system lacks")
    width, batch, *cases = map(int, sys.argv[1:])
    torch.set_num_threads(1)
    warm(batch)
    for modes in cases:
        child = os.fork()
        if not child:
            warm(batch)  # a fork maps the code of libraries anew
            FORGET.write_text("5")  # sets the peak back to what is held now
            base = status("VmRSS")
            held = train(made(width, modes), width, batch)
            sys.stdout.write(json.dumps({"held": held, "peak": max(status("VmHWM") - base, 1)}) + "\n")
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("a measured process ended early")


main()
