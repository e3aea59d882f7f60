"""A throw-away course of one small lesson, built once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import notebooks

LESSON = """\
# %% [markdown]
# # A throw-away lesson
#
# Back to [the start](01_toy.ipynb), or on to <a href="https://example.org/reading">reading</a>.

# %%
width, height = 640, 480
psnr = 28.4207
print(f"{width} x {height} pixels, {psnr:.4f} dB")

# %%
from base64 import b64decode

from IPython.display import HTML, Image, display

RED_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/q842iQAAAABJRU5ErkJggg=="
display(HTML(f'<img alt="a red dot in HTML" src="data:image/png;base64,{RED_DOT}">'))
Image(data=b64decode(RED_DOT), alt="a red dot <as bytes>")

# %% [markdown]
# ## Exercise 1.1

# %%
def check_mean(mean):
    result = mean(torch_free_row)
    print("Exercise 1.1: not solved yet." if result in (None, ...) else f"Exercise 1.1: right, {result:.2f}.")


torch_free_row = [0.0, 1.0, 0.0, 1.0]


# %%
def mean_by_hand(row):
    # solution begins; until then: return ...
    total_of_the_row = sum(value for value in row)
    return total_of_the_row / len(row)
    # solution ends


check_mean(mean_by_hand)

# %% [markdown] tags=["solution"]
# The mean of the stripe is one half, whatever its phase.
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the throw-away course; tests that change something take `toy`."""
    folder = tmp_path_factory.mktemp("built") / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "01_toy.py").write_text(LESSON, encoding="utf-8")
    assert notebooks.main(["build", "--folder", str(folder)]) == 0
    return folder


@pytest.fixture
def toy(built: Path, tmp_path: Path) -> notebooks.Lesson:
    """A copy of the throw-away lesson, for the test alone."""
    return notebooks.Lesson(shutil.copytree(built, tmp_path / "notebooks"), "01_toy")
