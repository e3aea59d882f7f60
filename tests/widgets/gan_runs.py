"""Runs to diagnose, made in seconds: the pictures of one training of the smallest recipe, and logs written by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image, ImageFilter, ImageOps

from sr_course.training.history import read_history
from sr_course.training.loop import train
from sr_course.training.recipes import recipe
from sr_course.widgets import Case

STEPS = (0, 5, 10, 20)
HEALTHY, STRONG, NO_DETACH = "gan-good", "gan-strong", "gan-no-detach"
ALARM = {
    "event": "alarm",
    "step": 15,
    "illness": "discriminator wins",
    "says": "the logits are <b>far</b> apart. Lower its rate.",
}


def signs(step: int, sick: float) -> dict[str, float]:
    """What the discriminator and the pictures told at a step; 0 is healthy."""
    return {
        "discriminator_loss": 1.4 / (1 + sick * step),
        "logit_real": 0.25 + sick * step,
        "logit_fake": -0.25 - sick * step,
        "accuracy": min(0.5 + 0.1 * sick * step, 1.0),
        "discriminator_gradient_norm": 1.0,
        "pull_adversarial": 0.5 * (1 + sick * step),
        "pull_content": 2.0,
        "detail_ratio": 0.6 + 0.01 * step,
        "pattern": 0.05,
        "checkerboard": 0.02 * (1 + sick),
        "colour_shift": 0.5 + sick,
    }


def make_runs(folder: Path, size: tuple[int, int] = (64, 80)) -> dict[str, Path]:
    """Three runs of one training, each sample brightened from step to step and from run to run; one has an alarm."""
    pictures = folder / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        noise = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        ImageOps.autocontrast(noise.filter(ImageFilter.GaussianBlur(2))).save(pictures / f"{index}.png")
    values = {"data": str(pictures), "validation": str(pictures), "validation_pictures": 2, "snapshot_steps": STEPS}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SR_COURSE_DATA", str(folder / "cache"))
        train(replace(recipe("srcnn", "smoke"), **values), folder / "trained", bar=False)
    runs = {}
    for number, (name, sick) in enumerate([(HEALTHY, 0.0), (STRONG, 1.0), (NO_DETACH, 0.25)]):
        runs[name] = Path(shutil.copytree(folder / "trained", folder / name))
        for step in STEPS[1:]:  # all begin alike
            change_snapshot(runs[name], step, brighter=number)
        write_log(runs[name], sick, [ALARM] if name == STRONG else [])
    return runs


def change_snapshot(run: Path, step: int, brighter: int) -> None:
    file = run / "snapshots" / f"step-{step:08d}.safetensors"
    tensors = safetensors.torch.load_file(file)
    for index in range(2):
        changed = tensors[f"sr.{index}"].to(torch.int16) + brighter
        tensors[f"sr.{index}"] = changed.clamp(0, 255).to(torch.uint8)
    safetensors.torch.save_file(tensors, file)


def write_log(run: Path, sick: float, alarms: list[dict], leave_out: tuple[str, ...] = ()) -> None:
    """Lines at steps 5, 10, 15, 20."""
    lines = [
        {
            "event": "train",
            "step": step,
            "terms": {"perceptual": 0.4 / step, "adversarial": 0.01 * (1 + sick * step)},
            "diagnostics": {name: value for name, value in signs(step, sick).items() if name not in leave_out},
        }
        for step in (5, 10, 15, 20)
    ]
    (run / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *alarms]), encoding="utf-8")


def cases(runs: dict[str, Path]) -> list[Case]:
    histories = {name: read_history(run) for name, run in runs.items()}
    return [
        Case(histories[HEALTHY], "healthy", "The logits stay together.", "the mean logits."),
        Case(histories[STRONG], "discriminator too strong", "The logits part at once.", "the accuracy at step 5."),
        Case(histories[NO_DETACH], "missing detach", "The loss of the discriminator tells it."),
    ]


def stored(run: Path, step: int, sample: int) -> np.ndarray:
    """A picture of a snapshot, as the file holds it."""
    tensors = safetensors.torch.load_file(run / "snapshots" / f"step-{step:08d}.safetensors")
    return tensors[f"sr.{sample}"].permute(1, 2, 0).numpy()
