"""Data sets in the cache: fetched, checked, repaired, by one process or two, and by a process that was killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision

from sr_course import features
from sr_course.data import fetch
from sr_course.data.cache import cache_folder, human_size
from sr_course.data.catalog import Checksum, Entry, Member, load_catalog
from sr_course.data.fetch import get, is_here, path_of, verify
from sr_course.errors import DataError, ModelError
from sr_course.training.recipes import SRGAN_PAPER
from tests.data.local_server import file, make_tar, make_zip, sha256, status

FILES = {"set/HR/a.png": random.Random(0).randbytes(300_000), "set/HR/b.png": b"b"}
ZIP, TAR = make_zip(FILES), make_tar(FILES)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(url, content=ZIP, **changes):
    facts = {
        "name": "tiny-set",
        "title": "A tiny set",
        "kind": "zip",
        "file": "tiny.zip",
        "size": len(content),
        "checksum": Checksum("sha256", sha256(content)),
        "published_in": "here",
        "licence": "CC0",
        "citation": "Nobody, 2020",
        "page": "https://example.org",
        "mirrors": (url,),
        "folder": "set/HR",
    }
    return Entry(**{**facts, **changes})


def to_toml(one: Entry) -> str:
    """The entry as a catalog of its own."""
    texts = ("title", "kind", "file", "published_in", "licence", "citation", "page", "folder")
    lines = [f"[{one.name}]", f"mirrors = {json.dumps(one.mirrors)}", f"size = {one.size}"]
    lines += [f"{field} = {json.dumps(getattr(one, field))}" for field in texts]
    return "\n".join([*lines, f'checksum = "{one.checksum}"', ""])


def sr_course(*arguments, **options):
    command = [sys.executable, "-m", "sr_course", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize(("kind", "content"), [("zip", ZIP), ("tar", TAR)])
def test_an_archive_is_fetched_unpacked_and_found_whole(server, cache, kind, content):
    one = entry(server.url("/a", file(content)), content, kind=kind)
    folder = get(one)
    assert folder == cache / "tiny-set" / "set" / "HR" == path_of(one)
    assert (folder / "a.png").read_bytes() == FILES["set/HR/a.png"]
    assert verify(one).state == "ok"
    assert visible(cache) == ["tiny-set"]
    assert not (cache / ".downloads" / "tiny-set").exists()  # the archive is not kept twice


def test_a_plain_file_is_fetched_as_it_is(server, cache):
    one = entry(server.url("/a", file(b"weights")), b"weights", kind="file", file="w.pth", folder=".")
    assert (get(one) / "w.pth").read_bytes() == b"weights"
    assert verify(one).state == "ok"


def test_what_is_whole_is_checked_and_not_fetched_again(server, cache):
    one = entry(server.url("/a", file(ZIP), status(500)))
    assert get(one) == get(one)
    assert len(server.requests) == 1


def test_verify_tells_missing_from_damaged_and_get_repairs(server, cache):
    one = entry(server.url("/a", file(ZIP)))
    missing = verify(one)
    assert (missing.state, is_here(one)) == ("missing", False)
    assert "sr-course data get tiny-set" in missing.detail
    picture = get(one) / "a.png"

    content = bytearray(picture.read_bytes())
    content[1000] ^= 1
    picture.write_bytes(content)
    damaged = verify(one)
    assert damaged.state == "damaged"
    assert str(picture) in damaged.detail
    assert "sr-course data get tiny-set" in damaged.detail
    get(one)
    assert picture.read_bytes() == FILES["set/HR/a.png"]

    picture.unlink()
    assert verify(one).state == "damaged"
    get(one)
    assert verify(one).state == "ok"
    assert visible(cache) == ["tiny-set"]


def test_a_set_from_another_version_of_the_archive_is_replaced(server, cache):
    get(entry(server.url("/a", file(ZIP))))
    newer = make_zip({"set/HR/c.png": b"c"})
    changed = entry(server.url("/a", file(newer)), newer)
    assert verify(changed).state == "damaged"
    assert [path.name for path in get(changed).iterdir()] == ["c.png"]


def test_a_repair_that_fails_leaves_the_old_set_as_it_was(server, cache):
    one = entry(server.url("/a", file(ZIP), status(404)))
    picture = get(one) / "a.png"
    picture.write_bytes(b"changed")
    with pytest.raises(DataError, match="404"):
        get(one)
    assert picture.read_bytes() == b"changed"
    assert visible(cache) == ["tiny-set"]


def test_a_folder_that_somebody_else_made_is_left_alone(server, cache):
    (cache / "tiny-set").mkdir(parents=True)
    (cache / "tiny-set" / "mine.txt").write_text("mine")
    one = entry(server.url("/a", file(ZIP)))
    assert verify(one).state == "damaged"
    with pytest.raises(DataError, match=r"tiny-set: this is in the way.*Move it elsewhere"):
        get(one)
    assert (cache / "tiny-set" / "mine.txt").read_text() == "mine"
    assert server.requests == []


def test_a_half_unpacked_set_is_not_taken_for_a_whole_one(server, cache):
    half = cache / "tiny-set.partial" / "set" / "HR"
    half.mkdir(parents=True)
    (half / "a.png").write_bytes(b"half")
    one = entry(server.url("/a", file(ZIP)))
    assert verify(one).state == "missing"
    assert (get(one) / "a.png").read_bytes() == FILES["set/HR/a.png"]
    assert visible(cache) == ["tiny-set"]


@pytest.mark.parametrize(
    ("content", "says"),
    [(make_zip({"../evil": b"evil"}), "leads out"), (make_zip({"a": bytes(80_000_000)}), "unpacks to more")],
    ids=["path", "bomb"],
)
def test_an_evil_archive_leaves_nothing(server, cache, content, says):
    one = entry(server.url("/a", file(content)), content)
    with pytest.raises(DataError, match=says):
        get(one)
    assert visible(cache) == []


def test_an_unpacking_that_failed_does_not_fetch_the_archive_again(server, cache, monkeypatch):
    one = entry(server.url("/a", file(ZIP)))
    with monkeypatch.context() as tight:
        tight.setattr(fetch, "SWELLING", 0)
        tight.setattr(fetch, "_SLACK", 10)
        with pytest.raises(DataError):
            get(one)
    assert verify(one).state == "missing"
    get(one)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "fits"), [("zip", False), ("file", True)])
def test_room_is_asked_for_the_archive_and_what_comes_out_of_it(server, cache, monkeypatch, kind, fits):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, int(1.5 * len(ZIP))))
    one = entry(server.url("/a", file(ZIP)), kind=kind)
    if fits:
        get(one)
    else:
        with pytest.raises(DataError, match=r"tiny\.zip needs"):
            get(one)
        assert server.requests == []


def test_without_a_checksum_a_bad_archive_is_fetched_anew(server, cache):
    one = entry(server.url("/a", file(b"<html>"), file(ZIP)), size=None, checksum=None)
    with pytest.raises(DataError, match="damaged"):
        get(one)
    get(one)
    assert verify(one).state == "ok"


def test_a_folder_that_the_archive_does_not_have_leads_to_the_whole(server, cache):
    assert get(entry(server.url("/a", file(ZIP)), folder="other")) == cache / "tiny-set"


def test_a_cache_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file.*SR_COURSE_DATA"):
        get(entry(server.url("/a", file(ZIP))), tmp_path / "file" / "cache")


def test_two_processes_at_once_fetch_it_once(server, cache, tmp_path):
    def slowly(request):
        time.sleep(1.0)  # the second process starts meanwhile
        file(ZIP)(request)

    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(entry(server.url("/a", slowly))))
    both = [sr_course("data", "--catalog", catalog, "get", "tiny-set") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.splitlines()[-1] == str(cache / "tiny-set" / "set" / "HR")
    assert len(server.requests) == 1
    assert visible(cache) == ["tiny-set"]


def test_a_killed_process_leaves_no_lock_and_is_resumed(server, cache, tmp_path):
    killed = threading.Event()

    def half_then_silence(request):
        file(ZIP, stop_after=150_000)(request)
        request.wfile.flush()
        killed.wait(30)

    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(entry(server.url("/a", half_then_silence, file(ZIP)))))
    process = sr_course("data", "--catalog", catalog, "get", "tiny-set")
    part = cache / ".downloads" / "tiny-set" / "tiny.zip.part"
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    killed.set()
    begun = part.stat().st_size
    assert 0 < begun <= 150_000
    assert not (cache / "tiny-set").exists()

    process = sr_course("data", "--catalog", catalog, "get", "tiny-set")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert server.ranges() == [None, f"bytes={begun}-"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sets no limit on the size of files")
def test_a_write_that_the_system_refuses_is_one_line_and_status_2(server, cache, tmp_path):
    import resource

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(entry(server.url("/a", file(ZIP)))))
    process = sr_course("data", "--catalog", catalog, "get", "tiny-set", preexec_fn=small_files_only)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("sr-course: ")
    assert "tiny.zip.part: cannot be written (File too large)" in err
    assert "Make room" in err
    assert visible(cache) == []


# Wheels of the package registry


def make_wheel(folder: Path, tag: str = "py3-none-any") -> Path:
    """A wheel with a weight file, as a build tool would lay it out."""
    folder.mkdir(exist_ok=True)
    wheel = folder / f"tiny_wheel-1.0-{tag}.whl"
    info = "tiny_wheel-1.0.dist-info"
    metadata = (
        "Metadata-Version: 2.1\nName: tiny-wheel\nVersion: 1.0\nRequires-Python: >=99\nRequires-Dist: no-such-thing\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_wheel/__init__.py", "raise SystemExit('this must never run')\n")
        archive.writestr("tiny_wheel/models/a.bin", FILES["set/HR/a.png"])
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def wheel_entry(wheel: Path) -> Entry:
    return entry(
        "",
        wheel.read_bytes(),
        name="tiny-wheel",
        kind="registry",
        file=wheel.name,
        mirrors=(),
        requirement="tiny-wheel==1.0",
        members=(Member("tiny_wheel/models/a.bin", "weights"),),
        folder=".",
    )


def offline(folder: Path) -> list[str]:
    return ["--no-index", "--find-links", str(folder)]


@pytest.mark.parametrize("tag", ["py3-none-any", "cp38-none-win_amd64", "cp311-cp311-macosx_11_0_arm64"])
def test_a_wheel_gives_its_named_members_alone_on_any_platform(cache, tmp_path, tag):
    wheel = make_wheel(tmp_path / "index", tag)
    one = wheel_entry(wheel)
    folder = get(one, pip_options=offline(wheel.parent))
    assert visible(folder) == ["a.bin"]
    assert (folder / "a.bin").read_bytes() == FILES["set/HR/a.png"]
    assert verify(one).state == "ok"
    assert visible(cache) == ["tiny-wheel"]


def test_a_wheel_with_another_checksum_is_refused(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    one = replace(wheel_entry(wheel), checksum=Checksum("sha256", "0" * 64))
    with pytest.raises(DataError, match=r"tiny-wheel==1\.0 could not be fetched.*HASHES"):
        get(one, pip_options=offline(wheel.parent))
    assert visible(cache) == []


def test_a_wheel_of_another_size_is_refused(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    one = replace(wheel_entry(wheel), size=1)
    with pytest.raises(DataError, match=r"tiny_wheel-1\.0-py3-none-any\.whl: \d+ bytes came, 1 are right"):
        get(one, pip_options=offline(wheel.parent))
    assert visible(cache) == []


def test_a_wheel_that_no_index_has_is_named(cache, tmp_path):
    one = wheel_entry(make_wheel(tmp_path / "index"))
    with pytest.raises(DataError, match=r"tiny-wheel==1\.0 could not be fetched: No matching distribution"):
        get(one, pip_options=offline(tmp_path))


def test_a_member_that_the_wheel_lacks_is_named(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    one = replace(wheel_entry(wheel), members=(Member("tiny_wheel/b.bin", "weights"),))
    with pytest.raises(DataError, match=r"it lacks 'tiny_wheel/b\.bin'"):
        get(one, pip_options=offline(wheel.parent))
    assert visible(cache) == []


# The cache folder


def test_the_cache_is_where_the_user_says_else_where_the_platform_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("SR_COURSE_DATA", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"
    monkeypatch.delenv("SR_COURSE_DATA")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "sr-course" / "data"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (3530603713, "3.5 GB"),
        (10**13, "10.0 TB"),
    ],
)
def test_sizes_are_written_as_people_write_them(size, text):
    assert human_size(size) == text


# The command line


def run(*arguments, **environment):
    process = sr_course(*arguments, env={**os.environ, **environment})
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_the_verbs_from_list_to_path(server, cache, tmp_path):
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(entry(server.url("/a", file(ZIP)))))
    data = ("data", "--catalog", catalog)
    assert run(*data, "verify", "tiny-set")[0] == 1
    status_, out, err = run(*data, "path", "tiny-set")
    assert (status_, out) == (2, "")
    assert "sr-course data get tiny-set" in err
    status_, out, err = run(*data, "list")
    assert (status_, err) == (0, "")
    assert "tiny-set" in out
    assert " here " not in out

    status_, out, err = run(*data, "get", "tiny-set")
    assert (status_, err) == (0, "")
    assert {"Licence: CC0", "Please cite: Nobody, 2020"} < set(out.splitlines())
    assert run(*data, "path", "tiny-set") == (0, f"{cache / 'tiny-set' / 'set' / 'HR'}\n", "")
    assert " here " in run(*data, "list")[1]
    status_, out, _ = run(*data, "verify", "tiny-set")
    assert (status_, out.startswith("tiny-set: ok: 2 files")) == (0, True)
    (cache / "tiny-set" / "set" / "HR" / "b.png").write_bytes(b"c")
    status_, out, _ = run(*data, "verify", "tiny-set")
    assert (status_, out.startswith("tiny-set: damaged: ")) == (1, True)


def test_a_wheel_is_fetched_by_pip_as_the_user_has_set_it(cache, tmp_path):
    wheel = make_wheel(tmp_path / "index")
    catalog = tmp_path / "catalog.toml"
    text = to_toml(wheel_entry(wheel)).replace("mirrors = []", 'requirement = "tiny-wheel==1.0"')
    catalog.write_text(f'{text}members = [{{ path = "tiny_wheel/models/a.bin", what = "weights" }}]\n')
    code, _, err = run(
        "data", "--catalog", catalog, "get", "tiny-wheel", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheel.parent)
    )
    assert code == 0, err
    assert (cache / "tiny-wheel" / "a.bin").read_bytes() == FILES["set/HR/a.png"]


@pytest.mark.parametrize(
    ("answers", "content", "says"),
    [
        ([status(404)], ZIP, ["tiny.zip could not be fetched", "HTTP 404", "try again later"]),
        ([file(b"0" * len(ZIP))], ZIP, ["tiny.zip", "wrong checksum", "is right"]),
        ([file(ZIP, stop_after=9), status(404)], ZIP, ["tiny.zip", "will be resumed"]),
        ([file(make_zip({"../a": b""}))], make_zip({"../a": b""}), ["tiny.zip: refused", "'../a'", "Do not use"]),
    ],
    ids=["404", "checksum", "broken", "evil"],
)
def test_what_goes_wrong_is_one_line_with_file_and_remedy_and_status_2(server, cache, tmp_path, answers, content, says):
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(entry(server.url("/a", *answers), content)))
    code, out, err = run("data", "--catalog", catalog, "get", "tiny-set")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("sr-course: ")
    for words in says:
        assert words in err
    assert visible(cache) == []


def test_a_full_disk_is_said_before_anything_is_fetched(server, cache, tmp_path):
    huge = replace(
        entry(server.url("/a", file(ZIP))), size=shutil.disk_usage(tmp_path).free
    )  # with room to unpack: twice
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(to_toml(huge))
    code, out, err = run("data", "--catalog", catalog, "get", "tiny-set")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert "tiny.zip needs" in err
    assert "set SR_COURSE_DATA" in err
    assert server.requests == []


def test_an_unknown_name_and_a_missing_catalog_are_status_2(tmp_path):
    code, out, err = run("data", "get", "div2k")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "div2k: no data set of that name" in err
    code, out, err = run("data", "--catalog", tmp_path / "none.toml", "list")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "none.toml" in err


def test_the_vgg19_that_was_fetched_is_the_one_that_the_papers_loss_takes(server, cache, tmp_path, monkeypatch):
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"]).eval()  # with random weights
    written = tmp_path / "vgg19.pth"
    torch.save({f"features.{name}": one for name, one in layers.state_dict().items()}, written)
    content = written.read_bytes()
    known = load_catalog()["vgg19-imagenet"]
    one = replace(known, mirrors=(server.url("/vgg19", file(content)),), size=len(content))
    one = replace(one, checksum=Checksum("sha256", sha256(content)))
    monkeypatch.setattr("sr_course.data.catalog.load_catalog", lambda: {one.name: one})
    monkeypatch.setattr(features, "VGG19_SHA256_BEGINS", sha256(content)[:8])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="sr-course data get vgg19-imagenet"):
        SRGAN_PAPER.perceptual.build()
    get(one)
    loss = SRGAN_PAPER.perceptual.build()
    sr, hr = torch.rand(2, 1, 3, 32, 32).unbind()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # torchvision's of ImageNet
    theirs = [layers[:36]((x - mean[:, None, None]) / std[:, None, None]) for x in (sr, hr)]  # up to relu5_4
    expected = ((theirs[0] - theirs[1]) / 12.75).square().sum(dim=1).mean()
    assert loss(sr, hr).item() == pytest.approx(expected.item(), rel=1e-4)
