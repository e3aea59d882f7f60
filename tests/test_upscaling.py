"""Tiles without seams, and pictures of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sr_course import images
from sr_course.errors import ImageError
from sr_course.models.interpolation import Interpolation
from sr_course.upscaling import upscale, upscale_file


class Blur(torch.nn.Module):
    """Looks 3 pixels far and repeats each pixel: a stand-in for a network with a reach."""

    scale = 2

    def forward(self, lr):
        padded = torch.nn.functional.pad(lr, (3, 3, 3, 3), mode="replicate")
        blurred = torch.nn.functional.avg_pool2d(padded, 7, 1)
        return blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("network", [Interpolation(2), Blur()])
@pytest.mark.parametrize("tile", [16, 21, 64])
def test_tiles_equal_the_whole(noise, network, tile):
    picture = images.to_pil(noise)
    whole = images.to_pil(network(images.from_pil(picture)))
    tiled = upscale(network, picture, 2, tile=tile, overlap=4)
    np.testing.assert_array_equal(np.asarray(tiled), np.asarray(whole))


def test_an_overlap_below_the_reach_shows_seams(noise):
    """The test above can fail: without overlap it does."""
    picture = images.to_pil(noise)
    whole = np.asarray(images.to_pil(Blur()(images.from_pil(picture)))).astype(int)
    seams = np.asarray(upscale(Blur(), picture, 2, tile=16, overlap=0)).astype(int)
    assert np.abs(seams - whole).max() > 5


def test_one_pixel(tmp_path):
    images.write(torch.full((1, 3, 1, 1), 0.2), tmp_path / "dot.png")
    assert upscale_file(Interpolation(4), tmp_path / "dot.png", tmp_path / "out.png", 4) == (4, 4)
    assert images.read(tmp_path / "out.png").unique().tolist() == pytest.approx([0.2])


def test_a_hundred_megapixels_are_refused_with_a_reason_before_they_are_read(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match=r"1,600 megapixels, which need 6.8 GB; 2.0 GB may be used"):
        upscale_file(Interpolation(4), tmp_path / "huge.png", tmp_path / "out.png", 4, memory=2 * 10**9)
    assert [file.name for file in tmp_path.iterdir()] == ["huge.png"]


@pytest.mark.parametrize("options", [{"tile": 0}, {"overlap": -1}])
def test_wrong_tiles(noise, options):
    with pytest.raises(ValueError, match="give a tile"):
        upscale(Interpolation(2), images.to_pil(noise), 2, **options)
