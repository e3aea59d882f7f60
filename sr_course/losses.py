"""What a network is trained to make small: distances in pixels and in features, and the word of an adversary.

Each is a term with a name and a weight; what is minimised is their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.features import Backbone, VGGFeatures

PixelLoss = Callable[[Tensor, Tensor], Tensor]

PERCEPTUAL, ADVERSARIAL = "perceptual", "adversarial"
"""The names of the terms that need a network of their own."""


@dataclass(frozen=True)
class Term:
    """One part of a loss: its name, in `PIXEL_LOSSES` or one of the two above, and what it is multiplied with."""

    name: str
    weight: float = 1.0


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared error over pictures, channels and pixels."""
    return (sr - hr).square().mean()


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute error over pictures, channels and pixels."""
    return (sr - hr).abs().mean()


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): the absolute error, but smooth at zero.

    Source: Lai et al. 2017 (LapSRN), sec. 3.3, with their eps of 1e-3.
    """
    return ((sr - hr).square() + 1e-3**2).sqrt().mean()


def caffe_euclidean(sr: Tensor, hr: Tensor) -> Tensor:
    """Sum of squared errors over channels and pixels, halved, averaged over the pictures: sum / 2N.

    A crop of 21x21 pixels makes it 220 times the mean squared error, so SRCNN's learning rates are right for this loss
    and far too small for the other.

    Source: Caffe's EuclideanLoss layer, with which Dong et al. 2014 trained.
    """
    return (sr - hr).square().sum() / (2 * sr.shape[0])


