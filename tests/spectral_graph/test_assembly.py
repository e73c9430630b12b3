"""What is significant and what is kept, from pairs whose p-values are given."""

import math
from typing import Any

import numpy as np
import pytest

from modescope.spectral_graph.assembly import Decision, assembled, decided
from modescope.spectral_graph.corrections import benjamini_hochberg, bonferroni
from modescope.spectral_graph.joining import Joined
from modescope.spectral_graph.nulls import Tested as Outcome  # by a name that is not collected
from modescope.spectral_graph.result import Connection

EVERYTHING = 0.0  # logarithm of the p-value up to which edges are kept


def item(source: str, p: Any, *, weights: Any = None, family: Any = None) -> Joined:
    """A pair of 10 x 10 edges, the first of which have these p-values."""
    log_p = np.log(np.asarray(p, dtype=np.float64))
    count = log_p.size
    flags = np.zeros(count, dtype=np.bool_)
    return Joined(
        Connection(source, f"{source} reader", "next", 10, 10, 1, (), 100, 0, np.ones(10), 0.0, 0.0),
        Outcome(
            np.arange(count),
            np.arange(count)[::-1].copy(),
            log_p,
            ~flags,
            "",
            None if family is None else np.log(np.asarray(family)),
        ),
        np.full(count, 0.5) if weights is None else np.asarray(weights, dtype=np.float64),
        flags,
        flags,
        None,
    )


def test_bonferroni_divides_the_level_by_the_edges_of_all_pairs() -> None:
    found = decided([item("a", [0.1]), item("b", [])], bonferroni, 0.05)
    assert found.most == pytest.approx(math.log(0.05 / 200))
    assert found.family is None


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_values_corrected_for_their_pair_are_held_against_the_level_over_the_number_of_pairs(pairs: int) -> None:
    joined = [item(str(number), [0.01], family=[0.04]) for number in range(pairs)]
    decision = decided(joined, bonferroni, 0.05)
    assert decision.family == pytest.approx(math.log(0.05 / pairs))
    connections, edges = assembled(joined, decision, keep=EVERYTHING, backwards=False)
    assert edges.significant.tolist() == [pairs == 1] * pairs
    assert [connection.significant for connection in connections] == [int(pairs == 1)] * pairs


def test_values_corrected_for_their_pair_decide_only_under_bonferroni_and_where_every_pair_has_them() -> None:
    simulated, exact = item("a", [0.01], family=[0.02]), item("b", [0.01])
    assert decided([simulated], benjamini_hochberg, 0.05).family is None
    assert decided([simulated, exact], bonferroni, 0.05).family is None
    assert decided([], bonferroni, 0.05).family is None


def test_edges_are_sorted_by_p_and_where_that_is_the_same_the_heavier_is_first() -> None:
    joined = [item("a", [0.2, 0.01, 0.2, 0.01, 0.2], weights=[0.3, 0.1, 0.9, 0.2, 0.6]), item("b", [0.001])]
    _, edges = assembled(joined, Decision(-50.0), keep=EVERYTHING, backwards=False)
    assert edges.connection.tolist() == [0] * 5 + [1]
    assert edges.weight.tolist() == [0.2, 0.1, 0.9, 0.6, 0.3, 0.5]
    assert edges.reader.tolist()[:5] == [3, 1, 2, 4, 0]
    assert edges.writer.tolist()[:5] == [1, 3, 2, 0, 4]


def test_an_edge_is_kept_for_its_own_p_or_because_it_is_significant() -> None:
    joined = [item("a", [0.5, 0.04, 0.009])]
    connections, edges = assembled(joined, Decision(math.log(0.05)), keep=math.log(0.01), backwards=False)
    assert edges.log_p == pytest.approx(np.log([0.009, 0.04]))
    assert connections[0].significant == 2
    connections, edges = assembled(joined, Decision(math.log(1e-9)), keep=math.log(0.01), backwards=False)
    assert edges.log_p == pytest.approx(np.log([0.009]))
    assert connections[0].significant == 0


def test_a_network_run_backwards_has_its_ends_turned_round() -> None:
    joined = [item("a", [0.1, 0.2])]
    (connection,), edges = assembled(joined, Decision(0.0), keep=EVERYTHING, backwards=True)
    assert (connection.source, connection.target) == ("a reader", "a")
    assert (edges.writer.tolist(), edges.reader.tolist()) == ([0, 1], [1, 0])


def test_no_pair_gives_columns_of_no_length_and_the_same_types() -> None:
    _, none = assembled([], decided([], bonferroni, 0.05), keep=EVERYTHING, backwards=False)
    _, some = assembled([item("a", [0.1])], Decision(0.0), keep=EVERYTHING, backwards=False)
    assert len(none) == 0
    for name in vars(some):
        assert getattr(none, name).dtype == getattr(some, name).dtype
