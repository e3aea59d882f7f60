"""A bench to resize on: choose kernel, scale and antialiasing, and see the result, its error and its spectrum."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from html import escape
from typing import Literal, get_args

import ipywidgets as widgets
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_course.data.shipped import photo
from sr_course.errors import ImageError
from sr_course.images import full_range_luma, read, to_pil
from sr_course.metrics import RGB, psnr
from sr_course.resample import KERNELS, imresize
from sr_course.widgets.still import Still, quick_png

Source = Literal["picture", "zone plate"]
SCALES = {"1/8": 1 / 8, "1/6": 1 / 6, "1/4": 1 / 4, "1/3": 1 / 3, "1/2": 1 / 2, "2": 2, "3": 3, "4": 4, "6": 6, "8": 8}
ERROR_RANGES = (0.1, 0.25, 0.5, 1.0)
SPECTRUM_DB = (-90, -30)  # amplitude per frequency, of a picture in [0, 1]: black and white of the spectrum
_STEP = 24  # divisible by every factor of SCALES, so that all sizes are whole
_MOST_SIDE = 240
_LEAST_SIDE = 48
_MEASURE = replace(RGB, border=0)
_KERNEL_LABELS = {"cubic": "cubic, a = -0.5", "cubic-0.75": "cubic, a = -0.75"}
_CAPTION_HEIGHT = 44  # px, two lines
_GAP = 10


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where the controls of the bench stand.

    Attributes:
        source: the photograph, or the zone plate: rings that get finer outwards, up to the finest a picture can hold.
        kernel: a name in `sr_course.resample.KERNELS`.
        scale: one of the values of `SCALES`; below 1 shrinks, above 1 enlarges.
        back: resize back to the first size afterwards (a round trip).
        antialias: widen the kernel when shrinking; see `widens`.

    Raises:
        ValueError: there is no such source, kernel or scale.
    """

    source: Source = "picture"
    kernel: str = "cubic"
    scale: float = 1 / 4
    back: bool = False
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise ValueError(f"there is no source {self.source!r}; choose from {', '.join(get_args(Source))}.")
        if self.kernel not in KERNELS:
            raise ValueError(f"there is no kernel {self.kernel!r}; choose from {', '.join(KERNELS)}.")
        if self.scale not in SCALES.values():
            raise ValueError(f"the bench has no scale {self.scale:g}; choose from {', '.join(SCALES)}.")

    @property
    def factor(self) -> int:
        """The whole number by which the sides change."""
        return round(self.scale if self.scale > 1 else 1 / self.scale)

    @property
    def widens(self) -> bool:
        """Whether `antialias` makes a difference: something is shrunk, and not by `nearest`, which never widens."""
        return (self.scale < 1 or self.back) and self.kernel != "nearest"

    def __str__(self) -> str:
        """Name every control that has an effect."""
        deed = f"{'shrink' if self.scale < 1 else 'enlarge'} by {self.factor}{' and back' if self.back else ''}"
        parts = [self.source, deed, self.kernel]
        if self.widens:
            parts.append("antialias" if self.antialias else "no antialias")
        return ", ".join(parts)


@dataclass(frozen=True)
class Outcome:
    """What came out of one setting.

    Attributes:
        start: `(1, 3, H, W)` in [0, 1], what was resized.
        result: `(1, 3, H', W')`; cubic and Lanczos kernels overshoot [0, 1].
        reference: of the size of the result. After a round trip it is `start`; else it is what an ideal filter gives,
            which keeps all that the smaller size can hold and nothing more.
        psnr: dB of the result against the reference, both cut to [0, 1].
        above: share of the variance of `start` that lies above the Nyquist frequency of the smaller size; `None` when
            enlarging.
        folded: how much of that part came back as something else, instead of being removed: the aliasing, as the ratio
            of its mean square after and before. It passes 1 where the pixels that `nearest` keeps happen to be the
            stronger ones. `None` where there was nothing to fold.
    """

    start: Tensor
    result: Tensor
    reference: Tensor
    psnr: float
    above: float | None
    folded: float | None


def zone_plate(side: int) -> Tensor:
    """Rings whose frequency grows with the radius, to half a cycle per pixel at the middle of each edge.

    Returns:
        `(1, 3, side, side)` float64 in [0, 1], grey.
    """
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    radius_squared = place[:, None] ** 2 + place**2
    # The phase pi r^2 / side has the frequency r / side.
    rings = 0.5 + 0.5 * torch.cos(math.pi * radius_squared / side)
    return rings.expand(1, 3, side, side)


