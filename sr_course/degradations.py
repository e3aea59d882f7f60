"""How a good picture becomes a bad one: so far, the bicubic reduction of the benchmarks."""

from __future__ import annotations

from torch import Tensor

from sr_course.images import modcrop, to_uint8
from sr_course.resample import imresize


def bicubic_lr(hr: Tensor, scale: int, *, eight_bit: bool = True) -> Tensor:
    """Make the low-resolution picture that the benchmarks use: MATLAB's bicubic reduction.

    Args:
        hr: `(N, C, H, W)` in [0, 1]; sides that are not multiples of `scale` are cut right and bottom.
        scale: the factor of reduction.
        eight_bit: work on 8-bit values and round the result to 8 bits, as the published LR files are; without it
            the picture stays float and may leave [0, 1] a little, as in SRCNN's demo code.

    Returns:
        `(N, C, H // scale, W // scale)`.

    Raises:
        ImageError: the picture is smaller than the scale.
    """
    hr = modcrop(hr, scale)
    if eight_bit:
        return imresize(to_uint8(hr), 1 / scale).to(hr.dtype) / 255
    return imresize(hr, 1 / scale)
