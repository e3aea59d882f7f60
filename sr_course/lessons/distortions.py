"""Ways to spoil a picture, each with a strength, and the strength at which each makes the same squared error.

All take a picture `(1, 3, H, W)` in [0, 1] and a strength from 0, which leaves it as it is, to 1. All give a picture of
the same kind and are drawn without chance: noise and texture come from fixed seeds, so that equal calls give equal
pictures. The error grows smoothly with the strength; that is what `to_mse` needs.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sr_course.errors import CourseError
from sr_course.images import to_pil
from sr_course.metrics import require_range

Distortion = Callable[[Tensor, float], Tensor]

MOST_SHIFT = 8.0  # pixels at strength 1, and so on
MOST_NOISE = 0.5  # standard deviation, before the levels outside [0, 1] are cut off
MOST_BLUR = 8.0  # sigma in pixels
MOST_BRIGHTNESS = 0.5
TEXTURE_SIGMA = 3.0  # pixels: what this blur takes away counts as texture
_NOISE_SEED, _TEXTURE_SEED = 0, 1
_PLACES = 4.0  # pixels, sigma: over such a place the strength of a texture is measured


def shift(picture: Tensor, strength: float) -> Tensor:
    """Move the picture to the right, by up to 8 pixels; from the left comes its mirror image.

    By whole pixels the levels stay what they were. Between them the phase of every wave is turned by its share, so that
    nothing is blurred.
    """
    _require(picture, strength)
    if strength == 0:
        return picture.clone()
    pixels = MOST_SHIFT * strength
    return _along(picture, -1, lambda waves: torch.exp(-2j * math.pi * pixels * waves)).clamp(0, 1)


def noise(picture: Tensor, strength: float) -> Tensor:
    """Add normal noise, of a standard deviation of up to 0.5; what leaves [0, 1] is cut off."""
    _require(picture, strength)
    return (picture + MOST_NOISE * strength * _drawn(picture, _NOISE_SEED)).clamp(0, 1)


def blur(picture: Tensor, strength: float) -> Tensor:
    """Blur with Gauss's bell, of a sigma of up to 8 pixels; beyond its borders the picture is mirrored."""
    _require(picture, strength)
    return _blurred(picture, MOST_BLUR * strength).clamp(0, 1) if strength > 0 else picture.clone()


def contrast(picture: Tensor, strength: float) -> Tensor:
    """Pull every level towards the mean of its channel; at strength 1 nothing but the mean is left."""
    _require(picture, strength)
    return torch.lerp(picture, picture.mean(dim=(-2, -1), keepdim=True).expand_as(picture), strength)


def brightness(picture: Tensor, strength: float) -> Tensor:
    """Add light everywhere, up to 0.5; white stays white."""
    _require(picture, strength)
    return (picture + MOST_BRIGHTNESS * strength).clamp(0, 1)


def jpeg(picture: Tensor, strength: float) -> Tensor:
    """Store the picture as JPEG, of quality 100 down to 1, and read it back.

    Qualities are whole numbers: strength 0.3 is quality 71, 0.31 is quality 70. What lies between is mixed from its two
    neighbours, as is what lies between the picture itself and quality 100. Colour keeps its full resolution.
    """
    _require(picture, strength)
    place = 100 * strength
    left = min(math.floor(place), 99)
    return torch.lerp(_stored(picture, left), _stored(picture, left + 1), place - left).clamp(0, 1)


def texture(picture: Tensor, strength: float) -> Tensor:
    """Turn the fine detail into other detail of the same kind: as strong in every place, but with other waves in it.

    What a blur of sigma 3 takes away is the detail. Its waves keep their sizes and get other phases, and each place
    gets the strength back that it had. Between strengths 0 and 1 one detail is turned into the other, as a hand of a
    clock is, so that the detail does not fade on the way: it is a wrong texture, not a missing one.
    """
    _require(picture, strength)
    if strength == 0:
        return picture.clone()
    coarse, detail, other = _textures(picture)
    angle = math.pi / 2 * strength
    return (coarse + math.cos(angle) * detail + math.sin(angle) * other).clamp(0, 1)


DISTORTIONS: Mapping[str, Distortion] = {
    "shift": shift,
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
    "brightness": brightness,
    "JPEG": jpeg,
    "other texture": texture,
}


@dataclass(frozen=True, kw_only=True)
class Distorted:
    """A picture that was spoiled to measure.

    Attributes:
        name: of the distortion.
        strength: that it took, 0 to 1.
        picture: `(1, 3, H, W)` in [0, 1].
        mse: of `picture`, as `squared_error` measures it.
    """

    name: str
    strength: float
    picture: Tensor
    mse: float


class UnreachableError(CourseError):
    """A distortion cannot make the error that was asked for."""


def squared_error(picture: Tensor, other: Tensor) -> float:
    """Mean squared error over channels and pixels, in double precision."""
    return (picture.double() - other.double()).square().mean().item()


