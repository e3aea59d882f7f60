"""Eight views averaged, two networks mixed: closed forms, and what is said where networks differ."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sr_course.errors import ModelError
from sr_course.evaluation import Pair, evaluate
from sr_course.models.blend import SelfEnsemble, blend
from sr_course.models.esrgan import RRDBNet
from sr_course.models.interpolation import Interpolation
from sr_course.models.srresnet import SRResNet
from sr_course.zoo import load

# Self-ensemble.


def eight(picture: torch.Tensor) -> list[torch.Tensor]:
    """The picture in its eight positions, by quarter turns and a mirror."""
    turned = [torch.rot90(picture, turns, (-2, -1)) for turns in range(4)]
    return [*turned, *(one.flip(-1) for one in turned)]


def tiny(seed: int = 0, **options) -> SRResNet:
    torch.manual_seed(seed)
    network = SRResNet(2, blocks=1, channels=4, **options).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


def test_a_network_without_a_preferred_hand_stays_as_it_is(noise):
    torch.testing.assert_close(SelfEnsemble(Interpolation(3))(noise), Interpolation(3)(noise), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_it_has_no_preferred_hand(noise):
    """Turning the picture turns the result: true of the mean of all eight, and not of the network itself."""
    network = tiny()
    for views in zip(eight(noise), eight(SelfEnsemble(network)(noise)), eight(network(noise)), strict=True):
        view, ensemble, alone = views
        torch.testing.assert_close(SelfEnsemble(network)(view), ensemble, atol=1e-5, rtol=0)
        assert view is views[0]
        if not torch.equal(view, noise):
            assert (network(view) - alone).abs().max() > 0.01


@torch.inference_mode()
def test_it_is_the_mean_of_eight_results_turned_back(noise):
    """The turns are written down a second time: a quarter turn back for each, and the mirror first."""
    network = tiny()
    results = [torch.rot90(network(torch.rot90(noise, k, (-2, -1))), -k, (-2, -1)) for k in range(4)]
    results += [torch.rot90(network(torch.rot90(noise, k, (-2, -1)).flip(-1)).flip(-1), -k, (-2, -1)) for k in range(4)]
    torch.testing.assert_close(SelfEnsemble(network)(noise), torch.stack(results).mean(0), atol=1e-5, rtol=0)


def test_a_corner_network_becomes_even():
    """A network that sees only its upper left neighbour: of a point, the mean leaves a quarter at each corner."""

    class Shift(nn.Module):
        def forward(self, lr):
            return lr.roll((1, 1), (-2, -1))

    point = torch.zeros(1, 3, 5, 5)
    point[..., 2, 2] = 1
    expected = torch.zeros(5, 5)
    expected[[1, 1, 3, 3], [1, 3, 1, 3]] = 0.25
    assert torch.equal(SelfEnsemble(Shift())(point)[0, 0], expected)


def test_it_works_on_luma_where_the_network_does(noise):
    assert SelfEnsemble(Interpolation(2)).works_on_luma
    assert not SelfEnsemble(tiny()).works_on_luma


def test_it_is_closer_to_the_truth_on_a_picture_of_set5(set5):
    """Lim et al. 2017, table 5: the self-ensemble gains on every benchmark."""
    folder = set5
    pair = [Pair(name="bird", hr=folder / "HR" / "bird.png", lr=folder / "LR_bicubic" / "X4" / "birdx4.png")]
    network = load("srresnet-s")
    assert evaluate(SelfEnsemble(network), pair).psnr > evaluate(network, pair).psnr + 0.02


# Network interpolation.


def test_weights_and_statistics_are_mixed(noise):
    first, second = tiny(0), tiny(1)
    second.trunk.bn.num_batches_tracked += 7
    mixed = blend(first, second, 0.3)
    for name, value in mixed.state_dict().items():
        one, other = first.state_dict()[name], second.state_dict()[name]
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.7 * one + 0.3 * other)
        else:
            assert torch.equal(value, one)
    assert any(name.endswith("running_var") for name in mixed.state_dict())
    assert mixed(noise).shape == first(noise).shape


def test_the_ends_are_the_two_networks_which_stay_as_they_are(noise):
    first, second = tiny(0), tiny(1)
    before = [first(noise), second(noise)]
    for alpha, expected in ((0, before[0]), (1, before[1])):
        torch.testing.assert_close(blend(first, second, alpha)(noise), expected, atol=1e-6, rtol=0)
    assert torch.equal(first(noise), before[0])
    assert torch.equal(second(noise), before[1])


def test_of_linear_networks_the_results_mix_as_the_weights_do(noise):
    """One convolution is linear in its weights: there network and image interpolation are the same. Two are not."""
    torch.manual_seed(0)
    one, other = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    torch.testing.assert_close(blend(one, other, 0.25)(noise), 0.75 * one(noise) + 0.25 * other(noise))
    first, second = tiny(0), tiny(1)
    images = 0.5 * first(noise) + 0.5 * second(noise)
    assert (blend(first, second, 0.5)(noise) - images).abs().max() > 0.05


def test_the_precision_and_mode_of_the_first():
    first, second = tiny(0).train(), tiny(1).double()
    mixed = blend(first, second, 0.5)
    assert {value.dtype for value in mixed.parameters()} == {torch.float32}
    assert mixed.training
    assert blend(second, first, 0.5).head.conv.weight.dtype == torch.float64


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_outside(alpha):
    with pytest.raises(ModelError, match=r"alpha is .* it goes from 0"):
        blend(tiny(), tiny(), alpha)


class WithCount(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(size))


@pytest.mark.parametrize(("first", "second", "says"), [
    (lambda: SRResNet(2, blocks=1, channels=4), lambda: SRResNet(2, blocks=2, channels=4), "second has a layer blocks"),
    (lambda: RRDBNet(blocks=2, channels=4, growth=2), lambda: RRDBNet(blocks=1, channels=4, growth=2), "the first has"),
    (lambda: tiny(), lambda: SRResNet(2, blocks=1, channels=6), "channels is 4 and 6 in"),
    (lambda: tiny(), lambda: tiny(tanh=True), "tanh is False and True"),
    (lambda: tiny(), lambda: tiny(batch_norm=False), "BatchNorm2d and Identity in"),
    (lambda: tiny(), lambda: tiny(batch_norm_eps=1e-3), "eps is 1e-05 and 0.001 in"),
    (lambda: nn.ReLU(), lambda: nn.LeakyReLU(), "ReLU and LeakyReLU"),
    (lambda: WithCount(2), lambda: WithCount(3), r"count is of shape \(2,\) and \(3,\)"),
])  # fmt: skip
def test_networks_that_differ(first, second, says):
    with pytest.raises(ModelError, match=says) as caught:
        blend(first(), second(), 0.5)
    assert str(caught.value).startswith("only networks of one architecture can be blended")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_srgan_and_the_network_it_came_from_make_a_picture_between(noise):
    """The two were trained one from the other; a mixture stays a picture, and lies between in how far it strays."""
    from sr_course import images
    from sr_course.data.shipped import photo

    picture = images.read(photo("red_panda").path)[..., 150:174, 200:232]
    first, second = load("srresnet"), load("srgan")
    with torch.inference_mode():
        at = {alpha: blend(first, second, alpha)(picture) for alpha in (0.0, 0.5, 1.0)}
    ends = (at[1.0] - at[0.0]).square().mean().sqrt()
    for end in (0.0, 1.0):
        assert (at[0.5] - at[end]).square().mean().sqrt() < ends
