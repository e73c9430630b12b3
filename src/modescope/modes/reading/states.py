"""What a network makes of data, layer by layer, as moments: the states that enter each layer, and the activations of its modes.

The state at depth l is what enters layer l, and the last is what leaves the network, so that networks in modes and dense ones can
be read side by side. The mode activations of a layer are `m = xi_in h`. Of convolutions and sequences every position is a sample.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modescope.errors import UsageError
from modescope.modes.reading.evaluating import Sample, mode_layers, running
from modescope.modes.reading.latent import DIRECTIONS, Overlap, participation_ratio, subspace_overlap
from modescope.moments import Moments, Running, merged
from modescope.svd import Values

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int, int], None]

WIDEST = 4096  # numbers in a state whose covariance is taken
OUTPUTS = "outputs"
CLASSES = 1000  # whose moments are kept apart


@dataclass(frozen=True, eq=False)
class Space:
    """States at one place of one network.

    Attributes:
        network: What the network is called.
        place: Name of the layer that they enter, or whose mode activations they are; "outputs" for what leaves the network.
        what: "states" or "modes".
        depth: Of the place, from 0.
        dimension: Numbers in a state.
        rows: Samples, every position one.
        participation: Participation ratio of their covariance, 1 to the dimension.
        overlap: Of the leading directions of classes about the mean of each; or why there is none.
        uncentred: The same about the origin.
    """

    network: str
    place: str
    what: str
    depth: int
    dimension: int
    rows: int
    participation: float
    overlap: Overlap | str
    uncentred: Overlap | str


def spaces(
    model: Any, data: Sample, /, *, network: str = "", q: int = DIRECTIONS, progress: Progress | None = None
) -> tuple[Space, ...]:
    """Compactness and overlap of classes along the depth of a network, which stays as it is.

    Args:
        model: An `nn.Module`.
        data: What goes in; with classes their subspaces are compared.
        network: What to call it.
        q: Directions of each class.
        progress: Told the number of samples done, and of all.

    Raises:
        UsageError: It does not run on the data, or has no linear layer, convolution or layer in modes.
    """
    taken = _moments(model, data, progress)
    found = []
    for (place, what, depth), parts in taken.items():
        whole = merged(parts)
        several = parts if len(parts) > 1 else ()
        apart, about = (
            subspace_overlap(several, q=q, centred=centred) if several else "there are no classes" for centred in (True, False)
        )
        ratio = participation_ratio(whole.covariance)
        found.append(Space(network, place, what, depth, whole.mean.size, whole.count, ratio, apart, about))
    return tuple(found)


def mode_activations(model: Any, layer: str, data: Sample, /) -> Values:
    """(N, p) the activations `m = xi_in h` of the modes of a layer, or (N * positions, p); the network stays as it is.

    Raises:
        UsageError: There is no layer in modes of that name.
    """
    found = mode_layers(model)
    if layer not in found:
        raise UsageError(f"layer: expected one of those in modes ({', '.join(list(found)[:6]) or 'none'}), got {layer!r}.")
    parts: list[Values] = []
    module: Any = found[layer]

    def begins(_module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        parts.append(_rows(module.mode_activations(_given(args, named)), module).double().cpu().numpy())

    with running(model, data) as batches, ExitStack() as hooks:
        hooks.callback(module.register_forward_pre_hook(begins, with_kwargs=True).remove)
        for x, _ in batches:
            model(x)
    return np.concatenate(parts)


def _moments(model: Any, data: Sample, progress: Progress | None) -> dict[tuple[str, str, int], list[Moments]]:
    """Moments by place and class, in the order in which layers run."""
    from torch import nn

    layered = mode_layers(model)
    inner = {id(part) for one in layered.values() for part in one.modules() if part is not one}
    plain = (nn.Linear, nn.Conv1d, nn.Conv2d)
    places = {
        name: one for name, one in model.named_modules() if name in layered or (isinstance(one, plain) and id(one) not in inner)
    }
    if not places:
        raise UsageError(f"{type(model).__name__}: expected linear layers, convolutions or layers in modes, got none.")
    names = np.unique(data.y) if data.classes else np.zeros(1)
    kept = len(names) <= CLASSES and data.classes
    found: dict[tuple[str, str], dict[int, Running]] = {}
    order: list[str] = []
    now: list[Any] = []

    def add(key: tuple[str, str], rows: "Tensor") -> None:
        values = rows.double().cpu().numpy()
        if values.shape[1] > WIDEST or not len(values):
            return
        held, each = found.setdefault(key, {}), len(values) // len(now[0])
        labels = np.repeat(now[0], each) if kept and each * len(now[0]) == len(values) else np.zeros(len(values))
        for label in np.unique(labels):
            held.setdefault(int(label), Running()).add(values[labels == label], key[0] or "the network")

    def listener(name: str, module: Any) -> Callable[..., None]:
        def begins(_module: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = _given(args, named)
            if name not in order:
                order.append(name)
            if given.is_floating_point():
                add((name, "states"), _rows(given, module))
            if name in layered:
                add((name, "modes"), _rows(module.mode_activations(given), module))

        return begins

    with running(model, data) as batches, ExitStack() as hooks:
        for name, module in places.items():
            hooks.callback(module.register_forward_pre_hook(listener(name, module), with_kwargs=True).remove)
        done = 0
        for x, y in batches:
            now[:] = [y.cpu().numpy() if kept else np.zeros(len(x))]
            add((OUTPUTS, "states"), model(x).flatten(1))
            done += len(x)
            if progress is not None:
                progress(done, len(data.x))
    depths = {name: depth for depth, name in enumerate([*order, OUTPUTS])}
    keys = sorted(found, key=lambda key: (key[1] != "states", depths[key[0]]))
    return {(*key, depths[key[0]]): [found[key][label].value() for label in sorted(found[key])] for key in keys}


def _given(args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What a layer is called with, by its place or by its name."""
    return next(iter((*args, *named.values())))


def _rows(values: "Tensor", layer: Any) -> "Tensor":
    """(rows, numbers) with what a convolution has by channel last; of a sequence every position is a row."""
    from torch import nn

    grid = len(layer.kernel) if hasattr(layer, "kernel") else {nn.Conv1d: 1, nn.Conv2d: 2}.get(type(layer), 0)
    if grid and values.ndim > grid + 1:
        values = values.movedim(-grid - 1, -1)
    return values.reshape(-1, values.shape[-1])


def chosen(found: Sequence[Space], what: str, /) -> list[Space]:
    """Those of one kind, "states" or "modes"."""
    return [one for one in found if one.what == what]
