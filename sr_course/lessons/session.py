"""The first line of every lesson."""

from __future__ import annotations

import platform

import torch

from sr_course import __version__
from sr_course.data.shipped import photos


def setup(seed: int = 0) -> torch.device:
    """Make the lesson repeatable, and print what this machine offers for it.

    Args:
        seed: where torch's random numbers start.

    Returns:
        The device to compute on: `cuda` or `mps` where there is one, else `cpu`.
    """
    torch.manual_seed(seed)
    device = _best_device()
    counts = {split: len(photos(split)) for split in ("train", "validation", "test")}
    print(f"sr_course {__version__} with torch {torch.__version__} on Python {platform.python_version()}")
    print(f"computing on: {_describe(device)}")
    print("photographs: " + ", ".join(f"{count} {split}" for split, count in counts.items()))
    return device


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return f"GPU, {torch.cuda.get_device_name(device)}"
    if device.type == "mps":
        return "GPU of this Mac"
    return f"CPU, {torch.get_num_threads()} threads; that is enough for this lesson"
