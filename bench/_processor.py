"""A clock of processor time, for work that is spread over threads: a busy machine does not slow it, and no thread is free."""

import time
from collections.abc import Callable
from typing import Any

from _measure import Clock


def spent(work: Callable[[], Any]) -> Clock:
    """A clock of the processor time of all threads around a function."""

    def run() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return run
