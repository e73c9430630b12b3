"""Who may ask: every way in without the token, under another name, from another site, is refused with its status and one line."""

import json
from collections.abc import Mapping

import httpx
import pytest

from modescope.errors import UsageError
from modescope.web.guard import HEADERS, LONGEST, Guard, Message, Receive, Send
from web_cases import PORT, TOKEN, Client

BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def behind(scope: Message, receive: Receive, send: Send) -> None:
    """What is guarded: says which path it was asked for."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def ask(path: str, headers: Mapping[str, str | bytes] | None = None, *, method: str = "GET", port: int = PORT) -> httpx.Response:
    """One request through the guard."""
    return Client(Guard(behind, port=port, token=TOKEN), port=port).request(method, path, headers)


def refused(answer: httpx.Response) -> int:
    """The status of an answer that says why in one line, and nothing of the token."""
    assert set(answer.json()) == {"error"}
    assert "\n" not in answer.json()["error"]
    assert TOKEN not in answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code


def test_the_token_opens_as_a_bearer_and_as_a_cookie() -> None:
    assert ask("/api/index", BEARER).text == "/api/index"
    assert ask("/api/index", {"Authorization": f"bearer {TOKEN}"}).status_code == 200
    assert ask("/api/index", {"Cookie": f"other=1; modescope-{PORT}={TOKEN}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer tök"},
        {"Cookie": f"modescope-{PORT + 1}={TOKEN}"},
        {"Cookie": f"token={TOKEN}"},
        {"Cookie": f"modescope-{PORT}=wrong"},
        {"Cookie": "\x01=;;="},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/api/index", "/api/events", "/nothing"])
def test_without_the_right_token_nothing_is_told(headers: Mapping[str, str], path: str) -> None:
    assert refused(ask(path, {name: value.encode("utf-8") for name, value in headers.items()})) == 401


def test_the_first_visit_gets_a_cookie_that_scripts_and_other_sites_cannot_use_and_leaves_the_token_behind() -> None:
    answer = ask(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"], answer.text) == (303, "/", "")
    pair, *flags = answer.headers["set-cookie"].split("; ")
    assert pair == f"modescope-{PORT}={TOKEN}"
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(flags)
    assert ask("/", {"Cookie": pair}).text == "/"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"token={TOKEN}x", 403),
        ("token=", 403),
        ("token=%00%ff", 403),
        (f"token={TOKEN}&token={TOKEN}", 400),
        (f"token={TOKEN}&more=1", 400),
        (f"other={TOKEN}", 400),
        ("&".join(f"token={i}" for i in range(50)), 400),
        ("token", 400),
    ],
)
def test_a_first_visit_with_anything_else_is_refused(query: str, status: int) -> None:
    answer = ask(f"/?{query}")
    assert refused(answer) == status
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}", f"LocalHost:{PORT}"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert ask("/api/index", {**BEARER, "Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        "127.0.0.1",
        f"127.0.0.1:{PORT + 1}",
        "localhost",
        f"localhost.evil.example:{PORT}",
        "",
        f"127.0.0.1:{PORT}@evil.example",
        f"0.0.0.0:{PORT}",
        f"127.0.0.1:0{PORT}",
        f"127.0.0.1:{PORT}, evil.example",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused_even_with_the_token(host: str) -> None:
    assert refused(ask("/api/index", {**BEARER, "Host": host})) == 421
    assert refused(ask(f"/?token={TOKEN}", {"Host": host})) == 421


def test_on_port_80_the_name_may_come_without_it() -> None:
    assert ask("/", {**BEARER, "Host": "localhost"}, port=80).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_but_reading_is_answered(method: str) -> None:
    answer = ask("/api/index", BEARER, method=method)
    assert refused(answer) == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_another_site_is_refused_and_this_one_is_not() -> None:
    own = f"http://127.0.0.1:{PORT}"
    assert ask("/api/index", {**BEARER, "Origin": own}).status_code == 200
    for origin in (
        "null",
        "http://evil.example",
        f"https://127.0.0.1:{PORT}",
        f"http://127.0.0.1:{PORT + 1}",
        f"{own}.evil.example",
        "",
    ):
        assert refused(ask("/api/index", {**BEARER, "Origin": origin})) == 403
    for site in ("cross-site", "same-site"):
        assert refused(ask("/api/index", {**BEARER, "Sec-Fetch-Site": site})) == 403
    for site in ("same-origin", "none"):
        assert ask("/api/index", {**BEARER, "Sec-Fetch-Site": site}).status_code == 200


def test_a_huge_address_is_refused() -> None:
    assert refused(ask("/api/index?" + "x" * LONGEST, BEARER)) == 414
    assert refused(ask("/" + "x" * LONGEST, BEARER)) == 414


@pytest.mark.parametrize("path", ["/", "/api/index", f"/?token={TOKEN}", "/?token=wrong"])
@pytest.mark.parametrize("headers", [BEARER, {}])
def test_every_answer_forbids_keeping_framing_and_guessing(path: str, headers: Mapping[str, str]) -> None:
    answer = ask(path, headers)
    for name, value in HEADERS:
        assert answer.headers[name.decode()] == value.decode()
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "token", ["", "short", "with space in it, long", "semi;colon-long-enough", "ümläut-long-enough", "x" * 600]
)
def test_a_token_that_is_weak_or_breaks_a_cookie_is_a_usage_error(token: str) -> None:
    with pytest.raises(UsageError, match="16 to 512"):
        Guard(behind, port=PORT, token=token)


def test_refusals_are_json_for_whatever_comes() -> None:
    assert json.loads(ask("/%00%ff/..%2f", {}).text)["error"]


@pytest.mark.parametrize("other", ['prefs={"x":1}', "theme=a b", "_ga[x]=2", "secure", "x@y=1", "=", ";;"])
def test_the_cookies_of_others_do_not_lock_a_user_out(other: str) -> None:
    mine = f"modescope-{PORT}={TOKEN}"
    for cookies in (f"{other}; {mine}", f"{mine}; {other}"):
        assert ask("/", {"cookie": cookies}).status_code == 200
