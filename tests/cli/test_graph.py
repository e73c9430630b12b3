"""`modescope graph` as a user meets it: output, formats, exports, exit codes, errors of one line, interruption."""

import inspect
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import duckdb
import networkx
import numpy as np
import pytest
from safetensors.numpy import save_file

from graph_cases import planted
from modescope.cli import _run
from modescope.cli.graph import command
from modescope.errors import Interrupted
from modescope.registry import modules
from modescope.reports.form import is_report, load_report
from modescope.shipped import demo_history, demo_path
from modescope.spectral_graph import graph
from modescope.spectral_graph.conventions import CONVENTIONS
from modescope.spectral_graph.corrections import CORRECTIONS
from modescope.spectral_graph.gauges import GAUGES
from modescope.spectral_graph.nulls import nulls
from modescope.spectral_graph.result import SpectralGraph
from modescope.spectral_graph.structures import STRUCTURES
from modescope.spectral_graph.wiring import LEFT_OUT, Gap

SHIPPED, FRESH = str(demo_path()), str(demo_history()[0])
LAYERS = ["0.weight", "3.weight", "8.weight", "10.weight"]


def stack(path: Path, *sizes: int, bad: int | None = None, name: str = "{}.weight", seed: int = 0) -> str:
    """A file of dense layers with these widths; one may have an entry that is not finite."""
    rng = np.random.default_rng(seed)
    tensors = {
        name.format(k): rng.standard_normal((out, inner)).astype(np.float32)
        for k, (inner, out) in enumerate(itertools.pairwise(sizes))
    }
    if bad is not None:
        tensors[name.format(bad)][0, 0] = np.nan
    save_file(tensors, path)
    return str(path)


def test_a_table_names_every_layer_and_the_exit_code_is_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["graph", SHIPPED, "-q"]) == 0
    out, err = capsys.readouterr()
    for name in LAYERS:
        assert f"\n{name} " in out
    assert err == ""


