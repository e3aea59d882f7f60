"""What the networks of a recipe may differ in, as values: no network is made, and torch not loaded, until `build`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from sr_course.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from sr_course.losses import PerceptualLoss
    from sr_course.models.srgan import Discriminator


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
    adversarial_model: ClassVar[str] = ""  # nobody has published one

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
    adversarial_model: ClassVar[str] = "srgan"

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


@dataclass(frozen=True, kw_only=True)
class RRDBOptions:
    """An RRDBNet, which is also the generator of ESRGAN, see `sr_course.models.esrgan`.

    Attributes:
        blocks: how many of them, of whichever kind.
        channels: features between the blocks.
        growth: features that each convolution inside a dense block adds; residual blocks do not grow.
        block: `rrdb`, or `residual` for two plain convolutions around a skip.
        batch_norm: normalise inside the blocks, which the paper does not.
    """

    model: ClassVar[str] = "rrdb"
    adversarial_model: ClassVar[str] = "esrgan"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"block": ("rrdb", "residual")}

    blocks: int = 23
    channels: int = 64
    growth: int = 32
    block: Literal["rrdb", "residual"] = "rrdb"
    batch_norm: bool = False

    def __post_init__(self) -> None:
        _require_choices(self, self.choices)

    def build(self, scale: int) -> nn.Module:
        """Make the network for a scale, with fresh weights from torch's random generator."""
        from sr_course.models.esrgan import RRDBNet

        return RRDBNet(
            scale,
            blocks=self.blocks,
            channels=self.channels,
            growth=self.growth,
            block=self.block,
            batch_norm=self.batch_norm,
        )

    def check_crop(self, hr_crop: int) -> None:
        """Take any crop: every layer pads what it is given."""


NetworkOptions: TypeAlias = SRCNNOptions | SRResNetOptions | RRDBOptions
"""The options of any network that a recipe can train."""

_ALL: tuple[type[NetworkOptions], ...] = (SRCNNOptions, SRResNetOptions, RRDBOptions)

NETWORKS: Mapping[str, type[NetworkOptions]] = {
    **{options.model: options for options in _ALL},
    **{options.adversarial_model: options for options in _ALL if options.adversarial_model},
}
"""By the name of what is trained: a network has another one where an adversary takes part."""


@dataclass(frozen=True, kw_only=True)
class PerceptualOptions:
    """The network that the term `perceptual` compares features with, see `sr_course.losses.PerceptualLoss`.

    Attributes:
        backbone: `vgg16`, which ships with the course; `vgg19`, fetched from the catalog beforehand; `random`.
        layers: (name, weight) of the features that are compared.
        distance: `mse` or `l1` over channels and places; `channel_sum` as in equation 5 of Ledig et al. 2017.
        rescale: what the features are multiplied with first.
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "backbone": ("vgg16", "vgg19", "random"),
        "distance": ("mse", "l1", "channel_sum"),
    }

    backbone: Literal["vgg16", "vgg19", "random"] = "vgg16"
    layers: tuple[tuple[str, float], ...] = (("relu5_3", 1.0),)
    distance: Literal["mse", "l1", "channel_sum"] = "mse"
    rescale: float = 1 / 12.75  # Ledig et al. 2017, sec. 3.2

    def __post_init__(self) -> None:
        _require_choices(self, self.choices)
        if not self.layers or not self.rescale > 0:
            raise ModelError("the term perceptual needs a layer at least, and a rescale above 0.")

    def build(self) -> PerceptualLoss:
        """Load the network, its weights frozen.

        Raises:
            ModelError: an unknown layer, or weights that are not here.
        """
        from sr_course.features import VGGFeatures
        from sr_course.losses import PerceptualLoss

        features = VGGFeatures([name for name, _ in self.layers], self.backbone)
        return PerceptualLoss(dict(self.layers), distance=self.distance, rescale=self.rescale, features=features)


@dataclass(frozen=True, kw_only=True)
class AdversaryOptions:
    """The discriminator that the term `adversarial` comes from, see `sr_course.models.srgan.Discriminator`.

    Attributes:
        kind: the pair of losses, see `sr_course.losses.AdversarialLoss`.
        channels: features of the discriminator's first convolution.
        hidden: features of its dense layer.
        learning_rate_factor: its learning rate, in units of the generator's.
    """

    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "kind": ("vanilla", "least_squares", "hinge", "relativistic"),
    }

    kind: Literal["vanilla", "least_squares", "hinge", "relativistic"] = "vanilla"
    channels: int = 64
    hidden: int = 1024
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        _require_choices(self, self.choices)
        if not self.learning_rate_factor > 0:
            raise ModelError(f"learning_rate_factor is {self.learning_rate_factor}; give a number above 0.")

    def build(self, hr_crop: int) -> Discriminator:
        """Make the discriminator for a size of crops, with fresh weights from torch's random generator.

        Raises:
            ModelError: a crop that is no multiple of 16.
        """
        from sr_course.models.srgan import Discriminator

        return Discriminator(hr_crop, channels=self.channels, hidden=self.hidden)


def _require_choices(options: object, choices: Mapping[str, tuple[str, ...]]) -> None:
    for name, known in choices.items():
        if getattr(options, name) not in known:
            raise ModelError(f"{name} is {getattr(options, name)!r}; choose from {', '.join(known)}.")
