"""WeightWatcher's columns from singular values: its names and scalings, without its defects, and where each number differs.

Compared with version 0.7.7. There `lambda = s**2` of one layer, its kernel positions pooled; nothing is divided by a side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from modescope.laws import marchenko_pastur, noise, power_law
from modescope.laws.volume_tail import volume_tail

Values = NDArray[np.float64]
Cell = float | int | str | bool | None

HALVED = 0.5  # factor on the eigenvalues of a convolution's pooled positions in that tool's tables
FEWEST = 8  # eigenvalues of a layer in that tool's tables
TINY = 1e-5  # eigenvalues at or below this are not fitted there
WEAK = 1e-6  # eigenvalues below this count as weak rank loss there
OFFSET = 1e-10  # added to each share of the entropy there
SMALL = 20  # eigenvalues: below, the exponent is corrected for its bias
SHORTEST = 8  # tail of such a fit


@dataclass(frozen=True)
class Column:
    """One column of that tool.

    Attributes:
        formula: What is computed here: `lambda` ascending or descending eigenvalues after `scale`, `n` their number.
        field: Our own field for the same thing, or empty.
        remark: Where the two tools differ, or what the name hides; empty where the numbers are the same.
    """

    formula: str
    field: str = ""
    remark: str = ""


_TWIN = "the shuffle is given by the caller, from our seeded twin; there it depends on a global generator and on the layer's place"
_NOISE = "not that tool's fit of a smoothed histogram, which fails on square layers: our estimate with outliers removed"

COLUMNS: Mapping[str, Column] = MappingProxyType(
    {
        "name": Column("the name without a final `.weight`", "name"),
        "longname": Column("the same", "name"),
        "layer_type": Column("`conv2d` for several positions or a kernel, else `dense`", "kind"),
        "M": Column("min(shape[0], shape[1])", "shape"),
        "N": Column("max(shape[0], shape[1])", "shape", "there, wide convolutions with an even kernel have M and N exchanged"),
        "Q": Column("N / M", "", "at least 1; there below 1 for wide convolutions with an even kernel"),
        "rf": Column("number of kernel positions"),
        "num_evals": Column("n"),
        "has_esd": Column("True"),
        "norm": Column("sum lambda", "norms.frobenius squared", "the squared Frobenius norm"),
        "log_norm": Column("log10 sum lambda"),
        "spectral_norm": Column("max lambda", "norms.spectral squared", "the squared spectral norm"),
        "log_spectral_norm": Column("log10 max lambda"),
        "lambda_max": Column("max lambda", "norms.spectral squared"),
        "sv_max": Column("sqrt(max lambda)", "norms.spectral"),
        "sv_min": Column("sqrt(min lambda)", "", "there, of pooled positions, the largest of their smallest values"),
        "stable_rank": Column("sum lambda / max lambda", "rank.stable"),
        "entropy": Column(
            "-sum p ln p / ln n, p = lambda / sum lambda + 1e-10",
            "ln rank.energy_effective / ln n",
            "there divided by the logarithm of matrix_rank, so that a rank defect raises it",
        ),
        "matrix_rank": Column(
            "#{s > tolerance}, or #{s > s_1 N 2.2e-16}",
            "rank.numerical",
            "there always the second: full rank for anything stored in less than 64 bits",
        ),
        "rank_loss": Column("#{s <= tolerance}, or the rest of each position's rank as above, summed", "", "as matrix_rank"),
        "weak_rank_loss": Column("#{lambda < 1e-6}", "", "absolute: it changes when W is scaled"),
        "alpha": Column(
            "1 + n_tail / sum ln(lambda / xmin)",
            "tail.alpha",
            "one-sided distance and absolute cut lambda > 1e-5, unlike tail; below 20 values n_tail - 1 stands for n_tail,"
            " which is at least 8. Null instead of -1 where there is no fit",
        ),
        "xmin": Column("lambda of the smallest D", "tail.xmin", "null instead of -1"),
        "xmax": Column("max lambda"),
        "D": Column("max |n_above / n_tail - (lambda / xmin)**(1 - alpha)|", "tail.ks", "null instead of -1"),
        "sigma": Column("(alpha - 1) / sqrt(n_tail)", "tail.alpha_stderr", "a standard error, not the scale of the noise"),
        "num_pl_spikes": Column("#{lambda >= xmin}", "tail.n_tail", "null instead of -1"),
        "alpha_weighted": Column("alpha log10 max lambda", "", "changes when W is scaled"),
        "log_alpha_norm": Column("log10 sum lambda**alpha", "", "computed from lambda / max lambda, which does not overflow"),
        "status": Column("`success`, or why there is no fit"),
        "warning": Column("null", "", "a verdict on training from a threshold of alpha, which alpha cannot carry"),
        "W_scale": Column("sqrt(n / sum lambda)"),
        "num_spikes": Column("eigenvalues above the test edge of the noise, summed over positions", "bulk.outliers", _NOISE),
        "sigma_mp": Column("sqrt(N) W_scale times the standard deviation of a noise entry", "bulk.sigma", _NOISE),
        "bulk_max": Column("upper edge of the noise", "bulk.edge_upper", _NOISE),
        "bulk_min": Column("lower edge of the noise", "bulk.edge_lower", _NOISE),
        "mp_softrank": Column("bulk_max / max lambda", "", _NOISE),
        "detX_num": Column(
            "from the top, first count with sum ln(lambda n / sum lambda) < 0", "", "there too small where the product overflows"
        ),
        "num_ERG_spikes": Column("detX_num", "", "as detX_num"),
        "ERG_gap": Column("detX_num - num_pl_spikes", "", "as detX_num"),
        "detX_val": Column("lambda n / sum lambda at detX_num", "", "there exchanged with detX_val_unrescaled"),
        "detX_val_unrescaled": Column("lambda at detX_num", "", "there exchanged with detX_val"),
        "max_rand_eval": Column("max lambda of the shuffle", "", _TWIN),
        "ww_softrank": Column("max_rand_eval / max lambda", "", _TWIN),
        "ww_maxdist": Column("max lambda - max_rand_eval", "", _TWIN),
        "rand_distance": Column(
            "Jensen-Shannon distance of both lists of sorted lambda, each divided by its sum",
            "",
            f"pairs values by rank: no distance of densities; {_TWIN}",
        ),
        "rand_W_scale": Column("W_scale of the shuffle", "", _TWIN),
        "rand_num_spikes": Column("num_spikes of the shuffle", "null.outliers_entries", f"{_NOISE}; {_TWIN}"),
        "num_traps": Column("rand_num_spikes", "null.outliers_entries", f"{_NOISE}; {_TWIN}"),
        "rand_sigma_mp": Column("sigma_mp of the shuffle", "", f"{_NOISE}; {_TWIN}"),
        "rand_bulk_max": Column("bulk_max of the shuffle", "", f"{_NOISE}; {_TWIN}"),
        "rand_bulk_min": Column("bulk_min of the shuffle", "", f"{_NOISE}; {_TWIN}"),
        "rand_mp_softrank": Column("rand_bulk_max / max_rand_eval", "", f"{_NOISE}; {_TWIN}"),
    }
)


def row(
    values: Sequence[Values],
    shape: tuple[int, ...],
    name: str,
    *,
    scale: float = 1.0,
    tolerance: float | None = None,
    shuffled: Sequence[Values] = (),
    level: float = 0.01,
) -> dict[str, Cell]:
    """One layer in that tool's columns.

    Args:
        values: Singular values of the layer: one array of a dense layer, one for each kernel position of a convolution.
        shape: Of the tensor or of one position, (out, in, ...) or (in, out, ...).
        name: Of the tensor.
        scale: Factor on every eigenvalue. 1 is right; `HALVED` gives that tool's tables of convolutions.
        tolerance: Singular values at or below it are no rank, `Spectrum.tolerance`; None takes that tool's rule.
        shuffled: Singular values after a shuffle of the entries, as `values`; columns that need it are null without.
        level: Level of the test for spikes.

    Returns:
        Every name of `COLUMNS` in its order; null where a number means nothing.
    """
    n, m = max(shape[:2]), min(shape[:2])
    s = np.sort(np.concatenate(values))
    cells: dict[str, Cell] = {
        "name": name.removesuffix(".weight"),
        "longname": name.removesuffix(".weight"),
        "layer_type": "conv2d" if len(values) > 1 or len(shape) > 2 else "dense",
        "M": m,
        "N": n,
        "Q": n / m,
        "rf": len(values),
        "num_evals": s.size,
        "has_esd": True,
    }
    eigenvalues = scale * s**2
    if tolerance is None:
        loss = sum(int(np.count_nonzero(part <= part.max() * n * np.finfo(np.float64).eps)) for part in values)
        rank = int(np.count_nonzero(s > s[-1] * n * np.finfo(np.float64).eps))
    else:
        loss = int(np.count_nonzero(s <= tolerance))
        rank = s.size - loss
    cells |= {"matrix_rank": rank, "rank_loss": loss, "weak_rank_loss": int(np.count_nonzero(eigenvalues < WEAK))}
    cells |= _norms(eigenvalues)
    cells |= _tail(eigenvalues)
    cells |= _volume(eigenvalues, cells["num_pl_spikes"])
    cells |= _noise(values, n, scale, level)
    if shuffled:
        cells |= _shuffle(eigenvalues, shuffled, n, scale, level)
    return {column: cells.get(column) for column in COLUMNS}


def _norms(eigenvalues: Values) -> dict[str, Cell]:
    total, top = float(eigenvalues.sum()), float(eigenvalues[-1])
    cells: dict[str, Cell] = {
        "norm": total,
        "spectral_norm": top,
        "lambda_max": top,
        "xmax": top,
        "sv_max": math.sqrt(top),
        "sv_min": math.sqrt(float(eigenvalues[0])),
    }
    if top > 0.0:
        share = eigenvalues / total + OFFSET
        cells |= {
            "log_norm": math.log10(total),
            "log_spectral_norm": math.log10(top),
            "stable_rank": total / top,
            "W_scale": math.sqrt(eigenvalues.size / total),
        }
        if eigenvalues.size > 1:
            cells["entropy"] = -float((share * np.log(share)).sum()) / math.log(eigenvalues.size)
    return cells


def _tail(eigenvalues: Values) -> dict[str, Cell]:
    kept = eigenvalues[eigenvalues > TINY]
    if kept.size < FEWEST:
        return {"status": f"{kept.size} eigenvalues above {TINY:g}, {FEWEST} needed", "num_pl_spikes": None}
    fitted = power_law.fit(kept, two_sided=False) if kept.size >= SMALL else _small_fit(kept)
    if fitted.alpha is None or fitted.xmin is None:
        return {"status": fitted.status, "num_pl_spikes": None}
    top = float(eigenvalues[-1])
    weighted = fitted.alpha * math.log10(top)
    return {
        "alpha": fitted.alpha,
        "xmin": fitted.xmin,
        "D": fitted.ks,
        "sigma": fitted.alpha_stderr,
        "num_pl_spikes": fitted.n_tail,
        "alpha_weighted": weighted,
        "log_alpha_norm": weighted + math.log10(float(((eigenvalues / top) ** fitted.alpha).sum())),
        "status": "success",
    }


def _small_fit(x: Values) -> power_law.PowerLaw:
    """That tool's fit of 8 to 19 ascending values: the exponent corrected for its bias, no tail shorter than 8."""
    y = np.log(x)
    fits = []
    for index in range(x.size - SHORTEST + 1):
        tail = y[index:] - y[index]
        excess = float(tail.sum())
        if excess <= power_law.FLAT:
            break
        rate = (tail.size - 1) / excess
        ks = float(np.abs(np.arange(tail.size, 0, -1) / tail.size - np.exp(-rate * tail)).max())
        fits.append((ks, index, rate))
    if not fits:
        return power_law.PowerLaw(n=x.size, status="the values are all equal: no tail")
    ks, index, rate = min(fits)
    n_tail = x.size - index
    return power_law.PowerLaw(x.size, 1.0 + rate, rate / math.sqrt(n_tail), float(x[index]), ks, n_tail, index)


