"""A recipe and what becomes of it when one of its tweaks is switched off: predicted first, then looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont

from sr_course.images import to_pil
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.resample import imresize
from sr_course.training.history import Curve, History
from sr_course.widgets.curves import Axis, Chart, draw_chart, make_chart, step_axis
from sr_course.widgets.frame import Sprite, decibels, fitted, front_end, last_known, one_of, spread
from sr_course.widgets.gan_dashboard import PANELS, Panel
from sr_course.widgets.perception_distortion import VGG_DISTANCE, Distance
from sr_course.widgets.still import Still, quick_png

MOST_RUNS = 12
MOST_PIXELS = 6_000_000  # of all pictures together; they travel as one file
PREDICTIONS = ("better", "worse")
_SIGNS = ("Detail / true detail", "Checkerboard / detail", "Discriminator's accuracy")
_STILL_SIDE = 288  # px of a picture in the still
_CHART_HEIGHT = 130
_LINE = 22
_GAP = 12

Verdict = Literal["better", "worse", "same", ""]


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A run of a recipe with some of its tweaks off.

    Attributes:
        history: of the run.
        off: the switches that are off; none in the full recipe.
        name: what the row is called; made from the switches unless told.
        figures: what else was measured of the run, by the name of the `Metric`.
    """

    history: History
    off: tuple[str, ...] = ()
    name: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name of the row."""
        return self.name or (f"{', '.join(self.off)} off" if self.off else "full recipe")


@dataclass(frozen=True)
class Metric:
    """A column of numbers.

    Attributes:
        name: over the column.
        higher_is_better: which way is better.
        digits: decimals of a value; two values that are written alike count as equal.
    """

    name: str
    higher_is_better: bool
    digits: int = 2

    def written(self, value: float | None) -> str:
        """Write a value, or that there is none."""
        return "–" if value is None else f"{value:.{self.digits}f}"


VALIDATION_PSNR = Metric("validation PSNR, dB", higher_is_better=True)


@dataclass
class _Row:
    """A run as it is shown.

    Attributes:
        run: what the caller said of it.
        steps: of the snapshots that are shown.
        results: cells of the sprite, by sample and snapshot.
        psnr: dB, by sample and snapshot.
        figures: values by metric, nothing where there is none.
        verdict: against the full recipe in the metric to predict.
    """

    run: Ablation
    steps: list[int]
    results: list[list[int]]
    psnr: list[list[float]]
    figures: list[float | None]
    verdict: Verdict = ""

    def nearest(self, step: int) -> int:
        """Which snapshot is nearest to a step; of two, the earlier."""
        return min(range(len(self.steps)), key=lambda index: (abs(self.steps[index] - step), index))


@dataclass(frozen=True)
class _Plot:
    """A chart of one sign with a line for each run that has it, and what each last said, by run and step."""

    chart: Chart
    readings: list[list[str]]


class AblationMatrix(Still, anywidget.AnyWidget):
    """A table of runs: which tweaks are on, how each run measures, and its pictures and curves at every snapshot.

    First the learner predicts of each run whether it is better or worse than the full recipe in one metric; numbers,
    pictures and curves come after that. One row or two, to compare, are looked at together.

    Everything happens in the browser, by mouse, touch or keyboard, also in an exported page without a kernel. The
    traits follow what is seen, and can be set:

    - `rows`: the rows that are looked at, one or two, from 0.
    - `step`: the snapshot nearest to it is seen.
    - `sample`: which picture, from 0.
    - `predictions`: `better` or `worse` by the name of the row.
    - `revealed`: whether numbers, pictures and curves are seen.

    Args:
        runs: at least two, of which exactly one has nothing off; all were tried on the same sample pictures.
        switches: the columns, in order; as the runs name them unless told.
        metrics: more columns of numbers, whose values stand in `figures` of each run.
        distance: measured on the sample pictures at the last snapshot, mean over them, as a column; None leaves it out.
        predict: name of the metric to predict; the distance unless told, or the last one.
        scene: what each sample picture shows, in a few words, for the alternative text.
        rows, step, sample, revealed: as above; the full recipe, at its end.

    Raises:
        ValueError: too few or many runs, two of one name, no full recipe or two, a switch that is no column, figures
            that are missing, other sample pictures, or rows, samples and predictions that do not exist.
        ModelError: a snapshot that cannot be read.
    """

    _esm = front_end("frame.js", "ablation_matrix.js")
    _css = front_end("frame.css", "ablation_matrix.css")

    _moves_alone = traitlets.Bool(True).tag(sync=True)
    _switches = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _metrics = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _predict = traitlets.Int().tag(sync=True)
    _rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    _full = traitlets.Int().tag(sync=True)
    _samples = traitlets.List(traitlets.Dict()).tag(sync=True)
    _steps = traitlets.List(traitlets.Int()).tag(sync=True)
    _marks = traitlets.List(traitlets.Float()).tag(sync=True)
    _charts = traitlets.List(traitlets.Dict()).tag(sync=True)
    _cells = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    _sprite = traitlets.Bytes().tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)
    rows = traitlets.List(traitlets.Int()).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    predictions = traitlets.Dict().tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        runs: Sequence[Ablation],
        *,
        switches: Sequence[str] | None = None,
        metrics: Sequence[Metric] = (),
        distance: Distance | None = VGG_DISTANCE,
        predict: str | None = None,
        scene: Sequence[str] = (),
        rows: Sequence[int] | None = None,
        step: int | None = None,
        sample: int = 0,
        revealed: bool = False,
    ) -> None:
        known = list(dict.fromkeys(name for run in runs for name in run.off))
        self._columns = list(switches) if switches is not None else known
        self._scene = tuple(scene)
        full = _check(runs, self._columns)
        measured = [] if distance is None else [Metric(distance.name, higher_is_better=False, digits=distance.digits)]
        self._by = [VALIDATION_PSNR, *measured, *metrics]
        predicted = _number(predict, self._by, 1 if measured else len(self._by) - 1)
        histories = [run.history for run in runs]
        self._count = min(len(one.samples) for one in histories)
        pixels = sum(one.hr.shape[-1] * one.hr.shape[-2] for one in histories[0].samples[: self._count])
        most = max(2, MOST_PIXELS // (len(runs) * pixels))
        sprite = Sprite()
        self._bicubic, self._truths = [], []
        for one in histories[full].samples[: self._count]:
            self._bicubic.append(sprite.add(to_pil(imresize(one.lr, histories[full].recipe.scale).clamp(0, 1))))
            self._truths.append(sprite.add(to_pil(one.hr)))
        self._shown = [_row(run, most, self._count, sprite, distance, metrics) for run in runs]
        for row in self._shown:
            row.verdict = _verdict(row.figures[predicted], self._shown[full].figures[predicted], self._by[predicted])
        self._shown[full].verdict = ""
        self._all_steps = spread(sorted({step for one in self._shown for step in one.steps}), max(most, 2))
        axis = _shared_axis(histories)
        self._plots = _plots(self._shown, self._all_steps, axis)
        self._pictures = sprite.pictures
        sheet, cells = sprite.packed()
        super().__init__(
            _switches=self._columns,
            _metrics=[metric.name for metric in self._by],
            _predict=predicted,
            _rows=[self._told(one) for one in self._shown],
            _full=full,
            _samples=[
                {"bicubic": bicubic, "truth": truth} for bicubic, truth in zip(self._bicubic, self._truths, strict=True)
            ],
            _steps=self._all_steps,
            _marks=[round(axis.place(step), 4) for step in self._all_steps],
            _charts=[{**plot.chart.to_dict(), "readings": plot.readings} for plot in self._plots],
            _cells=cells,
            _sprite=quick_png(sheet),
            _note=_note(self._shown),
            rows=[full] if rows is None else list(rows),
            step=self._all_steps[-1] if step is None else step,
            sample=sample,
            revealed=revealed,
        )

    @property
    def right(self) -> int:
        """How many runs were predicted rightly."""
        return sum(self.predictions.get(one.run.title) == one.verdict for one in self._shown if one.verdict)

    @traitlets.validate("rows")
    def _check_rows(self, proposal: Any) -> list[int]:
        rows: list[int] = proposal.value
        if len(set(rows)) != len(rows) or len(rows) not in (1, 2):
            raise ValueError(f"rows are {rows}; look at one row, or at two different ones.")
        return [one_of("rows", row, "rows", len(self._shown)) for row in rows]

    @traitlets.validate("sample")
    def _check_sample(self, proposal: Any) -> int:
        return one_of("sample", proposal.value, "samples", self._count)

    @traitlets.validate("predictions")
    def _check_predictions(self, proposal: Any) -> dict[str, str]:
        predictions: dict[str, str] = proposal.value
        names = [one.run.title for one in self._shown if one.verdict]
        for name, said in predictions.items():
            if name not in names:
                raise ValueError(f"there is nothing to predict of {name!r}; there are {', '.join(names)}.")
            if said not in PREDICTIONS:
                raise ValueError(f"{said!r} is no prediction; choose {' or '.join(PREDICTIONS)}.")
        return predictions

    def _told(self, row: _Row) -> dict[str, Any]:
        """A row as plain values, for the browser."""
        return {
            "name": row.run.title,
            "on": [switch not in row.run.off for switch in self._columns],
            "figures": [metric.written(value) for metric, value in zip(self._by, row.figures, strict=True)],
            "verdict": row.verdict,
            "steps": row.steps,
            "results": row.results,
            "psnr": [[decibels(value) for value in values] for values in row.psnr],
        }

    # --- still

    def still(self) -> Image.Image:
        """Draw the table; once the numbers are revealed, the pictures and the curves of the chosen rows below it."""
        table = self._draw_table()
        if not self.revealed:
            return table
        pictures = self._draw_pictures()
        charts = [self._draw_plot(plot) for plot in self._plots if self._lines(plot)]
        rows = -(-len(charts) // 2)
        height = table.height + _GAP + pictures.height + _GAP + rows * (_CHART_HEIGHT + _GAP)
        sheet = Image.new("RGB", (table.width, height), "white")
        sheet.paste(table, (0, 0))
        sheet.paste(pictures, (0, table.height + _GAP))
        top = table.height + _GAP + pictures.height + _GAP
        for place, chart in enumerate(charts):
            row, column = divmod(place, 2)
            sheet.paste(chart, (column * (chart.width + _GAP), top + row * (_CHART_HEIGHT + _GAP)))
        return sheet

    def _draw_table(self) -> Image.Image:
        titles = ["run", *self._columns, "predicted", *(metric.name for metric in self._by)]
        body = [
            [
                one.run.title,
                *("off" if switch in one.run.off else "on" for switch in self._columns),
                self._predicted(one),
                *(
                    metric.written(value) if self.revealed else "?"
                    for metric, value in zip(self._by, one.figures, strict=True)
                ),
            ]
            for one in self._shown
        ]
        font = ImageFont.load_default(13)
        widths = [
            max(math.ceil(font.getlength(text)) for text in column) + 16 for column in zip(titles, *body, strict=True)
        ]
        width = max(sum(widths), 3 * _STILL_SIDE + 2 * _GAP)
        sheet = Image.new("RGB", (width, (len(body) + 2) * _LINE), "white")
        draw = ImageDraw.Draw(sheet)
        draw.text((0, 2), self._question(), "black", font)
        for number, row in enumerate([titles, *body]):
            left, top = 0, (number + 1) * _LINE
            if number - 1 in self.rows:
                draw.rectangle((0, top, sum(widths), top + _LINE - 1), fill=(225, 236, 246))
            for text, wide in zip(row, widths, strict=True):
                draw.text((left + 4, top + 3), text, "#d55e00" if text == "off" else "black", font)
                left += wide
        draw.line([(0, 2 * _LINE - 1), (sum(widths), 2 * _LINE - 1)], fill=(110, 110, 110))
        return sheet

    def _draw_pictures(self) -> Image.Image:
        shown = []
        for one in self._chosen():
            index = one.nearest(self.step)
            caption = f"{one.run.title}, step {one.steps[index]:,}: {decibels(one.psnr[self.sample][index])}"
            shown.append((caption, one.results[self.sample][index]))
        if len(shown) == 1:
            shown.insert(0, ("bicubic", self._bicubic[self.sample]))
        shown.append(("truth", self._truths[self.sample]))
        tiles = [fitted(self._pictures[cell], _STILL_SIDE) for _, cell in shown]
        font = ImageFont.load_default(13)
        sheet = Image.new("RGB", (3 * _STILL_SIDE + 2 * _GAP, _LINE + max(tile.height for tile in tiles)), "white")
        draw = ImageDraw.Draw(sheet)
        for column, ((caption, _), tile) in enumerate(zip(shown, tiles, strict=True)):
            left = column * (_STILL_SIDE + _GAP)
            draw.text((left, 2), caption, "black", font)
            sheet.paste(tile, (left, _LINE))
        return sheet

    def _lines(self, plot: _Plot) -> dict[str, list[tuple[float, float]]]:
        names = [one.run.title for one in self._chosen()]
        return {name: plot.chart.lines[name] for name in names if name in plot.chart.lines}

    def _draw_plot(self, plot: _Plot) -> Image.Image:
        chart = replace(plot.chart, lines=self._lines(plot))
        mark = self._marks[self._place()]
        width = (3 * _STILL_SIDE + 2 * _GAP - _GAP) // 2
        return draw_chart(chart, (width, _CHART_HEIGHT), mark=mark, until=mark, enlarge=2).reduce(2)

    def alt(self) -> str:
        """Say which runs there are, what was predicted, and once it is revealed how they measure."""
        runs = "; ".join(self._said_of(one) for one in self._shown)
        if not self.revealed:
            return f"A table of {len(self._shown)} training runs with their switches: {runs}. {self._question()}"
        scene = f" of {self._scene[self.sample]}" if self.sample < len(self._scene) else ""
        chosen = " and ".join(one.run.title for one in self._chosen())
        step = self._all_steps[self._place()]
        return (
            f"A table of {len(self._shown)} training runs with their switches: {runs}. {self._question()} Below: "
            f"pictures{scene} and curves of {chosen} at step {step}."
        )

    def summary(self) -> str:
        """Give the predictions, and once they are revealed the numbers."""
        open_rows = sum(bool(one.verdict) for one in self._shown)
        if not self.revealed:
            return (
                f"AblationMatrix({len(self._shown)} runs, {len(self._columns)} switches; {len(self.predictions)} of "
                f"{open_rows} predicted, numbers hidden)"
            )
        runs = "; ".join(self._said_of(one) for one in self._shown)
        chosen = " and ".join(one.run.title for one in self._chosen())
        return (
            f"AblationMatrix({runs}; {self.right} of {open_rows} predicted rightly; looking at {chosen}, step "
            f"{self._all_steps[self._place()]}, sample {self.sample + 1} of {self._count})"
        )

    def _chosen(self) -> list[_Row]:
        return [self._shown[row] for row in self.rows]

    def _place(self) -> int:
        """Which of all steps is nearest to the one wanted."""
        return min(range(len(self._all_steps)), key=lambda place: (abs(self._all_steps[place] - self.step), place))

    def _question(self) -> str:
        metric = self._by[self._predict]
        if not self.revealed:
            return f"Better or worse than {self._shown[self._full].run.title} in {metric.name}? Predict first."
        open_rows = sum(bool(one.verdict) for one in self._shown)
        way = "higher" if metric.higher_is_better else "lower"
        return f"{self.right} of {open_rows} predicted rightly in {metric.name} ({way} is better)."

    def _predicted(self, row: _Row) -> str:
        if not row.verdict:
            return ""
        said = str(self.predictions.get(row.run.title, ""))
        if not self.revealed:
            return said
        right = "" if not said else ", right" if said == row.verdict else ", wrong"
        return f"{said or 'nothing'}{right}"

    def _said_of(self, row: _Row) -> str:
        if not self.revealed:
            return row.run.title
        figures = zip(self._by, row.figures, strict=True)
        return f"{row.run.title} " + ", ".join(f"{metric.name} {metric.written(value)}" for metric, value in figures)


def _check(runs: Sequence[Ablation], switches: Sequence[str]) -> int:
    """Refuse what makes no table; return which run is the full recipe."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise ValueError(f"{len(runs)} runs were given; there can be 2 to {MOST_RUNS}, the full recipe among them.")
    titles = [run.title for run in runs]
    if twice := [title for title in titles if titles.count(title) > 1]:
        raise ValueError(f"two runs are called {twice[0]!r}; give each a name of its own.")
    full = [place for place, run in enumerate(runs) if not run.off]
    if len(full) != 1:
        raise ValueError(f"{len(full)} runs have nothing off; exactly one is the full recipe.")
    for run in runs:
        unknown = [name for name in run.off if name not in switches]
        if unknown:
            raise ValueError(f"{unknown[0]!r} of {run.title} is no switch; there are {', '.join(switches)}.")
    truths = [run.history.samples for run in runs]
    for run, samples in zip(runs, truths, strict=True):
        for one, other in zip(samples, truths[0], strict=False):
            if one.hr.shape != other.hr.shape or not torch.equal(one.hr, other.hr):
                raise ValueError(f"{run.title} was tried on other sample pictures than {runs[0].title}.")
    return full[0]


