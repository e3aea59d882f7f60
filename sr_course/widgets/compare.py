"""Two or more versions of one picture, under a movable divider or side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw
from torch import Tensor

from sr_course.errors import ImageError
from sr_course.images import from_pil, to_pil
from sr_course.widgets.frame import front_end
from sr_course.widgets.still import LABEL_HEIGHT, Still, label_width, quick_png, write_label

BYTE_LIMIT = 48 * 2**20  # of all pictures together, as PNG; what a browser takes in about a second
MOST_PICTURES = 9  # one for each digit key
MOST_ZOOM = 32
_STILL_SIDE = 640  # px; the still picture is stored in the notebook, so it is kept small
_GAP = 6  # px between two pictures side by side


class CompareSlider(Still, anywidget.AnyWidget):
    """Compares pictures of the same scene: a divider wipes from one to another, zoom and pan move all together.

    Everything happens in the browser, by mouse, touch or keyboard. The traits `left`, `right`, `position`, `zoom`,
    `center` and `side_by_side` follow what is seen, and can be set.

    All pictures are shown at the size of the largest. A smaller one, such as the low-resolution picture, is enlarged
    so that its pixels are seen. The pictures travel to the browser once, as PNG; where they come to more than
    `BYTE_LIMIT` bytes, the largest are first reduced (by area average) until they fit, and the widget says so.

    Args:
        pictures: 2 to 9 pictures by label: tensors `(1, 3, H, W)`, `(3, H, W)` or `(1, 1, H, W)` in [0, 1], or Pillow
            images; of any size, but of one shape (width to height).
        left, right: labels of the pictures beside the divider; the first and the last unless told.
        position: where the divider stands, in percent of the width: 0 shows the right picture alone.
        zoom: 1 (the whole picture) to 32.
        center: the point of the picture in the middle of the view, as fractions of its width and height.
        smooth: enlarge with a smooth kernel, rather than show the pixels.
        side_by_side: show all pictures beside each other, instead of two under the divider.
        scene: what the pictures show, in a few words, for the alternative text.

    Raises:
        ImageError: too few or too many pictures, an unusable one, values outside [0, 1], or differing shapes.
        ValueError: a label, position, zoom or center that does not exist.
    """

    _esm = front_end("frame.js", "compare.js")
    _css = front_end("compare.css")

    _moves_alone = traitlets.Bool(True).tag(sync=True)
    _pictures = traitlets.List(traitlets.Bytes()).tag(sync=True)
    _labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _size = traitlets.List(traitlets.Int()).tag(sync=True)  # width, height of the largest picture
    _enlarge = traitlets.Int(1).tag(sync=True)
    _smooth = traitlets.Bool(False).tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)
    left = traitlets.Unicode().tag(sync=True)
    right = traitlets.Unicode().tag(sync=True)
    position = traitlets.Float(50.0).tag(sync=True)
    zoom = traitlets.Float(1.0).tag(sync=True)
    center = traitlets.List(traitlets.Float(), default_value=[0.5, 0.5], minlen=2, maxlen=2).tag(sync=True)
    side_by_side = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        pictures: Mapping[str, Tensor | Image.Image],
        *,
        left: str | None = None,
        right: str | None = None,
        position: float = 50,
        zoom: float = 1,
        center: Sequence[float] = (0.5, 0.5),
        smooth: bool = False,
        side_by_side: bool = False,
        scene: str = "",
    ) -> None:
        if not 2 <= len(pictures) <= MOST_PICTURES:
            raise ImageError(
                f"CompareSlider got {len(pictures)} picture{'' if len(pictures) == 1 else 's'}; "
                f"give 2 to {MOST_PICTURES}, each with its label: CompareSlider({{'bicubic': a, 'truth': b}})."
            )
        images = {label: to_image(label, picture) for label, picture in pictures.items()}
        _check_shapes(images)
        original = _largest(images.values())
        encoded, self._images = _encode(images)
        shown = _largest(self._images.values())
        labels = list(images)
        self._scene = scene
        super().__init__(
            _labels=labels,
            _pictures=encoded,
            _size=list(shown),
            _enlarge=max(1, _STILL_SIDE // max(shown)),
            _smooth=smooth,
            _note="" if shown == original else f"reduced from {_by(original)}",
            left=labels[0] if left is None else left,
            right=labels[-1] if right is None else right,
            position=float(position),
            zoom=float(zoom),
            center=[float(value) for value in center],
            side_by_side=side_by_side,
        )

    @traitlets.validate("left", "right")
    def _check_label(self, proposal: Any) -> str:
        if proposal.value not in self._images:
            raise ValueError(f"there is no picture {proposal.value!r}; the labels are {', '.join(self._images)}.")
        return str(proposal.value)

    @traitlets.validate("position")
    def _check_position(self, proposal: Any) -> float:
        return _within("position", proposal.value, 0, 100)

    @traitlets.validate("zoom")
    def _check_zoom(self, proposal: Any) -> float:
        return _within("zoom", proposal.value, 1, MOST_ZOOM)

    @traitlets.validate("center")
    def _check_center(self, proposal: Any) -> list[float]:
        return [_within("center", value, 0, 1) for value in proposal.value]

    def still(self) -> Image.Image:
        """Draw what the widget shows now, labels written into the pictures."""
        return self._draw_panes() if self.side_by_side else self._draw_wipe()

    def alt(self) -> str:
        """Say which picture stands where."""
        scene = f"{self._scene}: " if self._scene else ""
        if self.side_by_side:
            return f"{scene}{', '.join(self._images)}, side by side{self._spot()}."
        return (
            f"{scene}{self.left} on the left and {self.right} on the right of a divider "
            f"at {self.position:.0f} percent of the width{self._spot()}."
        )

    def summary(self) -> str:
        """Give the pictures, the size of the largest, and the state of the view."""
        size = _by((self._size[0], self._size[1]))
        size += f", {self._note}" if self._note else ""
        if self.side_by_side:
            return f"CompareSlider({', '.join(self._images)} side by side, {size}{self._spot()})"
        others = f", {len(self._images)} pictures" if len(self._images) > 2 else ""
        return f"CompareSlider({self.left} | {self.right}{others}, {size}, position {self.position:.0f}{self._spot()})"

    def _spot(self) -> str:
        if self.zoom == 1:
            return ""
        x, y = self.center
        return f", zoom {self.zoom:.3g} at {x:.2f} {y:.2f}"

    def _draw_wipe(self) -> Image.Image:
        size = self._still_size(_STILL_SIDE)
        canvas = self._view_of(self.right, size)
        cut = round(size[0] * self.position / 100)
        canvas.paste(self._view_of(self.left, size).crop((0, 0, cut, size[1])))
        if 0 < cut < size[0]:
            ImageDraw.Draw(canvas).line((cut, 0, cut, size[1]), fill="white", width=2)
        if cut > 0:
            write_label(canvas, self.left)
        if cut < size[0]:
            abreast = cut == 0 or label_width(self.left) + label_width(self.right) <= size[0]
            write_label(canvas, self.right, side="right", top=0 if abreast else LABEL_HEIGHT)
        return canvas

    def _draw_panes(self) -> Image.Image:
        columns = min(len(self._images), 3)
        rows = -(-len(self._images) // columns)
        width, height = self._still_size(_STILL_SIDE * 3 // (2 * columns))
        sheet = Image.new("RGB", (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP), "white")
        for index, label in enumerate(self._images):
            pane = self._view_of(label, (width, height))
            write_label(pane, label)
            sheet.paste(pane, ((index % columns) * (width + _GAP), (index // columns) * (height + _GAP)))
        return sheet

    def _still_size(self, longest: int) -> tuple[int, int]:
        width, height = (side * self._enlarge for side in self._size)
        reduce = min(1.0, longest / max(width, height))
        return max(1, round(width * reduce)), max(1, round(height * reduce))

    def _view_of(self, label: str, size: tuple[int, int]) -> Image.Image:
        """One picture as seen at this zoom and center, `size` (width, height) in pixels."""
        image = self._images[label]
        left, top, right, bottom = visible(self.zoom, self.center)
        box = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        if size[0] < box[2] - box[0]:
            method = Image.Resampling.LANCZOS
        else:
            method = Image.Resampling.BICUBIC if self._smooth else Image.Resampling.NEAREST
        return image.convert("RGB").resize(size, method, box=box)


def visible(zoom: float, center: Sequence[float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is seen, as fractions of the picture; the view never leaves the picture."""
    half = 0.5 / zoom
    x, y = (min(max(value, half), 1 - half) for value in center)
    return x - half, y - half, x + half, y + half


