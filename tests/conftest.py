"""What several tests share: the benchmarks, when the machine has them, and pictures made on the spot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    torch.set_num_threads(1)  # the tests run in parallel by process


def benchmark(name: str) -> Path:
    """Find a benchmark with MATLAB's LR files: below SR_COURSE_BENCHMARKS, or in shared/data beside the clone."""
    root = Path(os.environ.get("SR_COURSE_BENCHMARKS", REPOSITORY.parent / "shared" / "data"))
    folder = root / name
    if not folder.is_dir():
        message = (
            f"{folder} is missing; set SR_COURSE_BENCHMARKS to the folder that holds {name}/HR and {name}/LR_bicubic"
        )
        if os.environ.get("SR_COURSE_REQUIRE_BENCHMARKS"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


def original_weights(name: str) -> Path:
    """Find published weights as they were before they came here: below SR_COURSE_ORIGINALS, or in shared/assets."""
    root = Path(os.environ.get("SR_COURSE_ORIGINALS", REPOSITORY.parent / "shared" / "assets"))
    if not (root / name).is_file():
        pytest.skip(f"{root / name} is missing; set SR_COURSE_ORIGINALS to the folder that holds it")
    return root / name


@pytest.fixture
def set5() -> Path:
    return benchmark("Set5")


@pytest.fixture
def set14() -> Path:
    return benchmark("Set14")


@pytest.fixture
def noise() -> torch.Tensor:
    """A picture of noise, `(1, 3, 40, 56)` in [0, 1]: no symmetry hides an exchanged axis."""
    return torch.rand(1, 3, 40, 56, generator=torch.Generator().manual_seed(0))
