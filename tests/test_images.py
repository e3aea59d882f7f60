"""Pictures in and out: every kind of file that a learner may bring, and what a broken one says."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from sr_course import images
from sr_course.errors import ImageError


def saved(tmp_path: Path, image: Image.Image, name: str = "picture.png", **options) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_rgb(tmp_path):
    path = saved(tmp_path, Image.fromarray(np.array([[[255, 0, 51], [0, 102, 0]]], dtype=np.uint8)))
    picture = images.read(path)
    assert picture.shape == (1, 3, 1, 2)
    assert picture.dtype == torch.float32
    torch.testing.assert_close(picture[0, :, 0], torch.tensor([[1, 0], [0, 0.4], [0.2, 0]]))


def test_grey_has_three_equal_channels(tmp_path):
    path = saved(tmp_path, Image.new("L", (4, 3), 51))
    assert images.read(path).unique().tolist() == pytest.approx([0.2])
    assert images.is_grey(path)
    assert not images.is_grey(saved(tmp_path, Image.new("RGB", (4, 3)), "colour.png"))


def test_sixteen_bits_keep_their_precision(tmp_path):
    levels = np.array([[0, 1, 32_768, 65_535]], dtype=np.uint16)
    picture = images.read(saved(tmp_path, Image.fromarray(levels)))
    assert (picture[0, 0, 0] * 65_535).tolist() == pytest.approx([0, 1, 32_768, 65_535], abs=0.01)


def test_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert images.read(saved(tmp_path, image))[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_over_white(tmp_path, mode):
    black = {"RGBA": (0, 0, 0), "LA": (0,)}[mode]
    image = Image.new(mode, (3, 1), (*black, 255))
    image.putpixel((1, 0), (*black, 0))
    image.putpixel((2, 0), (*black, 51))
    assert images.read(saved(tmp_path, image))[0, 0, 0].tolist() == pytest.approx([0, 1, 0.8])


def test_transparent_palette_lies_over_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.putpixel((1, 0), 1)
    path = saved(tmp_path, image, transparency=0)
    assert images.read(path)[0, :, 0].T.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_cmyk(tmp_path):
    """No ink is white, all inks are black, cyan ink takes the red."""
    image = Image.new("CMYK", (48, 16), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (16, 0, 32, 16))
    image.paste((255, 0, 0, 0), (32, 0, 48, 16))
    picture = images.read(saved(tmp_path, image, "print.jpg", quality=100))[0]
    assert picture[:, 8, 8].min() > 0.97
    assert picture[:, 8, 24].max() < 0.03
    assert picture[0, 8, 40] < 0.1
    assert picture[1:, 8, 40].min() > 0.6


def test_a_useless_cmyk_profile_counts_as_none(tmp_path):
    rgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    path = saved(tmp_path, image, "print.tif", icc_profile=rgb_profile)
    assert images.read(path).min() > 0.99


@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation(tmp_path, orientation):
    """The bright corner of the scene is at its top left, however the camera was held."""
    upright = Image.new("RGB", (24, 16))
    upright.paste("white", (0, 0, 12, 8))
    undo = {
        1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, "photo.png", exif=exif)
    picture = images.read(path)
    assert picture.shape == (1, 3, 16, 24)
    assert images.size(path) == (24, 16)
    assert picture[0, 0, :8, :12].min() == 1
    assert picture.sum() == 3 * 8 * 12


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_written_and_read_again(tmp_path, suffix):
    smooth = torch.linspace(0, 1, 32).expand(1, 3, 24, 32)
    path = images.write(smooth, tmp_path / f"picture{suffix}")
    tolerance = 0.02 if suffix == ".jpg" else 0.5 / 255 + 1e-6
    assert (images.read(path) - smooth).abs().max() <= tolerance
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_rounding_halves_upwards_and_clamping():
    picture = torch.tensor([-0.1, 0.5 / 255, 1.5 / 255, 0.49 / 255, 1.1]).reshape(1, 1, 1, 5)
    assert images.to_uint8(picture).flatten().tolist() == [0, 1, 2, 0, 255]


def test_luma_of_black_white_and_primaries():
    """MATLAB's rgb2ycbcr: black 16, white 235, red 81.481, green 144.553, blue 40.966 (ITU-R BT.601)."""
    rgb = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]]).T.reshape(1, 3, 1, 5)
    expected = [16, 235, 81.481, 144.553, 40.966]
    assert (images.luma(rgb) * 255).flatten().tolist() == pytest.approx(expected, abs=1e-3)


def test_grid(noise):
    sheet = images.grid([noise, 1 - noise, noise], columns=2, gap=4)
    assert sheet.shape == (1, 3, 40 + 4 + 40, 56 + 4 + 56)
    assert torch.equal(sheet[..., :40, 60:], 1 - noise)
    assert sheet[..., 44:, 56:].min() == 1
    with pytest.raises(ImageError, match="one size"):
        images.grid([noise, noise[..., :20]])


