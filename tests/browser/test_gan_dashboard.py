from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from sr_course.widgets import GanDashboard
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
from tests.widgets.gan_runs import ALARM, HEALTHY, NO_DETACH, STEPS, STRONG, cases, make_runs

pytestmark = pytest.mark.browser

ORDER = (HEALTHY, NO_DETACH, STRONG)  # of runs A, B and C with seed 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    return make_runs(tmp_path_factory.mktemp("runs"), (160, 168))


def show(page, lab, runs, *settings: str, views: int = 1):
    """Run the dashboard in a notebook, and return its first view once the pictures are on the screen."""
    run_notebook(page, lab, lab.write("gan.ipynb", [make(runs, *settings), *["dashboard"] * views]))
    return drawn(page)


def make(runs: dict[str, Path], *settings: str) -> str:
    """A cell that makes the dashboard."""
    paths = {name: str(path) for name, path in runs.items()}
    return f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from sr_course.widgets import GanDashboard
from tests.widgets.gan_runs import cases
shown = cases({{name: Path(path) for name, path in {paths!r}.items()}})
dashboard = GanDashboard(shown, {", ".join(['more_diagnoses=["mode collapse"]', *settings])})
"""


def drawn(page):
    root = page.locator(".sr-gan").first
    root.scroll_into_view_if_needed()
    wait_until(page, lambda: pixels(canvas(root, "the truth")).std() > 5, "the pictures appear")
    return root


def canvas(root, name: str):
    return root.get_by_role("img", name=name)


def result(root):
    return canvas(root, "enlarged by run")


def slider(root):
    return root.get_by_role("slider", name="Snapshot")


def button(root, name: str):
    return root.get_by_role("button", name=name, exact=True)


def wait_for_python(page, expression: str, expected: str) -> None:
    wait_until(page, lambda: ask_kernel(page, f"print({expression})") == expected, f"{expression} is {expected}")


def wait_for(page, root, letter: str, step: int) -> None:
    said = f"run {letter}, step {step}, snapshot {STEPS.index(step) + 1} of 4"
    wait_until(page, lambda: said in slider(root).get_attribute("aria-valuetext"), f"the slider says {said}")
    named = f"by run {letter} at step {step},"
    wait_until(page, lambda: named in result(root).get_attribute("aria-label"), "the picture is named so")
    assert f"run {letter}, step {step} " in root.locator(".sr-readout").inner_text()


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    return not np.array_equal(one, other)


def stored(run: Path, step: int, sample: int) -> np.ndarray:
    """The result of a snapshot as it is in the run's folder, `(H, W, 3)` in 0..255."""
    tensors = safetensors.torch.load_file(run / "snapshots" / f"step-{step:08d}.safetensors")
    return tensors[f"sr.{sample}"].permute(1, 2, 0).numpy().astype(int)


def wait_for_picture(page, root, run: Path, step: int, sample: int = 0) -> None:
    """Until the screen shows it, twice enlarged; a screenshot may begin with a line of the page."""
    enlarged = stored(run, step, sample).repeat(2, axis=0).repeat(2, axis=1)[4:-4, 4:-4]
    height, width = enlarged.shape[:2]

    def seen() -> bool:
        shot = pixels(result(root))
        return any(not differ(shot[top : top + height, 4 : 4 + width], enlarged) for top in (4, 5))

    wait_until(page, seen, f"step {step} of {run.name} is seen")


def verdict(root):
    return root.locator(".sr-gan-verdict[role=status]")


def points(root, chart: str) -> int:
    """How many points of its first curve a chart shows."""
    path = root.get_by_role("img", name=f"{chart}, curve").locator(".sr-chart-dots").first
    return path.get_attribute("d").count("M")


def mark(root) -> float:
    """Where the mark stands in the first chart, 0 to 1."""
    return float(root.locator(".sr-chart-mark").first.get_attribute("d")[1:].split()[0]) / 1000


