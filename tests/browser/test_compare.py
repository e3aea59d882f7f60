from __future__ import annotations

import numpy as np
import pytest

from tests.browser.lab import (
    ask_kernel,
    clear_outputs,
    contrast,
    dark_theme,
    keep_screenshot,
    listeners,
    pixels,
    run_notebook,
    wait_until,
)

pytestmark = pytest.mark.browser

RED, GREEN, BLUE, YELLOW = (200, 30, 30), (30, 160, 60), (30, 60, 200), (230, 200, 40)

# Three plain pictures, and one of four bars: red, green, blue, yellow.
PICTURES = f"""
import torch
from PIL import Image
from sr_course.widgets import CompareSlider
plain = {{name: Image.new("RGB", (480, 320), colour)
         for name, colour in dict(red={RED}, green={GREEN}, blue={BLUE}).items()}}
bars = Image.new("RGB", (480, 320))
for index, colour in enumerate([{RED}, {GREEN}, {BLUE}, {YELLOW}]):
    bars.paste(colour, (120 * index, 0, 120 * index + 120, 320))
"""


def show(page, lab, *cells: str, name: str = "compare.ipynb"):
    """Run the cells in a notebook, and return the stage of the first slider once its pictures are on the screen."""
    run_notebook(page, lab, lab.write(name, [PICTURES, *cells]))
    stage = page.locator(".sr-compare-stage").first
    stage.scroll_into_view_if_needed()
    wait_until(page, lambda: pixels(stage).std() > 10, "the pictures appear")
    return stage


def colour(stage, x: float, y: float = 0.8) -> tuple[int, int, int]:
    shot = pixels(stage)
    red, green, blue = shot[int(y * shot.shape[0]), int(x * shot.shape[1])]
    return int(red), int(green), int(blue)


def wait_for_colour(page, stage, x: float, expected: tuple[int, int, int], y: float = 0.8) -> None:
    wait_until(page, lambda: colour(stage, x, y) == expected, f"the picture at {x} is {expected}")


def place(stage, x: float, y: float = 0.8) -> tuple[float, float]:
    box = stage.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page, stage, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*place(stage, *start))
    page.mouse.down()
    page.mouse.move(*place(stage, *end), steps=8)
    page.mouse.up()


def wait_for_python(page, expression: str, expected: str) -> None:
    wait_until(page, lambda: ask_kernel(page, f"print({expression})") == expected, f"{expression} is {expected}")


def test_mouse_moves_the_divider_and_python_hears_of_it(page, lab):
    stage = show(page, lab, "slider = CompareSlider(dict(before=plain['red'], after=plain['blue']))\nslider")
    keep_screenshot(page, "compare-light")
    assert colour(stage, 0.4) == RED
    assert colour(stage, 0.6) == BLUE
    assert page.locator(".sr-compare-label").all_inner_texts() == ["before", "after"]

    drag(page, stage, (0.5, 0.8), (0.25, 0.7))
    wait_for_colour(page, stage, 0.4, BLUE)
    assert colour(stage, 0.2) == RED
    wait_for_python(page, "slider", "CompareSlider(before | after, 480x320, position 25)")

    page.mouse.click(*place(stage, 0.75))  # the whole picture is seen, so a click takes the divider there
    wait_for_colour(page, stage, 0.7, RED)
    assert colour(stage, 0.8) == BLUE


def test_keyboard_does_everything_and_jupyterlab_does_not_listen_in(page, lab):
    stage = show(page, lab, "slider = CompareSlider(plain, left='red', right='blue')\nslider")
    divider = page.get_by_role("slider", name="Divider between red and blue")
    divider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowUp")
    wait_until(page, lambda: divider.get_attribute("aria-valuenow") == "36", "the divider is at 36")
    assert divider.get_attribute("aria-valuetext") == "36 percent red, the rest blue"
    wait_for_colour(page, stage, 0.40, BLUE)
    assert colour(stage, 0.32) == RED
    page.keyboard.press("End")
    wait_for_colour(page, stage, 0.98, RED)
    page.keyboard.press("Home")
    wait_for_colour(page, stage, 0.02, BLUE)

    page.keyboard.press("End")
    page.keyboard.press("2")
    wait_for_colour(page, stage, 0.5, GREEN)
    page.keyboard.press("x")  # in JupyterLab: cut the cell
    wait_for_colour(page, stage, 0.5, BLUE)
    page.keyboard.press("Shift+Digit1")
    page.keyboard.press("Home")
    wait_for_colour(page, stage, 0.5, RED)
    wait_for_python(page, "slider.left, slider.right, slider.position", "blue red 0.0")

    for key in ("d", "d", "0", "0", "a", "m"):  # delete the cell, restart the kernel, insert a cell, make it prose
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0

    page.get_by_role("button", name="Zoom in (+)").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    wait_until(page, lambda: page.locator(".sr-compare-readout").inner_text() == "4×", "the zoom is 4")
    page.keyboard.press("Tab")
    focused = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert focused == "solid"
    keep_screenshot(page, "compare-keyboard")


