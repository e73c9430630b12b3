"""Peak memory of a scan above what the imported library takes, against the largest tensor as stored and in float32."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import ml_dtypes
import numpy as np
from _measure import NotMeasuredError, Ratio, Size
from safetensors.numpy import save_file

CHILD = Path(__file__).parent / "_peak_memory.py"


def rows(size: Size, /) -> Iterator[Ratio]:
    """One large tensor of each kind beside small ones; heavy tails call for twins, which need their own copies."""
    out, inputs = (512, 128) if size is Size.SMOKE else (8192, 2048)
    for stored, draw in (("float32", "gaussian"), ("bfloat16", "gaussian"), ("float32", "heavy-tailed")):
        name = f"peak memory, {out}x{inputs} {stored}" + (", heavy-tailed" if draw != "gaussian" else "")
        against = "stored + f32 of the tensor, k x k arrays apart"
        try:
            held = _held(out, inputs, stored, draw)
            limit = out * inputs * (np.dtype(_dtype(stored)).itemsize + 4)
            own = held - 16 * inputs**2
            yield Ratio(name, against, 1.25, own / limit, own, limit, remark="in bytes; 16 k^2 taken off ours")
        except NotMeasuredError as reason:
            yield Ratio(name, against, 1.25, remark=f"not measured: {reason}")


def _held(out: int, inputs: int, stored: str, draw: str) -> int:
    """Bytes above base at the peak of a scan in a fresh process."""
    random = np.random.default_rng(0)
    sample = random.standard_normal if draw == "gaussian" else partial(random.standard_t, 2.5)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file({"layer.weight": np.asarray(sample(size=(out, inputs))).astype(_dtype(stored))}, path)
        done = subprocess.run([sys.executable, str(CHILD), str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    found: dict[str, int] = json.loads(done.stdout)
    return found["peak"] - found["base"]


def _dtype(stored: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, stored, stored))