def ideal_resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize so that every frequency that both sizes can hold stays as it is, and no other appears.

    The picture is continued by its mirror image, so its frequencies are those of the cosine transform (DCT-II).

    Args:
        picture: `(..., H, W)`, float.
        size: `(height, width)` of the output.
    """
    rows = _ideal_matrix(picture.shape[-2], size[0]).to(picture)
    columns = _ideal_matrix(picture.shape[-1], size[1]).to(picture)
    return rows @ picture @ columns.T


def measure(start: Tensor, setting: Setting) -> Outcome:
    """Resize as the setting says, and compare.

    Args:
        start: `(1, 3, S, S)` in [0, 1]; S is a multiple of the factor when shrinking.
        setting: its `source` plays no part here.
    """
    first = start.shape[-1]
    second = first // setting.factor if setting.scale < 1 else first * setting.factor
    result = _resize(start, second, setting)
    if setting.back:
        result, reference = _resize(result, first, setting), start
    else:
        reference = ideal_resize(start, (second, second))
    above, folded = _aliasing(start, second, setting) if setting.scale < 1 else (None, None)
    ratio = float(psnr(result.clamp(0, 1), reference.clamp(0, 1), _MEASURE))
    return Outcome(start, result, reference, ratio, above, folded)


def spectrum(picture: Tensor) -> Tensor:
    """Amplitude of each frequency of the brightness without its mean.

    Args:
        picture: `(1, 3, H, W)`.

    Returns:
        `(H, W)` in dB, frequency zero in the middle.
    """
    grey = full_range_luma(picture)[0, 0]
    amplitude = torch.fft.fft2(grey - grey.mean()).abs() / grey.numel()
    return 20 * torch.log10(torch.fft.fftshift(amplitude).clamp(min=1e-9))


def error_colours(error: Tensor, reach: float) -> Image.Image:
    """Draw a signed error: white where it is 0, red where the result is too bright, blue where it is too dark.

    Args:
        error: `(H, W)`, any sign.
        reach: from here on the colour is full.
    """
    share = (error / reach).clamp(-1, 1)
    return to_pil(torch.stack([1 - (-share).clamp(min=0), 1 - share.abs(), 1 - share.clamp(min=0)]))


class ResampleBench(Still, widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Resizes a picture or a zone plate as the controls say, and shows what became of it.

    Beside the source and the result stand the error (the result minus the reference, see `Outcome`), the spectra of
    both, and the numbers. The controls are the attributes `source`, `kernel`, `scale`, `back` and `antialias`; setting
    their `value` in Python does the same as a hand on the mouse. `setting` and `outcome` tell where the bench stands.

    Args:
        picture: `(1, 3, H, W)` in [0, 1], at least 48 pixels a side; its middle is used, at most 240 x 240. A
            photograph of the course unless given.
        setting: where the controls stand first.
        scene: what the picture shows, for the alternative text.

    Raises:
        ImageError: the picture is too small, or not one picture in [0, 1].
    """

    def __init__(self, picture: Tensor | None = None, setting: Setting | None = None, *, scene: str = "") -> None:
        if picture is None:
            shipped = photo("hawa_mahal")
            picture, scene = read(shipped.path), shipped.description
        setting = setting or Setting()
        self._scene = scene
        self._picture = _square(picture)
        # JupyterLab lets two threads of the kernel answer its controls; the later one must see the later setting.
        self._drawing = threading.RLock()
        narrow = widgets.Layout(width="max-content")
        self.source = widgets.ToggleButtons(
            options=get_args(Source), value=setting.source, style={"button_width": "100px"}, layout=narrow
        )
        self.kernel = widgets.Dropdown(
            options=[(_KERNEL_LABELS.get(name, name), name) for name in KERNELS],
            value=setting.kernel,
            description="Kernel",
            style={"description_width": "auto"},
            layout=narrow,
        )
        self.scale = widgets.SelectionSlider(
            options=list(SCALES.items()), value=setting.scale, description="Scale", style={"description_width": "auto"}
        )
        self.back = widgets.Checkbox(value=setting.back, description="and back again", indent=False, layout=narrow)
        self.antialias = widgets.Checkbox(value=setting.antialias, description="antialias", indent=False, layout=narrow)
        self._numbers = widgets.HTML()
        self._pictures = [_picture_widget() for _ in range(5)]
        self._captions = [widgets.HTML() for _ in self._pictures]
        controls = [self.source, self.kernel, self.scale, self.back, self.antialias]
        cells = [_cell(*pair) for pair in zip(self._pictures, self._captions, strict=True)]
        sheet = _wrapping("flex-start", "8px 10px")
        sheet.max_width = "820px"  # three in a row, as in the still picture
        super().__init__(
            [
                widgets.Box(controls, layout=_wrapping("center", "4px 20px")),
                widgets.Box([*cells, self._numbers], layout=sheet),
            ]
        )
        self.add_class("sr-resample-bench")
        for control in controls:
            control.observe(self._show, "value")
        self._show()

    @property
    def setting(self) -> Setting:
        """Where the controls stand."""
        return Setting(
            source=self.source.value,
            kernel=self.kernel.value,
            scale=self.scale.value,
            back=self.back.value,
            antialias=self.antialias.value,
        )

    def _show(self, _change: object = None) -> None:
        with self._drawing:
            setting = self.setting
            self.outcome = measure(self._start(setting), setting)
            self._panels = _panels(self.outcome, setting)
            self.antialias.disabled = not setting.widens
            for panel, picture, caption in zip(self._panels, self._pictures, self._captions, strict=True):
                picture.value = quick_png(panel.image)
                picture.layout.width = f"{panel.image.width}px"
                caption.value = _lines(f"<b>{escape(panel.title)}</b>", escape(panel.detail))
            self._numbers.value = _lines(*(escape(line) for line in _numbers(self.outcome, setting)))

    def _start(self, setting: Setting) -> Tensor:
        side: int = self._picture.shape[-1]
        if setting.scale > 1:
            side //= setting.factor  # so that what comes out is no larger than the picture
        return _middle(self._picture, side) if setting.source == "picture" else zone_plate(side)

    def still(self) -> Image.Image:
        """Draw the five pictures with their captions, and the numbers, on one white sheet."""
        width, height = self._panels[0].image.size
        width, height = max(width, _MOST_SIDE) + _GAP, height + _CAPTION_HEIGHT
        sheet = Image.new("RGB", (3 * width - _GAP, 2 * height), "white")
        draw = ImageDraw.Draw(sheet)
        large, small = ImageFont.load_default(13), ImageFont.load_default(12)
        for index, panel in enumerate(self._panels):
            left, top = (index % 3) * width, (index // 3) * height
            sheet.paste(panel.image, (left, top))
            draw.text((left, top + panel.image.height + 3), panel.title, fill="black", font=large)
            draw.text((left, top + panel.image.height + 20), panel.detail, fill=(70, 70, 70), font=small)
        lines = "\n".join(_numbers(self.outcome, self.setting))
        draw.multiline_text((2 * width, height + 4), lines, fill="black", font=small, spacing=7)
        return sheet

    def alt(self) -> str:
        """Say what was done to which source, and the numbers."""
        scene = f" ({self._scene})" if self._scene and self.setting.source == "picture" else ""
        pictures = "source, result, error, and the spectra of source and result"
        return f"{self.setting}{scene}: {pictures}. {'; '.join(_numbers(self.outcome, self.setting)[1:])}."

    def summary(self) -> str:
        """Give the setting, the PSNR in dB and the aliasing in percent."""
        folded = "" if self.outcome.folded is None else f", aliasing {100 * self.outcome.folded:.1f} %"
        return f"ResampleBench({self.setting}, PSNR {self.outcome.psnr:.2f} dB{folded})"


@dataclass(frozen=True)
class _Panel:
    """One picture of the bench, with its caption: a few words, and a line of what they do not say."""

    title: str
    detail: str
    image: Image.Image


def _panels(outcome: Outcome, setting: Setting) -> list[_Panel]:
    """All that is drawn, for the live view and for the still picture."""
    largest = max(outcome.start.shape[-1], outcome.result.shape[-1])
    side = largest * max(1, _MOST_SIDE // largest)  # a whole multiple of every size, so pixels stay square
    error = full_range_luma(outcome.result - outcome.reference)[0, 0]
    reach = next(reach for reach in ERROR_RANGES if float(error.abs().quantile(0.99)) <= reach or reach == 1)
    limit = side // setting.factor  # what the smaller size can hold, within the spectrum of the larger
    return [
        _Panel("Source", _by(outcome.start), _enlarged(to_pil(outcome.start), side)),
        _Panel("Result", _by(outcome.result), _enlarged(to_pil(outcome.result), side)),
        _Panel(
            f"Error against {_against(setting)}",
            f"blue -{reach:g}, white 0, red +{reach:g}",
            _enlarged(error_colours(error, reach), side),
        ),
        _spectrum_panel("source", outcome.start, side, limit if setting.scale < 1 else None),
        _spectrum_panel("result", outcome.result, side, limit if setting.scale > 1 and not setting.back else None),
    ]


def _spectrum_panel(name: str, picture: Tensor, side: int, limit: int | None) -> _Panel:
    """The spectrum, with a frame `limit` pixels wide about its middle if there is one."""
    dark, bright = SPECTRUM_DB
    level = (spectrum(picture) - dark) / (bright - dark)
    image = _enlarged(to_pil(level.clamp(0, 1)[None]).convert("RGB"), side)
    if limit is None:
        return _Panel(f"Spectrum of the {name}", f"{dark} to {bright} dB", image)
    low = (side - limit) // 2
    ImageDraw.Draw(image).rectangle((low, low, low + limit, low + limit), outline=(255, 170, 0))
    return _Panel(f"Spectrum of the {name}", "frame: limit of the smaller size", image)


def _against(setting: Setting) -> str:
    return "the source" if setting.back else "an ideal filter"


def _numbers(outcome: Outcome, setting: Setting) -> list[str]:
    lines = [
        f"{_by(outcome.start)} to {_by(outcome.result)}",
        f"PSNR {outcome.psnr:.2f} dB against {_against(setting)}",
    ]
    if outcome.above is not None:
        lines.append(f"above the new limit: {100 * outcome.above:.1f} % of the variance")
    if outcome.folded is not None:
        lines.append(f"of that, folded back (aliasing): {100 * outcome.folded:.1f} %")
    return lines


def _enlarged(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.NEAREST)


def _resize(picture: Tensor, side: int, setting: Setting) -> Tensor:
    return imresize(picture, size=(side, side), kernel=setting.kernel, antialias=setting.antialias)


def _aliasing(start: Tensor, side: int, setting: Setting) -> tuple[float, float | None]:
    """`Outcome.above` and `Outcome.folded` for shrinking to `side`."""
    full = start.shape[-1]
    lost = start - ideal_resize(ideal_resize(start, (side, side)), (full, full))
    # Resizing is linear: what comes out is made of the part that can be held, and of this one, which is all aliasing.
    folded = _resize(lost, side, setting)
    variance = float((start - start.mean(dim=(-2, -1), keepdim=True)).square().mean())
    energy = float(lost.square().mean())
    if energy < 1e-12:  # nothing but rounding: one grey level in one of 240 x 240 pixels is already 3e-10
        return 0.0, None
    return energy / variance, float(folded.square().mean()) / energy


def _ideal_matrix(length: int, new_length: int) -> Tensor:
    """`(new_length, length)`: to the cosine transform, and back from the waves that both lengths can hold."""
    held = min(length, new_length)
    return math.sqrt(new_length / length) * _cosines(new_length, held) @ _cosines(length, held).T


def _cosines(length: int, count: int) -> Tensor:
    """`(length, count)`: the first waves of the orthonormal DCT-II, one a column, float64."""
    place = torch.arange(length, dtype=torch.float64) + 0.5
    waves = torch.cos(math.pi / length * place[:, None] * torch.arange(count)) * math.sqrt(2 / length)
    waves[:, 0] /= math.sqrt(2)
    return waves


def _square(picture: Tensor) -> Tensor:
    """The middle of the picture, `(1, 3, S, S)` float64."""
    if picture.ndim != 4 or picture.shape[:2] != (1, 3):
        raise ImageError(f"a tensor of shape {tuple(picture.shape)} is not one picture; give (1, 3, H, W) in [0, 1].")
    side = min(*picture.shape[-2:], _MOST_SIDE) // _STEP * _STEP
    if side < _LEAST_SIDE:
        size = f"{picture.shape[-1]}x{picture.shape[-2]}"
        raise ImageError(f"a picture of {size} is too small for the bench; give {_LEAST_SIDE} pixels a side or more.")
    middle = _middle(picture.detach().cpu().double(), side)
    if not bool(((middle >= 0) & (middle <= 1)).all()):
        raise ImageError(
            "the picture has values outside [0, 1] or not numbers; divide 0..255 by 255, or use .clamp(0, 1)."
        )
    return middle


def _middle(picture: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return picture[..., top : top + side, left : left + side]


def _by(picture: Tensor) -> str:
    return f"{picture.shape[-1]}x{picture.shape[-2]}"


def _picture_widget() -> widgets.Image:
    # Without align_self the box would stretch it.
    return widgets.Image(format="png", layout=widgets.Layout(align_self="flex-start", max_width="100%"))


def _cell(picture: widgets.Image, caption: widgets.HTML) -> widgets.VBox:
    return widgets.VBox([picture, caption], layout=widgets.Layout(max_width="100%"))


def _wrapping(align: str, gap: str) -> widgets.Layout:
    return widgets.Layout(flex_flow="row wrap", align_items=align, grid_gap=gap, margin="4px 0")


def _lines(*lines: str) -> str:
    """HTML with lines closer to each other than those of a form."""
    return f'<div style="line-height: 1.45">{"<br>".join(lines)}</div>'
