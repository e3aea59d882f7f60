"""Batches of low- and high-resolution crops, cut from a patch store.

A batch is a function of the seed, the step and the position in the batch, of nothing else. So a run that was
interrupted draws what it would have drawn, and two machines that share a batch draw together what one would alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

# A crop is turned by some of these, one after the other: by each bit of a number from 0 to 7.
_TURNS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda side: side.flip(-2),
    lambda side: side.flip(-1),
    lambda side: side.transpose(-1, -2),
)
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
        # MPS has no double precision, so the CPU works for it
        work = torch.device("cpu") if self.device.type == "mps" else self.device
        down = self._taps.rows(self._heights[chosen], tops, window_tops, lr_crop)
        across = self._taps.rows(self._widths[chosen], lefts, window_lefts, lr_crop)
        reduced = _reduced if self._taps.exact else _reduced_in_order
        lr = reduced(_to(work, windows), *(_to(work, one) for one in (*down, *across)))
        return self._finish(lr.to(self.device), _to(self.device, hr), (draws[:, 1] * 8).astype(np.int64))

    def _finish(self, lr: Tensor, hr: Tensor, ways: NDArray[np.int64]) -> Batch:
        """From levels `(N, 3, h, w)` and `(N, H, W, 3)` to a batch, each pair turned its own way, both sides alike."""
        sides = [lr, hr.permute(0, 3, 1, 2).contiguous()]
        if self.augment:
            for bit, turn in enumerate(_TURNS):
                turned = np.flatnonzero(ways >> bit & 1)
                places = np.arange(len(ways))
                places[turned] = len(ways) + np.arange(len(turned))
                chosen, order = _to(self.device, turned), _to(self.device, places)
                sides = [torch.cat([s, turn(s.index_select(0, chosen))]).index_select(0, order) for s in sides]
        sides = [side.float().div_(255) for side in sides]
        if self.channel == "y":
            sides = [luma(side) for side in sides]
        return Batch(*sides)


class _TapTable:
    """For each length of picture, which pixels every low-resolution pixel is made of, and with which weights.

    The weights are those of the whole picture, not of the crop: they may differ in the last bit from place to place,
    and where a sum lies halfway between two levels the last bit decides.

    Attributes:
        exact: every weight is a whole number of 4,096ths, as at x2 and x4, so that no sum of weighted bytes is ever
            rounded, not in float32 either, and comes out the same in any order.
    """

    def __init__(self, lengths: Sequence[int], scale: int) -> None:
        tables = [resize_taps(length, length // scale, 1 / scale, CUBIC) for length in lengths]
        widest = max(taps.shape[1] for taps, _ in tables)
        self._scale = scale
        self._lengths = np.array(lengths)
        self._starts = np.cumsum([0, *(taps.shape[0] for taps, _ in tables[:-1])])
        self._taps = np.concatenate([_widened(taps, widest) for taps, _ in tables])
        self._weights = np.concatenate([_widened(weights, widest) for _, weights in tables])
        units = self._weights * 4096
        # Every partial sum is a whole number of units, and float32 holds all of these up to 2**24.
        self.exact = bool((units == np.floor(units)).all() and (255 * np.abs(units).sum(axis=1)).max() < 2**24)

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


def _reduced(windows: Tensor, rows: Tensor, row_weights: Tensor, columns: Tensor, column_weights: Tensor) -> Tensor:
    """Reduce by products of matrices, which add up in an order of their own: for `exact` weights alone.

    Args:
        windows: `(N, S, S, 3)` uint8.
        rows, row_weights: taps and weights of each row of the result, `(N, n, T)`.
        columns, column_weights: the same of each column.

    Returns:
        `(N, 3, n, n)`, whole numbers from 0 to 255.
    """
    count, side = windows.shape[:2]
    kind = torch.float32 if windows.device.type == "cpu" and _products_are_exact() else torch.float64

    def matrices(taps: Tensor, weights: Tensor) -> Tensor:  # (N, n, S)
        return weights.new_zeros(count, taps.shape[1], side).scatter_add_(2, taps, weights).to(kind)

    # rows before columns, as in `imresize`, and each pass rounded to 8 bits
    short = _rounded(torch.bmm(matrices(rows, row_weights), windows.reshape(count, side, -1).to(kind)))
    short = short.reshape(count, -1, side, 3).permute(0, 3, 1, 2).reshape(count, -1, side)  # (N, 3 * n, S)
    small = _rounded(torch.bmm(short, matrices(columns, column_weights).transpose(1, 2)))
    return small.reshape(count, 3, rows.shape[1], columns.shape[1])


def _products_are_exact() -> bool:
    """Whether a product of float32 matrices keeps all of float32: PyTorch can be told to round it further."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # the precision was set device by device, which this question does not know
        return False


def _reduced_in_order(
    windows: Tensor, rows: Tensor, row_weights: Tensor, columns: Tensor, column_weights: Tensor
) -> Tensor:
    """Reduce as `_reduced` does, with any weights: the order of the sums is that of `imresize`."""
    short = _weighted_rows(windows, rows, row_weights)  # (N, n, S, 3)
    return _weighted_rows(short.transpose(1, 2), columns, column_weights).permute(0, 3, 2, 1).contiguous()


def _weighted_rows(pictures: Tensor, taps: Tensor, weights: Tensor) -> Tensor:
    """Sum rows of `(N, H, W, 3)` uint8 by `(N, n, T)` taps and weights, round to `(N, n, W, 3)` uint8."""
    count, height = pictures.shape[:2]
    rows = pictures.reshape(count * height, -1)
    places = (taps + height * torch.arange(count, device=taps.device)[:, None, None]).flatten(0, 1)  # (N * n, T)
    weights = weights.flatten(0, 1)
    total = rows.index_select(0, places[:, 0]).double() * weights[:, :1]
    for tap in range(1, places.shape[1]):
        total += rows.index_select(0, places[:, tap]).double() * weights[:, tap : tap + 1]
    return _rounded(total).to(torch.uint8).reshape(count, -1, *pictures.shape[2:])


def _rounded(total: Tensor) -> Tensor:
    """Round to 8-bit levels, halves upwards, in place."""
    return total.add_(0.5).floor_().clamp_(0, 255)


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
