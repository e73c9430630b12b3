"""The page of a real encoder, from the file to the page on disk, against the scan that it shows."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from _measure import Clock, NotMeasuredError, Ratio, Size, compare
from _models import gpt2, minilm
from _scans import fresh

from modescope.reporting import report
from modescope.scanning import scan

WHAT, AGAINST = "page of MiniLM-L6, scan included, one thread", "its scan alone"


def rows(size: Size, /) -> Iterator[Ratio]:
    """A null twin of every matrix, the blocks, and the page, on top of a scan."""
    if size is Size.SMOKE:
        with gpt2(size) as path:
            yield _row(path, 1)
        return
    try:
        yield _row(minilm(), 5)
    except NotMeasuredError as reason:
        yield Ratio(WHAT, AGAINST, 1.2, remark=f"not measured: {reason}")


def _row(path: Path, rounds: int) -> Ratio:
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"

        def made() -> None:
            report(scan(path, twin=True, workers=1)).save(page)

        ours: Clock = fresh(made)
        return compare(WHAT, AGAINST, ours, fresh(lambda: scan(path, workers=1)), limit=1.2, rounds=rounds)
