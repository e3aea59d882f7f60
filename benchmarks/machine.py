"""The machine that is measured: its name, and the memory that this process takes of it."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Iterator

import psutil
import torch


def described(threads: int) -> str:
    return f"{platform.processor() or platform.machine()}, {threads} thread(s), torch {torch.__version__}"


def memory() -> int:
    """Bytes that the process holds now."""
    return psutil.Process().memory_info().rss


@contextlib.contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Gives a list of one number: the most bytes that the process held since, looked at every millisecond."""
    process, ended = psutil.Process(), threading.Event()
    peak = [process.memory_info().rss]

    def watch() -> None:
        while not ended.wait(0.001):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