def to_mse(picture: Tensor, distortion: str | Distortion, mse: float, *, tolerance: float = 1e-6) -> Distorted:
    """Spoil a picture until it has a mean squared error, the same for every distortion.

    Args:
        picture: `(1, 3, H, W)` in [0, 1].
        distortion: a name in `DISTORTIONS`, or a function of picture and strength whose error grows from 0 without
            jumps.
        mse: what is wanted, over channels and pixels; 0.002 is a PSNR of 27 dB.
        tolerance: how far the error may be from it, as a fraction of it.

    Raises:
        UnreachableError: the distortion does not go so far with this picture, or not so exactly; says how far it goes.
        ValueError: there is no such distortion, the error is not above 0, or the picture is none.
    """
    name, spoil = _named(distortion)
    if not 0 < mse < math.inf:
        raise ValueError(f"the squared error asked for is {mse}; give a number above 0, such as 0.002.")
    _require(picture, 0)
    found = at_strength(picture, spoil, 1.0)
    if found.mse < mse * (1 - tolerance):
        raise UnreachableError(
            f"{name} makes a squared error of {found.mse:.3g} at most with this picture, and {mse:.3g} was asked for; "
            "ask for less, or take a picture with more contrast and detail."
        )
    # The root of the error is nearly straight in most strengths, so the line between the ends meets it soon (regula
    # falsi); every second time the middle is taken, which halves the interval whatever the shape.
    low, high = (0.0, -math.sqrt(mse)), (1.0, math.sqrt(found.mse) - math.sqrt(mse))
    best = found
    for turn in range(120):
        if abs(best.mse - mse) <= tolerance * mse:
            return replace(best, name=name)
        (left, below), (right, above) = low, high
        between = (left + right) / 2 if turn % 2 else left - below * (right - left) / (above - below)
        if not left < between < right:
            break  # two neighbouring numbers: no strength lies between them
        found = at_strength(picture, spoil, between)
        miss = math.sqrt(found.mse) - math.sqrt(mse)
        low, high = ((between, miss), high) if miss < 0 else (low, (between, miss))
        best = min(best, found, key=lambda one: abs(one.mse - mse))
    raise UnreachableError(
        f"{name} comes to {best.mse:.8g} with this picture, and not nearer to {mse:.8g}, for its error moves in steps; "
        "give a larger tolerance."
    )


def at_strength(picture: Tensor, distortion: str | Distortion, strength: float) -> Distorted:
    """Spoil a picture with a strength from 0 to 1, and measure the error.

    Raises:
        ValueError: there is no such distortion, the strength is out of its range, or the picture is none.
    """
    name, spoil = _named(distortion)
    result = spoil(picture, strength)
    return Distorted(name=name, strength=strength, picture=result, mse=squared_error(picture, result))


def _named(distortion: str | Distortion) -> tuple[str, Distortion]:
    if not isinstance(distortion, str):
        return getattr(distortion, "__name__", "this distortion"), distortion
    if distortion not in DISTORTIONS:
        raise ValueError(f"there is no distortion {distortion!r}; choose from {', '.join(DISTORTIONS)}.")
    return distortion, DISTORTIONS[distortion]


def _require(picture: Tensor, strength: float) -> None:
    if picture.ndim != 4 or picture.shape[:2] != (1, 3):
        raise ValueError(f"the picture is of shape {tuple(picture.shape)}; give one in colour, (1, 3, H, W).")
    require_range("the picture", picture)
    if not 0 <= strength <= 1:
        raise ValueError(f"the strength is {strength:g}; it goes from 0 to 1.")


# --- waves


def _along(picture: Tensor, dim: int, transfer: Callable[[Tensor], Tensor]) -> Tensor:
    """Multiply the waves along one side of a picture, mirrored at its ends, by a function of their frequency.

    Args:
        picture: `(N, C, H, W)`, any values.
        dim: -2 for waves that run down, -1 across.
        transfer: from frequencies in waves a pixel, 0 to 1/2, to factors, real or complex.
    """
    length = picture.shape[dim]
    mirrored = torch.cat([picture, picture.flip(dim)], dim=dim)  # twice as long, and without a seam when repeated
    factors = transfer(torch.fft.rfftfreq(2 * length, dtype=picture.dtype, device=picture.device))
    waves = torch.fft.rfft(mirrored, dim=dim) * (factors if dim == -1 else factors[:, None])
    filtered: Tensor = torch.fft.irfft(waves, n=2 * length, dim=dim)
    return filtered.narrow(dim, 0, length)


def _blurred(picture: Tensor, sigma: float) -> Tensor:
    """Blur with Gauss's bell: the transform of a bell is a bell too."""
    for dim in (-2, -1):
        picture = _along(picture, dim, lambda waves: torch.exp(-2 * (math.pi * sigma * waves) ** 2))
    return picture


def _drawn(picture: Tensor, seed: int) -> Tensor:
    """Standard normal numbers, as many as the picture has; the same ones each time."""
    numbers = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
    return numbers.to(picture)


def _textures(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What blur leaves, the detail that it takes, and another detail: `(1, 3, H, W)` each."""
    coarse = _blurred(picture, TEXTURE_SIGMA)
    detail = picture - coarse
    phases = torch.fft.rfft2(
        _drawn(picture[:, :1], _TEXTURE_SEED)
    ).angle()  # one for all channels: colours stay together
    waves = torch.fft.rfft2(detail) * torch.exp(1j * phases)
    other: Tensor = torch.fft.irfft2(waves, s=picture.shape[-2:])
    return coarse, detail, other * _local_strength(detail) / (_local_strength(other) + 1e-6)


def _local_strength(detail: Tensor) -> Tensor:
    """The standard deviation of the detail about each place, over all channels: `(1, 1, H, W)`."""
    return _blurred(detail.square().mean(dim=1, keepdim=True), _PLACES).clamp(min=0).sqrt()


# --- JPEG


def _stored(picture: Tensor, step: int) -> Tensor:
    """The picture after so many steps: itself, then quality 100, 99, and so on."""
    if step == 0:
        return picture
    image = to_pil(picture)
    read = _read_back(image.tobytes(), image.size, 101 - step)
    return torch.from_numpy(read.copy()).permute(2, 0, 1)[None].to(picture) / 255


@functools.lru_cache(maxsize=4)  # a search for a strength asks for the same two again and again
def _read_back(levels: bytes, size: tuple[int, int], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, levels).save(buffer, "JPEG", quality=quality, subsampling=0)
    with Image.open(buffer) as image:
        return np.asarray(image)
