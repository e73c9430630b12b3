"""Checkpoints of planted spectra to compress, and what is left of them counted the slow way."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from matrices_cases import planted
from modescope.matrix import Array
from modescope.moments import Moments, of
from modescope.svd import Values

SHAPES = {"enc.0": (40, 30), "enc.1": (24, 40), "head": (5, 24)}


def falling(r: int, power: float = 1.0) -> Values:
    """Singular values 1, 2^-power, 3^-power, ..."""
    values: Values = np.arange(1, r + 1, dtype=np.float64) ** -power
    return values


def linears(dtype: str = "float32", *, seed: int = 0) -> dict[str, Array]:
    """Three linear layers with biases, each of a power-law spectrum of its own, and a norm."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        found[f"{name}.weight"] = planted(falling(min(shape), 0.5 + i / 2), shape, seed=seed + i).astype(dtype)
        found[f"{name}.bias"] = rng.standard_normal(shape[0]).astype(dtype)
    return found | {"norm.weight": rng.standard_normal(24).astype(dtype), "steps": np.array(7)}


def saved(folder: Path, tensors: dict[str, Array], name: str = "model.safetensors", **said: str) -> Path:
    """A checkpoint file of them."""
    save_file({name: np.array(one, order="C") for name, one in tensors.items()}, folder / name, said or None)
    return folder / name


def composed(path: Path, layer: str) -> Values:
    """W of a layer from the factors in a file, by a loop over its modes."""
    found = load_file(path)
    xi_out, s, xi_in = (found[f"{layer}.{factor}"].astype(np.float64) for factor in ("xi_out", "s", "xi_in"))
    total: Values = sum(s[k] * np.multiply.outer(xi_out[:, k], xi_in[k].ravel()) for k in range(len(s)))
    return total


def entries(path: Path) -> int:
    """Numbers in a file."""
    return sum(one.size for one in load_file(path).values())


def relative(lost: Array, whole: Array) -> float:
    """Frobenius norm over Frobenius norm, in float64."""
    return float(np.linalg.norm(lost.astype(np.float64)) / np.linalg.norm(whole.astype(np.float64)))


def inputs(n: int, *, seed: int = 0, samples: int = 400) -> tuple[Values, Moments]:
    """Samples (N, n) with a mean and directions of very different size, and their moments."""
    rng = np.random.default_rng(seed)
    scales = 10 ** rng.uniform(-2, 1, n)
    x = rng.standard_normal((samples, n)) * scales + rng.standard_normal(n)
    return x, of(x)
