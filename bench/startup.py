"""The time until `modescope --help` answers, against its limit and against an empty Python."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from _measure import Ratio, Size, clocked, least

LIMIT = 0.4  # seconds


def rows(size: Size, /) -> Iterator[Ratio]:
    """Fresh processes in turns."""
    rounds = 1 if size is Size.SMOKE else 7
    ours, empty = least(
        clocked(partial(_run, "-m", "modescope", "--help")),
        clocked(partial(_run, "-c", "pass")),
        rounds=rounds,
    )
    yield Ratio("modescope --help", f"{LIMIT} s", 1.0, ours / LIMIT, ours, LIMIT)
    yield Ratio("modescope --help", "python -c pass", None, ours / empty, ours, empty)


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
