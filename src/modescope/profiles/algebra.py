"""Profiles: how often each mode was chosen and with which weight, for an image, a class or a data set; their sums and likeness."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modescope.checkpoints import safetensors
from modescope.errors import UnreadableError, UsageError
from modescope.matrix import Tensor
from modescope.profiles.images import Labels
from modescope.profiles.passing import Passed
from modescope.profiles.selection import SHARE, Chosen
from modescope.svd import Values

SCHEMA = "modescope.profiles/1"
KINDS = {"count": "int64", "balance": "int64", "total": "float64"}

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Parameters:
    """How modes were chosen; profiles are added only where it is the same.

    Attributes:
        aggregate: How positions became one number.
        bn: What was done with batch norms.
        share: Of the signal of an image that the chosen modes exceed.
        compat: Whose weights they are; empty for ours.
        rule: Rule by which modes were kept beforehand.
        amount: Its parameter.
    """

    aggregate: str = "mean"
    bn: str = "ignore"
    share: float = SHARE
    compat: str = ""
    rule: str = "all"
    amount: float | None = None


@dataclass(frozen=True, eq=False)
class LayerProfile:
    """The modes of one layer.

    Attributes:
        count: (r,) number of images that chose the mode.
        balance: (r,) how many of them did so with a positive signal, less those with a negative one.
        total: (r,) sum of their weights.
    """

    count: Counts
    balance: Counts
    total: Values

    def __post_init__(self) -> None:
        for array in (self.count, self.balance, self.total):
            array.flags.writeable = False

    @property
    def modes(self) -> NDArray[np.intp]:
        """Indices of the modes that were chosen, ascending."""
        return np.flatnonzero(self.count)

    @property
    def weight(self) -> Values:
        """(r,) mean weight over the images that chose the mode, 0 where none did."""
        return np.divide(self.total, self.count, out=np.zeros(self.count.size), where=self.count > 0)

    @property
    def sign(self) -> NDArray[np.int8]:
        """(r,) sign that most of them had, 0 where both were as many."""
        return np.sign(self.balance).astype(np.int8)


@dataclass(frozen=True)
class Entry:
    """A mode in a profile."""

    layer: str
    mode: int
    count: int
    weight: float
    sign: int


@dataclass(frozen=True, eq=False)
class Profile:
    """Which modes of a network some images chose.

    `a + b` is the profile of the images of both: counts are added, weights are means over all images that chose a mode. A profile
    of no images, `Profile()`, adds nothing. Iterating gives the modes that were chosen, in the order of layers and modes.

    Attributes:
        layers: Modes by name of the site, in the order in which they run.
        inputs: Number of images.
        parameters: How modes were chosen.
    """

    layers: Mapping[str, LayerProfile] = field(default_factory=dict)
    inputs: int = 0
    parameters: Parameters = Parameters()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))

    def __add__(self, other: "Profile") -> "Profile":
        return merged((self, other)) if isinstance(other, Profile) else NotImplemented

    def __iter__(self) -> Iterator[Entry]:
        for name, layer in self.layers.items():
            weight, sign = layer.weight, layer.sign
            for mode in layer.modes.tolist():
                yield Entry(name, mode, int(layer.count[mode]), float(weight[mode]), int(sign[mode]))

    def __len__(self) -> int:
        return sum(layer.modes.size for layer in self.layers.values())

    def __bool__(self) -> bool:
        return self.inputs > 0

    def __getitem__(self, layer: str) -> LayerProfile:
        return self.layers[layer]

    def __eq__(self, other: object) -> bool:
        """The same images' worth of the same modes: all numbers equal, whatever the order of the layers."""
        if not isinstance(other, Profile):
            return NotImplemented
        if (self.inputs, self.layers.keys()) != (other.inputs, other.layers.keys()):
            return False
        if _neutral(self) and _neutral(other):
            return True
        return self.parameters == other.parameters and all(
            np.array_equal(getattr(mine, kind), getattr(other.layers[name], kind))
            for name, mine in self.layers.items()
            for kind in KINDS
        )

    def __hash__(self) -> int:
        return hash((self.inputs, frozenset(self.layers)))


