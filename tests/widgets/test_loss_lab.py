from __future__ import annotations

import io
import json
import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import sr_course.widgets.loss_lab as loss_lab
from sr_course import images
from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.lessons.descent import ADVERSARIAL
from sr_course.lessons.distortions import DISTORTIONS
from sr_course.losses import PerceptualLoss
from sr_course.metrics import RGB, perceptual_distance, psnr
from sr_course.resample import imresize
from sr_course.widgets import LossLab
from sr_course.widgets.loss_lab import LOSSES, gradient_image
from tests.widgets.notebook import kept_by_notebook

SIDE = 32


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return images.centre_crop(images.read(photo("chameleon").path), 48, 64)


@pytest.fixture
def lab(picture, monkeypatch):
    monkeypatch.setattr(loss_lab, "STEPS", 6)
    widget = LossLab(picture, side=SIDE, photographs=picture, scene="a chameleon")
    yield widget
    widget.close()


def inside(picture: torch.Tensor, left: int = 16, top: int = 8) -> torch.Tensor:
    return picture[..., top : top + SIDE, left : left + SIDE]


def bicubic(truth: torch.Tensor) -> torch.Tensor:
    return imresize(bicubic_lr(truth, 4), 4).clamp(0, 1)


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).astype(float) / 255


def array(picture: torch.Tensor) -> np.ndarray:
    return picture[0].permute(1, 2, 0).numpy()


# --- what is seen and measured


def test_picture_and_readings_are_those_of_the_distortion(lab, picture):
    lab.distortion, lab.strength = "noise", 0.1
    made = DISTORTIONS["noise"](picture, 0.1)
    np.testing.assert_allclose(decoded(lab._picture), array(made), atol=0.51 / 255)
    np.testing.assert_allclose(decoded(lab._reference), array(picture), atol=1e-6)
    truth, bad = inside(picture), inside(made)
    layer = PerceptualLoss({"relu2_2": 1})
    expected = {
        "mse": lambda x: F.mse_loss(x, truth),
        "l1": lambda x: F.l1_loss(x, truth),
        "relu2_2": lambda x: layer(x, truth),
        "perceptual_distance": lambda x: perceptual_distance(x, truth),
    }
    readings = {one.name: one for one in lab.readings}
    assert list(readings) == list(LOSSES)
    for name, loss in expected.items():
        assert readings[name].value == pytest.approx(loss(bad).item(), rel=1e-4), name
        assert readings[name].baseline == pytest.approx(loss(bicubic(truth)).item(), rel=1e-4), name
        assert readings[name].ratio == pytest.approx((loss(bad) / loss(bicubic(truth))).item(), rel=1e-3), name
    mse = ((array(picture) - array(made)) ** 2).mean()
    assert lab._state["error"] == f"MSE {mse:.3g}, {-10 * np.log10(mse):.2f} dB"


def test_without_distortion_every_loss_is_nothing(lab):
    lab.strength = 0
    assert [one.ratio for one in lab.readings] == pytest.approx([0] * len(LOSSES), abs=1e-5)
    assert lab._state["error"] == "MSE 0, no error"


def test_pixel_losses_answer_at_once_and_vgg_follows(lab, monkeypatch):
    lab.wait()
    gate = threading.Event()
    found = LossLab._found
    monkeypatch.setattr(LossLab, "_found", lambda *arguments: (gate.wait(20), found(*arguments))[1])
    lab._hear(None, {"set": {"strength": 0.5}, "asked": "7"}, None)
    state = lab._state
    assert state["heard"] == "7"
    assert [bar["known"] for bar in state["bars"]] == [True, True, True, False, False, False]
    assert not state["mapped"]
    first = state["bars"][0]["ratio"]
    lab._hear(None, {"set": {"strength": 0.9}, "asked": "8"}, None)  # while VGG still looks at the other
    assert lab._state["bars"][0]["ratio"] > first
    gate.set()
    lab.wait()
    assert all(bar["known"] for bar in lab._state["bars"])
    assert lab._state["mapped"]
    assert [one.ratio for one in lab.readings] == pytest.approx([bar["ratio"] for bar in lab._state["bars"]])
    expected = perceptual_distance(inside(DISTORTIONS["blur"](lab.picture, 0.9)), inside(lab.picture)).item()
    assert lab.readings[-1].value == pytest.approx(expected, rel=1e-4)  # not that of the question which was dropped


