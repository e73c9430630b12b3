"""Sharded checkpoints (`*.index.json`): one index that says which file holds which tensor."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from modescope.checkpoints._json import read_object
from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError, UnsafeError
from modescope.matrix import Skip, Tensor


def claims(source: Any, head: bytes, /) -> int:
    """2 for a JSON file that is called an index or shows a `weight_map`."""
    if not isinstance(source, Path) or source.suffix.lower() != ".json" or not head.lstrip().startswith(b"{"):
        return 0
    return 2 if source.name.lower().endswith(".index.json") or b'"weight_map"' in head else 0


def tensors(source: Path, /) -> Iterator[Tensor | Skip]:
    """Every tensor of the index in its order, each from the shard that the index names; then what else the shards hold.

    Raises:
        UnsafeError: A shard lies outside the folder of the index.
        UnreadableError: The index is damaged, a shard is missing, or it lacks a tensor it should hold.
    """
    weight_map = _weight_map(source)
    shards = {name: _shard(source, name) for name in dict.fromkeys(weight_map.values())}
    found = {name: _contents(path) for name, path in shards.items()}
    # A tied tensor is one tensor under several names, of which the index lists any or all.
    by_name = {shard: {name: item for item in items for name in _names(item)} for shard, items in found.items()}
    given: set[int] = set()
    for name, shard in weight_map.items():
        item = by_name[shard].get(name)
        if item is None:
            raise UnreadableError(f"{source}: expected tensor {shown(name)} in {shown(shard)}, got a shard without it.")
        if id(item) not in given:
            given.add(id(item))
            yield item
    for shard, items in found.items():
        for item in items:
            if id(item) in given:
                continue
            if isinstance(item, Skip):
                yield item
            else:
                yield Skip(f"{shard}: {item.name}", item.shape, "in this shard, but the index does not look for it there")


def _names(item: Tensor | Skip) -> tuple[str, ...]:
    return (item.name, *item.aliases) if isinstance(item, Tensor) else (item.name,)


def _weight_map(path: Path) -> dict[str, str]:
    weight_map = read_object(path).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        raise UnreadableError(f"{path}: expected a `weight_map` from tensor names to file names, got {shown(weight_map)}.")
    return weight_map


def _shard(index: Path, name: str) -> Path:
    pure = PurePosixPath(name)
    if not name or "\\" in name or ":" in name or "\0" in name or pure.is_absolute() or ".." in pure.parts:
        raise UnsafeError(f"{index}: expected shards in the folder of the index, got {shown(name)}. It was not opened.")
    path = index.parent / pure
    # A download cache keeps index and shards as links into one folder of blobs, so the index's real folder counts as well.
    homes = (index.parent.resolve(), index.resolve().parent)
    real = path.resolve()
    if not any(real.is_relative_to(home) for home in homes):
        raise UnsafeError(f"{index}: expected shards in the folder of the index, got {shown(name)}, a link that leaves it.")
    if path.suffix.lower() == ".json":
        raise UnreadableError(f"{index}: expected shards to be files of tensors, got {shown(name)}.")
    if not path.is_file():
        raise UnreadableError(f"{index}: expected the shard {shown(name)} beside it, got no such file. Download the missing shard.")
    return path


def _contents(path: Path) -> tuple[Tensor | Skip, ...]:
    from modescope.checkpoints import contents  # the parent package imports this module

    return contents(path)[1]