def profile(
    chosen: Mapping[str, Mapping[int, tuple[int, float, int]]],
    widths: Mapping[str, int],
    /,
    inputs: int,
    *,
    parameters: Parameters | None = None,
) -> Profile:
    """A profile by its entries.

    Args:
        chosen: For each layer (count, mean weight, sum of signs) by mode.
        widths: Number of modes r of each layer.
        inputs: Number of images.
        parameters: How modes were chosen.

    Raises:
        UsageError: A mode is not one of the layer, or its numbers are not those of so many images.
    """
    layers = {}
    for name, entries in chosen.items():
        width = widths[name]
        if bad := [mode for mode in entries if not 0 <= mode < width]:
            raise UsageError(f"layer {name!r}: expected modes from 0 to {width - 1}, got {bad[0]}.")
        count, balance, total = np.zeros(width, np.int64), np.zeros(width, np.int64), np.zeros(width)
        for mode, (times, weight, signs) in entries.items():
            count[mode], balance[mode], total[mode] = times, signs, times * weight
        if fault := _fault(count, balance, total, inputs):
            raise UsageError(f"layer {name!r}: {fault}.")
        layers[name] = LayerProfile(count, balance, total)
    return Profile(layers, inputs, parameters or Parameters())


def merged(profiles: Iterable[Profile], /) -> Profile:
    """The profile of the images of all: counts are added, and weights are means over all images that chose a mode.

    Raises:
        UsageError: Two were chosen in different ways, or a layer has more modes in one than in the other.
    """
    layers: dict[str, LayerProfile] = {}
    inputs, parameters = 0, None
    for one in profiles:
        if _neutral(one):
            continue
        if parameters is None:
            parameters = one.parameters
        elif one.parameters != parameters:
            differing = ", ".join(
                f"{key} {mine!r} and {theirs!r}"
                for key, mine in asdict(parameters).items()
                if (theirs := getattr(one.parameters, key)) != mine
            )
            raise UsageError(f"profiles: expected modes chosen in one way, got {differing}.")
        inputs += one.inputs
        for name, layer in one.layers.items():
            held = layers.get(name)
            layers[name] = layer if held is None else _sum(name, held, layer)
    return Profile(layers, inputs, parameters or Parameters())


def jaccard(a: Profile, b: Profile, /) -> float:
    """Modes chosen in both over modes chosen in either, of all layers together; 0 where neither has any."""
    pairs = _supports(a, b, {**a.layers, **b.layers})
    return _share(sum(int((x & y).sum()) for x, y in pairs.values()), sum(int((x | y).sum()) for x, y in pairs.values()))


def layer_jaccard(a: Profile, b: Profile, /) -> dict[str, float]:
    """The Jaccard index of every layer of either; 0 where one does not have it."""
    pairs = _supports(a, b, {**a.layers, **b.layers})
    return {name: _share(int((x & y).sum()), int((x | y).sum())) for name, (x, y) in pairs.items()}


def average_jaccard(a: Profile, b: Profile, /) -> float:
    """Mean of the Jaccard index over the layers of the first; a layer that the second does not have counts 0."""
    found = layer_jaccard(a, b)
    return sum(found[name] for name in a.layers) / len(a.layers) if a.layers else 0.0


def containment(a: Profile, b: Profile, /) -> float:
    """Modes chosen in both over those chosen in the first; 0 where it has none. Not symmetric."""
    pairs = _supports(a, b, a.layers)
    return _share(sum(int((x & y).sum()) for x, y in pairs.values()), sum(int(x.sum()) for x, _ in pairs.values()))


def per_image(chosen: Mapping[str, Chosen], /, *, parameters: Parameters | None = None) -> Iterator[Profile]:
    """The profile of every image of a batch, in order.

    Args:
        chosen: What each image chose, by site.
        parameters: How.
    """
    for i in range(len(next(iter(chosen.values())).selected) if chosen else 0):
        yield Profile({name: _layer(one, np.array([i])) for name, one in chosen.items()}, 1, parameters or Parameters())


@dataclass(frozen=True, eq=False)
class ProfilesByClass:
    """Profiles of a data set.

    Attributes:
        whole: Of all images.
        classes: By name of the class; that of a class without images has no inputs.
    """

    whole: Profile
    classes: Mapping[str, Profile]


