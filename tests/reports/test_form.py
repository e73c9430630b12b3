"""The saved form: what is written comes back, and what is damaged, newer or something else is refused in one line."""

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modescope.blocks import Block, Note, Table
from modescope.errors import UnreadableError
from modescope.render import jsonl
from modescope.reports import Report
from modescope.reports.form import SCHEMA, dumps, is_report, load_report, loads, plain
from report_cases import every_block


def test_every_block_comes_back_equal() -> None:
    report = every_block()
    assert loads(dumps(report), "x") == report


@given(
    text=st.text(),
    cells=st.lists(
        st.one_of(st.text(), st.none(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False)), min_size=1
    ),
)
def test_any_text_and_any_cell_come_back_equal(text: str, cells: list[Any]) -> None:
    report = Report((Table(text, tuple(map(str, range(len(cells)))), (tuple(cells),)), Note(text)), {"rows": []}, "rows", text)
    assert loads(dumps(report), "x") == report


@pytest.mark.parametrize("name", ["page.html", "saved.json"])
def test_a_file_opens_again_by_either_suffix(name: str, tmp_path: Path) -> None:
    every_block().save(tmp_path / name)
    assert is_report(tmp_path / name)
    assert load_report(tmp_path / name) == every_block()


def test_fields_that_have_their_default_are_left_out() -> None:
    assert plain(Report((Note("a"),), {}, "rows"))["blocks"] == [{"type": "note", "text": "a"}]


def test_a_number_that_is_none_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(Report((Table("", ("a",), ((math.nan,),)),), {}, "rows"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "expected schema"),
        ('{"schema": "modescope.report/2"}', "newer"),
        ('{"schema": "modescope.scan/1"}', "expected schema"),
        (f'{{"schema": "{SCHEMA}"}}', "no 'blocks'"),
        (f'{{"schema": "{SCHEMA}", "blocks": 3}}', "damaged"),
        (f'{{"schema": "{SCHEMA}", "blocks": [3]}}', "no block of type"),
        (f'{{"schema": "{SCHEMA}", "blocks": [{{"type": "film"}}]}}', "'film'"),
        (f'{{"schema": "{SCHEMA}", "blocks": [{{"type": ["note"]}}]}}', "damaged"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line_that_names_the_file(text: str, said: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        loads(text, "some.json")
    assert str(caught.value).startswith("some.json: ")
    assert "\n" not in str(caught.value)
    assert said in str(caught.value)


@given(data=st.data())
def test_any_field_of_a_wrong_type_is_refused_and_nothing_else_is_raised(data: st.DataObject) -> None:
    whole = plain(every_block())
    places = list(_places(whole["blocks"]))
    owner, key = data.draw(st.sampled_from(places))
    kept = owner[key]
    wrong = data.draw(st.sampled_from([{"film": 1}, [[[]]], [True]]))
    owner[key] = wrong
    with pytest.raises(UnreadableError, match="damaged"):
        loads(json.dumps(whole), "x")
    owner[key] = kept


def _places(value: Any) -> Any:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield value, key
        yield from _places(item)


def test_a_field_that_no_block_has_is_refused() -> None:
    whole = plain(Report((Note("a"),), {}, "rows"))
    whole["blocks"][0]["colour"] = "red"
    with pytest.raises(UnreadableError, match="Note has no 'colour'"):
        loads(json.dumps(whole), "x")


def test_lengths_that_disagree_are_refused() -> None:
    whole = plain(Report((Table("t", ("a",), ((1,),)),), {}, "rows"))
    whole["blocks"][0]["rows"][0].append(2)
    with pytest.raises(UnreadableError, match="1 cells"):
        loads(json.dumps(whole), "x")


@pytest.mark.parametrize("content", [b"<html></html>", b"\xff\xfe\x00", b"<!doctype html><script type='application/json'>{}"])
def test_a_foreign_page_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"x\.html"):
        load_report(tmp_path / "x.html")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="No such file"):
        load_report(tmp_path / "none.json")


def test_every_field_of_every_block_is_frozen_data() -> None:
    for block in get_args(Block):
        assert block.__dataclass_params__.frozen
        assert fields(block)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400])
def test_a_number_that_no_float_can_hold_is_refused(number: str) -> None:
    text = dumps(Report((Table("", ("a",), ((12345.5,),)),), {}, "rows"))
    with pytest.raises(UnreadableError, match="JSON"):
        loads(text.replace("12345.5", number), "x")


def test_errors_stay_short_whatever_is_in_the_file() -> None:
    whole = plain(Report((Note("a"),), {}, "rows"))
    for key, value in (("type", "x" * 100_000), ("y" * 100_000, 1)):
        whole["blocks"][0] = {"type": "note", "text": "a"} | {key: value}
        with pytest.raises(UnreadableError) as caught:
            loads(json.dumps(whole), "x")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("items", ["", "elsewhere", "schema"])
def test_lines_of_a_report_without_rows_are_its_head(items: str) -> None:
    lines = jsonl.render(Report((), {"schema": "x"}, items)).splitlines()
    assert len(lines) == 1
