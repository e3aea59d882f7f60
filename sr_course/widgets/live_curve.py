"""A live figure while a network is trained in the notebook: loss and validation PSNR, drawn as the run log grows."""

from __future__ import annotations

import time
from html import escape

import ipywidgets as widgets
from PIL import Image

from sr_course.training.history import curves
from sr_course.training.log import Record
from sr_course.widgets.curves import Axis, draw_chart, make_chart, step_axis
from sr_course.widgets.still import Still, quick_png

REDRAW_SECONDS = 0.2  # drawing takes a hundredth of a second; more often would take it from the training
_CHART = (360, 190)  # px
_FINE = 2  # drawn for screens with two pixels to one of CSS


class LiveCurve(Still, widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Shows a training run as it goes.

    Show it first, then train:

        curve = LiveCurve()
        display(curve)
        train(recipe, out, watch=curve.watch, bar=False)

    A notebook stores what an output held when it was shown. To store the finished curve, name it again at the end of
    the next cell. Its line of text is the same on every machine within the tolerance of the course's lessons as long
    as the training is short: 400 steps already differ by 0.1 dB between processors, and such a cell needs a tolerance
    of its own.

    `records` holds what the run has told so far.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._drawn_at = 0.0
        # Without align_self the box would stretch it.
        layout = widgets.Layout(align_self="flex-start", width=f"{2 * _CHART[0]}px", max_width="100%", height="auto")
        self._picture = widgets.Image(format="png", layout=layout)
        self._line = widgets.HTML()
        super().__init__([self._picture, self._line])
        self.add_class("sr-live-curve")
        self._draw()

    def watch(self, record: Record) -> None:
        """Take in a record of the run log, and draw anew unless that was a moment ago."""
        if record["event"] == "start":  # of a run, or of another sitting that does later steps again
            self.records = [one for one in self.records if 0 < one["step"] <= record["step"]]
        self.records.append(record)
        if record["step"] >= self._steps or time.monotonic() - self._drawn_at >= REDRAW_SECONDS:
            self._draw()

    def still(self) -> Image.Image:
        """Draw both curves as far as they have come."""
        return self._sheet().reduce(_FINE)

    def _sheet(self) -> Image.Image:
        terms, validation = curves(self.records)
        axis: Axis = step_axis(self._steps or 100)
        loss = f"Training loss ({next(iter(terms))})" if len(terms) == 1 else "Training loss"
        charts = [
            make_chart(loss, terms, axis, log=True),
            make_chart("Validation PSNR, dB", {"psnr": validation}, axis),
        ]
        width, height = (side * _FINE for side in _CHART)
        sheet = Image.new("RGB", (2 * width, height), "white")
        for column, chart in enumerate(charts):
            sheet.paste(draw_chart(chart, _CHART, enlarge=_FINE), (column * width, 0))
        return sheet

    def alt(self) -> str:
        """Say how far the run has come."""
        return f"Two curves over the steps of a training run, the loss and the validation PSNR: {self._state()}."

    def summary(self) -> str:
        """Give the step and the validation PSNR; the loss wanders too far between machines to stand here."""
        return f"LiveCurve({self._state()})"

    @property
    def _steps(self) -> int:
        """Steps of the whole run; 0 before it has begun."""
        starts = [record for record in self.records if record["event"] == "start"]
        return int(starts[-1]["recipe"]["steps"]) if starts else 0

    def _state(self) -> str:
        if not self._steps:
            return "nothing trained yet"
        psnr = curves(self.records)[1].last(self._steps)
        measured = f", validation {psnr[1]:.2f} dB at step {psnr[0]}" if psnr else ""
        return f"step {self.records[-1]['step']} of {self._steps}{measured}"

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._picture.value = quick_png(self._sheet())
        trained = [record for record in self.records if record["event"] == "train"]
        speed = f", {trained[-1]['images_per_second']:.0f} images/s" if trained else ""
        self._line.value = f'<div role="status">{escape(self._state() + speed)}</div>'
