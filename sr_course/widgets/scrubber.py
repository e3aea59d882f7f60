"""A slider over the snapshots of a training run: the picture, the first filters and the curves at each of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anywidget
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.images import to_pil
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.resample import imresize
from sr_course.training.history import History, read_history
from sr_course.widgets.curves import Axis, Chart, draw_chart, make_chart, step_axis
from sr_course.widgets.feature_pictures import signed_colours
from sr_course.widgets.frame import decibels, fitted, front_end, last_known, one_of, png, spread
from sr_course.widgets.still import Still

MOST_SNAPSHOTS = 60  # with more, the pictures would be slow to come, and the steps of the slider too fine for a hand
MOST_FILTERS = 256
_COLUMNS = 8  # cells in a row of a sheet
_STILL_SIDE = 288  # px of a picture in the still
_CHART_HEIGHT = 136
_LINE = 22  # px, a line of text
_GAP = 12


@dataclass(frozen=True)
class _Sheet:
    """Pictures of one size, `_COLUMNS` in a row of one large picture, so that they travel as one file."""

    image: Image.Image
    cell: tuple[int, int]

    def at(self, index: int) -> Image.Image:
        width, height = self.cell
        left, top = index % _COLUMNS * width, index // _COLUMNS * height
        return self.image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class _Pictures:
    """One sample: bicubic, the truth, then the result of each snapshot; PSNR in dB."""

    sheet: _Sheet
    bicubic: float
    psnr: list[float]


@dataclass(frozen=True)
class _Filters:
    """The first layer's filters, or what changed in them, a cell for each snapshot; full colour at `reach`."""

    sheet: _Sheet
    title: str
    reach: float


@dataclass(frozen=True)
class _Curves:
    """A chart, what to call it in a sentence, and what was last known at each snapshot."""

    name: str
    chart: Chart
    readings: list[str]


