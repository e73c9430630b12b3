"""Run the examples of the documentation; `python docs/examples.py [PAGE ...]` writes the output that they have now into the pages.

On a page, in order and in one folder that holds `digits.safetensors` and `untrained.safetensors`, the network that ships after and
before its training:

- a `python` block is run, and a `text` block right after it is what it prints. One whose first line is a comment with a path below
  `src/modescope/` is a plug-in: it joins its registry while the page runs. One with a path below `tests/` is run, and so is every
  test in it;
- a `toml` block whose first line is a comment with a name is written under that name;
- in a `console` block every `$ modescope` command is run, `$ echo $?` gives its exit code, and what follows is what it prints. A
  line with nothing but `…` stands for any number of lines. Commands in `ELSEWHERE` are not run.

A page that begins with a comment `% real: NAME` (in the README `<!-- real: NAME -->`) needs a downloaded model, which lies in the
folder as `model`.
"""

import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module, invalidate_caches
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from modescope.cli import _run
from modescope.registry import modules
from modescope.shipped import FOLDER, demo_history, demo_path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = (
    "pip",
    "python",
    "git",
    "make",
    "cp",
    "cd",
    "sha256sum",
    ".venv/bin/python",
    ".venv/bin/sphinx-build",
    ".venv/bin/ruff",
)
PLUGINS = ("checkpoints", "layers", "measures", "render")
ANY = "…"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]|×)", re.IGNORECASE)
CLOSE = 2e-3  # relative: the third digit of a float may differ by machine


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its text, and where the text starts."""

    language: str
    text: str
    start: int
    line: int


@dataclass(frozen=True)
class Output:
    """What a page shows and what came: `shown` is the text of the page from `start` to `end`."""

    page: Path
    line: int
    start: int
    end: int
    shown: str
    got: str

    @property
    def agrees(self) -> bool:
        """Whether the two are the same but for the last digits of floats and the width of columns."""
        return _matches(self.shown.splitlines(), self.got.splitlines())


def pages() -> list[Path]:
    """The README and every page of the documentation, but for the generated ones."""
    kept = (path for path in DOCS.rglob("*.md") if not {"_build", "generated"} & set(path.parts))
    return [ROOT / "README.md", *sorted(kept)]


def model(page: Path) -> str:
    """The downloaded model that a page needs, or empty."""
    found = re.match(r"(?:%|<!--) real: (\S+)", page.read_text(encoding="utf-8"))
    return found[1] if found else ""


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page in a language of its own; directives are none."""
    return [Block(m[1], m[2], m.start(2), text.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(text)]


def run(page: Path, folder: Path) -> Iterator[Output]:
    """Run the examples of a page in a folder.

    Raises:
        Exception: Whatever a python block raises.
    """
    text = page.read_text(encoding="utf-8")
    shutil.copy(demo_path(), folder / "digits.safetensors")
    shutil.copy(demo_history()[0], folder / "untrained.safetensors")
    names: dict[str, Any] = {"__name__": "example"}
    found = blocks(text)
    with chdir(folder), _plugins(folder) as join:
        for block, after in zip_longest(found, found[1:]):
            first = block.text.partition("\n")[0].removeprefix("# ")
            if block.language == "toml" and first.endswith(".toml"):
                Path(first).write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                yield from _console(page, block)
            elif block.language == "python" and first.startswith("src/modescope/"):
                join(first, block.text)
            elif block.language == "python":
                got = _python(page, block, names if not first.startswith("tests/") else {"__name__": "tests"})
                shown = (
                    after if after and after.language == "text" and not text[_end(block) + 4 : after.start - 8].strip() else None
                )
                if got and shown is None:
                    raise ValueError(f"{page}:{block.line}: prints something, and no text block after it shows it.")
                if shown is not None:
                    yield Output(page, shown.line, shown.start, _end(shown), shown.text, got)


def rewritten(text: str, outputs: Sequence[Output]) -> str:
    """The page with what came in place of what it shows; where it shows `…`, as many lines before and after it as it did."""
    for output in sorted(outputs, key=lambda output: -output.start):
        shown, got = output.shown.splitlines(), output.got.splitlines()
        if ANY in shown:
            before, after = shown.index(ANY), len(shown) - shown.index(ANY) - 1
            got = [*got[:before], ANY, *got[len(got) - after :]]
        text = text[: output.start] + "".join(f"{line}\n" for line in got) + text[output.end :]
    return text


def _end(block: Block) -> int:
    return block.start + len(block.text)


def _python(page: Path, block: Block, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    with redirect_stdout(printed):
        exec(code, names)  # noqa: S102
        if names["__name__"] == "tests":
            for name, test in list(names.items()):
                if name.startswith("test_"):
                    test()
    return _portable(printed.getvalue())


def _console(page: Path, block: Block) -> Iterator[Output]:
    code, start, line = 0, block.start, block.line
    parts = re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE)
    if parts[0].strip():
        raise ValueError(f"{page}:{line}: expected a console block to begin with a command.")
    for part in parts[1:]:
        command, _, shown = part.partition("\n")
        words = shlex.split(command[2:])
        settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(settings) :]
        at, start = start + len(command) + 1, start + len(part)
        if words == ["echo", "$?"]:
            got = f"{code}\n"
        elif words[0] == "modescope":
            code, got = _modescope(words[1:], settings)
        elif words[0] in ELSEWHERE and not shown:
            got = ""
        else:
            raise ValueError(f"{page}:{line}: expected a command of modescope, or one of {', '.join(ELSEWHERE)} without output.")
        yield Output(page, line, at, at + len(shown), shown, got)
        line += part.count("\n")


