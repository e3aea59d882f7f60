"""What a run tells while it goes: the run log as JSON lines, a bar in the terminal, TensorBoard, snapshots."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sr_course.errors import TrainingError
from sr_course.images import to_uint8
from sr_course.training.checkpoints import write_tensors

Record = dict[str, Any]


class Clock:
    """Minutes spent on a run, over all its sittings; `minutes_before` are those of earlier ones."""

    def __init__(self) -> None:
        self.minutes_before = 0.0
        self._started = time.monotonic()

    def minutes_here(self) -> float:
        """Minutes of this sitting."""
        return (time.monotonic() - self._started) / 60

    def minutes(self) -> float:
        """Minutes of all sittings."""
        return self.minutes_before + self.minutes_here()


class RunLog:
    """Appends records to `log.jsonl` in the run's folder, one JSON object a line, and shows them in a bar.

    Args:
        out: the run's folder.
        clock: of the run; each record tells the minutes spent.
        steps: of the whole run.
        done: steps that an earlier sitting did; what the log says of later ones is dropped, for they are done again.
        watch: called with each record, for a live figure.
        bar: show a progress bar.
        tensorboard: write TensorBoard's files too, into `out/tensorboard`.
    """

    def __init__(
        self,
        out: Path,
        clock: Clock,
        steps: int,
        done: int,
        *,
        watch: Callable[[Record], None] | None = None,
        bar: bool = True,
        tensorboard: bool = False,
    ) -> None:
        from tqdm import tqdm

        self._path = out / "log.jsonl"
        self._clock = clock
        self._watch = watch
        self._shown: dict[str, str] = {}
        kept = [json.dumps(record) for record in read_log(out) if record["step"] <= done] if done else []
        part = self._path.with_name("log.jsonl.part")
        part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        part.replace(self._path)
        self._bar = tqdm(total=steps, initial=done, unit="step", disable=not bar, dynamic_ncols=True)
        self._board = None
        if tensorboard:
            self._board = tensorboard_writer()(str(out / "tensorboard"), purge_step=done + 1 if done else None)

    def write(self, record: Record) -> None:
        """Append one record; it names its `event` and `step`."""
        line = json.dumps({**record, "minutes": self._clock.minutes()})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        if record["event"] == "train":
            self._shown["loss"] = f"{sum(record['terms'].values()):.4g}"
            self._shown["img/s"] = f"{record['images_per_second']:.0f}"
        if record["event"] == "validation":
            self._shown["psnr"] = f"{record['psnr']:.2f} dB"
        self._bar.set_postfix(self._shown, refresh=False)
        if self._board:
            for name, value in _scalars(record):
                self._board.add_scalar(name, value, record["step"])
        if self._watch:
            self._watch(json.loads(line))  # as it will be read from the file

    def advance(self) -> None:
        """Move the bar by one step."""
        self._bar.update()

    def close(self) -> None:
        """Leave the bar where it is, and close TensorBoard's files."""
        self._bar.close()
        if self._board:
            self._board.close()


def read_log(out: Path) -> list[Record]:
    """Read the records of a run; a last line cut short by a crash is left out."""
    path = out / "log.jsonl"
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def write_snapshot(out: Path, step: int, network: nn.Module, samples: Sequence[tuple[Tensor, Tensor]]) -> Path:
    """Keep a small picture of the state of a run: weights in fp16, and what the network makes of the samples.

    Args:
        out: the run's folder; the file is `snapshots/step-00001000.safetensors` in it.
        step: updates done.
        network: in evaluation mode.
        samples: `lr, hr` pairs, each `(1, 3, h, w)` in [0, 1].

    Returns:
        The file: `weights.NAME` in fp16, `sr.0` and so on as `(3, H, W)` uint8. The samples themselves are in
        `samples.safetensors` beside it, as `lr.0`, `hr.0`.
    """
    folder = out / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "samples.safetensors").is_file():
        sides = {f"lr.{i}": lr for i, (lr, _) in enumerate(samples)} | {
            f"hr.{i}": s for i, (_, s) in enumerate(samples)
        }
        write_tensors(folder / "samples.safetensors", {name: to_uint8(one[0]).cpu() for name, one in sides.items()}, {})
    tensors = {f"weights.{name}": _half(tensor) for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        made = [network(lr).float().clamp(0, 1) for lr, _ in samples]
    tensors |= {f"sr.{i}": to_uint8(sr[0]).cpu() for i, sr in enumerate(made)}
    path = folder / f"step-{step:08d}.safetensors"
    write_tensors(path, tensors, {"step": str(step)})
    return path


def _half(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.half() if tensor.is_floating_point() else tensor


def _scalars(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in record.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            found.append((prefix + name, float(value)))
    return found


def tensorboard_writer() -> Any:
    """Return the class that writes TensorBoard's files.

    Raises:
        TrainingError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "TensorBoard is not installed: pip install tensorboard, or leave --tensorboard out."
        ) from None
    return SummaryWriter
