from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import sr_course.widgets.compare as compare
from sr_course.errors import ImageError
from sr_course.widgets import CompareSlider
from tests.sentences import sentence
from tests.widgets.notebook import kept_by_notebook

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
ROW = 50  # below the labels, in a still at least 60 pixels high


def plain(colour: tuple[int, int, int], width: int = 640, height: int = 64) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def row(image: Image.Image, y: int = ROW) -> list[tuple[int, ...]]:
    return [tuple(pixel) for pixel in np.asarray(image)[y].tolist()]


# --- the still picture


@pytest.mark.parametrize(("position", "cut"), [(25, 160), (50, 320), (90, 576)])
def test_left_picture_ends_at_the_position(position, cut):
    pixels = row(CompareSlider({"a": plain(RED), "b": plain(BLUE)}, position=position).still())
    assert len(pixels) == 640
    assert set(pixels[: cut - 1]) == {RED}
    assert set(pixels[cut + 2 :]) == {BLUE}
    assert (255, 255, 255) in pixels[cut - 1 : cut + 2]  # the divider


@pytest.mark.parametrize(("position", "colour"), [(0, BLUE), (100, RED)])
def test_at_either_end_one_picture_is_seen_alone(position, colour):
    assert set(row(CompareSlider({"a": plain(RED), "b": plain(BLUE)}, position=position).still())) == {colour}


def test_smaller_picture_is_enlarged_to_its_pixels():
    small = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    slider = CompareSlider({"lr": small, "hr": torch.full((1, 3, 200, 200), 0.5)}, position=100)
    black, white = (0, 0, 0), (255, 255, 255)
    assert slider.still().size == (600, 600)  # 200 pixels, each drawn 3 x 3, the largest whole factor within 640
    assert row(slider.still()) == [black] * 300 + [white] * 300
    assert row(slider.still(), 500) == [white] * 300 + [black] * 300


def test_smooth_enlargement_has_grey_between_black_and_white():
    small = torch.tensor([[0.0, 1.0]]).reshape(1, 1, 1, 2)
    slider = CompareSlider({"lr": small, "hr": torch.zeros(1, 1, 100, 200)}, position=100, smooth=True)
    values = [pixel[0] for pixel in row(slider.still())]
    assert values == sorted(values)
    assert any(90 < value < 160 for value in values)


def test_zoom_shows_the_part_about_the_center():
    stripes = torch.zeros(1, 3, 64, 640)
    for index, colour in enumerate((RED, GREEN, BLUE, GREY)):  # four bars, each 160 pixels wide
        stripes[0, :, :, 160 * index : 160 * (index + 1)] = torch.tensor(colour).reshape(3, 1, 1) / 255
    slider = CompareSlider({"a": stripes, "b": stripes}, position=100, zoom=4, center=(0.625, 0.5))
    assert set(row(slider.still())) == {BLUE}
    slider.center = [0.0, 0.5]  # the view stops at the picture's edge
    assert set(row(slider.still())) == {RED}
    slider.zoom = 2
    assert row(slider.still()) == [RED] * 320 + [GREEN] * 320


def test_large_picture_is_reduced_in_the_still_only():
    slider = CompareSlider({"a": plain(RED, 2000, 1000), "b": plain(BLUE, 2000, 1000)})
    assert slider.still().size == (640, 320)
    assert "2000x1000" in slider.summary()


