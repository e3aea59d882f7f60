"""UpscaleMyPhoto in JupyterLab: a file from the disk, work in a thread, cancel, and the result back on the disk."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.lab import ask_kernel, assert_readable, dark_theme, keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

# The network repeats each pixel, and waits before each tile as long as `held` is true.
CELL = """
import time, torch
from torch import nn
from sr_course.widgets import upscale_my_photo, UpscaleMyPhoto
held = False
class Repeat(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])
    def forward(self, lr):
        while held:
            time.sleep(0.05)
        time.sleep(0.1)
        return self.conv(lr).repeat_interleave(4, 2).repeat_interleave(4, 3)
upscale_my_photo.zoo.load = lambda *_: Repeat()
{before}
mine = UpscaleMyPhoto()
"""


def show(page, lab, before: str = ""):
    """Run the widget in a notebook, and return its controls once the example is seen."""
    run_notebook(page, lab, lab.write("upscale.ipynb", [CELL.format(before=before), "mine"]))
    root = page.locator(".sr-upscale").first
    root.wait_for(timeout=60_000)
    page.get_by_role("img", name="srgan", exact=True).wait_for(timeout=30_000)
    wait_until(page, lambda: pixels(page.get_by_role("img", name="srgan", exact=True)).std() > 5, "it is painted")
    return root


def file_of(image: Image.Image, name: str = "my photo.png", form: str = "PNG") -> dict[str, object]:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def button(root, name: str):
    return root.get_by_role("button", name=name)


def told(page, root, words: str, seconds: float = 20) -> None:
    wait_until(page, lambda: words in root.inner_text(), f"{words!r} is told", seconds)


def test_from_a_file_on_the_disk_to_a_file_on_the_disk(page, lab):
    root = show(page, lab)
    keep_screenshot(page, "upscale-example")
    mine = noise(1100, 700)  # 2.3 MB: three pieces
    with page.expect_file_chooser() as chooser:
        button(root, "Choose a photo").click()
    chooser.value.set_files([file_of(mine)])
    told(page, root, "my photo.png, 1100x700, of which 400x400 to 1600x1600")
    assert button(root, "Download").is_disabled()
    assert root.get_by_role("img", name="The whole photo, small").is_visible()
    root.get_by_label("Across").fill("100")
    wait_until(page, lambda: ask_kernel(page, "print(mine._place[0])") == "1.0", "the part moves")
    keep_screenshot(page, "upscale-part")
    button(root, "srresnet (").click()
    wait_until(page, lambda: ask_kernel(page, "print(mine.method)") == "srresnet", "the network is chosen")
    button(root, "Enlarge").click()
    told(page, root, "srresnet is done")
    wait_until(page, lambda: page.get_by_role("img", name="srresnet", exact=True).count() == 1, "it is compared")
    with page.expect_download() as download:
        button(root, "Download").click()
    assert download.value.suggested_filename == "my photo-srresnet-x4.png"
    with Image.open(download.value.path()) as result:
        assert result.size == (1600, 1600)
        expected = np.asarray(mine)[150:550, 700:].repeat(4, 0).repeat(4, 1)
        np.testing.assert_array_equal(np.asarray(result), expected)
    keep_screenshot(page, "upscale-done")


def test_cancel_in_the_midst_and_by_the_keyboard(page, lab):
    root = show(page, lab)
    root.locator("input[type=file]").set_input_files([file_of(noise(300, 200))])
    told(page, root, "300x200 to 1200x800")
    ask_kernel(page, "held = True")
    button(root, "Choose a photo").focus()
    page.keyboard.press("e")
    told(page, root, "srgan is enlarging")
    assert root.get_by_role("progressbar", name="Enlarging").is_visible()
    assert button(root, "Enlarge").is_disabled()
    keep_screenshot(page, "upscale-working")
    page.keyboard.press("Escape")
    told(page, root, "Stopped.")
    ask_kernel(page, "held = False")
    ask_kernel(page, "mine.wait(10)")
    assert ask_kernel(page, "print(mine._worker.is_alive(), list(mine.results))") == "False []"
    for key in ("3", "x", "d", "d", "0", "0"):  # a network; and cut, delete and restart, which are JupyterLab's
        page.keyboard.press(key)
    wait_until(page, lambda: ask_kernel(page, "print(mine.method)") == "rrdb-s", "the third network is chosen")
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    page.keyboard.press("e")
    told(page, root, "is done")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_bad_files_are_told_and_a_closed_widget_is_gone(page, lab):
    root = show(page, lab)
    chosen = root.locator("input[type=file]")
    chosen.set_input_files([{"name": "letter.png", "mimeType": "image/png", "buffer": b"Dear reader"}])
    told(page, root, "letter.png: not a picture that can be read")
    assert "a part of red_panda" in root.inner_text()
    keep_screenshot(page, "upscale-refused")
    # a stand-in for 60 MB, which the browser would have to be given whole
    ask_kernel(page, "upscale_my_photo.BYTE_LIMIT = 1000")
    chosen.set_input_files([file_of(noise(40, 30), "large.png")])
    told(page, root, "are taken here")
    ask_kernel(page, "upscale_my_photo.BYTE_LIMIT = 10**7")
    chosen.set_input_files([file_of(noise(40, 30), "good.png")])
    told(page, root, "good.png, 40x30 to 160x120")
    assert root.get_by_role("alert").count() == 0 or not root.get_by_role("alert").is_visible()
    ask_kernel(page, "mine.close()")
    wait_until(page, lambda: page.locator(".sr-upscale, .sr-compare").count() == 0, "both halves are gone")


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window_in_both_themes(new_page, lab, width):
    page = new_page(width, 1100)
    root = show(page, lab)
    root.locator("input[type=file]").set_input_files([file_of(noise(900, 500))])
    told(page, root, "900x500, of which")
    wait_until(
        page, lambda: root.get_by_role("img", name="The whole photo, small").is_visible(), "the overview is there"
    )
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    keep_screenshot(page, f"upscale-{width}")
    with dark_theme(page):
        assert_readable(root, "button:enabled", ".sr-upscale-name", "summary", "label span")
        keep_screenshot(page, f"upscale-dark-{width}")
