from __future__ import annotations

import numpy as np
import pytest

from tests.browser.lab import (
    ask_kernel,
    assert_readable,
    clear_outputs,
    dark_theme,
    keep_screenshot,
    listeners,
    pixels,
    run_notebook,
    wait_until,
)

pytestmark = pytest.mark.browser

CELL = """
import sr_course.widgets.loss_lab as loss_lab
from sr_course import images
from sr_course.data.shipped import photo
loss_lab.STEPS = {steps}
picture = images.centre_crop(images.read(photo("hedgehog").path), 128, 128)
lab = loss_lab.LossLab(picture, side=48, photographs=picture, scene="a hedgehog")
lab
"""
PATIENCE = 90  # seconds: the kernel reads torch and VGG first


def show(page, lab, steps: int = 12):
    run_notebook(page, lab, lab.write("lab.ipynb", [CELL.format(steps=steps)]))
    root = page.locator(".sr-lab").first
    root.wait_for(timeout=1000 * PATIENCE)
    root.scroll_into_view_if_needed()
    wait_until(page, lambda: pixels(canvas(root, "With")).std() > 5, "the pictures appear", PATIENCE)
    settle(page, root)
    return root


def settle(page, root) -> None:
    wait_until(page, lambda: "VGG is looking" not in root.inner_text(), "VGG has answered", PATIENCE)
    wait_until(page, lambda: root.locator(".sr-lab-old").count() == 0, "the map is there", PATIENCE)


def canvas(root, name: str):
    return root.get_by_role("img", name=name)


def bar(root, index: int) -> dict:
    return root.locator(".sr-lab-bar").nth(index).locator("i").bounding_box()


def test_mouse_spoils_moves_mixes_and_descends(page, lab):
    root = show(page, lab)
    keep_screenshot(page, "loss-lab-light")
    before, mapped = pixels(canvas(root, "With")), pixels(canvas(root, "Gradient"))
    reference = pixels(canvas(root, "The reference"))
    root.get_by_role("button", name="Distortion: noise").click()
    wait_until(page, lambda: np.abs(pixels(canvas(root, "With")) - before).mean() > 3, "it is spoiled otherwise")
    settle(page, root)
    assert np.abs(pixels(canvas(root, "Gradient")) - mapped).mean() > 3
    box = root.get_by_role("slider", name="Strength").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 3, box["y"] + box["height"] / 2, steps=15)  # many questions, of which the last counts
    page.mouse.up()
    wait_until(page, lambda: float(ask_kernel(page, "print(lab.strength)")) < 0.05, "Python has the last of them", 30)
    settle(page, root)
    weak = np.abs(pixels(canvas(root, "With")) - reference)[5:-5, 5:-5].mean()
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    wait_until(page, lambda: float(ask_kernel(page, "print(lab.strength)")) > 0.8, "the noise is strong", 30)
    settle(page, root)
    assert np.abs(pixels(canvas(root, "With")) - reference)[5:-5, 5:-5].mean() > 3 * weak
    middle = root.locator(".sr-lab-bar").first.bounding_box()
    assert bar(root, 0)["x"] == pytest.approx(middle["x"] + middle["width"] / 2, abs=2)  # worse, to the right
    ratio = float(ask_kernel(page, "print(lab.readings[0].ratio)"))
    assert bar(root, 0)["width"] / middle["width"] == pytest.approx(min(np.log10(ratio) / 2, 1) / 2, abs=0.02)

    framed = root.locator(".sr-lab-framed").first.bounding_box()
    page.mouse.move(framed["x"] + framed["width"] / 2, framed["y"] + framed["height"] / 2)
    page.mouse.down()
    page.mouse.move(framed["x"] + 5, framed["y"] + 5, steps=4)
    page.mouse.up()
    wait_until(page, lambda: ask_kernel(page, "print(lab.frame)") == "[0, 0]", "the frame stands in the corner", 30)
    frame = root.locator(".sr-lab-frame").first.bounding_box()
    assert frame["x"] == pytest.approx(framed["x"], abs=1)
    assert frame["width"] / framed["width"] == pytest.approx(48 / 128, abs=0.01)

    svg = root.locator(".sr-lab-triangle")
    corners = svg.locator(".sr-lab-sides").bounding_box()
    page.mouse.click(corners["x"] + corners["width"] / 2, corners["y"] + 0.5 * corners["height"])
    wait_until(page, lambda: ask_kernel(page, "print(lab.weights)") != "[1.0, 0.0, 0.0]", "the weights are mixed", 30)
    weights = [float(one) for one in ask_kernel(page, "print(*lab.weights)").split()]
    assert weights == pytest.approx([0.25, 0.25, 0.5], abs=0.03)
    root.get_by_role("button", name="Descend", exact=False).click()
    wait_until(page, lambda: "step 0:" in root.locator(".sr-readout").inner_text(), "it plays back", PATIENCE)
    first = pixels(canvas(root, "After 0 steps"))
    start = pixels(canvas(root, "The start"))
    assert np.abs(first - start).mean() < 1
    playback = root.get_by_role("slider", name="Snapshot")
    box = playback.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    wait_until(page, lambda: canvas(root, "After 12 steps").count() == 1, "the end is seen")
    page.wait_for_timeout(200)
    assert np.abs(pixels(canvas(root, "After 12 steps")) - start).mean() > 2
    keep_screenshot(page, "loss-lab-descended")


