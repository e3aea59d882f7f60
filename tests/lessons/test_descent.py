"""Gradients and descents against closed forms, and against losses that are written once more."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from skimage.metrics import structural_similarity

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.features import VGGFeatures
from sr_course.lessons.descent import ADVERSARIAL, Adversary, Moment, PictureLoss, descend, gradient, loss_gradient
from sr_course.losses import PerceptualLoss
from sr_course.metrics import PERCEPTUAL_LAYERS, perceptual_distance
from sr_course.resample import imresize


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return images.centre_crop(images.read(photo("chameleon").path), 32, 40)


@pytest.fixture(scope="module")
def bicubic(truth) -> torch.Tensor:
    return imresize(bicubic_lr(truth, 4), 4).clamp(0, 1)


@pytest.fixture(scope="module")
def features() -> VGGFeatures:
    return VGGFeatures(PERCEPTUAL_LAYERS)


# --- gradients


def test_gradients_of_pixel_losses_are_their_formulas(truth, bicubic):
    count = truth.numel()
    torch.testing.assert_close(loss_gradient("mse", bicubic, truth), 2 * (bicubic - truth) / count)
    torch.testing.assert_close(loss_gradient("l1", bicubic, truth), torch.sign(bicubic - truth) / count)


@pytest.mark.parametrize("name", ["ssim", "relu2_2", "perceptual_distance"])
def test_gradients_tell_how_the_loss_moves(name, truth, bicubic, features):
    """Against the difference of the loss at two pictures a small step apart, in a direction of its own."""
    loss = PictureLoss(truth, {name: 1.0}, features=features)
    slope = gradient(loss, bicubic)
    direction = slope / slope.norm()
    ends = [loss.terms(bicubic + step * direction)[name].item() for step in (0.02, -0.02)]
    assert (ends[0] - ends[1]) / 0.04 == pytest.approx(slope.norm().item(), rel=0.05)
    assert slope.shape == bicubic.shape
    assert not slope.requires_grad


def test_gradient_needs_no_grad_mode_and_leaves_the_picture_alone(truth, bicubic):
    before = bicubic.clone()
    with torch.no_grad():
        slope = loss_gradient("mse", bicubic, truth)
    torch.testing.assert_close(slope, 2 * (bicubic - truth) / truth.numel())
    assert torch.equal(bicubic, before)
    assert bicubic.grad is None


# --- losses


def test_losses_are_those_of_the_course(truth, bicubic, features):
    terms = PictureLoss(truth, {"ssim": 1, "relu2_2": 3, "perceptual_distance": 1, "l1": 2}, features=features).terms(
        bicubic
    )
    layer = PerceptualLoss({"relu2_2": 1}, features=features)(bicubic, truth)
    assert terms["relu2_2"].item() == pytest.approx(3 * layer.item(), rel=1e-5)
    distance = perceptual_distance(bicubic, truth, features=features).item()
    assert terms["perceptual_distance"].item() == pytest.approx(distance, rel=1e-5)
    assert terms["l1"].item() == pytest.approx(2 * F.l1_loss(bicubic, truth).item(), rel=1e-6)
    x, y = (one[0].double().numpy() for one in (bicubic, truth))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    _, full = structural_similarity(x, y, channel_axis=0, full=True, **options)
    inside = full[:, 5:-5, 5:-5].mean()  # skimage goes on beyond the border, Wang et al. do not
    assert terms["ssim"].item() == pytest.approx(1 - inside, abs=1e-5)


def test_a_random_network_can_be_asked_too(truth, bicubic):
    trained = PictureLoss(truth, {"relu2_2": 1}).terms(bicubic)["relu2_2"]
    random = PictureLoss(truth, {"relu2_2": 1}, backbone="random").terms(bicubic)["relu2_2"]
    expected = PerceptualLoss({"relu2_2": 1}, backbone="random")(bicubic, truth)
    assert random.item() == pytest.approx(expected.item(), rel=1e-5)
    assert random.item() != pytest.approx(trained.item(), rel=0.1)


# --- descents


def test_descent_on_squared_error_comes_to_the_truth(truth, bicubic):
    result = descend(bicubic, truth, {"mse": 1.0}, steps=150)
    assert (result.picture - truth).abs().max() < 0.02
    assert result.moments[-1].psnr > 48
    assert torch.equal(result.moments[0].picture, bicubic)
    assert not result.stopped


def test_total_variation_alone_goes_flat(truth, bicubic):
    result = descend(bicubic, truth, {"total_variation": 1.0}, steps=150)
    rows, columns = (result.picture.diff(dim=dim).abs().mean() for dim in (-2, -1))
    before = bicubic.diff(dim=-2).abs().mean() + bicubic.diff(dim=-1).abs().mean()
    assert (rows + columns) < 0.05 * before
    assert result.moments[-1].psnr < result.moments[0].psnr  # it never looks at the truth


def test_first_step_is_adams(truth, bicubic):
    """Adam's first step has the size of the rate, against the sign of the gradient (Kingma and Ba 2015, sec. 2.1)."""
    result = descend(bicubic, truth, {"mse": 1.0}, steps=1, step_size=0.01)
    slope = 2 * (bicubic - truth) / truth.numel()
    clear = slope.abs() > 1e-6  # the epsilon of 1e-8 is nothing beside these
    expected = (bicubic - 0.01 * slope.sign()).clamp(0, 1)
    assert (result.picture - expected)[clear].abs().max() < 2e-4


