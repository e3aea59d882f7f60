"""The training loop: one for every network, from a test of seconds to several GPUs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from sr_course.data.pairs import Pairs
from sr_course.data.store import open_data
from sr_course.errors import TrainingError
from sr_course.training.checkpoints import (
    Progress,
    checkpoints,
    load_checkpoint,
    load_run,
    remove_leftovers,
    save_checkpoint,
)
from sr_course.training.history import RUNS, read_history
from sr_course.training.interruptions import full_disk_explained, full_memory_explained, signals_noted
from sr_course.training.learner import Learner, make_discriminator, make_generator
from sr_course.training.log import Clock, Record, RunLog, tensorboard_writer
from sr_course.training.objective import make_objective
from sr_course.training.observer import Observer
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime, open_runtime
from sr_course.training.steps import Learners, Step, adversarial_step, pixel_step
from sr_course.training.tally import Tally
from sr_course.training.validation import validation_pairs
from sr_course.zoo import load, methods


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
    take_step: Step | None = None,
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
        take_step: how one update is made, where it is not the recipe's own way.

    Raises:
        TrainingError: the folder holds another run, a loss is no longer finite, memory or disk are used up.
        DataError: there is no data, or it has changed since the run began.
    """
    clock = Clock()
    if tensorboard:
        tensorboard_writer()  # where it is missing, that is said before anything starts
    with ExitStack() as stack:
        stack.enter_context(full_memory_explained(recipe))
        stack.enter_context(full_disk_explained(out))
        runtime = stack.enter_context(open_runtime(recipe))
        _check_folder(recipe, out, resume=resume)
        learners = make_learners(recipe, runtime)
        objective = make_objective(recipe, runtime)
        take_step = take_step or (adversarial_step if recipe.is_adversarial else pixel_step)
        pairs, data_sha256 = _open_pairs(recipe, runtime)
        progress = _progress(out if resume else None, learners, data_sha256)
        clock.minutes_before = progress.minutes
        tally = Tally(runtime, progress.sums, progress.summed)
        positions = runtime.positions(recipe.batch_size, recipe.accumulation)
        runtime.barrier()  # every rank has looked at the folder before the first one writes into it
        observer = None
        if runtime.is_main:
            validation = validation_pairs(recipe, runtime.device)
            _write_recipe(recipe, out)
            log = RunLog(out, clock, recipe.steps, progress.step, watch=watch, bar=bar, tensorboard=tensorboard)
            stack.callback(log.close)
            observer = Observer(recipe, out, learners["generator"], validation, log, runtime)
            observer.begin(progress.step, data_sha256)

        def checkpoint(step: int) -> None:
            sums = tally.read(step)  # the host waits for the device here
            if runtime.is_main:
                state = Progress(
                    step=step, minutes=clock.minutes(), data_sha256=data_sha256, sums=sums, summed=tally.count
                )
                save_checkpoint(out, learners, recipe, state)

        signals = stack.enter_context(signals_noted())
        done = saved = progress.step
        stopped_by = ""
        seconds, counted = 0.0, 0  # spent on how many steps since the last line of the log
        for step in range(progress.step, recipe.steps):
            begin = time.monotonic()
            learning_rate = recipe.learning_rate_at(step)
            for learner in learners.values():
                learner.set_learning_rate(learning_rate)
            parts = [pairs.batch(step, part) for part in positions]
            # Neither here nor in adding up does the host wait for the device: it prepares the next step meanwhile.
            tally.add(take_step(parts, learners, objective, runtime, step))
            done = step + 1
            log_is_due = done % recipe.log_every == 0 or done == recipe.steps
            sums = tally.read(done) if log_is_due else {}  # the host waits for the device here
            seconds += time.monotonic() - begin
            counted += 1

            if log_is_due:
                if observer:
                    speed = counted * recipe.batch_size / seconds
                    observer.tell(done, sums, tally.count, learning_rate, speed)
                tally.clear()
                seconds, counted = 0.0, 0
            if observer:
                observer.after_step(done)
            if done % recipe.checkpoint_every == 0 or done == recipe.steps:
                checkpoint(done)
                saved = done

            time_is_up = max_minutes is not None and clock.minutes_here() >= max_minutes
            if done < recipe.steps and runtime.any_rank(time_is_up or bool(signals)):
                stopped_by = signals[0] if signals else "time"
                break
        if saved < done:
            checkpoint(done)
        runtime.barrier()  # no rank leaves before the last checkpoint is written
        return Outcome(step=done, minutes=clock.minutes(), stopped_by=stopped_by, is_main=runtime.is_main)


def make_learners(recipe: Recipe, runtime: Runtime) -> dict[str, Learner]:
    """Build the networks of a recipe, the same on every device and rank, with what trains them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = recipe.network.build(recipe.scale)
        discriminator = recipe.adversary.build(recipe.hr_crop) if recipe.is_adversarial else None
    if recipe.start:
        _begin_from(network, recipe.start, recipe.scale)
    learners = {"generator": make_generator(network, recipe, runtime)}
    if discriminator:
        learners["discriminator"] = make_discriminator(discriminator, recipe, runtime)
    return learners


def _begin_from(network: nn.Module, start: str, scale: int) -> None:
    """Give a network the weights of a run, or of one that ships with the course."""
    found = _find_start(start, scale)
    try:
        network.load_state_dict(found.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TrainingError(
            f"start is {start}, whose weights do not fit the network of the recipe ({reason}). Give the network the "
            "options that they were trained with."
        ) from None


def _find_start(start: str, scale: int) -> nn.Module:
    """Find what a recipe begins with: the folder of a run, a network of the zoo, the last snapshot of a shipped run."""
    if Path(start).is_dir():
        return load_run(start)
    if Path(start).name != start:
        raise TrainingError(f"start is {start}, and there is no such folder. Train that run first, or give another.")
    shipped = RUNS / f"{start}_x{scale}"
    if start not in methods() and shipped.is_dir():
        history = read_history(shipped)
        return history.network(history.snapshots[-1])
    return load(start, scale)


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


def _open_pairs(recipe: Recipe, runtime: Runtime) -> tuple[Pairs, str]:
    """What batches are drawn from, and the checksum of its pixels."""
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
    return pairs, store.sha256


def _write_recipe(recipe: Recipe, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    part = out / "recipe.json.part"
    part.write_text(json.dumps(recipe.to_dict(), indent=2), encoding="utf-8")
    part.replace(out / "recipe.json")