def to_image(label: object, picture: object) -> Image.Image:
    """Return a picture as an image, which is a copy.

    Raises:
        ImageError: it is no picture, or has values outside [0, 1]; names the label.
    """
    if not isinstance(label, str) or not label.strip():
        raise ImageError(f"the label {label!r} is not a name; give each picture a short text as its key.")
    try:
        if isinstance(picture, Image.Image):
            return picture.copy() if picture.mode in ("L", "RGB") else to_pil(from_pil(picture))
        if not isinstance(picture, Tensor):
            kind = type(picture).__name__
            raise ImageError(f"a {kind} is not a picture; give a tensor (1, 3, H, W) or a Pillow image.")
        image = to_pil(picture)
    except ImageError as error:
        raise ImageError(f"picture {label!r}: {error}") from None
    low, high = (float(value) for value in torch.aminmax(picture.detach()))
    if low < 0 or high > 1:
        raise ImageError(
            f"picture {label!r}: its values run from {low:.3g} to {high:.3g}, outside [0, 1]; "
            "divide 0..255 by 255, or cut an overshoot off with .clamp(0, 1)."
        )
    return image


def _check_shapes(images: Mapping[str, Image.Image]) -> None:
    """Refuse pictures that do not show the same area: sides may differ by the rounding of one pixel, no more."""
    first, *others = sorted(images.items(), key=lambda item: -item[1].width * item[1].height)
    large = first[1]
    for label, image in others:
        tall = abs(large.height * image.width / large.width - image.height)
        wide = abs(large.width * image.height / large.height - image.width)
        if min(tall, wide) > 1:
            raise ImageError(
                f"picture {label!r} is {_by(image.size)} and {first[0]!r} is {_by(large.size)}: "
                "not the same shape, so they cannot lie on each other; crop them to the same area first."
            )


def _encode(images: Mapping[str, Image.Image]) -> tuple[list[bytes], dict[str, Image.Image]]:
    """PNG of each picture, and the pictures themselves: reduced together while they exceed `BYTE_LIMIT`."""
    kept = dict(images)
    while True:
        encoded = [quick_png(image) for image in kept.values()]
        total = sum(len(one) for one in encoded)
        if total <= BYTE_LIMIT:
            return encoded, kept
        width, height = _largest(kept.values())
        # Bytes go with the area; a smaller picture has more detail per pixel, so aim a little lower.
        factor = 0.95 * math.sqrt(BYTE_LIMIT / total)
        target = (max(1, round(width * factor)), max(1, round(height * factor)))
        kept = {
            label: image.resize(target, Image.Resampling.BOX) if image.width > target[0] else image
            for label, image in kept.items()
        }


def _largest(images: Iterable[Image.Image]) -> tuple[int, int]:
    width, height = max((image.size for image in images), key=lambda size: size[0] * size[1])
    return width, height


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:  # also true of NaN
        raise ValueError(f"{name} is {value:g}; it goes from {low:g} to {high:g}.")
    return float(value)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
