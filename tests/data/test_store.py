"""The patch store: what it holds, and that it notices when it no longer does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_course.data import store as store_module
from sr_course.data.shipped import SHIPPED, photos
from sr_course.data.store import open_data, open_store, pictures_in
from sr_course.errors import DataError, ImageError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures of noise, one of them a folder deeper."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    for name, size in (("b.png", (31, 40, 3)), ("a.png", (24, 33, 3)), ("deeper/c.png", (50, 20, 3))):
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_pictures_are_stored_as_they_are(folder):
    store = open_data(str(folder))
    assert [picture.name for picture in store.pictures] == ["a", "b", "c"]
    for index, name in enumerate(("a.png", "b.png", "deeper/c.png")):
        np.testing.assert_array_equal(store.picture(index), pixels_of(folder / name))


def test_hidden_files_and_folders_are_left_out(folder):
    (folder / "._a.png").write_bytes(b"\x00\x05\x16\x07")  # as macOS leaves them on other disks
    (folder / ".thumbnails").mkdir()
    (folder / ".thumbnails" / "a.png").write_bytes((folder / "a.png").read_bytes())
    assert pictures_in(folder) == [folder / "a.png", folder / "b.png", folder / "deeper" / "c.png"]
    assert pictures_in(folder, deep=False) == [folder / "a.png", folder / "b.png"]


def test_reduced_pictures_are_matlabs(set5):
    store = open_data(str(set5 / "HR"), reduce=(4,))
    assert len(store.pictures) == 5
    for index, picture in enumerate(store.pictures):
        name = picture.name.removesuffix(" / 4")
        np.testing.assert_array_equal(store.picture(index), pixels_of(set5 / "LR_bicubic" / "X4" / f"{name}x4.png"))


def test_several_reductions_stand_side_by_side(folder):
    sizes = [(p.height, p.width) for p in open_data(str(folder), reduce=(1, 2)).pictures]
    assert sizes == [(24, 33), (12, 17), (31, 40), (16, 20), (50, 20), (25, 10)]


def test_the_shipped_photographs_are_reduced_by_three_four_and_six(monkeypatch):
    few = photos("train")[:2]
    monkeypatch.setattr(store_module, "photos", lambda split: few if split == "train" else [])
    store = open_data(SHIPPED)
    expected = [(-(-photo.height // by), -(-photo.width // by)) for photo in few for by in (3, 4, 6)]
    assert [(p.height, p.width) for p in store.pictures] == expected


def test_a_second_opening_decodes_nothing(folder, monkeypatch):
    first = open_data(str(folder))
    monkeypatch.setattr(store_module.images, "read_pil", lambda path: pytest.fail("decoded again"))
    assert open_data(str(folder)).sha256 == first.sha256


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda store: flip_a_byte(pixels_file(store)), id="a flipped bit"),
        pytest.param(lambda store: os.truncate(pixels_file(store), 100), id="cut short"),
        pytest.param(lambda store: pixels_file(store).unlink(), id="pixels gone"),
        pytest.param(lambda store: (store.folder / "index.json").write_text('{"sources":'), id="index cut short"),
        pytest.param(lambda store: (store.folder / "index.json").write_text("[]"), id="index of another kind"),
    ],
)
def test_a_damaged_store_is_made_anew(folder, damage):
    store = open_data(str(folder))
    sha256 = store.sha256
    damage(store)
    again = open_data(str(folder))
    assert again.sha256 == sha256
    np.testing.assert_array_equal(again.picture(0), pixels_of(folder / "a.png"))


def pixels_file(store) -> Path:
    return next(store.folder.glob("pixels-*.bin"))


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def test_changed_and_added_pictures_are_noticed(folder, caplog):
    open_data(str(folder))
    changed = pixels_of(folder / "a.png")[::-1].copy()
    Image.fromarray(changed).save(folder / "a.png")
    Image.fromarray(changed).save(folder / "d.png")
    store = open_data(str(folder))
    assert "have changed" in caplog.text
    assert [picture.name for picture in store.pictures] == ["a", "b", "d", "c"]
    np.testing.assert_array_equal(store.picture(0), changed)
    assert len(list(store.folder.iterdir())) == 2  # the old pixels are gone


def test_two_processes_at_once(folder, cache):
    code = f"from sr_course.data.store import open_data; print(open_data({str(folder)!r}).sha256)"
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said[0] == said[1] == open_data(str(folder)).sha256 + "\n"
    assert not list(cache.rglob("*.part"))


def test_a_picture_that_cannot_be_read_is_named_and_leaves_nothing(folder, cache):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"b\.png"):
        open_data(str(folder))
    assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_full_disk_leaves_the_old_store_whole(folder, monkeypatch):
    store = open_data(str(folder))
    before = (store.folder / "index.json").read_bytes(), pixels_file(store).read_bytes()
    os.utime(folder / "a.png", (1, 1))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module.os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        open_data(str(folder))
    assert before == ((store.folder / "index.json").read_bytes(), pixels_file(store).read_bytes())
    assert not list(store.folder.glob("*.part"))


def test_too_little_room_is_said_before_anything_is_written(folder, cache, monkeypatch):
    monkeypatch.setattr(store_module.images, "size", lambda path: (10**7, 10**7))
    with pytest.raises(DataError, match="free"):
        open_data(str(folder))
    assert not list(cache.rglob("*.part"))


def test_a_store_may_lie_where_one_wants_it(folder, tmp_path):
    store = open_store([folder / "a.png"], folder=tmp_path / "here")
    assert json.loads((tmp_path / "here" / "index.json").read_text())["sha256"] == store.sha256


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "empty"])
def test_a_folder_without_pictures(tmp_path, make):
    make(tmp_path / "nothing")
    with pytest.raises(DataError, match="nothing"):
        open_data(str(tmp_path / "nothing"))
