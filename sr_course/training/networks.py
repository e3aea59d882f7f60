"""What the networks of a recipe may differ in, as values: no network is made, and torch not loaded, until `build`."""

from __future__ import annotations

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


NetworkOptions: TypeAlias = SRCNNOptions
"""The options of any network that a recipe can train."""

NETWORKS: dict[str, type[NetworkOptions]] = {SRCNNOptions.model: SRCNNOptions}
