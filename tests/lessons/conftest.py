"""Each test of a lesson finds its exercises untried."""

from __future__ import annotations

import pytest

from tests.lessons.exercises import EXERCISES


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    for exercise in EXERCISES:
        monkeypatch.setattr(exercise, "tries", 0)
