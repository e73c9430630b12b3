"""The report of a network: an overview that links to a section per matrix, its size, and what it can be made from."""

import json
from pathlib import Path

import numpy as np
import pytest

import modescope as ms
from modescope.blocks import Note, Section, Table
from modescope.errors import UnreadableError
from modescope.reporting import network, report
from modescope.reports import Report
from modescope.reports.form import dumps, load_report

MEGABYTES = 1_000_000


@pytest.fixture(scope="module")
def digits() -> Report:
    return report(ms.demo_path())


def overview(of: Report) -> Table:
    assert isinstance(of.blocks[0], Table)
    return of.blocks[0]


def sections(of: Report) -> dict[str, Section]:
    return {block.key: block for block in of.blocks if isinstance(block, Section)}


def test_every_row_of_the_overview_opens_a_section_of_its_own(digits: Report) -> None:
    table = overview(digits)
    assert len(set(table.links)) == len(table.rows) == 4
    assert set(table.links) <= set(sections(digits))
    assert all(section.folded for section in sections(digits).values())
    assert len(table.about) == len(table.columns)
    assert all(table.pictures)


def test_the_numbers_of_a_layer_are_those_of_the_scan(digits: Report) -> None:
    scan = ms.scan(ms.demo_path())
    section = sections(digits)["layer=8.weight"]
    numbers = next(block for block in section.blocks if isinstance(block, Table) and block.title == "Every number")
    told = {row[0]: row[1] for row in numbers.rows}
    assert told["tail.alpha"] == scan["8.weight"].number("tail", "alpha")
    assert told["bulk.outliers"] == scan["8.weight"].number("bulk", "outliers")
    assert set(numbers.links) <= set(sections(digits))


def test_the_code_of_a_section_runs_and_leads_to_its_row(digits: Report) -> None:
    code = sections(digits)["layer=8.weight"].code
    found: dict[str, object] = {}
    exec(code, found)
    row = found["row"]
    assert isinstance(row, ms.Row)
    assert row.name == "8.weight"


def test_a_failed_matrix_has_a_section_that_says_why() -> None:
    made = report({"bad": np.full((20, 30), np.nan), "good": np.eye(20)})
    notes = [block for block in sections(made)["layer=bad"].blocks if isinstance(block, Note)]
    assert notes[-1].level == "error"
    assert "not finite" in notes[-1].text


def test_a_run_folder_and_a_saved_report_need_no_checkpoint(tmp_path: Path, digits: Report) -> None:
    ms.scan(ms.demo_path(), twin=True).save(tmp_path / "run")
    again = report(tmp_path / "run")
    assert again.blocks == digits.blocks
    digits.save(tmp_path / "saved.json")
    assert report(tmp_path / "saved.json") == digits


def test_a_scan_gives_the_same_report_as_its_checkpoint(digits: Report) -> None:
    assert report(ms.scan(ms.demo_path(), twin=True)) == digits


def test_a_damaged_report_is_refused_by_name(tmp_path: Path, digits: Report) -> None:
    digits.save(tmp_path / "saved.json")
    text = (tmp_path / "saved.json").read_text()
    (tmp_path / "saved.json").write_text(text[: len(text) // 2])
    with pytest.raises(UnreadableError, match=r"saved\.json"):
        report(tmp_path / "saved.json")


def test_a_hundred_layers_stay_below_three_megabytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    layers = {
        f"transformer.h.{i}.attention.dense.weight": random.standard_normal((160, 128)).astype(np.float32)
        + (np.outer(random.standard_normal(160), random.standard_normal(128)) if i % 2 else 0)
        for i in range(100)
    }
    report(layers).save(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 3 * MEGABYTES


def test_the_page_and_the_saved_form_hold_the_same_report(tmp_path: Path, digits: Report) -> None:
    digits.save(tmp_path / "report.html")
    assert load_report(tmp_path / "report.html") == digits


def test_names_are_data_in_the_saved_form() -> None:
    name = '</script><script>alert("x")</script>'
    made = network(ms.scan({name: np.eye(20)}))
    assert json.loads(dumps(made))["blocks"][0]["rows"][0][0] == name


@pytest.mark.parametrize("suffix", [".pdf", ""])
def test_a_suffix_that_is_no_form_is_refused_before_anything_is_written(suffix: str, tmp_path: Path, digits: Report) -> None:
    with pytest.raises(ms.UsageError, match=r"\.html"):
        digits.save(tmp_path / f"report{suffix}")
    assert list(tmp_path.iterdir()) == []
