from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image, ImageFilter

import sr_course.widgets.scrubber as scrubber_module
from sr_course.errors import DataError, ModelError
from sr_course.training.history import read_history
from sr_course.training.loop import train
from sr_course.training.recipes import recipe
from sr_course.widgets import TrainingScrubber
from tests.sentences import sentence
from tests.widgets.notebook import kept_by_notebook

STEPS = (0, 5, 10, 20)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Twenty steps of the smallest recipe, on pictures of soft noise, two of them samples."""
    folder = tmp_path_factory.mktemp("training")
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        noise = Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(1.5)).save(pictures / f"{index}.png")
    smoke = recipe("srcnn", "smoke")
    values = {"data": str(pictures), "validation": str(pictures), "validation_pictures": 2, "snapshot_steps": STEPS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SR_COURSE_DATA", str(folder / "cache"))
        train(replace(smoke, **values), folder / "run", bar=False)
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def rewrite(run: Path, step: int, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of one snapshot on disk."""
    file = run / "snapshots" / f"step-{step:08d}.safetensors"
    tensors = safetensors.torch.load_file(file)
    change(tensors)
    safetensors.torch.save_file(tensors, file)


def sent_cell(scrubber: TrainingScrubber, sheet: int, layout: dict, index: int) -> np.ndarray:
    """What the browser cuts out of a sheet it was sent."""
    with Image.open(io.BytesIO(scrubber._sheets[sheet])) as image:
        pixels = np.asarray(image)
    width, height, columns = layout["width"], layout["height"], layout["columns"]
    top, left = index // columns * height, index % columns * width
    return pixels[top : top + height, left : left + width]


# --- what travels to the browser


def test_every_result_travels_without_loss(trained):
    scrubber = TrainingScrubber(trained)
    assert scrubber._steps == list(STEPS)
    for index, step in enumerate(STEPS):
        stored = safetensors.torch.load_file(trained / "snapshots" / f"step-{step:08d}.safetensors")
        for sample, layout in enumerate(scrubber._samples):
            shown = sent_cell(scrubber, sample, layout, 2 + index)
            assert np.array_equal(shown, stored[f"sr.{sample}"].permute(1, 2, 0).numpy())
    truth = safetensors.torch.load_file(trained / "snapshots" / "samples.safetensors")["hr.1"]
    assert np.array_equal(sent_cell(scrubber, 1, scrubber._samples[1], 1), truth.permute(1, 2, 0).numpy())


def test_sheets_wrap_when_a_row_is_full(trained, monkeypatch):
    straight = TrainingScrubber(trained)
    monkeypatch.setattr(scrubber_module, "_COLUMNS", 3)
    wrapped = TrainingScrubber(trained)
    assert wrapped._sheets[0] != straight._sheets[0]
    for index in range(6):
        cells = [sent_cell(one, 0, one._samples[0], index) for one in (wrapped, straight)]
        assert np.array_equal(*cells)
    assert sent_cell(wrapped, 0, wrapped._samples[0], 5).std() > 1


def test_filters_are_blue_below_zero_white_at_zero_and_orange_above(run):
    weights = torch.zeros(8, 1, 5, 5)
    weights[0, 0, 0, 0], weights[0, 0, 0, 1], weights[1, 0, 4, 2] = -0.5, 0.25, 0.5
    for step in STEPS:
        rewrite(run, step, lambda tensors: tensors.update({"weights.conv1.weight": weights.half()}))
    scrubber = TrainingScrubber(run)
    layout = scrubber._filters[0]
    assert layout["reach"] == 0.5
    assert "8 filters 5x5" in layout["title"]
    cell = sent_cell(scrubber, 2, layout, 0)
    assert cell.shape == (3 * 6 + 1, 3 * 6 + 1, 4)  # eight filters in three rows of three, a pixel between them
    assert tuple(cell[1, 1]) == (0, 114, 178, 255)  # Okabe and Ito's blue
    assert tuple(cell[1, 2]) == (234, 175, 128, 255)  # half way from white to vermilion (213, 94, 0), halves upwards
    assert tuple(cell[3, 3]) == (255, 255, 255, 255)
    assert tuple(cell[5, 9]) == (213, 94, 0, 255)
    assert cell[0, 0, 3] == cell[6, 6, 3] == 0  # between the filters the page is seen
    assert cell[14, 14, 3] == 0  # there is no ninth filter
    change = sent_cell(scrubber, 3, scrubber._filters[1], 3)
    assert set(map(tuple, change[change[..., 3] == 255])) == {(255, 255, 255, 255)}


