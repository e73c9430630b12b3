"""All weights of a checkpoint in one order, also those that give no layer and those that were not selected, with the reason."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod

from modescope.checkpoints import Checkpoint
from modescope.layers import matrices
from modescope.matrix import Skip, Tensor
from modescope.spectral_graph.wiring import LEFT_OUT, Layer

# Reasons of tensors with several axes that are no layers: what lacks them lacks nothing of the chain.
_NO_LAYER = re.compile(
    r"not a (?:trained )?weight\b(?! matrix)|not a linear map|not more layers|indices|frequencies|averaged copy|"
    r"adapter|factor|analysed together|empty|in this shard"
)
_VECTOR = "single vector"
_KERNELS = frozenset({"kernel", "weight", "weights", "filter", "filters", "w"})
_NO_NUMBERS = re.compile(r"not (?:the )?numbers of a weight")
_HALVES = "parametrisation"
_DIGITS = re.compile(r"(\d{1,9})")


@dataclass(frozen=True, eq=False)
class Spot:
    """A place in the order.

    Attributes:
        name: Of the tensor.
        layers: In it; none where it cannot be used.
        missing: Why it is not in the graph, or empty.
    """

    name: str
    layers: tuple[Layer, ...]
    missing: str = ""

    @property
    def kept(self) -> bool:
        """It is in the graph."""
        return not self.missing

    @property
    def left_out(self) -> bool:
        """It was not selected."""
        return self.missing.startswith(LEFT_OUT)

    @property
    def ends(self) -> tuple[str, ...]:
        """Names for the end of a gap."""
        return tuple(layer.name for layer in self.layers) if self.kept else (self.name,)


def spine(
    checkpoint: Checkpoint,
    names: Sequence[str],
    layers: Mapping[str, tuple[Layer, ...]],
    include: str | Sequence[str],
    exclude: str | Sequence[str],
) -> tuple[list[Spot], list[Spot], list[str]]:
    """Every weight of a checkpoint: those in the order of names, those without a place in it, and all names in that order.

    Args:
        checkpoint: Its headers are used.
        names: Of its tensors, in order.
        layers: All it offers, by the name of the tensor.
        include: Globs on tensor names.
        exclude: Globs on tensor names.
    """
    known = {tensor.name: tensor for tensor in checkpoint.tensors}
    skips = [found for found in matrices(checkpoint.tensors) if isinstance(found, Skip)]
    lost = {skip.name: skip for skip in _one_of_each_pair([*skips, *checkpoint.skipped]) if skip.name not in layers}
    order, nowhere = list(names), []
    for name, skip in lost.items():
        missing = left_out((name,), include, exclude) or f"{name} cannot be used: {skip.reason}"
        if _VECTOR in skip.reason:
            nowhere += [Spot(name, (), missing)] if _is_kernel(skip, known) else []
        elif name not in known and not _placed(order, name):
            nowhere.append(Spot(name, (), missing))
    spots = []
    for name in order:
        if name in layers:
            aliases = known[name].aliases
            spots.append(Spot(name, layers[name], left_out((name, *aliases), include, exclude)))
        elif name in lost and _VECTOR not in lost[name].reason:
            missing = left_out((name,), include, exclude) or f"{name} cannot be used: {lost[name].reason}"
            spots.append(Spot(name, (), missing))
    return spots, nowhere, order


def left_out(names: Sequence[str], include: str | Sequence[str], exclude: str | Sequence[str]) -> str:
    """Why a tensor of these names is not selected, or empty."""
    wanted, unwanted = ((globs,) if isinstance(globs, str) else tuple(globs) for globs in (include, exclude))
    if wanted and not any(fnmatchcase(name, glob) for name in names for glob in wanted):
        return f"{LEFT_OUT}: {names[0]} is not included by {', '.join(wanted)}"
    glob = next((glob for glob in unwanted if any(fnmatchcase(name, glob) for name in names)), None)
    return "" if glob is None else f"{LEFT_OUT}: {names[0]} is excluded by {glob}"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts names by the numbers in them."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in _DIGITS.split(name)]


def _one_of_each_pair(skips: Sequence[Skip]) -> list[Skip]:
    """Those that may be layers; of the parts of a parametrised weight, the largest."""
    found: dict[str, Skip] = {}
    for skip in skips:
        named = skip.name.rpartition(".")[2].lower() in _KERNELS
        if len(skip.shape) < 2 or _NO_LAYER.search(skip.reason) or (_NO_NUMBERS.search(skip.reason) and not named):
            continue
        key = f"{skip.name.rpartition('.')[0]}." if _HALVES in skip.reason else skip.name
        if key not in found or prod(found[key].shape) < prod(skip.shape):
            found[key] = skip
    return list(found.values())


def _is_kernel(skip: Skip, known: Mapping[str, Tensor]) -> bool:
    """Whether a single vector is the weight of a layer with one output or input, and no token or gain."""
    module, _, leaf = skip.name.rpartition(".")
    bias = known.get(f"{module}.bias" if module else "bias")
    return leaf.lower() in _KERNELS or (bias is not None and len(bias.shape) == 1 and bias.shape[0] in skip.shape)


def _placed(order: list[str], name: str) -> bool:
    """Put a name, of which the file does not tell the place, among those of its module; whether these say where."""
    parts = name.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        prefix = "".join(f"{part}." for part in parts[:depth])
        here = [at for at, other in enumerate(order) if other.startswith(prefix)]
        if not here:
            continue
        keys = [natural(order[at]) for at in here]
        if keys != sorted(keys):
            return False
        after = [at for at, key in zip(here, keys, strict=True) if key < natural(name)]
        order.insert(after[-1] + 1 if after else here[0], name)
        return True
    return False