def jpeg_cut_short(tmp_path: Path) -> Path:
    buffer = io.BytesIO()
    Image.effect_noise((200, 200), 50).save(buffer, "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    return path


def empty(tmp_path: Path) -> Path:
    (tmp_path / "empty.png").touch()
    return tmp_path / "empty.png"


def text(tmp_path: Path) -> Path:
    (tmp_path / "text.png").write_text("This is no picture.")
    return tmp_path / "text.png"


@pytest.mark.parametrize(("make", "says"), [
    (empty, "empty.png: the file is empty"), (text, "text.png: not a picture"),
    (jpeg_cut_short, "cut.jpg: the picture is damaged or cut short"),
    (lambda tmp: tmp / "missing.png", "missing.png: there is no such file"), (lambda tmp: tmp, "is a folder"),
])  # fmt: skip
def test_what_cannot_be_read(tmp_path, make, says):
    path = make(tmp_path)
    with pytest.raises(ImageError, match=says) as caught:
        images.read(path)
    assert "\n" not in str(caught.value)


def test_more_than_pillow_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="179 megapixels"):
        images.read(saved(tmp_path, Image.new("L", (20, 20))))


@pytest.mark.parametrize(("name", "says"), [
    ("out.gif", ".png, .jpg or .webp"), ("out", ".png, .jpg or .webp"), ("nowhere/out.png", "does not exist"),
])  # fmt: skip
def test_where_nothing_can_be_written(tmp_path, noise, name, says):
    with pytest.raises(ImageError, match=says):
        images.write(noise, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_too_long_for_the_format(tmp_path):
    with pytest.raises(ImageError, match="16383"):
        images.write(torch.zeros(1, 1, 1, 16_384), tmp_path / "out.webp")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, noise, monkeypatch):
    path = images.write(noise, tmp_path / "out.png")
    before = path.read_bytes()

    def full_disk(self, file, *_, **__):
        file.write(b"half a pict")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(ImageError, match="No space left"):
        images.write(noise, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


def test_not_a_number_is_not_black(tmp_path, noise):
    noise[0, 0, 0, 0] = float("nan")
    with pytest.raises(ImageError, match="NaN"):
        images.write(noise, tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 4, 8, 8), (8, 8), (1, 3, 0, 8)])
def test_what_is_not_one_picture(shape):
    with pytest.raises(ImageError, match="not one picture"):
        images.to_pil(torch.zeros(shape))


@pytest.mark.parametrize(("image", "says"), [
    (Image.new("F", (4, 4), 0.5), "floating-point pictures"),
    (Image.fromarray(np.array([[0, 70_000]], dtype=np.int32)), "not within 16 bits"),
])  # fmt: skip
def test_levels_without_a_meaning_name_the_file(tmp_path, image, says):
    path = saved(tmp_path, image, "measured.tif")
    for read in (images.read, images.read_pil):
        with pytest.raises(ImageError, match=rf"measured\.tif: .*{says}") as caught:
            read(path)
        assert str(caught.value).count("measured.tif") == 1


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool])
def test_whole_numbers_are_not_a_picture(tmp_path, noise, kind):
    with pytest.raises(ImageError, match="floats in \\[0, 1\\]; divide"):
        images.write((255 * noise).to(kind), tmp_path / "out.png")
    assert list(tmp_path.iterdir()) == []


def test_modcrop():
    assert images.modcrop(torch.zeros(1, 3, 11, 14), 4).shape == (1, 3, 8, 12)
    with pytest.raises(ImageError, match="14x3 pixels are fewer than the scale 4"):
        images.modcrop(torch.zeros(1, 3, 3, 14), 4)


def test_the_core_is_light():
    """Neither plotting, widgets nor torchvision are loaded by the package or its core modules."""
    modules = ", ".join(f"sr_course.{name}" for name in ("images", "metrics", "evaluation", "upscaling", "cli"))
    heavy = "{'matplotlib', 'ipywidgets', 'anywidget', 'torchvision'}"
    code = f"import sys, sr_course, {modules}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_ycbcr_of_pure_colours_is_matlabs():
    # rgb2ycbcr in MATLAB: white 235, 128, 128; red 81.481, 90.203, 240; blue 40.966, 240, 109.786
    rgb = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]]).T.reshape(1, 3, 1, 4)
    expected = [[235, 16, 81.481, 40.966], [128, 128, 90.203, 240], [128, 128, 240, 109.786]]
    torch.testing.assert_close(images.rgb_to_ycbcr(rgb)[0, :, 0] * 255, torch.tensor(expected), atol=1e-4, rtol=0)


def test_ycbcr_and_back(noise):
    torch.testing.assert_close(images.ycbcr_to_rgb(images.rgb_to_ycbcr(noise)), noise, atol=2e-6, rtol=0)


def test_centre_crop_leaves_the_odd_pixel_right_and_bottom():
    picture = torch.arange(20).reshape(1, 1, 4, 5)
    assert images.centre_crop(picture, 3, 2).tolist() == [[[[1, 2], [6, 7], [11, 12]]]]
