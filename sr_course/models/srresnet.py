"""SRResNet, which is also the generator of SRGAN: Ledig et al. 2017, section 2.1 and figure 4."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from sr_course.errors import ModelError

SCALES = (2, 4, 8)


class SRResNet(nn.Module):
    """Ledig et al. 2017, fig. 4, upper half: `(N, 3, H, W)` in [0, 1] to `(N, 3, scale * H, scale * W)`.

    All the work is done on the small picture; only the last stages enlarge. The result may leave [0, 1] a little
    where `tanh` does not bound it.

    Args:
        scale: 2, 4 or 8; each doubling is one sub-pixel stage.
        blocks: residual blocks; 16 in the paper.
        channels: features in every layer; 64 in the paper.
        batch_norm: normalise as in the paper; later networks, such as ESRGAN, leave it out.
        batch_norm_eps: what batch norm adds to the variance; 1e-5 is torch's habit, 1e-3 that of Keras.
        tanh: bound the result by a tanh, which figure 4 does not show but many implementations have.
        icnr: start the sub-pixel stages without a checkerboard, see `icnr_`.

    Raises:
        ModelError: a scale other than 2, 4 or 8, or fewer than one block or channel.
    """

    def __init__(
        self,
        scale: int = 4,
        *,
        blocks: int = 16,
        channels: int = 64,
        batch_norm: bool = True,
        batch_norm_eps: float = 1e-5,
        tanh: bool = False,
        icnr: bool = False,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ModelError(f"SRResNet doubles the picture once, twice or thrice, so scale is 2, 4 or 8, not {scale}.")
        if blocks < 1 or channels < 1:
            raise ModelError(f"SRResNet needs at least one block and one channel, not {blocks} and {channels}.")
        self.scale = scale
        self.tanh = tanh
        eps = batch_norm_eps if batch_norm else None
        self.head = _named(conv=nn.Conv2d(3, channels, 9, padding=4), prelu=nn.PReLU(channels))
        self.blocks = nn.Sequential(*(ResidualBlock(channels, eps) for _ in range(blocks)))
        self.trunk = _named(conv=nn.Conv2d(channels, channels, 3, padding=1), bn=_batch_norm(channels, eps))
        self.up1 = SubPixel(channels, icnr=icnr)
        self.up2 = SubPixel(channels, icnr=icnr) if scale >= 4 else nn.Identity()
        self.up3 = SubPixel(channels, icnr=icnr) if scale >= 8 else nn.Identity()
        self.tail = _named(conv=nn.Conv2d(channels, 3, 9, padding=4))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.head(lr)  # (N, C, H, W), any sign
        deep = self.trunk(self.blocks(shallow))
        x = shallow + deep  # the long skip: the trunk need learn only what the head has not
        x = self.up3(self.up2(self.up1(x)))  # (N, C, scale * H, scale * W)
        sr: Tensor = self.tail(x)
        if self.tanh:
            sr = torch.tanh(sr)
        return (sr + 1) / 2  # from [-1, 1], the range of HR in section 3.2, to the course's [0, 1]


class ResidualBlock(nn.Module):
    """Ledig et al. 2017, fig. 4: two 3x3 convolutions around a skip; no batch norm where `batch_norm_eps` is None."""

    def __init__(self, channels: int, batch_norm_eps: float | None = 1e-5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1 = _batch_norm(channels, batch_norm_eps)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = _batch_norm(channels, batch_norm_eps)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), any sign -> the same
        detail: Tensor = self.prelu(self.bn1(self.conv1(x)))
        detail = self.bn2(self.conv2(detail))
        return x + detail


class SubPixel(nn.Module):
    """Twice the size: a convolution makes four values where there was one, the shuffle lays them out as 2x2 pixels.

    Source: Shi et al. 2016 (ESPCN), eq. 4; with the PReLU of Ledig et al. 2017, fig. 4.
    """

    def __init__(self, channels: int, *, icnr: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)
        self.prelu = nn.PReLU(channels)
        if icnr:
            icnr_(self.conv, 2)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), any sign
        four = self.conv(x)  # (N, 4C, H, W)
        sr: Tensor = self.prelu(self.shuffle(four))  # (N, C, 2H, 2W)
        return sr


def icnr_(conv: nn.Conv2d, factor: int) -> None:
    """Give the kernels that make the pixels of one square the same values, in place.

    Drawn independently, the `factor * factor` kernels of a channel answer differently to the same plain surface, and
    the shuffle shows that as a checkerboard, which training has to remove first. With equal kernels the stage starts
    as a convolution followed by nearest-neighbour enlargement.

    Args:
        conv: the convolution before a pixel shuffle; `factor * factor` of its kernels make one channel.
        factor: of the shuffle.

    Source: Aitken et al. 2017, "Checkerboard artifact free sub-pixel convolution".
    """
    with torch.no_grad():
        for parameter in (conv.weight, conv.bias):
            if parameter is not None:
                first_of_each = parameter[:: factor**2]  # the shuffle takes a channel's kernels from neighbours
                parameter.copy_(first_of_each.repeat_interleave(factor**2, dim=0))


def _batch_norm(channels: int, eps: float | None) -> nn.Module:
    return nn.Identity() if eps is None else nn.BatchNorm2d(channels, eps=eps)


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))
