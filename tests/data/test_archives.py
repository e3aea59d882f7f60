"""Unpacking: what is right comes out whole, what is wrong leaves nothing behind."""

from __future__ import annotations

import random
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections import namedtuple

import pytest

from sr_course.data.archives import StoredFile, extract
from sr_course.errors import DataError
from tests.data.local_server import make_tar, make_zip, sha256

FILES = {"set/HR/a.png": random.Random(0).randbytes(300_000), "set/HR/b.png": b"b", "set/readme.txt": b""}
PLENTY = 10_000_000
MAKE = {"zip": make_zip, "tar": make_tar}


@pytest.fixture(params=["zip", "tar"])
def kind(request):
    return request.param


@pytest.fixture
def place(tmp_path):
    """A folder with a neighbour that no archive may touch."""
    (tmp_path / "neighbour").write_text("mine")
    return tmp_path


def write(place, kind, content):
    archive = place / f"archive.{kind}"
    archive.write_bytes(content)
    return archive


def refused(place, kind, content, says, **options):
    archive = write(place, kind, content)
    with pytest.raises(DataError) as refusal:
        extract(archive, kind, place / "new", **{"max_bytes": PLENTY, **options})
    assert says in str(refusal.value)
    assert str(archive) in str(refusal.value)
    assert sorted(path.name for path in place.iterdir()) == [archive.name, "neighbour"]
    assert (place / "neighbour").read_text() == "mine"


def test_every_file_comes_out_with_its_digest(place, kind):
    stored = extract(write(place, kind, MAKE[kind](FILES)), kind, place / "new", max_bytes=PLENTY)
    assert stored == [StoredFile(name, len(content), sha256(content)) for name, content in FILES.items()]
    for name, content in FILES.items():
        assert (place / "new" / name).read_bytes() == content


def test_folders_come_out_too(place):
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    extract(write(place, "tar", make_tar({}, folder)), "tar", place / "new", max_bytes=PLENTY)
    assert (place / "new" / "empty").is_dir()


def test_named_members_alone_are_taken(place, kind):
    archive = write(place, kind, MAKE[kind]({**FILES, "../evil": b"not asked for"}))
    extract(archive, kind, place / "new", max_bytes=PLENTY, members={"set/HR/b.png": "b.png"})
    assert [path.name for path in (place / "new").rglob("*")] == ["b.png"]


def test_a_missing_member_is_named(place, kind):
    refused(place, kind, MAKE[kind](FILES), "it lacks 'c.png'", members={"set/HR/b.png": "b.png", "c.png": "c.png"})


@pytest.mark.parametrize(
    "name", ["../neighbour", "set/../../neighbour", "/neighbour", "..\\neighbour", "C:neighbour", "C:/neighbour", "a:b"]
)
def test_no_path_leads_outside(place, kind, name):
    refused(place, kind, MAKE[kind]({"good": b"good", name: b"evil"}), "leads out of the folder")


@pytest.mark.parametrize(
    "type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_no_link_and_no_device_comes_out_of_a_tar(place, type_):
    member = tarfile.TarInfo("evil")
    member.type, member.linkname = type_, str(place / "neighbour")
    refused(place, "tar", make_tar({"good": b"good"}, member), "'evil' is a link or a device")


def test_no_link_comes_out_of_a_zip(place):
    with zipfile.ZipFile(place / "made", "w") as archive:
        link = zipfile.ZipInfo("evil")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(place / "neighbour"))
    content = (place / "made").read_bytes()
    (place / "made").unlink()
    refused(place, "zip", content, "'evil' is a link or a device")


def test_a_bomb_is_stopped_at_the_bound(place):
    refused(place, "zip", make_zip({"bomb": bytes(50_000_000)}), "unpacks to more than 1.0 MB", max_bytes=1_000_000)


def test_the_bound_holds_for_all_files_together(place, kind):
    files = {str(number): bytes(1000) for number in range(11)}
    refused(place, kind, MAKE[kind](files), "unpacks to more than 10.0 kB", max_bytes=10_000)
    extract(place / f"archive.{kind}", kind, place / "new", max_bytes=11_000)


def test_a_bomb_that_understates_its_size_is_damage(place):
    content = bytearray(make_zip({"bomb": bytes(50_000_000)}))
    true_size = struct.pack("<I", 50_000_000)
    assert content.count(true_size) == 2  # in the file's own header and in the directory at the end
    refused(place, "zip", bytes(content).replace(true_size, struct.pack("<I", 10)), "damaged")


def test_too_many_members_are_refused(place, kind):
    files = {str(number): b"" for number in range(6)}
    refused(place, kind, MAKE[kind](files), "more than 5 members", max_members=5)


def test_two_members_of_one_name_are_refused(place):
    content = make_zip({"a": b"1", "b": b"2"}).replace(b"b", b"a")
    refused(place, "zip", content, "cannot be unpacked")


def test_a_member_without_a_name_is_refused(place):
    refused(place, "zip", make_zip({"b": b"1"}).replace(b"b", b"\0"), "leads out of the folder")


def test_an_encrypted_zip_is_refused(place):
    content = bytearray(make_zip({"a": b"1"}))
    content[6] |= 1  # the flags in the file's own header, and in the directory at the end
    content[content.index(b"PK\1\2") + 8] |= 1
    refused(place, "zip", bytes(content), "'a' is encrypted")


def test_an_unusual_packing_is_refused(place):
    refused(place, "zip", make_zip({"a": bytes(1000)}, zipfile.ZIP_LZMA), "packed in an unusual way")


def test_a_text_with_the_name_of_an_archive_is_refused(place, kind):
    refused(place, kind, b"<html>This data set has moved.</html>" * 100, "damaged")


def test_an_empty_file_is_refused(place, kind):
    refused(place, kind, b"", "damaged")


def test_a_truncated_archive_is_refused(place, kind):
    refused(place, kind, MAKE[kind](FILES)[:200_000], "damaged")


def test_a_changed_byte_in_a_zip_is_noticed(place):
    content = bytearray(make_zip(FILES, zipfile.ZIP_STORED))
    content[1000] ^= 1
    refused(place, "zip", bytes(content), "damaged")


def test_a_compressed_tar_is_refused(place):
    with tarfile.open(place / "made", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    content = (place / "made").read_bytes()
    (place / "made").unlink()
    refused(place, "tar", content, "damaged")


def test_room_is_asked_for_before_anything_is_written(place, kind, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 100_000))
    archive = write(place, kind, MAKE[kind](FILES))
    with pytest.raises(DataError, match=r"Unpacking archive\..* needs 3.* kB, and the disk of .* has 100\.0 kB free"):
        extract(archive, kind, place / "new", max_bytes=PLENTY)
    assert not (place / "new").exists()


def test_a_disk_that_fills_up_leaves_nothing(place, kind, monkeypatch):
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(
            shutil, "disk_usage", lambda _: usage(10**9, 0, 10**9)
        )  # another program fills it meanwhile
        archive = write(place, kind, MAKE[kind](FILES))
        with pytest.raises(DataError, match=r"archive\..*No space left on device.*Make room"):
            extract(archive, kind, disk / "new", max_bytes=PLENTY)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)
