"""A GAN of one dimension, stepped by hand: both networks, what they see, and where the samples are pulled."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import anywidget
import numpy as np
import traitlets
from PIL import Image, ImageDraw, ImageFont

from sr_course.lessons.toy_gan import (
    COUNT,
    GUESSING,
    MOST_STEPS,
    PARAMETERS,
    Array,
    Data,
    Discriminator,
    Generator,
    Loss,
    Record,
    ToyGan,
)
from sr_course.widgets.curves import Axis, Tick
from sr_course.widgets.frame import front_end, spread
from sr_course.widgets.still import Still

LEARNING_RATES = (0.01, 0.03, 0.1, 0.3, 1.0)  # of the slider; Python may set another
MOST_TIMES = 100  # steps at one press
COLOURS = {"data": "#0072b2", "made": "#d55e00", "best": "#009e73"}  # Okabe and Ito's, for every colour vision
_OPTIONS = ("data", "generator", "discriminator", "loss", "learning_rate", "discriminator_steps")
_CHANGING = ("data", "generator", "discriminator")  # after these the game begins anew
_VIEW = Axis(low=-4, high=4)
_PLACES = np.linspace(_VIEW.low, _VIEW.high, 161)
_DENSITY = Axis(low=0, high=1.6)  # what is higher is cut off
_BIN = 0.25
_ARROWS = 20  # samples that show their pull
_ARROW_SCALE, _LONGEST_ARROW = 1.0, 1.5  # on the axis of x: for a pull of 1, and at most
_MOST_RECORDS = 300
_STILL = (888, 568, 312)  # px: the whole, the column on the left, the one on the right
_LINE = 20
_MARGIN = (40, 12, 6)  # px left, right, above; what a panel leaves to the labels of its axes

Role = Literal["data", "made", "judge", "best"]
Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something drawn in a panel; points are pairs of fractions, from the left and from below.

    Attributes:
        kind: `line`; `dashes`; `area`, closed and filled; `arrow`, from the first point to the second; `dot`.
        role: whose it is, and so its colour: the data, the samples that are made, the discriminator's judgement (the
            colour of the text), the best discriminator.
    """

    kind: Literal["line", "dashes", "area", "arrow", "dot"]
    role: Role
    points: list[Point]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One frame with its caption, laid out once: the browser draws the same as the still picture.

    Attributes:
        title: what is drawn.
        legend: name, kind and role of what is not said in the title.
        reading: the numbers of now.
        height: of the frame in pixels.
        x_ticks, y_ticks: places and labels.
        guide: a dashed line at this height, with its label.
    """

    title: str
    legend: Sequence[tuple[str, str, Role]]
    reading: str
    height: int
    marks: Sequence[Mark]
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    guide: Tick | None = None
    below: int = field(init=False)  # px for the labels of x

    def __post_init__(self) -> None:
        object.__setattr__(self, "below", 20 if self.x_ticks else 4)


class GanStepper(Still, anywidget.AnyWidget):
    """A generative adversarial network whose pictures are numbers, one step at a time.

    It shows D(x) beside the best discriminator there is against this generator; the data and the samples as histograms
    (bars) and densities (lines); the pull on every fifth sample as an arrow; and both losses. Its buttons take one, ten
    or a hundred steps of the discriminator, of the generator, or of both in turn. The options are traits that can be
    set from Python: `data`, `generator` and `discriminator` begin the game anew; `loss`, `learning_rate` and
    `discriminator_steps` change its rules from the next step on. `gan` is the toy itself, a `ToyGan`.

    Args:
        data, generator, discriminator, loss, learning_rate, discriminator_steps, spread, centre: see `ToyGan`.

    Raises:
        ValueError: an option that does not exist, or a number out of its range.
    """

    _esm = front_end("frame.js", "gan_stepper.js")
    _css = front_end("frame.css", "gan_stepper.css")

    data = traitlets.Unicode().tag(sync=True)
    generator = traitlets.Unicode().tag(sync=True)
    discriminator = traitlets.Unicode().tag(sync=True)
    loss = traitlets.Unicode().tag(sync=True)
    learning_rate = traitlets.Float().tag(sync=True)
    discriminator_steps = traitlets.Int().tag(sync=True)
    _learning_rates = traitlets.List(traitlets.Float()).tag(sync=True)
    _most_steps = traitlets.Int().tag(sync=True)
    _colours = traitlets.Dict().tag(sync=True)
    _scene = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        data: Data = "two bumps",
        generator: Generator = "step",
        discriminator: Discriminator = "hills",
        loss: Loss = "non-saturating",
        learning_rate: float = 0.1,
        discriminator_steps: int = 1,
        spread: float = 0.5,
        centre: float = -2.0,
    ) -> None:
        self.gan = ToyGan(
            data=data,
            generator=generator,
            discriminator=discriminator,
            loss=loss,
            learning_rate=learning_rate,
            discriminator_steps=discriminator_steps,
            spread=spread,
            centre=centre,
        )
        # JupyterLab lets two threads of the kernel answer its controls.
        self._turn = threading.RLock()
        self._answers = 0
        self._heard = ""  # the newest message of the browser that was answered
        super().__init__(
            **{name: getattr(self.gan, name) for name in _OPTIONS},
            _learning_rates=list(LEARNING_RATES),
            _most_steps=MOST_STEPS,
            _colours=COLOURS,
        )
        self._show()
        self.observe(self._follow, list(_OPTIONS))
        self.on_msg(self._hear)

    def step_discriminator(self, times: int = 1) -> None:
        """Let the discriminator learn, while the generator holds still."""
        self._play(lambda: self.gan.step_discriminator(times))

    def step_generator(self, times: int = 1) -> None:
        """Let the generator learn, while the discriminator holds still."""
        self._play(lambda: self.gan.step_generator(times))

    def step_both(self, times: int = 1) -> None:
        """Take rounds: `discriminator_steps` of the discriminator, then one of the generator."""
        self._play(lambda: self.gan.step_both(times))

    def reset(self) -> None:
        """Go back to the start."""
        self._play(self.gan.reset)

    def _play(self, move: Callable[[], None]) -> None:
        with self._turn:
            move()
            self._show()

    @traitlets.validate(*_OPTIONS)
    def _check_option(self, proposal: Any) -> Any:
        replace(self.gan, **{proposal.trait.name: proposal.value})  # which says what is wrong with it
        return proposal.value

    def _follow(self, change: Any) -> None:
        with self._turn:
            if change.name in _CHANGING:
                self.gan = replace(self.gan, **{change.name: change.new})
            else:
                setattr(self.gan, change.name, change.new)
            self._show()

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Do what a button says, and answer; all speak by message, for Python hears those in the order of the hand."""
        moves: Mapping[str, Callable[[int], None]] = {
            "discriminator": self.gan.step_discriminator,
            "generator": self.gan.step_generator,
            "both": self.gan.step_both,
            "reset": lambda _times: self.gan.reset(),
        }
        with self._turn, self.hold_sync():
            self._heard, shown = str(message.get("asked", "")), self._answers
            if (name := message.get("set")) in _OPTIONS:
                with contextlib.suppress(ValueError, traitlets.TraitError):  # the page then sees what holds
                    self.set_trait(name, message["value"])
            elif move := moves.get(message.get("do", "")):
                move(min(max(int(message.get("times", 1)), 1), MOST_TIMES))
            if self._answers == shown:  # an option that has changed is shown already
                self._show()

    def _show(self) -> None:
        self._panels = _panels(self.gan)
        self._answers += 1
        scene = [asdict(panel) for panel in self._panels]
        self._scene = {
            "answer": self._answers,
            "heard": self._heard,
            "panels": scene,
            "numbers": _numbers(self.gan),
        }

    def still(self) -> Image.Image:
        """Draw what both networks see on the left, the losses and the numbers on the right."""
        whole, left, right = _STILL
        *stack, losses = (
            _draw(panel, width) for panel, width in zip(self._panels, (left,) * 3 + (right,), strict=True)
        )
        sheet = Image.new("RGB", (whole, sum(image.height for image in stack)), "white")
        top = 0
        for image in stack:
            sheet.paste(image, (0, top))
            top += image.height
        sheet.paste(losses, (whole - right, 0))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        for row, (name, value) in enumerate(self._scene["numbers"]):
            place = whole - right + 8, losses.height + 14 + row * _LINE
            draw.text(place, f"{name}: {value}", "black", font)
        return sheet

    def alt(self) -> str:
        """Say what the panels show, in numbers."""
        readings = "; ".join(f"{panel.title}: {panel.reading}" for panel in self._panels if panel.reading)
        numbers = ", ".join(f"{name} {value}" for name, value in self._scene["numbers"])
        return f"A GAN of one dimension, data with {self.data}. {readings}. {numbers}."

    def summary(self) -> str:
        """Give the options, the steps taken, and the numbers."""
        gan = self.gan
        rounds = f"{gan.discriminator_steps} discriminator step{'' if gan.discriminator_steps == 1 else 's'} a round"
        return (
            f"GanStepper({gan.data}, generator {gan.generator}, discriminator {gan.discriminator}, {gan.loss}, "
            f"learning rate {gan.learning_rate:g}, {rounds}; after {_steps(gan)}: samples {_moments(gan)}; "
            f"losses {gan.discriminator_loss():.2f} and {gan.generator_loss():.2f}, pull {_mean_pull(gan):.3f})"
        )


