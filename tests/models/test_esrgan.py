"""RRDBNet against the paper's figures, against what its parts must do by definition, and against spandrel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.errors import ModelError
from sr_course.models.describe import describe
from sr_course.models.esrgan import DenseBlock, RRDBNet, from_older_names
from sr_course.upscaling import upscale
from sr_course.zoo import OVERLAP
from tests.models.test_describe import seen_by_gradients


def conv(before: int, after: int) -> int:
    """Parameters of a 3x3 convolution with bias."""
    return before * after * 9 + after


def parameters(blocks: int, channels: int, growth: int, doublings: int) -> int:
    """By figures 3 and 4: a dense block has five convolutions, an RRDB three dense blocks."""
    dense = sum(conv(channels + k * growth, growth) for k in range(4)) + conv(channels + 4 * growth, channels)
    trunk = conv(3, channels) + blocks * 3 * dense + conv(channels, channels)
    return trunk + (doublings + 1) * conv(channels, channels) + conv(channels, 3)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def trained_looking(seed: int = 0, **options) -> RRDBNet:
    """A network whose blocks matter: with weights as large as torch usually makes them, not small."""
    torch.manual_seed(seed)
    network = RRDBNet(**options).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    return network


# What it is made of.


def test_parameters_of_the_paper():
    assert parameters(23, 64, 32, doublings=2) == 16_697_987
    assert count(RRDBNet()) == 16_697_987


@pytest.mark.parametrize(("scale", "doublings"), [(2, 1), (4, 2)])
def test_size_and_scale(scale, doublings):
    network = RRDBNet(scale, blocks=2, channels=10, growth=6)
    assert count(network) == parameters(2, 10, 6, doublings)
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_names_of_the_weights():
    names = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in RRDBNet(blocks=2, channels=4, growth=2).state_dict()))
    inside = [f"body.{n}.rdb{m}.conv{k}" for n in range(2) for m in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    assert names == ["conv_first", *inside, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]


def test_no_layer_normalises():
    assert {type(one) for one in RRDBNet(blocks=1).modules() if not any(one.children())} == {
        nn.Conv2d,
        nn.LeakyReLU,
        nn.Upsample,
        nn.Identity,  # where a batch norm can be switched on
    }


def test_a_dense_block_hands_everything_to_everyone():
    """Figure 4, written down a second time: one growing stack of features."""
    torch.manual_seed(0)
    block = DenseBlock(6, 4)
    x = torch.randn(2, 6, 5, 7)
    stack = x
    for layer in (block.conv1, block.conv2, block.conv3, block.conv4):
        fresh = F.conv2d(stack, layer.weight, layer.bias, padding=1)
        stack = torch.cat([stack, torch.where(fresh > 0, fresh, 0.2 * fresh)], dim=1)
    expected = x + 0.2 * F.conv2d(stack, block.conv5.weight, block.conv5.bias, padding=1)
    torch.testing.assert_close(block(x), expected)


def test_residual_scaling_at_both_levels():
    """Where five convolutions answer d, a dense block makes x + 0.2 d, and an RRDB x + 0.2 (x + 3 * 0.2 d)."""
    network = RRDBNet(blocks=1, channels=4, growth=2)
    for module in network.body.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    for dense in (network.body[0].rdb1, network.body[0].rdb2, network.body[0].rdb3):
        nn.init.constant_(dense.conv5.bias, 5.0)
    x = torch.randn(1, 4, 3, 3)
    torch.testing.assert_close(network.body[0].rdb1(x), x + 0.2 * 5)
    torch.testing.assert_close(network.body(x), x + 0.2 * (x + 3 * 0.2 * 5))


@pytest.mark.parametrize(("layer", "inputs"), [("conv1", 64), ("conv2", 96), ("conv3", 128), ("conv5", 192)])
def test_blocks_begin_at_a_tenth_of_he(layer, inputs):
    """He et al. 2015: a standard deviation of sqrt(2 / (inputs * 9)); Wang et al. 2018: a tenth of it."""
    torch.manual_seed(0)
    first = getattr(DenseBlock(64, 32), layer)
    assert first.weight.std().item() == pytest.approx(0.1 * math.sqrt(2 / (inputs * 9)), rel=0.03)
    assert first.bias.abs().max() == 0


def test_new_blocks_add_nearly_nothing_of_their_own():
    torch.manual_seed(0)
    network = RRDBNet(blocks=3, channels=16, growth=8)
    x = torch.randn(1, 16, 12, 12)
    with torch.no_grad():
        assert (network.body[0].rdb1(x) - x).std() < 0.03
        torch.testing.assert_close(network.body(x), 1.2**3 * x, atol=0.2, rtol=0)


def test_enlargement_repeats_pixels():
    """With every kernel at its middle alone, features 0 to 2 pass through: the result is the picture in squares."""
    network = RRDBNet(blocks=1, channels=3, growth=1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_()
            if name.endswith("weight") and "body" not in name:
                parameter[range(3), range(3), 1, 1] = 1
    lr = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(network(lr), lr.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3))


def test_every_parameter_learns(noise):
    network = RRDBNet(4, blocks=2, channels=8, growth=4)
    network(noise).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_other_scales_are_refused(scale):
    with pytest.raises(ModelError, match=rf"scale is 2 or 4, not {scale}"):
        RRDBNet(scale)


@pytest.mark.parametrize("options", [{"blocks": 0}, {"channels": 0}, {"growth": 0}])
def test_nothing_to_compute_with(options):
    with pytest.raises(ModelError, match="at least one block, one channel and a growth of one"):
        RRDBNet(**options)


# The two switches.


def names_of(network: nn.Module) -> set[str]:
    return {name.rpartition(".")[0] for name in network.state_dict()}


def test_batch_norm_stands_behind_every_convolution_of_the_blocks():
    plain, normed = (RRDBNet(blocks=2, channels=6, growth=4, batch_norm=switch) for switch in (False, True))
    inside = {f"body.{n}.rdb{m}.bn{k}" for n in range(2) for m in (1, 2, 3) for k in (1, 2, 3, 4, 5)}
    assert names_of(normed) - names_of(plain) == inside
    assert count(normed) - count(plain) == 2 * 3 * 2 * (4 * 4 + 6)  # a scale and a shift for each feature


def test_the_same_seed_draws_the_same_weights_with_and_without_batch_norm():
    networks = []
    for switch in (False, True):
        torch.manual_seed(3)
        networks.append(RRDBNet(blocks=1, channels=6, growth=4, batch_norm=switch))
    plain, normed = (one.state_dict() for one in networks)
    assert all(torch.equal(tensor, normed[name]) for name, tensor in plain.items())


def test_batch_norm_comes_before_the_activation():
    """Figure 4 once more, each layer's features brought to a mean of 0 and a variance of 1 over batch and places."""
    torch.manual_seed(0)
    block = DenseBlock(6, 4, batch_norm=True)
    x = torch.randn(3, 6, 5, 7)

    def normed(features):
        mean = features.mean(dim=(0, 2, 3), keepdim=True)
        variance = features.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
        return (features - mean) / torch.sqrt(variance + 1e-5)

    stack = x
    for layer in (block.conv1, block.conv2, block.conv3, block.conv4):
        fresh = normed(F.conv2d(stack, layer.weight, layer.bias, padding=1))
        stack = torch.cat([stack, torch.where(fresh > 0, fresh, 0.2 * fresh)], dim=1)
    expected = x + 0.2 * normed(F.conv2d(stack, block.conv5.weight, block.conv5.bias, padding=1))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)


