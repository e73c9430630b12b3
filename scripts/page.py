"""Say whether the built page is that of its sources: `python scripts/page.py` needs no Node and exits 1 when it is stale.

The first line of `page.js` names the SHA-256 of the sources it was built from and of what was built: neither changes alone.
"""

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ("page.js", "page.css", "page.LICENSES.txt")
SOURCES = ("src", "package.json", "package-lock.json", "tsconfig.json", "vite.config.mjs", "notices.mjs")


def first_line(web: Path, built: Path) -> str:
    """What the first line of the script must be."""
    files = [file for name in SOURCES for file in (sorted((web / name).rglob("*")) if (web / name).is_dir() else [web / name])]
    sources = {file.relative_to(web).as_posix(): file.read_bytes() for file in files if file.is_file()}
    made = {name: _body(built / name) for name in BUILT}
    return f"/*! sources sha256:{_digest(sources)} built sha256:{_digest(made)} */\n"


def stale(web: Path, built: Path) -> bool:
    """Whether the sources or the built files changed since the build."""
    with (built / "page.js").open(encoding="utf-8") as file:
        return file.readline() != first_line(web, built)


def stamp(web: Path, built: Path) -> None:
    """Write the first line; the last step of a build."""
    line = first_line(web, built)
    (built / "page.js").write_bytes(line.encode() + _body(built / "page.js"))


def _body(path: Path) -> bytes:
    """A built file without its first line where that is ours."""
    content = path.read_bytes()
    return content.partition(b"\n")[2] if content.startswith(b"/*! sources sha256:") else content


def _digest(files: dict[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, content in sorted(files.items()):
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def main(arguments: list[str]) -> int:
    """Check, or stamp a build that was just made."""
    web, built = ROOT / "web", ROOT / "src/modescope/data/page"
    if arguments == ["--stamp"]:
        stamp(web, built)
    elif stale(web, built):
        sys.stderr.write("src/modescope/data/page is not what web/ builds now: run `make web` and commit both." + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
