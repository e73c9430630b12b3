"""What may be added to a loss to shape modes: orthonormal patterns, few strong strengths, a small weight that is never formed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modescope.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def orthogonality(module: Any, /) -> "Tensor":
    """How far the patterns are from orthonormal, `(||U^T U - I||^2 + ||V V^T - I||^2) / r^2` with r modes, summed over layers.

    U is xi_out and V the flattened xi_in. Its gradient for U is `4 / r^2 U (U^T U - I)`. The published training weighs it with 30.

    Args:
        module: A mode layer, or a model that has some.

    Raises:
        UsageError: There is no mode layer in it.

    References:
        Yang et al. (2020), arXiv:2004.09031; Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, and their public code.
    """
    import torch

    def one(layer: Any) -> "Tensor":
        inward = layer.xi_in.flatten(1)
        outward = layer.xi_out
        unit = torch.eye(layer.n_modes, dtype=outward.dtype, device=outward.device)
        apart = (outward.mT @ outward - unit).square().sum() + (inward @ inward.mT - unit).square().sum()
        mean: Tensor = apart / layer.n_modes**2
        return mean

    return _sum(one(layer) for layer in _layers(module))


def hoyer(module: Any, /) -> "Tensor":
    """How many strengths share the load, `||s||_1 / ||s||_2`, between 1 (a single one) and sqrt(p) (all equal), summed over layers.

    It knows no scale, so it presses small strengths to 0 without pressing the large ones. Frozen strengths give a constant, and
    strengths that are all 0 give 0. The published training weighs it with 1.

    Args:
        module: A mode layer, or a model that has some.

    Raises:
        UsageError: There is no mode layer in it.

    References:
        Hoyer (2004), JMLR 5, 1457-1469; Yang et al. (2020), arXiv:2004.09031.
    """
    import torch

    def one(layer: Any) -> "Tensor":
        s: Tensor = layer.s
        ratio: Tensor = s.abs().sum() / torch.linalg.vector_norm(s).clamp_min(torch.finfo(s.dtype).tiny)
        return ratio

    return _sum(one(layer) for layer in _layers(module))


def frobenius(module: Any, /) -> "Tensor":
    """`||W||_F^2` by the Gram matrices of the patterns, without the weight, in p^2 (in + out) multiply-adds; summed over layers.

    Half of it is what weight decay of a dense layer is the gradient of. Decay on the factors is another thing: it prunes modes.

    Args:
        module: A mode layer, or a model that has some.

    Raises:
        UsageError: There is no mode layer in it.

    References:
        Khodak et al. (2021), arXiv:2105.01029.
    """

    def one(layer: Any) -> "Tensor":
        inward, outward = layer.xi_in.flatten(1), layer.xi_out * layer.s
        energy: Tensor = ((outward.mT @ outward) * (inward @ inward.mT)).sum()
        return energy

    return _sum(one(layer) for layer in _layers(module))


def _layers(module: Any) -> list[Any]:
    from modescope.modes.modules.base import ModeLayer

    found = [part for part in module.modules() if isinstance(part, ModeLayer)]
    if not found:
        raise UsageError(f"penalty: expected a mode layer or a model that has some, got {type(module).__name__} with none.")
    return found


def _sum(terms: Iterator["Tensor"]) -> "Tensor":
    total = next(terms)
    for term in terms:
        total = total + term
    return total
