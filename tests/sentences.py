"""What a reader is told."""

from __future__ import annotations

import pytest


def sentence(said: pytest.ExceptionInfo[Exception] | str) -> str:
    """The words of an error or a note, which are one line and end as a sentence does."""
    text = said if isinstance(said, str) else str(said.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text
