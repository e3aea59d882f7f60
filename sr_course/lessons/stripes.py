"""A stripe of unknown phase: a toy of super-resolution in which every right answer is known.

A pattern that repeats after four pixels shrinks, by bicubic and a factor of 4, to one even grey, wherever its stripes
lie. So the small picture does not tell the phase, all phases are right, and what a loss asks for can be computed
instead of trained: the guess whose loss, averaged over the right answers, is smallest.

Why it vanishes exactly: the Fourier transform of the cubic kernel is 0 at every whole number but 0 (that is why it
keeps a constant constant; Keys 1981), and the waves of such a pattern make one or two turns from a small pixel to the
next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PERIOD = 4  # pixels, and the scale
WIRE = (1.0, 0.0, 0.0, 0.0)
"""A thin bright line on black: one pixel in four is white."""

_STEPS = 200  # of the bisection: more than double precision can tell apart


def phases(pattern: Sequence[float] = WIRE, length: int = 16) -> Tensor:
    """Every right answer to a stripe: the pattern, begun at each of its pixels in turn.

    Args:
        pattern: levels of one period, in [0, 1].
        length: pixels of an answer.

    Returns:
        `(len(pattern), length)` float64.
    """
    row = torch.tensor(pattern, dtype=torch.float64)
    places = torch.arange(length)
    return torch.stack([row[(places - start) % len(row)] for start in range(len(row))])


def waves(count: int, amplitude: float = 0.5, length: int = 16) -> Tensor:
    """Sinusoids about a mid-grey with a period of four pixels, at `count` evenly spaced phases: `(count, length)`."""
    start = torch.arange(count, dtype=torch.float64)[:, None] / count
    turns = torch.arange(length, dtype=torch.float64) / PERIOD + start
    return 0.5 + amplitude * torch.sin(2 * math.pi * turns)


def risk(guess: Tensor, truths: Tensor, power: float = 2.0) -> float:
    """What a guess costs on average when any of the truths may be the right one.

    Args:
        guess: `(length,)`; or `(guesses, length)`, of which one is drawn, each as likely.
        truths: `(truths, length)`, each as likely.
        power: of the absolute error, averaged over the pixels: 2 is the squared error, 1 the absolute one.
    """
    apart = guess.reshape(-1, 1, guess.shape[-1]) - truths
    return apart.abs().pow(power).mean().item()


def best_guess(truths: Tensor, power: float = 2.0) -> Tensor:
    """The guess `(length,)` of the smallest risk, pixel by pixel.

    For powers above 1 the slope of the risk rises with the guess, and where it passes 0 is found by halving an interval
    over and over; nothing is known of means there. For the power 1 the answer is the median, the lower one where two
    are as good.

    Raises:
        ValueError: the power is below 1: then the risk has many valleys.
    """
    if not 1 <= power < math.inf:
        raise ValueError(f"the power is {power}; from 1 on the risk has one valley, below it has many.")
    if power == 1:
        return truths.median(dim=0).values
    low, high = truths.amin(dim=0), truths.amax(dim=0)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        apart = middle - truths
        rising = (apart.sign() * apart.abs().pow(power - 1)).sum(dim=0) > 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2


def best_grey(white: float, power: float = 2.0) -> float:
    """The best guess for a pixel that is white with a probability and black else, in closed form.

    The risk w (1 - g)^p + (1 - w) g^p has its smallest value at g = 1 / (1 + ((1 - w) / w)^(1 / (p - 1))): the share
    of white itself for p = 2, the middle for very large p. For p = 1 it is the likelier of black and white.

    Raises:
        ValueError: a probability outside (0, 1), or a power below 1.
    """
    if not 0 < white < 1:
        raise ValueError(f"the probability of white is {white}; it lies between 0 and 1.")
    if not 1 <= power < math.inf:
        raise ValueError(f"the power is {power}; from 1 on the risk has one valley, below it has many.")
    if power == 1:
        return float(white > 0.5)
    return float(1 / (1 + ((1 - white) / white) ** (1 / (power - 1))))


@dataclass(frozen=True)
class Verdict:
    """What the best discriminator says.

    Attributes:
        real: D of each truth, `(truths,)`.
        made: D of each guess, `(guesses,)`.
        loss: of this discriminator, -mean log D(real) - mean log(1 - D(made)): 0 where it is never wrong, 2 ln 2 where
            it can only toss a coin.
    """

    real: Tensor
    made: Tensor
    loss: float


def best_discriminator(truths: Tensor, guesses: Tensor) -> Verdict:
    """Judge made pictures by the discriminator that no training can better: p / (p + q).

    p is how likely a picture is among the truths, q among the guesses; each row is as likely as the others of its kind.

    Args:
        truths: `(truths, length)`.
        guesses: `(guesses, length)`: all that a generator may answer.

    Source: Goodfellow et al. 2014, "Generative adversarial nets", proposition 1 and eq. 1.
    """
    real, made = _judged(truths, truths, guesses), _judged(guesses, truths, guesses)
    loss = -torch.log(real).mean() - torch.log1p(-made).mean()
    return Verdict(real=real, made=made, loss=loss.item() + 0.0)  # + 0.0: no minus before a loss of 0


def _judged(pictures: Tensor, truths: Tensor, guesses: Tensor) -> Tensor:
    p, q = ((pictures[:, None] - among).abs().amax(dim=-1).lt(1e-9).double().mean(dim=1) for among in (truths, guesses))
    return p / (p + q)
