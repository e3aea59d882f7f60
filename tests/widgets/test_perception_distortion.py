from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import sr_course.widgets.perception_distortion as module
from sr_course.errors import ImageError
from sr_course.images import from_pil, to_pil
from sr_course.metrics import MATLAB_Y, perceptual_distance, psnr
from sr_course.widgets import PerceptionDistortion, PlanePoint, measure_methods
from sr_course.widgets.perception_distortion import NIQE_DISTANCE, VGG_DISTANCE, rmse
from tests.sentences import sentence
from tests.widgets.blends import QUICK, blended_by_hand, levels, mean_error, networks, points, sample
from tests.widgets.notebook import kept_by_notebook
from tests.widgets.sprites import sent_cell

CROPS = [sample(0), sample(1)]


def make(**options) -> PerceptionDistortion:
    return PerceptionDistortion(points(), CROPS, distance=QUICK, **options)


def live_picture(widget: PerceptionDistortion) -> np.ndarray:
    with Image.open(io.BytesIO(widget._live_picture)) as image:
        return np.asarray(image)


def expected(picture: torch.Tensor, which: int) -> tuple[float, float]:
    """PSNR and mean error of a picture of 8 bits against the truth of a crop."""
    seen = torch.from_numpy(levels(picture)).permute(2, 0, 1)[None] / 255
    hr = CROPS[which].hr
    return psnr(seen, hr, MATLAB_Y).item(), mean_error(seen, hr).item()


# --- what is measured


def test_methods_are_measured_as_means_over_pictures():
    first, second, _ = networks()
    pictures = [sample(seed) for seed in range(6)]
    found = measure_methods({"a": first, "b": second}, pictures, distance=QUICK, groups={"a": "g"})
    assert [(one.name, one.group) for one in found] == [("a", "g"), ("b", "AboutBicubic")]
    with torch.no_grad():
        results = [first(one.lr).clamp(0, 1) for one in pictures]
    decibels = [psnr(sr, one.hr).item() for sr, one in zip(results, pictures, strict=True)]
    errors = [mean_error(sr, one.hr).item() for sr, one in zip(results, pictures, strict=True)]
    assert found[0].psnr == pytest.approx(np.mean(decibels), abs=1e-6)
    assert found[0].perceptual == pytest.approx(np.mean(errors), rel=1e-5)
    low, high = found[0].psnr_interval
    assert min(decibels) - 3 < low < found[0].psnr < high < max(decibels) + 3
    assert found[0].perceptual_interval[0] < found[0].perceptual < found[0].perceptual_interval[1]
    assert found[0].network is first
    few = measure_methods({"a": first}, pictures[:4], distance=QUICK)
    assert few[0].psnr_interval is None
    with pytest.raises(ValueError, match="no pictures") as error:
        measure_methods({"a": first}, [])
    sentence(error)


def test_vgg_distance_is_the_metric_also_where_a_truth_comes_again():
    one, other = sample(0).hr, sample(1).hr
    spoilt = (one * 0.5 + 0.2).clamp(0, 1)
    for sr, hr in [(spoilt, one), (one, one), (spoilt, other), (other, one), (spoilt, one)]:
        assert VGG_DISTANCE.measure(sr, hr).item() == pytest.approx(perceptual_distance(sr, hr).item(), abs=1e-7)


def test_niqe_can_stand_on_the_axis_and_says_when_a_crop_is_too_small():
    with pytest.raises(ValueError, match="96"):
        PerceptionDistortion(points(), CROPS, distance=NIQE_DISTANCE)


@pytest.mark.parametrize(("db", "levels_of_255"), [(20 * math.log10(255), 1), (20, 25.5), (40, 2.55), (0, 255)])
def test_rmse_belongs_to_a_psnr(db, levels_of_255):
    assert rmse(db) == pytest.approx(levels_of_255)


def test_every_point_is_measured_on_every_crop():
    widget = make()
    given = points()
    for which, crop in enumerate(CROPS):
        for index, point in enumerate(given):
            if point.network is not None:
                with torch.no_grad():
                    picture = point.network(crop.lr).clamp(0, 1)
            else:
                picture = from_pil(point.pictures[which])
            told = widget._points[index]["crops"][which]
            assert np.array_equal(sent_cell(widget, told["cell"]), levels(picture))
            db, error = expected(picture, which)
            assert (told["psnr"], told["distance"]) == ([pytest.approx(db)], [pytest.approx(error)])
            assert told["says"] == f"{db:.2f} dB, mean error {error:.4f}"
        assert np.array_equal(sent_cell(widget, widget._crops[which]["truth"]), levels(crop.hr))


