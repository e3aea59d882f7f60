"""Two networks and the way between them: their weights blended, or their pictures, at the same share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from sr_course.images import from_pil, to_pil
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.training.history import Curve, Sample
from sr_course.widgets.curves import Axis, Chart, draw_chart, make_chart
from sr_course.widgets.frame import Sprite, decibels, fitted, front_end, one_of
from sr_course.widgets.perception_distortion import VGG_DISTANCE, Distance
from sr_course.widgets.still import Still, quick_png

MOST_POSITIONS = 41
MOST_PIXELS = 12_000_000  # of all pictures together; they travel as one file
WAYS = ("weights blended", "pictures blended")
_STILL_SIDE = 288  # px of a picture in the still
_CHART_HEIGHT = 150
_LINE = 22
_GAP = 12


@dataclass(frozen=True)
class _Way:
    """The blends of one way, by position: the pictures, PSNR in dB, and the distance."""

    images: list[Image.Image]
    psnr: list[float]
    distance: list[float]


class InterpolationSlider(Still, anywidget.AnyWidget):
    """Moves between two networks: on the left their weights are blended, beside it their pictures, and the truth.

    Both are blended by the same share: `(1 - alpha) first + alpha second`. Under each picture stands how it measures,
    and the curves show it at every position. Everything is computed once, ahead, so the slider moves without a kernel.

    The trait `index`, which position is seen, follows the hand and can be set; so can `alpha`.

    Args:
        first, second: networks of the same layers, in evaluation mode: `(N, 3, h, w)` to `(N, 3, H, W)`.
        picture: low resolution and truth, at most some 256 pixels a side.
        alphas: how many positions, both ends included.
        names: of the two.
        distance: measured beside the PSNR.
        index: which position is seen first, from 0; the middle unless told.
        scene: what the picture shows, in a few words, for the alternative text.

    Raises:
        ValueError: fewer than 2 positions or more than 41, pictures that are too large together, or a position that
            does not exist.
        ModelError: networks whose weights are not of the same shapes.
    """

    _esm = front_end("frame.js", "interpolation_slider.js")
    _css = front_end("frame.css", "interpolation_slider.css")

    _moves_alone = traitlets.Bool(True).tag(sync=True)
    _names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _alphas = traitlets.List(traitlets.Float()).tag(sync=True)
    _ways = traitlets.List(traitlets.Dict()).tag(sync=True)
    _charts = traitlets.List(traitlets.Dict()).tag(sync=True)
    _truth = traitlets.Int().tag(sync=True)
    _cells = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    _sprite = traitlets.Bytes().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        first: nn.Module,
        second: nn.Module,
        picture: Sample,
        alphas: int = 11,
        *,
        names: tuple[str, str] = ("first", "second"),
        distance: Distance = VGG_DISTANCE,
        index: int | None = None,
        scene: str = "",
    ) -> None:
        if not 2 <= alphas <= MOST_POSITIONS:
            raise ValueError(f"{alphas} positions were asked for; there can be 2 to {MOST_POSITIONS}.")
        height, width = picture.hr.shape[-2:]
        if (pixels := 2 * alphas * height * width) > MOST_PIXELS:
            raise ValueError(
                f"{2 * alphas} pictures of {width}x{height} hold {pixels / 1e6:.0f} megapixels, and "
                f"{MOST_PIXELS / 1e6:.0f} is the most; cut a part out of the picture."
            )
        self._by = distance
        self._scene = scene
        weights = [place / (alphas - 1) for place in range(alphas)]
        truth = picture.hr.clone()  # nobody changes this one
        made = _blended_weights(first, second, picture.lr, weights)
        mixed = _blended_pictures(made[0], made[-1], weights)
        scale = truth.shape[-1] // picture.lr.shape[-1]
        self._made = _measure([made, mixed], truth, scale, distance)
        self._truth_image = to_pil(truth)
        self._drawn = _charts(self._made, distance)
        sprite = Sprite()
        cells = [[sprite.add(image) for image in way.images] for way in self._made]
        truth_cell = sprite.add(self._truth_image)
        sheet, boxes = sprite.packed()
        super().__init__(
            _names=list(names),
            _alphas=[round(weight, 4) for weight in weights],
            _ways=[
                {
                    "name": name,
                    "cells": places,
                    "psnr": [decibels(db) for db in way.psnr],
                    "says": [self._says(which, place) for place in range(alphas)],
                }
                for which, (name, places, way) in enumerate(zip(WAYS, cells, self._made, strict=True))
            ],
            _charts=[
                {**chart.to_dict(), "values": values, "readings": [", ".join(pair) for pair in _named(values)]}
                for chart, values in zip(self._drawn, self._values(), strict=True)
            ],
            _truth=truth_cell,
            _cells=boxes,
            _sprite=quick_png(sheet),
            index=alphas // 2 if index is None else index,
        )

    @property
    def alpha(self) -> float:
        """The share of the second network that is seen; setting it takes the nearest position."""
        return float(self._alphas[self.index])

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; it goes from 0, the first network, to 1, the second.")
        self.index = min(range(len(self._alphas)), key=lambda place: abs(self._alphas[place] - alpha))

    @traitlets.validate("index")
    def _check_index(self, proposal: Any) -> int:
        return one_of("index", proposal.value, "positions", len(self._made[0].images))

    def still(self) -> Image.Image:
        """Draw both blends and the truth, and the curves with a mark at the position that is seen."""
        width = 3 * _STILL_SIDE + 2 * _GAP
        tiles = [way.images[self.index] for way in self._made] + [self._truth_image]
        tiles = [fitted(image, _STILL_SIDE) for image in tiles]
        below = 3 * _LINE + max(tile.height for tile in tiles) + _GAP
        image = Image.new("RGB", (width, below + _CHART_HEIGHT), "white")
        draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
        draw.text((0, 2), self._title(), "black", font)
        for column, (caption, tile) in enumerate(zip((*WAYS, "truth"), tiles, strict=True)):
            left = column * (_STILL_SIDE + _GAP)
            draw.text((left, _LINE), caption, "black", font)
            draw.text((left, 2 * _LINE - 4), self._says(column, self.index) if column < 2 else "", "black", font)
            image.paste(tile, (left, 3 * _LINE))
        half = (width - _GAP) // 2
        for column, chart in enumerate(self._drawn):
            drawn = draw_chart(chart, (half, _CHART_HEIGHT), mark=self.index / (len(self._alphas) - 1), enlarge=2)
            image.paste(drawn.reduce(2), (column * (half + _GAP), below))
        return image

    def alt(self) -> str:
        """Say what is blended, by how much, and how it measures."""
        scene = f" of {self._scene}" if self._scene else ""
        return (
            f"Three pictures{scene} between {self._names[0]} and {self._names[1]} at a share of {self.alpha:.2f} of "
            f"the second: {self._told()}, and the truth. Below: both figures over the share."
        )

    def summary(self) -> str:
        """Give the share and the figures of both ways."""
        place = f"alpha {self.alpha:.2f}, position {self.index + 1} of {len(self._alphas)}"
        return f"InterpolationSlider({self._names[0]} to {self._names[1]}, {place}: {self._told()})"

    def _told(self) -> str:
        return ", ".join(f"{name} {self._says(which, self.index)}" for which, name in enumerate(WAYS))

    def _title(self) -> str:
        first, second = self._names
        return f"{1 - self.alpha:.2f} {first} + {self.alpha:.2f} {second}"

    def _says(self, which: int, place: int) -> str:
        way = self._made[which]
        return f"{decibels(way.psnr[place])}, {self._by.name} {way.distance[place]:.{self._by.digits}f}"

    def _values(self) -> list[list[list[str]]]:
        """What stands beside the names of the lines, by chart, position and line."""
        count = len(self._made[0].images)
        return [
            [[decibels(way.psnr[place]) for way in self._made] for place in range(count)],
            [[f"{way.distance[place]:.{self._by.digits}f}" for way in self._made] for place in range(count)],
        ]


def _named(values: Sequence[Sequence[str]]) -> list[list[str]]:
    return [[f"{name} {value}" for name, value in zip(WAYS, row, strict=True)] for row in values]


@torch.inference_mode()
def _blended_weights(first: nn.Module, second: nn.Module, lr: Tensor, weights: Sequence[float]) -> list[Image.Image]:
    from sr_course.models.blend import blend

    networks = (first if weight == 0 else second if weight == 1 else blend(first, second, weight) for weight in weights)
    return [to_pil(network(lr).float().clamp(0, 1)) for network in networks]


def _blended_pictures(first: Image.Image, second: Image.Image, weights: Sequence[float]) -> list[Image.Image]:
    """Between the two pictures as they would be saved, in 8 bits."""
    one, other = from_pil(first), from_pil(second)
    return [to_pil((1 - weight) * one + weight * other) for weight in weights]


@torch.inference_mode()
def _measure(ways: Sequence[list[Image.Image]], truth: Tensor, scale: int, distance: Distance) -> list[_Way]:
    """Measure every picture as it is seen, rounded to 8 bits; equal ones, as the ends are, once."""
    protocol = MATLAB_Y.at_scale(scale)
    known: dict[bytes, tuple[float, float]] = {}
    for image in (image for images in ways for image in images):
        if (key := image.tobytes()) not in known:
            picture = from_pil(image)
            known[key] = psnr(picture, truth, protocol).item(), distance.measure(picture, truth).item()
    figures = [[known[image.tobytes()] for image in images] for images in ways]
    return [
        _Way(images, [db for db, _ in pairs], [far for _, far in pairs])
        for images, pairs in zip(ways, figures, strict=True)
    ]


def _charts(ways: Sequence[_Way], distance: Distance) -> list[Chart]:
    """PSNR and distance over the share."""
    count = len(ways[0].images)
    axis = Axis(low=0, high=count - 1)
    columns = {"PSNR, dB": [way.psnr for way in ways], distance.name: [way.distance for way in ways]}
    ticks = [(place / 5, f"{place / 5:g}") for place in range(6)]  # of the share, for the steps are positions
    return [
        replace(
            make_chart(
                title,
                {
                    name: Curve(steps=tuple(range(count)), values=tuple(values))
                    for name, values in zip(WAYS, columns[title], strict=True)
                },
                axis,
            ),
            x_ticks=ticks,
        )
        for title in columns
    ]
