"""Patterns that stay orthonormal while they train, so that the singular values of the weight are the moduli of the strengths."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Held = TypeVar("Held", bound=nn.Module)


class Orthonormal(nn.Module):
    """What a parameter counts as: the Q of its QR factorisation, R's diagonal positive, of its columns or of its flattened rows.

    Orthonormal patterns count as themselves. The parameter moves freely, and its scale has no effect, so that weight decay, which
    would spoil Householder vectors, does no harm. A forward pass costs 4 p^2 multiply-adds more for each side of the weight.
    """

    def __init__(self, *, rows: bool) -> None:
        """Choose what is orthonormal.

        Args:
            rows: The flattened rows, not the columns.
        """
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        """The patterns."""
        tall = x.flatten(1).mT if self.rows else x
        if tall.dtype in {torch.float16, torch.bfloat16}:  # which LAPACK does not know
            tall = tall.float()
        q, r = torch.linalg.qr(tall)
        q = q * torch.where(r.diagonal() < 0, -1, 1).to(q.dtype)
        patterns: Tensor = q.mT.reshape(x.shape) if self.rows else q
        return patterns.to(x.dtype)


def is_orthonormal(module: nn.Module, name: str) -> bool:
    """Whether a parameter is held orthonormal."""
    held = getattr(module, "parametrizations", {})
    return name in held and any(isinstance(one, Orthonormal) for one in held[name])


def plain(module: Held, /) -> Held:
    """A copy whose orthogonal layers hold their patterns as plain factors, free from now on; its state dict has the plain names.

    Args:
        module: A mode layer, or a model that has some. It stays as it is.
    """
    copy = deepcopy(module)
    for part in copy.modules():
        names = [name for name in ("xi_out", "xi_in") if is_orthonormal(part, name)]
        if names:
            # torch shares the class of a parametrised module with its copies, and takes the property off that class.
            shared = type(part)
            part.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
        for name in names:
            parametrize.remove_parametrizations(part, name, leave_parametrized=True)
    return copy
