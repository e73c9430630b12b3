"""What a network learns: features with classes, signs or numbers, in a training and a test part, from wherever they come."""

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modescope import idx
from modescope.errors import UnreadableError, UnsafeError, UsageError

DIGITS = Path(__file__).parents[1] / "data" / "digit_images" / "digits.npz"
DIGITS_TRAIN = 1437  # of 1797 images: four in five
FULL = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0, np.dtype(np.bool_): 1.0}
NAMES = (("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels"))
WHOLE = (("x", "y"), ("X", "y"), ("images", "labels"), ("data", "target"))
HELD_OUT = 0.2  # share of samples that are for testing where the data do not say which are
XOR_SPREAD = 0.05  # variance about a centre of the XOR mixture
XOR_CENTRE = 0.5


@dataclass(frozen=True, eq=False)
class Task:
    """Samples with what is to be said of them.

    What `y` is follows from its type: int64 are classes, 0 up to their number; float32 are numbers, or with two names in `classes`
    signs, -1 for the first and +1 for the second.

    Attributes:
        name: Of the data.
        x_train: (N, ...) float32 features to learn from.
        y_train: (N,) int64 classes, or (N, outputs) float32 targets.
        x_test: (M, ...) features that are only tested on.
        y_test: Their classes or targets.
        classes: Names; empty of numbers.
        source: Where the samples come from, in words.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]
    classes: tuple[str, ...]
    source: str

    @property
    def kind(self) -> str:
        """What `y` is: "classes", "signs" or "numbers"."""
        if self.y_train.dtype == np.int64:
            return "classes"
        return "signs" if self.classes else "numbers"

    @property
    def inputs(self) -> int:
        """Numbers in the features of one sample."""
        return int(np.prod(self.x_train.shape[1:], dtype=int))

    @property
    def outputs(self) -> int:
        """Outputs that a network needs."""
        return len(self.classes) if self.kind == "classes" else int(np.prod(self.y_train.shape[1:], dtype=int))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all samples in their order."""
        found = hashlib.sha256()
        for one in (self.x_train, self.y_train, self.x_test, self.y_test):
            found.update(f"{one.dtype.name} {one.shape}".encode())
            found.update(np.ascontiguousarray(one).reshape(-1).view(np.uint8).data)
        return found.hexdigest()

    def shaped(self, *shape: int) -> "Task":
        """The same samples with features of another shape, as (1, 8, 8) for a convolution.

        Raises:
            UsageError: It has another number of entries.
        """
        if int(np.prod(shape, dtype=int)) != self.inputs:
            raise UsageError(f"{self.name}: expected a shape of {self.inputs} numbers for one sample, got {shape}.")
        x_train, x_test = (one.reshape(len(one), *shape) for one in (self.x_train, self.x_test))
        return replace(self, x_train=x_train, x_test=x_test)


def of_arrays(
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike,
    y_test: ArrayLike,
    *,
    classes: Sequence[str] = (),
    name: str = "arrays",
    source: str = "",
) -> Task:
    """A task from arrays.

    Args:
        x_train: (N, ...) features. Whole numbers of 8 and 16 bits are scaled to 0..1, others are left as they are.
        y_train: (N,) classes as whole numbers, or (N,) or (N, outputs) targets as floating-point numbers.
        x_test: (M, ...) features.
        y_test: Their classes or targets.
        classes: Names of the classes, by default their numbers; of targets -1 and +1 the two names of the signs.
        name: Of the data.
        source: Where they come from.

    Raises:
        UsageError: Shapes that do not fit, no samples, numbers that are not finite, or classes out of range.
    """
    x = [_features(name, part, one) for part, one in (("x_train", x_train), ("x_test", x_test))]
    y = [np.asarray(one) for one in (y_train, y_test)]
    if x[0].shape[1:] != x[1].shape[1:] or y[0].shape[1:] != y[1].shape[1:]:
        raise UsageError(
            f"{name}: expected samples of one shape, got {x[0].shape[1:]} with {y[0].shape[1:]} to learn from and {x[1].shape[1:]} "
            f"with {y[1].shape[1:]} to test on."
        )
    for part, features, said in zip(("train", "test"), x, y, strict=True):
        if not len(features) or said.ndim < 1 or len(said) != len(features):
            raise UsageError(
                f"{name}: expected one answer in y_{part} for each sample in x_{part}, got {said.shape} for {len(features)}."
            )
    if all(one.dtype.kind in "iub" for one in y):
        y_train, y_test, names = _classes(name, y[0], y[1], tuple(classes))
    else:
        y_train, y_test = (_targets(name, part, one) for part, one in zip(("y_train", "y_test"), y, strict=True))
        names = tuple(classes)
        if names and (len(names) != 2 or any(set(np.unique(one)) - {-1.0, 1.0} for one in (y_train, y_test))):
            raise UsageError(f"{name}: expected targets -1 and 1 for two names of signs, got {len(names)} names or other targets.")
    return Task(name, x[0], y_train, x[1], y_test, names, source or name)


