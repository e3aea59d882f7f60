from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
import torch

import sr_course.widgets.resample_bench as resample_bench
from sr_course.errors import ImageError
from sr_course.widgets import ResampleBench
from sr_course.widgets.resample_bench import (
    SCALES,
    Outcome,
    Setting,
    error_colours,
    ideal_resize,
    measure,
    spectrum,
    zone_plate,
)
from tests.widgets.notebook import kept_by_notebook


def wave(cycles: int, side: int = 48, mean: float = 0.5) -> torch.Tensor:
    """Half waves along x that are their own mirror image at both borders: (1, 3, side, side)."""
    x = torch.arange(side, dtype=torch.float64) + 0.5
    return (mean + 0.4 * torch.cos(math.pi * cycles * x / side)).expand(1, 3, side, side)


@pytest.fixture(scope="module")
def bench() -> ResampleBench:
    return ResampleBench()


# --- what is computed


def test_phase_of_the_zone_plate_grows_by_half_a_turn_per_pixel_at_its_edge():
    row = zone_plate(240)[0, 0, 120]
    assert row[120].item() == pytest.approx(1, abs=1e-4)  # r is half the diagonal of a pixel there
    # pi (119.5^2 - 118.5^2) / 240 is 0.99 pi.
    last = [0.5 + 0.5 * math.cos(math.pi * (x * x + 0.25) / 240) for x in (118.5, 119.5)]
    assert row[-2:].tolist() == pytest.approx(last)
    assert torch.equal(zone_plate(48), zone_plate(48).transpose(-1, -2))


@pytest.mark.parametrize(("before", "after"), [(48, 24), (48, 12), (24, 48), (12, 96)])
def test_ideal_filter_keeps_what_both_sizes_hold(before, after):
    kept = ideal_resize(wave(5, before), (before, after))
    assert torch.allclose(kept, wave(5, after)[..., :1, :].expand(1, 3, before, after), atol=1e-12)


def test_ideal_filter_removes_what_the_smaller_size_cannot_hold():
    assert torch.allclose(ideal_resize(wave(30), (24, 24)), torch.full((1, 3, 24, 24), 0.5, dtype=torch.float64))


def test_without_a_filter_a_fine_wave_folds_back_whole():
    outcome = measure(wave(36), Setting(scale=1 / 2, kernel="nearest"))
    assert outcome.above == pytest.approx(1)
    assert outcome.folded == pytest.approx(1)


def test_antialiased_bilinear_leaves_what_its_four_taps_let_through():
    # Shrinking by 2 averages four pixels with weights 1, 3, 3, 1; a wave of angle w per pixel keeps
    # (3 cos(w/2) + cos(3w/2)) / 4 of its amplitude.
    angle = math.pi * 36 / 48
    through = (3 * math.cos(angle / 2) + math.cos(3 * angle / 2)) / 4
    outcome = measure(wave(36), Setting(scale=1 / 2, kernel="bilinear"))
    assert outcome.folded == pytest.approx(through**2)
    sharp = measure(wave(36), Setting(scale=1 / 2, kernel="bilinear", antialias=False))
    # Without widening two pixels are averaged: cos(w/2) is left.
    assert sharp.folded == pytest.approx(math.cos(angle / 2) ** 2)


def test_a_coarse_wave_has_nothing_to_fold():
    outcome = measure(wave(6), Setting(scale=1 / 2))
    assert (outcome.above, outcome.folded) == (0.0, None)


def test_round_trip_is_compared_with_the_source():
    start = wave(36)
    outcome = measure(start, Setting(scale=1 / 4, kernel="box", back=True))
    assert torch.equal(outcome.reference, start)
    mean = outcome.result[0, 0, 0].reshape(-1, 4)  # what box makes of 4 pixels is shown on each of them
    assert torch.allclose(mean, start[0, 0, 0].reshape(-1, 4).mean(dim=1, keepdim=True).expand(-1, 4))
    rounded = [np.floor(picture.numpy() * 255 + 0.5) for picture in (outcome.result, start)]
    assert outcome.psnr == pytest.approx(10 * math.log10(255**2 / np.mean((rounded[0] - rounded[1]) ** 2)))


def test_nearest_there_and_back_loses_nothing():
    outcome = measure(wave(11), Setting(scale=3, kernel="nearest", back=True))
    assert torch.equal(outcome.result, outcome.start)
    assert outcome.psnr == math.inf


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("back", [False, True])
def test_sizes_are_whole(scale, back):
    outcome = measure(wave(5), Setting(scale=scale, back=back))
    assert outcome.result.shape[-1] == (48 if back else 48 * scale)
    assert outcome.result.shape == outcome.reference.shape


def test_spectrum_of_a_wave_is_two_points_of_half_its_amplitude():
    x = torch.arange(48, dtype=torch.float64)
    level = spectrum((0.5 + 0.2 * torch.cos(2 * math.pi * 6 * x / 48)).expand(1, 3, 48, 48))
    assert level[24, 24 - 6].item() == pytest.approx(20 * math.log10(0.1))
    assert level[24, 24 + 6].item() == pytest.approx(-20)
    assert (level > -100).sum() == 2


def test_error_is_white_at_zero_red_above_and_blue_below():
    picture = np.asarray(error_colours(torch.tensor([[-1.0, -0.25, 0.0, 0.125, 0.25]]), reach=0.25))
    assert picture[0].tolist() == [[0, 0, 255], [0, 0, 255], [255, 255, 255], [255, 128, 128], [255, 0, 0]]


