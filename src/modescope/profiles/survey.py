"""Which layers of a network can be projected on their modes: found by running it, in the order in which they run."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from modescope.activations import given_back
from modescope.errors import UsageError

CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
ATTENTION = "MultiheadAttention"


@dataclass(frozen=True, eq=False)
class Site:
    """One call of a weighted layer in a pass of the network.

    Attributes:
        name: Name of the module; with "@0", "@1" behind it where the network calls the module several times.
        layer: Name of the module, as in `model.named_modules()`.
        module: The module that holds the weight.
        hooked: The module whose output is that of the layer: itself, or the attention that reads its weight without calling it.
        call: Which of its calls in one pass this is.
        calls: How many there are.
        shape: (d, *positions) of its output for one image.
        norm: Name of the batch norm that takes this very output, or empty.
    """

    name: str
    layer: str
    module: Any
    hooked: Any
    call: int
    calls: int
    shape: tuple[int, ...]
    norm: str = ""


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found: sites in the order in which they run, and what is left out, by name with the reason."""

    sites: tuple[Site, ...]
    skipped: tuple[tuple[str, str], ...]
    norms: Mapping[str, Any]


def survey(model: Any, few: Any, /, *, layers: Any = None) -> Survey:
    """Run a network on a few images and note which of its layers ran.

    Args:
        model: An `nn.Module`.
        few: Some images as it takes them.
        layers: Names or globs of the layers that are wanted, in one string or several; by default all.

    Raises:
        UsageError: It is no module, it does not run on these images, or none of the layers that are wanted ran; the message names
            the first that did not, and why.
    """
    if not callable(getattr(model, "named_modules", None)):
        raise UsageError(f"profile: expected a torch nn.Module, got {type(model).__name__}.")
    if any(base.__name__ == "ScriptModule" for base in type(model).__mro__):
        raise UsageError(
            f"{type(model).__name__}: expected a network in Python, got TorchScript, which runs its layers where no hook sees it; "
            "pass the module that it was made from."
        )
    weighted, skipped = _candidates(dict(model.named_modules()), layers)
    norms = {name: module for name, module in model.named_modules() if hasattr(module, "running_var") and hasattr(module, "eps")}
    calls, takers = _traced(model, few, weighted, norms)
    total = Counter(name for name, _ in calls)
    sites, seen = [], Counter[str]()
    for name, output in calls:
        module, hooked = weighted[name]
        place, seen[name] = seen[name], seen[name] + 1
        if reason := _unfit(hooked, module, output, len(few)):
            skipped[name] = reason
            continue
        shape = tuple(channels_second(hooked, module, output).shape[1:])
        norm = next((one for one, given in takers if given is output), "") if _normed(module, output) else ""
        label = name if total[name] == 1 else f"{name}@{place}"
        sites.append(Site(label, name, module, hooked, place, total[name], shape, norm))
    skipped |= {name: "the network did not call it on these images" for name in weighted if name not in total}
    if not sites:
        first = next(iter(skipped.items()), None)
        said = "it has no linear layer and no convolution" if first is None else f"{first[0]}: {first[1]}"
        raise UsageError(f"{type(model).__name__}: expected layers that can be projected on their modes, found none; {said}.")
    return Survey(tuple(sites), tuple(skipped.items()), norms)


def _candidates(modules: Mapping[str, Any], layers: Any) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """Layers with a weight that are wanted, each with the module whose output is theirs; and what is left out, with the reason."""
    weighted: dict[str, tuple[Any, Any]] = {}
    skipped: dict[str, str] = {}
    for name, module in modules.items():
        parts, reasons = _weighted(name, module, modules)
        weighted |= parts
        skipped |= reasons
    if layers is None:
        return weighted, skipped
    wanted = (layers,) if isinstance(layers, str) else tuple(layers)
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in (*weighted, *skipped)):
            raise UsageError(f"layers: expected the name of a linear layer or a convolution, got {pattern!r}; {_some(weighted)}.")

    def chosen(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in wanted)

    return {name: pair for name, pair in weighted.items() if chosen(name)}, {k: why for k, why in skipped.items() if chosen(k)}


def _traced(
    model: Any, few: Any, weighted: Mapping[str, tuple[Any, Any]], norms: Mapping[str, Any]
) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """Outputs of the layers in the order of their calls, and what every batch norm was given."""
    calls: list[tuple[str, Any]] = []
    takers: list[tuple[str, Any]] = []
    by_hooked: dict[int, tuple[Any, list[str]]] = {}
    for name, (_, hooked) in weighted.items():
        by_hooked.setdefault(id(hooked), (hooked, []))[1].append(name)

    def ran(module: Any, _args: Any, output: Any) -> None:
        value = output[0] if isinstance(output, tuple) and output else output
        calls.extend((name, value) for name in by_hooked[id(module)][1])

    def took(name: str) -> Any:
        return lambda _module, args: takers.append((name, args[0] if args else None))

    handles = [hooked.register_forward_hook(ran, prepend=True) for hooked, _ in by_hooked.values()]
    handles += [module.register_forward_pre_hook(took(name)) for name, module in norms.items()]
    try:
        with given_back(model):
            run(model, few)
    finally:
        for handle in handles:
            handle.remove()
    return calls, takers


