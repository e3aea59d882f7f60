"""The toy of lesson 4: what is computed agrees with closed forms to 1e-6, and the small picture knows no phase."""

from __future__ import annotations

import math

import pytest
import torch

from sr_course.lessons.stripes import (
    WIRE,
    best_discriminator,
    best_grey,
    best_guess,
    phases,
    risk,
    waves,
)
from sr_course.resample import imresize


def small(rows: torch.Tensor) -> torch.Tensor:
    """Each row as a picture, shrunk as everywhere in the course, away from its ends, where it is mirrored."""
    pictures = rows[:, None, None].expand(-1, 1, 16, -1)
    return imresize(pictures, 1 / 4)[..., 2:-2]


# --- the small picture


@pytest.mark.parametrize("pattern", [WIRE, (0.0, 1.0, 0.0, 1.0), (1.0, 1.0, 1.0, 0.0), (0.1, 0.9, 0.3, 0.7)])
def test_every_phase_shrinks_to_the_same_grey(pattern):
    truths = phases(pattern, 32)
    assert len({tuple(row.tolist()) for row in truths}) == (2 if pattern[:2] == pattern[2:] else 4)
    assert (small(truths) - sum(pattern) / 4).abs().max() < 1e-12
    assert (small(waves(9, length=32)) - 0.5).abs().max() < 1e-12


def test_a_pattern_of_another_period_does_not_vanish():
    """So it is no matter of course."""
    assert small(phases((1.0, 1.0, 1.0, 0.0, 0.0, 0.0), 32)).std() > 0.01


def test_phases_are_the_pattern_moved():
    assert phases(WIRE, 6).tolist() == [
        [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0],
    ]  # fmt: skip


# --- what the losses want


@pytest.mark.parametrize("white", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("power", [1.25, 1.5, 2.0, 3.0, 8.0, 40.0])
def test_best_guess_is_the_closed_form(white, power):
    pattern = [1.0] * round(4 * white) + [0.0] * round(4 - 4 * white)
    truths = phases(pattern)
    grey = best_grey(white, power)
    assert best_guess(truths, power).tolist() == pytest.approx([grey] * 16, abs=1e-6)
    expected = white * (1 - grey) ** power + (1 - white) * grey**power
    assert risk(best_guess(truths, power), truths, power) == pytest.approx(expected, abs=1e-6)


def test_squared_error_wants_the_mean():
    assert best_grey(0.25, 2) == 0.25
    truths = torch.rand(7, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert best_guess(truths) == pytest.approx(truths.mean(dim=0), abs=1e-6)
    # bias and variance: any other guess costs its squared distance from the mean more
    other = torch.rand(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    extra = (other - truths.mean(dim=0)).square().mean().item()
    assert risk(other, truths) == pytest.approx(risk(best_guess(truths), truths) + extra, abs=1e-6)


def test_absolute_error_wants_the_median():
    assert best_guess(phases(WIRE), 1).tolist() == [0.0] * 16
    assert best_guess(phases((1.0, 1.0, 1.0, 0.0)), 1).tolist() == [1.0] * 16
    assert (best_grey(0.25, 1), best_grey(0.75, 1)) == (0, 1)
    truths = torch.rand(7, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    best = best_guess(truths, 1)
    for move in (-1e-3, 1e-3):
        assert risk(best + move, truths, 1) > risk(best, truths, 1)


def test_a_large_power_wants_the_middle():
    assert best_grey(0.25, 1000) == pytest.approx(0.5, abs=1e-3)
    assert best_guess(phases(WIRE), 1000)[0].item() == pytest.approx(best_grey(0.25, 1000), abs=1e-6)


def test_wires_in_closed_form():
    """Of four pixels one is white: the errors of grey, of black and of a wire that was drawn."""
    truths = phases(WIRE)
    grey, black = torch.full((16,), 0.25, dtype=torch.float64), torch.zeros(16, dtype=torch.float64)
    found = [[risk(guess, truths, power) for power in (2, 1)] for guess in (grey, black, truths[:1], truths)]
    # grey: 0.25 (1 - 0.25)^2 + 0.75 0.25^2; a drawn wire is wrong in two of four pixels, unless it is the right one
    expected = [[0.1875, 0.375], [0.25, 0.25], [0.375, 0.375], [0.375, 0.375]]
    assert torch.tensor(found, dtype=torch.float64) == pytest.approx(torch.tensor(expected).double(), abs=1e-6)


@pytest.mark.parametrize("amplitude", [0.5, 0.2])
def test_waves_in_closed_form(amplitude):
    """A wave of any phase: the best guess is grey; a drawn one has twice the squared error, 4/pi of the absolute."""
    truths = waves(1024, amplitude, length=4)
    for power in (1, 2, 3):
        assert best_guess(truths, power).tolist() == pytest.approx([0.5] * 4, abs=1e-2 if power == 1 else 1e-6)
    grey = torch.full((4,), 0.5, dtype=torch.float64)
    assert risk(grey, truths) == pytest.approx(amplitude**2 / 2, abs=1e-6)
    assert risk(truths, truths) == pytest.approx(amplitude**2, abs=1e-6)
    assert risk(grey, truths, 1) == pytest.approx(2 * amplitude / math.pi, abs=1e-6)
    assert risk(truths, truths, 1) == pytest.approx(8 * amplitude / math.pi**2, abs=1e-6)


def test_a_drawn_answer_costs_twice_the_best_one():
    """For any truths: the mean squared distance of two independent draws is twice the variance."""
    truths = torch.rand(9, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert risk(truths, truths) == pytest.approx(2 * risk(best_guess(truths), truths), abs=1e-6)


# --- what a discriminator says


def test_the_best_discriminator_of_wires():
    truths = phases(WIRE)
    grey = torch.full((1, 16), 0.25, dtype=torch.float64)
    of_grey, of_one, of_all = (best_discriminator(truths, made) for made in (grey, truths[:1], truths))
    assert of_grey.made.tolist() == [0]
    assert of_grey.real.tolist() == [1, 1, 1, 1]
    assert of_grey.loss == 0
    assert of_one.made.tolist() == pytest.approx([1 / 5])  # p = 1/4, q = 1
    assert of_one.loss == pytest.approx(-math.log(1 / 5) / 4 - math.log(4 / 5), abs=1e-6)
    assert of_all.made.tolist() == [0.5] * 4
    assert of_all.loss == pytest.approx(2 * math.log(2), abs=1e-6)


def test_no_discriminator_does_better():
    """Goodfellow et al. 2014, proposition 1, against verdicts drawn at random."""
    truths = phases(WIRE)
    guesses = torch.cat([truths[:2], torch.zeros(1, 16, dtype=torch.float64)])
    verdict = best_discriminator(truths, guesses)
    generator = torch.Generator().manual_seed(3)
    for _ in range(200):
        by_picture = torch.rand(5, generator=generator, dtype=torch.float64)  # four wires and black
        loss = -by_picture[:4].log().mean() - (1 - by_picture[[0, 1, 4]]).log().mean()
        assert loss > verdict.loss


@pytest.mark.parametrize("power", [0.5, math.inf, math.nan])
def test_powers_that_have_no_one_answer(power):
    with pytest.raises(ValueError, match=r"the power is .*; from 1 on the risk has one valley"):
        best_guess(phases(), power)
    with pytest.raises(ValueError, match="the power is"):
        best_grey(0.25, power)


@pytest.mark.parametrize("white", [0, 1, -0.2, math.nan])
def test_probabilities_that_are_none(white):
    with pytest.raises(ValueError, match="lies between 0 and 1"):
        best_grey(white)
