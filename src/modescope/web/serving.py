"""Run the server on this machine until it is told to stop."""

import asyncio
import errno
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from modescope.errors import UsageError
from modescope.web.application import application
from modescope.web.guard import Guard
from modescope.web.library import Library
from modescope.web.watching import Watching

HOST = "127.0.0.1"
_TAKEN = (errno.EADDRINUSE, errno.EACCES) if sys.platform == "win32" else (errno.EADDRINUSE,)
PATIENCE = 1  # seconds for connections that do not close when the server stops


def bound(port: int) -> socket.socket:
    """A listening socket that only this machine reaches.

    Raises:
        UsageError: The port is taken, or not for us.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        what = "is taken" if error.errno in _TAKEN else f"cannot be used ({error.strerror or error})"
        raise UsageError(f"port {port} {what}; give another with --port, or 0 for any free one.") from error


def run(listening: socket.socket, library: Library, token: str, ready: Callable[[], None] | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM; what is under way ends then, event streams among it.

    Raises:
        UsageError: The token cannot be one.
    """
    answers = application(library, Watching(library))
    guarded = Guard(answers, port=listening.getsockname()[1], token=token)
    config = uvicorn.Config(
        guarded,
        http="h11",
        ws="none",
        lifespan="on",
        log_level="warning",
        log_config=None,  # the default one asks stdout and stderr whether they are terminals, and they may be closed
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=PATIENCE,
    )
    _Server(config, answers.state.close, ready).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that ends what is under way when it stops, and whose caller goes on after it: a signal is how it is stopped."""

    def __init__(self, config: uvicorn.Config, close: Callable[[], None], ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self.close = close
        self.ready = ready
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.ready is not None:
            self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.force_exit = self.should_exit
        self.should_exit = True
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.close)
