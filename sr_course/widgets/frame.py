"""What the widgets share: in the browser `frame.js` and `frame.css`, in Python the rest."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from sr_course.training.history import Curve


def front_end(*names: str) -> str:
    """Join front-end files of this folder, for a widget sends one: what it shares stands before its own."""
    return "\n".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


def spread(steps: Sequence[int], most: int) -> list[int]:
    """Take at most `most` of the steps, evenly spread, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(place * (len(steps) - 1) / (most - 1))] for place in range(most)]


def last_known(curves: Mapping[str, Curve], step: int, form: str) -> str:
    """Say what curves last said at a step, each with its name if there are several.

    Args:
        curves: by name.
        step: of the run.
        form: how a value is written, such as `"{:.2f} dB"`.
    """
    known = {name: last for name, curve in curves.items() if (last := curve.last(step))}
    if not known:
        return "nothing yet"
    named = (f"{name} " if len(curves) > 1 else "" for name in known)
    values = ", ".join(name + form.format(value) for name, (_, value) in zip(named, known.values(), strict=True))
    at = max(at for at, _ in known.values())
    return values if at == step else f"{values} at step {at:,}"


def png(image: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def fitted(image: Image.Image, side: int) -> Image.Image:
    """Enlarge by a whole factor, so that pixels stay square, or reduce, to `side` at most."""
    times = max(1, side // max(image.size))
    image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((side, side))
    return image


def decibels(value: float) -> str:
    """Write a PSNR."""
    return f"{value:.2f} dB" if math.isfinite(value) else "no error"


def one_of(name: str, value: int, things: str, count: int) -> int:
    """Return a number that must be below `count`.

    Raises:
        ValueError: it is not; `name` and `things` are its words.
    """
    if not 0 <= value < count:
        raise ValueError(f"{name} is {value}; the {things} go from 0 to {count - 1}.")
    return value


class Sprite:
    """Pictures packed into one large one, so that they travel as one file; equal pictures are kept once."""

    def __init__(self) -> None:
        self.pictures: list[Image.Image] = []
        self._known: dict[tuple[tuple[int, int], bytes], int] = {}

    def add(self, picture: Image.Image) -> int:
        """Keep a picture, and return which one it is."""
        key = (picture.size, picture.tobytes())
        if key not in self._known:
            self._known[key] = len(self.pictures)
            self.pictures.append(picture)
        return self._known[key]

    def packed(self) -> tuple[Image.Image, list[list[int]]]:
        """Return the large picture, about square, and left, top, width and height of each in it."""
        area = sum(one.width * one.height for one in self.pictures)
        most = max(math.isqrt(area), max(one.width for one in self.pictures))
        cells: list[list[int]] = []
        left = top = height = 0
        for one in self.pictures:
            if left and left + one.width > most:
                left, top, height = 0, top + height, 0
            cells.append([left, top, *one.size])
            left, height = left + one.width, max(height, one.height)
        sheet = Image.new("RGB", (max(cell[0] + cell[2] for cell in cells), top + height))
        for one, cell in zip(self.pictures, cells, strict=True):
            sheet.paste(one, (cell[0], cell[1]))
        return sheet, cells
