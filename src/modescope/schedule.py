"""Run many decompositions on a few threads: heaviest first, one BLAS thread each, within a memory budget, interruptible."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from threadpoolctl import threadpool_limits

from modescope.matrix import Matrix

Result = TypeVar("Result")

CHUNK_BYTES = 64 << 20  # the kept buffer of a thread and what stands beside it
SHARE = 0.5  # of the machine's memory, when no budget is given


@dataclass(frozen=True)
class Load:
    """What decomposing one matrix costs.

    Attributes:
        work: Multiply-adds, `p k^2 + 4/3 k^3` for sides p >= k: the unit of progress.
        memory: Bytes: two k x k work arrays, a chunk, and the stored tensor.
    """

    work: float
    memory: int


def load(matrix: Matrix) -> Load:
    """Cost of a matrix by its shape."""
    p, k = max(matrix.shape), min(matrix.shape)
    return Load(work=p * k**2 + 4 / 3 * k**3, memory=16 * k * k + CHUNK_BYTES + 4 * p * k)


def budget() -> int:
    """Bytes that tasks may take together: half of the machine's memory, or 4 GiB where that is not known."""
    try:
        return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    matrices: Sequence[Matrix], work: Callable[[Matrix], Result], *, workers: int | None = None, memory: int | None = None
) -> Iterator[tuple[int, Result]]:
    """Apply `work` to every matrix and yield results as they complete.

    Results do not depend on the number of workers or the order: every task runs with one BLAS thread.

    Args:
        matrices: Any order; the heaviest is started first.
        work: Called in a worker thread; must not raise for a bad matrix.
        workers: Threads, by default one per processor.
        memory: Budget in bytes for all running tasks; a task waits until it fits, and one that never fits runs alone.

    Yields:
        Index in `matrices` and result. Closing the iterator, or an exception such as KeyboardInterrupt in the caller, starts no
        further task and waits for the running ones; BLAS thread limits are restored.
    """
    room = budget() if memory is None else memory
    loads = [load(matrix) for matrix in matrices]
    waiting = sorted(range(len(matrices)), key=lambda i: -loads[i].work)
    running: dict[Future[Result], int] = {}
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(workers or processors()) as pool:
        threads = workers or processors()
        try:
            while waiting or running:
                used = sum(loads[i].memory for i in running.values())
                while waiting and len(running) < threads:
                    fits = next((i for i in waiting if used + loads[i].memory <= room), None)
                    if fits is None and running:
                        break
                    index = waiting[0] if fits is None else fits
                    waiting.remove(index)
                    used += loads[index].memory
                    running[pool.submit(work, matrices[index])] = index
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda f: running[f]):
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def in_order(
    matrices: Sequence[Matrix], work: Callable[[Matrix], Result], *, workers: int | None = None, memory: int | None = None
) -> Iterator[Result]:
    """Apply `work` to every matrix and yield results in the given order, for a caller who needs neighbours together.

    As `run`, but at most as many matrices are begun ahead of the one that is waited for as there are threads, so that what is held
    at one time does not grow with their number.

    Args:
        matrices: In the order of the results.
        work: Called in a worker thread; must not raise for a bad matrix.
        workers: Threads, by default one per processor.
        memory: Budget in bytes for what is begun and not yet taken; one that never fits runs alone.
    """
    room = budget() if memory is None else memory
    loads = [load(matrix) for matrix in matrices]
    threads = workers or processors()
    begun: list[tuple[int, Future[Result]]] = []
    following = 0
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:  # leaving it waits for what runs
        while begun or following < len(matrices):
            while following < len(matrices) and len(begun) < threads:
                if begun and sum(loads[i].memory for i, _ in begun) + loads[following].memory > room:
                    break
                begun.append((following, pool.submit(work, matrices[following])))
                following += 1
            yield begun.pop(0)[1].result()
