"""`imresize` against MATLAB's own files, Pillow, torch and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sr_course import images
from sr_course.resample import BILINEAR, CUBIC, CUBIC_075, KERNELS, LANCZOS3, cubic, imresize, resize_taps


def levels(path) -> torch.Tensor:
    """The bytes of a PNG as `(C, H, W)` uint8, grey as one channel."""
    array = np.asarray(Image.open(path))
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "count"), [("set5", 5), ("set14", 14)])
def test_bytes_of_matlab(request, name, count, scale):
    folder = request.getfixturevalue(name)
    truths = sorted((folder / "HR").glob("*.png"))
    assert len(truths) == count
    for truth in truths:
        expected = levels(folder / "LR_bicubic" / f"X{scale}" / f"{truth.stem}x{scale}.png")
        made = imresize(images.modcrop(levels(truth), scale), 1 / scale)
        assert torch.equal(made.expand_as(expected), expected), truth.name


@pytest.mark.parametrize(("kernel", "pillow"), [
    ("box", Image.Resampling.BOX), ("bilinear", Image.Resampling.BILINEAR),
    ("cubic", Image.Resampling.BICUBIC), ("lanczos3", Image.Resampling.LANCZOS),
])  # fmt: skip
@pytest.mark.parametrize("size", [(20, 14), (90, 120)])
def test_inside_equals_pillow(noise, kernel, pillow, size):
    """Pillow leaves out what lies beyond the border where MATLAB mirrors, so only the inside is compared."""
    grey = noise[0, 0]
    ours = imresize(grey, size=size, kernel=kernel)
    theirs = np.asarray(Image.fromarray(grey.numpy()).resize(size[::-1], pillow))
    margin = 8 if size[0] > 40 else 4
    inside = np.s_[margin:-margin, margin:-margin]
    np.testing.assert_allclose(ours.numpy()[inside], theirs[inside], atol=2e-6)


@pytest.mark.parametrize("size", [(20, 28), (97, 131)])
def test_the_other_cubic_is_the_one_of_torch(noise, size):
    noise = noise.double()
    ours = imresize(noise, size=size, kernel="cubic-0.75", antialias=False, border="replicate")
    theirs = F.interpolate(noise, size=size, mode="bicubic", align_corners=False)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)


def test_the_two_cubics_are_told_apart():
    """Keys' polynomial at half a pixel: (a + 2)/8 - (a + 3)/4 + 1 = 1/2 - a/8."""
    half = torch.tensor([0.5, 0.0, 1.0, 2.0])
    assert CUBIC.weight(half).tolist() == [0.5625, 1, 0, 0]
    assert CUBIC_075.weight(half).tolist() == [0.59375, 1, 0, 0]
    assert cubic(-1).weight(half).tolist() == [0.625, 1, 0, 0]


def test_kernels_at_known_distances():
    assert BILINEAR.weight(torch.tensor([0, 0.25, 1, 1.5])).tolist() == [1, 0.75, 0, 0]
    expected = [1, 0.607927, 0, -0.135095]  # sinc(1/2) sinc(1/6) and sinc(3/2) sinc(1/2)
    assert LANCZOS3.weight(torch.tensor([0, 0.5, 1, 1.5])).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.7, 2, 3.5])
def test_a_flat_picture_stays_flat(kernel, scale):
    flat = torch.full((1, 3, 12, 15), 0.3, dtype=torch.float64)
    resized = imresize(flat, scale, kernel=kernel)
    torch.testing.assert_close(resized, torch.full_like(resized, 0.3))


def test_a_ramp_stays_a_ramp():
    """The cubic reproduces straight lines; output pixel i lies at (i + 0.5) / 2 - 0.5 of the input."""
    ramp = torch.arange(16, dtype=torch.float64).expand(4, 16)
    doubled = imresize(ramp, 2)
    expected = (torch.arange(32, dtype=torch.float64) + 0.5) / 2 - 0.5
    torch.testing.assert_close(doubled[0, 4:-4], expected[4:-4])


def test_nearest_picks_and_box_averages():
    row = torch.arange(8.0).reshape(1, 8).expand(4, 8)
    assert imresize(row, size=(4, 4), kernel="nearest")[0].tolist() == [1, 3, 5, 7]
    assert imresize(row, size=(4, 4), kernel="box")[0].tolist() == [0.5, 2.5, 4.5, 6.5]


def test_without_antialiasing_a_fine_stripe_is_lost():
    stripe = torch.tensor([0.0, 1.0]).repeat(16).expand(16, 32)
    assert imresize(stripe, 1 / 4, kernel="bilinear")[2, 2:-2].tolist() == pytest.approx([0.5] * 4)
    aliased = imresize(
        stripe[:, :30], size=(16, 10), kernel="nearest"
    )  # every third pixel: a stripe again, three times as wide
    assert aliased[0].tolist() == [1, 0] * 5


def test_mirror_includes_the_edge_pixel():
    taps, _ = resize_taps(4, 8, 2, CUBIC)
    assert taps[0].tolist() == [1, 0, 0, 1]  # left of pixel 0 lies pixel 0 again, then pixel 1
    taps, _ = resize_taps(4, 8, 2, CUBIC, border="replicate")
    assert taps[0].tolist() == [0, 0, 0, 1]


def test_gradients(noise):
    small = noise[:, :, :7, :9].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: imresize(x, 0.5), small)
    assert torch.autograd.gradcheck(lambda x: imresize(x, 2), small)


def test_eight_bits_are_rounded_after_each_pass(noise):
    image = images.to_uint8(noise)
    rows = (imresize(image.double(), size=(20, 56)) + 0.5).floor().clamp(0, 255)
    both = (imresize(rows, size=(20, 28)) + 0.5).floor().clamp(0, 255)
    assert torch.equal(imresize(image, 0.5), both.to(torch.uint8))


@pytest.mark.parametrize(("scale", "shape"), [(0.5, (20, 28)), (1 / 3, (14, 19)), (0.1, (4, 6)), (2.5, (100, 140))])
def test_size_is_rounded_up(noise, scale, shape):
    assert imresize(noise, scale).shape[-2:] == shape


@pytest.mark.parametrize(("options", "says"), [
    ({}, "either scale or size"), ({"scale": 2, "size": (4, 4)}, "either scale or size"),
    ({"scale": 0}, "positive"), ({"scale": float("nan")}, "positive"), ({"size": (0, 4)}, "at least 1 pixel"),
    ({"scale": 2, "kernel": "sinc"}, "choose from nearest"), ({"scale": 2, "border": "wrap"}, "replicate"),
])  # fmt: skip
def test_wrong_arguments(noise, options, says):
    with pytest.raises(ValueError, match=says):
        imresize(noise, **options)


def test_integers_other_than_bytes_are_refused(noise):
    with pytest.raises(ValueError, match="int64"):
        imresize(noise.long(), 2)
