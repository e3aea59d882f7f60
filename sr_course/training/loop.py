"""The training loop: one for every network, from a test of seconds to several GPUs."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from sr_course import __version__
from sr_course.data.pairs import Pairs
from sr_course.data.store import open_data
from sr_course.errors import TrainingError
from sr_course.training.checkpoints import (
    Progress,
    checkpoints,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)
from sr_course.training.learner import Learner, make_learner
from sr_course.training.log import Record, RunLog, write_snapshot
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime, open_runtime
from sr_course.training.steps import Learners, pixel_step
from sr_course.training.validation import sample_pairs, validation_pairs, validation_psnr


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a sitting ended.

    Attributes:
        step: updates done, over all sittings.
        minutes: spent, over all sittings.
        stopped_by: empty where the run is complete; otherwise `time`, or the name of the signal.
        is_main: whether this process is the one of several ranks that tells.
    """

    step: int
    minutes: float
    stopped_by: str = ""
    is_main: bool = True


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    watch: Callable[[Record], None] | None = None,
    bar: bool = True,
    tensorboard: bool = False,
) -> Outcome:
    """Train a network by a recipe, or go on with a run.

    The run's folder holds `recipe.json`, `log.jsonl`, `checkpoints/` and `snapshots/`. On the same machine a run that
    was interrupted and resumed ends with the very weights of one that was not.

    Args:
        recipe: all that the run depends on.
        out: the run's folder.
        resume: go on from the last checkpoint in `out`; from the start where there is none.
        max_minutes: stop after this long, with a checkpoint.
        watch: called with each record of the run log.
        bar: show a progress bar in the terminal.
        tensorboard: write TensorBoard's files too.

    Raises:
        TrainingError: the folder holds another run, a loss is no longer finite, memory or disk are used up.
        DataError: there is no data, or it has changed since the run began.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(_memory_explained(recipe))
        stack.enter_context(_disk_explained(out))
        runtime = stack.enter_context(open_runtime(recipe))
        _check_folder(recipe, out, resume=resume)

        learners = make_learners(recipe, runtime)  # first, for it may refuse the recipe and takes no time
        generator = learners["generator"]
        store = open_data(recipe.data, recipe.reduce)
        pairs = Pairs(
            store,
            scale=recipe.scale,
            hr_crop=recipe.hr_crop,
            seed=recipe.seed,
            channel=recipe.channel,
            augment=recipe.augment,
            device=runtime.device,
        )
        progress = _progress(out if resume else None, learners, store.sha256)
        minutes_before = progress.minutes
        sums = {name: torch.tensor(value, device=runtime.device) for name, value in progress.sums.items()}
        summed = progress.summed
        positions = runtime.positions(recipe.batch_size, recipe.accumulation)

        log, validation, samples = None, [], []
        runtime.barrier()  # every rank has looked at the folder before the first one writes into it
        if runtime.is_main:
            log = stack.enter_context(
                _open_log(recipe, out, progress, runtime, watch, bar=bar, tensorboard=tensorboard)
            )
            validation = validation_pairs(recipe, runtime.device)
            samples = sample_pairs(validation, recipe.scale)
            if progress.step == 0 and 0 in recipe.snapshot_steps:
                with _measured_network(generator) as network:
                    write_snapshot(out, 0, network, samples)

        def minutes() -> float:
            return minutes_before + (time.monotonic() - started) / 60

        def checkpoint(step: int) -> None:
            host_sums = _read(sums, step, runtime)  # the host waits for the device here
            if runtime.is_main:
                state = Progress(step=step, minutes=minutes(), data_sha256=store.sha256, sums=host_sums, summed=summed)
                save_checkpoint(out, learners, recipe, state)

        stop = stack.enter_context(_stop_on_signals())
        done = saved = progress.step
        stopped_by = ""
        busy = 0.0  # seconds spent on steps since the last line of the log
        for step in range(progress.step, recipe.steps):
            tick = time.monotonic()
            learning_rate = recipe.learning_rate_at(step)
            for learner in learners.values():
                learner.set_learning_rate(learning_rate)
            parts = [pairs.batch(step, part) for part in positions]
            values = pixel_step(parts, learners, recipe, runtime, step)
            # Added up on the device: neither here nor in the step does the host wait for it.
            sums = {name: sums[name] + value if sums else value for name, value in values.items()}
            summed += 1
            done = step + 1

            if done % recipe.log_every == 0 or done == recipe.steps:
                host_sums = _read(sums, done, runtime)  # the host waits for the device here
                busy += time.monotonic() - tick
                if log:
                    images_per_second = min(summed, done - progress.step) * recipe.batch_size / busy
                    log.write(_train_record(done, host_sums, summed, learning_rate, images_per_second, minutes()))
                sums, summed, busy = {}, 0, 0.0
            else:
                busy += time.monotonic() - tick
            if log:
                log.advance()

            if log and done in recipe.snapshot_steps:
                with _measured_network(generator) as network:  # the host waits for the device here
                    write_snapshot(out, done, network, samples)
            if log and (done == recipe.steps or (recipe.validate_every and done % recipe.validate_every == 0)):
                with _measured_network(generator) as network:  # the host waits for the device here
                    db = validation_psnr(network, validation, recipe.scale)
                log.write({"event": "validation", "step": done, "psnr": db, "minutes": minutes()})
            if done % recipe.checkpoint_every == 0 or done == recipe.steps:
                checkpoint(done)
                saved = done

            time_is_up = max_minutes is not None and time.monotonic() - started >= 60 * max_minutes
            if done < recipe.steps and runtime.any_rank(time_is_up or bool(stop)):
                stopped_by = stop[0] if stop else "time"
                break
        if saved < done:
            checkpoint(done)
        runtime.barrier()  # no rank leaves, and no process group ends, before the last checkpoint is written
        return Outcome(step=done, minutes=minutes(), stopped_by=stopped_by, is_main=runtime.is_main)


def make_learners(recipe: Recipe, runtime: Runtime) -> dict[str, Learner]:
    """Build the networks of a recipe, the same on every device and rank, with what trains them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = recipe.network.build(recipe.scale)
    return {"generator": make_learner(network, recipe, runtime)}


