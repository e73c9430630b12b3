"""Tasks: digits against the copy of scikit-learn, the XOR mixture against its Bayes rule, files with every fault."""

import gzip
import re
import struct
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from modescope.errors import ModescopeError, UnreadableError, UnsafeError, UsageError
from modescope.modes import tasks

RNG = np.random.default_rng(0)
X, Y = RNG.random((20, 3)), np.arange(20) % 4


def idx_file(path: Path, array: np.ndarray[Any, Any], *, packed: bool = False) -> None:
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def mnist(folder: Path, *, packed: bool = False) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    images, labels = RNG.integers(0, 256, (12, 5, 4)), np.arange(12) % 3
    for name, some in (("train", slice(0, 9)), ("t10k", slice(9, 12))):
        end = ".gz" if packed else ""
        idx_file(folder / f"{name}-images-idx3-ubyte{end}", images[some], packed=packed)
        idx_file(folder / f"{name}-labels-idx1-ubyte{end}", labels[some], packed=packed)
    return images, labels


def test_digits_are_those_of_scikit_learn_in_the_order_of_the_permutation() -> None:
    held = pytest.importorskip("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(1797)
    task = tasks.digits()
    assert np.array_equal(task.x_train, (held.data[order[:1437]] / 16).astype(np.float32))
    assert np.array_equal(task.x_test, (held.data[order[1437:]] / 16).astype(np.float32))
    assert np.array_equal(np.concatenate([task.y_train, task.y_test]), held.target[order])
    assert (task.kind, task.inputs, task.outputs, len(task.y_test)) == ("classes", 64, 10, 360)


def test_the_shipped_digits_are_small_and_say_where_they_come_from() -> None:
    assert tasks.DIGITS.stat().st_size < 80_000
    said = (tasks.DIGITS.parent / "SOURCE.md").read_text()
    assert "CC BY 4.0" in said
    made: dict[str, Any] = {}
    code = re.search(r"```python\n(.*?)```", said, re.S)
    assert code is not None
    pytest.importorskip("sklearn")
    exec(code[1].replace('np.savez_compressed("digits.npz", ', "made.update("), {"made": made})
    with np.load(tasks.DIGITS) as held:
        assert all(np.array_equal(held[name], made[name]) and held[name].dtype == np.uint8 for name in ("images", "labels"))


def test_another_split_has_the_same_samples_in_other_parts() -> None:
    one, other = tasks.digits(0), tasks.digits(1)
    assert not np.array_equal(one.x_test, other.x_test)
    rows = [np.sort(np.vstack([task.x_train, task.x_test]).sum(1)) for task in (one, other)]
    assert np.array_equal(*rows)


def test_the_bayes_rule_of_xor_is_right_as_often_as_its_formula_says() -> None:
    task = tasks.xor(seed=1)
    q = NormalDist().cdf(-(5**0.5))
    expected = 1 - 2 * q * (1 - q)
    right = float((np.sign(task.x_test.prod(1)) == task.y_test[:, 0]).mean())
    assert expected == pytest.approx(0.97497, abs=5e-6)
    assert abs(right - expected) < 4 * np.sqrt(expected * (1 - expected) / len(task.y_test))
    assert (task.kind, task.outputs) == ("signs", 1)


def test_the_clouds_of_xor_have_the_published_centres_and_covariance() -> None:
    task = tasks.xor(seed=2, train=40_000, test=1)
    quadrant = task.x_train[(task.x_train > 0).all(1)]
    spread = task.x_train - 0.5 * np.sign(task.x_train)  # a few samples cross an axis, and fold
    assert np.abs(quadrant.mean(0) - 0.5).max() < 0.03
    assert float((spread**2).mean()) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_give_flat_pixels_of_0_to_1_with_their_classes(tmp_path: Path, packed: bool) -> None:
    images, labels = mnist(tmp_path, packed=packed)
    task = tasks.of_idx(tmp_path)
    assert np.array_equal(task.x_train, (images[:9].reshape(9, 20) / 255).astype(np.float32))
    assert np.array_equal(task.y_test, labels[9:])
    assert np.array_equal(task.shaped(1, 5, 4).x_test[:, 0] * 255, images[9:].astype(np.float32))


def test_an_archive_of_whole_data_holds_a_fifth_out_and_one_of_parts_keeps_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=X, y=Y)
    task = tasks.of_npz(tmp_path / "whole.npz")
    assert (len(task.x_train), len(task.x_test)) == (16, 4)
    assert np.allclose(np.sort(np.vstack([task.x_train, task.x_test]), 0), np.sort(X, 0))
    np.savez(tmp_path / "parts.npz", x_train=X[:15], y_train=Y[:15], x_test=X[15:], y_test=Y[15:])
    parts = tasks.opened(str(tmp_path / "parts.npz"))
    assert np.array_equal(parts.x_test, X[15:].astype(np.float32))
    assert parts.digest != task.digest


