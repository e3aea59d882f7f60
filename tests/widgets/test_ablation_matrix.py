from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import sr_course.widgets.ablation_matrix as module
from sr_course.errors import ModelError
from sr_course.training.history import Curve, read_history
from sr_course.widgets import Ablation, AblationMatrix, Metric
from tests.sentences import sentence
from tests.widgets.blends import QUICK, mean_error
from tests.widgets.gan_runs import HEALTHY, NO_DETACH, STEPS, STRONG, make_runs, stored, write_log
from tests.widgets.notebook import kept_by_notebook
from tests.widgets.sprites import sent_cell

PSNR = {HEALTHY: 25.0, STRONG: 24.5, NO_DETACH: 25.004}  # of the last validation, dB
SWITCHES = ("no batch norm", "relativistic", "L1 term")
FULL, WITH_NORM, VANILLA = "full recipe", "no batch norm off", "vanilla GAN"


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    runs = make_runs(tmp_path_factory.mktemp("runs"))
    for name, run in runs.items():
        validations = [{"event": "validation", "step": step, "psnr": PSNR[name] - 20 / step} for step in (5, 10)]
        write_log(run, 0.0, [*validations, {"event": "validation", "step": 20, "psnr": PSNR[name]}])
    return runs


@pytest.fixture(scope="module")
def runs(folders) -> list[Ablation]:
    """The full recipe, one run that is a level of 255 brighter, one that is two."""
    histories = {name: read_history(run) for name, run in folders.items()}
    return [
        Ablation(history=histories[HEALTHY], figures={"seconds": 3.0}),
        Ablation(history=histories[STRONG], off=("no batch norm",), figures={"seconds": 2.0}),
        Ablation(history=histories[NO_DETACH], off=("relativistic",), name=VANILLA, figures={"seconds": 4.0}),
    ]


def make(runs: list[Ablation], **options) -> AblationMatrix:
    return AblationMatrix(runs, **{"switches": SWITCHES, "distance": QUICK, **options})


def error_at_the_end(run: Path) -> float:
    """Mean error over both samples at the last snapshot, from the files."""
    truths = safetensors.torch.load_file(run / "snapshots" / "samples.safetensors")
    results = safetensors.torch.load_file(run / "snapshots" / f"step-{STEPS[-1]:08d}.safetensors")
    errors = [
        mean_error(results[f"sr.{index}"][None] / 255, truths[f"hr.{index}"][None] / 255).item() for index in range(2)
    ]
    return sum(errors) / 2


# --- what travels to the browser


def test_table_tells_which_switches_are_on(runs):
    widget = make(runs)
    assert widget._switches == list(SWITCHES)
    assert [row["name"] for row in widget._rows] == [FULL, WITH_NORM, VANILLA]
    assert [row["on"] for row in widget._rows] == [[True] * 3, [False, True, True], [True, False, True]]
    assert widget._full == 0
    assert AblationMatrix(runs, distance=QUICK)._switches == ["no batch norm", "relativistic"]


def test_numbers_are_those_of_the_runs(runs, folders):
    widget = make(runs, metrics=[Metric("seconds", higher_is_better=False, digits=1)])
    assert widget._metrics == ["validation PSNR, dB", "mean error", "seconds"]
    errors = [error_at_the_end(folders[name]) for name in (HEALTHY, STRONG, NO_DETACH)]
    assert [row["figures"] for row in widget._rows] == [
        ["25.00", f"{errors[0]:.4f}", "3.0"],
        ["24.50", f"{errors[1]:.4f}", "2.0"],
        ["25.00", f"{errors[2]:.4f}", "4.0"],
    ]


def test_every_result_travels_and_equal_ones_once(runs, folders):
    widget = make(runs)
    for row, name in zip(widget._rows, (HEALTHY, STRONG, NO_DETACH), strict=True):
        assert row["steps"] == list(STEPS)
        history = read_history(folders[name])
        for sample in range(2):
            for step, cell, db in zip(STEPS, row["results"][sample], row["psnr"][sample], strict=True):
                assert np.array_equal(sent_cell(widget, cell), stored(folders[name], step, sample))
                assert db == f"{history.psnr(step)[sample]:.2f} dB"
    truths = safetensors.torch.load_file(folders[HEALTHY] / "snapshots" / "samples.safetensors")
    for index, sample in enumerate(widget._samples):
        assert np.array_equal(sent_cell(widget, sample["truth"]), truths[f"hr.{index}"].permute(1, 2, 0).numpy())
    # for each of two samples: bicubic, the truth, the common beginning, and three more steps of three runs
    assert len(widget._cells) == 2 * (1 + 1 + 1 + 3 * 3)


