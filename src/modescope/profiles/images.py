"""Images with their labels, in batches, as often as they are asked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.errors import UsageError

Labels = NDArray[np.int64]
Progress = Callable[[str, int, int | None], None]
"""Called with what is done ("signals"), the number of images done and of all, None where that is not known."""

BATCH = 64
MOST_CLASSES = 1 << 16
FEW = 4  # images that a network is looked over with


@dataclass(frozen=True, eq=False)
class Images:
    """A data set that can be gone through several times in one order.

    Attributes:
        batches: Starts from the beginning: inputs of the network (n, ...), torch tensors or arrays, some at a time.
        count: Number of images, or None where only a pass tells.
        labels: (N,) index of the class of each image, or None.
        classes: Names of the classes by that index; empty without labels.
        skipped: Names of what could not be read, with the reason: not part of the data set.
        source: What it is, for the record: path, format, or "in memory".
        shown: Turns a batch as the network takes it into what people see, (n, channels, height, width); None: as it is.
    """

    batches: Callable[[], Iterator[Any]]
    count: int | None
    labels: Labels | None = None
    classes: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    shown: Callable[[Any], Any] | None = None

    def first(self, few: int = FEW) -> Any:
        """Some images from the beginning, as the network takes them.

        Raises:
            UsageError: There is none.
        """
        for batch in self.batches():
            if len(batch):
                return batch[:few]
        raise UsageError("data: expected images, got none.")


def images(data: Any, labels: Any = None, *, classes: Sequence[str] | None = None, batch: int = BATCH) -> Images:
    """Images out of what users hold in their hands.

    Args:
        data: An array or tensor (N, ...) as the network takes it, a torch `Dataset` or `DataLoader` of inputs or of (inputs, label)
            that does not shuffle, a list of such batches, or `Images`.
        labels: (N,) class of each image: integers, or names; by default those that a loader gives.
        classes: Names of the classes; the place in the list is the label. By default the labels themselves.
        batch: Images that the network is given at once, where `data` is no batches already.

    Raises:
        UsageError: There are no images, they come in an order that changes, or labels do not fit.
    """
    if not isinstance(batch, int) or batch < 1:
        raise UsageError(f"batch: expected the number of images at once, at least 1, got {batch!r}.")
    found = data if isinstance(data, Images) else _opened(data, batch)
    if found.count == 0:
        raise UsageError("data: expected images, got none.")
    if labels is None:
        labels = found.labels if isinstance(data, Images) else _labels(data)
        if isinstance(data, Images) and classes is None:
            classes = found.classes or None
    return found if labels is None else _classified(found, labels, classes)


def _classified(found: Images, labels: Any, classes: Sequence[str] | None) -> Images:
    given = np.asarray(labels.cpu() if hasattr(labels, "untyped_storage") else labels)
    if given.ndim != 1 or (found.count is not None and len(given) != found.count):
        count = "one for each image" if found.count is None else f"({found.count},), one for each image"
        raise UsageError(f"labels: expected {count}, got shape {given.shape}.")
    if given.dtype.kind in "US" or (given.dtype.kind == "O" and all(isinstance(name, str) for name in given)):
        place, names = _by_name(given.astype(str), classes)
        return replace(found, count=len(given), labels=place, classes=names)
    whole = given.dtype.kind == "f" and np.isfinite(given).all() and (given == np.floor(given)).all()
    if given.dtype.kind not in "iub" and not whole:
        raise UsageError(f"labels: expected integers or names, got {given.dtype}.")
    if given.min(initial=0) < 0:
        raise UsageError(f"labels: expected classes counted from 0, got {int(given.min())}.")
    most = int(given.max(initial=0)) + 1
    if classes is not None and most > len(classes):
        raise UsageError(f"labels: expected classes below {len(classes)}, the number of their names, got {most - 1}.")
    if most > MOST_CLASSES:
        raise UsageError(f"labels: expected classes counted from 0, at most {MOST_CLASSES}, got {most - 1}; pass names instead.")
    names = tuple(map(str, range(most))) if classes is None else tuple(map(str, classes))
    return replace(found, count=len(given), labels=given.astype(np.int64), classes=names)


def _by_name(given: NDArray[np.str_], classes: Sequence[str] | None) -> tuple[Labels, tuple[str, ...]]:
    """Index of the class of each image, and the names: those given, or all there are in the order of the alphabet."""
    words, place = np.unique(given, return_inverse=True)
    names = tuple(map(str, words if classes is None else classes))
    if missing := sorted({str(word) for word in words} - {*names}):
        raise UsageError(f"labels: expected names of classes, got {missing[0]!r}; they are {', '.join(names[:6])}.")
    index = np.array([names.index(str(word)) for word in words], np.int64)
    found: Labels = index[place]
    return found, names


def _opened(data: Any, batch: int) -> Images:
    in_memory = {"format": type(data).__name__}
    if isinstance(data, np.ndarray) or hasattr(data, "untyped_storage"):
        if isinstance(data, np.ndarray) and data.dtype.kind not in "fiub":
            raise UsageError(f"data: expected numbers, got {data.dtype}.")
        if data.ndim < 2:
            raise UsageError(f"data: expected images (N, ...), got shape {tuple(data.shape)}.")
        size = int(data.shape[0])
        return Images(lambda: (data[start : start + batch] for start in range(0, size, batch)), size, source=in_memory)
    if hasattr(data, "batch_sampler") and hasattr(data, "dataset"):
        inner = getattr(data.batch_sampler, "sampler", None)  # `sampler` says nothing of a batch sampler of the user
        sampler = type(getattr(data, "sampler", None) if inner is None else inner).__name__
        if sampler not in {"SequentialSampler", "NoneType", "_InfiniteConstantSampler", "DistributedSampler"}:
            raise UsageError(f"data: expected a DataLoader that keeps its order, got one with {sampler}; pass shuffle=False.")
        return Images(lambda: (_batch(part) for part in _begun(data)), None, source=in_memory)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list | tuple | str | bytes | Mapping):
        return Images(lambda: _of_dataset(data, batch), len(data), source=in_memory)
    if isinstance(data, list) and data:
        return Images(lambda: (_batch(part) for part in data), sum(len(_batch(part)) for part in data), source=in_memory)
    if isinstance(data, list):
        raise UsageError("data: expected images, got an empty list.")
    raise UsageError(
        f"data: expected an array (N, ...), a Dataset, a DataLoader or a list of batches, got {type(data).__name__}; "
        "what can be gone through only once is put in a list first."
    )


def _inputs(part: Any) -> Any:
    """Inputs of a batch or of one image, its label left out."""
    found = part[0] if isinstance(part, tuple | list) and part else part
    if not hasattr(found, "untyped_storage") and not isinstance(found, np.ndarray):
        keys = f" with {', '.join(map(repr, list(found)[:4]))}" if isinstance(found, Mapping) else ""
        raise UsageError(f"data: expected arrays or tensors, or pairs of them and labels, got {type(found).__name__}{keys}.")
    return found


def _batch(part: Any) -> Any:
    found = _inputs(part)
    if found.ndim < 2:
        raise UsageError(f"data: expected batches of images (n, ...), got shape {tuple(found.shape)}.")
    return found


def _begun(loader: Any) -> Iterator[Any]:
    """A pass over a loader, which draws a seed for its workers from torch's random numbers even where it has none: put back."""
    import torch

    with torch.random.fork_rng(devices=[]):
        return iter(loader)