def test_gradient_of_squared_error_is_its_formula_and_drawn_in_two_colours(lab, picture):
    lab.distortion, lab.strength, lab.loss = "brightness", 0.2, "mse"
    made, truth = inside(DISTORTIONS["brightness"](picture, 0.2)), inside(picture)
    torch.testing.assert_close(lab.gradient(), 2 * (made - truth) / truth.numel())
    drawn = decoded(lab._map)
    assert drawn.shape == (SIDE, SIDE, 3)
    assert (drawn[..., 0] >= drawn[..., 2]).all()  # too bright: everything is to become darker, which is orange


def test_map_is_white_where_nothing_is_wanted():
    slope = torch.zeros(1, 3, 4, 4)
    slope[..., 0, 0], slope[..., 1, 1], slope[..., 2, 2] = 1, -1, 0.5
    drawn = np.asarray(gradient_image(slope)).astype(int)
    assert drawn[0, 0].tolist() == [213, 94, 0]
    assert drawn[1, 1].tolist() == [0, 114, 178]
    assert drawn[3, 3].tolist() == [255, 255, 255]
    assert np.abs(drawn[2, 2] - [234, 174, 128]).max() <= 1  # half way between white and orange


def test_mixture_is_the_weighted_sum_of_gradients_of_length_one(lab, picture):
    lab.weights, lab.loss = [0.25, 0.75, 0], "mixture"
    mixed = lab.gradient()
    parts = []
    for name in ("mse", "relu2_2"):
        lab.loss = name
        slope = lab.gradient()
        parts.append(slope / slope.norm())
    torch.testing.assert_close(mixed, 0.25 * parts[0] + 0.75 * parts[1], rtol=1e-3, atol=1e-7)
    lab.weights, lab.loss = [0, 0, 1], "mixture"
    assert lab.gradient().norm().item() == pytest.approx(1, rel=1e-4)


def test_frame_stays_inside_and_moves_what_is_measured(lab, picture):
    assert lab.frame == [16, 8]
    lab.frame = [-5, 900]
    assert lab.frame == [0, 16]
    lab.distortion, lab.strength = "contrast", 0.3
    truth = inside(picture, 0, 16)
    made = inside(DISTORTIONS["contrast"](picture, 0.3), 0, 16)
    assert lab.readings[0].value == pytest.approx(F.mse_loss(made, truth).item(), rel=1e-5)
    assert lab.readings[0].baseline == pytest.approx(F.mse_loss(bicubic(truth), truth).item(), rel=1e-5)


# --- the descent


def test_descent_runs_with_the_weights_and_is_sent_for_the_playback(lab, picture):
    truth = inside(picture)
    result = lab.descend()
    assert set(result.weights) == {"mse"}
    assert torch.equal(result.moments[0].picture, bicubic(truth))
    assert result.moments[-1].step == 6
    assert result.moments[-1].psnr > result.moments[0].psnr
    sheet = decoded(lab._replay)
    assert sheet.shape == (SIDE, SIDE * (len(result.moments) + 1), 3)
    np.testing.assert_allclose(sheet[:, :SIDE], array(bicubic(truth)), atol=0.51 / 255)
    np.testing.assert_allclose(sheet[:, -SIDE:], array(truth), atol=1e-6)
    last = result.moments[-1]
    expected = psnr(last.picture, truth, RGB.at_scale(0)).item()
    assert lab._moments[-1]["psnr"] == f"{expected:.2f} dB"
    assert lab._progress == {"running": False, "step": 6, "steps": 6}


