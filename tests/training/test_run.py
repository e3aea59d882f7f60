"""Whole runs through the command line: trained, interrupted, killed, resumed, shared by two processes."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sr_course import zoo
from sr_course.cli import main
from sr_course.training.checkpoints import checkpoints, load_run
from sr_course.training.log import read_log
from sr_course.training.recipes import RECIPES

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither SIGTERM handlers nor SIGKILL")


def train(*arguments: object) -> int:
    return main(["train", *map(str, arguments)])


def options(recipe, out: Path, model: str = "srcnn", **others: object) -> list[object]:
    """The fixture's recipe as a command line over `smoke`."""
    values = {
        "recipe": "smoke",
        "out": out,
        "data": recipe.data,
        "validation": recipe.validation,
        "validation-pictures": 1,
        "scale": 2,
        "hr-crop": 16,
        "batch-size": 4,
        "steps": 60,
        "log-every": 10,
        "validate-every": 30,
        "checkpoint-every": 20,
        "snapshot-steps": "0,30,60",
        **{name.replace("_", "-"): value for name, value in others.items()},
    }
    return [model, *(part for name, value in values.items() for part in (f"--{name}", value))]


def weights_in(run: Path, name: str = "generator") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(checkpoints(run)[-1] / f"{name}.safetensors")