def test_zoom_and_pan_show_the_right_part(page, lab):
    stage = show(page, lab, "slider = CompareSlider(dict(a=bars, b=bars), position=0)\nslider")
    assert [colour(stage, x) for x in (0.1, 0.3, 0.6, 0.9)] == [RED, GREEN, BLUE, YELLOW]

    page.get_by_role("slider").focus()
    page.keyboard.press("+")  # 2x about the middle: green and blue remain
    wait_for_colour(page, stage, 0.1, GREEN)
    assert colour(stage, 0.9) == BLUE
    drag(page, stage, (0.3, 0.8), (0.8, 0.8))  # half a view to the right: red and green
    wait_for_colour(page, stage, 0.1, RED)
    assert colour(stage, 0.9) == GREEN
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    wait_for_colour(page, stage, 0.1, GREEN)
    wait_for_python(page, "slider", "CompareSlider(a | b, 480x320, position 0, zoom 2 at 0.50 0.50)")
    page.keyboard.press("0")
    wait_for_colour(page, stage, 0.9, YELLOW)

    page.mouse.move(*place(stage, 0.9))
    page.mouse.wheel(0, -400)  # towards what lies under the mouse
    wait_for_colour(page, stage, 0.5, YELLOW)
    assert colour(stage, 0.9) == YELLOW
    page.mouse.wheel(0, 10_000)
    wait_for_colour(page, stage, 0.1, RED)
    for _ in range(9):
        page.keyboard.press("+")
    wait_for_python(page, "slider.zoom", "32.0")
    wait_for_colour(page, stage, 0.45, GREEN)
    assert colour(stage, 0.55) == BLUE


def test_wheel_scrolls_past_a_slider_that_was_not_touched(page, lab):
    stage = show(page, lab, "slider = CompareSlider(dict(a=bars, b=bars), position=0)\nslider")
    page.mouse.move(*place(stage, 0.9))
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(300)
    assert colour(stage, 0.1) == RED


@pytest.mark.parametrize("ratio", [1, 2])
def test_pixels_of_the_small_picture_stay_square_and_pure(new_page, lab, ratio):
    page = new_page(device_scale_factor=ratio)
    board = "board = (torch.arange(8)[:, None] + torch.arange(12)).remainder(2).float().expand(1, 3, 8, 12)"
    stage = show(page, lab, f"{board}\nCompareSlider(dict(lr=board, hr=plain['red']), position=100)")
    shot = pixels(stage)
    assert shot.shape[1] == 480 * ratio
    lower = shot[80 * ratio : 310 * ratio, : -32 * ratio]  # without the label, and the divider at the right edge
    assert set(np.unique(lower)) == {0, 255}
    assert lower[20 * ratio, :: 40 * ratio, 0].tolist() == [0, 255] * 6  # row 2 of the board begins black


