"""What goes into the layers of a network, as moments: taken once from the network and data, and kept in one file without either."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modescope.activations import Summed, capture, outputs
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UsageError
from modescope.modes.saving import save_arrays
from modescope.moments import Moments
from modescope.store.parts import place
from modescope.svd import Values

SCHEMA = "modescope.calibration/1"
LISTENED = ("Linear", "Conv1d", "Conv2d", "Conv1D", "RNNCell", "GRUCell")  # classes of which a module is, by name

Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Moments of the inputs of layers, in the order in which the network calls them.

    Attributes:
        moments: By layer, in the columns of its weight: patches in order (channel, tap) for convolutions.
        uses: By layer, how often it acts for one sample: positions of a convolution, tokens of a sequence, 1 for most others.
        samples: Samples that the network was run on.
        source: A sentence on where they come from.
        missing: Layers that were listened to and have no moments, each with the reason.
    """

    moments: Mapping[str, Moments]
    uses: Mapping[str, float]
    samples: int
    source: str
    missing: Mapping[str, str]

    def save(self, path: str | Path, /) -> None:
        """Write all of it to one safetensors file; one that was there is replaced only when the new one is complete.

        Raises:
            UsageError: The file cannot be written.
        """
        arrays: dict[str, Values] = {}
        layers = []
        for at, (name, one) in enumerate(self.moments.items()):
            arrays |= {f"{at}.mean": one.mean, f"{at}.scatter": one.scatter}
            layers.append({"name": name, "count": one.count, "uses": self.uses[name]})
        said = {"layers": layers, "missing": dict(self.missing), "samples": self.samples, "source": self.source}
        try:
            place(Path(path), lambda hidden: save_arrays(arrays, hidden, {"schema": SCHEMA, "calibration": json.dumps(said)}))
        except OSError as error:
            raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def calibrate(
    model: Any,
    inputs: Any,
    /,
    layers: Iterable[str] | None = None,
    *,
    batch: int | None = None,
    source: str = "",
    progress: Progress | None = None,
) -> Calibration:
    """Run a network on data and take the moments of what goes into its layers.

    The network is given back as it was. A layer with n columns takes n x n numbers in float64, all layers at once: 11 MB for
    n = 1152 (a 3 x 3 convolution of 128 channels), 134 MB for n = 4096. Name `layers` where that is too much.

    Args:
        model: An `nn.Module`, in evaluation mode while it runs.
        inputs: A tensor or an array, an iterable of batches, or a DataLoader, as `activations.moments` takes them.
        layers: Names as in `model.named_modules()`; by default all linear layers, ungrouped convolutions of one and two axes, and
            recurrent cells. Those that are not called, or whose inputs are no numbers to be summed, are named in `missing`.
        batch: Rows of a tensor or an array that go in at once; by default all.
        source: A sentence on the data, kept in the file.
        progress: Told "calibration", the batches that were done and their number.

    Returns:
        `Calibration`.

    Raises:
        UsageError: As `activations.moments`; or there are moments of no layer at all.
    """
    names = listened(model) if layers is None else tuple(layers)
    if not names:
        raise UsageError(
            f"calibration: expected linear layers, convolutions or recurrent cells, got {type(model).__name__} without any."
        )
    with capture(model, names, what="input", into=Summed, patches=True) as taken, _order(model, names) as order:
        for done, total in _run(model, inputs, batch):
            if progress is not None:
                progress("calibration", done, total)
    found: dict[str, Moments] = {}
    missing: dict[str, str] = {}
    for name in sorted(names, key=lambda name: order.called.get(name, len(names))):
        try:
            found[name] = taken[name, "input"]
        except UsageError as error:
            missing[name] = str(error)
    if not found:
        raise UsageError(f"calibration: expected a layer whose inputs can be taken, got none: {next(iter(missing.values()))}")
    uses = {name: one.count / order.samples for name, one in found.items()}
    return Calibration(found, uses, order.samples, source or f"{order.samples:,} samples", missing)


