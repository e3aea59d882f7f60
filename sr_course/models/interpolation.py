"""Interpolation as a network without parameters, so that it is measured and used like any other."""

from __future__ import annotations

from torch import Tensor, nn

from sr_course.resample import Kernel, imresize


class Interpolation(nn.Module):
    """Enlarge by a fixed kernel, each channel for itself: `(N, C, H, W)` to `(N, C, scale * H, scale * W)`.

    The result may overshoot [0, 1] at edges, as the cubic and Lanczos kernels do.
    """

    works_on_luma = True

    def __init__(self, scale: int, kernel: str | Kernel = "cubic") -> None:
        super().__init__()
        self.scale = scale
        self.kernel = kernel

    def forward(self, lr: Tensor) -> Tensor:
        return imresize(lr, self.scale, kernel=self.kernel)
