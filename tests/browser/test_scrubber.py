from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from PIL import Image, ImageFilter, ImageOps

from sr_course.training.loop import train
from sr_course.training.recipes import recipe
from sr_course.widgets import TrainingScrubber
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

STEPS = (0, 5, 10, 15, 20)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Twenty steps of the smallest recipe on pictures of soft noise, with five snapshots."""
    folder = tmp_path_factory.mktemp("training")
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        noise = Image.fromarray(rng.integers(0, 256, (160, 168, 3), dtype=np.uint8))
        ImageOps.autocontrast(noise.filter(ImageFilter.GaussianBlur(2))).save(pictures / f"{index}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SR_COURSE_DATA", str(folder / "cache"))
        values = {"data": str(pictures), "validation": str(pictures), "validation_pictures": 2}
        train(replace(recipe("srcnn", "smoke"), snapshot_steps=STEPS, **values), folder / "run", bar=False)
    return folder / "run"


def show(page, lab, run, *arguments: str, views: int = 1):
    """Run the scrubber in a notebook, and return its first view once the pictures are on the screen."""
    made = ", ".join([f"r'{run}'", *arguments])
    cell = f"from sr_course.widgets import TrainingScrubber\nscrubber = TrainingScrubber({made})"
    run_notebook(page, lab, lab.write("scrubber.ipynb", [cell, *["scrubber"] * views]))
    return drawn(page)


def drawn(page):
    root = page.locator(".sr-scrub").first
    root.scroll_into_view_if_needed()
    wait_until(page, lambda: pixels(canvas(root, "the truth")).std() > 5, "the pictures appear")
    return root


def canvas(root, name: str):
    return root.get_by_role("img", name=name)


def result(root):
    return canvas(root, "enlarged by the network")


def slider(root):
    return root.get_by_role("slider", name="Snapshot")


def mark(root) -> float:
    """Where the mark stands in the first curve, 0 to 1."""
    return float(root.locator(".sr-chart-mark").first.get_attribute("d")[1:].split()[0]) / 1000


def wait_for_python(page, expression: str, expected: str) -> None:
    wait_until(page, lambda: ask_kernel(page, f"print({expression})") == expected, f"{expression} is {expected}")


def wait_for_step(page, root, step: int) -> None:
    said = f"step {step}, snapshot {STEPS.index(step) + 1} of 5"
    wait_until(page, lambda: said in slider(root).get_attribute("aria-valuetext"), f"the slider says {said}")
    wait_until(page, lambda: f"at step {step}," in result(root).get_attribute("aria-label"), "the picture is named so")
    assert f"step {step} " in root.locator(".sr-readout").inner_text()


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    return not np.array_equal(one, other)


def stored(run: Path, step: int, sample: int) -> np.ndarray:
    """The result of a snapshot as it is in the run's folder, `(H, W, 3)` in 0..255."""
    tensors = safetensors.torch.load_file(run / "snapshots" / f"step-{step:08d}.safetensors")
    return tensors[f"sr.{sample}"].permute(1, 2, 0).numpy().astype(int)


def same_picture(shot: np.ndarray, expected: np.ndarray) -> bool:
    """Whether a screenshot shows a picture twice enlarged; it may begin with a line of the page."""
    enlarged = expected.repeat(2, axis=0).repeat(2, axis=1)[4:-4, 4:-4]
    height, width = enlarged.shape[:2]
    return any(not differ(shot[top : top + height, 4 : 4 + width], enlarged) for top in (4, 5))


def test_mouse_moves_through_the_run_and_python_hears_of_it(page, lab, run):
    root = show(page, lab, run)
    keep_screenshot(page, "scrubber-light")
    wait_for_step(page, root, 20)
    assert mark(root) == pytest.approx(1)
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 20, 0)), "the last result is seen")
    truth, filters = pixels(canvas(root, "the truth")), pixels(canvas(root, "First layer"))

    box = slider(root).bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    wait_for_step(page, root, 0)
    assert mark(root) == 0
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 0, 0)), "the first result is seen")
    assert differ(pixels(canvas(root, "First layer")), filters)
    assert not differ(pixels(canvas(root, "the truth")), truth)
    wait_for_python(page, "scrubber.index, scrubber.step", "0 0")

    root.get_by_role("button", name="Picture 2").click()
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 0, 1)), "the other sample is seen")
    assert differ(pixels(canvas(root, "the truth")), truth)
    wait_for_python(page, "scrubber.sample", "1")

    curve = root.locator(".sr-chart-plot").nth(1)
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    place = np.log1p(10 / 5) / np.log1p(20 / 5)  # of step 10 on the logarithmic axis
    page.mouse.click(box["x"] + (place + 0.04) * box["width"], box["y"] + 40)
    wait_for_step(page, root, 10)
    assert mark(root) == pytest.approx(place, abs=1e-3)
    wait_for_python(page, "scrubber.step", "10")