class TrainingScrubber(Still, anywidget.AnyWidget):
    """Moves through a training run: at each snapshot the picture, the first layer's filters, and the curves.

    Everything happens in the browser, by mouse, touch or keyboard, also in an exported page without a kernel. The
    traits `index`, `sample` and `change` follow what is seen, and can be set; so can `step`.

    The filters are drawn in blue below zero, white at zero, orange above, on one scale for all snapshots; or what has
    changed in them since the first snapshot, on a scale of its own.

    Args:
        run: the run's folder, as `sr-course train` makes it; `shipped_run` finds those that ship with the course.
        index: which snapshot is seen first, from 0; negative counts from the end. The last unless told.
        sample: which sample picture, from 0.
        change: show what has changed in the filters, instead of the filters.
        scene: what each sample picture shows, in a few words, for the alternative text.

    Raises:
        DataError: no such folder, no run in it, no snapshots, a damaged log.
        ModelError: a snapshot that cannot be read, or is of another network.
        ValueError: a snapshot or sample that does not exist.
    """

    _esm = front_end("frame.js", "scrubber.js")
    _css = front_end("frame.css", "scrubber.css")

    _moves_alone = traitlets.Bool(True).tag(sync=True)
    _name = traitlets.Unicode().tag(sync=True)
    _steps = traitlets.List(traitlets.Int()).tag(sync=True)
    _samples = traitlets.List(traitlets.Dict()).tag(sync=True)
    _filters = traitlets.List(traitlets.Dict()).tag(sync=True)
    _charts = traitlets.List(traitlets.Dict()).tag(sync=True)
    _marks = traitlets.List(traitlets.Float()).tag(sync=True)
    _sheets = traitlets.List(traitlets.Bytes()).tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    change = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        run: str | os.PathLike[str],
        *,
        index: int = -1,
        sample: int = 0,
        change: bool = False,
        scene: Sequence[str] = (),
    ) -> None:
        history = read_history(run)
        steps = spread(history.snapshots, MOST_SNAPSHOTS)
        axis = step_axis(max(steps[-1], history.last_logged), next((step for step in steps if step > 0), None))
        self._scene = tuple(scene)
        self._pictures = _samples(history, steps)
        self._kernels = _filters(history, steps)
        self._curves = _curves(history, steps, axis)
        sheets = [*(one.sheet for one in self._pictures), *(one.sheet for one in self._kernels)]
        super().__init__(
            _name=f"{history.recipe.model} x{history.recipe.scale}",
            _steps=steps,
            _samples=[
                {**_layout(one.sheet), "bicubic": decibels(one.bicubic), "psnr": [decibels(db) for db in one.psnr]}
                for one in self._pictures
            ],
            _filters=[{**_layout(one.sheet), "reach": one.reach, "title": one.title} for one in self._kernels],
            _charts=[{**one.chart.to_dict(), "readings": one.readings} for one in self._curves],
            _marks=[round(axis.place(step), 4) for step in steps],
            _sheets=[png(sheet.image) for sheet in sheets],
            _note=_note(history, steps),
            index=index + len(steps) if index < 0 else index,
            sample=sample,
            change=change,
        )

    @property
    def step(self) -> int:
        """The step of the snapshot that is seen; setting it takes one that was kept."""
        return int(self._steps[self.index])

    @step.setter
    def step(self, step: int) -> None:
        if step not in self._steps:
            raise ValueError(f"there is no snapshot of step {step}; there are {', '.join(map(str, self._steps))}.")
        self.index = self._steps.index(step)

    @traitlets.validate("index")
    def _check_index(self, proposal: Any) -> int:
        return one_of("index", proposal.value, "snapshots", len(self._steps))

    @traitlets.validate("sample")
    def _check_sample(self, proposal: Any) -> int:
        return one_of("sample", proposal.value, "samples", len(self._pictures))

    @traitlets.validate("change")
    def _check_change(self, proposal: Any) -> bool:
        return bool(proposal.value) and len(self._kernels) > 1

    def still(self) -> Image.Image:
        """Draw the three pictures, the filters and the curves at the step that is seen."""
        shown = self._pictures[self.sample]
        captions = {
            f"bicubic, {decibels(shown.bicubic)}": 0,
            f"step {self.step:,}, {decibels(shown.psnr[self.index])}": 2 + self.index,
            "truth": 1,
        }
        width, below = 3 * _STILL_SIDE + 2 * _GAP, _LINE + _STILL_SIDE + _GAP
        image = Image.new("RGB", (width, below + max(_LINE + _STILL_SIDE, 2 * _CHART_HEIGHT)), "white")
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
        for column, (caption, cell) in enumerate(captions.items()):
            left = column * (_STILL_SIDE + _GAP)
            draw.text((left, 2), caption, "black", font)
            image.paste(fitted(shown.sheet.at(cell), _STILL_SIDE), (left, _LINE))
        left = 0
        if self._kernels:
            kernels = self._kernels[int(self.change)]
            small = ImageFont.load_default(12)
            draw.text((0, below), kernels.title, "black", small)
            draw.text((0, below + _LINE - 6), f"blue -{kernels.reach:g}, orange +{kernels.reach:g}", "black", small)
            drawn = fitted(kernels.sheet.at(self.index), _STILL_SIDE)
            frames = Image.new("RGB", drawn.size, (205, 205, 205))
            frames.paste(drawn, mask=drawn)
            image.paste(frames, (0, below + 2 * _LINE - 8))
            left = _STILL_SIDE + _GAP
        for row, one in enumerate(self._curves):
            chart = draw_chart(one.chart, (width - left, _CHART_HEIGHT), mark=self._marks[self.index], enlarge=2)
            image.paste(chart.reduce(2), (left, below + row * (_CHART_HEIGHT + _GAP)))
        return image

    def alt(self) -> str:
        """Say what the pictures, the filters and the curves show, with the numbers."""
        shown = self._pictures[self.sample]
        scene = f" of {self._scene[self.sample]}" if self.sample < len(self._scene) else ""
        filters = f" Below: {_lower_first(self._kernels[int(self.change)].title)}," if self._kernels else " Below:"
        readings = ", ".join(f"{one.name} {one.readings[self.index]}" for one in self._curves)
        return (
            f"Training of {self._name} after {self.step} steps. Three pictures{scene}: bicubic "
            f"({decibels(shown.bicubic)}), the network ({decibels(shown.psnr[self.index])}), the truth.{filters} "
            f"and curves with a mark at the step: {readings}."
        )

    def summary(self) -> str:
        """Give the place in the run, and the numbers there."""
        shown = self._pictures[self.sample]
        place = f"step {self.step}, snapshot {self.index + 1} of {len(self._steps)}"
        sample = f"sample {self.sample + 1} of {len(self._pictures)} {decibels(shown.psnr[self.index])}"
        readings = ", ".join(f"{one.name} {one.readings[self.index]}" for one in self._curves)
        change = ", change of the filters" if self.change else ""
        return (
            f"TrainingScrubber({self._name}, {place}{change}, {sample}, bicubic {decibels(shown.bicubic)}, {readings})"
        )


