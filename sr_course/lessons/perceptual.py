"""The self-checks of lesson 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.lessons.checks import Exercise, alike, as_when, shape, shown

_GUESSES = Exercise(
    number="4.1",
    hints=(
        "Look at one pixel in all the truths. Which number has the smallest mean squared distance to them, and which "
        "the smallest mean absolute distance?",
        "The mean and the median. Both are taken over the truths, dim=0, and for each pixel by itself. "
        "torch's median gives values and places: take .values.",
    ),
    answer="return truths.mean(dim=0), truths.median(dim=0).values",
)
_DIRECTIONS = Exercise(
    number="4.2",
    hints=(
        "At every place of a layer stands a vector of C numbers: dim=1. Divide it by its length before you subtract; "
        "F.normalize(x, dim=1) does it, also where all are 0.",
        "Square the differences, add up over the channels (that is the squared distance of two vectors), then take "
        "the mean over the places, dim=(1, 2), and not over the pictures.",
    ),
    answer="return (F.normalize(found, dim=1) - F.normalize(wanted, dim=1)).square().sum(dim=1).mean(dim=(1, 2))",
)
_DESCEND = Exercise(
    number="4.3",
    hints=(
        "Copy the picture first, with clone(), and ask for its gradient with requires_grad_(). The loss is a function "
        "of it: torch.autograd.grad(loss(pixels), pixels)[0].",
        "In each step: pixels - step_size * gradient, then clamp(0, 1), and detach() before the next one, which asks "
        "for a gradient anew.",
    ),
    answer="pixels = picture.clone(); for _ in range(steps): pixels.requires_grad_(); "
    "slope = torch.autograd.grad(loss(pixels), pixels)[0]; "
    "pixels = (pixels.detach() - step_size * slope).clamp(0, 1); return pixels",
)
_MIX = Exercise(
    number="4.4",
    hints=(
        "Go through first.items(); the other network has a tensor of the same name, second[name]. "
        "Make a new dictionary, so that both networks stay as they are.",
        "(1 - alpha) * one + alpha * other, for tensors with is_floating_point(). A count of batches is a whole "
        "number: copy it from the first.",
    ),
    answer="return {name: torch.lerp(one, second[name], alpha) if one.is_floating_point() else one.clone() "
    "for name, one in first.items()}",
)


def check_guesses(guesses: Callable[[Tensor], Any]) -> None:
    """Check a function from right answers to the guesses with the smallest squared and absolute error."""
    random = torch.Generator().manual_seed(1)
    cases = {
        "the truths 0, 0 and 1 for a single pixel": torch.tensor([[0.0], [0.0], [1.0]]),
        "seven truths of five pixels": torch.rand(7, 5, generator=random),
        "three truths of eight pixels": torch.rand(3, 8, generator=random),
    }
    for case, truths in cases.items():
        right = truths.mean(dim=0), truths.median(dim=0).values
        came = _GUESSES.ask(guesses, truths.clone())
        if came is None:
            return None
        try:
            squared, absolute = came
        except (TypeError, ValueError):
            return _GUESSES.wrong("a pair: for the squared error, for the absolute error", shown(came))
        for kind, given, expected in (("squared", squared, right[0]), ("absolute", absolute, right[1])):
            if not isinstance(given, Tensor) or given.shape != expected.shape:
                return _GUESSES.wrong(
                    f"a guess of shape {shape(expected)} for the {kind} error and {case}", shown(given)
                )
            if not alike(given, expected, 1e-5):
                turned = kind == "squared" and alike(given, right[1], 1e-8)
                slip = ", as when the two are exchanged" if turned else ""
                return _GUESSES.wrong(
                    f"{expected[0]:.3f} at the first pixel, for the {kind} error and {case}", f"{given[0]:.3f}{slip}"
                )
    return _GUESSES.right("With truths 0, 0 and 1: one third, which is none of them, and 0, which forgets the 1.")


def check_directions(directions: Callable[[Tensor, Tensor], Any]) -> None:
    """Check a function that compares the directions of two fields of features, picture by picture."""
    random = torch.Generator().manual_seed(2)
    found, wanted = (F.relu(torch.randn(2, 6, 3, 4, generator=random)) for _ in range(2))
    wanted[0, :, 0, 0] = 0  # as in an even sky
    cases = {
        "equal features": (wanted, wanted),
        "features that are all twice as strong": (2 * wanted, wanted),
        "features at random, none at one place": (found, wanted),
    }
    for case, (one, other) in cases.items():
        right = (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(dim=1).mean(dim=(1, 2))
        came = _DIRECTIONS.ask(directions, one.clone(), other.clone())
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _DIRECTIONS.wrong(f"a distance for each of the two pictures, shape {shape(right)}", shown(came))
        if not alike(came, right, 1e-4):  # not a number is wrong too
            slip = _slip_of_directions(came, one, other)
            return _DIRECTIONS.wrong(f"{right[0]:.4f} for the first picture and {case}", f"{came[0]:.4f}{slip}")
    return _DIRECTIONS.right("Twice the contrast costs nothing; at an even place the faintest trace of detail costs 1.")


def check_descend(descend: Callable[..., Any]) -> None:
    """Check plain gradient descent on the pixels of a picture."""
    random = torch.Generator().manual_seed(3)
    picture, truth = (torch.rand(1, 3, 8, 8, generator=random) for _ in range(2))
    # slopes of a sum do not shrink with the picture's size: a quarter of each distance is left after a step of 3/8
    cases: Mapping[str, tuple[Callable[[Tensor], Tensor], int, float, Tensor]] = {
        "one step of 3/8 on the summed squared error": (
            lambda x: (x - truth).square().sum(), 1, 0.375, picture + 0.75 * (truth - picture),
        ),
        "twenty such steps": (lambda x: (x - truth).square().sum(), 20, 0.375, truth),
        "a loss that always wants brighter": (lambda x: -x.sum(), 5, 0.3, torch.ones_like(picture)),
        "a loss that wants darker at first, then brighter": (
            lambda x: (x - 0.5).abs().sum(), 1, 0.25, (picture - 0.25 * (picture - 0.5).sign()).clamp(0, 1),
        ),
    }  # fmt: skip
    for case, (loss, steps, step_size, right) in cases.items():
        start = picture.clone()
        came = _DESCEND.ask(descend, start, loss, steps, step_size)
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != picture.shape:
            return _DESCEND.wrong(f"a picture of shape {shape(picture)}", shown(came))
        if not torch.equal(start.detach(), picture):
            return _DESCEND.wrong("the picture that was given to stay as it is", "it changed: work on a clone")
        if came.requires_grad:
            return _DESCEND.wrong("a picture without a gradient", "one that still hangs on the loss: detach it")
        low, high = came.min().item(), came.max().item()
        if low < 0 or high > 1:
            return _DESCEND.wrong(f"levels in [0, 1] after {case}", f"{low:.2f} to {high:.2f}: clamp after each step")
        off = (came - right).abs().max().item()
        if not off < 1e-3:
            far = (picture - right).abs().max().item()
            slip = ", the wrong way: subtract the gradient" if off > far + 1e-3 else ""
            return _DESCEND.wrong(f"the right picture after {case}", f"one that is up to {off:.3f} off{slip}")
    return _DESCEND.right("Any loss with a slope will do: ask VGG next.")


def check_mix(mix: Callable[[Mapping[str, Tensor], Mapping[str, Tensor], float], Any]) -> None:
    """Check the blend of two networks' weights, given and returned as state dictionaries."""
    first, second = _network(4), _network(5)
    before = {name: one.clone() for name, one in first.items()}
    for alpha in (0.25, 0.0, 1.0):
        came = _MIX.ask(mix, first, second, alpha)
        if came is None:
            return None
        if not isinstance(came, Mapping) or came.keys() != first.keys():
            return _MIX.wrong(f"a dictionary of {len(first)} tensors, named as in the first", shown(came))
        for name, one in before.items():
            given = came[name]
            if not isinstance(given, Tensor) or given.shape != one.shape:
                return _MIX.wrong(f"{name} of shape {shape(one)}", shown(given))
            if not one.is_floating_point():
                if given.is_floating_point() or not torch.equal(given, one):
                    return _MIX.wrong(f"{name}, a count, as in the first network: {one.item()}", f"{given.item():g}")
                continue
            right = torch.lerp(one, second[name], alpha)
            if not alike(given, right, 1e-6):
                turned = alike(given, torch.lerp(second[name], one, alpha), 1e-6)
                slip = ", as when the two are exchanged" if turned else ""
                value, wanted = given.flatten()[0], right.flatten()[0]
                return _MIX.wrong(f"{wanted:.4f} as the first value of {name} at alpha {alpha}", f"{value:.4f}{slip}")
        if any(not torch.equal(one, before[name]) for name, one in first.items()):
            return _MIX.wrong("the first network to stay as it is", "it changed: make new tensors")
    return _MIX.right("Between networks that were trained apart it gives rubbish: their maps do not mean the same.")


