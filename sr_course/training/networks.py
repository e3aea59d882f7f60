"""What the networks of a recipe may differ in, as values: no network is made, and torch not loaded, until `build`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from sr_course.errors import ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class SRCNNOptions:
    """An SRCNN, see `sr_course.models.srcnn`.

    Attributes:
        kernel_sizes: sides of the three kernels.
        channels: feature maps after the first and the second convolution.
        sub_image: in training, cut the enlarged luma to its middle of this many pixels a side; 0 leaves it whole.
        he_init: begin with larger weights than the paper's.
        begin_as_bicubic: let the first weights hand the enlarged picture on.
    """

    model: ClassVar[str] = "srcnn"

    kernel_sizes: tuple[int, ...] = (9, 5, 5)
    channels: tuple[int, ...] = (64, 32)
    sub_image: int = 0
    he_init: bool = False
    begin_as_bicubic: bool = False

    def build(self, scale: int) -> nn.Module:
        """Make the network for a scale, with fresh weights from torch's random generator."""
        from sr_course.models.srcnn import SRCNN

        return SRCNN(
            scale,
            kernel_sizes=self.kernel_sizes,
            channels=self.channels,
            sub_image=self.sub_image,
            he_init=self.he_init,
            begin_as_bicubic=self.begin_as_bicubic,
        )

    def check_crop(self, hr_crop: int) -> None:
        """Refuse training crops that the network would use up.

        Raises:
            ModelError: the crop is too small.
        """
        needed = max(sum(self.kernel_sizes) - 2, self.sub_image)
        if hr_crop < needed:
            raise ModelError(f"hr_crop is {hr_crop}; this SRCNN is trained on {needed} pixels a side or more.")


@dataclass(frozen=True, kw_only=True)
class SRResNetOptions:
    """An SRResNet, which is also the generator of SRGAN, see `sr_course.models.srresnet`.

    Attributes:
        blocks: residual blocks.
        channels: features in every layer.
        batch_norm: normalise as in the paper.
        batch_norm_eps: what batch norm adds to the variance.
        tanh: bound the result by a tanh.
        icnr: start the sub-pixel stages without a checkerboard.
    """

    model: ClassVar[str] = "srresnet"

    blocks: int = 16
    channels: int = 64
    batch_norm: bool = True
    batch_norm_eps: float = 1e-5
    tanh: bool = False
    icnr: bool = False

    def build(self, scale: int) -> nn.Module:
        """Make the network for a scale, with fresh weights from torch's random generator."""
        from sr_course.models.srresnet import SRResNet

        return SRResNet(
            scale,
            blocks=self.blocks,
            channels=self.channels,
            batch_norm=self.batch_norm,
            batch_norm_eps=self.batch_norm_eps,
            tanh=self.tanh,
            icnr=self.icnr,
        )

    def check_crop(self, hr_crop: int) -> None:
        """Take any crop: every layer pads what it is given."""


NetworkOptions: TypeAlias = SRCNNOptions | SRResNetOptions
"""The options of any network that a recipe can train."""

NETWORKS: Mapping[str, type[NetworkOptions]] = {options.model: options for options in (SRCNNOptions, SRResNetOptions)}
