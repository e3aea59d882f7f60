from __future__ import annotations

import numpy as np
import pytest

from tests.browser.lab import ask_kernel, assert_readable, dark_theme, keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

MAKE = """
import torch
from sr_course import images, zoo
from sr_course.data.shipped import photos
from sr_course.resample import imresize
from sr_course.training.history import read_history, shipped_run
from sr_course.widgets import FeatureExplorer
torch.set_num_threads(1)
hr = images.centre_crop(images.read(photos("test")[0].path), 96, 96)
lr = imresize(hr, 1 / 4).clamp(0, 1)
"""
ONE = "FeatureExplorer(zoo.load('srcnn'), lr, truth=hr)"
DEEP = "FeatureExplorer(zoo.load('srresnet-s'), lr, truth=hr, layer='blocks.1.conv1')"
TWO = "FeatureExplorer({'MSE': zoo.load('srresnet'), 'GAN': zoo.load('srgan')}, lr, truth=hr, order='difference')"
RUN = "FeatureExplorer(read_history(shipped_run('srcnn_x4')))"

COUNT = """
import gc
import comm
import psutil

def count():
    gc.collect()
    return psutil.Process().memory_info().rss, len(comm.get_comm_manager().comms)
"""


def show(page, lab, made: str = ONE, views: int = 1):
    """Run an explorer in a notebook, and return its first view once it is drawn."""
    run_notebook(page, lab, lab.write("explorer.ipynb", [f"{MAKE}\nexplorer = {made}", *["explorer"] * views]))
    root = page.locator(".sr-fx").first
    root.scroll_into_view_if_needed()
    root.locator(".sr-fx-cell").first.wait_for(timeout=60_000)
    wait_until(page, lambda: np.ptp(pixels(root.locator(".sr-fx-given canvas").first)) > 60, "the picture is drawn", 60)
    return root


def ask(page, what: str) -> str:
    return ask_kernel(page, f"print({what})")


def wait_for(page, what: str, expected: str, seconds: float = 60) -> None:
    wait_until(page, lambda: ask(page, what) == expected, f"{what} is {expected}", seconds)


def enlarged(root, at: int = 0):
    return root.locator(".sr-fx-target").nth(at)


def test_layers_maps_and_pixels_by_mouse(page, lab):
    root = show(page, lab)
    before = pixels(enlarged(root))
    root.get_by_role("treeitem", name="conv2 Conv2d").click()
    wait_for(page, "explorer.layer", "conv2")
    wait_until(page, lambda: root.locator(".sr-fx-cell").count() == 32, "there are 32 maps")
    wait_until(page, lambda: not np.array_equal(pixels(enlarged(root)), before), "another map is drawn")
    first = root.locator(".sr-fx-cell").nth(3)
    channel = first.get_attribute("data-channel")
    first.click()
    wait_for(page, "explorer.channel", channel)
    wait_until(page, lambda: f"Channel {channel} at" in root.inner_text(), "it says so")
    box = enlarged(root).bounding_box()
    frame = root.locator(".sr-fx-frame").first
    was = frame.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"] + 1, box["y"] + 0.75 * box["height"] + 1)
    wait_for(page, "explorer.pixel", "[72, 24]")
    wait_until(page, lambda: frame.bounding_box() != was, "the frame has moved")
    value = ask(page, "explorer._scene['views'][0]['value']")
    wait_until(page, lambda: f"row 72, column 24: {value}" in root.inner_text(), "the value is said")
    root.get_by_role("button", name="Order by index").click()
    wait_until(page, lambda: root.locator(".sr-fx-cell").first.get_attribute("data-channel") == "0", "in order")
    root.get_by_role("button", name="Scale: each its own").click()
    wait_until(page, lambda: "Each map on its own scale" in root.inner_text(), "the scale is said")
    keep_screenshot(page, "feature-explorer-light")


def test_the_tools(page, lab):
    root = show(page, lab)
    root.get_by_role("button", name="Receptive field", exact=True).click()
    wait_until(page, lambda: "of the gradient lies within" in root.inner_text(), "the field is said", 60)
    total = ask(page, "explorer._panel['sums']['total']").replace("-", "−")
    wait_until(page, lambda: f"(bias) = {total}" in root.inner_text(), "the sum is said")
    assert root.locator(".sr-fx-tables td").count() == 3 * 81
    keep_screenshot(page, "feature-explorer-field")
    root.get_by_role("button", name="Switch channels off", exact=True).click()
    root.get_by_role("button", name="Rank the channels").click()
    slider = root.get_by_role("slider", name="Channels off")
    slider.wait_for(timeout=60_000)
    before = pixels(root.locator(".sr-fx-figures canvas").first)  # with all
    slider.focus()
    page.keyboard.press("End")
    wait_for(page, "len(explorer.off)", "64")
    wait_until(page, lambda: "64 of 64 channels of conv1 off" in root.inner_text(), "it says so", 60)
    last = root.locator(".sr-fx-figures canvas").nth(1)
    wait_until(page, lambda: np.abs(pixels(last) - before).mean() > 5, "the result is another")
    keep_screenshot(page, "feature-explorer-ablation")
    root.get_by_role("button", name="Switch all channels on").click()
    wait_for(page, "explorer.off", "[]")
    root.get_by_role("button", name="Which pixels count", exact=True).click()
    root.get_by_role("button", name="Find the pixels").click()
    wait_until(page, lambda: "Diffusion index" in root.inner_text(), "the index is said", 120)
    keep_screenshot(page, "feature-explorer-attribution")