def digits(split: int = 0) -> Task:
    """1797 images of handwritten digits, 64 pixels of 0 to 1, ten classes: 1437 to learn from and 360 to test on.

    One test image is 0.28 points of accuracy: differences below half a point need several splits.

    Args:
        split: Which samples are which: the seed of the permutation whose first 1437 are learnt from.

    Raises:
        UsageError: A negative split.

    References:
        Alpaydin & Kaynak (1998), UCI Machine Learning Repository, doi:10.24432/C50P49.
    """
    if split < 0:
        raise UsageError(f"digits: expected a split of 0 or more, got {split}.")
    with np.load(DIGITS, allow_pickle=False) as held:
        images, labels = held["images"], held["labels"]
    x, y = images.reshape(len(images), -1).astype(np.float32) / 16, labels.astype(np.int64)
    order = np.random.default_rng(split).permutation(len(x))
    train, test = order[:DIGITS_TRAIN], order[DIGITS_TRAIN:]
    source = f"Optical Recognition of Handwritten Digits (UCI), split {split}"
    return of_arrays(x[train], y[train], x[test], y[test], classes=[str(n) for n in range(10)], name="digits", source=source)


def xor(seed: int = 0, train: int = 20_000, test: int = 20_000) -> Task:
    """The XOR mixture: four Gaussian clouds at (+-0.5, +-0.5) of covariance 0.05, whose sign is the product of those of the centre.

    The sign is that of the cloud and not of the sample: no rule is right for more than `1 - 2 q (1 - q) = 0.97497` of them,
    q = Phi(-sqrt(5)).

    Args:
        seed: Of the draws.
        train: Samples to learn from.
        test: Samples to test on.

    Raises:
        UsageError: A negative seed, or no samples.

    References:
        Li & Huang (2023), doi:10.1103/PhysRevResearch.5.L022011, figure 1.
    """
    if min(train, test) < 1 or seed < 0:
        raise UsageError(f"xor: expected samples and a seed of 0 or more, got {train} and {test} samples, seed {seed}.")
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=(train + test, 2))
    x = XOR_CENTRE * signs + np.sqrt(XOR_SPREAD) * rng.standard_normal(signs.shape)
    y = signs.prod(1, keepdims=True)
    return of_arrays(
        *(x[:train], y[:train], x[train:], y[train:]), classes=["-1", "+1"], name="xor", source=f"XOR Gaussian mixture, seed {seed}"
    )


