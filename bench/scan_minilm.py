"""A whole scan of a real encoder, from the file to the numbers, against WeightWatcher's default and full analysis."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from _measure import NotMeasuredError, Ratio, Size, clocked, compare
from _models import minilm
from _peers import peers
from _scans import fresh_scan

from modescope.checkpoints import open
from modescope.layers import matrices
from modescope.matrix import Matrix
from modescope.measures import norms, rank, tail
from modescope.schedule import run
from modescope.spectrum import decompose

SCAN = "scan of MiniLM-L6, one thread"
SAME = "MiniLM-L6: values, norms, ranks and tail, one thread"
DEFAULT, FULL = "WeightWatcher 0.7.7 default", "WeightWatcher 0.7.7 full"
TARGETS = ((SAME, DEFAULT, 0.5), (SCAN, DEFAULT, 0.5), (SCAN, FULL, None))


def rows(size: Size, /) -> Iterator[Ratio]:
    """Like with like, then the whole scan: it holds noise fit and twins, which of the other tool only the full analysis does."""
    try:
        path = minilm()
        with peers(size) as peer:
            default = partial(peer.seconds, "weightwatcher_default", path=str(path))
            yield compare(SAME, DEFAULT, clocked(partial(_same_columns, path)), default, limit=0.5, rounds=3)
            words = {
                "remark": "with noise fit and twins, which theirs leaves out",
                "if_missed": "they take what the row above lacks",
            }
            yield compare(SCAN, DEFAULT, fresh_scan(path, 1), default, limit=0.5, rounds=3, **words)
            full = partial(peer.seconds, "weightwatcher_full", path=str(path))
            yield compare(SCAN, FULL, fresh_scan(path, 1), full, limit=None, rounds=1)
    except NotMeasuredError as reason:
        yield from (Ratio(name, other, limit, remark=f"not measured: {reason}") for name, other, limit in TARGETS)


def _same_columns(path: Path) -> None:
    """What the default analysis of the other tool gives, on the same schedule as a scan."""
    found = [item for item in matrices(open(path).tensors) if isinstance(item, Matrix)]
    for _ in run(found, _measured, workers=1):
        pass


def _measured(matrix: Matrix) -> tuple[object, ...]:
    spectrum = decompose(matrix)
    return tuple(measure.analyze(spectrum) for measure in (norms, rank, tail))
