"""A photograph, its distortion, and what each loss says of it: how bad it is, what it would change, where it leads."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_course.degradations import bicubic_lr
from sr_course.errors import CourseError
from sr_course.features import VGGFeatures
from sr_course.images import centre_crop, read, to_pil
from sr_course.lessons.descent import (
    ADVERSARIAL,
    DISTANCE,
    HEAD_START,
    SSIM,
    Adversary,
    Descent,
    Moment,
    PictureLoss,
    descend,
)
from sr_course.lessons.distortions import DISTORTIONS, at_strength
from sr_course.metrics import PERCEPTUAL_LAYERS
from sr_course.resample import imresize
from sr_course.widgets.frame import decibels, fitted, front_end
from sr_course.widgets.still import Still, quick_png, write_label

MOST_SIDE = 384  # pixels of the picture
STEPS = 60
SCALE = 4  # of the bicubic enlargement that the bars are measured by
MIXTURE = "mixture"
FEATURES = ("relu2_2", "relu5_3")  # of the corner: the layers of SRGAN's VGG22 and VGG54, in VGG16
LOSSES: Mapping[str, str] = {  # by name, in words
    "mse": "MSE",
    "l1": "L1",
    SSIM: "1 - SSIM",
    "relu2_2": "VGG relu2_2",
    "relu5_3": "VGG relu5_3",
    DISTANCE: "VGG distance, five layers",
}
_PIXEL = ("mse", "l1", SSIM)  # measured at once; the others need a pass through VGG
_KEPT = 20  # pictures of a descent
_BEAT = 0.2  # seconds between two words of a descent about where it is
_PHOTOGRAPHS, _PHOTOGRAPH_SIDE = 6, 192
_DARKER, _LIGHTER = (213, 94, 0), (0, 114, 178)  # Okabe and Ito's: what the loss wants darker, and lighter
_PATIENCE = 60.0  # seconds that `wait` waits at most
_STILL_SIDE, _GAP, _LINE = 240, 8, 20

Start = Literal["bicubic", "distorted"]
_SET = ("distortion", "strength", "loss", "weights", "feature", "frame", "start")


@dataclass(frozen=True)
class _View:
    """What all numbers depend on."""

    distortion: str
    strength: float
    left: int
    top: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a loss says of the distorted picture inside the frame.

    Attributes:
        name: of the loss.
        value: in its own unit; None while VGG is still looking.
        baseline: what it says of bicubic enlargement.
    """

    name: str
    value: float | None
    baseline: float

    @property
    def ratio(self) -> float | None:
        """How many times as bad as bicubic the picture is, in the eyes of this loss."""
        return None if self.value is None else self.value / self.baseline


