"""A method over a benchmark: PSNR and SSIM of each picture, their means, and the published figures beside them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from sr_course import images
from sr_course.data.shipped import photos
from sr_course.data.store import pictures_in
from sr_course.degradations import bicubic_lr
from sr_course.errors import DataError, ImageError, ModelError
from sr_course.metrics import MATLAB_Y, SRCNN_DEMO, Protocol, psnr, ssim
from sr_course.models.blend import SelfEnsemble
from sr_course.training.checkpoints import load_run
from sr_course.zoo import load, method


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A ground truth and, where the benchmark brings one, its low-resolution file."""

    name: str
    hr: Path
    lr: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one picture was measured at.

    Attributes:
        name: of the picture.
        psnr: dB.
        ssim: 1 for equal pictures.
        grey: the file holds a single channel.
        grey_as_luma: and that channel was measured as the luma; otherwise the file was read as RGB.
        official_lr: the low-resolution picture is the benchmark's own file.
    """

    name: str
    psnr: float
    ssim: float
    grey: bool
    grey_as_luma: bool
    official_lr: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure from a paper: the mean over a benchmark, where it stands, and the protocol it was measured under."""

    model: str
    data: str
    scale: int
    psnr: float
    ssim: float
    source: str
    protocol: Protocol


_KIM = "Kim et al. 2016 (VDSR), table 2"
_KIM_SRCNN = f"{_KIM}; 9-5-5 on ImageNet"
# The paper's bicubic has .8211 on Set5 and .7486 on Set14 where Kim et al. and this course have .8104 and .703.
_LEDIG = "Ledig et al. 2017, table 2; its SSIM comes from another tool, daala, and runs higher"
PUBLISHED = (
    Published(model="bicubic", data="Set5", scale=2, psnr=33.66, ssim=0.9299, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="bicubic", data="Set5", scale=3, psnr=30.39, ssim=0.8682, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="bicubic", data="Set5", scale=4, psnr=28.42, ssim=0.8104, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="bicubic", data="Set14", scale=2, psnr=30.24, ssim=0.8688, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="bicubic", data="Set14", scale=3, psnr=27.55, ssim=0.7742, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="bicubic", data="Set14", scale=4, psnr=26.00, ssim=0.7027, source=_KIM, protocol=SRCNN_DEMO),
    Published(model="srcnn", data="Set5", scale=4, psnr=30.48, ssim=0.8628, source=_KIM_SRCNN, protocol=SRCNN_DEMO),
    Published(model="srcnn", data="Set14", scale=4, psnr=27.49, ssim=0.7503, source=_KIM_SRCNN, protocol=SRCNN_DEMO),
    Published(model="srresnet", data="Set5", scale=4, psnr=32.05, ssim=0.9019, source=_LEDIG, protocol=MATLAB_Y),
    Published(model="srresnet", data="Set14", scale=4, psnr=28.49, ssim=0.8184, source=_LEDIG, protocol=MATLAB_Y),
    Published(model="srgan", data="Set5", scale=4, psnr=29.40, ssim=0.8472, source=_LEDIG, protocol=MATLAB_Y),
    Published(model="srgan", data="Set14", scale=4, psnr=26.02, ssim=0.7397, source=_LEDIG, protocol=MATLAB_Y),
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The scores of a method over the pictures of a data set, under one protocol."""

    model: str
    data: str
    scale: int
    protocol: Protocol
    scores: Sequence[Score]

    @property
    def psnr(self) -> float:
        """Mean PSNR over the pictures, dB."""
        return sum(score.psnr for score in self.scores) / len(self.scores)

    @property
    def ssim(self) -> float:
        """Mean SSIM over the pictures."""
        return sum(score.ssim for score in self.scores) / len(self.scores)

    @property
    def published(self) -> list[Published]:
        """The figures that papers give for this method, data set and scale, whatever they were measured under."""
        wanted = (self.model, self.data.lower(), self.scale)
        return [row for row in PUBLISHED if (row.model, row.data.lower(), row.scale) == wanted]

    def to_text(self) -> str:
        """Lay the table out for reading: a line per picture, the mean, the published figures with their source."""
        width = max(len("mean"), *(len(score.name) for score in self.scores))
        lines = [f"{self.model} x{self.scale} on {self.data}, {self.protocol}", f"{'':{width}}   PSNR    SSIM"]
        lines += [
            f"{score.name:{width}}  {score.psnr:5.2f}  {score.ssim:.4f}{self._notes(score)}" for score in self.scores
        ]
        lines.append(f"{'mean':{width}}  {self.psnr:5.2f}  {self.ssim:.4f}")
        lines += [self._beside(row) for row in self.published]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return one object with `model`, `data`, `scale`, `protocol`, `psnr`, `ssim`, `images`, `published`.

        A PSNR that is infinite, of equal pictures, is null: JSON has no number for it.
        """
        pictures = [
            {"name": s.name, "psnr": _finite(s.psnr), "ssim": s.ssim, "grey": s.grey, "official_lr": s.official_lr}
            for s in self.scores
        ]
        published = [
            {"psnr": row.psnr, "ssim": row.ssim, "source": row.source, "protocol": row.protocol.name}
            for row in self.published
        ]
        return json.dumps(
            {
                "model": self.model,
                "data": self.data,
                "scale": self.scale,
                "protocol": self.protocol.name,
                "protocol_in_words": str(self.protocol),
                "psnr": _finite(self.psnr),
                "ssim": self.ssim,
                "images": pictures,
                "published": published,
            },
            indent=2,
            allow_nan=False,
        )

    def _beside(self, row: Published) -> str:
        """A published figure; where it was measured in another way, that is said, for the two do not compare."""
        same = row.protocol.at_scale(self.scale) == self.protocol
        under = "" if same else f", under another protocol, {row.protocol.name}"
        return f"published{under}: {row.psnr:.2f} / {row.ssim:.4f}  ({row.source})"

    def _notes(self, score: Score) -> str:
        notes = []
        if score.grey:
            notes.append("grey, used as luma" if score.grey_as_luma else "grey, read as RGB")
        if self.protocol.eight_bit_lr and not score.official_lr:
            notes.append("LR made here")
        return f"  ({'; '.join(notes)})" if notes else ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A network that was named, in evaluation mode.

    Attributes:
        name: of the method, or of the run's folder.
        network: `(N, 3, h, w)` in [0, 1] to `(N, 3, scale * h, scale * w)`.
        protocol: the one in which the method's own figures were published; `MATLAB_Y` for a run.
        overlap: source pixels that tiles must share for their seams to vanish; None where that is not known.
    """

    name: str
    network: nn.Module
    protocol: Protocol
    overlap: int | None


def find_network(model: str, scale: int) -> Found:
    """Find a method of the course by its name, or what a training run has trained by its folder.

    Raises:
        ModelError: no method of that name, no checkpoint in the folder, or not at that scale.
    """
    if not Path(model).is_dir():
        known = method(model)
        return Found(name=model, network=load(model, scale), protocol=known.protocol, overlap=known.overlap)
    network = load_run(model)
    made_for = getattr(network, "scale", scale)
    if made_for != scale:
        raise ModelError(f"{model}: was trained for x{made_for}, not x{scale}; add --scale {made_for}.")
    return Found(name=Path(model).resolve().name, network=network, protocol=MATLAB_Y, overlap=None)


def evaluate(
    model: str | nn.Module,
    data: str | os.PathLike[str] | Iterable[Pair],
    *,
    scale: int = 4,
    protocol: Protocol | None = None,
    name: str | None = None,
    self_ensemble: bool = False,
    device: str | torch.device = "cpu",
) -> Table:
    """Measure a method on every picture of a data set.

    Args:
        model: the name of a method of the course, the folder of a training run, or a network `(N, 3, h, w)` in [0, 1]
            to `(N, 3, H, W)`. A network whose attribute `works_on_luma` is true takes a single channel too.
        data: a folder as `find_pairs` takes it, or the pairs themselves.
        scale: the factor of enlargement.
        protocol: how to measure; by default the one in which the method's own figures were published, and
            `MATLAB_Y` for a run or a network of your own. Its border is set to the scale.
        name: what the table calls the data set; the folder's name unless told.
        self_ensemble: measure the mean over eight views of each picture, see `SelfEnsemble`.
        device: where the network runs.

    Returns:
        The scores, with their means.

    Raises:
        DataError: no pictures in the folder, or HR and LR that do not match.
        ImageError: a picture that cannot be read, or is smaller than the scale.
        ModelError: as in `find_network`.
    """
    if isinstance(model, nn.Module):
        found = Found(name=type(model).__name__, network=model, protocol=MATLAB_Y, overlap=None)
    else:
        found = find_network(model, scale)
    network, title = found.network, found.name
    if self_ensemble:
        network, title = SelfEnsemble(network), f"{title}, self-ensemble"
    on_luma = getattr(network, "works_on_luma", False)
    protocol = (protocol or found.protocol).at_scale(scale)
    if isinstance(data, (str, os.PathLike)):
        name = name or Path(data).resolve().name
        data = find_pairs(data, scale)
    network = network.to(device).eval()
    scores = [_score(network, pair, scale, protocol, on_luma=on_luma, device=device) for pair in data]
    return Table(model=title, data=name or "pictures", scale=scale, protocol=protocol, scores=scores)


def find_pairs(folder: str | os.PathLike[str], scale: int) -> list[Pair]:
    """Find the pictures of a benchmark: ground truths in `HR/` or in the folder itself, their LR files where present.

    LR files are looked for in `LR_bicubic/X4/`, named as the truth or with `x4` behind its name.

    Raises:
        DataError: no such folder, no pictures in it, one that may not be read, or an LR folder that lacks the file of a
            ground truth.
    """
    folder = Path(folder)
    try:
        if not folder.is_dir():
            raise DataError(
                f"{folder}: there is no such folder. Check the name; `sr-course data list` shows data sets."
            )
        truths = pictures_in(folder / "HR" if (folder / "HR").is_dir() else folder, deep=False)
        lr_folder = folder / "LR_bicubic" / f"X{scale}"
        if not lr_folder.is_dir():
            return [Pair(name=truth.stem, hr=truth) for truth in truths]
        return [Pair(name=truth.stem, hr=truth, lr=_official_lr(truth, lr_folder, scale)) for truth in truths]
    except PermissionError as error:
        closed = Path(error.filename).parent  # the folder that does not tell whether the file is there
        raise DataError(
            f"{closed}: this folder may not be read. Change its permissions, or name a copy of it."
        ) from None


def shipped_pairs(split: Literal["validation", "test"] = "test") -> list[Pair]:
    """Return the ground truths of the course's own photographs; their LR pictures are made when measured."""
    return [Pair(name=photo.name, hr=photo.path) for photo in photos(split)]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _official_lr(truth: Path, lr_folder: Path, scale: int) -> Path:
    for name in (f"{truth.stem}x{scale}{truth.suffix}", truth.name, f"{truth.stem}x{scale}.png"):
        if (lr_folder / name).is_file():
            return lr_folder / name
    raise DataError(
        f"{lr_folder}: holds no low-resolution file for {truth.name}. Complete the folder, or move it away to have "
        "the LR pictures made."
    )


@torch.inference_mode()
def _score(
    network: nn.Module, pair: Pair, scale: int, protocol: Protocol, *, on_luma: bool, device: str | torch.device
) -> Score:
    grey = images.is_grey(pair.hr)
    hr = images.read(pair.hr)
    try:
        hr = images.modcrop(hr, scale)
        if pair.lr is not None:
            _check_size(pair.lr, hr, scale)
        if grey and not protocol.grey_as_rgb and protocol.channel != "rgb":
            hr = hr[:, :1]
        if not protocol.eight_bit_lr and on_luma:
            hr = images.to_uint8(hr if hr.shape[1] == 1 else images.luma(hr)) / 255
        lr = _low_resolution(hr, pair, scale, protocol).to(device)
        sr = network(lr if on_luma else lr.expand(-1, 3, -1, -1)).float().clamp(0, 1).cpu()
        hr = hr.expand_as(sr)
        return Score(
            name=pair.name,
            psnr=psnr(sr, hr, protocol).item(),
            ssim=ssim(sr, hr, protocol).item(),
            grey=grey,
            grey_as_luma=grey and sr.shape[1] == 1,
            official_lr=protocol.eight_bit_lr and pair.lr is not None,
        )
    except (ImageError, ValueError) as error:
        raise ImageError(f"{pair.hr}: {error}") from None


def _low_resolution(hr: Tensor, pair: Pair, scale: int, protocol: Protocol) -> Tensor:
    if not protocol.eight_bit_lr or pair.lr is None:
        return bicubic_lr(hr, scale, eight_bit=protocol.eight_bit_lr)
    return images.read(pair.lr)[:, : hr.shape[1]]


def _check_size(lr: Path, hr: Tensor, scale: int) -> None:
    """Refuse a low-resolution file of another picture or scale, also where the protocol makes its own."""
    width, height = images.size(lr)
    expected = (hr.shape[-1] // scale, hr.shape[-2] // scale)
    if (width, height) != expected:
        raise ImageError(
            f"does not match {lr}, which is {width}x{height} and should be "
            f"{expected[0]}x{expected[1]} at x{scale}. Check that both are of one picture and scale."
        )
