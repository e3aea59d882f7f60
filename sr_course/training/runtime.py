"""What a run finds around it: device, precision, other ranks. The environment is read once, here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sr_course.errors import TrainingError
from sr_course.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The machine as a run uses it.

    Attributes:
        device: where the networks live.
        rank, ranks: which of how many processes that train together this one is.
        dtype: of the network's arithmetic; the weights stay float32.
        channels_last: whether pixels lie with their channels together.
        compile: whether networks are translated by `torch.compile`.
    """

    device: torch.device
    rank: int = 0
    ranks: int = 1
    dtype: torch.dtype = torch.float32
    channels_last: bool = True
    compile: bool = False

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    @property
    def scales_gradients(self) -> bool:
        """Whether gradients must be scaled up to be representable: in fp16 alone."""
        return self.dtype is torch.float16

    def autocast(self) -> AbstractContextManager[object]:
        """Compute convolutions in `dtype` within this context."""
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def place(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the memory layout of the run."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return network.to(self.device).to(memory_format=layout)

    def lay_out(self, pictures: Tensor) -> Tensor:
        """Bring pictures into the memory layout of the run."""
        return pictures.contiguous(memory_format=torch.channels_last if self.channels_last else torch.contiguous_format)

    def callable(self, network: nn.Module) -> nn.Module:
        """Return the network as a training step calls it: translated by `torch.compile` where the recipe says so."""
        if not self.compile:
            return network
        translated: nn.Module = torch.compile(network)  # type: ignore[assignment]
        return translated

    def average_gradients(self, weights: Iterable[Tensor]) -> None:
        """Replace the gradients of each rank, from its own share of the batch, by their mean, in one exchange.

        All ranks begin with the same weights, so they stay the same. This is what `DistributedDataParallel` does too;
        written out, a network may be called several times in a step, as adversarial training does.
        """
        if self.ranks == 1:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(together)
        together /= self.ranks
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [part.view(g.shape) for part, g in zip(parts, gradients, strict=True)])

    def positions(self, batch_size: int, accumulation: int) -> list[range]:
        """Which pairs of the whole batch this rank takes, in the parts that it takes one after the other."""
        share = batch_size // self.ranks
        part = share // accumulation
        start = self.rank * share
        return [range(start + i * part, start + (i + 1) * part) for i in range(accumulation)]

    def any_rank(self, here: bool) -> bool:
        """Tell whether something holds on any rank, so that all of them stop after the same step."""
        if self.ranks == 1:
            return here
        flag = torch.tensor([int(here)])  # on the CPU, through gloo: the devices need not wait for it
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag.item())

    def mean_over_ranks(self, values: Tensor) -> Tensor:
        """Average a vector over the ranks, each of which holds the mean over its own share of the batch."""
        if self.ranks > 1:
            dist.all_reduce(values)
            values = values / self.ranks
        return values

    def barrier(self) -> None:
        """Wait here until every rank has come."""
        self.any_rank(False)


@contextlib.contextmanager
def open_runtime(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Iterator[Runtime]:
    """Find the device and, under `torchrun`, the other ranks; leave them when the run ends.

    Args:
        recipe: says which precision and layout are wanted, and how the batch is to be shared.
        environment: RANK, LOCAL_RANK and WORLD_SIZE as `torchrun` sets them; SR_COURSE_DEVICE names a device, such as
            `cpu`, where another than the best is wanted.

    Raises:
        TrainingError: the device is not there, is not good at the precision, or the batch cannot be shared.
    """
    rank, ranks = int(environment.get("RANK", 0)), int(environment.get("WORLD_SIZE", 1))
    if recipe.batch_size % (ranks * recipe.accumulation):
        raise TrainingError(
            f"batch_size is {recipe.batch_size}; it is shared by {ranks} ranks with accumulation "
            f"{recipe.accumulation}, so give a multiple of {ranks * recipe.accumulation}."
        )
    device = _device(environment.get("SR_COURSE_DEVICE", ""), int(environment.get("LOCAL_RANK", 0)))
    dtype = _dtype(recipe.precision, device)
    if ranks > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        # gloo beside nccl: what the hosts agree on must not wait for the devices
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Runtime(
            device=device,
            rank=rank,
            ranks=ranks,
            dtype=dtype,
            channels_last=recipe.channels_last,
            compile=recipe.compile,
        )
    finally:
        if ranks > 1:
            dist.destroy_process_group()


def _device(wanted: str, local_rank: int) -> torch.device:
    if not wanted:
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"SR_COURSE_DEVICE is {wanted!r}, which cannot be used here ({reason}).") from None
    return torch.device("cuda", local_rank) if wanted == "cuda" else device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    # compute capability 8 (Ampere) is the first with bf16 units; torch emulates it on older ones, slowly
    good_at_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if precision == "auto":
        return torch.bfloat16 if good_at_bf16 else torch.float32
    if precision == "bf16" and not good_at_bf16:
        raise TrainingError(f"precision is bf16; {device} is several times slower with it. Take fp32, or auto.")
    if precision == "fp16" and device.type != "cuda":
        raise TrainingError(f"precision is fp16, which is trained on CUDA devices alone, not on {device}. Take auto.")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