def test_pictures_side_by_side_move_together(page, lab):
    stage = show(page, lab, "slider = CompareSlider({**plain, 'bars': bars})\nslider")
    page.get_by_role("button", name="Side by side (S)").click()
    layers = page.locator(".sr-compare-layer:visible")
    wait_until(page, lambda: layers.count() == 4, "all four pictures are seen")
    wait_until(page, lambda: colour(layers.nth(1), 0.5) == GREEN, "the second picture is green")
    keep_screenshot(page, "compare-side-by-side")
    bars = layers.nth(3)
    bars.hover()
    page.mouse.wheel(0, -200)  # the buttons have the focus, so the wheel zooms
    wait_until(page, lambda: colour(bars, 0.1) == GREEN, "the bars are enlarged")
    drag(page, layers.nth(0), (0.3, 0.5), (0.8, 0.5))
    wait_until(page, lambda: colour(bars, 0.1) == RED, "dragging the first picture moves the fourth")
    page.keyboard.press("s")
    wait_for_python(page, "slider.side_by_side", "False")
    wait_until(page, lambda: colour(stage, 0.1) == RED, "the divider is back")
    for abreast in ("True", "False"):  # the keyboard stays with the slider when the divider goes and comes
        page.keyboard.press("s")
        wait_for_python(page, "slider.side_by_side", abreast)


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window(new_page, lab, width):
    page = new_page(width, 900)
    stage = show(page, lab, "CompareSlider({**plain, 'bicubic, a = -0.5': bars}, left='red', right='blue')")
    root = page.locator(".sr-compare")
    root.scroll_into_view_if_needed()
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    shot = stage.bounding_box()
    assert shot["width"] <= 480
    assert shot["x"] + shot["width"] <= width
    assert shot["width"] / shot["height"] == pytest.approx(1.5, abs=0.02)
    drag(page, stage, (0.5, 0.8), (0.2, 0.8))
    wait_for_colour(page, stage, 0.35, BLUE)
    keep_screenshot(page, f"compare-{width}")


def test_dark_theme_is_readable(page, lab):
    show(page, lab, "CompareSlider(plain)")
    page.get_by_text("Keys", exact=True).click()
    with dark_theme(page):
        for text in (".sr-compare button >> nth=0", ".sr-compare summary", ".sr-compare li >> nth=0"):
            assert contrast(pixels(page.locator(text))) > 4.5, text
        keep_screenshot(page, "compare-dark")


def test_fingers_move_the_divider_and_pinch(new_page, lab):
    page = new_page(has_touch=True)
    stage = show(page, lab, "slider = CompareSlider(dict(a=bars, b=plain['red']), position=80)\nslider")
    fingers = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [place(stage, *point) for point in points]
        touches = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    touch("touchStart", (0.8, 0.5))
    touch("touchMove", (0.9, 0.5))
    touch("touchMove", (0.99, 0.5))
    touch("touchEnd")
    wait_for_colour(page, stage, 0.9, YELLOW)
    touch("touchStart", (0.4, 0.5), (0.6, 0.5))
    touch("touchMove", (0.3, 0.5), (0.7, 0.5))
    touch("touchMove", (0.2, 0.5), (0.8, 0.5))
    touch("touchEnd")
    wait_for_colour(page, stage, 0.1, GREEN)  # three times larger: 0.33 to 0.67 of the bars is seen
    wait_until(page, lambda: 2.5 < float(ask_kernel(page, "print(slider.zoom)")) < 3.5, "the zoom is about 3")


def test_python_moves_every_view_and_views_follow_each_other(page, lab):
    stage = show(page, lab, "slider = CompareSlider(plain, left='red', right='blue')\nslider", "slider")
    second = page.locator(".sr-compare-stage").nth(1)
    ask_kernel(page, "slider.position = 80; slider.left = 'green'")
    wait_for_colour(page, stage, 0.7, GREEN)
    wait_for_colour(page, second, 0.7, GREEN)
    page.mouse.click(*place(second, 0.3))
    wait_for_colour(page, second, 0.4, BLUE)
    wait_for_colour(page, stage, 0.4, BLUE)


def test_removing_the_output_removes_the_listeners(page, lab):
    show(page, lab, "slider = CompareSlider(plain)\nslider")
    before = listeners(page)
    clear_outputs(page, ".sr-compare", before)


def test_large_pictures(page, lab):
    cell = """large = Image.linear_gradient("L").resize((4000, 3000)).convert("RGB")
slider = CompareSlider(dict(a=large, b=Image.new("RGB", (4000, 3000), (30, 60, 200))))
slider"""
    stage = show(page, lab, cell)
    box = stage.bounding_box()
    assert box["height"] <= 0.7 * 1000 + 1  # so that the buttons are on the screen too
    drag(page, stage, (0.5, 0.8), (0.2, 0.8))
    wait_for_colour(page, stage, 0.4, BLUE)
    wait_for_python(page, "slider", "CompareSlider(a | b, 4000x3000, position 20)")
    keep_screenshot(page, "compare-4000")