def test_keyboard_does_everything_and_jupyterlab_does_not_listen_in(page, lab, run):
    root = show(page, lab, run)
    slider(root).focus()
    assert slider(root).evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    for key, step in [("ArrowLeft", 15), ("ArrowDown", 10), ("Home", 0), ("ArrowLeft", 0), ("ArrowUp", 5)]:
        page.keyboard.press(key)
        wait_for_step(page, root, step)
    for key, step in [("ArrowRight", 10), ("PageUp", 20), ("PageDown", 0), ("End", 20)]:
        page.keyboard.press(key)
        wait_for_step(page, root, step)
    page.keyboard.press("2")
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 20, 1)), "the other sample is seen")
    weights = pixels(canvas(root, "First layer: 8 filters"))
    page.keyboard.press("c")  # in JupyterLab: copy the cell
    changed = canvas(root, "First layer: change since step 0")
    wait_until(page, lambda: differ(pixels(changed), weights), "the change is seen")
    wait_for_python(page, "scrubber.step, scrubber.sample, scrubber.change", "20 1 True")

    page.keyboard.press("Space")
    wait_for_step(page, root, 0)  # from the end it begins anew
    wait_for_step(page, root, 5)
    page.keyboard.press("Space")
    assert root.get_by_role("button", name="Play").count() == 1
    for key in ("d", "d", "0", "0", "a", "m", "x"):  # delete the cell, restart the kernel, and so on
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    for name in ("Speed", "Picture 1", "Picture 2", "Filters: weights", "Filters: change"):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert focused.startswith(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    wait_for_python(page, "scrubber.change", "False")
    keep_screenshot(page, "scrubber-keyboard")


def test_play_shows_every_snapshot_and_stops_at_the_last(page, lab, run):
    root = show(page, lab, run, "index=0")
    speed = root.get_by_role("button", name="Speed")
    assert speed.inner_text() == "1×"
    speed.click()
    speed.click()
    wait_until(page, lambda: speed.inner_text() == "4×", "the speed is 4")
    page.evaluate("""() => {
        window.seen = [];
        const slider = document.querySelector(".sr-scrub input");
        new MutationObserver(() => window.seen.push(slider.getAttribute("aria-valuetext").split(",")[0]))
            .observe(slider, { attributeFilter: ["aria-valuetext"] });
    }""")
    root.get_by_role("button", name="Play").click()
    root.get_by_role("button", name="Pause").wait_for()
    wait_for_step(page, root, 20)
    root.get_by_role("button", name="Play").wait_for()
    seen = list(dict.fromkeys(page.evaluate("window.seen")))
    assert seen == [f"step {step}" for step in STEPS]
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 20, 0)), "the last result is seen")
    wait_for_python(page, "scrubber.step", "20")
    root.get_by_role("button", name="Play").click()
    wait_for_step(page, root, 5)
    slider(root).focus()
    page.keyboard.press("Home")  # a hand on the slider ends the play
    wait_for_step(page, root, 0)
    page.wait_for_timeout(600)
    wait_for_step(page, root, 0)


def test_python_moves_every_view_and_views_follow_each_other(page, lab, run):
    root = show(page, lab, run, views=2)
    second = page.locator(".sr-scrub").nth(1)
    ask_kernel(page, "scrubber.step = 5; scrubber.sample = 1; scrubber.change = True")
    for view in (root, second):
        wait_for_step(page, view, 5)
        wait_until(page, lambda view=view: same_picture(pixels(result(view)), stored(run, 5, 1)), "it is sample 2")
        assert canvas(view, "First layer: change since step 0").count() == 1
    slider(second).focus()
    page.keyboard.press("End")
    wait_for_step(page, root, 20)


def test_it_moves_in_a_page_of_its_own(new_page, lab, run, tmp_path):
    """No JupyterLab and no kernel: the front end with the state it was given, as an exported page keeps it."""
    widget = TrainingScrubber(run)
    state = {key: getattr(widget, key) for key in widget.keys if not key.startswith(("_sheets", "_esm", "_css"))}
    state = {key: value for key, value in state.items() if isinstance(value, (str, int, float, list, bool))}
    sheets = [base64.b64encode(sheet).decode("ascii") for sheet in widget._sheets]
    source = TrainingScrubber._esm.replace("export default", "const widget =")
    (tmp_path / "page.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><style>{TrainingScrubber._css}</style>
        <main></main><script type="module">{source}
        const state = {json.dumps(state)};
        state._sheets = {json.dumps(sheets)}.map((text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)));
        const model = {{ get: (key) => state[key], set: (key, value) => {{ state[key] = value; }},
                         on() {{}}, off() {{}}, save_changes() {{}} }};
        window.close_widget = widget.render({{ model, el: document.querySelector("main") }});</script>""",
        encoding="utf-8",
    )
    page = new_page(1000, 900)
    page.goto((tmp_path / "page.html").as_uri())
    root = drawn(page)
    slider(root).focus()
    page.keyboard.press("Home")
    wait_for_step(page, root, 0)
    wait_until(page, lambda: same_picture(pixels(result(root)), stored(run, 0, 0)), "the first result is seen")
    keep_screenshot(page, "scrubber-page")
    page.evaluate("window.close_widget()")
    assert root.count() == 0


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window(new_page, lab, run, width):
    page = new_page(width, 1000)
    root = show(page, lab, run)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for picture in root.locator("canvas").all():
        box = picture.bounding_box()
        assert box["x"] + box["width"] <= width
        ratio = picture.evaluate("node => node.width / node.height")
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.03)
        assert box["width"] > 80
    slider(root).focus()
    page.keyboard.press("ArrowLeft")
    wait_for_step(page, root, 15)
    keep_screenshot(page, f"scrubber-{width}")


def test_dark_theme_is_readable(page, lab, run):
    root = show(page, lab, run)
    root.get_by_text("Keys", exact=True).click()
    with dark_theme(page):
        texts = ("button", "figcaption", ".sr-readout", ".sr-chart-y", ".sr-chart-x", "summary", "li")
        assert_readable(root, *texts)
        keep_screenshot(page, "scrubber-dark")


def test_removing_the_output_ends_play_and_listening(page, lab, run):
    root = show(page, lab, run, "index=0")
    before = listeners(page)
    root.get_by_role("button", name="Play").click()
    clear_outputs(page, ".sr-scrub", before)
    told = ask_kernel(page, "print(scrubber.index)")
    page.wait_for_timeout(1000)  # longer than a beat
    assert ask_kernel(page, "print(scrubber.index)") == told
