"""Small checkpoints on disk for tests of what stands above the formats."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from modescope.matrix import Array


def spiked(shape: tuple[int, int], count: int, *, seed: int = 0, strength: float = 3.0) -> Array:
    """Gaussian noise of unit variance with `count` planted modes at 1.5 to `strength` times the BBP threshold."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    for theta in np.linspace(strength, 1.5, count) * (shape[0] * shape[1]) ** 0.25:
        u, v = rng.standard_normal(shape[0]), rng.standard_normal(shape[1])
        a += theta * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return a


def tensors(*, seed: int = 0) -> dict[str, Array]:
    """A checkpoint of four good matrices, a bad one, and what is no matrix."""
    rng = np.random.default_rng(seed)
    bad = rng.standard_normal((40, 30)).astype(np.float32)
    bad[3, 4] = np.nan
    return {
        "a.weight": spiked((120, 100), 3).astype(np.float32),
        "a.bias": rng.standard_normal(120).astype(np.float32),
        "b.weight": rng.standard_normal((64, 32, 3, 3)).astype(np.float32),
        "bad.weight": bad,
        "counts": np.arange(5),
        "c.weight": rng.standard_normal((80, 60)).astype(np.float16),
        "d.weight": rng.standard_normal((10, 50)),
    }


def checkpoint(folder: Path, *, seed: int = 0, name: str = "model.safetensors") -> Path:
    """`tensors` as a safetensors file."""
    save_file(tensors(seed=seed), folder / name)
    return folder / name
