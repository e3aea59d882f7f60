"""PSNR and SSIM against closed forms and scikit-image, what a protocol changes, and distances in networks' eyes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from skimage.metrics import structural_similarity

from sr_course import images, metrics, zoo
from sr_course.data.shipped import photo, photos
from sr_course.degradations import bicubic_lr
from sr_course.errors import ModelError
from sr_course.features import VGGFeatures
from sr_course.metrics import (
    MATLAB_Y,
    PERCEPTUAL_LAYERS,
    PROTOCOLS,
    RGB,
    SRCNN_DEMO,
    Protocol,
    interval,
    lpips,
    perceptual_distance,
    psnr,
    ssim,
    structure_distance,
    texture_distance,
)
from sr_course.naturalness import niqe
from sr_course.resample import imresize

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


# In the eyes of VGG.


@pytest.fixture(scope="module")
def random_vgg() -> VGGFeatures:
    return VGGFeatures(PERCEPTUAL_LAYERS, "random")


def test_perceptual_distance_in_loops(random_vgg):
    """Vectors of length 1 at every place, their squared distance averaged over places, then over layers."""
    hr = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(2))
    sr = hr.square()
    x, y = random_vgg(sr), random_vgg(hr)
    layers = []
    for name in PERCEPTUAL_LAYERS:
        a, b = (one[name][0].double().numpy() for one in (x, y))
        places = []
        for row in range(a.shape[1]):
            for column in range(a.shape[2]):
                v, w = a[:, row, column], b[:, row, column]
                places.append(np.sum((v / np.sqrt(np.sum(v * v)) - w / np.sqrt(np.sum(w * w))) ** 2))
        layers.append(np.mean(places))
    found = perceptual_distance(sr, hr, features=random_vgg)
    assert found.shape == (1,)
    assert found.item() == pytest.approx(np.mean(layers), rel=1e-4)


def test_texture_and_structure_in_loops(random_vgg):
    """Ding et al. 2020: means and covariances of each feature over the picture, as fractions with two equal sides."""
    hr = torch.rand(1, 3, 16, 20, generator=torch.Generator().manual_seed(2))
    sr = hr.square()
    x, y = random_vgg(sr), random_vgg(hr)
    texture, structure = [], []
    for name in PERCEPTUAL_LAYERS:
        alike, together = [], []
        for a, b in zip(*(one[name][0].double().numpy() for one in (x, y)), strict=True):
            a, b = a.ravel(), b.ravel()
            alike.append((2 * a.mean() * b.mean() + 1e-6) / (a.mean() ** 2 + b.mean() ** 2 + 1e-6))
            if a.size == 1:  # the deepest layer of so small a picture has one place, and nothing rises or falls
                together.append(1.0)
                continue
            both = np.cov(a, b, bias=True)
            together.append((2 * both[0, 1] + 1e-6) / (both[0, 0] + both[1, 1] + 1e-6))
        texture.append(1 - np.mean(alike))
        structure.append(1 - np.mean(together))
    assert texture_distance(sr, hr, features=random_vgg).item() == pytest.approx(np.mean(texture), rel=1e-4)
    assert structure_distance(sr, hr, features=random_vgg).item() == pytest.approx(np.mean(structure), rel=1e-4)


def test_texture_does_not_ask_for_the_place_and_structure_does():
    hr = images.centre_crop(images.read(photo("red_panda").path), 64, 96)
    elsewhere = hr.roll((16, 32), dims=(2, 3))  # all of it, but elsewhere
    with torch.inference_mode():
        texture, structure = (metric(elsewhere, hr).item() for metric in (texture_distance, structure_distance))
        soft = imresize(bicubic_lr(hr, 4), 4).clamp(0, 1)
        assert texture < 0.8 * texture_distance(soft, hr).item()
        assert structure > 1.2 * structure_distance(soft, hr).item()
        for metric in (texture_distance, structure_distance):
            assert metric(hr, hr).abs().item() < 1e-5
            torch.testing.assert_close(metric(soft, hr), metric(hr, soft))
    leaf = soft.clone().requires_grad_()
    texture_distance(leaf, hr).sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.abs().sum() > 0


def test_perceptual_distance_picture_by_picture(noise):
    """Equal pictures are 0 apart, others more, and each picture is measured by itself and both ways alike."""
    hr, sr = pair(torch.cat([noise, noise.flip(3) ** 2]))
    sr[1] = hr[1]
    found = perceptual_distance(sr, hr)
    assert found.shape == (2,)
    assert 0.01 < found[0] < 2
    assert found[1] == 0
    torch.testing.assert_close(found[:1], perceptual_distance(hr[:1], sr[:1]))


def test_perceptual_distance_grows_with_the_noise_and_has_a_slope():
    hr = images.centre_crop(images.read(photo("red_panda").path), 64, 64)
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(3))
    near, far = ((hr + level * noise).clamp(0, 1) for level in (0.02, 0.1))
    with torch.inference_mode():
        assert 0 < perceptual_distance(near, hr).item() < perceptual_distance(far, hr).item()
    leaf = near.clone().requires_grad_()  # the network that was made above serves here too
    perceptual_distance(leaf, hr).sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert perceptual_distance((leaf - 0.05 * leaf.grad.sign() / 255).detach().clamp(0, 1), hr) < perceptual_distance(
        near, hr
    )


def test_the_network_of_a_distance_serves_where_gradients_are_wanted(monkeypatch):
    """Also where it was first made in inference mode."""
    metrics._vgg.cache_clear()
    with torch.inference_mode():
        perceptual_distance(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16), backbone="random")
    leaf = torch.full((1, 3, 16, 16), 0.3, requires_grad=True)
    perceptual_distance(leaf, torch.ones(1, 3, 16, 16), backbone="random").sum().backward()
    assert leaf.grad is not None


@pytest.mark.parametrize("metric", [perceptual_distance, texture_distance, structure_distance, lpips])
@pytest.mark.parametrize(("sr", "says"), [
    (torch.zeros(1, 3, 40, 41), "one shape"), (torch.zeros(3, 40, 40), "one shape"),
    (torch.full((1, 3, 40, 40), 2.0), r"sr runs from 2 to 2; metrics take \[0, 1\]"),
    (torch.full((1, 3, 40, 40), float("nan")), r"\[0, 1\]"), (torch.full((1, 3, 40, 40), -0.5), r"\[0, 1\]"),
])  # fmt: skip
def test_wrong_input_of_a_network(metric, sr, says):
    with pytest.raises(ValueError, match=says):
        metric(sr, torch.zeros(1, 3, 40, 40))


def test_networks_look_at_rgb_of_some_size():
    grey, tiny = torch.zeros(1, 1, 40, 40), torch.zeros(1, 3, 15, 40)
    for metric in (perceptual_distance, lpips):
        with pytest.raises(ValueError, match="repeat the channel"):
            metric(grey, grey)
    with pytest.raises(ValueError, match="at least 16 pixels"):
        perceptual_distance(tiny, tiny)
    with pytest.raises(ValueError, match="no network 'vgg19' for LPIPS; choose from alex, vgg, squeeze"):
        lpips(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40), net="vgg19")


def test_metrics_load_no_network_before_one_is_asked_for():
    heavy = "{'sr_course.features', 'safetensors', 'torchmetrics', 'torchvision'}"
    code = f"import sys, sr_course.metrics; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# LPIPS.


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """An empty folder in the place of torchvision's downloads."""
    (tmp_path / "checkpoints").mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    metrics._lpips_judge.cache_clear()
    yield tmp_path / "checkpoints"
    metrics._lpips_judge.cache_clear()


