"""Checkpoints: everything that a run needs to go on, written so that one whole checkpoint is there at any time.

A checkpoint is a folder, `checkpoints/step-00001000` in the run's folder: the weights of each network as safetensors,
and `state.pt` with the rest (optimisers, step, minutes). It is written under another name and renamed when complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from sr_course.errors import ModelError, TrainingError
from sr_course.training.learner import Learner
from sr_course.training.recipe import Recipe

_KEPT = 2  # the newest, and the one before it, in case the disk damages the newest
_NAME = re.compile(r"step-(\d{8})")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: updates done.
        minutes: spent on them, over all sittings.
        data_sha256: checksum of the pixels it is trained on.
        sums: sums of the logged values since the last line of the run log.
        summed: over how many steps.
    """

    step: int = 0
    minutes: float = 0.0
    data_sha256: str = ""
    sums: Mapping[str, float]
    summed: int = 0


def save_checkpoint(out: Path, learners: Mapping[str, Learner], recipe: Recipe, progress: Progress) -> Path:
    """Write a checkpoint, whole or not at all, and remove older ones.

    Args:
        out: the run's folder.
        learners: the networks with their optimisers.
        recipe, progress: stored beside them.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: a weight is not a finite number, or the disk takes no more; the last checkpoint is as it was.
    """
    folder = out / "checkpoints" / f"step-{progress.step:08d}"
    # Copying the weights to the host waits until the device has done all steps so far.
    weights = {name: _on_host(learner.network) for name, learner in learners.items()}
    weights |= {f"{name}_ema": _on_host(learner.ema.network) for name, learner in learners.items() if learner.ema}
    for name, tensors in weights.items():
        _require_finite(name, tensors, progress.step)
    state = {
        "progress": {**vars(progress), "sums": dict(progress.sums)},
        "learners": {name: learner.state() for name, learner in learners.items()},
    }
    part = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, tensors in weights.items():
            write_tensors(part / f"{name}.safetensors", tensors, {"recipe": json.dumps(recipe.to_dict())})
        torch.save(state, part / "state.pt")
        _sync(part / "state.pt")
        shutil.rmtree(folder, ignore_errors=True)  # an earlier run to the same step, of the same recipe
        part.rename(folder)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _unwritable(out, folder, error) from error
    for old in checkpoints(out)[:-_KEPT]:
        # first the name, then the content: half of a checkpoint must never look like one
        shutil.rmtree(old.rename(old.with_name(f"{old.name}.old")), ignore_errors=True)
    return folder


def checkpoints(out: Path) -> list[Path]:
    """List the whole checkpoints of a run, oldest first."""
    folder = out / "checkpoints"
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found)


def remove_leftovers(out: Path) -> None:
    """Remove what a killed process left half-written or half-removed."""
    folder = out / "checkpoints"
    for path in [*folder.glob("step-*.part"), *folder.glob("step-*.old")]:
        shutil.rmtree(path, ignore_errors=True)


def load_checkpoint(folder: Path, learners: Mapping[str, Learner]) -> Progress:
    """Put networks and optimisers back to where a checkpoint was written.

    Raises:
        TrainingError: the checkpoint is damaged, or of other networks.
    """
    try:
        for name, learner in learners.items():
            learner.network.load_state_dict(safetensors.torch.load_file(folder / f"{name}.safetensors"))
            if learner.ema:
                learner.ema.network.load_state_dict(safetensors.torch.load_file(folder / f"{name}_ema.safetensors"))
        state = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
        for name, learner in learners.items():
            learner.load_state(state["learners"][name])
        return Progress(**state["progress"])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, EOFError, safetensors.SafetensorError) as error:
        raise TrainingError(
            f"{folder}: this checkpoint cannot be read ({error}). Remove the folder: the run then goes on from the "
            "checkpoint before it."
        ) from None


def load_run(path: str | os.PathLike[str]) -> nn.Module:
    """Load the network that a run has trained so far, in evaluation mode: its running mean where it keeps one.

    Args:
        path: a run's folder, or one of its checkpoints.

    Raises:
        ModelError: no such folder, no checkpoint in it, or one that cannot be read.
    """
    path = Path(path)
    found = [path] if (path / "state.pt").is_file() else checkpoints(path)
    if not found:
        raise ModelError(f"{path}: holds no checkpoint of a training run. Name the folder given to --out.")
    averaged = found[-1] / "generator_ema.safetensors"
    chosen = averaged if averaged.is_file() else found[-1] / "generator.safetensors"
    try:
        with safetensors.safe_open(chosen, framework="pt") as file:
            recipe = Recipe.from_dict(json.loads(file.metadata()["recipe"]))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network = recipe.network.build(recipe.scale)
        network.load_state_dict(weights)
    except (
        OSError,
        KeyError,
        TypeError,
        RuntimeError,
        ValueError,
        TrainingError,
        safetensors.SafetensorError,
    ) as error:
        raise ModelError(f"{chosen}: these weights cannot be read ({error}).") from None
    return network.eval()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, beside first, and bring them to the disk before the name is given.

    Raises:
        OSError: the place cannot be written, or the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()}, dict(metadata)))
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _on_host(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}


def _require_finite(network: str, tensors: Mapping[str, Tensor], step: int) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise TrainingError(
                f"after step {step} the weights {name} of the {network} are no longer finite numbers. Nothing was "
                "written; the last checkpoint is good. Start again with a lower learning_rate, or with clip_norm 1."
            )


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _unwritable(out: Path, folder: Path, error: Exception) -> TrainingError:
    kept = next((path.name for path in reversed(checkpoints(out))), None)
    last = f"The last checkpoint, {kept}, is whole" if kept else "There is no earlier one"
    reason = (error.strerror or error) if isinstance(error, OSError) else error
    return TrainingError(
        f"{folder}: this checkpoint cannot be written ({reason}). {last}. Make room on the disk, then add --resume."
    )
