"""What the tests of the lessons' checks share: every exercise of the package, and what a check said."""

from __future__ import annotations

import importlib
import pkgutil

from sr_course import lessons
from sr_course.lessons.checks import Exercise

EXERCISES = [
    value
    for lesson in pkgutil.iter_modules(lessons.__path__)
    for value in vars(importlib.import_module(f"{lessons.__name__}.{lesson.name}")).values()
    if isinstance(value, Exercise)
]


def said_by(check, answer, capsys) -> str:
    check(answer)
    return capsys.readouterr().out


def is_wrong(said: str, *words: str) -> bool:
    return "not yet. Expected" in said and "Hint 1:" in said and all(word in said for word in words)