def load(path: str | Path, /) -> Calibration:
    """Read what `Calibration.save` wrote.

    Raises:
        UnreadableError: The file is no calibration, is damaged, or its parts do not fit together.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, "numpy") as file:
            said = _said(path, file.metadata() or {})
            names = set(file.keys())
            wanted = {f"{at}.{part}" for at in range(len(said["layers"])) for part in ("mean", "scatter")}
            if names != wanted:
                odd = sorted(names ^ wanted)[0]
                raise UnreadableError(f"{path}: expected the arrays of {len(said['layers'])} layers, got others: {shown(odd)}.")
            moments = {
                one["name"]: _moments(path, one, file.get_tensor(f"{at}.mean"), file.get_tensor(f"{at}.scatter"))
                for at, one in enumerate(said["layers"])
            }
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"{path}: expected a calibration in safetensors, got what cannot be read ({error}).") from error
    uses = {one["name"]: float(one["uses"]) for one in said["layers"]}
    return Calibration(moments, uses, said["samples"], said["source"], said["missing"])


class _Order:
    """Which layer was called when, and how many samples went in."""

    def __init__(self) -> None:
        self.called: dict[str, int] = {}
        self.samples = 0


@contextmanager
def _order(model: Any, names: Iterable[str]) -> Iterator[_Order]:
    order, handles = _Order(), []
    modules = dict(model.named_modules(remove_duplicate=False))

    def counted(_module: Any, args: Any, kwargs: Any) -> None:
        first = next((one for one in (*args, *kwargs.values()) if getattr(one, "ndim", 0)), None)
        order.samples += 1 if first is None else len(first)

    def noted(name: str) -> Callable[[Any, Any], None]:
        def hook(_module: Any, _args: Any) -> None:
            order.called.setdefault(name, len(order.called))

        return hook

    try:
        handles.append(model.register_forward_pre_hook(counted, with_kwargs=True))
        for name in names:
            if name in modules:
                handles.append(modules[name].register_forward_pre_hook(noted(name)))
        yield order
    finally:
        for handle in handles:
            handle.remove()


def _run(model: Any, inputs: Any, batch: int | None) -> Iterator[tuple[int, int | None]]:
    told: list[tuple[int, int | None]] = []
    for _ in outputs(model, inputs, batch=batch, progress=lambda done, total: told.append((done, total))):
        yield from told
        told.clear()
    yield from told


def listened(model: Any, /) -> tuple[str, ...]:
    """Names of the layers whose inputs are counted where none are named.

    Raises:
        UsageError: It is no module.
    """
    if not callable(getattr(model, "named_modules", None)):
        raise UsageError(f"calibration: expected a torch nn.Module, got {type(model).__name__}.")
    return tuple(
        name
        for name, module in model.named_modules()
        if any(base.__name__ in LISTENED for base in type(module).__mro__) and getattr(module, "groups", 1) == 1
    )


def _said(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the header says, checked."""
    if metadata.get("schema") != SCHEMA:
        raise UnreadableError(
            f"{path}: expected a calibration ({SCHEMA}), got {shown(metadata.get('schema', 'a file without a schema'))}; "
            "write one by modes.calibrate(model, inputs).save(path)."
        )
    try:
        said = json.loads(metadata["calibration"])
        layers, samples, source, missing = (said[key] for key in ("layers", "samples", "source", "missing"))
        whole = (
            type(samples) is int
            and samples > 0
            and isinstance(source, str)
            and all(isinstance(why, str) for why in missing.values())
            and all(
                isinstance(one["name"], str) and type(one["count"]) is int and one["count"] > 0 and 0 < float(one["uses"]) < np.inf
                for one in layers
            )
            and 0 < len(layers) == len({one["name"] for one in layers})
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"{path}: expected a calibration, got a damaged header ({type(error).__name__}).") from error
    if not whole:
        raise UnreadableError(f"{path}: expected a calibration, got a header whose entries are not those of one.")
    return dict(said)


def _moments(path: Path, said: Mapping[str, Any], mean: Values, scatter: Values) -> Moments:
    name = shown(said["name"])
    if mean.dtype != np.float64 or scatter.dtype != np.float64:
        raise UnreadableError(f"{path}: {name}: expected moments in float64, got {mean.dtype} and {scatter.dtype}.")
    try:
        found = Moments(said["count"], mean, scatter)
    except UsageError as error:
        raise UnreadableError(f"{path}: {name}: {error}") from error
    spread = np.diagonal(found.scatter)
    bound = np.sqrt(np.outer(spread.clip(0), spread.clip(0)))
    if (
        spread.min() < 0
        or np.abs(found.scatter - found.scatter.T).max() > 1e-9 * spread.max()
        or (np.abs(found.scatter) > bound * (1 + 1e-9) + 1e-9 * spread.max()).any()
    ):
        raise UnreadableError(f"{path}: {name}: expected the scatter of samples, symmetric and positive, got another matrix.")
    return found
