"""PSNR and SSIM against closed forms and scikit-image, and what a protocol changes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from sr_course import images
from sr_course.metrics import MATLAB_Y, PROTOCOLS, RGB, SRCNN_DEMO, Protocol, psnr, ssim

PLAIN = Protocol(name="plain", channel="rgb", round_rgb=False, border=0)


def pair(noise):
    return noise, (noise + 0.1 * torch.randn(noise.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


def test_psnr_of_a_constant_difference():
    """Every value 0.1 off: MSE 0.01, 20 dB."""
    hr = torch.full((2, 3, 16, 16), 0.5)
    sr = torch.stack([hr[0] + 0.1, hr[1] - 0.01])
    assert psnr(sr, hr, PLAIN).tolist() == pytest.approx([20, 40], abs=1e-5)


def test_luma_squeezes_grey_differences():
    """Of grey pictures luma spans 219 of 255 levels: the same error counts 20 log10(255/219) = 1.32 dB less."""
    hr = torch.full((1, 3, 16, 16), 0.4)
    sr = hr + 0.1
    luma_only = replace(PLAIN, channel="y")
    gain = psnr(sr, hr, luma_only) - psnr(sr, hr, PLAIN)
    assert gain.item() == pytest.approx(20 * math.log10(255 / 219), abs=1e-4)
    full = psnr(sr, hr, replace(PLAIN, channel="y-full")) - psnr(sr, hr, PLAIN)
    assert full.item() == pytest.approx(0, abs=1e-4)


def test_equal_pictures(noise):
    assert psnr(noise, noise).item() == math.inf
    assert ssim(noise, noise).item() == pytest.approx(1, abs=1e-12)


def test_rounding_of_rgb():
    """0.3 of a level is rounded away, 0.7 becomes a whole one: 20 log10(255) = 48.13 dB."""
    hr = torch.full((2, 3, 16, 16), 100 / 255)
    sr = hr + torch.tensor([0.3, 0.7]).reshape(2, 1, 1, 1) / 255
    assert psnr(sr, hr, RGB).tolist() == pytest.approx([math.inf, 20 * math.log10(255)])


def test_border_is_cut():
    hr = torch.full((1, 3, 16, 16), 0.5)
    sr = hr.clone()
    sr[..., :4, :], sr[..., -4:, :], sr[..., :4], sr[..., -4:] = 0, 0, 0, 0
    assert psnr(sr, hr, MATLAB_Y).item() == math.inf
    assert psnr(sr, hr, MATLAB_Y.at_scale(3)).item() < 20


@pytest.mark.parametrize("channel", ["rgb", "y"])
def test_ssim_equals_scikit_image(noise, channel):
    hr, sr = pair(noise)
    protocol = replace(PLAIN, channel=channel)
    x, y = ((images.luma(p) if channel == "y" else p)[0].permute(1, 2, 0).double().numpy() * 255 for p in (hr, sr))
    _, whole = structural_similarity(
        x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, full=True
    )
    expected = np.asarray(whole)[5:-5, 5:-5].mean()  # the window of 11 fits where 5 pixels are left on each side
    assert ssim(sr, hr, protocol).item() == pytest.approx(expected, abs=1e-7)


def test_ssim_of_flat_pictures():
    """Wang et al. 2004, eq. 6: without contrast only the luminance term is left."""
    x, y = 0.2 * 255, 0.6 * 255
    c1 = (0.01 * 255) ** 2
    flat = torch.ones(1, 3, 20, 20)
    assert ssim(0.2 * flat, 0.6 * flat, PLAIN).item() == pytest.approx(
        (2 * x * y + c1) / (x * x + y * y + c1), abs=1e-6
    )


def test_a_batch_is_measured_picture_by_picture(noise):
    hr, sr = pair(torch.cat([noise, noise.flip(3) ** 2]))
    for metric in (psnr, ssim):
        together = metric(sr, hr)
        alone = torch.cat([metric(sr[i : i + 1], hr[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(together, alone)
        assert together[0] != together[1]


def test_one_channel_is_the_luma_itself(noise):
    hr, sr = pair(noise)
    as_rgb = psnr(sr, hr, replace(MATLAB_Y, round_rgb=False))
    as_luma = psnr(images.luma(sr), images.luma(hr), replace(MATLAB_Y, round_rgb=False))
    torch.testing.assert_close(as_rgb, as_luma, atol=1e-4, rtol=0)


def test_protocols_are_named_and_spelled_out():
    assert set(PROTOCOLS) == {"matlab-y", "srcnn-demo", "rgb"}
    assert str(SRCNN_DEMO.at_scale(3)) == "srcnn-demo: luma 16..235, 8-bit luma, border 3, float LR"


@pytest.mark.parametrize(("sr", "says"), [
    (torch.zeros(1, 3, 20, 21), "one shape"), (torch.full((1, 3, 20, 20), 2.0), r"\[0, 1\]"),
    (torch.full((1, 3, 20, 20), float("nan")), r"\[0, 1\]"), (torch.full((1, 3, 20, 20), -0.5), r"\[0, 1\]"),
])  # fmt: skip
def test_wrong_input(sr, says):
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=says):
            metric(sr, torch.zeros(1, 3, 20, 20))


def test_too_small():
    tiny = torch.zeros(1, 3, 8, 30)
    with pytest.raises(ValueError, match="leaves nothing"):
        psnr(tiny, tiny)
    with pytest.raises(ValueError, match="11x11"):
        ssim(tiny, tiny, PLAIN)


@pytest.mark.parametrize(("options", "says"), [({"channel": "Y"}, "choose from y"), ({"border": -1}, "from 0 on")])
def test_a_protocol_that_does_not_exist(options, says):
    with pytest.raises(ValueError, match=says):
        Protocol(name="typo", **options)
