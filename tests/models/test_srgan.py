"""The discriminator against the paper's figure 4 and section 2.1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sr_course.errors import ModelError
from sr_course.models.srgan import Discriminator


def test_parameters_of_figure_4():
    convolutions = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    wanted = sum(before * after * 9 + after for before, after in convolutions)
    wanted += sum(2 * after for _, after in convolutions[1:])  # batch norm everywhere but in the first layer
    wanted += (512 * 6 * 6) * 1024 + 1024  # 96 pixels halved four times are 6
    wanted += 1024 + 1
    assert wanted == 23_565_505
    assert sum(parameter.numel() for parameter in Discriminator().parameters()) == wanted


def test_batch_norm_in_all_but_the_first_layer():
    kinds = [[type(layer) for layer in stage.modules()] for stage in Discriminator(16, hidden=8).layers]
    assert [nn.BatchNorm2d in stage for stage in kinds] == [False] + [True] * 7


def test_slope_is_the_papers():
    slopes = [one.negative_slope for one in Discriminator(16, hidden=8).modules() if isinstance(one, nn.LeakyReLU)]
    assert slopes == [0.2] * 9


@pytest.mark.parametrize("crop", [16, 48, 96, 128])
def test_any_crop_of_a_multiple_of_16(crop):
    network = Discriminator(crop, channels=4, hidden=8)
    logits = network(torch.rand(3, 3, crop, crop))
    assert logits.shape == (3, 1)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("answer", [-7.0, 7.0])
def test_the_answer_is_a_logit(answer):
    """No sigmoid follows the last layer, so any number can come out."""
    network = Discriminator(16, channels=4, hidden=8)
    nn.init.zeros_(network.dense2.weight)
    nn.init.constant_(network.dense2.bias, answer)
    assert network(torch.rand(2, 3, 16, 16)).flatten().tolist() == [answer, answer]


def test_the_network_sees_the_range_of_the_paper():
    seen = []
    network = Discriminator(16, channels=4, hidden=8)
    network.layers[0].conv.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    picture = torch.rand(2, 3, 16, 16)
    picture[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    network(picture)
    assert (seen[0].min(), seen[0].max()) == (-1, 1)  # section 3.2: HR in [-1, 1]


@pytest.mark.parametrize("crop", [0, 8, 24, 100])
def test_crops_that_cannot_be_halved(crop):
    with pytest.raises(ModelError, match=f"{crop} is no multiple of 16"):
        Discriminator(crop)


def test_no_features():
    with pytest.raises(ModelError, match="at least one feature"):
        Discriminator(16, channels=0)


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 16, 16), (3, 16, 16)])
def test_pictures_of_another_size(shape):
    with pytest.raises(ModelError, match=r"made for crops of shape \(3, 16, 16\)"):
        Discriminator(16, channels=4, hidden=8)(torch.rand(shape))
