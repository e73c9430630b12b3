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
        for option in command.params:
            if isinstance(option, click.Option) and option.name:
                word = option.name.upper()
                option.envvar = [f"MODESCOPE_{name.upper()}_{word}", f"MODESCOPE_{word}"]
        return command


def _names() -> list[str]:
    return sorted(item.name for item in iter_modules(__path__) if not item.name.startswith("_"))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modescope")
def commands() -> None:
    """See inside trained networks: the singular modes of every weight matrix, which carry signal and which are noise.

    Options may also be set in the environment, as MODESCOPE_SEED=1 or for one command as MODESCOPE_SCAN_SEED=1 (several values
    separated by ;), and in pyproject.toml, under [tool.modescope] or [tool.modescope.scan].
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stderr is None:  # closed by whoever started us: what is said goes nowhere, and the work is done all the same
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lives as long as we do
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_run(given))


def _run(given: list[str]) -> int:
    try:
        settings = {} if not given or {"-h", "--help", "--version"} & set(given) else _settings(Path.cwd() / "pyproject.toml")
        code = commands.main(given, prog_name="modescope", standalone_mode=False, default_map=settings)
        if sys.stdout is not None:
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
    except OSError as error:
        if "--debug" in given:
            raise
        return _say(f"cannot be read or written: {error}", USAGE)
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
    """Defaults by command from `[tool.modescope]` of a pyproject.toml: words for all commands, and a table per command."""
    if not path.is_file():
        return {}
    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from error
    for part in ("tool", "modescope"):
        found = found.get(part, {})
        if not isinstance(found, dict):
            raise UsageError(f"{path}: expected {part} to be a table.")
    options = {name: _flags(name) for name in _names()}
    settings: dict[str, dict[str, Any]] = {name: {} for name in options}
    for key, value in found.items():
        if key in options and isinstance(value, dict):
            continue
        taking = [name for name in options if key.replace("_", "-") in options[name]]
        if not taking:
            raise UsageError(f"{path}: [tool.modescope] has no command and no option {key!r}.")
        for name in taking:
            settings[name][options[name][key.replace("_", "-")]] = value
    for name, known in options.items():
        for key, value in found.get(name, {}).items():
            if key.replace("_", "-") not in known:
                raise UsageError(f"{path}: [tool.modescope.{name}] has no option {key!r}; expected one of {', '.join(known)}.")
            settings[name][known[key.replace("_", "-")]] = value
    return settings


def _flags(name: str) -> dict[str, str]:
    """The names of a command's parameters by their flags without dashes."""
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return {
        flag.removeprefix("--"): option.name
        for option in command.params
        for flag in option.opts
        if flag.startswith("--") and option.name
    }


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
