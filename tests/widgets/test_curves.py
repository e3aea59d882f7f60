from __future__ import annotations

import math

import numpy as np
import pytest

from sr_course.training.history import Curve
from sr_course.widgets.curves import Axis, draw_chart, make_chart, step_axis


def labels(axis: Axis) -> list[str]:
    return [label for _, label in axis.ticks()]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(low=0, high=300), ["0", "100", "200", "300"]),
        (Axis(low=25.57, high=25.62), ["25.57", "25.58", "25.59", "25.60", "25.61", "25.62"]),
        (Axis(low=23.2, high=30.1), ["24", "26", "28", "30"]),
        (Axis(low=-0.4, high=1.1), ["0.0", "0.5", "1.0"]),
        (Axis(low=0.002, high=0.9, spacing="log"), ["0.01", "0.1"]),
        (Axis(low=0.0009, high=0.03, spacing="log"), ["0.001", "0.002", "0.005", "0.01", "0.02"]),
        (Axis(low=2e-5, high=2e-3, spacing="log"), ["2e-5", "5e-5", "0.0001", "0.0002", "0.0005", "0.001", "0.002"]),
        (Axis(low=31.8, high=33.25), ["32.0", "32.5", "33.0"]),
        (Axis(low=1.9e-3, high=2.3e-3, spacing="log"), ["0.0019", "0.0020", "0.0021", "0.0022", "0.0023"]),
        (step_axis(24_000, 10), ["0", "10", "100", "1,000", "10,000"]),
        (step_axis(4_000, 1), ["0", "1", "10", "100", "1,000", "4,000"]),
        (step_axis(300), ["0", "100", "200", "300"]),
        (step_axis(0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_ticks_are_round_and_written_alike(axis, expected):
    assert labels(axis) == expected


def test_steps_are_spread_by_their_logarithm_from_the_first_on():
    axis = step_axis(1023, 1)
    assert [axis.place(step) for step in (0, 1, 31, 1023)] == pytest.approx([0, 0.1, 0.5, 1])
    assert [step_axis(200).place(step) for step in (0, 50, 200)] == [0, 0.25, 1]


def test_values_not_finite_are_left_out_and_a_loss_of_zero_makes_the_axis_even():
    curve = Curve(steps=(1, 2, 3, 4), values=(1.0, math.nan, math.inf, 0.0))
    chart = make_chart("loss", {"l1": curve}, step_axis(4), log=True)
    (first, last) = chart.lines["l1"]
    assert (first[0], last[0]) == (0.25, 1.0)
    assert first[1] > last[1] > 0


@pytest.mark.parametrize("value", [0.0, -3.0, 27.5, 1e-9, 1e9])
@pytest.mark.parametrize("log", [False, True])
def test_a_value_that_stays_the_same_stands_in_the_middle(value, log):
    chart = make_chart("loss", {"l1": Curve(steps=(1, 2), values=(value, value))}, step_axis(4), log=log)
    assert [y for _, y in chart.lines["l1"]] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_a_long_run_is_drawn_by_a_few_hundred_points_from_its_first_to_its_last():
    steps = tuple(range(1, 100_001))
    curve = Curve(steps=steps, values=tuple(1 / step for step in steps))
    chart = make_chart("loss", {"l1": curve}, step_axis(100_000), log=True)
    points = chart.lines["l1"]
    assert 300 < len(points) < 500
    assert points[0][0] == pytest.approx(0, abs=1e-3)
    assert points[-1] == pytest.approx((1, 1 / 22), abs=2e-3)  # of 1.1 times the range, half the excess lies below
    assert not chart.dots


def test_each_line_and_the_mark_are_drawn():
    curves = {"l1": Curve(steps=(0, 100), values=(1.0, 1.0)), "gan": Curve(steps=(0, 100), values=(3.0, 3.0))}
    chart = make_chart("Training loss", curves, step_axis(100))
    pixels = np.asarray(draw_chart(chart, (300, 130), mark=0.5)).astype(int)
    assert pixels.shape == (130, 300, 3)
    # Okabe and Ito's blue and vermilion, each along half the frame at least; below the titles
    rows = []
    for colour in ((0, 114, 178), (213, 94, 0)):
        found = (np.abs(pixels - colour).max(axis=-1) < 10)[24:].sum(axis=1)
        assert found.max() > 200
        rows.append(int(found.argmax()))
    assert rows[0] > rows[1]
    middle = 42 + (300 - 12 - 42) // 2
    assert (pixels[30:105, middle] == 0).all(axis=-1).sum() > 60


def test_nothing_measured_is_an_empty_frame():
    chart = make_chart("Validation", {"psnr": Curve()}, step_axis(10))
    assert (chart.lines, chart.y_ticks) == ({"psnr": []}, [])
    assert draw_chart(chart, (200, 100), enlarge=2).size == (400, 200)


def test_axis_reaches_what_it_is_told_to_and_the_guide():
    curve = Curve(steps=(0, 10), values=(0.4, 0.6))
    chart = make_chart("accuracy", {"a": curve}, step_axis(10), include=(0.0, 1.0), guide=(0.5, "chance"))
    # 0 to 1 with a twentieth on either side: 0.5 in the middle, the curve 0.1 / 1.1 below and above it.
    assert chart.guide == (0.5, "chance")
    assert [y for _, y in chart.lines["a"]] == pytest.approx([0.5 - 0.1 / 1.1, 0.5 + 0.1 / 1.1], abs=1e-4)
    above = make_chart("detail", {"a": curve}, step_axis(10), guide=(1.0, "truth"))
    assert above.guide == (pytest.approx(1 - 1 / 22, abs=1e-4), "truth")
    assert make_chart("pull", {"a": curve}, step_axis(10), log=True, include=(0.0,)).y_ticks[0] == (
        pytest.approx(1 / 22, abs=1e-4),  # no logarithm reaches 0, so the axis is even
        "0.0",
    )


def test_what_comes_later_is_not_drawn():
    chart = make_chart("loss", {"l1": Curve(steps=(0, 50, 100), values=(1.0, 1.0, 1.0))}, step_axis(100))

    def blue(until: float) -> np.ndarray:
        pixels = np.asarray(draw_chart(chart, (300, 130), until=until)).astype(int)
        return np.flatnonzero((np.abs(pixels - (0, 114, 178)).max(axis=-1) < 10).any(axis=0))

    left, right = 42, 300 - 12
    assert blue(1).max() >= right - 1
    assert blue(0.5).max() == pytest.approx((left + right) / 2, abs=4)  # a dot is 4 px wide
    assert blue(0.49).max() == pytest.approx(left, abs=4)
    assert blue(0.49).size > 0  # a single point is a dot


def test_labels_stay_inside_the_figure():
    pixels = np.asarray(draw_chart(make_chart("t", {}, step_axis(1_000_000)), (200, 100)))
    last = pixels[84:, 150:].min(axis=(0, 2)) < 128
    assert last.any()
    assert not last[-1]


def test_names_of_lines_never_stand_in_the_title():
    curve = Curve(steps=(0, 100), values=(1.0, 2.0))
    names = ("l1", "perceptual", "adversarial")

    def drawn(title: str) -> np.ndarray:
        return np.asarray(draw_chart(make_chart(title, dict.fromkeys(names, curve), step_axis(100)), (288, 118)))

    short, long, empty = drawn("Loss"), drawn("Generator's loss"), drawn("")
    title = slice(42, 136)
    assert np.array_equal(short[:18, 180:], empty[:18, 180:])  # beside a short title
    assert not np.array_equal(long[:18, 180:], empty[:18, 180:])  # below a long one
    alone = np.asarray(draw_chart(make_chart("Generator's loss", {"l1": curve}, step_axis(100)), (288, 118)))
    assert np.array_equal(long[:17, title], alone[:17, title])