def test_means_and_intervals_travel_as_they_were_given():
    told = make()._points
    assert told[0]["means"]["psnr"] == [26.0, 25.0, 27.5]
    assert told[0]["means"]["distance"] == [0.5]
    assert told[1]["means"]["distance"] == [0.25, 0.2, 0.3]
    assert [one["group"] for one in told] == [0, 0, 0, 1]


def test_axes_hold_points_and_intervals_and_what_is_better_lies_left():
    means = make()._views[0]
    assert means["psnr"]["low"] < 20 < 27.5 < means["psnr"]["high"]
    assert means["psnr"]["turned"]
    assert not means["rmse"]["turned"]
    assert means["rmse"]["low"] < 255 / 10 ** (27.5 / 20) < 25.5 < means["rmse"]["high"]
    assert means["distance"]["low"] < 0.2 < 0.75 < means["distance"]["high"]
    ticks = {label: place for place, label in means["psnr"]["ticks"]}
    assert ticks["26"] < ticks["22"]
    low, high = means["psnr"]["low"], means["psnr"]["high"]
    assert ticks["22"] == pytest.approx(1 - (22 - low) / (high - low), abs=1e-3)


def test_one_point_has_axes_too():
    widget = PerceptionDistortion(points()[:1], CROPS[:1], distance=QUICK)
    assert all(widget._views[0][key]["low"] < widget._views[0][key]["high"] for key in ("psnr", "rmse", "distance"))
    widget.still()


# --- blends


def test_only_networks_of_one_group_and_form_can_be_blended():
    widget = make()
    assert [one["partners"] for one in widget._points] == [[1], [0], [], []]
    for pair in ([0, 2], [0, 3]):
        with pytest.raises(ValueError, match="cannot be blended") as error:
            widget.selected = pair
        sentence(error)
    assert widget.selected == [0]
    other = [points()[0], replace(points()[1], group="elsewhere")]
    assert PerceptionDistortion(other, CROPS, distance=QUICK)._points[0]["partners"] == []


def test_a_blend_has_the_weights_between_and_is_measured_on_the_crop():
    widget = make(selected=(0, 1), alpha=0.35, crop=1)
    first, second, _ = networks()
    picture = blended_by_hand(first, second, 0.35, CROPS[1].lr)
    assert np.abs(live_picture(widget).astype(int) - levels(picture)).max() <= 1
    db, error = expected(picture, 1)
    told = widget._live
    assert (told["ends"], told["crop"], told["alpha"]) == ([0, 1], 1, 0.35)
    assert told["psnr"] == pytest.approx(db, abs=1e-3)
    assert told["distance"] == pytest.approx(error, abs=1e-5)
    assert repr(widget).startswith(
        f"PerceptionDistortion(0.65 one + 0.35 two on crop 2 of 2 {db:.2f} dB, mean error {error:.4f}; means: one 26.00"
    )


def test_the_order_of_the_two_turns_the_slider():
    widget = make(selected=(0, 1), alpha=0.35)
    there, picture = widget._live, live_picture(widget)
    widget.selected = [1, 0]
    widget.alpha = 0.65
    assert np.array_equal(live_picture(widget), picture)
    assert (widget._live["psnr"], widget._live["alpha"]) == (there["psnr"], 0.65)
    assert "0.35 two + 0.65 one" in repr(widget)
    assert widget._live["trail"][0][1:] == there["trail"][-1][1:]


def test_the_ends_of_the_slider_are_the_points_themselves():
    widget = make(selected=(0, 1), alpha=0.0)
    told = widget._points[0]["crops"][0]
    assert widget._live["psnr"] == told["psnr"][0]
    assert np.array_equal(live_picture(widget), sent_cell(widget, told["cell"]))
    widget.alpha = 1.0
    told = widget._points[1]["crops"][0]
    assert widget._live["distance"] == told["distance"][0]
    assert np.array_equal(live_picture(widget), sent_cell(widget, told["cell"]))


def test_a_trail_grows_with_every_measured_blend():
    widget = make(selected=(0, 1), alpha=0.5)
    widget.alpha = 0.2
    widget.alpha = 0.21  # the same position
    assert [alpha for alpha, _, _ in widget._live["trail"]] == [0, 0.2, 0.5, 1]
    widget.crop = 1
    assert [alpha for alpha, _, _ in widget._live["trail"]] == [0, 0.2, 1]
    widget.crop = 0
    first, second, _ = networks()
    for alpha, db, error in widget._live["trail"]:
        assert (db, error) == pytest.approx(expected(blended_by_hand(first, second, alpha, CROPS[0].lr), 0), abs=1e-3)


