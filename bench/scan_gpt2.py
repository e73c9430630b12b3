"""A whole scan of a checkpoint of GPT-2's shapes, against the bare calls, torch's svdvals and WeightWatcher's default."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _measure import NotMeasuredError, Ratio, Size, clocked, compare, processors
from _models import gpt2
from _peers import peers
from _scans import fresh_scan

from modescope.checkpoints import open
from modescope.layers import matrices
from modescope.matrix import Array, Matrix
from modescope.schedule import run

NAME = "scan of GPT-2 124M shapes"
BARE, STORED, DEFAULT = "bare SYRK and eigenvalues, same schedule", "torch svdvals as stored", "WeightWatcher 0.7.7 default"


def rows(size: Size, /) -> Iterator[Ratio]:
    """All measures of all 74 matrices, file hash included."""
    with gpt2(size) as path:
        found = [item for item in matrices(open(path).tensors) if isinstance(item, Matrix)]
        data = np.random.default_rng(0).standard_normal(max(m.shape[0] * m.shape[1] for m in found))
        if processors() < 2:
            yield Ratio(NAME, STORED, 0.35, remark="not measured: one processor")
        else:
            yield compare(
                f"{NAME}, two threads",
                f"{STORED}, two BLAS threads",
                fresh_scan(path, 2),
                clocked(partial(_stored, path, 2)),
                limit=0.35,
                rounds=1 if size is not Size.LARGE else 2,
                if_missed="ours is the whole scan with all measures, theirs the singular values alone",
            )
        yield compare(
            f"{NAME}, one thread",
            BARE,
            fresh_scan(path, 1),
            clocked(partial(_bare, found, data)),
            limit=1.35,
            rounds=2,
            remark="the bare calls find their float64 numbers in memory; ours reads, converts, surveys, hashes and measures",
        )
        try:
            with peers(size) as peer:
                answer = peer.ask("weightwatcher_default", path=str(path))
                words = {
                    "remark": f"{len(found)} matrices of ours, {answer['matrices']} of theirs",
                    "if_missed": "most of it are float64 SYRK and eigenvalues, see the row above; theirs is a float32 SVD",
                }
                ask = partial(peer.seconds, "weightwatcher_default", path=str(path))
                yield compare(f"{NAME}, one thread", DEFAULT, fresh_scan(path, 1), ask, limit=0.5, rounds=1, **words)
        except NotMeasuredError as reason:
            yield Ratio(f"{NAME}, one thread", DEFAULT, 0.5, remark=f"not measured: {reason}")


def _bare(found: Sequence[Matrix], data: Array) -> None:
    """One SYRK and the eigenvalues for every matrix, on numbers that lie in memory in float64."""
    for _ in run(found, partial(_bare_calls, data), workers=1):
        pass


def _bare_calls(data: Array, matrix: Matrix) -> float:
    p, k = max(matrix.shape), min(matrix.shape)
    b = data[: p * k].reshape(p, k)
    return float(np.linalg.eigvalsh(b.T @ b)[0])


def _stored(path: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    for tensor in open(path).tensors:
        if len(tensor.shape) == 2:
            torch.linalg.svdvals(torch.from_numpy(np.array(tensor.read())))
    torch.set_num_threads(1)
