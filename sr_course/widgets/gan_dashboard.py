"""Healthy and sick adversarial runs replayed under neutral names: name the illness from the pictures and the curves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anywidget
import traitlets
from PIL import Image, ImageDraw, ImageFont

from sr_course.images import to_pil
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.resample import imresize
from sr_course.training.history import Curve, History
from sr_course.widgets.curves import Axis, Chart, Tick, draw_chart, make_chart, step_axis
from sr_course.widgets.frame import Sprite, decibels, fitted, front_end, last_known, one_of, spread
from sr_course.widgets.still import Still, quick_png

LETTERS = "ABCDEFGH"
"""The names of the runs; more than these would be more than can be kept apart."""
MOST_SNAPSHOTS = 30  # of a run
_STILL_SIDE = 288  # px of a picture in the still
_CHART_HEIGHT = 118
_CHART_COLUMNS = 3
_LINE = 22  # px, a line of text
_GAP = 12


@dataclass(frozen=True)
class Case:
    """A training run, and what is to be found out about it.

    Attributes:
        history: of the run.
        diagnosis: what it has, in a few words: one of the choices, such as `healthy` or `missing detach`.
        because: how to tell, in whole sentences: said with the right answer.
        look_at: where a wrong answer is sent to look; it ends the sentence "Not yet: look at".
    """

    history: History
    diagnosis: str
    because: str
    look_at: str = "each curve again, from the first step on."


@dataclass(frozen=True)
class Panel:
    """One of the small charts.

    Attributes:
        title: over it.
        said: its name in a sentence.
        lines: name of each line and the diagnostic it shows; none for the terms of the generator's loss.
        form: how a value is written.
        log: on a logarithmic axis.
        include: values that the axis always reaches.
        guide: a value to hold the lines against, and its name.
    """

    title: str
    said: str
    lines: Mapping[str, str]
    form: str
    log: bool = False
    include: tuple[float, ...] = ()
    guide: Tick | None = None

    def curves(self, history: History) -> dict[str, Curve]:
        """The lines that the run's log holds, values that are not finite left out."""
        if not self.lines:
            found = dict(history.terms)
        else:
            known = {**history.diagnostics, _PULL: _pull(history.diagnostics)}
            found = {line: known[name] for line, name in self.lines.items() if name in known}
        finite = {line: _finite(curve) for line, curve in found.items()}
        return {line: curve for line, curve in finite.items() if curve.steps}


_PULL = "pull"
PANELS = (
    Panel("Generator's loss", "generator's loss", {}, "{:.3g}", log=True),
    Panel("Discriminator's loss", "discriminator's loss", {"loss": "discriminator_loss"}, "{:.3g}", log=True),
    Panel("Mean logit", "mean logit", {"real": "logit_real", "fake": "logit_fake"}, "{:.2f}", guide=(0.0, "undecided")),
    Panel(
        "Discriminator's accuracy",
        "accuracy",
        {"accuracy": "accuracy"},
        "{:.2f}",
        include=(0.0, 1.0),
        guide=(0.5, "chance"),
    ),
    Panel("Pull: adversarial / content", "pull", {"pull": _PULL}, "{:.3g}", log=True, guide=(1.0, "equal")),
    Panel(
        "Detail / true detail",
        "detail",
        {"detail": "detail_ratio"},
        "{:.2f}",
        include=(0.0,),
        guide=(1.0, "truth"),
    ),
    Panel("Likeness of details", "likeness of details", {"pattern": "pattern"}, "{:.3f}", include=(0.0,)),
    Panel("Checkerboard / detail", "checkerboard", {"checkerboard": "checkerboard"}, "{:.3f}", include=(0.0,)),
    Panel("Colour shift, levels of 255", "colour shift", {"shift": "colour_shift"}, "{:.2f}", include=(0.0,)),
)