def _unfit(hooked: Any, module: Any, output: Any, count: int) -> str:
    """Why an output cannot be projected image by image, or nothing."""
    if not hasattr(output, "untyped_storage") or output.ndim < 2 or not output.is_floating_point():
        return f"its output is no batch of numbers but {type(output).__name__}"
    rows = channels_second(hooked, module, output).shape[0]
    return "" if rows == count else f"its output has {rows} rows for {count} images: no row belongs to one image"


def _normed(module: Any, output: Any) -> bool:
    """Whether a batch norm that takes an output scales the channels of the layer: it scales the second axis."""
    return is_convolution(module) or output.ndim == 2


def channels_second(hooked: Any, module: Any, output: Any) -> Any:
    """(N, d, *positions) whatever the layer: the channels of a linear layer are last, and attention may have time first."""
    if type(hooked).__name__ == ATTENTION and hooked is not module and not hooked.batch_first and output.ndim == 3:
        output = output.transpose(0, 1)
    return output if is_convolution(module) else output.movedim(-1, 1)


def is_convolution(module: Any) -> bool:
    """Whether the second axis of its output holds the channels."""
    return any(base.__name__ in CONVOLUTIONS for base in type(module).__mro__)


def placed(model: Any, batch: Any) -> Any:
    """A batch as a tensor on the device of the network, in its floating type."""
    import numpy as np
    import torch

    value = torch.from_numpy(np.require(batch, requirements=("C", "W"))) if isinstance(batch, np.ndarray) else batch
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if like is None or not isinstance(value, torch.Tensor):
        return value
    return value.to(like.device, like.dtype if value.is_floating_point() else None)


def run(model: Any, batch: Any) -> Any:
    """Output of a network for a batch.

    Raises:
        UsageError: It does not run on it; the message has the shape.
    """
    given = placed(model, batch)
    try:
        return model(given)
    except UsageError:
        raise
    except Exception as error:
        said = (str(error) or type(error).__name__).splitlines()[0]
        shape = tuple(getattr(given, "shape", ()))
        raise UsageError(
            f"{type(model).__name__}: expected images that the network runs on, got {type(error).__name__} for a batch of shape "
            f"{shape}: {said}"
        ) from error


@contextmanager
def watched(model: Any, sites: tuple[Site, ...], take: Any) -> Iterator[Any]:
    """Give the raw output of every site to `take(site, output)` while the network runs; nothing of it is left behind.

    The output is taken before hooks of others and before anything can change it in place.

    Yields:
        A function to call before every pass, which counts calls from 0 again.
    """
    counts: dict[int, int] = {}
    by_hooked: dict[int, tuple[Any, list[Site]]] = {}
    for site in sites:
        by_hooked.setdefault(id(site.hooked), (site.hooked, []))[1].append(site)

    def hook(module: Any, _args: Any, output: Any) -> None:
        place = counts.get(id(module), 0)
        counts[id(module)] = place + 1
        for site in by_hooked[id(module)][1]:
            if site.call == place:
                value = output[0] if isinstance(output, tuple) else output
                take(site, channels_second(site.hooked, site.module, value))

    handles = [hooked.register_forward_hook(hook, prepend=True) for hooked, _ in by_hooked.values()]
    try:
        with given_back(model):
            yield counts.clear
    finally:
        for handle in handles:
            handle.remove()


def _weighted(name: str, module: Any, modules: Mapping[str, Any]) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """Layers of one module by name, each with the module that gives its output; and what is left out, with the reason."""
    bases = {base.__name__ for base in type(module).__mro__}
    if ATTENTION in bases:
        inner = f"{name}.out_proj".lstrip(".")
        reason = "torch's attention reads query, key and value from one weight without calling a layer"
        return {inner: (module.out_proj, module)}, {f"{name}.in_proj_weight".lstrip("."): reason}
    if "NonDynamicallyQuantizableLinear" in bases and any(child is module for child in _attended(modules)):
        return {}, {}
    weight = getattr(module, "weight", None)
    if bases & {*CONVOLUTIONS, "Linear"} and weight is not None and callable(getattr(module, "register_forward_hook", None)):
        if weight.__class__.__name__ == "UninitializedParameter":
            return {}, {name: "its weight has no shape before the network ran once"}
        if weight.dim() < 2 or not weight.is_floating_point():
            return {}, {name: f"its weight is {str(weight.dtype).removeprefix('torch.')}, not a matrix of floating-point numbers"}
        return {name: (module, module)}, {}
    if weight is not None and getattr(weight, "dim", lambda: 0)() >= 2:
        return {}, {name: f"{type(module).__name__} is no linear layer and no convolution"}
    if bases & {"RNNBase"}:
        return {}, {name: f"{type(module).__name__} multiplies with its weights inside one call"}
    return {}, {}


def _attended(modules: Mapping[str, Any]) -> Iterator[Any]:
    for module in modules.values():
        if any(base.__name__ == ATTENTION for base in type(module).__mro__):
            yield module.out_proj


def _some(weighted: Mapping[str, Any]) -> str:
    names = list(weighted)
    return f"there are {', '.join(map(repr, names[:6]))}{', ...' if len(names) > 6 else ''}" if names else "there is none"
