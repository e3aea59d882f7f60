"""Put the history of a training run beside the shipped weights, for figures and widgets: recipe, log and snapshots.

    python tools/ship_run.py RUN NAME_xSCALE [--snapshots 0,100,200] [--pictures-only]

With `--pictures-only` the snapshots keep what the network made of the samples, and their weights stay behind, but for
the last: a widget that shows the pictures needs no more, and a run is then a tenth as large.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from sr_course.errors import CourseError, DataError
from sr_course.training.history import RUNS, read_history


def main(argv: Sequence[str] | None = None) -> int:
    """Ship one run and return the exit status."""
    parser = argparse.ArgumentParser(description="Put the history of a training run beside the shipped weights.")
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("name", metavar="NAME_xSCALE", help="its name among the shipped runs, such as srgan-s_x4")
    parser.add_argument("--snapshots", metavar="STEPS", help="keep these alone, with commas between")
    parser.add_argument("--pictures-only", action="store_true", help="leave weights behind, but for the last snapshot")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="another folder of shipped runs")
    arguments = parser.parse_args(argv)
    try:
        steps = [int(step) for step in arguments.snapshots.split(",")] if arguments.snapshots else None
        size = ship(arguments.run, arguments.runs / arguments.name, steps, pictures_only=arguments.pictures_only)
    except (CourseError, ValueError) as error:
        print(f"ship_run: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.runs / arguments.name}: {size / 1e6:.1f} MB")
    return 0


def ship(run: Path, target: Path, steps: Sequence[int] | None = None, *, pictures_only: bool = False) -> int:
    """Copy a run's history, and return its size in bytes.

    Args:
        run: the run's folder.
        target: the folder to be made.
        steps: which snapshots; all where it is None.
        pictures_only: leave the weights of all snapshots but the last behind.

    Raises:
        DataError: the run is not whole, has no such snapshot, or names files of this machine alone.
    """
    history = read_history(run)
    if Path(history.recipe.start).is_absolute() or Path(history.recipe.data).is_absolute():
        raise DataError(f"{run}: was trained from files of this machine; nobody else could repeat it.")
    chosen = list(history.snapshots) if steps is None else sorted(steps)
    missing = set(chosen) - set(history.snapshots)
    if missing or not chosen:
        raise DataError(f"{run}: has no snapshot of step {min(missing, default='?')}; it has {history.snapshots}.")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "snapshots").mkdir(parents=True)
    for name in ("recipe.json", "log.jsonl", "snapshots/samples.safetensors"):
        shutil.copyfile(run / name, part / name)
    for step in chosen:
        tensors = safetensors.torch.load_file(history.path(step))
        if pictures_only and step != chosen[-1]:
            tensors = {name: one for name, one in tensors.items() if not name.startswith("weights.")}
        safetensors.torch.save_file(tensors, part / "snapshots" / history.path(step).name, {"step": str(step)})
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


if __name__ == "__main__":
    raise SystemExit(main())
