from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

import sr_course.widgets.live_curve as live_curve
from sr_course.training.log import read_log
from sr_course.training.loop import train
from sr_course.training.recipes import recipe
from sr_course.widgets import LiveCurve


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    """The smallest recipe, on pictures of soft noise."""
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8))
    noise.filter(ImageFilter.GaussianBlur(1.5)).save(tmp_path / "pictures" / "noise.png")
    pictures = str(tmp_path / "pictures")
    return replace(recipe("srcnn", "smoke"), data=pictures, validation=pictures)


def start(steps: int = 100, step: int = 0) -> dict:
    return {"event": "start", "step": step, "recipe": {"steps": steps}}


def trained(step: int, loss: float) -> dict:
    return {"event": "train", "step": step, "terms": {"l1": loss}, "images_per_second": 120.4, "minutes": 0.1}


def picture(curve: LiveCurve) -> np.ndarray:
    """What the browser shows."""
    with Image.open(io.BytesIO(curve._picture.value)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def blue(pixels: np.ndarray) -> np.ndarray:
    """Columns in which there is a curve: Okabe and Ito's blue."""
    return np.flatnonzero((np.abs(pixels - (0, 114, 178)).max(axis=-1) < 30).any(axis=0))


def test_picture_follows_a_real_run_to_its_end(tmp_path, smoke, monkeypatch):
    monkeypatch.setattr(live_curve, "REDRAW_SECONDS", 0)
    curve = LiveCurve()
    seen = [picture(curve)]

    def watch(record) -> None:
        curve.watch(record)
        seen.append(picture(curve))

    train(smoke, tmp_path / "run", watch=watch, bar=False)
    records = read_log(tmp_path / "run")
    assert curve.records == records
    measured = [record["psnr"] for record in records if record["event"] == "validation"]
    assert repr(curve) == f"LiveCurve(step 20 of 20, validation {measured[-1]:.2f} dB at step 20)"
    reach = [blue(one).max(initial=0) for one in seen]
    assert reach[0] == 0
    assert reach == sorted(reach)
    assert len(set(reach)) >= 4
    assert np.array_equal(seen[-1], np.asarray(curve._sheet()).astype(int))


def test_points_stand_at_their_steps_and_fall_with_the_loss():
    curve = LiveCurve()
    for record in (start(), trained(25, 0.4), trained(50, 0.2), trained(100, 0.1)):
        curve.watch(record)
    pixels = picture(curve)[:, : 2 * 360]
    columns = blue(pixels)
    left, right = 2 * 42, 2 * (360 - 12)  # the frame
    assert columns.min() == pytest.approx(left + 0.25 * (right - left), abs=6)
    assert columns.max() == pytest.approx(right, abs=6)
    is_blue = np.abs(pixels - (0, 114, 178)).max(axis=-1) < 30
    heights = [np.flatnonzero(is_blue[:, column]).mean() for column in (columns.min() + 4, columns.max() - 4)]
    assert heights[1] > heights[0] + 150


def test_every_record_is_kept_but_not_every_one_drawn(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(live_curve.time, "monotonic", lambda: next(clock) * live_curve.REDRAW_SECONDS / 4)
    curve, drawn = LiveCurve(), []
    curve._picture.observe(lambda change: drawn.append(change), "value")
    for step in range(1, 100):
        curve.watch(start() if step == 1 else trained(step, 1 / step))
    assert len(curve.records) == 99
    assert 10 < len(drawn) < 40
    before = len(drawn)
    curve.watch(trained(100, 0.01))  # the last one at once
    assert len(drawn) == before + 1


def test_a_resumed_run_goes_on_and_a_new_one_begins_anew():
    curve = LiveCurve()
    for record in (start(), trained(10, 0.5), trained(20, 0.4), trained(30, 0.3)):
        curve.watch(record)
    curve.watch(start(step=20))
    assert [record["step"] for record in curve.records] == [10, 20, 20]
    curve.watch(trained(30, 0.35))
    assert repr(curve) == "LiveCurve(step 30 of 100)"
    curve.watch(start(steps=50))
    assert repr(curve) == "LiveCurve(step 0 of 50)"


def test_before_the_training_it_says_so():
    curve = LiveCurve()
    data, _ = curve._repr_mimebundle_()
    assert data["text/plain"] == "LiveCurve(nothing trained yet)"
    assert "nothing trained yet" in data["text/html"]
    assert "nothing trained yet" in curve._line.value


def test_a_loss_that_is_zero_or_infinite_is_no_obstacle():
    curve = LiveCurve()
    for record in (start(), trained(10, 0.0), trained(20, float("inf")), trained(30, 0.2)):
        curve.watch(record)
    curve.watch({"event": "validation", "step": 100, "psnr": float("inf"), "minutes": 1})
    assert curve.still().size == (720, 190)


def test_picture_is_sharp_on_fine_screens_and_not_stretched():
    curve = LiveCurve()
    assert picture(curve).shape == (380, 1440, 3)
    assert (curve._picture.layout.width, curve._picture.layout.align_self) == ("720px", "flex-start")
