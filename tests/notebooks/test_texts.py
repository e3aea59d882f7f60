"""From a lesson's text to what learners get: markers, stubs, cell ids, and that no solution can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import notebooks


def read(folder: Path, text: str):
    """Read a text as lesson 01_toy."""
    lesson = notebooks.Lesson(folder, "01_toy")
    lesson.source.parent.mkdir(exist_ok=True)
    lesson.source.write_text(text, encoding="utf-8")
    return notebooks.read_source(lesson)


def learner_code(folder: Path, text: str) -> list[str]:
    learner = notebooks.for_learners("01_toy", read(folder, text))
    return [cell.source for cell in learner.cells]


def test_a_stub_stands_in_place_of_each_solution(tmp_path):
    text = """\
# %%
def halve(row):
    # solution begins; until then: return ...
    if row:
        return row[::2]

    return row
    # solution ends
x = 1
# solution begins; until then: y = None
y = 2
# solution ends
print(x, y)
"""
    expected = """\
def halve(row):
    return ...  # your code here
x = 1
y = None  # your code here
print(x, y)"""
    assert learner_code(tmp_path, text) == [expected]


def test_cells_tagged_solution_are_left_out(tmp_path):
    text = (
        '# %%\nx = 1\n\n# %% tags=["solution"]\nx = 2\n\n# %% [markdown] tags=["solution"]\n# Two.\n\n# %%\nprint(x)\n'
    )
    assert learner_code(tmp_path, text) == ["x = 1", "print(x)"]


@pytest.mark.parametrize(
    ("cell", "line", "word"),
    [
        ("# solution begins; until then: ...\nx = 1\n", 4, "no '# solution ends'"),
        ("# solution begins; until then: ...\nx = 1\n\n# %%\n# solution ends\n", 4, "no '# solution ends'"),
        ("x = 1\n# solution ends\n", 5, "has not begun"),
        (
            "# solution begins; until then: ...\nx = 1\n# solution begins; until then: ...\n",
            6,
            "inside the one of line 4",
        ),
        ("# solution begins; until then: ...\n# solution ends\n", 5, "empty"),
        ("# solution begins\nx = 1\n# solution ends\n", 4, "not a marker"),
        ("# solution begins; until then:\nx = 1\n# solution ends\n", 4, "not a marker"),
        ("# Solution begins; until then: ...\nx = 1\n# solution ends\n", 4, "not a marker"),
        ("# solution begins; until then: ...\nx = 1\n# solution ended\n", 6, "not a marker"),
        ("if x:\n    # solution begins; until then: ...\n    x = 1\n# solution ends\n", 7, "indentations"),
        (
            "if x:\n    # solution begins; until then: ...\n    x = 1\ny = 1\n    # solution ends\n",
            7,
            "left of the marker",
        ),
    ],
)
def test_a_malformed_marker_is_named_by_file_and_line(tmp_path, cell, line, word):
    with pytest.raises(notebooks.LessonError) as error:
        read(tmp_path, f"# %% [markdown]\n# solution begins with a thought\n# %%\n{cell}")
    assert f"01_toy.py:{line}:" in str(error.value)
    assert word in str(error.value)


def test_a_cell_keeps_its_id_when_others_come_and_go(tmp_path):
    before = read(tmp_path, "# %%\nx = 1\n\n# %%\nprint(x)\n\n# %%\nprint(x)\n")
    after = read(
        tmp_path, "# %% [markdown]\n# New.\n\n# %%\nx = 1\n\n# %%\ny = 2\n\n# %%\nprint(x)\n\n# %%\nprint(x)\n"
    )
    ids = [cell.id for cell in before.cells]
    assert len(set(ids)) == 3
    assert [cell.id for cell in after.cells if cell.source in {"x = 1", "print(x)"}] == ids


SOLVED = """\
# %%
blurred = [0.5 for value in row]

# %%
def mean(row):
    # solution begins; until then: return ...
    # first the sum
    total = sum(value for value in row)
    return total / len(row)
    # solution ends

# %%
# solution begins; until then: x = ...
x = 3
# solution ends

# %% [markdown] tags=["solution"]
# The mean is one half, whatever the phase of the stripe.
"""


def leaks_after(folder: Path, change) -> list[str]:
    source = read(folder, SOLVED)
    learner = notebooks.for_learners("01_toy", source)
    change(learner)
    return notebooks.leaks(learner, source)


def test_the_learners_version_holds_no_solution(tmp_path):
    assert leaks_after(tmp_path, lambda learner: None) == []


@pytest.mark.parametrize(
    "text",
    [
        "total = sum(value for value in row)\nreturn total / len(row)",
        "        total  =  sum(value for value in row)  # a hint\n",
        "Try `total = sum(value for value in row)`.",
        "The mean is one half, whatever the phase of the stripe.",
    ],
    ids=["whole", "one line", "in prose", "an answer"],
)
@pytest.mark.parametrize("place", ["source", "metadata", "output"])
def test_a_solution_is_found_wherever_it_can_be_read(tmp_path, text, place):
    def put(learner):
        cell = learner.cells[0]
        if place == "source":
            cell.source += f"\n{text}"
        elif place == "metadata":
            learner.metadata["hint"] = text
        else:
            cell.outputs = [{"output_type": "stream", "name": "stdout", "text": text}]

    assert "solution can be read" in "".join(leaks_after(tmp_path, put))


def test_what_the_lesson_shows_by_itself_is_no_leak(tmp_path):
    def put(learner):
        learner.cells[0].source = "x = 3\n" + learner.cells[0].source

    assert leaks_after(tmp_path, put) == []


def test_markers_and_tags_of_solutions_are_leaks(tmp_path):
    def marker(learner):
        learner.cells[0].source += "\n# solution begins; until then: ..."

    def tag(learner):
        learner.cells[0].metadata["tags"] = ["solution"]

    assert "marker" in leaks_after(tmp_path, marker)[0]
    assert "tagged 'solution'" in leaks_after(tmp_path, tag)[0]
