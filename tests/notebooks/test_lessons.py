"""The course's own lessons: text, solved notebook and learners' notebook belong together and may be stored."""

from __future__ import annotations

import nbformat
import pytest

from tools import notebooks

FOLDER = notebooks.ROOT / "notebooks"
LESSONS = notebooks.find_lessons(FOLDER)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_nothing_has_drifted(lesson):
    assert notebooks.check(lesson) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_notebooks_are_valid(lesson):
    for path in (lesson.solved, lesson.learner):
        nbformat.validate(nbformat.read(path, as_version=4))


def test_every_notebook_has_a_text():
    assert notebooks.strays(FOLDER) == []
