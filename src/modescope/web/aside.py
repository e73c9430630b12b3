"""Work that blocks, in a thread that keeps neither the server from answering nor the program from ending."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

Made = TypeVar("Made")


async def aside(work: Callable[[], Made], /) -> Made:
    """What `work` returns or raises; where nobody waits any more, it runs on and its result is dropped.

    A pool of threads would be joined when the program ends, however long its work still takes.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Made] = loop.create_future()

    def told(set_: Callable[[], None]) -> None:
        if not done.done():
            set_()

    def run() -> None:
        try:
            made = work()
        except Exception as error:
            failed = error
            tell = lambda: done.set_exception(failed)  # noqa: E731
        else:
            tell = lambda: done.set_result(made)  # noqa: E731
        with suppress(RuntimeError):  # the loop has ended, and nobody waits
            loop.call_soon_threadsafe(told, tell)

    Thread(target=run, daemon=True).start()
    return await done
