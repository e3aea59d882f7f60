"""Checked downloads: resumed where they broke, from the first address that gives the right file."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from sr_course import __version__
from sr_course.data.cache import make_folder, require_space
from sr_course.data.catalog import Checksum
from sr_course.errors import DataError

TIMEOUT = 30.0  # seconds without a byte before a server counts as dead
TRIES = 4  # connections in a row that brought nothing, before the next mirror's turn
PAUSE = 1.0  # seconds before the second of these connections; twice that before the third, and so on
_CHUNK = 1 << 18  # bytes

_log = logging.getLogger(__name__)


class _MirrorError(Exception):
    """One address did not give the file; another may."""


@dataclass(frozen=True)
class _Origin:
    """What the server said when a download was begun: enough to know the same file again when it is resumed."""

    url: str
    validator: str | None  # strong ETag or date of last change
    total: int | None  # bytes


def download(
    mirrors: Sequence[str],
    destination: Path,
    *,
    size: int | None = None,
    checksum: Checksum | None = None,
    room: float = 0.0,
) -> Path:
    """Fetch a file from the first mirror that gives it whole and right.

    What came is kept beside the destination as `NAME.part` until the file is complete: a later call goes on from
    there. The destination appears only when size and checksum agree. One process at a time: hold a lock where two
    could fetch the same file.

    Args:
        mirrors: http:// or https:// addresses of the same file, tried in turn.
        destination: where the file goes; its folder is made.
        size: bytes, None where unknown.
        checksum: None where unknown.
        room: how much more of the disk must be free, as a multiple of the file's size, for what is to be unpacked.

    Returns:
        The destination.

    Raises:
        DataError: no mirror gave the right file (each is named with its reason), or the disk has no room.
    """
    make_folder(destination.parent)
    part = destination.with_name(f"{destination.name}.part")
    if size is not None:
        _ask_for_room(part, size, room)
    failures = []
    for url in mirrors:
        if not url.startswith(("http://", "https://")):
            raise DataError(f"{url}: only http:// and https:// addresses are fetched. Correct it in the catalog.")
        try:
            _fetch_right(url, part, size, checksum, room)
        except _MirrorError as error:
            failures.append(f"{url} ({error})")
            if len(failures) < len(mirrors):
                _log.warning("%s: %s; trying the next address", url, error)
            continue
        part.replace(destination)
        _origin_file(part).unlink(missing_ok=True)
        return destination
    kept = f" What came is kept in {part} and will be resumed." if part.exists() else ""
    raise DataError(
        f"{destination.name} could not be fetched: {'; '.join(failures)}. "
        f"Check the connection and try again later, or give an address of your own in a copy of the catalog.{kept}"
    )


def file_digest(path: Path, algorithm: str = "sha256", label: str | None = None) -> str:
    """Return the hexadecimal digest of a file, showing progress under `label` where one is given."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream, progress_bar(path.stat().st_size, label) as bar:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def problem_with(path: Path, size: int | None, checksum: Checksum | None) -> str | None:
    """Say what is wrong with a fetched file, or None where its size and checksum are as published."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        return f"{actual} bytes came, {size} are right"
    if checksum is not None:
        digest = file_digest(path, checksum.algorithm, f"checking {path.name.removesuffix('.part')}")
        if not digest.startswith(checksum.hexdigest):
            return f"wrong checksum: {checksum.algorithm}:{digest} came, {checksum} is right"
    return None


def progress_bar(total: int | None, label: str | None, done: int = 0) -> Any:
    """Return a progress bar in bytes; it is silent without a label, and where no terminal is watching."""
    # disable=None is tqdm's way to say: only on a terminal
    silent = True if label is None else None
    return tqdm(total=total, initial=done, desc=label, unit="B", unit_scale=True, disable=silent)


def _fetch_right(url: str, part: Path, size: int | None, checksum: Checksum | None, room: float) -> None:
    """Complete the part from one mirror and check it; begin afresh once where an older piece may have spoiled it."""
    resumed = part.exists()
    _fetch_whole(url, part, size, room)
    problem = problem_with(part, size, checksum)
    if problem and resumed:
        _log.warning("%s: %s; beginning afresh", url, problem)
        _discard(part)
        _fetch_whole(url, part, size, room)
        problem = problem_with(part, size, checksum)
    if problem:
        _discard(part)
        raise _MirrorError(problem)


def _fetch_whole(url: str, part: Path, size: int | None, room: float) -> None:
    """Connect again and again until the file is whole, or until TRIES connections in a row brought nothing."""
    fruitless = 0
    while True:
        before = _length(part)
        try:
            _fetch_more(url, part, size, room)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):  # the server knows its mind: asking again is useless
                raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
            reason = f"HTTP {error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            cause = getattr(error, "reason", error)  # urllib wraps what the system said
            reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        fruitless = 0 if _length(part) > before else fruitless + 1
        if fruitless == TRIES:
            raise _MirrorError(reason)
        time.sleep(PAUSE * fruitless)


def _fetch_more(url: str, part: Path, size: int | None, room: float) -> None:
    """Bring the part as far as one connection carries; return when the file is whole.

    Raises:
        ConnectionError: the connection ended early.
        DataError: the disk has no room.
        OSError, HTTPException: the server or the line failed.
    """
    done = _length(part)
    origin = _read_origin(part)
    if done and (origin is None or origin.total is None or done > origin.total):
        _discard(part)  # not known well enough to be continued
        done, origin = 0, None
    if origin is not None and done == origin.total:
        return
    headers = {"User-Agent": f"sr-course/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        if origin is not None and origin.url == url and origin.validator:
            headers["If-Range"] = origin.validator
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - download() let only http and https pass
    try:
        response = _opener().open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and done:
            _discard(part)
            raise ConnectionError("the server's file is shorter than what came before") from error
        raise
    with response:
        if done and not (response.status == http.HTTPStatus.PARTIAL_CONTENT and _continues(response, done, origin)):
            if response.status == http.HTTPStatus.PARTIAL_CONTENT:
                _discard(part)
                raise ConnectionError("the server continued another file than the one begun")
            done = 0  # the server ignores ranges, or its file has changed: it sends all
        total = _total(response, done)
        if size is not None and total is not None and total != size:
            raise _MirrorError(f"offers {total} bytes, {size} are right")
        expected = total if total is not None else size
        if expected is not None:
            _ask_for_room(part, expected, room)
        if not done:
            _discard(part)  # first: an older piece must never stand beside the note on a newer file
            _write_origin(part, _Origin(url, _validator(response), expected))
        with _open_part(part, "ab" if done else "wb") as stream:
            _copy(response, stream, part, expected, done)
    if expected is not None and _length(part) < expected:
        raise ConnectionError(f"the connection ended after {_length(part)} of {expected} bytes")


def _copy(response: http.client.HTTPResponse, stream: IO[bytes], part: Path, expected: int | None, done: int) -> None:
    with progress_bar(expected, part.name.removesuffix(".part"), done) as bar:
        while chunk := response.read1(_CHUNK):  # what has come, so that a process that is killed loses none of it
            done += len(chunk)
            if expected is not None and done > expected:
                _discard(part)
                raise _MirrorError(f"sends more than {expected} bytes")
            try:
                stream.write(chunk)
                stream.flush()
            except OSError as error:
                raise _unwritable(part, error) from error
            bar.update(len(chunk))


def _ask_for_room(part: Path, expected: int, room: float) -> None:
    needed = expected - _length(part) + int(room * expected)
    require_space(part.parent, needed, part.name.removesuffix(".part"))


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone: a redirection to a file or to ftp is refused too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _continues(response: http.client.HTTPResponse, done: int, origin: _Origin | None) -> bool:
    """Tell whether a partial answer begins where the part ends, in a file of the same length."""
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
    return span is not None and int(span[1]) == done and origin is not None and int(span[2]) == origin.total


def _total(response: http.client.HTTPResponse, done: int) -> int | None:
    """Return the length of the whole file as the server tells it."""
    length = response.headers.get("Content-Length")
    return done + int(length) if length and length.isdigit() else None


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Return what names this version of the file; a weak ETag may stand for different bytes and is no use."""
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    date = response.headers.get("Last-Modified")
    return str(date) if date else None


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_origin(part: Path) -> _Origin | None:
    try:
        return _Origin(**json.loads(_origin_file(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # no download was begun, or its note is unreadable: then it is begun afresh


def _write_origin(part: Path, origin: _Origin) -> None:
    try:
        _origin_file(part).write_text(json.dumps(asdict(origin)), encoding="utf-8")
    except OSError as error:
        raise _unwritable(part, error) from error


def _open_part(part: Path, mode: str) -> IO[bytes]:
    try:
        return part.open(mode)
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(part: Path, error: OSError) -> DataError:
    return DataError(
        f"{part}: cannot be written ({error.strerror}). Make room on that disk, or set SR_COURSE_DATA to a folder "
        "that you may write to; then run the same command again: what came is kept."
    )


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)
