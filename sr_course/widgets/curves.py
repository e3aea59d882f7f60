"""Curves over the steps of a run, laid out once: the browser draws the same lines as the still picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PIL import Image, ImageDraw, ImageFont

from sr_course.training.history import Curve

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's colours, told apart by people of every colour vision; beyond six lines they repeat."""

Spacing = Literal["linear", "log", "log1p"]
Tick = tuple[float, str]

_MOST_POINTS = 400  # of a line: more than a figure is wide
_FINEST = 1e-12  # below this a range is no range


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Where values stand between 0 and 1.

    Attributes:
        low, high: the values at 0 and 1, `low < high`.
        spacing: `linear`; `log`, for values above 0; or `log1p`, for steps from 0 on: log(1 + step / unit).
        unit: of `log1p`, where its spacing turns from linear to logarithmic.
    """

    low: float
    high: float
    spacing: Spacing = "linear"
    unit: float = 1.0

    def place(self, value: float) -> float:
        """Return where a value stands, 0 to 1."""
        low, high, here = (self._bent(one) for one in (self.low, self.high, value))
        return min(max((here - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[Tick]:
        """Choose round values to write beside the axis, each with its place."""
        values, step = self._round_values()
        return [(self.place(value), _written(value, step)) for value in values if self.low <= value <= self.high]

    def _bent(self, value: float) -> float:
        if self.spacing == "linear":
            return value
        return math.log(value) if self.spacing == "log" else math.log1p(value / self.unit)

    def _round_values(self) -> tuple[list[float], float | None]:
        """Round values, and the distance between them where they are evenly apart."""
        if self.spacing == "log1p":
            values = [0.0, *_decades(self.unit, self.high, (1,))]
            return ([*values, self.high] if self.place(values[-1]) < 0.88 else values), None  # where it has room
        if self.spacing == "log" and self.high / self.low > 4:
            return _decades(self.low, self.high, (1,) if self.high / self.low > 100 else (1, 2, 5)), None
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        return [(first + index) * step for index in range(8)], step


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves in a frame; every place is a pair of fractions, from the left and from below.

    Attributes:
        title: what is drawn, with its unit.
        lines: places of each curve's points, by name.
        dots: mark the points, for they are few.
        x_ticks, y_ticks: places and labels.
        guide: place and name of a value to hold the curves against, such as chance; none unless given.
    """

    title: str
    lines: Mapping[str, list[tuple[float, float]]]
    dots: bool
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    guide: Tick | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the chart as plain values, for the browser."""
        lines = [
            {"name": name, "colour": COLOURS[index % len(COLOURS)], "points": points}
            for index, (name, points) in enumerate(self.lines.items())
        ]
        ticks = {"x": self.x_ticks, "y": self.y_ticks}
        return {"title": self.title, "lines": lines, "dots": self.dots, "guide": self.guide, **ticks}


def step_axis(last: int, first: int | None = None) -> Axis:
    """Return the axis of a run's steps, 0 to `last`: even, or with the early steps spread out from `first` on."""
    if first is None or not 0 < first < last:
        return Axis(low=0, high=max(last, 1))
    return Axis(low=0, high=last, spacing="log1p", unit=first)


def make_chart(
    title: str,
    curves: Mapping[str, Curve],
    steps: Axis,
    *,
    log: bool = False,
    include: Sequence[float] = (),
    guide: Tick | None = None,
) -> Chart:
    """Lay curves out in a frame.

    Args:
        title: what they are, with the unit.
        curves: by name; values that are not finite are left out.
        steps: the axis they stand over.
        log: space the values logarithmically, if all are above 0.
        include: values that the axis reaches too, such as those of a chart to compare with.
        guide: value and name of a line across, which the axis reaches too.
    """
    points = {
        name: [pair for pair in zip(curve.steps, curve.values, strict=True) if math.isfinite(pair[1])]
        for name, curve in curves.items()
    }
    values = [value for line in points.values() for _, value in line]
    reached = [*values, *include, *([guide[0]] if guide else [])]
    height = _value_axis(reached, log=log and min(reached, default=0) > 0)
    lines = {
        name: _thinned([(round(steps.place(step), 4), round(height.place(value), 4)) for step, value in line])
        for name, line in points.items()
    }
    few = all(len(line) <= 30 for line in lines.values())
    return Chart(
        title=title,
        lines=lines,
        dots=few,
        x_ticks=steps.ticks(),
        y_ticks=height.ticks() if values else [],
        guide=(round(height.place(guide[0]), 4), guide[1]) if guide else None,
    )


