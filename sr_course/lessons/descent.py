"""Ask a loss what it wants: its gradient on a picture, and a descent on the pixels alone, without any network to train.

A loss of a picture is named: one of `PIXEL_LOSSES`; a layer of VGG such as `relu2_2`, for the mean squared difference
of its features; `ssim`, for 1 - SSIM of all three channels; `perceptual_distance`, which compares the directions of
the features of five layers. In a descent also `adversarial`: a small discriminator that learns as the picture moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.features import Backbone, VGGFeatures, layer_names
from sr_course.losses import PIXEL_LOSSES, AdversarialLoss, require_pictures
from sr_course.metrics import PERCEPTUAL_LAYERS, RGB, psnr, ssim_map

ADVERSARIAL, SSIM, DISTANCE = "adversarial", "ssim", "perceptual_distance"

PATCH = 48  # pixels a side of what the discriminator looks at, less for smaller pictures
PATCHES = 8  # of the picture and of the photographs, at each step
HEAD_START = 30  # steps that the discriminator learns before the picture moves, so that it has something to say
_DISCRIMINATOR_RATE = 1e-3


class PictureLoss:
    """A weighted sum of named losses against one truth, whose features are computed once.

    Args:
        truth: `(1, 3, H, W)` in [0, 1].
        weights: what each loss is multiplied with, by name.
        backbone: as in `VGGFeatures`.
        features: the network, where it is made already and gives all layers that are needed; see `layers_of`.

    Raises:
        ValueError: there is no such loss, a weight is negative or not finite, or the truth is no picture.
        ModelError: VGG's weights are not here.
    """

    def __init__(
        self,
        truth: Tensor,
        weights: Mapping[str, float],
        *,
        backbone: Backbone = "vgg16",
        features: VGGFeatures | None = None,
    ) -> None:
        require_pictures(truth, truth)
        _require_weights(weights, backbone)
        self.truth = truth
        self.weights = dict(weights)
        layers = layers_of(weights, backbone)
        self._features = (features or VGGFeatures(layers, backbone).to(truth.device)) if layers else None
        with torch.no_grad():
            self._wanted = self._features(truth) if self._features else {}

    def terms(self, picture: Tensor, *, only: Collection[str] | None = None) -> dict[str, Tensor]:
        """Compute each loss of a picture, weight included; scalars with their gradients.

        Args:
            picture: `(1, 3, H, W)`.
            only: some of the losses, where not all are wanted; without those by VGG it is not asked.
        """
        weights = {name: weight for name, weight in self.weights.items() if only is None or name in only}
        asked = self._features is not None and bool(layers_of(weights, self._features.backbone))
        found = self._features(picture) if self._features and asked else {}
        return {name: weight * self._term(name, picture, found) for name, weight in weights.items()}

    def _term(self, name: str, picture: Tensor, found: Mapping[str, Tensor]) -> Tensor:
        if name in PIXEL_LOSSES:
            return PIXEL_LOSSES[name](picture, self.truth)
        if name == SSIM:
            likeness = ssim_map(picture, self.truth, data_range=1).mean()
            return 1 - likeness
        if name == DISTANCE:
            return torch.stack([_turned(found[one], self._wanted[one]) for one in PERCEPTUAL_LAYERS]).mean()
        difference: Tensor = found[name] - self._wanted[name]
        return difference.square().mean()


def loss_gradient(
    name: str,
    picture: Tensor,
    truth: Tensor,
    *,
    backbone: Backbone = "vgg16",
    features: VGGFeatures | None = None,
) -> Tensor:
    """Differentiate a loss by every pixel: where it is positive, the loss wants the picture darker.

    Args:
        name: of the loss, see above.
        picture, truth: `(1, 3, H, W)` in [0, 1]; `picture` may leave the range a little.
        backbone, features: as in `PictureLoss`.

    Returns:
        `(1, 3, H, W)`, any sign.

    Raises:
        ValueError: there is no such loss, or what is given are no two pictures of one size.
    """
    require_pictures(picture, truth)
    return gradient(PictureLoss(truth, {name: 1.0}, backbone=backbone, features=features), picture)


def gradient(loss: PictureLoss, picture: Tensor) -> Tensor:
    """Differentiate the sum of a loss's terms by every pixel: `(1, 3, H, W)`, any sign."""
    with torch.enable_grad():
        pixels = picture.detach().clone().requires_grad_()
        total = torch.stack(list(loss.terms(pixels).values())).sum()
        (slope,) = torch.autograd.grad(total, pixels)
    return slope


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A picture on its way.

    Attributes:
        step: how many steps were taken before.
        picture: `(1, 3, H, W)` in [0, 1].
        terms: each loss, weight included.
        psnr: dB, all channels, 8 bits.
    """

    step: int
    picture: Tensor = field(repr=False)
    terms: Mapping[str, float]
    psnr: float

    @property
    def loss(self) -> float:
        """The sum of the terms."""
        return math.fsum(self.terms.values())


@dataclass(frozen=True, kw_only=True)
class Descent:
    """What a descent came to.

    Attributes:
        moments: the steps that were kept; the first is the start, the last the end.
        weights: with which the losses were multiplied.
        stopped: it was ended before its time.
    """

    moments: tuple[Moment, ...]
    weights: Mapping[str, float]
    stopped: bool

    @property
    def picture(self) -> Tensor:
        """The last picture."""
        return self.moments[-1].picture


def descend(
    start: Tensor,
    truth: Tensor,
    weights: Mapping[str, float],
    *,
    steps: int = 60,
    step_size: float = 0.02,
    keep_every: int = 5,
    balanced: bool = False,
    photographs: Tensor | None = None,
    backbone: Backbone = "vgg16",
    features: VGGFeatures | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[Moment], None] | None = None,
) -> Descent:
    """Move the pixels of a picture, and nothing else, to where a loss is small.

    Adam takes the steps; their size falls to 0 along half a cosine, so that the pixels come to rest. After each step
    levels outside [0, 1] are cut off. Nothing is left to chance: equal calls give equal pictures on one machine.

    Args:
        start: `(1, 3, H, W)` in [0, 1], such as bicubic.
        truth: of the same size. Some losses do not look at it.
        weights: of the losses, by name; see the head of this module. What weighs 0 is left out.
        steps: how many.
        step_size: of Adam: about so far a pixel moves in each of the first steps.
        keep_every: which steps are kept as pictures, besides the first and the last.
        balanced: divide each weight by the length of its loss's gradient at the start, so that equal weights pull
            equally there, whatever units the losses are in.
        photographs: `(N, 3, H, W)` in [0, 1], what `adversarial` holds the picture against: its discriminator learns
            to tell patches of the picture from patches of these. They need not show what the picture shows.
        backbone, features: as in `PictureLoss`.
        stop: asked before each step; the descent ends where it answers True.
        progress: told of every moment, also of those that are not kept.

    Raises:
        ValueError: there is no such loss, a weight is negative, or what is given are no two pictures of one size.
    """
    require_pictures(start, truth)
    _require_weights(weights, backbone, ADVERSARIAL)
    weights = {name: weight for name, weight in weights.items() if weight > 0}
    if not weights or steps < 1 or keep_every < 1:
        raise ValueError("a descent needs a loss with a weight above 0, a step, and keep_every of 1 or more.")
    if ADVERSARIAL in weights and photographs is None:
        raise ValueError("the loss 'adversarial' needs photographs=..., (N, 3, H, W), to hold the picture against.")
    alone = {name: weight for name, weight in weights.items() if name != ADVERSARIAL}
    judged = PictureLoss(truth, alone, backbone=backbone, features=features)
    adversary = None
    if ADVERSARIAL in weights:
        assert photographs is not None
        adversary = Adversary(photographs, start.shape)
        for _ in range(HEAD_START):
            if stop and stop():
                break
            adversary.learn(start)

    def terms(picture: Tensor) -> dict[str, Tensor]:
        found = judged.terms(picture)
        if adversary:
            found[ADVERSARIAL] = weights[ADVERSARIAL] * adversary.term(picture)
        return {name: found[name] * scales[name] for name in weights}

    scales = dict.fromkeys(weights, 1.0)
    with torch.enable_grad():
        if balanced:
            scales = _balance(terms, start, weights)
        pixels = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([pixels], lr=step_size)
        kept: list[Moment] = []
        stopped = False
        for step in range(steps + 1):
            stopped = step < steps and stop is not None and stop()
            values = terms(pixels)
            last = step == steps or stopped
            moment = _moment(step, pixels, values, truth)
            if last or step % keep_every == 0:
                kept.append(moment)
            if progress:
                progress(moment)
            if last:
                break
            for group in optimizer.param_groups:
                group["lr"] = step_size * (1 + math.cos(math.pi * step / steps)) / 2
            (pixels.grad,) = torch.autograd.grad(torch.stack(list(values.values())).sum(), pixels)
            optimizer.step()
            with torch.no_grad():
                pixels.clamp_(0, 1)
            if adversary:
                adversary.learn(pixels.detach())
    used = {name: weight * scales[name] for name, weight in weights.items()}
    return Descent(moments=tuple(kept), weights=used, stopped=stopped)


class Adversary:
    """A small discriminator that learns to tell patches of one picture from patches of photographs.

    Four convolutions that see 22 pixels at a time: it judges texture, not what is shown. It begins with weights from a
    fixed seed and knows nothing of any truth.

    Args:
        photographs: `(N, 3, H, W)` in [0, 1].
        shape: of the picture that it will be asked about.

    Source: patches judged each for itself, as in PatchGAN, Isola et al. 2017, sec. 3.2.2; the losses of Goodfellow et
    al. 2014.
    """

    def __init__(self, photographs: Tensor, shape: tuple[int, ...]) -> None:
        require_pictures(photographs, photographs)
        self._photographs = photographs
        self._side = min(PATCH, *shape[-2:], *photographs.shape[-2:])
        self._draw = torch.Generator().manual_seed(0)
        self._network = _discriminator(self._draw).to(photographs.device)
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=_DISCRIMINATOR_RATE, betas=(0.5, 0.999))
        self._loss = AdversarialLoss()

    def learn(self, picture: Tensor) -> float:
        """Take one step of the discriminator; returns its loss, 2 ln 2 = 1.39 for one that guesses."""
        with torch.enable_grad():
            real = self._network(self._patches(self._photographs))
            made = self._network(self._patches(picture.detach()))
            loss = torch.stack(list(self._loss.discriminator(real, made).values())).sum()
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
        return loss.item()

    def term(self, picture: Tensor) -> Tensor:
        """What the picture wants to make small: how well it is told from photographs, everywhere."""
        return self._loss.generator(self._network(picture))

    def _patches(self, pictures: Tensor) -> Tensor:  # (PATCHES, 3, side, side)
        side = self._side
        number, _, height, width = pictures.shape
        places = zip(*(self._drawn(most) for most in (number, height - side + 1, width - side + 1)), strict=True)
        return torch.stack([pictures[one, :, top : top + side, left : left + side] for one, top, left in places])

    def _drawn(self, most: int) -> list[int]:
        drawn: list[int] = torch.randint(most, (PATCHES,), generator=self._draw).tolist()
        return drawn


def layers_of(names: Collection[str], backbone: Backbone = "vgg16") -> list[str]:
    """Which layers of VGG losses need, in the order in which they run."""
    wanted = set(names) | (set(PERCEPTUAL_LAYERS) if DISTANCE in names else set())
    return [layer for layer in layer_names(backbone) if layer in wanted]


def _require_weights(weights: Mapping[str, float], backbone: Backbone, *more: str) -> None:
    layers = [name for name in layer_names(backbone) if not name.startswith("pool")]
    for name, weight in weights.items():
        if name not in (*PIXEL_LOSSES, SSIM, DISTANCE, *layers, *more):
            raise ValueError(
                f"there is no loss {name!r} of one picture; choose from {', '.join([*PIXEL_LOSSES, SSIM, DISTANCE])}, "
                f"or a layer of {backbone} such as relu2_2."
            )
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of {name} is {weight}; give 0 or more.")


def _balance(
    loss: Callable[[Tensor], dict[str, Tensor]], start: Tensor, weights: Mapping[str, float]
) -> dict[str, float]:
    """One over the length of each loss's gradient at the start, its weight left aside."""
    pixels = start.detach().clone().requires_grad_()
    values = loss(pixels)
    lengths = {}
    for name, value in values.items():
        (slope,) = torch.autograd.grad(value, pixels, retain_graph=True)
        lengths[name] = (slope.norm() / weights[name]).item()
    # what has no slope there, such as a loss that is 0 already, keeps its own unit
    return {name: 1 / length if length > 0 else 1.0 for name, length in lengths.items()}


def _moment(step: int, pixels: Tensor, values: Mapping[str, Tensor], truth: Tensor) -> Moment:
    picture = pixels.detach().clone()
    terms = {name: value.item() for name, value in values.items()}
    decibels = psnr(picture, truth, RGB.at_scale(0)).item()
    return Moment(step=step, picture=picture, terms=terms, psnr=decibels)


def _turned(x: Tensor, y: Tensor) -> Tensor:
    """As in `perceptual_distance`: the squared distance of the directions of features, over all places."""
    return (F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)).square().sum(dim=1).mean()


def _discriminator(generator: torch.Generator) -> nn.Sequential:
    """`(N, 3, H, W)` in [0, 1] to logits `(N, 1, h, w)`, one for each patch."""
    layers: list[nn.Module] = []
    for before, after, side, stride in ((3, 32, 4, 2), (32, 64, 4, 2), (64, 64, 3, 1), (64, 1, 1, 1)):
        # made without numbers: torch's own generator is not moved on
        layer = nn.Conv2d(before, after, side, stride, padding=side // 2, device="meta").to_empty(device="cpu")
        nn.init.kaiming_normal_(layer.weight, a=0.2, generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])
