"""Reference pages made from the code, each time the documentation is built. One file per page: `page()` gives its Markdown.

A page raises `UndocumentedError` where the code does not say what a reader must know, and that stops the build.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


class UndocumentedError(ExtensionError):
    """Something that a user meets has no explanation in the code."""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference" / "generated"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(folder: Path) -> None:
    """Make every page anew; one that did not change keeps its time, so that it is not rendered again.

    Raises:
        UndocumentedError: A page cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for item in iter_modules(__path__):
        if item.name.startswith("_"):
            continue
        path, text = folder / f"{item.name}.md", import_module(f"{__name__}.{item.name}").page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