# --- the bench


@pytest.mark.parametrize(
    ("control", "value", "changed"),
    [  # which of source, result, error, spectrum of the source (and its frame), spectrum of the result
        ("kernel", "lanczos3", "result error after"),
        ("antialias", False, "result error after"),
        ("back", True, "result error after"),
        ("scale", 1 / 2, "result error before after"),
        ("source", "zone plate", "source result error before after"),
    ],
)
def test_each_control_changes_the_pictures(bench, control, value, changed):
    names = ("source", "result", "error", "before", "after")
    pictures = [picture.value for picture in bench._pictures]
    old = getattr(bench, control).value
    getattr(bench, control).value = value
    try:
        different = [one for one, old, new in zip(names, pictures, bench._pictures, strict=True) if old != new.value]
        assert different == changed.split()
        assert getattr(bench.setting, control) == value
    finally:
        getattr(bench, control).value = old
    assert [picture.value for picture in bench._pictures] == pictures


def test_antialias_is_offered_where_it_has_an_effect():
    bench = ResampleBench(wave(5), Setting(kernel="nearest"))
    assert bench.antialias.disabled
    bench.kernel.value = "cubic"
    assert not bench.antialias.disabled
    bench.scale.value = 2
    assert bench.antialias.disabled
    bench.back.value = True
    assert not bench.antialias.disabled


def test_two_threads_leave_what_the_later_control_says(monkeypatch):
    """JupyterLab answers controls from two threads; without care the earlier one may write last."""
    bench = ResampleBench(wave(5), Setting(kernel="nearest"))
    entered, answered = threading.Event(), threading.Event()

    def slow_at_first(start: torch.Tensor, setting: Setting) -> Outcome:
        if not entered.is_set():
            entered.set()
            answered.wait(0.3)  # would be long enough for the other control to be answered in between
        return measure(start, setting)

    monkeypatch.setattr(resample_bench, "measure", slow_at_first)
    earlier = threading.Thread(target=lambda: setattr(bench.scale, "value", 1 / 2))
    earlier.start()
    entered.wait(5)
    bench.kernel.value = "cubic"
    answered.set()
    earlier.join()
    assert not bench.antialias.disabled
    assert torch.equal(bench.outcome.result, measure(wave(5), Setting(scale=1 / 2, kernel="cubic")).result)


def test_zone_plate_is_enlarged_as_a_whole():
    bench = ResampleBench(wave(5, 240), Setting(source="zone plate", scale=8))
    assert torch.equal(bench.outcome.start, zone_plate(30))


def test_middle_of_the_picture_is_used():
    picture = torch.zeros(1, 3, 101, 300)
    picture[..., 50, 150] = 1
    start = ResampleBench(picture, Setting(scale=1 / 2)).outcome.start
    assert start.shape == (1, 3, 96, 96)
    assert start[0, 0, 48, 48] == 1


def test_effect_is_seen_within_a_tenth_of_a_second(bench):
    def seconds(scale: float) -> float:
        begin = time.process_time()  # of this process alone: others may be running
        bench.scale.value = scale
        return time.process_time() - begin

    taken = min(max(seconds(1 / 8), seconds(1 / 2), seconds(1 / 4)) for _ in range(5))
    assert taken < 0.1


def test_notebook_gets_the_live_view_a_still_and_the_numbers():
    bench = ResampleBench(wave(36, mean=0.52), Setting(scale=1 / 2, kernel="bilinear"), scene="fine stripes")
    kept = kept_by_notebook(bench)
    # 0.056 of the wave gets through, see above: 0.31 % of its energy. An ideal filter would give grey: 0.52 is level
    # 132.6, the wave swings by 0.4 * 0.056 * 0.707 * 255 = 4.0 levels about it, and in whole levels the error is 4.
    numbers = f"PSNR {20 * math.log10(255 / 4):.2f} dB, aliasing 0.3 %"
    assert kept.text == f"ResampleBench(picture, shrink by 2, bilinear, antialias, {numbers})"
    assert kept.alt.startswith("picture, shrink by 2, bilinear, antialias (fine stripes): source, result, error")
    assert "above the new limit: 100.0 % of the variance" in kept.alt


def test_still_holds_the_pictures_that_are_shown(bench):
    still = np.asarray(bench.still())
    assert still.shape == (2 * (240 + 44), 3 * 250 - 10, 3)
    assert np.array_equal(still[:240, :240], np.asarray(bench._panels[0].image))
    assert np.array_equal(still[284:524, 250:490], np.asarray(bench._panels[4].image))
    assert (still[300:420, 500:] < 128).any()  # the numbers


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (torch.zeros(1, 3, 47, 300), "a picture of 300x47 is too small"),
        (torch.zeros(3, 48, 48), r"a tensor of shape \(3, 48, 48\)"),
        (torch.full((1, 3, 48, 48), 1.01), r"outside \[0, 1\]"),
        (torch.full((1, 3, 48, 48), float("nan")), r"outside \[0, 1\]"),
    ],
)
def test_bad_pictures_are_refused_with_a_sentence(picture, said):
    with pytest.raises(ImageError, match=said):
        ResampleBench(picture)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"source": "photo"}, "no source 'photo'; choose from picture, zone plate"),
        ({"kernel": "bicubic"}, "no kernel 'bicubic'; choose from nearest"),
        ({"scale": 1 / 5}, "no scale 0.2; choose from 1/8"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(wrong, said):
    with pytest.raises(ValueError, match=said):
        Setting(**wrong)
