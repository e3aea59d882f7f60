"""`build` writes three files that belong together or none; `check` notices whatever came between them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools import notebooks


def run(action: str, toy: notebooks.Lesson, capfd) -> tuple[int, str]:
    """Run the command on the throw-away course; return its exit status and what it wrote to stderr."""
    status = notebooks.main([action, "--folder", str(toy.folder)])
    return status, capfd.readouterr().err


def files(toy: notebooks.Lesson) -> dict[str, bytes]:
    return {str(path.relative_to(toy.folder)): path.read_bytes() for path in toy.folder.rglob("*") if path.is_file()}


def edit_text(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def edit_notebook(path: Path, change) -> None:
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_what_build_wrote_belongs_together(toy, capfd):
    assert run("check", toy, capfd) == (0, "")
    solved = nbformat.read(toy.solved, as_version=4)
    learner = nbformat.read(toy.learner, as_version=4)
    for notebook in (solved, learner):
        nbformat.validate(notebook)
        assert [cell.execution_count for cell in code_cells(notebook)] == [1, 2, 3, 4]
    assert code_cells(solved)[3].outputs[0].text == "Exercise 1.1: right, 0.50.\n"
    assert code_cells(learner)[3].outputs[0].text == "Exercise 1.1: not solved yet.\n"
    assert len(learner.cells) == len(solved.cells) - 1


def test_stored_files_hold_no_times_and_no_versions(toy):
    for path in (toy.solved, toy.learner):
        assert not re.search(r'"(execution"|iopub|version"|widgets")', path.read_text(encoding="utf-8"))


def test_the_text_is_the_newest_file(toy):
    assert toy.source.stat().st_mtime_ns >= toy.solved.stat().st_mtime_ns


def test_building_again_changes_no_byte(toy, capfd):
    before = files(toy)
    assert run("build", toy, capfd)[0] == 0
    assert files(toy) == before


def test_the_script_runs_as_a_command(toy):
    script = notebooks.ROOT / "tools" / "notebooks.py"
    command = [sys.executable, str(script), "check", "01", "--folder", str(toy.folder)]
    assert subprocess.run(command, check=False).returncode == 0
    edit_text(toy.source, "640", "320")
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert failed.returncode == 1
    assert "drifted from 01_toy.py" in failed.stderr


def test_build_puts_the_text_into_jupytexts_form(toy, capfd):
    edit_text(toy.source, "# %%\nwidth", "\n\n\n# %%\nwidth")
    status, said = run("check", toy, capfd)
    assert status == 1
    assert "not in jupytext's own form" in said
    assert run("build", toy, capfd)[0] == 0
    assert run("check", toy, capfd) == (0, "")


# Each of the three files, changed by hand ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"), [("640", "320"), ("A throw-away lesson", "A lesson"), ("value for value", "pixel for pixel")]
)
def test_a_changed_text_is_noticed(toy, capfd, old, new):
    edit_text(toy.source, old, new)
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{toy.solved}: drifted" in said


@pytest.mark.parametrize("which", ["solved", "learner"])
@pytest.mark.parametrize(
    "change",
    [
        lambda notebook: notebook.cells[1].update(source=notebook.cells[1].source + " "),
        lambda notebook: notebook.cells[0].update(source="# Another title"),
        lambda notebook: notebook.cells.pop(1),
        lambda notebook: notebook.cells[1].update(id="another"),
        lambda notebook: notebook.cells[1].metadata.update(tags=["nbval-rtol=0.5"]),
        lambda notebook: notebook.cells[1].metadata.update(execution={"iopub.status.busy": "2024-01-01T00:00:00Z"}),
        lambda notebook: notebook.metadata.language_info.update(version="3.11.7"),
    ],
    ids=["code", "prose", "cell gone", "id", "tag", "time stamp", "version"],
)
def test_a_changed_notebook_is_noticed(toy, capfd, which, change):
    edit_notebook(getattr(toy, which), change)
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{getattr(toy, which)}: drifted" in said


def test_a_missing_notebook_and_one_without_a_text_are_noticed(toy, capfd):
    toy.learner.rename(toy.folder / "02_other.ipynb")
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{toy.learner}: missing" in said
    assert "02_other.ipynb: no text" in said


def forget(notebook):
    code_cells(notebook)[1].update(execution_count=None, outputs=[])


def swap(notebook):
    code_cells(notebook)[0].execution_count = 2
    code_cells(notebook)[1].execution_count = 1


def stale(notebook):
    for cell in code_cells(notebook):
        cell.execution_count += 3


@pytest.mark.parametrize("change", [forget, swap, stale])
@pytest.mark.parametrize("which", ["solved", "learner"])
def test_cells_not_executed_in_order_are_noticed(toy, capfd, which, change):
    edit_notebook(getattr(toy, which), change)
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{getattr(toy, which)}: its cells were not executed in order" in said


def test_a_solution_in_a_learners_output_is_noticed(toy, capfd):
    def tell(notebook):
        code_cells(notebook)[3].outputs[0].text += "Hint: total_of_the_row = sum(value for value in row)\n"

    edit_notebook(toy.learner, tell)
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{toy.learner}: a solution can be read in it" in said


def display_data(kind: str, content: str, **metadata):
    return nbformat.v4.new_output("display_data", {kind: content}, metadata=metadata)


@pytest.mark.parametrize(
    ("output", "word"),
    [
        (nbformat.v4.new_output("stream", name="stderr", text="UserWarning: old"), "stderr"),
        (nbformat.v4.new_output("error", ename="KeyError", evalue="x", traceback=[]), "error is stored"),
        (display_data("application/javascript", "alert(1)"), "application/javascript"),
        (display_data("text/html", "<script>alert(1)</script>"), "<script>"),
        (display_data("text/html", "<b onclick='alert(1)'>x</b>"), "onclick"),
        (display_data("text/html", "<img alt='x' src='https://example.org/x.png'>"), "example.org"),
        (display_data("text/html", "<b style='background: url(//example.org/x.png)'>x</b>"), "example.org"),
        (display_data("application/vnd.jupyter.widget-view+json", {"model_id": "1"}), "live widget"),
        (display_data("image/svg+xml", "<svg/>"), "image/svg+xml"),
        (display_data("image/png", "AAAA"), "no alternative text"),
        (display_data("image/jpeg", "AAAA", **{"image/jpeg": {"alt": " "}}), "no alternative text"),
        (display_data("text/html", "<img src='data:image/png;base64,AAAA'>"), "no alternative text"),
    ],
)
def test_an_output_that_must_not_be_stored_is_noticed(toy, capfd, output, word):
    edit_notebook(toy.solved, lambda notebook: code_cells(notebook)[0].outputs.append(output))
    status, said = run("check", toy, capfd)
    assert status == 1
    assert f"{toy.solved}: cell 2 (width, height = 640, 480): " in said
    assert word in said


def test_stored_widget_state_is_noticed(toy, capfd):
    edit_notebook(toy.solved, lambda notebook: notebook.metadata.update(widgets={}))
    assert "state of widgets" in run("check", toy, capfd)[1]


def test_a_notebook_over_three_megabytes_is_noticed(toy, capfd):
    big = nbformat.v4.new_output("stream", text="x" * 3_100_000)
    edit_notebook(toy.solved, lambda notebook: code_cells(notebook)[0].outputs.append(big))
    assert f"{toy.solved}: 3.1 MB" in run("check", toy, capfd)[1]


# Texts that give no good notebook ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "cell", "word"),
    [
        ("psnr = 28.4207", "psnr = noise_level", "cell 2 (width, height", "NameError: name 'noise_level'"),
        ("until then: return ...", "until then: return guess", "cell 6 (def mean_by_hand", "NameError: name 'guess'"),
        ("psnr = 28.4207", "import os; os._exit(1)", "cell 2 (width, height", "the kernel died"),
        ("psnr = 28.4207", "import time; time.sleep(30)", "cell 2 (width, height", "not done after 2 s"),
        ("total_of_the_row / len", "None and len", "", "of a solution"),
        ("not solved yet.", "please go on.", "", "no check says"),
        ("psnr = 28.4207", "import warnings; warnings.warn('old')", "cell 2 (width, height", "stderr"),
        ('alt="a red dot <as bytes>"', "alt=None", "cell 3 (from base64", "no alternative text"),
        ("# Back to", "# ![](data:image/png;base64,AAAA) Back to", "cell 1 (# A throw-away", "no alternative text"),
        ("until then: return ...", "until then:", "01_toy.py:", "not a marker"),
    ],
    ids=lambda value: value[:24],
)
def test_a_failure_is_named_and_leaves_the_old_files_whole(toy, capfd, monkeypatch, old, new, cell, word):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", 2)
    edit_text(toy.source, old, new)
    if "psnr" in old:
        edit_text(toy.source, 'pixels, {psnr:.4f} dB")', 'pixels")' if "psnr" not in new else 'pixels, {psnr:.4f}")')
    before = files(toy)
    status, said = run("build", toy, capfd)
    assert status == 1
    assert "01_toy" in said
    assert cell in said
    assert word in said
    assert files(toy) == before


def test_one_lessons_failure_stops_no_other(toy, capfd):
    (toy.folder / "source" / "00_broken.py").write_text("# %%\n1 / 0\n", encoding="utf-8")
    edit_text(toy.source, "28.4207", "28.42")
    status, said = run("build", toy, capfd)
    assert status == 1
    assert "00_broken.ipynb, cell 1 (1 / 0): ZeroDivisionError" in said
    assert "28.4200 dB" in toy.solved.read_text(encoding="utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is found on Linux only")
def test_a_full_disk_leaves_the_old_files_whole(toy, capfd):
    before = files(toy)
    (toy.solved.parent / f".{toy.solved.name}.new").symlink_to("/dev/full")
    status, said = run("build", toy, capfd)
    assert status == 1
    assert "No space left" in said
    assert files(toy) == before


@pytest.mark.parametrize(
    ("tags", "first_line", "word"),
    [
        ('["nbval-ignore-output"]', "# output not compared: it prints the machine's memory", ""),
        ('["nbval-ignore-output"]', "x = 1", "first line must say why"),
        ('["nbval-ignore-output"]', "# output not compared:", "first line must say why"),
        ('["nbval-rtol=0.02", "nbval-atol=1e-3", "remove-cell"]', "x = 1", ""),
        ("[]", "# output not compared: no reason", "tag nbval-ignore-output is missing"),
        ('["nbval-rtol=much"]', "x = 1", "not for lessons"),
        ('["nbval-skip"]', "x = 1", "not for lessons"),
        ('["raises-exception"]', "x = 1", "not for lessons"),
        ("[]", "# NBVAL_IGNORE_OUTPUT", "a comment steers nbval"),
    ],
)
def test_an_output_is_left_uncompared_only_with_a_reason(tmp_path, tags, first_line, word):
    toy = notebooks.Lesson(tmp_path, "01_toy")
    toy.source.parent.mkdir()
    tagged = "" if tags == "[]" else f" tags={tags}"
    toy.source.write_text(f"# %%{tagged}\n{first_line}\nprint(1)\n", encoding="utf-8")
    cell = notebooks.read_source(toy).cells[0]
    assert word in "".join(notebooks.faults_of_tags(cell))
    assert bool(word) == bool(list(notebooks.faults_of_tags(cell)))


def test_a_widget_with_a_still_picture_loses_its_live_view(tmp_path):
    toy = notebooks.Lesson(tmp_path, "01_toy")
    toy.source.parent.mkdir()
    toy.source.write_text(
        """\