class LossLab(Still, anywidget.AnyWidget):
    """Puts a distorted photograph before several losses at once.

    The pictures are shown whole; what is measured lies inside the frame, a square of 96 pixels that can be moved, for
    VGG takes a fifth of a second there and seconds on the whole picture. Each bar tells how many times as bad as
    bicubic enlargement by 4, of the same square, a loss holds the picture. MSE, L1 and SSIM answer while the slider
    moves; the losses by VGG, and the gradient map, follow when they are computed, and older questions are dropped.

    The gradient map shows what a loss would change: orange pixels it wants darker, blue ones lighter.

    `Descend` moves the pixels of the frame by Adam for 60 steps, in a thread, and then plays the way back. What is
    minimised is mixed in the triangle of three losses: pixel (MSE), feature (a layer of VGG) and adversarial. The
    weights are in units of each loss's pull at the start, so that the middle of the triangle means three equal pulls.
    No shipped network has a discriminator; the adversary is a small one that is trained in the descent itself, to tell
    the picture's patches from those of other photographs. It never sees the truth.

    Args:
        picture: `(1, 3, H, W)` in [0, 1], of up to 384 pixels a side.
        distortion: a name in `DISTORTIONS`.
        strength: 0 to 1.
        loss: whose gradient is mapped: a name in `LOSSES`, or `mixture` for that of the triangle.
        weights: of pixel, feature and adversarial; they are brought to the sum 1.
        feature: the layer of the corner, `relu2_2` or `relu5_3`.
        start: where a descent begins: `bicubic`, or `distorted`.
        side: of the frame, a multiple of 4.
        frame: left and top of the frame; in the middle unless told.
        photographs: `(N, 3, H, W)` in [0, 1], which the adversary knows; the course's own for validation unless told.
        scene: what the picture shows, in a few words.

    Raises:
        ValueError: a value that is not to be chosen, or a picture too small or too large.
        ModelError: VGG's weights are not here.
    """

    _esm = front_end("frame.js", "loss_lab.js")
    _css = front_end("frame.css", "loss_lab.css")

    distortion = traitlets.Unicode().tag(sync=True)
    strength = traitlets.Float().tag(sync=True)
    loss = traitlets.Unicode().tag(sync=True)
    weights = traitlets.List(traitlets.Float()).tag(sync=True)
    feature = traitlets.Unicode().tag(sync=True)
    start = traitlets.Unicode().tag(sync=True)
    frame = traitlets.List(traitlets.Int()).tag(sync=True)
    _options = traitlets.Dict().tag(sync=True)
    _reference = traitlets.Bytes().tag(sync=True)
    _picture = traitlets.Bytes().tag(sync=True)
    _map = traitlets.Bytes().tag(sync=True)
    _state = traitlets.Dict().tag(sync=True)
    _progress = traitlets.Dict().tag(sync=True)
    _replay = traitlets.Bytes().tag(sync=True)  # the kept pictures in a row, then the truth
    _moments: Any = traitlets.List().tag(sync=True)

    def __init__(
        self,
        picture: Tensor,
        *,
        distortion: str = "blur",
        strength: float = 0.2,
        loss: str = "mse",
        weights: Sequence[float] = (1.0, 0.0, 0.0),
        feature: str = "relu2_2",
        start: Start = "bicubic",
        side: int = 96,
        frame: tuple[int, int] | None = None,
        photographs: Tensor | None = None,
        scene: str = "",
    ) -> None:
        self._turn = threading.RLock()
        self._idle = threading.Condition(self._turn)
        self._closed = False
        self._worker: threading.Thread | None = None
        self._running: threading.Thread | None = None
        self._stop = threading.Event()
        self._judges: dict[tuple[int, int], tuple[PictureLoss, dict[str, float]]] = {}  # by frame, the latest alone
        self._gradients: dict[tuple[_View, str], Tensor] = {}  # of the latest view alone
        self.picture = _checked(picture, side)
        self.side = side
        self._scene = scene
        self._photographs = photographs
        self._features = VGGFeatures(PERCEPTUAL_LAYERS)
        self._descent: Descent | None = None
        self._trouble = ""
        self._answers = 0
        self._heard = ""  # the newest message of the browser that was answered
        self._shown: tuple[_View, Tensor, dict[str, float]] | None = None  # what is seen, and what is known of it
        height, width = picture.shape[-2:]
        middle = [(width - side) // 2, (height - side) // 2]
        super().__init__(
            distortion=distortion,
            strength=float(strength),
            loss=loss,
            weights=list(weights),
            feature=feature,
            start=start,
            frame=middle if frame is None else list(frame),
            _options={
                "distortions": list(DISTORTIONS),
                "losses": [*LOSSES.items(), (MIXTURE, "the triangle’s mixture")],
                "features": list(FEATURES),
                "size": [width, height],
                "side": side,
                "steps": STEPS,
            },
            _reference=quick_png(to_pil(self.picture)),
            _progress={"running": False, "step": 0, "steps": STEPS},
        )
        self._answer()
        self.observe(self._follow, list(_SET))
        self.on_msg(self._hear)

    # --- what can be set

    @traitlets.validate("distortion", "loss", "feature", "start")
    def _check_choice(self, proposal: Any) -> str:
        choices: Mapping[str, Sequence[str]] = {
            "distortion": tuple(DISTORTIONS),
            "loss": (*LOSSES, MIXTURE),
            "feature": FEATURES,
            "start": get_args(Start),
        }
        name = proposal.trait.name
        if proposal.value not in choices[name]:
            raise ValueError(f"there is no {name} {proposal.value!r}; choose from {', '.join(choices[name])}.")
        return str(proposal.value)

    @traitlets.validate("strength")
    def _check_strength(self, proposal: Any) -> float:
        if not 0 <= proposal.value <= 1:
            raise ValueError(f"strength is {proposal.value:g}; it goes from 0 to 1.")
        return float(proposal.value)

    @traitlets.validate("weights")
    def _check_weights(self, proposal: Any) -> list[float]:
        values = [float(value) for value in proposal.value]
        if len(values) != 3 or not all(0 <= value < math.inf for value in values) or sum(values) == 0:
            raise ValueError(f"weights are {values}; give three from 0 on, one of them above 0.")
        return [round(value / sum(values), 4) for value in values]

    @traitlets.validate("frame")
    def _check_frame(self, proposal: Any) -> list[int]:
        """Keep the frame inside the picture."""
        if len(proposal.value) != 2:
            raise ValueError(f"frame is {proposal.value}; give its left and top, in pixels.")
        height, width = self.picture.shape[-2:]
        left, top = proposal.value
        return [min(max(left, 0), width - self.side), min(max(top, 0), height - self.side)]

    # --- what can be asked

    @property
    def readings(self) -> list[Reading]:
        """What each loss says; waits for VGG."""
        self.wait()
        return self._readings()

    @property
    def descent(self) -> Descent | None:
        """The last descent that came to an end."""
        return self._descent

    def gradient(self) -> Tensor:
        """What is mapped: the gradient inside the frame, `(1, 3, side, side)`; waits until it is computed."""
        self.wait()
        with self._turn:
            found = self._mapped()
        if found is None:
            raise CourseError(self._trouble or "the gradient was not computed in time; ask again.")
        return found

    def descend(self) -> Descent:
        """Take a descent with the weights of now, and wait for its end."""
        self.begin()
        running = self._running
        if running:
            running.join()
        if self._descent is None:
            raise CourseError(self._trouble or "the descent was ended before its first picture.")
        return self._descent

    def begin(self) -> None:
        """Begin a descent in a thread; one that is running goes on."""
        with self._turn:
            if self._running and self._running.is_alive():
                return
            self._stop.clear()
            self._trouble = ""
            self._progress = {"running": True, "step": 0, "steps": STEPS}
            self._running = threading.Thread(target=self._go_down, daemon=True)
            self._running.start()

    def stop(self) -> None:
        """End the descent after the step that it is in."""
        self._stop.set()

    def wait(self) -> None:
        """Wait until all that is seen has been measured."""
        with self._turn:
            self._wake()
            self._idle.wait_for(lambda: self._worker is None, _PATIENCE)

    def close(self) -> None:
        """End what runs, and let go of the networks and pictures."""
        with self._turn:
            self._closed = True
            self._stop.set()
            self._gradients.clear()
            self._judges.clear()
        super().close()

    # --- answers

    def _follow(self, _change: Any) -> None:
        self._answer()

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Do what the browser says; its messages have names, so that it knows which is answered."""
        with self._turn:
            self._heard = str(message.get("asked", ""))
            for name, value in message.get("set", {}).items():
                if name in _SET:
                    with contextlib.suppress(ValueError, traitlets.TraitError):  # the page then sees what holds
                        self.set_trait(name, value)
            if message.get("do") == "descend":
                self.begin()
            elif message.get("do") == "stop":
                self.stop()
            self._answer()

    def _answer(self) -> None:
        """Show at once what is quickly had: the picture and the pixel losses; leave the rest to the worker."""
        with self._turn:
            view = _View(self.distortion, self.strength, *self.frame)
            if self._shown is None or self._shown[0] != view:
                made = at_strength(self.picture, view.distortion, view.strength)
                judge, _ = self._judge(view)
                self._shown = (view, made.picture, _measured(judge, self._cut(made.picture, view), _PIXEL))
                self._gradients.clear()
                self._picture_error = made.mse
                sent = quick_png(to_pil(made.picture))
            else:
                sent = self._picture
            with self.hold_sync():
                self._picture = sent
                self._tell()
            self._wake()

    def _tell(self) -> None:
        found = self._mapped()
        if found is not None:
            self._map = quick_png(gradient_image(found))
        self._answers += 1
        bars = [
            {"name": LOSSES[one.name], "says": _says(one), "ratio": one.ratio, "known": one.value is not None}
            for one in self._readings()
        ]
        self._state = {
            "answer": self._answers,
            "heard": self._heard,
            "bars": bars,
            "mapped": found is not None,
            "map": f"Gradient of {self._loss_name()}",
            "error": self._error(),
            "trouble": self._trouble,
        }

    def _readings(self) -> list[Reading]:
        assert self._shown is not None
        view, _, known = self._shown
        _, baseline = self._judge(view)
        return [Reading(name=name, value=known.get(name), baseline=baseline[name]) for name in LOSSES]

    def _judge(self, view: _View) -> tuple[PictureLoss, dict[str, float]]:
        """All losses against the truth inside the frame, and what they say of bicubic."""
        key = (view.left, view.top)
        if key not in self._judges:
            truth = self._cut(self.picture, view)
            judge = PictureLoss(truth, dict.fromkeys(LOSSES, 1.0), features=self._features)
            baseline = _measured(judge, _bicubic(truth), tuple(LOSSES))
            self._judges = {key: (judge, {name: max(value, 1e-12) for name, value in baseline.items()})}
        return self._judges[key]

    def _cut(self, picture: Tensor, view: _View) -> Tensor:
        """What lies inside the frame: `(1, 3, side, side)`."""
        return picture[..., view.top : view.top + self.side, view.left : view.left + self.side]

    def _error(self) -> str:
        return f"MSE {self._picture_error:.3g}, {decibels(_psnr(self._picture_error))}"

    def _loss_name(self) -> str:
        if self.loss != MIXTURE:
            return LOSSES[self.loss]
        shares = zip(self._corners(), self.weights, strict=True)
        return " + ".join(f"{round(100 * weight)} % {name}" for name, weight in shares if weight > 0)

    def _corners(self) -> tuple[str, str, str]:
        return ("mse", self.feature, ADVERSARIAL)

    def _mapped(self) -> Tensor | None:
        """The gradient that is mapped, if all that it is made of is known."""
        assert self._shown is not None
        view = self._shown[0]
        if self.loss != MIXTURE:
            return self._gradients.get((view, self.loss))
        total = None
        for name, weight in zip(self._corners(), self.weights, strict=True):
            if weight == 0:
                continue
            part = self._gradients.get((view, name))
            if part is None:
                return None
            length = part.norm()
            part = weight * part / length if length > 0 else part
            total = part if total is None else total + part
        return total

    # --- the worker: what takes VGG

    def _wake(self) -> None:
        if self._worker is None and not self._closed and self._todo() is not None and not self._trouble:
            self._worker = threading.Thread(target=self._work, daemon=True)
            self._worker.start()

    def _todo(self) -> str | None:
        """What is missing of what is seen: `bars`, or the name of a loss for its gradient."""
        assert self._shown is not None
        view, _, known = self._shown
        if len(known) < len(LOSSES):
            return "bars"
        wanted = [self.loss]
        if self.loss == MIXTURE:
            wanted = [name for name, weight in zip(self._corners(), self.weights, strict=True) if weight > 0]
        return next((name for name in wanted if (view, name) not in self._gradients), None)

    def _work(self) -> None:
        """Until nothing is missing; what is found for a picture that is no longer seen is dropped."""
        while True:
            with self._turn:
                todo = None if self._closed else self._todo()
                if todo is None:
                    self._worker = None
                    self._idle.notify_all()
                    return
                assert self._shown is not None
                view, picture, _ = self._shown
                judge, _ = self._judge(view)
                inside = self._cut(picture, view)
            try:
                found = self._found(todo, judge, inside)
            except CourseError as error:  # photographs or weights that are not here
                with self._turn:
                    self._trouble, self._worker = str(error), None
                    self._idle.notify_all()
                    self._tell()
                return
            with self._turn:
                if self._closed or self._shown is None or self._shown[0] != view:
                    continue
                if isinstance(found, Tensor):
                    self._gradients[view, todo] = found
                else:
                    self._shown[2].update(found)
                with self.hold_sync():
                    self._tell()

    def _found(self, todo: str, judge: PictureLoss, inside: Tensor) -> dict[str, float] | Tensor:
        if todo == "bars":
            return _measured(judge, inside, tuple(LOSSES))
        pixels = inside.clone().requires_grad_()
        if todo == ADVERSARIAL:
            adversary = Adversary(self._known_photographs(), inside.shape)
            for _ in range(HEAD_START):
                adversary.learn(inside)
            value = adversary.term(pixels)
        else:
            value = judge.terms(pixels, only=(todo,))[todo]
        (slope,) = torch.autograd.grad(value, pixels)
        return slope

    def _known_photographs(self) -> Tensor:
        if self._photographs is None:
            self._photographs = _shipped()
        return self._photographs

    # --- the descent

    def _go_down(self) -> None:
        with self._turn:
            assert self._shown is not None
            view, picture, _ = self._shown
            truth = self._cut(self.picture, view)
            begin = _bicubic(truth) if self.start == "bicubic" else self._cut(picture, view)
            weights = dict(zip(self._corners(), self.weights, strict=True))
        told = 0.0

        def progress(moment: Moment) -> None:
            nonlocal told
            if time.monotonic() - told > _BEAT:
                told = time.monotonic()
                self._progress = {"running": True, "step": moment.step, "steps": STEPS}

        try:
            descent = descend(
                begin,
                truth,
                weights,
                steps=STEPS,
                keep_every=max(1, STEPS // _KEPT),
                balanced=True,
                photographs=self._known_photographs() if weights[ADVERSARIAL] > 0 else None,
                stop=self._stop.is_set,
                progress=progress,
            )
        except CourseError as error:
            with self._turn:
                self._trouble = str(error)
                self._progress = {"running": False, "step": 0, "steps": STEPS}
                self._tell()
            return
        with self._turn:
            if self._closed:
                return
            self._descent, self._truth = descent, truth
            with self.hold_sync():
                self._replay = quick_png(_row([*(one.picture for one in descent.moments), truth]))
                self._moments = [_told(one, begin=self.start) for one in descent.moments]
                self._progress = {"running": False, "step": descent.moments[-1].step, "steps": STEPS}

    # --- for readers without a kernel

    def still(self) -> Image.Image:
        """Draw the pictures with their frames, the map, the bars as text, and a descent's ends if there is one."""
        self.wait()
        assert self._shown is not None
        tiles = [self._framed(self.picture, "reference"), self._framed(self._shown[1], self.distortion)]
        if (found := self._mapped()) is not None:
            tiles.append(_labelled(gradient_image(found), "gradient"))
        if self._descent:
            tiles += [
                _labelled(to_pil(self._descent.moments[0].picture), "start"),
                _labelled(to_pil(self._descent.picture), "after the descent"),
                _labelled(to_pil(self._truth), "truth"),
            ]
        rows = [tiles[begin : begin + 3] for begin in range(0, len(tiles), 3)]
        heights = [max(tile.height for tile in row) + _GAP for row in rows]
        lines = self._lines()
        width = max(3 * (_STILL_SIDE + _GAP) - _GAP, 620)
        sheet = Image.new("RGB", (width, sum(heights) + _LINE * len(lines)), "white")
        for index, row in enumerate(rows):
            for column, tile in enumerate(row):
                sheet.paste(tile, (column * (_STILL_SIDE + _GAP), sum(heights[:index])))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
        for index, line in enumerate(lines):
            draw.text((0, sum(heights) + _LINE * index), line, "black", font)
        return sheet

    def alt(self) -> str:
        """Say what is seen, and what the losses say."""
        scene = f"{self._scene}: " if self._scene else ""
        lines = self._lines()
        return f"{scene}a photograph, the same with {self.distortion}, and the gradient. {'. '.join(lines)}."

    def summary(self) -> str:
        """Give the distortion, the losses beside bicubic, and the end of the descent."""
        ratios = ", ".join(f"{LOSSES[one.name]} {_ratio_text(one.ratio)}" for one in self.readings)
        return (
            f"LossLab({self.distortion} {self.strength:.2f}, {self._error()}; beside bicubic: {ratios}; "
            f"gradient of {self._loss_name()}{self._told_descent()})"
        )

    def _lines(self) -> list[str]:
        lines = [f"{self.distortion}, strength {self.strength:.2f}: {self._error()}"]
        lines.append(f"inside the frame, gradient of {self._loss_name()}")
        lines += [f"{LOSSES[one.name]}: {_says(one)}" for one in self.readings]
        if self._descent:
            lines.append(self._told_descent().removeprefix("; "))
        return lines

    def _told_descent(self) -> str:
        if not self._descent:
            return ""
        first, last = self._descent.moments[0], self._descent.moments[-1]
        return f"; descent of {last.step} steps: {decibels(first.psnr)} to {decibels(last.psnr)}"

    def _framed(self, picture: Tensor, label: str) -> Image.Image:
        image = to_pil(picture)
        tile = fitted(image, _STILL_SIDE)
        times = tile.width / image.width
        left, top = self.frame
        box = [value * times for value in (left, top, left + self.side, top + self.side)]
        ImageDraw.Draw(tile).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline="white")
        write_label(tile, label)
        return tile


