from __future__ import annotations

import numpy as np
import pytest

from sr_course.widgets import read_choices, wilson_interval
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

# A stripe tells the scene, the colour of the ground the method: red, green, and blue for the truth.
CELL = """
from PIL import Image
from sr_course.widgets import BlindChoice, Pair
def picture(ground, scene):
    image = Image.new("RGB", (96, 72), ground)
    image.paste((250, 250, 250), (10 + 12 * scene, 0, 16 + 12 * scene, 72))
    return image
def pair(scene):
    made = {{"first-method": picture((200, 30, 30), scene), "second-method": picture((30, 160, 60), scene)}}
    return Pair(f"a stripe {{scene}}", made, picture((20, 60, 220), scene))
blind = BlindChoice([pair(scene) for scene in range({count})], file=r{file!r}{more})
"""
GROUNDS = {"first-method": (200, 30, 30), "second-method": (30, 160, 60), "truth": (20, 60, 220)}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "choices.sqlite3"


def show(page, lab, file, count: int = 4, more: str = "", views: int = 1):
    """Run the widget in a notebook, and return its first view once the pictures are on the screen."""
    cell = CELL.format(count=count, file=str(file), more=more)
    run_notebook(page, lab, lab.write("blind.ipynb", [cell, *["blind"] * views]))
    root = page.locator(".sr-blind").first
    root.scroll_into_view_if_needed()
    wait_until(page, lambda: pixels(canvas(root, "right")).std() > 5, "the pictures appear")
    return root


def canvas(root, side: str):
    name = "The truth" if side == "truth" else f"The picture on the {side}"
    return root.get_by_role("img", name=name)


def ground(root, side: str) -> str:
    """Which method's ground is seen on a side."""
    shot = pixels(canvas(root, side))[-3, -3]
    return min(GROUNDS, key=lambda name: np.abs(shot - GROUNDS[name]).sum())


def side_of(root, method: str) -> str:
    return "left" if ground(root, "left") == method else "right"


def wait_for_pair(page, root, number: int, count: int) -> None:
    wait_until(page, lambda: f"Pair {number} of {count}" in root.inner_text(), f"pair {number} is seen")
    page.wait_for_timeout(100)  # it is painted at the next frame


def answers(file) -> list[str]:
    return [one.chosen for one in read_choices(file)]


def test_mouse_chooses_and_names_come_only_at_the_end(page, lab, file):
    root = show(page, lab, file)
    keep_screenshot(page, "blind-choice-light")
    chosen = []
    for number in range(1, 5):
        wait_for_pair(page, root, number, 4)
        assert {ground(root, "left"), ground(root, "right")} == {"first-method", "second-method"}
        assert "method" not in root.evaluate("node => node.outerHTML")
        side = side_of(root, "second-method")
        if number % 2:
            canvas(root, side).click()
        else:
            root.get_by_role("button", name=f"Choose the {side} picture").click()
        chosen.append(side)
    wait_until(page, lambda: "second-method" in root.inner_text(), "the result is told")
    assert answers(file) == chosen
    low, high = wilson_interval(4, 4)
    text = root.inner_text()
    assert f"100 %, 4 of 4 (interval {100 * low:.0f} to {100 * high:.0f} %)" in text
    assert "still contains one half" not in text  # four of four: 0.51 to 1
    bar = root.locator(".sr-blind-bar").first
    box, filled = bar.bounding_box(), bar.locator("i").bounding_box()
    assert filled["width"] == pytest.approx(box["width"], abs=3)
    line = bar.locator("b").bounding_box()
    assert (line["x"] - box["x"]) / box["width"] == pytest.approx(low, abs=0.02)
    keep_screenshot(page, "blind-choice-result")
    assert ask_kernel(page, "print(blind.results[0].method, blind.results[0].wins)") == "second-method 4"


