"""A descrambled layer to draw and to write: a scrambled band-pass on smooth data, under a hostile name."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from modescope.descrambling import descramble
from modescope.descrambling.result import Descrambling
from report_cases import HOSTILE

OUTPUTS, INPUTS, SAMPLES = 24, 64, 400
BAND = (6, 10)  # input bins that come through
STEP = 0.01  # of the input axis, in us
HOSTILE_LAYER = f"fc {HOSTILE}.weight"


def weight(*, outputs: int = OUTPUTS, inputs: int = INPUTS, seed: int = 0) -> np.ndarray:
    """(outputs, inputs) random mixtures of the sinusoids of a band: what a band-pass is to whom its outputs were shuffled."""
    rng = np.random.default_rng([71, seed])
    at = 2 * np.pi * np.arange(inputs) / inputs
    waves = np.array([wave(k * at) for k in range(BAND[0], BAND[1] + 1) for wave in (np.cos, np.sin)])
    return rng.standard_normal((outputs, waves.shape[0])) @ waves + 0.05 * rng.standard_normal((outputs, inputs))


def data(*, inputs: int = INPUTS, samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    """(samples, inputs) coloured noise with a mean."""
    rng = np.random.default_rng([72, seed])
    return rng.standard_normal((samples, inputs)) @ (np.eye(inputs) + 0.5 * np.eye(inputs, k=1)) + 0.1


def planted(**options: Any) -> Descrambling:
    """All readings and controls of a band-pass with few draws; the options are those of `descramble`."""
    asked = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    if any(value.__hash__ is None for value in asked.values()):
        return _made(asked)
    return _kept(tuple(sorted(asked.items())))


@cache
def _kept(options: tuple[tuple[str, Any], ...]) -> Descrambling:
    return _made(dict(options))  # many tests look at the same


def _made(options: dict[str, Any]) -> Descrambling:
    given = {"inputs": data(), "axis": f"0:{STEP}:us", "draws": 99} | options
    found = descramble(weight(), **given)
    return replace(found, layer=HOSTILE_LAYER, source={"path": f"models/{HOSTILE}.safetensors", "format": "safetensors"})
