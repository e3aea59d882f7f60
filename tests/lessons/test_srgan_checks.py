"""The checks of lesson 3: several right answers, several typical wrong ones."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sr_course.lessons import srgan
from sr_course.resample import imresize
from tests.lessons.exercises import is_wrong, said_by

# 3.1 -----------------------------------------------------------------------------------------------------------------


def by_reshape(maps, r):
    n, _, h, w = maps.shape
    return maps.reshape(n, r, r, h, w).permute(0, 3, 1, 4, 2).reshape(n, 1, r * h, r * w)


def by_slices(maps, r):
    n, _, h, w = maps.shape
    large = torch.zeros(n, 1, r * h, r * w)
    for k in range(r * r):
        large[:, 0, k // r :: r, k % r :: r] = maps[:, k]
    return large


def by_pixels(maps, r):
    n, _, h, w = maps.shape
    large = torch.zeros(n, 1, r * h, r * w)
    for y in range(r * h):
        for x in range(r * w):
            large[:, 0, y, x] = maps[:, r * (y % r) + x % r, y // r, x // r]
    return large


@pytest.mark.parametrize("shuffle", [by_reshape, by_slices, by_pixels, F.pixel_shuffle])
def test_right_shuffles(shuffle, capsys):
    assert said_by(srgan.check_shuffle, shuffle, capsys).startswith("Exercise 3.1: right.")


@pytest.mark.parametrize(
    ("shuffle", "words"),
    [
        (
            lambda m, r: m.reshape(m.shape[0], 1, r * m.shape[2], r * m.shape[3]),
            ("other values, the numbers in their old order",),
        ),
        (
            lambda m, r: by_reshape(m.reshape(m.shape[0], r, r, *m.shape[2:]).transpose(1, 2).reshape(m.shape), r),
            ("rows and columns of the squares are exchanged",),
        ),
        (
            lambda m, r: (
                m.reshape(m.shape[0], r, r, *m.shape[2:])
                .permute(0, 1, 3, 2, 4)
                .reshape(m.shape[0], 1, r * m.shape[2], r * m.shape[3])
            ),
            ("the maps side by side, not woven",),
        ),
        (lambda m, r: by_slices(m, 2), ("shape (2, 1, 6, 12)", "(2, 1, 4, 8)")),
        (lambda m, r: by_slices(m, r)[:, 0], ("shape (1, 1, 4, 4)", "(1, 4, 4)")),
        (lambda m, r: by_slices(m, r).tolist(), ("[[[[",)),
        (lambda m, r: imresize(m[:, :1], r), ("other values",)),
        (lambda m, r: m.shape.h, ("AttributeError",)),
    ],
    ids=["reshape only", "transposed", "tiled", "always 2", "no channel", "list", "enlarged", "error"],
)
def test_wrong_shuffles(shuffle, words, capsys):
    said = said_by(srgan.check_shuffle, shuffle, capsys)
    assert is_wrong(said, *words)


# 3.2 -----------------------------------------------------------------------------------------------------------------


def by_softplus(real, made):
    return F.softplus(-real).mean() + F.softplus(made).mean(), F.softplus(-made).mean()


def by_cross_entropy(real, made):
    bce = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(made), torch.zeros_like(made)
    return bce(real, torch.ones_like(real)) + bce(made, zeros), bce(made, ones)


def by_log_sigmoid(real, made):
    return [-F.logsigmoid(real).mean() - F.logsigmoid(-made).mean(), -F.logsigmoid(made).mean()]


def by_logaddexp(real, made):
    zero = torch.zeros(())
    of_d = torch.logaddexp(zero, -real).mean() + torch.logaddexp(zero, made).mean()
    return of_d, torch.logaddexp(zero, -made).mean()


@pytest.mark.parametrize("losses", [by_softplus, by_cross_entropy, by_log_sigmoid, by_logaddexp])
def test_right_losses(losses, capsys):
    assert said_by(srgan.check_losses, losses, capsys).startswith("Exercise 3.2: right.")


def test_the_losses_at_logits_of_0_are_those_of_a_coin():
    of_d, of_g = by_softplus(torch.zeros(1, 1), torch.zeros(1, 1))
    assert of_d.item() == pytest.approx(2 * math.log(2))  # Goodfellow et al. 2014, theorem 1, with the other sign
    assert of_g.item() == pytest.approx(math.log(2))


def by_probabilities(real, made):
    of_d = -torch.sigmoid(real).log().mean() - (1 - torch.sigmoid(made)).log().mean()
    return of_d, -torch.sigmoid(made).log().mean()


def by_bce_of_probabilities(real, made):
    d_real, d_made = torch.sigmoid(real), torch.sigmoid(made)
    ones, zeros = torch.ones_like(d_made), torch.zeros_like(d_made)
    of_d = F.binary_cross_entropy(d_real, torch.ones_like(d_real)) + F.binary_cross_entropy(d_made, zeros)
    return of_d, F.binary_cross_entropy(d_made, ones)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (by_probabilities, ("log(0)",)),
        (by_bce_of_probabilities, ("200.000", "100.000")),  # torch cuts log(0) at -100
        (
            lambda r, m: (by_softplus(r, m)[0], -F.softplus(m).mean()),
            ("the loss of G", "it is the saturating loss, log(1 - D)"),
        ),
        (
            lambda r, m: (F.softplus(r).mean() + F.softplus(-m).mean(), F.softplus(-m).mean()),
            ("real and made are exchanged",),
        ),
        (lambda r, m: (F.softplus(-r).mean(), F.softplus(-m).mean()), ("the term of the made pictures is missing",)),
        (lambda r, m: (by_softplus(r, m)[0] / 2, by_softplus(r, m)[1]), ("it is half of the sum",)),
        (lambda r, m: (by_softplus(r, m)[0], by_softplus(r, m)[1].detach()), ("one that was cut off",)),
        (lambda r, m: [loss.item() for loss in by_softplus(r, m)], ("one that was cut off",)),
        (lambda r, m: sum(by_softplus(r, m)), ("a pair",)),
        (lambda r, m: (F.softplus(-r) + F.softplus(m.mean()), F.softplus(-m)), ("two scalars",)),
        (lambda r, m: (by_softplus(r, m)[0], (1 - m).clamp(min=0).mean()), ("the loss of G",)),
        (lambda r, m: r.logit_of(m), ("AttributeError",)),
    ],
    ids=[
        *("log of 0", "clamped", "saturating", "exchanged", "no made", "half", "detached", "floats", "a sum"),
        *("no mean", "hinge", "error"),
    ],
)
def test_wrong_losses(losses, words, capsys):
    assert is_wrong(said_by(srgan.check_losses, losses, capsys), *words)


# 3.3a ----------------------------------------------------------------------------------------------------------------


def not_by_torch(features, sr, hr):
    with torch.no_grad():
        wanted = features(hr)
    return (features(sr) - wanted).square().mean()


@pytest.mark.parametrize(
    "content",
    [
        lambda features, sr, hr: F.mse_loss(features(sr), features(hr).detach()),
        lambda features, sr, hr: F.mse_loss(features(hr), features(sr)),
        not_by_torch,
    ],
)
def test_right_contents(content, capsys):
    assert said_by(srgan.check_content, content, capsys).startswith("Exercise 3.3a: right.")


def without_gradient(features, sr, hr):
    with torch.no_grad():
        return F.mse_loss(features(sr), features(hr))


def a_new_tensor(features, sr, hr):
    return torch.tensor(F.mse_loss(features(sr), features(hr)).item(), requires_grad=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda f, sr, hr: F.mse_loss(f(sr).detach(), f(hr)), ("a number without one",)),
        (lambda f, sr, hr: F.mse_loss(f(sr.detach()), f(hr)), ("a number without one",)),
        (lambda f, sr, hr: F.mse_loss(f(sr), f(hr)).item(), ("a number without one",)),
        (without_gradient, ("a number without one",)),
        (a_new_tensor, ("a gradient of norm", "0.0000")),
        (lambda f, sr, hr: F.mse_loss(sr, hr), ("the value",)),
        (lambda f, sr, hr: F.l1_loss(f(sr), f(hr)), ("the value",)),
        (lambda f, sr, hr: f(sr) - f(hr), ("the value", "shape")),
        (lambda f, sr, hr: f(sr, hr), ("TypeError",)),
    ],
    ids=["the defect", "picture", "item", "no_grad", "new", "pixels", "l1", "no mean", "error"],
)
def test_wrong_contents(content, words, capsys):
    assert is_wrong(said_by(srgan.check_content, content, capsys), *words)


# 3.3b ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ema",
    [
        lambda mean, weight, decay: decay * mean + (1 - decay) * weight,
        lambda mean, weight, decay: mean + (1 - decay) * (weight - mean),
        lambda mean, weight, decay: mean.mul_(decay).add_(weight, alpha=1 - decay),
        lambda mean, weight, decay: torch.lerp(mean, weight, 1 - decay),
    ],
)
def test_right_means(ema, capsys):
    assert said_by(srgan.check_ema, ema, capsys).startswith("Exercise 3.3b: right.")


@pytest.mark.parametrize(
    ("ema", "words"),
    [
        (lambda mean, weight, decay: (1 - decay) * mean + decay * weight, ("to become 1.002", "2.998")),
        (lambda mean, weight, decay: mean + decay * (weight - mean), ("2.998",)),
        (lambda mean, weight, decay: (mean + weight) / 2, ("2.000",)),
        (lambda mean, weight, decay: 0.999 * mean + 0.001 * weight, ("1.200 with decay 0.9",)),
        (lambda mean, weight, decay: mean, ("1.000",)),
        (lambda mean, weight, decay: 1.002, ("a tensor like the mean",)),
        (lambda mean, weight, decay: mean.decay, ("AttributeError",)),
    ],
    ids=["the defect", "the defect as a lerp", "half", "fixed", "still", "number", "error"],
)
def test_wrong_means(ema, words, capsys):
    assert is_wrong(said_by(srgan.check_ema, ema, capsys), *words)


# 3.3c ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "norm",
    [
        lambda channels: nn.BatchNorm2d(channels, momentum=0.2),
        lambda channels: nn.BatchNorm2d(channels, 1e-5, 0.2),
        lambda channels: nn.BatchNorm2d(channels, eps=1e-6, momentum=1 - 0.8),
    ],
)
def test_right_norms(norm, capsys):
    assert said_by(srgan.check_norm, norm, capsys).startswith("Exercise 3.3c: right.")


@pytest.mark.parametrize(
    ("norm", "words"),
    [
        (lambda channels: nn.BatchNorm2d(channels, 0.8), ("a standard deviation of 1.00", "0.11")),
        (lambda channels: nn.BatchNorm2d(channels, 0.2), ("a standard deviation of 1.00",)),
        (lambda channels: nn.BatchNorm2d(channels, momentum=0.8), ("a running mean of 2.00", "8.00")),
        (lambda channels: nn.BatchNorm2d(channels), ("a running mean of 2.00", "1.00")),
        (lambda channels: nn.BatchNorm2d(channels, track_running_stats=False), ("running means", "none")),
        (lambda channels: nn.BatchNorm1d(channels, momentum=0.2), ("BatchNorm2d for 4 maps",)),
        (lambda channels: nn.BatchNorm2d(64, momentum=0.2), ("BatchNorm2d for 4 maps",)),
        (lambda channels: nn.BatchNorm2d(channels, keep=0.8), ("TypeError",)),
    ],
    ids=["the defect", "as eps", "Keras' number", "default", "untracked", "1d", "always 64", "error"],
)
def test_wrong_norms(norm, words, capsys):
    assert is_wrong(said_by(srgan.check_norm, norm, capsys), *words)


# 3.3d ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prepare",
    [
        lambda picture, mean, std: ((picture + 1) / 2 - mean) / std,
        lambda picture, mean, std: (0.5 * picture + 0.5 - mean) / std,
        lambda picture, mean, std: (picture - (2 * mean - 1)) / (2 * std),
    ],
)
def test_right_preparations(prepare, capsys):
    assert said_by(srgan.check_prepare, prepare, capsys).startswith("Exercise 3.3d: right.")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        # a mid-grey has (0.5 - 0.485) / 0.229 = 0.07 in red
        (lambda picture, mean, std: picture, ("0.07, 0.20, 0.42", "0.00, 0.00, 0.00")),
        (lambda picture, mean, std: (picture - mean) / std, ("0.07", "-2.12")),
        (lambda picture, mean, std: (picture + 1) / 2, ("0.50, 0.50, 0.50",)),
        (lambda picture, mean, std: ((picture + 1) / 2 - mean) / std**2, ("first pixel",)),
        (lambda picture, mean, std: ((picture + 1) * 127.5 - mean) / std, ("first pixel",)),
        (lambda picture, mean, std: ((picture + 1) / 2 - mean).flip(1) / std, ("first pixel",)),
        (lambda picture, mean, std: picture[0], ("shape (1, 3, 2, 2)",)),
        (lambda picture, mean, std: picture.normalise(mean), ("AttributeError",)),
    ],
    ids=["the defect", "wrong range", "range only", "variance", "0..255", "BGR", "one picture", "error"],
)
def test_wrong_preparations(prepare, words, capsys):
    assert is_wrong(said_by(srgan.check_prepare, prepare, capsys), *words)


# 3.4 -----------------------------------------------------------------------------------------------------------------


def back_projected(sr, lr):
    for _ in range(10):
        sr = sr + imresize(lr - imresize(sr, 1 / 4), 4)
    return sr


def until_it_fits(sr, lr):
    while (off := lr - imresize(sr, 1 / 4)).abs().max() > 0.2 / 255:
        sr = sr + imresize(off, 4)
    return sr


def by_descent(sr, lr):
    sr = sr.clone().requires_grad_()
    optimizer = torch.optim.SGD([sr], lr=8.0)  # a pixel of lr is a mean of about sixteen
    for _ in range(60):
        optimizer.zero_grad()
        (imresize(sr, 1 / 4) - lr).square().sum().div(2).backward()
        optimizer.step()
    return sr.detach()


@pytest.mark.parametrize("consistent", [back_projected, until_it_fits, by_descent])
def test_right_corrections(consistent, capsys):
    assert said_by(srgan.check_consistent, consistent, capsys).startswith("Exercise 3.4: right.")


@pytest.mark.parametrize(
    ("consistent", "words"),
    [
        (lambda sr, lr: sr, ("shrinks to lr", "levels off")),
        (lambda sr, lr: sr + imresize(lr - imresize(sr, 1 / 4), 4), ("shrinks to lr",)),
        (lambda sr, lr: sr + imresize(imresize(sr, 1 / 4) - lr, 4), ("shrinks to lr",)),
        (lambda sr, lr: back_projected(imresize(lr, 4), lr), ("left nearly as it is",)),
        (lambda sr, lr: imresize(sr, 1 / 4), ("a picture of shape (1, 3, 128, 160)", "(1, 3, 32, 40)")),
        (lambda sr, lr: sr + (lr - imresize(sr, 1 / 4)), ("RuntimeError",)),
        (lambda sr, lr: "sr", ("a picture of shape", "'sr'")),
    ],
    ids=["nothing", "once", "wrong sign", "bicubic", "small", "sizes", "text"],
)
def test_wrong_corrections(consistent, words, capsys):
    assert is_wrong(said_by(srgan.check_consistent, consistent, capsys), *words)


# All -----------------------------------------------------------------------------------------------------------------

CHECKS = {
    "3.1": (srgan.check_shuffle, by_reshape),
    "3.2": (srgan.check_losses, by_softplus),
    "3.3a": (srgan.check_content, not_by_torch),
    "3.3b": (srgan.check_ema, lambda mean, weight, decay: torch.lerp(mean, weight, 1 - decay)),
    "3.3c": (srgan.check_norm, lambda channels: nn.BatchNorm2d(channels, momentum=0.2)),
    "3.3d": (srgan.check_prepare, lambda picture, mean, std: ((picture + 1) / 2 - mean) / std),
    "3.4": (srgan.check_consistent, back_projected),
}
