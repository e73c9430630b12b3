"""The network in its order: what is begun, what waits, what is let go, and what a fault costs."""

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import modescope as ms
from modescope.errors import Interrupted, UsageError
from modescope.schedule import load
from modescope.spectral_graph import graph, streaming
from modescope.spectral_graph.joining import Plan, joined
from modescope.spectral_graph.modes import UNSTABLE, modes
from modescope.spectral_graph.nulls import rotation
from modescope.spectral_graph.wiring import Gap, Layer, Link, Wiring
from modescope.svd.policy import exact
from net_cases import chain, haar, layer

AMPLE = 1 << 40
PLAN = Plan(rotation, most=0.5, draws=1, seed=0)


def network(count: int, size: int = 12) -> Wiring:
    rng = np.random.default_rng(0)
    return chain(*(rng.standard_normal((size, size)) for _ in range(count)))


def worked(wiring: Wiring, *, memory: int = AMPLE, workers: int = 1, progress: Any = None) -> streaming.Found:
    found = streaming.Found()
    quiet = lambda *_: None  # noqa: E731
    streaming.work(wiring, PLAN, found, engine=exact, workers=workers, memory=memory, progress=progress or quiet)
    return found


@pytest.mark.parametrize(("loads", "ahead"), [(0.0, 0), (3.0, 1)])
def test_no_more_layers_are_begun_than_the_memory_holds_beside_what_waits(
    monkeypatch: pytest.MonkeyPatch, loads: float, ahead: int
) -> None:
    """Three loads are two beside the eighth in which directions wait: the one that is taken and one ahead of it."""
    wiring = network(12)
    lock, begun, seen = threading.Lock(), [0], []

    def counted(one: Layer, **options: Any) -> Any:
        with lock:
            begun[0] += 1
        return modes(one, **options)

    def progress(_work: float, place: int, _layer: Layer) -> None:
        time.sleep(0.01)  # long enough for whatever was begun to be counted
        seen.append(begun[0] - (place + 1))

    monkeypatch.setattr(streaming, "modes", counted)
    worked(wiring, memory=max(1, int(loads * load(wiring.layers[0].matrix).memory)), workers=6, progress=progress)
    assert begun[0] == 12
    assert max(seen) == ahead


RESIDUAL = (Link("0", "1"), Link("1", "2"), Link("0", "3", "residual"), Link("2", "3"), Link("3", "4"))


def waiting(links: tuple[Link, ...], place: int) -> int:
    """Sides of layers that were seen and that a layer still to come will meet."""
    sides = {(link.source, "u") for link in links} | {(link.target, "vh") for link in links}
    return sum(
        int(name) <= place
        and any(
            max(int(link.source), int(link.target)) > place
            for link in links
            if name == (link.source if side == "u" else link.target)
        )
        for name, side in sides
    )


def test_directions_wait_in_files_beyond_the_memory_and_only_as_long_as_a_layer_to_come_meets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    layers = network(5).layers
    wiring = Wiring(layers, RESIDUAL, how="stated")
    files: list[int] = []
    tight = worked(wiring, memory=1, progress=lambda *_: files.append(len(list(tmp_path.rglob("*.npy")))))
    assert files == [waiting(RESIDUAL, place) for place in range(5)] == [1, 2, 2, 1, 0]
    assert list(tmp_path.iterdir()) == []
    ample = worked(wiring, progress=lambda *_: files.append(len(list(tmp_path.rglob("*.npy")))))
    assert files[5:] == [0] * 5
    assert tight.joined.keys() == ample.joined.keys() == set(range(5))
    for number, one in tight.joined.items():
        np.testing.assert_array_equal(one.weights, ample.joined[number].weights)
        np.testing.assert_array_equal(one.tested.log_p, ample.joined[number].tested.log_p)


def test_an_eighth_of_the_memory_is_where_directions_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of 12 x 12 have directions of 1152 bytes; a star of five readers needs its writer and each of them for a moment."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    layers = network(6).layers
    links = tuple(Link("0", str(number)) for number in range(1, 6))
    for room, expected in ((1152, 0), (1151, 1)):
        files: list[int] = []
        worked(Wiring(layers, links), memory=8 * room, progress=lambda *_, to=files: to.append(len(list(tmp_path.rglob("*.npy")))))
        assert files == [expected] * 5 + [0]


def test_memory_that_waits_does_not_grow_with_the_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    shelves: list[Any] = []

    class Watched(streaming.Shelf):
        """Counts what was put and not dropped."""

        def __init__(self, room: int) -> None:
            super().__init__(room)
            self.waiting: set[tuple[str, str]] = set()
            shelves.append(self)

        def put(self, modes: Any) -> None:
            super().put(modes)
            self.waiting |= {(modes.layer.name, side) for side in ("u", "vh") if getattr(modes, side) is not None}

        def drop(self, name: str, side: str) -> None:
            super().drop(name, side)
            assert getattr(self.get(name), side) is None
            self.waiting.discard((name, side))

    monkeypatch.setattr(streaming, "Shelf", Watched)
    counts: list[int] = []
    worked(network(9), progress=lambda *_: counts.append(len(shelves[0].waiting)))
    assert counts == [1] * 8 + [0]


