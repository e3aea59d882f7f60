"""The layer table: the paper's figure 4, and receptive fields against what gradients say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sr_course.errors import ModelError
from sr_course.models.describe import describe
from sr_course.models.interpolation import Interpolation
from sr_course.models.srgan import Discriminator
from sr_course.models.srresnet import SRResNet


def kinds(description, *wanted: str) -> list[str]:
    """The layers of some kinds, in the figure's notation."""
    return [layer.kind.split()[-1] for layer in description.layers if layer.kind.split()[0] in wanted]


def test_the_generator_is_figure_4():
    table = describe(SRResNet(), 24)
    assert kinds(table, "Conv2d") == ["k9n64s1"] + ["k3n64s1"] * 33 + ["k3n256s1"] * 2 + ["k9n3s1"]
    assert kinds(table, "PixelShuffle") == ["x2", "x2"]
    assert len(kinds(table, "BatchNorm2d")) == 2 * 16 + 1
    assert len(kinds(table, "PReLU")) == 1 + 16 + 2
    assert table.layers[0].shape == (64, 24, 24)
    assert table.layers[-1].shape == (3, 96, 96)
    head, block, trunk, stage, tail = 15_616 + 64, 74_176, 37_056, 147_776, 15_555  # see test_srresnet.py
    assert table.parameters == head + 16 * block + trunk + 2 * stage + tail == 1_550_659
    assert sum(layer.parameters for layer in table.layers) == table.parameters


def test_what_a_pixel_of_the_generator_sees():
    head, blocks, trunk, first_stage = 9 - 1, 16 * 2 * (3 - 1), 3 - 1, 3 - 1
    second_stage, tail = (3 - 1) / 2, (9 - 1) / 4  # their pixels are a half and a quarter of one of the LR picture
    assert describe(SRResNet(), 24).receptive_field == 1 + head + blocks + trunk + first_stage + second_stage + tail
    assert describe(SRResNet(), 24).receptive_field == 80


def test_the_discriminator_is_figure_4():
    table = describe(Discriminator(), 96)
    assert kinds(table, "Conv2d") == [
        "k3n64s1", "k3n64s2", "k3n128s1", "k3n128s2", "k3n256s1", "k3n256s2", "k3n512s1", "k3n512s2",
    ]  # fmt: skip
    assert kinds(table, "Linear") == ["n1024", "n1"]
    assert len(kinds(table, "LeakyReLU")) == 9
    assert [layer.shape for layer in table.layers if "k3n512s2" in layer.kind] == [(512, 6, 6)]
    fields = [layer.receptive_field for layer in table.layers if layer.kind.startswith("Conv2d")]
    # each 3x3 kernel adds twice the step that the strides before it have made: 1 1 2 2 4 4 8 8
    assert fields == [3, 5, 9, 13, 21, 29, 45, 61]
    assert table.receptive_field == 96  # a dense layer sees all


def seen_by_gradients(network: nn.Module, picture_size: int, scale: int) -> int:
    """The widest row of source pixels that any one pixel of the middle of the result depends on."""
    picture = torch.rand(1, 3, picture_size, picture_size, dtype=torch.float64, requires_grad=True)
    result = network.double().eval()(picture)
    middle = result.shape[-1] // 2
    row = result[0, 0, middle]
    widths = []
    for column in range(middle, middle + scale):  # the pixels of one square differ in what they see
        (gradient,) = torch.autograd.grad(row[column], picture, retain_graph=True)
        touched = gradient.abs().sum(dim=(0, 1, 2)).nonzero()
        widths.append(int(touched.max() - touched.min()) + 1)
    return max(widths)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("blocks", [1, 3])
def test_receptive_fields_are_those_of_gradients(scale, blocks):
    torch.manual_seed(0)
    network = SRResNet(scale, blocks=blocks, channels=3, batch_norm=False)
    assert describe(network, 40).receptive_field == seen_by_gradients(network, 40, scale)


def test_strides_dilation_and_interpolation_against_gradients():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=2, dilation=2), nn.Conv2d(2, 2, 5, stride=2, padding=2), nn.Tanh(),
        nn.Conv2d(2, 2, 3, padding=1),
    )  # fmt: skip
    assert describe(network, 48).receptive_field == 1 + 4 + 4 + 2 * 2
    assert describe(network, 48).receptive_field == seen_by_gradients(network, 48, 1)
    cubic = Interpolation(4)
    assert describe(cubic, 16).receptive_field == 4
    assert seen_by_gradients(cubic, 16, 4) == 4


def test_the_network_is_left_as_it_was():
    network = SRResNet(2, blocks=1, channels=4).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    describe(network, 8)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_text():
    lines = describe(SRResNet(), 24).to_text().splitlines()
    assert lines[0] == "SRResNet on a picture of 24x24"
    assert lines[2].split() == ["head.conv", "Conv2d", "k9n64s1", "64x24x24", "15,616", "9"]
    assert lines[-1].split() == ["all", "1,550,659", "80"]


def test_the_border_may_be_padded_by_hand():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 4, 9), nn.Conv2d(4, 3, 5)

        def forward(self, x):
            x = self.conv1(F.pad(x, (4, 4, 4, 4), mode="replicate"))
            return self.conv2(F.pad(x, (2, 2, 2, 2), mode="replicate"))

    assert describe(Padded(), 24).receptive_field == 9 + 5 - 1


def test_an_enlargement_that_no_row_shows_is_refused():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.conv2(F.interpolate(self.conv1(x), scale_factor=2.0))

    with pytest.raises(ModelError, match="conv2: is given 48 pixels a side where the layer before left 24"):
        describe(Hidden(), 24)


def test_a_layer_of_unknown_reach_is_refused():
    with pytest.raises(ModelError, match="how far AdaptiveAvgPool2d sees is not known"):
        describe(nn.Sequential(nn.AdaptiveAvgPool2d(1)), 24)
