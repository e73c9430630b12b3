"""What waits on the shelf is what comes back, from memory or from the folder, and nothing stays behind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modescope.spectral_graph.modes import modes
from modescope.spectral_graph.shelf import Shelf
from net_cases import layer

RNG = np.random.default_rng(6)
FIRST, SECOND = (modes(layer(name, RNG.standard_normal((8, 6)))) for name in "ab")


@pytest.mark.parametrize("room", [0, 500, 1 << 20])
def test_directions_come_back_as_they_were(room: int) -> None:
    with Shelf(room) as shelf:
        for item in (FIRST, SECOND):
            shelf.put(item)
        for item in (FIRST, SECOND):
            back = shelf.get(item.layer.name)
            np.testing.assert_array_equal(back.u, item.u)
            np.testing.assert_array_equal(back.vh, item.vh)
            assert back.nodes == item.nodes


def test_what_exceeds_the_room_lies_in_a_folder_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Shelf(FIRST.u.nbytes) as shelf:
        shelf.put(FIRST)
        shelf.put(SECOND)
        files = list(tmp_path.rglob("*.npy"))
        assert len(files) == 3
        shelf.drop("b", "u")
        assert shelf.get("b").u is None
        assert len(list(tmp_path.rglob("*.npy"))) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_is_put_later_never_takes_the_place_of_what_still_waits() -> None:
    array = np.array(FIRST.u)
    a, b, c = (replace(FIRST, layer=replace(FIRST.layer, name=name), u=array, vh=None) for name in "abc")
    with Shelf(0) as shelf:
        shelf.put(a)
        shelf.put(b)
        shelf.drop("a", "u")
        array *= -1  # the same memory, as after a layer was let go
        shelf.put(c)
        np.testing.assert_array_equal(shelf.get("b").u, FIRST.u)
        np.testing.assert_array_equal(shelf.get("c").u, -FIRST.u)
