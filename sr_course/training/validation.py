"""Measuring while training: a few pictures that the network never learns from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sr_course import images
from sr_course.data.shipped import SHIPPED, photos
from sr_course.data.store import pictures_in
from sr_course.degradations import bicubic_lr
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.training.recipe import Recipe

Pair = tuple[Tensor, Tensor]
"""`lr, hr`: `(1, 3, h, w)` and `(1, 3, scale * h, scale * w)` in [0, 1]."""

SAMPLES = 2  # pictures in a snapshot
SAMPLE_SIDE = 144  # pixels, a multiple of every scale in use


def validation_pairs(recipe: Recipe, device: torch.device) -> list[Pair]:
    """Read the pictures that a recipe is validated on, and make their low-resolution sides.

    Raises:
        DataError: no such folder, or no pictures in it.
        ImageError: a picture that cannot be read, or is smaller than the scale.
    """
    if recipe.validation == SHIPPED:
        files = [photo.path for photo in photos("validation")]
    else:
        files = pictures_in(recipe.validation)
    truths = [images.modcrop(images.read(file), recipe.scale) for file in files[: recipe.validation_pictures or None]]
    return [(bicubic_lr(hr, recipe.scale).to(device), hr.to(device)) for hr in truths]


def sample_pairs(pairs: Sequence[Pair], scale: int) -> list[Pair]:
    """Cut the middle out of the first pictures, small enough to be kept in every snapshot."""
    samples = []
    for lr, hr in pairs[:SAMPLES]:
        height, width = (min(SAMPLE_SIDE // scale, side) for side in lr.shape[-2:])
        top, left = (lr.shape[-2] - height) // 2, (lr.shape[-1] - width) // 2
        rows, columns = (slice(start * scale, (start + size) * scale) for start, size in ((top, height), (left, width)))
        samples.append((lr[..., top : top + height, left : left + width], hr[..., rows, columns]))
    return samples


@torch.inference_mode()
def validation_psnr(network: nn.Module, pairs: Sequence[Pair], scale: int) -> float:
    """Mean PSNR of a network in evaluation mode, dB, under `MATLAB_Y`. The host waits for the device here."""
    protocol = MATLAB_Y.at_scale(scale)
    return sum(psnr(network(lr).float().clamp(0, 1), hr, protocol).item() for lr, hr in pairs) / len(pairs)