def test_each_loss_makes_itself_small(truth, bicubic, features):
    for name in ("l1", "ssim", "relu2_2"):
        result = descend(bicubic, truth, {name: 1.0}, steps=12, features=features)
        assert result.moments[-1].loss < 0.5 * result.moments[0].loss, name


def test_moments_hold_what_was_measured(truth, bicubic):
    told: list[Moment] = []
    result = descend(bicubic, truth, {"mse": 2.0, "l1": 1.0}, steps=7, keep_every=3, progress=told.append)
    assert [moment.step for moment in result.moments] == [0, 3, 6, 7]
    assert [moment.step for moment in told] == list(range(8))
    for moment in result.moments:
        error = (moment.picture - truth).double()
        assert moment.terms["mse"] == pytest.approx(2 * error.square().mean().item(), rel=1e-5)
        assert moment.loss == pytest.approx(2 * error.square().mean().item() + error.abs().mean().item(), rel=1e-5)
        levels = (moment.picture * 255).round() - (truth * 255).round()
        decibels = 10 * math.log10(255**2 / levels.double().square().mean().item())
        assert moment.psnr == pytest.approx(decibels, abs=1e-3)
        assert moment.picture.min() >= 0
        assert moment.picture.max() <= 1


def test_stop_ends_it_at_once_and_keeps_where_it_was(truth, bicubic):
    told: list[Moment] = []
    result = descend(bicubic, truth, {"mse": 1.0}, steps=50, stop=lambda: len(told) >= 4, progress=told.append)
    assert result.stopped
    assert [moment.step for moment in result.moments] == [0, 4]
    assert torch.equal(result.picture, told[-1].picture)
    whole = descend(bicubic, truth, {"mse": 1.0}, steps=50, keep_every=4)
    assert torch.equal(whole.moments[1].picture, result.picture)


def test_balanced_weights_pull_equally_at_the_start(truth, bicubic, features):
    result = descend(bicubic, truth, {"mse": 2.0, "relu2_2": 2.0, "l1": 1.0}, steps=1, balanced=True, features=features)
    pulls = {
        name: result.weights[name] * loss_gradient(name, bicubic, truth, features=features).norm().item()
        for name in result.weights
    }
    assert pulls == pytest.approx({"mse": 2.0, "relu2_2": 2.0, "l1": 1.0}, rel=1e-4)


def test_weights_of_zero_are_left_out(truth, bicubic):
    alone = descend(bicubic, truth, {"mse": 1.0}, steps=3)
    assert torch.equal(
        descend(bicubic, truth, {"mse": 1.0, "l1": 0.0, ADVERSARIAL: 0.0}, steps=3).picture, alone.picture
    )
    assert set(alone.weights) == {"mse"}


# --- the adversary


def test_adversary_learns_to_tell_a_blurred_picture_from_photographs():
    photographs = images.centre_crop(images.read(photo("chameleon").path), 128, 128)
    smooth = imresize(bicubic_lr(photographs, 4), 4).clamp(0, 1)
    adversary = Adversary(photographs, smooth.shape)
    losses = [adversary.learn(smooth) for _ in range(60)]
    assert sum(losses[-15:]) / 15 < 0.85 * 2 * math.log(2)  # a guess is 2 ln 2
    assert adversary.term(smooth) > adversary.term(photographs)  # it is told from photographs, and they are not


def test_adversary_alone_puts_detail_where_there_was_none_and_does_not_know_which(truth, bicubic):
    result = descend(bicubic, truth, {ADVERSARIAL: 1.0}, steps=15, photographs=truth)
    roughness = [one.diff(dim=-1).abs().mean().item() for one in (bicubic, result.picture)]
    assert roughness[1] > 1.2 * roughness[0]
    assert result.moments[-1].psnr < result.moments[0].psnr


@pytest.mark.parametrize("weights", [{"relu2_2": 1.0}, {ADVERSARIAL: 1.0, "mse": 1.0}])
def test_nothing_is_left_to_chance(weights, truth, bicubic):
    state = torch.get_rng_state()
    first = descend(bicubic, truth, weights, steps=3, photographs=truth, balanced=True)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    again = descend(bicubic, truth, weights, steps=3, photographs=truth, balanced=True)
    torch.set_rng_state(state)
    assert torch.equal(again.picture, first.picture)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x, y: loss_gradient("vgg", x, y), "no loss 'vgg' of one picture"),
        (lambda x, y: loss_gradient(ADVERSARIAL, x, y), "no loss 'adversarial' of one picture"),
        (lambda x, y: loss_gradient("pool1", x, y), "no loss 'pool1'"),
        (lambda x, y: loss_gradient("mse", x, y[..., 1:]), "cut both to the same size"),
        (lambda x, y: loss_gradient("mse", 255 * x, y), "Divide levels"),
        (lambda x, y: descend(x, y, {"mse": -1.0}), "weight of mse is -1"),
        (lambda x, y: descend(x, y, {"mse": 0.0}), "needs a loss with a weight above 0"),
        (lambda x, y: descend(x, y, {"mse": 1.0}, steps=0), "a step"),
        (lambda x, y: descend(x, y, {ADVERSARIAL: 1.0}), "needs photographs"),
        (lambda x, y: descend(x, y, {ADVERSARIAL: math.nan}, photographs=y), "weight of adversarial is nan"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(truth, bicubic, call, said):
    with pytest.raises(ValueError, match=said) as error:
        call(bicubic, truth)
    assert str(error.value).endswith(".")
