"""Times of one deed as rows of a table: on the clock, of the processor, and the bar that they should keep below."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(call: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None) -> tuple[float, float]:
    """Shortest time of a call on the clock, and of the processor, in milliseconds; what comes before does not count."""
    walls, cpus = [], []
    for _ in range(repeats):
        before()
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        walls.append(1e3 * (time.perf_counter() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    return min(walls), min(cpus)


def heading(repeats: int) -> None:
    print(f"{'milliseconds, the best of ' + str(repeats):46}{'clock':>8}{'processor':>11}{'bar':>7}")


def row(title: str, times: tuple[float, float], bar: int | None) -> None:
    print(f"{title:46}{times[0]:8.0f}{times[1]:11.0f}{bar or '':>7}", flush=True)