# --- layout


def _panels(gan: ToyGan) -> list[Panel]:
    """All that is drawn, for the live view and for the still picture."""
    return [_judgement(gan), _distributions(gan), _pulls(gan), _losses(gan.records)]


def _judgement(gan: ToyGan) -> Panel:
    unit = Axis(low=0, high=1)
    best = gan.optimal_discriminator(_PLACES)
    verdict = [float(gan.judge(numbers).mean()) for numbers in (gan.real, gan.samples)]
    return Panel(
        title="Discriminator",
        legend=[("D(x)", "line", "judge"), ("the best there is", "dashes", "best")],
        reading=f"on average {verdict[0]:.2f} for data, {verdict[1]:.2f} for samples",
        height=120,
        marks=[
            *_curve("dashes", "best", _PLACES, best, unit),
            *_curve("line", "judge", _PLACES, gan.judge(_PLACES), unit),
        ],
        y_ticks=[(0, "0"), (0.5, "0.5"), (1, "1")],
    )


def _distributions(gan: ToyGan) -> Panel:
    return Panel(
        title="Distributions",
        legend=[("data", "area", "data"), ("samples", "area", "made")],
        reading=_moments(gan),
        height=130,
        marks=[
            _histogram("data", gan.real),
            _histogram("made", gan.samples),
            *_curve("line", "data", _PLACES, _seen(gan.data_density(_PLACES)), _DENSITY),
            *_curve("line", "made", _PLACES, _seen(gan.samples_density(_PLACES)), _DENSITY),
        ],
        y_ticks=[(_DENSITY.place(value), f"{value:g}") for value in (0, 0.5, 1, 1.5)],
    )


