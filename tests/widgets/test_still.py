"""What all widgets have from `Still`: a cell that is run again leaves nothing of its first run behind."""

from __future__ import annotations

import inspect

import pytest
from ipywidgets.widgets.widget import _instances

from sr_course import widgets
from sr_course.models.srresnet import SRResNet
from sr_course.training.history import read_history, shipped_run
from sr_course.widgets import still
from tests.widgets.blends import networks, points, sample


def runs():
    return [read_history(shipped_run(name)) for name in ("srgan-s_x4", "srgan-s-missing-detach_x4")]


def makers(folder):
    """By the name of its class how each widget of the course is made, quickly."""
    one, other = sample(0), sample(1)
    return {
        "AblationMatrix": lambda: widgets.AblationMatrix(
            [widgets.Ablation(history=run, off=off) for run, off in zip(runs(), [(), ("detach",)], strict=True)]
        ),
        "BlindChoice": lambda: widgets.BlindChoice(
            [widgets.Pair("noise", {"first": one.hr, "second": other.hr}, None)], file=folder / "choices.sqlite3"
        ),
        "CompareSlider": lambda: widgets.CompareSlider({"first": one.hr, "second": other.hr}),
        "EqualError": lambda: widgets.EqualError(one.hr),
        "FeatureExplorer": lambda: widgets.FeatureExplorer(SRResNet(2, blocks=1, channels=3), one.lr),
        "GanDashboard": lambda: widgets.GanDashboard(
            {name: widgets.Case(run, name, "so it is", "look") for name, run in zip("ab", runs(), strict=True)}
        ),
        "GanStepper": widgets.GanStepper,
        "InterpolationSlider": lambda: widgets.InterpolationSlider(*networks()[:2], one, alphas=2),
        "LiveCurve": widgets.LiveCurve,
        "LossLab": lambda: widgets.LossLab(sample(2, (96, 96)).hr),
        "PerceptionDistortion": lambda: widgets.PerceptionDistortion(points(), [one, other]),
        "ResampleBench": widgets.ResampleBench,
        "TrainingScrubber": lambda: widgets.TrainingScrubber(shipped_run("srcnn-laptop_x4")),
        "UpscaleMyPhoto": lambda: widgets.UpscaleMyPhoto(method="srresnet-s"),
    }


KINDS = [
    name
    for name, one in inspect.getmembers(widgets, inspect.isclass)
    if issubclass(one, still.Still) and one is not still.Still
]


@pytest.fixture
def cell(monkeypatch):
    """The cell that runs, and which run it is."""
    now = {"cell": "one", "message": "first"}
    monkeypatch.setattr(still, "_OPEN", {})
    monkeypatch.setattr(still, "_where", lambda: (now["cell"], now["message"]))
    return now


@pytest.mark.parametrize("kind", KINDS)
def test_a_cell_that_runs_again_leaves_nothing_of_its_first_run(kind, cell, tmp_path):
    make, before = makers(tmp_path)[kind], set(_instances)
    first = make()
    made = set(_instances) - before
    assert first.comm is not None
    cell["message"] = "second"
    second = make()
    assert first.comm is None
    assert not made & set(_instances)  # nor its layout, nor what it consists of
    assert len(set(_instances) - before) == len(made)
    second.close()
    assert set(_instances) == before


def test_other_cells_and_others_of_the_same_run_stay(cell):
    pictures = {"first": sample(0).hr, "second": sample(1).hr}
    one, other = widgets.CompareSlider(pictures), widgets.CompareSlider(pictures)
    cell.update(cell="two", message="second")
    elsewhere = widgets.CompareSlider(pictures)
    assert all(widget.comm is not None for widget in (one, other, elsewhere))
    cell.update(cell="one", message="third")
    widgets.CompareSlider(pictures)
    assert (one.comm, other.comm) == (None, None)
    assert elsewhere.comm is not None
