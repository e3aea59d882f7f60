from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_course.widgets import InterpolationSlider
from tests.browser.alone import open_alone
from tests.browser.lab import ask_kernel, assert_readable, keep_screenshot, pixels, run_notebook, wait_until
from tests.widgets.blends import QUICK, networks, sample

pytestmark = pytest.mark.browser

SIZE = (144, 144)


@pytest.fixture(scope="module")
def widget() -> InterpolationSlider:
    first, second, _ = networks()
    return InterpolationSlider(first, second, sample(0, SIZE), distance=QUICK, names=("soft", "sharp"))


def cell(widget: InterpolationSlider, index: int) -> np.ndarray:
    with Image.open(io.BytesIO(widget._sprite)) as image:
        left, top, width, height = widget._cells[index]
        return np.asarray(image)[top : top + height, left : left + width].astype(int)


def drawn(page):
    root = page.locator(".sr-blend").first
    root.wait_for()
    wait_until(page, lambda: pixels(root.get_by_role("img", name="The truth")).std() > 5, "the pictures appear", 30)
    return root


def slider(root):
    return root.get_by_role("slider", name="Share of sharp")


def shows(root, name: str, picture: np.ndarray) -> bool:
    """Whether the screen shows a picture, twice enlarged; a screenshot may begin with a line of the page."""
    shot = pixels(root.get_by_role("img", name=name))
    enlarged = picture.repeat(2, axis=0).repeat(2, axis=1)[4:-4, 4:-4]
    height, width = enlarged.shape[:2]
    return any(np.array_equal(shot[top : top + height, 4 : 4 + width], enlarged) for top in (4, 5))


def wait_for_position(page, root, widget, index: int) -> None:
    weights, pictures = widget._ways
    for way, name in ((weights, "weights blended,"), (pictures, "pictures blended,")):
        wait_until(page, lambda w=way, n=name: shows(root, n, cell(widget, w["cells"][index])), f"{name} {index}", 30)
    says = [text.strip() for text in root.locator(".sr-blend-says").all_inner_texts()]
    assert says == [weights["says"][index], pictures["says"][index]]


def test_it_moves_by_mouse_and_keyboard_without_a_kernel(new_page, tmp_path, widget):
    page = new_page(1200, 900)
    open_alone(page, tmp_path, widget)
    root = drawn(page)
    wait_for_position(page, root, widget, 5)
    truth = pixels(root.get_by_role("img", name="The truth"))
    box = slider(root).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    wait_for_position(page, root, widget, 0)
    page.keyboard.press("ArrowRight")
    wait_for_position(page, root, widget, 1)
    page.keyboard.press("End")
    wait_for_position(page, root, widget, 10)
    plot = root.locator(".sr-chart-plot").nth(1)
    box = plot.bounding_box()
    page.mouse.click(box["x"] + 0.33 * box["width"], box["y"] + 40)
    wait_for_position(page, root, widget, 3)
    for mark in root.locator(".sr-chart-mark").all():
        assert mark.get_attribute("d").startswith("M300.0 ")
    page.wait_for_timeout(300)
    assert page.evaluate("window.state.index") == 3
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    wait_until(page, lambda: "0.20 of sharp" in slider(root).get_attribute("aria-valuetext"), "it plays", 30)
    page.keyboard.press("Space")
    assert np.array_equal(pixels(root.get_by_role("img", name="The truth")), truth)
    keep_screenshot(page, "interpolation-light")
    page.evaluate("window.close_widget()")
    assert root.count() == 0


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1200, True), (1920, False)])
def test_every_width_in_light_and_dark(new_page, tmp_path, widget, width, dark):
    page = new_page(width, 1100)
    open_alone(page, tmp_path, widget, dark=dark)
    root = drawn(page)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for picture in [*root.locator("canvas").all(), *root.locator(".sr-chart-plot svg").all()]:
        box = picture.bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 80
    assert_readable(
        root,
        ".sr-blend-says",
        ".sr-bar strong",
        "figcaption strong",
        ".sr-readout",
        ".sr-note",
        ".sr-chart-y",
    )
    keep_screenshot(page, f"interpolation-{width}{'-dark' if dark else ''}")


def test_python_and_the_browser_follow_each_other_in_jupyterlab(page, lab):
    cell_text = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from sr_course.widgets import InterpolationSlider
from tests.widgets.blends import QUICK, networks, sample
first, second, _ = networks()
slider = InterpolationSlider(first, second, sample(0, {SIZE}), distance=QUICK, names=("soft", "sharp"))
slider
"""
    page.set_default_timeout(120_000)  # on a machine that trains beside it
    run_notebook(page, lab, lab.write("interpolation.ipynb", [cell_text]))
    root = drawn(page)
    slider(root).focus()
    page.keyboard.press("ArrowLeft")
    wait_until(page, lambda: ask_kernel(page, "print(slider.alpha)") == "0.4", "Python knows", 30)
    ask_kernel(page, "slider.alpha = 0.9")
    wait_until(page, lambda: "0.90 of sharp" in slider(root).get_attribute("aria-valuetext"), "the slider follows", 30)
    for key in ("d", "d", "m"):  # JupyterLab would delete the cell
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1
