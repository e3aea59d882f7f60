"""Adding up what the steps return, on the device, so that the host need not wait for it at every step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sr_course.errors import TrainingError
from sr_course.training.runtime import Runtime


class Tally:
    """Sums of the values of each step since the last line of the run log.

    Args:
        runtime: the device that they are kept on, and the ranks that they are averaged over.
        sums: what an interrupted run had added up already, by name.
        count: over how many steps.
    """

    def __init__(self, runtime: Runtime, sums: Mapping[str, float], count: int) -> None:
        self._runtime = runtime
        self._sums = {name: torch.tensor(value, device=runtime.device) for name, value in sums.items()}
        self.count = count

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the values of one step, scalars on the device."""
        self._sums = {name: self._sums[name] + value if self._sums else value for name, value in values.items()}
        self.count += 1

    def read(self, step: int) -> dict[str, float]:
        """Return the sums, averaged over the ranks; the host waits here until the device has done all its steps.

        Args:
            step: updates done, for the error.

        Raises:
            TrainingError: a value was not a finite number in any of the steps: their sum is then none either.
        """
        if not self._sums:
            return {}
        together = self._runtime.mean_over_ranks(torch.stack([value.float() for value in self._sums.values()]))
        sums = dict(zip(self._sums, together.tolist(), strict=True))
        for name, value in sums.items():
            # In fp16 a gradient may overflow: its scaler then leaves the step out and takes a smaller scale.
            may_overflow = self._runtime.scales_gradients and ("gradient_norm" in name or "pull_" in name)
            if not math.isfinite(value) and not may_overflow:
                raise TrainingError(
                    f"{name} is {value} at or shortly before step {step}: the run has diverged. The last checkpoint "
                    "is good. Start again with a lower learning_rate, or with clip_norm 1."
                )
        return sums

    def clear(self) -> None:
        """Begin anew."""
        self._sums, self.count = {}, 0
