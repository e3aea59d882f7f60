from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from tests.browser.lab import ask_kernel, keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

TRAIN = """
import os
os.environ["SR_COURSE_DATA"] = {cache!r}
from dataclasses import replace
from pathlib import Path
from IPython.display import display
from sr_course.training.loop import train
from sr_course.training.recipes import recipe
from sr_course.widgets import LiveCurve
small = replace(recipe("srcnn", "smoke"), steps=400, validate_every=100, data={pictures!r}, validation={pictures!r})
curve = LiveCurve()
display(curve)
outcome = train(small, Path({run!r}), watch=curve.watch, bar=False)
"""


@pytest.fixture
def cell(tmp_path) -> str:
    (tmp_path / "pictures").mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (160, 168, 3), dtype=np.uint8))
    ImageOps.autocontrast(noise.filter(ImageFilter.GaussianBlur(2))).save(tmp_path / "pictures" / "noise.png")
    folders = {name: str(tmp_path / name) for name in ("cache", "pictures", "run")}
    return TRAIN.format(**folders)


def test_curve_grows_in_the_cell_that_trains(page, lab, cell):
    page.add_init_script("""
        window.shown = new Set();
        setInterval(() => window.shown.add(document.querySelector(".sr-live-curve img")?.src), 20);
    """)
    run_notebook(page, lab, lab.write("live.ipynb", [cell]))
    root = page.locator(".sr-live-curve")
    wait_until(page, lambda: "step 400 of 400, validation" in root.inner_text(), "the training has ended")
    assert page.evaluate("window.shown.size") > 4  # seen while the cell was running
    image = root.locator("img")
    box = image.bounding_box()
    assert box["width"] == pytest.approx(720, abs=1)
    assert box["width"] / box["height"] == pytest.approx(720 / 190, rel=0.02)
    # Okabe and Ito's blue, in both charts
    blue = np.abs(pixels(image) - (0, 114, 178)).max(axis=-1) < 40
    assert blue[:, :360].any()
    assert blue[:, 360:].any()
    keep_screenshot(page, "live-curve")
    said = ask_kernel(page, "print(repr(curve))")
    assert said.removeprefix("LiveCurve(").removesuffix(")") in root.inner_text()
