"""The perception-distortion plane: networks as points, their pictures at a click, and the way between two of them."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.images import from_pil, to_pil
from sr_course.metrics import MATLAB_Y, PERCEPTUAL_LAYERS, Protocol, interval, perceptual_distance, psnr
from sr_course.naturalness import niqe
from sr_course.training.history import Sample
from sr_course.widgets.compare import to_image
from sr_course.widgets.curves import COLOURS, Axis, Tick
from sr_course.widgets.frame import Sprite, decibels, fitted, front_end, one_of
from sr_course.widgets.still import Still, quick_png

if TYPE_CHECKING:
    from sr_course.features import VGGFeatures

MOST_POINTS = 16
MOST_LARGE_PAIRS = 3  # that are computed ahead without being asked for: each takes its time
MOST_PIXELS = 12_000_000  # of all pictures together; they travel as one file
PREPARED, LIVE = 11, 21  # positions of the slider, both ends included
LIVE_WORK = 1e9  # parameters times low-resolution pixels: up to here a picture is made in a quarter of a second
_MOST_KEPT = 200  # blends that are remembered
_PEAK = 255
_STILL = (888, 430)  # px
_PLANE = (430, 430)
_STILL_SIDE = 216
_LINE = 20
_SHAPES = 4  # markers that groups take in turn, see the front end

Distortion = Literal["rmse", "psnr"]
Figures = tuple[float, float]  # PSNR in dB, distance


@dataclass(frozen=True)
class Distance:
    """How the vertical axis is measured.

    Attributes:
        name: as it stands beside the axis; smaller values are better.
        measure: `sr` and `hr`, `(1, 3, H, W)` in [0, 1], to `(1,)`.
        digits: decimals of a value.
    """

    name: str
    measure: Callable[[Tensor, Tensor], Tensor]
    digits: int = 3


class _OneTruth:
    """VGG that remembers what it saw in the last truth, for many pictures are held against one."""

    def __init__(self) -> None:
        self._known: tuple[Tensor, dict[str, Tensor]] | None = None

    def measure(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return `perceptual_distance` of the two; `hr` must stay as it is between calls with the same tensor."""
        network = _vgg()
        if self._known is None or self._known[0] is not hr:
            self._known = (hr, network(hr))
        return perceptual_distance(sr, hr, features=_Seen(network, hr, self._known[1]))  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Seen:
    """Stands for VGG where one of the two pictures has been looked at already."""

    network: VGGFeatures
    hr: Tensor
    found: dict[str, Tensor]

    @property
    def layers(self) -> tuple[str, ...]:
        return self.network.layers

    def __call__(self, picture: Tensor) -> dict[str, Tensor]:
        return self.found if picture is self.hr else self.network(picture)


@functools.cache
def _vgg() -> VGGFeatures:
    from sr_course.features import VGGFeatures

    with torch.inference_mode(False):
        return VGGFeatures(PERCEPTUAL_LAYERS)


VGG_DISTANCE = Distance("VGG distance", _OneTruth().measure)
"""`metrics.perceptual_distance`, which takes a second or so for a picture of 256x256."""

NIQE_DISTANCE = Distance("NIQE", lambda sr, hr: niqe(sr), digits=2)
"""`naturalness.niqe`, which asks for no truth, and for pictures of 96x192 pixels at least."""


@dataclass(frozen=True, kw_only=True)
class PlanePoint:
    """A method in the plane: how it measures on many pictures, and what makes its picture.

    Attributes:
        name: of the method.
        psnr: the mean over the pictures it was measured on, dB.
        perceptual: the mean of a `Distance`.
        psnr_interval, perceptual_interval: bounds of these means, where they are known.
        network: `(N, 3, h, w)` to `(N, 3, H, W)`; makes the pictures of the crops.
        pictures: where there is no network, its picture of each crop: `(1, 3, H, W)` in [0, 1], or Pillow images.
        group: what it has in common with others, such as its architecture: the same colour and shape. Two networks of
            one group whose weights are of the same shapes can be blended.
    """

    name: str
    psnr: float
    perceptual: float
    psnr_interval: tuple[float, float] | None = None
    perceptual_interval: tuple[float, float] | None = None
    network: nn.Module | None = field(default=None, repr=False)
    pictures: Sequence[Tensor | Image.Image] = field(default=(), repr=False)
    group: str = ""