def total_variation(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down and across, added: how restless `sr` is; `hr` is not used.

    Source: the anisotropic form of Rudin, Osher and Fatemi 1992; as a term of a perceptual loss, Johnson et al. 2016.
    """
    return (sr[..., 1:, :] - sr[..., :-1, :]).abs().mean() + (sr[..., 1:] - sr[..., :-1]).abs().mean()


def frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute difference of the Fourier coefficients, real and imaginary parts taken together as a length.

    Scaled so that white noise of standard deviation s costs about s, as many as the pixels may be.

    Source: Fuoli et al. 2021, "Fourier space losses for efficient perceptual image super-resolution", compare amplitude
    and phase apart; this compares the coefficients themselves.
    """
    # the length of a complex number has no slope at 0, where `sr` equals `hr`: a little is added under the root
    difference = torch.fft.rfft2(sr - hr, norm="ortho")
    lengths: Tensor = (difference.real.square() + difference.imag.square() + 1e-12).sqrt()
    return lengths.mean()


PIXEL_LOSSES: Mapping[str, PixelLoss] = {
    "mse": mse,
    "l1": l1,
    "charbonnier": charbonnier,
    "caffe_euclidean": caffe_euclidean,
    "total_variation": total_variation,
    "frequency": frequency,
}

TERMS = (*PIXEL_LOSSES, PERCEPTUAL, ADVERSARIAL)


def pixel_terms(losses: Sequence[Term], sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
    """Compute each pixel term, weight included, so that their sum is what is minimised.

    Args:
        losses: which terms; those not in `PIXEL_LOSSES` are left out.
        sr, hr: `(N, C, H, W)` in [0, 1]; `sr` may leave the range.

    Returns:
        A scalar by each term's name, with its gradient.
    """
    return {term.name: term.weight * PIXEL_LOSSES[term.name](sr, hr) for term in losses if term.name in PIXEL_LOSSES}


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Add the terms up to one scalar."""
    return torch.stack(list(terms.values())).sum()


Distance = Literal["mse", "l1", "channel_sum"]
DISTANCES: tuple[str, ...] = get_args(Distance)

VGG_RESCALE = 1 / 12.75
"""What Ledig et al. 2017, sec. 3.2, multiply VGG's features with."""


class PerceptualLoss(nn.Module):
    """How far two pictures are apart in the eyes of VGG: `sr, hr`, both `(N, 3, H, W)` RGB in [0, 1], to a scalar.

    Args:
        layers: features to compare, each with its weight, such as `{"relu5_3": 1}`; see `VGGFeatures`.
        backbone: as in `VGGFeatures`.
        distance: `mse`, the mean of the squared differences over channels and places; `l1`, the mean of the absolute
            ones; `channel_sum`, squared differences summed over channels, averaged over places: equation 5 of the
            paper as it is written.
        rescale: the features are multiplied with this first; 1 / 12.75 in the paper.
        features: the network, where it is made already; `backbone` is not used then.

    What Ledig et al. 2017 leave open, and what it is worth:
        Equation 5 divides by the width and height of the feature map, not by its channels. Most code takes the mean
        over all three: for the 512 channels of block 5 that is 512 times less, against the same adversarial weight.
        Equation 6 sums the adversarial term over the pictures, equation 5 is of one picture: we take means of both.
        1 / 12.75 is to bring the loss to the size of the squared error, but features are as large as their
        normalisation makes them: the authors' VGG on 0 to 255 and torchvision's on unit variance differ.

    Source: Johnson et al. 2016, eq. 2; Ledig et al. 2017, eq. 5 and sec. 3.2; features before the activation, and `l1`:
    Wang et al. 2018 (ESRGAN), sec. 3.3.
    """

    def __init__(
        self,
        layers: Mapping[str, float],
        *,
        backbone: Backbone = "vgg16",
        distance: Distance = "mse",
        rescale: float = 1.0,
        features: VGGFeatures | None = None,
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f"there is no distance {distance!r}; choose from {', '.join(DISTANCES)}.")
        self.layers = dict(layers)
        self.distance = distance
        self.rescale = rescale
        self.features = features or VGGFeatures(list(layers), backbone)
        missing = [name for name in layers if name not in self.features.layers]
        if missing:
            raise ValueError(f"the network gives no {missing[0]}; make it with VGGFeatures({list(layers)}).")

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Compare pictures that are checked first, which makes the host wait for the device.

        Raises:
            ValueError: the sizes differ, there are not three channels, a value is not finite, or the range is not that
                of the course: 0 to 255 and -1 to 1 would give a number too, and a wrong one.
        """
        require_pictures(sr, hr)
        return self.unchecked(sr, hr)

    def unchecked(self, sr: Tensor, hr: Tensor) -> Tensor:
        """The same for pictures that are known to be right, as in training."""
        with torch.no_grad():
            wanted = self.features(hr)
        found = self.features(sr)
        return torch.stack(
            [weight * self._apart(found[name], wanted[name]) for name, weight in self.layers.items()]
        ).sum()

    def _apart(self, found: Tensor, wanted: Tensor) -> Tensor:  # (N, C, h, w) each
        wide = torch.promote_types(found.dtype, torch.float32)  # squares of half precision would overflow
        difference = self.rescale * (found.to(wide) - wanted.to(wide))
        if self.distance == "l1":
            return difference.abs().mean()
        if self.distance == "channel_sum":
            return difference.square().sum(dim=1).mean()
        return difference.square().mean()


def require_pictures(sr: Tensor, hr: Tensor) -> None:
    """Refuse what a perceptual loss would take without a word and answer wrongly.

    Args:
        sr: a result, which may leave [0, 1] by half its width: an untrained network does.
        hr: the truth.

    Raises:
        ValueError: as in `PerceptualLoss.forward`.
    """
    for name, picture in {"sr": sr, "hr": hr}.items():
        if picture.ndim != 4 or picture.shape[1] != 3:
            raise ValueError(
                f"{name} is of shape {tuple(picture.shape)}; VGG looks at RGB, (N, 3, H, W). For a grey picture "
                "repeat the channel: picture.expand(-1, 3, -1, -1)."
            )
        if not torch.isfinite(picture).all():
            raise ValueError(f"{name} holds values that are not finite numbers; look at what made it.")
    if sr.shape != hr.shape:
        raise ValueError(f"sr is {tuple(sr.shape)} and hr {tuple(hr.shape)}; cut both to the same size.")
    for name, picture, slack in (("sr", sr, 0.5), ("hr", hr, 1e-4)):  # the 1e-4 lets the noise of float32 pass
        low, high = picture.min().item(), picture.max().item()
        if low < -slack or high > 1 + slack:
            raise ValueError(
                f"{name} runs from {low:.3g} to {high:.3g}; pictures are in [0, 1] here. Divide levels of 0 to 255 by "
                "255; bring [-1, 1] there by (x + 1) / 2."
            )


AdversarialKind = Literal["vanilla", "least_squares", "hinge", "relativistic"]
ADVERSARIAL_KINDS: tuple[str, ...] = get_args(AdversarialKind)


@dataclass(frozen=True)
class AdversarialLoss:
    """What discriminator and generator minimise against each other, from the discriminator's logits `(N, 1)`.

    Attributes:
        kind: `vanilla`: Goodfellow et al. 2014, eq. 1, the generator with the loss that does not saturate (their sec.
            3), as in Ledig et al. 2017, eq. 6. `least_squares`: Mao et al. 2017, eq. 9, targets 0, 1 and 1. `hinge`:
            Lim and Ye 2017, eq. 4 to 6. `relativistic`: the average form of Jolicoeur-Martineau 2018 as Wang et al.
            2018 (ESRGAN), eq. 1 and 2, write it; their code takes half of each sum.
    """

    kind: AdversarialKind = "vanilla"

    def __post_init__(self) -> None:
        if self.kind not in ADVERSARIAL_KINDS:
            raise ValueError(f"there is no adversarial loss {self.kind!r}; choose from {', '.join(ADVERSARIAL_KINDS)}.")

    @property
    def generator_sees_real(self) -> bool:
        """Whether the generator's loss needs the logits of real pictures too."""
        return self.kind == "relativistic"

    def discriminator(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's two terms, on photographs and on made pictures; their sum is minimised."""
        match self.kind:
            case "least_squares":
                return {"real": (real - 1).square().mean() / 2, "fake": fake.square().mean() / 2}
            case "hinge":
                return {"real": F.relu(1 - real).mean(), "fake": F.relu(1 + fake).mean()}
            case "relativistic":
                return {"real": _is_real(real - fake.mean()), "fake": _is_made(fake - real.mean())}
        return {"real": _is_real(real), "fake": _is_made(fake)}

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's term; `real` is needed where `generator_sees_real`."""
        match self.kind:
            case "least_squares":
                return (fake - 1).square().mean() / 2
            case "hinge":
                return -fake.mean()
            case "relativistic":
                assert real is not None, "the relativistic loss compares with the logits of real pictures"
                return _is_made(real - fake.mean()) + _is_real(fake - real.mean())
        return _is_real(fake)


def _is_real(logits: Tensor) -> Tensor:
    return F.softplus(-logits).mean()  # -log sigmoid(logit), without the sigmoid that would round to 0


def _is_made(logits: Tensor) -> Tensor:
    return F.softplus(logits).mean()  # -log (1 - sigmoid(logit))
