"""Data sets on disk: what comes out is what was written, and damage costs a picture or one clear error."""

import gzip
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modescope.errors import ModescopeError, UnreadableError, UnsafeError, UsageError
from modescope.profiles import image_folder
from modescope.profiles.image_files import opened
from modescope.profiles.images import Images

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(11)


def all_of(data: Images) -> np.ndarray:
    return np.concatenate([np.asarray(batch) for batch in data.batches()])


def saved(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def colours(height: int = 6, width: int = 5) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def folder(root: Path) -> dict[str, np.ndarray]:
    """Two classes of three and two pictures, by relative path."""
    found = {}
    for name in ("b/2.png", "b/10.png", "a/z.bmp", "a/deep/x.png", "b/1.PNG"):
        found[name] = colours()
        saved(root / name, found[name])
    return found


def idx(array: np.ndarray) -> bytes:
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_sub_folders_are_classes_and_pictures_stand_by_name(tmp_path: Path) -> None:
    written = folder(tmp_path)
    data = opened(tmp_path, batch=2)
    order = ["a/z.bmp", "a/deep/x.png", "b/1.PNG", "b/10.png", "b/2.png"]
    np.testing.assert_array_equal(data.labels, [0, 0, 1, 1, 1])
    assert (data.classes, data.count, data.skipped) == (("a", "b"), 5, ())
    expected = np.stack([np.moveaxis(written[name], -1, 0) for name in order]).astype(np.float32) / 255
    np.testing.assert_array_equal(all_of(data), expected)
    np.testing.assert_array_equal(all_of(data), all_of(data))
    assert [len(batch) for batch in data.batches()] == [2, 2, 1]


def test_a_flat_folder_has_no_classes_but_may_be_given_labels(tmp_path: Path) -> None:
    for name in "cab":
        saved(tmp_path / f"{name}.png", colours())
    assert opened(tmp_path).labels is None
    assert opened(tmp_path, labels=["x", "y", "x"]).classes == ("x", "y")
    with pytest.raises(UsageError, match=r"expected \(3,\)"):
        opened(tmp_path, labels=[0, 1])


def test_what_cannot_be_read_is_named_and_the_rest_keeps_its_labels(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "b" / "1.PNG").write_bytes((tmp_path / "b" / "2.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "a" / "._z.png").write_text("of another system")
    (tmp_path / "b" / "link.png").symlink_to(tmp_path / "b" / "2.png")
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    data = opened(tmp_path)
    assert [name for name, _ in data.skipped] == ["a/broken.png", "b/1.PNG"]
    assert all(reason and "\n" not in reason for _, reason in data.skipped)
    assert data.source["ignored"] == 4
    np.testing.assert_array_equal(data.labels, [0, 0, 1, 1])
    assert len(all_of(data)) == data.count == 4
    chosen = opened(tmp_path, labels=np.arange(6))  # one for each picture by name, read or not
    np.testing.assert_array_equal(chosen.labels, [1, 2, 4, 5])


def test_folders_without_pictures_or_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got 0 other files"):
        opened(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"1 that cannot; a\.png"):
        opened(tmp_path)
    saved(tmp_path / "b.png", colours(4, 4))
    saved(tmp_path / "c.png", colours(4, 5))
    with pytest.raises(UsageError, match=r"4 x 4 \(b\.png\) and 4 x 5 \(c\.png\)"):
        opened(tmp_path)
    assert all_of(opened(tmp_path, size=3)).shape == (2, 3, 3, 3)


def test_pictures_are_cut_in_the_middle_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    saved(tmp_path / "wide.png", wide)
    found = all_of(opened(tmp_path, size=10))
    assert found.shape == (1, 3, 10, 10)
    np.testing.assert_allclose(found[..., 2:8], 200 / 255, atol=0.004)  # the filter sees beyond the cut at its sides
    np.testing.assert_allclose(found[..., ::-1], found, atol=0.004)
    assert all_of(opened(tmp_path, size=(10, 30))).shape == (1, 3, 10, 30)
    assert image_folder.middle((20, 60), (10, 10)) == (0, 20, 20, 20)
    assert image_folder.middle((20, 60), (1, 4)) == (2.5, 0, 15, 60)


def test_arrays_are_cut_and_resized_as_pictures_are(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 40) * np.linspace(0.5, 1, 24)[:, None]
    picture = np.repeat(ramp.astype(np.uint8)[..., None], 3, axis=2)
    picture[8:12, 10:20, 1] = 255
    saved(tmp_path / "p" / "a.png", picture)
    np.save(tmp_path / "a.npy", picture[None])
    one, other = all_of(opened(tmp_path / "p", size=12)), all_of(opened(tmp_path / "a.npy", size=12))
    np.testing.assert_allclose(one, other, atol=3 / 255)  # Pillow rounds to bytes after each axis


def test_numbers_are_normalised_and_shown_as_they_were(tmp_path: Path) -> None:
    written = folder(tmp_path)
    data = opened(tmp_path, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2))
    plain = all_of(opened(tmp_path))
    shift, scale = np.reshape((0.1, 0.2, 0.3), (1, 3, 1, 1)), np.reshape((0.5, 0.25, 2), (1, 3, 1, 1))
    np.testing.assert_allclose(all_of(data), (plain - shift) / scale, rtol=1e-5, atol=1e-6)
    assert data.shown is not None
    back = data.shown(next(iter(data.batches())))
    np.testing.assert_array_equal(np.rint(back[0] * 255), np.moveaxis(written["a/z.bmp"], -1, 0))
    for options in ({"mean": (1, 2)}, {"std": 0}, {"std": float("nan")}, {"mean": "x"}, {"channels": 2}, {"size": 0}, {"batch": 0}):
        with pytest.raises(UsageError):
            opened(tmp_path, **options)


def test_every_kind_of_pixel_becomes_grey_or_colour(tmp_path: Path) -> None:
    grey, rgb = RNG.integers(0, 256, (6, 5), dtype=np.uint8), colours()
    deep = RNG.integers(0, 65536, (6, 5), dtype=np.uint16)
    clear = np.dstack([rgb, np.zeros((6, 5), np.uint8)])
    cases: dict[str, tuple[Any, np.ndarray, float]] = {
        "grey.png": (Image.fromarray(grey), grey[None], 0),
        "deep.png": (Image.fromarray(deep), np.rint(deep / 257)[None], 0),
        "deep.tif": (Image.fromarray(deep), np.rint(deep / 257)[None], 0),
        "bits.png": (Image.fromarray(grey > 99), (grey > 99)[None] * 255.0, 0),
        "cmyk.tif": (Image.fromarray(rgb).convert("CMYK"), np.moveaxis(rgb, -1, 0), 1),
        "clear.png": (Image.fromarray(clear), np.full((3, 6, 5), 255.0), 0),
        "solid.png": (Image.fromarray(np.dstack([rgb, np.full((6, 5), 255, np.uint8)])), np.moveaxis(rgb, -1, 0), 0),
        "grey alpha.png": (Image.fromarray(np.dstack([grey, np.full((6, 5), 255, np.uint8)])), grey[None], 0),
        "palette.gif": (Image.fromarray(rgb[:1, :1].repeat(6, 0).repeat(5, 1)).convert("P", palette=1), None, 0),
    }
    for name, (image, expected, tolerance) in cases.items():
        where = tmp_path / name.replace(".", "-")
        where.mkdir()
        image.save(where / name)
        found = all_of(opened(where))[0] * 255
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=tolerance + 1e-4, err_msg=name)
        else:
            assert found.shape == (3, 6, 5)
    floats = tmp_path / "floats"
    floats.mkdir()
    Image.fromarray(grey.astype(np.float32)).save(floats / "f.tif")
    with pytest.raises(UsageError, match="no range"):
        opened(floats)


def test_grey_and_colour_together_are_colour_and_either_can_be_asked_for(tmp_path: Path) -> None:
    grey, rgb = RNG.integers(0, 256, (6, 5), dtype=np.uint8), colours()
    saved(tmp_path / "a.png", grey)
    saved(tmp_path / "b.png", rgb)
    found = all_of(opened(tmp_path))
    assert found.shape == (2, 3, 6, 5)
    np.testing.assert_array_equal(found[0, 0], found[0, 2])
    one = all_of(opened(tmp_path, channels=1)) * 255
    np.testing.assert_allclose(one[0, 0], grey, atol=1e-4)
    np.testing.assert_allclose(one[1, 0], np.asarray(Image.fromarray(rgb).convert("L")), atol=1.01)


def test_rotation_is_honoured_and_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    rgb = colours(4, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise by 90 degrees to be seen
    saved(tmp_path / "a" / "turned.png", rgb, exif=exif)
    np.testing.assert_allclose(all_of(opened(tmp_path / "a"))[0] * 255, np.moveaxis(np.rot90(rgb, -1), -1, 0), atol=1e-4)
    frames = [Image.fromarray(np.full((5, 5, 3), shade, np.uint8)) for shade in (40, 90)]
    (tmp_path / "b").mkdir()
    frames[0].save(tmp_path / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(all_of(opened(tmp_path / "b")) * 255, 40, atol=1e-4)


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "a.png", colours(4, 4))
    saved(tmp_path / "b.png", colours(40, 40))
    monkeypatch.setattr(image_folder, "MOST", 100)
    assert [name for name, _ in opened(tmp_path).skipped] == ["b.png"]
    monkeypatch.setattr(image_folder, "MOST", 10**9)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "decompression bomb" in opened(tmp_path).skipped[0][1]


def test_pictures_that_do_not_fit_in_memory_are_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    kept = opened(tmp_path)
    monkeypatch.setattr(image_folder, "MEMORY", 200)
    again = opened(tmp_path)
    assert (kept.source["in memory"], again.source["in memory"]) == (True, False)
    np.testing.assert_array_equal(all_of(kept), all_of(again))
    (tmp_path / "b" / "10.png").write_bytes(b"gone")
    with pytest.raises(UnreadableError, match=r"10\.png"):
        all_of(again)


def test_progress_is_told_while_pictures_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.setattr(image_folder, "EVERY", 2)
    told: list[tuple[str, int, int | None]] = []
    opened(tmp_path, progress=lambda *one: told.append(one))
    assert told == [("pictures", 2, 5), ("pictures", 4, 5), ("pictures", 5, 5)]


def test_without_pillow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError, match=r"modescope\[images\]"):
        opened(tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool", "float32", "float64", "int32"])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_come_back_scaled_by_their_type(tmp_path: Path, dtype: str, suffix: str) -> None:
    array = RNG.integers(0, 200, (7, 4, 5)).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    np.save(path, array) if suffix == "npy" else np.savez(path, images=array, labels=np.arange(7))
    data = opened(path, batch=3)
    full = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    np.testing.assert_allclose(all_of(data), array[:, None].astype(np.float64) / full, rtol=1e-6)
    assert (data.shown is not None) == (dtype in ("uint8", "uint16"))
    assert (data.labels is None) == (suffix == "npy")


def test_channels_may_stand_last_and_flat_images_stay_flat(tmp_path: Path) -> None:
    array = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_allclose(all_of(opened(tmp_path / "a.npy")), np.moveaxis(array, -1, 1) / 255, rtol=1e-6)
    np.save(tmp_path / "b.npy", np.moveaxis(array, -1, 1))
    np.testing.assert_array_equal(all_of(opened(tmp_path / "b.npy")), all_of(opened(tmp_path / "a.npy")))
    assert all_of(opened(tmp_path / "a.npy", channels=1)).shape == (4, 1, 6, 5)
    np.save(tmp_path / "c.npy", array.reshape(4, -1))
    assert all_of(opened(tmp_path / "c.npy")).shape == (4, 90)
    with pytest.raises(UsageError, match="channels"):
        opened(tmp_path / "c.npy", channels=3)


def test_names_in_an_archive_are_found_or_given(tmp_path: Path) -> None:
    x, y = RNG.uniform(size=(6, 4, 4)), np.array(["cat", "dog"])[[0, 1, 1, 0, 1, 0]]
    np.savez(tmp_path / "a.npz", pictures=x, kinds=y.astype("U3") == "dog")
    with pytest.raises(UsageError, match="'pictures', 'kinds'"):
        opened(tmp_path / "a.npz")
    data = opened(tmp_path / "a.npz", name="pictures", labels="kinds")
    np.testing.assert_array_equal(data.labels, [0, 1, 1, 0, 1, 0])
    assert opened(tmp_path / "a.npz", labels="kinds").count == 6  # the only one that is no labels
    np.savez(tmp_path / "b.npz", x_train=x[:3], y_train=[0, 1, 2], x_test=x, y_test=np.arange(6)[:, None])
    np.testing.assert_array_equal(opened(tmp_path / "b.npz").labels, np.arange(6))
    np.testing.assert_array_equal(opened(tmp_path / "b.npz", name="x_train").labels, np.arange(3))
    np.savez(tmp_path / "c.npz", images=x, labels=np.arange(4))
    with pytest.raises(UsageError, match="labels"):
        opened(tmp_path / "c.npz")


def test_a_single_array_is_that_of_the_images_whatever_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.zeros((3, 4, 4)))
    assert opened(tmp_path / "y.npy").count == 3
    np.savez(tmp_path / "names.npz", images=np.array(["no", "numbers"]))
    with pytest.raises(UnreadableError, match="arrays of numbers"):
        opened(tmp_path / "names.npz")


def test_pickles_in_arrays_are_refused(tmp_path: Path) -> None:
    objects = np.array([{"a": 1}, None], dtype=object)
    np.savez(tmp_path / "a.npz", images=objects)
    np.save(tmp_path / "a.npy", objects)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(UnsafeError):
            opened(tmp_path / name)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_idx_files_come_back_with_the_labels_beside_them(tmp_path: Path, packed: bool, dtype: str) -> None:
    array, labels = RNG.integers(0, 100, (9, 4, 5)).astype(dtype), RNG.integers(0, 10, 9).astype(np.uint8)
    end, pack = (".gz", gzip.compress) if packed else ("", bytes)
    path = tmp_path / f"t10k-images-idx3-ubyte{end}"
    path.write_bytes(pack(idx(array)))
    assert opened(path).labels is None
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(labels))
    data = opened(path, batch=4)
    np.testing.assert_array_equal(data.labels, labels)
    np.testing.assert_allclose(all_of(data), array[:, None] / (255 if dtype == "u1" else 1), rtol=1e-6)
    other = tmp_path / "other-labels.idx1-ubyte"
    other.write_bytes(idx(labels[::-1].copy()))
    np.testing.assert_array_equal(opened(path, labels=other).labels, labels[::-1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "begins with"),
        (b"\0\0\x08", "begins with"),
        (b"\0\1\x08\3" + bytes(12), "begins with"),
        (b"\0\0\x0a\3" + bytes(12), "begins with"),
        (b"\0\0\x08\3" + bytes(6), "sizes"),
        (idx(np.zeros((3, 4, 4), np.uint8))[:-1], "48 bytes|64 bytes"),
        (idx(np.zeros((3, 4, 4), np.uint8)) + b"x", "got"),
        (b"\0\0\x08\3" + b"\xff" * 12, "promise|got"),
        (idx(np.zeros((0, 4, 4), np.uint8)), "expected images"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_that_lie_are_one_line(tmp_path: Path, content: bytes, said: str, packed: bool) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises((UnreadableError, UsageError), match=said) as caught:
        opened(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_packed_file_that_promises_more_than_it_can_hold_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "x-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\3" + struct.pack(">3I", 10**6, 28, 28) + bytes(1000)))
    with pytest.raises(UnreadableError, match="promised"):
        opened(path)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing of that name"):
        opened(tmp_path / "no")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match=r"'\.txt'"):
        opened(tmp_path / "a.txt")


