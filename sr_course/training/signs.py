"""Signs of health in adversarial training, computed in every step, and what they mean when they stay.

A GAN has no loss that falls when all is well. So each line of the run log holds signs: what the discriminator answers,
who pulls how hard on the pictures, and what the pictures have that photographs have not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

DIAGNOSTICS = "diagnostics/"
"""What the names of signs begin with in what a step returns."""

Signs: TypeAlias = Mapping[str, float | None]
"""The signs of one line of the run log."""

_BLUR = 5  # pixels: details are what a mean over so many, each way, takes away


def answer_signs(real: Tensor, fake: Tensor, *, relative: bool = False) -> dict[str, Tensor]:
    """What the discriminator answers, from its logits `(N, 1)`.

    Args:
        real: on photographs.
        fake: on made pictures.
        relative: it was asked which of the two kinds is the more real, so that a logit means something beside the mean
            of the others alone, and all of them may drift; otherwise a logit above 0 says "photograph".

    Returns:
        `logit_real`, `logit_fake`: the means; `accuracy`: the share of right answers, 0 to 1.
    """
    right = torch.cat([real > (fake.mean() if relative else 0), fake < (real.mean() if relative else 0)]).float().mean()
    return {"logit_real": real.mean(), "logit_fake": fake.mean(), "accuracy": right}


@torch.no_grad()
def picture_signs(sr: Tensor, lr: Tensor, hr: Tensor) -> dict[str, Tensor]:
    """What made pictures have that photographs have not.

    Args:
        sr, hr: `(N, 3, scale * h, scale * w)` in [0, 1].
        lr: `(N, 3, h, w)`.

    Returns:
        `detail_ratio`: the mean absolute detail of `sr`, in units of that of `hr`: below 1 is soft, above 1 rough.
        `pattern`: how alike the details of different pictures are, the mean absolute cosine between them: near 0 where
        each has its own, near 1 where all have the same.
        `checkerboard`: the part of the detail that repeats with the period of the scale, as a share of the detail's
        standard deviation.
        `colour_shift`: the largest difference of a channel's mean from that of `lr`, levels of 255.
    """
    scale = sr.shape[-1] // lr.shape[-1]
    made, true = _detail(sr), _detail(hr)
    spread = made.std() + 1e-8
    return {
        "detail_ratio": made.abs().mean() / (true.abs().mean() + 1e-8),
        "pattern": _likeness(made),
        "checkerboard": _grid(made, scale).std(correction=0) / spread,
        "colour_shift": 255 * (sr.mean(dim=(0, 2, 3)) - lr.mean(dim=(0, 2, 3))).abs().max(),
    }


def _detail(pictures: Tensor) -> Tensor:
    """Grey pictures `(N, 1, H, W)` without what is smooth in them."""
    grey = pictures.mean(dim=1, keepdim=True)
    smooth = F.avg_pool2d(grey, _BLUR, stride=1, padding=_BLUR // 2, count_include_pad=False)
    return grey - smooth


def _likeness(details: Tensor) -> Tensor:
    vectors = F.normalize(details.flatten(1), dim=1)
    cosines = (vectors @ vectors.T).abs()
    count = len(vectors)
    others = count * (count - 1)
    return (cosines.sum() - cosines.diagonal().sum()) / max(others, 1)


def _grid(details: Tensor, period: int) -> Tensor:
    """The mean of each of the `period * period` places in a square of the grid."""
    down, across = (side // period for side in details.shape[-2:])
    squares = details.reshape(-1, down, period, across, period)
    return squares.mean(dim=(0, 1, 3))  # (period, period)


@dataclass(frozen=True)
class Alarm:
    """An illness, noticed at a step, and a sentence that says what was seen and what to do."""

    step: int
    illness: str
    says: str


WINDOW = 5
"""Lines of the run log whose mean decides: single lines jump about."""


@dataclass(frozen=True)
class _Illness:
    name: str
    holds: Callable[[Mapping[str, float]], bool]
    says: str


ILLNESSES = (
    _Illness(
        "discriminator wins",
        lambda s: s["accuracy"] > 0.99 and s["logit_real"] - s["logit_fake"] > 10,
        "the discriminator is right in {accuracy:.0%} of its answers and its logits are {gap:.1f} apart: the generator "
        "cannot convince it by any small change. Lower the discriminator's learning rate or its width, or pretrain the "
        "generator longer.",
    ),
    _Illness(
        "adversary ignored",
        lambda s: s["pull_adversarial"] < 0.02 * s["pull_content"],
        "the adversary pulls {pull:.2g} times as hard on the pictures as the content terms: the generator ignores it. "
        "Raise the weight of the term adversarial.",
    ),
    _Illness(
        "mode collapse",
        lambda s: s["pattern"] > 0.3,
        "the details of different pictures are alike (cosine {pattern:.2f}): the generator paints one pattern on "
        "everything. Go back to an earlier checkpoint with a lower weight of the term adversarial.",
    ),
    _Illness(
        "checkerboard",
        lambda s: s["checkerboard"] > 0.25,
        "a grid with the period of the scale makes up {checkerboard:.0%} of the detail. Begin the sub-pixel stages "
        "with icnr, and look whether the discriminator is too strong.",
    ),
    _Illness(
        "colour shift",
        lambda s: s["colour_shift"] > 5,
        "a channel is {colour_shift:.1f} levels away from the low-resolution pictures on average. Add a small pixel "
        "term, such as l1=0.01.",
    ),
)
"""What is looked for, and how it is told."""


def illnesses(step: int, lines: Sequence[Signs]) -> list[Alarm]:
    """Tell which illnesses the newest lines of a run log show.

    Args:
        step: of the newest line.
        lines: the signs of the lines, oldest first; the last `WINDOW` decide, and with fewer nothing is said. A sign
            that overflowed is None, and its line tells nothing.
    """
    newest = [finite for line in lines[-WINDOW:] if len(finite := _finite(line)) == len(line)]
    if len(newest) < WINDOW:
        return []
    mean = {name: sum(line[name] for line in newest) / WINDOW for name in newest[-1]}
    told = {
        **mean,
        "gap": mean["logit_real"] - mean["logit_fake"],
        "pull": mean["pull_adversarial"] / max(mean["pull_content"], 1e-30),
    }
    return [Alarm(step, one.name, one.says.format(**told)) for one in ILLNESSES if one.holds(mean)]


def _finite(signs: Signs) -> dict[str, float]:
    return {name: value for name, value in signs.items() if value is not None}
