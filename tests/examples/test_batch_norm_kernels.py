"""What `examples/batch_norm_kernels.py` claims, with its own recipe over its first two seeds, and its control."""

import numpy as np
import pytest

from example_cases import example

kernels = example("batch_norm_kernels")


@pytest.fixture(scope="module")
def found():
    return kernels.networks(range(2))


@pytest.mark.slow
def test_hidden_layers_drop_the_same_channels_with_batch_norm_and_without(found):
    assert sorted(one.batch_norm for one in found) == [False, False, True, True]
    for one in found:
        for gap in one.gaps[:2]:
            assert len(gap.joint) > gap.expected
            assert gap.p < 1e-6
            assert min(gap.z, gap.z_folded) > 10
            assert len(gap.joint) >= gap.rows - 1


@pytest.mark.slow
def test_the_joint_channels_can_be_taken_out(found):
    for one in found:
        assert one.accuracy > 0.97
        assert one.change < 1e-3
        assert one.accuracy_lost == 0


@pytest.mark.slow
def test_only_without_batch_norm_the_last_hidden_layer_drops_channels(found):
    for one in found:
        last = one.gaps[-1]
        assert last.rows == 0 if one.batch_norm else len(last.joint) >= 9


@pytest.mark.slow
def test_the_table_names_both_arms(found):
    lines = kernels.table(found).splitlines()
    assert len(lines) == 1 + 4 * 3
    assert {line.split()[1] for line in lines[1:]} == {"yes", "no"}


def test_taking_out_channels_zeroes_columns_of_the_readers_alone():
    state = {"0.weight": np.ones((3, 4)), "0.bias": np.ones(3), "2.weight": np.ones((2, 3)), "2.bias": np.ones(2)}
    pruned = kernels.without(state, [(0, 2)])
    assert np.array_equal(pruned["2.weight"], [[0, 1, 0]] * 2)
    assert all(np.array_equal(pruned[name], state[name]) for name in ("0.weight", "0.bias", "2.bias"))
    assert state["2.weight"].all()
