"""Answers are made once per state, by one thread, and forgotten when there are too many."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import pytest

from modescope.reports import Report
from modescope.web.rendered import Rendered


def report(title: str = "t") -> Report:
    return Report((), {}, "", title=title)


def test_an_answer_is_made_once_per_state() -> None:
    kept, made = Rendered(), []

    def make() -> Report:
        made.append(1)
        return report()

    for state in (1, 1, 2, 2, 1):
        kept.get("a", state, make)
    assert len(made) == 3


def test_threads_that_want_the_same_answer_wait_for_the_first_and_others_do_not() -> None:
    kept, made, together = Rendered(), [], Barrier(2, timeout=10)

    def slow() -> Report:
        made.append(1)
        sleep(0.05)
        return report()

    def meeting() -> Report:
        together.wait()  # passes only when both are made at the same time
        return report()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: kept.get("a", 1, slow), range(8)))
        list(pool.map(lambda key: kept.get(key, 1, meeting), ("b", "c")))
    assert len(made) == 1


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    size = len(Rendered().get("x", 1, report))
    kept, made = Rendered(limit=2 * size), []
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, 1, lambda key=key: made.append(key) or report())  # type: ignore[misc,func-returns-value]
    assert made == ["a", "b", "c", "b"]


def test_a_failure_is_no_answer() -> None:
    kept = Rendered()
    with pytest.raises(ZeroDivisionError):
        kept.get("a", 1, lambda: report(str(1 / 0)))
    assert json.loads(gzip.decompress(kept.get("a", 1, report)))["title"] == "t"