def test_keyboard_does_everything(page, lab):
    root = show(page, lab, steps=100_000)
    root.get_by_role("slider", name="Strength").focus()
    page.keyboard.press("End")
    wait_until(page, lambda: ask_kernel(page, "print(lab.strength)") == "1.0", "it is spoiled wholly", 30)
    root.get_by_role("button", name="Distortion: contrast").focus()
    page.keyboard.press("Enter")
    wait_until(page, lambda: ask_kernel(page, "print(lab.distortion)") == "contrast", "only grey is left", 30)
    settle(page, root)
    assert pixels(canvas(root, "With contrast"))[20:40, -40:-20].std(axis=(0, 1)).max() < 2
    root.locator(".sr-lab-framed").first.focus()
    for key in ("ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    wait_until(page, lambda: ask_kernel(page, "print(lab.frame)") == "[32, 32]", "the frame has moved", 30)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    svg = root.locator(".sr-lab-triangle")
    svg.focus()
    page.keyboard.press("f")
    wait_until(page, lambda: ask_kernel(page, "print(lab.weights)") == "[0.0, 1.0, 0.0]", "all is feature", 30)
    assert "feature 100 %" in svg.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowLeft")
    wait_until(page, lambda: ask_kernel(page, "print(lab.weights)") == "[0.05, 0.95, 0.0]", "a little pixel", 30)
    page.keyboard.press("p")
    wait_until(page, lambda: ask_kernel(page, "print(lab.weights)") == "[1.0, 0.0, 0.0]", "all is pixel", 30)
    root.get_by_label("Loss whose gradient is mapped").select_option("mixture")
    wait_until(page, lambda: ask_kernel(page, "print(lab.loss)") == "mixture", "the mixture is mapped", 30)
    svg.focus()
    page.keyboard.press("d")
    wait_until(page, lambda: "of 100000" in root.inner_text(), "it descends", 30)
    page.keyboard.press("d")
    wait_until(page, lambda: root.get_by_role("button", name="Descend (D)").count() == 1, "it has stopped", PATIENCE)
    assert ask_kernel(page, "print(lab.descent.stopped)") == "True"
    for key in ("x", "d", "d", "d", "d"):  # the notebook would cut the cell away
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1


@pytest.mark.parametrize("width", [320, 1920])
def test_both_widths_and_both_themes(new_page, lab, width):
    page = new_page(width, 1300)
    root = show(page, lab, steps=4)
    ask_kernel(page, "_ = lab.descend()")
    wait_until(page, lambda: root.get_by_role("slider", name="Snapshot").is_visible(), "it plays back", PATIENCE)
    page.wait_for_timeout(300)
    keep_screenshot(page, f"loss-lab-light-{width}")
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for name in ("The reference", "With", "Gradient", "The start", "The truth"):
        box = canvas(root, name).bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 60
    with dark_theme(page):
        texts = ("button", ".sr-lab-error", ".sr-lab-row >> nth=1", "select", ".sr-lab-descent p", ".sr-lab-mixture")
        assert_readable(root, *texts)
        keep_screenshot(page, f"loss-lab-dark-{width}")


def test_removing_the_output_ends_listening(page, lab):
    root = show(page, lab)
    before = listeners(page)
    assert root.count() == 1
    clear_outputs(page, ".sr-lab", before)
