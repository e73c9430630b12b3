"""A network that the user's own code makes: a function in a module or a file, and weights out of a checkpoint."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from modescope import checkpoints
from modescope.errors import UsageError
from modescope.matrix import Tensor

NAMED = 3  # tensors in an error


def made(where: str, arguments: Mapping[str, Any], /) -> Any:
    """Call the function that makes a network. This runs the user's code.

    Args:
        where: "package.module:function" or "path/to/file.py:function".
        arguments: Of the function, by name.

    Returns:
        The `nn.Module`.

    Raises:
        UsageError: It is none of these, the module, file or function is missing, the code fails, or what it gives is no module.
    """
    place, colon, name = where.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"model: expected package.module:function or path/to/file.py:function, got {where!r}.")
    with _here():
        module = _of_file(Path(place)) if place.endswith(".py") else _of_name(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(f"model: expected a function {name!r} in {place}, got {'nothing' if function is None else 'no function'}.")
    with _here():
        try:
            network = function(**arguments)
        except (Exception, SystemExit) as error:
            raise UsageError(f"model: {where} failed, {_line(error)}. --debug shows where.") from error
    if not callable(getattr(network, "named_modules", None)):
        raise UsageError(f"model: expected {where} to return a torch nn.Module, got {type(network).__name__}.")
    return network


def weighted(network: Any, path: str | Path, /) -> None:
    """Put the weights of a checkpoint into a network: every parameter and buffer, by its name, and nothing else.

    The checkpoint is read as all others are: nothing in it is run.

    Raises:
        UsageError: Names or shapes differ; the message names a tensor.
        UnreadableError: The file cannot be read.
        UnsafeError: It holds code.
    """
    import torch

    found: dict[str, Tensor] = {}
    for tensor in checkpoints.open(path).tensors:
        if isinstance(tensor, Tensor):
            found |= dict.fromkeys((tensor.name, *tensor.aliases), tensor)
    wanted = network.state_dict()
    held = {wanted[name].data_ptr() for name in found if name in wanted}  # of tied weights a file may have one
    missing = [name for name, one in wanted.items() if name not in found and one.data_ptr() not in held and not _counter(name)]
    _same(path, missing, "that the network has and the file has not")
    _same(path, [name for name in found if name not in wanted], "that the network has not")
    state = {}
    for name in found:
        if tuple(found[name].shape) != tuple(wanted[name].shape):
            raise UsageError(
                f"{path}: {name}: expected shape {tuple(wanted[name].shape)}, as in the network, got {tuple(found[name].shape)}."
            )
        values = np.array(found[name].read())
        if values.dtype.kind == "V":  # bfloat16 and 8-bit floats, which torch does not take from NumPy
            values = values.astype(np.float32)
        state[name] = torch.from_numpy(values).to(wanted[name].dtype)
    network.load_state_dict(state, strict=False)


def _same(path: str | Path, names: list[str], what: str) -> None:
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise UsageError(f"{path}: expected the tensors of the network, got others: {', '.join(names[:NAMED])}{more}, {what}.")


def _counter(name: str) -> bool:
    """Whether it counts the batches that a batch norm has seen, which is no weight and not in every file."""
    return name.endswith("num_batches_tracked")


@contextmanager
def _here() -> Iterator[None]:
    """Modules of the working directory are found, as `python -m` finds them."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"model: expected a Python file, got {str(path)!r}, which is none.")
    module = importlib.util.module_from_spec(spec)
    mine = sys.modules.setdefault(path.stem, module) is module  # so that classes in it know where they are from
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        if mine:
            del sys.modules[path.stem]
        raise UsageError(f"model: {path} failed, {_line(error)}. --debug shows where.") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _of_name(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"model: expected the name of a module before the colon, as package.module, got {name!r}.")
    importlib.invalidate_caches()  # a file may be younger than what is known of its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"model: expected a module {name!r}, got none; a file is named with its suffix, as net.py.") from error
        raise UsageError(f"model: {name} failed, {_line(error)}. --debug shows where.") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"model: {name} failed, {_line(error)}. --debug shows where.") from error


def _line(error: BaseException) -> str:
    """An error of the user's code in one line."""
    said = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def placed(network: Any, device: str | None, /) -> Any:
    """The network on a device.

    Raises:
        UsageError: There is no such device.
    """
    if device is None:
        return network
    try:
        return network.to(device)
    except (RuntimeError, AssertionError, ValueError) as error:  # of torch, in one kind or another by version
        raise UsageError(f"device: expected a device of torch, such as cpu or cuda:0, got {device!r}: {_line(error)}.") from error
