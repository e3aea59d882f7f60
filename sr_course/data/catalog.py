"""The catalog of data sets and weights that can be fetched: `datasets/catalog.toml`, read and checked."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sr_course.data.shipped import shipped_folder
from sr_course.errors import DataError

Kind = Literal["zip", "tar", "file", "registry"]

NOT_PUBLISHED = "not published"
_DIGEST_LENGTH = {"md5": 32, "sha256": 64}  # in hexadecimal digits
_TEXTS = ("title", "kind", "file", "published_in", "licence", "citation", "page")
_OPTIONAL_TEXTS = ("folder", "requirement")
_FIELDS = {*_TEXTS, *_OPTIONAL_TEXTS, "size", "checksum", "mirrors", "members"}


@dataclass(frozen=True)
class Checksum:
    """What a file's digest must be, or how it must begin where no more of it is published."""

    algorithm: str
    hexdigest: str

    @property
    def whole(self) -> bool:
        """Whether all of the digest is known."""
        return len(self.hexdigest) == _DIGEST_LENGTH[self.algorithm]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hexdigest}{'' if self.whole else '...'}"


@dataclass(frozen=True)
class Member:
    """A file that is taken out of a wheel: its path in there, and what it is."""

    path: str
    what: str

    @property
    def name(self) -> str:
        """The file's name once it is taken out."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One download: where it is, whose it is, and how to know that it is whole.

    `size` (bytes) and `checksum` are None where nobody publishes them.
    """

    name: str
    title: str
    kind: Kind
    file: str
    size: int | None
    checksum: Checksum | None
    published_in: str
    licence: str
    citation: str
    page: str
    mirrors: tuple[str, ...] = ()
    folder: str = "."
    requirement: str = ""
    members: tuple[Member, ...] = ()


def load_catalog(path: str | os.PathLike[str] | None = None) -> dict[str, Entry]:
    """Read a catalog, by default the one that ships with the course.

    Returns:
        The entries by name, in the order of the file.

    Raises:
        DataError: the file is missing, is not TOML, or an entry lacks something; the entry and the field are named.
    """
    path = Path(path) if path is not None else shipped_folder() / "catalog.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: this catalog cannot be read ({error.strerror}). Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a TOML file ({error}). Correct it there.") from error
    catalog = {}
    for name, table in tables.items():
        try:
            catalog[name] = _entry(name, table)
        except ValueError as error:
            raise DataError(f"{path}: entry [{name}]: {error}") from error
    return catalog


def find_entry(catalog: dict[str, Entry], name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        DataError: there is none; those that hold it are given, such as `benchmark` for Set5, or the nearest names.
    """
    if name in catalog:
        return catalog[name]
    holding = [entry.name for entry in catalog.values() if name.lower() in re.findall(r"\w+", entry.title.lower())]
    near = holding or difflib.get_close_matches(name.lower(), catalog, n=3, cutoff=0.4) or list(catalog)
    raise DataError(f"{name}: no data set of that name. Did you mean {' or '.join(near)}? See `sr-course data list`.")


def _entry(name: str, table: Any) -> Entry:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError("a name is made of small letters, digits and single hyphens.")
    if not isinstance(table, dict):
        raise ValueError("write each download as a table.")
    if unknown := sorted(set(table) - _FIELDS):
        raise ValueError(f"unknown field {unknown[0]!r}; the fields are {', '.join(sorted(_FIELDS))}.")
    for field in (*_TEXTS, "size", "checksum"):
        if field not in table:
            raise ValueError(f"{field!r} is missing; where a size or checksum is unknown, write {NOT_PUBLISHED!r}.")
    texts = {field: table[field] for field in (*_TEXTS, *_OPTIONAL_TEXTS) if field in table}
    for field, text in texts.items():
        if not (isinstance(text, str) and text.strip()):
            raise ValueError(f"{field!r} must be a text that is not empty.")
    entry = Entry(
        name=name,
        size=_size(table["size"]),
        checksum=_checksum(table["checksum"]),
        mirrors=_mirrors(table.get("mirrors", [])),
        members=_members(table.get("members", [])),
        **texts,
    )
    _check_paths(entry)
    _check_kind(entry)
    return entry


def _size(value: Any) -> int | None:
    if value == NOT_PUBLISHED:
        return None
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"size {value!r} is neither a number of bytes nor {NOT_PUBLISHED!r}.")
    return value


def _checksum(value: Any) -> Checksum | None:
    if value == NOT_PUBLISHED:
        return None
    parts = re.fullmatch(r"(md5|sha256):([0-9a-f]{8,})(\.\.\.)?", value) if isinstance(value, str) else None
    if parts is None:
        raise ValueError(f"checksum {value!r} is neither 'sha256:...', 'md5:...' nor {NOT_PUBLISHED!r}.")
    checksum = Checksum(parts[1], parts[2])
    if len(checksum.hexdigest) > _DIGEST_LENGTH[checksum.algorithm] or checksum.whole == bool(parts[3]):
        digits = _DIGEST_LENGTH[checksum.algorithm]
        raise ValueError(f"checksum {value!r}: write {digits} digits, or fewer and three dots after them.")
    return checksum


def _mirrors(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(address, str) for address in value):
        raise ValueError("mirrors must be a list of addresses.")
    for address in value:
        if not re.fullmatch(r"https?://[!-.0-~]+/[!-~]+", address):
            raise ValueError(f"mirror {address!r} is not an http:// or https:// address of a file.")
    return tuple(value)


def _members(value: Any) -> tuple[Member, ...]:
    try:
        members = tuple(Member(**table) for table in value)
    except TypeError as error:
        raise ValueError("members must be a list of { path = ..., what = ... }.") from error
    if len({member.name for member in members}) < len(members):
        raise ValueError("two members have one file name.")
    return members


def _check_paths(entry: Entry) -> None:
    """Refuse names that would lead out of the folder where the data set is kept."""
    names = [entry.file, *(member.name for member in entry.members)]
    names += [] if entry.folder == "." else entry.folder.split("/")
    for name in names:
        if not re.fullmatch(r"\w[\w.+ -]*", name):
            raise ValueError(f"{name!r} is not a plain file or folder name.")


def _check_kind(entry: Entry) -> None:
    if entry.kind not in ("zip", "tar", "file", "registry"):
        raise ValueError(f"kind {entry.kind!r} is none of zip, tar, file, registry.")
    if entry.kind != "registry":
        if not entry.mirrors or entry.members or entry.requirement:
            raise ValueError(f"kind {entry.kind!r} has mirrors, and neither members nor a requirement.")
        return
    if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._!+]+", entry.requirement):
        raise ValueError(f"requirement {entry.requirement!r} must be NAME==VERSION.")
    if not entry.members or entry.mirrors or not entry.file.endswith(".whl"):
        raise ValueError("a wheel (.whl) of the registry has members, and no mirrors.")
    if entry.checksum is None or entry.checksum.algorithm != "sha256" or not entry.checksum.whole:
        raise ValueError("a wheel of the registry needs its whole sha256 checksum.")
