from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_course.training.history import read_history
from sr_course.widgets import Ablation, AblationMatrix
from tests.browser.alone import open_alone
from tests.browser.lab import ask_kernel, assert_readable, keep_screenshot, pixels, run_notebook, wait_until
from tests.widgets.blends import QUICK
from tests.widgets.gan_runs import HEALTHY, NO_DETACH, STEPS, STRONG, make_runs, write_log

pytestmark = pytest.mark.browser

SWITCHES = ("no batch norm", "RRDB", "relativistic", "features before activation", "L1 term")
FULL, WITH_NORM, VANILLA = "full recipe", "with batch norm", "vanilla GAN"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    runs = make_runs(tmp_path_factory.mktemp("runs"), (144, 144))
    for number, run in enumerate(runs.values()):
        write_log(
            run, 0.1 * number, [{"event": "validation", "step": s, "psnr": 20 + s / 4 - number} for s in STEPS[1:]]
        )
    return runs


def ablations(folders: dict[str, Path]) -> list[Ablation]:
    histories = [read_history(folders[name]) for name in (HEALTHY, STRONG, NO_DETACH)]
    return [
        Ablation(history=histories[0]),
        Ablation(history=histories[1], off=("no batch norm",), name=WITH_NORM),
        Ablation(history=histories[2], off=("relativistic",), name=VANILLA),
    ]


@pytest.fixture(scope="module")
def widget(folders) -> AblationMatrix:
    return AblationMatrix(ablations(folders), switches=SWITCHES, distance=QUICK)


def button(root, name: str):
    return root.get_by_role("button", name=name, exact=True)


def cell(widget: AblationMatrix, index: int) -> np.ndarray:
    with Image.open(io.BytesIO(widget._sprite)) as image:
        left, top, width, height = widget._cells[index]
        return np.asarray(image)[top : top + height, left : left + width].astype(int)


def wait_for_result(page, root, widget, row: int, step: int, sample: int = 0) -> None:
    """Until the screen shows it, twice enlarged; a screenshot may begin with a line of the page."""
    told = widget._rows[row]
    picture = cell(widget, told["results"][sample][STEPS.index(step)])
    enlarged = picture.repeat(2, axis=0).repeat(2, axis=1)[4:-4, 4:-4]
    height, width = enlarged.shape[:2]
    image = root.get_by_role("img", name=f"Picture {sample + 1}, {told['name']}, step {step},")

    def seen() -> bool:
        shot = pixels(image)
        return any(np.array_equal(shot[top : top + height, 4 : 4 + width], enlarged) for top in (4, 5))

    image.wait_for()
    wait_until(page, seen, f"{told['name']} at step {step} is seen", 30)


def figures(root) -> list[str]:
    return root.locator("td.sr-abl-figure").all_inner_texts()


def state(page, key: str):
    page.wait_for_timeout(300)
    return page.evaluate(f"window.state.{key}")