def test_change_is_measured_from_the_first_snapshot(run):
    def raise_one(tensors: dict[str, torch.Tensor]) -> None:
        tensors["weights.conv1.weight"][2, 0, 1, 1] += 3

    rewrite(run, 20, raise_one)
    scrubber = TrainingScrubber(run, change=True)
    assert scrubber._filters[1]["reach"] == pytest.approx(3, abs=0.1)
    first, last = (sent_cell(scrubber, 3, scrubber._filters[1], index) for index in (0, 3))
    assert tuple(last[2, 14][:3]) == pytest.approx((213, 94, 0), abs=8)  # the third filter of the first row
    assert (first[first[..., 3] == 255] == 255).all()


def test_curves_stand_where_their_steps_are(trained):
    scrubber = TrainingScrubber(trained)
    loss, validation = scrubber._charts
    assert loss["title"] == "Training loss (mse)"
    # The log of the smoke recipe has a line every 5 steps, the axis is logarithmic from the first snapshot on.
    places = [np.log1p(step / 5) / np.log1p(20 / 5) for step in (5, 10, 15, 20)]
    assert [x for x, _ in loss["lines"][0]["points"]] == pytest.approx(places, abs=1e-4)
    assert [x for x, _ in validation["lines"][0]["points"]] == pytest.approx([places[1], 1], abs=1e-4)
    assert scrubber._marks == pytest.approx([0, places[0], places[1], 1], abs=1e-4)
    history = read_history(trained)
    values = history.terms["mse"].values
    heights = [y for _, y in loss["lines"][0]["points"]]
    assert np.argsort(heights).tolist() == np.argsort(values).tolist()
    share = np.log(values[1] / values[3]) / np.log(values[0] / values[3])
    assert (heights[1] - heights[3]) / (heights[0] - heights[3]) == pytest.approx(share, abs=2e-3)


def test_readings_are_what_was_known_at_the_step(trained):
    loss, validation = TrainingScrubber(trained)._charts
    history = read_history(trained)
    assert loss["readings"] == ["nothing yet", *(f"{history.terms['mse'].values[at]:.3g}" for at in (0, 1, 3))]
    assert validation["readings"] == ["nothing yet"] * 2 + [f"{one:.2f} dB" for one in history.validation.values]


def test_numbers_beside_the_pictures(trained):
    scrubber = TrainingScrubber(trained)
    history = read_history(trained)
    for sample in (0, 1):
        expected = [f"{history.psnr(step)[sample]:.2f} dB" for step in STEPS]
        assert scrubber._samples[sample]["psnr"] == expected


# --- state


def test_step_and_index_are_one(trained):
    scrubber = TrainingScrubber(trained)
    assert (scrubber.index, scrubber.step) == (3, 20)
    scrubber.step = 5
    assert scrubber.index == 1
    scrubber.index = 0
    assert scrubber.step == 0
    with pytest.raises(ValueError, match="no snapshot of step 7; there are 0, 5, 10, 20") as error:
        scrubber.step = 7
    sentence(error)
    assert scrubber.step == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"index": 4}, "index is 4; the snapshots go from 0 to 3"),
        ({"index": -5}, "index is -1"),
        ({"sample": 2}, "sample is 2; the samples go from 0 to 1"),
        ({"sample": -1}, "sample is -1"),
    ],
)
def test_what_does_not_exist_is_refused(trained, settings, said):
    with pytest.raises(ValueError, match=said) as error:
        TrainingScrubber(trained, **settings)
    sentence(error)


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(trained):
    scrubber = TrainingScrubber(trained, index=2, sample=1, scene=("noise", "more noise"))
    kept = kept_by_notebook(scrubber)
    history = read_history(trained)
    shown, loss, db = history.psnr(10)[1], history.terms["mse"].values[1], history.validation.values[0]
    bicubic = scrubber._samples[1]["bicubic"]
    assert kept.text == (
        f"TrainingScrubber(srcnn x4, step 10, snapshot 3 of 4, sample 2 of 2 {shown:.2f} dB, bicubic {bicubic}, "
        f"loss {loss:.3g}, validation {db:.2f} dB)"
    )
    assert kept.still.size == scrubber.still().size
    assert kept.alt.startswith("Training of srcnn x4 after 10 steps. Three pictures of more noise: bicubic (")
    assert f"the network ({shown:.2f} dB), the truth. Below: first layer: 8 filters 5x5, and curves" in kept.alt


