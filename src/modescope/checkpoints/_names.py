"""How a name taken from a file stands in an error: quoted, escaped and cut, so that it stays on its line."""

LONGEST = 120


def shown(name: object) -> str:
    """A name as it may be printed: newlines and terminal codes escaped, at most 120 characters."""
    text = repr(str(name))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 4]}...{text[0]}"
