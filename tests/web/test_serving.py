"""The server as it runs: over a real socket, live while runs are written, stopped by a signal also with open streams."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from modescope.errors import UnreadableError, UsageError
from modescope.reports.form import loads
from modescope.runs import Journal
from modescope.store import Store
from modescope.web import serve
from web_cases import Events, Running, measured, running, table


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    folder = tmp_path_factory.mktemp("given")
    measured().save(folder / "run")
    Store(folder / "store").append(measured(), run="recorded", step=1)
    with running(folder, cwd=folder) as server:
        yield server, folder


def raw(port: int, request: bytes, seconds: float = 5.0) -> bytes:
    """What comes back for bytes that no proper client would send."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection, suppress(ConnectionError):
        connection.sendall(request)
        if b"\r\n\r\n" not in request:
            connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            found += part
    return found


def test_a_browser_comes_in_by_the_address_that_was_printed(shared: tuple[Running, Path]) -> None:
    server, _ = shared
    with httpx.Client(base_url=server.url) as browser:
        assert browser.get("/api/index").status_code == 401
        first = browser.get("/", params={"token": server.token})
        assert (first.status_code, first.headers["location"]) == (303, "/")
        page = browser.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "connect-src 'self'" in page.headers["content-security-policy"]
        assert '<script type="application/json" id="server">' in page.text
        assert server.token not in page.text
        answer = browser.get("/api/index")
        assert answer.headers["content-encoding"] == "gzip"
        rows = table(loads(answer.text, "index"))
        assert {row["run"] for row in rows} == {"run", "recorded"}
        for row in rows:
            key = row["link"].removeprefix("run=")
            assert len(table(loads(browser.get(f"/api/runs/{key}").text, key))) == 3


def test_only_this_machine_reaches_it(shared: tuple[Running, Path]) -> None:
    server, _ = shared
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in own:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((str(address), server.port), timeout=2)