def test_a_moving_hand_gets_pictures_and_a_resting_one_the_distance():
    widget = make()
    asked = []
    slow = replace(QUICK, measure=lambda sr, hr: (asked.append(1), mean_error(sr, hr))[1])
    widget._by = slow
    widget._hear(widget, {"ends": [0, 1], "crop": 0, "alpha": 0.4}, [])
    assert (widget._live["alpha"], widget._live["distance"], asked) == (0.4, None, [])
    assert [alpha for alpha, _, _ in widget._live["trail"]] == [0, 1]
    widget.selected, widget.alpha = [0, 1], 0.4
    assert widget._live["distance"] is not None
    assert len(asked) == 1  # at alpha 0 there was nothing to measure
    widget._hear(widget, {"ends": [0, 1], "crop": 0, "alpha": 0.4}, [])
    assert (len(asked), widget._live["distance"]) == (1, widget._live["trail"][1][2])


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"ends": [0], "crop": 0, "alpha": 0.4},
        {"ends": [0, 2], "crop": 0, "alpha": 0.4},
        {"ends": [0, 9], "crop": 0, "alpha": 0.4},
        {"ends": ["0", 1], "crop": 0, "alpha": 0.4},
        {"ends": [0, 1], "crop": 2, "alpha": 0.4},
        {"ends": [0, 1], "crop": 0, "alpha": 1.4},
        {"ends": [0, 1], "crop": 0, "alpha": None},
    ],
)
def test_what_makes_no_sense_is_not_computed(message):
    widget = make()
    widget._hear(widget, message, [])
    assert widget._live == {}


def test_pairs_are_computed_ahead_where_asked_or_where_networks_are_large(monkeypatch):
    first, second, _ = networks()
    asked = make(prepare=[("two", "one")])
    monkeypatch.setattr(module, "LIVE_WORK", 0)
    for widget in (asked, make()):
        (pair,) = widget._pairs
        assert pair["ends"] == [0, 1]
        for which, made in enumerate(pair["crops"]):
            assert len(made["cells"]) == 11
            for place, (cell, db, error) in enumerate(zip(made["cells"], made["psnr"], made["distance"], strict=True)):
                picture = blended_by_hand(first, second, place / 10, CROPS[which].lr)
                assert np.abs(sent_cell(widget, cell).astype(int) - levels(picture)).max() <= 1
                assert (db, error) == pytest.approx(expected(picture, which), abs=1e-3)
        widget.selected, widget.alpha = [0, 1], 0.33
        assert widget._live == {}  # the browser has it all
        assert "0.70 one + 0.30 two" in repr(widget)


def test_too_many_large_pairs_are_left_out_and_it_is_said(monkeypatch):
    monkeypatch.setattr(module, "LIVE_WORK", 0)
    monkeypatch.setattr(module, "MOST_LARGE_PAIRS", 1)
    first, second, _ = networks()
    three = [
        PlanePoint(name=name, psnr=20, perceptual=1, network=network)
        for name, network in {"a": first, "b": second, "c": first}.items()
    ]
    widget = PerceptionDistortion(three, CROPS[:1], distance=QUICK)
    assert [pair["ends"] for pair in widget._pairs] == [[0, 1]]
    assert [one["partners"] for one in widget._points] == [[1], [0], []]
    assert widget._note.startswith("2 pairs of large networks are not offered")
    with pytest.raises(ValueError, match="left out") as error:
        widget.selected = [0, 2]
    sentence(error)
    wanted = PerceptionDistortion(three, CROPS[:1], distance=QUICK, prepare=[("c", "b")])
    assert [pair["ends"] for pair in wanted._pairs] == [[0, 1], [1, 2]]


def test_axes_of_a_crop_grow_where_a_blend_lies_beyond_its_ends():
    widget = make(selected=(0, 1))
    low = widget._views[1]["distance"]["low"]
    widget._by = replace(QUICK, measure=lambda sr, hr: torch.tensor([low - 0.5]))
    widget.alpha = 0.5
    assert widget._views[1]["distance"]["low"] < low - 0.5
    assert widget._views[2]["distance"] == make()._views[2]["distance"]


def test_few_blends_are_kept(monkeypatch):
    monkeypatch.setattr(module, "_MOST_KEPT", 3)
    widget = make(selected=(0, 1))
    for place in range(1, 20):
        widget.alpha = place / 20
    assert len(widget._known) == 3


