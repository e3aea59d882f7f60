"""Distortions against other programs and closed forms, and the search for one squared error."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from sr_course import images
from sr_course.data.shipped import photo
from sr_course.lessons.distortions import DISTORTIONS, UnreachableError, at_strength, squared_error, to_mse


@pytest.fixture(scope="module")
def photograph() -> torch.Tensor:
    return images.centre_crop(images.read(photo("chameleon").path), 96, 128)


@pytest.fixture
def grey() -> torch.Tensor:
    return torch.full((1, 3, 64, 80), 0.5)


def array(picture: torch.Tensor) -> np.ndarray:
    return picture[0].permute(1, 2, 0).numpy().astype(float)


def detail_of(picture: torch.Tensor) -> np.ndarray:
    """What a blur of sigma 3 takes away, by scipy's blur."""
    levels = array(picture)
    return levels - ndimage.gaussian_filter(levels, (3, 3, 0), mode="reflect", truncate=8)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_every_distortion_is_a_pure_function_without_chance(name, photograph):
    before = photograph.clone()
    state = torch.get_rng_state()
    first = DISTORTIONS[name](photograph, 0.3)
    torch.manual_seed(12)
    assert torch.equal(DISTORTIONS[name](photograph, 0.3), first)
    torch.set_rng_state(state)
    DISTORTIONS[name](photograph, 0.3)
    assert torch.equal(torch.get_rng_state(), state)  # torch's own numbers were not moved on
    assert torch.equal(photograph, before)
    assert first.shape == photograph.shape
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(DISTORTIONS[name](photograph, 0.0), photograph)
    kept = DISTORTIONS[name](photograph, 0.0)
    kept += 1  # it is a copy
    assert torch.equal(photograph, before)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_error_grows_with_the_strength_and_without_jumps(name, photograph):
    strengths = [index / 40 for index in range(41)]
    errors = [math.sqrt(at_strength(photograph, name, one).mse) for one in strengths]
    assert errors[0] == 0
    assert errors[20] > errors[4] > errors[1] > 0
    most = max(errors)
    assert max(abs(one - other) for one, other in zip(errors[1:], errors, strict=False)) < 0.35 * most
    near = math.sqrt(at_strength(photograph, name, 0.5 + 1e-6).mse)
    assert near == pytest.approx(errors[20], rel=1e-3)


def test_shift_by_whole_pixels_moves_the_levels_and_mirrors_the_border(photograph):
    levels = array(photograph)
    moved = np.concatenate([levels[:, 2::-1], levels[:, :-3]], axis=1)
    np.testing.assert_allclose(array(DISTORTIONS["shift"](photograph, 3 / 8)), moved, atol=2e-6)


def test_shift_between_pixels_moves_a_wave_and_keeps_its_height():
    places, wave = torch.arange(64.0), math.pi * 11 / 64
    for pixels in (0.5, 2.3):
        picture = (0.5 + 0.4 * torch.cos(wave * (places + 0.5))).expand(1, 3, 16, 64)
        expected = (0.5 + 0.4 * torch.cos(wave * (places + 0.5 - pixels))).expand(1, 3, 16, 64)
        torch.testing.assert_close(DISTORTIONS["shift"](picture, pixels / 8), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.5])
def test_blur_is_that_of_scipy(photograph, sigma):
    expected = ndimage.gaussian_filter(array(photograph), (sigma, sigma, 0), mode="reflect", truncate=8)
    # at sigma 1 the sampled bell and the sampled transform of the bell differ by what is beyond half a wave a pixel
    atol = 2e-3 if sigma == 1 else 2e-6
    np.testing.assert_allclose(array(DISTORTIONS["blur"](photograph, sigma / 8)), expected, atol=atol)


def test_noise_is_normal_and_of_the_deviation_told(grey):
    numbers = array(DISTORTIONS["noise"](grey, 0.2)) - 0.5
    assert numbers.std() == pytest.approx(0.1, rel=0.01)
    assert abs(numbers.mean()) < 3 * 0.1 / numbers.size**0.5
    assert (np.abs(numbers) < 0.1).mean() == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)
    channels = np.corrcoef(numbers.reshape(-1, 3).T)
    assert np.abs(channels - np.eye(3)).max() < 0.05