def test_a_residual_block_is_two_convolutions_and_a_skip():
    torch.manual_seed(0)
    block = RRDBNet(blocks=1, channels=5, block="residual").body[0]
    x = torch.randn(2, 5, 6, 4)
    fresh = F.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1)
    expected = x + F.conv2d(torch.where(fresh > 0, fresh, 0.2 * fresh), block.conv2.weight, block.conv2.bias, padding=1)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_residual_blocks_by_name_and_number(batch_norm):
    network = RRDBNet(blocks=3, channels=6, block="residual", batch_norm=batch_norm)
    layers = ("conv1", "conv2", "bn1", "bn2") if batch_norm else ("conv1", "conv2")
    assert {name for name in names_of(network) if name.startswith("body")} == {
        f"body.{n}.{layer}" for n in range(3) for layer in layers
    }
    outside = conv(3, 6) + 4 * conv(6, 6) + conv(6, 3)
    assert count(network) == outside + 3 * (2 * conv(6, 6) + batch_norm * 2 * 2 * 6)


def test_growth_is_nothing_to_residual_blocks():
    assert count(RRDBNet(blocks=1, channels=6, growth=2, block="residual")) == count(
        RRDBNet(blocks=1, channels=6, growth=9, block="residual")
    )


@pytest.mark.parametrize("options", [{"batch_norm": True}, {"block": "residual"}])
def test_switched_networks_are_described_and_learn(noise, options):
    network = RRDBNet(blocks=2, channels=8, growth=4, **options)
    assert describe(network, 24).parameters == count(network)
    network(noise).square().sum().backward()
    idle = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert not idle


def test_other_blocks_are_refused():
    with pytest.raises(ModelError, match="no block 'dense'; choose from rrdb, residual"):
        RRDBNet(block="dense")


# As a table.


def test_the_table_is_figures_3_and_4():
    table = describe(RRDBNet(), 24)
    kinds = [layer.kind.split()[1] for layer in table.layers if layer.kind.startswith("Conv2d")]
    dense = ["k3n32s1"] * 4 + ["k3n64s1"]
    assert kinds == ["k3n64s1", *dense * 3 * 23, *["k3n64s1"] * 4, "k3n3s1"]
    assert [layer.kind for layer in table.layers if layer.kind.startswith("Upsample")] == ["Upsample x2"] * 2
    assert table.layers[-1].shape == (3, 96, 96)
    assert table.parameters == sum(layer.parameters for layer in table.layers) == 16_697_987
    blocks, doubled, quartered = 23 * 3 * 5 * 2, (3 - 1) / 2, 3 * (3 - 1) / 4
    assert table.receptive_field == math.ceil(1 + 2 + blocks + 2 + doubled + quartered) == 698


