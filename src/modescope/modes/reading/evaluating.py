"""Loss and accuracy of a network with other strengths of its modes, on data, without touching the network.

Strengths go in as arguments of the forward pass, many sets of them at once: what comes before the layer is computed once for all of
them, and what comes after it once for each.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from modescope.activations import given_back
from modescope.errors import UsageError
from modescope.svd import Values

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from modescope.modes.modules.base import ModeLayer

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Takes outputs (n, ...) in float64 and targets, and gives the loss of each sample, (n,)."""

BATCH = 256
HELD = 1 << 24  # numbers of one activation over a batch and all sets of strengths at once


@dataclass(frozen=True, eq=False)
class Sample:
    """Data that a network is judged by.

    Attributes:
        x: (N, ...) inputs as the network takes them.
        y: (N,) int64 classes; or targets, (N, ...) numbers.
        signs: Whether the targets are -1 and +1, so that the sign of the output is right or wrong.
        source: Where they come from, in words.
    """

    x: NDArray[Any]
    y: NDArray[Any]
    signs: bool = False
    source: str = "in memory"

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or not len(self.x):
            raise UsageError(f"data: expected one target for each of some samples, got {len(self.x)} samples and {len(self.y)}.")
        if self.y.dtype.kind not in "iuf" or (self.y.dtype.kind in "iu" and self.y.ndim != 1):
            raise UsageError(f"data: expected integer classes (N,) or numbers as targets, got {self.y.dtype} {self.y.shape}.")
        for name, values in (("inputs", self.x), ("targets", self.y)):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise UsageError(f"data: expected finite {name}, got {int((~np.isfinite(values)).sum())} that are not.")

    @property
    def classes(self) -> bool:
        """Whether the targets are classes."""
        return self.y.dtype.kind in "iu"


@dataclass(frozen=True, eq=False)
class Scores:
    """How a network does with several sets of strengths.

    Attributes:
        loss: (B,) mean loss of a sample.
        accuracy: (B,) share of samples that are right; None of targets that are numbers.
    """

    loss: Values
    accuracy: Values | None


def sample(data: Any, /) -> Sample:
    """The data to judge by, out of a `Task`, of which the test part is taken, a pair `(x, y)`, or a `Sample`.

    Raises:
        UsageError: It is none of these, or targets do not fit.
    """
    if isinstance(data, Sample):
        return data
    if hasattr(data, "x_test") and hasattr(data, "y_test"):
        y = np.asarray(data.y_test)
        signs = y.dtype.kind == "f" and len(data.classes) == 2
        return Sample(np.asarray(data.x_test), y, signs, f"{data.name}, test part")
    if isinstance(data, tuple | list) and len(data) == 2:
        x, y = (np.asarray(one.detach().cpu() if hasattr(one, "detach") else one) for one in data)
        return Sample(x, y.astype(np.int64) if y.dtype.kind in "iu" else y)
    raise UsageError(f"data: expected a Task or a pair of inputs and targets, got {type(data).__name__}.")


def mode_layers(model: Any, /) -> dict[str, "ModeLayer"]:
    """The layers in modes of a network, by name, in the order in which it lists them; "" is the network itself."""
    from modescope.modes.modules.base import ModeLayer

    return {name: one for name, one in model.named_modules() if isinstance(one, ModeLayer)}


def chosen_layers(model: Any, layers: str | Sequence[str] | None, /) -> dict[str, "ModeLayer"]:
    """The layers in modes whose name matches; all of them by default.

    Raises:
        UsageError: There is none, or a name or pattern matches none.
    """
    from fnmatch import fnmatchcase

    found = mode_layers(model)
    if not found:
        raise UsageError(
            f"{type(model).__name__}: expected a network with layers in modes, such as ModeLinear, got none; to_modes makes them."
        )
    if layers is None:
        return found
    patterns = [layers] if isinstance(layers, str) else list(layers)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in found):
            raise UsageError(f"layers: expected names or globs of {', '.join(list(found)[:6])}, got {pattern!r}.")
    return {name: one for name, one in found.items() if any(fnmatchcase(name, pattern) for pattern in patterns)}


def usual_loss(data: Sample, /) -> Loss:
    """Cross-entropy for classes, else the squared error, its mean over the outputs of a sample."""
    from torch.nn import functional

    if data.classes:
        return partial(functional.cross_entropy, reduction="none")

    def squared(outputs: "Tensor", targets: "Tensor") -> "Tensor":
        return ((outputs - targets.reshape(outputs.shape)) ** 2).flatten(1).mean(1)

    return squared


