"""Work aside: its result and its error come back, the loop goes on meanwhile, and nobody waits for it at the end."""

import asyncio
import subprocess
import sys
import threading

import pytest

from modescope.web.aside import aside


def test_results_and_errors_come_back() -> None:
    assert asyncio.run(aside(lambda: 6 * 7)) == 42
    with pytest.raises(ZeroDivisionError):
        asyncio.run(aside(lambda: 1 // 0))


def test_the_loop_goes_on_meanwhile() -> None:
    async def both() -> str:
        go = threading.Event()
        waiting = asyncio.create_task(aside(lambda: go.wait(10)))
        await asyncio.sleep(0.01)
        go.set()  # reached only where the loop was not blocked
        assert await waiting
        return "done"

    assert asyncio.run(both()) == "done"


def test_work_that_nobody_waits_for_runs_on_and_its_end_disturbs_nobody() -> None:
    ended = threading.Event()
    go = threading.Event()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(aside(lambda: go.wait(10) and ended.set()), 0.05)  # type: ignore[func-returns-value]

    asyncio.run(leave())
    go.set()  # the loop is closed by now
    assert ended.wait(10)


def test_a_program_ends_before_work_that_takes_long() -> None:
    code = """
import asyncio, time
from modescope.web.aside import aside
async def leave():
    try:
        await asyncio.wait_for(aside(lambda: time.sleep(60)), 0.1)
    except TimeoutError:
        print("left")
asyncio.run(leave())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("left\n", "")
