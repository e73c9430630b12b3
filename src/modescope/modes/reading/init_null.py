"""Importances of layers before training, which is what those of a trained layer have to be held against."""

from collections.abc import Callable, Mapping

import numpy as np

from modescope.modes.factors import Modes, of_svd
from modescope.modes.initialisation import gaussian_values, spectral
from modescope.modes.reading.importance import Measure
from modescope.svd import Values

Init = Callable[[int, int, int, np.random.Generator, float], Modes]


def sorted_at_start(
    shape: tuple[int, int],
    p: int,
    init: Init,
    measures: Mapping[str, Measure],
    /,
    *,
    rng: np.random.Generator,
    draws: int = 200,
    runs: int = 1,
    frozen: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Values]:
    """(draws, p) importances of untrained layers, descending, means by rank over as many layers as there are runs, by measure.

    Args:
        shape: Outputs and inputs of the weight.
        p: Modes.
        init: One of `initialisation`, or another function that draws modes.
        measures: Of `importance`. Of `spectral` they are given modes with other orthonormal patterns of the same norms.
        rng: Of the draws.
        draws: Lists.
        runs: Layers behind a list.
        frozen: Whether strengths are fixed at 1, and what would be theirs is shared by the two patterns.
        progress: Told the number of layers done, and of all.
    """
    found = {name: np.empty((draws, runs, p)) for name in measures}
    for place in range(draws * runs):
        modes = _norms(shape, p, rng) if init is spectral and p <= min(shape) else init(*shape, p, rng, 2.0)
        for name, measure in measures.items():
            found[name][divmod(place, runs)] = -np.sort(-measure(_shared(modes) if frozen else modes))
        if progress is not None:
            progress(place + 1, draws * runs)
    return {name: one.mean(1) for name, one in found.items()}


def _norms(shape: tuple[int, int], p: int, rng: np.random.Generator) -> Modes:
    """What `spectral` draws, but for its patterns, whose directions no measure sees and which take most of the time."""
    values, norm = gaussian_values(*shape, p, rng)
    scale = np.sqrt(2.0 / shape[1]) * norm / np.linalg.norm(values)
    return of_svd(np.eye(p), scale * values, np.eye(p))


def _shared(modes: Modes) -> Modes:
    root = np.sqrt(np.abs(modes.s))
    return Modes(modes.xi_out * root, np.ones(modes.count), modes.xi_in * root[:, None])