def damaged(content: bytes, step: int) -> list[bytes]:
    """Cut at every `step`-th byte, and with a byte flipped there."""
    cuts = range(0, len(content), step)
    return [content[:n] for n in cuts] + [content[:n] + bytes([content[n] ^ 0xFF]) + content[n + 1 :] for n in cuts]


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a-images-idx3-ubyte", "a-images-idx3-ubyte.gz"])
def test_damaged_arrays_raise_only_our_errors(tmp_path: Path, name: str) -> None:
    array = RNG.integers(0, 256, (12, 10, 10), dtype=np.uint8)
    path = tmp_path / name
    if "idx" in name:
        path.write_bytes(gzip.compress(idx(array)) if name.endswith("gz") else idx(array))
    else:
        np.savez_compressed(path, images=array, labels=np.arange(12)) if name.endswith("z") else np.save(path, array)
    whole = path.read_bytes()
    tries = damaged(whole, 97) + [whole[:n] + bytes([whole[n] ^ 0xFF]) + whole[n + 1 :] for n in range(0, 64, 3)]
    refused = 0
    for content in tries:
        path.write_bytes(content)
        try:
            all_of(opened(path))
        except ModescopeError:
            refused += 1
    assert refused >= len(whole) // 97


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp", "ppm"])
def test_damaged_pictures_are_skipped_or_read(tmp_path: Path, suffix: str) -> None:
    saved(tmp_path / f"good.{suffix}", colours(18, 14))
    whole = (tmp_path / f"good.{suffix}").read_bytes()
    tries = damaged(whole, 97) + [whole[:n] + bytes([whole[n] ^ 0xFF]) + whole[n + 1 :] for n in range(0, 64, 3)]
    for i, content in enumerate(tries):
        (tmp_path / f"{i}.{suffix}").write_bytes(content)
    data = opened(tmp_path, size=8)
    assert data.skipped
    assert data.count == 1 + len(tries) - len(data.skipped)
    assert all_of(data).shape == (data.count, 3, 8, 8)
