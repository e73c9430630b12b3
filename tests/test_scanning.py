"""scan: rows, reasons, options, determinism, interruption, run folders."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import modescope.scanning as scanning_module
from cases import checkpoint, tensors
from modescope.errors import Interrupted, UnreadableError, UsageError
from modescope.matrix import Matrix
from modescope.result import Scan
from modescope.runs import JOURNAL, MANIFEST, Journal, load_run
from modescope.scanning import Progress, scan
from modescope.shipped import demo_history, demo_path
from modescope.spectrum import Spectrum


def numbers(result: Scan) -> str:
    """Everything a scan says but where it came from and in which order."""
    plain = result.to_dict(values=True)
    del plain["source"]
    for part in ("matrices", "skipped"):
        plain[part].sort(key=lambda item: item["name"])
    for matrix in plain["matrices"]:
        del matrix["sha256"]  # taken only where a run folder needs it
    return json.dumps(plain, sort_keys=True)


@pytest.fixture
def recomputed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the matrices that are decomposed from here on, in order."""
    names: list[str] = []
    original = scanning_module.decompose

    def counting(matrix: Matrix, **options: object) -> Spectrum:
        names.append(matrix.tensor)
        return original(matrix, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scanning_module, "decompose", counting)
    return names


def test_every_tensor_is_a_row_or_has_a_reason() -> None:
    result = scan(tensors())
    assert [row.name for row in result] == ["a.weight", "b.weight", "bad.weight", "c.weight", "d.weight"]
    assert {skip.name for skip in result.skipped} == {"a.bias", "counts"}
    assert all(skip.reason for skip in result.skipped)


def test_one_bad_matrix_costs_its_own_row_only() -> None:
    bad = scan(tensors())
    good = scan({name: array for name, array in tensors().items() if name != "bad.weight"} | {"bad.weight": np.eye(30)})
    assert bad["bad.weight"].status == "1 of 1200 entries are not finite."
    assert bad["bad.weight"].number("norms", "spectral") is None
    assert "not finite" in bad["bad.weight"].measures["tail"].status
    for name in ("a.weight", "b.weight", "c.weight", "d.weight"):
        assert np.array_equal(bad[name].s, good[name].s)
        assert bad[name].to_dict() == good[name].to_dict()
    assert bad.summary()["valid"] == 4
    assert bad.summary()["failed"] == 1


def test_planted_modes_are_found_and_noise_shows_none() -> None:
    result = scan(tensors())
    assert result["a.weight"].number("bulk", "outliers") == 3
    assert result["b.weight"].number("bulk", "outliers") == 0


def test_numbers_depend_neither_on_workers_nor_on_earlier_scans() -> None:
    one = numbers(scan(tensors(), workers=1))
    scan(tensors(seed=5), workers=2)
    assert numbers(scan(tensors(), workers=3)) == one


def test_file_and_live_mapping_give_the_same_numbers(tmp_path: Path) -> None:
    assert numbers(scan(checkpoint(tmp_path))) == numbers(scan(tensors()))


def test_a_changed_option_changes_the_result() -> None:
    base = scan(tensors())
    strict = scan(tensors(), level=1e-12)
    assert strict["a.weight"].number("bulk", "threshold") > base["a.weight"].number("bulk", "threshold")
    other = scan(tensors(), seed=1)
    assert other["a.weight"].number("null", "alpha_low") != base["a.weight"].number("null", "alpha_low")


def test_selection_by_glob_kind_and_size_says_what_it_left_out() -> None:
    assert [row.name for row in scan(tensors(), include="[ab]*", exclude=["bad*"])] == ["a.weight", "b.weight"]
    assert [row.name for row in scan(tensors(), kind="convolution")] == ["b.weight"]
    result = scan(tensors(), min_dim=20)
    assert "d.weight" not in [row.name for row in result]
    assert any(skip.name == "d.weight" and "below 20" in skip.reason for skip in result.skipped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "dens"}, "expected one of .*dense"),
        ({"view": "no"}, "expected one of .*slices"),
        ({"level": 0.0}, "between 0 and 1"),
        ({"vectors": -1}, "0 or more"),
        ({"min_dim": 0}, "at least 1"),
        ({"resume": True}, "save_to"),
        ({"options": {"tale": {}}}, "expected one of .*tail"),
        ({"options": {"tail": {"boot": 1}}}, r"expected one of .*tail\.bootstrap"),
        ({"options": {"tail": {"bootstrap": "many"}}}, "expected an integer"),
        ({"device": "tpu:0"}, "tpu|device"),
    ],
)
def test_a_wrong_option_is_named_before_anything_is_read(options: dict[str, object], message: str) -> None:
    with pytest.raises((UsageError, RuntimeError), match=message):
        scan(tensors(), **options)  # type: ignore[arg-type]