def test_descent_begins_where_it_is_told_and_knows_all_three_corners(lab, picture):
    lab.weights, lab.start, lab.distortion, lab.strength = [1, 1, 2], "distorted", "noise", 0.2
    assert lab.weights == [0.25, 0.25, 0.5]
    result = lab.descend()
    assert set(result.weights) == {"mse", "relu2_2", ADVERSARIAL}
    torch.testing.assert_close(result.moments[0].picture, inside(DISTORTIONS["noise"](picture, 0.2)))


def test_descent_runs_beside_and_is_stopped(lab, monkeypatch):
    monkeypatch.setattr(loss_lab, "STEPS", 100_000)
    lab._hear(None, {"do": "descend", "asked": "1"}, None)
    assert lab._progress["running"]
    running = lab._running
    lab._hear(None, {"do": "descend", "asked": "2"}, None)  # a second press
    assert lab._running is running
    lab.strength = 0.7  # the lab answers meanwhile
    assert lab.readings[0].value > 0
    lab._hear(None, {"do": "stop", "asked": "3"}, None)
    running.join(30)
    assert not running.is_alive()
    assert lab.descent is not None
    assert lab.descent.stopped
    assert not lab._progress["running"]
    assert lab._progress["step"] < 100_000


def test_closing_ends_the_threads(picture, monkeypatch):
    monkeypatch.setattr(loss_lab, "STEPS", 100_000)
    widget = LossLab(picture, side=SIDE, photographs=picture)
    widget.begin()
    running = widget._running
    widget.close()
    running.join(30)
    assert not running.is_alive()
    end = time.monotonic() + 30
    while widget._worker is not None and time.monotonic() < end:
        time.sleep(0.05)
    assert widget._worker is None


def test_shipped_photographs_are_in_no_test():
    shipped = loss_lab._shipped()
    assert shipped.shape[1:] == (3, 192, 192)
    assert len(shipped) >= 4


# --- wrong use


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("distortion", "sharpen", "no distortion 'sharpen'"),
        ("loss", "vgg", "no loss 'vgg'; choose from mse"),
        ("feature", "conv9_9", "no feature 'conv9_9'"),
        ("start", "noise", "no start 'noise'"),
        ("strength", 1.5, "strength is 1.5"),
        ("weights", [0, 0, 0], "weights are"),
        ("weights", [1, -1, 0], "weights are"),
        ("weights", [1, 1], "weights are"),
        ("frame", [3], "frame is"),
    ],
)
def test_what_cannot_be_chosen_is_refused_with_a_sentence(lab, name, value, said):
    before = getattr(lab, name)
    with pytest.raises(ValueError, match=said) as error:
        setattr(lab, name, value)
    assert str(error.value).endswith(".")
    lab._hear(None, {"set": {name: value}, "asked": "1"}, None)  # the browser is not believed either
    assert getattr(lab, name) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"side": 30}, "side is 30"),
        ({"picture": torch.rand(1, 3, 40, 40)}, r"shape \(1, 3, 40, 40\)"),
        ({"picture": torch.rand(1, 1, 96, 96)}, "sides of 96 to 384"),
    ],
)
def test_unusable_pictures_are_refused_with_a_sentence(picture, options, said):
    with pytest.raises(ValueError, match=said) as error:
        LossLab(options.pop("picture", picture), **options)
    assert str(error.value).endswith(".")


# --- what a notebook keeps


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(lab):
    kept = kept_by_notebook(lab)
    assert kept.text.startswith("LossLab(blur 0.20, MSE ")
    assert "VGG distance, five layers" in kept.text
    assert kept.alt.startswith("a chameleon: a photograph, the same with blur")
    json.dumps([lab._state, lab._options, lab._moments])
    before = np.asarray(lab.still())
    lab.descend()
    assert np.asarray(lab.still()).shape[0] > before.shape[0]
    first, last = lab.descent.moments[0].psnr, lab.descent.moments[-1].psnr
    assert f"descent of 6 steps: {first:.2f} dB to {last:.2f} dB" in lab.summary()
