"""Budgets of modes: the exhaustive twin, the rules that hold for any choice, and the sentences for layers that stay dense."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modescope.errors import UsageError
from modescope.modes.budget import Allocation, Candidate, allocate, by_energy, counted, uniform
from modescope.modes.counting import Cost
from modescope.svd import Values

PUBLISHED = ((100, 784), (100, 100), (10, 100))  # outputs, inputs


def tails(values: Values) -> Values:
    squares = np.sort(values**2)[::-1]
    found: Values = np.concatenate([np.cumsum(squares[::-1])[::-1], [0.0]])
    return found / found[0]


def layer(name: str, out: int, inn: int, seed: int = 0, uses: float = 1.0) -> Candidate:
    values = np.random.default_rng(seed).exponential(size=min(out, inn)) + 1e-3
    return Candidate(name, Cost(out, inn, uses=uses), tails(values))


def price(one: Candidate, p: int | None, by: str) -> float:
    return (one.cost.dense if p is None else one.cost.factored(p)) * (one.cost.uses if by == "flops" else 1)


def lost(one: Candidate, p: int | None) -> float:
    return 0.0 if p is None else float(one.tails[p])


def by_exhaustion(layers: list[Candidate], budget: float, by: str) -> float:
    """The least sum of errors over all choices there are."""
    options = [[None, *range(1, one.cost.most + 1)] for one in layers]
    sums = [
        sum(map(lost, layers, chosen))
        for chosen in product(*options)
        if sum(price(one, p, by) for one, p in zip(layers, chosen, strict=True)) <= budget
    ]
    return min(sums)


def steepest_gain(one: Candidate) -> float:
    """The largest gain of a segment of its hull: not more than its first mode leaves."""
    return lost(one, 1) if one.cost.most else 0.0


layers_of_one_network = st.lists(
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(0, 99), st.sampled_from([1.0, 4.0, 16.0])), min_size=1, max_size=3
).map(lambda drawn: [layer(f"l{i}", out, inn, seed, uses) for i, (out, inn, seed, uses) in enumerate(drawn)])


@pytest.mark.parametrize("by", ["parameters", "flops"])
@given(layers=layers_of_one_network, share=st.floats(0, 1))
def test_the_budget_is_kept_and_the_error_within_one_segment_of_the_least(by: str, layers: list[Candidate], share: float) -> None:
    least = sum(price(one, 1 if one.cost.most else None, by) for one in layers)
    dense = sum(price(one, None, by) for one in layers)
    budget = least + share * (dense - least)
    found = allocate(layers, budget, by=by)
    spent = sum(price(one, found.modes[one.name], by) for one in layers)
    error = sum(lost(one, found.modes[one.name]) for one in layers)
    assert spent <= budget * (1 + 1e-12)
    assert (found.cost, found.error, found.dense) == pytest.approx((spent, error, dense), abs=1e-12)
    best = by_exhaustion(layers, budget, by)
    assert best - 1e-12 <= error <= best + max(map(steepest_gain, layers)) + 1e-12
    # nothing more fits that would gain
    for one in layers:
        p = found.modes[one.name]
        more = [q for q in [*range((p or 0) + 1, one.cost.most + 1), None] if p is not None and lost(one, q) < lost(one, p)]
        assert all(spent - price(one, p, by) + price(one, q, by) > budget * (1 - 1e-12) for q in more)


def test_with_equal_prices_and_no_use_of_staying_dense_the_greedy_choice_is_the_best_one() -> None:
    rng = np.random.default_rng(0)
    layers = [Candidate(f"l{i}", Cost(9, 9), tails(np.append(rng.exponential(size=4), np.zeros(5)))) for i in range(3)]
    for modes in range(3, 12):
        budget = modes * layers[0].cost.per_mode
        assert allocate(layers, budget).error == pytest.approx(by_exhaustion(layers, budget, "parameters"), abs=1e-12)


def test_a_layer_with_a_steep_spectrum_leaves_its_modes_to_one_with_a_flat_one() -> None:
    steep = Candidate("steep", Cost(50, 50), tails(0.1 ** np.arange(50)))
    flat = Candidate("flat", Cost(50, 50), tails(np.ones(50)))
    found = allocate([steep, flat], 20 * 101)
    assert found.modes["steep"] is not None
    assert found.modes["flat"] is not None
    assert found.modes["steep"] < 4 < found.modes["flat"]


def test_flat_layers_that_fit_as_they_are_stay_dense_at_once() -> None:
    flat = [Candidate(name, Cost(10, inn), tails(np.ones(10))) for name, inn in (("a", 10), ("b", 11))]
    steep = Candidate("steep", Cost(5, 10), tails(0.05 ** np.arange(5)))
    # the first modes of the flat ones gain little and the step to dense much: only whole are they worth their price
    assert allocate([steep, *flat], 16 + 100 + 110).modes == {"steep": 1, "a": None, "b": None}


def test_multiply_adds_count_how_often_a_layer_is_used() -> None:
    often, once = layer("often", 20, 20, uses=100), layer("once", 20, 20)
    found = allocate([often, once], 0.5 * (often.cost.dense_flops() + once.cost.dense_flops()), by="flops")
    assert found.modes["once"] is None  # it costs next to nothing
    assert allocate([often, once], 400).modes["once"] is not None  # as parameters both cost the same


def test_with_room_for_all_every_layer_stays_dense_and_says_so() -> None:
    layers = [layer("a", 20, 30), layer("b", 1, 8)]
    found = allocate(layers, 608 + 5, fixed=5)
    assert found.modes == {"a": None, "b": None}
    assert found.error == 0
    assert found.cost == found.dense == 613
    assert "has room" in found.reasons["a"]
    assert "saves nothing" in found.reasons["b"]


def test_a_budget_below_one_mode_a_layer_names_the_least_that_can_be_met() -> None:
    layers = [layer("a", 20, 30), layer("b", 1, 8)]
    with pytest.raises(UsageError, match=r"at least 66 parameters.* got 65.* has 615"):
        allocate(layers, 65, fixed=7)
    assert allocate(layers, 66, fixed=7).modes == {"a": 1, "b": None}
    with pytest.raises(UsageError, match="expected at least"):
        allocate(layers, float("nan"))
    with pytest.raises(UsageError, match="parameters or flops, got 'bytes'"):
        allocate(layers, 100, by="bytes")


@given(share=st.floats(1e-3, 1), seed=st.integers(0, 99))
def test_the_energy_asked_for_is_held_by_no_fewer_modes(share: float, seed: int) -> None:
    one = layer("a", 60, 60, seed=seed)
    p = by_energy([one], share).modes["a"]
    least = next(p for p in range(1, 61) if 1 - one.tails[p] >= share - 1e-12)
    assert p == (least if least <= one.cost.most else None)


def test_all_the_energy_of_a_weight_of_low_rank_takes_its_rank() -> None:
    values = np.concatenate([[3.0, 2.0, 1.0], 1e-16 * np.ones(17)])
    assert by_energy([Candidate("a", Cost(20, 20), tails(values))], 1.0).modes == {"a": 3}


def test_thirty_modes_everywhere_are_the_published_counts_but_for_the_layer_that_would_not_gain() -> None:
    layers = [layer(f"{out}", out, inn, seed=i) for i, (out, inn) in enumerate(PUBLISHED)]
    layers[1] = Candidate("hidden", layers[1].cost, layers[1].tails)
    found = uniform(layers, 30)
    assert found.modes == {"100": 30, "hidden": 30, "10": None}
    assert found.cost == 35910 - 30 * 111 + 1000
    assert found.dense == 89400
    assert "30 modes" in found.reasons["10"]
    assert "9.0 modes" in found.reasons["10"]
    assert uniform(layers, 9).modes["10"] == 9
    assert uniform(layers, 10).modes["10"] is None
    assert uniform(layers, 0.3).modes == {"100": 30, "hidden": 30, "10": 3}


@pytest.mark.parametrize("modes", [0, -3, 1.5, True, float("nan"), float("inf"), "many"])
def test_numbers_of_modes_that_are_none_are_refused(modes: object) -> None:
    with pytest.raises(UsageError, match="modes: expected a whole number"):
        uniform([layer("a", 9, 9)], modes)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), True, "most"])
def test_shares_of_energy_that_are_none_are_refused(share: object) -> None:
    with pytest.raises(UsageError, match="energy: expected a share"):
        by_energy([layer("a", 9, 9)], share)  # type: ignore[arg-type]


def test_counts_leave_a_layer_without_one_dense_and_give_its_reason() -> None:
    layers = [layer("a", 20, 20), layer("b", 20, 20), layer("c", 20, 20)]
    found = counted(layers, {"a": 3, "b": "zero matrix", "c": 15})
    assert found.modes == {"a": 3, "b": None, "c": None}
    assert found.reasons["b"] == "stays dense: zero matrix"
    assert "15 modes above the noise" in found.reasons["c"]
    assert list(found.modes) == ["a", "b", "c"]
    assert found.cost == 3 * 41 + 800


def test_two_layers_of_one_name_and_errors_that_are_none_are_refused() -> None:
    for found in (lambda: allocate([layer("a", 9, 9)] * 2, 200), lambda: uniform([layer("a", 9, 9)] * 2, 1)):
        with pytest.raises(UsageError, match="'a' twice"):
            found()
    for bad in ([1.0, 0.5], [0.9, 0.5, 0.0], [1.0, 0.2, 0.3], [1.0, 0.0, -0.1]):
        with pytest.raises(UsageError, match="a: expected 3 relative errors"):
            Candidate("a", Cost(2, 5), np.array(bad))


def test_an_allocation_is_ordered_as_its_layers() -> None:
    layers = [layer(name, 9, 9, seed=i) for i, name in enumerate("zab")]
    found: Allocation = allocate(layers, 130)
    assert list(found.modes) == list(found.reasons) == ["z", "a", "b"]


def test_a_layer_that_is_judged_by_its_weight_beside_others_by_their_outputs_says_so() -> None:
    seen = [replace(layer(name, 12, 12, seed), by="outputs") for seed, name in enumerate("ab")]
    unseen = layer("c", 12, 12, 2)
    found = allocate([*seen, unseen], 250).reasons
    assert found["c"].endswith("; others are judged by their outputs, beside which its share of the budget is a rough guess")
    assert not any("judged" in found[name] for name in "ab")
    for alike in (seen, [unseen]):
        assert not any("judged" in reason for reason in allocate(alike, 150).reasons.values())