def _network(seed: int) -> dict[str, Tensor]:
    """The state of a small network with a batch norm that has seen `seed` batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(), nn.Conv2d(4, 3, 3))
        with torch.no_grad():
            for _ in range(seed):
                network.train()(torch.rand(2, 3, 8, 8))
    return dict(network.state_dict())


def _slip_of_directions(came: Tensor, found: Tensor, wanted: Tensor) -> str:
    """What the learner has probably done, or nothing when no usual slip gives this."""
    if not torch.isfinite(came).all():
        return ": a vector of length 0 was divided by its length. Add a little, or take F.normalize"
    x, y = F.normalize(found, dim=1), F.normalize(wanted, dim=1)
    slips = {
        "the vectors keep their lengths": (found - wanted).square().sum(dim=1).mean(dim=(1, 2)),
        "the mean is taken over the channels, not the sum": (x - y).square().mean(dim=(1, 2, 3)),
        "the root is taken": (x - y).square().sum(dim=1).sqrt().mean(dim=(1, 2)),
        "each map is normalised over its places": (
            F.normalize(found.flatten(2), dim=2) - F.normalize(wanted.flatten(2), dim=2)
        )
        .square()
        .sum(dim=1)
        .mean(dim=1),
        "differences are not squared": (x - y).abs().sum(dim=1).mean(dim=(1, 2)),
    }
    return as_when(slips, lambda value: alike(came, value, 1e-4))