def test_predict_reveal_and_look_by_mouse_and_keyboard_without_a_kernel(new_page, tmp_path, widget):
    page = new_page(1200, 1300)
    open_alone(page, tmp_path, widget)
    root = page.locator(".sr-abl")
    root.wait_for()
    assert figures(root) == ["?"] * 6
    assert root.locator("canvas:visible").count() == 0
    assert root.locator(".sr-chart:visible").count() == 0
    keep_screenshot(page, "ablation-predict")

    guess = {
        WITH_NORM: widget._rows[1]["verdict"],
        VANILLA: {"better": "worse", "worse": "better"}[widget._rows[2]["verdict"]],
    }
    button(root, f"{WITH_NORM}: {guess[WITH_NORM]}").click()
    button(root, f"{VANILLA}: {widget._rows[2]['verdict']}").click()
    button(root, f"{VANILLA}: {guess[VANILLA]}").focus()
    page.keyboard.press("Enter")  # another opinion
    assert state(page, "predictions") == guess
    status = root.locator("[role=status]")
    assert "2 of 2 predicted." in status.inner_text()
    page.keyboard.press("r")
    wait_until(page, lambda: "1 of 2 predicted rightly in mean error" in status.inner_text(), "it is revealed")
    assert figures(root) == [text for row in widget._rows for text in row["figures"]]
    said = {"better": "it is better", "worse": "it is worse"}
    verdicts = root.locator(".sr-abl-verdict").all_inner_texts()
    assert verdicts == [f"✓ {said[widget._rows[1]['verdict']]}", f"✗ {said[widget._rows[2]['verdict']]}"]
    wait_for_result(page, root, widget, 0, 20)
    assert root.get_by_role("img", name="Picture 1, Bicubic").count() == 1

    button(root, f"Look at {VANILLA}").click()
    wait_for_result(page, root, widget, 0, 20)
    wait_for_result(page, root, widget, 2, 20)
    assert root.locator(".sr-chart").first.locator(".sr-chart-name").all_inner_texts() == [
        f"{FULL} 25.00 dB",
        f"{VANILLA} 23.00 dB",
    ]
    root.get_by_role("slider", name="Snapshot").focus()
    page.keyboard.press("ArrowLeft")
    wait_for_result(page, root, widget, 2, 10)
    page.keyboard.press("2")
    wait_for_result(page, root, widget, 0, 10, sample=1)
    wait_for_result(page, root, widget, 2, 10, sample=1)
    keep_screenshot(page, "ablation-compare")
    button(root, f"Look at {WITH_NORM}").click()  # takes the place of the first
    wait_for_result(page, root, widget, 1, 10, sample=1)
    wait_for_result(page, root, widget, 2, 10, sample=1)
    assert state(page, "rows") == [2, 1]
    button(root, f"Look at {WITH_NORM}").click()
    button(root, f"Look at {VANILLA}").click()  # the last one stays
    assert state(page, "rows") == [2]
    plot = root.locator(".sr-chart-plot").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + 3, box["y"] + 30)
    wait_for_result(page, root, widget, 2, 0, sample=1)
    page.keyboard.press("R")
    wait_until(page, lambda: figures(root) == ["?"] * 6, "the numbers are hidden again")
    page.evaluate("window.close_widget()")
    assert root.count() == 0


@pytest.mark.parametrize(("width", "dark"), [(320, False), (320, True), (1200, True), (1920, False)])
def test_every_width_in_light_and_dark(new_page, tmp_path, widget, width, dark):
    page = new_page(width, 1300)
    open_alone(page, tmp_path, widget, dark=dark)
    root = page.locator(".sr-abl")
    button(root, f"{VANILLA}: better").click()
    button(root, "Show the numbers (R)").click()
    button(root, f"Look at {VANILLA}").click()
    wait_until(page, lambda: pixels(root.get_by_role("img", name="the truth")).std() > 5, "the pictures appear", 30)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    scroller = root.get_by_role("region", name="Runs and switches")
    assert scroller.evaluate("node => node.scrollWidth > node.clientWidth") == (width == 320)  # it has a bar of its own
    for picture in [*root.locator("canvas").all(), *root.locator(".sr-chart-plot svg").all()]:
        box = picture.bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 80
    texts = ("thead th", ".sr-abl-on", ".sr-abl-off", "tbody th button", ".sr-note", "figcaption strong", ".sr-chart-y")
    assert_readable(root, *texts)
    page.evaluate("window.scrollTo(0, 0)")
    keep_screenshot(page, f"ablation-{width}{'-dark' if dark else ''}")


def test_python_and_the_browser_follow_each_other_in_jupyterlab(page, lab, folders):
    paths = {name: str(path) for name, path in folders.items()}
    cell_text = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from sr_course.widgets import AblationMatrix
from tests.browser.test_ablation_matrix import QUICK, SWITCHES, ablations
runs = ablations({{name: Path(path) for name, path in {paths!r}.items()}})
matrix = AblationMatrix(runs, switches=SWITCHES, distance=QUICK)
matrix
"""
    page.set_default_timeout(120_000)  # on a machine that trains beside it
    run_notebook(page, lab, lab.write("ablation.ipynb", [cell_text]))
    root = page.locator(".sr-abl").first
    root.wait_for()
    button(root, f"{VANILLA}: better").focus()
    page.keyboard.press("Enter")
    expected = str({VANILLA: "better"})
    wait_until(page, lambda: ask_kernel(page, "print(matrix.predictions)") == expected, "Python knows", 30)
    ask_kernel(page, "matrix.revealed = True; matrix.rows = [1]; matrix.step = 5")
    root.get_by_role("img", name=f"Picture 1, {WITH_NORM}, step 5,").wait_for()
    for key in ("d", "d", "m"):  # JupyterLab would delete the cell
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 1
