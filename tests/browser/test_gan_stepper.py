from __future__ import annotations

import numpy as np
import pytest

from sr_course.lessons.toy_gan import ToyGan
from tests.browser.lab import (
    ask_kernel,
    assert_readable,
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

BLUE, VERMILION, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)  # Okabe and Ito: data, samples, the best


def show(page, lab, options: str = "", views: int = 1):
    """Run the stepper in a notebook, and return its first view once it is drawn."""
    cell = f"from sr_course.widgets import GanStepper\nstepper = GanStepper({options})"
    run_notebook(page, lab, lab.write("stepper.ipynb", [cell, *["stepper"] * views]))
    root = page.locator(".sr-gan").first
    root.scroll_into_view_if_needed()
    wait_until(page, lambda: (near(pixels(panel(root, "Distributions")), BLUE)).any(), "the data are drawn")
    return root


# Restarting it instead would make JupyterLab itself write errors to the console.
BUSY = """() => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  kernel.requestExecute({ code: "import time; time.sleep(9)" });
}"""


def panel(root, title: str):
    # The title alone: "discriminator" is also the name of a curve.
    return root.locator("figure").filter(has=root.page.locator("strong", has_text=title)).locator(".sr-gan-plot > svg")


def near(shot: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(shot - colour).max(axis=-1) < 40


def columns(root, title: str, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a colour is in a panel, as fractions of its frame: 0 is x = -4, 1 is x = 4."""
    shot = pixels(panel(root, title))
    return (np.flatnonzero(near(shot, colour).any(axis=0)) - 40) / (shot.shape[1] - 52)


def wait_for_steps(page, root, discriminator: int, generator: int) -> None:
    said = f"{discriminator} discriminator, {generator} generator"
    wait_until(page, lambda: said in root.locator(".sr-gan-numbers").inner_text(), f"it says {said}")


def button(root, name: str):
    return root.get_by_role("button", name=name, exact=False)


def test_buttons_step_the_gan_in_python_and_the_panels_follow(page, lab):
    root = show(page, lab)
    wait_for_steps(page, root, 0, 0)
    samples = columns(root, "Distributions", VERMILION)
    assert (samples.max() - 0.5) * 8 < 0.5  # they begin on the left of zero
    judged = pixels(panel(root, "Discriminator"))
    button(root, "Discriminator: 1 step (D)").click()
    wait_for_steps(page, root, 1, 0)
    button(root, "Discriminator: 10 steps").click()
    wait_for_steps(page, root, 11, 0)
    assert not np.array_equal(pixels(panel(root, "Discriminator")), judged)
    assert np.array_equal(columns(root, "Distributions", VERMILION), samples)
    button(root, "Generator: 100 steps").click()
    wait_for_steps(page, root, 11, 100)
    button(root, "Both in turn: 100 steps").click()
    wait_for_steps(page, root, 111, 200)
    assert (columns(root, "Distributions", VERMILION).max() - 0.5) * 8 > 1.0
    expected = ToyGan()
    expected.step_discriminator(11)
    expected.step_generator(100)
    expected.step_both(100)
    numbers = root.locator(".sr-gan-numbers").inner_text()
    assert f"{expected.discriminator_loss():.3f} (guessing: 1.386)" in numbers
    assert f"a = {expected.parameters[0]:.2f}" in numbers
    assert ask_kernel(page, "print(stepper.gan.discriminator_loss())") == str(expected.discriminator_loss())
    keep_screenshot(page, "gan-stepper-light")
    button(root, "Back to the start").click()
    wait_for_steps(page, root, 0, 0)
    assert np.array_equal(columns(root, "Distributions", VERMILION), samples)


def test_options_change_the_game_and_steps_wait_for_them(page, lab):
    root = show(page, lab)
    button(root, "Data: one bump").click()
    wait_until(page, lambda: (columns(root, "Distributions", BLUE).min() - 0.5) * 8 > -4.1, "drawn")
    button(root, "Discriminator: parabola").click()
    button(root, "Generator: line").first.click()
    button(root, "log(1 − D)").click()
    rate = root.get_by_role("slider", name="Learning rate")
    rate.focus()
    page.keyboard.press("ArrowRight")  # one press after the other, with no rest: Python hears them in this order
    button(root, "Discriminator: 100 steps").click()
    wait_for_steps(page, root, 100, 0)
    expected = ToyGan(data="one bump", generator="line", discriminator="parabola", loss="saturating", learning_rate=0.3)
    expected.step_discriminator(100)
    pull = np.abs(expected.pull()).mean()
    caption = root.locator("figure", has_text="Pull on samples").locator("figcaption")
    wait_until(page, lambda: f"on average {pull:.3f}" in caption.inner_text(), "the pull has vanished")
    keep_screenshot(page, "gan-stepper-vanished")
    length = np.ptp(columns(root, "Pull", VERMILION))
    button(root, "non-saturating").click()
    expected.loss = "non-saturating"
    pull = np.abs(expected.pull()).mean()
    wait_until(page, lambda: f"on average {pull:.3f}" in caption.inner_text(), "it pulls again")
    assert np.ptp(columns(root, "Pull", VERMILION)) > length + 0.1  # arrows a unit and a half long, of eight
    keep_screenshot(page, "gan-stepper-pulls")
    pace = root.get_by_role("slider", name="Discriminator steps a round")
    pace.focus()
    for key in ("ArrowRight", "ArrowRight", "PageUp", "Home", "ArrowUp", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    wait_until(page, lambda: ask_kernel(page, "print(stepper.discriminator_steps)") == "3", "three steps a round")
    page.keyboard.press("b")
    wait_for_steps(page, root, 103, 1)
    said = ask_kernel(page, "print(stepper.data, stepper.generator, stepper.discriminator, stepper.learning_rate)")
    assert said == "one bump line parabola 0.3"


def test_keyboard_does_everything_and_jupyterlab_does_not_listen_in(page, lab):
    root = show(page, lab)
    button(root, "Data: two bumps").focus()
    for keys, steps in [("d", (1, 0)), ("Shift+D", (11, 0)), ("g", (11, 1)), ("b", (12, 2)), ("Shift+B", (22, 12))]:
        page.keyboard.press(keys)
        wait_for_steps(page, root, *steps)
    page.keyboard.press("r")
    wait_for_steps(page, root, 0, 0)
    for key in ("a", "x", "0", "0", "m", "y", "c"):  # cells above, cut, restart the kernel, and so on
        page.keyboard.press(key)
    assert page.locator(".jp-CodeCell").count() == 2
    assert page.locator(".jp-Dialog").count() == 0
    names = []
    while len(names) < 30 and "Back to the start (R)" not in names:
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.getAttribute('aria-label') ?? 'Keys'"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert "Learning rate" in names
    assert "Both in turn: 100 steps" in names
    assert names[-1] == "Back to the start (R)"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    wait_for_steps(page, root, 100, 100)


def test_it_runs_until_it_is_paused(page, lab):
    root = show(page, lab)
    button(root, "Data: two bumps").first.focus()
    page.keyboard.press("r")
    root.locator(".sr-gan-numbers").click()
    button(root, "Run").click()
    wait_until(page, lambda: int(ask_kernel(page, "print(stepper.gan.generator_updates)")) >= 5, "it runs")
    button(root, "Pause").click()
    page.wait_for_timeout(500)
    told = ask_kernel(page, "print(stepper.gan.generator_updates)")
    page.wait_for_timeout(500)
    assert ask_kernel(page, "print(stepper.gan.generator_updates)") == told
    wait_for_steps(page, root, int(told), int(told))


def test_python_moves_every_view(page, lab):
    root = show(page, lab, "learning_rate=0.3", views=2)
    ask_kernel(page, "stepper.step_discriminator(100); stepper.step_generator(100); stepper.loss = 'saturating'")
    for view in (root, page.locator(".sr-gan").nth(1)):
        wait_for_steps(page, view, 100, 100)
        pressed = view.locator("button[aria-pressed='true']").all_inner_texts()
        assert pressed == ["two bumps", "line with a step", "hills", "log(1 − D): saturating"]
    keep_screenshot(page, "gan-stepper-collapsed")


def test_a_kernel_that_does_not_answer_is_told(page, lab):
    root = show(page, lab)
    page.evaluate(BUSY)
    button(root, "Both in turn: 1 step").click()
    note = root.locator(".sr-note")
    wait_until(page, lambda: "Python does not answer" in note.inner_text(), "it says so")


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_every_width_of_window(new_page, lab, width):
    page = new_page(width, 1000)
    root = show(page, lab)
    assert root.evaluate("node => node.scrollWidth <= node.clientWidth")
    for title in ("Discriminator", "Distributions", "Pull", "Losses"):
        box = panel(root, title).first.bounding_box()
        assert box["x"] + box["width"] <= width
        assert box["width"] > 150
    for node in root.locator("button, input").all():
        box = node.bounding_box()
        assert box["x"] + box["width"] <= width
    button(root, "Both in turn: 10 steps").click()
    wait_for_steps(page, root, 10, 10)
    keep_screenshot(page, f"gan-stepper-{width}")


def test_dark_theme_is_readable(page, lab):
    root = show(page, lab)
    ask_kernel(page, "stepper.step_both(100)")
    wait_for_steps(page, root, 100, 100)
    root.get_by_text("Keys", exact=True).click()
    with dark_theme(page):
        assert_readable(
            root, "button", "figcaption span", ".sr-gan-numbers span", ".sr-gan-slider", "summary", "li", "text"
        )
        drawn = pixels(panel(root, "Distributions"))
        assert near(drawn, BLUE).any()
        assert near(drawn, VERMILION).any()
        assert contrast(pixels(panel(root, "Discriminator").first)) > 7  # the curve of D is light on dark
        keep_screenshot(page, "gan-stepper-dark")


def test_removing_the_output_ends_running_and_listening(page, lab):
    root = show(page, lab)
    before = listeners(page)
    button(root, "Run").click()
    clear_outputs(page, ".sr-gan", before)
    page.wait_for_timeout(300)
    told = ask_kernel(page, "print(stepper.gan.generator_updates)")
    page.wait_for_timeout(500)
    assert ask_kernel(page, "print(stepper.gan.generator_updates)") == told
