"""A local server: the page over everything that lies in the given folders, live while it is written."""

import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from modescope.errors import UnreadableError, UsageError

PORT = 8642


def serve(
    folders: Sequence[str | Path],
    /,
    *,
    port: int = PORT,
    token: str | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve run folders, stores and saved reports to this machine alone, until SIGINT or SIGTERM.

    Nothing outside the folders is read, links in them are not followed, nothing is unpickled or written.

    Args:
        folders: Where to look, at any depth.
        port: On 127.0.0.1; 0 is any free one.
        token: What a request must show, 16 characters or more; by default 256 random bits.
        ready: Called with the address, the token in it, once requests are answered.

    Raises:
        UsageError: No folder, a port that is taken, a token that is too short, or a missing library.
        UnreadableError: A folder does not exist.
    """
    missing = [name for name in ("starlette", "uvicorn", "duckdb") if find_spec(name) is None]
    if missing:
        raise UsageError(f"serve: expected {', '.join(missing)}, not installed here: pip install 'modescope[serve]'")
    shown = _folders(folders)
    from modescope.web.library import Library
    from modescope.web.serving import HOST, bound, run

    given = secrets.token_urlsafe(32) if token is None else token
    with bound(port) as listening:
        run(
            listening,
            Library(shown),
            given,
            None if ready is None else lambda: ready(f"http://{HOST}:{listening.getsockname()[1]}/?token={given}"),
        )


def _folders(given: Sequence[str | Path]) -> list[tuple[Path, str]]:
    """The folders without repetition, with what they were called."""
    if not given:
        raise UsageError("serve: expected a folder of runs, stores or saved reports.")
    found: dict[Path, str] = {}
    for folder in given:
        path = Path(folder)
        if not path.exists():
            raise UnreadableError(f"{folder}: no such folder.")
        if not path.is_dir():
            raise UsageError(f"{folder}: expected a folder, got a file. Give the folder it lies in.")
        found.setdefault(path.resolve(), str(folder))
    return list(found.items())
