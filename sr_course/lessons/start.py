"""The self-check of lesson 0."""

from __future__ import annotations

from typing import Any

from sr_course.lessons.checks import Exercise, number

_SHARE = Exercise(
    number="0.1",
    hints=(
        "Each side keeps one pixel in `scale`. A picture has two sides.",
        "At scale 2 one pixel stands for a block of 2 x 2 = 4, so a quarter is kept.",
    ),
    answer="return 1 / scale**2",
)


def check_share(share: Any) -> None:
    """Check a function from the scale to the share of pixels that a reduction by it keeps."""
    for scale in (2, 3, 4):
        came = _SHARE.ask(share, scale)
        if came is None:
            return None
        expected = 1 / scale**2
        given = number(came)
        if given is None or not abs(given - expected) < 1e-6:
            return _SHARE.wrong(f"{expected:.4f} at scale {scale}", repr(came))
    return _SHARE.right("At x4, fifteen of sixteen pixels have to be made up.")