# --- state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crop": 2}, "crop is 2; the crops go from 0 to 1"),
        ({"alpha": 1.5}, "alpha is 1.5; it goes from 0"),
        ({"selected": [4]}, "selected is 4; the points go from 0 to 3"),
        ({"selected": []}, "0 points are selected"),
        ({"selected": [0, 1, 2]}, "3 points are selected"),
        ({"distortion": "ssim"}, "distortion is 'ssim'; choose rmse or psnr"),
    ],
)
def test_what_does_not_exist_is_refused(change, said):
    widget = make()
    before = repr(widget)
    (key, value), *_ = change.items()
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        setattr(widget, key, value)
    sentence(error)
    assert repr(widget) == before


def test_points_that_make_no_sense_are_refused():
    given = points()
    cases = [
        ([], CROPS, "0 points were given"),
        (given, [], "there is no crop"),
        ([given[0], given[0]], CROPS, "two points are called 'one'"),
        ([replace(given[0], psnr=math.inf)], CROPS, "figures of one are not all finite"),
        ([replace(given[0], perceptual_interval=(0.0, math.nan))], CROPS, "figures of one are not all finite"),
        ([given[3]], CROPS[:1], "grey has 2 pictures and no network"),
        ([replace(given[3], pictures=[given[3].pictures[0].crop((0, 0, 8, 8))])], CROPS[:1], "grey is 8x8"),
        ([replace(given[3], pictures=[to_pil(CROPS[0].hr)])], CROPS[:1], "leave the truth itself out"),
    ]
    for some, crops, said in cases:
        with pytest.raises(ValueError, match=said) as error:
            PerceptionDistortion(some, crops, distance=QUICK)
        sentence(error)
    with pytest.raises(ImageError, match="grey"):
        PerceptionDistortion([replace(given[3], pictures=[CROPS[0].hr + 1])], CROPS[:1], distance=QUICK)
    with pytest.raises(ValueError, match="no point 'three' to prepare"):
        make(prepare=[("one", "three")])
    with pytest.raises(ValueError, match="wide cannot be blended"):
        make(prepare=[("one", "wide")])


def test_pictures_together_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 10_000)
    with pytest.raises(ValueError, match="megapixels together") as error:
        make()
    sentence(error)


# --- what a notebook stores


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text():
    widget = make(scene=("noise", "more noise"), crop=1)
    kept = kept_by_notebook(widget)
    says = widget._points[0]["crops"][1]["says"]
    means = (
        "one 26.00 dB, mean error 0.5000; two 24.00 dB, mean error 0.2500; wide 25.00 dB, mean error 0.4000; "
        "grey 20.00 dB, mean error 0.7500"
    )
    assert kept.text == f"PerceptionDistortion(one on crop 2 of 2 {says}; means: {means})"
    assert kept.still.size == widget.still().size
    assert kept.alt == (
        f"A plane of root mean square error and mean error, means over pictures: {means}. Beside it two pictures of "
        f"more noise: one ({says}) and the truth."
    )


def test_still_shows_the_plane_and_the_picture_that_is_selected():
    widget = make()
    before = np.asarray(widget.still()).astype(int)

    def changed() -> tuple[int, int]:
        """How much the plane changed, and the pictures."""
        now = np.abs(np.asarray(widget.still()).astype(int) - before)
        return int(now[:, :430].max()), int(now[:, 444:].max())

    widget.distortion = "psnr"
    assert changed()[0] > 50
    assert changed()[1] == 0
    widget.distortion, widget.selected = "rmse", [3]
    assert changed()[1] > 20
    widget.selected, widget.on_crop = [0], True
    assert changed()[0] > 50
    assert changed()[1] == 0
    shown = np.asarray(widget.still())
    # 64 x 48, three times as large: the picture is in it pixel for pixel
    enlarged = sent_cell(widget, widget._points[0]["crops"][0]["cell"]).repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(shown[68 : 68 + 192, 444 : 444 + 144], enlarged)


def test_a_blend_moves_in_the_still():
    widget = make(selected=(0, 1), alpha=0.2)
    one = np.asarray(widget.still()).astype(int)
    widget.alpha = 0.8
    other = np.asarray(widget.still()).astype(int)
    assert np.abs(one - other)[44:390, 52:416].max() > 100  # the ring in the plane
    assert np.abs(one - other)[68:, 444:].max() > 0  # the picture
