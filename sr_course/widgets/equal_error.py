"""A picture spoiled in several ways to one squared error: the learner sorts by eye, then sees how each metric sorts."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from string import ascii_uppercase
from typing import Any

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_course.errors import CourseError
from sr_course.features import Backbone
from sr_course.images import to_pil
from sr_course.lessons.descent import DISTANCE, PictureLoss
from sr_course.lessons.distortions import DISTORTIONS, Distorted, UnreachableError, to_mse
from sr_course.metrics import RGB, ssim
from sr_course.widgets.frame import fitted, front_end
from sr_course.widgets.still import Still, quick_png, write_label

MSES = (0.0005, 0.001, 0.002, 0.004)
MOST_SIDE = 384  # pixels: at this size the pictures of one error are about 3 MB, and VGG takes seconds for each
METRICS = ("MSE", "SSIM", "VGG distance", "random network")
_LARGER_IS_NEARER = ("SSIM",)
_STILL_SIDE, _GAP, _LINE = 160, 8, 20
_CHANCE_SEED = 2  # not that of the noise, whose numbers it would be in step with
_WIDEST = 760  # px of the still

# --- agreement of two orders


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """How well two rankings agree: 1 for the same order, -1 for the reverse, 0 for no relation.

    Of all pairs of things, those that both rankings order alike count for, those that they order differently against;
    ties are taken out of the number of pairs.

    Args:
        first, second: of each thing its place or its figure.

    Returns:
        Tau; None where one ranking holds all things for equal, for then there is no order to agree with.

    Source: Kendall 1945, "The treatment of ties in ranking problems": tau-b.
    """
    signs = [
        (_sign(first[one] - first[other]), _sign(second[one] - second[other]))
        for one, other in combinations(range(len(first)), 2)
    ]
    ordered = [sum(bool(pair[side]) for pair in signs) for side in (0, 1)]
    if 0 in ordered:
        return None
    return sum(a * b for a, b in signs) / math.sqrt(ordered[0] * ordered[1])


def _sign(value: float) -> int:
    return int(value > 0) - int(value < 0)


# --- one error, and all that was made of it


@dataclass(kw_only=True, eq=False)
class _Level:
    """The pictures of one squared error, under letters."""

    mse: float
    made: Mapping[str, Distorted]  # by letter
    left_out: Sequence[str]  # sentences
    order: list[str]
    revealed: bool = False
    figures: dict[str, dict[str, float]] = field(default_factory=dict)  # by metric, by letter


@dataclass(frozen=True, kw_only=True)
class Sorting:
    """How a metric sorts the pictures.

    Attributes:
        metric: its name.
        names: of the distortions, from the nearest to the farthest.
        figures: of each, in the same order.
        tau: agreement with the learner's order; none where the metric holds all for equal.
    """

    metric: str
    names: tuple[str, ...]
    figures: tuple[float, ...]
    tau: float | None


class EqualError(Still, anywidget.AnyWidget):
    """Shows a picture and its distortions, all of one mean squared error, for the learner to sort by eye.

    What is nearest to the picture shall stand first. The distortions have letters until the learner asks for the
    answer; then their names are told, how each metric sorts them, and how well it agrees with the learner (Kendall's
    tau). The order that was given stays as it was. Each error has an answer of its own.

    The distances by networks are measured ahead, in a thread, while the learner looks.

    Args:
        picture: `(1, 3, H, W)` in [0, 1], of 16 to 384 pixels a side.
        distortions: names in `DISTORTIONS`, at least three.
        mses: the errors that can be chosen.
        mse: the first of them to be shown.
        seed: of the letters, which tell nothing.
        scene: what the picture shows, in a few words.

    Raises:
        ValueError: a picture too small or too large, an error that is not among those to choose from, or an unknown or
            missing distortion.
        UnreachableError: fewer than three distortions reach the error with this picture.
    """

    _esm = front_end("frame.js", "equal_error.js")
    _css = front_end("frame.css", "equal_error.css")

    _scene = traitlets.Unicode().tag(sync=True)
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # width, height
    _pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)  # the reference, then by letter
    _levels = traitlets.List(traitlets.Unicode()).tag(sync=True)  # what the errors are called
    _state = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        picture: Tensor,
        *,
        distortions: Sequence[str] = tuple(DISTORTIONS),
        mses: Sequence[float] = MSES,
        mse: float = 0.002,
        seed: int = 0,
        scene: str = "",
    ) -> None:
        self._closed = threading.Event()
        _require(picture, distortions, mses, mse)
        self.picture = picture.detach().cpu()
        self.mses = tuple(mses)
        self._distortions = tuple(distortions)
        self._seed = seed
        self._made: dict[int, _Level] = {}
        self._turn = threading.RLock()
        self._measuring: threading.Thread | None = None
        self._trouble = ""
        self._answers = 0
        self._heard = ""  # the newest message of the browser that was answered
        self._level = self.mses.index(mse)
        self._sent = -1  # the level whose pictures the browser has
        self._level_of(self._level)
        super().__init__(
            _scene=scene,
            _size=[picture.shape[-1], picture.shape[-2]],
            _levels=[_error_name(one) for one in self.mses],
        )
        self._show()
        self._measure_ahead()
        self.on_msg(self._hear)

    # --- what is asked and answered

    @property
    def mse(self) -> float:
        """The squared error of all pictures that are seen; can be set to one of `mses`."""
        return self.mses[self._level]

    @mse.setter
    def mse(self, value: float) -> None:
        if value not in self.mses:
            raise ValueError(f"mse is {value:g}; choose from {', '.join(f'{one:g}' for one in self.mses)}.")
        self._choose(self.mses.index(value))

    @property
    def letters(self) -> tuple[str, ...]:
        """Of the pictures, in the order of the alphabet."""
        return tuple(self._now.made)

    @property
    def order(self) -> list[str]:
        """The learner's order, from the nearest to the farthest; can be set until it is revealed."""
        return list(self._now.order)

    @order.setter
    def order(self, letters: Sequence[str]) -> None:
        with self._turn:
            if sorted(letters) != sorted(self._now.made):
                raise ValueError(f"{list(letters)} is no order; give each of {', '.join(self.letters)} once.")
            if self._now.revealed:
                raise ValueError("the answer has been told, and your order stays; choose another error to sort again.")
            self._now.order = list(letters)
            self._show()

    @property
    def revealed(self) -> bool:
        """Whether the names have been told."""
        return self._now.revealed

    def reveal(self) -> None:
        """Tell the names, and how the metrics sort; waits until they are measured."""
        with self._turn:
            self._now.revealed = True
            measuring = self._measuring
            self._show()
        if measuring:
            measuring.join()

    @property
    def names(self) -> list[str]:
        """The distortions in the learner's order.

        Raises:
            ValueError: it was not revealed yet.
        """
        self._require_revealed()
        return [self._now.made[letter].name for letter in self._now.order]

    @property
    def sortings(self) -> list[Sorting]:
        """How each metric sorts that has been measured.

        Raises:
            ValueError: it was not revealed yet.
        """
        self._require_revealed()
        return [
            _sorted(metric, figures, self._now)
            for metric, figures in self._now.figures.items()
            if len(figures) == len(self._now.made)
        ]

    def close(self) -> None:
        """Let go of the thread and the view."""
        self._closed.set()
        super().close()

    @property
    def _now(self) -> _Level:
        return self._made[self._level]

    def _require_revealed(self) -> None:
        if not self._now.revealed:
            raise ValueError("the names are not told before reveal(); sort first.")

    def _choose(self, level: int) -> None:
        with self._turn:
            self._level_of(level)
            self._level = level
            self._show()
        self._measure_ahead()

    def _level_of(self, level: int) -> None:
        """Make the pictures of an error, unless they are made already."""
        if level in self._made:
            return
        made, left_out = [], []
        for name in self._distortions:
            try:
                made.append(to_mse(self.picture, name, self.mses[level]))
            except UnreachableError as error:
                left_out.append(str(error))
        if len(made) < 3:
            raise UnreachableError(f"fewer than three distortions reach the error. {left_out[0]}")
        draw = random.Random(f"{self._seed} {level}")  # noqa: S311  # no secret, only an order
        draw.shuffle(made)
        letters = dict(zip(ascii_uppercase, made, strict=False))
        self._made[level] = _Level(
            mse=self.mses[level], made=letters, left_out=left_out, order=list(letters), figures={}
        )

    # --- measuring

    def _measure_ahead(self) -> None:
        with self._turn:
            if self._measuring and self._measuring.is_alive():
                return  # it looks itself for what there is to do
            self._measuring = threading.Thread(target=self._measure, daemon=True)
            self._measuring.start()

    def _measure(self) -> None:
        networks: dict[str, PictureLoss] = {}
        while not self._closed.is_set():
            with self._turn:
                now, todo = self._now, _unmeasured(self._now)
                if todo is None:
                    self._measuring = None
                    return
            metric, letter = todo
            try:
                value = self._figure(metric, now.made[letter], networks)
            except CourseError as error:  # VGG's weights are not here
                with self._turn:
                    self._trouble, self._measuring = str(error), None
                    self._show()
                return
            with self._turn:
                now.figures.setdefault(metric, {})[letter] = value
                if now.revealed and now is self._now:
                    self._show()

    def _figure(self, metric: str, made: Distorted, networks: dict[str, PictureLoss]) -> float:
        if metric == "MSE":
            return made.mse
        if metric == "SSIM":
            return ssim(made.picture, self.picture, RGB.at_scale(0)).item()
        if metric not in networks:  # made here, for it reads a file
            backbone: Backbone = "vgg16" if metric == "VGG distance" else "random"
            networks[metric] = PictureLoss(self.picture, {DISTANCE: 1.0}, backbone=backbone)
        with torch.no_grad():
            return networks[metric].terms(made.picture)[DISTANCE].item()

    # --- the browser

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Do what the browser says, unless it was meant for an error that is no longer seen."""
        with self._turn:
            deed = message.get("do")
            self._heard = str(message.get("asked", ""))
            if deed == "level":
                self._choose(min(max(int(message["level"]), 0), len(self.mses) - 1))
            elif message.get("level") == self._level and not self._now.revealed:
                if deed == "order" and sorted(message["order"]) == sorted(self._now.made):
                    self._now.order = list(message["order"])
                elif deed == "reveal":
                    self._now.revealed = True
            self._show()

    def _show(self) -> None:
        now = self._now
        if self._sent != self._level:
            sheets = [self.picture, *(one.picture for one in now.made.values())]
            self._pictures = [quick_png(_on_screen(one)) for one in sheets]
            self._sent = self._level
        self._answers += 1
        self._state = {
            "answer": self._answers,
            "heard": self._heard,
            "level": self._level,
            "letters": list(now.made),
            "order": list(now.order),
            "error": _told_error(now.mse),
            "left_out": list(now.left_out),
            "revealed": now.revealed,
            **(self._told() if now.revealed else {}),  # before, nothing that could be read in the page
        }

    def _told(self) -> dict[str, Any]:
        now = self._now
        count = sum(len(figures) for figures in now.figures.values())
        whole = len(METRICS) * len(now.made)
        return {
            "names": {letter: one.name for letter, one in now.made.items()},
            "sortings": [
                {
                    "metric": one.metric,
                    "tau": _tau_text(one.tau),
                    "places": [[name, _written(figure)] for name, figure in zip(one.names, one.figures, strict=True)],
                }
                for one in self.sortings
            ],
            "progress": self._trouble or ("" if count == whole else f"Measuring: {count} of {whole} figures."),
        }

    # --- for readers without a kernel

    def still(self) -> Image.Image:
        """Draw the reference and the pictures in the learner's order; when revealed, how each metric sorts, below."""
        now = self._now
        tiles = [_tile(self.picture, "reference")]
        for place, letter in enumerate(now.order, start=1):
            label = now.made[letter].name if now.revealed else letter
            tiles.append(_tile(now.made[letter].picture, f"{place}  {label}"))
        columns = max(1, min(4, (_WIDEST + _GAP) // (tiles[0].width + _GAP)))
        rows = -(-len(tiles) // columns)
        lines = self._lines() if now.revealed else []
        width = max(columns * (tiles[0].width + _GAP) - _GAP, _WIDEST if lines else 0)
        height = rows * (tiles[0].height + _GAP)
        sheet = Image.new("RGB", (width, height + _LINE * len(lines)), "white")
        for index, tile in enumerate(tiles):
            row, column = divmod(index, columns)
            sheet.paste(tile, (column * (tile.width + _GAP), row * (tile.height + _GAP)))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        for index, line in enumerate(lines):
            draw.text((0, height + _LINE * index), line, "black", font)
        return sheet

    def alt(self) -> str:
        """Say what is shown, and when revealed how everybody sorts."""
        what = f"{self._scene}: " if self._scene else ""
        now = self._now
        if not now.revealed:
            return (
                f"{what}a picture and {len(now.made)} distortions of it, all with {_told_error(now.mse)}, "
                f"in the order {', '.join(now.order)}."
            )
        return f"{what}distortions with {_told_error(now.mse)}. " + " ".join(f"{line}." for line in self._lines())

    def summary(self) -> str:
        """Give the error, the order, and when revealed the agreement with each metric."""
        now = self._now
        if not now.revealed:
            return f"EqualError({len(now.made)} pictures, MSE {now.mse:g}, order {' '.join(now.order)})"
        taus = ", ".join(f"{one.metric} {_tau_text(one.tau)}" for one in self.sortings)
        return f"EqualError(MSE {now.mse:g}, sorted {', '.join(self.names)}; agreement: {taus})"

    def _lines(self) -> list[str]:
        lines = [f"your order: {', '.join(self.names)}"]
        for one in self.sortings:
            order = "all equal" if one.tau is None else ", ".join(one.names)
            lines.append(f"{one.metric}: {order} (agreement {_tau_text(one.tau)})")
        return lines


def _require(picture: Tensor, distortions: Sequence[str], mses: Sequence[float], mse: float) -> None:
    fits = picture.ndim == 4 and all(16 <= side <= MOST_SIDE for side in picture.shape[2:])
    if not fits or picture.shape[:2] != (1, 3):
        raise ValueError(
            f"the picture is of shape {tuple(picture.shape)}; give (1, 3, H, W), with sides of 16 to {MOST_SIDE} "
            "pixels, such as images.centre_crop(picture, 256, 256)."
        )
    unknown = [name for name in distortions if name not in DISTORTIONS]
    if unknown or len(set(distortions)) < max(3, len(distortions)):
        which = f"there is no distortion {unknown[0]!r}" if unknown else f"{list(distortions)} are too few to sort"
        raise ValueError(f"{which}; give three or more of {', '.join(DISTORTIONS)}.")
    if mse not in mses:
        raise ValueError(f"mse is {mse:g}; choose from {', '.join(f'{one:g}' for one in mses)}, or give mses=....")


def _unmeasured(level: _Level) -> tuple[str, str] | None:
    """The next metric and letter."""
    for metric in METRICS:
        for letter in level.made:
            if letter not in level.figures.get(metric, {}):
                return metric, letter
    return None


def _sorted(metric: str, figures: Mapping[str, float], level: _Level) -> Sorting:
    sign = -1 if metric in _LARGER_IS_NEARER else 1
    # MSE was made equal to a millionth, and what is left of its differences is no order
    far = {letter: level.mse if metric == "MSE" else sign * value for letter, value in figures.items()}
    letters = sorted(far, key=lambda letter: far[letter])
    return Sorting(
        metric=metric,
        names=tuple(level.made[letter].name for letter in letters),
        figures=tuple(figures[letter] for letter in letters),
        tau=kendall_tau([level.order.index(letter) for letter in letters], [far[letter] for letter in letters]),
    )


def _on_screen(picture: Tensor) -> Image.Image:
    """Round to 8 bits up or down by chance, the same one each time, so that the error is that of the picture.

    Plain rounding would take 11.4 levels of light, added everywhere, for 11, and with it a fourteenth of the error.
    """
    chance = torch.rand(picture.shape, generator=torch.Generator().manual_seed(_CHANCE_SEED))
    levels = ((picture * 255 * 100).round() / 100 + chance).floor()  # whole levels stay what they are
    return to_pil(levels.clamp(0, 255) / 255)


def _tile(picture: Tensor, label: str) -> Image.Image:
    tile = fitted(_on_screen(picture), _STILL_SIDE)
    write_label(tile, label)
    return tile


def _error_name(mse: float) -> str:
    return f"{mse:g} ({-10 * math.log10(mse):.1f} dB)"


def _told_error(mse: float) -> str:
    return f"a mean squared error of {mse:g}, {-10 * math.log10(mse):.1f} dB"


def _tau_text(tau: float | None) -> str:
    return "none: all are equal" if tau is None else f"{tau + 0.0:.2f}"


def _written(figure: float) -> str:
    return f"{figure:.3g}"
