"""Norms: how large a matrix is, as a gain, as a sum of squares and as a sum of gains."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modescope.blocks import Block, Note
from modescope.pictures import Kept
from modescope.quantity import quantity
from modescope.spectrum import Spectrum
from modescope.svd import Values

BEYOND = "a norm exceeds the largest floating-point number"


@dataclass(frozen=True)
class Result:
    """Norms of a matrix; they scale with it, and with a rescaling of neighbouring layers that changes no output."""

    spectral: float | None = quantity(
        meaning="Largest gain from an input to an output.",
        formula="s_1",
        unit="W",
        range="at least 0; sigma (sqrt N + sqrt M) for noise",
        void="never",
        source="definition",
    )
    frobenius: float | None = quantity(
        meaning="Root of the sum of the squares of all entries, or of all gains.",
        formula="sqrt(sum s^2)",
        unit="W",
        range="spectral to sqrt(M) spectral; sigma sqrt(N M) for noise",
        void="only the largest values of an operator that is not formed were computed",
        source="definition",
    )
    nuclear: float | None = quantity(
        meaning="Sum of all gains.",
        formula="sum s",
        unit="W",
        range="frobenius to sqrt(M) frobenius; 8 / (3 pi) of the latter for square noise",
        void="only the largest values were computed",
        source="definition",
    )
    status: str = "ok"


def analyze(spectrum: Spectrum, /) -> Result:
    """Norms from the singular values.

    Args:
        spectrum: Values are enough; of a partial one the Frobenius norm still follows from the entries.
    """
    s, entries = spectrum.s, spectrum.entries
    spectral = float(s[0]) if s.size else 0.0
    if spectrum.complete:
        with np.errstate(over="ignore"):
            frobenius, nuclear = (value if math.isfinite(value) else None for value in (schatten(s, 2), schatten(s, 1)))
        status = "ok" if spectral > 0 else "zero matrix"
        return Result(spectral, frobenius, nuclear, BEYOND if None in (frobenius, nuclear) else status)
    root = None if entries is None else float(np.sqrt(entries.count) * np.hypot(entries.mean, entries.std))
    return Result(spectral, root, None, f"only the {s.size} largest of {min(spectrum.matrix.shape)} values were computed")


def schatten(s: Values, p: float) -> float:
    """Schatten norm `(sum s^p)^(1/p)`, free of overflow.

    Args:
        s: (k,) singular values, descending.
        p: Above 0: 1 is the nuclear norm, 2 the Frobenius norm, and towards infinity it becomes the spectral norm.

    Raises:
        ValueError: `p` is not positive.
    """
    if p <= 0:
        raise ValueError(f"schatten: expected p above 0, got {p}.")
    if not s.size or s[0] == 0:
        return 0.0
    return float(s[0] * ((s / s[0]) ** p).sum() ** (1 / p))


def blocks(kept: Kept, result: Result, /) -> Iterator[Block]:
    """What the norms say."""
    if result.spectral is None or result.frobenius is None or result.nuclear is None:
        return
    out, into = kept.shape
    yield Note(
        f"An input of length 1 leaves with a length of at most {result.spectral:.4g}, the gain of the first mode. Entries are "
        f"{result.frobenius / (out * into) ** 0.5:.3g} in root mean square."
    )
