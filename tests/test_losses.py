"""Losses: against loops over the numbers and closed forms, their gradients in double precision, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sr_course.features import VGGFeatures
from sr_course.losses import (
    ADVERSARIAL_KINDS,
    PIXEL_LOSSES,
    VGG_RESCALE,
    AdversarialLoss,
    PerceptualLoss,
    Term,
    caffe_euclidean,
    charbonnier,
    frequency,
    l1,
    mse,
    pixel_terms,
    total,
    total_variation,
)

TOWARDS_THE_TRUTH = [name for name in PIXEL_LOSSES if name != "total_variation"]


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 6, 5, generator=generator), torch.rand(4, 3, 6, 5, generator=generator)


# Pixels.


def test_values_on_paper():
    sr = torch.tensor([[[[0.1, 0.2]]], [[[0.3, 0.4]]]])  # two pictures of two pixels
    hr = torch.tensor([[[[0.1, 0.0]]], [[[0.0, 0.8]]]])  # differences 0, 0.2, 0.3, 0.4
    assert mse(sr, hr).item() == pytest.approx((0.04 + 0.09 + 0.16) / 4)
    assert l1(sr, hr).item() == pytest.approx(0.9 / 4)
    assert caffe_euclidean(sr, hr).item() == pytest.approx((0.04 + 0.09 + 0.16) / (2 * 2))
    assert charbonnier(sr, hr).item() == pytest.approx((0.001 + 0.2000025 + 0.3000017 + 0.4000012) / 4, rel=1e-6)


def test_mse_and_l1_are_torchs(pair):
    torch.testing.assert_close(mse(*pair), F.mse_loss(*pair))
    torch.testing.assert_close(l1(*pair), F.l1_loss(*pair))


def test_caffes_loss_is_half_the_values_of_a_picture_times_the_mean(pair):
    torch.testing.assert_close(caffe_euclidean(*pair), F.mse_loss(*pair) * (3 * 6 * 5) / 2)


def in_loops(name: str, sr: np.ndarray, hr: np.ndarray) -> float:
    """What a pixel loss is, number by number."""
    pictures, channels, height, width = sr.shape
    differences = [float(a) - float(b) for a, b in zip(sr.flat, hr.flat, strict=True)]
    if name == "mse":
        return sum(d * d for d in differences) / len(differences)
    if name == "l1":
        return sum(abs(d) for d in differences) / len(differences)
    if name == "charbonnier":
        return sum(math.sqrt(d * d + 1e-6) for d in differences) / len(differences)
    if name == "caffe_euclidean":
        return sum(d * d for d in differences) / 2 / pictures
    planes = [sr[n, c].astype(float) for n in range(pictures) for c in range(channels)]
    if name == "total_variation":
        down = [abs(p[y + 1, x] - p[y, x]) for p in planes for y in range(height - 1) for x in range(width)]
        across = [abs(p[y, x + 1] - p[y, x]) for p in planes for y in range(height) for x in range(width - 1)]
        return sum(down) / len(down) + sum(across) / len(across)
    assert name == "frequency"
    # of a real picture half of the coefficients say it all, the frequencies across from 0 to the middle
    lengths = []
    for n in range(pictures):
        for c in range(channels):
            d = (sr[n, c] - hr[n, c]).astype(float)
            for v in range(height):
                for u in range(width // 2 + 1):
                    waves = [
                        d[y, x] * np.exp(-2j * np.pi * (v * y / height + u * x / width))
                        for y in range(height)
                        for x in range(width)
                    ]
                    lengths.append(abs(sum(waves)) / math.sqrt(height * width))
    return sum(lengths) / len(lengths)


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_a_pixel_loss_is_what_loops_over_the_numbers_give(pair, name):
    sr, hr = pair
    assert PIXEL_LOSSES[name](sr, hr).item() == pytest.approx(in_loops(name, sr.numpy(), hr.numpy()), rel=1e-5)


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_the_gradient_of_a_pixel_loss(pair, name):
    sr, hr = (one[:2].double() for one in pair)
    assert torch.autograd.gradcheck(lambda x: PIXEL_LOSSES[name](x, hr), sr.requires_grad_())


def test_total_variation_of_a_slope():
    """A step of 0.1 from column to column, none from row to row, whatever the truth is."""
    slope = (torch.arange(6) * 0.1).expand(2, 3, 5, 6)
    assert total_variation(slope, torch.rand(2, 3, 5, 6)).item() == pytest.approx(0.1)
    assert total_variation(torch.full((1, 3, 4, 4), 0.5), slope).item() == 0


def test_white_noise_costs_as_much_at_any_size():
    """About sqrt(pi) / 2 of its standard deviation: the mean length of two numbers that share the power."""
    generator = torch.Generator().manual_seed(0)
    for side in (32, 128):
        noise = 0.1 * torch.randn(8, 3, side, side, generator=generator)
        assert frequency(noise, torch.zeros_like(noise)).item() == pytest.approx(0.1 * math.sqrt(math.pi) / 2, rel=0.02)


@pytest.fixture
def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.PReLU(), torch.nn.Conv2d(4, 3, 1))


def reached(network: torch.nn.Module, term: torch.Tensor) -> set[str]:
    """The weights that a term alone would move, by more than what rounding leaves."""
    weights = dict(network.named_parameters())
    slopes = torch.autograd.grad(term, list(weights.values()), allow_unused=True)
    return {name for name, slope in zip(weights, slopes, strict=True) if slope is not None and slope.abs().max() > 1e-5}


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_the_gradient_of_each_pixel_term_alone_reaches_every_weight(pair, network, name):
    lr, hr = pair
    (term,) = pixel_terms((Term(name),), network(lr), hr).values()
    unmoved = {"2.bias"} if name == "total_variation" else set()  # no difference of neighbours tells of the last bias
    assert reached(network, term) == dict(network.named_parameters()).keys() - unmoved


@pytest.mark.parametrize("name", TOWARDS_THE_TRUTH)
def test_a_loss_pulls_towards_the_truth_and_vanishes_there(pair, name):
    hr = pair[1]
    found = (hr + 0.1 * torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    before = PIXEL_LOSSES[name](found, hr)
    before.backward()
    step = 1e-3 * found.grad / found.grad.norm()
    assert PIXEL_LOSSES[name](found - step, hr) < before < PIXEL_LOSSES[name](found + step, hr)
    assert (found.grad * (found - hr)).sum() > 0
    assert PIXEL_LOSSES[name](hr, hr).item() <= 1e-3 + 1e-9  # Charbonnier keeps its epsilon


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_the_slope_is_a_number_also_where_nothing_is_wrong(pair, name):
    sr = pair[1].clone().requires_grad_()
    PIXEL_LOSSES[name](sr, pair[1]).backward()
    assert torch.isfinite(sr.grad).all()


def test_terms_carry_their_weights_and_add_up(pair):
    terms = pixel_terms((Term("l1", 2.0), Term("mse", 0.5), Term("perceptual", 3.0)), *pair)
    assert set(terms) == {"l1", "mse"}  # the perceptual term needs a network, and is added by who has it
    torch.testing.assert_close(terms["l1"], 2 * F.l1_loss(*pair))
    torch.testing.assert_close(terms["mse"], 0.5 * F.mse_loss(*pair))
    torch.testing.assert_close(total(terms), 2 * F.l1_loss(*pair) + 0.5 * F.mse_loss(*pair))


# Features.


@pytest.fixture(scope="module")
def vgg() -> VGGFeatures:
    return VGGFeatures(["conv1_1", "relu2_2"], "random").double()


@pytest.fixture
def small() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return tuple(torch.rand(2, 3, 6, 4, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("distance", ["mse", "l1", "channel_sum"])
def test_a_perceptual_loss_is_what_loops_over_the_features_give(vgg, small, distance):
    sr, hr = small
    loss = PerceptualLoss({"conv1_1": 0.25, "relu2_2": 2.0}, distance=distance, rescale=VGG_RESCALE, features=vgg)
    expected = 0.0
    for name, weight in {"conv1_1": 0.25, "relu2_2": 2.0}.items():
        found, wanted = (vgg(picture)[name].numpy() / 12.75 for picture in (sr, hr))
        pictures, channels, height, width = found.shape
        summed = 0.0
        for n in range(pictures):
            for y in range(height):
                for x in range(width):
                    here = [float(found[n, c, y, x] - wanted[n, c, y, x]) for c in range(channels)]
                    summed += sum(abs(d) if distance == "l1" else d * d for d in here)
        places = pictures * height * width
        expected += weight * summed / (places if distance == "channel_sum" else places * channels)
    assert loss(sr, hr).item() == pytest.approx(expected, rel=1e-9)
    assert loss.unchecked(sr, hr).item() == loss(sr, hr).item()
    assert loss(hr, hr).item() == 0


@pytest.mark.parametrize("distance", ["mse", "l1", "channel_sum"])
def test_the_gradient_of_a_perceptual_loss(vgg, small, distance):
    sr, hr = (one[:1] for one in small)
    loss = PerceptualLoss({"conv1_1": 0.25, "relu2_2": 2.0}, distance=distance, features=vgg)
    assert torch.autograd.gradcheck(lambda x: loss(x, hr), sr.clone().requires_grad_())


def test_the_trained_network_pulls_a_picture_towards_the_truth():
    generator = torch.Generator().manual_seed(4)
    hr = torch.rand(1, 3, 32, 32, generator=generator)
    sr = (0.5 * hr + 0.25).requires_grad_()
    loss = PerceptualLoss({"conv2_2": 1.0})
    before = loss(sr, hr)
    before.backward()
    assert loss((sr - 1e-3 * sr.grad / sr.grad.abs().max()).detach(), hr) < before
    assert all(weight.grad is None for weight in loss.parameters())


@pytest.mark.parametrize(("change", "says"), [
    (lambda x: x * 255, r"sr runs from .* to 2\d\d; pictures are in \[0, 1\] here\. Divide levels of 0 to 255 by 255"),
    (lambda x: x * 2 - 1, r"sr runs from -0\.9.*bring \[-1, 1\] there by \(x \+ 1\) / 2"),
    (lambda x: x[..., 1:], "cut both to the same size"),
    (lambda x: x[:1], "cut both to the same size"),
    (lambda x: x[:, :1], r"sr is of shape \(2, 1, 6, 4\); VGG looks at RGB"),
    (lambda x: x[0], r"sr is of shape \(3, 6, 4\); VGG looks at RGB"),
    (lambda x: x.index_fill(3, torch.tensor(0), float("nan")), "sr holds values that are not finite"),
    (lambda x: x.index_fill(3, torch.tensor(0), float("inf")), "sr holds values that are not finite"),
])  # fmt: skip
def test_bad_input_is_refused(vgg, small, change, says):
    sr, hr = small
    loss = PerceptualLoss({"relu2_2": 1.0}, features=vgg)
    with pytest.raises(ValueError, match=says):
        loss(change(sr), hr)
    with pytest.raises(ValueError, match=says.replace("sr", "hr") if says.startswith("sr") else says):
        loss(hr, change(sr))


def test_a_result_may_leave_the_range_and_the_truth_may_not(vgg, small):
    """An untrained network oversteps; a photograph cannot."""
    sr, hr = small
    loss = PerceptualLoss({"relu2_2": 1.0}, features=vgg)
    assert math.isfinite(loss(sr * 1.8 - 0.4, hr).item())
    assert math.isfinite(loss(sr, hr + 1e-6).item())
    with pytest.raises(ValueError, match="hr runs from"):
        loss(sr, hr * 1.8 - 0.4)


def test_options_of_the_perceptual_loss_that_do_not_exist(vgg):
    with pytest.raises(ValueError, match="no distance 'l2'; choose from mse, l1, channel_sum"):
        PerceptualLoss({"relu2_2": 1.0}, distance="l2", features=vgg)
    with pytest.raises(ValueError, match="the network gives no relu5_3"):
        PerceptualLoss({"relu5_3": 1.0}, features=vgg)


# Adversaries.


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return tuple(3 * torch.randn(7, 1, generator=generator, dtype=torch.float64) for _ in range(2))


def bce(logits: torch.Tensor, target: float) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def test_vanilla_is_binary_cross_entropy(logits):
    """Real pictures are 1 and made ones 0; the generator wants its own to be taken for 1."""
    real, fake = logits
    loss = AdversarialLoss("vanilla")
    torch.testing.assert_close(loss.discriminator(real, fake), {"real": bce(real, 1), "fake": bce(fake, 0)})
    torch.testing.assert_close(loss.generator(fake), bce(fake, 1))
    assert not loss.generator_sees_real


def test_least_squares_and_hinge_in_closed_form():
    real, fake = torch.tensor([[2.0], [0.5]]), torch.tensor([[-3.0], [1.0]])
    loss = AdversarialLoss("least_squares")  # Mao et al. 2017, eq. 9
    terms = loss.discriminator(real, fake)
    assert terms["real"].item() == (1**2 + 0.5**2) / 2 / 2
    assert terms["fake"].item() == (3**2 + 1**2) / 2 / 2
    assert loss.generator(fake).item() == (4**2 + 0**2) / 2 / 2
    loss = AdversarialLoss("hinge")  # Lim and Ye 2017: beyond 1 on its own side nothing is gained
    terms = loss.discriminator(real, fake)
    assert terms["real"].item() == (0 + 0.5) / 2
    assert terms["fake"].item() == (0 + 2) / 2
    assert loss.generator(fake).item() == (3 - 1) / 2


def test_relativistic_on_four_logits():
    """Wang et al. 2018, eq. 1 and 2, number by number: is it more real than the others are on the mean?"""
    real, fake = (3.0, 1.0), (-1.0, 2.0)  # means 2 and 0.5

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    real_looks_real = [sigmoid(3 - 0.5), sigmoid(1 - 0.5)]
    fake_looks_real = [sigmoid(-1 - 2), sigmoid(2 - 2)]
    of_real = -(math.log(real_looks_real[0]) + math.log(real_looks_real[1])) / 2
    of_fake = -(math.log(1 - fake_looks_real[0]) + math.log(1 - fake_looks_real[1])) / 2
    generator = (
        -(math.log(1 - real_looks_real[0]) + math.log(1 - real_looks_real[1])) / 2
        - (math.log(fake_looks_real[0]) + math.log(fake_looks_real[1])) / 2
    )
    loss = AdversarialLoss("relativistic")
    assert loss.generator_sees_real
    logits = [torch.tensor(numbers, dtype=torch.float64)[:, None] for numbers in (real, fake)]
    terms = loss.discriminator(*logits)
    assert terms["real"].item() == pytest.approx(of_real)
    assert terms["fake"].item() == pytest.approx(of_fake)
    assert loss.generator(logits[1], logits[0]).item() == pytest.approx(generator)


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
def test_the_gradient_of_an_adversarial_loss(logits, kind):
    real, fake = (one.clone().requires_grad_() for one in logits)
    loss = AdversarialLoss(kind)
    assert torch.autograd.gradcheck(lambda r, f: tuple(loss.discriminator(r, f).values()), (real, fake))
    assert torch.autograd.gradcheck(lambda f, r: loss.generator(f, r), (fake, real))


@pytest.mark.parametrize("kind", ADVERSARIAL_KINDS)
def test_each_side_pulls_its_own_way(logits, kind):
    real, fake = (one.sigmoid().requires_grad_() for one in logits)  # undecided: between the targets 0 and 1
    loss = AdversarialLoss(kind)
    total(loss.discriminator(real, fake)).backward()
    assert real.grad.sum() < 0 < fake.grad.sum()  # going down raises the real logits and lowers the made ones
    fake.grad = None
    loss.generator(fake, real.detach()).backward()
    assert fake.grad.sum() < 0


@pytest.mark.parametrize("kind", ["vanilla", "relativistic"])
@pytest.mark.parametrize("size", [200.0, -200.0])
def test_sure_logits_give_finite_losses(kind, size):
    """A sigmoid of 200 is 1 in float32, and the logarithm of what is left is infinite."""
    real, fake = torch.full((2, 1), size), torch.full((2, 1), -size)
    loss = AdversarialLoss(kind)
    for term in (*loss.discriminator(real, fake).values(), loss.generator(fake, real)):
        assert math.isfinite(term.item())


def test_an_adversary_that_does_not_exist():
    with pytest.raises(ValueError, match="no adversarial loss 'wgan'; choose from vanilla, least_squares, hinge"):
        AdversarialLoss("wgan")
