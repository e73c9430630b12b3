"""Folders of a model: a checkpoint file beside its `config.json`, as Hugging Face lays them out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from modescope.checkpoints._config import flattened
from modescope.checkpoints._folder import contents_of, weights_in
from modescope.checkpoints._json import read_object
from modescope.matrix import Skip, Tensor


def claims(source: Any, _head: bytes, /) -> int:
    """2 for a folder with a `config.json`, 1 for any other folder."""
    if not isinstance(source, Path) or not source.is_dir():
        return 0
    return 2 if (source / "config.json").is_file() else 1


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every tensor of the folder's checkpoint, each declaring what the config says.

    The config is read as data: code it names is neither imported nor run.

    Raises:
        UnreadableError: The config is damaged, or the folder holds no checkpoint, or several.
        UnsafeError: The checkpoint would run code or leave the folder.
    """
    config = source / "config.json"
    declared = flattened(read_object(config)) if config.is_file() else {}
    for item in contents_of(weights_in(source)):
        if isinstance(item, Tensor) and declared:
            yield replace(item, declared={**declared, **item.declared} if item.declared else declared)
        else:
            yield item
