"""What is painted of features: signed maps, kernels, histograms, which pixels count; and words in a still picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from sr_course.images import to_pil, to_uint8

LINE = 20  # px
NEGATIVE, POSITIVE = (0, 114, 178), (213, 94, 0)  # Okabe and Ito's blue and vermilion, for every colour vision
_THUMB = 64  # px
_FULL = 0.995  # share of a map's values that lie below full colour
_BINS = 41


def signed_colours(values: Tensor, reach: float) -> Tensor:
    """Colour a signed map: blue below zero, white at zero, orange above; from `reach` on the colour is full.

    Args:
        values: `(H, W)`, any sign.
        reach: above 0.

    Returns:
        `(1, 3, H, W)` in [0, 1].
    """
    share = (values / reach).clamp(-1, 1)
    ends = torch.tensor([NEGATIVE, POSITIVE], dtype=torch.float32).reshape(2, 3, 1, 1) / 255
    end = torch.where(share < 0, ends[0], ends[1])
    return (1 - share.abs() * (1 - end))[None]


def thumbs(maps: Tensor) -> Tensor:
    """Maps `(C, h, w)` made small, each pixel the mean of what it stands for."""
    height, width = maps.shape[1:]
    most = max(height, width)
    if most <= _THUMB:
        return maps
    size = (max(1, height * _THUMB // most), max(1, width * _THUMB // most))
    return F.adaptive_avg_pool2d(maps[None], size)[0]


def reaches(small: Tensor) -> Tensor:
    """Of each map, below what size nearly all of its values lie."""
    values = small.abs().flatten(1)
    return values.topk(max(1, math.ceil((1 - _FULL) * values.shape[1]))).values[:, -1]


def coloured(parts: Sequence[Tensor]) -> list[Image.Image]:
    """Maps `(C, h, w)`, full colour at 1, as a picture for each; those of two views side by side."""
    pictures: list[list[Image.Image]] = []
    for maps in parts:
        count, height, width = maps.shape
        flat = to_uint8(signed_colours(maps.reshape(count * height, width), 1.0))[0].permute(1, 2, 0).numpy()
        pictures.append([Image.fromarray(flat[at * height : (at + 1) * height]) for at in range(count)])
    if len(pictures) == 1:
        return pictures[0]
    joined = []
    for left, right in zip(*pictures, strict=True):
        both = Image.new("RGB", (left.width + right.width + 2, max(left.height, right.height)), (128, 128, 128))
        both.paste(left, (0, 0))
        both.paste(right, (left.width + 2, 0))
        joined.append(both)
    return joined


def kernel_grid(kernels: Tensor) -> Image.Image:
    """Kernels `(I, kh, kw)`, full colour at 1, side by side with grey lines between."""
    count, height, width = kernels.shape
    columns = count if count <= 4 else math.ceil(math.sqrt(count))
    image = Image.new("RGB", (columns * (width + 1) + 1, -(-count // columns) * (height + 1) + 1), (128, 128, 128))
    for at, one in enumerate(coloured([kernels])):
        image.paste(one, (at % columns * (width + 1) + 1, at // columns * (height + 1) + 1))
    return image


def as_rgb(picture: Tensor) -> Image.Image:
    """A picture of any number of channels as RGB: three as they are, others as the grey of their mean."""
    shown = picture[:1].float().cpu().clamp(0, 1)
    if shown.shape[1] != 3:
        shown = shown.mean(dim=1, keepdim=True)
    return to_pil(shown).convert("RGB")


def heat(picture: Tensor, gradient: Tensor) -> Image.Image:
    """The picture in pale grey, and over it in orange how strongly each pixel counts."""
    grey = picture[0].float().cpu().clamp(0, 1).mean(dim=0)
    pale = 0.55 + 0.4 * grey
    strength = (gradient / (float(gradient.max()) or 1.0)).sqrt()  # weak ones would not be seen
    colour = torch.tensor(POSITIVE, dtype=torch.float32).reshape(3, 1, 1) / 255
    return to_pil((pale * (1 - strength) + colour * strength)[None])


def histogram(values: Tensor) -> dict[str, Any]:
    """How often which value occurs, on a scale with zero in the middle of a bin where both signs occur."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts = torch.histc(values.float(), _BINS, low, high)
    heights = (counts / counts.max()).sqrt()  # rare values would not be seen
    zero = (0 - low) / (high - low)
    return {
        "bars": [round(float(one), 3) for one in heights],
        "low": number(low),
        "high": number(high),
        "zero": round(zero, 4) if 0 <= zero <= 1 else None,
        "dead": round(float((values == 0).float().mean()), 3),
    }


def number(value: float) -> str:
    """Three digits, more for a whole number above 999, with a real minus."""
    if abs(value) >= 999.5:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−") if value else "0"


def write(draw: ImageDraw.ImageDraw, left: int, top: int, text: str, font: Any, width: int) -> int:
    """Write a text in lines, and return where the next one goes."""
    line = ""
    for word in _plain(text).split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            draw.text((left, top), line, "black", font)
            top, line = top + LINE, word
        else:
            line = longer
    draw.text((left, top), line, "black", font)
    return top + LINE


def _plain(text: str) -> str:
    """A text with the signs that Pillow's own font has."""
    return text.replace("×", "x").replace("−", "-").replace("±", "+-")


def outline(
    draw: ImageDraw.ImageDraw, left: int, top: int, size: tuple[int, int], frame: Sequence[float] | None
) -> None:
    """Draw a frame, of top, left, bottom and right as shares, into a picture of `size` at a place."""
    if frame is None:
        return
    width, height = size
    box = (left + frame[1] * width, top + frame[0] * height, left + frame[3] * width, top + frame[2] * height)
    draw.rectangle(box, outline="white", width=3)
    draw.rectangle(box, outline="black", width=1)


def cross(draw: ImageDraw.ImageDraw, left: int, top: int, size: tuple[int, int], down: float, across: float) -> None:
    """Draw a cross into a picture of `size` at a place, at shares of its height and its width."""
    x, y = left + across * size[0], top + down * size[1]
    for colour, width in (("white", 3), ("black", 1)):
        draw.line((x - 8, y, x + 8, y), fill=colour, width=width)
        draw.line((x, y - 8, x, y + 8), fill=colour, width=width)