def test_charts_hold_a_line_for_each_run_on_one_scale(runs):
    widget = make(runs)
    charts = {chart["title"]: chart for chart in widget._charts}
    assert list(charts) == [
        "Validation PSNR, dB",
        "Discriminator's accuracy",
        "Detail / true detail",
        "Checkerboard / detail",
    ]
    validation = charts["Validation PSNR, dB"]
    assert [line["name"] for line in validation["lines"]] == [FULL, WITH_NORM, VANILLA]
    places = [np.log1p(step / 5) / np.log1p(20 / 5) for step in (5, 10, 20)]
    assert [x for x, _ in validation["lines"][0]["points"]] == pytest.approx(places, abs=1e-4)
    assert validation["lines"][0]["points"][-1][1] > validation["lines"][1]["points"][-1][1]
    assert validation["readings"][1] == ["nothing yet", "20.50 dB", "22.50 dB", "24.50 dB"]
    assert widget._marks == pytest.approx([0, *places], abs=1e-4)


def test_signs_that_no_run_has_are_left_out(runs):
    bare = [replace(run, history=replace(run.history, diagnostics={})) for run in runs]
    assert [chart["title"] for chart in make(bare)._charts] == ["Validation PSNR, dB"]
    one = [bare[0], *runs[1:]]
    detail = make(one)._charts[2]
    assert [line["name"] for line in detail["lines"]] == [WITH_NORM, VANILLA]
    assert detail["readings"][0] == ["nothing yet"] * 4
    make(one, revealed=True).still()


def test_runs_without_a_validation_have_no_number(runs):
    silent = [replace(runs[0], history=replace(runs[0].history, validation=Curve())), *runs[1:]]
    widget = make(silent, predict="validation PSNR, dB", revealed=True)
    assert widget._rows[0]["figures"][0] == "–"
    assert [row["verdict"] for row in widget._rows] == ["", "same", "same"]
    assert "validation PSNR, dB –" in repr(widget)
    widget.still()


# --- prediction


def test_what_is_better_depends_on_the_metric(runs, folders):
    def verdicts(**options) -> list[str]:
        return [row["verdict"] for row in make(runs, **options)._rows]

    full, *others = (error_at_the_end(folders[name]) for name in (HEALTHY, STRONG, NO_DETACH))
    assert verdicts() == ["", *("better" if error < full else "worse" for error in others)]
    # 25.004 and 25.00 are written alike
    assert verdicts(predict="validation PSNR, dB") == ["", "worse", "same"]
    seconds = Metric("seconds", higher_is_better=False)
    assert verdicts(metrics=[seconds], predict="seconds") == ["", "better", "worse"]
    assert verdicts(metrics=[Metric("seconds", higher_is_better=True)], predict="seconds") == ["", "worse", "better"]
    assert make(runs, distance=None, metrics=[seconds])._predict == 1


def test_numbers_are_hidden_until_they_are_revealed(runs):
    widget = make(runs)
    assert repr(widget) == "AblationMatrix(3 runs, 3 switches; 0 of 2 predicted, numbers hidden)"
    for said in (repr(widget), widget.alt()):
        assert "25.00" not in said
        assert "24.50" not in said
    hidden = widget.still()
    widget.revealed = True
    assert widget.still().height > hidden.height + 288
    assert "full recipe validation PSNR, dB 25.00, mean error" in repr(widget)


def test_predictions_are_counted(runs):
    widget = make(runs, predict="validation PSNR, dB")
    widget.predictions = {WITH_NORM: "worse", VANILLA: "better"}
    assert widget.right == 1
    assert "2 of 2 predicted" in repr(widget)
    widget.revealed = True
    assert "1 of 2 predicted rightly" in repr(widget)
    assert "1 of 2 predicted rightly in validation PSNR, dB (higher is better)." in widget.alt()
    before = np.asarray(widget.still())
    widget.predictions = {}
    assert widget.right == 0
    assert not np.array_equal(np.asarray(widget.still()), before)


# --- state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": []}, "rows are []; look at one row, or at two"),
        ({"rows": [0, 1, 2]}, "rows are [0, 1, 2]"),
        ({"rows": [1, 1]}, "rows are [1, 1]"),
        ({"rows": [3]}, "rows is 3; the rows go from 0 to 2"),
        ({"sample": 2}, "sample is 2; the samples go from 0 to 1"),
        ({"predictions": {FULL: "better"}}, f"nothing to predict of '{FULL}'; there are {WITH_NORM}, {VANILLA}"),
        ({"predictions": {VANILLA: "equal"}}, "'equal' is no prediction; choose better or worse"),
    ],
)
def test_what_does_not_exist_is_refused(runs, change, said):
    widget = make(runs, revealed=True)
    before = repr(widget)
    (key, value), *_ = change.items()
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        setattr(widget, key, value)
    sentence(error)
    assert repr(widget) == before