def test_mouse_replays_a_run_and_names_its_illness(page, lab, runs):
    root = show(page, lab, runs)
    keep_screenshot(page, "gan-light")
    wait_for(page, root, "A", 20)
    wait_for_picture(page, root, runs[HEALTHY], 20)
    assert points(root, "Mean logit") == 4
    truth = pixels(canvas(root, "the truth"))

    box = slider(root).bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    wait_for(page, root, "A", 0)
    wait_for_picture(page, root, runs[HEALTHY], 0)
    assert (mark(root), points(root, "Mean logit")) == (0, 0)  # nothing was known yet
    assert not differ(pixels(canvas(root, "the truth")), truth)

    plot = root.locator(".sr-chart-plot").nth(4)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    place = np.log1p(10 / 5) / np.log1p(20 / 5)  # of step 10 on the logarithmic axis
    page.mouse.click(box["x"] + (place + 0.04) * box["width"], box["y"] + 40)
    wait_for(page, root, "A", 10)
    assert (mark(root), points(root, "Mean logit")) == (pytest.approx(place, abs=1e-3), 2)
    wait_for_python(page, "dashboard.run, dashboard.step", "0 10")

    button(root, "Run C").click()
    wait_for(page, root, "C", 10)
    wait_for_picture(page, root, runs[STRONG], 10)
    button(root, "Picture 2").click()
    wait_for_picture(page, root, runs[STRONG], 10, sample=1)
    assert root.get_by_text("What is the diagnosis of run C?").count() == 1
    button(root, "Check").click()
    status = verdict(root)
    wait_until(page, lambda: status.inner_text() == "Choose a diagnosis first.", "a choice is asked for")
    root.get_by_label("healthy").check()
    button(root, "Check").click()
    wait_until(page, lambda: "Not yet: look at the accuracy at step 5." in status.inner_text(), "it is wrong")
    root.get_by_label("discriminator too strong").check()
    wait_until(page, lambda: status.inner_text() == "", "the new choice is not checked yet")
    button(root, "Check").click()
    right = "Right: discriminator too strong. The logits part at once."
    wait_until(page, lambda: right in status.inner_text(), "it is right")
    assert root.get_by_text("1 of 3 named rightly").count() == 1
    wait_for_python(page, "dashboard.answers, dashboard.right", "{'C': 'discriminator too strong'} 1")

    assert root.get_by_text(STRONG).count() == 0
    button(root, "Show the answer for run C (R)").click()
    answer = root.get_by_role("region", name="The answer for run C")
    answer.wait_for()
    said = answer.inner_text()
    assert f"Run C is {STRONG}: discriminator too strong. The logits part at once." in said
    assert f"{ALARM['illness']}: {ALARM['says']}" in said  # as text: its <b> is no element
    answer.get_by_role("button", name="step 15").click()
    wait_for(page, root, "C", 10)  # of two snapshots equally near the earlier
    wait_for_python(page, "dashboard.step, dashboard.revealed", "15 ['C']")
    button(root, "Run A").click()
    wait_until(page, lambda: root.get_by_role("region").count() == 0, "the answer of run A is not shown")
    keep_screenshot(page, "gan-answer")


