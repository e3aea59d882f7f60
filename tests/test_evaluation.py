"""The published figures of bicubic, reproduced; and what does not match is said."""

from __future__ import annotations

import json

import pytest
import torch

from sr_course import images
from sr_course.degradations import bicubic_lr
from sr_course.errors import DataError, ImageError, ModelError
from sr_course.evaluation import Score, Table, evaluate, find_pairs, shipped_pairs
from sr_course.metrics import MATLAB_Y, RGB, SRCNN_DEMO
from sr_course.models.interpolation import Interpolation

SCORE = Score(name="baby", psnr=30.0, ssim=0.9, grey=False, grey_as_luma=False, official_lr=True)


@pytest.mark.parametrize(("scale", "psnr", "ssim"), [(2, 33.66, 0.9299), (3, 30.39, 0.8682), (4, 28.42, 0.8104)])
def test_bicubic_on_set5_is_the_published_figure(set5, scale, psnr, ssim):
    """Kim et al. 2016 (VDSR), table 2."""
    table = evaluate("bicubic", set5, scale=scale, protocol=SRCNN_DEMO)
    assert round(table.psnr, 2) == psnr
    assert round(table.ssim, 4) == ssim
    assert [(row.psnr, row.ssim) for row in table.published] == [(psnr, ssim)]


def test_bicubic_on_set14_is_the_published_figure(set14):
    """26.00 dB in Kim et al. 2016, table 2, where the one grey picture counts as grey."""
    table = evaluate("bicubic", set14, scale=4)
    assert table.protocol == SRCNN_DEMO
    assert round(table.psnr, 2) == 26.00
    assert [score.name for score in table.scores if score.grey] == ["bridge"]


def test_the_usual_protocol_gives_a_hundredth_more(set5):
    table = evaluate("bicubic", set5, scale=4, protocol=MATLAB_Y)
    assert table.psnr == pytest.approx(28.43, abs=0.005)
    assert table.ssim == pytest.approx(0.811, abs=0.0005)
    assert all(score.official_lr for score in table.scores)


def test_made_lr_equals_the_official_files(set5, tmp_path):
    (tmp_path / "HR").symlink_to(set5 / "HR")
    made, official = evaluate("bicubic", tmp_path, protocol=MATLAB_Y), evaluate("bicubic", set5, protocol=MATLAB_Y)
    assert made.psnr == official.psnr
    assert "LR made here" in made.to_text()
    assert "LR made here" not in official.to_text()


def folder_of(tmp_path, *pictures: torch.Tensor):
    for index, picture in enumerate(pictures):
        images.write(picture, tmp_path / f"{index}.png")
    return tmp_path


def test_a_network_of_ones_own(tmp_path, noise):
    """Enlarging by copies and measuring against the copies themselves: no error at all."""
    folder_of(tmp_path, noise.repeat_interleave(2, 2).repeat_interleave(2, 3))
    table = evaluate(Interpolation(2, "nearest"), tmp_path, scale=2, protocol=RGB)
    assert table.model == "Interpolation"
    assert table.psnr < 60  # the LR picture was made by blurring, so copies do not bring it back
    assert evaluate("nearest", tmp_path, scale=2, protocol=RGB).psnr == table.psnr


def test_json(tmp_path, noise):
    table = evaluate("bicubic", folder_of(tmp_path, noise, noise.flip(3)), scale=2, protocol=RGB)
    read = json.loads(table.to_json())
    assert {"model", "data", "scale", "protocol", "psnr", "ssim", "images"} <= set(read)
    assert read["scale"] == 2
    assert read["protocol"] == "rgb"
    assert [image["name"] for image in read["images"]] == ["0", "1"]
    assert read["psnr"] == pytest.approx(sum(image["psnr"] for image in read["images"]) / 2)


def test_equal_pictures_have_no_number_in_json(tmp_path):
    """JSON knows no infinity: what is infinite is null, and any reader can read it."""
    grey = torch.full((1, 3, 24, 24), 0.4)
    table = evaluate("nearest", folder_of(tmp_path, grey), scale=2, protocol=RGB)
    assert table.psnr == float("inf")

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads(table.to_json(), parse_constant=refuse)
    assert read["psnr"] is None
    assert read["images"][0]["psnr"] is None
    assert read["ssim"] == pytest.approx(1)


