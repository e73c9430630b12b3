"""The graph of whole networks: planted edges, fresh networks, faults that cost only themselves, and what must not matter."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import modescope as ms
from modescope.errors import Interrupted, UsageError
from modescope.spectral_graph import graph
from net_cases import haar

RNG = np.random.default_rng(11)
Net = dict[str, Any]


def fresh(seed: int, *widths: int) -> Net:
    """A multilayer perceptron of Gaussian weights."""
    rng = np.random.default_rng(seed)
    return {f"{i}.weight": rng.standard_normal((b, a)) / np.sqrt(a) for i, (a, b) in enumerate(pairwise(widths))}


def by_ends(edges: Any) -> dict[tuple[int, int, int], float]:
    ends = zip(edges.connection.tolist(), edges.writer.tolist(), edges.reader.tolist(), strict=True)
    return dict(zip(ends, edges.weight.tolist(), strict=True))


def planted(seed: int = 0) -> Net:
    """Two layers of 30 channels in which mode 2 of the first is mode 5 of the second."""
    rng = np.random.default_rng(seed)
    u, v = haar(rng, 30), haar(rng, 30)
    v[:, 5], rest = u[:, 2], v[:, [i for i in range(30) if i != 5]]
    q = np.linalg.qr(np.column_stack([v[:, 5], rest]))[0]
    v = np.column_stack([q[:, 1:6], u[:, 2], q[:, 6:]])
    s = np.linspace(3, 1, 30)
    return {"a.weight": (u * s) @ haar(rng, 30), "b.weight": (haar(rng, 30) * s) @ v.T}


def test_a_planted_edge_is_the_only_significant_one() -> None:
    found = graph(planted(), level=1e-4)  # by accident there is another one in 10,000 such networks
    assert [
        (int(w), int(r)) for w, r, yes in zip(found.edges.writer, found.edges.reader, found.edges.significant, strict=True) if yes
    ] == [(2, 5)]
    assert found.edges.weight[0] == pytest.approx(1, abs=1e-12)
    assert found.connections[0].significant == 1
    assert found.connections[0].tested == 900 == found.options["tested"]


def test_fresh_networks_have_no_edge_beyond_the_level() -> None:
    """A11 with the family-wise level itself: of 50 networks at 5 % more than 7 would be a 1-in-200 accident."""
    with_edges = sum(any(c.significant for c in graph(fresh(seed, 24, 48, 48, 48, 10))) for seed in range(50))
    assert with_edges <= 7


@pytest.mark.parametrize("correction", ["bonferroni", "bh", "by"])
def test_corrections_find_no_edge_in_nine_of_ten_fresh_networks(correction: str) -> None:
    assert (
        sum(any(c.significant for c in graph(fresh(100 + seed, 24, 40, 40, 10), correction=correction)) for seed in range(20)) <= 2
    )


def test_the_result_depends_neither_on_threads_nor_on_memory() -> None:
    net = fresh(3, 20, 40, 40, 40, 12)
    one, other = graph(net, workers=1, keep=0.05), graph(net, workers=3, memory=1, keep=0.05)
    assert one.to_dict(kept=True) == other.to_dict(kept=True)
    assert len(one.edges) > 50


def test_edges_that_are_kept_are_all_those_at_or_below_the_given_p() -> None:
    net = fresh(4, 20, 40, 40, 40)
    few, many = graph(net, keep=1e-3), graph(net, keep=1e-1)
    assert 0 < len(few.edges) < len(many.edges)
    assert (few.edges.log_p <= np.log(1e-3)).all()
    assert len(few.edges) == int((many.edges.log_p <= np.log(1e-3)).sum())


def test_a_layer_with_entries_that_are_not_finite_costs_its_own_pairs() -> None:
    net = fresh(5, 20, 30, 30, 30, 10)
    net["1.weight"][3, 4] = np.nan
    found = graph(net)
    assert [column.name for column in found.failed] == ["1.weight"]
    assert {(gap.source, gap.target) for gap in found.gaps} == {("0.weight", "1.weight"), ("1.weight", "2.weight")}
    assert all("not finite" in gap.reason and "1.weight" in gap.reason for gap in found.gaps)
    assert [(c.source, c.target) for c in found] == [("2.weight", "3.weight")]


def test_dimensions_that_do_not_fit_are_a_gap_that_names_both_layers_and_numbers() -> None:
    net = fresh(6, 20, 30, 31, 10)
    net["1.weight"] = net["1.weight"][:, :28]
    found = graph(net, wiring=[("0.weight", "1.weight"), ("1.weight", "2.weight")])
    assert len(found) == 1
    text = found.gaps[0].source + found.gaps[0].target + found.gaps[0].reason
    for word in ("0.weight", "1.weight", "30", "28"):
        assert word in text


def test_what_was_finished_is_kept_when_interrupted() -> None:
    seen: list[int] = []

    def stop(progress: ms.Progress) -> None:
        seen.append(progress.done)
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        graph(fresh(7, 20, 30, 30, 30, 30), progress=stop)
    partial = caught.value.partial
    assert not partial.complete
    assert [(c.source, c.target) for c in partial] == [("0.weight", "1.weight"), ("1.weight", "2.weight")]
    assert any("interrupted" in gap.reason for gap in partial.gaps)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"level": 0}, "level"),
        ({"level": 1.5}, "level"),
        ({"keep": -1}, "keep"),
        ({"draws": 0}, "draws"),
        ({"seed": -1}, "seed"),
        ({"null": "magic"}, "null"),
        ({"convention": "svd"}, "convention"),
        ({"correction": "holm"}, "correction"),
        ({"gauge": "coulomb"}, "gauge"),
        ({"wiring": [("a", "b")]}, "'a'"),
    ],
)
def test_options_that_do_not_exist_are_named(options: Mapping[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        graph(fresh(8, 10, 10, 10), **options)


def test_conventions_agree_where_there_is_one_tap() -> None:
    net = fresh(9, 20, 30, 30, 10)
    plain = graph(net, keep=0.9)
    for convention in ("cosvr", "channel"):
        other = graph(net, keep=0.9, convention=convention)
        assert [(c.source, c.target, c.tested) for c in other] == [(c.source, c.target, c.tested) for c in plain]
        assert [column.name for column in other.columns] == [column.name for column in plain.columns]
        mine, theirs = by_ends(plain.edges), by_ends(other.edges)
        assert mine.keys() == theirs.keys()
        assert all(theirs[k] == pytest.approx(v, abs=1e-10) for k, v in mine.items())


def test_an_orthogonal_initialisation_has_one_node_a_layer_and_no_edge() -> None:
    net = {f"{i}.weight": haar(RNG, 32) for i in range(3)}
    found = graph(net)
    assert all(column.nodes == ((0, 32),) for column in found.columns)
    assert sum(c.significant for c in found) == 0


def test_the_energy_between_layers_is_the_composition() -> None:
    net = fresh(10, 12, 20, 15)
    found = graph(net)
    a, b = net["0.weight"], net["1.weight"]
    expected = np.linalg.norm(b @ a) ** 2 / (np.linalg.norm(a) * np.linalg.norm(b)) ** 2
    assert found.connections[0].composition == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("null", ["permutation", "shuffle"])
def test_a_planted_edge_is_found_by_simulated_nulls_too(null: str) -> None:
    """With 99 draws no p-value of a single edge survives 900 tests; the one corrected for its pair does."""
    found = graph(planted(), null=null, draws=99, level=0.02)
    said = found.edges.significant
    assert (found.edges.writer[said].tolist(), found.edges.reader[said].tolist()) == ([2], [5])
    assert "no p-value is below 0.01" in found.connections[0].note


def test_simulated_nulls_find_nothing_in_fresh_networks() -> None:
    assert sum(any(c.significant for c in graph(fresh(200 + s, 20, 24, 24), null="permutation", draws=39)) for s in range(20)) <= 3


def test_edges_of_few_tests_are_not_lost_below_what_is_kept() -> None:
    """Of a handful of edges one may be significant with a p-value above `keep`."""
    found = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        net = {"a.weight": rng.standard_normal((4, 3)), "b.weight": rng.standard_normal((2, 4))}
        few, all_ = graph(net, keep=1e-6), graph(net, keep=0.9)
        assert few.connections[0].significant == all_.connections[0].significant
        found += all_.connections[0].significant
    assert found


def test_a_class_is_traced_back_through_significant_edges() -> None:
    found = graph(ms.demo_path())
    trace = found.trace(output=3)
    assert trace.layer == "10.weight"
    assert sum(share for _, share in trace.starts) == pytest.approx(1)
    assert trace.ancestors
    with pytest.raises(UsageError, match="node or an output"):
        found.trace()
    with pytest.raises(UsageError, match="no last layer"):
        found.trace("0.weight", output=0)


def test_the_first_chain_is_judged_by_the_null_that_was_asked_for() -> None:
    """Positive layers have first modes of one sign, which rotations credit and the positivity null does not."""
    rng = np.random.default_rng(1)
    net = {f"{i}.weight": rng.random((12, 12)) for i in range(4)}
    assert graph(net).chains[0].p < 1e-6
    assert graph(net, null="positivity").chains[0].p > 1e-3


def test_kernels_on_both_sides_do_not_hide_an_edge_from_simulated_nulls() -> None:
    net = planted()
    for name in net:
        u, s, vh = np.linalg.svd(net[name])
        s[18:] = 0.0
        net[name] = (u * s) @ vh
    found = graph(net, null="permutation", draws=199, level=0.05)
    said = found.edges.significant & ~found.edges.silent
    assert (found.edges.writer[said].tolist(), found.edges.reader[said].tolist()) == ([2], [5])


def test_the_balanced_gauge_says_that_it_bends_the_null() -> None:
    said = graph(fresh(14, 8, 8, 8), gauge="balanced", activation="relu").notes
    assert any("balanced" in note for note in said)


def test_dense_overlaps_and_block_statistics_that_are_asked_for_are_there() -> None:
    every = ("near_kernels", "dead_channels", "internal_dimensions")
    found = graph(fresh(12, 20, 24, 24), structure=every, draws=99)
    assert set(found.connections[0].structure) == set(every)
    assert graph(fresh(12, 20, 24, 24), structure=()).connections[0].structure == {}
    with pytest.raises(UsageError, match="internal"):
        graph(fresh(12, 20, 24, 24), structure="kernels")


def test_the_best_path_is_searched_along_lines_only_on_request() -> None:
    net = fresh(13, 16, 20, 20, 8)
    assert [chain.chosen for chain in graph(net).chains] == ["fixed"]
    searched = graph(net, search=49).chains
    assert [chain.chosen for chain in searched] == ["fixed", "searched"]
    assert sum(searched[1].log_p) <= sum(searched[0].log_p)


def test_too_few_draws_for_any_answer_are_refused_with_the_number_needed() -> None:
    with pytest.raises(UsageError, match="at least 59 for 3 pairs"):
        graph(fresh(15, 8, 10, 10, 10, 10), null="permutation", draws=58)
    assert len(graph(fresh(15, 8, 10, 10, 10, 10), null="permutation", draws=59)) == 3
    assert len(graph(fresh(15, 8, 10, 10, 10, 10), null="permutation", draws=9, correction="none")) == 3


def test_the_corrected_p_of_a_simulated_null_is_beside_the_limit_it_is_held_against() -> None:
    found = graph(planted(), null="permutation", draws=99, level=0.02)
    limit = found.options["log_p_family_limit"]
    assert limit == pytest.approx(np.log(0.02))
    np.testing.assert_array_equal(found.edges.significant, found.edges.log_p_family <= limit)
    assert not found.edges.exact.any()
    assert np.isnan(graph(planted()).edges.log_p_family).all()


@pytest.mark.parametrize("options", [{"level": "0.1"}, {"seed": None}, {"structure": 3}, {"include": 3}, {"draws": 10.5}])
def test_values_of_another_type_are_named(options: Mapping[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        graph(fresh(16, 8, 8, 8), **options)


def test_the_best_path_is_refused_under_a_null_that_it_is_not_judged_by() -> None:
    with pytest.raises(UsageError, match="search"):
        graph(fresh(17, 8, 8, 8), null="positivity", search=20)


def test_how_the_wiring_was_asked_for_is_among_the_options() -> None:
    net = fresh(18, 8, 8, 8)
    assert graph(net).options["wiring"] is None
    assert graph(net, wiring="order").options["wiring"] == "order"
    assert graph(net, wiring=[("0.weight", "1.weight")]).options["wiring"] == "stated"