def _number(name: str | None, metrics: Sequence[Metric], usual: int) -> int:
    names = [metric.name for metric in metrics]
    if name is None:
        return usual
    if name not in names:
        raise ValueError(f"there is no metric {name!r} to predict; there are {', '.join(names)}.")
    return names.index(name)


@torch.inference_mode()
def _row(
    run: Ablation, most: int, count: int, sprite: Sprite, distance: Distance | None, metrics: Sequence[Metric]
) -> _Row:
    history = run.history
    steps = spread(history.snapshots, most)
    protocol = MATLAB_Y.at_scale(history.recipe.scale)
    made = list(zip(*(history.results(step)[:count] for step in steps), strict=True))  # by sample, then by step
    samples = history.samples[:count]
    last = history.validation.last(steps[-1])
    figures: list[float | None] = [last[1] if last else None]
    if distance is not None:
        ends = [distance.measure(results[-1], one.hr).item() for one, results in zip(samples, made, strict=True)]
        figures.append(sum(ends) / len(ends))
    for metric in metrics:
        if metric.name not in run.figures:
            raise ValueError(f"{run.title} has no figure for {metric.name!r}; give it in `figures`.")
        figures.append(run.figures[metric.name])
    return _Row(
        run,
        steps,
        [[sprite.add(to_pil(one)) for one in results] for results in made],
        [
            [psnr(one, sample.hr, protocol).item() for one in results]
            for sample, results in zip(samples, made, strict=True)
        ],
        figures,
    )


