"""The small trained network that ships with Modescope, and the history of its training."""

from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "digits"


def demo_path() -> Path:
    """Path of the trained digits classifier, a safetensors file; its metadata hold its accuracy, settings and seed."""
    return FOLDER / "model.safetensors"


def demo_history() -> tuple[Path, ...]:
    """Paths of the checkpoints of its training in order of epochs, from the untrained network to the trained one."""
    return (*sorted(FOLDER.glob("epoch-*.safetensors")), demo_path())
