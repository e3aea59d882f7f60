"""Batches of low- and high-resolution crops, cut from a patch store.

A batch is a function of the seed, the step and the position in the batch, of nothing else. So a run that was
interrupted draws what it would have drawn, and two machines that share a batch draw together what one would alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_course.data.store import PatchStore
from sr_course.errors import DataError
from sr_course.images import luma
from sr_course.resample import CUBIC, resize_taps

Channel = Literal["rgb", "y"]

_REACH = 2  # low-resolution pixels beyond its edge that a cubic reduction sees: the kernel is 4 of them wide


@dataclass(frozen=True)
class Batch:
    """Pairs to learn from: `lr` is `(N, C, h, w)`, `hr` `(N, C, scale * h, scale * w)`, both in [0, 1]; C is 1 or 3."""

    lr: Tensor
    hr: Tensor


class Pairs:
    """Draws batches from a patch store.

    A crop lies at a multiple of the scale, every such place of every picture is equally likely, and the crop is then
    mirrored and turned in one of eight ways. Its low-resolution side is, to the bit, what one gets by reducing the
    whole picture with MATLAB's bicubic, rounding to 8 bits, and cutting out the same place.

    Args:
        store: the pictures; those smaller than a crop with its margin are left out.
        scale: the factor between the two sides of a pair.
        hr_crop: side of the high-resolution crop in pixels, a multiple of `scale`.
        seed: another seed draws other crops.
        channel: `rgb`, or `y` for BT.601 luma alone.
        augment: mirror and turn the crops.
        device: where the low-resolution side is made and the batch is wanted.

    Raises:
        DataError: no picture of the store is as large as a crop and its margin.
    """

    def __init__(
        self,
        store: PatchStore,
        *,
        scale: int,
        hr_crop: int,
        seed: int = 0,
        channel: Channel = "rgb",
        augment: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        self.scale, self.hr_crop, self.seed, self.channel, self.augment = scale, hr_crop, seed, channel, augment
        self.device = torch.device(device)
        self._window = hr_crop + 2 * _REACH * scale  # what the low-resolution crop is made from, with its margin
        usable = [i for i, p in enumerate(store.pictures) if min(p.height, p.width) // scale * scale >= self._window]
        if not usable:
            raise DataError(
                f"{store.folder}: every picture is smaller than {self._window}x{self._window} pixels, which a crop of "
                f"{hr_crop} needs with its margin at x{scale}. Take a smaller hr_crop or larger pictures."
            )
        self._pictures = [store.picture(i) for i in usable]
        lengths = np.array([picture.shape[:2] for picture in self._pictures]) // scale * scale
        places = (lengths - hr_crop) // scale + 1  # how many crops fit, down and across
        self._heights, self._widths = lengths.T
        self._across = places[:, 1]
        self._crops_up_to = np.cumsum(places[:, 0] * places[:, 1])
        self._taps = _TapTable(sorted(set(lengths.flatten().tolist())), scale)

    def batch(self, step: int, positions: Sequence[int]) -> Batch:
        """Draw part of a batch.

        Args:
            step: the training step that the batch is for, from 0 on.
            positions: which of its pairs are wanted, by their place in the batch.
        """
        draws = counter_random(self.seed, step, np.asarray(positions), 2)
        crop = (draws[:, 0] * self._crops_up_to[-1]).astype(np.int64)
        chosen = np.searchsorted(self._crops_up_to, crop, side="right")
        crop -= np.where(chosen > 0, self._crops_up_to[chosen - 1], 0)
        tops, lefts = (crop // self._across[chosen]) * self.scale, (crop % self._across[chosen]) * self.scale
        # At the border of the picture the window moves inwards: the taps mirrored there lie inside it.
        margin = _REACH * self.scale
        window_tops = np.clip(tops - margin, 0, self._heights[chosen] - self._window)
        window_lefts = np.clip(lefts - margin, 0, self._widths[chosen] - self._window)
        windows = np.empty((len(chosen), self._window, self._window, 3), np.uint8)
        hr = np.empty((len(chosen), self.hr_crop, self.hr_crop, 3), np.uint8)
        for i, (picture, y, x, top, left) in enumerate(
            zip(
                chosen.tolist(), window_tops.tolist(), window_lefts.tolist(), tops.tolist(), lefts.tolist(), strict=True
            )
        ):
            windows[i] = self._pictures[picture][y : y + self._window, x : x + self._window]
            hr[i] = windows[i, top - y : top - y + self.hr_crop, left - x : left - x + self.hr_crop]
        lr_crop = self.hr_crop // self.scale
        down = self._taps.rows(self._heights[chosen], tops, window_tops, lr_crop)
        across = self._taps.rows(self._widths[chosen], lefts, window_lefts, lr_crop)
        # rows before columns, as in `imresize`; MPS has no double precision, so the CPU works for it
        work = torch.device("cpu") if self.device.type == "mps" else self.device
        narrow = _weighted_rows(_to(work, windows), _to(work, down[0]), _to(work, down[1]))  # (N, n, S, 3)
        lr = _weighted_rows(narrow.transpose(1, 2), _to(work, across[0]), _to(work, across[1])).transpose(1, 2)
        return self._finish(lr.to(self.device), _to(self.device, hr), (draws[:, 1] * 8).astype(np.int64))

    def _finish(self, lr: Tensor, hr: Tensor, ways: NDArray[np.int64]) -> Batch:
        """To `(N, C, H, W)` in [0, 1], each pair mirrored and turned its own way, both sides alike."""
        sides = [side.permute(0, 3, 1, 2).float() / 255 for side in (lr, hr)]
        if self.channel == "y":
            sides = [luma(side) for side in sides]
        if self.augment:
            bits = _to(self.device, ways[None] >> np.arange(3)[:, None] & 1).bool()  # (3, N)
            flip, mirror, turn = bits[:, :, None, None, None]
            for i, side in enumerate(sides):
                side = torch.where(flip, side.flip(-2), side)
                side = torch.where(mirror, side.flip(-1), side)
                sides[i] = torch.where(turn, side.transpose(-1, -2), side)
        return Batch(*sides)


class _TapTable:
    """For each length of picture, which pixels every low-resolution pixel is made of, and with which weights.

    The weights are those of the whole picture, not of the crop: they differ in the last bit from place to place, and
    where a sum lies halfway between two levels the last bit decides.
    """

    def __init__(self, lengths: Sequence[int], scale: int) -> None:
        tables = [resize_taps(length, length // scale, 1 / scale, CUBIC) for length in lengths]
        widest = max(taps.shape[1] for taps, _ in tables)
        self._scale = scale
        self._lengths = np.array(lengths)
        self._starts = np.cumsum([0, *(taps.shape[0] for taps, _ in tables[:-1])])
        self._taps = np.concatenate([_widened(taps, widest) for taps, _ in tables])
        self._weights = np.concatenate([_widened(weights, widest) for _, weights in tables])

    def rows(
        self, lengths: NDArray[np.int64], crop: NDArray[np.int64], window: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Taps as places in the windows `(N, count, T)` int64, and weights `(N, count, T)` float64.

        Args:
            lengths, crop, window: `(N,)` length of the picture, first pixel of the crop and of the window.
            count: low-resolution pixels of the crop.
        """
        first = self._starts[np.searchsorted(self._lengths, lengths)] + crop // self._scale
        rows = first[:, None] + np.arange(count)
        return self._taps[rows] - window[:, None, None], self._weights[rows]


