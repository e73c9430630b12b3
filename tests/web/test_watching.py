"""Events name what changed; a listener that comes back is told what it missed; whoever leaves is forgotten."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modescope.web.library import Library
from modescope.web.watching import Watching
from web_cases import library, measured, one


async def until_changed(stream: AsyncIterator[str]) -> tuple[list[str], str]:
    """Ids that the next event names, and its own."""
    async with asyncio.timeout(10):
        async for event in stream:
            lines = dict(line.split(": ", 1) for line in event.splitlines() if line and not line.startswith(":"))
            if lines.get("event") == "changed":
                return json.loads(lines["data"])["changed"], lines["id"]
    raise AssertionError("the stream ended")


async def watched(found: Library, todo: Any, **options: float) -> None:
    watching = Watching(found, every=0.02, **options)
    looking = asyncio.create_task(watching.look())
    try:
        await todo(watching)
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def test_a_change_is_told_once_to_every_listener(tmp_path: Path) -> None:
    found = library(tmp_path)

    async def todo(watching: Watching) -> None:
        streams = [watching.stream("") for _ in range(3)]
        for stream in streams:
            assert (await anext(stream)).startswith("retry: ")
        for name in ("a", "b"):
            await asyncio.to_thread(measured().save, tmp_path / name)
            told = await asyncio.gather(*map(until_changed, streams))
            key = one(found, name).key
            assert all(keys == [key] for keys, _ in told)

    asyncio.run(watched(found, todo))


def test_a_change_that_a_request_saw_first_is_told_all_the_same(tmp_path: Path) -> None:
    found = library(tmp_path)

    async def todo(watching: Watching) -> None:
        stream = watching.stream("")
        await anext(stream)
        measured().save(tmp_path / "a")
        found.refresh()  # as a request for the list does
        keys, _ = await until_changed(stream)
        assert keys == [one(found, "a").key]

    asyncio.run(watched(found, todo))


def test_a_listener_that_comes_back_is_told_what_it_missed(tmp_path: Path) -> None:
    found = library(tmp_path)

    async def todo(watching: Watching) -> None:
        stream: Any = watching.stream("")
        await anext(stream)
        measured().save(tmp_path / "a")
        _, last = await until_changed(stream)
        await stream.aclose()
        measured().save(tmp_path / "b")
        found.refresh()
        assert (await until_changed(watching.stream(last)))[0] == [one(found, "b").key]
        assert set((await until_changed(watching.stream("0badc0de-1")))[0]) == set(found.listing.entries)  # of an earlier server
        assert set((await until_changed(watching.stream("\x00-" + "9" * 99)))[0]) == set(found.listing.entries)

    asyncio.run(watched(found, todo))


def test_a_listener_that_leaves_is_forgotten_and_nobody_looks_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = library(tmp_path)

    async def todo(watching: Watching) -> None:
        stream: Any = watching.stream("")
        await anext(stream)
        assert len(watching.streams) == 1
        await stream.aclose()
        assert not watching.streams
        await asyncio.sleep(0.1)
        monkeypatch.setattr(found, "refresh", lambda: pytest.fail("looked"))
        await asyncio.sleep(0.1)

    asyncio.run(watched(found, todo))


def test_a_quiet_stream_beats(tmp_path: Path) -> None:
    async def todo(watching: Watching) -> None:
        stream = watching.stream("")
        await anext(stream)
        assert [await anext(stream) for _ in range(3)] == [": nothing new\n\n"] * 3

    asyncio.run(watched(library(tmp_path), todo, heartbeat=0.01))


def test_closing_ends_every_stream(tmp_path: Path) -> None:
    async def todo(watching: Watching) -> None:
        streams = [watching.stream("") for _ in range(3)]
        for stream in streams:
            await anext(stream)
        waiting = [asyncio.create_task(anext(stream, "end")) for stream in streams]  # type: ignore[call-overload]
        await asyncio.sleep(0.02)
        watching.close()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 2) == ["end"] * 3
        assert not watching.streams

    asyncio.run(watched(library(tmp_path), todo))


def test_a_look_that_fails_is_said_and_the_next_one_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found, looks = library(tmp_path), []

    def refresh() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OSError("disk on fire")

    async def todo(watching: Watching) -> None:
        stream = watching.stream("")
        await anext(stream)
        while len(looks) < 3:
            await asyncio.sleep(0.01)

    found.refresh = refresh  # type: ignore[assignment,method-assign]
    asyncio.run(asyncio.wait_for(watched(found, todo), 10))
    assert "disk on fire" in caplog.text