def scored(
    model: Any,
    strengths: Mapping[str, Values],
    data: Sample,
    /,
    *,
    loss: Loss | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Loss and accuracy for several sets of strengths.

    The network is in evaluation mode and stays as it is. Losses are in float64 from outputs in the precision of the network.

    Args:
        model: An `nn.Module`.
        strengths: For each layer that is changed (B, p) strengths, B sets of them; other layers keep theirs.
        data: What it is judged by.
        loss: Of each sample; by default `usual_loss`.
        batch: Samples at once.
        progress: Told the number of samples done, and of all.

    Raises:
        UsageError: The network does not run on the data, sets are not equally many, or a loss is not finite.
    """
    import torch

    counts = {len(one) for one in strengths.values()}
    if len(counts) != 1:
        raise UsageError(f"strengths: expected equally many sets for every layer, got {sorted(counts)}.")
    sets, judged = counts.pop(), loss or usual_loss(data)
    with given_back(model):
        placed = _everywhere(model, {name: _like(model, name, values) for name, values in strengths.items()})
        widest = _widest(model, data)
        batch = int(np.clip(HELD // widest, 1, batch))
        together = int(np.clip(HELD // (widest * batch), 1, sets))
        total, right = torch.zeros(sets, dtype=torch.float64), torch.zeros(sets, dtype=torch.float64)
        done = 0
        for x, y in _batches(model, data, batch):
            for start in range(0, sets, together):
                some = slice(start, start + together)
                found = _outputs(model, {key: one[some] for key, one in placed.items()}, x).double()
                flat, again = found.flatten(0, 1), y.repeat(len(found), *([1] * (y.ndim - 1)))
                total[some] += judged(flat, again).reshape(len(found), -1).sum(1).cpu()
                if data.classes or data.signs:
                    right[some] += _right(flat, again, data).reshape(len(found), -1).sum(1).cpu()
            done += len(x)
            if progress is not None:
                progress(done, len(data.x))
    losses: Values = (total / len(data.x)).numpy()
    if not np.isfinite(losses).all():
        raise UsageError(f"{type(model).__name__}: expected a finite loss on the data, got {losses[~np.isfinite(losses)][0]}.")
    return Scores(losses, (right / len(data.x)).numpy() if data.classes or data.signs else None)


def gradients(
    model: Any, names: Sequence[str], data: Sample, /, *, loss: Loss | None = None, batch: int = BATCH
) -> dict[str, Values]:
    """`dL/ds` of some layers, L the mean loss over the data; the network, its gradients too, stays as it is.

    Raises:
        UsageError: The network does not run on the data, or has no gradient there.
    """
    import torch
    from torch.func import functional_call

    judged = loss or usual_loss(data)
    with given_back(model), torch.enable_grad():
        batch = int(np.clip(HELD // _widest(model, data), 1, batch))
        held = {name: _strengths(model, name).detach().clone().requires_grad_() for name in names}
        placed = _everywhere(model, held)
        total = [torch.zeros_like(one, dtype=torch.float64) for one in held.values()]
        for x, y in _batches(model, data, batch):
            value = judged(functional_call(model, placed, (x,), tie_weights=False).double(), y).sum()
            try:
                parts = torch.autograd.grad(value, list(held.values()), allow_unused=True)
            except RuntimeError as error:
                said = str(error).splitlines()[0]
                raise UsageError(
                    f"{type(model).__name__}: expected a loss with a gradient for its modes, got none: {said}"
                ) from error
            total = [one if part is None else one + part for one, part in zip(total, parts, strict=True)]
    means: list[Values] = [(one / len(data.x)).detach().cpu().numpy() for one in total]
    return dict(zip(names, means, strict=True))


def increases(
    model: Any,
    name: str,
    data: Sample,
    /,
    *,
    loss: Loss | None = None,
    batch: int = BATCH,
    progress: Callable[[int, int], None] | None = None,
) -> Values:
    """(p,) exact increase of the loss, `L(s_k = 0) - L`, when each mode of a layer is taken out alone."""
    s = strengths_of(model, name)
    rows = np.vstack([s, np.where(np.eye(s.size, dtype=bool), 0.0, s)])
    losses = scored(model, {name: rows}, data, loss=loss, batch=batch, progress=progress).loss
    found: Values = losses[1:] - losses[0]
    return found


def strengths_of(model: Any, name: str, /) -> Values:
    """(p,) the strengths of a layer as they are."""
    found: Values = _strengths(model, name).detach().double().cpu().numpy()
    return found


@contextmanager
def running(model: Any, data: Sample, /, batch: int = BATCH) -> Iterator[Iterator[tuple["Tensor", "Tensor"]]]:
    """Batches of the data where the network is, with the network in evaluation mode; it is given back as it was."""
    with given_back(model):
        yield _batches(model, data, int(np.clip(HELD // _widest(model, data), 1, batch)))


def _everywhere(model: "Module", values: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    """Strengths by the names of tensors, under one name of every layer that holds them.

    Where a layer stands at two places in a network, the tying that torch does by itself would leave the last values in it.
    """
    by_tensor = {id(_strengths(model, name)): one for name, one in values.items()}
    return {f"{name}.s".lstrip("."): by_tensor[id(one.s)] for name, one in mode_layers(model).items() if id(one.s) in by_tensor}


def _strengths(model: "Module", name: str) -> "Tensor":
    found: Tensor = model.get_submodule(name).s  # type: ignore[assignment]
    return found


def _like(model: "Module", name: str, values: Values) -> "Tensor":
    import torch

    held = _strengths(model, name)
    return torch.from_numpy(np.array(values)).to(held.device, held.dtype)


def _batches(model: "Module", data: Sample, batch: int) -> Iterator[tuple["Tensor", "Tensor"]]:
    import torch

    like = next((one for one in model.parameters() if one.is_floating_point()), torch.zeros(()))
    for start in range(0, len(data.x), batch):
        x, y = (torch.from_numpy(np.array(one[start : start + batch])) for one in (data.x, data.y))
        y = y.to(like.device, torch.float64 if y.is_floating_point() else torch.int64)
        yield x.to(like.device, like.dtype if x.is_floating_point() else None), y


def _widest(model: "Module", data: Sample) -> int:
    """The most numbers that a module gives for one sample; runs the network once, which says early whether it does."""
    import torch

    if isinstance(model, torch.nn.DataParallel):  # whose copies do not see other strengths
        raise UsageError("DataParallel: expected the network inside it, its .module, got the wrapper.")
    sizes = [1]

    def gave(_module: Any, _args: Any, output: Any) -> None:
        sizes.append(output.numel() if hasattr(output, "numel") else 1)

    hooks = [one.register_forward_hook(gave) for one in model.modules()]
    x, y = next(_batches(model, data, 2))
    try:
        found = model(x)
    except Exception as error:  # of the user's code, of any kind
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{type(model).__name__}: expected inputs that the network runs on, got {type(error).__name__} with shape "
            f"{tuple(x.shape)}: {said}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not hasattr(found, "shape") or not found.ndim or len(found) != len(x):
        raise UsageError(f"{type(model).__name__}: expected one output for each sample, got {type(found).__name__}.")
    if data.classes and (found.ndim != 2 or found.shape[1] <= int(data.y.max()) or int(data.y.min()) < 0):
        raise UsageError(
            f"{type(model).__name__}: expected outputs (n, classes) for classes 0 to {int(data.y.max())}, got {tuple(found.shape)}."
        )
    if not data.classes and found.numel() != y.numel():
        raise UsageError(
            f"{type(model).__name__}: expected outputs of the shape of the targets {tuple(y.shape)}, got {tuple(found.shape)}."
        )
    return max(sizes) // len(x) + 1


def _outputs(model: "Module", strengths: dict[str, "Tensor"], x: "Tensor") -> "Tensor":
    """(B, n, ...) outputs for every set; one by one where a network cannot be run for all at once."""
    import torch
    from torch.func import functional_call, vmap

    def once(one: dict[str, "Tensor"]) -> "Tensor":
        found: Tensor = functional_call(model, one, (x,), tie_weights=False)
        return found

    count = len(next(iter(strengths.values())))
    if count > 1:
        try:
            together: Tensor = vmap(once)(strengths)
        except (RuntimeError, NotImplementedError, ValueError) as error:  # control flow by value, or an operation without a rule
            if isinstance(error, torch.OutOfMemoryError):
                raise
        else:
            return together
    return torch.stack([once({key: one[place] for key, one in strengths.items()}) for place in range(count)])


def _right(outputs: "Tensor", targets: "Tensor", data: Sample) -> "Tensor":
    if data.classes:
        return (outputs.argmax(1) == targets).double()
    return ((outputs.reshape(targets.shape) * targets) > 0).double().flatten(1).mean(1)
