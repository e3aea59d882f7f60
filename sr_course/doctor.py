"""What this machine has for the course: one line each, `[OK]` or what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from sr_course import __version__
from sr_course.data.shipped import photos, shipped_folder
from sr_course.errors import CourseError

_GIGABYTE = 1e9
_MEMORY_WANTED = 4 * _GIGABYTE
_DISK_WANTED = 5 * _GIGABYTE
_LESSON_PACKAGES = ("jupyterlab", "jupytext", "ipywidgets", "anywidget", "matplotlib")


@dataclass(frozen=True)
class Finding:
    """One line of the report: is it as it should be, what was found, and what to do if not."""

    ok: bool
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"[OK] {self.what}" if self.ok else f"[--] {self.what}. {self.remedy}"


def examine() -> Iterator[Finding]:
    """Look at versions, device, memory, disk, packages of the lessons, photographs; one finding after the other."""
    yield Finding(True, f"sr_course {__version__}, Python {platform.python_version()}, {platform.system()}")
    yield _torch()
    yield _device()
    yield _memory()
    yield _disk()
    yield from (_package(name) for name in _LESSON_PACKAGES)
    yield _photographs()
    yield _networks()
    yield from _data_sets()


def _torch() -> Finding:
    import torch

    return Finding(True, f"torch {torch.__version__}, {torch.get_num_threads()} threads")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Finding(True, f"CUDA: {names}")
    if torch.backends.mps.is_available():
        return Finding(True, "MPS (the Mac's own GPU)")
    return Finding(True, "no GPU, and none is needed for the lessons; training at full size wants one")


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    what = f"memory {memory.total / _GIGABYTE:.1f} GB, {memory.available / _GIGABYTE:.1f} GB free"
    return Finding(memory.available >= _MEMORY_WANTED, what, "Close other programs: the lessons want 4 GB free")


def _disk() -> Finding:
    from sr_course.data.cache import cache_folder

    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    remedy = "The lessons need no more; for data sets set SR_COURSE_DATA to a folder on a larger disk"
    return Finding(free >= _DISK_WANTED, f"disk {free / _GIGABYTE:.0f} GB free for data sets in {folder}", remedy)


def _package(name: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        return Finding(False, f"{name} is missing", f"{sys.executable} -m pip install 'sr-course[lab]'")
    return Finding(True, f"{name} {importlib.metadata.version(name)}")


def _photographs() -> Finding:
    try:
        counts = ", ".join(f"{len(photos(split))} {split}" for split in ("train", "validation", "test"))
        return Finding(True, f"photographs: {counts}, in {shipped_folder()}")
    except CourseError as error:
        return Finding(False, "photographs of the course", str(error))


def _networks() -> Finding:
    from sr_course.zoo import cards

    try:
        found = [f"{card.name} x{card.scale}" for card in cards() if card.weights and card.weights.is_file()]
    except CourseError as error:
        return Finding(False, "trained networks of the course", str(error))
    return Finding(bool(found), f"trained networks: {', '.join(found)}", "Install sr-course again, or clone it whole")


def _data_sets() -> Iterator[Finding]:
    """Name the public data sets that were fetched; a lesson needs none, so a missing one is no fault."""
    from sr_course.data.catalog import load_catalog
    from sr_course.data.fetch import is_here

    try:
        here = [entry.name for entry in load_catalog().values() if is_here(entry)]
    except CourseError as error:
        yield Finding(False, "catalog of data sets", str(error))
    else:
        yield Finding(True, f"data sets fetched: {', '.join(here) or 'none; see `sr-course data list`'}")
