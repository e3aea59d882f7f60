from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import sr_course.widgets.interpolation_slider as module
from sr_course.errors import ModelError
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.widgets import InterpolationSlider
from tests.sentences import sentence
from tests.widgets.blends import QUICK, blended_by_hand, levels, mean_error, networks, sample
from tests.widgets.notebook import kept_by_notebook
from tests.widgets.sprites import sent_cell

PICTURE = sample(0)


def make(alphas: int = 11, **options) -> InterpolationSlider:
    first, second, _ = networks()
    return InterpolationSlider(first, second, PICTURE, alphas, distance=QUICK, names=("soft", "sharp"), **options)


def ends() -> list[np.ndarray]:
    """What the two networks make of the picture, in 0..255."""
    with torch.no_grad():
        return [levels(network(PICTURE.lr).clamp(0, 1)).astype(float) for network in networks()[:2]]


def measured(picture: np.ndarray) -> tuple[float, float]:
    seen = torch.from_numpy(picture.astype(np.uint8)).permute(2, 0, 1)[None] / 255
    return psnr(seen, PICTURE.hr, MATLAB_Y).item(), mean_error(seen, PICTURE.hr).item()


def test_weights_are_blended_on_one_side_and_pictures_on_the_other():
    widget = make(6)
    first, second, _ = networks()
    weights, pictures = widget._ways
    assert widget._alphas == [0, 0.2, 0.4, 0.6, 0.8, 1]
    soft, sharp = ends()
    for place, alpha in enumerate(widget._alphas):
        by_hand = levels(blended_by_hand(first, second, alpha, PICTURE.lr))
        assert np.abs(sent_cell(widget, weights["cells"][place]).astype(int) - by_hand).max() <= 1
        mixed = np.floor((1 - alpha) * soft + alpha * sharp + 0.5)
        assert np.abs(sent_cell(widget, pictures["cells"][place]) - mixed).max() <= 1
    assert np.array_equal(sent_cell(widget, widget._truth), levels(PICTURE.hr))


def test_both_ways_meet_at_the_ends_and_equal_pictures_travel_once():
    widget = make()
    weights, pictures = widget._ways
    assert weights["cells"][0] == pictures["cells"][0]
    assert weights["cells"][-1] == pictures["cells"][-1]
    assert weights["cells"][5] != pictures["cells"][5]
    soft, sharp = ends()
    assert np.array_equal(sent_cell(widget, weights["cells"][0]), soft)
    assert np.array_equal(sent_cell(widget, weights["cells"][-1]), sharp)
    assert len(widget._cells) == 2 + 2 * 9 + 1


def test_numbers_and_curves_are_of_the_pictures_that_are_seen():
    widget = make(5)
    for line, way in enumerate(widget._ways):
        for place, cell in enumerate(way["cells"]):
            db, error = measured(sent_cell(widget, cell))
            assert way["says"][place] == f"{db:.2f} dB, mean error {error:.4f}"
            assert widget._charts[0]["values"][place][line] == f"{db:.2f} dB"
            assert widget._charts[1]["values"][place][line] == f"{error:.4f}"
    titles = [chart["title"] for chart in widget._charts]
    assert titles == ["PSNR, dB", "mean error"]
    for chart in widget._charts:
        assert [line["name"] for line in chart["lines"]] == ["weights blended", "pictures blended"]
        assert [x for x, _ in chart["lines"][0]["points"]] == [0, 0.25, 0.5, 0.75, 1]
        assert chart["x"][0] == (0, "0")
        assert chart["x"][-1] == (1, "1")
        one, other = (line["points"] for line in chart["lines"])
        assert one[0] == other[0]
        assert one[-1] == other[-1]


def test_each_picture_is_measured_once():
    asked = []

    def count(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        asked.append(1)
        return mean_error(sr, hr)

    first, second, _ = networks()
    InterpolationSlider(first, second, PICTURE, distance=module.Distance("counted", count))
    assert len(asked) == 2 + 2 * 9


def test_position_follows_alpha():
    widget = make()
    assert (widget.index, widget.alpha) == (5, 0.5)
    widget.alpha = 0.33
    assert (widget.index, widget.alpha) == (3, 0.3)
    widget.index = 10
    assert widget.alpha == 1
    assert make(index=2).alpha == 0.2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": 11}, "index is 11; the positions go from 0 to 10"),
        ({"index": -1}, "index is -1"),
        ({"alpha": 1.2}, "alpha is 1.2; it goes from 0"),
    ],
)
def test_what_does_not_exist_is_refused(change, said):
    widget = make()
    (key, value), *_ = change.items()
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        setattr(widget, key, value)
    sentence(error)
    assert widget.index == 5


def test_what_makes_no_sense_is_refused(monkeypatch):
    first, _, other = networks()
    for alphas in (1, 42):
        with pytest.raises(ValueError, match=f"{alphas} positions") as error:
            make(alphas)
        sentence(error)
    with pytest.raises(ModelError, match="architecture") as error:
        InterpolationSlider(first, other, PICTURE, distance=QUICK)
    sentence(error)
    monkeypatch.setattr(module, "MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match="22 pictures of 48x64 hold") as error:
        make()
    sentence(error)


def test_networks_and_picture_are_left_as_they_were():
    first, second, _ = networks()
    before = {name: one.clone() for name, one in first.state_dict().items()}
    InterpolationSlider(first, second, PICTURE, 3, distance=QUICK)
    assert all(torch.equal(one, before[name]) for name, one in first.state_dict().items())


# --- what a notebook stores


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text():
    widget = make(scene="noise", index=2)
    kept = kept_by_notebook(widget)
    weights, pictures = (way["says"][2] for way in widget._ways)
    told = f"weights blended {weights}, pictures blended {pictures}"
    assert kept.text == f"InterpolationSlider(soft to sharp, alpha 0.20, position 3 of 11: {told})"
    assert kept.still.size == widget.still().size
    assert kept.alt == (
        f"Three pictures of noise between soft and sharp at a share of 0.20 of the second: {told}, and the truth. "
        "Below: both figures over the share."
    )


def test_still_shows_the_position():
    widget = make(index=1)
    one = np.asarray(widget.still()).astype(int)
    widget.index = 8
    other = np.asarray(widget.still()).astype(int)
    changed = np.abs(one - other)
    height = 64 * 4  # enlarged four times
    assert changed[66 : 66 + height, :288].max() > 0
    assert changed[66 : 66 + height, 300:588].max() > 0
    assert changed[66 : 66 + height, 600:].max() == 0  # the truth
    assert changed[66 + height + 12 :].max() > 100  # the mark in the curves
    enlarged = sent_cell(widget, widget._ways[0]["cells"][8]).repeat(4, axis=0).repeat(4, axis=1)
    assert np.array_equal(other[66 : 66 + height, : 48 * 4], enlarged)
