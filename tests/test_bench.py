"""The benchmarks: every module runs at its smallest size, rows are well formed, and turns and targets are what they say."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
MODULES = sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "run" and not path.stem.startswith("_"))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.parametrize("name", MODULES)
def test_every_bench_yields_well_formed_ratios(name):
    measure, module = import_module("_measure"), import_module(name)
    rows = list(module.rows(measure.Size.SMOKE))
    assert rows
    assert module.__doc__.partition("\n")[0].endswith(".")
    for row in rows:
        assert row.name
        assert row.against
        if row.value is None:
            assert row.remark.startswith("not measured: ")
        else:
            assert row.value == pytest.approx(row.theirs / row.ours if row.at_least else row.ours / row.theirs)
        json.dumps(row.to_dict(), allow_nan=False)


def test_a_target_is_met_on_its_own_side_only():
    ratio = import_module("_measure").Ratio
    assert ratio("a", "b", 0.5, 0.4).met is True
    assert ratio("a", "b", 0.5, 0.6).met is False
    assert ratio("a", "b", 1.7, 1.8, at_least=True).met is True
    assert ratio("a", "b", 1.7, 1.6, at_least=True).met is False
    assert ratio("a", "b", None, 1.6).met is None
    assert ratio("a", "b", 1.7).met is None


def test_clocks_take_turns_and_the_first_turn_does_not_count():
    measure, calls = import_module("_measure"), []

    def clock(name, costs):
        def run():
            calls.append(name)
            return costs.pop(0)

        return run

    assert measure.least(clock("a", [1.0, 5.0, 4.0]), clock("b", [1.0, 2.0, 3.0]), rounds=2) == [4.0, 2.0]
    assert sorted(calls[:2]) == sorted(calls[2:4]) == sorted(calls[4:]) == ["a", "b"]
    assert calls[:2] != calls[2:4]


def test_a_ratio_of_turns_is_the_median_of_the_rounds_and_keeps_the_times_of_that_round():
    row = import_module("_mode_turns").ratio("a", "b", [1.0, 90.0, 4.0], [2.0, 10.0, 5.0], limit=0.7)
    assert (row.value, row.ours, row.theirs, row.met) == (0.8, 4.0, 5.0, False)
    assert import_module("_mode_turns").predicted(row, 0.4).remark == "0.4 by multiply-adds, measured 2 x that"


def test_works_that_take_turns_run_once_before_each_run_that_counts():
    calls = []
    found = import_module("_mode_turns").turns({name: lambda name=name: calls.append(name) for name in "ab"}, 2)
    assert {name: len(times) for name, times in found.items()} == {"a": 2, "b": 2}
    assert "".join(calls) == "bbaa" + "aabb" + "bbaa"


def test_a_peer_that_cannot_be_installed_is_a_reason_and_not_a_crash(tmp_path, monkeypatch):
    measure, peers = import_module("_measure"), import_module("_peers")
    monkeypatch.setenv("MODESCOPE_BENCH", str(tmp_path / "peers"))

    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "pip", stderr="noise\nno such package")

    monkeypatch.setattr(peers.venv, "create", fail)
    with pytest.raises(measure.NotMeasuredError, match="no such package"), peers.peers(measure.Size.DEFAULT):
        pass


def test_one_command_prints_a_table_and_writes_it_as_json(tmp_path):
    written = tmp_path / "latest.json"
    command = [sys.executable, str(BENCH / "run.py"), "--smoke", "--only", "startup", "--output", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(written.read_text())
    assert {"processors", "numpy", "scipy", "torch"} <= found["machine"].keys()
    assert [row["against"] for row in found["rows"]] == ["0.4 s", "python -c pass"]
    assert all(row["value"] > 0 and row["bench"] == "startup" for row in found["rows"])
    assert done.stdout.count("modescope --help") == 2
    assert done.stdout.splitlines()[0].split() == ["what", "against", "ratio", "target", "met", "remark"]


def test_a_bench_that_breaks_is_a_row_and_an_exit_code(tmp_path, monkeypatch):
    run, measure = import_module("run"), import_module("_measure")
    monkeypatch.setattr(run, "HERE", tmp_path)
    (tmp_path / "run.py").write_text("raise SystemExit('out of order')")
    rows, broken = run.measure("threads", measure.Size.SMOKE)
    assert broken
    assert rows[0]["remark"] == "not measured: it broke: out of order"
    assert "out of order" in run.table(rows)