@pytest.mark.parametrize(("protocol", "other"), [(SRCNN_DEMO, False), (MATLAB_Y, True), (RGB, True)])
def test_a_figure_from_another_protocol_is_called_that(protocol, other):
    """Kim et al. measured bicubic with SRCNN's demo code: the protocol under which their figure is met here."""
    table = Table(model="bicubic", data="Set5", scale=4, protocol=protocol.at_scale(4), scores=[SCORE])
    assert ("published: 28.42 / 0.8104" in table.to_text()) != other
    assert ("published, under another protocol, srcnn-demo: 28.42 / 0.8104" in table.to_text()) == other
    assert [row["protocol"] for row in json.loads(table.to_json())["published"]] == ["srcnn-demo"]


def test_a_border_of_another_width_is_another_protocol():
    table = Table(model="srgan", data="Set5", scale=4, protocol=MATLAB_Y.at_scale(8), scores=[SCORE])
    assert "published, under another protocol, matlab-y: 29.40" in table.to_text()


def test_hidden_files_are_no_pictures(tmp_path, noise):
    """macOS leaves `._photo.png` beside `photo.png` on other disks: the same ending, and no picture."""
    folder_of(tmp_path, noise)
    (tmp_path / "._0.png").write_bytes(b"\x00\x05\x16\x07")
    assert [pair.name for pair in find_pairs(tmp_path, 2)] == ["0"]
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match="holds no pictures"):
        find_pairs(tmp_path, 2)


def test_lr_that_does_not_match(tmp_path, noise):
    folder_of(tmp_path, noise)
    (tmp_path / "LR_bicubic" / "X2").mkdir(parents=True)
    images.write(bicubic_lr(noise, 4), tmp_path / "LR_bicubic" / "X2" / "0x2.png")
    with pytest.raises(ImageError, match=r"0\.png: does not match .*0x2\.png, which is 14x10 and should be 28x20"):
        evaluate("bicubic", tmp_path, scale=2, protocol=MATLAB_Y)
    with pytest.raises(ImageError, match="does not match"):  # also where the protocol makes its own LR
        evaluate("bicubic", tmp_path, scale=2, protocol=SRCNN_DEMO)


def test_lr_that_is_not_there(tmp_path, noise):
    folder_of(tmp_path, noise)
    (tmp_path / "LR_bicubic" / "X4").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no low-resolution file for 0\.png"):
        find_pairs(tmp_path, 4)


@pytest.mark.parametrize(("size", "says"), [((1, 1), "fewer than the scale"), ((12, 12), "11x11")])
def test_too_small_to_measure(tmp_path, size, says):
    images.write(torch.zeros(1, 3, *size), tmp_path / "small.png")
    with pytest.raises(ImageError, match=rf"small\.png: .*{says}"):
        evaluate("bicubic", tmp_path)


def test_no_pictures_no_folder_no_model(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        evaluate("bicubic", tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        evaluate("bicubic", tmp_path / "missing")
    with pytest.raises(ModelError, match="choose from bicubic"):
        evaluate("tricubic", tmp_path)


def test_the_shipped_test_set_is_measured():
    """Bicubic beats copying pixels on photographs, and 20 dB is far below either."""
    pairs = shipped_pairs()[:3]
    bicubic, nearest = (evaluate(name, pairs, protocol=MATLAB_Y) for name in ("bicubic", "nearest"))
    assert bicubic.psnr > nearest.psnr > 15
    assert bicubic.ssim > nearest.ssim


def test_a_network_of_colour_reads_a_grey_picture_as_rgb(tmp_path, noise):
    images.write(noise[:, :1], tmp_path / "grey.png")
    in_colour = Interpolation(2)
    in_colour.works_on_luma = False
    for network, as_luma in ((Interpolation(2), True), (in_colour, False)):
        table = evaluate(network, tmp_path, scale=2, protocol=SRCNN_DEMO)
        assert table.scores[0].grey_as_luma == as_luma
        assert ("grey, used as luma" in table.to_text()) == as_luma
        assert ("grey, read as RGB" in table.to_text()) != as_luma
