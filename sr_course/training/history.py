"""The history of a training run, read back: its recipe, its curves, and its snapshots.

Figures and widgets tell from it how a network came to be what it is; it needs neither the training data nor a
checkpoint.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sr_course.errors import DataError, ModelError, TrainingError
from sr_course.metrics import MATLAB_Y, psnr
from sr_course.training.log import Record
from sr_course.training.recipe import Recipe
from sr_course.training.signs import Alarm
from sr_course.zoo import ZOO

RUNS = ZOO / "runs"
"""The folder of training runs that ship with the course, each named NETWORK_xSCALE."""

_SNAPSHOT = re.compile(r"step-(\d{8})\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values by step: `values[i]` was measured after `steps[i]` updates."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def last(self, step: int) -> tuple[int, float] | None:
        """Return the newest step and value that were known at a step, None where there were none yet."""
        known = [point for point in zip(self.steps, self.values, strict=True) if point[0] <= step]
        return known[-1] if known else None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A small picture that every snapshot was tried on.

    Attributes:
        lr: `(1, 3, h, w)` in [0, 1].
        hr: the truth, `(1, 3, scale * h, scale * w)` in [0, 1].
    """

    lr: Tensor
    hr: Tensor


@dataclass(frozen=True, kw_only=True)
class History:
    """What a run has left behind; snapshots are read from disk when they are asked for.

    Attributes:
        folder: the run's folder.
        recipe: what it was trained by.
        terms: each term of the training loss by name, its weight included: the mean since the line of the log before.
        validation: PSNR on the validation pictures, dB, under `MATLAB_Y`.
        diagnostics: in adversarial training the signs by name, see `sr_course.training.signs`; otherwise none.
        alarms: the illnesses that the run noticed in itself.
        snapshots: steps at which a snapshot was kept, rising; at least one.
        samples: what the snapshots were tried on; at least one.
    """

    folder: Path
    recipe: Recipe
    terms: Mapping[str, Curve]
    validation: Curve
    diagnostics: Mapping[str, Curve] = field(default_factory=dict)
    alarms: tuple[Alarm, ...] = ()
    snapshots: tuple[int, ...]
    samples: tuple[Sample, ...] = field(repr=False)

    @property
    def last_logged(self) -> int:
        """The last step that the log tells of; below the last snapshot where the log was cut short."""
        curves = (*self.terms.values(), self.validation)
        return max((curve.steps[-1] for curve in curves if curve.steps), default=0)

    def weights(self, step: int) -> dict[str, Tensor]:
        """Read the weights of a snapshot, by the names of the network's state; float32, rounded to 16 bits.

        Raises:
            ModelError: there is no snapshot of that step, or it cannot be read.
        """
        tensors = self._read(step)
        stored = {name: tensor for name, tensor in tensors.items() if name.startswith("weights.")}
        return {
            name.removeprefix("weights."): tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in stored.items()
        }

    def network(self, step: int) -> nn.Module:
        """Build the network as it was at a snapshot, in evaluation mode.

        Raises:
            ModelError: there is no snapshot of that step, or it cannot be read.
        """
        network = self.recipe.network.build(self.recipe.scale)
        try:
            network.load_state_dict(self.weights(step))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"{self.path(step)}: does not fit the network of its recipe ({reason}). {_ANOTHER_RUN}"
            ) from None
        return network.eval()

    def results(self, step: int) -> list[Tensor]:
        """Read what the network made of each sample at a snapshot: `(1, 3, H, W)` in [0, 1], rounded to 8 bits.

        Raises:
            ModelError: there is no snapshot of that step, or it cannot be read.
        """
        tensors = self._read(step)
        try:
            results = [tensors[f"sr.{index}"][None].float() / 255 for index in range(len(self.samples))]
        except KeyError as error:
            raise ModelError(f"{self.path(step)}: has no result {error}. {_ANOTHER_RUN}") from None
        for index, (result, sample) in enumerate(zip(results, self.samples, strict=True)):
            if result.shape != sample.hr.shape:
                raise ModelError(f"{self.path(step)}: result {index} is not of its sample's size. {_ANOTHER_RUN}")
        return results

    def psnr(self, step: int) -> list[float]:
        """PSNR of each sample at a snapshot, dB, under `MATLAB_Y` with a border as wide as the scale.

        Raises:
            ModelError: there is no snapshot of that step, or it cannot be read.
        """
        protocol = MATLAB_Y.at_scale(self.recipe.scale)
        pairs = zip(self.results(step), self.samples, strict=True)
        return [psnr(sr, sample.hr, protocol).item() for sr, sample in pairs]

    def path(self, step: int) -> Path:
        """Return the file of a snapshot."""
        return self.folder / "snapshots" / f"step-{step:08d}.safetensors"

    def _read(self, step: int) -> dict[str, Tensor]:
        if step not in self.snapshots:
            known = ", ".join(map(str, self.snapshots))
            raise ModelError(f"{self.folder}: there is no snapshot of step {step}; there are {known}.")
        try:
            return _tensors(self.path(step))
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{self.path(step)}: this snapshot is damaged or cut short ({error}). Remove the file to look at the "
                "others, or copy the run again."
            ) from None


_ANOTHER_RUN = "It may be of another run: copy the run's folder again."