# %%
from ipywidgets import IntSlider


class Still(IntSlider):
    def _repr_mimebundle_(self, **kwargs):
        data = super()._repr_mimebundle_(**kwargs)
        return {**data, "text/plain": "a slider", "image/png": b"AAAA"}, {"image/png": {"alt": "a slider at 0"}}


Still()
""",
        encoding="utf-8",
    )
    notebooks.build(toy)
    (output,) = nbformat.read(toy.learner, as_version=4).cells[0].outputs
    assert set(output.data) == {"image/png", "text/plain"}
    assert "widget" not in toy.learner.read_text(encoding="utf-8").replace("ipywidgets", "")


def test_a_link_that_leads_nowhere_is_noticed(toy, capfd):
    edit_text(toy.source, "(01_toy.ipynb)", "(09_nowhere.ipynb)")
    assert run("build", toy, capfd)[0] == 0
    status, said = run("check", toy, capfd)
    assert status == 1
    assert "link to 09_nowhere.ipynb" in said


def test_lessons_are_picked_by_number_or_name(tmp_path, capfd):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("00_start_here", "01_bicubic", "10_more"):
        (source / f"{name}.py").touch()
    (source / "helper.py").touch()

    def names(*wanted):
        return [lesson.name for lesson in notebooks.find_lessons(tmp_path, wanted)]

    assert names() == ["00_start_here", "01_bicubic", "10_more"]
    assert names("01") == names("01_bicubic") == ["01_bicubic"]
    assert names("10", "00") == ["00_start_here", "10_more"]
    assert notebooks.main(["check", "1", "--folder", str(tmp_path)]) == 2
    assert "'1' is no lesson" in capfd.readouterr().err
    assert notebooks.main(["check", "--folder", str(source)]) == 2
    assert "no lesson" in capfd.readouterr().err
