"""The command line: one file per command, each parses, calls one public function and renders.

Data goes to stdout, talk and progress to stderr. Exit codes: 0 ok, 1 a `--fail-if` condition held, 2 usage, 3 unreadable or
unsupported input, 4 unsafe input refused, 5 finished but some matrices failed, 70 a fault of Modescope, 130 interrupted.
"""

import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import FrameType
from typing import Any, NoReturn

import click

from modescope.errors import ModescopeError, UnreadableError, UnsafeError, UsageError
from modescope.version import __version__

USAGE, UNREADABLE, UNSAFE, FAILED_ROWS, FAULT, INTERRUPTED = 2, 3, 4, 5, 70, 130


class _Commands(click.Group):
    """The files of this folder; each is imported only when it is asked for, or listed by its first line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return _names()

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"{__name__}.{name}").command
        return command


def _names() -> list[str]:
    return sorted(item.name for item in iter_modules(__path__) if not item.name.startswith("_"))


@click.group(cls=_Commands, context_settings={"auto_envvar_prefix": "MODESCOPE", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modescope")
def commands() -> None:
    """See inside trained networks: the singular modes of every weight matrix, which carry signal and which are noise.

    Options may also be set as MODESCOPE_SCAN_SEED=1 in the environment or under [tool.modescope.scan] in pyproject.toml.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(given))


def _run(given: list[str]) -> int:
    try:
        code = commands.main(
            given, prog_name="modescope", standalone_mode=False, default_map=_settings(Path.cwd() / "pyproject.toml")
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted.", INTERRUPTED)
    except click.ClickException as error:
        hint = f"\nTry '{error.ctx.command_path} --help'." if isinstance(error, click.UsageError) and error.ctx else ""
        return _say(error.format_message() + hint, USAGE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing more to say to it
        return 0
    except ModescopeError as error:
        if "--debug" in given:
            raise
        return _say(str(error), _code(error))
    except Exception as error:
        if "--debug" in given:
            raise
        return _say(f"a fault of Modescope: {type(error).__name__}: {error}\nRun again with --debug for the details.", FAULT)


def _code(error: ModescopeError) -> int:
    match error:
        case UsageError():
            return USAGE
        case UnsafeError():
            return UNSAFE
        case UnreadableError():
            return UNREADABLE
        case _:
            return FAILED_ROWS


def _say(text: str, code: int) -> int:
    from modescope.render._plain import plain

    print("error:", "\n".join(plain(line) for line in text.splitlines()), file=sys.stderr)
    return code


def _settings(path: Path) -> dict[str, Any]:
    """`[tool.modescope]` of a pyproject.toml in the current folder: one table per command."""
    if not path.is_file():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("modescope", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path}: expected [tool.modescope] to be a table.")
    return {name: _defaults(path, name, table) for name, table in found.items()}


def _defaults(path: Path, name: str, table: Any) -> dict[str, Any]:
    """The settings of one command by the names of its parameters; a word that is no option of it is an error."""
    command = commands.get_command(click.Context(commands), name)
    if command is None or not isinstance(table, dict):
        raise UsageError(f"{path}: expected [tool.modescope.COMMAND] with one of {', '.join(_names())}, got {name!r}.")
    known = {flag.removeprefix("--"): option.name for option in command.params for flag in option.opts if flag.startswith("--")}
    for key in table:
        if key.replace("_", "-") not in known:
            raise UsageError(f"{path}: [tool.modescope.{name}] has no option {key!r}; expected one of {', '.join(known)}.")
    return {str(known[key.replace("_", "-")]): value for key, value in table.items()}


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
