"""`modescope descramble` as a user meets it: data from a file, forms, exit codes, errors of one line."""

import inspect
import io
import json
import zipfile
from pathlib import Path

import click
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from descrambling_cases import INPUTS, OUTPUTS, data, weight
from modescope.cli import _arrays, _run
from modescope.cli.descramble import command
from modescope.descrambling import CONTROLS, CRITERIA, READINGS, SIDES, descramble
from modescope.descrambling.operators import OPERATORS, grid
from modescope.errors import UnreadableError
from modescope.moments import of
from modescope.reports.form import is_report

QUICK = ["--draws", "19", "--readings", "fourier,gram"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A network of one layer with a bias, and data for it."""
    rng = np.random.default_rng(3)
    net = tmp_path / "net.safetensors"
    save_file({"fc.weight": weight(), "fc.bias": rng.standard_normal(OUTPUTS)}, net)
    np.save(tmp_path / "data.npy", data())
    return str(net), str(tmp_path / "data.npy")


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    capsys.readouterr()
    assert _run(["descramble", *arguments, "--json", *QUICK]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(told, dict)
    return told


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    capsys.readouterr()
    assert _run(["descramble", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3
    return err


def test_json_is_the_document_of_the_same_call_in_python(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    net, inputs = files
    told = document(capsys, net, "--layer", "fc", "--data", inputs, "--axis", "0:0.01:us", "--seed", "3")
    same = descramble(net, layer="fc", inputs=data(), axis="0:0.01:us", seed=3, draws=19, readings=("fourier", "gram"))
    assert told == json.loads(json.dumps(same.to_dict()))


def test_a_table_comes_without_form_and_cautions_go_to_stderr(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    assert _run(["descramble", files[0], "--data", files[1], *QUICK]) == 0
    out, err = capsys.readouterr()
    assert "Beside controls" in out
    assert "untrained" in out
    assert all(line.startswith("caution: ") for line in err.splitlines())
    assert "view of the weights" in err


def test_the_bias_is_used_unless_it_is_left_out(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    with_bias = document(capsys, files[0], "--data", files[1])
    without = document(capsys, files[0], "--data", files[1], "--no-bias")
    assert (with_bias["options"]["bias"], without["options"]["bias"]) == (True, False)  # type: ignore[index]
    assert with_bias["spectra"] != without["spectra"]


@pytest.mark.parametrize(
    "options",
    [
        ["--side", "right"],
        ["--side", "joint"],
        ["--criterion", "permutation"],
        ["--difference", "fourier-second", "--centred"],
        ["--difference", "grid", "--grid", "4x6"],
    ],
)
def test_options_reach_the_result(capsys: pytest.CaptureFixture[str], files: tuple[str, str], options: list[str]) -> None:
    told = document(capsys, files[0], "--data", files[1], *options)
    word, value = options[0].removeprefix("--"), options[1]
    if value == "grid":
        assert told["difference"] == grid(4, 6).name
    elif word == "difference":
        assert told["difference"] == OPERATORS[value](OUTPUTS).name
        assert told["centred"] is True
    else:
        assert told[word] == value


def test_a_diagonal_criterion_asks_for_no_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    save_file({"fc.weight": weight(inputs=OUTPUTS)}, tmp_path / "square.safetensors")
    told = document(capsys, str(tmp_path / "square.safetensors"), "--criterion", "diagonal_sum")
    assert told["samples"] == 0


def test_the_file_says_by_its_suffix_what_is_written(tmp_path: Path, files: tuple[str, str]) -> None:
    for name in ("page.html", "page.json", "layer.safetensors"):
        assert _run(["descramble", *files[:1], "--data", files[1], "-o", str(tmp_path / name), *QUICK]) == 0
    assert is_report(tmp_path / "page.html")
    assert load_file(tmp_path / "layer.safetensors")["PW"].shape == (OUTPUTS, INPUTS)


def test_saved_matrices_are_named_in_the_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    to = str(tmp_path / "layer.safetensors")
    assert document(capsys, files[0], "--data", files[1], "--save", to)["arrays"] == to
    assert (load_file(to)["W"] == weight()).all()


def test_an_archive_of_several_arrays_is_asked_for_a_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    np.savez(tmp_path / "two.npz", train=data(), test=data(seed=1))
    np.savez(tmp_path / "one.npz", train=data())
    two, one = str(tmp_path / "two.npz"), str(tmp_path / "one.npz")
    assert "'train', 'test'" in refused(capsys, 2, files[0], "--data", two)
    assert "no array 'third'" in refused(capsys, 2, files[0], "--data", two, "--data-key", "third")
    assert "without a name" in refused(capsys, 2, files[0], "--data", files[1], "--data-key", "train")
    asked = document(capsys, files[0], "--data", two, "--data-key", "train")
    assert asked == document(capsys, files[0], "--data", one) == document(capsys, files[0], "--data", files[1])


def test_objects_in_a_data_file_are_not_unpickled(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "objects.npz").read_bytes()[:40])
    for name, code in {"objects.npy": 4, "objects.npz": 4, "text.npy": 3, "cut.npz": 3, "none.npy": 3}.items():
        assert name in refused(capsys, code, files[0], "--data", str(tmp_path / name))


def test_what_does_not_fit_is_said_with_its_shape(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    np.save(tmp_path / "narrow.npy", data()[:, :5])
    said = refused(capsys, 2, files[0], "--data", str(tmp_path / "narrow.npy"))
    assert f"narrow.npy: fc.weight ({OUTPUTS}, {INPUTS}): " in said
    assert f"{INPUTS} numbers a sample" in said
    wrong = data()
    wrong[7, 3] = wrong[9, 0] = np.nan
    np.save(tmp_path / "nan.npy", wrong)
    said = refused(capsys, 2, files[0], "--data", str(tmp_path / "nan.npy"))
    assert f"nan.npy: fc.weight ({OUTPUTS}, {INPUTS}): expected finite inputs, got nan in row 7, column 3" in said
    assert "first of 2" in said
    assert f"{files[0]}: layer 'fcc': no such layer; did you mean 'fc'?" in refused(
        capsys, 2, files[0], "--layer", "fcc", "--data", files[1]
    )
    assert "no such layer; it has fc.weight." in refused(capsys, 2, files[0], "--layer", "head", "--data", files[1])
    said = refused(capsys, 2, files[0], "--layer", "fc.bias", "--data", files[1])
    assert f"expected a weight matrix, got fc.bias ({OUTPUTS},): bias" in said
    save_file({"w": np.ones(3)}, tmp_path / "row.safetensors")
    assert "got 1 tensor and none" in refused(capsys, 2, str(tmp_path / "row.safetensors"), "--data", files[1])
    said = refused(capsys, 2, files[0], "--data", files[1], "--difference", "grid", "--grid", "999999999999x9")
    assert "at most 16,384 neurons" in said
    assert "--grid" in refused(capsys, 2, files[0], "--data", files[1], "--difference", "grid")
    assert "--grid" in refused(capsys, 2, files[0], "--data", files[1], "--grid", "4x6")
    assert "8x16" in refused(capsys, 2, files[0], "--data", files[1], "--difference", "grid", "--grid", "axb")
    assert ".safetensors" in refused(capsys, 2, files[0], "--data", files[1], "--save", str(tmp_path / "x.npz"))
    assert "expected inputs" in refused(capsys, 2, files[0])
    refused(capsys, 3, str(tmp_path / "none.safetensors"), "--data", files[1])


def test_what_is_read_is_not_written_over(capsys: pytest.CaptureFixture[str], files: tuple[str, str]) -> None:
    before = Path(files[0]).read_bytes()
    assert "would be lost" in refused(capsys, 2, files[0], "--data", files[1], "--save", files[0])
    assert "would be lost" in refused(capsys, 2, files[0], "--data", files[1], "-o", files[0])
    assert Path(files[0]).read_bytes() == before
    both = str(Path(files[0]).with_name("both.safetensors"))
    assert "different files" in refused(capsys, 2, files[0], "--data", files[1], "--save", both, "--json", "-o", both)
    twice = ["--criterion", "permutation", "--save", both, "--save-reordered", both]
    assert "different files" in refused(capsys, 2, files[0], "--data", files[1], *twice)
    assert not Path(both).exists()


def test_choices_and_defaults_are_those_of_the_library() -> None:
    options = {one.name: one for one in command.params if isinstance(one, click.Option)}
    usual = {name: one.default for name, one in inspect.signature(descramble).parameters.items()}
    for name in ("side", "criterion", "difference", "draws", "seed"):
        assert options[name].default == usual[name], name
    assert options["readings"].default == ",".join(READINGS)
    assert options["controls"].default == ",".join(CONTROLS)
    for name, known in {"side": SIDES, "criterion": CRITERIA, "difference": (*OPERATORS, "grid")}.items():
        kind = options[name].type
        assert isinstance(kind, click.Choice)
        assert set(kind.choices) == set(known)
    assert all(one.help for one in options.values())


def test_readings_controls_and_an_untrained_network_are_chosen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    save_file({"fc.weight": weight(seed=5), "fc.bias": np.zeros(OUTPUTS)}, tmp_path / "before.safetensors")
    told = document(
        capsys,
        *(files[0], "--data", files[1], "--untrained", str(tmp_path / "before.safetensors"), "--controls", "untrained, bootstrap"),
    )
    assert [one["name"] for one in told["readings"]] == ["fourier", "gram"]  # type: ignore[attr-defined]
    assert [one["name"] for one in told["controls"]] == ["untrained", "bootstrap"]  # type: ignore[attr-defined]
    alone = document(capsys, str(tmp_path / "before.safetensors"), "--data", files[1], "--controls", "none")
    assert alone["controls"] == []
    found = told["controls"][0]["found"]["scale"]["optimal"]  # type: ignore[index]
    assert found == pytest.approx(alone["objective"]["optimal"], rel=1e-7)  # type: ignore[index]
    assert "expected some of" in refused(capsys, 2, files[0], "--data", files[1], "--readings", "colour")
    assert "99 or more" in refused(capsys, 2, files[0], "--data", files[1], "--draws", "98")
    refused(capsys, 3, files[0], "--data", files[1], "--untrained", str(tmp_path / "none.safetensors"))


def test_moments_bias_and_operator_come_from_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    known, bias, d = of(data()), np.arange(float(OUTPUTS)), np.diff(np.eye(OUTPUTS), axis=0)
    np.savez(tmp_path / "moments.npz", count=known.count, mean=known.mean, scatter=known.scatter)
    np.save(tmp_path / "bias.npy", bias)
    np.save(tmp_path / "d.npy", d)
    own = ["--moments", "moments.npz", "--bias", "bias.npy", "--operator", "d.npy"]
    given = [str(tmp_path / one) if one[0] != "-" else one for one in own]
    told = document(capsys, files[0], *given, "--controls", "none")
    same = descramble(files[0], moments=known, bias=bias, difference=d, readings=(), controls=())
    assert told["objective"]["optimal"] == pytest.approx(same.objective["optimal"], rel=1e-7)  # type: ignore[index]
    assert (told["options"]["bias"], told["options"]["difference"]) == ("own", "own")  # type: ignore[index]
    assert "count, mean and scatter" in refused(capsys, 2, files[0], "--moments", files[1])
    assert "--bias" in refused(capsys, 2, files[0], "--data", files[1], "--no-bias", *given[2:4])
    assert "--operator" in refused(capsys, 2, files[0], "--data", files[1], "--difference", "second", *given[4:])
    np.save(tmp_path / "d.npy", np.eye(3))
    said = refused(capsys, 2, files[0], "--data", files[1], *given[4:])
    assert f"D with {OUTPUTS} columns" in said


@pytest.mark.parametrize("kind", ["npy", "npz", "fortran"])
def test_large_data_are_read_in_parts_with_progress_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: tuple[str, str], kind: str
) -> None:
    expected = document(capsys, files[0], "--data", files[1])
    name = tmp_path / f"large.{'npz' if kind == 'npz' else 'npy'}"
    (np.savez if kind == "npz" else np.save)(name, np.asfortranarray(data()) if kind == "fortran" else data())
    monkeypatch.setattr(_arrays, "WHOLE", 1000)
    monkeypatch.setattr(_arrays, "PIECE", 10_000)
    monkeypatch.setattr("modescope.descrambling.feeding.ENTRIES", 1000)
    monkeypatch.setattr("modescope.cli._progress.SOON", 0.0)
    found = _arrays.samples(name, None)
    assert isinstance(found, _arrays.Rows if kind == "npz" else np.memmap)
    told = document(capsys, files[0], "--data", str(name))
    for name_of in ("a", "b", "s"):
        assert told["spectra"][name_of] == pytest.approx(expected["spectra"][name_of], rel=1e-7)  # type: ignore[index]
    assert _run(["descramble", files[0], "--data", str(name), *QUICK]) == 0
    told_of = capsys.readouterr().err
    assert " parts of the data, " in told_of
    assert "1 of 7 readings and controls, " in told_of
    assert _run(["descramble", files[0], "--data", str(name), "--quiet", *QUICK]) == 0
    assert " of the data, " not in capsys.readouterr().err


def test_an_archive_that_ends_early_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_arrays, "WHOLE", 100)
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as archive:
        full = io.BytesIO()
        np.save(full, data())
        archive.writestr("x.npy", full.getvalue()[:5000])
    with pytest.raises(UnreadableError, match=r"x\.npy ends before its 400 rows do"):
        list(_arrays.samples(tmp_path / "cut.npz", None))


def test_a_network_in_the_new_order_is_written_when_it_is_the_same_function(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: tuple[str, str]
) -> None:
    rng = np.random.default_rng(0)
    net = {"one.weight": weight(), "one.bias": rng.standard_normal(OUTPUTS), "two.weight": rng.standard_normal((3, OUTPUTS))}
    save_file(net, tmp_path / "two.safetensors")
    to = tmp_path / "new.safetensors"
    order = [str(tmp_path / "two.safetensors"), "--layer", "one", "--data", files[1], "--save-reordered", str(to)]
    assert _run(["descramble", *order, "--criterion", "permutation", "--controls", "none", *QUICK]) == 0
    assert "the layers that meet change by at most" in capsys.readouterr().err
    new = load_file(to)
    h = np.tanh(data() @ net["one.weight"].T + net["one.bias"])
    again = np.tanh(data() @ new["one.weight"].T + new["one.bias"])
    np.testing.assert_allclose(again @ new["two.weight"].T, h @ net["two.weight"].T, atol=1e-10)
    assert not np.array_equal(new["one.weight"], net["one.weight"])
    assert "--criterion permutation" in refused(capsys, 2, *order)
    assert "--save-reordered" in refused(capsys, 2, files[0], "--data", files[1], "--wiring", "order")
    to.unlink()
    alone = [files[0], "--data", files[1], "--save-reordered", str(to), "--criterion", "permutation", "--controls", "none"]
    assert "no layer is known to read it" in refused(capsys, 2, *alone, *QUICK)
    assert not to.exists()
