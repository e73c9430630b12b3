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


def outputs(model: Any, batches: Iterable[Any]) -> Iterator[Any]:
    """What the model gives for each batch that has a row.

    Raises:
        UsageError: The model does not run on one, or there is none.
    """
    none = True
    for index, batch in enumerate(batches):
        while isinstance(batch, tuple | list) and batch:
            batch = batch[0]
        if not isinstance(batch, Mapping | np.ndarray) and not _is_tensor(batch):
            raise UsageError(f"activations: expected batch {index} as a tensor or an array, got {type(batch).__name__}.")
        if _rows(batch):
            none = False
            yield _called(model, batch, index)
    if none:
        raise UsageError("activations: expected data to run the model on, got no batch with a sample.")


def _called(model: Any, batch: Any, index: int) -> Any:
    try:
        if isinstance(batch, Mapping):
            return model(**{name: _placed(model, value) for name, value in batch.items()})
        return model(_placed(model, batch))
    except ModescopeError:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{type(model).__name__}: expected inputs that the model runs on, got {type(error).__name__} on batch {index}"
            f"{_of_shape(batch)}: {said}"
        ) from error


def _placed(model: Any, value: Any) -> Any:
    """A tensor of its own where the model is, since some models write into what they are given."""
    import torch

    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.require(value, requirements=("C", "W")))
    if not _is_tensor(value):
        return value
    like = next((p for p in model.parameters() if p.is_floating_point()), value)
    moved = value.to(like.device, like.dtype if value.is_floating_point() else None)
    return moved.clone() if moved is value else moved


def _rows(batch: Any) -> bool:
    """Whether there is a sample: the first of several tensors tells."""
    if isinstance(batch, Mapping):
        batch = next((value for value in batch.values() if hasattr(value, "ndim")), None)
    return not getattr(batch, "ndim", 0) or bool(batch.shape[0])


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _of_shape(batch: Any) -> str:
    if isinstance(batch, Mapping):
        return f" with {', '.join(map(str, batch))}"
    return f" of shape {tuple(batch.shape)}"
