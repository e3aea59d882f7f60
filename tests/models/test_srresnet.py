"""SRResNet against the paper's figure and against what its parts must do by definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sr_course.errors import ModelError
from sr_course.models.srresnet import SRResNet, SubPixel

CONV = 64 * 64 * 9 + 64  # 3x3, 64 to 64 features, with bias
BLOCK = 2 * CONV + 2 * (64 + 64) + 64  # two batch norms with scale and shift, a PReLU with a slope for each feature
HEAD = 3 * 64 * 81 + 64 + 64  # 9x9, PReLU
TRUNK = CONV + (64 + 64)
STAGE = 64 * 256 * 9 + 256 + 64
TAIL = 64 * 3 * 81 + 3


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_figure_4():
    assert HEAD + 16 * BLOCK + TRUNK + 2 * STAGE + TAIL == 1_550_659
    assert count(SRResNet()) == 1_550_659


@pytest.mark.parametrize(("scale", "stages"), [(2, 1), (4, 2), (8, 3)])
def test_a_stage_for_each_doubling(scale, stages):
    network = SRResNet(scale, blocks=2)
    assert count(network) == HEAD + 2 * BLOCK + TRUNK + stages * STAGE + TAIL
    assert network(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_width():
    """Of 8 channels: 15,616 becomes 1,952 and so on."""
    block, head, trunk = 2 * (8 * 8 * 9 + 8) + 4 * 8 + 8, 3 * 8 * 81 + 8 + 8, 8 * 8 * 9 + 8 + 16
    stage, tail = 8 * 32 * 9 + 32 + 8, 8 * 3 * 81 + 3
    assert count(SRResNet(channels=8, blocks=3)) == head + 3 * block + trunk + 2 * stage + tail


def test_without_batch_norm():
    network = SRResNet(batch_norm=False)
    assert count(network) == 1_550_659 - 33 * 128
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_names_of_the_weights():
    names = {name.rsplit(".", 1)[0] for name in SRResNet(4, blocks=1).state_dict()}
    block = {f"blocks.0.{layer}" for layer in ("conv1", "bn1", "prelu", "conv2", "bn2")}
    ends = {"head.conv", "head.prelu", "trunk.conv", "trunk.bn", "tail.conv"}
    assert names == block | ends | {"up1.conv", "up1.prelu", "up2.conv", "up2.prelu"}


def test_tanh_keeps_the_result_in_the_range_of_pictures(noise):
    torch.manual_seed(0)
    free, bounded = SRResNet(2, blocks=1, channels=4), SRResNet(2, blocks=1, channels=4, tanh=True)
    with torch.no_grad():
        free.tail.conv.weight.mul_(100)
        bounded.load_state_dict(free.state_dict())
        wild, sr = free(noise), bounded(noise)
    assert wild.min() < -1
    assert wild.max() > 2
    assert sr.min() >= 0
    assert sr.max() <= 1
    torch.testing.assert_close(sr, (torch.tanh(2 * wild - 1) + 1) / 2)


def test_a_block_that_adds_nothing_passes_everything():
    """The skip: with the last batch norm at zero a block is the identity (He et al. 2016)."""
    network = SRResNet(2, blocks=1, channels=4)
    torch.nn.init.zeros_(network.blocks[0].bn2.weight)
    x = torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(network.blocks(x), x)


def test_eps_reaches_every_batch_norm():
    norms = [one for one in SRResNet(batch_norm_eps=1e-3).modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert [norm.eps for norm in norms] == [1e-3] * 33


def test_every_parameter_learns(noise):
    network = SRResNet(4, blocks=2, channels=8)
    network(noise).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in network.named_parameters() if "conv" in name)
    # a slope learns only where its feature is ever below zero, and of 8 features one may never be
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_icnr_is_nearest_enlargement_after_a_convolution():
    """Aitken et al. 2017: by its definition, at the start."""
    stage = SubPixel(4, icnr=True)
    x = torch.randn(2, 4, 5, 6)
    small = F.conv2d(x, stage.conv.weight[::4], stage.conv.bias[::4], padding=1)
    torch.testing.assert_close(stage(x), F.prelu(F.interpolate(small, scale_factor=2.0), stage.prelu.weight))
    assert stage.conv.weight[::4].unique().numel() == 4 * 4 * 9  # the kernels of different features stay different


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_icnr_starts_without_a_checkerboard(scale):
    """A plain grey picture has no detail, so away from its border the result should have none."""
    torch.manual_seed(0)
    grey = torch.full((1, 3, 24, 24), 0.7)
    ripple = {}
    for icnr in (False, True):
        network = SRResNet(scale, blocks=1, channels=8, icnr=icnr).eval()
        with torch.no_grad():
            middle = network(grey)[..., 10 * scale : -10 * scale, 10 * scale : -10 * scale]
        ripple[icnr] = (middle.amax(dim=(2, 3)) - middle.amin(dim=(2, 3))).max().item()
    assert ripple[True] < 1e-5
    assert ripple[False] > 1e-3


@pytest.mark.parametrize("options", [{"scale": 3}, {"scale": 1}, {"scale": 16}])
def test_other_scales_are_refused(options):
    with pytest.raises(ModelError, match=rf"scale is 2, 4 or 8, not {options['scale']}"):
        SRResNet(**options)


@pytest.mark.parametrize("options", [{"blocks": 0}, {"channels": 0}])
def test_nothing_to_compute_with(options):
    with pytest.raises(ModelError, match="at least one block and one channel"):
        SRResNet(**options)
