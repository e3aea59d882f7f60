"""Two small networks of one architecture, a third of another, and small pictures: for the tests of blending."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn

from sr_course.images import from_pil, to_pil
from sr_course.models.srresnet import SRResNet
from sr_course.resample import imresize
from sr_course.training.history import Sample
from sr_course.widgets.perception_distortion import Distance, PlanePoint


def mean_error(sr: Tensor, hr: Tensor) -> Tensor:
    return (sr - hr).abs().mean(dim=(1, 2, 3))


QUICK = Distance("mean error", mean_error, digits=4)
"""Measured in no time, where a test asks for any distance."""


class AboutBicubic(nn.Module):
    """Bicubic and a little more: its pictures look like something, whatever its weights."""

    def __init__(self, seed: int, channels: int = 4, share: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.more = SRResNet(4, blocks=1, channels=channels, batch_norm=False)
        self.share = share

    def forward(self, lr: Tensor) -> Tensor:
        return imresize(lr, 4) + self.share * (self.more(lr) - 0.5)


def networks() -> tuple[nn.Module, nn.Module, nn.Module]:
    """Two that can be blended, and one of more channels."""
    return AboutBicubic(0).eval(), AboutBicubic(1, share=0.2).eval(), AboutBicubic(2, channels=6).eval()


def sample(seed: int, size: tuple[int, int] = (64, 48)) -> Sample:
    """A picture of `(height, width)` and its quarter, both of 8 bits."""
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    hr = from_pil(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)))
    hr = (hr - hr.amin()) / (hr.amax() - hr.amin())
    hr = from_pil(to_pil(hr))
    return Sample(lr=from_pil(to_pil(imresize(hr, 0.25).clamp(0, 1))), hr=hr)


def points(extra: bool = True) -> list[PlanePoint]:
    """Three networks and a still picture, with made-up means."""
    first, second, other = networks()
    crops = [sample(0), sample(1)]
    flat = [to_pil(one.hr.mean(dim=(2, 3), keepdim=True).expand_as(one.hr)) for one in crops]
    known = [
        PlanePoint(name="one", psnr=26.0, perceptual=0.5, psnr_interval=(25.0, 27.5), network=first, group="small"),
        PlanePoint(
            name="two", psnr=24.0, perceptual=0.25, perceptual_interval=(0.2, 0.3), network=second, group="small"
        ),
        PlanePoint(name="wide", psnr=25.0, perceptual=0.4, network=other, group="small"),
        PlanePoint(name="grey", psnr=20.0, perceptual=0.75, pictures=flat, group="no network"),
    ]
    return known if extra else known[:2]


def blended_by_hand(first: nn.Module, second: nn.Module, alpha: float, lr: Tensor) -> Tensor:
    """The picture of a network whose every weight lies between those of two."""
    weights = {
        name: (1 - alpha) * one + alpha * other
        for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True)
    }
    with torch.no_grad():
        return torch.func.functional_call(first, weights, (lr,)).clamp(0, 1)


def levels(picture: Tensor) -> np.ndarray:
    """`(1, 3, H, W)` in [0, 1] as `(H, W, 3)` in 0..255, as it would be saved."""
    return np.floor(picture[0].permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
