"""Names of low-rank adapters: which factor a tensor is, and how the others of its pair are called."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from modescope.matrix import Tensor

_PARTNERS = {"A": "B", "B": "A", "a": "b", "b": "a", "down": "up", "up": "down"}
_FACTOR = re.compile(
    r"(?:\A|(?<=[._]))(?P<tag>lora_embedding_|lora_|lora\.)(?P<half>A|B|a|b|down|up)"
    r"(?P<after>\.[^.]{1,200}\.weight|\.[^.]{1,200}|)\Z"
)
_MAGNITUDE = re.compile(r"(?:\A|[._])(?:lora_magnitude_vector(?:\.[^.]{1,200}){0,2}|dora_scale)\Z")


@dataclass(frozen=True)
class Factor:
    """One factor of a low-rank adapter.

    Attributes:
        inner: Whether it is the one applied first (A, down).
        stem: Name up to the adapter's mark, with the dot or underscore that ends it.
        partner: Name of the other factor.
        middle: Name a third factor would have.
        in_out: Whether it is stored (in, out): bare arrays `lora_a`, `lora_b`.
    """

    inner: bool
    stem: str
    partner: str
    middle: str
    in_out: bool


@lru_cache(1 << 16)
def factor(name: str) -> Factor | None:
    """The factor a tensor of this name is, or None."""
    if "lora" not in name or (found := _FACTOR.search(name)) is None:
        return None
    tag, half, after = found["tag"], found["half"], found["after"]
    stem = name[: found.start()]
    return Factor(
        inner=half in {"A", "a", "down"},
        stem=stem,
        partner=f"{stem}{tag}{_PARTNERS[half]}{after}",
        middle=f"{stem}{tag}mid{after}",
        in_out=half in {"a", "b"} and not after,
    )


def belongs(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensor is part of a low-rank adapter: a factor, its magnitudes or its scale."""
    return factor(tensor.name) is not None or is_magnitude(tensor.name) or scaled_factor(tensor, tensors) is not None


def scaled_factor(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the factor whose pair this single number scales (`alpha`), or None."""
    if tensor.leaf != "alpha" or tensor.shape not in {(), (1,)}:
        return None
    stem = tensor.name.removesuffix("alpha")
    names = (f"{stem}lora_{half}{after}" for half in ("down", "A") for after in (".weight", ""))
    return next((name for name in names if name in tensors), None)


def is_magnitude(name: str) -> bool:
    """Whether the name is that of the magnitudes of a weight-decomposed adapter (DoRA)."""
    return "ora_" in name and _MAGNITUDE.search(name) is not None
