"""Switch channels of a network off and see what is lost: a channel is as important as what is missing without it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sr_course.errors import ImageError, ModelError
from sr_course.images import centre_crop
from sr_course.inspection.running import Hook, hooked, prepare, run, tensor_of, with_tensor
from sr_course.metrics import MATLAB_Y, psnr

IMPORTANCE_SIDE = 24
"""Pixels a side of the middle of the picture on which channels are ranked, one after the other."""

_TOGETHER = 16  # channels that are tried in one batch


@contextmanager
def ablated(network: nn.Module, off: Mapping[str, Collection[int]]) -> Iterator[None]:
    """Set channels of layers to zero while the context lasts; a layer that runs several times loses them each time.

    Args:
        network: it is left as it was found.
        off: by the name of a layer the channels that are switched off.

    Raises:
        ModelError: no such layer; and, while the network runs, no such channel.
    """
    with hooked(network, {name: _switch_off(name, sorted(set(channels))) for name, channels in off.items()}):
        yield


def _switch_off(name: str, channels: list[int]) -> Hook:
    def hook(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> Any:
        tensor = tensor_of(result)
        if not channels:
            return None
        if tensor is None or tensor.ndim < 2:
            raise ModelError(f"{name}: has no channels that could be switched off.")
        wrong = [one for one in channels if not 0 <= one < tensor.shape[1]]
        if wrong:
            raise ModelError(f"{name}: there is no channel {wrong[0]}; they go from 0 to {tensor.shape[1] - 1}.")
        kept = tensor.clone()
        kept[:, channels] = 0
        return with_tensor(result, kept)

    return hook


def judge(output: Tensor, truth: Tensor) -> float:
    """PSNR of what a network made, dB, under `MATLAB_Y` with a border as wide as the course's x4: 4 pixels.

    Args:
        output, truth: `(1, 3, H, W)` or `(1, 1, H, W)`; what leaves [0, 1] is cut off.

    Raises:
        ImageError: they are not of one size.
    """
    if output.shape != truth.shape:
        raise ImageError(
            f"the truth has the shape {tuple(truth.shape)} and the network makes {tuple(output.shape)}; give the "
            "picture that the network should make."
        )
    return float(psnr(output.float().clamp(0, 1).cpu(), truth.float().clamp(0, 1).cpu(), MATLAB_Y))


@dataclass(frozen=True)
class Importance:
    """How much worse a network is without each channel of a layer.

    Attributes:
        values: `(C,)`; dB that are lost against the truth (below 0: it is better without), or, where there is no
            truth, by how much the result changes, as the root of the mean square.
        unit: `dB` or `change`.
        side: pixels a side of the middle of the picture on which it was measured.
    """

    values: Tensor
    unit: str
    side: tuple[int, int]

    def ranking(self) -> list[int]:
        """The channels, the most important first."""
        return [int(one) for one in self.values.argsort(descending=True, stable=True)]


def importance(
    network: nn.Module, picture: Tensor, layer: str, *, truth: Tensor | None = None, side: int = IMPORTANCE_SIDE
) -> Importance:
    """Switch off every channel of a layer, one at a time, and measure.

    Args:
        network: it is left as it was.
        picture: `(N, C, H, W)`; of several the first is taken.
        layer: its name.
        truth: what the network should make of the picture; without one the change of the result counts.
        side: the middle of the picture, of this many pixels a side, is used.

    Raises:
        ImageError: no picture, or a truth of another size.
        ModelError: no such layer, or none with channels.
    """
    whole, _ = prepare(network, picture, most_side=max(picture.shape[-2:]))
    height, width = (min(side, one) for one in whole.shape[-2:])
    small = centre_crop(whole, height, width).contiguous()
    with torch.no_grad():
        seen: list[Tensor | None] = []
        with hooked(network, {layer: lambda module, inputs, result: seen.append(tensor_of(result))}):
            base = tensor_of(run(network, small))
        if not seen or seen[-1] is None or seen[-1].ndim < 2:
            raise ModelError(f"{layer}: has no channels that could be switched off.")
        if base is None:
            raise ModelError(f"{type(network).__name__} returns no tensor, so what a channel is good for is not seen.")
        count = seen[-1].shape[1]
        target = None if truth is None else _same_place(truth[:1], whole, base)
        values = []
        for first in range(0, count, _TOGETHER):
            channels = range(first, min(first + _TOGETHER, count))
            with hooked(network, {layer: _one_each(channels)}):
                results = tensor_of(run(network, small.expand(len(channels), -1, -1, -1).contiguous()))
            assert results is not None
            for result in (results[at : at + 1] for at in range(len(results))):
                if target is None:
                    values.append(float((result - base).float().square().mean().sqrt()))
                else:
                    values.append(judge(base, target) - judge(result, target))
    return Importance(torch.tensor(values), "change" if target is None else "dB", (height, width))


def _one_each(channels: Collection[int]) -> Hook:
    """Switch one channel off in each picture of a batch."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> Any:
        tensor = tensor_of(result)
        assert tensor is not None
        kept = tensor.clone()
        for at, channel in enumerate(channels):
            kept[at, channel] = 0
        return with_tensor(result, kept)

    return hook


def _same_place(truth: Tensor, whole: Tensor, base: Tensor) -> Tensor:
    """The part of the truth that belongs to the middle of the picture."""
    scales = {one / other for one, other in zip(truth.shape[-2:], whole.shape[-2:], strict=True)}
    scale = next(iter(scales))
    if len(scales) > 1 or not scale.is_integer():
        raise ImageError(
            f"the truth has {truth.shape[-1]}x{truth.shape[-2]} pixels and the picture {whole.shape[-1]}x"
            f"{whole.shape[-2]}; the truth must be a whole number of times as large."
        )
    times = int(scale)
    # the picture's middle, in pixels of the truth
    height, width = base.shape[-2:]
    top, left = (
        times * ((one - part // times) // 2) for one, part in zip(whole.shape[-2:], (height, width), strict=True)
    )
    return truth[..., top : top + height, left : left + width]
