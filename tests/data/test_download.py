"""Downloads from a real server on this machine: broken, resumed, wrong, dead, and with a full disk."""

from __future__ import annotations

import io
import random
import shutil
import socket
import sys
import threading
import time
from collections import namedtuple

import pytest

from sr_course.data import download as download_module
from sr_course.data.catalog import Checksum
from sr_course.data.download import download
from sr_course.errors import DataError
from tests.data.local_server import file, sha256, status

CONTENT = random.Random(0).randbytes(300_000)
RIGHT = Checksum("sha256", sha256(CONTENT))


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "cache" / "pictures.zip"


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_whole_and_leaves_nothing_beside_it(server, destination):
    url = server.url("/pictures.zip", file(CONTENT))
    assert download([url], destination, size=len(CONTENT), checksum=RIGHT) == destination
    assert destination.read_bytes() == CONTENT
    assert left_in(destination.parent) == ["pictures.zip"]


def test_what_broke_in_the_middle_is_resumed_there(server, destination):
    url = server.url("/pictures.zip", file(CONTENT, stop_after=100_000), file(CONTENT))
    download([url], destination, size=len(CONTENT), checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-"]
    assert server.requests[1][1]["If-Range"] == '"one"'


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, destination):
    url = server.url("/pictures.zip", file(CONTENT, stop_after=120_000), status(404))
    with pytest.raises(
        DataError, match=r"pictures\.zip could not be fetched: .*HTTP 404.*kept in .*pictures\.zip\.part"
    ):
        download([url], destination, checksum=RIGHT)
    assert left_in(destination.parent) == ["pictures.zip.part", "pictures.zip.part.json"]
    server.url("/pictures.zip", file(CONTENT))
    download([url], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.ranges()[-1] == "bytes=120000-"


def test_a_second_mirror_goes_on_where_the_first_one_died(server, destination):
    first = server.url("/first", file(CONTENT, stop_after=100_000), status(410))
    second = server.url("/second", file(CONTENT, etag='"of another server"'))
    download([first, second], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.requests[-1][0] == "/second"
    assert server.ranges()[-1] == "bytes=100000-"


def test_a_server_that_ignores_ranges_sends_it_all_again(server, destination):
    url = server.url("/a", file(CONTENT, stop_after=100_000), file(CONTENT, ranges=False))
    download([url], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=100000-"]


def test_a_file_that_changed_meanwhile_is_not_patched_together(server, destination):
    newer = random.Random(1).randbytes(300_000)
    url = server.url("/a", file(CONTENT, stop_after=100_000), file(newer, etag='"two"'))
    download([url], destination)  # without a checksum only If-Range protects
    assert destination.read_bytes() == newer


def test_another_length_without_validators_begins_afresh(server, destination):
    newer = random.Random(1).randbytes(250_000)
    url = server.url("/a", file(CONTENT, stop_after=100_000, etag=None), file(newer, etag=None))
    download([url], destination)
    assert destination.read_bytes() == newer


def test_a_shorter_file_than_what_came_begins_afresh(server, destination):
    newer = random.Random(1).randbytes(50_000)
    url = server.url("/a", file(CONTENT, stop_after=100_000, etag=None), file(newer, etag=None))
    download([url], destination)
    assert destination.read_bytes() == newer


def test_a_piece_spoiled_on_the_disk_is_thrown_away(server, destination):
    url = server.url("/a", file(CONTENT, stop_after=100_000), status(404))
    with pytest.raises(DataError):
        download([url], destination, checksum=RIGHT)
    part = destination.with_name("pictures.zip.part")
    part.write_bytes(bytes(len(part.read_bytes())))
    server.url("/a", file(CONTENT))
    download([url], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.ranges()[-2:] == ["bytes=100000-", None]


def test_a_note_that_cannot_be_read_begins_afresh(server, destination):
    destination.parent.mkdir()
    destination.with_name("pictures.zip.part").write_bytes(b"who knows")
    destination.with_name("pictures.zip.part.json").write_text("{")
    url = server.url("/a", file(CONTENT))
    download([url], destination)
    assert destination.read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_server_that_tells_no_length_is_believed_when_the_checksum_agrees(server, destination):
    url = server.url("/a", file(CONTENT, length=False))
    download([url], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("known", ["size", "checksum", "beginning"])
def test_a_wrong_file_is_refused_and_removed(server, destination, known):
    wrong = bytes(300_001)
    url = server.url("/a", file(wrong, length=False))
    facts = {
        "size": {"size": len(CONTENT)},
        "checksum": {"checksum": RIGHT},
        "beginning": {"checksum": Checksum("sha256", RIGHT.hexdigest[:8])},
    }[known]
    with pytest.raises(DataError) as refusal:
        download([url], destination, **facts)
    assert "pictures.zip could not be fetched" in str(refusal.value)
    assert ("more than 300000 bytes" if known == "size" else f"sha256:{sha256(wrong)} came") in str(refusal.value)
    assert left_in(destination.parent) == []


def test_a_known_beginning_of_the_checksum_lets_the_right_file_pass(server, destination):
    url = server.url("/a", file(CONTENT))
    download([url], destination, checksum=Checksum("sha256", RIGHT.hexdigest[:8]))
    assert destination.read_bytes() == CONTENT


def test_a_file_of_another_size_is_not_even_begun(server, destination):
    url = server.url("/a", file(CONTENT))
    with pytest.raises(DataError, match="offers 300000 bytes, 299999 are right"):
        download([url], destination, size=299_999)
    assert left_in(destination.parent) == []


def test_every_failure_is_named_when_no_mirror_has_the_file(server, destination):
    urls = [server.url("/one", status(404)), server.url("/two", status(403))]
    with pytest.raises(DataError) as refusal:
        download(urls, destination)
    for words in ("pictures.zip", f"{urls[0]} (HTTP 404 Not Found)", f"{urls[1]} (HTTP 403 Forbidden)", "try again"):
        assert words in str(refusal.value)
    assert len(server.requests) == 2  # to ask again would be useless
    assert left_in(destination.parent) == []


def test_the_second_mirror_serves_when_the_first_is_dead_and_the_failure_is_told(server, destination, caplog):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/a"
    second = server.url("/a", file(CONTENT))
    download([dead, second], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    (told,) = caplog.messages
    assert told.startswith(f"{dead}: ")
    assert told.endswith("; trying the next address")


def test_the_second_mirror_serves_when_the_first_has_another_file(server, destination):
    page = b"<html>This data set has moved.</html>"
    urls = [server.url("/one", file(page)), server.url("/two", file(CONTENT))]
    download(urls, destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, destination):
    url = server.url("/a", status(503), status(429), file(CONTENT))
    download([url], destination)
    assert destination.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_silent_server_is_given_up(server, destination, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUT", 0.1)
    over = threading.Event()
    urls = [server.url("/silent", lambda _: over.wait(20)), server.url("/b", file(CONTENT))]
    begun = time.monotonic()
    download(urls, destination)
    over.set()
    assert time.monotonic() - begun < 10
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "/etc/hostname"])
def test_only_http_addresses_are_fetched(destination, url):
    with pytest.raises(DataError, match="only http"):
        download([url], destination)
    assert left_in(destination.parent) == []


@pytest.mark.parametrize("scheme", ["file", "ftp"])
def test_no_redirection_leads_elsewhere(server, destination, scheme):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        url = f"{scheme}://127.0.0.1:{elsewhere.getsockname()[1]}/etc/hostname"
        with pytest.raises(DataError, match="could not be fetched"):
            download([server.url("/a", status(302, Location=url))], destination)
        with pytest.raises(TimeoutError):  # nobody called
            elsewhere.accept()
    assert left_in(destination.parent) == []


def test_a_redirection_keeps_the_range(server, destination):
    target = server.url("/real", file(CONTENT, stop_after=100_000), file(CONTENT))
    url = server.url("/a", status(302, Location=target))
    download([url], destination, checksum=RIGHT)
    assert destination.read_bytes() == CONTENT
    assert server.ranges()[-1] == "bytes=100000-"


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_room_is_asked_for_before_anything_is_written(server, destination, monkeypatch, size):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 500_000))
    url = server.url("/a", file(CONTENT))
    download([url], destination, size=size)  # 300,000 bytes fit into 500,000
    destination.unlink()
    with pytest.raises(DataError, match=r"pictures\.zip needs 600\.0 kB, and the disk of .* has 500\.0 kB free"):
        download([url], destination, size=size, room=1.0)
    assert left_in(destination.parent) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_disk_that_fills_up_is_said_with_the_file_and_the_remedy(server, destination, monkeypatch):
    monkeypatch.setattr(download_module, "_discard", lambda part: None)  # the full disk below must stay in place
    destination.parent.mkdir()
    part = destination.with_name("pictures.zip.part")
    part.symlink_to("/dev/full")  # every write to it fails as on a full disk
    with pytest.raises(DataError, match=r"pictures\.zip\.part: .*No space left on device.*Make room"):
        download([server.url("/a", file(CONTENT))], destination)
    assert not destination.exists()


def test_progress_is_shown_on_a_terminal_and_only_there(server, destination, monkeypatch, capsys):
    url = server.url("/a", file(CONTENT))
    download([url], destination)
    assert capsys.readouterr().err == ""
    destination.unlink()
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    download([url], destination)
    assert "pictures.zip: 100%" in terminal.getvalue()
    assert "300k/300k" in terminal.getvalue()
