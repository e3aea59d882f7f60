"""Small pictures, a cache of their own, and recipes that take seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sr_course.losses import Term
from sr_course.training.networks import SRCNNOptions
from sr_course.training.recipe import Recipe


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path) -> Path:
    """A folder of three soft pictures: noise alone could not be learnt."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        noise = Image.fromarray(rng.integers(0, 256, (64, 72 + 8 * index, 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(1.5)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def recipe(pictures) -> Recipe:
    """Sixty steps of a tiny SRCNN, well under a second."""
    return Recipe(
        name="test",
        network=SRCNNOptions(kernel_sizes=(5, 1, 3), channels=(6, 4), he_init=True),
        scale=2,
        data=str(pictures),
        validation=str(pictures),
        validation_pictures=1,
        channel="y",
        losses=(Term("mse"),),
        steps=60,
        batch_size=4,
        hr_crop=16,
        learning_rate=1e-3,
        ema_decay=0.9,
        log_every=10,
        validate_every=30,
        checkpoint_every=20,
    )


@pytest.fixture
def without_ema(recipe) -> Recipe:
    return replace(recipe, ema_decay=0.0)


@pytest.fixture
def tiny_values(pictures) -> list[str]:
    """What makes any recipe of the course small, as options of the command line."""
    values = {
        "data": pictures,
        "validation": pictures,
        "validation-pictures": 1,
        "scale": 2,
        "batch-size": 4,
        "hr-crop": 48,
        "snapshot-steps": "0,2",
    }
    return [str(part) for name, value in values.items() for part in (f"--{name}", value)]


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start():
    """Start `sr-course train` as a process of its own; whatever still runs at the end of the test is ended."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        command = [sys.executable, *launcher, "-m", "sr_course", "train", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SR_COURSE_DEVICE": "cpu"},
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()
