"""Train small SRCNNs that differ in one thing at a time, and write what each reaches to a file that lesson 2 reads.

    python tools/sweep_srcnn.py [--work FOLDER] [--out FILE]

Each run takes a minute or less on one core. An interrupted sweep goes on where it stopped: finished settings are read
from the file, the one at hand is resumed from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sr_course.data.shipped import SHIPPED, photos
from sr_course.data.store import SHIPPED_REDUCE
from sr_course.models.interpolation import Interpolation
from sr_course.training.checkpoints import load_run
from sr_course.training.loop import train
from sr_course.training.networks import SRCNNOptions
from sr_course.training.recipe import Recipe
from sr_course.training.recipes import SRCNN_LAPTOP
from sr_course.training.validation import validation_pairs, validation_psnr

OUT = Path(__file__).resolve().parents[1] / "sr_course" / "zoo" / "runs" / "srcnn_sweep.json"
ALL_PHOTOS = len(photos("train"))

BASE = replace(
    SRCNN_LAPTOP,
    name="sweep",
    network=SRCNNOptions(kernel_sizes=(9, 5, 5), channels=(32, 16), he_init=True),
    steps=600,
    batch_size=16,
    learning_rate=2e-3,
    warmup_steps=50,
    ema_decay=0.98,  # the running mean of about the last 50 steps, for there are few
    validation_pictures=0,
    validate_every=0,
    checkpoint_every=100,
    snapshot_steps=(),
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one run of the sweep differs in from `BASE`; `photographs` are the first so many by name."""

    kernel_sizes: tuple[int, ...] = BASE.network.kernel_sizes
    channels: tuple[int, ...] = BASE.network.channels
    photographs: int = ALL_PHOTOS
    seed: int = 0

    @property
    def name(self) -> str:
        """A name for the run's folder."""
        parts = ("-".join(map(str, self.kernel_sizes)), "-".join(map(str, self.channels)))
        return f"k{parts[0]}_c{parts[1]}_p{self.photographs}_s{self.seed}"


SETTINGS = (
    Setting(),
    Setting(seed=1),
    Setting(seed=2),
    Setting(channels=(8, 4)),
    Setting(channels=(16, 8)),
    Setting(channels=(64, 32)),
    Setting(kernel_sizes=(9, 1, 5)),
    Setting(kernel_sizes=(9, 3, 5)),
    Setting(photographs=1),
    Setting(photographs=4),
    Setting(photographs=16),
)
"""The base with three seeds, whose spread is what chance alone does; then width, depth of sight, and data."""


def recipe_of(setting: Setting, work: Path) -> Recipe:
    """Return the recipe of a run; where it learns from fewer photographs, copy those to a folder in `work` first."""
    network = replace(BASE.network, kernel_sizes=setting.kernel_sizes, channels=setting.channels)
    recipe = replace(BASE, network=network, seed=setting.seed)
    if setting.photographs == ALL_PHOTOS:
        return recipe
    folder = work / f"photographs-{setting.photographs}"
    folder.mkdir(parents=True, exist_ok=True)
    for photo in photos("train")[: setting.photographs]:
        if not (folder / photo.path.name).is_file():
            shutil.copy2(photo.path, folder)
    return replace(recipe, data=str(folder), reduce=SHIPPED_REDUCE)


def measure(setting: Setting, work: Path) -> dict[str, Any]:
    """Train one setting, or go on with it, and return its row of the file."""
    recipe = recipe_of(setting, work)
    outcome = train(recipe, work / setting.name, resume=True)
    network = load_run(work / setting.name)
    db = validation_psnr(network, validation_pairs(recipe, torch.device("cpu")), recipe.scale)
    parameters = sum(weight.numel() for weight in network.parameters())
    return {**asdict(setting), "parameters": parameters, "minutes": round(outcome.minutes, 2), "psnr": round(db, 3)}


def finished(out: Path) -> list[dict[str, Any]]:
    """Read the rows that an interrupted sweep has written, as long as they are of the settings above."""
    stored = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"runs": []}
    rows: list[dict[str, Any]] = stored["runs"]
    expected = json.loads(json.dumps([asdict(setting) for setting in SETTINGS[: len(rows)]]))  # tuples become lists
    same = [{name: row.get(name) for name in setting} for row, setting in zip(rows, expected, strict=False)] == expected
    return rows if rows and same and Recipe.from_dict(stored["recipe"]) == BASE else []


def write(out: Path, rows: Sequence[dict[str, Any]], bicubic: float) -> None:
    """Write the file beside its place, then move it there."""
    content = {
        "validation": "the course's 12 validation photographs, x4, matlab-y",
        "bicubic": round(bicubic, 3),
        "recipe": {**BASE.to_dict(), "data": SHIPPED},
        "runs": list(rows),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sweep and return the exit status."""
    parser = argparse.ArgumentParser(description="Train small SRCNNs that differ in one thing at a time.")
    parser.add_argument("--work", type=Path, default=Path("runs/srcnn-sweep"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=OUT, help="the file of results")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # so that the minutes are those of one core, and the weights the same on any number
    bicubic = validation_psnr(Interpolation(BASE.scale), validation_pairs(BASE, torch.device("cpu")), BASE.scale)
    rows = finished(arguments.out)
    for setting in SETTINGS[len(rows) :]:
        rows.append(measure(setting, arguments.work))
        print(f"{setting.name}: {rows[-1]['psnr']:.3f} dB, {rows[-1]['minutes']:.2f} minutes", flush=True)
        write(arguments.out, rows, bicubic)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
