"""NIQE: how far a picture is from what photographs are like, told without the truth.

In a photograph, brightness that is freed from its local mean and contrast follows nearly one distribution, whatever it
shows; blur, noise and artefacts bend it. NIQE fits distributions to such brightness in patches, takes their parameters
as features, and measures how far the features of a picture are from those of good photographs.

Which photographs those were is part of the number. The course fits its own, see `zoo/features/niqe.toml`.
"""

from __future__ import annotations

import functools
import hashlib
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from sr_course.errors import ModelError
from sr_course.images import full_range_luma, to_uint8
from sr_course.metrics import require_range
from sr_course.resample import imresize

MODEL = Path(__file__).resolve().parent / "zoo" / "features" / "niqe.safetensors"
"""The file of the course's own photographs' statistics, with its card beside it."""

PATCH = 96  # pixels; Mittal et al. 2013, sec. II.B, leave it open, their experiments take 96
SHARP = 0.75  # T: of the sharpest patch's sharpness; Mittal et al. 2013, sec. II.B
FEATURES = 36  # 18 at each of two scales

_WINDOW, _SIGMA = 7, 7 / 6  # K = L = 3, a Gaussian "sampled out to 3 standard deviations"
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # to the neighbour: across, down, and the two diagonals


@dataclass(frozen=True)
class Naturalness:
    """The features of good photographs: `mean` `(36,)` and `covariance` `(36, 36)` of their sharp patches, float64."""

    mean: Tensor
    covariance: Tensor


def niqe(picture: Tensor, natural: Naturalness | None = None) -> Tensor:
    """NIQE of each picture, without its truth: 0 would be as natural as a photograph, more is worse.

    Measured against the course's own photographs unless told, so the number does not compare with published NIQE, for
    which the authors took 125 others; nor do numbers of pictures of different sizes compare.

    Args:
        picture: `(N, 3, H, W)` RGB in [0, 1], rounded to 8 bits first; it must hold two patches of 96x96.
        natural: the statistics to measure against, as `fit` makes them.

    Returns:
        `(N,)` float64, on the CPU.

    Raises:
        ValueError: another shape, a value outside [0, 1] or not a number, or a picture that is too small or flat.
        ModelError: the statistics that ship with the course are missing or damaged.

    Source: Mittal, Soundararajan and Bovik 2013, "Making a completely blind image quality analyzer", eq. 10; features
    of their eq. 1 to 9. All patches of the picture count, the sharp ones alone when good photographs are fitted.
    """
    natural = natural or shipped()
    if picture.ndim != 4:
        raise ValueError(f"the picture is of shape {tuple(picture.shape)}; NIQE takes (N, 3, H, W).")
    return torch.stack([_distance(patch_features(one[None])[0], natural) for one in picture])


def fit(photographs: Iterable[Tensor]) -> tuple[Naturalness, int]:
    """Gather the statistics of good photographs from their sharp patches.

    Args:
        photographs: each `(1, 3, H, W)` RGB in [0, 1].

    Returns:
        The statistics, and the number of patches that they were taken from.

    Raises:
        ValueError: as in `niqe`, or too few patches to tell 36 features from each other.
    """
    chosen = []
    for photograph in photographs:
        features, sharpness = patch_features(photograph)
        chosen.append(features[sharpness > SHARP * sharpness.max()])
    patches = torch.cat(chosen) if chosen else torch.zeros(0, FEATURES)
    if len(patches) <= FEATURES:
        raise ValueError(f"{len(patches)} sharp patches do not tell {FEATURES} features apart; give more photographs.")
    return Naturalness(patches.mean(dim=0), torch.cov(patches.T)), len(patches)


@functools.cache
def shipped() -> Naturalness:
    """Return the statistics of the course's training photographs.

    Raises:
        ModelError: the file or its card is missing or damaged.
    """
    return read(MODEL)


def read(path: Path) -> Naturalness:
    """Read statistics that `tools/fit_niqe.py` has written.

    Raises:
        ModelError: the file or its card is missing or damaged.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        content = path.read_bytes()
        sha256 = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))["sha256"]
        tensors = safetensors.torch.load(content)
        natural = Naturalness(tensors["mean"], tensors["covariance"])
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path}: NIQE's statistics cannot be read ({error}). Install sr-course again.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is not the file that its card describes (SHA-256). Install sr-course again.")
    return natural


def patch_features(picture: Tensor) -> tuple[Tensor, Tensor]:
    """The 36 features of every patch of a picture `(1, 3, H, W)` in [0, 1], and how sharp the patch is.

    Patches lie side by side from the top left; what is left at the right and bottom is not used, nor are flat patches.

    Returns:
        `(patches, 36)` and `(patches,)`, float64.

    Raises:
        ValueError: as in `niqe`.
    """
    levels = _levels(picture)
    fine, contrast = mscn(levels)
    coarse, _ = mscn(imresize(levels, 1 / 2))  # their "low pass filtering and downsampling by a factor of 2"
    squares = (_patches(fine, PATCH), _patches(coarse, PATCH // 2))
    features = torch.cat([_features(one) for one in squares], dim=1)
    sharpness = _patches(contrast, PATCH).mean(dim=(1, 2))
    whole = torch.isfinite(features).all(dim=1)
    if whole.sum() < 2:
        raise ValueError("the picture is flat nearly everywhere; NIQE has nothing to look at.")
    return features[whole], sharpness[whole]


def mscn(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Free brightness from its local mean and contrast: `(N, 1, H, W)` in 0 to 255, to two of the same shape.

    Returns:
        Mean subtracted contrast normalised coefficients, most within -3 and 3; and the local contrast, 0 and up.

    Source: Mittal et al. 2013, eq. 1 to 3; the picture's edge is continued outwards.
    """
    distance = torch.arange(_WINDOW, dtype=levels.dtype, device=levels.device) - _WINDOW // 2
    window = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window = window / window.sum()

    def blurred(x: Tensor) -> Tensor:
        half = _WINDOW // 2
        x = F.pad(x, (half, half, half, half), mode="replicate")
        return F.conv2d(F.conv2d(x, window.reshape(1, 1, -1, 1)), window.reshape(1, 1, 1, -1))

    mean = blurred(levels)
    contrast = (blurred(levels.square()) - mean.square()).clamp(min=0).sqrt()
    detail = F.hardshrink(levels - mean, 1e-6)  # where a picture is flat: 0, and no error of rounding with a sign
    return detail / (contrast + 1), contrast


