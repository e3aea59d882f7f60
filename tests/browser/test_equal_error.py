from __future__ import annotations

import numpy as np
import pytest

from tests.browser.lab import ask_kernel, assert_readable, dark_theme, keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

CELL = """
from sr_course import images
from sr_course.data.shipped import photo
from sr_course.widgets import EqualError
picture = images.centre_crop(images.read(photo("chameleon").path), {side}, {side})
equal = EqualError(picture, distortions=("noise", "blur", "contrast", "brightness"), mses=(0.001, 0.004), mse=0.004)
equal
"""
NAMES = ("noise", "blur", "contrast", "brightness")
PATIENCE = 90  # seconds: the kernel reads torch first


def show(page, lab, side: int = 96):
    run_notebook(page, lab, lab.write("equal.ipynb", [CELL.format(side=side)]))
    root = page.locator(".sr-equal").first
    root.wait_for(timeout=1000 * PATIENCE)
    root.scroll_into_view_if_needed()
    for letter in "ABCD":
        wait_until(page, lambda letter=letter: pixels(canvas(root, letter)).std() > 5, "the pictures appear", PATIENCE)
    return root


def card(root, letter: str):
    return root.locator(f"li[data-letter='{letter}']")


def canvas(root, letter: str):
    return card(root, letter).locator("canvas")


def seen(root) -> str:
    """Letters in the order of the page, from left to right and from above."""
    return "".join(root.locator("li[data-letter]").evaluate_all("nodes => nodes.map(node => node.dataset.letter)"))


def answer(page) -> str:
    return ask_kernel(page, "print(''.join(equal.order))")


def test_mouse_sorts_and_names_come_only_when_they_are_asked_for(page, lab):
    root = show(page, lab)
    assert seen(root) == "ABCD"
    before = {letter: pixels(canvas(root, letter)) for letter in "ABCD"}
    page_text = root.evaluate("node => node.outerHTML")
    assert not [name for name in NAMES if name in page_text]
    assert "SSIM" not in page_text
    start, end = (card(root, letter).locator("canvas").bounding_box() for letter in "DB")
    page.mouse.move(start["x"] + 20, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(end["x"] + 30, end["y"] + 30, steps=8)
    page.mouse.up()
    wait_until(page, lambda: seen(root) == "ADBC", "D stands before B")
    wait_until(page, lambda: answer(page) == "ADBC", "Python knows")
    card(root, "A").get_by_role("button", name="Move A farther").click()
    wait_until(page, lambda: seen(root) == "DABC", "A is farther by one")
    for letter in "ABCD":  # the pictures went with their letters
        assert np.abs(pixels(canvas(root, letter)) - before[letter]).mean() < 1, letter
    wait_until(page, lambda: answer(page) == "DABC", "Python knows")
    root.get_by_role("button", name="Reveal").click()
    wait_until(page, lambda: "random network" in root.inner_text(), "the sortings are told", PATIENCE)
    names = ask_kernel(page, "print(*equal.names)").split()
    assert sorted(names) == sorted(NAMES)
    for letter, name in zip("DABC", names, strict=True):
        assert name in card(root, letter).inner_text()
    taus = ask_kernel(page, "print(*[f'{one.tau + 0.0:.2f}' for one in equal.sortings if one.tau is not None])").split()
    assert root.locator(".sr-equal-tau td").all_inner_texts()[2:] == taus
    assert "none: all are equal" in root.inner_text()
    assert card(root, "A").get_by_role("button").first.is_disabled()
    keep_screenshot(page, "equal-error-revealed")


def test_keyboard_sorts_flips_to_the_reference_and_chooses_the_error(page, lab):
    root = show(page, lab)
    card(root, "A").focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, lambda: seen(root) == "BACD", "A is farther by one")
    page.keyboard.press("End")
    wait_until(page, lambda: seen(root) == "BCDA", "A is the farthest")
    page.keyboard.press("ArrowLeft")
    wait_until(page, lambda: answer(page) == "BCAD", "Python knows")
    assert page.evaluate("document.activeElement.dataset.letter") == "A"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    own = pixels(canvas(root, "A"))
    page.keyboard.press("r")
    truth = root.get_by_role("img", name="The reference, in its place")
    wait_until(page, lambda: truth.count() == 1, "the reference stands in its place")
    wait_until(page, lambda: np.abs(pixels(canvas(root, "A")) - own).mean() > 3, "another picture is seen")
    page.keyboard.press("r")
    wait_until(page, lambda: np.abs(pixels(canvas(root, "A")) - own).mean() < 1, "its own is back")
    for key in ("x", "d", "d", "a"):  # keys of the notebook that would take the cell away
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1
    root.get_by_role("slider").focus()
    page.keyboard.press("Home")
    wait_until(page, lambda: ask_kernel(page, "print(equal.mse)") == "0.001", "the error is smaller", PATIENCE)
    wait_until(page, lambda: seen(root) == "ABCD", "another question begins")
    root.get_by_role("slider").focus()
    page.keyboard.press("End")
    wait_until(page, lambda: seen(root) == "BCAD", "the answer to the first was kept")


@pytest.mark.parametrize("width", [320, 1920])
def test_both_widths_and_both_themes(new_page, lab, width):
    page = new_page(width, 1000)
    root = show(page, lab, side=192)
    ask_kernel(page, "equal.reveal()")
    wait_until(page, lambda: "random network" in root.inner_text(), "the sortings are told", PATIENCE)
    keep_screenshot(page, f"equal-error-light-{width}")
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for letter in "ABCD":
        box = canvas(root, letter).bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 60
    with dark_theme(page):
        assert_readable(
            root,
            "button:enabled, .sr-bar span",
            "li[data-letter] strong",
            ".sr-equal-scroll th >> nth=1",
            ".sr-equal-scroll td",
        )
        keep_screenshot(page, f"equal-error-dark-{width}")
