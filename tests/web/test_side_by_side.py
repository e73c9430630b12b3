"""Scans side by side: the numbers of each, differences from the first, matrices that are not in all."""

from dataclasses import replace
from typing import Any

import pytest

from modescope.blocks import Section, Table
from modescope.errors import UnreadableError
from modescope.result import Scan
from modescope.web.side_by_side import Side, side_by_side
from web_cases import measured, moved, saved


def compared(*scans: Scan, names: tuple[str, ...] = ()) -> Any:
    names = names or tuple("ABCDEF"[: len(scans)])
    return saved(
        side_by_side([Side(f"id{i}", name, scan.to_dict()) for i, (name, scan) in enumerate(zip(names, scans, strict=True))])
    )


def measure(report: Any, key: str) -> Table:
    (section,) = [block for block in report.blocks if isinstance(block, Section) and block.key == f"measure={key}"]
    found = section.blocks[1]
    assert isinstance(found, Table)
    return found


def medians(report: Any) -> dict[str, tuple[Any, ...]]:
    found: Any = next(block for block in report.blocks if isinstance(block, Table) and block.title.startswith("Median"))
    return {row[0]: row[1:] for row in found.rows}


def test_a_planted_difference_is_found_in_every_matrix_that_has_the_number() -> None:
    scan = measured()
    found = measure(compared(scan, moved(scan, 0.25), moved(scan, -1.0)), "tail.alpha")
    assert found.columns == ("matrix", "A", "B", "C", "B − A", "C − A")
    values = {row[0]: row[1:] for row in found.rows}
    for row in scan:
        alpha = row.number("tail", "alpha")
        if alpha is None:
            assert values[row.name] == (None,) * 5
        else:
            assert values[row.name] == pytest.approx((alpha, alpha + 0.25, alpha - 1.0, 0.25, -1.0), abs=1e-12)


def test_the_same_scan_twice_differs_in_nothing() -> None:
    report = compared(measured(), measured())
    for heading, values in medians(report).items():
        if heading != "± of alpha":
            assert values[1] == values[2]
            assert values[3] in (0.0, None)


def test_medians_are_over_the_matrices_that_all_scans_have() -> None:
    scan = measured()
    less = replace(scan, rows=tuple(row for row in scan.rows if row.name != "h.2.weight"))
    report = compared(scan, less)
    norm = scan["h.10.weight"].number("norms", "spectral")
    assert medians(report)["norm"][:3] == (1, norm, norm)
    found = {row[0]: row[1:] for row in measure(report, "norms.spectral").rows}
    assert found["h.2.weight"] == (scan["h.2.weight"].number("norms", "spectral"), None, None)
    note = report.blocks[1]
    assert (note.level, "2 of 3 matrices" in note.text) == ("caution", True)


def test_networks_without_a_matrix_in_common_are_cautioned() -> None:
    scan = measured()
    report = compared(replace(scan, rows=scan.rows[:1]), replace(scan, rows=scan.rows[1:]))
    assert report.blocks[1].text.startswith("0 of 3 matrices")
    assert medians(report)["norm"] == (0, None, None, None, report.blocks[3].rows[0][-1])


def test_runs_of_one_name_are_numbered_and_lead_to_their_pages() -> None:
    report = compared(measured(), measured(), names=("run", "run"))
    assert [row[0] for row in report.blocks[0].rows] == ["run (1)", "run (2)"]
    assert report.blocks[0].links == ("run=id0", "run=id1")


def test_every_measure_leads_to_its_section() -> None:
    report = compared(measured(), measured())
    keys = {block.key for block in report.blocks if isinstance(block, Section)}
    table = next(block for block in report.blocks if isinstance(block, Table) and block.title.startswith("Median"))
    assert set(table.links) < keys


@pytest.mark.parametrize(
    "matrices", [[3], [{"name": 5}], [{"measures": {"tail": {"alpha": "high"}}}], [{"measures": {"tail": [1]}}], []]
)
def test_a_document_may_hold_anything(matrices: list[Any]) -> None:
    broken = {"schema": "modescope.scan/1", "matrices": matrices}
    report = side_by_side([Side("a", "a", measured().to_dict()), Side("b", "b", broken)])
    assert medians(report)["alpha"][0] == 0


def test_documents_of_something_else_are_refused() -> None:
    with pytest.raises(UnreadableError, match=r"modescope\.graph/1"):
        side_by_side([Side("a", "a", {"schema": "modescope.graph/1"}), Side("b", "b", measured().to_dict())])
