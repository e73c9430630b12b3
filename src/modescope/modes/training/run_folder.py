"""A training on disk: all that is needed to go on after any epoch as if it had never stopped, and the trained network.

`state.safetensors` holds the last finished epoch and `state.previous.safetensors` the one before: weights, what the optimizer
remembers, and as JSON in the metadata the settings and the history. Either file is put in place at once and carries a digest of
its content, so that a run that was killed or a file that was cut costs an epoch at most. Draws are derived from the seed and the
number of the epoch: there are no random streams to keep. `model.safetensors` is the network alone.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modescope.errors import UnreadableError, UsageError
from modescope.modes.saving import save

if TYPE_CHECKING:
    from torch import Tensor, nn

STATE = "state.safetensors"
PREVIOUS = "state.previous.safetensors"
MODEL = "model.safetensors"
FORM = "modescope.training/1"


@dataclass(frozen=True, eq=False)
class State:
    """A training after an epoch.

    Attributes:
        tensors: "model.NAME", "optimizer.KEY.NAME", and "best.NAME" where the best epoch is kept.
        said: Everything else, as plain JSON data.
    """

    tensors: Mapping[str, "Tensor"]
    said: Mapping[str, Any]

    def part(self, name: str) -> dict[str, "Tensor"]:
        """The tensors of one part, without its name before theirs."""
        return {key.removeprefix(f"{name}."): one for key, one in self.tensors.items() if key.startswith(f"{name}.")}


def check(folder: Path, *, resume: bool) -> None:
    """Refuse a place before work starts: one that cannot be written, and one that holds another run.

    Raises:
        UsageError: It is no folder, cannot be made, or holds a run that is not to be resumed.
    """
    if not resume and any((folder / name).exists() for name in (STATE, PREVIOUS, MODEL)):
        raise UsageError(f"{folder}: holds a training already, which would be lost. Resume it, or name another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: expected a folder for the training, got none ({error.strerror or error}).") from error
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder}: cannot be written (no permission).")


def keep(folder: Path, state: State, /) -> None:
    """Make this the state of the run, and the one that was there the previous one."""
    new = folder / f".{STATE}.new"
    content = json.dumps(state.said, sort_keys=True)
    _write(new, state.tensors, {"form": FORM, "said": content, "digest": _digest(state.tensors, content)})
    if (folder / STATE).exists():
        (folder / STATE).replace(folder / PREVIOUS)
    new.replace(folder / STATE)


def latest(folder: Path, /) -> tuple[State, str] | None:
    """The last state that is whole, and a sentence where that is not the last one written; None where there is no run.

    Raises:
        UnreadableError: There are states, and none is whole.
    """
    reasons = []
    for name in (STATE, PREVIOUS):
        if (folder / name).exists():
            try:
                found = _read(folder / name)
            except UnreadableError as error:
                reasons.append(str(error))
            else:
                return found, f"{' '.join(reasons)} The epoch before it is used." if reasons else ""
    if reasons:
        raise UnreadableError("\n".join(reasons))
    return None


def write_model(folder: Path, model: "nn.Module", about: Mapping[str, str], /) -> None:
    """Write the network alone, in place at once, with words about it in the metadata."""
    new = folder / f".{MODEL}.new"
    _write(new, model.state_dict(), {"form": FORM, **about})
    new.replace(folder / MODEL)


def load(path: str | Path, model: "nn.Module | None" = None) -> tuple["nn.Module", dict[str, Any]]:
    """The network of a training, and the settings it was trained with.

    Args:
        path: The folder of a run, or its `model.safetensors`.
        model: A network of the same architecture that takes the weights; layers in modes take the number of modes they find. Not
            needed for what `modescope modes train` made, whose architecture is in the file.

    Returns:
        The network in evaluation mode, and the settings.

    Raises:
        UsageError: It is no training, or its architecture is not in the file, or `model` has another one.
        UnreadableError: The file is damaged.
    """
    from modescope.modes.training.networks import network_of
    from modescope.modes.training.resizing import fit_to

    path = Path(path)
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        unfinished = path.is_dir() and (path / STATE).exists()
        what = "a training that has not ended, which can be resumed" if unfinished else "none"
        raise UsageError(f"{path}: expected a folder with the {MODEL} of a training, got {what}.")
    tensors, about = _open(file)
    try:
        settings = dict(json.loads(about["settings"]))
        network = json.loads(about["network"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file}: expected a network trained by Modescope with its settings, got another file.") from error
    if model is None:
        return network_of(network, tensors, str(file)).eval(), settings
    fit_to(model, tensors, str(file))
    model.load_state_dict(tensors)
    return model.eval(), settings


def _write(file: Path, tensors: Mapping[str, "Tensor"], about: dict[str, str]) -> None:
    try:
        save({name: one.detach().cpu().clone().contiguous() for name, one in tensors.items()}, file, about)
        with file.open("rb") as written:
            os.fsync(written.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        kept = "the epochs before are kept, and a resumed training goes on from there"
        raise UsageError(f"{file.parent}: cannot be written ({error.strerror or error}); {kept}.") from error
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _read(file: Path) -> State:
    tensors, about = _open(file)
    content = about.get("said", "")
    if about.get("form") != FORM or about.get("digest") != _digest(tensors, content):
        raise UnreadableError(f"{file}: expected the state of a training, got a damaged or another file.")
    return State(tensors, json.loads(content))


def _open(file: Path) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as held:
            return {name: held.get_tensor(name) for name in held.keys()}, dict(held.metadata() or {})  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise UnreadableError(f"{file}: expected a safetensors file, got one that cannot be read ({error}).") from error


def _digest(tensors: Mapping[str, "Tensor"], content: str) -> str:
    import torch

    found = hashlib.sha256(content.encode())
    for name in sorted(tensors):
        one = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {one.dtype} {tuple(one.shape)}".encode())
        found.update(one.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