class ClassProfiles:
    """Profiles of all classes in one pass over the images; memory depends on classes and modes alone."""

    def __init__(self, labels: Labels | None, *, classes: Sequence[str] = (), parameters: Parameters | None = None) -> None:
        """Start with nothing.

        Args:
            labels: (N,) class of each image, or None where there are none: then only the whole is made.
            classes: Their names; by default the labels.
            parameters: How modes are chosen, for the record.

        Raises:
            UsageError: There are more classes than names.
        """
        most = 0 if labels is None else int(labels.max(initial=-1)) + 1
        if classes and most > len(classes):
            raise UsageError(f"labels: expected classes below {len(classes)}, the number of their names, got {most - 1}.")
        self._given = 0 if labels is None else len(labels)
        self._labels, self._names = labels, tuple(classes) if classes else tuple(map(str, range(most)))
        self._parameters = parameters or Parameters()
        self._inputs = np.zeros(max(len(self._names), 1), np.int64)
        self._sums: dict[str, tuple[Counts, Counts, Values]] = {}

    def add(self, passed: Passed, chosen: Mapping[str, Chosen]) -> None:
        """Take a batch in.

        Args:
            passed: The batch, for the place of its images in the data set.
            chosen: What each of them chose, by site.

        Raises:
            UsageError: There are more images than labels.
        """
        if not chosen:
            return
        n = len(next(iter(chosen.values())).selected)
        label = np.zeros(n, np.int64) if self._labels is None else self._labels[passed.start : passed.start + n]
        if len(label) < n:
            raise UsageError(f"labels: expected one for each image, got {self._given} for more images than that.")
        member = np.zeros((self._inputs.size, n))
        member[label, np.arange(n)] = 1
        self._inputs += member.sum(axis=1).astype(np.int64)
        for name, one in chosen.items():
            if name not in self._sums:
                shape = (self._inputs.size, one.selected.shape[1])
                self._sums[name] = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape)
            count, balance, total = self._sums[name]
            count += (member @ one.selected).astype(np.int64)  # sums of ones are exact in float64
            balance += (member @ one.signs).astype(np.int64)
            total += member @ one.weights

    def value(self) -> ProfilesByClass:
        """The profiles so far."""
        each = [
            Profile(
                {name: LayerProfile(*(array[c].copy() for array in sums)) for name, sums in self._sums.items()},
                int(self._inputs[c]),
                self._parameters,
            )
            for c in range(self._inputs.size)
        ]
        return ProfilesByClass(merged(each), MappingProxyType(dict(zip(self._names, each, strict=False))))


def save(profiles: Mapping[str, Profile], path: str | Path, /) -> None:
    """Write profiles with their names into one safetensors file, which holds JSON and plain arrays and nothing that can run.

    Raises:
        UsageError: The file cannot be written, or a layer has more modes in one profile than in another.
    """
    from safetensors.numpy import save as packed

    path, names = Path(path), list(profiles)
    widths: dict[str, int] = {}
    for one in profiles.values():
        for name, layer in one.layers.items():
            if widths.setdefault(name, layer.count.size) != layer.count.size:
                raise UsageError(f"layer {name!r}: expected {widths[name]} modes in every profile, got {layer.count.size}.")
    tensors = {}
    for i, (name, width) in enumerate(widths.items()):
        held = [one.layers.get(name) for one in profiles.values()]
        tensors[f"{i}.held"] = np.array([layer is not None for layer in held], np.uint8)
        for kind, dtype in KINDS.items():
            empty = np.zeros(width, dtype)
            tensors[f"{i}.{kind}"] = np.stack([empty if layer is None else getattr(layer, kind) for layer in held])
    said = {
        "profiles": names,
        "inputs": [one.inputs for one in profiles.values()],
        "parameters": [asdict(one.parameters) for one in profiles.values()],
        "layers": list(widths),
    }
    data = packed(tensors, metadata={"schema": SCHEMA, "profiles": json.dumps(said)})
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def load(path: str | Path, /) -> dict[str, Profile]:
    """Profiles by name, out of a file that `save` wrote.

    Raises:
        UnreadableError: It cannot be read, is damaged, or was not written by `save`.
    """
    path = Path(path)
    metadata = safetensors.metadata(path)
    if metadata.get("schema") != SCHEMA:
        raise UnreadableError(f"{path}: expected profiles of schema {SCHEMA}, got {metadata.get('schema', 'no schema')!r:.60}.")
    tensors = {one.name: one for one in safetensors.tensors(path) if isinstance(one, Tensor)}
    try:
        return _loaded(json.loads(metadata["profiles"]), tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableError(f"{path}: damaged, {_line(error)}. Save the profiles again.") from error


def _loaded(said: Any, tensors: Mapping[str, Tensor]) -> dict[str, Profile]:
    names, layers, parameters = said["profiles"], said["layers"], [_parameters(one) for one in said["parameters"]]
    inputs = said["inputs"]
    for texts in (names, layers):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts) or len(set(texts)) < len(texts):
            raise ValueError("expected names that differ")
    if not len(names) == len(parameters) == len(inputs) or not all(type(one) is int and one >= 0 for one in inputs):
        raise ValueError("expected a number of images and parameters for each profile")
    found: list[dict[str, LayerProfile]] = [{} for _ in names]
    for i, layer in enumerate(layers):
        held = _array(tensors, f"{i}.held", "uint8", len(names), 1)
        arrays = [_array(tensors, f"{i}.{kind}", dtype, len(names), 2) for kind, dtype in KINDS.items()]
        if len({array.shape for array in arrays}) != 1:
            raise ValueError(f"layer {layer!r:.60}: expected arrays of one shape")
        for p in np.flatnonzero(held).tolist():
            count, balance, total = (array[p].copy() for array in arrays)
            if fault := _fault(count, balance, total, inputs[p]):
                raise ValueError(f"layer {layer!r:.60}: {fault}")
            found[p][layer] = LayerProfile(count, balance, total)
    return {name: Profile(each, count, chosen) for name, each, count, chosen in zip(names, found, inputs, parameters, strict=True)}


