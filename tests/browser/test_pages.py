"""The lessons as HTML pages: opened as files, with the network cut, what needs no Python moves."""

from __future__ import annotations

import numpy as np
import pytest

from tests.browser.lab import keep_screenshot, pixels, wait_until
from tools import notebooks

pytestmark = pytest.mark.browser

LESSON = """\
# %% [markdown]
# # Widgets without Python

# %%
import torch

from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.images import centre_crop, read
from sr_course.training.history import Sample, read_history, shipped_run
from sr_course.widgets import *
from sr_course.zoo import load

hr = centre_crop(read(photo("gibbon").path), 96, 96)
lr = bicubic_lr(hr, 4)

# %%
CompareSlider({"truth": hr, "</script><b onclick='x'>": 1 - hr})

# %%
TrainingScrubber(shipped_run("srcnn_x4"))

# %%
InterpolationSlider(load("srresnet-s"), load("srgan-s"), Sample(lr=lr, hr=hr))

# %%
runs = {name: read_history(shipped_run(name)) for name in ("srgan-s_x4", "srgan-s-missing-detach_x4")}
GanDashboard({name: Case(run, name, "so it is", "look") for name, run in runs.items()})

# %%
tried = zip(runs.values(), [(), ("detach",)])
AblationMatrix([Ablation(history=run, off=off) for run, off in tried], revealed=True)

# %%
GanStepper()
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    for name in ("source", "solved"):
        (folder / name).mkdir()
    (folder / "source" / "01_widgets.py").write_text(LESSON, encoding="utf-8")
    assert notebooks.main(["course", "--folder", str(folder), "--out", str(folder / "pages")]) == 0
    return folder / "pages" / "01_widgets.html"


@pytest.fixture
def offline(new_page, html):
    page = new_page(1200, 1000)
    page.context.set_offline(True)
    page.goto(html.as_uri())
    page.locator(".sr-abl").wait_for()  # the last that comes to life
    return page


def changes(page, picture, move) -> None:
    before = pixels(picture)
    move()
    wait_until(page, lambda: np.abs(pixels(picture) - before).max() > 10, "the picture changes")


def test_pictures_are_compared(offline):
    stage = offline.locator(".sr-compare canvas").first
    box = stage.bounding_box()

    def drag():
        offline.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        offline.mouse.down()
        offline.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=3)
        offline.mouse.up()

    changes(offline, stage, drag)
    changes(offline, stage, lambda: offline.keyboard.press("End"))
    assert offline.get_by_role("img", name="</script><b onclick='x'>").is_visible()


@pytest.mark.parametrize("widget", ["scrub", "blend", "gan", "abl"])
def test_snapshots_are_walked_through(offline, widget):
    root = offline.locator(f".sr-{widget}")
    slider = root.get_by_role("slider").first
    picture = root.locator("canvas").nth(1)
    slider.focus()
    changes(offline, picture, lambda: offline.keyboard.press("Home"))
    box = slider.bounding_box()
    changes(offline, picture, lambda: offline.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2))
    keep_screenshot(offline, f"page-{widget}")


def test_a_widget_that_needs_python_is_a_still_picture(offline):
    assert offline.locator(".sr-view, .sr-compare").count() == 5
    stepper = offline.get_by_role("img", name="A GAN of one dimension")
    assert stepper.evaluate("node => node.tagName") == "IMG"
    stills = offline.locator("img")
    assert [one.is_visible() for one in stills.all()] == [False] * 5 + [True]
