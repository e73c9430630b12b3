"""Every command of the command line with its arguments and options, from click."""

from collections.abc import Iterator

import click

from modescope.cli import commands
from reference_pages import UndocumentedError
from reference_pages._markdown import code, paragraphs, prose, table


def page() -> str:
    context = click.Context(commands, info_name="modescope")
    parts = []
    for name in commands.list_commands(context):
        command = commands.get_command(context, name)
        assert command is not None
        parts.extend(_commands(name, command, context))
    return "\n\n".join(parts) + "\n"


def _commands(name: str, command: click.Command, parent: click.Context) -> Iterator[str]:
    """A command, and behind it those that it is a group of."""
    yield _command(name, command, parent)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name, parent=parent)
        for one in command.list_commands(context):
            inner = command.get_command(context, one)
            assert inner is not None
            yield _command(f"{name} {one}", inner, parent)


def _command(name: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage = f"modescope {name} {' '.join(command.collect_usage_pieces(context))}"
    if isinstance(command, click.Group):
        inner = ", ".join(f"[{one}](#command-{name}-{one})" for one in command.list_commands(context))
        return f"(command-{name})=\n## modescope {name}\n\n{paragraphs(command.help or '')}\n\nIts commands: {inner}."
    rows = [_option(name, option, context) for option in command.params if isinstance(option, click.Option)]
    return "\n\n".join(
        (
            f"(command-{name.replace(' ', '-')})=\n## modescope {name}",
            paragraphs(command.help or ""),
            f"```text\n{usage}\n```",
            table(("option", "default", "meaning", "environment", "setting"), rows),
        )
    )


def _option(command: str, option: click.Option, context: click.Context) -> tuple[str, ...]:
    if not option.help:
        raise UndocumentedError(f"command line: {command} {option.opts[0]} has no help.")
    value = "" if option.is_flag else f" {option.make_metavar(context)}"
    name = ", ".join(code(f"{text}{value}") for text in sorted(option.opts, key=len, reverse=True))
    default = "" if option.is_flag or option.multiple or option.default is None else str(option.default)
    if not isinstance(option.default, int | float | str):
        default = ""
    environment = f"MODESCOPE_{command}_{option.name}".upper().replace(" ", "_")
    setting = "" if " " in command else option.name or ""  # a settings file has no tables for the commands of a group
    return name, code(default), prose(option.help), code(environment), code(setting)
