"""The discriminator of SRGAN: Ledig et al. 2017, section 2.1 and figure 4. The generator is `SRResNet`."""

from __future__ import annotations

from torch import Tensor, nn

from sr_course.errors import ModelError

_LAYERS = ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2))  # features in units of 64, stride
_SHRINKS = 16  # four strides of 2
_SLOPE = 0.2  # of LeakyReLU below zero


class Discriminator(nn.Module):
    """Ledig et al. 2017, fig. 4, lower half: is this crop a photograph, or made? `(N, 3, crop, crop)` to `(N, 1)`.

    The crop is in [0, 1]. The answer is a logit, any sign, positive for "photograph": the sigmoid of the figure stands
    in the loss, where it can be computed without losing small numbers.

    Args:
        crop: side of the square HR crops, a multiple of 16; 96 in the paper.
        channels: features of the first convolution, 64 in the paper; the last one has eight times as many.
        hidden: features of the dense layer before the answer; 1024 in the paper.

    Raises:
        ModelError: a crop that cannot be halved four times, or fewer than one feature.
    """

    def __init__(self, crop: int = 96, *, channels: int = 64, hidden: int = 1024) -> None:
        super().__init__()
        if crop < _SHRINKS or crop % _SHRINKS:
            raise ModelError(f"the discriminator halves its crop four times, and {crop} is no multiple of {_SHRINKS}.")
        if channels < 1 or hidden < 1:
            raise ModelError(f"the discriminator needs at least one feature a layer, not {channels} and {hidden}.")
        self.crop = crop
        self.layers = nn.Sequential()
        before = 3
        for number, (width, stride) in enumerate(_LAYERS, start=1):
            after = width * channels
            self.layers.append(ConvLayer(before, after, stride, batch_norm=number > 1))
            before = after
        self.flatten = nn.Flatten()
        self.dense1 = nn.Linear(before * (crop // _SHRINKS) ** 2, hidden)
        self.leaky = nn.LeakyReLU(_SLOPE)
        self.dense2 = nn.Linear(hidden, 1)

    def forward(self, picture: Tensor) -> Tensor:
        if picture.shape[1:] != (3, self.crop, self.crop):
            raise ModelError(
                f"the discriminator was made for crops of shape (3, {self.crop}, {self.crop}) and was given "
                f"{tuple(picture.shape[1:])}; cut them to that size, or make it with another `crop`."
            )
        x = 2 * picture - 1  # (N, 3, crop, crop) in [-1, 1], the range of HR in section 3.2
        x = self.layers(x)  # (N, 8 * channels, crop / 16, crop / 16), any sign
        x = self.leaky(self.dense1(self.flatten(x)))
        logit: Tensor = self.dense2(x)
        return logit


class ConvLayer(nn.Module):
    """A 3x3 convolution, batch norm but in the first layer, LeakyReLU; stride 2 halves the sides.

    The first layer goes without batch norm, so that it sees the brightness and contrast that are to be judged.
    """

    def __init__(self, before: int, after: int, stride: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        self.bn = nn.BatchNorm2d(after) if batch_norm else nn.Identity()
        self.leaky = nn.LeakyReLU(_SLOPE)

    def forward(self, x: Tensor) -> Tensor:  # (N, before, H, W) -> (N, after, H / stride, W / stride), any sign
        y: Tensor = self.leaky(self.bn(self.conv(x)))
        return y