def test_lpips_without_torchmetrics(downloads, noise, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(ModelError, match=r"LPIPS needs torchmetrics .*pip install sr-course\[lpips\]"):
        lpips(noise, noise)


def test_lpips_fetches_nothing(downloads, noise):
    pytest.importorskip("torchmetrics", reason="LPIPS is an extra: pip install sr-course[lpips]")
    with pytest.raises(
        ModelError, match=r"alexnet-owt-7be5be79\.pth: the weights of alexnet.*Download https.*\.pth into"
    ):
        lpips(noise, noise)
    assert not list(downloads.iterdir())


def test_lpips_is_put_together_as_its_paper_says(downloads):
    """With random weights in the place of AlexNet's, and the weights that torchmetrics brings for its five layers."""
    torchmetrics = pytest.importorskip("torchmetrics", reason="LPIPS is an extra: pip install sr-course[lpips]")
    from torchvision.models import alexnet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = alexnet(weights=None).eval()
    torch.save(network.state_dict(), downloads / "alexnet-owt-7be5be79.pth")
    generator = torch.Generator().manual_seed(1)
    sr, hr = (torch.rand(2, 3, 64, 72, generator=generator) for _ in range(2))
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    fitted = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(t).reshape(3, 1, 1) for t in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    x, y = (((2 * one - 1) - shift) / scale for one in (sr, hr))
    expected, layer = torch.zeros(2), 0
    with torch.no_grad():
        for step in network.features[:12]:
            x, y = step(x.clone()), step(y.clone())
            if isinstance(step, torch.nn.ReLU):
                directions = [one / (one.square().sum(1, keepdim=True).sqrt() + 1e-10) for one in (x, y)]
                weight = fitted[f"lin{layer}.model.1.weight"].reshape(1, -1, 1, 1)
                expected += (weight * (directions[0] - directions[1]).square()).sum(1).mean(dim=(1, 2))
                layer += 1
    assert layer == 5
    torch.testing.assert_close(lpips(sr, hr), expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(lpips(hr, hr), torch.zeros(2))


# Over pictures.


def test_an_interval_holds_the_mean_as_often_as_it_says():
    """Of 400 dozens of pictures 95 in 100; plain percentiles of such draws would hold it in 91."""
    random = np.random.default_rng(0)
    bounds = [interval(torch.from_numpy(random.normal(3, 2, size=12))) for _ in range(400)]
    assert 0.92 < np.mean([low < 3 < high for low, high in bounds]) < 0.98


def test_an_interval_is_students_where_the_figures_are_normal():
    values = stats.norm.ppf((np.arange(40) + 0.5) / 40)
    expected = stats.t.interval(0.95, 39, loc=values.mean(), scale=values.std(ddof=1) / 40**0.5)
    assert interval(torch.from_numpy(values)) == pytest.approx(expected, rel=0.1)
    assert interval(torch.from_numpy(values)) == interval(torch.from_numpy(values))
    narrow = interval(torch.from_numpy(values), confidence=0.5)
    assert expected[0] < narrow[0] < 0 < narrow[1] < expected[1]


def test_an_interval_of_equal_figures():
    assert interval(torch.full((5,), 2.0)) == (2.0, 2.0)
    low, high = interval(torch.arange(5))
    assert low < 2 < high


@pytest.mark.parametrize("values", [torch.ones(4), torch.ones(5, 5), torch.tensor([1.0, 2, 3, 4, math.inf])])
def test_an_interval_of_too_little(values):
    with pytest.raises(ValueError, match="five pictures or more"):
        interval(values)


@pytest.mark.skipif("SR_COURSE_LONG_TESTS" not in os.environ, reason="minutes; set SR_COURSE_LONG_TESTS to run")
def test_the_better_number_and_the_nearer_picture_are_two_things():
    """On the course's test photographs SRResNet has the better PSNR; who is nearer to VGG depends on what is asked.

    Features at their places: SRResNet in the first block, SRGAN in the last, and no difference that these photographs
    could show in the mean of all. How much there is of each feature, and whether it looks like a photograph: SRGAN.
    """
    network = VGGFeatures(PERCEPTUAL_LAYERS)
    first, last = VGGFeatures(["relu1_2"]), VGGFeatures(["relu5_3"])
    figures = {"srresnet": [], "srgan": []}
    for name, rows in figures.items():
        generator = zoo.load(name)
        for one in photos("test"):
            hr = images.read(one.path)
            with torch.inference_mode():
                sr = generator(bicubic_lr(hr, 4)).clamp(0, 1)
                x, y = last(sr)["relu5_3"], last(hr)["relu5_3"]
                rows.append({
                    "psnr": psnr(sr, hr).item(),
                    "perceptual": perceptual_distance(sr, hr, features=network).item(),
                    "perceptual, block 1": perceptual_distance(sr, hr, features=first).item(),
                    "squared, block 5": ((x - y).square().mean() / y.square().mean()).item(),
                    "texture": texture_distance(sr, hr, features=network).item(),
                    "structure": structure_distance(sr, hr, features=network).item(),
                    "niqe": niqe(sr).item(),
                })  # fmt: skip
    bounds = {}
    for key in figures["srgan"][0]:
        better = torch.tensor([a[key] - b[key] for a, b in zip(figures["srresnet"], figures["srgan"], strict=True)])
        bounds[key] = interval(better)
        print(f"{key}, SRResNet less SRGAN: {better.mean():.4f}, {bounds[key][0]:.4f} to {bounds[key][1]:.4f}")
    assert bounds["psnr"][0] > 1
    assert bounds["perceptual"][0] < 0 < bounds["perceptual"][1]
    assert bounds["structure"][0] < 0 < bounds["structure"][1]
    assert bounds["perceptual, block 1"][1] < 0  # SRResNet is nearer
    assert bounds["squared, block 5"][0] > 0  # SRGAN is nearer
    assert bounds["texture"][0] > 0.02
    assert bounds["niqe"][0] > 1