def test_contrast_keeps_the_mean_and_shrinks_the_deviation(photograph):
    levels, pale = array(photograph), array(DISTORTIONS["contrast"](photograph, 0.25))
    np.testing.assert_allclose(pale.mean((0, 1)), levels.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(pale.std((0, 1)), 0.75 * levels.std((0, 1)), atol=1e-6)


def test_brightness_adds_light_up_to_white(photograph):
    np.testing.assert_allclose(
        array(DISTORTIONS["brightness"](photograph, 0.2)), np.minimum(array(photograph) + 0.1, 1), atol=1e-6
    )


def test_jpeg_is_pillows_at_whole_qualities_and_their_mixture_between(photograph):
    def stored(quality: int) -> np.ndarray:
        buffer = io.BytesIO()
        images.to_pil(photograph).save(buffer, "JPEG", quality=quality, subsampling=0)
        return np.asarray(Image.open(buffer)) / 255

    np.testing.assert_allclose(array(DISTORTIONS["JPEG"](photograph, 0.3)), stored(71), atol=1e-6)
    np.testing.assert_allclose(array(DISTORTIONS["JPEG"](photograph, 1.0)), stored(1), atol=1e-6)
    mixed = 0.75 * stored(41) + 0.25 * stored(40)
    np.testing.assert_allclose(array(DISTORTIONS["JPEG"](photograph, 0.6025)), mixed, atol=1e-6)


def test_other_texture_is_as_strong_in_every_place_and_of_other_waves(photograph):
    def strength(detail: np.ndarray) -> np.ndarray:
        return np.sqrt(ndimage.gaussian_filter((detail**2).mean(axis=-1), 4, mode="reflect"))

    before = detail_of(photograph)
    for turned in (0.5, 1.0):
        after = array(DISTORTIONS["other texture"](photograph, turned)) - (array(photograph) - before)
        assert np.corrcoef(strength(before).ravel(), strength(after).ravel())[0, 1] > 0.95
        assert (after**2).mean() == pytest.approx((before**2).mean(), rel=0.15)  # it does not fade on the way
        alike = np.corrcoef(before.ravel(), after.ravel())[0, 1]
        assert alike == pytest.approx(math.cos(math.pi / 2 * turned), abs=0.1)


def test_other_texture_leaves_what_has_none(grey):
    torch.testing.assert_close(DISTORTIONS["other texture"](grey, 1.0), grey, atol=1e-5, rtol=0)


# --- one squared error


@pytest.mark.parametrize("mse", [5e-4, 0.002, 0.006])
@pytest.mark.parametrize("name", DISTORTIONS)
def test_every_distortion_meets_the_error_asked_for(name, mse, photograph):
    found = to_mse(photograph, name, mse)
    measured = ((array(photograph) - array(found.picture)) ** 2).mean()
    assert measured == pytest.approx(mse, rel=1e-6)
    assert found.mse == pytest.approx(measured, rel=1e-12)
    assert found.name == name
    assert torch.equal(DISTORTIONS[name](photograph, found.strength), found.picture)


def test_strengths_are_those_of_the_closed_forms(photograph, grey):
    variance = array(photograph).var(axis=(0, 1)).mean()
    assert to_mse(photograph, "contrast", 0.004).strength == pytest.approx(math.sqrt(0.004 / variance), rel=1e-5)
    assert to_mse(grey, "brightness", 0.01).strength == pytest.approx(0.2, rel=1e-5)


def test_the_search_takes_few_pictures(photograph):
    for distortion in DISTORTIONS.values():
        calls = []

        def counted(picture, strength, distortion=distortion, calls=calls):
            calls.append(strength)
            return distortion(picture, strength)

        to_mse(photograph, counted, 0.003)
        assert len(calls) <= 30


def test_a_function_of_ones_own_is_searched_too(photograph):
    def darker(picture: torch.Tensor, strength: float) -> torch.Tensor:
        return picture * (1 - strength)

    found = to_mse(photograph, darker, 0.001)
    assert found.strength == pytest.approx(math.sqrt(0.001 / (array(photograph) ** 2).mean()), rel=1e-5)
    assert found.name == "darker"


@pytest.mark.parametrize("name", ["shift", "blur", "contrast", "JPEG", "other texture"])
def test_what_cannot_be_reached_is_said_with_how_far_it_goes(name, photograph):
    most = squared_error(photograph, DISTORTIONS[name](photograph, 1.0))
    with pytest.raises(UnreachableError, match=f"{name} makes a squared error of {most:.3g} at most") as error:
        to_mse(photograph, name, 0.3)
    assert str(error.value).endswith("contrast and detail.")


def test_an_error_that_moves_in_steps_is_told(photograph):
    def stepping(picture: torch.Tensor, strength: float) -> torch.Tensor:
        return (picture + 0.1 * round(strength * 4)).clamp(0, 1)

    with pytest.raises(UnreachableError, match=r"stepping comes to .* moves in steps"):
        to_mse(photograph, stepping, 0.02)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: to_mse(x, "sharpen", 0.01), "no distortion 'sharpen'"),
        (lambda x: to_mse(x, "blur", 0.0), "asked for is 0"),
        (lambda x: to_mse(x, "blur", math.nan), "asked for is nan"),
        (lambda x: DISTORTIONS["blur"](x, 1.5), "strength is 1.5"),
        (lambda x: DISTORTIONS["noise"](x, math.nan), "strength is nan"),
        (lambda x: DISTORTIONS["shift"](x[:, :1], 0.5), r"\(1, 1, 96, 128\)"),
        (lambda x: DISTORTIONS["contrast"](255 * x, 0.5), "Divide by 255"),
    ],
)
def test_wrong_use_is_told_in_a_sentence(photograph, call, said):
    with pytest.raises(ValueError, match=said) as error:
        call(photograph)
    assert str(error.value).endswith(".")
