"""PSNR and SSIM, and the `Protocol` that a number was measured under; and distances in the eyes of a network.

The same two pictures give PSNRs that differ by a decibel or two, depending on the channel, the rounding and the border.
So every number of the course carries its protocol, and two numbers are compared only under the same one. The distances
of networks have no protocol: they look at the whole picture in RGB, as it is, unrounded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_course.errors import CourseError, ModelError
from sr_course.images import full_range_luma, luma

if TYPE_CHECKING:  # the networks, and what they are read with, are loaded when a distance is first measured
    from sr_course.features import Backbone, VGGFeatures

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


PERCEPTUAL_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
"""What `perceptual_distance` compares: the last features of each block of VGG16, as LPIPS does."""


def perceptual_distance(
    sr: Tensor, hr: Tensor, *, backbone: Backbone = "vgg16", features: VGGFeatures | None = None
) -> Tensor:
    """How far each picture is from the truth in the eyes of VGG: 0 for equal ones, 2 at most.

    At every place of a layer stands a vector of features. It is brought to length 1, so that its direction alone
    counts; the squared distance of the two pictures' vectors is averaged over the places, then over five layers.

    This is not LPIPS (Zhang et al. 2018), though built in the same way: LPIPS weighs every feature by numbers that were
    fitted to the verdicts of people, and this weighs them all alike. Its figures compare only with each other.

    Args:
        sr, hr: `(N, 3, H, W)` RGB in [0, 1], sides of at least 16 pixels.
        backbone: as in `VGGFeatures`; `random` is the control that tells what training adds.
        features: the network, where it is made already; `backbone` is not used then, and its layers are compared.

    Returns:
        `(N,)`, with a gradient where the pictures have one.

    Raises:
        ValueError: shapes differ, there are not three channels, a picture is too small, or a value lies outside [0, 1]
            or is not a number.
        ModelError: the weights are not here.
    """
    return _over_layers(_turned, sr, hr, backbone, features)


def texture_distance(
    sr: Tensor, hr: Tensor, *, backbone: Backbone = "vgg16", features: VGGFeatures | None = None
) -> Tensor:
    """How differently strong VGG's features are in each picture and its truth, wherever they lie: 0 to 1.

    Each feature is averaged over the whole picture. Two means a and b are alike by 2ab / (a^2 + b^2), which is 1 for
    equal ones and 0 where one is 0. One minus that is averaged over the features of a layer, then over five layers.

    So fur costs nothing where there is as much fur, whichever way each hair lies; nor does a head in the wrong place.
    `structure_distance` is the other half, which asks for the place.

    This is not DISTS, though its two halves: DISTS has weights that were fitted to the verdicts of people, takes the
    picture itself as one more layer, and pools otherwise than VGG.

    Args:
        sr, hr, backbone, features: as in `perceptual_distance`.

    Returns:
        `(N,)`, with a gradient where the pictures have one.

    Raises:
        ValueError, ModelError: as in `perceptual_distance`.

    Source: Ding et al. 2020, "Image quality assessment: unifying structure and texture similarity", their l(x, y).
    """
    return _over_layers(_otherwise_strong, sr, hr, backbone, features)


def structure_distance(
    sr: Tensor, hr: Tensor, *, backbone: Backbone = "vgg16", features: VGGFeatures | None = None
) -> Tensor:
    """How little VGG's features rise and fall together in each picture and its truth: 0 for equal ones, 2 at most.

    Each feature is compared by 2 cov / (var + var) over the places of the picture, which is 1 where they rise and fall
    alike and about 0 where they have nothing to do with each other. One minus that is averaged over the features of a
    layer, then over five layers. Detail in the wrong place costs more than none: the other half, `texture_distance`,
    does not ask for the place.

    Args:
        sr, hr, backbone, features: as in `perceptual_distance`.

    Returns:
        `(N,)`, with a gradient where the pictures have one.

    Raises:
        ValueError, ModelError: as in `perceptual_distance`.

    Source: Ding et al. 2020, as in `texture_distance`, their s(x, y).
    """
    return _over_layers(_otherwise_placed, sr, hr, backbone, features)


Judge = Literal["alex", "vgg", "squeeze"]
JUDGES: tuple[str, ...] = get_args(Judge)
_TORCHVISION_NAMES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}


def lpips(sr: Tensor, hr: Tensor, *, net: Judge = "alex") -> Tensor:
    """LPIPS of each picture: the distance that was fitted to the verdicts of people; 0 for equal pictures.

    It is torchmetrics' and needs two things that do not come with the course: `pip install sr-course[lpips]`, and the
    weights of torchvision's network, which are used where torchvision keeps its downloads and never fetched from here.

    Args:
        sr, hr: `(N, 3, H, W)` RGB in [0, 1].
        net: the network that looks; papers on super-resolution mostly mean `alex`.

    Returns:
        `(N,)`.

    Raises:
        ValueError: as in `perceptual_distance`, or there is no such network.
        ModelError: torchmetrics or the network's weights are not here.

    Source: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric".
    """
    if net not in JUDGES:
        raise ValueError(f"there is no network {net!r} for LPIPS; choose from {', '.join(JUDGES)}.")
    _require_rgb(sr, hr)
    judge = _lpips_judge(net, str(sr.device))
    with torch.no_grad():
        sr, hr = sr.float().clamp(0, 1), hr.float().clamp(0, 1)
        each = [judge(sr[i : i + 1], hr[i : i + 1]) for i in range(len(sr))]
    judge.reset()  # it keeps a sum of all that it has seen
    return torch.stack(each)


def interval(values: Tensor, *, confidence: float = 0.95) -> tuple[float, float]:
    """Between which bounds the mean over all pictures of this kind lies, as far as these few can tell.

    To compare two methods, give the differences of their figures picture by picture: where the interval leaves out 0,
    the difference is more than a matter of which pictures were at hand. It cannot tell of pictures of another kind.

    Args:
        values: `(N,)`, one figure for each picture; five pictures at least.
        confidence: how often such an interval holds the mean.

    Returns:
        The lower and the upper bound; the same ones each time, for the draws are.

    Raises:
        ValueError: another shape, fewer than five pictures, or values that are not finite.

    Source: the bootstrap-t of Efron 1982, "The jackknife, the bootstrap and other resampling plans": with a dozen
    pictures it is honest where plain percentiles are too narrow, and it asks for no normal distribution.
    """
    if values.ndim != 1 or len(values) < 5 or not torch.isfinite(values).all():
        raise ValueError(f"{values} are not the finite figures of five pictures or more, (N,).")
    values = values.detach().cpu().double()
    count, mean = len(values), values.mean()
    error = values.std() / count**0.5
    if error == 0:
        return mean.item(), mean.item()
    picks = torch.randint(count, (10_000, count), generator=torch.Generator().manual_seed(0))
    drawn = values[picks]
    errors = drawn.std(dim=1) / count**0.5
    some = errors > 1e-9 * error  # a draw that has picked one picture alone tells nothing of the spread
    studentised = (drawn.mean(dim=1) - mean)[some] / errors[some]
    tail = (1 - confidence) / 2
    low, high = studentised.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return (mean - high * error).item(), (mean - low * error).item()


@functools.cache
def _vgg(backbone: Backbone, device: str) -> VGGFeatures:
    from sr_course.features import VGGFeatures

    with torch.inference_mode(False):  # weights made in that mode could never serve where gradients are wanted
        return VGGFeatures(PERCEPTUAL_LAYERS, backbone).to(device)


@functools.cache
def _lpips_judge(net: Judge, device: str) -> Any:
    try:
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    except ImportError as error:
        raise ModelError(
            f"LPIPS needs torchmetrics ({error}). Install it with `pip install sr-course[lpips]`, or take "
            "perceptual_distance, which needs nothing more."
        ) from None
    from torchvision.models import get_model_weights

    address = get_model_weights(_TORCHVISION_NAMES[net]).DEFAULT.url
    weights = Path(torch.hub.get_dir()) / "checkpoints" / Path(address).name
    if not weights.is_file():
        raise ModelError(
            f"{weights}: the weights of {_TORCHVISION_NAMES[net]}, through which LPIPS looks, are missing. Download "
            f"{address} into that folder, or take perceptual_distance, which needs nothing more."
        )
    with torch.inference_mode(False):
        return LearnedPerceptualImagePatchSimilarity(net_type=net, normalize=True).to(device)


def _over_layers(
    apart: Callable[[Tensor, Tensor], Tensor], sr: Tensor, hr: Tensor, backbone: Backbone, features: VGGFeatures | None
) -> Tensor:
    """The mean of a distance of features, `(N, C, h, w)` twice to `(N,)`, over the layers of a network."""
    _require_rgb(sr, hr)
    network = features or _vgg(backbone, str(sr.device))
    found, wanted = network(sr), network(hr)
    return torch.stack([apart(found[name], wanted[name]) for name in network.layers]).mean(dim=0)


def _turned(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance of the directions of two fields of vectors `(N, C, h, w)`, averaged over the places: `(N,)`."""
    x, y = (one / (torch.linalg.vector_norm(one, dim=1, keepdim=True) + 1e-10) for one in (x, y))
    return (x - y).square().sum(dim=1).mean(dim=(1, 2))


