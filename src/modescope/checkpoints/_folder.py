"""Which file of a folder is its checkpoint."""

from pathlib import Path

from modescope.checkpoints._names import shown
from modescope.errors import UnreadableError
from modescope.matrix import Skip, Tensor

STEMS = ("model", "pytorch_model", "diffusion_pytorch_model")
KINDS = (".safetensors", ".bin")
TRAINING = (
    "optimizer",
    "scheduler",
    "training_args",
    "rng_state",
    "random_states",
    "scaler",
    "trainer_state",
)  # beside a model, not it


def weights_in(folder: Path, stems: tuple[str, ...] = STEMS, /) -> Path:
    """The checkpoint file of a folder: safetensors before .bin, an index of shards before a single file.

    Args:
        folder: Only its own files are looked at, not those of its subfolders.
        stems: Names that are the checkpoint whatever else lies in the folder, the preferred one first.

    Raises:
        UnreadableError: No file of the folder is a checkpoint, or several are and none has a usual name.
    """
    usual = (f"{stem}{kind}{index}" for kind in KINDS for stem in stems for index in (".index.json", ""))
    for name in usual:
        if (folder / name).is_file():
            return folder / name
    candidates = [path for path in _files(folder) if _is_checkpoint(path)]
    for preferred in (_indices(candidates), [path for path in candidates if path.suffix == ".safetensors"], candidates):
        if len(preferred) == 1:
            return preferred[0]
        if preferred:
            names = ", ".join(shown(path.name) for path in preferred[:10]) + (", ..." if len(preferred) > 10 else "")
            raise UnreadableError(
                f"{folder}: expected one checkpoint in the folder, got {len(preferred)}: {names}. Name the file meant."
            )
    raise UnreadableError(f"{folder}: expected a folder with a checkpoint, got one without any. Name the file or its folder.")


def contents_of(path: Path, /) -> tuple[Tensor | Skip, ...]:
    """Everything in a file of the folder, by whichever format knows it."""
    from modescope.checkpoints import contents  # the parent package imports the modules that import this one

    return contents(path)[1]


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith((".", *TRAINING))]
    except OSError as error:
        raise UnreadableError(f"{folder}: cannot be read ({error.strerror or error}).") from error


def _is_checkpoint(path: Path) -> bool:
    from modescope.checkpoints import format_of  # as above

    return format_of(path) is not None


def _indices(candidates: list[Path]) -> list[Path]:
    return [path for path in candidates if path.name.endswith(".index.json")]
