"""SRCNN: the papers' numbers, the borders, colour, and the published layout of weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sr_course.errors import ModelError
from sr_course.images import rgb_to_ycbcr
from sr_course.models.srcnn import SRCNN
from sr_course.resample import imresize


def weights_alone(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters() if weight.ndim > 1)


def passing_through(**options) -> SRCNN:
    """An SRCNN that hands the enlarged picture on unchanged, if it treats borders well."""
    network = SRCNN(**options)
    for convolution in (network.conv1, network.conv2, network.conv3):
        nn.init.dirac_(convolution.weight)
    return network


@pytest.mark.parametrize(
    ("kernel_sizes", "weights", "biases"),
    # Dong et al. 2016, sec. 4.3.2: 8,032 for 9-1-5, 57,184 for 9-5-5
    [((9, 1, 5), 8_032, 97), ((9, 5, 5), 57_184, 97)],
)
def test_numbers_of_parameters(kernel_sizes, weights, biases):
    network = SRCNN(kernel_sizes=kernel_sizes)
    assert weights_alone(network) == weights
    assert sum(weight.numel() for weight in network.parameters()) == weights + biases


def test_first_weights_are_gaussian_and_small():
    torch.manual_seed(0)
    network = SRCNN()
    for convolution in (network.conv1, network.conv2):
        assert convolution.weight.std().item() == pytest.approx(0.001, rel=0.05)
        assert abs(convolution.weight.mean().item()) < 1e-4
        assert not convolution.bias.any()


def test_a_state_of_the_published_layout_is_loaded():
    state = {
        "conv1.weight": torch.randn(64, 1, 9, 9),
        "conv1.bias": torch.randn(64),
        "conv2.weight": torch.randn(32, 64, 5, 5),
        "conv2.bias": torch.randn(32),
        "conv3.weight": torch.randn(1, 32, 5, 5),
        "conv3.bias": torch.randn(1),
    }
    network = SRCNN(kernel_sizes=(9, 5, 5))
    network.load_state_dict(state)
    assert torch.equal(network.conv2.weight, state["conv2.weight"])


def test_luma_in_luma_out_and_the_border_repeated(noise):
    torch.manual_seed(0)
    network = SRCNN(scale=2, kernel_sizes=(5, 3, 3), channels=(6, 4)).eval()
    for convolution in (network.conv1, network.conv2, network.conv3):
        nn.init.normal_(convolution.weight, std=0.3)
        nn.init.normal_(convolution.bias, std=0.3)
    x = imresize(noise[:, :1], 2)
    for convolution, reach in ((network.conv1, 2), (network.conv2, 1), (network.conv3, 1)):
        # numpy's "edge" padding, written out: every row and column beyond the border is a copy of the last one
        rows = torch.arange(-reach, x.shape[-2] + reach).clamp(0, x.shape[-2] - 1)
        columns = torch.arange(-reach, x.shape[-1] + reach).clamp(0, x.shape[-1] - 1)
        x = F.conv2d(x[:, :, rows][..., columns], convolution.weight, convolution.bias)
        x = x if convolution is network.conv3 else x.clamp(min=0)
    torch.testing.assert_close(network(noise[:, :1]), x)


def test_training_pads_nothing_and_agrees_where_it_can(noise):
    network = SRCNN(scale=2, kernel_sizes=(5, 3, 3), channels=(6, 4))
    for convolution in (network.conv1, network.conv2, network.conv3):
        nn.init.normal_(convolution.weight, std=0.3)
    trained = network.train()(noise)
    whole = network.eval()(noise)
    assert trained.shape == (1, 3, 80 - 8, 112 - 8)
    torch.testing.assert_close(trained, whole[..., 4:-4, 4:-4])


def test_colour_stays_bicubic(noise):
    sr = passing_through(scale=2).eval()(noise)
    torch.testing.assert_close(sr, imresize(noise, 2), atol=1e-5, rtol=0)
    network = SRCNN(scale=2).eval()  # fresh weights: the luma is nearly black
    ycbcr = rgb_to_ycbcr(network(noise))
    torch.testing.assert_close(ycbcr[:, 1:], rgb_to_ycbcr(imresize(noise, 2))[:, 1:], atol=1e-5, rtol=0)
    assert ycbcr[:, 0].abs().max() < 0.01


@pytest.mark.parametrize(("scale", "hr_crop"), [(4, 52), (3, 45), (2, 42)])
def test_sub_images_are_those_of_the_picture_enlarged_whole(noise, scale, hr_crop):
    # what the paper trains on: 33x33 pixels cut from a picture that was enlarged whole
    whole = imresize(noise[:, :1], scale)
    top, left = 5, 9  # of the crop, in low-resolution pixels
    side = hr_crop // scale
    crop = noise[:, :1, top : top + side, left : left + side]
    network = passing_through(scale=scale, sub_image=33).train()
    sr = network(crop)
    assert sr.shape == (1, 1, 17, 17)
    first = (hr_crop - 33) // 2 + 8
    truth = whole[..., top * scale + first :, left * scale + first :][..., :17, :17]
    torch.testing.assert_close(sr, truth.clamp(min=0), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("kernel_sizes", "side"), [((9, 1, 5), 13), ((9, 5, 5), 17)])
def test_how_far_it_sees(kernel_sizes, side):
    # Dong et al. 2016, sec. 3: the reconstruction of a pixel draws on (9 + 5 - 1)^2 = 169 pixels in 9-1-5
    network = SRCNN(scale=1, kernel_sizes=kernel_sizes).eval()
    for convolution in (network.conv1, network.conv2, network.conv3):
        nn.init.constant_(convolution.weight, 0.01)
    picture = torch.ones(1, 1, 41, 41, requires_grad=True)
    network.sharpen(picture)[0, 0, 20, 20].backward()
    seen = picture.grad[0, 0] != 0
    assert seen.sum() == side**2
    assert seen[20 - side // 2 : 21 + side // 2, 20 - side // 2 : 21 + side // 2].all()


@pytest.mark.parametrize(
    "options", [{"kernel_sizes": (9, 5)}, {"kernel_sizes": (9, 4, 5)}, {"channels": (64,)}, {"sub_image": 16}]
)
def test_impossible_shapes_are_refused(options):
    with pytest.raises(ModelError, match=next(iter(options))):
        SRCNN(**options)


def test_he_initialisation_keeps_the_size_of_the_signal():
    torch.manual_seed(0)
    network = SRCNN(he_init=True)
    # He et al. 2015, eq. 10: standard deviation sqrt(2 / inputs)
    assert network.conv1.weight.std().item() == pytest.approx((2 / 81) ** 0.5, rel=0.05)
    assert network.conv2.weight.std().item() == pytest.approx((2 / (64 * 25)) ** 0.5, rel=0.05)


def test_a_network_that_begins_as_bicubic_is_near_it(noise):
    torch.manual_seed(0)
    bicubic = imresize(noise[:, :1], 2)
    pictures = bicubic.clamp(0, 1)

    def error(**options) -> float:
        return (SRCNN(scale=1, he_init=True, **options).eval()(pictures) - pictures).square().mean().item()

    assert error(begin_as_bicubic=True) < 0.1 * error()
    network = SRCNN(scale=1, begin_as_bicubic=True).eval()  # with the paper's small weights beside
    torch.testing.assert_close(network(pictures), pictures, atol=2e-3, rtol=0)
