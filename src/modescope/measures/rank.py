"""Ranks: over how many modes a matrix spreads its gain, and how many its storage can tell from zero."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modescope.blocks import Block, Note
from modescope.errors import UsageError
from modescope.pictures import Kept
from modescope.quantity import quantity
from modescope.spectrum import Spectrum
from modescope.svd import Values

_NO_VALUES = "zero matrix, or only the largest values were computed"
_DEFECT = "numerical rank below the short side, zero matrix, or only the largest values were computed"


@dataclass(frozen=True)
class Result:
    """Ranks and conditioning: dimensionless but for the tolerance and the logarithms, and the same for W, its transpose and c W."""

    stable: float | None = quantity(
        meaning="How many modes as strong as the first would carry the same energy.",
        formula="sum s^2 / s_1^2",
        unit="1",
        range="1 to rank; M / (1 + sqrt q)^2 for noise, q = M / N",
        void="zero matrix, or only the largest values of an operator that is not formed were computed",
        source="Rudelson & Vershynin (2007), doi:10.1145/1255443.1255449",
    )
    participation: float | None = quantity(
        meaning="How many equal modes would spread the energy as evenly.",
        formula="(sum lambda)^2 / sum lambda^2",
        unit="1",
        range="stable to rank; M / (1 + q) for noise",
        void=_NO_VALUES,
        source="definition",
    )
    effective: float | None = quantity(
        meaning="How many equal modes have the entropy of the singular values.",
        formula="exp(-sum p ln p), p = s / sum s",
        unit="1",
        range="energy_effective to rank",
        void=_NO_VALUES,
        source="Roy & Vetterli (2007), EUSIPCO, 606-610",
    )
    energy_effective: float | None = quantity(
        meaning="How many equal modes have the entropy of the energies.",
        formula="exp(-sum p ln p), p = lambda / sum lambda",
        unit="1",
        range="participation to effective; M exp(-q / 2) for noise",
        void=_NO_VALUES,
        source="definition, after Roy & Vetterli (2007)",
    )
    entropy: float | None = quantity(
        meaning="Entropy of the energies as a share of the largest possible.",
        formula="-sum p ln p / ln M, p = lambda / sum lambda",
        unit="1",
        range="0 to 1; 1 - q / (2 ln M) for noise",
        void=f"{_NO_VALUES}, or M = 1",
        source="definition",
    )
    numerical: int | None = quantity(
        meaning="Modes whose gain the stored numbers can tell from zero.",
        formula="#{s > tolerance}",
        unit="count",
        range="0 to M",
        void="only the largest values were computed",
        source="definition",
    )
    tolerance: float | None = quantity(
        meaning="Bound on the gain that rounding to the stored dtype makes of nothing, or the floor of the algorithm if larger.",
        formula="max_i sqrt(sum_j d_ij^2) + max_j sqrt(sum_i d_ij^2), d = spacing of stored numbers / sqrt 12",
        unit="W",
        range="at least 0",
        void="never; it says what the storage carries, not what was learned",
        source="Bandeira & van Handel (2016), doi:10.1214/15-AOP1025",
    )
    nullity: int | None = quantity(
        meaning="Modes that cannot be told from zero.",
        formula="M - numerical",
        unit="count",
        range="0 to M",
        void="only the largest values were computed",
        source="definition",
    )
    condition: float | None = quantity(
        meaning="Largest gain over smallest.",
        formula="s_1 / s_M",
        unit="1",
        range="at least 1; (1 + sqrt q) / (1 - sqrt q) for noise, q < 1",
        void=_DEFECT,
        source="definition",
    )
    mean_log: float | None = quantity(
        meaning="Mean logarithm of the gains: the typical stretch of a direction.",
        formula="(1 / M) sum ln s",
        unit="ln W",
        range="any; (ln(N sigma^2) - 1 - ((1 - q) / q) ln(1 - q)) / 2 for noise",
        void=_DEFECT,
        source="definition",
    )
    log_determinant: float | None = quantity(
        meaning="Logarithm of the factor by which volumes grow.",
        formula="sum ln s = ln |det W|",
        unit="M ln W",
        range="any",
        void=f"not square, {_DEFECT}",
        source="definition",
    )
    mean_log_numerical: float | None = quantity(
        meaning="Mean logarithm of the gains that can be told from zero.",
        formula="(1 / numerical) sum of ln s over s > tolerance",
        unit="ln W",
        range="at least mean_log",
        void="numerical rank 0, or only the largest values were computed",
        source="definition",
    )
    energy_rank: int | None = quantity(
        meaning="Modes that hold the share `energy` of all energy, 90 % by default.",
        formula="smallest k with sum_{i <= k} lambda_i >= energy sum lambda",
        unit="count",
        range="1 to rank",
        void=_NO_VALUES,
        source="definition",
    )
    gap: float | None = quantity(
        meaning="How far the first mode stands above the second.",
        formula="s_1 / s_2",
        unit="1",
        range="at least 1; 1 for noise",
        void="fewer than two values above the tolerance",
        source="definition",
    )
    status: str = "ok"


def analyze(spectrum: Spectrum, /, *, energy: float = 0.9) -> Result:
    """Ranks from the singular values.

    Args:
        spectrum: Values are enough.
        energy: Share of the energy that `energy_rank` asks for, in (0, 1].

    Returns:
        Numbers, and a status that says why some of them are missing.

    Raises:
        UsageError: `energy` is not in (0, 1].
    """
    if not 0 < energy <= 1:
        raise UsageError(f"option rank.energy: expected a share of all energy, above 0 and at most 1, got {energy}.")
    s, tolerance = spectrum.s, spectrum.tolerance
    short = max(min(spectrum.matrix.shape), s.size)
    gap = float(s[0] / s[1]) if s.size > 1 and s[1] > tolerance else None
    if not spectrum.complete:
        status = f"only the {s.size} largest of {short} values were computed"
        return Result(stable=_stable_by_entries(spectrum), tolerance=tolerance, gap=gap, status=status)
    if not s.size or s[0] == 0:
        return Result(numerical=0, nullity=short, tolerance=tolerance, status="zero matrix")
    ratio = s / s[0]  # scaled before squaring: neither 1e200 nor 1e-200 leaves the range
    squares = ratio**2
    total = float(squares.sum())
    bits = _entropy(squares)
    kept = s[s > tolerance]
    rank, full = kept.size, kept.size == short
    logs = np.log(kept)
    return Result(
        stable=total,
        participation=total**2 / float((squares**2).sum()),
        effective=math.exp(_entropy(ratio)),
        energy_effective=math.exp(bits),
        entropy=bits / math.log(short) if short > 1 else None,
        numerical=rank,
        tolerance=tolerance,
        nullity=short - rank,
        condition=float(s[0] / s[-1]) if full else None,
        mean_log=float(logs.mean()) if full else None,
        mean_log_numerical=float(logs.mean()) if rank else None,
        log_determinant=float(logs.sum()) if full and spectrum.matrix.shape[0] == spectrum.matrix.shape[1] else None,
        energy_rank=min(int(np.searchsorted(np.cumsum(squares), energy * total * (1 - 1e-12))) + 1, s.size),
        gap=gap,
        status="ok" if full else f"numerical rank {rank} of {short}: no condition number, mean logarithm or determinant",
    )


def _entropy(weights: Values) -> float:
    """Entropy of weights normalised to sum 1; zeros count for nothing."""
    p = weights[weights > 0] / weights.sum()
    return -float((p * np.log(p)).sum()) + 0.0


def _stable_by_entries(spectrum: Spectrum) -> float | None:
    """The sum of squares follows from the entries where not all singular values are known."""
    entries = spectrum.entries
    if entries is None or not spectrum.s.size or spectrum.s[0] == 0:
        return None
    return entries.count * (math.hypot(entries.mean, entries.std) / float(spectrum.s[0])) ** 2


def blocks(kept: Kept, result: Result, /) -> Iterator[Block]:
    """What the ranks say."""
    short = min(kept.shape)
    if result.stable is not None and result.energy_rank is not None and result.energy_effective is not None:
        yield Note(
            f"{short} modes. {result.energy_rank} of them hold the chosen share of the energy. As many modes as strong as the "
            f"first as the stable rank, {result.stable:.3g}, would carry the same energy; the entropy of the energies is that of "
            f"{result.energy_effective:.3g} equal modes.",
            source="Rudelson & Vershynin (2007), doi:10.1145/1255443.1255449; Roy & Vetterli (2007)",
        )
    if result.numerical is not None and result.numerical < short:
        yield Note(
            f"{short - result.numerical} of {short} modes cannot be told from zero in the stored numbers: the matrix is singular, "
            "and its condition number has no value.",
            level="caution",
        )
