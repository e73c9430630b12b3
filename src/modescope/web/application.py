"""The addresses of the server: the page, the list of runs, one run, several side by side, and what changed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from gzip import decompress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from modescope.errors import ModescopeError
from modescope.render import html
from modescope.reports import Report
from modescope.web import library as shelf
from modescope.web.aside import aside
from modescope.web.guard import Refused
from modescope.web.library import Entry, Library
from modescope.web.overview import overview
from modescope.web.rendered import Rendered
from modescope.web.side_by_side import Side, side_by_side
from modescope.web.watching import Watching

MOST = 16  # scans side by side
THREADS = 8  # answers that are made at a time
STREAMS = 64  # listeners at a time


def application(library: Library, watching: Watching) -> Starlette:
    """The server's answers, all of them saved forms of reports but for the page and the events; a guard belongs in front of it.

    Its `state.close` ends what is under way, streams of events among it, when the server stops.
    """
    answers = _Answers(library, watching)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(watching.look())
        try:
            yield
        finally:
            looking.cancel()

    made = Starlette(
        routes=[
            Route("/", answers.page),
            Route("/api/index", answers.index),
            Route("/api/runs/{key}", answers.run),
            Route("/api/compare", answers.compare),
            Route("/api/events", answers.events),
        ],
        exception_handlers={Refused: _refused, HTTPException: _unknown},
        lifespan=lifespan,
    )
    made.state.close = answers.close
    made.router.redirect_slashes = False  # an address is right or wrong
    return made


class _Answers:
    """One method per address."""

    def __init__(self, library: Library, watching: Watching) -> None:
        self.library = library
        self.watching = watching
        self.rendered = Rendered()
        self.places = asyncio.Semaphore(THREADS)
        self.under_way: set[asyncio.Future[bytes]] = set()

    def close(self) -> None:
        """End what is under way: nobody will wait for it once the server stops."""
        self.watching.close()
        for work in self.under_way:
            work.cancel()

    async def page(self, _: Request) -> Response:
        policy = f"{html.policy(served=True)}; frame-ancestors 'none'"
        return HTMLResponse(html.served("Modescope"), headers={"content-security-policy": policy})

    async def index(self, request: Request) -> Response:
        _expect(request, ())

        def made() -> bytes:
            listing = self.library.refresh()
            return self.rendered.get("index", listing.version, partial(overview, self.library))

        return await self._answer(request, made)

    async def run(self, request: Request) -> Response:
        _expect(request, ())

        def made() -> bytes:
            entry = self._entry(request.path_params["key"])
            return self.rendered.get(entry.key, entry.state, partial(shelf.report, entry))

        return await self._answer(request, made)

    async def compare(self, request: Request) -> Response:
        _expect(request, ("run",))
        keys = request.query_params.getlist("run")
        if not 2 <= len(keys) <= MOST or len(set(keys)) != len(keys):
            raise Refused(400, f"compare: expected 2 to {MOST} different runs, as ?run=ID&run=ID.")

        def made() -> bytes:
            entries = [self._entry(key) for key in keys]
            states = tuple(entry.state for entry in entries)
            return self.rendered.get(" ".join(keys), states, partial(_compared, entries))

        return await self._answer(request, made)

    async def events(self, request: Request) -> Response:
        _expect(request, ())
        if len(self.watching.streams) >= STREAMS:
            raise Refused(503, f"expected at most {STREAMS} listeners at a time.")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return StreamingResponse(self.watching.stream(request.headers.get("last-event-id", "")), media_type="text/event-stream")

    async def _answer(self, request: Request, made: Callable[[], bytes]) -> Response:
        """Make an answer in a thread; what is wrong with what was saved is said in one line."""
        work = asyncio.ensure_future(self._aside(made))
        self.under_way.add(work)
        try:
            body = await work
        except asyncio.CancelledError:
            if not self.watching.closed:
                raise
            raise Refused(503, "the server stops.") from None
        except Refused:
            raise
        except ModescopeError as error:
            raise Refused(422, shelf.reason(error)) from error
        except Exception as error:  # a damaged file may break a reader in any way; the others go on
            raise Refused(500, shelf.reason(error)) from error
        finally:
            self.under_way.discard(work)
        headers = {"vary": "accept-encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(decompress(body), headers=headers, media_type="application/json")
        return Response(body, headers=headers | {"content-encoding": "gzip"}, media_type="application/json")

    async def _aside(self, made: Callable[[], bytes]) -> bytes:
        async with self.places:
            return await aside(made)

    def _entry(self, key: str) -> Entry:
        entry = self.library.find(key)
        if entry is None:
            raise Refused(404, "no such run: it is not, or no longer, in the folders that are served.")
        return entry


def _compared(entries: list[Entry]) -> Report:
    return side_by_side([Side(entry.key, entry.name, shelf.document(entry)) for entry in entries])


def _expect(request: Request, names: Collection[str]) -> None:
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        raise Refused(400, f"{request.url.path}: no parameter {unknown[0][:40]!a}; expected {' and '.join(names) or 'none'}.")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"error": str(error)}, error.status, {name.decode(): value.decode() for name, value in error.headers})


async def _unknown(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": f"{error.detail.lower()}."}, error.status_code)
