"""The self-checks of lesson 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons.checks import Exercise, as_when, missing, shown
from sr_course.metrics import Protocol, psnr
from sr_course.resample import cubic, imresize

_AREA_AVERAGE = Exercise(
    number="1.1",
    hints=(
        "`row[::n]` keeps a pixel and drops its neighbours. Here each of the `n` neighbours counts alike.",
        "`row.reshape(-1, n)` lays `n` neighbours into each line of a table; then take the mean of each line.",
    ),
    answer="return row.reshape(-1, n).mean(dim=1)",
)
_CUBIC_A = Exercise(
    number="1.2",
    hints=(
        "Subtract 3 times the first equation from the second: -q - 3 = a. In the code, begin with x = x.abs(), "
        "and let each piece count only at its own distances.",
        "p = a + 2 and q = -(a + 3). At a = -0.5 they are 1.5 and -2.5, as in the lesson.",
    ),
    answer=(
        "near = (a + 2) * x**3 - (a + 3) * x**2 + 1 and far = a * (x**3 - 5 * x**2 + 8 * x - 4), with x = x.abs(); "
        "return near * (x <= 1) + far * ((x > 1) & (x < 2))"
    ),
)
_PSNR_Y = Exercise(
    number="1.3",
    hints=(
        "Luma first, in levels 16 to 235; then the border; then the mean of the squared errors; then 10 * log10.",
        "picture[:, 0:1] is the red channel. Slices up to -border are empty when border is 0: "
        "use height - border and width - border.",
    ),
    answer=(
        "y = 16 + 65.481 * p[:, 0] + 128.553 * p[:, 1] + 24.966 * p[:, 2] for both pictures, "
        "mse = ((y_sr - y_hr)[..., border : height - border, border : width - border] ** 2).mean(), "
        "return 10 * torch.log10(255**2 / mse)"
    ),
)
_PROTOCOL = Exercise(
    number="1.4",
    hints=(
        "Look at the table above: only one channel comes near 26.298 dB. A border of up to 8 moves it by 0.2 dB.",
        'Three loops: for channel in ("rgb", "y-full", "y"), for border in range(9), for round_y in (False, True). '
        "Compare to three decimals, for rounding moves the number by 0.004 dB only.",
    ),
    answer='Protocol(name="found", channel="y-full", border=8, round_y=True)',
)

_REPORTED = 26.298  # dB; luma over 0..255, border 8, luma rounded


def check_area_average(area_average: Callable[[Tensor, int], Any]) -> None:
    """Check a function that shrinks a row by `n`, each new value the mean of `n` old ones."""
    stripes, ramp = [0.0, 1.0] * 4, [float(value) for value in range(12)]
    for values, n in ((stripes, 2), (ramp, 3), (ramp, 4)):
        came = _AREA_AVERAGE.ask(area_average, torch.tensor(values), n)
        if came is None:
            return None
        expected = [sum(values[start : start + n]) / n for start in range(0, len(values), n)]
        given = _numbers(came)
        if given is None or not _near(given, expected):
            said = shown(came) if given is None else _listed(given)
            return _AREA_AVERAGE.wrong(f"{_listed(expected)} for {_listed(values)} and n = {n}", said)
    return _AREA_AVERAGE.right("The striped wall stays grey wherever you start.")


def check_cubic_a(cubic_a: Callable[[Any, float], Any]) -> None:
    """Check a cubic kernel with free slope `a`, written for a tensor of distances or for one distance."""
    distances = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 4.0, -0.5, -1.5]
    for a in (-0.5, -0.75, -1.0):
        came = _CUBIC_A.ask(_at_each, cubic_a, distances, a)
        if came is None:
            return None
        expected = cubic(a).weight(torch.tensor(distances, dtype=torch.float64)).tolist()
        given = _numbers(came)
        if given is None or len(given) != len(distances):
            return _CUBIC_A.wrong("one weight for each distance", shown(came))
        for x, right, value in zip(distances, expected, given, strict=True):
            if not _near([value], [right]):
                return _CUBIC_A.wrong(f"{right:.4f} at distance {x:g} with a = {a:g}", f"{value:.4f}")
    return _CUBIC_A.right(
        "With a = -0.75 it is PyTorch's kernel.\n"
        "Only with -0.5 does it hit every parabola: in the middle of 1, 4, 9, 16 it gives 6.25 = 2.5 * 2.5;\n"
        "with -0.75 it gives 6.125."
    )


def check_psnr_y(psnr_y: Callable[[Tensor, Tensor, int], Any]) -> None:
    """Check a function that gives the PSNR of RGB pictures in [0, 1] on their luma, without a border."""
    # Each border has an error of its own, so that a border not cut, or cut by one too many, is seen.
    random = torch.Generator().manual_seed(1)
    hr = torch.rand(1, 3, 24, 32, generator=random)
    error = 0.4 * torch.rand(1, 3, 24, 32, generator=random)  # large beside the rounding to 8 bits
    error[..., 4:-4, 4:-4] *= 0.5
    sr = (hr + error).clamp(0, 1)
    for border in (4, 0, 1):
        came = _PSNR_Y.ask(psnr_y, sr.clone(), hr.clone(), border)
        if came is None:
            return None
        right = psnr(sr, hr, _luma(border)).item()
        given = _numbers(came)
        if given is None or len(given) != 1:
            return _PSNR_Y.wrong("one number", shown(came))
        if not abs(given[0] - right) < 0.01:  # true of NaN as well; rounding moves less than 0.01 dB
            return _PSNR_Y.wrong(
                f"{right:.2f} dB with border {border}", f"{given[0]:.2f}{_likely_slip(given[0], sr, hr, border)}"
            )
    return _PSNR_Y.right("You can now check the tables of the papers.")


def check_protocol(found: Any) -> None:
    """Check a protocol under which bicubic x4 on the gibbon has the reported PSNR."""
    if missing(found):
        return _PROTOCOL.unsolved()
    if not isinstance(found, Protocol):
        return _PROTOCOL.wrong('a protocol, such as Protocol(name="found", channel="y", border=4)', shown(found))
    gibbon = images.read(photo("gibbon").path)
    sr = imresize(bicubic_lr(gibbon, 4), 4).clamp(0, 1)
    try:
        came = psnr(sr, gibbon, found).item()
    except Exception as error:  # a channel or border that does not exist
        return _PROTOCOL.failed(error)
    if not abs(came - _REPORTED) < 0.0015:  # not a number is wrong too
        return _PROTOCOL.wrong(f"{_REPORTED} dB", f"{came:.3f} dB ({found})")
    return _PROTOCOL.right(
        f"{came:.3f} dB with channel {found.channel}, border {found.border}, "
        f"luma {'' if found.round_y else 'not '}rounded.\nA paper that names its protocol saves you the search."
    )


def _at_each(kernel: Callable[[Any, float], Any], distances: list[float], a: float) -> Any:
    """What the kernel gives for all distances at once; one by one where it is written for a single number."""
    try:
        together = kernel(torch.tensor(distances, dtype=torch.float64), a)
        if missing(together) or len(_numbers(together) or []) == len(distances):
            return together
    except Exception as error:  # perhaps it cannot take a tensor
        try:
            return [kernel(x, a) for x in distances]
        except Exception:
            raise error from None
    return together


def _likely_slip(came: float, sr: Tensor, hr: Tensor, border: int) -> str:
    """What the learner has probably done, or nothing when no usual slip gives this number."""
    right = psnr(sr, hr, _luma(border)).item()
    slips = {
        "the border is not cut": psnr(sr, hr, _luma(0)).item(),
        "all three channels are compared": psnr(sr, hr, _luma(border, "rgb")).item(),
        "luma spans 0 to 255": psnr(sr, hr, _luma(border, "y-full")).item(),
        "the peak is 1 and not 255": right - 20 * math.log10(255),
        "luma is in [0, 1] and the peak 255": right + 20 * math.log10(255),
        "the logarithm is to base e": right * math.log(10),
        "the factor 10 is missing": right / 10,
        "the peak is not squared": right - 10 * math.log10(255),
    }
    return as_when(slips, lambda value: abs(value - came) < 0.01)


def _luma(border: int, channel: Any = "y") -> Protocol:
    return Protocol(name="check", channel=channel, round_rgb=False, border=border)


def _numbers(came: Any) -> list[float] | None:
    """Numbers of any kind (float, list, numpy, torch; of any shape) in one list, or None where they are no numbers."""
    try:
        if isinstance(came, (list, tuple)):
            came = [float(value) for value in came]
        values: list[float] = torch.as_tensor(came).detach().double().flatten().tolist()
    except (TypeError, ValueError, RuntimeError):
        return None
    return values


def _near(values: list[float], expected: list[float]) -> bool:
    return len(values) == len(expected) and all(
        abs(value - right) < 1e-5 for value, right in zip(values, expected, strict=True)
    )


def _listed(values: list[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"
