"""The tools we compare with, in a virtual environment of their own and a process that waits for orders."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _measure import NotMeasuredError, Size

HERE = Path(__file__).parent
WORKER = HERE / "_peer_worker.py"
REQUIREMENTS = (
    "weightwatcher==0.7.7",
    "powerlaw==2.0.0",
    "numpy==2.4.6",
    "scipy==1.17.1",
    "scikit-learn==1.9.1",
    "torch==2.13.0",
    "safetensors==0.8.0",
)
MARK = "peers.txt"  # in a whole environment: what was installed


class Peer:
    """A running worker; `seconds` has it do one job and gives what it says the job took."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, job: str, **arguments: Any) -> dict[str, Any]:
        """Do one job of the worker and return its answer, which has at least `seconds`.

        Raises:
            NotMeasuredError: The worker failed; its last words are the reason.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise NotMeasuredError("the process of the peers ended") from error
        answer = self._process.stdout.readline()
        if not answer:
            raise NotMeasuredError("the process of the peers ended")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise NotMeasuredError(f"{job} failed: {found['error']}")
        return found

    def seconds(self, job: str, **arguments: Any) -> float:
        """Time that one job took, as the worker measured it."""
        return float(self.ask(job, **arguments)["seconds"])


@contextmanager
def peers(size: Size) -> Iterator[Peer]:
    """Start the worker; it inherits the thread settings of this process.

    Raises:
        NotMeasuredError: The environment cannot be made here, or the size is that of a smoke test, which installs nothing.
    """
    if size is Size.SMOKE:
        raise NotMeasuredError("the smoke size starts no peer")
    python = provide()
    process = subprocess.Popen([str(python), str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Peer(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)


def provide() -> Path:
    """The peers' Python; their environment is made where it is missing, in `MODESCOPE_BENCH` or `bench/.venv-peers`.

    Raises:
        NotMeasuredError: pip could not install them.
    """
    folder = Path(os.environ.get("MODESCOPE_BENCH") or HERE / ".venv-peers")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    mark, wanted = folder / MARK, "\n".join(REQUIREMENTS)
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    sys.stderr.write(f"installing the peers into {folder.name} (once, minutes)\n")
    try:
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise NotMeasuredError(f"the peers could not be installed: {words[-1] if words else error}") from error
    mark.write_text(wanted, encoding="utf-8")
    return python