def _samples(history: History, steps: Sequence[int]) -> list[_Pictures]:
    protocol = MATLAB_Y.at_scale(history.recipe.scale)
    results = list(zip(*(history.results(step) for step in steps), strict=True))  # by sample, then by step
    pictures = []
    for sample, made in zip(history.samples, results, strict=True):
        bicubic = imresize(sample.lr, history.recipe.scale).clamp(0, 1)
        decibels = [psnr(one, sample.hr, protocol).item() for one in (bicubic, *made)]
        pictures.append(
            _Pictures(_sheet([to_pil(one) for one in (bicubic, sample.hr, *made)]), decibels[0], decibels[1:])
        )
    return pictures


def _filters(history: History, steps: Sequence[int]) -> list[_Filters]:
    """The filters and their change since the first snapshot; nothing for a network without a convolution."""
    network = history.network(steps[0])
    name = next((name for name, one in network.named_modules() if isinstance(one, nn.Conv2d)), None)
    if name is None:
        return []
    kernels = [_first_layer(history, step, f"{name}.weight") for step in steps]
    if len({one.shape for one in kernels}) > 1:
        raise ModelError(f"{history.folder}: its snapshots are of different networks. Copy the run's folder again.")
    count, inputs, height, width = kernels[0].shape
    # The sum over the inputs is the answer to grey, on which all inputs are equal.
    grey = [one[:MOST_FILTERS].sum(dim=1) for one in kernels]
    shown = f"{count}" if count <= MOST_FILTERS else f"{MOST_FILTERS} of {count}"
    summed = f", sum over {inputs} inputs" if inputs > 1 else ""
    drawn = [(f"First layer: {shown} filters {width}x{height}{summed}", grey)]
    if len(steps) > 1:
        drawn.append((f"First layer: change since step {steps[0]:,}{summed}", [one - grey[0] for one in grey]))
    return [_coloured(title, maps) for title, maps in drawn]


def _first_layer(history: History, step: int, name: str) -> Tensor:
    weights = history.weights(step)
    if name not in weights:
        raise ModelError(f"{history.path(step)}: has no weights {name}. Copy the run's folder again.")
    return weights[name]


def _coloured(title: str, maps: Sequence[Tensor]) -> _Filters:
    """A cell for each of the maps `(count, h, w)`, on one scale; about each filter the sheet is transparent."""
    reach = float(f"{max(float(one.abs().max()) for one in maps):.2g}") or 1.0
    return _Filters(_sheet([_grid(one, reach) for one in maps]), title, reach)


def _grid(filters: Tensor, reach: float) -> Image.Image:
    count, height, width = filters.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    image = Image.new("RGBA", (columns * (width + 1) + 1, rows * (height + 1) + 1))
    for index, one in enumerate(filters):
        place = (index % columns * (width + 1) + 1, index // columns * (height + 1) + 1)
        image.paste(to_pil(signed_colours(one, reach)).convert("RGBA"), place)
    return image


def _curves(history: History, steps: Sequence[int], axis: Axis) -> list[_Curves]:
    names = list(history.terms)
    loss = f"Training loss ({names[0]})" if len(names) == 1 else "Training loss"
    return [
        _Curves(
            "loss",
            make_chart(loss, history.terms, axis, log=True),
            [last_known(history.terms, step, "{:.3g}") for step in steps],
        ),
        _Curves(
            "validation",
            make_chart("Validation PSNR, dB", {"psnr": history.validation}, axis),
            [last_known({"psnr": history.validation}, step, "{:.2f} dB") for step in steps],
        ),
    ]


def _note(history: History, steps: Sequence[int]) -> str:
    notes = []
    if len(steps) < len(history.snapshots):
        notes.append(f"{len(steps)} of the run's {len(history.snapshots)} snapshots are shown.")
    due = steps[-1] // history.recipe.log_every * history.recipe.log_every
    if history.last_logged < due:
        notes.append(f"The run log was cut short: it ends at step {history.last_logged:,}, and so do the curves.")
    return " ".join(notes)


def _sheet(cells: Sequence[Image.Image]) -> _Sheet:
    width, height = cells[0].size
    rows = -(-len(cells) // _COLUMNS)
    image = Image.new(cells[0].mode, (min(len(cells), _COLUMNS) * width, rows * height))
    for index, cell in enumerate(cells):
        image.paste(cell, (index % _COLUMNS * width, index // _COLUMNS * height))
    return _Sheet(image, (width, height))


def _layout(sheet: _Sheet) -> dict[str, int]:
    """Where the browser finds the cells."""
    return {"width": sheet.cell[0], "height": sheet.cell[1], "columns": _COLUMNS}


def _lower_first(text: str) -> str:
    return text[0].lower() + text[1:]
