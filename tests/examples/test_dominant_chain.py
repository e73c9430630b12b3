"""What `examples/dominant_chain.py` claims, with its own settings; fewer draws of the nulls that only stand beside it."""

import numpy as np
import pytest

from example_cases import example

chain = example("dominant_chain")


@pytest.fixture(scope="module")
def found():
    return chain.networks(range(5), draws=60)


@pytest.mark.slow
def test_a_top_edge_is_significant_in_four_of_five_trained_networks_and_in_no_initial_one(found):
    trained = [any(gap.significant for gap in one.gaps) for one in found if one.stage == "trained"]
    assert len(trained) == 5
    assert sum(trained) >= 4
    assert not any(gap.significant for one in found if one.stage == "initial" for gap in one.gaps)


@pytest.mark.slow
def test_the_top_quarters_of_seed_zero_overlap_after_training_and_not_before(found):
    initial, trained = (one for one in found if one.seed == 0)
    assert max(gap.block_z for gap in trained.gaps) >= 3
    assert max(abs(gap.block_z) for gap in initial.gaps) < 3


@pytest.mark.slow
def test_a_significant_top_edge_is_also_reported_under_the_other_nulls(found):
    for one in found:
        for gap in one.gaps:
            assert 0 < gap.rotation <= 1
            assert 1 / 61 <= gap.permutation * (1 + 1e-12) <= 1 + 1e-12  # 60 draws can prove no less
            assert 0 < gap.positivity <= 1


@pytest.mark.slow
def test_the_table_has_a_line_for_every_gap(found):
    lines = chain.table(found).splitlines()
    assert len(lines) == 1 + 10 * 3
    assert sum("trained" in line for line in lines) == 15


def test_the_block_of_a_planted_copy_is_far_outside_chance_and_of_a_rotation_is_not():
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0]
    gains = np.linspace(2, 1, 64)
    agreeing = {"0.weight": q * gains, "2.weight": (q * gains).T}
    assert chain.top_quarter(agreeing, 0) > 30
    other = np.linalg.qr(np.random.default_rng(1).normal(size=(64, 64)))[0]
    assert abs(chain.top_quarter({"0.weight": other * gains, "2.weight": (q * gains).T}, 0)) < 4
