from __future__ import annotations

import time

import numpy as np
import pytest

from sr_course.widgets.resample_bench import Setting, measure, zone_plate
from tests.browser.lab import ask_kernel, assert_readable, dark_theme, keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

CELL = """
from sr_course.widgets import ResampleBench
bench = ResampleBench()
bench
"""


def show(page, lab):
    """Run the bench in a notebook, and return its five pictures once they are on the screen."""
    run_notebook(page, lab, lab.write("bench.ipynb", [CELL]))
    pictures = page.locator(".sr-resample-bench img")
    wait_until(page, lambda: pictures.count() == 5, "the five pictures are there")
    wait_until(page, lambda: pixels(pictures.nth(4)).std() > 5, "the last one is drawn")
    return pictures


def sources(pictures) -> list[str]:
    return pictures.evaluate_all("images => images.map(image => image.src)")


def wait_for_text(page, text: str) -> None:
    wait_until(page, lambda: text in page.locator(".sr-resample-bench").inner_text(), f"the bench says {text}")


def test_every_control_reaches_the_kernel_and_the_pictures(page, lab):
    pictures = show(page, lab)
    wait_for_text(page, "240x240 to 60x60")
    keep_screenshot(page, "bench-light")
    before = pixels(pictures.nth(1))

    page.get_by_role("button", name="zone plate").click()
    rings = measure(zone_plate(240), Setting(scale=1 / 4))
    wait_for_text(page, f"PSNR {rings.psnr:.2f} dB against an ideal filter")
    wait_until(page, lambda: np.abs(pixels(pictures.nth(1)) - before).max() > 20, "the result is another")
    page.locator(".sr-resample-bench select").select_option(label="nearest")
    folded = measure(zone_plate(240), Setting(scale=1 / 4, kernel="nearest")).folded
    wait_for_text(page, f"folded back (aliasing): {100 * folded:.1f} %")
    keep_screenshot(page, "bench-zone-plate")
    page.get_by_label("and back again").check()
    wait_for_text(page, "240x240 to 240x240")
    assert page.get_by_label("antialias").is_disabled()

    handle = page.locator(".sr-resample-bench .noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    page.locator(".sr-resample-bench select").select_option(label="cubic, a = -0.5")
    page.get_by_label("antialias").uncheck()
    expected = "zone plate, shrink by 3 and back, cubic, no antialias"
    wait_until(page, lambda: ask_kernel(page, "print(bench.setting)") == expected, f"the setting is {expected}")


def test_pictures_are_square_and_fit_every_width(page, lab):
    pictures = show(page, lab)
    for width in (1920, 700, 320):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(300)  # the layout follows the window
        for picture in pictures.all():
            picture.scroll_into_view_if_needed()
            box = picture.bounding_box()
            assert box["width"] == pytest.approx(box["height"], abs=1)
            assert box["width"] <= 240.5
            assert box["x"] + box["width"] <= width
        keep_screenshot(page, f"bench-{width}")


def test_dark_theme_is_readable(page, lab):
    show(page, lab)
    with dark_theme(page):
        assert_readable(page.locator(".sr-resample-bench"), "button:visible", ".widget-label:visible", "label:visible")
        keep_screenshot(page, "bench-dark")


def test_a_moving_slider_is_followed_at_once(page, lab):
    pictures = show(page, lab)
    handle = page.locator(".sr-resample-bench .noUi-handle")
    handle.focus()
    waits = []
    for key in ("ArrowLeft", "ArrowRight", "ArrowRight", "ArrowLeft"):
        old = sources(pictures)[1]
        begin = time.monotonic()
        handle.press(key)
        script = "old => document.querySelectorAll('.sr-resample-bench img')[1].src !== old"
        page.wait_for_function(script, arg=old, timeout=5000)
        waits.append(time.monotonic() - begin)
    # A tenth of a second is for the computation (see the test without a browser); here come the way there and back.
    assert min(waits) < 0.5, waits
