"""Folders of runs for tests of the server, and a server that really listens."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import anyio
import httpx
import numpy as np

from cases import spiked
from modescope.reports import Report
from modescope.reports.form import dumps, loads
from modescope.result import Scan
from modescope.scanning import scan
from modescope.web.library import Entry, Library

TOKEN = "a-token-of-the-tests"
PORT = 8642


@cache
def measured(seed: int = 0, modes: int = 3) -> Scan:
    """Two matrices with numbers and one without."""
    rng = np.random.default_rng(seed)
    bad = np.full((20, 20), np.nan, np.float32)
    network = {
        "h.2.weight": spiked((80, 60), modes, seed=seed).astype(np.float32),
        "h.10.weight": rng.standard_normal((60, 70)).astype(np.float32),
        "bad.weight": bad,
    }
    return scan(network)


def moved(found: Scan, by: float) -> Scan:
    """The same scan with every tail exponent moved."""
    rows = []
    for row in found.rows:
        tail = row.measures["tail"]
        alpha = None if tail.alpha is None else tail.alpha + by
        rows.append(replace(row, measures={**row.measures, "tail": replace(tail, alpha=alpha)}))
    return replace(found, rows=tuple(rows))


def library(*folders: Path) -> Library:
    """A library that has looked once."""
    made = Library([(folder, folder.name) for folder in folders])
    made.refresh()
    return made


def one(found: Library, name: str) -> Entry:
    """The only entry of a name."""
    (entry,) = [entry for entry in found.refresh().entries.values() if entry.name == name]
    return entry


def saved(report: Report) -> Report:
    """The report as it is after it went over the wire."""
    return loads(dumps(report), "test")


def table(report: Report) -> list[dict[str, Any]]:
    """Rows of the first table by the names of its columns, with the link of each."""
    first: Any = report.blocks[0]
    links = first.links or [""] * len(first.rows)
    return [dict(zip(first.columns, row, strict=True)) | {"link": link} for row, link in zip(first.rows, links, strict=True)]


@dataclass(frozen=True)
class Client:
    """Requests to an application without a socket, one after the other."""

    app: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    port: int = PORT

    def request(self, method: str, path: str, headers: Mapping[str, Any] | None = None) -> httpx.Response:
        async def asked() -> httpx.Response:
            url = f"http://127.0.0.1:{self.port}"
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=url) as client:
                return await client.request(method, path, headers={**self.headers, **(headers or {})})

        return anyio.run(asked)

    def get(self, path: str, headers: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@dataclass(frozen=True)
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    port: int
    token: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def shown(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(sent)
        return self.process.wait(timeout=20)


@contextmanager
def running(*arguments: str | Path, cwd: Path) -> Iterator[Running]:
    """`modescope serve` on a free port."""
    command = [sys.executable, "-m", "modescope", "serve", *map(str, arguments), "--port", "0", "--no-open"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODESCOPE_")}
    process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", said)
        assert found, said + process.stderr.read()
        yield Running(process, int(found[1]), found[2])
    finally:
        process.kill()
        process.communicate()


class Events:
    """Server-sent events, read in a thread so that waiting for one can end."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.found: Queue[str] = Queue()
        self.thread = Thread(target=self._read, args=(lines,), daemon=True)
        self.thread.start()

    def _read(self, lines: Iterator[str]) -> None:
        try:
            for line in lines:
                self.found.put(line)
        except Exception as error:  # the connection was cut: what a test waits for will not come
            self.found.put(f"cut: {type(error).__name__}")
        self.found.put("end")

    def changed(self, seconds: float = 10.0) -> list[str]:
        """Ids that the next event names."""
        while True:
            line = self.line(seconds)
            if line.startswith("data: "):
                found: list[str] = json.loads(line.removeprefix("data: "))["changed"]
                return found

    def line(self, seconds: float = 10.0) -> str:
        """The next line that is not empty."""
        while True:
            try:
                line = self.found.get(timeout=seconds)
            except Empty as error:
                raise AssertionError(f"nothing came in {seconds} s") from error
            if line:
                return line
