"""Measure Modescope against peers and limits, side by side, and print one table of ratios: python bench/run.py [--only NAME]."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from _measure import Ratio, Size, processors

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "latest.json"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
COLUMNS = ("what", "against", "ratio", "target", "met", "remark")


def benches() -> list[str]:
    """Names of the modules in this folder that measure something."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run" and not path.stem.startswith("_"))


def main() -> int:
    """Run every bench in a process of its own; the exit code is the number of those that broke, missed targets are not."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--only", action="append", choices=benches(), metavar="NAME", help=f"one of {', '.join(benches())}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", dest="size", action="store_const", const=Size.SMOKE, help="every line in seconds, no true ratios")
    size.add_argument("--large", dest="size", action="store_const", const=Size.LARGE, help="also 4096 x 4096 matrices")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON file (default: bench/results/latest.json)")
    parser.add_argument("--child", choices=benches(), help=argparse.SUPPRESS)
    parser.set_defaults(size=Size.DEFAULT)
    options = parser.parse_args()
    if options.child:
        for row in import_module(options.child).rows(options.size):
            kept = replace(row, limit=None) if options.size is Size.SMOKE else row  # a target says nothing of a small problem
            sys.stdout.write(json.dumps(kept.to_dict()) + "\n")
        return 0
    rows, broken = [], 0
    for name in options.only or benches():
        sys.stderr.write(f"{name} ...\n")
        found, failed = measure(name, options.size)
        rows += found
        broken += failed
    options.output.parent.mkdir(parents=True, exist_ok=True)
    said = {"machine": machine(), "size": options.size.value, "rows": rows}
    options.output.write_text(json.dumps(said, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    sys.stdout.write(table(rows) + "\n")
    return broken


def measure(name: str, size: Size) -> tuple[list[dict[str, Any]], bool]:
    """Rows of one bench, measured in a fresh process with one BLAS thread, and whether it broke."""
    flags = [] if size is Size.DEFAULT else [f"--{size.value}"]
    command = [sys.executable, str(HERE / "run.py"), "--child", name, *flags]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | dict.fromkeys(THREADS, "1"),
        check=False,
    )
    rows = [{"bench": name, **json.loads(line)} for line in done.stdout.splitlines()]
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        rows.append({"bench": name, **Ratio(name, "", None, remark=f"not measured: it broke: {last}").to_dict()})
    sys.stderr.write(f"{name}: {time.perf_counter() - start:.0f} s\n")
    return rows, bool(done.returncode)


def machine() -> dict[str, Any]:
    """What the ratios were measured on."""
    versions: dict[str, str | None] = {}
    for name in ("modescope", "numpy", "scipy", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    system = {"python": platform.python_version(), "system": platform.system(), "architecture": platform.machine()}
    return {"processors": processors(), "load": load, **system, **versions}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as aligned text."""
    lines = [COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in lines
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    sign = ">=" if row["at_least"] else "<="
    missed = row["if_missed"] if row["met"] is False else ""
    return (
        row["name"],
        row["against"],
        "-" if row["value"] is None else f"{row['value']:.3g}",
        "" if row["limit"] is None else f"{sign} {row['limit']:g}",
        {None: "", True: "yes", False: "NO"}[row["met"]],
        ". ".join(filter(None, (row["remark"], missed))),
    )


if __name__ == "__main__":
    sys.exit(main())