def test_still_shows_the_state(trained):
    scrubber = TrainingScrubber(trained)
    last = np.asarray(scrubber.still()).astype(int)
    scrubber.index = 0
    first = np.asarray(scrubber.still()).astype(int)
    thirds = [slice(0, 288), slice(300, 588), slice(600, 888)]
    changed = [np.abs(first[22:300, third] - last[22:300, third]).max() for third in thirds]
    assert changed[0] == changed[2] == 0  # bicubic and the truth
    assert changed[1] > 0
    scrubber.sample = 1
    other = np.asarray(scrubber.still()).astype(int)
    assert np.abs(first[22:300, thirds[2]] - other[22:300, thirds[2]]).max() > 20
    scrubber.change = True
    assert np.abs(np.asarray(scrubber.still()).astype(int)[322:] - other[322:]).max() > 20


# --- unusual runs


def test_a_single_snapshot_has_no_change_to_show(run):
    for step in STEPS[1:]:
        (run / "snapshots" / f"step-{step:08d}.safetensors").unlink()
    scrubber = TrainingScrubber(run, change=True)
    assert len(scrubber._filters) == 1
    assert not scrubber.change
    assert "snapshot 1 of 1" in repr(scrubber)
    scrubber.still()


def test_a_run_without_a_line_in_its_log_yet(run):
    for step in STEPS[1:]:
        (run / "snapshots" / f"step-{step:08d}.safetensors").unlink()
    (run / "log.jsonl").write_text("")
    scrubber = TrainingScrubber(run)
    assert "loss nothing yet, validation nothing yet" in repr(scrubber)
    assert scrubber._note == ""  # no line was due
    scrubber.still()


def test_a_log_cut_short_is_told(run):
    log = run / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))  # start, and steps 5 and 10
    scrubber = TrainingScrubber(run)
    assert scrubber._note == "The run log was cut short: it ends at step 10, and so do the curves."
    assert "at step 10" in repr(scrubber)


def test_many_snapshots_are_thinned_out_and_it_is_said(run, monkeypatch):
    monkeypatch.setattr(scrubber_module, "MOST_SNAPSHOTS", 3)
    scrubber = TrainingScrubber(run)
    assert scrubber._steps == [0, 10, 20]
    assert scrubber._note == "3 of the run's 4 snapshots are shown."


def test_perfect_picture_has_no_error_in_decibels(run):
    truth = safetensors.torch.load_file(run / "snapshots" / "samples.safetensors")["hr.0"]
    rewrite(run, 20, lambda tensors: tensors.update({"sr.0": truth}))
    assert TrainingScrubber(run)._samples[0]["psnr"][-1] == "no error"


def test_no_run_and_damaged_snapshots_are_refused_with_a_sentence(run, tmp_path):
    with pytest.raises(DataError, match="there is no such folder") as data_error:
        TrainingScrubber(tmp_path / "nowhere")
    sentence(data_error)
    file = run / "snapshots" / "step-00000010.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ModelError, match=r"step-00000010\.safetensors: this snapshot is damaged") as model_error:
        TrainingScrubber(run)
    sentence(model_error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.update({"weights.conv1.weight": torch.zeros(8, 1, 3, 3)}), "of different networks"),
        (lambda tensors: tensors.pop("weights.conv1.weight"), "has no weights conv1.weight"),
    ],
)
def test_snapshots_of_several_networks_are_refused(run, change, said):
    rewrite(run, 20, change)
    with pytest.raises(ModelError, match=said) as error:
        TrainingScrubber(run)
    sentence(error)
