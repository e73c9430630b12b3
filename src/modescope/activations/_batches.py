"""Batches out of whatever data is given, and one call of the model on each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from modescope.errors import ModescopeError, UsageError


def split(inputs: Any, batch: int | None) -> tuple[int | None, Iterator[Any]]:
    """Number of batches, where it is known, and the batches.

    Raises:
        UsageError: It is no tensor, array or iterable of batches.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"activations: expected batch, the rows that go in at once, at least 1, got {batch}.")
    if _is_tensor(inputs) or isinstance(inputs, np.ndarray):
        if batch is None or inputs.ndim == 0:
            return 1, iter((inputs,))
        starts = range(0, inputs.shape[0], batch)
        return len(starts), (inputs[start : start + batch] for start in starts)
    if isinstance(inputs, Mapping):
        return 1, iter((inputs,))
    if isinstance(inputs, tuple | str | bytes) or not isinstance(inputs, Iterable):
        raise UsageError(
            f"activations: expected a tensor, an array, an iterable of batches or a DataLoader, got {type(inputs).__name__}; "
            "put batches in a list."
        )
    try:
        total = len(inputs)  # type: ignore[arg-type]
    except TypeError:
        total = None
    return total, iter(inputs)


def call(model: Any, batch: Any, index: int) -> bool:
    """Run the model on a batch; False where there is no row in it.

    Raises:
        UsageError: The model does not run on it.
    """
    import torch

    like = next((p for p in model.parameters() if p.is_floating_point()), None)

    def placed(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(np.require(value, requirements=("C", "W")))
        if not _is_tensor(value) or like is None:
            return value
        return value.to(like.device, like.dtype if value.is_floating_point() else None)

    while isinstance(batch, tuple | list) and batch:
        batch = batch[0]
    try:
        if isinstance(batch, Mapping):
            model(**{name: placed(value) for name, value in batch.items()})
        elif _is_tensor(batch) or isinstance(batch, np.ndarray):
            if batch.ndim and not batch.shape[0]:
                return False
            model(placed(batch))
        else:
            raise UsageError(f"activations: expected batch {index} as a tensor or an array, got {type(batch).__name__}.")
    except ModescopeError:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{type(model).__name__}: expected inputs that the model runs on, got {type(error).__name__} on batch {index}"
            f"{_of_shape(batch)}: {said}"
        ) from error
    return True


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _of_shape(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f" with {', '.join(map(str, batch))}"
    return f" of shape {tuple(batch.shape)}"