def _array(tensors: Mapping[str, Tensor], name: str, dtype: str, rows: int, ndim: int) -> Any:
    tensor = tensors[name]
    if tensor.stored != dtype or len(tensor.shape) != ndim or tensor.shape[0] != rows:
        raise ValueError(f"{name}: expected {dtype} with {rows} rows, got {tensor.stored} {tensor.shape}")
    return tensor.read()


def _parameters(plain: Any) -> Parameters:
    found = Parameters(**plain)
    for one in fields(Parameters):
        value = getattr(found, one.name)
        number = type(value) in (int, float) or (one.name == "amount" and value is None)
        if not (number if one.name in {"share", "amount"} else isinstance(value, str)):
            raise ValueError(f"parameter {one.name}: got {value!r:.60}")
    return found


def _fault(count: Counts, balance: Counts, total: Values, inputs: int) -> str:
    """What is impossible about the numbers of a layer, or nothing."""
    if (count < 0).any() or (count > inputs).any():
        return f"expected counts from 0 to {inputs}, the number of images"
    if (balance > count).any() or (balance < -count).any():
        return "expected as many signs as images that chose a mode"
    if not np.isfinite(total).all() or (total < 0).any() or (total[count == 0] != 0).any():
        return "expected finite weights from 0 on, of modes that were chosen"
    return ""


def _neutral(one: Profile) -> bool:
    """Whether it is of no images: adding it changes nothing, however modes were chosen."""
    return not one.inputs and not len(one)


def _sum(name: str, a: LayerProfile, b: LayerProfile) -> LayerProfile:
    if a.count.size != b.count.size:
        raise _misfit(name, a, b)
    return LayerProfile(a.count + b.count, a.balance + b.balance, a.total + b.total)


def _misfit(name: str, a: LayerProfile, b: LayerProfile) -> UsageError:
    return UsageError(f"layer {name!r}: expected profiles of one network, got {a.count.size} and {b.count.size} modes.")


def _layer(one: Chosen, rows: NDArray[np.intp]) -> LayerProfile:
    signs = one.signs[rows].sum(axis=0, dtype=np.int64)
    return LayerProfile(one.selected[rows].sum(axis=0, dtype=np.int64), signs, one.weights[rows].sum(axis=0))


def _supports(a: Profile, b: Profile, layers: Iterable[str]) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which modes of a layer were chosen in each."""
    found = {}
    for name in layers:
        one, other = a.layers.get(name), b.layers.get(name)
        if one is not None and other is not None and one.count.size != other.count.size:
            raise UsageError(
                f"layer {name!r}: expected profiles of one network, got {one.count.size} and {other.count.size} modes."
            )
        known = one if one is not None else other
        assert known is not None
        nothing = np.zeros(known.count.size, bool)
        found[name] = (nothing if one is None else one.count > 0, nothing if other is None else other.count > 0)
    return found


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
