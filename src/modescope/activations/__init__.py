"""Hidden data of a live torch model: what goes into named layers, what comes out, and what the activation makes of it.

One sample per row. Channels of convolutions are columns and their positions are samples; so are the time steps of sequences. What
is taken is what was there when the layer ran: work in place that comes later does not reach it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from modescope.activations import _batches
from modescope.activations._calls import Call, tapped
from modescope.activations._following import Watch, following, listener
from modescope.activations._given_back import given_back
from modescope.activations._listening import listening
from modescope.activations._places import places
from modescope.activations._sinks import Sink, Stack, Summed
from modescope.activations._taps import Tap
from modescope.errors import UsageError
from modescope.moments import Moments, Values

__all__ = [
    "WHAT",
    "Call",
    "Captured",
    "Sink",
    "Stack",
    "Summed",
    "capture",
    "collect",
    "given_back",
    "moments",
    "outputs",
    "streamed",
    "tapped",
]

WHAT = ("input", "preactivation", "postactivation")
"""What can be taken of a layer: its input, its output, and the output of the activation that takes its output first.

Recurrent layers and cells apply their activations inside: their output, the hidden states, is the postactivation, and there is no
preactivation to take.
"""


class Captured:
    """What was taken so far, by layer and kind: `captured["fc1", "input"]`."""

    def __init__(self, taps: Mapping[tuple[str, str], Tap]) -> None:
        self._taps = taps

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._taps)

    def __getitem__(self, key: tuple[str, str]) -> Any:
        """What the sink made of it: an array (N, n), or `Moments`.

        Raises:
            UsageError: It was not asked for, the layer was not reached, or nothing of this kind was there to take.
        """
        if key not in self._taps:
            raise UsageError(f"captured: expected one of {list(self._taps)}, got {key!r}; ask for it in capture.")
        return self._taps[key].value()

    def activation(self, layer: str) -> str:
        """Name of the function or module that made the postactivation of a layer.

        Raises:
            UsageError: As for the postactivation itself.
        """
        _ = self[layer, "postactivation"]
        return self._taps[layer, "postactivation"].activation


@contextmanager
def capture(
    model: Any,
    layers: str | Iterable[str],
    *,
    what: str | Iterable[str] = WHAT,
    into: Callable[[], Sink] = Stack,
    patches: bool = False,
    axis: int | None = None,
) -> Iterator[Captured]:
    """Take what passes named layers while the model is called in the block.

    Within the block the model is in evaluation mode and without gradients. It is given back as it was, also after an exception or
    an interrupt: training flags, buffers, hooks and torch's random numbers.

    The postactivation is what the first elementwise activation makes of the layer's very output, be it a module or a function, in
    place or not. Where something else comes between (a normalisation, a sum), there is none: name the module whose output the
    activation takes. A module that was called several times gives the samples of all calls. Hooks that others have put on a layer
    run before: what they make of its input and output is what is taken.

    Args:
        model: An `nn.Module` on any device and of any floating type.
        layers: Names as in `model.named_modules()`. Of torch's `MultiheadAttention`, which calls none of its projections, also
            `"NAME.out_proj"` and `"NAME.in_proj_weight query"`, `... key` and `... value`, or `"NAME.q_proj_weight"` and so on
            where it has these.
        what: Some of `WHAT`.
        into: Makes what takes the data in, one for each layer and kind: `Stack` keeps arrays, `Summed` only moments.
        patches: Give the input of convolutions as what the unfolded weight (out, in * taps) acts on, one row per position of the
            output and columns in order (channel, tap). Grouped convolutions get the columns of all their groups.
        axis: Axis of the channels in what is taken. By default 1 for normalisations over channels, the one before the positions
            for convolutions and pooling, else the last; it must be named for others that give four axes or more.

    Yields:
        `Captured`.

    Raises:
        UsageError: It is no module, a layer or kind is unknown or cannot be watched, or torch is not installed; from within the
            model's call: what was taken is not finite, where the sink looks at once.
    """
    named = places(model, (layers,) if isinstance(layers, str) else tuple(layers))
    kinds = (what,) if isinstance(what, str) else tuple(what)
    if unknown := [kind for kind in kinds if kind not in WHAT]:
        raise UsageError(f"capture: expected what from {', '.join(WHAT)}, got {unknown[0]!r}.")
    taps = {(name, kind): Tap(place, kind, into(), patches, axis) for name, place in named.items() for kind in kinds}
    watch = Watch()
    follows = following(model, watch) if any(tap.kind == "postactivation" for tap in taps.values()) else nullcontext()
    with given_back(model), listening([listener(tap, watch) for tap in taps.values()]), follows:
        yield Captured(taps)


def outputs(
    model: Any,
    inputs: Any,
    *,
    batch: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Any]:
    """What a model gives for each batch, one at a time: what runs it inside `capture` and `tapped`, and beside its labels.

    Args:
        model: An `nn.Module`, called as it is; it is not lent by this.
        inputs: As `moments`.
        batch: As `moments`.
        progress: As `moments`.

    Yields:
        Outputs of the model, in the order of the batches. Batches without a row are passed over.

    Raises:
        UsageError: There is no data, or the model does not run on it.
    """
    total, batches = _batches.split(inputs, batch)
    for done, output in enumerate(_batches.outputs(model, batches), 1):
        if progress is not None:
            progress(done, total)
        yield output


def collect(
    model: Any,
    layers: str | Iterable[str],
    inputs: Any,
    *,
    what: str | Iterable[str] = WHAT,
    patches: bool = False,
    axis: int | None = None,
    batch: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[tuple[str, str], Values]:
    """Arrays of all that passes named layers, for data that fit in memory.

    Args:
        model: As `capture`.
        layers: As `capture`.
        inputs: As `moments`.
        what: As `capture`.
        patches: As `capture`.
        axis: As `capture`.
        batch: As `moments`.
        progress: As `moments`.

    Returns:
        (N, n) float64 arrays by layer and kind.

    Raises:
        UsageError: As `moments`.
    """
    taken = _run(model, layers, inputs, what, Stack, patches, axis, batch, progress)
    return {key: taken[key] for key in taken}


def streamed(
    model: Any,
    layers: str | Iterable[str],
    inputs: Any,
    *,
    what: str | Iterable[str] = WHAT,
    patches: bool = False,
    axis: int | None = None,
    batch: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[tuple[str, str], Moments]:
    """Moments of what passes several layers in one pass over the data, of which nothing is kept.

    Args:
        model: As `capture`.
        layers: As `capture`.
        inputs: As `moments`.
        what: As `capture`.
        patches: As `capture`.
        axis: As `capture`.
        batch: As `moments`.
        progress: As `moments`.

    Returns:
        `Moments` by layer and kind, in float64, summed on the device of the data where that is a GPU with float64.

    Raises:
        UsageError: As `moments`.
    """
    taken = _run(model, layers, inputs, what, Summed, patches, axis, batch, progress)
    return {key: taken[key] for key in taken}


def moments(
    model: Any,
    layer: str,
    inputs: Any,
    *,
    what: str = "input",
    patches: bool = False,
    axis: int | None = None,
    batch: int | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Moments:
    """Moments of what passes one layer.

    Args:
        model: An `nn.Module`; as `capture`.
        layer: Name as in `model.named_modules()`.
        inputs: A tensor or an array, an iterable of batches, or a DataLoader. Of a batch that is a tuple or a list the model gets
            the first item, of a mapping the keyword arguments. Batches go to the device of the model and, where they are floats, to
            its floating type.
        what: One of `WHAT`.
        patches: As `capture`.
        axis: As `capture`.
        batch: Rows of a tensor or an array that go in at once; by default all. Not for models whose first axis is time.
        progress: Called after each batch with the number of those done and of all, None where that is not known.

    Returns:
        `Moments` in float64. Every row that the layer saw counts, also those that only fill a batch up.

    Raises:
        UsageError: As `capture`; or there is no data, the model does not run on it, the layer is not reached, has nothing of this
            kind, or gives what is not finite; the message names the layer.
    """
    return streamed(model, layer, inputs, what=what, patches=patches, axis=axis, batch=batch, progress=progress)[layer, what]


def _run(
    model: Any,
    layers: str | Iterable[str],
    inputs: Any,
    what: str | Iterable[str],
    into: Callable[[], Sink],
    patches: bool,
    axis: int | None,
    batch: int | None,
    progress: Callable[[int, int | None], None] | None,
) -> Captured:
    with capture(model, layers, what=what, into=into, patches=patches, axis=axis) as taken:
        for _ in outputs(model, inputs, batch=batch, progress=progress):
            pass
    return taken