ODD = {
    "no host": (b"GET /api/index HTTP/1.1\r\n\r\n", (400, 421)),
    "no host, old protocol": (b"GET /api/index HTTP/1.0\r\n\r\n", (421,)),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\n\r\n", (400, 421)),
    "another host in the address": (b"GET http://evil.example/api/index HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (404,)),
    "another host": (b"GET /api/index HTTP/1.1\r\nHost: evil.example\r\n{token}\r\n", (421,)),
    "dots": (b"GET /../../etc/passwd HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (404,)),
    "hidden dots": (b"GET /api/runs/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (404,)),
    "twice hidden dots": (b"GET /api/runs/%252e%252e%252fetc HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (404,)),
    "a null": (b"GET /api/runs/%00 HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (404,)),
    "a file": (b"GET file:///etc/passwd HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (400, 404)),
    "a huge query": (b"GET /api/index?" + b"x" * 9000 + b" HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (414,)),
    "a huger query": (b"GET /api/index?" + b"x" * 2_000_000 + b" HTTP/1.1\r\nHost: {host}\r\n{token}\r\n", (400, 414, 431)),
    "huge headers": (b"GET / HTTP/1.1\r\nHost: {host}\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n", (400, 431)),
    "posted": (b"POST /api/index HTTP/1.1\r\nHost: {host}\r\n{token}Content-Length: 2\r\n\r\n{}", (405,)),
    "smuggled": (
        b"GET /api/index HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        (400, 401),
    ),
    "no protocol": (b"hello\r\n\r\n", (400,)),
    "encrypted": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), (400,)),
    "a socket of another kind": (
        b"GET /api/events HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        (401,),
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_requests_are_refused_and_the_server_goes_on(shared: tuple[Running, Path], case: str) -> None:
    server, _ = shared
    request, expected = ODD[case]
    request = request.replace(b"{host}", f"127.0.0.1:{server.port}\r\nConnection: close".encode())
    request = request.replace(b"{token}", f"Authorization: Bearer {server.token}\r\nConnection: close\r\n".encode())
    answer = raw(server.port, request)
    if answer or len(request) < 1_000_000:  # of what is longer it may stop reading
        assert int(answer.split(b" ", 2)[1]) in expected, answer[:200]
    assert b"root:" not in answer
    assert server.token.encode() not in answer
    assert httpx.get(f"{server.url}/api/index", headers=server.shown).status_code == 200


def test_the_page_follows_a_store_and_a_journal_while_they_are_written(shared: tuple[Running, Path]) -> None:
    server, folder = shared

    def rows() -> dict[str, dict[str, object]]:
        answer = httpx.get(f"{server.url}/api/index", headers=server.shown, timeout=20)
        return {row["run"]: row for row in table(loads(answer.text, "index"))}

    with httpx.stream("GET", f"{server.url}/api/events", headers=server.shown, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = Events(stream.iter_lines())
        assert events.line().startswith("retry: ")
        Store(folder / "store").append(measured(), run="recorded", step=2)
        assert events.changed() == [str(rows()["recorded"]["link"]).removeprefix("run=")]
        assert rows()["recorded"]["step"] == 2
        journal = Journal(folder / "writing", resume=False)
        journal.begin(measured().source, measured().options)
        for count, row in enumerate(measured().rows[:2], start=1):
            journal.add(f"key {count}", row)
            assert events.changed() == [str(rows()["writing"]["link"]).removeprefix("run=")]
            assert rows()["writing"]["matrices"] == count


def test_a_listener_that_leaves_frees_its_place(shared: tuple[Running, Path]) -> None:
    server, _ = shared
    for _ in range(70):  # more than may listen at a time
        with httpx.stream("GET", f"{server.url}/api/events", headers=server.shown, timeout=10) as stream:
            for _ in range(50):
                if stream.status_code != 503:
                    break
                time.sleep(0.1)
            assert stream.status_code == 200
            next(stream.iter_lines())


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_within_two_seconds_also_with_open_streams(tmp_path: Path, sent: signal.Signals) -> None:
    measured().save(tmp_path / "run")
    with running(tmp_path, cwd=tmp_path) as server:
        idle = socket.create_connection(("127.0.0.1", server.port))
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"GET / HTT")
        with httpx.stream("GET", f"{server.url}/api/events", headers=server.shown, timeout=20) as stream:
            events = Events(stream.iter_lines())
            assert events.line().startswith("retry: ")
            began = time.monotonic()
            code = server.stop(sent)
            took = time.monotonic() - began
            while events.line() != "end":
                pass
        for connection in (idle, half):
            connection.close()
        assert (code, took < 2) == (0, True)
        assert server.process.stderr is not None
        assert "Traceback" not in server.process.stderr.read()
    with socket.create_server(("127.0.0.1", server.port)):
        pass  # the port is free again


def test_a_signal_stops_it_while_an_answer_is_made(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom modescope.web import library as shelf\n"
        "shelf.report = lambda entry: time.sleep(60)\n"
        "from modescope.cli import main\nmain(['serve', '.', '--port', '0', '--no-open', '--token', 'long-enough-for-tests'])"
    )
    measured().save(tmp_path / "run")
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().partition("127.0.0.1:")[2].partition("/")[0])
        shown = {"Authorization": "Bearer long-enough-for-tests"}
        answer = httpx.get(f"http://127.0.0.1:{port}/api/index", headers=shown, timeout=20)
        key = table(loads(answer.text, "index"))[0]["link"].removeprefix("run=")
        with socket.create_connection(("127.0.0.1", port)) as asking:
            head = f"GET /api/runs/{key} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer long-enough-for-tests\r\n\r\n"
            asking.sendall(head.encode())
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0
            assert time.monotonic() - began < 2
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


def test_what_is_no_folder_is_refused_before_anything_is_bound(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="expected a folder of runs"):
        serve([])
    with pytest.raises(UnreadableError, match="no such folder"):
        serve([tmp_path, tmp_path / "missing"])
    with pytest.raises(UsageError, match="got a file"):
        serve([tmp_path / "file"])
    with pytest.raises(UsageError, match="16 to 512"):
        serve([tmp_path], port=0, token="short")


def test_a_missing_library_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modescope.web.find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(UsageError, match=r"uvicorn.*pip install 'modescope\[serve\]'"):
        serve([tmp_path])


def test_called_from_a_program_it_returns_after_the_signal_and_gives_the_handlers_back(tmp_path: Path) -> None:
    import threading

    def handler(*_: object) -> None:
        raise AssertionError("the caller's handler was called")

    before = signal.signal(signal.SIGTERM, handler)
    try:
        serve([tmp_path], port=0, ready=lambda _: threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start())
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