def _pulls(gan: ToyGan) -> Panel:
    """Every fifth sample in a row of its own, four rows in turn, so that arrows seldom lie on each other."""
    every = COUNT // _ARROWS
    samples, pulls = (numbers[every // 2 :: every] for numbers in (gan.samples, gan.pull()))
    marks = [Mark(kind="dot", role="data", points=[(_place(x), 0.08)]) for x in gan.real[every // 2 :: every]]
    for index, (x, pull) in enumerate(zip(samples, pulls, strict=True)):
        if not _VIEW.low <= x <= _VIEW.high:
            continue
        height = 0.28 + 0.2 * (index % 4)
        end = x + math.copysign(min(_ARROW_SCALE * abs(pull), _LONGEST_ARROW), pull)
        marks.append(Mark(kind="arrow", role="made", points=[(_place(x), height), (_place(end), height)]))
        marks.append(Mark(kind="dot", role="made", points=[(_place(x), height)]))
    away = int((np.abs(gan.samples) > _VIEW.high).sum())
    beyond = f", {away} of {COUNT} out of view" if away else ""
    return Panel(
        title="Pull on samples",
        legend=[("data", "dot", "data"), ("samples, every fifth", "arrow", "made")],
        reading=f"on average {_mean_pull(gan):.3f}{beyond}",
        height=96,
        marks=marks,
        x_ticks=[(_place(x), f"{x:g}") for x in range(-4, 5)],
    )


def _losses(records: Sequence[Record]) -> Panel:
    chosen = [records[index] for index in spread(range(len(records)), _MOST_RECORDS)]
    last = chosen[-1]
    steps = Axis(low=0, high=max(last.updates, 10))
    values = [value for record in chosen for value in (record.discriminator, record.generator)]
    low, high = min(0.0, *values), max(1.5, *values)
    heights = Axis(low=low - 0.04 * (high - low), high=high + 0.04 * (high - low))
    updates = np.array([record.updates for record in chosen], dtype=float)
    lines: Mapping[Role, Array] = {
        "judge": np.array([record.discriminator for record in chosen]),
        "made": np.array([record.generator for record in chosen]),
    }
    marks = [mark for role, line in lines.items() for mark in _curve("line", role, updates, line, heights, along=steps)]
    for role, line in lines.items():
        end = (_rounded(steps.place(last.updates)), _rounded(heights.place(float(line[-1]))))
        marks.append(Mark(kind="dot", role=role, points=[end]))
    return Panel(
        title="Losses",
        legend=[("discriminator", "line", "judge"), ("generator", "line", "made")],
        reading="",
        height=200,
        marks=marks,
        x_ticks=steps.ticks(),
        y_ticks=heights.ticks(),
        guide=(_rounded(heights.place(GUESSING)), "2 ln 2"),
    )


def _numbers(gan: ToyGan) -> list[tuple[str, str]]:
    """What stands beside the panels, by name."""
    values = [
        f"{name} = {_plain(value)}" for name, value in zip(PARAMETERS[gan.generator], gan.parameters, strict=True)
    ]
    numbers = [
        ("steps", _steps(gan)),
        ("discriminator's loss", f"{gan.discriminator_loss():.3f} (guessing: {GUESSING:.3f})"),
        ("generator's loss", f"{gan.generator_loss():.3f}"),
        ("generator", "x = a z + b" if gan.generator == "line" else "x = a z + b + s tanh(k z + c)"),
        ("line", ", ".join(values[:2])),
    ]
    return [*numbers, ("step", ", ".join(values[2:]))] if gan.generator == "step" else numbers


def _steps(gan: ToyGan) -> str:
    return f"{gan.discriminator_updates} discriminator, {gan.generator_updates} generator"


def _moments(gan: ToyGan) -> str:
    samples = gan.samples
    left = int((samples < 0).sum())
    return f"mean {_plain(samples.mean())}, spread {samples.std():.2f}, {left} of {COUNT} below 0"


def _plain(value: float) -> str:
    """Two decimals, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def _mean_pull(gan: ToyGan) -> float:
    return float(np.abs(gan.pull()).mean())


def _curve(
    kind: Literal["line", "dashes"], role: Role, x: Array, y: Array, up: Axis, *, along: Axis = _VIEW
) -> list[Mark]:
    """A curve, in pieces where it is not a number."""
    known = np.isfinite(y)
    pieces = np.split(np.arange(len(x)), np.flatnonzero(np.diff(known)) + 1)
    return [
        Mark(kind=kind, role=role, points=[(_rounded(along.place(x[at])), _rounded(up.place(y[at]))) for at in piece])
        for piece in pieces
        if known[piece[0]] and len(piece) > 1
    ]


def _seen(density: Array) -> Array:
    """Without what would lie on the axis."""
    return np.where(density > 1e-3, density, np.nan)


def _histogram(role: Role, numbers: Array) -> Mark:
    edges = np.arange(_VIEW.low, _VIEW.high + _BIN, _BIN)
    heights = np.histogram(numbers, edges)[0] / (COUNT * _BIN)
    corners: list[Point] = [(0.0, 0.0)]
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        top = _rounded(_DENSITY.place(float(height)))
        corners += [(_place(left), top), (_place(right), top)]
    return Mark(kind="area", role=role, points=[*corners, (1.0, 0.0)])


def _place(x: float) -> float:
    return _rounded(_VIEW.place(float(x)))


def _rounded(fraction: float) -> float:
    return round(float(fraction), 4)


# --- the still picture


def _draw(panel: Panel, width: int) -> Image.Image:
    """Draw a panel on white, twice as large and then reduced, so that its lines are smooth."""
    fine = 2
    left, right, above = _MARGIN
    frame = (left, _LINE + above, width - right, _LINE + above + panel.height)
    size = (width, frame[3] + panel.below + 4)
    sheet = Image.new("RGB", (size[0] * fine, size[1] * fine), "white")
    draw = ImageDraw.Draw(sheet, "RGBA")
    font, small = ImageFont.load_default(12 * fine), ImageFont.load_default(11 * fine)

    def at(point: Point) -> Point:
        x, y = point
        return fine * (frame[0] + x * (frame[2] - frame[0])), fine * (frame[3] - y * (frame[3] - frame[1]))

    for place, label in panel.y_ticks:
        draw.line([at((0, place)), at((1, place))], fill=(225, 225, 225), width=fine)
        draw.text((at((0, place))[0] - 4 * fine, at((0, place))[1]), label, (70, 70, 70), small, anchor="rm")
    for place, label in panel.x_ticks:
        draw.line([at((place, 0)), at((place, 1))], fill=(240, 240, 240), width=fine)
        draw.text((at((place, 0))[0], at((place, 0))[1] + 4 * fine), label, (70, 70, 70), small, anchor="mt")
    if panel.guide:
        place, label = panel.guide
        _dashes(draw, [at((0, place)), at((1, place))], (110, 110, 110), fine)
        draw.text((at((1, place))[0] - 2 * fine, at((1, place))[1] - 2 * fine), label, (70, 70, 70), small, anchor="rb")
    draw.line([at((0, 1)), at((0, 0)), at((1, 0))], fill=(110, 110, 110), width=fine)
    for mark in panel.marks:
        _draw_mark(draw, mark, [at(point) for point in mark.points], fine)
    _draw_caption(draw, panel, (left * fine, 2 * fine), font, fine)
    return sheet.resize(size, Image.Resampling.BOX)


def _draw_caption(draw: ImageDraw.ImageDraw, panel: Panel, start: Point, font: Any, fine: int) -> None:
    x, y = start
    middle = y + 8 * fine
    draw.text((x, y), panel.title, "black", font)
    x += font.getlength(panel.title) + 12 * fine
    for name, kind, role in panel.legend:
        ends = [(x, middle), (x + 16 * fine, middle)]
        box = [(x, y + 3 * fine), (x, y + 13 * fine), (x + 16 * fine, y + 13 * fine), (x + 16 * fine, y + 3 * fine)]
        points = {"area": box, "dot": [(x + 12 * fine, middle)]}.get(kind, ends)
        _draw_mark(draw, Mark(kind=kind, role=role, points=[]), points, fine)  # type: ignore[arg-type]  # its words are kinds
        x += 20 * fine
        draw.text((x, y), name, "black", font)
        x += font.getlength(name) + 12 * fine
    draw.text((x, y), panel.reading, (70, 70, 70), font)


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark, places: list[Point], fine: int) -> None:
    red, green, blue = _rgb(mark.role)
    solid = (red, green, blue, 255)
    if mark.kind == "area":
        draw.polygon(places, fill=(red, green, blue, 70))
    elif mark.kind == "dashes":
        _dashes(draw, places, (red, green, blue), 2 * fine)
    elif mark.kind == "dot":
        x, y = places[0]
        draw.ellipse((x - 3 * fine, y - 3 * fine, x + 3 * fine, y + 3 * fine), fill=solid)
    else:
        draw.line(places, fill=solid, width=2 * fine, joint="curve")
    if mark.kind == "arrow":
        (start, y), (end, _) = places
        wing = math.copysign(min(5 * fine, abs(end - start)), end - start)
        draw.polygon([(end, y), (end - wing, y - 4 * fine), (end - wing, y + 4 * fine)], fill=solid)


def _dashes(draw: ImageDraw.ImageDraw, places: list[Point], colour: tuple[int, int, int], width: int) -> None:
    """Draw a line of dashes 6 px long, 4 px apart."""
    dash, gap = 3 * width, 2 * width
    walked = 0.0
    for (x0, y0), (x1, y1) in pairwise(places):
        length = math.hypot(x1 - x0, y1 - y0)
        done = 0.0
        while done < length:
            phase = (walked + done) % (dash + gap)
            step = min(length - done, dash - phase if phase < dash else dash + gap - phase)
            if phase < dash:
                ends = [
                    (x0 + (x1 - x0) * part / length, y0 + (y1 - y0) * part / length) for part in (done, done + step)
                ]
                draw.line(ends, fill=colour, width=width)
            done += max(step, 1e-3)
        walked += length


def _rgb(role: Role) -> tuple[int, int, int]:
    colour = COLOURS.get(role, "#000000")
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