def test_requested_vectors_are_those_of_the_first_modes() -> None:
    result = scan(tensors(), vectors=2, include=["a*", "d*"], exclude="*bias")
    for name in ("a.weight", "d.weight"):
        row, a = result[name], tensors()[name].astype(np.float64)
        assert row.u is not None
        assert row.vh is not None
        assert (row.u.shape[1], row.vh.shape[0]) == (2, 2)
        np.testing.assert_allclose(row.u.T @ a @ row.vh.T, np.diag(row.s[:2]), atol=1e-9)


def test_progress_counts_work_and_ends_complete() -> None:
    seen: list[Progress] = []
    scan(tensors(), progress=seen.append)
    assert [p.done for p in seen] == [1, 2, 3, 4, 5]
    assert seen[-1].work == pytest.approx(seen[-1].total_work)


def test_an_untrained_network_shows_no_mode_and_the_trained_one_some_in_every_hidden_layer() -> None:
    untrained, trained = scan(demo_history()[0]), scan(demo_path())
    hidden = ["0.weight", "3.weight", "8.weight"]
    assert [untrained[name].number("bulk", "outliers") for name in hidden] == [0, 0, 0]
    assert all(trained[name].number("bulk", "outliers") > 0 for name in hidden)


def test_the_permuted_twin_of_the_trained_network_shows_none() -> None:
    from modescope.checkpoints import open as open_checkpoint

    rng = np.random.default_rng(0)
    weights = {t.name: t.read() for t in open_checkpoint(demo_path()).tensors if len(t.shape) > 1}
    shuffled = {name: rng.permutation(w.ravel()).reshape(w.shape) for name, w in weights.items()}
    assert sum(row.number("bulk", "outliers") or 0 for row in scan(shuffled)) == 0


def test_a_saved_run_opens_without_the_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    result = scan(path, vectors=3, save_to=tmp_path / "run")
    path.unlink()
    again = load_run(tmp_path / "run")
    assert again.to_dict(values=True) == result.to_dict(values=True)
    assert np.array_equal(again["a.weight"].u, result["a.weight"].u)  # type: ignore[arg-type]
    assert not (tmp_path / "run" / JOURNAL).exists()
    assert again["a.weight"].measures["bulk"] == result["a.weight"].measures["bulk"]


def test_an_interruption_keeps_what_is_done_and_resume_continues(tmp_path: Path, recomputed: list[str]) -> None:
    path, run = checkpoint(tmp_path), tmp_path / "run"

    def stop(now: Progress) -> None:
        if now.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        scan(path, save_to=run, workers=1, progress=stop)
    partial = caught.value.partial
    assert len(partial) == 2
    assert not partial.complete
    assert len(load_run(run)) == 2
    assert sum("interrupted" in skip.reason for skip in partial.skipped) == 3
    recomputed.clear()
    resumed = scan(path, save_to=run, resume=True)
    assert len(recomputed) == 3
    assert not {row.name for row in partial} & set(recomputed)
    assert numbers(resumed) == numbers(scan(path))


def test_a_row_is_used_again_only_where_data_options_and_version_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recomputed: list[str]
) -> None:
    run = tmp_path / "run"
    path = checkpoint(tmp_path)
    scan(path, save_to=run)
    recomputed.clear()
    scan(path, save_to=run, resume=True)
    assert recomputed == ["bad.weight"]  # a failed row is always tried again
    recomputed.clear()
    from safetensors.numpy import save_file

    changed = tensors()
    changed["c.weight"][0, 0] += 1
    save_file(changed, path)
    scan(path, save_to=run, resume=True)
    assert sorted(recomputed) == ["bad.weight", "c.weight"]
    recomputed.clear()
    scan(path, save_to=run, resume=True, level=0.05)
    assert len(recomputed) == 5
    recomputed.clear()
    monkeypatch.setattr(scanning_module, "__version__", "9")
    scan(path, save_to=run, resume=True, level=0.05)
    assert len(recomputed) == 5


