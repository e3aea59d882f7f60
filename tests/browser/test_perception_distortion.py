from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_course.images import to_pil
from sr_course.widgets import PerceptionDistortion, PlanePoint
from tests.browser.alone import open_alone
from tests.browser.lab import ask_kernel, assert_readable, keep_screenshot, pixels, run_notebook, wait_until
from tests.widgets.blends import QUICK, blended_by_hand, levels, networks, sample

pytestmark = pytest.mark.browser

SIZE = (96, 96)
NAMES = ("soft", "sharp", "third", "grey")


def some_points() -> list[PlanePoint]:
    """Three networks of which two are prepared, and a still picture."""
    first, second, _ = networks()
    crops = [sample(0, SIZE), sample(1, SIZE)]
    flat = [to_pil(one.hr.mean(dim=(2, 3), keepdim=True).expand_as(one.hr)) for one in crops]
    return [
        PlanePoint(name="soft", psnr=26.0, perceptual=0.5, psnr_interval=(25.0, 27.5), network=first, group="small"),
        PlanePoint(
            name="sharp", psnr=24.0, perceptual=0.2, perceptual_interval=(0.15, 0.3), network=second, group="small"
        ),
        PlanePoint(name="third", psnr=25.0, perceptual=0.35, network=first, group="small"),
        PlanePoint(name="grey", psnr=23.0, perceptual=0.45, pictures=flat, group="no network"),
    ]


def crops() -> list:
    return [sample(0, SIZE), sample(1, SIZE)]


@pytest.fixture(scope="module")
def widget() -> PerceptionDistortion:
    return PerceptionDistortion(some_points(), crops(), distance=QUICK, prepare=[("soft", "sharp")])


def cell(widget: PerceptionDistortion, index: int) -> np.ndarray:
    with Image.open(io.BytesIO(widget._sprite)) as image:
        left, top, width, height = widget._cells[index]
        return np.asarray(image)[top : top + height, left : left + width].astype(int)


def drawn(page):
    root = page.locator(".sr-plane").first
    root.wait_for()
    truth = root.get_by_role("img", name="the truth")
    wait_until(page, lambda: pixels(truth).std() > 5, "the pictures appear", 90)
    return root


def point(root, name: str):
    return root.locator(".sr-plane-point").nth(NAMES.index(name))


def label(root, name: str):
    return root.locator(".sr-plane-name", has_text=name)


def slider(root):
    return root.get_by_role("slider", name="Weight of the second network")


def wait_for_picture(page, root, picture: np.ndarray, tolerance: int = 0) -> None:
    """Until the screen shows it, twice enlarged; a screenshot may begin with a line of the page."""
    enlarged = picture.astype(int).repeat(2, axis=0).repeat(2, axis=1)[4:-4, 4:-4]
    height, width = enlarged.shape[:2]
    result = root.locator(".sr-result canvas")

    def seen() -> bool:
        shot = pixels(result)
        parts = (shot[top : top + height, left : left + width] for top in (3, 4, 5) for left in (3, 4, 5))
        return any(part.shape == enlarged.shape and np.abs(part - enlarged).max() <= tolerance for part in parts)

    wait_until(page, seen, "the picture is seen", 60)


def wait_for_point(page, root, widget, name: str, crop: int = 0) -> None:
    told = widget._points[NAMES.index(name)]["crops"][crop]
    wait_until(page, lambda: says(root) == f"{name}: {told['says']}", f"{name} is said", 30)
    wait_for_picture(page, root, cell(widget, told["cell"]))
    assert point(root, name).get_attribute("aria-pressed") == "true"


def says(root) -> str:
    return root.locator(".sr-plane-says").inner_text()


def middle(root, name: str) -> tuple[float, float]:
    box = point(root, name).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def steps(root) -> int:
    """How many measured places the trail has."""
    return root.locator(".sr-plane-steps").get_attribute("d").count("M")


