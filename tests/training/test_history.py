"""A run's history is what the run wrote: held against its log and files, read without the code under test."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import sr_course.training.history as history_module
from sr_course.errors import DataError, ModelError
from sr_course.training.history import Curve, read_history, shipped_run
from sr_course.training.loop import train
from tests.sentences import sentence


@pytest.fixture
def run(tmp_path, recipe) -> Path:
    train(replace(recipe, snapshot_steps=(0, 20, 60)), tmp_path / "run", bar=False)
    return tmp_path / "run"


def log_lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_curves_are_those_of_the_log(run, recipe):
    history = read_history(run)
    assert history.recipe == replace(recipe, snapshot_steps=(0, 20, 60))
    assert history.snapshots == (0, 20, 60)
    assert history.last_logged == 60
    assert list(history.terms) == ["mse"]
    assert history.terms["mse"].steps == (10, 20, 30, 40, 50, 60)
    logged = [line["terms"]["mse"] for line in log_lines(run) if line["event"] == "train"]
    assert list(history.terms["mse"].values) == logged
    assert history.validation.steps == (30, 60)
    logged = [line["psnr"] for line in log_lines(run) if line["event"] == "validation"]
    assert list(history.validation.values) == logged


def test_the_last_snapshot_is_the_trained_network(run):
    history = read_history(run)
    # The last checkpoint holds the same weights in full precision; fp16 keeps 11 bits.
    trained = safetensors.torch.load_file(run / "checkpoints" / "step-00000060" / "generator_ema.safetensors")
    weights = history.weights(60)
    assert weights.keys() == trained.keys()
    for name, tensor in trained.items():
        assert weights[name].dtype == torch.float32
        assert torch.allclose(weights[name], tensor, rtol=2**-11, atol=2**-24)
    assert not torch.equal(history.weights(0)["conv1.weight"], weights["conv1.weight"])


def test_network_makes_again_what_the_snapshot_shows(run):
    history = read_history(run)
    for step in history.snapshots:
        network = history.network(step)
        assert not network.training
        for sample, shown in zip(history.samples, history.results(step), strict=True):
            with torch.inference_mode():
                made = network(sample.lr).clamp(0, 1)
            # 8 bits of the result, 8 of the low-resolution side, 11 of the weights
            assert (made - shown).abs().max() < 3 / 255


def test_psnr_is_that_of_the_shown_pictures(run):
    history = read_history(run)
    shown = safetensors.torch.load_file(run / "snapshots" / "step-00000060.safetensors")["sr.0"].numpy().astype(float)
    truth = safetensors.torch.load_file(run / "snapshots" / "samples.safetensors")["hr.0"].numpy().astype(float)
    # luma of BT.601 is 65.481 R + 128.553 G + 24.966 B over 255; two pixels, the scale, are cut from every side
    difference = np.tensordot([65.481, 128.553, 24.966], (shown - truth)[:, 2:-2, 2:-2], axes=1) / 255
    assert history.psnr(60) == [pytest.approx(10 * math.log10(255**2 / np.mean(difference**2)))]


def test_what_was_known_at_a_step():
    curve = Curve(steps=(10, 20), values=(3.0, 2.0))
    assert [curve.last(step) for step in (9, 10, 19, 20, 99)] == [None, (10, 3.0), (10, 3.0), (20, 2.0), (20, 2.0)]


def test_a_run_that_goes_on_is_read_without_its_unfinished_line(run):
    log = run / "log.jsonl"
    log.write_text(log.read_text() + '{"event": "train", "step": 70, "ter')
    assert read_history(run).last_logged == 60


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: shutil.rmtree(run), "there is no such folder"),
        (lambda run: (run / "recipe.json").unlink(), "holds no training run"),
        (lambda run: (run / "recipe.json").write_text("{"), "recipe.json: the recipe of this run cannot be read"),
        (lambda run: (run / "recipe.json").write_text("[]"), "recipe.json: the recipe of this run cannot be read"),
        (lambda run: (run / "recipe.json").write_text('{"model": "vdsr"}'), "there is no model 'vdsr'"),
        (lambda run: (run / "log.jsonl").unlink(), "log.jsonl: the run log cannot be read"),
        (lambda run: (run / "log.jsonl").write_bytes(b"\xff\xfe\n"), "log.jsonl: the run log cannot be read"),
        (lambda run: (run / "log.jsonl").write_text('{"event": "st\n{}\n'), "line 1 of the run log is damaged"),
        (lambda run: (run / "log.jsonl").write_text('{"event": "train", "step": 1}\n'), "line 1 of the run log"),
        (lambda run: [one.unlink() for one in run.glob("snapshots/step-*")], "this run kept no snapshots"),
        (lambda run: (run / "snapshots" / "samples.safetensors").write_bytes(b"x"), "the sample pictures cannot be"),
        (lambda run: (run / "snapshots" / "samples.safetensors").unlink(), "the sample pictures cannot be read"),
    ],
)
def test_a_damaged_run_is_refused_with_a_sentence(run, damage, said):
    damage(run)
    with pytest.raises(DataError) as error:
        read_history(run)
    assert said in sentence(error)


def test_a_damaged_snapshot_is_named(run):
    file = run / "snapshots" / "step-00000020.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    history = read_history(run)
    for read in (history.weights, history.results, history.psnr, history.network):
        read(60)
        with pytest.raises(ModelError) as error:
            read(20)
        assert "step-00000020.safetensors: this snapshot is damaged" in sentence(error)
        with pytest.raises(ModelError) as error:
            read(30)
        assert "no snapshot of step 30; there are 0, 20, 60" in sentence(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("sr.0"), "has no result 'sr.0'"),
        (lambda tensors: tensors.update({"sr.0": tensors["sr.0"][:, :-1]}), "result 0 is not of its sample's size"),
    ],
)
def test_results_of_another_run_are_refused(run, change, said):
    file = run / "snapshots" / "step-00000020.safetensors"
    tensors = safetensors.torch.load_file(file)
    change(tensors)
    safetensors.torch.save_file({name: one.contiguous() for name, one in tensors.items()}, file)
    with pytest.raises(ModelError) as error:
        read_history(run).results(20)
    assert said in sentence(error)


def test_weights_of_another_network_are_refused(run):
    file = run / "snapshots" / "step-00000020.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["weights.conv1.weight"] = torch.zeros(2, 1, 3, 3)
    safetensors.torch.save_file(tensors, file)
    with pytest.raises(ModelError) as error:
        read_history(run).network(20)
    assert "does not fit the network of its recipe" in sentence(error)


def test_shipped_runs_are_found_by_name(run, tmp_path, monkeypatch):
    monkeypatch.setattr(history_module, "RUNS", tmp_path)
    assert shipped_run("run") == run
    for name in ("srcnn_x9", "", "..", "../run", "snapshots"):
        with pytest.raises(DataError) as error:
            shipped_run(name)
        assert "there are run" in sentence(error)
    monkeypatch.setattr(history_module, "RUNS", tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds none"):
        shipped_run("run")
