"""The checks of lesson 2: several right answers, several typical wrong ones; and the sweep that the lesson shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sr_course.images import centre_crop
from sr_course.lessons import srcnn
from sr_course.losses import caffe_euclidean
from sr_course.models.srcnn import SRCNN
from sr_course.resample import imresize
from sr_course.training.recipe import Recipe
from tests.lessons.exercises import is_wrong, said_by
from tools import sweep_srcnn

# 2.1 -----------------------------------------------------------------------------------------------------------------


def one_by_one(kernel_sizes, channels):
    a, b, c = kernel_sizes
    wide, narrow = channels
    return a * a * wide + wide + b * b * wide * narrow + narrow + c * c * narrow + 1


def by_module(kernel_sizes, channels):
    network = SRCNN(4, kernel_sizes=kernel_sizes, channels=channels)
    return sum(weight.numel() for weight in network.parameters())


def by_numpy(kernel_sizes, channels):
    maps = np.array([1, *channels, 1])
    return (np.array(kernel_sizes) ** 2 * maps[:-1] * maps[1:] + maps[1:]).sum()


@pytest.mark.parametrize("parameters", [one_by_one, by_module, by_numpy, lambda k, c: torch.tensor(one_by_one(k, c))])
def test_right_counts(parameters, capsys):
    assert said_by(srcnn.check_parameters, parameters, capsys).startswith("Exercise 2.1: right.")


def test_the_count_is_that_of_the_paper():
    assert one_by_one((9, 5, 5), (64, 32)) == 57_184 + 97  # weights, Dong et al. 2016; biases 64 + 32 + 1
    assert one_by_one((9, 1, 5), (64, 32)) == 8_032 + 97


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (lambda k, c: one_by_one(k, c) - sum(c) - 1, ("57,281", "57,184, the weights without the biases")),
        (lambda k, c: 57_281, ("8,129", "(9, 1, 5)", "57,281")),
        (lambda k, c: one_by_one(k, (64, 32)), ("(5, 3, 1)",)),
        (lambda k, c: one_by_one(k, c) - 1, ("57,280",)),
        (lambda k, c: k[0] * c[0] + k[1] * c[0] * c[1] + k[2] * c[1], ("57,281",)),
        (lambda k, c: [5248, 51232, 801], ("[5248, 51232, 801]",)),
        (lambda k, c: "many", ("'many'",)),
        (lambda k, c: k.size, ("AttributeError",)),
    ],
    ids=["no biases", "always 9-5-5", "always 64-32", "last bias", "not squared", "a list", "text", "error"],
)
def test_wrong_counts(parameters, words, capsys):
    assert is_wrong(said_by(srcnn.check_parameters, parameters, capsys), *words)


# 2.2 -----------------------------------------------------------------------------------------------------------------


def layer(x, weight, bias, mode="replicate"):
    reach = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (reach, reach, reach, reach), mode=mode), weight, bias)


def by_hand(luma, layers, mode="replicate"):
    x = F.relu(layer(luma, *layers[0], mode))
    x = F.relu(layer(x, *layers[1], mode))
    return layer(x, *layers[2], mode)


def in_a_loop(luma, layers):
    for weight, bias in layers[:-1]:
        luma = layer(luma, weight, bias).clamp(min=0)
    return layer(luma, *layers[-1])


def by_modules(luma, layers):
    x = luma
    for number, (weight, bias) in enumerate(layers):
        size = weight.shape[-1]
        convolution = torch.nn.Conv2d(
            weight.shape[1], weight.shape[0], size, padding=size // 2, padding_mode="replicate"
        )
        convolution.weight.data, convolution.bias.data = weight, bias
        x = convolution(x)
        x = x.relu() if number < 2 else x
    return x


def in_place(luma, layers):
    for number, (weight, bias) in enumerate(layers):
        weight.mul_(1)
        luma = layer(luma, weight, bias)
        if number < 2:
            luma.relu_()
    return luma


@pytest.mark.parametrize("forward", [by_hand, in_a_loop, by_modules, in_place])
def test_right_networks(forward, capsys):
    assert said_by(srcnn.check_forward, forward, capsys).startswith("Exercise 2.2: right.")


def padded_once(luma, layers):
    x = F.pad(luma, (8, 8, 8, 8), mode="replicate")
    x = F.relu(F.conv2d(x, *layers[0]))
    x = F.relu(F.conv2d(x, *layers[1]))
    return F.conv2d(x, *layers[2])


def without_padding(luma, layers):
    x = F.relu(F.conv2d(luma, *layers[0]))
    x = F.relu(F.conv2d(x, *layers[1]))
    return F.conv2d(x, *layers[2])


def one_relu_too_many(luma, layers):
    return F.relu(by_hand(luma, layers) - 1)


def no_relu(luma, layers):
    for weight, bias in layers:
        luma = layer(luma, weight, bias)
    return luma


def no_bias(luma, layers):
    return by_hand(luma, [(weight, None) for weight, _ in layers])


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda luma, layers: by_hand(luma, layers, "constant"), ("kernels (9, 5, 5)", "only near the border")),
        (lambda luma, layers: by_hand(luma, layers, "reflect"), ("only near the border",)),
        (padded_once, ("values that differ", "border")),
        (without_padding, ("shape (2, 1, 24, 31)", "shape (2, 1, 8, 15)")),
        (no_relu, ("also far from the border",)),
        (one_relu_too_many, ("also far from the border",)),
        (no_bias, ("also far from the border",)),
        (lambda luma, layers: luma, ("also far from the border",)),
        (lambda luma, layers: by_hand(luma, layers) * float("nan"), ("differ by nan",)),
        (lambda luma, layers: by_hand(luma, layers).numpy(), ("ndarray of shape",)),
        (lambda luma, layers: layers[3], ("IndexError",)),
    ],
    ids=[
        *("zeros", "reflect", "padded once", "no padding", "no relu", "last relu", "no bias", "nothing", "nan"),
        *("numpy", "error"),
    ],
)
def test_wrong_networks(forward, words, capsys):
    assert is_wrong(said_by(srcnn.check_forward, forward, capsys), *words)


# 2.3 -----------------------------------------------------------------------------------------------------------------


def a_step(loss_of, *, forget="before", moves=True):
    def step(network, optimizer, batch):
        sr = network.sharpen(imresize(batch.lr, 4))
        loss = loss_of(sr, batch.hr)
        if forget == "before":
            optimizer.zero_grad()
        loss.backward()
        if moves:
            optimizer.step()
        if forget == "after":
            optimizer.zero_grad()
        return loss.item()

    return step


def middle(hr, sr):
    return centre_crop(hr, sr.shape[-2], sr.shape[-1])


def cut_all_round(hr, sr):
    cut = (hr.shape[-1] - sr.shape[-1]) // 2
    return hr[..., cut:-cut, cut:-cut]


def padded_input(network, optimizer, batch):
    reach = sum(one.kernel_size[0] // 2 for one in (network.conv1, network.conv2, network.conv3))
    enlarged = F.pad(imresize(batch.lr, 4), (reach, reach, reach, reach), mode="replicate")
    loss = F.mse_loss(network.sharpen(enlarged), batch.hr)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize(
    "step",
    [
        a_step(lambda sr, hr: (sr - middle(hr, sr)).square().mean()),
        a_step(lambda sr, hr: F.mse_loss(sr, cut_all_round(hr, sr)), forget="after"),
        a_step(lambda sr, hr: F.l1_loss(sr, middle(hr, sr))),
        a_step(lambda sr, hr: caffe_euclidean(sr, middle(hr, sr))),
        padded_input,
    ],
    ids=["mean", "sliced, forgetting after", "l1", "sum / 2N", "padded"],
)
def test_right_steps(step, capsys):
    assert said_by(srcnn.check_step, step, capsys).startswith("Exercise 2.3: right.")


def corner(hr, sr):
    return hr[..., : sr.shape[-2], : sr.shape[-1]]


def off_by_one(hr, sr):
    cut = (hr.shape[-1] - sr.shape[-1]) // 2 + 1
    return hr[..., cut : cut + sr.shape[-2], cut : cut + sr.shape[-1]]


def always_six(hr, sr):
    return hr[..., 6:-6, 6:-6]


def right_loss(sr, hr):
    return (sr - middle(hr, sr)).square().mean()


def not_returned(network, optimizer, batch):
    a_step(right_loss)(network, optimizer, batch)
    return "done"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (a_step(lambda sr, hr: F.mse_loss(sr, corner(hr, sr))), ("a loss near 0", "the very middle of the truth")),
        (a_step(lambda sr, hr: F.mse_loss(sr, off_by_one(hr, sr))), ("a loss near 0",)),
        (a_step(lambda sr, hr: F.mse_loss(sr, hr[..., -sr.shape[-2] :, -sr.shape[-1] :])), ("a loss near 0",)),
        (a_step(lambda sr, hr: (sr - always_six(hr, sr)).square().mean()), ("RuntimeError",)),
        (a_step(right_loss, forget=""), ("gradients of one batch alone",)),
        (a_step(right_loss, moves=False), ("weights that move",)),
        (a_step(lambda sr, hr: sr.square().mean() * 0 + right_loss(sr.detach(), hr)), ("weights that move",)),
        (a_step(lambda sr, hr: right_loss(sr.detach(), hr)), ("RuntimeError",)),
        (a_step(lambda sr, hr: F.mse_loss(sr, F.interpolate(hr, sr.shape[-2:]))), ("a loss near 0",)),
        (not_returned, ("the loss as a number", "'done'")),
        (lambda network, optimizer, batch: 0.0, ("a loss near 0",)),
    ],
    ids=[
        *("corner", "one off", "other corner", "always six", "no zero_grad", "no step", "no gradient", "detached"),
        *("resized", "nothing returned", "nothing done"),
    ],
)
def test_wrong_steps(step, words, capsys):
    assert is_wrong(said_by(srcnn.check_step, step, capsys), *words)


# 2.4 -----------------------------------------------------------------------------------------------------------------


def by_gradient(network):
    luma = torch.rand(1, 1, 65, 65, requires_grad=True)
    network.eval().sharpen(luma)[0, 0, 32, 32].backward()
    return int((luma.grad[0, 0] != 0).any(dim=0).sum())


def by_training_mode(network):
    """Without padding, a crop as large as the field is the smallest that leaves anything."""
    network.train()
    side = 1
    while True:
        try:
            network.sharpen(torch.rand(1, 1, side, side))
        except RuntimeError:
            side += 1
        else:
            return side


def by_poking(network):
    network.eval()
    luma = torch.rand(1, 1, 41, 41)
    with torch.no_grad():
        middle_row = [network.sharpen(poked(luma, x))[0, 0, 20, 20] for x in range(41)]
        return sum(bool(value != network.sharpen(luma)[0, 0, 20, 20]) for value in middle_row)


def poked(luma, x):
    luma = luma.clone()
    luma[..., x] += 0.5
    return luma


def by_kernels(network):
    return 1 + sum(one.kernel_size[0] - 1 for one in (network.conv1, network.conv2, network.conv3))


@pytest.mark.parametrize(
    "field", [by_gradient, by_training_mode, by_poking, by_kernels, lambda n: torch.tensor([by_kernels(n)])]
)
def test_right_fields(field, capsys):
    assert said_by(srcnn.check_field, field, capsys).startswith("Exercise 2.4: right.")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (lambda network: by_kernels(network) ** 2, ("17 for kernels (9, 5, 5)", "289, the area")),
        (lambda network: by_kernels(network) // 2, ("8, how far it reaches on one side",)),
        (lambda network: by_kernels(network) + 2, ("19, the sum of the kernels",)),
        (lambda network: 17, ("13 for kernels (9, 1, 5)", "17")),
        (lambda network: (17, 17), ("(17, 17)",)),
        (lambda network: network.kernel_size, ("AttributeError",)),
    ],
    ids=["area", "reach", "sum", "always 17", "a pair", "error"],
)
def test_wrong_fields(field, words, capsys):
    assert is_wrong(said_by(srcnn.check_field, field, capsys), *words)


# All -----------------------------------------------------------------------------------------------------------------

CHECKS = {
    "2.1": (srcnn.check_parameters, one_by_one),
    "2.2": (srcnn.check_forward, by_hand),
    "2.3": (srcnn.check_step, a_step(right_loss)),
    "2.4": (srcnn.check_field, by_kernels),
}


# The sweep -----------------------------------------------------------------------------------------------------------


def test_the_sweep_that_ships_is_the_one_that_the_tool_makes():
    stored = json.loads(sweep_srcnn.OUT.read_text(encoding="utf-8"))
    assert Recipe.from_dict(stored["recipe"]) == sweep_srcnn.BASE
    assert len(sweep_srcnn.finished(sweep_srcnn.OUT)) == len(sweep_srcnn.SETTINGS)


def test_its_rows_count_the_numbers_of_their_networks():
    for row in json.loads(sweep_srcnn.OUT.read_text(encoding="utf-8"))["runs"]:
        assert row["parameters"] == one_by_one(row["kernel_sizes"], row["channels"])


def test_a_sweep_of_other_settings_begins_anew(tmp_path):
    stored = json.loads(sweep_srcnn.OUT.read_text(encoding="utf-8"))
    stored["runs"] = stored["runs"][:3]
    cut_short = tmp_path / "sweep.json"
    cut_short.write_text(json.dumps(stored), encoding="utf-8")
    assert len(sweep_srcnn.finished(cut_short)) == 3
    stored["runs"][1]["seed"] = 7
    cut_short.write_text(json.dumps(stored), encoding="utf-8")
    assert sweep_srcnn.finished(cut_short) == []
