"""What `examples/profiled_digits.py` claims: of a briefly trained network in every run, by its own settings if there is time."""

from functools import cache

import pytest
import torch

from example_cases import example
from modescope.blocks import Table
from modescope.profiles.images import images
from modescope.profiles.passing import bases, signals
from modescope.profiles.selection import contributing
from modescope.profiles.survey import survey
from profiles_examples_cases import (
    check_accuracy_of_cut_networks,
    check_images_that_were_made,
    check_separation_of_classes,
    check_spectra_beside_noise,
    check_that_what_is_not_claimed_of_overlap_is_so,
)
from profiles_net_cases import digits_data, digits_net

digits = example("profiled_digits")

RUNS = ["brief", *(pytest.param(seed, marks=pytest.mark.full) for seed in range(5))]


@cache
def found(run):
    brief = digits_net()
    start, model = (brief.start, brief.model) if run == "brief" else digits.trained(run)
    return digits.look(
        0 if run == "brief" else run, start, model, digits.data(), tuple(part[digits.SPLIT :] for part in digits.data())
    )


def test_the_images_are_those_that_the_brief_network_was_trained_on_in_the_same_order():
    assert all(torch.equal(a, b) for a, b in zip(digits.data(), digits_data(), strict=True))
    assert [tuple(p.shape) for p in digits.network(0).parameters()] == [tuple(p.shape) for p in digits_net().start.parameters()]


@pytest.mark.parametrize("run", RUNS)
def test_strong_modes_carry_what_the_network_knows(run):
    check_accuracy_of_cut_networks(found(run), digits.MARGINS)


@pytest.mark.parametrize("run", RUNS)
def test_classes_are_further_apart_in_the_last_layer_than_in_the_first(run):
    check_separation_of_classes(found(run))


@pytest.mark.parametrize("run", RUNS)
def test_overlap_falls_for_permuted_labels_too_and_centred_it_is_that_of_chance(run):
    check_that_what_is_not_claimed_of_overlap_is_so(found(run))


@pytest.mark.parametrize("run", RUNS)
def test_training_alone_makes_modes_stand_out_of_noise(run):
    check_spectra_beside_noise(found(run))


@pytest.mark.parametrize("run", RUNS)
def test_made_images_drive_modes_further_than_random_ones_and_the_data(run):
    check_images_that_were_made(found(run))


def test_an_untrained_network_has_nothing_of_it_though_its_classes_come_apart_with_depth_too():
    """The start in place of the trained network: each of the checks but that of made images finds it out."""
    start = digits_net().start
    one = digits.look(0, start, start, digits.data(), tuple(part[digits.SPLIT :] for part in digits.data()), made=0)
    with pytest.raises(AssertionError):
        check_accuracy_of_cut_networks(one, digits.MARGINS)
    with pytest.raises(AssertionError):
        check_separation_of_classes(one)
    with pytest.raises(AssertionError):
        check_spectra_beside_noise(one)
    assert one.layers[-1].eta > one.layers[0].eta + 0.2


@pytest.mark.parametrize(("share", "most"), [(0.1, 2.0), (0.5, 2.0), (0.9, 1.2), (1.0, 1.0)])
def test_weights_of_the_peer_on_a_trained_network_sum_to_what_its_formula_makes_of_small_networks(share, most):
    """At the share of a tenth one to three modes; more than one mode sum to over 1 and at most 2, less the larger the share is."""
    net = digits_net()
    held = images(net.images)
    surveyed = survey(net.model, held.first())
    for values in signals(net.model, held, surveyed, bases(net.model, surveyed)).values():
        chosen = contributing(values, share=share, compat="ddp")
        count, total = chosen.selected.sum(axis=1), chosen.weights.sum(axis=1)
        alone = count == 1
        assert ((total[alone] > share) & (total[alone] <= 1)).all()
        assert ((total[~alone] >= 1 - 1e-12) & (total[~alone] <= most + 1e-12)).all()
        assert share > 0.1 or count.max() <= 3
        assert share < 1 or (count == values.shape[1]).all()


def test_the_table_has_a_line_for_every_layer_and_the_claims_name_their_margins():
    one = found("brief")
    lines = digits.table([one]).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [layer.name for layer in one.layers]
    claims = digits.claims(one, digits.MARGINS)
    assert isinstance(claims, Table)
    said = {row[0]: row[1:] for row in claims.rows}
    assert said["accuracy"] == (pytest.approx(one.accuracy, rel=1e-3), "claimed: at least 0.96")


@pytest.mark.full
def test_the_page_opens_with_what_is_claimed():
    net = digits_net()
    fresh = net.images, net.labels
    report = digits.page(found("brief"), net.start, net.model, fresh, "Digits", digits.MARGINS)
    assert report.title == "Digits"
    assert next(block for block in report.blocks if isinstance(block, Table)).title == "What was found"