def _modescope(words: list[str], settings: dict[str, str]) -> tuple[int, str]:
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed), patch.dict(os.environ, settings):
        code = _run(words)
    return code, _portable(printed.getvalue())


def _portable(text: str) -> str:
    """Output without the place where the package is installed, and without spaces at the ends of lines."""
    return "".join(f"{line.rstrip()}\n" for line in text.replace(str(FOLDER), "…/modescope/data/digits").splitlines())


@contextmanager
def _plugins(folder: Path) -> Iterator[Any]:
    """Lets modules join the registries until the page is done."""
    joined: list[tuple[Any, str]] = []

    def join(path: str, text: str) -> None:
        room, name = Path(path).parts[-2], Path(path).stem
        package = import_module(f"modescope.{room}")
        if (Path(package.__path__[0]) / f"{name}.py").exists():
            raise ValueError(f"{path}: a module of this name is already there.")
        (folder / "plugins" / room).mkdir(parents=True, exist_ok=True)
        (folder / "plugins" / room / f"{name}.py").write_text(text, encoding="utf-8")
        joined.append((package, name))
        invalidate_caches()
        modules.cache_clear()

    with ExitStack() as stack:
        for room in PLUGINS:
            path = import_module(f"modescope.{room}").__path__
            path.append(str(folder / "plugins" / room))
            stack.callback(path.pop)
        try:
            yield join
        finally:
            for package, name in joined:
                sys.modules.pop(f"{package.__name__}.{name}", None)
                package.__dict__.pop(name, None)
            modules.cache_clear()


def _matches(shown: Sequence[str], got: Sequence[str]) -> bool:
    if not shown:
        return not got
    if shown[0] == ANY:
        return any(_matches(shown[1:], got[skipped:]) for skipped in range(len(got) + 1))
    return bool(got) and _same(shown[0], got[0]) and _matches(shown[1:], got[1:])


def _same(shown: str, got: str) -> bool:
    if _shape(shown) != _shape(got):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(got), strict=True)
    return all(a == b or (not _whole(a) and abs(float(a) - float(b)) <= CLOSE * abs(float(a))) for a, b in pairs)


def _whole(number: str) -> bool:
    return number.lstrip("+-").isdigit()


def _shape(line: str) -> str:
    """A line without its numbers and without the widths of its columns."""
    return re.sub(r"\s+|─+|-{3,}", " ", NUMBER.sub("0", line)).strip()


def main(arguments: Sequence[str]) -> None:
    """Rewrite the outputs of the pages named, or of all."""
    sys.path.insert(0, str(ROOT / "tests"))
    import pytest

    import real

    for page in [Path(name).resolve() for name in arguments] or pages():
        with TemporaryDirectory() as folder:
            if name := model(page):
                try:
                    (Path(folder) / "model").symlink_to(next(real.path(name).rglob("config.json")).parent)
                except pytest.skip.Exception as reason:
                    print(f"left {page.relative_to(ROOT)}: {reason}")
                    continue
            text = page.read_text(encoding="utf-8")
            new = rewritten(text, list(run(page, Path(folder))))
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"rewrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