def test_keyboard_chooses_skips_takes_back_and_shows_the_truth(page, lab, file):
    root = show(page, lab, file, count=3)
    root.get_by_role("button", name="Skip").focus()
    first = pixels(canvas(root, "left"))
    assert canvas(root, "truth").count() == 0
    page.keyboard.press("t")
    wait_until(page, lambda: canvas(root, "truth").count() == 1, "the truth is there")
    wait_until(page, lambda: ground(root, "truth") == "truth", "the truth is painted")
    assert ask_kernel(page, "print(blind.show_truth)") == "True"
    keep_screenshot(page, "blind-choice-truth")
    page.keyboard.press("t")
    page.keyboard.press("ArrowLeft")
    wait_for_pair(page, root, 2, 3)
    assert not np.array_equal(pixels(canvas(root, "left")), first)
    page.keyboard.press("s")
    wait_for_pair(page, root, 3, 3)
    page.keyboard.press("u")
    wait_for_pair(page, root, 2, 3)
    page.keyboard.press("ArrowRight")
    wait_for_pair(page, root, 3, 3)
    for key in ("d", "d", "0", "0", "a", "m", "x"):  # delete the cell, restart the kernel, and so on
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: "first-method" in root.inner_text(), "the result is told")
    assert answers(file) == ["left", "right", "right"]
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("Take the last answer back")  # what had the keyboard is gone
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "still contains one half" in root.inner_text()
    page.keyboard.press("Enter")
    wait_for_pair(page, root, 3, 3)
    assert "method" not in root.evaluate("node => node.outerHTML")


def test_two_quick_clicks_are_one_answer(page, lab, file):
    root = show(page, lab, file)
    root.get_by_role("button", name="Choose the left picture").dblclick()
    wait_for_pair(page, root, 2, 4)
    page.wait_for_timeout(300)
    assert answers(file) == ["left"]


def test_touch_chooses(new_page, lab, file):
    page = new_page(700, 900, has_touch=True)
    root = show(page, lab, file, count=2)
    canvas(root, "right").tap()
    wait_for_pair(page, root, 2, 2)
    assert answers(file) == ["right"]


def test_a_file_that_cannot_be_used_is_told_and_the_choice_goes_on(page, lab, file):
    file.write_bytes(b"this is no database" * 100)
    root = show(page, lab, file, count=2)
    assert not root.get_by_role("alert").is_visible()
    root.get_by_role("button", name="Choose the left picture").click()
    wait_for_pair(page, root, 2, 2)
    assert "is damaged" in root.get_by_role("alert").inner_text()
    keep_screenshot(page, "blind-choice-damaged")
    root.get_by_role("button", name="Choose the left picture").click()
    wait_until(page, lambda: "of 2 (interval" in root.inner_text(), "the result is told")


def test_python_moves_every_view(page, lab, file):
    root = show(page, lab, file, views=2)
    second = page.locator(".sr-blind").nth(1)
    ask_kernel(page, "blind.choose('left'); blind.skip()")
    for view in (root, second):
        wait_for_pair(page, view, 3, 4)
    second.get_by_role("button", name="Stop here").click()
    for view in (root, second):
        wait_until(page, lambda view=view: "1 of 1 (interval" in view.inner_text(), "the result is told")


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window(new_page, lab, file, width):
    page = new_page(width, 1000)
    root = show(page, lab, file, count=2, more=", show_truth=True")
    wait_until(page, lambda: ground(root, "truth") == "truth", "the truth is painted")
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for side in ("left", "right", "truth"):
        box = canvas(root, side).bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] / box["height"] == pytest.approx(96 / 72, rel=0.03)
        assert box["width"] > 60
    keep_screenshot(page, f"blind-choice-{width}")
    for _ in range(2):
        root.get_by_role("button", name="Choose the left picture").click()
        page.wait_for_timeout(300)
    wait_until(page, lambda: "first-method" in root.inner_text(), "the result is told")
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    keep_screenshot(page, f"blind-choice-result-{width}")


def test_dark_theme_is_readable(page, lab, file):
    root = show(page, lab, file, count=2)
    root.get_by_text("Keys", exact=True).click()
    with dark_theme(page):
        assert_readable(root, "button", "figure button", ".sr-bar strong", "summary", "li")
        keep_screenshot(page, "blind-choice-dark")
        ask_kernel(page, "blind.choose('left'); blind.choose('right')")
        wait_until(page, lambda: "first-method" in root.inner_text(), "the result is told")
        page.wait_for_timeout(300)  # two answers, two drawings
        assert_readable(root, ".sr-blind-row strong", ".sr-blind-row span", ".sr-blind-results p", ".sr-blind-bar")
        keep_screenshot(page, "blind-choice-dark-result")


def test_removing_the_output_ends_listening(page, lab, file):
    root = show(page, lab, file)
    before = listeners(page)
    assert root.count() == 1
    clear_outputs(page, ".sr-blind", before)