@dataclass
class _Replay:
    """A run as it is replayed.

    Attributes:
        name: its true name.
        case: what the caller said of it.
        steps: of the snapshots that are shown.
        marks: where these stand on the shared axis, 0 to 1.
        bicubic, truth: cells of the sprite, by sample.
        results: cells of the sprite, by sample and snapshot.
        bicubic_psnr: dB, by sample.
        psnr: dB, by sample and snapshot.
        panels: those whose values the log holds.
        charts: of these panels, each on the scale of its own values.
        common: the same on the scale of all runs.
        readings: what each panel last said, by snapshot.
        values: the same for each line of a panel that has several.
    """

    name: str
    case: Case
    steps: list[int]
    marks: list[float]
    bicubic: list[int] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    results: list[list[int]] = field(default_factory=list)
    bicubic_psnr: list[float] = field(default_factory=list)
    psnr: list[list[float]] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    common: list[Chart] = field(default_factory=list)
    readings: list[list[str]] = field(default_factory=list)
    values: list[list[list[str]]] = field(default_factory=list)

    def nearest(self, step: int) -> int:
        """Which snapshot is nearest to a step; of two, the earlier."""
        return min(range(len(self.steps)), key=lambda index: (abs(self.steps[index] - step), index))

    def missing(self) -> str:
        """Say which panels are left out."""
        absent = [panel.said for panel in PANELS if panel not in self.panels]
        return f"Not in this run's log, so not shown: {', '.join(absent)}." if absent else ""

    def to_dict(self, letter: str) -> dict[str, Any]:
        """Return it as plain values, for the browser."""
        samples = zip(self.bicubic, self.truth, self.results, self.bicubic_psnr, self.psnr, strict=True)
        return {
            "letter": letter,
            "steps": self.steps,
            "marks": self.marks,
            "samples": [
                {
                    "bicubic": bicubic,
                    "truth": truth,
                    "results": results,
                    "start": decibels(start),
                    "psnr": [decibels(value) for value in values],
                }
                for bicubic, truth, results, start, values in samples
            ],
            "charts": [chart.to_dict() for chart in self.charts],
            "common": [chart.to_dict() for chart in self.common],
            "readings": self.readings,
            "values": self.values,
            "missing": self.missing(),
            "name": self.name,
            "diagnosis": self.case.diagnosis,
            "because": self.case.because,
            "look_at": self.case.look_at,
            "alarms": [
                {"step": alarm.step, "illness": alarm.illness, "says": alarm.says} for alarm in self.case.history.alarms
            ],
        }


