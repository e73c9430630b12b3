"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class Format(click.Choice[str]):
    """The renderers that were found, looked up only when the option is used or explained."""

    def __init__(self) -> None:
        from pkgutil import iter_modules

        folder = str(Path(__file__).parents[1] / "render")  # the files' names, without importing them
        super().__init__(sorted(item.name for item in iter_modules([folder]) if not item.name.startswith("_")))


class Listed(click.types.StringParamType):
    """One of several texts, which an environment variable separates by semicolons: globs and conditions may have spaces."""

    envvar_list_splitter = ";"


def selection(command: Command) -> Command:
    """--include, --exclude, --kind, --min-dim, --view."""
    several: dict[str, Any] = {"multiple": True, "type": Listed()}
    for option in reversed(
        [
            click.option("--include", **several, metavar="GLOB", help="Only tensors whose name matches, as '*.mlp.*'. Repeatable."),
            click.option("--exclude", **several, metavar="GLOB", help="No tensor whose name matches. Repeatable."),
            click.option("--kind", **several, metavar="KIND", help="Only this layer kind, as 'dense' or 'lstm'. Repeatable."),
            click.option("--min-dim", default=1, show_default=True, metavar="N", help="Smallest short side, in entries."),
            click.option("--view", default=None, metavar="VIEW", help="A view that a kind offers: slices, operator, heads."),
        ]
    ):
        command = option(command)
    return command


def scanning(command: Command) -> Command:
    """What `scanned` in `_scanned.py` takes: --level, --seed, --set, --save, --resume, --workers, --memory, --device, --quiet."""
    for option in reversed(
        [
            click.option(
                "--level", default=0.01, show_default=True, help="Probability that a network of pure noise shows any signal mode."
            ),
            click.option("--seed", default=0, show_default=True, help="Derives every random twin and resample."),
            click.option(
                "--set",
                multiple=True,
                type=Listed(),
                metavar="MEASURE.OPTION=VALUE",
                help="Option of a measure, as tail.bootstrap=200. Repeatable.",
            ),
            click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Run folder, written row by row."),
            click.option(
                "--resume",
                is_flag=True,
                help="Continue in the run folder: rows of the same data, options and version are used again.",
            ),
            click.option("--workers", type=click.IntRange(min=1), help="Threads; by default one per processor."),
            click.option(
                "--memory",
                type=click.FloatRange(min=0, min_open=True),
                metavar="GB",
                help="Memory budget in GB; by default half of the machine's.",
            ),
            click.option("--device", help="A CUDA device such as cuda:0; by default the CPU."),
            click.option("--quiet", "-q", is_flag=True, help="No progress on stderr."),
        ]
    ):
        command = option(command)
    return command


def written(to: str = "Write to this file, not to stdout.") -> Callable[[Command], Command]:
    """--format, which by default follows the suffix of the file, --json, -o, --debug.

    Args:
        to: Help of `-o`.
    """

    def add(command: Command) -> Command:
        path = click.Path(dir_okay=False, path_type=Path)
        for option in (
            click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors."),
            click.option("--output", "-o", type=path, help=to),
            click.option("--json", is_flag=True, help="Short for --format json."),
            click.option(
                "--format", type=Format(), help="How to write the result; by default what the suffix of the file says, and table."
            ),
        ):
            command = option(command)
        return command

    return add


def output(command: Command) -> Command:
    """--format, --json, -o, --debug."""
    for option in reversed(
        [
            click.option("--format", type=Format(), default="table", show_default=True, help="How to write the result."),
            click.option("--json", is_flag=True, help="Short for --format json."),
            click.option(
                "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, not to stdout."
            ),
            click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on errors."),
        ]
    ):
        command = option(command)
    return command
