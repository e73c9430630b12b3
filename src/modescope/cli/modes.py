"""Networks in modes: trained, read, and their theory; one file for each sub-command, `_modes_NAME.py`."""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import click

PREFIX = "_modes_"


class _SubCommands(click.Group):
    """The files beside this one whose names begin with the prefix; each is imported only when it is asked for, or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        beside = (item.name for item in iter_modules([str(Path(__file__).parent)]))
        return sorted(name.removeprefix(PREFIX) for name in beside if name.startswith(PREFIX))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        found: click.Command = import_module(f"modescope.cli.{PREFIX}{name}").command
        for option in found.params:
            if isinstance(option, click.Option) and option.name:
                word = option.name.upper()
                option.envvar = [f"MODESCOPE_MODES_{name.upper()}_{word}", f"MODESCOPE_{word}"]
        return found


@click.group("modes", cls=_SubCommands, short_help="Train networks in modes, read them, and their theory.")
def command() -> None:
    """Networks whose weights are sums of few modes: an input pattern, an output pattern and a strength for each.

    They are trained in that form, which costs less and leaves a ranked list of modes to read.
    """