def measure_methods(
    methods: Mapping[str, nn.Module],
    pictures: Sequence[Sample],
    *,
    distance: Distance = VGG_DISTANCE,
    groups: Mapping[str, str] | None = None,
) -> list[PlanePoint]:
    """Measure methods on pictures, each as a point of the plane; five pictures or more give intervals too.

    It takes as long as the networks and the distance take for every picture: keep the points.

    Args:
        methods: networks by name, in evaluation mode.
        pictures: low resolution and truth.
        distance: of the vertical axis.
        groups: of each method by name; the class of its network unless told.

    Raises:
        ValueError: no pictures, or as `metrics.psnr` and the distance say.
    """
    if not pictures:
        raise ValueError("there are no pictures to measure on; give at least one.")
    found: dict[str, list[Figures]] = {name: [] for name in methods}
    for sample in pictures:
        for name, network in methods.items():
            found[name].append(_measured(_result(network, sample), sample, distance))
    points = []
    for name, network in methods.items():
        psnrs, distances = torch.tensor(found[name], dtype=torch.float64).unbind(dim=1)
        many = len(pictures) >= 5
        points.append(
            PlanePoint(
                name=name,
                psnr=psnrs.mean().item(),
                perceptual=distances.mean().item(),
                psnr_interval=interval(psnrs) if many else None,
                perceptual_interval=interval(distances) if many else None,
                network=network,
                group=(groups or {}).get(name, type(network).__name__),
            )
        )
    return points


def rmse(db: float) -> float:
    """Root mean square error in levels of 255 that belongs to a PSNR in dB."""
    return float(_PEAK / 10 ** (db / 20))


@dataclass
class _Made:
    """A picture of a crop and how it measures there; the distance may come later."""

    image: Image.Image
    psnr: float
    distance: float | None = None


Ends = tuple[int, int]  # two points, the smaller number first


