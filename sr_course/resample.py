"""Resizing as MATLAB's `imresize` does it: cubic and other kernels, antialiasing, mirrored borders, in torch.

The low-resolution pictures of nearly every paper of the field were made by `imresize(hr, 1/scale, 'bicubic')`. Most
other libraries differ from it silently: another cubic (a = -0.75), no antialiasing, other borders. The functions here
give MATLAB's bytes for `uint8` and stay differentiable for floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Border = Literal["reflect", "replicate"]


@dataclass(frozen=True)
class Kernel:
    """An interpolation kernel: its name, its width in source pixels, and its value at a signed distance."""

    name: str
    width: float
    weight: Callable[[Tensor], Tensor]


def _box(x: Tensor) -> Tensor:
    return ((x >= -0.5) & (x < 0.5)).to(x.dtype)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _lanczos3(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


def cubic(a: float, name: str | None = None) -> Kernel:
    """Cubic convolution kernel with the free parameter `a`.

    Args:
        a: slope at distance 1. MATLAB and Pillow use -0.5, OpenCV and `torch.nn.functional.interpolate` -0.75.
        name: what to call it; by default `cubic` and the parameter.

    Source: Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 15 with a left free.
    """

    def weight(x: Tensor) -> Tensor:
        x = x.abs()
        near = (a + 2) * x**3 - (a + 3) * x**2 + 1  # |x| <= 1
        far = a * (x**3 - 5 * x**2 + 8 * x - 4)  # 1 < |x| < 2
        return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))

    return Kernel(name or f"cubic{a:g}", 4, weight)


NEAREST = Kernel("nearest", 1, _box)
BOX = Kernel("box", 1, _box)
BILINEAR = Kernel("bilinear", 2, _triangle)
CUBIC = cubic(-0.5, "cubic")
CUBIC_075 = cubic(-0.75)
LANCZOS3 = Kernel("lanczos3", 6, _lanczos3)
KERNELS = {kernel.name: kernel for kernel in (NEAREST, BOX, BILINEAR, CUBIC, CUBIC_075, LANCZOS3)}


def imresize(
    image: Tensor,
    scale: float | None = None,
    *,
    size: tuple[int, int] | None = None,
    kernel: str | Kernel = "cubic",
    antialias: bool = True,
    border: Border = "reflect",
) -> Tensor:
    """Resize pictures as MATLAB's `imresize` does.

    Args:
        image: `(..., H, W)`. `uint8` in 0..255 gives MATLAB's bytes: each of the two passes is rounded to 8 bits.
            A float picture, in any range, is computed in its own precision and is differentiable.
        scale: output pixels per input pixel; the output size is rounded up. Give `scale` or `size`, not both.
        size: `(height, width)` of the output in pixels.
        kernel: a `Kernel` or one of the names in `KERNELS`; `cubic` is a = -0.5, `cubic-0.75` is the other one.
        antialias: when shrinking, widen the kernel by 1/scale, so that it also blurs. `nearest` never widens
            (its widened form is the area average, called `box`).
        border: `reflect` mirrors the picture at its edge, the edge pixel included (MATLAB); `replicate` repeats
            the edge pixel.

    Returns:
        `(..., height, width)` of the same type and device. Cubic and Lanczos kernels overshoot: a float result may
        leave the range of its input.

    Raises:
        ValueError: neither or both of `scale` and `size`, a size below 1, an unknown kernel or border, or a type
            other than `uint8` and floating point.

    Source: MATLAB's documentation of `imresize`; exact on the low-resolution files of Set5 and Set14.
    """
    height, width = _output_size(image, scale, size)
    chosen = _kernel(kernel)
    if border not in ("reflect", "replicate"):
        raise ValueError(f"border is {border!r}; give 'reflect' or 'replicate'.")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"a picture of type {image.dtype} cannot be resized; give uint8 in 0..255 or a float type.")
    # (dimension, output length, ratio); MATLAB does the stronger reduction first, rows before columns when equal
    passes = [
        (-2, height, scale if scale is not None else height / image.shape[-2]),
        (-1, width, scale if scale is not None else width / image.shape[-1]),
    ]
    for dim, length, ratio in sorted(passes, key=lambda one: one[2]):
        taps, weights = resize_taps(image.shape[dim], length, ratio, chosen, antialias=antialias, border=border)
        image = _resize_one_way(image, dim, taps, weights)
    return image


def resize_taps(
    in_length: int, out_length: int, scale: float, kernel: Kernel, *, antialias: bool = True, border: Border = "reflect"
) -> tuple[Tensor, Tensor]:
    """Which input samples each output sample is made of, and with which weights.

    Args:
        in_length, out_length: samples before and after.
        scale: output samples per input sample.
        kernel, antialias, border: as in `imresize`.

    Returns:
        `(out_length, taps)` indices into the input, int64, and their weights, float64; each row sums to 1.
    """
    stretch = 1 / scale if scale < 1 and antialias and kernel.name != "nearest" else 1.0
    out = torch.arange(out_length, dtype=torch.float64)
    # Pixels are squares, not points: output pixel 0 covers input 0 .. 1/scale, so its centre lies at half of that.
    centre = (out + 0.5) / scale - 0.5
    first = torch.floor(centre - kernel.width * stretch / 2)
    taps = first[:, None] + torch.arange(math.ceil(kernel.width * stretch) + 2, dtype=torch.float64)
    weights = kernel.weight((centre[:, None] - taps) / stretch)
    weights = weights / weights.sum(dim=1, keepdim=True)
    used = (weights != 0).any(dim=0)
    return _inside(taps[:, used].long(), in_length, border), weights[:, used]


def _inside(taps: Tensor, length: int, border: Border) -> Tensor:
    if border == "replicate":
        return taps.clamp(0, length - 1)
    taps = taps.remainder(2 * length)  # 0 .. n-1, then n-1 .. 0, and so on for ever
    return torch.where(taps < length, taps, 2 * length - 1 - taps)


def _resize_one_way(image: Tensor, dim: int, taps: Tensor, weights: Tensor) -> Tensor:
    if image.dtype == torch.uint8:
        # MATLAB computes in double precision; a device without it (MPS) leaves the sums to the CPU.
        work = image.cpu() if image.device.type == "mps" else image
        resized = _resize_one_way(work.double(), dim, taps, weights)
        return (resized + 0.5).floor().clamp(0, 255).to(torch.uint8).to(image.device)
    taps = taps.to(image.device)
    weights = weights.to(image.device, image.dtype)
    shape = [1] * image.ndim
    shape[dim] = -1
    total = image.index_select(dim, taps[:, 0]) * weights[:, 0].reshape(shape)
    for tap in range(1, taps.shape[1]):
        total = total + image.index_select(dim, taps[:, tap]) * weights[:, tap].reshape(shape)
    return total


def _output_size(image: Tensor, scale: float | None, size: tuple[int, int] | None) -> tuple[int, int]:
    if image.ndim < 2 or 0 in image.shape:
        raise ValueError(f"a picture of shape {tuple(image.shape)} has no pixels to resize; give (..., H, W).")
    if (scale is None) == (size is None):
        raise ValueError("give either scale or size, and not both.")
    if size is not None:
        if min(size) < 1:
            raise ValueError(f"size is {size}; both sides must be at least 1 pixel.")
        return size
    assert scale is not None
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale is {scale}; it must be a positive number.")
    # 30 * 0.1 is 3.0000000000000004 in floating point, and a picture one pixel too large: hence the 1e-9
    height, width = (math.ceil(side * scale - 1e-9) for side in image.shape[-2:])
    return height, width


def _kernel(kernel: str | Kernel) -> Kernel:
    if isinstance(kernel, Kernel):
        return kernel
    if kernel not in KERNELS:
        raise ValueError(f"there is no kernel {kernel!r}; choose from {', '.join(KERNELS)}.")
    return KERNELS[kernel]