def gradient_image(slope: Tensor) -> Image.Image:
    """Draw a gradient `(1, 3, H, W)`: white where it is 0, orange where the loss wants less light, blue where more.

    The channels are averaged. Full colour stands for the size that one pixel in a hundred exceeds.
    """
    values = slope.mean(dim=1)[0]  # (H, W)
    full = values.abs().flatten().kthvalue(max(1, math.ceil(0.99 * values.numel()))).values
    share = (values / full.clamp(min=1e-30)).clamp(-1, 1)
    ends = torch.tensor([_DARKER, _LIGHTER]) / 255
    colour = torch.where(share[None] > 0, ends[0][:, None, None], ends[1][:, None, None])
    return to_pil(1 - share.abs() * (1 - colour))


def _checked(picture: Tensor, side: int) -> Tensor:
    if side % SCALE or side < 32:
        raise ValueError(f"side is {side}; give a multiple of {SCALE}, 32 or more.")
    sides = picture.shape[-2:]
    if picture.ndim != 4 or picture.shape[:2] != (1, 3) or not all(side <= one <= MOST_SIDE for one in sides):
        raise ValueError(
            f"the picture is of shape {tuple(picture.shape)}; give (1, 3, H, W), with sides of {side} to {MOST_SIDE} "
            "pixels, such as images.centre_crop(picture, 256, 256)."
        )
    return picture.detach().cpu()