class PerceptionDistortion(Still, anywidget.AnyWidget):
    """Networks in the plane of distortion and perceptual distance: who is near the truth, and who looks like it.

    A click on a point, or arrow keys and Enter, shows what it makes of a crop, beside the truth. Of two networks of one
    architecture the weights can be blended with a slider; the blend is shown as a picture and as a point that leaves a
    trail. Small networks are run by Python while the slider moves, larger ones have been run ahead at 11 positions; it
    is said which. While two are blended the plane shows how everything measures on the crop that is seen, for there
    alone the blends are measured.

    Everything else happens in the browser, also in an exported page without a kernel. The traits follow what is seen,
    and can be set:

    - `selected`: the point whose picture is seen, by number from 0; or two, to blend.
    - `alpha`: weight of the second, 0 to 1; the nearest position of the slider is seen.
    - `crop`: which crop, from 0.
    - `distortion`: `rmse`, in levels of 255, or `psnr`. What is better lies on the left with both.
    - `on_crop`: the plane shows what is measured on this crop, instead of the means that the points came with.

    Args:
        points: 1 to 16; `measure_methods` makes them.
        crops: low resolution and truth of what is to be seen, at most some 256 pixels a side.
        distance: of the vertical axis, as the points were measured; each point is measured by it on each crop.
        prepare: pairs of names whose blends are computed ahead although their networks are small, so that their slider
            moves in an exported page.
        scene: what each crop shows, in a few words, for the alternative text.
        selected, alpha, crop, distortion, on_crop: as above.

    Raises:
        ValueError: no points or crops, too many, two of one name, figures that are not finite, a picture that is the
            truth itself, points or crops that do not exist, or two that cannot be blended.
        ImageError: a picture that cannot be used.
    """

    _esm = front_end("frame.js", "perception_distortion.js")
    _css = front_end("frame.css", "perception_distortion.css")

    _points = traitlets.List(traitlets.Dict()).tag(sync=True)
    _crops = traitlets.List(traitlets.Dict()).tag(sync=True)
    _pairs = traitlets.List(traitlets.Dict()).tag(sync=True)
    _views = traitlets.List(traitlets.Dict()).tag(sync=True)  # of the means, then of each crop
    _groups = traitlets.List(traitlets.Dict()).tag(sync=True)
    _distance = traitlets.Unicode().tag(sync=True)
    _digits = traitlets.Int().tag(sync=True)
    _cells = traitlets.List(traitlets.List(traitlets.Int())).tag(sync=True)
    _sprite = traitlets.Bytes().tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)
    _live = traitlets.Dict().tag(sync=True)
    _live_picture = traitlets.Bytes().tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    alpha = traitlets.Float(0.0).tag(sync=True)
    crop = traitlets.Int(0).tag(sync=True)
    distortion = traitlets.Unicode("rmse").tag(sync=True)
    on_crop = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        points: Sequence[PlanePoint],
        crops: Sequence[Sample],
        *,
        distance: Distance = VGG_DISTANCE,
        prepare: Sequence[tuple[str, str]] = (),
        scene: Sequence[str] = (),
        selected: Sequence[int] = (0,),
        alpha: float = 0.0,
        crop: int = 0,
        distortion: Distortion = "rmse",
        on_crop: bool = False,
    ) -> None:
        _check(points, crops)
        self.points = tuple(points)
        self._samples = tuple(Sample(lr=one.lr.clone(), hr=one.hr.clone()) for one in crops)  # nobody changes these
        self._by = distance
        self._scene = tuple(scene)
        self._turn = threading.RLock()  # JupyterLab lets two threads of the kernel answer its controls
        self._truths = [to_pil(one.hr) for one in self._samples]
        self._made = [[self._make(point, which) for point in self.points] for which in range(len(crops))]
        self._known: dict[tuple[Ends, int, float], _Made] = {}
        self._all_pairs = _pairs_of(self.points)
        large = [ends for ends in self._all_pairs if self._work(ends) > LIVE_WORK]
        self._left_out = set(large[MOST_LARGE_PAIRS:])
        self._prepared = [*large[:MOST_LARGE_PAIRS], *(self._named_pair(*names) for names in prepare)]
        self._prepared = list(dict.fromkeys(self._prepared))
        sprite = Sprite()
        pairs = [self._prepare(ends, sprite) for ends in self._prepared]
        told = [self._told_of(index, sprite) for index in range(len(self.points))]
        truths = [sprite.add(image) for image in self._truths]
        if (pixels := sum(one.width * one.height for one in sprite.pictures)) > MOST_PIXELS:
            raise ValueError(
                f"the pictures hold {pixels / 1e6:.0f} megapixels together, and {MOST_PIXELS / 1e6:.0f} is the most; "
                "give fewer or smaller crops."
            )
        sheet, cells = sprite.packed()
        super().__init__(
            _points=told,
            _crops=[
                {"truth": cell, "width": image.width, "height": image.height}
                for cell, image in zip(truths, self._truths, strict=True)
            ],
            _pairs=pairs,
            _views=[_view(self._means()), *(self._crop_view(which) for which in range(len(crops)))],
            _groups=self._told_groups(),
            _distance=distance.name,
            _digits=distance.digits,
            _cells=cells,
            _sprite=quick_png(sheet),
            _note=self._said_of_pairs(),
            crop=crop,
            distortion=distortion,
            on_crop=on_crop,
            alpha=alpha,
            selected=list(selected),
        )
        self._follow()
        self.observe(self._follow, ["selected", "alpha", "crop"])
        self.on_msg(self._hear)

    @traitlets.validate("crop")
    def _check_crop(self, proposal: Any) -> int:
        return one_of("crop", proposal.value, "crops", len(self._samples))

    @traitlets.validate("distortion")
    def _check_distortion(self, proposal: Any) -> str:
        if proposal.value not in ("rmse", "psnr"):
            raise ValueError(f"distortion is {proposal.value!r}; choose rmse or psnr.")
        return str(proposal.value)

    @traitlets.validate("alpha")
    def _check_alpha(self, proposal: Any) -> float:
        if not 0 <= proposal.value <= 1:
            raise ValueError(f"alpha is {proposal.value}; it goes from 0, the first network, to 1, the second.")
        return float(proposal.value)

    @traitlets.validate("selected")
    def _check_selected(self, proposal: Any) -> list[int]:
        chosen: list[int] = proposal.value
        if len(chosen) not in (1, 2):
            raise ValueError(f"{len(chosen)} points are selected; select one, or two to blend.")
        for one in chosen:
            one_of("selected", one, "points", len(self.points))
        if len(chosen) == 2 and _pair(*chosen) not in self._offered():
            first, second = (self.points[one].name for one in chosen)
            raise ValueError(
                f"{first} and {second} cannot be blended: two networks of one group and of the same layers can"
                f"{', and this pair was left out' if _pair(*chosen) in self._left_out else ''}."
            )
        return chosen

    # --- what is measured

    def _make(self, point: PlanePoint, which: int) -> _Made:
        """What a point makes of a crop."""
        sample = self._samples[which]
        if point.network is not None:
            return self._measure(to_pil(_result(point.network, sample)), sample, point.name)
        image = to_image(point.name, point.pictures[which]).convert("RGB")
        if image.size != self._truths[which].size:
            raise ValueError(
                f"the picture of {point.name} is {image.width}x{image.height}, and the truth of crop {which + 1} "
                f"{self._truths[which].width}x{self._truths[which].height}; give pictures of one size."
            )
        return self._measure(image, sample, point.name)

    def _measure(self, image: Image.Image, sample: Sample, name: str) -> _Made:
        """Measure the picture as it is seen, rounded to 8 bits."""
        db, distance = _measured(from_pil(image), sample, self._by)
        if not (math.isfinite(db) and math.isfinite(distance)):
            raise ValueError(
                f"{name} has {db} dB and {self._by.name} {distance} on a crop; leave the truth itself out, for it "
                "stands beside every picture."
            )
        return _Made(image, db, distance)

    def _blend(self, ends: Ends, which: int, alpha: float, *, measure: bool) -> _Made:
        """The blend of two networks on a crop, remembered; `alpha` is the weight of the second."""
        if alpha in (0, 1):
            return self._made[which][ends[int(alpha)]]
        key = (ends, which, alpha)
        sample = self._samples[which]
        made = self._known.get(key)
        if made is None:
            from sr_course.models.blend import blend

            first, second = (self.points[end].network for end in ends)
            assert first is not None
            assert second is not None
            image = to_pil(_result(blend(first, second, alpha), sample))
            made = self._known[key] = _Made(image, psnr(from_pil(image), sample.hr, _protocol(sample)).item())
            if len(self._known) > _MOST_KEPT + PREPARED * len(self._prepared) * len(self._samples):
                del self._known[next(one for one in self._known if one[0] not in self._prepared)]
        if measure and made.distance is None:
            made.distance = self._distance_of(made, sample)
        return made

    @torch.inference_mode()
    def _distance_of(self, made: _Made, sample: Sample) -> float:
        return self._by.measure(from_pil(made.image), sample.hr).item()

    # --- which pairs can be blended

    def _offered(self) -> list[Ends]:
        return [ends for ends in self._all_pairs if ends not in self._left_out]

    def _named_pair(self, first: str, second: str) -> Ends:
        names = [point.name for point in self.points]
        unknown = [name for name in (first, second) if name not in names]
        if unknown:
            raise ValueError(f"there is no point {unknown[0]!r} to prepare; there are {', '.join(names)}.")
        ends = _pair(names.index(first), names.index(second))
        if ends not in self._all_pairs:
            raise ValueError(f"{first} and {second} cannot be blended: they are not of one group and the same layers.")
        self._left_out.discard(ends)
        return ends

    def _work(self, ends: Ends) -> float:
        network = self.points[ends[0]].network
        assert network is not None
        pixels = max(one.lr.shape[-1] * one.lr.shape[-2] for one in self._samples)
        return float(pixels * sum(parameter.numel() for parameter in network.parameters()))

    def _positions(self, ends: Ends) -> int:
        return PREPARED if ends in self._prepared else LIVE

    def _prepare(self, ends: Ends, sprite: Sprite) -> dict[str, Any]:
        """All positions of a pair on every crop, as the browser is told them."""
        crops = []
        for which in range(len(self._samples)):
            made = [self._blend(ends, which, alpha, measure=True) for alpha in _alphas(PREPARED)]
            crops.append(
                {
                    "cells": [sprite.add(one.image) for one in made],
                    "psnr": [one.psnr for one in made],
                    "distance": [one.distance for one in made],
                }
            )
        return {"ends": list(ends), "crops": crops}

    def _said_of_pairs(self) -> str:
        if not self._left_out:
            return ""
        return f"{len(self._left_out)} pairs of large networks are not offered, for they would take long to compute."

    # --- what the browser is told

    def _told_of(self, index: int, sprite: Sprite) -> dict[str, Any]:
        point = self.points[index]
        partners = [ends[0] + ends[1] - index for ends in self._offered() if index in ends]
        return {
            "name": point.name,
            "group": self._group_names().index(point.group),
            "partners": partners,
            "means": {
                "psnr": [point.psnr, *(point.psnr_interval or ())],
                "distance": [point.perceptual, *(point.perceptual_interval or ())],
                "says": self._says(point.psnr, point.perceptual),
            },
            "crops": [
                {
                    "cell": sprite.add(made[index].image),
                    "psnr": [made[index].psnr],
                    "distance": [made[index].distance],
                    "says": self._says(made[index].psnr, made[index].distance),
                }
                for made in self._made
            ],
        }

    def _group_names(self) -> list[str]:
        return list(dict.fromkeys(point.group for point in self.points))

    def _told_groups(self) -> list[dict[str, Any]]:
        return [
            {"name": name, "colour": COLOURS[index % len(COLOURS)], "shape": index % _SHAPES}
            for index, name in enumerate(self._group_names())
        ]

    def _says(self, db: float, distance: float | None) -> str:
        far = "" if distance is None else f", {self._by.name} {distance:.{self._by.digits}f}"
        return f"{decibels(db)}{far}"

    def _means(self) -> list[tuple[float, float]]:
        """Corners that the plane of the means must hold."""
        corners = []
        for point in self.points:
            corners.append((point.psnr, point.perceptual))
            corners += [(db, point.perceptual) for db in point.psnr_interval or ()]
            corners += [(point.psnr, distance) for distance in point.perceptual_interval or ()]
        return corners

    def _crop_view(self, which: int) -> dict[str, Any]:
        blends = [made for (_, crop, _), made in self._known.items() if crop == which]
        places = [(one.psnr, one.distance) for one in (*self._made[which], *blends) if one.distance is not None]
        return _view(places)

    # --- live

    def _follow(self, _change: object = None) -> None:
        """Compute and measure the blend that is seen, where it was not computed ahead."""
        with self._turn:
            if len(self.selected) == 2:
                self._answer(list(self.selected), self.crop, self.alpha, measure=True)

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Answer a hand on the slider by the picture alone: the distance is measured when the hand rests."""
        with self._turn:
            chosen, which, alpha = message.get("ends"), message.get("crop"), message.get("alpha")
            if not isinstance(chosen, list) or len(chosen) != 2 or not isinstance(alpha, (int, float)):
                return
            offered = all(isinstance(one, int) for one in chosen) and _pair(*chosen) in self._offered()
            if offered and isinstance(which, int) and 0 <= which < len(self._samples) and 0 <= alpha <= 1:
                self._answer(chosen, which, float(alpha), measure=False)

    def _answer(self, chosen: list[int], which: int, alpha: float, *, measure: bool) -> None:
        ends = _pair(*chosen)
        if ends in self._prepared:
            return  # the browser has it all
        turned = chosen[0] != ends[0]
        place = _nearest(alpha, LIVE)
        made = self._blend(ends, which, _turned(place, turned), measure=measure)
        trail = [[_turned(one, turned), known.psnr, known.distance] for one, known in self._trail(ends, which)]
        with self.hold_sync():
            self._live_picture = quick_png(made.image)
            self._live = {
                "ends": chosen,
                "crop": which,
                "alpha": place,
                "psnr": made.psnr,
                "distance": made.distance,
                "says": self._says(made.psnr, made.distance),
                "trail": sorted(trail),
            }
            view = self._crop_view(which)
            if view != self._views[1 + which]:
                self._views = [*self._views[: 1 + which], view, *self._views[2 + which :]]

    def _trail(self, ends: Ends, which: int) -> Iterator[tuple[float, _Made]]:
        """What is known of a pair on a crop, its ends included, by the weight of the second."""
        yield 0.0, self._made[which][ends[0]]
        for (pair, crop, alpha), made in sorted(self._known.items(), key=lambda item: item[0]):
            if (pair, crop) == (ends, which) and made.distance is not None:
                yield alpha, made
        yield 1.0, self._made[which][ends[1]]

    # --- still

    def _shown(self) -> tuple[str, _Made]:
        """What is seen: its name and its picture."""
        if len(self.selected) == 1:
            return self.points[self.selected[0]].name, self._made[self.crop][self.selected[0]]
        ends = _pair(*self.selected)
        place = _nearest(self.alpha, self._positions(ends))
        first, second = (self.points[one].name for one in self.selected)
        alpha = _turned(place, self.selected[0] != ends[0])
        return f"{1 - place:.2f} {first} + {place:.2f} {second}", self._blend(ends, self.crop, alpha, measure=True)

    @property
    def _on_crop(self) -> bool:
        return self.on_crop or len(self.selected) == 2

    def still(self) -> Image.Image:
        """Draw the plane on the left, the picture that is seen and the truth on the right."""
        sheet = Image.new("RGB", _STILL, "white")
        sheet.paste(self._draw_plane(), (0, 0))
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
        name, made = self._shown()
        left = _PLANE[0] + 14
        draw.text((left, 2), name, "black", font)
        draw.text((left, 2 + _LINE), self._says(made.psnr, made.distance), "black", font)
        for column, (caption, image) in enumerate((("result", made.image), ("truth", self._truths[self.crop]))):
            x = left + column * (_STILL_SIDE + 12)
            draw.text((x, 8 + 2 * _LINE), caption, (70, 70, 70), font)
            sheet.paste(fitted(image, _STILL_SIDE), (x, 8 + 3 * _LINE))
        return sheet

    def _draw_plane(self) -> Image.Image:
        """The same plane as in the browser, twice as large and then reduced."""
        fine = 2
        view = self._views[1 + self.crop if self._on_crop else 0]
        across, up = view[self.distortion], view["distance"]
        sheet = Image.new("RGB", (_PLANE[0] * fine, _PLANE[1] * fine), "white")
        draw = ImageDraw.Draw(sheet)
        small, font = ImageFont.load_default(11 * fine), ImageFont.load_default(12 * fine)
        left, top, right, bottom = 52 * fine, 44 * fine, (_PLANE[0] - 14) * fine, (_PLANE[1] - 44) * fine

        def at(x: float, y: float) -> tuple[float, float]:
            return left + x * (right - left), bottom - y * (bottom - top)

        def place(db: float, distance: float) -> tuple[float, float]:
            return at(_place(across, rmse(db) if self.distortion == "rmse" else db), _place(up, distance))

        for x, label in across["ticks"]:
            draw.line([at(x, 0), at(x, 1)], fill=(235, 235, 235), width=fine)
            draw.text((at(x, 0)[0], bottom + 4 * fine), label, (70, 70, 70), small, anchor="mt")
        for y, label in up["ticks"]:
            draw.line([at(0, y), at(1, y)], fill=(225, 225, 225), width=fine)
            draw.text((left - 4 * fine, at(0, y)[1]), label, (70, 70, 70), small, anchor="rm")
        draw.line([at(0, 1), at(0, 0), at(1, 0)], fill=(110, 110, 110), width=fine)
        draw.text((2 * fine, 2 * fine), f"{self._by.name} (down: better), {self._said_where()}", "black", font)
        title = "RMSE, levels of 255" if self.distortion == "rmse" else "PSNR, dB"
        draw.text(((left + right) / 2, bottom + 22 * fine), f"{title} (left: better)", "black", font, anchor="mt")
        self._draw_trail(draw, place, fine)
        self._draw_points(draw, place, font, fine)
        return sheet.resize(_PLANE, Image.Resampling.BOX)

    def _draw_trail(self, draw: ImageDraw.ImageDraw, place: Callable[[float, float], Any], fine: int) -> None:
        if len(self.selected) < 2:
            return
        trail = [made for _, made in self._trail(_pair(*self.selected), self.crop)]
        ways = [place(one.psnr, one.distance or 0.0) for one in trail]
        draw.line(ways, fill=(60, 60, 60), width=fine)
        for x, y in ways:
            draw.ellipse((x - 2 * fine, y - 2 * fine, x + 2 * fine, y + 2 * fine), fill=(60, 60, 60))
        _, made = self._shown()
        x, y = place(made.psnr, made.distance or 0.0)
        draw.ellipse((x - 8 * fine, y - 8 * fine, x + 8 * fine, y + 8 * fine), outline="black", width=2 * fine)

    def _draw_points(
        self, draw: ImageDraw.ImageDraw, place: Callable[[float, float], Any], font: Any, fine: int
    ) -> None:
        marks: list[tuple[float, float]] = []
        taken: list[Box] = []
        for index, point in enumerate(self.points):
            if self._on_crop:
                made = self._made[self.crop][index]
                marks.append(place(made.psnr, made.distance or 0.0))
                continue
            marks.append(place(point.psnr, point.perceptual))
            for bounds in (
                [place(db, point.perceptual) for db in point.psnr_interval or ()],
                [place(point.psnr, distance) for distance in point.perceptual_interval or ()],
            ):
                if bounds:
                    draw.line(bounds, fill=(120, 120, 120), width=fine)
                    (x0, y0), (x1, y1) = bounds
                    taken.append((min(x0, x1) - fine, min(y0, y1) - fine, max(x0, x1) + fine, max(y0, y1) + fine))
        taken += [(x - 7 * fine, y - 7 * fine, x + 7 * fine, y + 7 * fine) for x, y in marks]
        for index, ((x, y), point) in enumerate(zip(marks, self.points, strict=True)):
            group = self._groups[self._points[index]["group"]]
            _draw_mark(draw, (x, y), group["shape"], group["colour"], fine)
            if index in self.selected:
                draw.ellipse((x - 8 * fine, y - 8 * fine, x + 8 * fine, y + 8 * fine), outline="black", width=2 * fine)
            box = _free_box((x, y), font.getlength(point.name), 14 * fine, 11 * fine, taken, _PLANE[0] * fine)
            taken.append(box)
            draw.text((box[0], box[1]), point.name, "black", font, stroke_width=fine, stroke_fill="white")

    def _said_where(self) -> str:
        return f"on crop {self.crop + 1}" if self._on_crop else "means over pictures"

    def alt(self) -> str:
        """Say where every point lies, and which pictures are seen."""
        scene = f" of {self._scene[self.crop]}" if self.crop < len(self._scene) else ""
        name, made = self._shown()
        said = [f"{point.name} {self._says(*self._figures(index))}" for index, point in enumerate(self.points)]
        return (
            f"A plane of {'root mean square error' if self.distortion == 'rmse' else 'PSNR'} and {self._by.name}, "
            f"{self._said_where()}: {'; '.join(said)}. Beside it two pictures{scene}: {name} "
            f"({self._says(made.psnr, made.distance)}) and the truth."
        )

    def summary(self) -> str:
        """Give what is seen and how it measures on the crop, and how the points measure."""
        name, made = self._shown()
        said = "; ".join(f"{point.name} {self._says(point.psnr, point.perceptual)}" for point in self.points)
        return (
            f"PerceptionDistortion({name} on crop {self.crop + 1} of {len(self._samples)} "
            f"{self._says(made.psnr, made.distance)}; means: {said})"
        )

    def _figures(self, index: int) -> tuple[float, float | None]:
        if self._on_crop:
            made = self._made[self.crop][index]
            return made.psnr, made.distance
        return self.points[index].psnr, self.points[index].perceptual


def _check(points: Sequence[PlanePoint], crops: Sequence[Sample]) -> None:
    if not 0 < len(points) <= MOST_POINTS:
        raise ValueError(f"{len(points)} points were given; there can be 1 to {MOST_POINTS}.")
    if not crops:
        raise ValueError("there is no crop to look at; give at least one, low resolution and truth.")
    names = [point.name for point in points]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two points are called {twice[0]!r}; give each a name of its own.")
    for point in points:
        known = (point.psnr, point.perceptual, *(point.psnr_interval or ()), *(point.perceptual_interval or ()))
        if not all(math.isfinite(value) for value in known):
            raise ValueError(f"the figures of {point.name} are not all finite: {known}.")
        if point.network is None and len(point.pictures) != len(crops):
            raise ValueError(
                f"{point.name} has {len(point.pictures)} pictures and no network; give a network, or a picture of "
                f"each of the {len(crops)} crops."
            )


@torch.inference_mode()
def _result(network: nn.Module, sample: Sample) -> Tensor:
    sr: Tensor = network(sample.lr)
    return sr.float().clamp(0, 1)


@torch.inference_mode()
def _measured(sr: Tensor, sample: Sample, distance: Distance) -> Figures:
    return psnr(sr, sample.hr, _protocol(sample)).item(), distance.measure(sr, sample.hr).item()


def _protocol(sample: Sample) -> Protocol:
    return MATLAB_Y.at_scale(sample.hr.shape[-1] // sample.lr.shape[-1])


def _pairs_of(points: Sequence[PlanePoint]) -> list[Ends]:
    """All pairs of networks that can be blended."""
    pairs = ((one, other) for one in range(len(points)) for other in range(one + 1, len(points)))
    return [(one, other) for one, other in pairs if _can_be_blended(points[one], points[other])]


def _can_be_blended(one: PlanePoint, other: PlanePoint) -> bool:
    from sr_course.models.blend import blend

    if one.network is None or other.network is None or one.group != other.group:
        return False
    if not any(True for _ in one.network.parameters()):
        return False  # of bicubic and the like there is nothing to blend
    try:
        blend(one.network, other.network, 0)
    except ModelError:
        return False
    return True


def _pair(one: int, other: int) -> Ends:
    return min(one, other), max(one, other)


def _alphas(positions: int) -> list[float]:
    return [round(place / (positions - 1), 4) for place in range(positions)]


def _nearest(alpha: float, positions: int) -> float:
    return _alphas(positions)[math.floor(alpha * (positions - 1) + 0.5)]


def _turned(alpha: float, turned: bool) -> float:
    return round(1 - alpha, 4) if turned else alpha


# --- layout


def _view(places: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Axes that hold all places, by what is measured."""
    return {
        "psnr": _axis([db for db, _ in places], turned=True),
        "rmse": _axis([rmse(db) for db, _ in places]),
        "distance": _axis([distance for _, distance in places]),
    }