def same_state(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other


def of_event(run: Path, event: str) -> list[dict]:
    return [record for record in read_log(run) if record["event"] == event]


@pytest.mark.parametrize(("model", "size"), [(model, size) for model, sizes in RECIPES.items() for size in sizes])
def test_every_recipe_trains(tmp_path, tiny_values, capsys, model, size):
    run = tmp_path / "run"
    if model in ("srgan", "esrgan"):  # fresh weights, which any scale has, and shallow features of the VGG that ships
        tiny_values += ["--start", "", "--perceptual-backbone", "vgg16", "--perceptual-layers", "relu1_2=1"]
    if model in ("rrdb", "esrgan"):  # the paper's 23 take a minute
        tiny_values += ["--blocks", "1"]
    assert train(model, "--recipe", size, "--out", run, "--steps", 2, "--log-every", 1, *tiny_values) == 0
    said = capsys.readouterr().out
    assert f"name                  {size}" in said
    assert "step 2 of 2" in said
    assert all(record["terms"] for record in of_event(run, "train"))
    sr = load_run(run)(torch.rand(1, 3, 12, 12))
    assert sr.shape == (1, 3, 24, 24)


def test_the_classroom_srgan_takes_a_step_as_it_is_but_for_smaller_batches(tmp_path, pictures):
    run = tmp_path / "run"
    values = {"data": pictures, "validation": pictures, "validation-pictures": 1, "steps": 1, "log-every": 1}
    values |= {"batch-size": 1, "hr-crop": 32, "snapshot-steps": "0,1"}
    chosen = [str(part) for name, value in values.items() for part in (f"--{name}", value)]
    assert train("srgan", "--recipe", "classroom", "--out", run, *chosen) == 0
    (record,) = of_event(run, "train")
    assert set(record["terms"]) >= {"perceptual", "adversarial"}
    network, began = load_run(run), zoo.load("srresnet")  # 16 blocks at x4, from which it starts
    moved = [(one - other).abs().max() for one, other in zip(network.parameters(), began.parameters(), strict=True)]
    assert 0 < max(moved) < 2e-4  # Adam's first step is as long as the learning rate, 1e-4; the zoo's weights are fp16


def test_a_run_learns_and_tells_what_it_did(recipe, tmp_path):
    run = tmp_path / "run"
    assert train(*options(recipe, run, steps=300, validate_every=100, learning_rate=3e-3)) == 0
    start, *_ = read_log(run)
    assert start["event"] == "start"
    assert start["recipe"]["steps"] == 300
    assert start["device"] in ("cpu", "mps") or torch.cuda.is_available()
    steps = of_event(run, "train")
    assert [record["step"] for record in steps] == list(range(10, 301, 10))
    assert steps[-1]["terms"]["mse"] < steps[0]["terms"]["mse"] / 5
    assert steps[-1]["learning_rate"] == pytest.approx(3e-5)  # a hundredth at the end, as `smoke` has it
    assert all(record["gradient_norm"] > 0 and record["images_per_second"] > 0 for record in steps)
    db = [record["psnr"] for record in of_event(run, "validation")]
    assert len(db) == 3
    assert db[-1] > db[0]


def test_snapshots_can_be_replayed(recipe, tmp_path):
    run = tmp_path / "run"
    assert train(*options(recipe, run)) == 0
    files = sorted((run / "snapshots").iterdir())
    assert [file.name for file in files] == [
        "samples.safetensors",
        *(f"step-{step:08d}.safetensors" for step in (0, 30, 60)),
    ]
    samples, first, _, last = (safetensors.torch.load_file(file) for file in files)
    assert samples["lr.0"].dtype == last["sr.0"].dtype == torch.uint8
    assert samples["hr.0"].shape == last["sr.0"].shape
    assert not torch.equal(first["sr.0"], last["sr.0"])
    # the weights of the last snapshot, on the sample, give the picture that it holds (up to what fp16 rounds off)
    network = load_run(run)
    network.load_state_dict(
        {k.removeprefix("weights."): v.float() for k, v in last.items() if k.startswith("weights.")}
    )
    with torch.inference_mode():
        sr = network(samples["lr.0"][None] / 255).clamp(0, 1)[0] * 255
    assert (sr - last["sr.0"]).abs().max() < 1.5
    assert last["weights.conv1.weight"].dtype == torch.float16


def test_without_a_running_mean_the_weights_themselves_are_loaded(recipe, tmp_path):
    for decay, name in ((0, "generator"), (0.9, "generator_ema")):
        run = tmp_path / name
        assert train(*options(recipe, run, ema_decay=decay)) == 0
        assert same_state(dict(load_run(run).state_dict()), weights_in(run, name))
    assert not same_state(weights_in(run, "generator"), weights_in(run, "generator_ema"))


@pytest.mark.parametrize("extra", [{}, {"accumulation": 2}, {"optimizer": "sgd"}, {"clip_norm": 0.1}])
def test_resumed_in_the_middle_is_never_interrupted(recipe, tmp_path, monkeypatch, extra):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train(*options(recipe, straight, **extra)) == 0
    for sitting in range(3):  # each sitting ends after a step or a few, wherever that is
        status = train(*options(recipe, broken, **extra), "--max-minutes", 1e-4, *(["--resume"] if sitting else []))
        assert status == 0
    assert 3 <= of_event(broken, "start")[-1]["step"] + 1 < 60
    assert train("srcnn", "--out", broken, "--resume") == 0
    for name in ("generator", "generator_ema"):
        assert same_state(weights_in(straight, name), weights_in(broken, name))
    told = [[(r["step"], r["terms"], r["gradient_norm"]) for r in of_event(run, "train")] for run in (straight, broken)]
    assert told[0] == told[1]


ADVERSARIAL = {
    "model": "srgan",
    "perceptual_layers": "relu1_1=1",
    "discriminator_channels": 2,
    "checkpoint_every": 4,
    "milestones": 30,
}


def kill_and_resume(recipe, tmp_path: Path, start, kills: int, steps: int = 300, **others: object) -> None:
    values = {"steps": steps, "checkpoint_every": 13, "snapshot_steps": f"0,{steps}", "validate_every": 50, **others}
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    assert train(*options(recipe, straight, **values), "--quiet") == 0
    chance = random.Random(0)
    for left in range(kills, 0, -1):
        done = int(checkpoints(broken)[-1].name[-8:]) if checkpoints(broken) else 0
        process = start(*options(recipe, broken, **values), "--quiet", "--resume")
        target = done + chance.randint(1, max(1, (steps - done) // (left + 2)))
        while process.poll() is None and not any(int(path.name[-8:]) >= target for path in checkpoints(broken)):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)  # so that it strikes within a step, or while a checkpoint is written
        process.kill()
        process.wait()
    assert checkpoints(broken)[-1].name < f"step-{steps:08d}"
    assert start(*options(recipe, broken, **values), "--quiet", "--resume").wait(timeout=120) == 0
    one, other = checkpoints(straight)[-1], checkpoints(broken)[-1]
    assert one.name == other.name == f"step-{steps:08d}"
    networks = sorted(path.name for path in one.glob("*.safetensors"))
    assert networks == sorted(path.name for path in other.glob("*.safetensors"))
    assert {"generator.safetensors", "generator_ema.safetensors"} <= set(networks)
    for name in networks:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (one, other)]
    assert same_state(states[0]["learners"], states[1]["learners"])
    assert [(r["step"], r["terms"]) for r in of_event(straight, "train")] == [
        (r["step"], r["terms"]) for r in of_event(broken, "train")
    ]
    assert not [path for path in (broken / "checkpoints").iterdir() if path.suffix]  # nothing half-written stays


@POSIX
def test_killed_twice_and_resumed_byte_for_byte(recipe, tmp_path, start):
    kill_and_resume(recipe, tmp_path, start, kills=2)


@POSIX
def test_adversarial_training_killed_and_resumed_byte_for_byte(recipe, tmp_path, start):
    kill_and_resume(recipe, tmp_path, start, kills=2, steps=60, **ADVERSARIAL)
    assert (checkpoints(tmp_path / "broken")[-1] / "discriminator.safetensors").is_file()


@POSIX
@pytest.mark.slow
@pytest.mark.skipif("SR_COURSE_LONG_TESTS" not in os.environ, reason="a minute; set SR_COURSE_LONG_TESTS to run")
def test_killed_ten_times_and_resumed_byte_for_byte(recipe, tmp_path, start):
    slowly = {"batch_size": 64}  # so that on a busy machine too it is killed before it is done
    kill_and_resume(recipe, tmp_path, start, kills=10, **slowly)


@POSIX
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_step_saves_and_says_so(recipe, tmp_path, start, number):
    run = tmp_path / "run"
    process = start(*options(recipe, run, steps=100_000, checkpoint_every=50_000, log_every=1), "--quiet")
    while not of_event(run, "train"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode == 128 + number, wrong
    done = int(checkpoints(run)[-1].name[-8:])
    assert done == of_event(run, "train")[-1]["step"]
    assert f"Stopped by {number.name}: step {done} of 100000" in said
    assert "--resume" in said
    assert "Traceback" not in wrong


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_ranks_are_one_rank(recipe, tmp_path, start):
    alone, together = tmp_path / "alone", tmp_path / "together"
    values = {"batch_size": 8, "steps": 40, "checkpoint_every": 40, "log_every": 1}
    assert train(*options(recipe, alone, **values), "--quiet") == 0
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}")
    process = start(*options(recipe, together, **values), "--quiet", launcher=launcher)
    said, wrong = process.communicate(timeout=180)
    assert process.returncode == 0, wrong
    assert said.count("Trained") == 1
    assert of_event(together, "start")[0]["ranks"] == 2
    for name in ("generator", "generator_ema"):
        one, other = weights_in(alone, name), weights_in(together, name)
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=0, atol=1e-5)
    for one, other in zip(of_event(alone, "train"), of_event(together, "train"), strict=True):
        assert other["terms"]["mse"] == pytest.approx(one["terms"]["mse"], abs=1e-5)