def test_keyboard_does_everything_and_jupyterlab_does_not_listen_in(page, lab):
    root = show(page, lab, DEEP)
    selected = root.locator(".sr-fx-row[aria-selected='true']")
    selected.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for(page, "explorer.layer", "blocks.1.prelu")
    page.keyboard.press("ArrowLeft")  # to the block
    page.keyboard.press("ArrowLeft")  # which closes
    expanded = "document.activeElement.getAttribute('aria-expanded')"
    wait_until(page, lambda: page.evaluate(expanded) == "false", "the block closes")
    page.keyboard.press("Home")
    root.locator(".sr-fx-cell[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    channel = root.locator(".sr-fx-cell").nth(1).get_attribute("data-channel")
    wait_for(page, "explorer.channel", channel)
    page.keyboard.press("x")
    wait_for(page, "explorer.off", f"[{channel}]")
    page.keyboard.press("x")
    wait_for(page, "explorer.off", "[]")
    enlarged(root).focus()
    row, column = (int(one) for one in ask(page, "*explorer.pixel").split())
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "PageUp"):
        page.keyboard.press(key)
    wait_for(page, "explorer.pixel", f"[{row + 1 - 8}, {column + 2}]")
    for key in ("a", "b", "0", "0", "m", "y", "c"):
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_two_networks_share_one_cursor(new_page, lab):
    page = new_page(1400, 1000)
    root = show(page, lab, TWO)
    box = enlarged(root, 1).bounding_box()
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.9 * box["height"])
    places = lambda: [node.evaluate("n => n.style.left + n.style.top") for node in root.locator(".sr-fx-cross").all()]  # noqa: E731
    wait_until(page, lambda: len(set(places())) == 1 and ask(page, "explorer.pixel[0] > 18") == "True", "both moved")
    assert root.get_by_role("button", name="Order by difference").get_attribute("aria-pressed") == "true"
    keep_screenshot(page, "feature-explorer-two")


def test_through_training(page, lab):
    root = show(page, lab, RUN)
    last = pixels(enlarged(root))
    slider = root.get_by_role("slider", name="Snapshot")
    slider.focus()
    page.keyboard.press("Home")
    wait_for(page, "explorer.snapshot", "0")
    keep_screenshot(page, "feature-explorer-run")
    wait_until(page, lambda: np.abs(pixels(enlarged(root)) - last).mean() > 5, "the map of the start is another")
    assert "step 0" in root.inner_text()
    keep_screenshot(page, "feature-explorer-run")


def test_a_cell_that_runs_again_frees_what_it_made(page, lab):
    show(page, lab)
    ask_kernel(page, "import weakref; old = weakref.ref(explorer)")
    ask_kernel(page, "from ipywidgets.widgets.widget import _instances")
    counted = "sum(type(one).__name__ == 'FeatureExplorer' for one in _instances.values())"
    assert ask(page, counted) == "1"
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_for(page, counted, "1")
    page.locator(".sr-fx-cell").first.wait_for(timeout=60_000)
    assert ask(page, "old() is None or not old()._views") == "True"


def test_after_200_layers_and_a_second_run_the_kernel_is_as_it_was(page, lab):
    show(page, lab, "FeatureExplorer(zoo.load('srresnet'), images.read(photos('test')[0].path)[..., :96, :96])")
    ask_kernel(page, COUNT)
    memory, channels = map(int, ask(page, "*count()").split())
    ask_kernel(page, "layers = [row['name'] for row in explorer._tree if row['open']]")
    hear = "for one in range(200): explorer._hear(explorer, {'set': {'layer': layers[one % len(layers)]}}, [])"
    ask_kernel(page, hear)
    assert int(ask(page, "len(layers)")) > 100
    first = ask(page, "id(explorer)")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".sr-fx-cell").first.wait_for(timeout=60_000)
    assert ask(page, "id(explorer)") != first
    wait_until(page, lambda: int(ask(page, "count()[1]")) == channels, "the first one's channels are closed", 60)
    assert int(ask(page, "count()[0]")) < memory + 50e6
    assert ask(page, "sum(len(one._forward_hooks) for one in explorer._views[0].network.modules())") == "0"


def test_a_kernel_that_is_gone_is_told(page, lab):
    root = show(page, lab)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    root.get_by_role("button", name="Receptive field").click()
    wait_until(page, lambda: "Python does not answer" in root.locator(".sr-note").first.inner_text(), "it says so")


@pytest.mark.parametrize("width", [320, 768, 1200, 1920])
def test_every_width_of_window(new_page, lab, width):
    page = new_page(width, 1000)
    root = show(page, lab)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for node in root.locator("button:visible, input:visible, .sr-fx-target, .sr-fx-tree").all():
        box = node.bounding_box()
        assert box["x"] + box["width"] <= width
    assert enlarged(root).bounding_box()["width"] > 150
    keep_screenshot(page, f"feature-explorer-{width}")


def test_dark_theme_is_readable(page, lab):
    root = show(page, lab, DEEP)
    with dark_theme(page):
        assert np.median(pixels(root)) < 60
        texts = ("button:enabled:visible", "strong:visible", ".sr-fx-facts", "[role='treeitem']", ".sr-fx-words")
        assert_readable(root, *texts)
        keep_screenshot(page, "feature-explorer-dark")
