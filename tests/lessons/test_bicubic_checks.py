"""The checks of lesson 1: several right answers, several typical wrong ones, and what the lesson says of its widget."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sr_course.lessons import bicubic
from sr_course.metrics import MATLAB_Y, Protocol, psnr
from sr_course.resample import imresize
from sr_course.widgets.resample_bench import ResampleBench, Setting
from tests.lessons.exercises import is_wrong, said_by

# 1.1 -----------------------------------------------------------------------------------------------------------------


def loop_average(row, n):
    return [sum(row[start : start + n]) / n for start in range(0, len(row), n)]


@pytest.mark.parametrize(
    "area_average",
    [
        lambda row, n: row.reshape(-1, n).mean(dim=1),
        loop_average,
        lambda row, n: np.asarray(row).reshape(-1, n).mean(axis=1),
        lambda row, n: F.avg_pool1d(row[None], n),
        lambda row, n: imresize(row[None].repeat(n, 1), 1 / n, kernel="box"),
        lambda row, n: sum(row[offset::n] for offset in range(n)) / n,
        lambda row, n: tuple(float(part.mean()) for part in row.split(n)),
    ],
    ids=["reshape", "loop", "numpy", "pooling", "imresize", "slices", "floats"],
)
def test_right_averages(area_average, capsys):
    assert said_by(bicubic.check_area_average, area_average, capsys).startswith("Exercise 1.1: right.")


@pytest.mark.parametrize(
    ("area_average", "came"),
    [
        (lambda row, n: row[::n], "[0, 0, 0, 0]"),
        (lambda row, n: row.reshape(-1, n).sum(dim=1), "[1, 1, 1, 1]"),
        (lambda row, n: row.reshape(n, -1).mean(dim=0), "[0, 1, 0, 1]"),
        (lambda row, n: row.reshape(-1, 2).mean(dim=1), "[0.5, 2.5, 4.5, 6.5, 8.5, 10.5]"),
        (lambda row, n: row.mean(), "[0.5]"),
        (lambda row, n: "grey", "'grey'"),
        (lambda row, n: row.reshape(-1, 5).mean(dim=1), "RuntimeError"),
    ],
    ids=["every nth", "sum", "wrong neighbours", "always 2", "one mean", "text", "error"],
)
def test_wrong_averages(area_average, came, capsys):
    assert is_wrong(said_by(bicubic.check_area_average, area_average, capsys), came)


# 1.2 -----------------------------------------------------------------------------------------------------------------


def masked(x, a):
    x = x.abs()
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return near * (x <= 1) + far * ((x > 1) & (x < 2))


def one_by_one(x, a):
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0


def by_numpy(x, a):
    x = np.abs(np.asarray(x))
    pieces = [((a + 2) * x - (a + 3)) * x**2 + 1, a * (x - 1) * (x - 2) ** 2]
    return np.select([x < 1, x < 2], pieces, 0.0)


def lerp(x, a):
    """In a the kernel is linear, so two of them give all: Keys' cubic, and the one of slope 0."""
    return masked(x, 0.0) + (masked(x, -0.5) - masked(x, 0.0)) * a / -0.5


@pytest.mark.parametrize("cubic_a", [masked, one_by_one, by_numpy, lerp, lambda x, a: masked(x.float(), a).tolist()])
def test_right_kernels(cubic_a, capsys):
    said = said_by(bicubic.check_cubic_a, cubic_a, capsys)
    assert said.startswith("Exercise 1.2: right.")


def test_only_half_hits_parabolas_as_the_check_says(capsys):
    squares, distances = torch.tensor([1.0, 4, 9, 16]), torch.tensor([1.5, 0.5, 0.5, 1.5])
    assert float(squares @ masked(distances, -0.5)) == 6.25
    assert float(squares @ masked(distances, -0.75)) == 6.125
    said = said_by(bicubic.check_cubic_a, masked, capsys)
    assert "6.25 = 2.5 * 2.5" in said
    assert "6.125" in said