def fit_ggd(values: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a generalised Gaussian around 0, of density proportional to exp(-(|x| / scale)^shape), to `(..., n)` values.

    Returns:
        Shape (2 for a Gaussian, 1 for Laplace's) and scale, `(...)` each; not a number where all values are 0.

    Source: moment matching, Sharifi and Leon-Garcia 1995; the density is eq. 4 of Mittal et al. 2013.
    """
    square = values.square().mean(dim=-1)
    shape = _shape_of(values.abs().mean(dim=-1).square() / square)
    return shape, square.sqrt() * _scale_per_deviation(shape)


def fit_aggd(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalised Gaussian, whose scales left and right of 0 differ, to `(..., n)` values.

    Returns:
        Shape, left scale and right scale, `(...)` each; not a number where all values are 0.

    Source: moment matching, Lasmar, Stitou and Berthoumieu 2009; the density is eq. 8 of Mittal et al. 2013.
    """
    left, right = (
        (values.square() * side).sum(dim=-1).div(side.sum(dim=-1).clamp(min=1)).sqrt()
        for side in (values < 0, values > 0)
    )
    ratio = values.abs().mean(dim=-1).square() / values.square().mean(dim=-1)
    # theirs is written in left / right, and cannot do without values on the right
    ratio = ratio * (left**3 + right**3) * (left + right) / (left**2 + right**2).square()
    shape = _shape_of(ratio)
    per_deviation = _scale_per_deviation(shape)
    return shape, left * per_deviation, right * per_deviation


def _features(patches: Tensor) -> Tensor:
    """What distributions follow the coefficients, and the products of neighbours: `(P, h, w)` to `(P, 18)`."""
    found = list(fit_ggd(patches.flatten(1)))
    height, width = patches.shape[1:]
    for down, across in _SHIFTS:
        here = patches[:, : height - down, max(-across, 0) : width - max(across, 0)]
        neighbour = patches[:, down:, max(across, 0) : width - max(-across, 0)]
        shape, left, right = fit_aggd((here * neighbour).flatten(1))
        mean = (right - left) * torch.exp(torch.lgamma(2 / shape) - torch.lgamma(1 / shape))  # eq. 9
        found += [shape, mean, left, right]
    return torch.stack(found, dim=1)


def _distance(features: Tensor, natural: Naturalness) -> Tensor:
    apart = features.mean(dim=0) - natural.mean.to(features)
    spread = (torch.cov(features.T) + natural.covariance.to(features)) / 2
    square: Tensor = apart @ torch.linalg.solve(spread, apart)
    return square.sqrt()


def _levels(picture: Tensor) -> Tensor:
    """Grey levels `(1, 1, H', W')` in 0 to 255, cut to whole patches."""
    if picture.ndim != 4 or picture.shape[0] != 1 or picture.shape[1] != 3:
        raise ValueError(f"the picture is of shape {tuple(picture.shape)}; NIQE takes (1, 3, H, W).")
    rows, columns = (side // PATCH for side in picture.shape[-2:])
    if rows * columns < 2:
        raise ValueError(
            f"NIQE compares patches of {PATCH}x{PATCH} pixels, and {picture.shape[-1]}x{picture.shape[-2]} hold fewer "
            f"than two; use a larger picture."
        )
    require_range("the picture", picture)
    whole = to_uint8(picture).cpu().to(torch.float64)[..., : rows * PATCH, : columns * PATCH]
    return full_range_luma(whole)


def _patches(plane: Tensor, size: int) -> Tensor:
    """Cut `(1, 1, H, W)` into squares side by side, `(P, size, size)`."""
    return F.unfold(plane, size, stride=size)[0].T.reshape(-1, size, size)


@functools.cache
def _shapes() -> tuple[Tensor, Tensor]:
    """The ratio (mean |x|)^2 / mean x^2 of a generalised Gaussian, rising, and the shape that it belongs to."""
    shapes = torch.logspace(math.log10(0.1), math.log10(20), 20_000, dtype=torch.float64)
    ratios = torch.exp(2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes))
    return ratios, shapes


def _shape_of(ratio: Tensor) -> Tensor:
    ratios, shapes = (one.to(ratio) for one in _shapes())
    place = torch.searchsorted(ratios, ratio.contiguous()).clamp(1, len(ratios) - 1)
    share = ((ratio - ratios[place - 1]) / (ratios[place] - ratios[place - 1])).clamp(0, 1)
    return shapes[place - 1] + share * (shapes[place] - shapes[place - 1])


def _scale_per_deviation(shape: Tensor) -> Tensor:
    return torch.exp((torch.lgamma(1 / shape) - torch.lgamma(3 / shape)) / 2)