_ALIKE = 1e-6  # features that are 0 in both pictures are alike; Ding et al. 2020 take the same constant


def _otherwise_strong(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.mean(dim=(2, 3)), y.mean(dim=(2, 3))
    alike = (2 * x * y + _ALIKE) / (x.square() + y.square() + _ALIKE)
    return 1 - alike.mean(dim=1)


def _otherwise_placed(x: Tensor, y: Tensor) -> Tensor:
    x, y = (one - one.mean(dim=(2, 3), keepdim=True) for one in (x, y))
    together, each = (one.mean(dim=(2, 3)) for one in (2 * x * y, x.square() + y.square()))
    return 1 - ((together + _ALIKE) / (each + _ALIKE)).mean(dim=1)


def _require_rgb(sr: Tensor, hr: Tensor) -> None:
    if sr.shape != hr.shape or sr.ndim != 4 or sr.shape[1] != 3:
        raise ValueError(
            f"sr is {tuple(sr.shape)} and hr {tuple(hr.shape)}; give two of one shape, (N, 3, H, W). For grey pictures "
            "repeat the channel: picture.expand(-1, 3, -1, -1)."
        )
    for name, picture in {"sr": sr, "hr": hr}.items():
        require_range(name, picture)


def require_range(name: str, picture: Tensor) -> None:
    """Refuse pictures of 0 to 255, of [-1, 1] and what is not a number, which would be measured without a word.

    Raises:
        ValueError: a value lies outside [0, 1] or is not a number.
    """
    low, high = picture.amin().item(), picture.amax().item()
    if not (low >= -1e-4 and high <= 1 + 1e-4):  # NaN fails too; the 1e-4 lets the noise of float32 pass
        raise ValueError(f"{name} runs from {low:.4g} to {high:.4g}; metrics take [0, 1]. Divide by 255, or clamp.")


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
    require_range(name, picture)
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