def test_a_killed_writer_loses_at_most_the_row_in_flight(tmp_path: Path) -> None:
    path, run = checkpoint(tmp_path), tmp_path / "run"
    written: list[bytes] = []

    def watch(now: Progress) -> None:
        written.append((run / JOURNAL).read_bytes())
        if now.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        scan(path, save_to=run, workers=1, progress=watch)
    for file in run.iterdir():
        file.unlink()  # as if the process had been killed: only the journal is left, its last line torn
    torn = written[-1][: -len(written[-1].splitlines()[-1]) // 2]
    assert torn.count(b"\n") == 3  # what has begun, and two rows
    (run / JOURNAL).write_bytes(torn)
    left = load_run(run)
    assert not left.complete
    assert len(left) == 2
    assert left.options["level"] == 0.01
    resumed = scan(path, save_to=run, resume=True)
    assert resumed.complete
    assert numbers(resumed) == numbers(scan(path))


def test_rows_of_other_options_or_another_selection_are_kept(tmp_path: Path, recomputed: list[str]) -> None:
    path, run = checkpoint(tmp_path), tmp_path / "run"
    scan(path, save_to=run)
    scan(path, save_to=run, resume=True, level=0.05, include="a*")
    assert [row.name for row in load_run(run)] == ["a.weight"]
    recomputed.clear()
    again = scan(path, save_to=run, resume=True)
    assert recomputed == ["bad.weight"]
    assert numbers(again) == numbers(scan(path))
    recomputed.clear()
    scan(path, save_to=run, resume=True, level=0.05, include="a*")
    assert recomputed == []


def test_two_views_of_equal_numbers_are_two_rows_of_a_run(tmp_path: Path, recomputed: list[str]) -> None:
    kernel = np.repeat(np.random.default_rng(0).standard_normal((20, 30, 1)), 3, axis=2)
    scan({"conv.weight": kernel}, view="slices", save_to=tmp_path / "run")
    recomputed.clear()
    again = scan({"conv.weight": kernel}, view="slices", save_to=tmp_path / "run", resume=True)
    assert recomputed == []
    assert [row.view for row in again] == ["position 0", "position 1", "position 2"]


def test_the_level_is_shared_by_all_matrices_of_the_scan() -> None:
    weights = {name: array for name, array in tensors().items() if name in ("a.weight", "c.weight")}
    alone, together = scan({"a.weight": weights["a.weight"]}), scan(weights)
    assert together["a.weight"].number("bulk", "threshold") > alone["a.weight"].number("bulk", "threshold")
    assert scan(weights, level=0.02)["a.weight"].number("bulk", "threshold") == alone["a.weight"].number("bulk", "threshold")


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e200])
def test_entries_at_the_ends_of_the_range_cost_their_row_at_most(scale: float) -> None:
    rng = np.random.default_rng(0)
    a, mixed = rng.standard_normal((40, 30)), rng.standard_normal((3000, 40)) * 1e-200
    mixed[2900:] *= 1e200
    mixed[2900:] *= scale
    result = scan({"a.weight": a * scale, "b.weight": rng.standard_normal((40, 30)), "mixed.weight": mixed})
    assert result["b.weight"].status == "ok"
    assert result["a.weight"].status == "ok"
    assert "not finite" not in result["mixed.weight"].status
    expected = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(result["a.weight"].s / scale, expected, rtol=1e-6)


def test_a_fault_in_a_measure_costs_its_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    from modescope.measures import norms

    original = norms.analyze

    def faulty(spectrum: Spectrum) -> norms.Result:
        if spectrum.matrix.tensor == "c.weight":
            raise ZeroDivisionError("planted")
        return original(spectrum)

    monkeypatch.setattr(norms, "analyze", faulty)
    result = scan(tensors())
    assert result["c.weight"].status == "a fault of Modescope: ZeroDivisionError: planted"
    assert result["a.weight"].status == "ok"


def test_an_earlier_run_is_never_overwritten_unasked(tmp_path: Path) -> None:
    scan(tensors(), save_to=tmp_path / "run")
    before = (tmp_path / "run" / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="holds an earlier run"):
        scan(tensors(), save_to=tmp_path / "run")
    with pytest.raises(UsageError, match="holds an earlier run"):
        scan(tensors()).save(tmp_path / "run")
    assert (tmp_path / "run" / MANIFEST).read_bytes() == before