def _of_dataset(data: Any, batch: int) -> Iterator[Any]:
    import torch

    for start in range(0, len(data), batch):
        items = [_inputs(data[i]) for i in range(start, min(start + batch, len(data)))]
        yield torch.stack([torch.as_tensor(np.asarray(item)) if not hasattr(item, "untyped_storage") else item for item in items])


def _labels(data: Any) -> Any:
    """Labels that come with the images, (N,), or None; a loader is gone through for them once."""
    targets = getattr(data, "targets", None)
    if targets is not None and hasattr(data, "__getitem__"):
        return targets
    if isinstance(data, np.ndarray) or hasattr(data, "untyped_storage"):
        return None
    if hasattr(data, "dataset") or isinstance(data, list):
        parts = [_label(part) for part in (data if isinstance(data, list) else _begun(data))]
        return None if any(part is None for part in parts) else np.concatenate(parts)
    found = [_label(data[i]) for i in range(len(data))]
    return None if any(label is None for label in found) else np.array(found)


def _label(part: Any) -> Any:
    """Labels of a batch, or the label of one image; None where there is none."""
    if not isinstance(part, tuple | list) or len(part) < 2:
        return None
    label = part[1]
    return label.cpu().numpy() if hasattr(label, "untyped_storage") else np.asarray(label)
