"""Unpacking of archives from strangers: no path outside, no links, no devices, a bound on what comes out.

Nothing in an archive is trusted, not even the sizes that it states: bytes are counted as they come out.
"""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from sr_course.data.cache import human_size, require_space
from sr_course.data.download import progress_bar
from sr_course.errors import DataError

MAX_MEMBERS = 100_000  # the largest set of the catalog has 24,000 pictures
_CHUNK = 1 << 18  # bytes
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, UnicodeError)


@dataclass(frozen=True)
class StoredFile:
    """A file as it was written: its path in the folder with forward slashes, its bytes and their digest."""

    path: str
    size: int
    sha256: str


def extract(
    archive: Path,
    kind: Literal["zip", "tar"],
    destination: Path,
    *,
    max_bytes: int,
    max_members: int = MAX_MEMBERS,
    members: Mapping[str, str] | None = None,
) -> list[StoredFile]:
    """Unpack an archive into a new folder, wholly or not at all.

    Args:
        archive: a zip file, or a tar file without compression.
        kind: which of the two.
        destination: the folder to make; it must not exist.
        max_bytes: bound on all that is written; an archive that holds more is refused.
        max_members: bound on the number of members.
        members: take these alone: path in the archive to name in the folder. None takes all.

    Returns:
        What was written.

    Raises:
        DataError: the archive is damaged, lacks a member, holds a link, a device or a path outside the folder,
            exceeds a bound, or the disk has no room. The folder is then gone again.
    """
    try:
        destination.mkdir(parents=True)
        return _write_members(archive, kind, destination, max_bytes, max_members, members)
    except BaseException as error:
        shutil.rmtree(destination, ignore_errors=True)
        if isinstance(error, _DAMAGE):
            raise DataError(f"{archive}: damaged ({error}). Delete it and fetch it again.") from error
        if isinstance(error, OSError):
            raise DataError(
                f"{archive}: cannot be unpacked into {destination} ({error.strerror or error}). "
                "Make room on that disk, or set SR_COURSE_DATA to a folder that you may write to."
            ) from error
        raise


def _write_members(
    archive: Path,
    kind: Literal["zip", "tar"],
    destination: Path,
    max_bytes: int,
    max_members: int,
    members: Mapping[str, str] | None,
) -> list[StoredFile]:
    written: list[StoredFile] = []
    left = max_bytes
    walk = _zip_members if kind == "zip" else _tar_members
    with progress_bar(None, f"unpacking {archive.name}") as bar:
        for count, (name, stream) in enumerate(walk(archive, destination, members), start=1):
            if count > max_members:
                raise _refusal(archive, f"it has more than {max_members} members")
            path = _safe_path(archive, name) if members is None else members[name]
            target = destination / path
            if stream is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            size = 0
            with stream, target.open("xb") as file:  # x: two members of one name are refused
                while chunk := stream.read(_CHUNK):
                    size += len(chunk)
                    left -= len(chunk)
                    if left < 0:
                        raise _refusal(archive, f"it unpacks to more than {human_size(max_bytes)}")
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
            written.append(StoredFile(path, size, digest.hexdigest()))
    return written


def _zip_members(
    archive: Path, destination: Path, members: Mapping[str, str] | None
) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield name and content of each member that is wanted; the content of a folder is None."""
    with zipfile.ZipFile(archive) as opened:
        infos = [info for info in opened.infolist() if members is None or info.filename in members]
        if missing := set(members or ()) - {info.filename for info in infos}:
            raise _refusal(archive, f"it lacks {sorted(missing)[0]!r}")
        require_space(destination, sum(info.file_size for info in infos), f"Unpacking {archive.name}")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on a Unix
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, f"{info.filename!r} is a link or a device")
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _refusal(archive, f"{info.filename!r} is encrypted or packed in an unusual way")
            yield info.filename, None if info.filename.endswith("/") else opened.open(info)


def _tar_members(
    archive: Path, destination: Path, members: Mapping[str, str] | None
) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield name and content of each member that is wanted; the content of a folder is None."""
    require_space(destination, archive.stat().st_size, f"Unpacking {archive.name}")
    missing = set(members or ())
    with tarfile.open(archive, "r:") as opened:  # uncompressed only: such a file cannot swell
        for info in opened:
            if members is not None and info.name not in members:
                continue
            missing.discard(info.name)
            if not info.isdir() and (not info.isreg() or info.issparse()):
                raise _refusal(archive, f"{info.name!r} is a link or a device")
            yield info.name, opened.extractfile(info)
    if missing:
        raise _refusal(archive, f"it lacks {sorted(missing)[0]!r}")


def _safe_path(archive: Path, name: str) -> str:
    """Return the member's path in the folder, or refuse it where it could lead out of it on any system."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or not parts or any(sign in name for sign in "\\:\0"):
        raise _refusal(archive, f"the path {name!r} leads out of the folder")
    return "/".join(parts)


def _refusal(archive: Path, reason: str) -> DataError:
    return DataError(
        f"{archive}: refused, for {reason}. Nothing was unpacked. Do not use this file: "
        "delete it, and tell whoever keeps the address that it came from."
    )
