"""What the main rank does beside training: it writes the run log, measures, and keeps snapshots."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sr_course import __version__
from sr_course.training.learner import Learner
from sr_course.training.log import Record, RunLog, read_log, write_snapshot
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime
from sr_course.training.signs import DIAGNOSTICS, WINDOW, Signs, illnesses
from sr_course.training.validation import Pair, sample_pairs, validation_psnr


class Observer:
    """Tells of a run: in its log, by its validation pictures, and by snapshots.

    Args:
        recipe: says what is told when.
        out: the run's folder.
        learner: the network that makes pictures.
        validation: pairs to measure it on.
        log: where to write.
        runtime: the machine.
    """

    def __init__(
        self, recipe: Recipe, out: Path, learner: Learner, validation: Sequence[Pair], log: RunLog, runtime: Runtime
    ) -> None:
        self._recipe, self._out, self._learner, self._log, self._runtime = recipe, out, learner, log, runtime
        self._validation = validation
        self._samples = sample_pairs(validation, recipe.scale)
        self._signs: list[Signs] = []  # of the newest lines of the log
        self._ill: set[str] = set()  # illnesses that the last line showed

    def begin(self, step: int, data_sha256: str) -> None:
        """Tell what the run depends on, beside the recipe, and keep a snapshot of the very first weights."""
        self._remember(step)
        device = self._runtime.device
        self._log.write(
            {
                "event": "start",
                "step": step,
                "recipe": self._recipe.to_dict(),
                "sr_course": __version__,
                "torch": torch.__version__,
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
                "threads": torch.get_num_threads(),
                "ranks": self._runtime.ranks,
                "dtype": str(self._runtime.dtype).removeprefix("torch."),
                "data_sha256": data_sha256,
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            }
        )
        if step == 0:
            self._keep_snapshot_if_due(0)

    def _remember(self, step: int) -> None:
        """Take up the signs of earlier lines in a run that is resumed: no alarm may be lost or doubled."""
        told = [one["diagnostics"] for one in read_log(self._out) if one["step"] <= step and "diagnostics" in one]
        self._signs = told[-WINDOW:]
        self._ill = {alarm.illness for alarm in illnesses(step, self._signs)}

    def tell(self, step: int, sums: Mapping[str, float], count: int, learning_rate: float, speed: float) -> None:
        """Write a line about the steps since the last one: means over `count` of them, `speed` in pictures a second."""
        means = {name: value / count for name, value in sums.items()}
        norm = means.pop("gradient_norm")
        signs = {name.removeprefix(DIAGNOSTICS): one for name, one in means.items() if name.startswith(DIAGNOSTICS)}
        record: Record = {
            "event": "train",
            "step": step,
            "terms": {name: value for name, value in means.items() if not name.startswith(DIAGNOSTICS)},
            "learning_rate": learning_rate,
            "gradient_norm": norm if math.isfinite(norm) else None,
            "images_per_second": speed,
        }
        if signs:
            record["diagnostics"] = {name: value if math.isfinite(value) else None for name, value in signs.items()}
        self._log.write(record)
        if signs:
            self._raise_alarms(step, record["diagnostics"])

    def _raise_alarms(self, step: int, signs: Signs) -> None:
        """Write an alarm for each illness that has begun; it is not repeated while it lasts."""
        self._signs = [*self._signs, signs][-WINDOW:]
        alarms = illnesses(step, self._signs)
        for alarm in alarms:
            if alarm.illness not in self._ill:
                self._log.write({"event": "alarm", **vars(alarm)})
        self._ill = {alarm.illness for alarm in alarms}

    def after_step(self, step: int) -> None:
        """Move the bar, keep a snapshot and measure, where they are due after this many updates."""
        self._log.advance()
        self._keep_snapshot_if_due(step)
        every = self._recipe.validate_every
        if step == self._recipe.steps or (every and step % every == 0):
            with measured_network(self._learner) as network:  # the host waits for the device here
                db = validation_psnr(network, self._validation, self._recipe.scale)
            self._log.write({"event": "validation", "step": step, "psnr": db})

    def _keep_snapshot_if_due(self, step: int) -> None:
        if step in self._recipe.snapshot_steps:
            with measured_network(self._learner) as network:  # the host waits for the device here
                write_snapshot(self._out, step, network, self._samples)


@contextmanager
def measured_network(learner: Learner) -> Iterator[nn.Module]:
    """Lend the network as it would be shipped now: the running mean where there is one, in evaluation mode."""
    network = learner.ema.network if learner.ema else learner.network
    was_training = network.training
    try:
        yield network.eval()
    finally:
        network.train(was_training)
