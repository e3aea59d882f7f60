"""Measure networks on the course's test photographs, in pixels and in the eyes of VGG, for lesson 4.

    python tools/measure_plane.py NAME ...

Writes `sr_course/zoo/runs/plane_x4.json`: for each method every figure of every photograph. Methods that stand in the
file already are measured again only when they are named; each takes half a minute on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sr_course import images
from sr_course.data.shipped import photos
from sr_course.degradations import bicubic_lr
from sr_course.errors import CourseError
from sr_course.features import VGGFeatures
from sr_course.images import from_pil, to_pil
from sr_course.metrics import (
    MATLAB_Y,
    PERCEPTUAL_LAYERS,
    perceptual_distance,
    psnr,
    ssim,
    structure_distance,
    texture_distance,
)
from sr_course.naturalness import niqe
from sr_course.zoo import ZOO, load

FILE = ZOO / "runs" / "plane_x4.json"

Figures = dict[str, float | list[float]]


class _Kept:
    """Stands for VGG where it has looked at both pictures already, at one of its layers."""

    def __init__(self, layer: str, sr: Tensor, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
        self.layers = (layer,)
        self._sr, self._found, self._wanted = sr, found, wanted

    def __call__(self, picture: Tensor) -> Mapping[str, Tensor]:
        return self._found if picture is self._sr else self._wanted


def measure(sr: Tensor, hr: Tensor, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Figures:
    """Measure a picture against its truth, `(1, 3, H, W)` each, of which VGG has `found` and `wanted` the features.

    Returns:
        PSNR, SSIM and NIQE; and a value for each of `PERCEPTUAL_LAYERS` of the three distances that VGG is asked for
        and of the squared error of its features, as a fraction of the truth's mean square.
    """
    figures: Figures = {"psnr": psnr(sr, hr, MATLAB_Y).item(), "ssim": ssim(sr, hr, MATLAB_Y).item()}
    figures["niqe"] = niqe(sr).item()
    distances = {"perceptual": perceptual_distance, "texture": texture_distance, "structure": structure_distance}
    for name, distance in distances.items():
        figures[name] = [
            distance(sr, hr, features=_Kept(layer, sr, found, wanted)).item()  # type: ignore[arg-type]
            for layer in PERCEPTUAL_LAYERS
        ]
    figures["squared"] = [
        ((found[layer] - wanted[layer]).square().mean() / wanted[layer].square().mean()).item()
        for layer in PERCEPTUAL_LAYERS
    ]
    return figures


@torch.inference_mode()
def measure_methods(names: Sequence[str]) -> dict[str, list[Figures]]:
    """Measure what methods make of each test photograph, rounded to 8 bits as a file would be."""
    networks, vgg = {name: load(name) for name in names}, VGGFeatures(PERCEPTUAL_LAYERS)
    rows: dict[str, list[Figures]] = {name: [] for name in names}
    for photo in photos("test"):
        hr = images.read(photo.path)
        lr, wanted = bicubic_lr(hr, 4), vgg(hr)
        for name, network in networks.items():
            sr = from_pil(to_pil(network(lr).clamp(0, 1)))
            rows[name].append(measure(sr, hr, vgg(sr), wanted))
        print(photo.name, flush=True)
    return rows


def main(argv: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Measure the methods that were named and return the exit status."""
    parser = argparse.ArgumentParser(description="Measure networks on the test photographs, for lesson 4.")
    parser.add_argument("names", nargs="+", metavar="NAME", help="a method that `sr-course evaluate` knows")
    names = parser.parse_args(argv).names
    try:
        measured = measure_methods(names)
    except CourseError as error:
        parser.error(str(error))
    known = json.loads(file.read_text(encoding="utf-8"))["methods"] if file.is_file() else {}
    for name, rows in measured.items():
        known[name] = {key: [_rounded(row[key]) for row in rows] for key in rows[0]}
        print(f"{name}: {sum(known[name]['psnr']) / len(rows):.2f} dB")
    told = {"photographs": [one.name for one in photos("test")], "layers": PERCEPTUAL_LAYERS, "methods": known}
    file.write_text(json.dumps(told).replace(']], "', ']],\n"').replace('}, "', '},\n"') + "\n", encoding="utf-8")
    return 0


def _rounded(figure: float | list[float]) -> float | list[float]:
    return [round(one, 5) for one in figure] if isinstance(figure, list) else round(figure, 5)


if __name__ == "__main__":
    raise SystemExit(main())