@pytest.mark.parametrize("damage", ["missing", "not json", "other schema", "torn arrays", "wrong arrays", "no rows"])
def test_a_damaged_run_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    scan(tensors()).save(run)
    manifest, arrays = run / MANIFEST, run / "arrays.safetensors"
    match damage:
        case "missing":
            manifest.unlink()
        case "not json":
            manifest.write_text("{")
        case "other schema":
            manifest.write_text(manifest.read_text().replace("modescope.scan/1", "modescope.scan/7"))
        case "torn arrays":
            os.truncate(arrays, 100)
        case "wrong arrays":
            arrays.write_bytes(b"")
        case _:
            manifest.write_text('{"schema": "modescope.scan/1"}')
    with pytest.raises(UnreadableError) as caught:
        load_run(run)
    assert str(run) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_rows_are_found_by_name_alias_or_view() -> None:
    result = scan(tensors(), view="slices")
    assert result["a.weight"].kind == "dense"
    with pytest.raises(KeyError, match="got 9"):
        result["b.weight"]
    with pytest.raises(KeyError, match="got 0"):
        result["nothing"]


def test_ten_thousand_tiny_tensors_are_scanned_in_one_go() -> None:
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((10_000, 3, 2)).astype(np.float32)
    result = scan({f"block.{i}.weight": a for i, a in enumerate(stack)})
    assert len(result) == 10_000
    assert result["block.77.weight"].number("norms", "spectral") == pytest.approx(np.linalg.norm(stack[77], 2), rel=1e-6)


def test_the_input_is_never_written() -> None:
    weights = tensors()
    before = {name: array.copy() for name, array in weights.items()}
    scan(weights, options={"null": {"twins": 3}})
    for name, array in weights.items():
        np.testing.assert_array_equal(array, before[name])


class _Source:
    """Counts how often its numbers are read."""

    def __init__(self, read):
        self.read, self.count = read, 0

    def __call__(self):
        self.count += 1
        return self.read()


def test_numbers_mapped_from_a_file_are_let_go_and_others_are_read_once(tmp_path):
    numbers = np.random.default_rng(0).standard_normal((60, 40)).astype(np.float32)
    np.save(tmp_path / "a.npy", numbers)
    mapped = _Source(lambda: np.load(tmp_path / "a.npy", mmap_mode="r").T)
    made = _Source(lambda: numbers.T.copy())
    for source, held in ((mapped, False), (made, True)):
        matrix, digest = scanning_module._kept(Matrix("a", "dense", (40, 60), "float32", source), hashed=True)
        assert source.count == 1
        assert np.array_equal(matrix.read(), numbers.T)
        assert (matrix.read() is matrix.read()) == held
        assert (source.count == 1) == held
        assert digest == scanning_module.operand_digest(source())


def test_arrays_of_another_scan_than_the_manifest_are_never_paired_with_its_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    network = {name: random.standard_normal((30, 20)) * size for size, name in enumerate("abc", start=1)}
    run = tmp_path / "run"
    scan(network, save_to=run, include=["b", "c"])
    old = (run / MANIFEST).read_bytes()
    scan(network, save_to=run, include=["a", "b"], resume=True)
    (run / MANIFEST).write_bytes(old)  # as if the writer had been killed between the two files
    with pytest.raises(UnreadableError, match="of another scan"):
        load_run(run)
    again = scan(network, save_to=run, resume=True)
    for row in again:
        assert row.s == pytest.approx(np.linalg.svd(network[row.name], compute_uv=False), rel=1e-6)


def test_rows_that_are_kept_for_later_are_not_those_of_the_scan_that_runs(tmp_path: Path) -> None:
    network = {name: np.random.default_rng(i).standard_normal((30, 20)) for i, name in enumerate("abc")}
    run = tmp_path / "run"
    scan(network, save_to=run)
    seen: list[list[str]] = []

    def watch(_: Progress) -> None:
        seen.append([row.name for row in load_run(run)])

    scan(network, save_to=run, resume=True, level=0.05, workers=1, progress=watch)
    journal = Journal(run, resume=True)
    journal.begin({}, {"level": 0.01, "seed": 0})
    journal.keep(())  # what a scan does just before it writes its manifest
    seen.append([row.name for row in load_run(run)])
    assert seen[-1] == []
    assert [len(names) for names in seen[:-1]] == [1, 2, 3]
