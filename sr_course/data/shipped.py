"""What ships with the course: the photographs, their licences and the catalog of data sets."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast, get_args

from sr_course.errors import DataError

SHIPPED = "shipped"
"""Stands for the photographs that come with the course, where otherwise a folder is named."""

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


def shipped_folder() -> Path:
    """Return the folder `datasets`, which an installed package carries inside and a clone has at its top.

    Raises:
        DataError: neither is there, as when the package was copied without its data.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_datasets", package.parent / "datasets"):
        # The catalog tells our folder from a stranger's: another package may be called `datasets` too.
        if (folder / "catalog.toml").is_file():
            return folder
    raise DataError(
        f"{package}: the folder `datasets` with the photographs and catalog.toml is missing beside it. "
        "Install sr-course with pip, or clone the whole repository."
    )


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One photograph that ships with the course, and what its author asks to be said of it."""

    name: str  # of the file, without folder and ending
    path: Path
    split: Split
    width: int  # pixels
    height: int
    description: str  # what it shows, fit to be its alternative text
    subject: str  # no subject is in two splits
    detail: tuple[str, ...]  # what makes it hard: "fur", "brick", ...
    licence: str  # SPDX identifier
    author: str
    page: str  # where it was published
    earlier_changes: str  # made before it came to the course
    our_change: str
    sha256: str

    @property
    def credit(self) -> str:
        """The line to print below the picture: author, licence, page, changes."""
        licence = "public domain" if self.licence == "LicenseRef-public-domain" else self.licence
        changes = [change for change in (self.earlier_changes, self.our_change) if not change.startswith("none")]
        return f"{self.author}, {licence}, {self.page}" + (f" ({'; '.join(changes)})" if changes else "")


def photos(split: Split) -> list[Photo]:
    """List the photographs of one split, sorted by name.

    Args:
        split: `train` are published files, lossy, to be reduced before they serve as ground truth; `validation` and
            `test` are reduced already, lossless, and their sides are multiples of 24.

    Raises:
        DataError: there is no such split, or the photographs are missing.
    """
    if split not in SPLITS:
        raise DataError(f"There is no split {split!r} of the photographs. Choose from {', '.join(SPLITS)}.")
    return sorted((one for one in _all_photos() if one.split == split), key=lambda one: one.name)


def photo(name: str) -> Photo:
    """Find a photograph of any split by its name, such as `red_panda`.

    Raises:
        DataError: there is none of that name, or the photographs are missing.
    """
    by_name = {one.name: one for one in _all_photos()}
    if name in by_name:
        return by_name[name]
    near = get_close_matches(name, by_name, n=3)
    advice = f"Did you mean {' or '.join(near)}?" if near else f"There are {', '.join(sorted(by_name))}."
    raise DataError(f"There is no photograph called {name!r}. {advice}")


def _all_photos() -> list[Photo]:
    folder = shipped_folder() / "photos"
    manifest = folder / "MANIFEST.csv"
    try:
        with manifest.open(encoding="utf-8", newline="") as file:
            return [_photo_of(row, folder) for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise DataError(
            f"{manifest}: the list of the photographs is missing. Install sr-course or clone the repository again."
        ) from None


def _photo_of(row: dict[str, str], folder: Path) -> Photo:
    path = folder / row["file"]
    return Photo(
        name=path.stem,
        path=path,
        split=cast(Split, row["split"]),
        width=int(row["width"]),
        height=int(row["height"]),
        description=row["description"],
        subject=row["subject"],
        detail=tuple(row["detail"].split("; ")),
        licence=row["licence"],
        author=row["author"],
        page=row["page"],
        earlier_changes=row["earlier_changes"],
        our_change=row["our_change"],
        sha256=row["sha256"],
    )
