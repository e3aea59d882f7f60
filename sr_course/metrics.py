"""PSNR and SSIM, and the `Protocol` that a number was measured under.

The same two pictures give PSNRs that differ by a decibel or two, depending on the channel, the rounding and the border.
So every number of the course carries its protocol, and two numbers are compared only under the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_course.errors import CourseError
from sr_course.images import full_range_luma, luma

Channel = Literal["y", "y-full", "rgb"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Everything besides the pictures that a PSNR or SSIM depends on.

    Attributes:
        name: what tables call it.
        channel: `y` is BT.601 luma in 16..235 (MATLAB's rgb2ycbcr), `y-full` the same over 0..255 (JPEG), `rgb` all
            three channels together.
        round_rgb: round both pictures to 8 bits before anything else, as saving them to a file does.
        round_y: round the luma to 8 bits.
        border: pixels cut from every side; by habit as many as the scale, see `at_scale`.
        eight_bit_lr: the low-resolution picture is 8-bit (an official file, or made and rounded); otherwise it is made
            from the luma in floating point and never rounded.
        grey_as_rgb: a picture file with one channel is read as RGB, so its luma is squeezed into 16..235; otherwise
            its grey levels are the luma.
    """

    name: str
    channel: Channel = "y"
    round_rgb: bool = True
    round_y: bool = False
    border: int = 4
    eight_bit_lr: bool = True
    grey_as_rgb: bool = True

    def __post_init__(self) -> None:
        if self.channel not in ("y", "y-full", "rgb"):
            raise ValueError(f"channel is {self.channel!r}; choose from y, y-full, rgb.")
        if self.border < 0:
            raise ValueError(f"border is {self.border}; give a number of pixels from 0 on.")

    def at_scale(self, scale: int) -> Protocol:
        """Return the protocol with the border that the papers cut at this scale: as many pixels as the scale."""
        return replace(self, border=scale)

    def __str__(self) -> str:
        """Spell the protocol out in one line."""
        channel = {"y": "luma 16..235", "y-full": "luma 0..255", "rgb": "RGB"}[self.channel]
        rounding = [word for word, on in (("RGB", self.round_rgb), ("luma", self.round_y)) if on]
        lr = "8-bit LR" if self.eight_bit_lr else "float LR"
        return f"{self.name}: {channel}, 8-bit {' and '.join(rounding) or 'nowhere'}, border {self.border}, {lr}"


MATLAB_Y = Protocol(name="matlab-y")
"""8-bit RGB in and out, float luma, border as wide as the scale: the habit since EDSR (Lim et al. 2017, sec. 4)."""

SRCNN_DEMO = Protocol(name="srcnn-demo", round_rgb=False, round_y=True, eight_bit_lr=False, grey_as_rgb=False)
"""Luma alone from the start, float LR, luma rounded at the end: demo_SR.m of Dong et al. 2014."""

RGB = Protocol(name="rgb", channel="rgb")
"""All three channels of the 8-bit pictures, over their full range."""

PROTOCOLS = {protocol.name: protocol for protocol in (MATLAB_Y, SRCNN_DEMO, RGB)}


