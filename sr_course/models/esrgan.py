"""RRDBNet, the generator of ESRGAN and of Real-ESRGAN: Wang et al. 2018, section 3.1, figures 3 and 4."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sr_course.errors import ModelError

SCALES = (2, 4)
Block = Literal["rrdb", "residual"]
BLOCKS: tuple[str, ...] = get_args(Block)
_BETA = 0.2  # residual scaling: Wang et al. 2018, fig. 4; the number is in the supplement, on very deep networks
_BEGIN_SMALL = 0.1  # of the usual first weights: the same place
_SLOPE = 0.2  # of LeakyReLU below zero: the authors' code, the paper does not say


class RRDBNet(nn.Module):
    """Wang et al. 2018, figs. 3 and 4: `(N, 3, H, W)` in [0, 1] to `(N, 3, scale * H, scale * W)`.

    It is laid out as SRResNet, without batch norm and with residual-in-residual dense blocks (RRDB). Nothing bounds
    the result, which may leave [0, 1] a little.

    The weights bear the names of the authors' present code, so that published files open here and these elsewhere;
    for older names see `from_older_names`. Real-ESRGAN's published network for x2 has another form: it folds the
    picture into 12 channels first.

    Two switches turn what the paper changed in the blocks of SRResNet back, each alone, to see what it is worth. The
    defaults are the paper's network.

    Args:
        scale: 2 or 4; each doubling repeats every pixel and convolves.
        blocks: how many of them; 23 in the paper. Nothing is matched by itself: an RRDB has 15 convolutions, a
            residual block two.
        channels: features between the blocks; 64 in the paper.
        growth: features that each convolution inside a dense block adds; 32 in the paper. Of `rrdb` alone: residual
            blocks do not grow.
        block: `rrdb`, or `residual` for two plain convolutions around a skip.
        batch_norm: normalise after every convolution inside the blocks, before the activation, as SRResNet does.

    Raises:
        ModelError: a scale other than 2 or 4, fewer than one block, channel or feature of growth, or no such block.
    """

    def __init__(
        self,
        scale: int = 4,
        *,
        blocks: int = 23,
        channels: int = 64,
        growth: int = 32,
        block: Block = "rrdb",
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if scale not in SCALES:
            raise ModelError(f"RRDBNet doubles the picture once or twice, so scale is 2 or 4, not {scale}.")
        if min(blocks, channels, growth) < 1:
            raise ModelError(
                "RRDBNet needs at least one block, one channel and a growth of one, "
                f"not {blocks}, {channels} and {growth}."
            )
        if block not in BLOCKS:
            raise ModelError(f"RRDBNet has no block {block!r}; choose from {', '.join(BLOCKS)}.")
        self.scale = scale
        self.conv_first = _conv(3, channels)
        self.body = nn.Sequential(
            *(
                RRDB(channels, growth, batch_norm=batch_norm)
                if block == "rrdb"
                else ResidualBlock(channels, batch_norm=batch_norm)
                for _ in range(blocks)
            )
        )
        self.conv_body = _conv(channels, channels)
        self.nearest = nn.Upsample(scale_factor=2, mode="nearest")
        self.conv_up1 = _conv(channels, channels)
        self.conv_up2 = _conv(channels, channels) if scale == 4 else None
        self.conv_hr = _conv(channels, channels)
        self.conv_last = _conv(channels, 3)
        self.lrelu = nn.LeakyReLU(_SLOPE)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.conv_first(lr)  # (N, C, H, W), any sign
        deep = self.conv_body(self.body(shallow))
        x = shallow + deep  # the long skip, as in SRResNet
        x = self.lrelu(self.conv_up1(self.nearest(x)))  # (N, C, 2H, 2W)
        if self.conv_up2 is not None:
            x = self.lrelu(self.conv_up2(self.nearest(x)))  # (N, C, 4H, 4W)
        sr: Tensor = self.conv_last(self.lrelu(self.conv_hr(x)))
        return sr


class RRDB(nn.Module):
    """Wang et al. 2018, fig. 4, right: three dense blocks in a row, around them a skip of their own."""

    def __init__(self, channels: int, growth: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(channels, growth, batch_norm=batch_norm)
        self.rdb2 = DenseBlock(channels, growth, batch_norm=batch_norm)
        self.rdb3 = DenseBlock(channels, growth, batch_norm=batch_norm)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), any sign -> the same
        deep: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + _BETA * deep  # x is in `deep` too, by the skips inside: a new RRDB answers about 1.2 x


class DenseBlock(nn.Module):
    """Wang et al. 2018, fig. 4: five 3x3 convolutions, each given all that came before it in the block, and a skip.

    The convolutions begin small, so that a new block is nearly the identity: a tenth of He's weights ("MSRA"), biases
    of zero. The paper's supplement shrinks every convolution of the network in this way; here those outside of the
    blocks keep torch's usual beginning, as in the authors' later code: four small convolutions in a row with no skip
    around them, as at the end of the network, hand almost nothing on. Batch norm, where it is switched on, undoes the
    small beginning: it brings what each convolution gives to a variance of one.
    """

    def __init__(self, channels: int, growth: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = _conv(channels, growth)
        self.conv2 = _conv(channels + growth, growth)
        self.conv3 = _conv(channels + 2 * growth, growth)
        self.conv4 = _conv(channels + 3 * growth, growth)
        self.conv5 = _conv(channels + 4 * growth, channels)
        self.lrelu = nn.LeakyReLU(_SLOPE)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            begin_small_(conv)
        self.bn1 = _norm(growth, batch_norm)
        self.bn2 = _norm(growth, batch_norm)
        self.bn3 = _norm(growth, batch_norm)
        self.bn4 = _norm(growth, batch_norm)
        self.bn5 = _norm(channels, batch_norm)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), any sign -> the same
        x1 = self.lrelu(self.bn1(self.conv1(x)))  # (N, growth, H, W), and so are x2, x3 and x4
        x2 = self.lrelu(self.bn2(self.conv2(torch.cat([x, x1], dim=1))))
        x3 = self.lrelu(self.bn3(self.conv3(torch.cat([x, x1, x2], dim=1))))
        x4 = self.lrelu(self.bn4(self.conv4(torch.cat([x, x1, x2, x3], dim=1))))
        detail: Tensor = self.bn5(self.conv5(torch.cat([x, x1, x2, x3, x4], dim=1)))  # (N, C, H, W); no activation
        return x + _BETA * detail


class ResidualBlock(nn.Module):
    """What an RRDB takes the place of: two convolutions around a skip, neither dense nor scaled.

    As in Ledig et al. 2017, fig. 4, with the activation of this network; without batch norm as in Lim et al. 2017
    (EDSR), fig. 2, c.
    """

    def __init__(self, channels: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels)
        self.conv2 = _conv(channels, channels)
        self.lrelu = nn.LeakyReLU(_SLOPE)
        self.bn1 = _norm(channels, batch_norm)
        self.bn2 = _norm(channels, batch_norm)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, H, W), any sign -> the same
        detail: Tensor = self.lrelu(self.bn1(self.conv1(x)))
        detail = self.bn2(self.conv2(detail))
        return x + detail


def begin_small_(conv: nn.Conv2d) -> None:
    """Draw the weights of a convolution from a tenth of He's distribution, and set its biases to zero, in place.

    Source: He et al. 2015, eq. 10, for the standard deviation `sqrt(2 / inputs)`; Wang et al. 2018, supplement, for
    the tenth.
    """
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    with torch.no_grad():
        conv.weight.mul_(_BEGIN_SMALL)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def from_older_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights the names of `RRDBNet` that were published under one of the two older sets of names.

    Args:
        state: the weights of an RRDBNet by name: `model.0.weight` and so on, `RRDB_trunk.0.RDB1.conv1.weight` and so
            on, or the names of today, which stay.
    """
    numbers = sorted({int(found[1]) for name in state if (found := re.fullmatch(r"model\.(\d+)\.\w+", name))})
    doublings = [f"conv_up{count}" for count in range(1, len(numbers) - 2)]  # between the first and the last two
    numbered = dict(zip(numbers, ["conv_first", *doublings, "conv_hr", "conv_last"], strict=False))

    def today(name: str) -> str:
        if found := re.fullmatch(r"model\.(\d+)\.(\w+)", name):
            return f"{numbered[int(found[1])]}.{found[2]}"
        if found := re.fullmatch(r"(?:model\.1\.sub|RRDB_trunk)\.(\d+)\.RDB(\d)\.conv(\d)(?:\.0)?\.(\w+)", name):
            return f"body.{found[1]}.rdb{found[2]}.conv{found[3]}.{found[4]}"
        name = re.sub(r"^(?:model\.1\.sub\.\d+|trunk_conv)\.", "conv_body.", name)
        name = re.sub(r"^upconv(\d)\.", r"conv_up\1.", name)
        return re.sub(r"^HRconv\.", "conv_hr.", name)

    return {today(name): tensor for name, tensor in state.items()}


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


def _norm(channels: int, batch_norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if batch_norm else nn.Identity()  # which has no weights, and so no names