def test_keyboard_does_everything_and_jupyterlab_does_not_listen_in(page, lab, runs):
    root = show(page, lab, runs)
    slider(root).focus()
    for key, step in [("ArrowLeft", 10), ("Home", 0), ("ArrowUp", 5), ("PageUp", 20), ("ArrowDown", 10)]:
        page.keyboard.press(key)
        wait_for(page, root, "A", step)
    for key, letter in [("c", "C"), ("B", "B"), ("d", "B")]:  # there is no run D, nor is the cell deleted
        page.keyboard.press(key)
        wait_for(page, root, letter, 10)
    page.keyboard.press("2")
    wait_for_picture(page, root, runs[NO_DETACH], 10, sample=1)
    own = root.locator(".sr-chart-y").all_inner_texts()
    page.keyboard.press("y")  # in JupyterLab: the cell becomes code
    wait_until(page, lambda: root.locator(".sr-chart-y").all_inner_texts() != own, "the scale is that of all runs")
    wait_for_python(page, "dashboard.run, dashboard.step, dashboard.sample, dashboard.common", "1 10 1 True")

    page.keyboard.press("Space")
    wait_for(page, root, "B", 20)
    page.keyboard.press("Space")
    root.get_by_role("radio", name="healthy").focus()
    page.keyboard.press("ArrowDown")  # chooses, as in every group of radio buttons, and moves no snapshot
    wait_until(page, lambda: root.get_by_role("radio", name="missing detach").is_checked(), "it is chosen")
    wait_for(page, root, "B", 20)
    page.keyboard.press("Enter")
    status = verdict(root)
    wait_until(page, lambda: "Right: missing detach." in status.inner_text(), "Enter checks")
    page.keyboard.press("r")  # in JupyterLab: the cell becomes raw
    root.get_by_role("region", name="The answer for run B").wait_for()
    assert "Its log holds no alarm." in root.get_by_role("region").inner_text()
    page.keyboard.press("r")
    wait_until(page, lambda: root.get_by_role("region").count() == 0, "it is hidden")
    for key in ("d", "d", "0", "0", "m", "x"):  # delete the cell, restart the kernel, and so on
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    wait_for_python(page, "dashboard.answers, dashboard.revealed", "{'B': 'missing detach'} []")

    page.keyboard.press("c")  # from a radio button too
    wait_for(page, root, "C", 20)
    page.keyboard.press("r")
    alarm = root.get_by_role("region").get_by_role("button", name="step 15")
    alarm.focus()
    page.keyboard.press("Enter")
    wait_for(page, root, "C", 10)
    page.keyboard.press("r")
    focused = "document.activeElement.getAttribute('aria-label')"
    wait_until(page, lambda: str(page.evaluate(focused)).startswith("Show the answer"), "the keyboard is not lost")

    button(root, "Run A").focus()
    names = ["Run B", "Run C", "Picture 1", "Picture 2", "Scale", "Scale", "Play", "Snapshot", "Speed"]
    for name in names:
        page.keyboard.press("Tab")
        assert page.evaluate(focused).startswith(name)
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "radio"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Check"
    keep_screenshot(page, "gan-keyboard")


def test_play_shows_every_snapshot_and_curves_grow(page, lab, runs):
    root = show(page, lab, runs, "step=0", "run=2")
    wait_for(page, root, "C", 0)
    page.evaluate("""() => {
        window.seen = [];
        const slider = document.querySelector(".sr-gan input[type=range]");
        const path = document.querySelector(".sr-gan .sr-chart-dots");
        new MutationObserver(() => {
            const step = slider.getAttribute("aria-valuetext").split(",")[1].trim();
            requestAnimationFrame(() => window.seen.push(`${step}: ${path.getAttribute("d").split("M").length - 1}`));
        }).observe(slider, { attributeFilter: ["aria-valuetext"] });
    }""")
    root.get_by_role("button", name="Speed").click()
    root.get_by_role("button", name="Play").click()
    root.get_by_role("button", name="Pause").wait_for()
    wait_for(page, root, "C", 20)
    root.get_by_role("button", name="Play").wait_for()
    seen = list(dict.fromkeys(page.evaluate("window.seen")))
    assert seen == ["step 0: 0", "step 5: 1", "step 10: 2", "step 20: 4"]
    wait_for_picture(page, root, runs[STRONG], 20)


def test_python_moves_every_view_and_views_follow_each_other(page, lab, runs):
    root = show(page, lab, runs, views=2)
    second = page.locator(".sr-gan").nth(1)
    ask_kernel(
        page, "dashboard.run = 1; dashboard.step = 5; dashboard.sample = 1; dashboard.answers = {'B': 'healthy'}"
    )
    for view in (root, second):
        wait_for(page, view, "B", 5)
        wait_for_picture(page, view, runs[NO_DETACH], 5, sample=1)
        assert view.get_by_role("radio", name="healthy").is_checked()
        assert "Not yet" in verdict(view).inner_text()
    second.get_by_label("missing detach").check()
    assert root.get_by_role("radio", name="healthy").is_checked()  # not checked yet, so it is this view's alone
    button(second, "Check").click()
    wait_until(page, lambda: root.get_by_role("radio", name="missing detach").is_checked(), "the other view follows")
    ask_kernel(page, "dashboard.answers = {}")
    wait_until(page, lambda: root.get_by_role("radio", checked=True).count() == 0, "the answers are forgotten")


def test_panels_without_values_are_left_out_and_it_is_said(page, lab, runs):
    root = show(page, lab, runs)
    assert root.locator(".sr-chart").count() == 9
    less = """
from dataclasses import replace
history = shown[0].history
curves = {name: curve for name, curve in history.diagnostics.items() if name != "accuracy"}
GanDashboard([replace(shown[0], history=replace(history, diagnostics=curves))])
"""
    run_notebook(page, lab, lab.write("gan-less.ipynb", [make(runs), less]))
    root = drawn(page)
    assert root.locator(".sr-chart").count() == 8
    assert root.get_by_text("Not in this run's log, so not shown: accuracy.").is_visible()
    assert root.get_by_role("group", name="Run", exact=True).count() == 0  # one run is no choice


