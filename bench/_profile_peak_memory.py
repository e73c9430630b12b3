"""In a fresh process: profile a few images, so that everything is loaded, then so many, and print both peaks as JSON."""

import json
import re
import sys
from pathlib import Path

import torch

from modescope.profiles.images import Images
from profiles import networks, profiled

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
BATCH = 32


def status(field: str) -> int:
    """Bytes of one line of the process status."""
    return 1024 * int(re.findall(rf"{field}:\s+(\d+) kB", STATUS.read_text())[0])


def main() -> None:
    if not STATUS.exists():
        sys.exit("the peak of a process is read from /proc, which this system lacks")
    torch.set_num_threads(1)
    count = int(sys.argv[1])
    model, images = networks(small=False)["small CNN"]
    batch = images[:BATCH]
    profiled(model, Images(lambda: (batch + i for i in range(2)), 2 * BATCH), "rms")
    FORGET.write_text("5")  # sets the peak back to what is held now
    base = status("VmRSS")
    profiled(model, Images(lambda: (batch + i for i in range(count // BATCH)), count), "rms")
    sys.stdout.write(json.dumps({"base": base, "peak": status("VmHWM")}))


main()