def named_protocol(name: str) -> Protocol:
    """Return one of `PROTOCOLS`.

    Raises:
        CourseError: there is none of that name.
    """
    if name not in PROTOCOLS:
        raise CourseError(f"there is no protocol {name!r}; choose from {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]


def psnr(sr: Tensor, hr: Tensor, protocol: Protocol = MATLAB_Y) -> Tensor:
    """Peak signal-to-noise ratio of each picture, in dB.

    Args:
        sr, hr: `(N, 3, H, W)` RGB in [0, 1]; or `(N, 1, H, W)`, taken as the luma itself.
        protocol: channel, rounding and border; two numbers compare only under one protocol.

    Returns:
        `(N,)` dB, float64 (float32 on devices without it); infinite where the pictures are equal.

    Raises:
        ValueError: shapes differ, a value lies outside [0, 1] or is not a number, or the border leaves nothing.

    Source: the definition as used since Dong et al. 2014: 10 log10(255^2 / MSE), also where luma spans 16..235.
    """
    sr, hr = _measured(sr, hr, protocol)
    return 10 * torch.log10(255**2 / (sr - hr).square().flatten(1).mean(dim=1))


def ssim(sr: Tensor, hr: Tensor, protocol: Protocol = MATLAB_Y) -> Tensor:
    """Structural similarity of each picture, 1 for equal ones.

    An 11x11 Gaussian window of sigma 1.5 is moved over the pictures where it fits wholly inside; K1 = 0.01, K2 = 0.03,
    L = 255. Of several channels the mean is taken.

    Args:
        sr, hr, protocol: as in `psnr`.

    Returns:
        `(N,)` in [-1, 1].

    Raises:
        ValueError: as in `psnr`, or a picture smaller than the window once the border is cut.

    Source: Wang et al. 2004, eq. 13, and the authors' ssim_index.m.
    """
    sr, hr = _measured(sr, hr, protocol)
    return ssim_map(sr, hr).flatten(1).mean(dim=1)


def ssim_map(x: Tensor, y: Tensor, *, data_range: float = 255) -> Tensor:
    """SSIM at every place where the window fits: `(N, C, H, W)` twice, to `(N, C, H - 10, W - 10)`.

    Raises:
        ValueError: a side is shorter than the 11 pixels of the window.
    """
    if min(x.shape[-2:]) < 11:
        raise ValueError(f"SSIM needs 11x11 pixels, and {x.shape[-1]}x{x.shape[-2]} are left; use a larger picture.")
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_x, mean_y = _gaussian_blur(x), _gaussian_blur(y)
    var_x = _gaussian_blur(x * x) - mean_x**2
    var_y = _gaussian_blur(y * y) - mean_y**2
    covariance = _gaussian_blur(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))


def _gaussian_blur(x: Tensor) -> Tensor:
    """Weight with the 11x11 Gaussian of sigma 1.5, as two passes of eleven."""
    distance = torch.arange(-5, 6, dtype=x.dtype, device=x.device)
    window = torch.exp(-(distance**2) / (2 * 1.5**2))
    window = window / window.sum()
    channels = x.shape[1]
    x = F.conv2d(x, window.reshape(1, 1, 11, 1).expand(channels, 1, 11, 1), groups=channels)
    return F.conv2d(x, window.reshape(1, 1, 1, 11).expand(channels, 1, 1, 11), groups=channels)


def _measured(sr: Tensor, hr: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """What is left of the two pictures under a protocol: `(N, 1 or 3, H', W')` in 0..255, in the best precision."""
    if sr.shape != hr.shape or sr.ndim != 4 or sr.shape[1] not in (1, 3):
        raise ValueError(
            f"sr is {tuple(sr.shape)} and hr {tuple(hr.shape)}; give two of one shape, (N, 3, H, W) or (N, 1, H, W)."
        )
    return _plane("sr", sr, protocol), _plane("hr", hr, protocol)


def _plane(name: str, picture: Tensor, protocol: Protocol) -> Tensor:
    picture = picture.to(torch.float32 if picture.device.type == "mps" else torch.float64)
    low, high = picture.amin().item(), picture.amax().item()
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # NaN fails too; the 1e-4 lets the noise of float32 pass
        raise ValueError(f"{name} runs from {low:.4g} to {high:.4g}; metrics take [0, 1]. Divide by 255, or clamp.")
    levels = picture.clamp(0, 1) * 255
    if protocol.round_rgb:
        levels = _round(levels)
    if protocol.channel != "rgb" and levels.shape[1] == 3:
        levels = (luma if protocol.channel == "y" else full_range_luma)(levels / 255) * 255
    if protocol.round_y:
        levels = _round(levels)
    if protocol.border * 2 >= min(levels.shape[-2:]):
        size = f"{levels.shape[-1]}x{levels.shape[-2]}"
        raise ValueError(f"a border of {protocol.border} leaves nothing of {size} pixels; use a larger picture.")
    inner = slice(protocol.border, -protocol.border or None)
    return levels[..., inner, inner]


def _round(levels: Tensor) -> Tensor:
    """To whole numbers, halves upwards as MATLAB's uint8() does (torch.round takes halves to the even number)."""
    return (levels + 0.5).floor()
