"""Write a report where it was asked for, in the form it was asked for."""

import os
import sys
from pathlib import Path

from modescope.errors import UsageError
from modescope.render import by_suffix, renderers, replace
from modescope.reports import Report
from modescope.reports.form import is_report


def check(output: Path | None, *inputs: str | Path) -> None:
    """Refuse a place that cannot be written, and one that is read, before work starts, not after it.

    Raises:
        UsageError: The folder of the file is missing or not writable, or the file is an input or lies in one.
    """
    if output is None and sys.stdout is None:
        raise UsageError("stdout: closed, so that there is nowhere to write to. Give a file with -o.")
    if output is not None and not (output.parent.is_dir() and os.access(output if output.exists() else output.parent, os.W_OK)):
        raise UsageError(f"{output}: cannot be written (no such folder, or no permission).")
    for given in inputs if output is not None else ():
        if output is not None and _taken(output, Path(given)):
            raise UsageError(f"{output}: is read by this command, and would be lost. Write to another file.")


def check_suffix(option: str, file: Path | None) -> None:
    """Refuse a report of a form that nothing writes, before work starts.

    Raises:
        UsageError: The suffix of the file names no form.
    """
    if file is not None and file.suffix not in by_suffix():
        raise UsageError(f"{option}: expected a file that ends in {', '.join(sorted(by_suffix()))}, got {str(file)!r}.")


def _taken(output: Path, given: Path) -> bool:
    """Whether writing a file would replace what is read: the input itself, or a file of the folder that is no text of ours."""
    if not (output.exists() and given.exists()):
        return False
    if given.is_dir():
        inside = output.resolve().is_relative_to(given.resolve())
        return inside and not is_report(output) and output.suffix not in (".txt", ".md", ".csv")
    return output.samefile(given) and not is_report(output)


def chosen(form: str | None, output: Path | None, default: str) -> str:
    """The renderer that was asked for, or that the suffix of the file names, or the default."""
    if form is not None or output is None:
        return form or default
    return next((name for name, renderer in renderers().items() if getattr(renderer, "SUFFIX", "") == output.suffix), default)


def write(report: Report, form: str, output: Path | None = None) -> None:
    """Render and write; a file is replaced only when the whole text is there.

    Raises:
        UsageError: The file cannot be written.
    """
    text: str = renderers()[form].render(report)
    if output is None:
        stream = sys.stdout
        try:
            stream.write(text.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8"))
            stream.flush()
        except BrokenPipeError:
            raise  # the reader has seen enough
        except OSError as error:
            raise UsageError(f"stdout: cannot be written ({error.strerror or error}).") from error
        return
    replace(output, text)
