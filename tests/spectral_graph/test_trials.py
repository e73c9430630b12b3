"""Trials: outputs compared, and a model that is given back whatever happens."""

from collections.abc import Mapping

import numpy as np
import pytest

from modescope.matrix import Array
from modescope.spectral_graph import trials


def test_outputs_that_do_not_change_differ_by_nothing() -> None:
    assert trials.difference(np.ones((3, 2)), np.ones((3, 2))) == trials.Difference(0.0, 0.0, 1.0)
    assert trials.difference(np.zeros((1, 2)), np.array([[0.0, 1.0]])).relative == np.inf
    assert trials.difference(np.zeros((0, 2)), np.zeros((0, 2))).same_choice == 1.0


def test_a_model_runs_with_other_weights_and_is_given_back_also_after_an_exception() -> None:
    model: dict[str, Array] = {"w": np.array([[1.0, 2.0], [3.0, 5.0]])}
    own = model["w"].copy()
    inputs = np.array([[1.0, 1.0], [0.0, 2.0]])

    def write(state: Mapping[str, Array]) -> None:
        model["w"][:] = state["w"]

    ways = {"read": lambda: {"w": model["w"].copy()}, "write": write}
    found = trials.measured(lambda: inputs @ model["w"].T, {"w": own[::-1]}, **ways)
    assert found == trials.Difference(largest=6.0, relative=0.6, same_choice=0.0)
    assert np.array_equal(model["w"], own)

    def run_dry() -> Array:
        if np.array_equal(model["w"], own):
            return np.zeros(1)
        raise RuntimeError("out of images")

    with pytest.raises(RuntimeError, match="out of images"):
        trials.measured(run_dry, {"w": 2 * own}, **ways)
    assert np.array_equal(model["w"], own)
