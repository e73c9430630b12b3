"""Peak memory of a spectral graph above what the imported library takes: a few layers, however many there are."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _measure import NotMeasuredError, Ratio, Size
from safetensors.numpy import save_file

CHILD = Path(__file__).parent / "_graph_peak_memory.py"


def rows(size: Size, /) -> Iterator[Ratio]:
    """Chains of dense layers: a long one against one layer alone, which takes an SVD, and against one of a third of its length."""
    width, few, many = (64, 2, 6) if size is Size.SMOKE else (1024, 16, 48)
    name = f"peak memory, graph of {many} layers {width}x{width}"
    targets = (("one layer alone, its SVD", 1, 4.0), (f"graph of {few} layers", few, 1.1))
    try:
        long = _held(many, width)
        for against, layers, limit in targets:
            short = _held(layers, width)
            yield Ratio(name, against, limit, long / short, long, short, remark="in bytes")
    except NotMeasuredError as reason:
        yield from (Ratio(name, against, limit, remark=f"not measured: {reason}") for against, _, limit in targets)


def _held(layers: int, width: int) -> int:
    """Bytes above base at the peak of a graph in a fresh process."""
    random = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file({f"{i:02}.weight": random.standard_normal((width, width), dtype=np.float32) for i in range(layers)}, path)
        done = subprocess.run([sys.executable, str(CHILD), str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    found: dict[str, int] = json.loads(done.stdout)
    return max(found["peak"] - found["base"], 1)