def test_side_by_side_shows_every_picture():
    pictures = {"a": plain(RED, 300, 100), "b": plain(GREEN, 300, 100), "c": plain(BLUE, 300, 100)}
    still = CompareSlider(pictures, side_by_side=True).still()
    pixels = row(still)
    third = (still.width - 2 * 6) // 3
    assert [pixels[third // 2 + index * (third + 6)] for index in range(3)] == [RED, GREEN, BLUE]


def test_labels_are_written_into_the_still():
    still = np.asarray(CompareSlider({"a": plain(RED), "b": plain(BLUE)}).still())
    assert (still[:26, :40] == 255).all(axis=2).any()  # white letters
    assert (still[:26, -40:] == 255).all(axis=2).any()


# --- what a notebook stores


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text():
    slider = CompareSlider({"bicubic": plain(RED), "truth": plain(BLUE)}, scene="a butterfly's wing")
    kept = kept_by_notebook(slider)
    assert kept.text == "CompareSlider(bicubic | truth, 640x64, position 50)"
    alt = "a butterfly&#x27;s wing: bicubic on the left and truth on the right of a divider at 50 percent of the width."
    assert kept.html.startswith(f'<img alt="{alt}" width="640" src="data:image/')
    assert kept.still.size == (640, 64)


def test_text_follows_the_state():
    pictures = {"lr": plain(RED), "sr": plain(GREEN), "hr": plain(BLUE)}
    slider = CompareSlider(pictures, left="sr", position=33.4, zoom=4, center=(0.3, 0.4))
    assert repr(slider) == "CompareSlider(sr | hr, 3 pictures, 640x64, position 33, zoom 4 at 0.30 0.40)"
    slider.side_by_side = True
    assert repr(slider) == "CompareSlider(lr, sr, hr side by side, 640x64, zoom 4 at 0.30 0.40)"
    assert slider.alt() == "lr, sr, hr, side by side, zoom 4 at 0.30 0.40."


# --- what may be given


def test_pictures_travel_without_loss():
    pixels = torch.randint(0, 256, (1, 3, 20, 30), generator=torch.Generator().manual_seed(0))
    slider = CompareSlider(
        {"tensor": pixels / 255, "pillow": Image.fromarray(pixels[0].permute(1, 2, 0).byte().numpy())}
    )
    for sent in slider._pictures:
        with Image.open(io.BytesIO(sent)) as image:
            assert torch.equal(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None], pixels)


@pytest.mark.parametrize(
    "picture",
    [
        torch.zeros(1, 3, 8, 8),
        torch.zeros(3, 8, 8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.float64, requires_grad=True),
        Image.new("L", (8, 8)),
        Image.new("P", (8, 8)),
        Image.new("I;16", (8, 8)),
        Image.new("RGBA", (8, 8), "black"),
        Image.new("CMYK", (8, 8), (0, 0, 0, 255)),
    ],
    ids=lambda picture: picture.mode if isinstance(picture, Image.Image) else f"{picture.dtype} {tuple(picture.shape)}",
)
def test_kinds_of_pictures(picture):
    assert set(row(CompareSlider({"a": picture, "b": picture}).still(), 600)) <= {(0, 0, 0), (255, 255, 255)}


def test_a_pixel_of_rounding_between_the_sizes_is_no_other_shape():
    CompareSlider({"lr": plain(RED, 126, 85), "hr": plain(BLUE, 504, 339)})


@pytest.mark.parametrize(
    ("pictures", "said"),
    [
        ({}, "0 pictures"),
        ({"only": plain(RED)}, "1 picture;"),
        ({str(index): plain(RED) for index in range(10)}, "10 pictures"),
        ({"a": plain(RED), "high": torch.full((1, 3, 8, 80), 1.5)}, "'high': its values run from 1.5 to 1.5"),
        ({"a": plain(RED), "low": torch.full((1, 3, 8, 80), -0.01)}, "'low': its values run from -0.01 to -0.01"),
        ({"a": plain(RED), "bytes": torch.full((1, 3, 8, 80), 255)}, "divide levels of 0 to 255 by 255"),
        (
            {"a": plain(RED), "nan": torch.full((1, 3, 8, 80), float("nan"))},
            "'nan': the picture holds values that are not",
        ),
        ({"a": plain(RED), "b": plain(RED, 640, 70)}, "'a' is 640x64 and 'b' is 640x70"),
        ({"a": plain(RED), "batch": torch.zeros(2, 3, 8, 80)}, "'batch': a tensor of shape (2, 3, 8, 80)"),
        ({"a": plain(RED), "empty": torch.zeros(1, 3, 0, 8)}, "'empty': a tensor of shape (1, 3, 0, 8)"),
        ({"a": plain(RED), "array": np.zeros((8, 8))}, "'array': a ndarray is not a picture"),
        ({"a": plain(RED), "": plain(RED)}, "the label ''"),
    ],
)
def test_bad_pictures_are_refused_with_a_sentence(pictures, said):
    with pytest.raises(ImageError) as error:
        CompareSlider(pictures)
    assert said in sentence(error)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"left": "c"}, "no picture 'c'; the labels are a, b"),
        ({"position": 101}, "position is 101"),
        ({"position": float("nan")}, "position is nan"),
        ({"zoom": 0.5}, "zoom is 0.5"),
        ({"zoom": 33}, "from 1 to 32"),
        ({"center": (0.5, 1.1)}, "center is 1.1"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(settings, said):
    with pytest.raises(ValueError, match=said) as error:
        CompareSlider({"a": plain(RED), "b": plain(BLUE)}, **settings)
    sentence(error)


def test_a_refused_setting_leaves_the_state():
    slider = CompareSlider({"a": plain(RED), "b": plain(BLUE)}, position=30)
    with pytest.raises(ValueError, match="position is 200"):
        slider.position = 200
    assert slider.position == 30


def test_over_the_byte_limit_the_large_pictures_are_reduced_and_it_is_said(monkeypatch, noise):
    large = torch.rand(1, 3, 200, 280, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(compare, "BYTE_LIMIT", 100_000)  # the large one alone has 168,000
    slider = CompareSlider({"lr": noise, "hr": large})
    assert sum(len(sent) for sent in slider._pictures) <= 100_000
    sizes = [Image.open(io.BytesIO(sent)).size for sent in slider._pictures]
    assert sizes[0] == (56, 40)
    assert 150 < sizes[1][0] < 280
    assert f"{sizes[1][0]}x{sizes[1][1]}, reduced from 280x200" in slider.summary()
