"""The preface of a spectral graph says what was done and what to beware of, and its code repeats it."""

import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import modescope
from graph_cases import notes, planted, section
from modescope.blocks import Note
from modescope.spectral_graph import preface
from modescope.spectral_graph.nulls import nulls
from modescope.spectral_graph.page import report
from modescope.spectral_graph.result import Edges


def test_the_first_notes_say_what_was_tested_and_what_the_graph_does_not_say() -> None:
    graph = planted()
    first, second, third = notes(report(graph))[:3]
    assert f"9 of {graph.options['tested']:,} edges tested are significant at level 0.05 (Bonferroni" in first.text
    assert "Null: rotation" in first.text
    assert "1 without modes" in first.text
    assert "Interrupted" in first.text
    assert "Interrupted" not in notes(report(replace(graph, complete=True)))[0].text
    assert "Gauge: folded" in second.text
    assert "Convention: svr" in second.text
    assert "order of the file" in second.text
    assert "does not say what a direction means" in third.text
    assert "how often it is active" in third.text
    assert "nonlinearities" in third.text


def test_cautions_stand_for_edges_that_are_unstable_or_not_exact() -> None:
    graph = planted()
    cautions = [note.text for note in notes(report(graph)) if note.level == "caution"]
    assert not [text for text in cautions if "rounding of the stored weights" in text or "not exact" in text]
    top = int(np.flatnonzero(graph.edges.significant)[0])
    graph.edges.unstable[top] = True
    graph.edges.exact[top] = False
    cautions = [note.text for note in notes(report(graph)) if note.level == "caution"]
    assert [text for text in cautions if text.startswith("1 significant edge may change with the rounding")]
    assert [text for text in cautions if text.startswith("1 significant edge has a p-value that is not exact")]
    assert [text for text in cautions if "was folded" in text]


def test_what_code_need_not_say_is_the_default_of_the_library() -> None:
    """A list in the options stands for the sequence that was given."""
    theirs = {name: item.default for name, item in inspect.signature(modescope.graph).parameters.items()}
    ours = {name: tuple(value) if isinstance(value, list) else value for name, value in preface.DEFAULTS.items()}
    assert ours == {name: theirs[name] for name in ours}
    assert theirs.keys() - ours.keys() == {"source", "wiring", "inputs", "workers", "memory", "progress"}


def test_code_makes_the_same_graph_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {"a.weight": (8, 6), "b.weight": (12, 8), "c.weight": (5, 12), "d.weight": (5, 5)}
    path = tmp_path / "it's.safetensors"
    save_file({name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}, path)
    given = {
        "wiring": "order",
        "gauge": "raw",
        "convention": "channel",
        "level": 0.2,
        "correction": "by",
        "null": "permutation",
        "draws": 7,
        "seed": 3,
        "keep": 0.5,
        "structure": ["dead_channels", "bias"],
        "flatten": "channels_last",
        "activation": "relu",
        "exclude": ["d.*"],
        "include": ["*.weight"],
    }
    graph = modescope.graph(path, **given)
    code = report(graph).code
    space: dict[str, Any] = {}
    exec(code.replace('graph.report().save("graph.html")', ""), space)
    assert space["graph"].options == graph.options
    assert space["graph"].to_dict(kept=True) == graph.to_dict(kept=True)
    for name, value in given.items():
        assert f"{name}={value!r}" in code
    assert "draws" not in report(planted()).code


def test_code_has_a_name_and_a_comment_for_what_was_an_object_in_memory() -> None:
    graph = planted()
    live = replace(graph, source={"path": None}, options={**graph.options, "wiring": "traced"})
    assert "ms.graph(model, inputs=inputs" in report(live).code
    assert "# inputs: the example input" in report(live).code
    stated = replace(graph, options={**graph.options, "wiring": "stated"})
    assert "wiring=pairs" in report(stated).code
    assert "# pairs: the (from, to) names" in report(stated).code
    compile(report(live).code, "code", "exec")


def test_every_null_is_named_with_what_it_takes_as_random() -> None:
    graph = planted()
    assert preface.NULLS.keys() == nulls().keys()
    for name, words in preface.NULLS.items():
        made = report(replace(graph, options={**graph.options, "null": name}))
        assert f"Null: {name.replace('_', ' ')}, {words}." in notes(made)[0].text


def test_of_a_simulated_null_the_sentence_names_the_correction_within_pairs() -> None:
    graph = planted()
    made = report(replace(graph, options={**graph.options, "null": "permutation", "log_p_family_limit": -4.0}))
    assert "(Westfall-Young within each pair, Bonferroni over the pairs" in notes(made)[0].text
    plain = report(replace(graph, options={**graph.options, "log_p_family_limit": None}))
    assert "(Bonferroni, for the chance" in notes(plain)[0].text


def test_names_of_layers_that_begin_a_sentence_keep_their_letters() -> None:
    graph = planted()
    column = replace(graph.columns[0], note="fc.weight is tied")
    made = report(replace(graph, notes=("block.up.weight was left out",), columns=(column, *graph.columns[1:])))
    assert "block.up.weight was left out." in [note.text for note in notes(made)]
    inside = [block.text for block in section(made, column.name).blocks if isinstance(block, Note)]
    assert "fc.weight is tied." in inside


def test_taps_are_spoken_of_only_where_a_reader_has_some() -> None:
    graph = planted()
    wide = replace(graph.connections[0], effective=np.full(len(graph.columns[1].nodes), 4.0))  # groups of modes, one tap
    one = replace(graph, connections=(wide, *graph.connections[1:]))
    several = replace(graph, connections=(replace(wide, multiplicity=9), *graph.connections[1:]))
    assert [any("several taps" in note.text for note in notes(report(made))) for made in (graph, one, several)] == [
        False,
        False,
        True,
    ]


def test_where_nothing_is_joined_the_page_says_so_and_what_to_pass() -> None:
    graph = planted()
    nothing = replace(graph.edges, **{name: getattr(graph.edges, name)[:0] for name in Edges.__dataclass_fields__})
    alone = replace(graph, connections=(), edges=nothing, chains=(), complete=True)
    said = [note.text for note in notes(report(alone)) if "Nothing could be joined" in note.text]
    assert len(said) == 1
    assert "wiring=" in said[0]
    assert not [note for note in notes(report(graph)) if "Nothing could be joined" in note.text]
    assert not [note for note in notes(report(replace(alone, complete=False))) if "Nothing could be joined" in note.text]
