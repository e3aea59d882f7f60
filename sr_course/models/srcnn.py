"""SRCNN: three convolutions on the luma of a picture enlarged beforehand.

Source: Dong et al. 2014, "Learning a deep convolutional network for image super-resolution", and its longer form of
2016, "Image super-resolution using deep convolutional networks" (TPAMI 38-2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.images import centre_crop, rgb_to_ycbcr, ycbcr_to_rgb
from sr_course.resample import imresize


class SRCNN(nn.Module):
    """Enlarge by bicubic, then make the luma sharp with three convolutions.

    `(N, 3, h, w)` RGB in [0, 1] to `(N, 3, scale * h, scale * w)`, colour differences left bicubic; or `(N, 1, h, w)`,
    taken as luma, to `(N, 1, scale * h, scale * w)`. The result may leave [0, 1] a little.

    In training nothing is padded, so the result is the middle of that, smaller by the kernels' reach. In evaluation
    each convolution sees the border repeated, as the authors' code does it: with zeros there the published network
    loses 7 dB.

    Args:
        scale: the factor of the bicubic enlargement before.
        kernel_sizes: sides of the three kernels, odd; 9-1-5 in 2014, 9-5-5 the best of 2016.
        channels: feature maps after the first and the second convolution.
        sub_image: in training, cut the enlarged luma to its middle of this many pixels a side; 0 leaves it whole.
        he_init: begin with weights that keep the signal's size from layer to layer, He et al. 2015, eq. 10; otherwise
            with the paper's tiny ones, from which the picture appears late.
        begin_as_bicubic: let the first feature map of each layer hand the picture on unchanged, and shrink the other
            weights of the last layer to a tenth, so that the bicubic picture is in the first results already.

    Raises:
        ModelError: even kernels, another number of them, or a sub-image that the kernels would use up.
    """

    works_on_luma = True

    def __init__(
        self,
        scale: int = 4,
        *,
        kernel_sizes: Sequence[int] = (9, 5, 5),
        channels: Sequence[int] = (64, 32),
        sub_image: int = 0,
        he_init: bool = False,
        begin_as_bicubic: bool = False,
    ) -> None:
        super().__init__()
        if len(kernel_sizes) != 3 or any(size < 1 or size % 2 == 0 for size in kernel_sizes):
            raise ModelError(f"kernel_sizes is {tuple(kernel_sizes)}; SRCNN takes three odd numbers, such as 9, 5, 5.")
        if len(channels) != 2 or min(channels) < 1:
            raise ModelError(f"channels is {tuple(channels)}; SRCNN takes two positive numbers, such as 64, 32.")
        self.scale = scale
        self.sub_image = sub_image
        self.smallest_input = sum(kernel_sizes) - 2  # pixels a side of which training leaves a single one
        if 0 < sub_image < self.smallest_input:
            raise ModelError(f"sub_image is {sub_image}; these kernels need {self.smallest_input} pixels or more.")
        first, second, third = kernel_sizes
        wide, narrow = channels
        self.conv1 = nn.Conv2d(1, wide, first)  # patch extraction
        self.conv2 = nn.Conv2d(wide, narrow, second)  # non-linear mapping
        self.conv3 = nn.Conv2d(narrow, 1, third)  # reconstruction
        for convolution in (self.conv1, self.conv2, self.conv3):
            if he_init:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            else:
                nn.init.normal_(convolution.weight, std=0.001)  # Dong et al. 2016, sec. 3.3
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
        if begin_as_bicubic:
            self._begin_as_bicubic()

    def forward(self, lr: Tensor) -> Tensor:
        enlarged = imresize(lr, self.scale)
        if enlarged.shape[1] == 1:
            return self.sharpen(enlarged)
        enlarged = rgb_to_ycbcr(enlarged)
        luma = self.sharpen(enlarged[:, :1])
        colour = centre_crop(enlarged[:, 1:], luma.shape[-2], luma.shape[-1])
        return ycbcr_to_rgb(torch.cat([luma, colour], dim=1))

    def sharpen(self, luma: Tensor) -> Tensor:
        """The network proper: enlarged luma `(N, 1, H, W)` to sharp luma, smaller in training (see the class)."""
        if self.training and self.sub_image:
            luma = centre_crop(luma, self.sub_image, self.sub_image)
        patches = F.relu(self.conv1(self._bordered(luma, self.conv1)))  # (N, 64, H, W), 0 and up
        mapped = F.relu(self.conv2(self._bordered(patches, self.conv2)))  # (N, 32, H, W), 0 and up
        sharp: Tensor = self.conv3(self._bordered(mapped, self.conv3))
        return sharp

    @torch.no_grad()
    def _begin_as_bicubic(self) -> None:
        self.conv3.weight *= 0.1
        self.conv3.weight[0, 0] = 0
        for convolution in (self.conv1, self.conv2):
            convolution.weight[0] = 0
        for convolution in (self.conv1, self.conv2, self.conv3):
            centre = convolution.kernel_size[0] // 2
            convolution.weight[0, 0, centre, centre] = 1  # luma is never negative, so the ReLUs let it pass

    def _bordered(self, x: Tensor, convolution: nn.Conv2d) -> Tensor:
        if self.training:
            return x
        reach = convolution.kernel_size[0] // 2
        return F.pad(x, (reach, reach, reach, reach), mode="replicate")
