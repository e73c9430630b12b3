"""Theory and runs as one result: the same numbers on the page, in the document and in the table, and what an interrupt leaves."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import modescope
from modes_online_cases import drawn, reference
from modescope.blocks import Curve, Note, Table
from modescope.errors import Interrupted, UsageError
from modescope.modes.online.equations import integrate
from modescope.modes.online.learning import learn
from modescope.modes.online.sgd import simulate
from modescope.modes.online.theory import ModeTheory
from modescope.render import renderers


@pytest.fixture(scope="module")
def found():
    return learn(reference(), inputs=30, until=60, runs=2, seed=7, points=25)


def test_it_is_the_theory_beside_runs_at_the_same_times(found):
    assert found.expected.times[0] == 0
    assert found.expected.times[-1] == 60
    assert np.array_equal(found.runs.error, simulate(reference(), 30, found.expected.times, runs=2, seed=7).error)
    assert np.array_equal(found.expected.error, integrate(reference(), found.expected.times).error)
    assert found.deviation.error.shape == (2,)


def test_the_document_is_plain_and_says_what_the_result_says(found):
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["schema"] == "modescope.online/1"
    assert [row["error"] for row in told["times"]] == pytest.approx(found.expected.error.tolist())
    assert [row["runs"] for row in told["times"]] == [pytest.approx(one) for one in found.runs.error.T.tolist()]
    assert [row["gain"] for row in told["modes"]] == pytest.approx(found.theory.strengths.tolist())
    assert told["modes"][2]["learnt"] == {"0.5": None, "0.99": None}
    assert told["modes"][0]["learnt"]["0.5"] == pytest.approx(found.learnt[0.5][0])
    assert told["ordered_by_gain"] == {"0.5": False, "0.99": None}
    assert [one["kind"] for one in told["stages"]] == [one.kind for one in found.stages.stages]
    again = {name: np.array(told["source"]["start"][name]) for name in ("xi_out", "s", "student", "overlap", "teacher")}
    assert ModeTheory(**again, eta=told["source"]["start"]["eta"]).strengths == pytest.approx(found.theory.strengths)


def test_documents_with_and_without_runs_follow_their_schema(found):
    schema = json.loads((Path(modescope.__file__).parent / "schemas" / "online-1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for one in (found, learn(drawn(0), inputs=30, until=0.2, runs=0, points=3)):
        jsonschema.validate(json.loads(json.dumps(one.to_dict())), schema, cls=jsonschema.Draft202012Validator)


def test_the_page_draws_the_theory_as_a_law_and_runs_with_their_spread(found):
    errors, correlations = (one for one in found.report().blocks if isinstance(one, Curve))
    assert errors.x.log
    assert errors.y.log
    law, runs = errors.series
    assert (law.role, runs.role) == ("law", "data")
    assert law.y == pytest.approx(found.expected.error[1:], rel=1e-3)
    assert runs.low == pytest.approx(found.runs.error.min(axis=0)[1:], rel=1e-3)
    assert runs.high == pytest.approx(found.runs.error.max(axis=0)[1:], rel=1e-3)
    assert [mark.at for mark in errors.marks] == pytest.approx([one.begin for one in found.stages.stages], rel=1e-3)
    assert len(correlations.series) == 6
    tables = {one.title: one for one in found.report().blocks if isinstance(one, Table)}
    assert [row[0] for row in tables["Modes, the strongest first"].rows] == [0, 1, 2]
    assert len(tables["Stages of the theory"].rows) == len(found.stages.stages)


def test_every_renderer_draws_it(found):
    for renderer in renderers().values():
        assert renderer.render(found.report())


def test_the_table_has_a_row_for_every_time(found):
    frame = found.to_pandas()
    assert len(frame) == found.expected.times.size
    assert frame["run_1_error"].to_numpy() == pytest.approx(found.runs.error[1])
    assert frame["correlation_2"].to_numpy() == pytest.approx(found.expected.correlations[:, 2])


def test_the_theory_may_stand_alone():
    found = learn(drawn(0), inputs=30, until=5, runs=0, points=10)
    assert (found.runs, found.deviation) == (None, None)
    assert all(row["runs"] == [] for row in found.to_dict()["times"])
    assert all(len(one.series) in (1, 3) for one in found.report().blocks if isinstance(one, Curve))


def test_a_course_without_stages_says_so():
    found = learn(drawn(0), inputs=30, until=0.2, runs=0, points=3)
    assert any(isinstance(one, Note) and "No stage was found" in one.text for one in found.report().blocks)


@pytest.mark.parametrize("after", [0, 300])
def test_an_interrupt_keeps_the_theory_and_what_runs_reached(after, monkeypatch):
    monkeypatch.setattr("modescope.modes.online.sgd.BATCH", 3000)

    def stop(what, done, _):
        if what == "samples" and done >= after:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        learn(drawn(0), inputs=30, until=50, runs=1, points=20, progress=stop)
    kept = caught.value.partial
    assert kept.expected.times[-1] == 50
    if after:
        assert 0 < kept.runs.times.size < kept.expected.times.size
        assert "interrupted after" in kept.to_dict()["runs_status"]
        assert kept.deviation.error.shape == (1,)
        assert any(isinstance(one, Note) and "interrupted" in one.text for one in kept.report().blocks)
    else:
        assert kept.runs is None
    json.dumps(kept.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": 0}, "last time above 0.1"),
        ({"until": math.inf}, "finite, got inf"),
        ({"until": math.nan}, "finite, got nan"),
        ({"points": 1}, "at least 2 points"),
        ({"runs": -1}, "number of runs"),
        ({"inputs": 0}, "inputs of at least 1"),
        ({"inputs": 100_000}, "3e[+]13. Take fewer"),
        ({"inputs": 5}, "at least 6 inputs"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        learn(drawn(0), **({"inputs": 30} | options))
