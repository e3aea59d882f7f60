"""Pictures and figures in a lesson: labelled, of one height, with alternative text for those who do not see them."""

from __future__ import annotations

import base64
import html
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
_PAGE_WIDTH = 760  # pixels that JupyterLab leaves to a lesson on a small laptop; wider pictures would be shrunk
_PIXELS_PER_INCH = 100


def show(
    pictures: Mapping[str, Tensor | Image.Image], *, alt: str, zoom: int | None = None, columns: int | None = None
) -> None:
    """Show pictures side by side, each under its name, pixel for pixel.

    Smaller pictures are enlarged by copying pixels, to the height of the tallest: what is seen is what is there.

    Args:
        pictures: name and picture, `(1, 3, H, W)` or `(1, 1, H, W)` in [0, 1], or a Pillow image.
        alt: what is to be seen, in a sentence, for those who cannot see it.
        zoom: copy each pixel of the tallest picture this many times; by default so often that it is about 200 high.
        columns: how many pictures in a row; as many as a page is wide unless told.
    """
    drawn = {name: _as_pil(picture) for name, picture in pictures.items()}
    tallest = max(image.height for image in drawn.values())
    height = tallest * (zoom or max(1, round(200 / tallest)))
    tiles = [_labelled(name, _enlarged(image, height)) for name, image in drawn.items()]
    fitting = (_PAGE_WIDTH + _GAP) // (max(tile.width for tile in tiles) + _GAP)
    _display_picture(_sheet(tiles, columns or max(1, fitting)), alt)


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

    drawing = Figure(figsize=size, dpi=2 * _PIXELS_PER_INCH, layout="constrained")  # twice: sharp on fine screens
    axes: Sequence[Axes] = [drawing.add_subplot(1, panels, index + 1) for index in range(panels)]
    yield axes[0] if panels == 1 else axes
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    buffer.seek(0)
    few_colours = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    _display_picture(few_colours, alt, width=few_colours.width // 2)


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


def picture_html(image: Image.Image, alt: str, width: int | None = None) -> str:
    """Return a picture as an `<img>` that carries its own bytes.

    As an output of type `image/png` it would lose its alternative text: JupyterLab has no place for it there.

    Args:
        image: an RGB picture. Large pixels and drawings are kept exactly (PNG), photographs nearly (JPEG of quality
            90, colour in full resolution): whichever is smaller.
        alt: what is to be seen, for those who cannot see it.
        width: in the page, in pixels; the picture's own unless told.
    """
    encoded = {"png": _encoded(image, "PNG", optimize=True)}
    encoded["jpeg"] = _encoded(image.convert("RGB"), "JPEG", quality=90, subsampling=0, optimize=True)
    kind = min(encoded, key=lambda kind: len(encoded[kind]))
    data = base64.b64encode(encoded[kind]).decode("ascii")
    return f'<img alt="{html.escape(alt)}" width="{width or image.width}" src="data:image/{kind};base64,{data}">'


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _display_picture(image: Image.Image, alt: str, *, width: int | None = None) -> None:
    from IPython.display import display

    markup = picture_html(image, alt, width)
    display({"text/html": markup, "text/plain": f"picture: {alt}"}, raw=True)  # type: ignore[no-untyped-call]