def draw_chart(
    chart: Chart,
    size: tuple[int, int],
    *,
    mark: float | None = None,
    until: float = math.inf,
    enlarge: int = 1,
) -> Image.Image:
    """Draw a chart on white.

    Args:
        chart: what to draw.
        size: width and height in pixels, before enlarging.
        mark: place of a vertical line, 0 to 1.
        until: leave out the points behind this place, 0 to 1.
        enlarge: draw everything this many times larger, for fine screens.
    """
    width, height = (side * enlarge for side in size)
    small, large = (ImageFont.load_default(points * enlarge) for points in (11, 12))
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    left, top, right, bottom = 42 * enlarge, 22 * enlarge, width - 12 * enlarge, height - 20 * enlarge
    names = list(chart.lines) if len(chart.lines) > 1 else []
    names_top = 2 * enlarge
    if sum(large.getlength(one) + 10 * enlarge for one in names) > right - left - large.getlength(chart.title):
        names_top, top = names_top + 16 * enlarge, top + 16 * enlarge  # a line of their own

    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * (right - left), bottom - y * (bottom - top)

    draw.text((left, 2 * enlarge), chart.title, fill="black", font=large)
    for place, label in chart.y_ticks:
        draw.line([at(0, place), at(1, place)], fill=(225, 225, 225), width=enlarge)
        draw.text((left - 4 * enlarge, at(0, place)[1]), label, fill=(70, 70, 70), font=small, anchor="rm")
    for place, label in chart.x_ticks:
        draw.line([at(place, 0), at(place, 1)], fill=(240, 240, 240), width=enlarge)
        middle = min(at(place, 0)[0], width - enlarge - math.ceil(small.getlength(label) / 2))
        draw.text((middle, bottom + 4 * enlarge), label, fill=(70, 70, 70), font=small, anchor="mt")
    if chart.guide:
        place, label = chart.guide
        draw.line([at(0, place), at(1, place)], fill=(140, 140, 140), width=enlarge)
        x, y = at(0, place)
        draw.text((x + 4 * enlarge, y), label, fill=(70, 70, 70), font=small, anchor="lb" if place < 0.8 else "lt")
    draw.line([at(0, 1), at(0, 0), at(1, 0)], fill=(110, 110, 110), width=enlarge)
    name_right = right
    for index, (name, line) in reversed(list(enumerate(chart.lines.items()))):
        colour, places = COLOURS[index % len(COLOURS)], [at(*point) for point in line if point[0] <= until]
        if len(places) > 1:
            draw.line(places, fill=colour, width=2 * enlarge, joint="curve")
        for x, y in places if chart.dots or len(places) == 1 else []:
            draw.ellipse((x - 2 * enlarge, y - 2 * enlarge, x + 2 * enlarge, y + 2 * enlarge), fill=colour)
        if names:
            draw.text((name_right, names_top), name, fill=colour, font=large, anchor="ra")
            name_right -= math.ceil(large.getlength(name)) + 10 * enlarge
    if mark is not None:
        draw.line([at(mark, 0), at(mark, 1)], fill="black", width=enlarge)
    return sheet


def _value_axis(values: list[float], *, log: bool) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low <= _FINEST * max(abs(low), abs(high), 1e-300):  # one value, or always the same
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    elif log:
        edge = (high / low) ** 0.05
        low, high = low / edge, high * edge
    else:
        edge = 0.05 * (high - low)
        low, high = low - edge, high + edge
    return Axis(low=low, high=high, spacing="log" if log else "linear")


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points that stand on the same pixel column as the one before; the last one stays."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if not kept or point[0] - kept[-1][0] >= 1 / _MOST_POINTS:
            kept.append(point)
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return kept


def _decades(low: float, high: float, factors: tuple[int, ...]) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # 10 ** -3 is not the nearest number to 0.001, which text is.
    return [value for power in powers for factor in factors if low <= (value := float(f"{factor}e{power}")) <= high]


def _round_step(wanted: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least what is wanted."""
    power = math.floor(math.log10(wanted))
    steps = (float(f"{factor}e{power}") for factor in (1, 2, 5, 10))
    return next(step for step in steps if step >= wanted * (1 - 1e-6))


def _written(value: float, step: float | None) -> str:
    """With as many decimals as the step between two ticks has; by itself where ticks are unequally far apart."""
    if 0 < abs(value) < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-")
    decimals = 0 if step is None else max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}" if step is not None else f"{value:,.6g}"
