"""The course's results table: every method met so far, measured alike on the course's test photographs."""

from __future__ import annotations

from collections.abc import Sequence

from sr_course.evaluation import Table, evaluate, shipped_pairs
from sr_course.metrics import MATLAB_Y, Protocol


def results(methods: Sequence[str], *, scale: int = 4, protocol: Protocol = MATLAB_Y) -> list[Table]:
    """Measure methods on the 12 test photographs of the course and print one row for each.

    Args:
        methods: names that `sr-course evaluate` knows, in the order of the rows.
        scale: the factor of enlargement.
        protocol: the one protocol for all rows.

    Returns:
        The full table of each method, with the score of each picture.
    """
    pairs = shipped_pairs("test")
    tables = [evaluate(name, pairs, scale=scale, protocol=protocol, name="test photographs") for name in methods]
    width = max(len("method"), *(len(name) for name in methods))
    print(f"{len(pairs)} test photographs, x{scale}, {protocol.at_scale(scale)}")
    print(f"{'method':{width}}   PSNR    SSIM")
    for table in tables:
        print(f"{table.model:{width}}  {table.psnr:5.2f}  {table.ssim:.4f}")
    return tables