def test_it_moves_in_a_page_of_its_own(new_page, lab, runs, tmp_path):
    """No JupyterLab and no kernel: the front end with the state it was given, as an exported page keeps it."""
    widget = GanDashboard(cases(runs))
    state = {key: getattr(widget, key) for key in widget.keys if key not in ("_sprite", "_esm", "_css")}
    state = {key: value for key, value in state.items() if isinstance(value, (str, int, float, list, dict, bool))}
    sprite = base64.b64encode(widget._sprite).decode("ascii")
    source = GanDashboard._esm.replace("export default", "const widget =")
    (tmp_path / "page.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><style>{GanDashboard._css}</style>
        <main></main><script type="module">{source}
        const state = {json.dumps(state)};
        state._sprite = Uint8Array.from(atob("{sprite}"), (sign) => sign.charCodeAt(0));
        const model = {{ get: (key) => state[key], set: (key, value) => {{ state[key] = value; }},
                         on() {{}}, off() {{}}, save_changes() {{}} }};
        window.close_widget = widget.render({{ model, el: document.querySelector("main") }});</script>""",
        encoding="utf-8",
    )
    page = new_page(1000, 1300)
    page.goto((tmp_path / "page.html").as_uri())
    root = drawn(page)
    for number, (letter, name) in enumerate(zip("ABC", ORDER, strict=True)):
        button(root, f"Run {letter}").focus()
        page.keyboard.press(letter.lower())
        page.keyboard.press("Home")
        wait_for(page, root, letter, 0)
        page.keyboard.press("ArrowRight")
        wait_for_picture(page, root, runs[name], 5)
        root.get_by_label("missing detach").check()
        page.keyboard.press("Enter")
        status = verdict(root)
        wait_until(page, lambda s=status, n=number: ("Right" if n == 1 else "Not yet") in s.inner_text(), "it answers")
    assert root.get_by_text("1 of 3 named rightly").count() == 1
    keep_screenshot(page, "gan-page")
    page.evaluate("window.close_widget()")
    assert root.count() == 0


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window(new_page, lab, runs, width):
    page = new_page(width, 1400)
    root = show(page, lab, runs, "run=2")
    page.keyboard.press("Escape")
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for picture in [*root.locator("canvas").all(), *root.locator(".sr-chart-plot svg").all()]:
        box = picture.bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 80
    for picture in root.locator("canvas").all():
        box = picture.bounding_box()
        ratio = picture.evaluate("node => node.width / node.height")
        assert box["width"] / box["height"] == pytest.approx(ratio, rel=0.03)
    slider(root).focus()
    page.keyboard.press("ArrowLeft")
    wait_for(page, root, "C", 10)
    page.keyboard.press("r")
    root.get_by_role("region").wait_for()
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    keep_screenshot(page, f"gan-{width}")


def test_dark_theme_is_readable(page, lab, runs):
    root = show(page, lab, runs, "run=2")
    root.get_by_text("Keys", exact=True).click()
    root.get_by_label("missing detach").check()
    button(root, "Check").click()
    page.keyboard.press("r")
    root.get_by_role("region").wait_for()
    with dark_theme(page):
        texts = (
            *("button", "figcaption", ".sr-readout", ".sr-chart-y", ".sr-chart-x", ".sr-chart-level", "summary", "li"),
            *("legend", "label", ".sr-gan-verdict", ".sr-gan-answer p", ".sr-gan-answer strong", ".sr-gan-score"),
        )
        assert_readable(root, *texts)
        keep_screenshot(page, "gan-dark")


def test_removing_the_output_ends_play_and_listening(page, lab, runs):
    root = show(page, lab, runs, "step=0")
    before = listeners(page)
    root.get_by_role("button", name="Play").click()
    clear_outputs(page, ".sr-gan", before)
    told = ask_kernel(page, "print(dashboard.step)")
    page.wait_for_timeout(1000)  # longer than a beat
    assert ask_kernel(page, "print(dashboard.step)") == told