def without_abs(x, a):
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return near * (x <= 1) + far * ((x > 1) & (x < 2))


def endless(x, a):
    x = x.abs()
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    return torch.where(x <= 1, near, a * (x**3 - 5 * x**2 + 8 * x - 4))


@pytest.mark.parametrize(
    ("cubic_a", "words"),
    [
        (lambda x, a: masked(x, -0.5), ("0.8789 at distance 0.25 with a = -0.75", "0.8672")),
        (lambda x, a: masked(x, -0.75), ("a = -0.5",)),
        (lambda x, a: masked(x, -a), ("a = -0.5",)),
        (without_abs, ("at distance -0.5",)),
        (endless, ("0.0000 at distance 2.5",)),
        (lambda x, a: masked(x, a) * (x.abs() <= 1), ("at distance 1.25",)),
        (lambda x, a: masked(x, a).sum(), ("one weight for each distance", "shape ()")),
        (lambda x, a: "a bell", ("a bell",)),
        (lambda x, a: masked(x, a) / 0, ("inf",)),
        (lambda x, a: undefined_name, ("NameError",)),  # noqa: F821
    ],
    ids=["always -0.5", "always -0.75", "sign", "no abs", "no end", "near only", "sum", "text", "infinite", "error"],
)
def test_wrong_kernels(cubic_a, words, capsys):
    assert is_wrong(said_by(bicubic.check_cubic_a, cubic_a, capsys), *words)


# 1.3 -----------------------------------------------------------------------------------------------------------------


def luma_of(p):
    return 16 + 65.481 * p[:, 0] + 128.553 * p[:, 1] + 24.966 * p[:, 2]


def cut(p, border):
    return p[..., border : p.shape[-2] - border, border : p.shape[-1] - border]


def mse_of(sr, hr, border):
    return (cut(luma_of(sr), border) - cut(luma_of(hr), border)).square().mean()


def by_loops(sr, hr, border):
    total, count = 0.0, 0
    left, right = luma_of(sr)[0].tolist(), luma_of(hr)[0].tolist()
    for y in range(border, len(left) - border):
        for x in range(border, len(left[0]) - border):
            total += (left[y][x] - right[y][x]) ** 2
            count += 1
    return 10 * math.log10(255**2 / (total / count))


def rounded(sr, hr, border):
    return psnr(sr, hr, Protocol(name="rounded", round_y=True, border=border))


@pytest.mark.parametrize(
    "psnr_y",
    [
        lambda sr, hr, border: 10 * torch.log10(255**2 / mse_of(sr, hr, border)),
        lambda sr, hr, border: 20 * math.log10(255 / math.sqrt(mse_of(sr, hr, border))),
        lambda sr, hr, border: 10 * np.log10(255**2 / mse_of(sr, hr, border).numpy()),
        by_loops,
        lambda sr, hr, border: psnr(sr, hr, Protocol(name="module", border=border)),
        rounded,
    ],
    ids=["torch", "float", "numpy", "loops", "module, shape (1,)", "rounded"],
)
def test_right_psnrs(psnr_y, capsys):
    assert said_by(bicubic.check_psnr_y, psnr_y, capsys).startswith("Exercise 1.3: right.")


def minus_slice(sr, hr, border):
    error = (luma_of(sr) - luma_of(hr))[..., border:-border, border:-border]
    return 10 * torch.log10(255**2 / error.square().mean())


