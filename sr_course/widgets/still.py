"""What a widget leaves for readers without a kernel: a still picture, its alternative text, and one line of text."""

from __future__ import annotations

import contextlib
import io
import math
import weakref
from typing import Any, Literal, Self

import ipywidgets
from PIL import Image, ImageDraw, ImageFont

from sr_course.lessons.display import picture_html

LABEL_HEIGHT = 26  # px, margin included
_LABEL_SIZE = 14
_LABEL_MARGIN = 6


class Still:
    """Mixed into a widget, gives it a still picture (`text/html`) and a stable `text/plain` beside its live view.

    A notebook stores the still, with its alternative text; a viewer that runs no kernel shows it. The line of text is
    compared when the stored outputs are checked, so it holds the widget's state and its numbers, rounded.

    Where a notebook cell is run again, what it made before is closed first: with its threads, its tensors and its
    channel to the browser.

    Name it before the widget class in the list of bases.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make room first: what an earlier run of the cell made is closed before the new one takes memory."""
        made = super().__new__(cls, *args, **kwargs)
        _close_those_of_this_cell(made)
        return made

    def close(self) -> None:
        """Close the widget and what it consists of: its layout, and the widgets in it, have channels of their own."""
        parts = _parts(self) if self.comm is not None else []  # type: ignore[attr-defined]  # of the widget class
        super().close()  # type: ignore[misc]
        for part in parts:
            part.close()

    def still(self) -> Image.Image:
        """Draw what the widget shows now."""
        raise NotImplementedError

    def alt(self) -> str:
        """Say in a sentence what the still picture shows, for those who do not see it."""
        raise NotImplementedError

    def summary(self) -> str:
        """Give the state and the numbers in one line, rounded so that it is the same on every machine."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.summary()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        live = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]  # the widget class that follows has it
        if live is None:
            return None
        # ipywidgets gives the data alone, anywidget the data and its metadata
        data, metadata = live if isinstance(live, tuple) else (live, {})
        return {**data, "text/plain": self.summary(), "text/html": picture_html(self.still(), self.alt())}, metadata


def quick_png(image: Image.Image) -> bytes:
    """PNG for the way to the browser: a tenth larger than the stored one, in a fifth of the time."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def label_width(text: str) -> int:
    """Width that `write_label` needs for a text, margins included, in pixels."""
    return _text_width(text) + 4 * _LABEL_MARGIN


def write_label(image: Image.Image, text: str, *, side: Literal["left", "right"] = "left", top: int = 0) -> None:
    """Write a label into an upper corner of an RGB image, white on dark so that it is read on any picture.

    Args:
        image: changed in place.
        text: one line.
        side: the corner.
        top: pixels from the upper edge; `LABEL_HEIGHT` stands below another label.
    """
    left = 0 if side == "left" else image.width - label_width(text)
    x, y = left + _LABEL_MARGIN, top + _LABEL_MARGIN
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((x, y, x + _text_width(text) + 2 * _LABEL_MARGIN, top + LABEL_HEIGHT - 1), fill=(0, 0, 0, 170))
    draw.text((x + _LABEL_MARGIN, y + 1), text, font=ImageFont.load_default(_LABEL_SIZE), fill="white")


def _text_width(text: str) -> int:
    return math.ceil(ImageFont.load_default(_LABEL_SIZE).getlength(text))


def _parts(widget: Any) -> list[ipywidgets.Widget]:
    """The widgets that a widget's traits hold, and those that these hold."""
    found = []
    for value in (getattr(widget, name) for name in widget.keys):
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(one, ipywidgets.Widget):
                found += [one, *_parts(one)]
    return found


_OPEN: dict[str, list[tuple[str, weakref.ref[Still]]]] = {}


def _close_those_of_this_cell(newcomer: Still) -> None:
    """Close what an earlier run of the same notebook cell has left open: nobody sees it any more."""
    cell, message = _where()
    if cell is None:
        return
    kept = []
    for sender, reference in _OPEN.get(cell, []):
        one = reference()
        if one is not None and sender == message:
            kept.append((sender, reference))
        elif one is not None and one.comm is not None:  # type: ignore[attr-defined]  # else it never began
            one.close()
    _OPEN[cell] = [*kept, (message, weakref.ref(newcomer))]


def _where() -> tuple[str | None, str]:
    """The notebook cell that runs now, and the message that runs it; nothing outside of a notebook."""
    with contextlib.suppress(ImportError, AttributeError, KeyError, TypeError):
        from IPython import get_ipython

        parent = get_ipython().get_parent()
        return parent["metadata"]["cellId"], parent["header"]["msg_id"]
    return None, ""
