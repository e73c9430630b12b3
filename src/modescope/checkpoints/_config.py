"""The settings of a model (`config.json`, `module.config`) as text that each of its tensors declares."""

import json
from collections.abc import Mapping
from typing import Any

LONGEST_VALUE = 200
LONGEST_LIST = 16
IGNORED = frozenset({"auto_map", "id2label", "label2id", "custom_pipelines"})  # names of code and of classes, not of layers


def flattened(config: Mapping[str, Any], /, *, nested: bool = True) -> dict[str, str]:
    """Scalars, short lists of scalars, and those one level down, under "config.".

    Args:
        config: As decoded from JSON. Nothing in it is looked up, imported or run.
        nested: False to leave out mappings.

    Returns:
        {"config.hidden_size": "384", "config.text_config.num_attention_heads": "12"}; truth values are "true" and "false",
        lists are joined by commas, null and everything long is left out.
    """
    found: dict[str, str] = {}
    for key, value in config.items():
        if not isinstance(key, str) or key in IGNORED:
            continue
        if isinstance(value, Mapping):
            inner = flattened(value, nested=False) if nested else {}
            found |= {f"config.{key}.{name.removeprefix('config.')}": text for name, text in inner.items()}
        elif (text := as_text(value)) is not None:
            found[f"config.{key}"] = text
    return found


def as_text(value: Any) -> str | None:
    """A scalar, or a short sequence of scalars joined by commas, as text; None for anything else."""
    if isinstance(value, list | tuple):
        parts = [as_text(item) for item in value[: LONGEST_LIST + 1] if not isinstance(item, list | tuple)]
        whole = 0 < len(value) == len(parts) <= LONGEST_LIST
        return ",".join(part for part in parts if part is not None) if whole and None not in parts else None
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else None
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return None
