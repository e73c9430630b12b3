"""In a fresh process: graph a small checkpoint, so that everything is loaded, then the given one, and print both peaks as JSON."""

import json
import re
import sys
from pathlib import Path

import numpy as np

from modescope.spectral_graph import graph

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status(field: str) -> int:
    """Bytes of one line of the process status."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())[0])


def main() -> None:
    if not STATUS.exists():
        sys.exit("the peak of a process is read from /proc, which this system lacks")
    random = np.random.default_rng(0)
    graph({f"{i}.weight": random.standard_normal((32, 32)).astype(np.float32) for i in range(3)}, workers=1)
    FORGET.write_text("5")  # sets the peak back to what is held now
    base = status("VmRSS")
    graph(Path(sys.argv[1]), workers=1)
    sys.stdout.write(json.dumps({"base": base, "peak": status("VmHWM")}))


main()
