"""What `examples/latent_space_of_modes.py` claims: of a brief network of each kind in every run, of whole trainings in time."""

from functools import cache
from statistics import mean

import numpy as np
import pytest

from example_cases import example
from modes_examples_cases import brief, digits

latent = example("latent_space_of_modes")
SECOND = 2  # depth of the states that leave the second hidden layer


@cache
def found(long):
    """States and layers; brief networks are those of one split."""
    if long:
        return latent.runs(range(latent.SPLITS))
    states, modes = [], []
    for name, counts in latent.NETWORKS.items():
        start, net = digits.network(counts, 0), brief(counts, 0)[0]
        for one, after in ((start, False), (net, True)):
            states += latent.depths(name, one, 0, after=after)
            modes += latent.carried(one, 0, after=after)
    return states, modes


@pytest.fixture(params=["brief", pytest.param("whole", marks=pytest.mark.full)])
def long(request):
    return request.param == "whole"


def test_classes_overlap_less_in_modes_than_before_training_and_than_in_a_dense_network(long):
    margin = 0.05 if long else 0.02
    before, modes, dense = (
        np.array(latent.of(found(long)[0], name, "overlap", after=after)[SECOND])
        for name, after in (("modes", False), ("modes", True), ("dense", True))
    )
    assert (modes < before - margin).all()
    assert (modes < dense - margin).all()


@pytest.mark.full
def test_a_dense_network_with_as_few_modes_overlaps_as_it_did():
    dense, cut = (np.array(latent.of(found(True)[0], name, "overlap", after=True)[SECOND]) for name in ("dense", latent.CUT))
    assert (abs(dense - cut) < 0.05).all()


def test_classes_share_more_directions_than_random_ones_in_all_hidden_layers(long):
    assert all(one.overlap > 2 * one.null for one in found(long)[0] if one.depth in (1, SECOND))


def test_training_makes_hidden_states_of_a_dense_network_compact(long):
    before, after = (latent.of(found(long)[0], "dense", "participation", after=when) for when in (False, True))
    assert all(mean(after[depth]) < mean(before[depth]) for depth in (1, SECOND))


@pytest.mark.full
def test_states_in_modes_become_compact_as_well_and_less_so():
    states = found(True)[0]
    before, after = (latent.of(states, "modes", "participation", after=when) for when in (False, True))
    dense = latent.of(states, "dense", "participation", after=True)
    assert all(mean(dense[depth]) < mean(after[depth]) < mean(before[depth]) for depth in (1, SECOND))


def test_the_stable_rank_falls_and_the_effective_number_of_modes_does_not(long):
    for layer in ("layers.0", "layers.1"):
        before, after = ([one for one in found(long)[1] if (one.layer, one.trained) == (layer, when)] for when in (False, True))
        assert mean(one.stable for one in after) < 2 / 3 * mean(one.stable for one in before)
        assert min(one.effective for one in after) > 0.9 * 30


def test_the_table_has_every_network_and_the_random_level():
    few = [latent.Depth("modes", True, split, depth, 2.0, 0.5, 0.1) for split in (0, 1) for depth in (0, 1, 2)]
    few += [latent.Depth(name, after, one.split, one.depth, 2.0, 0.5, 0.1) for name, after in KINDS for one in few[:6]]
    text = latent.table(few, [latent.Carried("layers.0", after, split, 5.0, 3.0) for after in (False, True) for split in (0, 1)])
    assert all(
        said in text for said in ("hidden 1", "dense, cut, trained", "random directions", "2.00 ± 0.00", "layers.0, untrained")
    )


KINDS = (("modes", False), ("dense", False), ("dense", True), ("dense, cut", True))
