"""How a network does on samples that it does not learn from, in the precision it has."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modescope.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modescope.modes.tasks import Task
    from modescope.modes.training.recipe import Loss

TOGETHER = 2048  # samples at once

Right = Callable[["Tensor", "Tensor"], "Tensor"]


def usual_loss(kind: str, /) -> "Loss":
    """Cross-entropy of classes, and the squared error of signs and numbers, its mean over samples and outputs."""
    from torch.nn import functional

    return functional.cross_entropy if kind == "classes" else functional.mse_loss


def right_of(kind: str, /) -> Right | None:
    """A function that counts the outputs that are right: the largest one of classes, the sign of signs; None of numbers."""
    return {"classes": _largest, "signs": _sign}.get(kind)


def score(model: "nn.Module", x: "Tensor", y: "Tensor", loss: "Loss", right: Right | None, /) -> tuple[float, float | None]:
    """Mean loss of a sample and share of samples that are right, None of numbers; the network in evaluation mode."""
    import torch

    model.eval()
    total, hits = torch.zeros((), dtype=torch.float64, device=x.device), torch.zeros((), dtype=torch.int64, device=x.device)
    with torch.no_grad():
        for start in range(0, len(x), TOGETHER):
            some = slice(start, start + TOGETHER)
            outputs = model(x[some])
            total += loss(outputs, y[some]).double() * len(outputs)
            if right is not None:
                hits += right(outputs, y[some])
    return float(total) / len(x), None if right is None else int(hits) / len(x)


def check(model: "nn.Module", task: "Task", x: "Tensor", /) -> None:
    """Run the network on two samples, which says before work starts whether it takes them and gives what the task needs.

    Raises:
        UsageError: It does not.
    """
    import torch

    name = type(model).__name__
    model.eval()
    try:
        with torch.no_grad():
            found = model(x[:2])
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise UsageError(
            f"{name}: expected a network that takes samples of shape {tuple(x.shape[1:])}, as {task.name} has, got "
            f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        ) from error
    shape = tuple(found.shape) if torch.is_tensor(found) else type(found).__name__
    wanted = (len(x[:2]), *((task.outputs,) if task.kind == "classes" else task.y_train.shape[1:]))
    if shape != wanted:
        raise UsageError(f"{name}: expected outputs of shape {wanted} for {len(x[:2])} samples of {task.name}, got {shape}.")


def _largest(outputs: "Tensor", y: "Tensor") -> "Tensor":
    return (outputs.argmax(1) == y).sum()


def _sign(outputs: "Tensor", y: "Tensor") -> "Tensor":
    return (outputs * y > 0).flatten(1).all(1).sum()
