"""What ships with the course: the photographs, their licences and the catalog of data sets."""

from __future__ import annotations

from pathlib import Path

from sr_course.errors import DataError


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