def test_runs_that_make_no_table_are_refused(runs):
    full, other, third = runs
    shifted = replace(full.history.samples[0], hr=full.history.samples[0].hr.flip(-1))
    elsewhere = replace(other, history=replace(other.history, samples=(shifted,)))
    cases = [
        ([full], {}, "1 runs were given; there can be 2 to 12"),
        ([other, third], {}, "0 runs have nothing off"),
        ([full, replace(other, off=())], {}, "two runs are called 'full recipe'"),
        ([full, replace(other, off=(), name="other")], {}, "2 runs have nothing off"),
        ([full, replace(other, off=("RRDB",))], {}, "'RRDB' of RRDB off is no switch; there are no batch norm"),
        ([full, elsewhere], {}, "no batch norm off was tried on other sample pictures than full recipe"),
        (runs, {"predict": "SSIM"}, "no metric 'SSIM' to predict; there are validation PSNR, dB, mean error"),
        (runs, {"metrics": [Metric("memory", higher_is_better=False)]}, "full recipe has no figure for 'memory'"),
    ]
    for some, options, said in cases:
        with pytest.raises(ValueError, match=said) as error:
            make(some, **options)
        sentence(error)


def test_a_damaged_snapshot_is_named(runs, folders, tmp_path):
    broken = Path(shutil.copytree(folders[STRONG], tmp_path / "broken"))
    file = broken / "snapshots" / "step-00000010.safetensors"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(ModelError, match=r"step-00000010\.safetensors: this snapshot is damaged") as error:
        make([runs[0], replace(runs[1], history=read_history(broken))])
    sentence(error)


def test_step_takes_the_nearest_snapshot_of_each_run(runs):
    fewer = replace(runs[1], history=replace(runs[1].history, snapshots=(0, 10)))
    widget = make([runs[0], fewer], rows=[0, 1], revealed=True)
    assert widget._steps == list(STEPS)
    assert "step 20, sample 1 of 2" in repr(widget)
    widget.step = 6
    assert "step 5, sample 1 of 2" in repr(widget)
    shown = np.asarray(widget.still())
    enlarged = [
        sent_cell(widget, widget._rows[0]["results"][0][1]),
        sent_cell(widget, widget._rows[1]["results"][0][1]),  # of step 10, for it has none of step 5
    ]
    found = [
        np.array_equal(one.repeat(3, axis=0).repeat(3, axis=1), shown[top : top + 192, left : left + 240])
        for one, left in zip(enlarged, (0, 300), strict=True)
        for top in range(shown.shape[0] - 192)
    ]
    assert sum(found) == 2


def test_many_snapshots_are_thinned_out_and_it_is_said(runs, monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 3 * 2 * 64 * 80 * 3)  # three snapshots
    widget = make(runs)
    assert widget._rows[0]["steps"] == [0, 10, 20]
    assert "Not all snapshots are shown" in widget._note
    assert "trained once" in make(runs)._note


# --- what a notebook stores


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(runs, folders):
    widget = make(runs, rows=[0, 2], sample=1, step=10, revealed=True, scene=("noise", "more noise"))
    kept = kept_by_notebook(widget)
    errors = [error_at_the_end(folders[name]) for name in (HEALTHY, STRONG, NO_DETACH)]
    told = "; ".join(
        f"{name} validation PSNR, dB {db}, mean error {error:.4f}"
        for name, db, error in zip((FULL, WITH_NORM, VANILLA), ("25.00", "24.50", "25.00"), errors, strict=True)
    )
    assert kept.text == (
        f"AblationMatrix({told}; 0 of 2 predicted rightly; looking at {FULL} and {VANILLA}, step 10, sample 2 of 2)"
    )
    assert kept.still.size == widget.still().size
    assert kept.alt == (
        f"A table of 3 training runs with their switches: {told}. 0 of 2 predicted rightly in mean error (lower is "
        f"better). Below: pictures of more noise and curves of {FULL} and {VANILLA} at step 10."
    )


def test_still_marks_the_chosen_rows_and_draws_their_curves(runs):
    widget = make(runs, revealed=True)
    one = np.asarray(widget.still()).astype(int)
    widget.rows = [1]
    other = np.asarray(widget.still()).astype(int)
    changed = np.abs(one - other)
    assert changed[44:66, :100].max() > 0
    assert changed[66:88, :100].max() > 0
    assert changed[88:110, :100].max() == 0
    widget.rows = [0, 1]
    orange = np.asarray(widget.still()).astype(int)[430:]
    red, _, blue = np.moveaxis(orange, -1, 0)
    assert (red - blue > 100).sum() > 50  # the second row's curves
    red, _, blue = np.moveaxis(one[430:], -1, 0)
    assert (red - blue > 100).sum() == 0


def test_distances_are_measured_at_the_last_snapshot_alone(runs):
    asked = []

    def count(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        asked.append(1)
        return mean_error(sr, hr)

    make(runs, distance=replace(QUICK, measure=count))
    assert len(asked) == 3 * 2
