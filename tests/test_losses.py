"""Losses: their values on numbers one can check on paper, and that each moves a network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sr_course.losses import PIXEL_LOSSES, Term, caffe_euclidean, charbonnier, l1, mse, pixel_terms, total


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 6, 5, generator=generator), torch.rand(4, 3, 6, 5, generator=generator)


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


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_the_gradient_reaches_every_weight(pair, name):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.PReLU(), torch.nn.Conv2d(4, 3, 1))
    lr, hr = pair
    total(pixel_terms((Term(name, 0.5),), network(lr), hr)).backward()
    for weight in network.parameters():
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_a_loss_pulls_towards_the_truth_and_vanishes_there(pair, name):
    hr = pair[1]
    above = (hr + 0.1).requires_grad_()
    PIXEL_LOSSES[name](above, hr).backward()
    assert (above.grad > 0).all()
    assert PIXEL_LOSSES[name](hr, hr).item() <= 1e-3 + 1e-9  # Charbonnier keeps its epsilon


def test_terms_carry_their_weights_and_add_up(pair):
    terms = pixel_terms((Term("l1", 2.0), Term("mse", 0.5)), *pair)
    torch.testing.assert_close(terms["l1"], 2 * F.l1_loss(*pair))
    torch.testing.assert_close(terms["mse"], 0.5 * F.mse_loss(*pair))
    torch.testing.assert_close(total(terms), 2 * F.l1_loss(*pair) + 0.5 * F.mse_loss(*pair))
