"""The machine that is measured: its name, and the memory that this process takes of it."""

from __future__ import annotations

import argparse
import contextlib
import platform
import threading
from collections.abc import Iterator

import psutil
import torch


def options(doc: str | None, *, threads: int, repeats: int) -> argparse.Namespace:
    """What the command line says, with these values where it says nothing; torch is given that many threads."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=threads, help=f"CPU threads; {threads} unless told")
    parser.add_argument(
        "--repeats", type=int, default=repeats, help=f"how often each is measured; {repeats} unless told"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    return chosen


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