def test_points_and_prepared_blends_by_mouse_and_keyboard_without_a_kernel(new_page, tmp_path, widget):
    page = new_page(1200, 900)
    open_alone(page, tmp_path, widget)
    root = drawn(page)
    wait_for_point(page, root, widget, "soft")
    keep_screenshot(page, "plane-light")
    frame = root.locator(".sr-plane-plot").bounding_box()
    view = widget._views[0]
    for known in widget._points:  # each stands where its numbers say
        x, y = middle(root, known["name"])
        error = 255 / 10 ** (known["means"]["psnr"][0] / 20)
        right = (error - view["rmse"]["low"]) / (view["rmse"]["high"] - view["rmse"]["low"])
        up = (known["means"]["distance"][0] - view["distance"]["low"]) / (
            view["distance"]["high"] - view["distance"]["low"]
        )
        assert (x - frame["x"]) / frame["width"] == pytest.approx(right, abs=0.01)
        assert 1 - (y - frame["y"]) / frame["height"] == pytest.approx(up, abs=0.01)

    point(root, "grey").click()
    wait_for_point(page, root, widget, "grey")
    page.keyboard.press("ArrowLeft")  # to the next point on the left, which Enter shows
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("sharp")
    page.keyboard.press("Enter")
    wait_for_point(page, root, widget, "sharp")
    page.keyboard.press("2")
    wait_for_point(page, root, widget, "sharp", crop=1)
    before = middle(root, "soft")
    page.keyboard.press("m")
    wait_until(page, lambda: middle(root, "soft") != before, "the plane shows what is measured on this picture")
    page.keyboard.press("m")
    page.keyboard.press("d")
    root.locator(".sr-plane-below", has_text="PSNR, dB").wait_for()
    assert middle(root, "soft")[0] < middle(root, "third")[0] < middle(root, "sharp")[0]  # better is left
    page.keyboard.press("d")

    label(root, "soft").click()
    root.get_by_role("button", name="Blend soft with sharp").click()
    made = widget._pairs[0]["crops"][1]
    wait_for_picture(page, root, cell(widget, made["cells"][5]))
    assert steps(root) == 11
    assert root.get_by_text("Computed ahead at 11 positions.").is_visible()
    ring = root.locator(".sr-plane-ring").bounding_box()
    slider(root).focus()
    page.keyboard.press("ArrowRight")
    wait_for_picture(page, root, cell(widget, made["cells"][6]))
    assert says(root) == f"0.40 soft + 0.60 sharp: {made['psnr'][6]:.2f} dB, mean error {made['distance'][6]:.4f}"
    wait_until(page, lambda: root.locator(".sr-plane-ring").bounding_box() != ring, "the ring moves")
    box = slider(root).bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + box["height"] / 2)
    wait_for_picture(page, root, cell(widget, widget._points[0]["crops"][1]["cell"]))
    keep_screenshot(page, "plane-blend")
    page.wait_for_timeout(300)
    assert page.evaluate("[window.state.selected, window.state.alpha, window.state.crop]") == [[0, 1], 0, 1]
    assert page.evaluate("window.sent") == []  # nothing was asked of Python

    label(root, "sharp").click()  # its point lies under another one here
    wait_for_point(page, root, widget, "sharp", crop=1)
    label(root, "soft").click(modifiers=["Shift"])  # the other way round
    page.wait_for_timeout(300)
    slider(root).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    wait_for_picture(page, root, cell(widget, made["cells"][9]))

    label(root, "soft").click()
    label(root, "third").click(modifiers=["Shift"])  # not prepared, and there is no Python
    wait_until(page, lambda: page.evaluate("window.sent.length") == 1, "Python is asked")
    assert page.evaluate("window.sent[0]").items() > {"ends": [0, 2], "crop": 1, "alpha": 0.5}.items()
    root.get_by_text("Python does not answer.").wait_for(timeout=60_000)
    page.evaluate("window.close_widget()")
    assert root.count() == 0


def test_python_blends_while_the_slider_moves(page, lab):
    cell_text = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from sr_course.widgets import PerceptionDistortion
from tests.browser.test_perception_distortion import QUICK, crops, some_points
plane = PerceptionDistortion(some_points(), crops(), distance=QUICK)
plane
"""
    page.set_default_timeout(120_000)  # on a machine that trains beside it
    run_notebook(page, lab, lab.write("plane.ipynb", [cell_text]))
    root = drawn(page)
    point(root, "soft").focus()
    page.keyboard.press("Enter")
    root.get_by_role("button", name="Blend soft with sharp").click()
    first, second, _ = networks()

    def wait_for_blend(alpha: float) -> None:
        by_hand = levels(blended_by_hand(first, second, alpha, crops()[0].lr))
        wait_for_picture(page, root, by_hand, tolerance=1)
        named = f"{1 - alpha:.2f} soft + {alpha:.2f} sharp: "
        wait_until(page, lambda: says(root).startswith(named) and "mean error" in says(root), "it is measured", 30)

    wait_for_blend(0.5)
    slider(root).focus()
    page.keyboard.press("ArrowRight")
    wait_for_blend(0.55)
    wait_until(page, lambda: steps(root) == 4, "the trail has both ends and both blends", 30)
    page.keyboard.press("PageUp")
    wait_for_blend(0.8)
    wait_until(page, lambda: steps(root) >= 5, "the trail grows", 30)
    wait_until(page, lambda: ask_kernel(page, "print(plane.selected, plane.alpha)") == "[0, 1] 0.8", "Python knows", 30)
    ask_kernel(page, "plane.alpha = 0.1")
    wait_for_blend(0.1)
    for key in ("x", "d", "d"):  # JupyterLab would cut the cell
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1
    keep_screenshot(page, "plane-live")


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1200, True), (1920, False)])
def test_every_width_in_light_and_dark(new_page, tmp_path, widget, width, dark):
    page = new_page(width, 1200)
    open_alone(page, tmp_path, widget, dark=dark)
    root = drawn(page)
    root.get_by_role("button", name="Blend soft with sharp").click()
    wait_until(page, lambda: says(root).startswith("0.50 soft + 0.50 sharp"), "a blend is seen", 30)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for inside in [*root.locator("canvas").all(), *root.locator(".sr-plane-name").all(), slider(root)]:
        box = inside.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    texts = (".sr-plane-name", ".sr-plane-says", ".sr-plane-above", ".sr-chart-y", ".sr-readout", ".sr-note:visible")
    assert_readable(root, *texts)
    keep_screenshot(page, f"plane-{width}{'-dark' if dark else ''}")
