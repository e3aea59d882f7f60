"""The checks of lesson 5: several right answers, several typical wrong ones."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sr_course.lessons import esrgan
from tests.lessons.exercises import is_wrong, said_by

# 5.1 -----------------------------------------------------------------------------------------------------------------


def by_sum(channels, growth):
    given = [channels + k * growth for k in range(5)]
    return sum(9 * a * b + b for a, b in zip(given, [growth] * 4 + [channels], strict=True))


def by_formula(c, g):
    return 45 * c * g + 54 * g * g + 9 * c * c + 27 * c * g + 4 * g + c


@pytest.mark.parametrize("parameters", [by_sum, by_formula, lambda c, g: torch.tensor(by_sum(c, g))])
def test_right_counts(parameters, capsys):
    assert said_by(esrgan.check_parameters, parameters, capsys).startswith("Exercise 5.1: right.")


def test_the_pencil_comes_to_the_published_total():
    ends = (9 * 3 * 64 + 64) + 4 * (9 * 64 * 64 + 64) + (9 * 64 * 3 + 3)
    assert 23 * 3 * by_sum(64, 32) + ends == 16_697_987


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (lambda c, g: by_sum(c, g) - 4 * g - c, ("239,808", "239,616", "the biases are missing")),
        (lambda c, g: 9 * g * (5 * c + 10 * g) + 5 * g, ("makes `growth` maps too",)),
        (lambda c, g: 4 * (9 * c * g + g) + 9 * c * c + c, ("`channels` maps alone",)),
        (lambda c, g: 9 * c * g + g + 3 * (9 * g * g + g) + 9 * g * c + c, ("what the one before made",)),
        (lambda c, g: (by_sum(c, g) - 4 * g - c) // 9 + 4 * g + c, ("1 x 1",)),
        (lambda c, g: 3 * by_sum(c, g), ("a whole RRDB",)),
        (lambda c, g: by_sum(64, 32), ("for 24 channels",)),
        (lambda c, g: str(by_sum(c, g)), ("a number",)),
        (lambda c, g: True, ("a number", "True")),
        (lambda c, g: float("nan"), ("nan",)),
        (lambda c, g: c.parameters(), ("AttributeError",)),
    ],
    ids=["biases", "last", "plain", "chain", "1x1", "rrdb", "one case", "text", "bool", "nan", "error"],
)
def test_wrong_counts(parameters, words, capsys):
    assert is_wrong(said_by(esrgan.check_parameters, parameters, capsys), *words)


# 5.2 -----------------------------------------------------------------------------------------------------------------


def by_list(x, convs, *, slope=0.2, beta=0.2, last=False):
    maps = [x]
    for conv in convs[:4]:
        maps.append(F.leaky_relu(conv(torch.cat(maps, dim=1)), slope))
    detail = convs[4](torch.cat(maps, dim=1))
    return x + beta * (F.leaky_relu(detail, slope) if last else detail)


def by_growing(x, convs):
    """One tensor that grows, and an activation written by hand."""
    grown = x
    for conv in convs[:-1]:
        new = conv(grown)
        grown = torch.cat([grown, torch.where(new > 0, new, 0.2 * new)], dim=1)
    return convs[-1](grown) / 5 + x


@pytest.mark.parametrize("dense", [by_list, by_growing])
def test_right_blocks(dense, capsys):
    assert said_by(esrgan.check_dense, dense, capsys).startswith("Exercise 5.2: right.")


def turned(x, convs):
    maps = x
    for conv in convs[:4]:
        maps = torch.cat([F.leaky_relu(conv(maps), 0.2), maps], dim=1)
    return x + 0.2 * convs[4](maps)


def in_place(x, convs):
    return x.add_(by_list(x, convs) - x)


@pytest.mark.parametrize(
    ("dense", "words"),
    [
        (lambda x, c: by_list(x, c, beta=1), ("not a fifth",)),
        (lambda x, c: by_list(x, c, beta=1) - x, ("the skip is missing",)),
        (lambda x, c: by_list(x, c, last=True), ("the last convolution has an activation",)),
        (lambda x, c: by_list(x, c, slope=0), ("ReLU",)),
        (lambda x, c: by_list(x, c, slope=0.01), ("0.01",)),
        (lambda x, c: by_list(x, c, slope=1), ("there is no activation",)),
        (turned, ("before the old ones",)),
        (in_place, ("they changed",)),
        (lambda x, c: x, ("at the first place",)),
        (lambda x, c: c[0](x), ("features of shape (1, 6, 7, 5)", "(1, 4, 7, 5)")),
        (lambda x, c: c[1](x), ("RuntimeError",)),
        (lambda x, c: torch.full_like(x, torch.nan), ("nan",)),
        (lambda x, c: "features", ("'features'",)),
    ],
    ids=["beta", "skip", "last", "relu", "0.01", "none", "turned", "in place", "x", "conv1", "conv2", "nan", "text"],
)
def test_wrong_blocks(dense, words, capsys):
    assert is_wrong(said_by(esrgan.check_dense, dense, capsys), *words)


# 5.3 -----------------------------------------------------------------------------------------------------------------


def by_softplus(real, made):
    ahead, behind = real - made.mean(), made - real.mean()
    of_d = F.softplus(-ahead).mean() + F.softplus(behind).mean()
    return of_d, F.softplus(ahead).mean() + F.softplus(-behind).mean()


def by_cross_entropy(real, made):
    cross = F.binary_cross_entropy_with_logits
    ahead, behind = real - made.mean(), made - real.mean()
    ones, zeros = torch.ones_like, torch.zeros_like
    return (
        cross(ahead, ones(ahead)) + cross(behind, zeros(behind)),
        cross(ahead, zeros(ahead)) + cross(behind, ones(behind)),
    )


@pytest.mark.parametrize("losses", [by_softplus, by_cross_entropy, lambda x, y: list(by_softplus(x, y))])
def test_right_losses(losses, capsys):
    assert said_by(esrgan.check_relativistic, losses, capsys).startswith("Exercise 5.3: right.")


def by_log(real, made):
    p, q = torch.sigmoid(real - made.mean()), torch.sigmoid(made - real.mean())
    return -p.log().mean() - (1 - q).log().mean(), -(1 - p).log().mean() - q.log().mean()


def cut_off(real, made):
    ahead, behind = real - made.detach().mean(), made - real.mean()
    return by_softplus(real, made)[0], F.softplus(ahead).mean() + F.softplus(-behind).mean()


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (lambda x, y: by_softplus(x, y)[::-1], ("loss of D", "are exchanged")),
        (lambda x, y: tuple(one / 2 for one in by_softplus(x, y)), ("half of the sum",)),
        (
            lambda x, y: (F.softplus(-x).mean() + F.softplus(y).mean(), F.softplus(-y).mean()),
            ("loss of D", "no logit is compared"),
        ),
        (
            lambda x, y: (by_softplus(x, y)[0], F.softplus(-y).mean()),
            ("loss of G", "no logit is compared"),
        ),
        (
            lambda x, y: (by_softplus(x, y)[0], F.softplus(x.mean() - y).mean()),
            ("loss of G", "the term of the photographs is missing"),
        ),
        (lambda x, y: (by_softplus(x, y)[0], -by_softplus(x, y)[0]), ("saturates",)),
        (by_log, ("log(0)",)),
        (cut_off, ("a mean was cut off",)),
        (lambda x, y: tuple(one.detach() for one in by_softplus(x, y)), ("a gradient", "cut off")),
        (lambda x, y: (F.softplus(-x), F.softplus(y)), ("two scalars",)),
        (lambda x, y: by_softplus(x, y)[0], ("a pair",)),
        (lambda x, y: ("D", "G"), ("a pair",)),
        (lambda x, y: x.loss(y), ("AttributeError",)),
    ],
    ids=[
        "exchanged",
        "half",
        "vanilla",
        "vanilla G",
        "one term",
        "saturating",
        "log",
        "mean detached",
        "detached",
        "not reduced",
        "one",
        "text",
        "error",
    ],
)
def test_wrong_losses(losses, words, capsys):
    assert is_wrong(said_by(esrgan.check_relativistic, losses, capsys), *words)


# 5.4 -----------------------------------------------------------------------------------------------------------------


def by_turns(network, lr, *, turns=range(4), flips=([], [-1])):
    views = []
    for k in turns:
        for axes in flips:
            sr = network(torch.rot90(lr.flip(axes), k, (-2, -1)))
            views.append(torch.rot90(sr, -k, (-2, -1)).flip(axes))
    return torch.stack(views).mean(dim=0)


def by_transposing(network, lr):
    total = 0
    for axes in ([], [-1], [-2], [-1, -2]):
        total = total + network(lr.flip(axes)).flip(axes)
        total = total + network(lr.flip(axes).transpose(-1, -2)).transpose(-1, -2).flip(axes)
    return total / 8


@pytest.mark.parametrize("eight", [by_turns, by_transposing])
def test_right_views(eight, capsys):
    assert said_by(esrgan.check_eight, eight, capsys).startswith("Exercise 5.4: right.")


def not_turned_back(network, lr):
    return torch.stack([network(torch.rot90(lr.flip(f), k, (-2, -1))) for k in range(4) for f in ([], [-1])]).mean(0)


def wrong_order(network, lr):
    views = [
        torch.rot90(network(torch.rot90(lr.flip(f), k, (-2, -1))).flip(f), -k, (-2, -1))
        for k in range(4)
        for f in ([], [-1])
    ]
    return torch.stack(views).mean(dim=0)


def over_the_picture(network, lr):
    result = by_turns(network, lr)
    lr.zero_()
    return result


@pytest.mark.parametrize(
    ("eight", "words"),
    [
        (lambda n, lr: n(lr), ("one view only",)),
        (lambda n, lr: 8 * by_turns(n, lr), ("added up",)),
        (lambda n, lr: by_turns(n, lr, flips=([],)), ("without the flipped ones",)),
        (lambda n, lr: by_turns(n, lr, turns=(0, 2)), ("without those on their side",)),
        (not_turned_back, ("not turned back",)),
        (wrong_order, ("up to",)),
        (over_the_picture, ("it changed",)),
        (lambda n, lr: lr, ("shape (2, 3, 12, 12)", "(2, 3, 6, 6)")),
        (lambda n, lr: [n(lr)] * 8, ("a picture of shape",)),
        (lambda n, lr: n(lr) * torch.nan, ("nan",)),
        (lambda n, lr: n.views(lr), ("AttributeError",)),
    ],
    ids=["one", "sum", "turns", "flips", "not back", "order", "in place", "lr", "list", "nan", "error"],
)
def test_wrong_views(eight, words, capsys):
    assert is_wrong(said_by(esrgan.check_eight, eight, capsys), *words)


# All -----------------------------------------------------------------------------------------------------------------

CHECKS = {
    "5.1": (esrgan.check_parameters, by_sum),
    "5.2": (esrgan.check_dense, by_list),
    "5.3": (esrgan.check_relativistic, by_softplus),
    "5.4": (esrgan.check_eight, by_turns),
}