def test_json_is_the_document_and_jsonl_has_a_line_per_edge(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["graph", SHIPPED, "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "modescope.graph/1"
    assert [layer["name"] for layer in document["layers"]] == LAYERS
    assert [(pair["from"], pair["to"]) for pair in document["wiring"]] == list(itertools.pairwise(LAYERS))
    assert [pair["multiplicity"] for pair in document["wiring"]] == [9, 16, 1]
    _run(["graph", SHIPPED, "--format", "jsonl", "-q"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == document["edges"]


def test_a_trained_network_has_edges_and_the_same_before_training_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for path in (FRESH, SHIPPED):
        _run(["graph", path, "--json", "-q"])
        counts.append(json.loads(capsys.readouterr().out)["summary"]["significant"])
    assert counts[0] == 0 < counts[1]


def test_every_format_can_be_written(tmp_path: Path) -> None:
    for form in modules("modescope.render"):
        assert _run(["graph", SHIPPED, "--format", form, "-q", "-o", str(tmp_path / form)]) == 0
        assert (tmp_path / form).stat().st_size > 0


def test_the_suffix_of_the_file_chooses_a_page_or_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("g.html", "g.md", "g.json", "g.graphml", "g.nodelink.json", "g.parquet"):
        assert _run(["graph", SHIPPED, "-q", "-o", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == ""
    assert load_report(tmp_path / "g.html").document == load_report(tmp_path / "g.json").document
    edges = json.loads((tmp_path / "g.nodelink.json").read_text())["edges"]
    assert networkx.read_graphml(tmp_path / "g.graphml").number_of_edges() == len(edges) > 0
    significant = duckdb.from_parquet(str(tmp_path / "g.parquet")).filter("significant").fetchall()
    assert len(significant) == len(edges)


def test_a_format_that_was_asked_for_goes_before_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "g.graphml"
    assert _run(["graph", SHIPPED, "-q", "--json", "-o", str(path)]) == 0
    assert json.loads(path.read_text())["schema"] == "modescope.graph/1"


def test_options_reach_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--level 0.01 --correction by --null positivity --gauge raw --convention channel --seed 3 --draws 50 --keep 0.01"
    _run(["graph", SHIPPED, "--json", "-q", *words.split(), "--exclude", "10.*", "--workers", "1", "--memory", "1"])
    document = json.loads(capsys.readouterr().out)
    given = {
        "level": 0.01,
        "correction": "by",
        "null": "positivity",
        "gauge": "raw",
        "convention": "channel",
        "seed": 3,
        "keep": 0.01,
    }
    assert {name: document["options"][name] for name in given} == given
    assert not any("10.weight" in layer["name"] for layer in document["layers"])


def test_the_choices_of_the_command_are_those_of_the_library() -> None:
    choices = {option.name: tuple(option.type.choices) for option in command.params if isinstance(option.type, click.Choice)}
    for name, known in (
        ("convention", CONVENTIONS),
        ("gauge", GAUGES),
        ("correction", CORRECTIONS),
        ("null", nulls()),
        ("structure", STRUCTURES),
    ):
        assert set(choices[name]) == set(known)


def test_the_defaults_of_the_command_are_those_of_the_library() -> None:
    theirs = {name: item.default for name, item in inspect.signature(graph).parameters.items()}
    ours = command.make_context("graph", ["x"]).params
    shared = (theirs.keys() & ours.keys()) - {"device", "workers"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert len(shared) > 12


def test_block_statistics_and_the_best_path_are_there_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    _run(["graph", SHIPPED, "--json", "-q", "--structure", "dead_channels", "--search", "20"])
    document = json.loads(capsys.readouterr().out)
    assert {block["test"] for block in document["blocks"]} == {"dead_channels"}
    assert [chain["chosen"] for chain in document["chains"]] == ["fixed", "searched"]
    assert [step["layer"] for step in document["chains"][0]["path"]] == LAYERS


def test_a_wiring_from_a_file_is_taken_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps([["8.weight", "10.weight"]]))
    assert _run(["graph", SHIPPED, "--json", "-q", "--wiring", str(tmp_path / "pairs.json")]) == 0
    assert [(pair["from"], pair["to"]) for pair in json.loads(capsys.readouterr().out)["wiring"]] == [("8.weight", "10.weight")]


def test_the_same_seed_gives_the_same_document(tmp_path: Path) -> None:
    for name in ("a", "b"):
        arguments = ["--null", "permutation", "--draws", "40", "--seed", "1", "--keep", "0.1", "--json"]
        _run(["graph", stack(tmp_path / "s.safetensors", 8, 16, 12, 5), *arguments, "-q", "-o", str(tmp_path / name)])
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()


def test_a_layer_that_failed_costs_its_own_pairs_and_gives_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stack(tmp_path / "bad.safetensors", 20, 24, 24, 24, 24, bad=1)
    assert _run(["graph", path, "--json", "-q"]) == 5
    out, err = capsys.readouterr()
    assert [(pair["from"], pair["to"]) for pair in json.loads(out)["wiring"]] == [("2.weight", "3.weight")]
    assert "failed: '1.weight': 1 of 576 entries are not finite" in err
    assert "not joined: '0.weight' to '1.weight': no modes of 1.weight" in err


def test_a_pair_that_does_not_fit_is_named_with_its_dimensions_and_the_others_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (24, 20), "1.weight": (16, 24), "2.weight": (12, 15), "3.weight": (10, 12)}
    save_file({name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, tmp_path / "s.safetensors")
    assert _run(["graph", str(tmp_path / "s.safetensors"), "--wiring", "order", "--json", "-q"]) == 5
    out, err = capsys.readouterr()
    assert [(pair["from"], pair["to"]) for pair in json.loads(out)["wiring"]] == [
        ("0.weight", "1.weight"),
        ("2.weight", "3.weight"),
    ]
    line = next(line for line in err.splitlines() if "1.weight" in line)
    assert all(word in line for word in ("2.weight", "16", "15"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["graph"], 2, "Missing argument"),
        (["graph", "{good}", "--level", "2"], 2, "level"),
        (["graph", "{good}", "--draws", "0"], 2, "draws"),
        (["graph", "{good}", "--null", "x"], 2, "rotation"),
        (["graph", "{good}", "--gauge", "x"], 2, "balanced"),
        (["graph", "{good}", "--view", "x"], 2, "view"),
        (["graph", "{good}", "--memory", "1e10"], 2, "memory"),
        (["graph", "{good}", "--wiring", "{folder}/missing.json"], 2, "missing.json"),
        (["graph", "{good}", "--wiring", "family"], 2, "config.json"),
        (["graph", "{good}", "--include", "nothing"], 2, "selected"),
        (["graph", "{good}", "-o", "{folder}/no/g.graphml"], 2, "cannot be written"),
        (["graph", "{good}", "-o", "{good}"], 2, "is read by this command"),
        (["graph", "{folder}/missing"], 3, "missing"),
        (["graph", "{torn}"], 3, "torn.safetensors"),
        (["graph", "{folder}/objects.npy"], 4, "objects.npy"),
    ],
)
def test_errors_are_short_and_name_the_cause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    good, torn = stack(tmp_path / "good.safetensors", 20, 24, 24, 24), tmp_path / "torn.safetensors"
    torn.write_bytes(Path(good).read_bytes()[:2000])
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object))
    assert _run([part.format(good=good, torn=torn, folder=tmp_path) for part in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) <= 3


def test_the_file_that_states_the_wiring_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([["8.weight", "10.weight"]]))
    assert _run(["graph", SHIPPED, "-q", "--wiring", str(pairs), "-o", str(pairs)]) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert not is_report(pairs)


def test_hostile_names_stay_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stack(tmp_path / "h.safetensors", 20, 24, 24, 24, bad=1, name="\x1b[31mred\n{}.weight")
    for form in ("table", "csv", "markdown"):
        _run(["graph", path, "-q", "--format", form])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert len([line for line in err.splitlines() if line.startswith("failed: ")]) == 3


def test_a_hostile_name_inside_a_reason_stays_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"\x1b[31m.{k}.weight": rng.standard_normal((20, 20)).astype(np.float32) for k in (0, 2)}
    norm = {"weight": np.ones(20), "bias": np.zeros(20), "running_mean": np.zeros(20), "running_var": np.full(20, -1.0)}
    save_file(tensors | {f"\x1b[31m.1.{name}": x.astype(np.float32) for name, x in norm.items()}, tmp_path / "h.safetensors")
    assert _run(["graph", str(tmp_path / "h.safetensors"), "-q"]) == 5
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "running_var" in err


def test_progress_is_told_on_stderr_unless_it_is_not_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["graph", SHIPPED, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["complete"] is True
    assert "of the work, " in err


def test_an_interrupted_graph_is_written_with_what_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted(planted())

    monkeypatch.setattr("modescope.spectral_graph.graph", interrupted)
    assert _run(["graph", SHIPPED, "-q", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["complete"] is False
    assert err == "interrupted after 7 pairs of layers; these are kept.\n"
    assert _run(["graph", SHIPPED, "-q", "-o", str(tmp_path / "g.graphml")]) == 130
    assert networkx.read_graphml(tmp_path / "g.graphml").number_of_edges() > 0


def test_memory_is_given_in_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def remembered(*_: Any, **options: Any) -> SpectralGraph:
        given.append(options["memory"])
        return planted()

    monkeypatch.setattr("modescope.spectral_graph.graph", remembered)
    _run(["graph", SHIPPED, "-q", "--memory", "0.5"])
    _run(["graph", SHIPPED, "-q"])
    assert given == [500_000_000, None]


def test_an_interruption_writes_what_was_done(tmp_path: Path) -> None:
    path = stack(tmp_path / "big.safetensors", *[64] * 5, *[1200] * 5)
    words = [sys.executable, "-m", "modescope", "graph", path, "--json", "-q", "--workers", "1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}) as run:
        time.sleep(2.0)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    if out:  # the signal came after the start of the work
        told = json.loads(out)
        assert told["complete"] is False
        assert any(gap["reason"] == "interrupted before its turn" for gap in told["gaps"])
        assert b"these are kept" in err


def test_help_names_every_null_without_loading_any() -> None:
    code = (
        "from modescope.cli import _run\n_run(['graph', '--help'])\nimport sys\n"
        "print('numpy' in sys.modules, 'modescope.spectral_graph' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "rotation" in done.stdout


def test_json_for_programs_holds_every_connection_and_edge_whatever_a_page_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("modescope.spectral_graph.page.PAIRS", 1)
    monkeypatch.setattr("modescope.spectral_graph.page.TOLD", 1)
    for form in ("json", "jsonl"):
        _run(["graph", SHIPPED, "--format", form, "-q"])
    text = capsys.readouterr().out
    whole, end = json.JSONDecoder().raw_decode(text)
    assert whole["summary"]["listed"] == whole["summary"]["significant"] == len(whole["edges"]) > 1
    assert len(whole["wiring"]) == len(LAYERS) - 1
    assert len(text[end:].strip().splitlines()) == 1 + len(whole["edges"])


def test_a_csv_holds_the_strongest_edges(capsys: pytest.CaptureFixture[str]) -> None:
    _run(["graph", SHIPPED, "--format", "csv", "-q"])
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("from,from mode,to,to mode,overlap,p,significant") + 1
    end = lines.index("", first) if "" in lines[first:] else len(lines)
    assert 0 < end - first <= 200
    assert all(line.split(",")[0] in LAYERS and line.endswith((",yes", ",no")) for line in lines[first:end])


def test_one_layer_alone_is_said_to_be_joined_to_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["graph", SHIPPED, "-q", "--include", "10.weight"]) == 0
    out, err = capsys.readouterr()
    assert "Nothing could be joined" in err
    assert "--wiring" in err
    assert "Nothing could be joined" in out


def test_what_reads_a_bias_is_there_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    _run(["graph", SHIPPED, "--json", "-q", "--structure", "bias"])
    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert [block["test"] for block in blocks] == ["bias"] * (len(LAYERS) - 1)
    assert all(0 <= block["significant"] <= block["nodes"] > 0 for block in blocks)


@pytest.mark.parametrize(
    ("gaps", "code"),
    [
        ((), 0),
        ((Gap("a", "", "nothing is known of what reads it"),), 0),
        ((Gap("", "a", "nothing is known of what it reads"),), 0),
        ((Gap("a", "b", f"{LEFT_OUT}: b is excluded by b"),), 0),
        ((Gap("a", "b", f"{LEFT_OUT}: b is excluded by b"), Gap("b", "c", "3 channels and 4")), 5),
    ],
)
def test_only_pairs_that_could_have_been_joined_give_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gaps: tuple[Gap, ...], code: int
) -> None:
    """An open end of the network, and what was left out on purpose, are told and are no fault."""
    whole = planted()
    made = replace(whole, gaps=gaps, columns=tuple(column for column in whole.columns if column.status == "ok"))
    monkeypatch.setattr("modescope.spectral_graph.graph", lambda *_, **__: made)
    assert _run(["graph", SHIPPED, "-q"]) == code
    assert capsys.readouterr().err.count("not joined: ") == len(gaps)


def test_leaving_a_layer_out_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["graph", SHIPPED, "-q", "--exclude", "8.*"]) == 0
    assert "left out: 8.weight" in capsys.readouterr().err
