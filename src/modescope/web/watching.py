"""Watch what the library holds while somebody listens, and tell them what changed."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator
from time import monotonic

from modescope.web.aside import aside
from modescope.web.library import Library

EVERY = 1.0  # seconds between two looks
SHARE = 10  # and at least so many times as long as one look took
HEARTBEAT = 15.0  # seconds: connections that say nothing for long are cut on their way


class Watching:
    """Streams of server-sent events that name the runs that changed."""

    def __init__(self, library: Library, *, every: float = EVERY, heartbeat: float = HEARTBEAT) -> None:
        """Watch a library, looking at it while there are streams."""
        self.library = library
        self.every = every
        self.heartbeat = heartbeat
        self.streams: set[asyncio.Event] = set()
        self.closed = False
        self._born = secrets.token_hex(4)  # versions of an earlier server mean nothing here

    async def look(self) -> None:
        """Look again and again until cancelled."""
        told = self.library.listing.version
        while True:
            began = monotonic()
            if self.streams:
                try:
                    await aside(self.library.refresh)
                except Exception as error:  # whatever is damaged, the next look may find it mended
                    logging.getLogger("modescope.web").warning("cannot look for changes: %s", error)
            if self.library.listing.version != told:  # whoever looked: a request does, too
                told = self.library.listing.version
                self._wake()
            await asyncio.sleep(max(self.every, SHARE * (monotonic() - began)))

    async def stream(self, last: str) -> AsyncIterator[str]:
        """Events for one listener, until the server stops or the listener goes.

        Args:
            last: Id of the last event that it got, or empty; one that comes back is told what it missed.
        """
        seen = self._version(last)
        news = asyncio.Event()
        self.streams.add(news)
        try:
            yield f"retry: 2000\nid: {self._born}-{seen}\n\n"
            while not self.closed:
                listing = self.library.listing
                if listing.version != seen:
                    changed = json.dumps({"changed": listing.since(seen)})
                    seen = listing.version
                    yield f"event: changed\nid: {self._born}-{seen}\ndata: {changed}\n\n"
                try:
                    await asyncio.wait_for(news.wait(), self.heartbeat)
                except TimeoutError:
                    yield ": nothing new\n\n"
                news.clear()
        finally:
            self.streams.discard(news)

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for news in self.streams:
            news.set()

    def _version(self, last: str) -> int:
        born, _, version = last.partition("-")
        if not last:
            return self.library.listing.version
        return int(version) if born == self._born and version.isdecimal() and len(version) < 18 else 0
