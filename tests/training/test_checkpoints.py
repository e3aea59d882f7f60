"""Checkpoints and memory: what is there when something breaks, and what the error says."""

from __future__ import annotations

import builtins
import errno
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sr_course.errors import ModelError, TrainingError
from sr_course.training import checkpoints as checkpoints_module
from sr_course.training import log as log_module
from sr_course.training import loop as loop_module
from sr_course.training.checkpoints import checkpoints, load_run
from sr_course.training.loop import train


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def full_disk(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param((Path, "write_bytes"), id="while the weights are written"),
        pytest.param((checkpoints_module.os, "fsync"), id="when they are brought to the disk"),
        pytest.param((checkpoints_module.torch, "save"), id="while the state is written"),
        pytest.param((Path, "rename"), id="at the very end"),
    ],
)
def test_a_full_disk_keeps_the_last_checkpoint_whole(recipe, tmp_path, monkeypatch, write):
    run = tmp_path / "run"
    save = loop_module.save_checkpoint

    def save_until_full(out, learners, recipe, progress):
        if progress.step < 40:
            return save(out, learners, recipe, progress)
        with monkeypatch.context() as patch:
            patch.setattr(*write, full_disk)
            return save(out, learners, recipe, progress)

    monkeypatch.setattr(loop_module, "save_checkpoint", save_until_full)
    with pytest.raises(TrainingError, match=r"No space left on device.*step-00000020, is whole") as told:
        train(recipe, run, bar=False)
    assert "Make room" in str(told.value)
    assert [folder.name for folder in (run / "checkpoints").iterdir()] == ["step-00000020"]
    monkeypatch.setattr(loop_module, "save_checkpoint", save)
    straight = tmp_path / "straight"
    train(recipe, straight, bar=False)
    assert train(recipe, run, resume=True, bar=False).step == 60
    name = "checkpoints/step-00000060/generator.safetensors"
    assert (run / name).read_bytes() == (straight / name).read_bytes()


def test_a_full_disk_under_the_log_is_a_sentence_too(recipe, tmp_path, monkeypatch):
    open_ = builtins.open

    def full(self, *arguments, **options):
        if self.name == "log.jsonl" and "a" in arguments and (tmp_path / "run" / "checkpoints").is_dir():
            full_disk()
        return open_(self, *arguments, **options)

    monkeypatch.setattr(log_module.Path, "open", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        train(recipe, tmp_path / "run", bar=False)
    assert checkpoints(tmp_path / "run")


def test_weights_that_are_no_longer_numbers_are_not_written(recipe, tmp_path, monkeypatch):
    step = loop_module.pixel_step

    def poisoned(parts, learners, recipe, runtime, number):
        values = step(parts, learners, recipe, runtime, number)
        if number == 34:
            with torch.no_grad():
                learners["generator"].network.conv2.bias[0] = float("nan")
        # the loss of this step and its norm are still finite: only the weights tell
        return {name: torch.nan_to_num(value) for name, value in values.items()}

    monkeypatch.setattr(loop_module, "pixel_step", poisoned)
    with pytest.raises(TrainingError, match=r"step 40 the weights conv\d.* of the generator"):
        train(recipe, tmp_path / "run", bar=False)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-00000020"]


def test_a_single_infinite_loss_between_two_lines_of_the_log_stops_the_run(recipe, tmp_path, monkeypatch):
    step = loop_module.pixel_step

    def once(parts, learners, recipe, runtime, number):
        values = step(parts, learners, recipe, runtime, number)
        return {**values, "mse": values["mse"] * (float("inf") if number == 33 else 1)}

    monkeypatch.setattr(loop_module, "pixel_step", once)
    with pytest.raises(TrainingError, match=r"mse is inf at or shortly before step 37"):
        train(replace(recipe, checkpoint_every=37), tmp_path / "run", bar=False)


def test_the_newest_two_are_kept(recipe, tmp_path):
    train(replace(recipe, checkpoint_every=7), tmp_path / "run", bar=False)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step-00000056", "step-00000060"]


def test_what_a_killed_process_left_is_cleared_away(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe, run, bar=False)
    for name in ("step-00000080.part", "step-00000020.old"):
        (run / "checkpoints" / name).mkdir()
        (run / "checkpoints" / name / "state.pt").write_bytes(b"half of a state")
    train(recipe, run, resume=True, bar=False)
    assert [path.name for path in (run / "checkpoints").iterdir() if path.suffix] == []


@pytest.mark.parametrize("name", ["generator.safetensors", "generator_ema.safetensors", "state.pt"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:99]), Path.unlink])
def test_a_damaged_checkpoint_is_named_with_the_way_out(recipe, tmp_path, name, damage):
    run = tmp_path / "run"
    train(recipe, run, bar=False)
    damage(checkpoints(run)[-1] / name)
    with pytest.raises(TrainingError, match=r"step-00000060.*Remove the folder"):
        train(recipe, run, resume=True, bar=False)


def test_the_state_holds_no_pickled_code(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe, run, bar=False)
    state = torch.load(checkpoints(run)[-1] / "state.pt", weights_only=True)
    assert state["progress"]["step"] == 60
    assert state["progress"]["minutes"] > 0


def test_a_checkpoint_can_be_named_too(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe, run, bar=False)
    older, newest = checkpoints(run)
    assert torch.equal(load_run(run).conv1.weight, load_run(newest).conv1.weight)
    assert not torch.equal(load_run(older).conv1.weight, load_run(newest).conv1.weight)
    assert not load_run(run).training


@pytest.mark.parametrize("make", [lambda run: None, Path.mkdir, lambda run: run.write_text("a file")])
def test_a_folder_without_a_run(tmp_path, make):
    make(tmp_path / "run")
    with pytest.raises(ModelError, match="no checkpoint"):
        load_run(tmp_path / "run")


def test_weights_cut_short_are_named(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe, run, bar=False)
    path = checkpoints(run)[-1] / "generator_ema.safetensors"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ModelError, match=re.escape(str(path))):
        load_run(run)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes"),
        MemoryError(),
    ],
)
def test_used_up_memory_says_what_to_lower(recipe, tmp_path, monkeypatch, error):
    def greedy(*arguments):
        raise error

    monkeypatch.setattr(loop_module, "pixel_step", greedy)
    with pytest.raises(TrainingError, match=r"batch_size 4.*16 pixels.*Raise accumulation"):
        train(recipe, tmp_path / "run", bar=False)


def test_other_errors_keep_their_trace(recipe, tmp_path, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop_module, "pixel_step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(recipe, tmp_path / "run", bar=False)


def test_a_folder_that_cannot_be_written(recipe, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(TrainingError, match="file"):
        train(recipe, tmp_path / "file" / "run", bar=False)


def test_each_record_is_shown_to_a_watcher(recipe, tmp_path):
    seen = []
    train(recipe, tmp_path / "run", bar=False, watch=seen.append)
    assert seen == log_module.read_log(tmp_path / "run")
    assert [record["event"] for record in seen].count("train") == 6
