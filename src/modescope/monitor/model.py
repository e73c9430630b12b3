"""The model under observation: found inside its wrappers, and given back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modescope.errors import UsageError

WRAPPERS = ("torch.nn.parallel.", "deepspeed.")  # modules that hold the model as their child `module`


def unwrapped(model: Any, /) -> Any:
    """The model inside torch.compile, DataParallel, DistributedDataParallel or DeepSpeed, with the names its layers were given.

    Raises:
        UsageError: It is no `nn.Module`.
    """
    if not (callable(getattr(model, "named_parameters", None)) and callable(getattr(model, "named_children", None))):
        raise UsageError(f"Monitor: expected a torch nn.Module to observe, got {type(model).__name__}. Of a file, use scan.")
    while (inner := _inner(model)) is not None:
        model = inner
    return model


def _inner(model: Any) -> Any:
    children = dict(model.named_children())
    if "_orig_mod" in children:
        return children["_orig_mod"]
    wraps = any(base.__module__.startswith(WRAPPERS) for base in type(model).__mro__)
    return children.get("module") if wraps else None


@contextmanager
def untouched(model: Any, /) -> Iterator[None]:
    """Keep torch's random streams as they are: a weight may be computed by a layer that draws, and reading it changes no step."""
    import torch

    with torch.random.fork_rng(devices=_devices(model)):
        yield


def settle(model: Any, /) -> None:
    """Wait for what the training has queued on its devices, which is training time and no cost of reading the weights."""
    import torch

    for device in _devices(model):
        torch.cuda.synchronize(device)


def _devices(model: Any) -> list[int]:
    return sorted({parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"})
