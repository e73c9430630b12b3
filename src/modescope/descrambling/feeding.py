"""What goes into a layer, taken in one pass: its moments, and of the hidden data what a bootstrap draws again.

Hidden data are kept as they are while they are few. Once they are many, only the moments of blocks remain, into which samples are
dealt at random: blocks of neighbours, or of every so many, would differ too much or too little where samples come in an order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import Any

import numpy as np

from modescope.descrambling.controls import Stability, bootstrap, bootstrap_blocks
from modescope.descrambling.source import Given, is_module
from modescope.errors import UsageError
from modescope.moments import Array, Moments, Running
from modescope.seeds import generator
from modescope.svd import Values

KEPT = 1 << 21  # numbers of hidden data that are kept as they are: 16 MB
BLOCKS = 32  # into which more of them are dealt
NEURONS = 1024  # hidden neurons up to which there is a bootstrap: it takes 50 eigendecompositions
ENTRIES = 1 << 20  # of an array that go in at once

Progress = Callable[[str, int, int | None], None]
PARTS = "parts of the data"


class UnfitDataError(UsageError):
    """Inputs or moments do not fit the layer; who read them from a file adds its name."""


class Hidden:
    """Hidden data for a bootstrap; what takes them in while they pass."""

    def __init__(self, weight: Values | None = None, bias: Values | None = None, *, seed: int = 0) -> None:
        """Hidden data are `W x + c` of what is added, or without a weight that itself."""
        self._weight, self._bias = weight, bias
        self._random = generator(seed, "descrambling", "blocks")
        self._rows: list[Values] = []
        self._blocks: dict[int, Running] = {}
        self._size = 0
        self.count = 0

    def add(self, inputs: Array, /) -> None:
        """Take rows (N, n) of inputs in."""
        rows = np.asarray(inputs, dtype=np.float64)
        self._size = rows.shape[1] if self._weight is None else self._weight.shape[0]
        if self._size <= NEURONS:
            self._take(
                np.array(rows) if self._weight is None else rows @ self._weight.T + (0.0 if self._bias is None else self._bias)
            )
        self.count += rows.shape[0]

    def stability(self, *, centred: bool, seed: int) -> Stability | str:
        """Which leading subspaces other samples would show as well, or the sentence that says why that is not known."""
        if self._size > NEURONS:
            return (
                f"a bootstrap takes 50 eigendecompositions, and is made of up to {NEURONS:,} neurons, not of {self._size:,}; "
                "controls.bootstrap does it on an array of hidden data"
            )
        if self._blocks:
            blocks = [self._blocks[place].value() for place in sorted(self._blocks)]
            return bootstrap_blocks(blocks, centred=centred, seed=seed)
        return bootstrap(np.concatenate(self._rows), centred=centred, seed=seed)

    def _take(self, hidden: Values) -> None:
        if not self._blocks and (self.count + hidden.shape[0]) * self._size <= KEPT:
            self._rows.append(hidden)
            return
        for rows in (*self._rows, hidden):
            self._deal(rows)
        self._rows = []

    def _deal(self, rows: Values) -> None:
        drawn = self._random.integers(0, BLOCKS, rows.shape[0])
        for place in np.unique(drawn).tolist():
            self._blocks.setdefault(place, Running()).add(rows[drawn == place])


def fed(
    source: Any,
    found: Given,
    inputs: Any,
    moments: Moments | Mapping[str, Any] | None,
    /,
    *,
    hidden: Hidden | None = None,
    progress: Progress | None = None,
) -> Moments | None:
    """Moments of what goes into the layer, or None where nothing was given.

    Args:
        source: What `given` was asked with; a live module is run on `inputs`.
        found: The layer.
        inputs: Of the network where the source is a module; otherwise of the layer: an array (N, n), or an iterable of such.
        moments: Of the inputs of the layer, in place of these, or their arrays by name.
        hidden: Also takes the inputs in.
        progress: Told what is counted, the number of chunks or batches that are done, and of all where that is known.

    Raises:
        UsageError: Both.
        UnfitDataError: They are unfit: wrong shapes, entries that are not finite, samples that do not vary.
    """
    if inputs is not None and moments is not None:
        raise UsageError("descramble: expected inputs or moments, got both. Leave one of them out.")
    try:
        return _known(source, found, inputs, moments, hidden, progress)
    except UsageError as error:
        raise UnfitDataError(str(error)) from error


def _known(
    source: Any,
    found: Given,
    inputs: Any,
    moments: Moments | Mapping[str, Any] | None,
    hidden: Hidden | None,
    progress: Progress | None,
) -> Moments | None:
    if inputs is not None:
        moments = _live(source, found, inputs, hidden, progress) if is_module(source) else _summed(found, inputs, hidden, progress)
    if moments is None:
        return None
    if isinstance(moments, Mapping):
        moments = _stored(moments)
    if not isinstance(moments, Moments):
        raise UsageError(f"moments: expected Moments, as moments.of(samples) gives them, got {type(moments).__name__}.")
    _sized(found, moments.mean.size, "moments")
    if not moments.scatter.any():
        raise UsageError(
            f"{found.name}: expected inputs that vary, got {moments.count:,} sample{'s' if moments.count != 1 else ''} of "
            f"{moments.mean.size} numbers without any variation. Pass more and other samples."
        )
    return moments


def _stored(found: Mapping[str, Any]) -> Moments:
    """Moments from their arrays by name."""
    if missing := [name for name in ("count", "mean", "scatter") if name not in found]:
        raise UsageError(f"moments: expected the arrays count, mean and scatter, got none named {missing[0]}.")
    try:
        return Moments(int(found["count"]), np.asarray(found["mean"]), np.asarray(found["scatter"]))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"moments: expected a whole count and real arrays mean and scatter ({error}).") from error


def _live(source: Any, found: Given, inputs: Any, hidden: Hidden | None, progress: Progress | None) -> Moments:
    from modescope import activations

    told = None if progress is None else lambda done, total: progress(PARTS, done, total)

    def measured() -> Moments:
        return activations.moments(source, found.module, inputs, patches=found.patches, progress=told)

    if hidden is None:
        return measured()
    tap = _Tap(hidden)
    with activations.capture(source, found.module, what="input", into=lambda: tap, patches=found.patches):
        return measured()


class _Tap:
    """Hands what a hook sees on."""

    def __init__(self, hidden: Hidden) -> None:
        self._hidden = hidden

    def add(self, tensor: Any, /) -> None:
        rows = tensor.detach().reshape(-1, tensor.shape[-1])
        for part in rows.split(max(ENTRIES // rows.shape[1], 1)):
            self._hidden.add(part.cpu().double().numpy())

    def value(self) -> None:
        """Nothing: it is all handed on."""


def _summed(found: Given, inputs: Any, hidden: Hidden | None, progress: Progress | None) -> Moments:
    running = Running()
    total, chunks = _chunks(found, inputs)
    rows = 0
    for done, (name, chunk) in enumerate(chunks, 1):
        if chunk.ndim == 2:
            _sized(found, chunk.shape[1], f"{name} {chunk.shape}", transposed=chunk.shape[0] == found.weight.shape[1])
            _finite(found, chunk, rows)
            rows += chunk.shape[0]
        running.add(chunk, name)
        if hidden is not None and len(chunk):
            hidden.add(chunk)
        if progress is not None:
            progress(PARTS, done, total)
    return running.value()


def _chunks(found: Given, inputs: Any) -> tuple[int | None, Iterator[tuple[str, Array]]]:
    """How many there are, where that is known, and each with its name; of an array a few rows at a time."""
    inputs = _plain(inputs)
    if not isinstance(inputs, np.ndarray):
        if not isinstance(inputs, Iterable) or isinstance(inputs, str | bytes):
            raise UsageError(f"inputs: expected an array (N, n) or an iterable of them, got {type(inputs).__name__}.")
        total = len(inputs) if isinstance(inputs, Sized) else None
        return total, ((f"chunk {place} of the inputs", np.asarray(_plain(chunk))) for place, chunk in enumerate(inputs))
    if inputs.ndim != 2:
        raise UsageError(
            f"{found.name}: expected inputs (N, {found.weight.shape[1]}), one sample per row, got an array of shape {inputs.shape}."
        )
    rows = max(ENTRIES // max(inputs.shape[1], 1), 1)
    if inputs.shape[0] <= rows:
        return 1, iter((("inputs", inputs),))
    starts = range(0, inputs.shape[0], rows)
    return len(starts), ((f"inputs, from row {start},", inputs[start : start + rows]) for start in starts)


def _plain(data: Any) -> Any:
    """A tensor of torch as an array."""
    return data.detach().cpu().numpy() if hasattr(data, "detach") else data


def _finite(found: Given, chunk: Array, before: int) -> None:
    """Refuse what is not finite with its place: `before` rows came before these."""
    if chunk.dtype.kind != "f" or np.isfinite(chunk).all():
        return
    bad = ~np.isfinite(chunk)
    row, column = (int(at[0]) for at in np.nonzero(bad))
    raise UsageError(
        f"{found.name} {found.weight.shape}: expected finite inputs, got {chunk[row, column]} in row {before + row}, column "
        f"{column}, counted from 0, the first of {int(bad.sum()):,}. Leave such samples out."
    )


def _sized(found: Given, size: int, what: str, *, transposed: bool = False) -> None:
    n = found.weight.shape[1]
    if size != n:
        turned = " It has one sample per column: pass its transpose." if transposed else ""
        raise UsageError(
            f"{found.name} {found.weight.shape}: expected data of {n} numbers a sample, which go into it, one sample per row, got "
            f"{what} of {size}.{turned}"
        )