def _to(device: torch.device, array: NDArray[Any]) -> Tensor:
    tensor = torch.from_numpy(array)
    if device.type == "cuda":  # from pinned memory the copy runs beside the host, which goes on at once
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _widened(table: Tensor, width: int) -> NDArray[np.float64] | NDArray[np.int64]:
    """Repeat the last tap, with weight 0, until every table has as many."""
    missing = width - table.shape[1]
    filler = torch.zeros_like(table[:, -1:]) if table.is_floating_point() else table[:, -1:]
    widened: NDArray[np.float64] | NDArray[np.int64] = torch.cat([table, filler.expand(-1, missing)], dim=1).numpy()
    return widened


def _weighted_rows(pictures: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Sum rows of `(N, H, W, 3)` uint8 by `(N, n, T)` taps and weights, round to `(N, n, W, 3)` uint8.

    The order of the sum is that of `imresize`, so that the result is too.
    """
    count, height = pictures.shape[:2]
    rows = pictures.reshape(count * height, -1)
    places = (taps + height * torch.arange(count, device=taps.device)[:, None, None]).flatten(0, 1)  # (N * n, T)
    weights = weights.flatten(0, 1)
    total = rows.index_select(0, places[:, 0]).double() * weights[:, :1]
    for tap in range(1, places.shape[1]):
        total += rows.index_select(0, places[:, tap]).double() * weights[:, tap : tap + 1]
    rounded = (total + 0.5).floor().clamp(0, 255).to(torch.uint8)
    return rounded.reshape(count, -1, *pictures.shape[2:])


def counter_random(seed: int, step: int, positions: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Draw numbers that depend on their counters alone, `(len(positions), count)` in [0, 1).

    Source: the mixing function of Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", fig. 16
    (SplitMix64), applied to one counter after the other.
    """
    state = np.full((len(positions), count), seed, np.uint64)
    for counter in (np.full(1, step), positions[:, None], np.arange(count)):
        state = _mix(state + np.uint64(0x9E3779B97F4A7C15) * (counter.astype(np.uint64) + np.uint64(1)))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
