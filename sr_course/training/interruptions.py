"""What may interrupt a run: signals, and memory or disk that are used up. Each is turned into a sentence."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sr_course.errors import TrainingError
from sr_course.training.recipe import Recipe


@contextmanager
def signals_noted() -> Iterator[list[str]]:
    """Collect the names of SIGINT and SIGTERM instead of dying of them, so that the loop can end after its step."""
    caught: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread may handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def full_disk_explained(out: Path) -> Iterator[None]:
    """Say in a sentence that the run's folder `out` takes no more."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{out}: the run cannot be written on ({error.strerror or error}). What is there is whole: make room, or "
            "see to the permissions, then add --resume."
        ) from error


@contextmanager
def full_memory_explained(recipe: Recipe) -> Iterator[None]:
    """Say in a sentence which values of the recipe to lower when memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # of a device it is a RuntimeError, known by its words
        words = str(error).lower()
        if isinstance(error, RuntimeError) and "out of memory" not in words and "can't allocate memory" not in words:
            raise
        raise TrainingError(
            f"memory ran out with batch_size {recipe.batch_size} in {recipe.accumulation} parts of crops of "
            f"{recipe.hr_crop} pixels. Raise accumulation (the same result, in smaller parts), or lower hr_crop or "
            "batch_size."
        ) from error
