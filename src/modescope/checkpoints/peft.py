"""Adapter folders (PEFT): `adapter_config.json` beside the two factors of each LoRA pair."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modescope.checkpoints._config import flattened
from modescope.checkpoints._folder import contents_of, weights_in
from modescope.checkpoints._json import read_object
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UnsafeError
from modescope.matrix import Skip, Tensor

CONFIG = "adapter_config.json"
DOWN = frozenset({"lora_A", "lora_embedding_A"})  # (r, in, ...)
UP = frozenset({"lora_B", "lora_embedding_B"})  # (out, r, ...)
MAGNITUDE = "lora_magnitude_vector"


def claims(source: Any, _head: bytes, /) -> int:
    """3 for a folder with an `adapter_config.json`."""
    return 3 if isinstance(source, Path) and (source / CONFIG).is_file() else 0


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every tensor of the adapter; the factors of a LoRA pair declare their rank, alpha and scale.

    The scale of the update is `alpha / r`, or `alpha / sqrt(r)` with `use_rslora`. The rank is that of the factors themselves, so
    it holds whatever `rank_pattern` says; alpha comes from `alpha_pattern` where an entry of it matches the layer.

    Raises:
        UnreadableError: The config is damaged or has no alpha, or the adapter file is missing.
        UnsafeError: A pattern of the config could run for ever.

    References:
        Hu et al. (2021), arXiv:2106.09685; Kalajdzievski (2023), arXiv:2312.03732.
    """
    config = read_object(source / CONFIG)
    method = config.get("peft_type", "LORA")
    common = flattened(config, nested=False)
    for item in contents_of(weights_in(source, ("adapter_model",))):
        if not isinstance(item, Tensor):
            yield item
        elif method != "LORA":
            yield Skip(item.name, item.shape, f"adapter of type {shown(method)}: only LoRA adapters are analysed")
        else:
            yield replace(item, declared={**common, **item.declared, **_declared(source / CONFIG, item, config)})


def _declared(path: Path, tensor: Tensor, config: Mapping[str, Any]) -> dict[str, str]:
    parts = tensor.name.split(".")
    at = next((i for i, part in enumerate(parts) if part in DOWN | UP or part == MAGNITUDE), None)
    if at is None:
        return {}  # a layer trained as a whole and saved with the adapter
    flags = {f"lora.{short}": str(config.get(key) is True).lower() for short, key in FLAGS.items()}
    if parts[at] == MAGNITUDE:
        return {"module": "LoRA", **flags}
    rank = _rank(path, tensor, parts[at], config)
    alpha = _alpha(path, ".".join(parts[:at]).removeprefix("base_model.model."), config)
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") is True else rank)
    return {"module": "LoRA", **flags, "lora.r": str(rank), "lora.alpha": repr(alpha), "lora.scale": repr(scale)}


FLAGS = {"rslora": "use_rslora", "dora": "use_dora", "fan_in_fan_out": "fan_in_fan_out"}


def _rank(path: Path, tensor: Tensor, part: str, config: Mapping[str, Any]) -> int:
    if len(tensor.shape) < 2:  # the bias of a factor does not show the rank
        return int(_number(path, "r", config.get("r")))
    return max(tensor.shape[0 if part in DOWN else 1], 1)


def _alpha(path: Path, layer: str, config: Mapping[str, Any]) -> float:
    patterns = config.get("alpha_pattern") or {}
    if not isinstance(patterns, dict):
        raise UnreadableError(f"{path}: expected alpha_pattern from layer names to numbers, got {shown(patterns)}.")
    for pattern, alpha in patterns.items():
        if _matches(path, pattern, layer):
            return _number(path, f"alpha_pattern[{shown(pattern)}]", alpha)
    return _number(path, "lora_alpha", config.get("lora_alpha"))


def _number(path: Path, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
        raise UnreadableError(f"{path}: expected {key}, a positive number, got {shown(value)}.")
    return float(value)


def _matches(path: Path, pattern: str, layer: str) -> bool:
    """Whether a key of a pattern means the layer, as PEFT reads it: a regular expression for the last parts of the name."""
    if re.fullmatch(r"[\w.-]+", pattern, re.ASCII):  # a plain name, the usual case; its dots are dots
        return layer == pattern or layer.endswith(f".{pattern}")
    # Patterns are untrusted: a quantified group, many optional repeats or many alternatives can take exponential time.
    repeats, groups = len(re.findall(r"[*+?{]", pattern)), pattern.count("(")
    if repeats > 2 or groups > 3 or len(layer) > 300 or re.search(r"\)[*+?{]|\\[1-9]|\(\?", pattern):
        raise UnsafeError(f"{path}: expected simple patterns in alpha_pattern, got {shown(pattern)}, which could run for ever.")
    try:
        return re.match(rf"(.*\.)?({pattern})$", layer) is not None
    except re.error as error:
        raise UnreadableError(f"{path}: expected a regular expression in alpha_pattern, got {shown(pattern)} ({error}).") from error
