import json
import math
import time
from pathlib import Path
from typing import Any

import pytest

from checkpoint_cases import counting, reasons, write_safetensors, written
from modescope import checkpoints
from modescope.errors import ModescopeError, UnreadableError, UnsafeError
from modescope.matrix import Tensor

LAYER = "base_model.model.layers.{}.attn.q_proj"


def adapter(folder: Path, *, ranks: tuple[int, ...] = (2, 4), **settings: Any) -> Path:
    arrays = {}
    for i, rank in enumerate(ranks):
        arrays[f"{LAYER.format(i)}.lora_A.weight"] = counting(rank, 6)
        arrays[f"{LAYER.format(i)}.lora_B.weight"] = counting(5, rank)
    arrays["base_model.model.classifier.weight"] = counting(3, 5)
    write_safetensors(folder / "adapter_model.safetensors", arrays)
    written(folder / "adapter_config.json", json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 16, **settings}).encode())
    return folder


def sample(folder: Path) -> tuple[Path, dict[str, Any]]:
    arrays = {f"{LAYER.format(0)}.lora_A.weight": counting(2, 6), f"{LAYER.format(0)}.lora_B.weight": counting(5, 2)}
    adapter(folder)
    write_safetensors(folder / "adapter_model.safetensors", arrays)
    return folder, arrays


def factor(folder: Path, layer: int, which: str) -> Tensor:
    return next(t for t in checkpoints.open(folder).tensors if t.name == f"{LAYER.format(layer)}.lora_{which}.weight")


@pytest.mark.parametrize("which", ["A", "B"])
def test_the_scale_is_alpha_over_the_rank_of_the_factors(tmp_path, which):
    adapter(tmp_path, rank_pattern={"layers.1.attn.q_proj": 4})
    first, second = factor(tmp_path, 0, which), factor(tmp_path, 1, which)
    assert (first.declared["module"], first.declared["lora.r"], float(first.declared["lora.scale"])) == ("LoRA", "2", 8.0)
    assert (second.declared["lora.r"], float(second.declared["lora.scale"])) == ("4", 4.0)


def test_rank_stabilised_scale_divides_by_the_root(tmp_path):
    adapter(tmp_path, use_rslora=True)
    declared = factor(tmp_path, 0, "A").declared
    assert float(declared["lora.scale"]) == 16 / math.sqrt(2)
    assert (declared["lora.rslora"], declared["lora.dora"], declared["lora.fan_in_fan_out"]) == ("true", "false", "false")


@pytest.mark.parametrize("pattern", ["layers.1.attn.q_proj", "1.attn.q_proj", r"layers\.1\..*", r"^layers\.(1|2)\.attn\.q_proj"])
def test_a_pattern_changes_alpha_of_the_layers_it_means_and_of_no_other(tmp_path, pattern):
    adapter(tmp_path, alpha_pattern={pattern: 64})
    assert float(factor(tmp_path, 0, "B").declared["lora.alpha"]) == 16
    assert float(factor(tmp_path, 1, "B").declared["lora.alpha"]) == 64
    assert float(factor(tmp_path, 1, "B").declared["lora.scale"]) == 16


def test_a_plain_pattern_means_whole_parts_of_a_name(tmp_path):
    adapter(tmp_path, alpha_pattern={"proj": 64, "q_pro": 64})
    assert float(factor(tmp_path, 0, "A").declared["lora.alpha"]) == 16


@pytest.mark.parametrize("pattern", ["(a+)+$", "(.*a){20}", "a?a?a?a?a?a?", "(a|a)(a|a)(a|a)(a|a)", ".*.*.*.*x", r"(a)\1"])
def test_a_pattern_that_could_run_for_ever_is_refused(tmp_path, pattern):
    start = time.process_time()
    with pytest.raises(UnsafeError, match="alpha_pattern"):
        checkpoints.open(adapter(tmp_path, alpha_pattern={pattern: 1}))
    assert time.process_time() - start < 5


def test_a_layer_saved_whole_is_no_pair(tmp_path):
    adapter(tmp_path)
    whole = next(t for t in checkpoints.open(tmp_path).tensors if t.name == "base_model.model.classifier.weight")
    assert "module" not in whole.declared
    assert "lora.scale" not in whole.declared


def test_other_adapters_are_skipped_with_their_type(tmp_path):
    adapter(tmp_path, peft_type="ADALORA")
    assert not checkpoints.open(tmp_path).tensors
    assert all("ADALORA" in reason for reason in reasons(tmp_path).values())


def test_embeddings_and_convolutions_show_their_rank_on_the_same_axes(tmp_path):
    adapter(tmp_path)
    arrays = {"e.lora_embedding_A": counting(3, 50), "e.lora_embedding_B": counting(7, 3), "c.lora_A.weight": counting(4, 2, 3, 3)}
    arrays |= {"c.lora_B.weight": counting(8, 4, 1, 1), "c.lora_magnitude_vector.weight": counting(8)}
    write_safetensors(tmp_path / "adapter_model.safetensors", arrays)
    ranks = {t.name: t.declared.get("lora.r") for t in checkpoints.open(tmp_path).tensors}
    assert list(ranks.values()) == ["3", "3", "4", "4", None]


def test_torch_adapters_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    torch.save({f"{LAYER.format(0)}.lora_A.weight": torch.ones(2, 6)}, tmp_path / "adapter_model.bin")
    assert factor(tmp_path, 0, "A").declared["lora.scale"] == "8.0"


def test_an_adapter_beside_the_config_of_its_model_is_still_an_adapter(tmp_path):
    adapter(tmp_path)
    written(tmp_path / "config.json", b"{}")
    assert checkpoints.open(tmp_path).format == "peft"


@pytest.mark.parametrize(
    "settings", [{"lora_alpha": None}, {"lora_alpha": "16"}, {"lora_alpha": True}, {"lora_alpha": -1}, {"alpha_pattern": [1]}]
)
def test_a_config_without_a_usable_alpha_is_refused(tmp_path, settings):
    with pytest.raises(UnreadableError, match=r"adapter_config\.json.*alpha"):
        checkpoints.open(adapter(tmp_path, **settings))


def test_a_config_without_its_adapter_is_an_error(tmp_path):
    adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ModescopeError, match="without any"):
        checkpoints.open(tmp_path)
