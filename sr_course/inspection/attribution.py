"""Which pixels of the picture made this patch of the result: local attribution maps, and the diffusion index.

Source: Gu and Dong 2021, "Interpreting super-resolution networks with local attribution maps": integrated gradients of
a detector that looks at one patch of the result, along a path from the blurred picture to the picture itself.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.inspection.running import home, prepare, run, tensor_of

SIGMA = 1.2  # px; blur at the start of the path: the authors' choice
STEPS = 50  # pieces of the path: the authors' choice
PATCH = 16  # pixels of the result, a side: the authors' choice
_SMOOTH = 1e-6  # keeps the root's slope finite where there is no edge


@dataclass(frozen=True)
class Attribution:
    """What each pixel of the picture has given to a patch of the result.

    Attributes:
        map: `(H, W)`, any sign: the shares of the picture's pixels, their channels summed.
        change: what the detector says of the picture, minus what it says of the blurred one.
        patch: top, left and side of the patch in the result.
        steps: pieces of the path.
    """

    map: Tensor
    change: float
    patch: tuple[int, int, int]
    steps: int

    @property
    def incompleteness(self) -> float:
        """How far the shares are from adding up to the change, as a part of it; 0 with infinitely many steps."""
        left = float(self.map.double().sum()) - self.change
        return abs(left) / abs(self.change) if self.change else math.inf

    @property
    def diffusion_index(self) -> float:
        """See `diffusion_index`."""
        return diffusion_index(self.map)


def attribute(
    network: nn.Module,
    picture: Tensor,
    patch: tuple[int, int, int],
    *,
    detector: Callable[[Tensor], Tensor] | None = None,
    sigma: float = SIGMA,
    steps: int = STEPS,
    most_side: int = 128,
) -> Attribution:
    """Compute a local attribution map.

    Args:
        network: gives a picture; it is left as it was. One of 16 bits is copied to 32, for small slopes would vanish.
        picture: `(N, C, H, W)`, as in `look`.
        patch: top, left and side of a square of the result, in its pixels.
        detector: `(1, C, side, side)` to one number; how much edge there is, unless told (see `edges`).
        sigma: of the blur at the start, in pixels of the picture.
        steps: pieces of the path; each costs one run forwards and one back.
        most_side: as in `look`.

    Raises:
        ModelError: the patch is not within the result, or the network gives no picture.
        ValueError: a blur or a number of steps that is not above 0.
    """
    if sigma <= 0 or steps < 1:
        raise ValueError(f"sigma is {sigma} and steps {steps}; the path needs a blur and at least one step.")
    if home(network)[1] in (torch.float16, torch.bfloat16):
        network = copy.deepcopy(network).float()
    picture, _ = prepare(network, picture, most_side=most_side)
    detector = detector or edges

    def detected(one: Tensor) -> Tensor:
        return detector(_patch(tensor_of(run(network, one)), patch)).sum()

    sigmas = _even_path(sigma, steps)
    points = [blurred(picture, one) for one in sigmas[::2]]
    shares = torch.zeros_like(picture)
    for step in range(steps):
        # the slope in the middle of each piece, so that the error falls with the square of their number
        middle = blurred(picture, sigmas[2 * step + 1]).requires_grad_()
        with torch.enable_grad():
            value = detected(middle)
            if not value.requires_grad:
                raise ModelError("no gradient leads from the result to the picture; the network detaches it somewhere.")
            (slope,) = torch.autograd.grad(value, middle)
        shares += slope * (points[step + 1] - points[step])
    with torch.no_grad():
        change = float(detected(points[-1]).double() - detected(points[0]).double())
    return Attribution(shares[0].sum(dim=0).float().cpu(), change, patch, steps)


def _even_path(sigma: float, steps: int) -> list[float]:
    """Blurs from `sigma` to 0, two for each step, so that the window's middle rises evenly.

    The integral does not depend on how fast the path is walked; in even steps of sigma, as in the paper, most of it
    would lie in a few of them, for below 0.3 pixels a blur hardly changes anything.
    """
    fine = torch.linspace(sigma, 0, 1001, dtype=torch.float64).tolist()
    middles = [float(_window(one, _reach(one))[_reach(one)]) ** 2 for one in fine]
    levels = torch.linspace(middles[0], 1, 2 * steps + 1, dtype=torch.float64).tolist()
    return [fine[min(bisect_left(middles, level), len(fine) - 1)] for level in levels[:-1]] + [0.0]


def edges(patch: Tensor) -> Tensor:
    """The detector of the paper: the sizes of all gradients in a patch `(1, C, h, w)`, summed.

    Only what lies in the patch counts: its last row and column have no gradient of their own.
    """
    across = patch[..., :-1, 1:] - patch[..., :-1, :-1]
    down = patch[..., 1:, :-1] - patch[..., :-1, :-1]
    return (across.square() + down.square() + _SMOOTH**2).sqrt().sum()


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """Blur `(N, C, H, W)` by a Gaussian, borders mirrored; a sigma of 0 leaves it as it is."""
    if sigma <= 0:
        return picture.clone()
    reach = min(_reach(sigma), *(side - 1 for side in picture.shape[-2:]))
    window = _window(sigma, reach).to(picture.device, picture.dtype)
    channels = picture.shape[1]
    picture = F.pad(picture, (reach, reach, reach, reach), mode="reflect")
    picture = F.conv2d(picture, window.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(picture, window.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def _reach(sigma: float) -> int:
    return max(1, math.ceil(4 * sigma))


def _window(sigma: float, reach: int) -> Tensor:
    """The Gaussian of `2 * reach + 1` pixels, its sum 1; for a sigma of 0 the one pixel in the middle."""
    distance = torch.arange(-reach, reach + 1, dtype=torch.float64)
    window = torch.exp(-(distance**2) / (2 * max(sigma, 1e-3) ** 2))
    return window / window.sum()


def gini(shares: Tensor) -> float:
    """How unequally shares are dealt out: 0 where all are equal, near 1 where one pixel has it all.

    Args:
        shares: any shape, from 0.

    Source: the mean difference between two shares, over twice their mean, as in Gu and Dong 2021.
    """
    values = shares.flatten().double().sort().values
    count, total = len(values), float(values.sum())
    if total == 0:
        return 0.0
    place = torch.arange(1, count + 1, dtype=torch.float64, device=values.device)
    # the sum of all differences of sorted numbers, each pair twice, in one pass
    return float(((2 * place - count - 1) * values).sum()) / (count * total)


def diffusion_index(attribution: Tensor) -> float:
    """How widely an attribution map is spread, from 0 to 100: `(1 - G) * 100` with the Gini coefficient of its sizes.

    It compares networks on one picture and one patch: pixels that give nothing count too, so more of them around the
    same map make the index smaller.

    Source: Gu and Dong 2021, the diffusion index.
    """
    return 100 * (1 - gini(attribution.abs()))


def _patch(result: Tensor | None, patch: tuple[int, int, int]) -> Tensor:
    if result is None or result.ndim != 4:
        raise ModelError("this network gives no picture, so no patch of it can be asked for.")
    top, left, side = patch
    height, width = result.shape[-2:]
    if not (0 <= top <= height - side and 0 <= left <= width - side and side >= 1):
        raise ModelError(
            f"the patch of {side} pixels a side at row {top}, column {left} does not lie in the result, "
            f"which has {width}x{height}."
        )
    return result[..., top : top + side, left : left + side]
