"""Where directions wait for the layers that meet them later: in memory up to a budget, in a temporary folder beyond it."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

import numpy as np

from modescope.spectral_graph.pairs import Modes
from modescope.svd import Values

Key = tuple[str, str]  # name of a layer, and "u" or "vh"


class Shelf:
    """Modes by the name of their layer; a context manager that leaves nothing behind."""

    def __init__(self, room: int) -> None:
        """Hold at most `room` bytes of directions in memory."""
        self._room = room
        self._held: dict[Key, Values] = {}
        self._modes: dict[str, Modes] = {}
        self._folder: TemporaryDirectory[str] | None = None
        self._files: dict[Key, Path] = {}
        self._written_so_far = 0

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._held.clear()
        self._modes.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def put(self, modes: Modes) -> None:
        """Keep what a layer has of `u` and `vh`."""
        self._modes[modes.layer.name] = replace(modes, u=None, vh=None)
        for side in ("u", "vh"):
            array: Values | None = getattr(modes, side)
            if array is None:
                continue
            key = (modes.layer.name, side)
            if sum(held.nbytes for held in self._held.values()) + array.nbytes <= self._room:
                self._held[key] = array
            else:
                self._files[key] = self._written(array)

    def get(self, name: str) -> Modes:
        """The modes of a layer, mapped from the folder where they were too large."""
        return replace(self._modes[name], u=self._array(name, "u"), vh=self._array(name, "vh"))

    def drop(self, name: str, side: str) -> None:
        """Let one side go."""
        self._held.pop((name, side), None)
        if (path := self._files.pop((name, side), None)) is not None:
            path.unlink()

    def _array(self, name: str, side: str) -> Values | None:
        key = (name, side)
        if key in self._files:
            mapped: Values = np.load(self._files[key], mmap_mode="r")
            return mapped
        return self._held.get(key)

    def _written(self, array: Values) -> Path:
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="modescope-")
        self._written_so_far += 1  # a name is never used twice: another file may still be waited for
        path = Path(self._folder.name) / f"{self._written_so_far}.npy"
        np.save(path, array)
        return path