def _axis(values: Sequence[float], *, turned: bool = False) -> dict[str, Any]:
    """Low and high end, ticks; `turned` where larger values stand on the left."""
    low, high = min(values), max(values)
    edge = 0.1 * (high - low) or 0.1 * abs(high) or 0.1
    axis = Axis(low=low - edge, high=high + edge)
    ticks: list[Tick] = [(round(1 - place if turned else place, 4), label) for place, label in axis.ticks()]
    return {"low": axis.low, "high": axis.high, "turned": turned, "ticks": ticks}


def _place(axis: Mapping[str, Any], value: float) -> float:
    place = (value - axis["low"]) / (axis["high"] - axis["low"])
    return float(min(max(1 - place if axis["turned"] else place, 0), 1))


def _draw_mark(draw: ImageDraw.ImageDraw, place: tuple[float, float], form: int, colour: str, fine: int) -> None:
    """A disc, a square, a triangle or a diamond."""
    (x, y), r = place, 5 * fine
    if form == 0:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    elif form == 1:
        draw.rectangle((x - r + fine, y - r + fine, x + r - fine, y + r - fine), fill=colour)
    elif form == 2:
        draw.polygon([(x, y - r), (x + r, y + r - fine), (x - r, y + r - fine)], fill=colour)
    else:
        draw.polygon([(x, y - r - fine), (x + r + fine, y), (x, y + r + fine), (x - r - fine, y)], fill=colour)


Box = tuple[float, float, float, float]


def _free_box(
    place: tuple[float, float], width: float, height: float, away: float, taken: Sequence[Box], limit: float
) -> Box:
    """Where a name beside a mark lies on nothing else, or on the least."""
    x, y = place
    corners = [
        (x + away, y - height / 2),
        (x - away - width, y - height / 2),
        (x - width / 2, y - away - height),
        (x - width / 2, y + away - height / 4),
    ]
    boxes = [(left, top, left + width, top + height) for left, top in corners]

    def covered(box: Box) -> float:
        out = max(-box[0], 0) + max(box[2] - limit, 0)
        return 1e3 * out + sum(
            max(min(box[2], one[2]) - max(box[0], one[0]), 0) * max(min(box[3], one[3]) - max(box[1], one[1]), 0)
            for one in taken
        )

    return min(boxes, key=covered)
