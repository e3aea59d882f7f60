"""Pictures and figures in a lesson: labelled, of one height, with alternative text for those who do not see them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sr_course import images

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABEL_HEIGHT = 22
_GAP = 8


def show(pictures: Mapping[str, Tensor | Image.Image], *, alt: str, zoom: int | None = None, columns: int = 4) -> None:
    """Show pictures side by side, each under its name, pixel for pixel.

    Smaller pictures are enlarged by copying pixels, to the height of the tallest: what is seen is what is there.

    Args:
        pictures: name and picture, `(1, 3, H, W)` or `(1, 1, H, W)` in [0, 1], or a Pillow image.
        alt: what is to be seen, in a sentence, for those who cannot see it.
        zoom: copy each pixel of the tallest picture this many times; by default so often that it is about 200 high.
        columns: how many pictures in a row.
    """
    drawn = {name: _as_pil(picture) for name, picture in pictures.items()}
    tallest = max(image.height for image in drawn.values())
    height = tallest * (zoom or max(1, round(200 / tallest)))
    tiles = [_labelled(name, _enlarged(image, height)) for name, image in drawn.items()]
    _display_png(_sheet(tiles, columns), alt)


@contextmanager
def figure(alt: str, *, size: tuple[float, float] = (7, 2.8), panels: int = 1) -> Iterator[Any]:
    """Draw a figure with matplotlib and show it when the block ends.

    Args:
        alt: what is to be seen, in a sentence, for those who cannot see it.
        size: width and height in inches.
        panels: how many axes side by side.

    Yields:
        The axes, or a list of them when there are several panels.
    """
    from matplotlib.figure import Figure

    drawing = Figure(figsize=size, dpi=100, layout="constrained")
    axes: Sequence[Axes] = [drawing.add_subplot(1, panels, index + 1) for index in range(panels)]
    yield axes[0] if panels == 1 else axes
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    buffer.seek(0)
    _display_png(Image.open(buffer).convert("RGB"), alt)


def _as_pil(picture: Tensor | Image.Image) -> Image.Image:
    return (picture if isinstance(picture, Image.Image) else images.to_pil(picture)).convert("RGB")


def _enlarged(image: Image.Image, height: int) -> Image.Image:
    width = round(image.width * height / image.height)
    return image.resize((width, height), Image.Resampling.NEAREST)


def _labelled(name: str, image: Image.Image) -> Image.Image:
    font = ImageFont.load_default(size=14)
    width = max(image.width, round(font.getlength(name)) + 4)
    tile = Image.new("RGB", (width, image.height + _LABEL_HEIGHT), "white")
    ImageDraw.Draw(tile).text((2, 2), name, fill="black", font=font)
    tile.paste(image, (0, _LABEL_HEIGHT))
    return tile


def _sheet(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    width = max(sum(tile.width + _GAP for tile in row) for row in rows) - _GAP
    height = sum(max(tile.height for tile in row) + _GAP for row in rows) - _GAP
    sheet = Image.new("RGB", (width, height), "white")
    top = 0
    for row in rows:
        left = 0
        for tile in row:
            sheet.paste(tile, (left, top))
            left += tile.width + _GAP
        top += max(tile.height for tile in row) + _GAP
    return sheet


def _display_png(image: Image.Image, alt: str) -> None:
    from IPython.display import display

    buffer = io.BytesIO()
    # 256 colours would show bands in a sky; a lesson about pixels shows the pixels that it speaks of.
    image.save(buffer, "PNG", optimize=True)
    display(  # type: ignore[no-untyped-call]
        {"image/png": base64.b64encode(buffer.getvalue()).decode("ascii"), "text/plain": f"picture: {alt}"},
        raw=True,
        metadata={"image/png": {"alt": alt}},
    )