def _verdict(value: float | None, full: float | None, metric: Metric) -> Verdict:
    """Better or worse than the full recipe; the same where no difference would be written."""
    if value is None or full is None or metric.written(value) == metric.written(full):
        return "same"
    return "better" if (value > full) == metric.higher_is_better else "worse"


def _shared_axis(histories: Sequence[History]) -> Axis:
    last = max(max(one.snapshots[-1], one.last_logged) for one in histories)
    return step_axis(last, min((step for one in histories for step in one.snapshots if step > 0), default=None))


def _plots(rows: Sequence[_Row], steps: Sequence[int], axis: Axis) -> list[_Plot]:
    """One chart for each sign that a run has, with all runs on one scale; the browser draws the lines that it needs."""
    validation = Panel("Validation PSNR, dB", "validation", {}, "{:.2f} dB")
    panels = [validation, *(panel for panel in PANELS if panel.title in _SIGNS)]
    plots = []
    for panel in panels:
        lines = {row.run.title: curve for row in rows if (curve := _curve(panel, row.run.history)).steps}
        if not lines:
            continue
        chart = make_chart(panel.title, lines, axis, log=panel.log, include=panel.include, guide=panel.guide)
        each = [{"": lines.get(row.run.title, Curve())} for row in rows]
        readings = [[last_known(one, step, panel.form) for step in steps] for one in each]
        plots.append(_Plot(chart, readings))
    return plots


def _curve(panel: Panel, history: History) -> Curve:
    """The one line of a panel; of a panel without a diagnostic the validation."""
    if not panel.lines:
        return history.validation
    return next(iter(panel.curves(history).values()), Curve())


def _note(rows: Sequence[_Row]) -> str:
    notes = ["Each run was trained once, so a small difference may be chance."]
    if any(len(one.steps) < len(one.run.history.snapshots) for one in rows):
        notes.append("Not all snapshots are shown; they are evenly chosen.")
    return " ".join(notes)
