"""The addresses: every answer is a saved report, what is unknown or wrong is refused in one line."""

from pathlib import Path
from typing import Any

import pytest

from modescope.render import html
from modescope.reports import Report
from modescope.reports.form import loads
from modescope.store import Store
from modescope.web import library as shelf
from modescope.web.application import MOST, application
from modescope.web.guard import Guard
from modescope.web.library import Library
from modescope.web.watching import Watching
from web_cases import PORT, TOKEN, Client, library, measured, moved, one, table


@pytest.fixture
def given(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    measured().save(folder / "run")
    store = Store(folder / "store")
    for step in (1, 2):
        store.append(moved(measured(), 0.1 * step), run="recorded", step=step)
    (tmp_path / "secret").mkdir()
    measured().save(tmp_path / "secret" / "run")
    return folder


@pytest.fixture
def found(given: Path) -> Library:
    return library(given)


@pytest.fixture
def client(found: Library) -> Client:
    return Client(Guard(application(found, Watching(found)), port=PORT, token=TOKEN), {"Authorization": f"Bearer {TOKEN}"})


def report(client: Client, path: str) -> Report:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return loads(answer.text, path)


def refused(client: Client, path: str, method: str = "GET") -> int:
    answer = client.request(method, path)
    assert set(answer.json()) == {"error"}, answer.text
    assert "\n" not in answer.json()["error"]
    return answer.status_code


def test_the_list_leads_to_every_run(client: Client) -> None:
    rows = table(report(client, "/api/index"))
    assert {row["run"] for row in rows} == {"run", "recorded"}
    for row in rows:
        key = row["link"].removeprefix("run=")
        assert len(table(report(client, f"/api/runs/{key}"))) == 3


def test_runs_of_any_kind_are_compared(client: Client, found: Library) -> None:
    keys = [one(found, name).key for name in ("run", "recorded")]
    shown = report(client, f"/api/compare?run={keys[0]}&run={keys[1]}")
    assert [row["run"] for row in table(shown)] == ["run", "recorded"]
    alphas = [row["median alpha"] for row in table(shown)]
    assert alphas[1] - alphas[0] == pytest.approx(0.2, abs=1e-12)


def test_the_page_comes_with_the_policy_it_needs_and_cannot_be_framed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "policy", lambda *, served: f"default-src 'none'; planted {served}", raising=False)
    monkeypatch.setattr(html, "served", lambda title: f"<!doctype html><title>{title}</title>", raising=False)
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (200, "<!doctype html><title>Modescope</title>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'; planted True; frame-ancestors 'none'"


def test_an_answer_is_made_again_only_when_its_run_changed(
    client: Client, found: Library, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = shelf.report
    monkeypatch.setattr(shelf, "report", lambda entry: made.append(entry.name) or real(entry))  # type: ignore[func-returns-value]
    keys = {name: one(found, name).key for name in ("run", "recorded")}
    for _ in range(2):
        for key in keys.values():
            report(client, f"/api/runs/{key}")
    assert sorted(made) == ["recorded", "run"]
    Store(given / "store").append(measured(seed=1), run="recorded", step=3)
    for key in keys.values():
        report(client, f"/api/runs/{key}")
    assert sorted(made) == ["recorded", "recorded", "run"]
    row = table(report(client, "/api/index"))[0]
    assert (row["step"], row["steps"]) == (3, 3)


def test_answers_are_compressed_for_those_who_read_it(client: Client) -> None:
    packed = client.get("/api/index", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/api/index", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()


def test_head_has_the_headers_and_no_body(client: Client, found: Library) -> None:
    for path in ("/api/index", f"/api/runs/{one(found, 'run').key}", "/api/events"):
        answer = client.request("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/api/runs/0000000000000000",
        "/api/runs/run",
        "/api/runs/..%2f..%2fsecret%2frun",
        "/api/runs/%2e%2e%2fsecret%2frun",
        "/api/runs/..%5c..%5csecret",
        "/api/runs/%2fetc%2fpasswd",
        "/api/runs/%00",
        "/api/runs/%ff%fe",
        "/api/runs/",
        "/api/runs",
        "/api/../secret/run/manifest.json",
        "/..%2fsecret/run/manifest.json",
        "/run/manifest.json",
        "/secret",
        "/api",
        "/favicon.ico",
        "//api/index",
        "/api/index/",
    ],
)
def test_what_is_not_in_the_list_is_not_found(client: Client, path: str) -> None:
    assert refused(client, path) == 404


@pytest.mark.parametrize(
    "query",
    [
        "index?x=1",
        "index?run=1",
        "runs/{run}?step=1",
        "events?since=1",
        "compare",
        "compare?run={run}",
        "compare?run={run}&run={run}",
        "compare?run={run}&run=x&format=html",
        "compare?" + "&".join(f"run={i}" for i in range(MOST + 1)),
    ],
)
def test_parameters_that_are_unknown_missing_or_too_many_are_refused(client: Client, found: Library, query: str) -> None:
    assert refused(client, f"/api/{query.format(run=one(found, 'run').key)}") == 400


def test_comparing_with_an_unknown_run_is_not_found(client: Client, found: Library) -> None:
    assert refused(client, f"/api/compare?run={one(found, 'run').key}&run=unknown") == 404


def test_a_damaged_run_is_refused_in_one_line_and_the_rest_is_served(client: Client, found: Library, given: Path) -> None:
    measured().save(given / "bad")
    (given / "bad" / "arrays.safetensors").write_bytes(b"\x80\x04.")
    bad, good = one(found, "bad").key, one(found, "run").key
    answer = client.get(f"/api/runs/{bad}")
    assert answer.status_code == 422
    assert "arrays.safetensors" in answer.json()["error"]
    report(client, f"/api/runs/{good}")
    report(client, "/api/index")


def test_a_reader_that_breaks_costs_one_answer(client: Client, found: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(entry: Any) -> Report:
        raise ZeroDivisionError("inner\nand more")

    monkeypatch.setattr(shelf, "report", fault)
    answer = client.get(f"/api/runs/{one(found, 'run').key}")
    assert (answer.status_code, "ZeroDivisionError" in answer.json()["error"]) == (500, True)
    assert "\n" not in answer.json()["error"]
    report(client, "/api/index")


def test_nothing_is_unpickled_and_nothing_outside_is_read(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("unpickled"))
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    (given / "run" / "link").symlink_to(given.parent / "secret")
    (given / "model.pt").write_bytes(b"\x80\x04cos\nmkdir\n(S'executed'\ntR.")
    shown = library(given)
    assert {entry.name for entry in shown.listing.entries.values()} == {"run", "recorded"}
