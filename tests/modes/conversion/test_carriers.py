"""Modes outside the noise: planted ones are counted, noise has none, and what has no verdict says why."""

import numpy as np
import pytest

from modescope.modes.conversion.carriers import signal_modes


def noise(out: int, inn: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((out, inn))


@pytest.mark.parametrize("count", [1, 3])
def test_planted_modes_above_the_noise_are_counted(count: int) -> None:
    w, rng = noise(80, 120), np.random.default_rng(1)
    for _ in range(count):
        w += 40 * np.outer(*(x / np.linalg.norm(x) for x in (rng.standard_normal(80), rng.standard_normal(120))))
    assert signal_modes(w) == count


def test_pure_noise_and_weights_without_a_verdict_give_a_sentence() -> None:
    assert "out of noise" in str(signal_modes(noise(80, 120)))
    assert "short side" in str(signal_modes(noise(4, 120)))
    assert "zero" in str(signal_modes(np.zeros((30, 30))))
    assert "not finite" in str(signal_modes(np.full((30, 30), np.nan), name="fc.weight"))
