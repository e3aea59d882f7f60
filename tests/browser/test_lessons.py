"""Every lesson as a learner opens it: all cells run, and every widget is there and moves by keyboard and by mouse."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.browser.lab import keep_screenshot, pixels, run_notebook, wait_until

pytestmark = pytest.mark.browser

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
VIEW = "application/vnd.jupyter.widget-view+json"
PATIENCE = 60  # seconds: a move may have to wait for Python
LEAST = 0.003  # share of the pixels that has to change
SIZE = (1280, 2000)  # pixels: the largest widget is seen whole, and nothing has to be scrolled between two looks
# Where the pictures are in a widget. Small ones are signs of a legend; of many maps of features some may be blank, and
# these are hidden from screen readers.
BOXES = """view => {
  const { left, top } = view.getBoundingClientRect();
  const pictures = [...view.querySelectorAll("canvas:not([aria-hidden]), img, svg")];
  const boxes = pictures.map((one) => one.getBoundingClientRect());
  const seen = boxes.filter(({ width, height }) => width > 40 && height > 40);
  return seen.map((box) => [box.left - left, box.top - top, box.width, box.height].map(Math.round));
}"""


@dataclass(frozen=True)
class Press:
    """Keys, pressed one after the other while `on` has the focus, and what they change."""

    on: str
    keys: Sequence[str]
    changes: str


@dataclass(frozen=True)
class Mouse:
    """The mouse, pressed in the middle of `on` and moved by so many pixels before it is released; none is a click."""

    on: str
    changes: str
    by: tuple[int, int] = (0, 0)


def along_a_slider(changes: str) -> list[Press | Mouse]:
    """To its start by keyboard, then on by the mouse."""
    slider = "input[type=range] >> nth=0"
    return [Press(slider, ["Home"], changes), Mouse(slider, changes, by=(60, 0))]


COMPARE = [
    Press(".sr-compare-divider", ["PageUp", "PageUp"], ".sr-compare-stage"),
    Mouse(".sr-compare-divider", ".sr-compare-stage", by=(-200, 0)),
]
# How each kind of widget is moved; selectors look inside its output. None of it makes Python work for long.
MOVES: dict[str, list[Press | Mouse]] = {
    "AblationMatrix": [
        Press("button[aria-label='Show the numbers (R)']", ["r"], "td.sr-abl-figure >> nth=0"),
        Mouse("button[aria-label^='Look at'][aria-pressed='false'] >> nth=0", ".sr-pictures >> nth=0"),
        *along_a_slider(".sr-pictures canvas >> nth=0"),
    ],
    "BlindChoice": [
        Press("button:has-text('Skip')", ["ArrowLeft"], ".sr-blind-pictures canvas >> nth=0"),
        Mouse(".sr-blind-pictures canvas >> nth=1", ".sr-blind-pictures canvas >> nth=0"),
    ],
    "CompareSlider": COMPARE,
    "EqualError": [
        Press("li[data-letter] >> nth=0", ["ArrowRight"], "li[data-letter] canvas >> nth=0"),
        Mouse("li[data-letter] canvas >> nth=0", "li[data-letter] canvas >> nth=0", by=(300, 0)),
    ],
    "FeatureExplorer": [
        Press(".sr-fx-cell[tabindex='0']", ["ArrowRight", "Enter"], ".sr-fx-target canvas >> nth=0"),
        Mouse(".sr-fx-cell[tabindex='-1'] span >> nth=0", ".sr-fx-target canvas >> nth=0"),
    ],
    "GanDashboard": along_a_slider(".sr-result canvas"),
    "GanStepper": [
        Press("button:has-text('Reset')", ["Shift+B"], ".sr-gan-panels"),
        Mouse("button[aria-label^='Both in turn: 10 ']", ".sr-gan-panels"),
    ],
    "InterpolationSlider": along_a_slider(".sr-result canvas"),
    "LiveCurve": [],  # grows while its cell trains, and has nothing to take hold of
    "LossLab": [
        *along_a_slider("canvas >> nth=1"),
        Mouse(".sr-lab-framed >> nth=0", "canvas >> nth=2", by=(-40, -40)),
    ],
    "PerceptionDistortion": [
        Press(".sr-plane-point[aria-pressed='true']", ["ArrowRight", "Enter"], ".sr-result canvas"),
        Mouse(".sr-plane-point[aria-pressed='false'] >> nth=0", ".sr-result canvas"),
    ],
    "ResampleBench": [
        Press(".noUi-handle", ["ArrowRight"], "img >> nth=1"),
        Mouse("button:has-text('picture')", "img >> nth=1"),
    ],
    "TrainingScrubber": along_a_slider(".sr-result canvas"),
    "UpscaleMyPhoto": [Mouse("button[title^='srresnet (']", "[aria-label='Network']"), *COMPARE],
}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_learner_runs_the_lesson_and_moves_its_widgets(new_page, lab, path):
    shutil.copy(path, lab.root)
    stored = [kind(output) for output in outputs(nbformat.read(path, 4))]
    page = new_page(*SIZE)
    run_notebook(page, lab, path.name)
    ran = nbformat.from_dict(page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()"))
    assert not [output for output in outputs(ran) if output.output_type == "error"]
    assert not [output for output in outputs(ran) if output.get("name") == "stderr"]
    kinds = [kind(output) for output in outputs(ran) if VIEW in output.get("data", {})]
    unknown = set(kinds) - set(MOVES)
    assert not unknown, f"this test does not know how {', '.join(unknown)} is moved; add it to MOVES"
    assert kinds == [name for name in stored if name in MOVES]
    assert kinds
    views = page.locator(".jp-OutputArea-output:not([data-mime-type])")  # what is no widget names its kind there
    wait_until(page, lambda: views.count() == len(kinds), f"the {len(kinds)} widgets are on the page", PATIENCE)
    for number, name in enumerate(kinds):
        view = views.nth(number)
        wait_until_painted(page, view, name)
        keep_screenshot(view, f"lesson-{path.stem}-{number + 1}-{name}")
        for move in MOVES[name]:
            make(page, view, move, f"{name}, output {number + 1} of {path.stem}")
        keep_screenshot(view, f"lesson-{path.stem}-{number + 1}-{name}-moved")


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def kind(output: Any) -> str:
    """The class of what a cell has returned, by its line of text: `CompareSlider(...)`."""
    found = re.match(r"(\w+)\(", output.get("data", {}).get("text/plain", ""))
    return found[1] if found else ""


def wait_until_painted(page: Any, view: Any, name: str) -> None:
    view.locator("canvas:visible, img:visible, svg:visible, table:visible").first.wait_for(timeout=1000 * PATIENCE)
    view.evaluate("node => node.scrollIntoView({ block: 'start' })")
    wait_until(page, lambda: is_painted(view), f"all pictures of {name} are painted", PATIENCE)


def is_painted(view: Any) -> bool:
    """Whether each picture and each chart has more than a few colours; one look at all is quicker than one at each."""
    shot, boxes = pixels(view), view.evaluate(BOXES)
    parts = (shot[top : top + height, left : left + width] for left, top, width, height in boxes)
    return all(len(np.unique(part.reshape(-1, 3), axis=0)) > 8 for part in parts)


def make(page: Any, view: Any, move: Press | Mouse, where: str) -> None:
    """Make a move, and wait until the picture that it changes is another."""
    place, seen = view.locator(move.on), view.locator(move.changes)
    if isinstance(move, Press):
        place.focus()
    else:
        place.hover()
    before = at_rest(page, seen, where)  # with the frame or the shade that this has put on it
    if isinstance(move, Press):
        for key in move.keys:
            page.keyboard.press(key)
    else:
        box = place.bounding_box()
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 + move.by[0], box["y"] + box["height"] / 2 + move.by[1], steps=6)
        page.mouse.up()
    wait_until(page, lambda: changed(before, pixels(seen)) > LEAST, f"{where}: {move} changes the picture", PATIENCE)


def at_rest(page: Any, seen: Any, where: str) -> np.ndarray:
    """What is seen once two looks in a row are the same."""
    looks = [pixels(seen)]

    def same() -> bool:
        looks.append(pixels(seen))
        return np.array_equal(looks[-2], looks[-1])

    wait_until(page, same, f"{where} comes to rest", PATIENCE)
    return looks[-1]


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Which share of the pixels is another, by more than rounding could make it."""
    height, width = np.minimum(before.shape, after.shape)[:2]
    return float((np.abs(before[:height, :width] - after[:height, :width]).max(axis=-1) > 8).mean())
