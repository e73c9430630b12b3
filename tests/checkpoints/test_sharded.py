import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoint_cases import counting, read_all, reasons, same, write_safetensors, written
from modescope import checkpoints
from modescope.errors import ModescopeError, UnreadableError, UnsafeError


def index(folder: Path, weight_map: Any) -> Path:
    return written(folder / "model.safetensors.index.json", json.dumps({"metadata": {}, "weight_map": weight_map}).encode())


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {"a.weight": counting(3, 4), "b.weight": counting(2, 2), "a.bias": counting(3)}
    write_safetensors(folder / "model-1.safetensors", {"a.weight": arrays["a.weight"], "a.bias": arrays["a.bias"]})
    write_safetensors(folder / "model-2.safetensors", {"b.weight": arrays["b.weight"]})
    return index(
        folder, {"a.weight": "model-1.safetensors", "b.weight": "model-2.safetensors", "a.bias": "model-1.safetensors"}
    ), arrays


def test_tensors_keep_the_order_of_the_index_and_not_of_the_shards(tmp_path):
    path, arrays = sample(tmp_path)
    assert [tensor.name for tensor in checkpoints.open(path).tensors] == list(arrays)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "a/../../secret.safetensors",
        "/etc/secret.safetensors",
        "..\\secret.safetensors",
        "C:\\secret",
        "C:secret",
        "",
        "x\0",
    ],
)
def test_a_shard_name_that_leaves_the_folder_is_refused_even_where_the_file_exists(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    write_safetensors(tmp_path / "secret.safetensors", {"w": counting(2, 2)})
    with pytest.raises(UnsafeError, match="folder of the index"):
        checkpoints.open(index(inside, {"w": name}))


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "s.safetensors").symlink_to(write_safetensors(tmp_path / "secret.safetensors", {"w": counting(2, 2)}))
    with pytest.raises(UnsafeError, match="link"):
        checkpoints.open(index(inside, {"w": "s.safetensors"}))


def test_a_linked_folder_that_leaves_is_refused(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    write_safetensors(outside / "s.safetensors", {"w": counting(2, 2)})
    (inside / "sub").symlink_to(outside)
    with pytest.raises(UnsafeError, match="link"):
        checkpoints.open(index(inside, {"w": "sub/s.safetensors"}))


def test_a_download_cache_of_links_into_one_folder_opens(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    path, arrays = sample(blobs)
    for file in blobs.iterdir():
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", file.name))
    assert read_all(snapshot / path.name).keys() == arrays.keys()


def test_a_missing_shard_is_named(tmp_path):
    path, _ = sample(tmp_path)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(UnreadableError, match=r"model-2\.safetensors"):
        checkpoints.open(path)


def test_a_tensor_its_shard_lacks_is_named(tmp_path):
    sample(tmp_path)
    with pytest.raises(UnreadableError, match=r"'c\.weight'.*'model-1\.safetensors'"):
        checkpoints.open(index(tmp_path, {"c.weight": "model-1.safetensors"}))


def test_a_tensor_the_index_does_not_know_is_no_silent_gap(tmp_path):
    sample(tmp_path)
    path = index(tmp_path, {"a.weight": "model-1.safetensors"})
    assert list(read_all(path)) == ["a.weight"]
    assert "index" in reasons(path)["model-1.safetensors: a.bias"]


@pytest.mark.parametrize("shard", ["model.safetensors.index.json", "folder"])
def test_an_index_of_indices_or_folders_is_refused_and_does_not_recurse(tmp_path, shard):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnreadableError):
        checkpoints.open(index(tmp_path, {"w": shard}))


@pytest.mark.parametrize("weight_map", [None, [], "x", {"w": 3}, {"w": ["a"]}])
def test_an_index_without_a_usable_map_is_refused(tmp_path, weight_map):
    with pytest.raises(UnreadableError, match="weight_map"):
        checkpoints.open(index(tmp_path, weight_map))


def test_an_index_is_known_by_its_content_under_another_name(tmp_path):
    path, arrays = sample(tmp_path)
    assert read_all(path.rename(tmp_path / "list.json")).keys() == arrays.keys()


def test_torch_shards_are_read_and_tied_names_across_the_index_are_aliases(tmp_path):
    torch = pytest.importorskip("torch")
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"embed.weight": shared, "head.weight": shared}, tmp_path / "pytorch_model-1.bin")
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "pytorch_model-2.bin")
    path = index(
        tmp_path, {"embed.weight": "pytorch_model-1.bin", "head.weight": "pytorch_model-1.bin", "fc.weight": "pytorch_model-2.bin"}
    )
    embed, fc = checkpoints.open(path).tensors
    assert (embed.name, embed.aliases, fc.name) == ("embed.weight", ("head.weight",), "fc.weight")
    assert same(embed.read(), np.arange(6, dtype=np.float32).reshape(2, 3))


def test_an_unsafe_shard_stays_unsafe(tmp_path):
    written(tmp_path / "s.bin", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix.")
    with pytest.raises(ModescopeError, match="run code"):
        checkpoints.open(index(tmp_path, {"w": "s.bin"}))
