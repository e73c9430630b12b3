"""Renderers: a report in, text out. One file per output; its name is a choice of `--format`.

A renderer has `render(report, /) -> str`. Every renderer handles every block; the type checker says where one is missing.
Names in a report are untrusted text: a renderer escapes what its output could mistake for markup or terminal codes.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

from modescope.registry import modules
from modescope.report import Report


class Renderer(Protocol):
    """What a module in this folder must offer."""

    def render(self, report: Report, /) -> str:
        """The whole report as text."""


def renderers() -> Mapping[str, ModuleType]:
    """Every renderer by name."""
    return modules(__name__)