@pytest.mark.parametrize(
    ("psnr_y", "words"),
    [
        (lambda sr, hr, border: 10 * torch.log10(255**2 / mse_of(sr, hr, 0)), ("border 4", "the border is not cut")),
        (lambda sr, hr, border: 10 * torch.log10(1 / mse_of(sr, hr, border)), ("the peak is 1",)),
        (lambda sr, hr, border: 10 * torch.log(255**2 / mse_of(sr, hr, border)), ("base e",)),
        (lambda sr, hr, border: torch.log10(255**2 / mse_of(sr, hr, border)), ("the factor 10",)),
        (lambda sr, hr, border: 10 * torch.log10(255 / mse_of(sr, hr, border)), ("the peak is not squared",)),
        (lambda sr, hr, border: 10 * torch.log10(255**4 / mse_of(sr, hr, border)), ("luma is in [0, 1]",)),
        (
            lambda sr, hr, border: 10 * torch.log10(1 / (cut(sr, border) - cut(hr, border)).square().mean()),
            ("all three channels",),
        ),
        (lambda sr, hr, border: psnr(sr, hr, Protocol(name="", channel="y-full", border=border)), ("0 to 255",)),
        (lambda sr, hr, border: 10 * torch.log10(219**2 / mse_of(sr, hr, border)), ("dB with border 4",)),
        (lambda sr, hr, border: 10 * torch.log10(255**2 / mse_of(sr, hr, 4)), ("dB with border 0",)),
        (lambda sr, hr, border: mse_of(sr, hr, border), ("dB with border 4",)),
        (minus_slice, ("dB with border 0", "nan")),
        (lambda sr, hr, border: cut(luma_of(sr), border), ("one number", "a Tensor of shape (1, 16, 24)")),
        (lambda sr, hr, border: sr.nothing, ("AttributeError",)),
    ],
    ids=[
        *("no border", "peak 1", "base e", "no 10", "peak not squared", "peak doubled", "rgb", "full range"),
        *("peak 219", "always 4", "mse", "minus zero", "a picture", "error"),
    ],
)
def test_wrong_psnrs(psnr_y, words, capsys):
    assert is_wrong(said_by(bicubic.check_psnr_y, psnr_y, capsys), *words)


# 1.4 -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_rgb", [True, False])
def test_every_protocol_with_the_reported_number_is_right(round_rgb, capsys):
    found = Protocol(name="mine", channel="y-full", border=8, round_y=True, round_rgb=round_rgb)
    assert said_by(bicubic.check_protocol, found, capsys).startswith("Exercise 1.4: right. 26.29")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Protocol(name="", channel="y-full", border=8), ("26.298 dB", "26.303 dB")),
        (Protocol(name="", channel="y-full", border=4, round_y=True), ("26.206 dB",)),
        (Protocol(name="", channel="y", border=8, round_y=True), ("27.617 dB",)),
        (MATLAB_Y, ("27.532 dB",)),
        (Protocol(name="", channel="y-full", border=500), ("ValueError", "border of 500")),
        (Protocol(name="", channel="y-full", border=8.0, round_y=True), ("TypeError",)),
        ("y-full, border 8", ("y-full, border 8",)),
        (26.298, ("a protocol",)),
    ],
)
def test_wrong_protocols(found, words, capsys):
    assert is_wrong(said_by(bicubic.check_protocol, found, capsys), *words)


# All -----------------------------------------------------------------------------------------------------------------

CHECKS = {
    "1.1": (bicubic.check_area_average, loop_average),
    "1.2": (bicubic.check_cubic_a, masked),
    "1.3": (bicubic.check_psnr_y, by_loops),
    "1.4": (bicubic.check_protocol, Protocol(name="mine", channel="y-full", border=8, round_y=True)),
}


def test_the_numbers_that_the_lesson_gives_for_its_bench():
    summaries = {
        kernel: ResampleBench(setting=Setting(source="zone plate", kernel=kernel)).summary()
        for kernel in ("bilinear", "cubic", "lanczos3")
    }
    assert "PSNR 27.99 dB, aliasing 0.2 %" in summaries["bilinear"]
    assert "PSNR 30.51 dB, aliasing 0.4 %" in summaries["cubic"]
    assert "PSNR 33.02 dB, aliasing 0.3 %" in summaries["lanczos3"]