class GanDashboard(Still, anywidget.AnyWidget):
    """Replays adversarial training runs, healthy and sick, so that the illness can be named from what is seen.

    The runs are called A, B, C and so on, in an order that only their true names and the seed decide. Of the run that
    is chosen, each snapshot shows the sample picture beside bicubic and the truth, and the curves up to that step, on
    one axis of steps for all runs. A diagnosis can be chosen and checked; the answer can be revealed, with the alarms
    of the run's log. What a log does not hold is left out, and it is said.

    Everything happens in the browser, by mouse, touch or keyboard, also in an exported page without a kernel. The
    traits follow what is seen, and can be set:

    - `run`: from 0, which is run A.
    - `step`: the snapshot nearest to it is seen.
    - `sample`: which picture, from 0.
    - `common`: the scales of the curves are the same for all runs.
    - `answers`: the diagnosis last checked for each run, by letter.
    - `revealed`: the letters of the runs whose answer is shown.

    Args:
        cases: by true name, or one after the other; then the name of a run's folder is its true name.
        seed: of the order.
        more_diagnoses: to choose from beside those of the cases.
        run: which run is seen first.
        step: which snapshot; the last unless told.
        sample: which sample picture.
        common: see above.
        scene: what each sample picture shows, in a few words, for the alternative text.

    Raises:
        ValueError: no case, too many, two of one name, a case without a diagnosis; a run or sample that does not exist.
        ModelError: a snapshot that cannot be read.
    """

    _esm = front_end("frame.js", "gan_dashboard.js")
    _css = front_end("frame.css", "gan_dashboard.css")

    _moves_alone = traitlets.Bool(True).tag(sync=True)
    _runs = traitlets.List(traitlets.Dict()).tag(sync=True)
    _cells = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    _sprite = traitlets.Bytes().tag(sync=True)
    _diagnoses = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)
    run = traitlets.Int(0).tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    common = traitlets.Bool(False).tag(sync=True)
    answers = traitlets.Dict().tag(sync=True)
    revealed = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(
        self,
        cases: Mapping[str, Case] | Sequence[Case],
        *,
        seed: int = 0,
        more_diagnoses: Sequence[str] = (),
        run: int = 0,
        step: int | None = None,
        sample: int = 0,
        common: bool = False,
        scene: Sequence[str] = (),
    ) -> None:
        named = _shuffled(_named(cases), seed)
        axis = _shared_axis([case.history for case in named.values()])
        self._scene = tuple(scene)
        self._count = min(len(case.history.samples) for case in named.values())
        sprite = Sprite()
        self._replays = [_replay(name, case, axis, self._count, sprite) for name, case in named.items()]
        _add_charts(self._replays, axis)
        self._pictures = sprite.pictures
        sheet, cells = sprite.packed()
        super().__init__(
            _runs=[one.to_dict(letter) for letter, one in zip(LETTERS, self._replays, strict=False)],
            _cells=cells,
            _sprite=quick_png(sheet),
            _diagnoses=sorted({case.diagnosis for case in named.values()} | set(more_diagnoses), key=str.lower),
            _note=_note(self._replays, self._count),
            run=run,
            step=max(one.steps[-1] for one in self._replays) if step is None else step,
            sample=sample,
            common=common,
        )

    @property
    def letters(self) -> dict[str, str]:
        """The key: the true name of each run."""
        return {letter: one.name for letter, one in zip(LETTERS, self._replays, strict=False)}

    @property
    def right(self) -> int:
        """How many runs have been named rightly."""
        return sum(self._is_right(letter) for letter in self.answers)

    @traitlets.validate("run")
    def _check_run(self, proposal: Any) -> int:
        return one_of("run", proposal.value, "runs", len(self._replays))

    @traitlets.validate("sample")
    def _check_sample(self, proposal: Any) -> int:
        return one_of("sample", proposal.value, "samples", self._count)

    @traitlets.validate("answers")
    def _check_answers(self, proposal: Any) -> dict[str, str]:
        answers: dict[str, str] = proposal.value
        self._check_letters(answers)
        unknown = [answer for answer in answers.values() if answer not in self._diagnoses]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no diagnosis here; choose among {', '.join(self._diagnoses)}.")
        return answers

    @traitlets.validate("revealed")
    def _check_revealed(self, proposal: Any) -> list[str]:
        revealed: list[str] = proposal.value
        self._check_letters(revealed)
        return revealed

    def still(self) -> Image.Image:
        """Draw the three pictures and the curves up to the step that is seen."""
        shown, index = self._shown()
        charts = shown.common if self.common else shown.charts
        width = 3 * _STILL_SIDE + 2 * _GAP
        below = 2 * _LINE + _STILL_SIDE + _GAP
        rows = -(-len(charts) // _CHART_COLUMNS)
        image = Image.new("RGB", (width, below + rows * (_CHART_HEIGHT + _GAP)), "white")
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
        draw.text((0, 2), f"Run {self._letter}. {self._verdict()}", "black", font)
        captions = (
            (f"bicubic, {decibels(shown.bicubic_psnr[self.sample])}", shown.bicubic[self.sample]),
            (
                f"step {shown.steps[index]:,}, {decibels(shown.psnr[self.sample][index])}",
                shown.results[self.sample][index],
            ),
            ("truth", shown.truth[self.sample]),
        )
        for column, (caption, cell) in enumerate(captions):
            left = column * (_STILL_SIDE + _GAP)
            draw.text((left, _LINE + 2), caption, "black", font)
            image.paste(fitted(self._pictures[cell], _STILL_SIDE), (left, 2 * _LINE))
        for place, chart in enumerate(charts):
            row, column = divmod(place, _CHART_COLUMNS)
            mark = shown.marks[index]
            drawn = draw_chart(chart, (_STILL_SIDE, _CHART_HEIGHT), mark=mark, until=mark, enlarge=2)
            image.paste(drawn.reduce(2), (column * (_STILL_SIDE + _GAP), below + row * (_CHART_HEIGHT + _GAP)))
        return image

    def alt(self) -> str:
        """Say what the pictures and the curves show, with the numbers."""
        shown, index = self._shown()
        scene = f" of {self._scene[self.sample]}" if self.sample < len(self._scene) else ""
        return (
            f"Run {self._letter} of {len(self._replays)} after {shown.steps[index]} steps of adversarial training. "
            f"Three pictures{scene}: bicubic ({decibels(shown.bicubic_psnr[self.sample])}), the network "
            f"({decibels(shown.psnr[self.sample][index])}), the truth. Below: curves up to that step: "
            f"{self._readings()}. {self._verdict()}"
        ).rstrip()

    def summary(self) -> str:
        """Give the place in the run, the numbers there, and how many runs are named rightly."""
        shown, index = self._shown()
        place = f"run {self._letter}, step {shown.steps[index]}, snapshot {index + 1} of {len(shown.steps)}"
        revealed = f", revealed {' '.join(self.revealed)}" if self.revealed else ""
        return (
            f"GanDashboard({_runs(len(self._replays))}, {place}, sample {self.sample + 1} of {self._count} "
            f"{decibels(shown.psnr[self.sample][index])}, bicubic {decibels(shown.bicubic_psnr[self.sample])}, "
            f"{self._readings()}; named rightly {self.right} of {len(self._replays)}{revealed})"
        )

    @property
    def _letter(self) -> str:
        return LETTERS[self.run]

    def _shown(self) -> tuple[_Replay, int]:
        """The run that is seen, and which of its snapshots."""
        replay = self._replays[self.run]
        return replay, replay.nearest(self.step)

    def _is_right(self, letter: str) -> bool:
        return bool(self.answers.get(letter) == self._replays[LETTERS.index(letter)].case.diagnosis)

    def _verdict(self) -> str:
        shown, _ = self._shown()
        if self._letter in self.revealed:
            return f"It is {shown.name}: {shown.case.diagnosis}."
        if self._letter not in self.answers:
            return ""
        return f"Diagnosis: {self.answers[self._letter]}. {'Right.' if self._is_right(self._letter) else 'Not yet.'}"

    def _readings(self) -> str:
        shown, index = self._shown()
        return ", ".join(
            f"{panel.said} {read[index]}" for panel, read in zip(shown.panels, shown.readings, strict=True)
        )

    def _check_letters(self, letters: Mapping[str, str] | Sequence[str]) -> None:
        unknown = [letter for letter in letters if letter not in self.letters]
        if unknown:
            raise ValueError(f"there is no run {unknown[0]!r}; there are {', '.join(self.letters)}.")


def _named(cases: Mapping[str, Case] | Sequence[Case]) -> dict[str, Case]:
    pairs = list(cases.items()) if isinstance(cases, Mapping) else [(one.history.folder.name, one) for one in cases]
    named = dict(pairs)
    if not 0 < len(named) <= len(LETTERS):
        raise ValueError(f"{len(named)} cases were given; there can be 1 to {len(LETTERS)}.")
    if len(named) < len(pairs):
        raise ValueError("two of the runs have folders of the same name; give the cases as a dictionary, by name.")
    for name, case in named.items():
        if not case.diagnosis.strip():
            raise ValueError(f"the case {name!r} has no diagnosis; say what the run has, or `healthy`.")
    return named


def _shuffled(cases: Mapping[str, Case], seed: int) -> dict[str, Case]:
    """An order that tells nothing; by a hash, so that it stays the same in every version of Python."""
    return dict(sorted(cases.items(), key=lambda pair: hashlib.sha256(f"{seed} {pair[0]}".encode()).digest()))


def _shared_axis(histories: Sequence[History]) -> Axis:
    last = max(max(one.snapshots[-1], one.last_logged) for one in histories)
    return step_axis(last, min((step for one in histories for step in one.snapshots if step > 0), default=None))


def _replay(name: str, case: Case, axis: Axis, count: int, sprite: Sprite) -> _Replay:
    """A run with its pictures; the curves come when all runs are there."""
    history = case.history
    steps = spread(history.snapshots, MOST_SNAPSHOTS)
    replay = _Replay(name, case, steps, [round(axis.place(step), 4) for step in steps])
    protocol = MATLAB_Y.at_scale(history.recipe.scale)
    made = list(zip(*(history.results(step)[:count] for step in steps), strict=True))  # by sample, then by step
    for sample, results in zip(history.samples, made, strict=False):
        bicubic = imresize(sample.lr, history.recipe.scale).clamp(0, 1)
        replay.bicubic.append(sprite.add(to_pil(bicubic)))
        replay.truth.append(sprite.add(to_pil(sample.hr)))
        replay.results.append([sprite.add(to_pil(one)) for one in results])
        replay.bicubic_psnr.append(psnr(bicubic, sample.hr, protocol).item())
        replay.psnr.append([psnr(one, sample.hr, protocol).item() for one in results])
    return replay


def _add_charts(replays: Sequence[_Replay], axis: Axis) -> None:
    for panel in PANELS:
        curves = {one.name: found for one in replays if (found := panel.curves(one.case.history))}
        values = [value for lines in curves.values() for curve in lines.values() for value in curve.values]
        reach = (min(values), max(values)) if values else ()
        for one in replays:
            if one.name not in curves:
                continue
            lines = curves[one.name]
            own, all_runs = (
                make_chart(panel.title, lines, axis, log=panel.log, include=include, guide=panel.guide)
                for include in (panel.include, (*panel.include, *reach))
            )
            one.panels.append(panel)
            one.charts.append(own)
            one.common.append(all_runs)
            one.readings.append([last_known(lines, step, panel.form) for step in one.steps])
            one.values.append([_each_value(lines, step, panel.form) for step in one.steps])


def _each_value(curves: Mapping[str, Curve], step: int, form: str) -> list[str]:
    """What each of several curves last said, empty before it said anything; nothing for one curve alone."""
    known = [curve.last(step) for curve in curves.values()]
    return [form.format(last[1]) if last else "" for last in known] if len(known) > 1 else []


def _pull(diagnostics: Mapping[str, Curve]) -> Curve:
    """How much stronger the adversarial part pulls at the generated picture than the content part."""
    adversarial, content = (diagnostics.get(f"pull_{part}", Curve()) for part in ("adversarial", "content"))
    below = {step: value for step, value in zip(content.steps, content.values, strict=True) if value > 0}
    above = zip(adversarial.steps, adversarial.values, strict=True)
    ratios = {step: value / below[step] for step, value in above if step in below}
    return Curve(steps=tuple(ratios), values=tuple(ratios.values()))


def _finite(curve: Curve) -> Curve:
    points = [point for point in zip(curve.steps, curve.values, strict=True) if math.isfinite(point[1])]
    return Curve(steps=tuple(step for step, _ in points), values=tuple(value for _, value in points))


def _runs(count: int) -> str:
    return f"{count} run{'s' if count > 1 else ''}"


def _note(replays: Sequence[_Replay], count: int) -> str:
    notes = []
    if any(len(one.steps) < len(one.case.history.snapshots) for one in replays):
        notes.append(f"At most {MOST_SNAPSHOTS} snapshots of a run are shown, evenly chosen.")
    if any(len(one.case.history.samples) > count for one in replays):
        notes.append(f"Only as many pictures are shown as all runs have: {count}.")
    return " ".join(notes)