def of_idx(folder: str | Path) -> Task:
    """MNIST, Fashion-MNIST and their like: four IDX files in a folder, packed or not; pixels of 0 to 1, flat.

    Raises:
        UsageError: A file is missing, or what is in them does not fit.
        UnreadableError: One is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder of IDX files, as train-images-idx3-ubyte and its three companions.")
    images = sorted(one for one in folder.iterdir() if one.is_file() and idx.claims(one) and "images" in one.name.lower())
    parts = []
    for part, starts in (("train", ("train",)), ("test", ("t10k", "test"))):
        found = [one for one in images if one.name.lower().startswith(starts)]
        beside = idx.beside(found[0]) if found else None
        if beside is None:
            said = ", ".join(one.name for one in images) or "none"
            raise UsageError(
                f"{folder}: expected IDX files of {part} images and labels ({starts[-1]}-images-idx3-ubyte, with or without .gz), "
                f"got images {said}{' without their labels' if found else ''}."
            )
        parts += [_flat(np.asarray(idx.read(found[0]))), np.asarray(idx.read(beside))]
    return of_arrays(*parts, name=folder.resolve().name, source=f"IDX files in {folder.resolve().name}")


def of_npz(path: str | Path, split: int = 0) -> Task:
    """An archive of NumPy arrays: x_train, y_train, x_test and y_test, or x and y, of which a fifth is held out for testing.

    Features are taken flat. Of x and y, `split` seeds the permutation whose last fifth is the test.

    Raises:
        UsageError: Other arrays, or what is in them does not fit.
        UnreadableError: It is damaged.
        UnsafeError: It holds Python objects.
    """
    path = Path(path)
    if split < 0:
        raise UsageError(f"{path}: expected a split of 0 or more, got {split}.")
    arrays = _archive(path)
    known = [f"{', '.join(one)}" for one in (*NAMES, *WHOLE)]
    said = {"name": path.stem, "source": path.name}
    for four in NAMES:
        if set(four) <= set(arrays):
            x_train, y_train, x_test, y_test = (arrays[one] for one in four)
            return of_arrays(_flat(x_train), y_train, _flat(x_test), y_test, **said)
    for x_name, y_name in WHOLE:
        if {x_name, y_name} <= set(arrays):
            x, y = _flat(arrays[x_name]), arrays[y_name]
            if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
                raise UsageError(f"{path}: expected one answer for each sample, got {y.shape} for {x.shape}.")
            order = np.random.default_rng(split).permutation(len(x))
            test = max(1, round(HELD_OUT * len(x)))
            learnt, tested = order[: len(x) - test], order[len(x) - test :]
            return of_arrays(x[learnt], y[learnt], x[tested], y[tested], **said)
    held = ", ".join(sorted(arrays)[:8]) or "nothing"
    raise UsageError(f"{path}: expected arrays named {known[0]}, or {known[2]}, got {held}.")


def opened(data: str, *, split: int = 0) -> Task:
    """The task that a word or a path names: digits, xor, a folder of IDX files, or an .npz file.

    Args:
        data: The word or path. A path that is called like a word is written ./digits.
        split: Of data that do not say which samples are for testing, and of xor the seed.

    Raises:
        UsageError: There is nothing of that name, or it does not fit.
        UnreadableError: A file is damaged.
        UnsafeError: It holds Python objects.
    """
    if data == "digits":
        return digits(split)
    if data == "xor":
        return xor(split)
    path = Path(data)
    if path.is_dir():
        return of_idx(path)
    if path.suffix == ".npz" and path.is_file():
        return of_npz(path, split)
    raise UsageError(f"{data}: expected digits, xor, a folder of IDX files or an .npz file; there is no such data.")


def _features(name: str, part: str, given: ArrayLike) -> NDArray[np.float32]:
    found = np.asarray(given)
    if found.ndim < 2 or found.dtype.kind not in "fiub" or not found.size:
        raise UsageError(f"{name}: expected {part} as numbers (samples, features), got {found.dtype} of shape {found.shape}.")
    with np.errstate(over="ignore"):  # what is too large for float32 is not finite there, which is said below
        scaled = np.asarray(found, np.float32)
    if (full := FULL.get(found.dtype, 1.0)) != 1:
        scaled = scaled / np.float32(full)
    _finite(name, part, scaled)
    return np.ascontiguousarray(scaled)


def _targets(name: str, part: str, given: NDArray[Any]) -> NDArray[np.float32]:
    if given.dtype.kind not in "fiub" or not given.size:
        raise UsageError(f"{name}: expected {part} as classes or numbers, got {given.dtype} of shape {given.shape}.")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(given.reshape(len(given), -1) if given.ndim == 1 else given, np.float32)
    _finite(name, part, found)
    return found


def _finite(name: str, part: str, values: NDArray[np.float32]) -> None:
    if bad := values.size - int(np.isfinite(values).sum()):
        raise UsageError(f"{name}: expected finite float32 numbers in {part}, got {bad} that are not.")


def _classes(
    name: str, train: NDArray[Any], test: NDArray[Any], names: tuple[str, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    y = [one.reshape(-1) if one.ndim == 2 and one.shape[1] == 1 else one for one in (train, test)]
    if y[0].ndim != 1:
        raise UsageError(f"{name}: expected one class for each sample, got classes of shape {train.shape}. Pass numbers as floats.")
    most = len(names) or int(y[0].max()) + 1
    for part, one in zip(("y_train", "y_test"), y, strict=True):
        if one.min() < 0 or one.max() >= most:
            wanted = f"0 to {most - 1}" if one.min() >= 0 else "numbered from 0"
            raise UsageError(f"{name}: expected classes {wanted} in {part}, got {int(one.min())} to {int(one.max())}.")
    if most > len(y[0]):
        raise UsageError(f"{name}: expected fewer classes than samples, got labels up to {most - 1} for {len(y[0])} samples.")
    return y[0].astype(np.int64), y[1].astype(np.int64), names or tuple(str(n) for n in range(most))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1) if values.ndim > 1 else values


def _archive(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:  # which NumPy leaves open where it is damaged
            held = np.load(file, allow_pickle=False)
            if isinstance(held, np.ndarray):
                raise UnreadableError(f"{path}: expected an archive of arrays (.npz), got one array.")
            return {name: held[name] for name in held.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        if "bject" in str(error) and "pickle" in str(error):
            raise UnsafeError(f"{path}: holds Python objects, which run code when they are read; save plain numbers.") from error
        raise UnreadableError(f"{path}: expected an archive of arrays (.npz), got one that cannot be read.") from error
