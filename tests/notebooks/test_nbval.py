"""What `pytest --nbval` lets pass and what it notices, through a real pytest and the course's own settings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from tools import notebooks

TEXT = """\
# %%
print("640 pixels, psnr 28.4207 dB, error 1.2e-08, version 2.14.0")
print(f"{9.9996:7.3f} and {0.9987:.2%}")

# %%
from IPython.display import HTML, display

display({"image/svg+xml": "<svg/>", "image/webp": "AAAA", "text/plain": "a picture"}, raw=True)
HTML('<img alt="a dot, 0.25 wide" src="data:image/png;base64,AAAA">')

# %% tags=["nbval-rtol=0.02"]
print("trained to 27.50 dB")

# %% tags=["nbval-atol=0.5"]
0.375

# %% tags=["nbval-ignore-output"]
# output not compared: an example
print("31.9 GB free")

# %%
28.42;
"""

# what stands in the stored outputs, what is put in its place, and whether the comparison must let it pass
CHANGES = {
    "decimal by 1e-4": ("psnr 28.4207", "psnr 28.4235", True),
    "decimal by one percent": ("psnr 28.4207", "psnr 28.7049", False),
    "decimal by minus one percent": ("psnr 28.4207", "psnr 28.1365", False),
    "decimal by 0.6 dB": ("psnr 28.4207", "psnr 29.0207", False),
    "sign": ("psnr 28.4207", "psnr -28.4207", False),
    "rounding noise": ("error 1.2e-08", "error 4.7e-09", True),
    "no longer rounding noise": ("error 1.2e-08", "error 1.2e-05", False),
    "whole number by one": ("640 pixels", "641 pixels", False),
    "word": ("640 pixels", "640 points", False),
    "version": ("2.14.0", "2.14.1", False),
    "number less": (", error 1.2e-08", "", False),
    "width of a padded number": (" 10.000 and", "  9.999 and", True),
    "percent": ("99.87%", "98.87%", False),
    "other bytes of a picture in HTML": ("base64,AAAA", "base64,BBBB", True),
    "other bytes of an svg": ("<svg/>", "<svg></svg>", True),
    "other alternative text": ("a dot", "a line", False),
    "decimal in an alternative text": ("0.25 wide", "0.26 wide", False),
    "tagged, relative, within": ("27.50", "27.80", True),
    "tagged, relative, outside": ("27.50", "28.50", False),
    "tagged, absolute, within": ('"0.375"', '"0.70"', True),
    "tagged, absolute, outside": ('"0.375"', '"0.90"', False),
    "tagged, ignored": ("31.9 GB", "7.2 GB", True),
}


def pytest_nbval(folder: Path) -> dict[tuple[str, str], str]:
    """Run the course's comparison in a process of its own; return what failed, by notebook and cell."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval", ".", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL, timeout=300)
    return {
        (case.get("classname", "").split(".")[0], case.get("name", "")): "".join(
            failure.text or "" for failure in case.iter("failure")
        )
        for case in ElementTree.parse(report).iter("testcase")
    }


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What failed by change: each is made in what is stored of a cell, and all cells are compared in one run."""
    folder = tmp_path_factory.mktemp("nbval")
    shutil.copy(notebooks.ROOT / "notebooks" / "conftest.py", folder)
    toy = notebooks.Lesson(folder, "01_toy")
    toy.source.parent.mkdir()
    toy.source.write_text(TEXT, encoding="utf-8")
    executed = notebooks.read_source(toy)
    notebooks.execute(executed, toy.learner)
    nbformat.write(executed, toy.learner)
    changed_cells = []
    for old, new, _ in CHANGES.values():
        (cell,) = (cell for cell in executed.cells if old in json.dumps(cell.outputs))
        outputs = [nbformat.from_dict(output) for output in json.loads(json.dumps(cell.outputs).replace(old, new))]
        changed_cells.append(
            nbformat.v4.new_code_cell(cell.source, metadata=cell.metadata, execution_count=1, outputs=outputs)
        )
    nbformat.write(nbformat.v4.new_notebook(cells=changed_cells), folder / "changed.ipynb")
    failures = pytest_nbval(folder)
    assert {failures.pop(("01_toy", f"Cell {number}")) for number in range(len(executed.cells))} == {""}
    return {change: failures["changed", f"Cell {number}"] for number, change in enumerate(CHANGES)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_output_is_noticed_and_rounding_is_not(compared, change):
    must_pass = CHANGES[change][2]
    assert (compared[change] == "") == must_pass
    if not must_pass:
        assert "Cell outputs differ" in compared[change]


def test_a_failure_shows_the_numbers_that_differ(compared):
    assert "28.7049" in compared["decimal by one percent"]
    assert "28.4207" in compared["decimal by one percent"]


def test_a_dead_kernel_is_noticed_at_once(tmp_path):
    shutil.copy(notebooks.ROOT / "notebooks" / "conftest.py", tmp_path)
    cell = nbformat.v4.new_code_cell("import os\n\nos._exit(1)", execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "dead.ipynb")
    begun = time.monotonic()
    assert "The kernel died" in pytest_nbval(tmp_path)["dead", "Cell 0"]
    assert time.monotonic() - begun < 60


def test_texts_beside_the_notebooks_are_not_taken_for_tests(toy):
    shutil.copy(notebooks.ROOT / "notebooks" / "conftest.py", toy.folder)
    assert {notebook for notebook, _ in pytest_nbval(toy.folder)} == {"01_toy", "solved"}