def test_kinds_follow_from_the_types_of_what_is_to_be_said() -> None:
    def kind(y: np.ndarray[Any, Any], **options: Any) -> tuple[str, int]:
        task = tasks.of_arrays(X, y, X, y, **options)
        return task.kind, task.outputs

    assert kind(Y) == ("classes", 4)
    assert kind(Y.astype(np.uint8), classes="abcde") == ("classes", 5)
    assert kind(Y.astype(float)) == ("numbers", 1)
    assert kind(np.ones((20, 2, 3))) == ("numbers", 6)
    assert kind(np.where(Y > 1, 1.0, -1.0), classes=["no", "yes"]) == ("signs", 1)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((X, Y, X[:, :2], Y), "one shape"),
        ((X, Y[:5], X, Y), "one answer in y_train"),
        ((X, Y, X, Y + 1), "classes 0 to 3 in y_test, got 1 to 4"),
        ((X, Y - 1, X, Y), "got -1 to 2"),
        ((X, 9 * Y, X, Y), "fewer classes than samples"),
        ((np.where(X > 0.9, np.nan, X), Y, X, Y), "finite float32 numbers in x_train"),
        ((X, Y, 1e300 * X, Y), "finite float32 numbers in x_test"),
        ((X, np.where(Y, 1.0, np.inf), X, X[:, 0]), "finite float32 numbers in y_train"),
        ((X[:0], Y[:0], X, Y), "x_train as numbers"),
        ((X.astype(str), Y, X, Y), "x_train as numbers"),
        ((X, Y.astype(str), X, Y), "y_train as classes or numbers"),
        ((X, np.stack([Y, Y], 1), X, np.stack([Y, Y], 1)), "one class for each sample"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: tuple[Any, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        tasks.of_arrays(*arrays)


def test_two_names_need_signs() -> None:
    with pytest.raises(UsageError, match="targets -1 and 1"):
        tasks.of_arrays(X, X[:, 0], X, X[:, 0], classes=["a", "b"])


def test_files_with_faults_are_refused_by_name(tmp_path: Path) -> None:
    def refused(error: type[ModescopeError], words: str, path: Path) -> None:
        with pytest.raises(error, match=words) as caught:
            tasks.opened(str(path))
        assert path.name in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    refused(UsageError, "there is no such data", tmp_path / "none.npz")
    refused(UsageError, "IDX files of train images", tmp_path)
    mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    refused(UsageError, "test images and labels.*without their labels", tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0")
    with pytest.raises(UnreadableError, match="t10k-labels"):
        tasks.opened(str(tmp_path))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 not an archive")
    refused(UnreadableError, "cannot be read", tmp_path / "cut.npz")
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, X)
    refused(UnreadableError, "got one array", tmp_path / "one.npz")
    np.savez(tmp_path / "objects.npz", x=np.array([{}]), y=Y)
    refused(UnsafeError, "Python objects", tmp_path / "objects.npz")
    np.savez(tmp_path / "other.npz", a=X)
    refused(UsageError, "x_train, y_train, x_test, y_test, or x, y, got a", tmp_path / "other.npz")


def test_a_shape_of_another_size_and_a_negative_split_are_refused() -> None:
    with pytest.raises(UsageError, match="a shape of 64 numbers"):
        tasks.digits().shaped(1, 8, 7)
    for make in (tasks.digits, tasks.xor):
        with pytest.raises(UsageError, match="0 or more"):
            make(-1)
