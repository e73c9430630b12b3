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