def _volume(eigenvalues: Values, spikes: Cell) -> dict[str, Cell]:
    if eigenvalues[-1] == 0.0:
        return {}
    count = volume_tail(eigenvalues)
    at = float(eigenvalues[-count])
    return {
        "detX_num": count,
        "num_ERG_spikes": count,
        "ERG_gap": count - spikes if isinstance(spikes, int) else None,
        "detX_val": at / float(eigenvalues.mean()),
        "detX_val_unrescaled": at,
    }


def _noise(values: Sequence[Values], n: int, scale: float, level: float) -> dict[str, Cell]:
    """The noise of each position, their variances averaged; nothing where one has too few values or a rank defect."""
    if any(part.size < noise.SMALLEST or part.min() <= part.max() * n * np.finfo(np.float64).eps for part in values):
        return {}
    m = values[0].size
    found = [noise.fit(np.sort(scale * part**2)[::-1], n, level=level / len(values)) for part in values]
    sigma = math.sqrt(sum(one.sigma**2 for one in found) / len(found))
    mean = scale * sum(float((part**2).sum()) for part in values) / (m * len(values))
    edges = marchenko_pastur.edges(n, m, sigma)
    return {
        "num_spikes": sum(one.outliers for one in found),
        "sigma_mp": sigma * math.sqrt(n / mean),
        "bulk_max": edges.upper,
        "bulk_min": edges.lower,
        "mp_softrank": edges.upper / (scale * max(float(part.max()) for part in values) ** 2),
    }


def _shuffle(eigenvalues: Values, shuffled: Sequence[Values], n: int, scale: float, level: float) -> dict[str, Cell]:
    other = np.sort(scale * np.concatenate(shuffled) ** 2)
    top, other_top = float(eigenvalues[-1]), float(other[-1])
    cells: dict[str, Cell] = {f"rand_{name}": value for name, value in _noise(shuffled, n, scale, level).items()}
    cells["num_traps"] = cells.get("rand_num_spikes")
    cells["max_rand_eval"] = other_top
    cells["ww_maxdist"] = top - other_top
    if top > 0.0 and other_top > 0.0:
        cells["ww_softrank"] = other_top / top
        cells["rand_W_scale"] = math.sqrt(other.size / float(other.sum()))
        cells["rand_distance"] = _jensen_shannon(eigenvalues / eigenvalues.sum(), other / other.sum())
    return cells


def _jensen_shannon(p: Values, q: Values) -> float:
    """Square root of the Jensen-Shannon divergence, in natural logarithms, of two lists that sum to one."""
    mean = (p + q) / 2.0
    divergence = sum(float((part[part > 0] * np.log(part[part > 0] / mean[part > 0])).sum()) for part in (p, q)) / 2.0
    return math.sqrt(max(divergence, 0.0))
