"""Who may ask: the owner of the token, from a page of this server, under an address of this machine.

A page of another site can make a browser send requests here, and can let its own name point to this machine; so `Host` must be one
of this server's names, `Origin` must be this server where it is told, and every answer but the first needs the token, as a cookie
that other sites cannot make a browser send, or in a header that they cannot set.
"""

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from modescope.errors import UsageError

LONGEST = 8192  # bytes of path and query
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
TOKEN = re.compile(r"[A-Za-z0-9_.~-]{16,512}")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Refused(Exception):  # noqa: N818 - an answer, and no fault of ours
    """A request that is not answered: its status, one line of why, and headers."""

    def __init__(self, status: int, why: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(why)
        self.status = status
        self.headers = tuple(headers)


class Guard:
    """An application behind the checks; what it refuses does not reach it."""

    def __init__(self, app: App, *, port: int, token: str) -> None:
        """Put an application behind a token.

        Raises:
            UsageError: A token that is short, or that an address or a cookie cannot hold as it is.
        """
        if not TOKEN.fullmatch(token):
            raise UsageError("token: expected 16 to 512 letters, digits, or any of -._~. Without one, it is drawn at random.")
        self.app = app
        self.token = token.encode("ascii")
        self.cookie = f"modescope-{port}"
        hosts = ("127.0.0.1", "localhost", "[::1]")
        self.hosts = {f"{host}:{port}" for host in hosts} | ({*hosts} if port == 80 else set())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Check one request and hand it on, or say why not."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {name.lower() for name, _ in message["headers"]}
                added = [pair for pair in (*HEADERS, POLICY) if pair[0] not in told]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            address = self.check(scope)
        except Refused as refused:
            await _say(guarded, refused.status, json.dumps({"error": str(refused)}), refused.headers)
            return
        if address is not None:
            await _say(guarded, 303, "", ((b"location", b"/"), (b"set-cookie", address)))
            return
        await self.app(scope, receive, guarded)

    def check(self, scope: Message) -> bytes | None:
        """Let a request pass, or answer with the cookie that a first visit with the right token gets.

        Raises:
            Refused: Anything is wrong with it.
        """
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if scope["method"] not in ("GET", "HEAD"):
            raise Refused(405, "only GET and HEAD: nothing here can be changed.", ((b"allow", b"GET, HEAD"),))
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            raise Refused(421, "expected this server's own address as Host; forward the same port if it is reached from elsewhere.")
        query = scope["query_string"]
        if len(scope.get("raw_path") or scope["path"].encode()) + len(query) > LONGEST:
            raise Refused(414, f"expected an address of at most {LONGEST} bytes.")
        origins = [value for name, value in headers if name == b"origin"]
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            raise Refused(403, "refused: the request comes from another site.")
        if scope["path"].startswith("/api/") and any(
            value not in ("same-origin", "none") for name, value in headers if name == b"sec-fetch-site"
        ):
            raise Refused(403, "refused: the request comes from another site.")
        if scope["path"] == "/" and query:
            return self._first_visit(query)
        if not any(self._right(value) for value in self._shown(headers)):
            wanted = ((b"www-authenticate", b"Bearer"),)
            raise Refused(401, "expected the token: open the address that modescope serve printed.", wanted)
        return None

    def _first_visit(self, query: bytes) -> bytes:
        try:
            given = parse_qs(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=2)
        except ValueError as error:
            raise Refused(400, "expected ?token=… and nothing else.") from error
        if list(given) != ["token"] or len(given["token"]) != 1:
            raise Refused(400, "expected ?token=… and nothing else.")
        if not self._right(given["token"][0]):
            raise Refused(403, "wrong token: open the address that modescope serve printed last.")
        return b"%s=%s; Path=/; HttpOnly; SameSite=Strict" % (self.cookie.encode(), self.token)

    def _shown(self, headers: Iterable[tuple[bytes, str]]) -> Iterable[str]:
        """Tokens that a request shows."""
        for name, value in headers:
            if name == b"authorization":
                scheme, _, shown = value.partition(" ")
                if scheme.lower() == "bearer":
                    yield shown.strip()
            elif name == b"cookie":
                for cookie in value.split(";"):  # others' cookies may have any form: those of all ports come along
                    called, _, shown = cookie.strip().partition("=")
                    if called == self.cookie:
                        yield shown

    def _right(self, shown: str) -> bool:
        """Compared in a time that says nothing of how far the two agree."""
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.token)


async def _say(send: Send, status: int, text: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
    body = text.encode("ascii")
    kind = [(b"content-type", b"application/json")] if body else []
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *length, *headers]})
    await send({"type": "http.response.body", "body": body})
