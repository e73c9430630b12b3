"""In a fresh process: scan a small checkpoint, so that everything is loaded, then the given one, and print both peaks as JSON."""

import json
import re
import sys
from pathlib import Path

import numpy as np

from modescope.scanning import scan

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status(field: str) -> int:
    """Bytes of one line of the process status."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())[0])


def main() -> None:
    if not STATUS.exists():
        sys.exit("the peak of a process is read from /proc, which this system lacks")
    random = np.random.default_rng(0)
    # both with and without twins, through the redo of small values
    scan({"a.weight": random.standard_t(2.5, (64, 64)).astype(np.float32), "b.weight": np.diag(np.logspace(0, -9, 40))}, workers=1)
    FORGET.write_text("5")  # sets the peak back to what is held now
    base = status("VmRSS")
    scan(Path(sys.argv[1]), workers=1)
    sys.stdout.write(json.dumps({"base": base, "peak": status("VmHWM")}))


main()
