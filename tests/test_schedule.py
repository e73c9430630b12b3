"""Running many matrices on a few threads: order, memory, interruption, BLAS threads."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from matrices_cases import as_matrix
from modescope.matrix import Matrix
from modescope.schedule import budget, in_order, load, processors, run
from modescope.spectrum import decompose


def many(*sides: int) -> list[Matrix]:
    return [as_matrix(np.eye(side), name=f"layer.{i}") for i, side in enumerate(sides)]


def test_every_matrix_is_done_once_whatever_the_number_of_workers() -> None:
    matrices = many(*range(1, 40))
    for workers in (1, 2, 5):
        found = dict(run(matrices, lambda m: m.tensor, workers=workers))
        assert found == {i: m.tensor for i, m in enumerate(matrices)}


def test_the_heaviest_is_started_first() -> None:
    started: list[int] = []
    list(run(many(5, 50, 20, 40), lambda m: started.append(m.shape[0]), workers=1))
    assert started == [50, 40, 20, 5]


def test_values_do_not_depend_on_workers_or_order() -> None:
    rng = np.random.default_rng(0)
    matrices = [as_matrix(rng.standard_normal((120, 80)).astype(np.float32), name=f"l{i}") for i in range(12)]
    one = dict(run(matrices, lambda m: decompose(m).s, workers=1))
    three = dict(run(matrices[::-1], lambda m: decompose(m).s, workers=3))
    for i, s in one.items():
        assert np.array_equal(s, three[len(matrices) - 1 - i])


def test_running_tasks_stay_within_the_memory_budget() -> None:
    lock, running, peak = threading.Lock(), [0], [0]
    matrices = many(*[300] * 8)
    room = 2 * load(matrices[0]).memory

    def work(_: Matrix) -> None:
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    list(run(matrices, work, workers=6, memory=room))
    assert peak[0] == 2
    list(run(matrices, work, workers=6, memory=1))  # nothing fits: one at a time, none is lost
    assert budget() > 0


def test_one_blas_thread_each_and_the_limits_are_restored() -> None:
    before = [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"]
    seen: list[int] = []
    list(run(many(4), lambda _: seen.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")))
    assert set(seen) == {1}
    assert before == [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"]


def test_an_interruption_starts_nothing_more() -> None:
    started: list[str] = []

    def work(m: Matrix) -> None:
        started.append(m.tensor)

    tasks = run(many(*[3] * 50), work, workers=1)
    next(tasks)
    tasks.close()  # type: ignore[attr-defined]
    assert len(started) < 5


def test_a_fault_in_the_work_reaches_the_caller() -> None:
    def work(_: Matrix) -> None:
        raise ValueError("fault")

    with pytest.raises(ValueError, match="fault"):
        list(run(many(3, 4), work))
    assert processors() >= 1


def test_results_come_in_the_order_given_though_others_are_done_before() -> None:
    sides = [30, 5, 20, 1, 9, 40, 2]

    def work(m: Matrix) -> int:
        time.sleep(m.shape[0] / 2000)
        return m.shape[0]

    for workers in (1, 3, 8):
        assert list(in_order(many(*sides), work, workers=workers)) == sides
    assert list(in_order([], work)) == []


def test_as_many_are_at_work_as_there_are_threads_and_no_more_are_begun_ahead() -> None:
    together, lock, begun = threading.Barrier(3), threading.Lock(), [0]

    def work(_: Matrix) -> None:
        with lock:
            begun[0] += 1
        together.wait(timeout=10)  # nobody goes on before three are there

    ahead = []
    for taken, _ in enumerate(in_order(many(*[3] * 9), work, workers=3), start=1):
        time.sleep(0.005)
        ahead.append(begun[0] - taken)
    assert begun[0] == 9
    assert max(ahead) == 2  # beside the one that is waited for


@pytest.mark.parametrize(("loads", "ahead"), [(0.0, 0), (1.5, 0), (2.0, 1), (3.5, 2)])
def test_what_is_begun_and_not_yet_taken_stays_within_the_memory_budget(loads: float, ahead: int) -> None:
    lock, begun, seen = threading.Lock(), [0], []
    matrices = many(*[50] * 8)

    def work(_: Matrix) -> None:
        with lock:
            begun[0] += 1

    for taken, _ in enumerate(in_order(matrices, work, workers=6, memory=int(loads * load(matrices[0]).memory)), start=1):
        time.sleep(0.005)
        seen.append(begun[0] - taken)
    assert begun[0] == len(seen) == 8  # one that never fits runs alone, and none is lost
    assert max(seen) == ahead


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_in_the_work_reaches_the_caller_in_its_turn_and_stops_the_rest(error: type[BaseException]) -> None:
    started: list[int] = []
    before = [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"]

    def work(m: Matrix) -> int:
        started.append(m.shape[0])
        if m.shape[0] == 3:
            raise error("fault")
        return m.shape[0]

    results = in_order(many(*range(1, 40)), work, workers=2)
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(error, match="fault"):
        next(results)
    assert max(started) <= 4
    assert before == [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info() if lib["user_api"] == "blas"]


@pytest.mark.parametrize("workers", [1, 4])
def test_an_interruption_of_the_caller_begins_nothing_more_and_leaves_no_thread(workers: int) -> None:
    started: list[str] = []
    threads = threading.active_count()

    def work(m: Matrix) -> None:
        time.sleep(0.005)
        started.append(m.tensor)

    tasks = in_order(many(*[3] * 50), work, workers=workers)
    next(tasks)
    with pytest.raises(KeyboardInterrupt):
        tasks.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    count = len(started)
    assert count <= workers
    assert threading.active_count() == threads
    time.sleep(0.02)
    assert len(started) == count
    assert list(tasks) == []