def _measured(judge: PictureLoss, picture: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    with torch.no_grad():
        return {name: value.item() for name, value in judge.terms(picture, only=names).items()}


def _bicubic(truth: Tensor) -> Tensor:
    return imresize(bicubic_lr(truth, SCALE), SCALE).clamp(0, 1)


def _psnr(mse: float) -> float:
    return math.inf if mse == 0 else -10 * math.log10(mse)


def _shipped() -> Tensor:
    """Middles of photographs that are in no test, `(N, 3, 192, 192)`."""
    from sr_course.data.shipped import photos

    large = [one for one in photos("validation") if min(one.width, one.height) >= _PHOTOGRAPH_SIDE]
    chosen = [read(one.path) for one in large[:_PHOTOGRAPHS]]
    return torch.cat([centre_crop(one, _PHOTOGRAPH_SIDE, _PHOTOGRAPH_SIDE) for one in chosen])


def _row(pictures: Sequence[Tensor]) -> Image.Image:
    return to_pil(torch.cat(list(pictures), dim=-1))


def _told(moment: Moment, *, begin: str) -> dict[str, Any]:
    return {"step": moment.step, "psnr": decibels(moment.psnr), "loss": f"{moment.loss:.3g}", "start": begin}


def _labelled(image: Image.Image, label: str) -> Image.Image:
    tile = fitted(image, _STILL_SIDE)
    write_label(tile, label)
    return tile


def _says(reading: Reading) -> str:
    if reading.value is None:
        return "VGG is looking"
    return f"{_figure(reading.value)}, {_ratio_text(reading.ratio)} bicubic’s {_figure(reading.baseline)}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _ratio_text(ratio: float | None) -> str:
    return "…" if ratio is None else f"{ratio:.2g} times"
