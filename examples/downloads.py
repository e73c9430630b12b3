"""Where `scripts/models.py` puts the archives it downloads; the examples on real models and data read them there."""

import importlib.util
import sys
from pathlib import Path


def archive(name: str) -> Path:
    """Folder of one unpacked archive.

    Raises:
        FileNotFoundError: It was not downloaded.
    """
    script = Path(__file__).parents[1] / "scripts" / "models.py"
    spec = importlib.util.spec_from_file_location("downloaded_models", script)
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = models  # dataclasses look their module up
    spec.loader.exec_module(models)
    folder: Path = models.cache() / name
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: expected the archive {name}. Run: python scripts/models.py {name}")
    return folder
