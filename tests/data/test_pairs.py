"""Batches: where crops come from, how they are reduced, and that nothing else decides them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sr_course.data.pairs import Pairs, _mix, counter_random
from sr_course.data.store import PatchStore, open_store
from sr_course.errors import DataError
from sr_course.images import luma
from sr_course.resample import imresize


def store_of(tmp_path, *sizes: tuple[int, int]) -> PatchStore:
    """Pictures of noise, in which every place looks different."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{index}.png" for index in range(len(sizes))]
    for file, (height, width) in zip(files, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
    return open_store(files, folder=tmp_path / "store")


def levels(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().to(torch.uint8)


def place_of(crop: Tensor, store: PatchStore) -> tuple[int, int, int]:
    """Find which picture a crop `(3, h, w)` of 8-bit levels is from, and its top and left."""
    height, width = crop.shape[-2:]
    crop = crop.permute(1, 2, 0).numpy()
    for index in range(len(store.pictures)):
        picture = store.picture(index)
        for top, left in np.argwhere((picture == crop[0, 0]).all(axis=2)).tolist():
            if np.array_equal(picture[top : top + height, left : left + width], crop):
                return index, top, left
    raise AssertionError("the crop is of no picture")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_is_the_whole_picture_reduced_then_cut(tmp_path, scale):
    # sides are no multiples of the scale, and so short that most crops touch an edge or a corner
    crop = 4 * scale
    height, width = 12 * scale + 1, 11 * scale + scale - 1
    store = store_of(tmp_path, (height, width), (height + scale, width))
    pairs = Pairs(store, scale=scale, hr_crop=crop, augment=False)
    whole = []
    for index in range(2):
        picture = torch.from_numpy(store.picture(index).copy()).permute(2, 0, 1)
        whole.append(imresize(picture[:, : picture.shape[1] // scale * scale, : width // scale * scale], 1 / scale))
    seen = set()
    for step in range(60):
        batch = pairs.batch(step, range(16))
        assert batch.hr.shape == (16, 3, crop, crop)
        assert batch.lr.shape == (16, 3, 4, 4)
        for lr, hr in zip(levels(batch.lr), levels(batch.hr), strict=True):
            index, top, left = place_of(hr, store)
            assert top % scale == left % scale == 0
            top, left = top // scale, left // scale
            assert torch.equal(lr, whole[index][:, top : top + 4, left : left + 4])
            seen.add((index, top, left))
    corners = {(index, top, left) for index, last in ((0, 8), (1, 9)) for top in (0, last) for left in (0, 7)}
    assert corners <= seen
    assert len(seen) == 9 * 8 + 10 * 8  # and every other place


def test_photographs_are_reduced_exactly_too(set14, tmp_path):
    # photographs have flat and dark places, where sums fall halfway between two levels more often than in noise
    files = sorted((set14 / "HR").glob("*.png"))[:4]
    store = open_store(files, folder=tmp_path / "store")
    pairs = Pairs(store, scale=3, hr_crop=48, augment=False)
    whole = {}
    for step in range(4):
        batch = pairs.batch(step, range(16))
        for lr, hr in zip(levels(batch.lr), levels(batch.hr), strict=True):
            index, top, left = place_of(hr, store)
            if index not in whole:
                picture = torch.from_numpy(store.picture(index).copy()).permute(2, 0, 1)
                height, width = (side // 3 * 3 for side in picture.shape[1:])
                whole[index] = imresize(picture[:, :height, :width], 1 / 3)
            assert torch.equal(lr, whole[index][:, top // 3 : top // 3 + 16, left // 3 : left // 3 + 16])


@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("scale", [2, 4])
def test_lr_is_exact_for_any_sum_and_whatever_products_of_matrices_are_allowed(tmp_path, scale, precision):
    # black and white pixels give the largest sums of both signs; `medium` lets products round to bfloat16
    rng = np.random.default_rng(1)
    Image.fromarray(255 * rng.integers(0, 2, (320, 330, 3), dtype=np.uint8)).save(tmp_path / "0.png")
    store = open_store([tmp_path / "0.png"], folder=tmp_path / "store")
    picture = torch.from_numpy(store.picture(0).copy()).permute(2, 0, 1)
    whole = imresize(picture[:, :320, : 330 // scale * scale], 1 / scale)
    torch.set_float32_matmul_precision(precision)
    try:
        batch = Pairs(store, scale=scale, hr_crop=96, augment=False).batch(0, range(16))
    finally:
        torch.set_float32_matmul_precision("highest")
    side = 96 // scale
    for lr, hr in zip(levels(batch.lr), levels(batch.hr), strict=True):
        _, top, left = place_of(hr, store)
        top, left = top // scale, left // scale
        assert torch.equal(lr, whole[:, top : top + side, left : left + side])


def test_a_precision_set_for_one_kind_of_device_is_no_obstacle(tmp_path):
    try:
        setting = torch.backends.mkldnn.matmul
        before, setting.fp32_precision = setting.fp32_precision, "bf16"
    except AttributeError:
        pytest.skip("this torch has one setting for all devices")
    store = store_of(tmp_path, (160, 170))
    try:
        rounded = Pairs(store, scale=4, hr_crop=96).batch(0, range(16))
    finally:
        setting.fp32_precision = before
    exact = Pairs(store, scale=4, hr_crop=96).batch(0, range(16))
    assert torch.equal(rounded.lr, exact.lr)


def test_all_places_are_equally_likely(tmp_path):
    store = store_of(tmp_path, (40, 40), (40, 80))  # x4, crop 16: 7 * 7 and 7 * 17 places
    pairs = Pairs(store, scale=4, hr_crop=16, augment=False)
    places = Counter(place_of(hr, store) for step in range(30) for hr in levels(pairs.batch(step, range(64)).hr))
    drawn, kinds = 30 * 64, 7 * 7 + 7 * 17
    assert len(places) == kinds
    chi_square = sum((count - drawn / kinds) ** 2 / (drawn / kinds) for count in places.values())
    assert chi_square < 221  # 167 degrees of freedom: above it in 3 of 1,000 cases


def test_pairs_are_turned_in_eight_ways_both_sides_alike(tmp_path):
    store = store_of(tmp_path, (60, 70))
    plain = Pairs(store, scale=2, hr_crop=20, augment=False).batch(3, range(64))
    turned = Pairs(store, scale=2, hr_crop=20).batch(3, range(64))
    ways = {
        (turns, mirror): lambda side, turns=turns, mirror=mirror: torch.rot90(
            side.flip(-1) if mirror else side, turns, (-2, -1)
        )
        for turns in range(4)
        for mirror in (False, True)
    }
    found = Counter()
    for i in range(64):
        fitting = [way for way, apply in ways.items() if torch.equal(apply(plain.hr[i]), turned.hr[i])]
        assert len(fitting) == 1
        assert torch.equal(ways[fitting[0]](plain.lr[i]), turned.lr[i])
        found.update(fitting)
    assert len(found) == 8


def test_a_batch_depends_on_seed_step_and_position_alone(tmp_path):
    store = store_of(tmp_path, (60, 70), (50, 50))
    options = {"scale": 2, "hr_crop": 16, "seed": 5}
    whole = Pairs(store, **options).batch(4711, range(8))
    late = Pairs(store, **options)
    for step in (0, 9, 2):
        late.batch(step, range(8))
    shares = [late.batch(4711, range(4, 8)), late.batch(4711, range(4))]
    assert torch.equal(torch.cat([shares[1].hr, shares[0].hr]), whole.hr)
    assert torch.equal(torch.cat([shares[1].lr, shares[0].lr]), whole.lr)
    assert not torch.equal(late.batch(4712, range(8)).hr, whole.hr)
    assert not torch.equal(Pairs(store, **{**options, "seed": 6}).batch(4711, range(8)).hr, whole.hr)
    assert len({tuple(hr.flatten()[:6].tolist()) for hr in whole.hr}) == 8


def test_luma_alone(tmp_path):
    store = store_of(tmp_path, (60, 70))
    rgb = Pairs(store, scale=2, hr_crop=16).batch(0, range(4))
    y = Pairs(store, scale=2, hr_crop=16, channel="y").batch(0, range(4))
    torch.testing.assert_close(y.lr, luma(rgb.lr))
    torch.testing.assert_close(y.hr, luma(rgb.hr))


def test_pictures_too_small_for_a_crop_are_left_out(tmp_path):
    store = store_of(tmp_path, (20, 60), (40, 40))
    pairs = Pairs(store, scale=2, hr_crop=16, augment=False)  # 16 pixels and a margin of 4 on each side: 24
    assert {place_of(hr, store)[0] for hr in levels(pairs.batch(0, range(64)).hr)} == {1}
    with pytest.raises(DataError, match="smaller than 56x56"):
        Pairs(store, scale=2, hr_crop=48)


def test_the_mixing_function_is_splitmix64():
    # the first outputs for the seed 1234567, as published with the reference implementations
    states = np.array([1234567 + i * 0x9E3779B97F4A7C15 & 2**64 - 1 for i in (1, 2, 3)], dtype=np.uint64)
    assert _mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_numbers_are_even_and_independent():
    draws = counter_random(0, 0, np.arange(100_000), 2)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts, _ = np.histogram(draws, bins=50, range=(0, 1))
    assert ((counts - 4000) ** 2 / 4000).sum() < 86  # chi-square, 49 degrees of freedom: 1 in 1,000
    for lag in (1, 2, 16):
        assert abs(np.corrcoef(draws[lag:, 0], draws[:-lag, 0])[0, 1]) < 0.012
    next_step = counter_random(0, 1, np.arange(100_000), 1)[:, 0]
    for other in (draws[:, 1], next_step, counter_random(1, 0, np.arange(100_000), 1)[:, 0]):
        assert abs(np.corrcoef(draws[:, 0], other)[0, 1]) < 0.012