def test_a_layer_that_fails_costs_its_pairs_and_keeps_nothing_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng = np.random.default_rng(1)
    kernels = [rng.standard_normal((8, 8)) for _ in range(4)]
    kernels[1][0, 0] = np.nan
    files: list[int] = []
    found = worked(chain(*kernels), memory=1, progress=lambda *_: files.append(len(list(tmp_path.rglob("*.npy")))))
    assert set(found.joined) == {2}
    assert [(gap.source, gap.target) for gap in found.gaps] == [("0", "1"), ("1", "2")]
    assert all(gap.reason.startswith("no modes of 1: ") for gap in found.gaps)
    assert files == [1, 0, 1, 0]


def test_an_edge_is_unstable_where_rounding_may_turn_its_ends_by_more_than_a_tenth_and_nowhere_else() -> None:
    """Values 4, 3, 2, 1 are told apart in float16; 0.999 and 1 beside them are not."""
    rng = np.random.default_rng(2)
    writer = modes(layer("w", (haar(rng, 6) * np.array([4.0, 3, 2, 1, 0.999, 0.5])) @ haar(rng, 6), stored="float16"))
    reader = modes(layer("r", (haar(rng, 6) * np.array([6.0, 5, 4, 3, 2, 1])) @ haar(rng, 6), stored="float16"))
    found = joined(Plan(rotation, most=1 - 1e-9, draws=1, seed=0), Link("w", "r"), writer, reader)
    np.testing.assert_array_equal(found.unstable, np.isin(found.tested.writer, [3, 4]))
    assert 0 < found.unstable.sum() < found.unstable.size
    sharp = writer.blur[found.tested.writer] + reader.blur[found.tested.reader]
    assert (sharp[~found.unstable] > 0).all()
    assert (sharp[~found.unstable] <= UNSTABLE).all()


def test_a_network_stored_in_full_precision_has_no_unstable_edge() -> None:
    rng = np.random.default_rng(3)
    s = np.linspace(3, 1, 10)
    net = {f"{i}.weight": (haar(rng, 10) * s) @ haar(rng, 10) for i in range(2)}
    found = graph(net, keep=0.9)
    assert len(found.edges) > 50
    assert not found.edges.unstable.any()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([0, 1, 2, 5], ""),
        ([0, 1, 2, 6], "0 writes 6 channels, the link names channel 6"),
        ([0, 1, 2, 60], "0 writes 6 channels, the link names channel 60"),
        ([-1, -1, -1, -1], "no channel of 0 is read by 1"),
        ([0, 1, 2], "1 reads 4 channels, the link names 3 from 0"),
    ],
)
def test_a_link_that_names_channels_its_writer_has_not_is_a_gap_that_says_which(
    monkeypatch: pytest.MonkeyPatch, rows: list[int], reason: str
) -> None:
    rng = np.random.default_rng(4)
    layers = (layer("0", rng.standard_normal((6, 5))), layer("1", rng.standard_normal((3, 4))))
    wiring = Wiring(layers, (Link("0", "1", "stated", rows=np.array(rows)),), how="stated")
    monkeypatch.setattr("modescope.spectral_graph.find", lambda *_, **__: wiring)
    found = graph({"0": np.zeros((6, 5)), "1": np.zeros((3, 4))}, gauge="raw")
    assert [gap.reason for gap in found.gaps] == ([reason] if reason else [])
    assert len(found) == (0 if reason else 1)


@pytest.mark.parametrize("word", ["level", "keep"])
def test_a_probability_of_one_is_refused(word: str) -> None:
    net = {f"{i}.weight": np.eye(4) for i in range(2)}
    with pytest.raises(UsageError, match=f"{word}: expected a probability between 0 and 1"):
        graph(net, **{word: 1})
    assert graph(net, **{word: 0.999}).options[word] == 0.999


def test_files_are_hashed_only_when_the_work_is_done(tmp_path: Path) -> None:
    """Whoever interrupts does not wait for gigabytes to be read once more."""
    rng = np.random.default_rng(5)
    path = tmp_path / "net.safetensors"
    save_file({f"{i}.weight": rng.standard_normal((b, a)) for i, (a, b) in enumerate(pairwise((6, 8, 9, 7)))}, path)

    def stop(_: ms.Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        graph(path, progress=stop)
    assert caught.value.partial.source["sha256"] is None
    assert caught.value.partial.source["path"] == str(path)
    whole = graph(path).source["sha256"]
    assert whole is not None
    assert len(whole) == 64


def test_an_option_that_is_wrong_for_every_layer_is_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise UsageError("wrong")

    for where in ("modes", "joined"):
        with monkeypatch.context() as patch:
            patch.setattr(streaming, where, refused)
            with pytest.raises(UsageError, match="wrong"):
                worked(network(3))


def test_a_fault_in_one_pair_costs_that_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(plan: Plan, link: Link, *ends: Any) -> Any:
        if link.target == "2":
            raise ZeroDivisionError("by zero")
        return joined(plan, link, *ends)

    monkeypatch.setattr(streaming, "joined", faulty)
    found = worked(network(4))
    assert set(found.joined) == {0, 2}
    assert found.gaps == [Gap("1", "2", "a fault of Modescope: ZeroDivisionError: by zero")]


def test_directions_of_outputs_are_kept_of_layers_that_nothing_reads() -> None:
    found = worked(network(3))
    assert [column.outputs is None for column in found.columns.values()] == [True, True, False]
