"""The checks of lesson 4: several right answers, several typical wrong ones."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from sr_course.lessons import perceptual
from tests.lessons.exercises import is_wrong, said_by

# 4.1 -----------------------------------------------------------------------------------------------------------------


def mean_and_median(truths):
    return truths.mean(dim=0), truths.median(dim=0).values


def by_sorting(truths):
    return [truths.sum(0) / len(truths), truths.sort(dim=0).values[len(truths) // 2]]


def by_trying(truths):
    """Every level in turn."""
    levels = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    guesses = []
    for power in (2, 1):
        costs = [(levels[:, None] - truths[:, pixel]).abs().pow(power).mean(dim=1) for pixel in range(truths.shape[1])]
        guesses.append(torch.stack([levels[cost.argmin()] for cost in costs]))
    return guesses


@pytest.mark.parametrize("guesses", [mean_and_median, by_sorting])
def test_right_guesses(guesses, capsys):
    assert said_by(perceptual.check_guesses, guesses, capsys).startswith("Exercise 4.1: right.")


def test_the_right_guesses_are_the_best_of_all_levels():
    truths = torch.rand(5, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    for mine, best in zip(mean_and_median(truths), by_trying(truths), strict=True):
        torch.testing.assert_close(mine, best, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("guesses", "words"),
    [
        (lambda t: mean_and_median(t)[::-1], ("the squared error", "0.000", "the two are exchanged")),
        (lambda t: (t.mean(dim=0), t.mean(dim=0)), ("0.000 at the first pixel, for the absolute error", "0.333")),
        (lambda t: (t.mean(dim=0), t.median(dim=0)), ("a guess of shape (1,) for the absolute error",)),
        (lambda t: (t.mean(), t.median()), ("a guess of shape (1,)", "shape ()")),
        (lambda t: (t.mean(dim=1), t.median(dim=1).values), ("a guess of shape (1,)", "(3,)")),
        (lambda t: (t.mean(dim=0), t.mode(dim=0).values), ("the absolute error and seven truths",)),
        (lambda t: ((t.amin(dim=0) + t.amax(dim=0)) / 2, t.median(dim=0).values), ("0.333", "0.500")),
        (lambda t: t.mean(dim=0), ("a pair",)),
        (lambda t: 0.5, ("a pair", "0.5")),
        (lambda t: (t.mean(dim=0), torch.full_like(t[0], torch.nan)), ("nan",)),
        (lambda t: t.middle(), ("AttributeError",)),
    ],
    ids=[
        "exchanged",
        "twice",
        "with places",
        "of all",
        "of pixels",
        "mode",
        "midrange",
        "one",
        "number",
        "nan",
        "error",
    ],
)
def test_wrong_guesses(guesses, words, capsys):
    assert is_wrong(said_by(perceptual.check_guesses, guesses, capsys), *words)


# 4.2 -----------------------------------------------------------------------------------------------------------------


def by_normalize(found, wanted):
    return (F.normalize(found, dim=1) - F.normalize(wanted, dim=1)).square().sum(dim=1).mean(dim=(1, 2))


def by_length(found, wanted):
    x, y = (one / (one.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for one in (found, wanted))
    return ((x - y) ** 2).sum(1).mean((1, 2))


def by_loops(found, wanted):
    distances = torch.zeros(len(found))
    for n in range(len(found)):
        for place in range(found[n, 0].numel()):
            v, w = (one[n].flatten(1)[:, place] for one in (found, wanted))
            v, w = (one / one.norm() if one.norm() > 0 else one for one in (v, w))
            distances[n] += ((v - w) ** 2).sum() / found[n, 0].numel()
    return distances


@pytest.mark.parametrize("directions", [by_normalize, by_length, by_loops])
def test_right_directions(directions, capsys):
    assert said_by(perceptual.check_directions, directions, capsys).startswith("Exercise 4.2: right.")


def without_care(found, wanted):
    x, y = (one / one.norm(dim=1, keepdim=True) for one in (found, wanted))
    return (x - y).square().sum(dim=1).mean(dim=(1, 2))


@pytest.mark.parametrize(
    ("directions", "words"),
    [
        (lambda x, y: (x - y).square().sum(dim=1).mean(dim=(1, 2)), ("twice as strong", "keep their lengths")),
        (lambda x, y: by_normalize(x, y) / x.shape[1], ("over the channels, not the sum",)),
        (without_care, ("nan", "a vector of length 0")),
        (lambda x, y: by_normalize(x, y).mean(), ("shape (2,)", "shape ()")),
        (lambda x, y: by_normalize(x.flatten(1), y.flatten(1)), ("IndexError",)),
        (
            lambda x, y: (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(dim=1).sqrt().mean(dim=(1, 2)),
            ("the root is taken",),
        ),
        (
            lambda x, y: (F.normalize(x, dim=1) - F.normalize(y, dim=1)).abs().sum(dim=1).mean(dim=(1, 2)),
            ("differences are not squared",),
        ),
        (
            lambda x, y: (
                (F.normalize(x.flatten(2), dim=2) - F.normalize(y.flatten(2), dim=2)).square().sum(dim=1).mean(dim=1)
            ),
            ("each map is normalised over its places",),
        ),
        (lambda x, y: torch.zeros(2), ("features at random", "0.0000")),
        (lambda x, y: by_normalize(x, y).tolist(), ("a distance for each",)),
        (lambda x, y: x.direction(y), ("AttributeError",)),
    ],
    ids=["plain", "mean", "nan", "one", "flat", "root", "abs", "maps", "zero", "list", "error"],
)
def test_wrong_directions(directions, words, capsys):
    assert is_wrong(said_by(perceptual.check_directions, directions, capsys), *words)


# 4.3 -----------------------------------------------------------------------------------------------------------------


def by_hand(picture, loss, steps, step_size):
    pixels = picture.clone()
    for _ in range(steps):
        pixels.requires_grad_()
        slope = torch.autograd.grad(loss(pixels), pixels)[0]
        pixels = (pixels.detach() - step_size * slope).clamp(0, 1)
    return pixels


def by_optimizer(picture, loss, steps, step_size):
    pixels = picture.clone().requires_grad_()
    optimizer = torch.optim.SGD([pixels], lr=step_size)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(pixels).backward()
        optimizer.step()
        with torch.no_grad():
            pixels.clamp_(0, 1)
    return pixels.detach()


@pytest.mark.parametrize("descend", [by_hand, by_optimizer])
def test_right_descents(descend, capsys):
    assert said_by(perceptual.check_descend, descend, capsys).startswith("Exercise 4.3: right.")


def in_place(picture, loss, steps, step_size):
    picture.requires_grad_()
    for _ in range(steps):
        (slope,) = torch.autograd.grad(loss(picture), picture)
        with torch.no_grad():
            picture.sub_(step_size * slope).clamp_(0, 1)
    return picture.detach()


def not_detached(picture, loss, steps, step_size):
    return by_hand(picture, loss, steps, step_size).requires_grad_()


def clamped_at_the_end(picture, loss, steps, step_size):
    pixels = picture.clone()
    for _ in range(steps):
        pixels.requires_grad_()
        pixels = pixels.detach() - step_size * torch.autograd.grad(loss(pixels), pixels)[0]
    return pixels


@pytest.mark.parametrize(
    ("descend", "words"),
    [
        (in_place, ("it changed: work on a clone",)),
        (not_detached, ("hangs on the loss",)),
        (clamped_at_the_end, ("levels in [0, 1] after a loss that always wants brighter", "clamp")),
        (lambda p, loss, n, s: by_hand(p, loss, n, -s), ("the wrong way",)),
        (lambda p, loss, n, s: by_hand(p, loss, 1, s), ("after twenty such steps",)),
        (lambda p, loss, n, s: by_hand(p, loss, n, s / p.numel()), ("after one step",)),
        (lambda p, loss, n, s: p, ("after one step",)),
        (lambda p, loss, n, s: loss(p), ("a picture of shape (1, 3, 8, 8)", "shape ()")),
        (lambda p, loss, n, s: p.gradient(), ("AttributeError",)),
    ],
    ids=["in place", "attached", "no clamp", "uphill", "once", "mean", "nothing", "loss", "error"],
)
def test_wrong_descents(descend, words, capsys):
    assert is_wrong(said_by(perceptual.check_descend, descend, capsys), *words)


# 4.4 -----------------------------------------------------------------------------------------------------------------


def by_lerp(first, second, alpha):
    return {
        name: torch.lerp(one, second[name], alpha) if one.is_floating_point() else one.clone()
        for name, one in first.items()
    }


def by_copy(first, second, alpha):
    mixed = copy.deepcopy(first)
    for name, one in mixed.items():
        if "num_batches" not in name:
            one.mul_(1 - alpha).add_(alpha * second[name])
    return mixed


@pytest.mark.parametrize("mix", [by_lerp, by_copy])
def test_right_mixes(mix, capsys):
    assert said_by(perceptual.check_mix, mix, capsys).startswith("Exercise 4.4: right.")


def over_the_first(first, second, alpha):
    for name, one in first.items():
        if one.is_floating_point():
            one.lerp_(second[name], alpha)
    return first


@pytest.mark.parametrize(
    ("mix", "words"),
    [
        (lambda a, b, alpha: by_lerp(b, a, alpha) | {k: v for k, v in a.items() if "num" in k}, ("are exchanged",)),
        (lambda a, b, alpha: {n: (1 - alpha) * a[n] + alpha * b[n] for n in a}, ("a count", "4.25")),
        (lambda a, b, alpha: {n: (a[n] + b[n]) / 2 for n in a}, ("at alpha 0.25",)),
        (lambda a, b, alpha: {n: a[n] + alpha * b[n] for n in a}, ("at alpha 0.25",)),
        (lambda a, b, alpha: {n: v for n, v in by_lerp(a, b, alpha).items() if "running" not in n}, ("of 10 tensors",)),
        (over_the_first, ("it changed",)),
        (lambda a, b, alpha: list(by_lerp(a, b, alpha).values()), ("a dictionary",)),
        (lambda a, b, alpha: {n: v.sum() for n, v in a.items()}, ("0.weight of shape (4, 3, 3, 3)",)),
        (lambda a, b, alpha: (1 - alpha) * a + alpha * b, ("TypeError",)),
    ],
    ids=["exchanged", "counts", "half", "sum", "no statistics", "in place", "list", "shapes", "whole"],
)
def test_wrong_mixes(mix, words, capsys):
    assert is_wrong(said_by(perceptual.check_mix, mix, capsys), *words)


# All -----------------------------------------------------------------------------------------------------------------

CHECKS = {
    "4.1": (perceptual.check_guesses, mean_and_median),
    "4.2": (perceptual.check_directions, by_normalize),
    "4.3": (perceptual.check_descend, by_hand),
    "4.4": (perceptual.check_mix, by_lerp),
}