def _check_folder(recipe: Recipe, out: Path, *, resume: bool) -> None:
    stored_file = out / "recipe.json"
    if not stored_file.is_file():
        return
    if not resume:
        raise TrainingError(f"{out}: holds a run already. Add --resume to go on with it, or give another --out.")
    stored = read_recipe(out)
    differing = [field.name for field in fields(Recipe) if getattr(stored, field.name) != getattr(recipe, field.name)]
    if differing:
        was = ", ".join(f"{name}={getattr(stored, name)}" for name in differing)
        raise TrainingError(f"{out}: this run began with {was}. Resume it without another, or give another --out.")


def read_recipe(out: Path) -> Recipe:
    """Read the recipe of a run.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    path = out / "recipe.json"
    try:
        return Recipe.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}). Start the run anew, with another --out.") from None


def _progress(out: Path | None, learners: Learners, data_sha256: str) -> Progress:
    """Put the learners to where the last checkpoint in `out` was written, or leave them at the start."""
    found = checkpoints(out) if out else []
    if not found:
        return Progress(sums={}, data_sha256=data_sha256)
    progress = load_checkpoint(found[-1], learners)
    if progress.data_sha256 != data_sha256:
        raise TrainingError(
            f"{out}: the training pictures are no longer those that this run began with. Bring them back, or start "
            "anew with another --out."
        )
    return progress


@contextmanager
def _open_log(
    recipe: Recipe,
    out: Path,
    progress: Progress,
    runtime: Runtime,
    watch: Callable[[Record], None] | None,
    *,
    bar: bool,
    tensorboard: bool,
) -> Iterator[RunLog]:
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    part = out / "recipe.json.part"
    part.write_text(json.dumps(recipe.to_dict(), indent=2), encoding="utf-8")
    part.replace(out / "recipe.json")
    log = RunLog(out, steps=recipe.steps, done=progress.step, watch=watch, bar=bar, tensorboard=tensorboard)
    log.write(
        {
            "event": "start",
            "step": progress.step,
            "recipe": recipe.to_dict(),
            "sr_course": __version__,
            "torch": torch.__version__,
            "device": _device_name(runtime.device),
            "threads": torch.get_num_threads(),
            "ranks": runtime.ranks,
            "dtype": str(runtime.dtype).removeprefix("torch."),
            "data_sha256": progress.data_sha256,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
    )
    try:
        yield log
    finally:
        log.close()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@contextmanager
def _measured_network(learner: Learner) -> Iterator[nn.Module]:
    """The network as it would be shipped now: the running mean where there is one, in evaluation mode."""
    network = learner.ema.network if learner.ema else learner.network
    was_training = network.training
    try:
        yield network.eval()
    finally:
        network.train(was_training)


def _read(sums: Mapping[str, Tensor], step: int, runtime: Runtime) -> dict[str, float]:
    """Bring the sums to the host, averaged over the ranks, and stop the run where one is not a finite number."""
    if not sums:
        return {}
    stacked = runtime.mean_over_ranks(torch.stack([value.float() for value in sums.values()]))
    values = dict(zip(sums, stacked.tolist(), strict=True))
    for name, value in values.items():
        # In fp16 a gradient may overflow: its scaler then leaves the step out and takes a smaller scale.
        if not math.isfinite(value) and not (name == "gradient_norm" and runtime.scales_gradients):
            raise TrainingError(
                f"{name} is {value} at or shortly before step {step}: the run has diverged. The last checkpoint is "
                "good. Start again with a lower learning_rate, or with clip_norm 1."
            )
    return values


def _train_record(
    step: int, sums: Mapping[str, float], summed: int, learning_rate: float, images_per_second: float, minutes: float
) -> Record:
    means = {name: value / summed for name, value in sums.items()}
    norm = means.pop("gradient_norm")
    return {
        "event": "train",
        "step": step,
        "terms": means,
        "learning_rate": learning_rate,
        "gradient_norm": norm if math.isfinite(norm) else None,
        "images_per_second": images_per_second,
        "minutes": minutes,
    }


@contextmanager
def _stop_on_signals() -> Iterator[list[str]]:
    """Collect the names of SIGINT and SIGTERM instead of dying of them; the loop ends after the step at hand."""
    caught: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # only the main thread may handle signals
        return

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _disk_explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{out}: the run cannot be written on ({error.strerror or error}). What is there is whole: make room, or "
            "see to the permissions, then add --resume."
        ) from error


@contextmanager
def _memory_explained(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # of a device it is a RuntimeError, known by its words
        words = str(error).lower()
        if isinstance(error, RuntimeError) and "out of memory" not in words and "can't allocate memory" not in words:
            raise
        raise TrainingError(
            f"memory ran out with batch_size {recipe.batch_size} in {recipe.accumulation} parts of crops of "
            f"{recipe.hr_crop} pixels. Raise accumulation (the same result, in smaller parts), or lower hr_crop or "
            "batch_size."
        ) from error
