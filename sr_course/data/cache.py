"""The folder where fetched data is kept, room on its disk, and one process at a time."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import platformdirs

from sr_course.errors import DataError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_log = logging.getLogger(__name__)
_PATIENCE = 2  # seconds; a shorter wait, as when two processes check one file, is not worth a word


def cache_folder() -> Path:
    """Return the folder for fetched data: what SR_COURSE_DATA says, else the platform's cache folder.

    The folder need not exist yet.
    """
    if chosen := os.environ.get("SR_COURSE_DATA", "").strip():
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("sr-course", appauthor=False) / "data"


def make_folder(folder: Path) -> None:
    """Make a folder of the cache, with those above it.

    Raises:
        DataError: it cannot be made; says how to choose another place.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: this folder cannot be made ({error.strerror}). "
            "Set SR_COURSE_DATA to a folder that you may write to."
        ) from error


def human_size(size: int) -> str:
    """Return a number of bytes as people write it: 3.5 GB."""
    if size < 1000:
        return f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Ask the disk for room before anything is written.

    Args:
        folder: where the data will go; it need not exist yet.
        needed: bytes.
        purpose: what the room is for, as the error is to name it.

    Raises:
        DataError: less than `needed` is free; says how much, where, and what to do.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DataError(
            f"{purpose} needs {human_size(needed)}, and the disk of {folder} has {human_size(free)} free. "
            "Make room there, or set SR_COURSE_DATA to a folder on a larger disk."
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file while the body runs; another process that wants it waits.

    The system gives the lock up when its process ends, however it ends; the empty file stays.
    """
    make_folder(path.parent)
    try:
        stream = path.open("ab")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}). Set SR_COURSE_DATA to a folder that you may write to."
        ) from error
    with stream:
        started, told = time.monotonic(), False
        while not _try_lock(stream):
            if not told and time.monotonic() - started > _PATIENCE:
                _log.warning("%s: another process is at work on it; waiting for it to end.", path.stem)
                told = True
            time.sleep(0.1)
        try:
            yield
        finally:
            _unlock(stream)


if sys.platform == "win32":

    def _try_lock(stream: IO[bytes]) -> bool:
        stream.seek(0)  # the lock is on a byte at the place where the file stands
        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(stream: IO[bytes]) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)

else:

    def _try_lock(stream: IO[bytes]) -> bool:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise DataError(
                f"{stream.name}: this disk cannot lock files ({error.strerror}). "
                "Set SR_COURSE_DATA to a folder on another disk."
            ) from error
        return True

    def _unlock(stream: IO[bytes]) -> None:
        fcntl.flock(stream, fcntl.LOCK_UN)
