"""What several tests share: benchmarks and weights, when the machine has them, and pictures made on the spot."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import nn

from sr_course import zoo
from sr_course.data.catalog import load_catalog
from sr_course.data.fetch import is_here

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    torch.set_num_threads(1)  # the tests run in parallel by process


def benchmark(name: str) -> Path:
    """Find a benchmark with MATLAB's LR files: below SR_COURSE_BENCHMARKS, or in shared/data beside the clone."""
    root = Path(os.environ.get("SR_COURSE_BENCHMARKS", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    if not folder.is_dir():
        not_here(
            f"{folder} is missing; set SR_COURSE_BENCHMARKS to the folder that holds {name}/HR and {name}/LR_bicubic"
        )
    return folder


def original_weights(name: str) -> Path:
    """Find published weights as they were before they came here: below SR_COURSE_ORIGINALS, or in shared/assets."""
    root = Path(os.environ.get("SR_COURSE_ORIGINALS", REPOSITORY.parent / "shared" / "assets"))
    if not (root / name).is_file():
        not_here(f"{root / name} is missing; set SR_COURSE_ORIGINALS to the folder that holds it")
    return root / name


def not_here(message: str) -> NoReturn:
    """Leave a test out, or let it fail where SR_COURSE_REQUIRE_BENCHMARKS says that its files must be there."""
    if os.environ.get("SR_COURSE_REQUIRE_BENCHMARKS"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture
def set5() -> Path:
    return benchmark("Set5")


@pytest.fixture
def set14() -> Path:
    return benchmark("Set14")


@pytest.fixture
def x4plus() -> nn.Module:
    """Real-ESRGAN's network as the zoo loads it where its weights were fetched, otherwise with the same from a copy."""
    if is_here(load_catalog()["realesrgan-x4plus"]):
        return zoo.load("realesrgan-x4plus")
    network = zoo.make_network(zoo.card("realesrgan-x4plus"))
    zoo.load_weights(network, original_weights("realesrgan_x4plus_fp16.safetensors"))
    return network.eval()


@pytest.fixture
def noise() -> torch.Tensor:
    """A picture of noise, `(1, 3, 40, 56)` in [0, 1]: no symmetry hides an exchanged axis."""
    return torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
