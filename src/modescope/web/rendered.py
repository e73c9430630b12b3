"""Answers as they go over the wire, made once per state of what they show."""

import gzip
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from weakref import WeakValueDictionary

from modescope.reports import Report
from modescope.reports.form import dumps

LIMIT = 256_000_000  # bytes kept
LEVEL = 3  # of compression: the answer travels no further than this machine


class Rendered:
    """Saved forms of reports, compressed; two threads that want the same one wait for one to make it."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Keep at most `limit` bytes; what was used longest ago goes first."""
        self.limit = limit
        self._kept: OrderedDict[str, tuple[object, bytes]] = OrderedDict()
        self._locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._lock = Lock()

    def get(self, key: str, state: object, make: Callable[[], Report]) -> bytes:
        """The answer under a key for a state; made where that state has none."""
        with self._lock:
            mine = self._locks.setdefault(key, Lock())
        with mine:
            with self._lock:
                kept = self._kept.get(key)
                if kept is not None and kept[0] == state:
                    self._kept.move_to_end(key)
                    return kept[1]
            body = gzip.compress(dumps(make()).encode("utf-8"), LEVEL)
            with self._lock:
                self._kept[key] = (state, body)
                self._kept.move_to_end(key)
                size = sum(len(answer) for _, answer in self._kept.values())
                while size > self.limit and self._kept:
                    size -= len(self._kept.popitem(last=False)[1][1])
            return body