def test_a_loss_that_is_no_longer_finite_stops_the_run(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    wild = options(recipe, run, optimizer="sgd", learning_rate=1e4, warmup_steps=40, checkpoint_every=1)
    assert train(*wild, "--quiet") == 2
    said = capsys.readouterr().err
    assert said.startswith("sr-course: mse is ")
    assert "diverged" in said
    good = checkpoints(run)[-1]
    assert all(torch.isfinite(weight).all() for weight in weights_in(run).values())
    assert int(good.name[-8:]) >= 1
    assert train("srcnn", "--out", run, "--resume", "--quiet") == 2  # it goes the same way again


def refused(capsys, *says: str) -> None:
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sr-course: ")
    assert said.err.count("\n") == 1
    for words in says:
        assert words in said.err


def test_a_run_is_not_overwritten_nor_resumed_as_another(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(*options(recipe, run), "--quiet") == 0
    capsys.readouterr()
    assert train(*options(recipe, run), "--quiet") == 2
    refused(capsys, "holds a run already", "--resume")
    assert train("srcnn", "--out", run, "--resume", "--steps", 90, "--quiet") == 2
    refused(capsys, "--steps")
    assert train("srcnn", "--recipe", "paper", "--out", run, "--resume", "--quiet") == 2
    refused(capsys, "smoke")
    assert train("srcnn", "--out", run, "--resume", "--steps", 60, "--quiet") == 0  # the same value is no other run


def test_a_run_whose_pictures_changed_is_not_resumed(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(*options(recipe, run), "--max-minutes", 1e-4, "--quiet") == 0
    next(Path(recipe.data).iterdir()).unlink()
    capsys.readouterr()
    assert train("srcnn", "--out", run, "--resume", "--quiet") == 2
    refused(capsys, "training pictures are no longer those")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stepz", "5"], "unrecognized arguments: --stepz"),
        (["--steps", "many"], "invalid int value: 'many'"),
        (["--augment", "perhaps"], "perhaps"),
        (["--kernel-sizes", "9,x,5"], "9,x,5"),
        (["--losses", "l1=much"], "l1=much"),
        (["--optimizer", "lion"], "lion"),
        (["--max-minutes", "-1"], "-1"),
        (["--steps", "0"], "steps is 0"),
        (["--hr-crop", "50"], "multiple of the scale 4"),
        (["--kernel-sizes", "9,4,5"], "odd"),
        (["--batch-size", "6", "--accumulation", "4"], "multiple of 4"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--kernel-sizes", "9,9", "--hr-crop", "48"], "three odd numbers"),
        (["--learning-rate-factors", "conv7.=0.1"], "conv7."),
        (["--losses", "ssim"], "choose from mse"),
    ],
)
def test_nothing_starts_with_an_impossible_value(tmp_path, cache, capsys, arguments, says):
    run = tmp_path / "run"
    try:
        status = train("srcnn", "--recipe", "smoke", "--out", run, "--quiet", *arguments)
    except SystemExit as left:
        status = left.code
    assert status == 2
    assert says in capsys.readouterr().err
    assert not run.exists()
    assert not cache.exists()


def test_without_validation_pictures_no_run_begins(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(*options(recipe, run, validation=tmp_path / "nowhere"), "--quiet") == 2
    refused(capsys, "nowhere")
    assert not run.exists()


def test_tensorboard_is_an_extra(recipe, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as where it is not installed
    assert train(*options(recipe, run), "--quiet", "--tensorboard") == 2
    refused(capsys, "pip install tensorboard")
    assert not run.exists()


def test_tensorboards_files_are_written(recipe, tmp_path):
    pytest.importorskip("tensorboard")
    run = tmp_path / "run"
    assert train(*options(recipe, run), "--quiet", "--tensorboard") == 0
    assert any((run / "tensorboard").iterdir())


def test_an_unknown_network(capsys):
    with pytest.raises(SystemExit) as left:
        train("vdsr")
    assert left.value.code == 2
    assert "srcnn" in capsys.readouterr().err


def test_the_log_is_json_lines(recipe, tmp_path):
    run = tmp_path / "run"
    assert train(*options(recipe, run)) == 0
    lines = (run / "log.jsonl").read_text().splitlines()
    assert all(isinstance(json.loads(line)["step"], int) for line in lines)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "train", "st')  # as a crash leaves it
    assert len(read_log(run)) == len(lines)