@pytest.mark.parametrize("scale", [2, 4])
def test_receptive_fields_are_those_of_gradients(scale):
    """Dense connections and repeated pixels do not mislead the count along the chain."""
    network = trained_looking(scale=scale, blocks=2, channels=3, growth=2)
    assert describe(network, 84).receptive_field == seen_by_gradients(network, 84, scale)


def test_other_ways_to_enlarge_are_refused():
    network = RRDBNet(blocks=1, channels=3, growth=1)
    network.nearest = nn.Upsample(scale_factor=2, mode="bilinear")  # sees beside the pixel
    with pytest.raises(ModelError, match="nearest: how far Upsample sees is not known"):
        describe(network, 24)


# Tile by tile.


def detailed_picture() -> Image.Image:
    with Image.open(photo("brick_house").path) as picture:
        return picture.crop((60, 40, 160, 100)).convert("RGB")


def worst_difference(network: RRDBNet, **tiling: int) -> float:
    """Between tiles of 40 and the whole, in 255 levels; both are rounded to whole ones."""
    tiled, whole = (upscale(network, detailed_picture(), 4, tile=tile, **tiling) for tile in (40, 100))
    return (images.from_pil(tiled) * 255 - images.from_pil(whole) * 255).abs().max().round().item()


@pytest.mark.parametrize("blocks", [1, 2])
def test_tiles_with_the_usual_overlap_equal_the_whole(blocks):
    """Rounding may fall to either side of a half: one level of 255 is allowed, no more."""
    network = trained_looking(blocks=blocks, channels=12, growth=6)
    with torch.no_grad():  # as much contrast as a photograph has, or differences would drown in the rounding
        result = network(images.from_pil(detailed_picture()))
        gain = 0.25 / result.std()
        network.conv_last.weight.mul_(gain)
        network.conv_last.bias.mul_(gain).add_(0.5 - gain * result.mean())
    assert describe(network, 24).receptive_field > 2 * OVERLAP + 1  # not for the plain reason
    assert worst_difference(network, overlap=OVERLAP) <= 1
    assert worst_difference(network, overlap=2) > 5  # the test can fail


# In other hands: spandrel, which opens the published files of many networks.


def spandrel_loads(state):
    loader = pytest.importorskip("spandrel", reason="comparing with it needs spandrel: pip install spandrel")
    return loader.ModelLoader().load_from_state_dict(dict(state))


@pytest.mark.parametrize("options", [
    {"scale": 4, "blocks": 2, "channels": 64},
    {"scale": 4, "blocks": 3, "channels": 24},
    {"scale": 2, "blocks": 2, "channels": 16},
])  # fmt: skip
def test_spandrel_gives_the_same_picture(noise, options):
    network = trained_looking(**options)
    theirs = spandrel_loads(network.state_dict())
    assert (theirs.architecture.id, theirs.scale) == ("ESRGAN", options["scale"])
    assert f"{options['blocks']}nb" in theirs.tags
    with torch.inference_mode():
        ours, other = network(noise), theirs.model.eval()(noise)
    assert (ours - other).abs().max() <= 1e-4
    assert ours.std() > 0.01  # two networks that both answer nothing would agree too


def test_spandrel_opens_the_full_size():
    torch.manual_seed(0)
    network = RRDBNet().eval()
    lr = torch.rand(1, 3, 8, 10)
    theirs = spandrel_loads(network.state_dict())
    with torch.inference_mode():
        assert (network(lr) - theirs.model.eval()(lr)).abs().max() <= 1e-4


@pytest.mark.parametrize("scale", [2, 4])
def test_the_oldest_names_come_back(noise, scale):
    """spandrel keeps every RRDBNet under the names of 2018: a file of that year, made by other hands."""
    theirs = spandrel_loads(trained_looking(scale=scale, blocks=2, channels=16).state_dict()).model.eval()
    assert "model.1.sub.0.RDB1.conv1.0.weight" in theirs.state_dict()
    network = RRDBNet(scale, blocks=2, channels=16)
    network.load_state_dict(from_older_names(theirs.state_dict()))
    with torch.inference_mode():
        torch.testing.assert_close(network(noise), theirs(noise), atol=1e-5, rtol=0)


def test_older_names_one_by_one():
    """The names that the authors' files bore in 2018 (two kinds) and bear today."""
    zero = torch.zeros(1)
    kinds = [
        ["model.0", "model.1.sub.7.RDB2.conv5.0", "model.1.sub.23", "model.3", "model.6", "model.8", "model.10"],
        ["conv_first", "RRDB_trunk.7.RDB2.conv5", "trunk_conv", "upconv1", "upconv2", "HRconv", "conv_last"],
        ["conv_first", "body.7.rdb2.conv5", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"],
    ]
    for names in kinds:
        assert list(from_older_names({f"{name}.bias": zero for name in names})) == [f"{one}.bias" for one in kinds[2]]