def read_history(run: str | os.PathLike[str]) -> History:
    """Read the history of a training run, also of one that still goes on.

    Args:
        run: the run's folder, with `recipe.json`, `log.jsonl` and `snapshots/` in it.

    Raises:
        DataError: no such folder, no run in it, a damaged log or recipe, or no snapshots.
    """
    folder = Path(run)
    if not (folder / "recipe.json").is_file():
        found = "there is no such folder" if not folder.is_dir() else "holds no training run"
        raise DataError(f"{folder}: {found}. Name the folder given to `sr-course train --out`.")
    records = _log(folder / "log.jsonl")
    terms, validation = curves(records)
    return History(
        folder=folder,
        recipe=_recipe(folder / "recipe.json"),
        terms=terms,
        validation=validation,
        diagnostics=_by_name(records, "diagnostics"),
        alarms=tuple(Alarm(one["step"], one["illness"], one["says"]) for one in records if one["event"] == "alarm"),
        snapshots=_snapshots(folder),
        samples=_samples(folder / "snapshots" / "samples.safetensors"),
    )


def shipped_run(name: str) -> Path:
    """Return the folder of a training run that ships with the course, such as `srcnn_x4`.

    Raises:
        DataError: there is none of that name.
    """
    known = sorted(path.parent.name for path in RUNS.glob("*/recipe.json"))
    if name not in known:
        there = f"there are {', '.join(known)}" if known else "this copy of the course holds none"
        raise DataError(f"no training run {name!r} ships with the course; {there}. To make one: sr-course train.")
    return RUNS / name


def curves(records: list[Record]) -> tuple[dict[str, Curve], Curve]:
    """Gather the terms of the loss, by name, and the validation PSNR from the records of a run log."""
    validated = [record for record in records if record["event"] == "validation"]
    return _by_name(records, "terms"), _curve([(record["step"], record["psnr"]) for record in validated])


def _by_name(records: list[Record], kind: str) -> dict[str, Curve]:
    """Gather what the lines about training hold under `kind`, a curve for each name in it."""
    lines = [(record["step"], record[kind]) for record in records if record["event"] == "train" and kind in record]
    names = dict.fromkeys(name for _, values in lines for name in values)
    # a gradient that overflowed in fp16 was written as nothing
    return {
        name: _curve([(step, values[name]) for step, values in lines if values.get(name) is not None]) for name in names
    }


def _curve(points: list[tuple[int, float]]) -> Curve:
    return Curve(steps=tuple(step for step, _ in points), values=tuple(float(value) for _, value in points))


def _recipe(path: Path) -> Recipe:
    try:
        return Recipe.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, ModelError, TrainingError) as error:
        raise DataError(f"{path}: the recipe of this run cannot be read ({error}). Copy the run again.") from None


def _log(path: Path) -> list[Record]:
    """Read the run log; of a run that goes on, or crashed, the last line may be cut short and is left out."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the run log cannot be read ({error}). Copy the run again.") from None
    if lines and not lines[-1].endswith("\n"):
        del lines[-1]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not _is_whole(record):
                raise ValueError("an entry is missing")
        except ValueError as error:
            raise DataError(
                f"{path}: line {number} of the run log is damaged ({error}). Copy the run again, or remove the line."
            ) from None
        records.append(record)
    return records


def _is_whole(record: Any) -> bool:
    """Whether a line of the log has what a curve needs."""
    if not isinstance(record, dict) or not isinstance(record.get("step"), int) or "event" not in record:
        return False
    if record["event"] == "train":
        terms, signs = record.get("terms"), record.get("diagnostics", {})
        numbers = (int, float)
        return (
            isinstance(terms, dict)
            and all(isinstance(value, numbers) for value in terms.values())
            and isinstance(signs, dict)
            and all(value is None or isinstance(value, numbers) for value in signs.values())
        )
    if record["event"] == "alarm":
        return isinstance(record.get("illness"), str) and isinstance(record.get("says"), str)
    return record["event"] != "validation" or isinstance(record.get("psnr"), (int, float))


def _snapshots(folder: Path) -> tuple[int, ...]:
    names = [path.name for path in (folder / "snapshots").glob("step-*.safetensors")]
    steps = tuple(sorted(int(found[1]) for name in names if (found := _SNAPSHOT.fullmatch(name))))
    if not steps:
        raise DataError(f"{folder}: this run kept no snapshots. Train with `--snapshot-steps 0,10,100` or the like.")
    return steps


def _samples(path: Path) -> tuple[Sample, ...]:
    try:
        tensors = _tensors(path)
        count = sum(name.startswith("lr.") for name in tensors)
        lr, hr = ([tensors[f"{side}.{index}"][None].float() / 255 for index in range(count)] for side in ("lr", "hr"))
    except (OSError, KeyError, SafetensorError) as error:
        raise DataError(f"{path}: the sample pictures cannot be read ({error}). Copy the run again.") from None
    if not count:
        raise DataError(f"{path}: holds no sample pictures. Copy the run again.")
    return tuple(Sample(lr=one_lr, hr=one_hr) for one_lr, one_hr in zip(lr, hr, strict=True))


def _tensors(path: Path) -> dict[str, Tensor]:
    # Read whole rather than mapped: on Windows a mapped file could not be replaced by the run that still goes on.
    tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    return tensors
