"""What a training step costs, beside the plain way to write it: `python -m benchmarks.training`.

The plain way decodes a PNG for every crop, reduces each crop by itself, keeps PyTorch's default memory layout, updates
weights and running mean one tensor after the other, and reads the loss after every step.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.machine import described, memory, options, peak_memory
from sr_course.data.pairs import Batch, Pairs
from sr_course.data.store import PatchStore, open_store
from sr_course.images import centre_crop, from_pil, luma, read, to_uint8
from sr_course.losses import mse
from sr_course.models.srcnn import SRCNN
from sr_course.models.srresnet import SRResNet
from sr_course.resample import imresize
from sr_course.training.learner import make_generator
from sr_course.training.objective import Objective
from sr_course.training.recipes import recipe
from sr_course.training.runtime import Runtime
from sr_course.training.steps import pixel_step

CROP, BATCH, SCALE = 96, 16, 4
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "SRCNN 9-5-5": lambda: SRCNN(SCALE, he_init=True),
    "SRResNet, 16 blocks": lambda: SRResNet(SCALE),
}


def main() -> None:
    arguments = options(__doc__, threads=1, repeats=5)
    print(described(arguments.threads))
    with tempfile.TemporaryDirectory() as folder:
        batches(Path(folder), arguments.repeats)
        for name in NETWORKS:
            steps(name, arguments.threads, arguments.repeats)


def batches(folder: Path, repeats: int) -> None:
    """Batches of 16 crops of 96x96, from pictures of two sizes."""
    print(f"\nA batch of {BATCH} crops of {CROP}x{CROP}, x{SCALE}, milliseconds (bar: 2 with their LR)")
    print(f"{'pictures':22}{'crops alone':>14}{'with their LR':>16}{'a PNG a crop':>16}{'ratio':>9}")
    for title, (width, height) in {"sub-images, 480x480": (480, 480), "whole, 2040x1356": (2040, 1356)}.items():
        files = pngs(folder / f"{width}", width, height)
        store = open_store(files, folder=folder / f"store-{width}")
        pairs = Pairs(store, scale=SCALE, hr_crop=CROP)
        ours = milliseconds(lambda step, pairs=pairs: pairs.batch(step, range(BATCH)), 4 * repeats)
        gathered = milliseconds(lambda step, store=store: gather(store, step), 4 * repeats)
        plain = milliseconds(lambda step, files=files: plain_batch(files, step), repeats)
        print(f"{title:22}{gathered:14.2f}{ours:16.2f}{plain:16.1f}{plain / ours:8.0f}x")


def pngs(folder: Path, width: int, height: int) -> list[Path]:
    """Four soft pictures as PNG files, which compress about as photographs do."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    files = []
    for index in range(4):
        coarse = torch.from_numpy(rng.random((1, 3, height // 4, width // 4), dtype=np.float32))
        picture = imresize(coarse, size=(height, width)).clamp(0, 1)
        files.append(folder / f"{index}.png")
        Image.fromarray(to_uint8(picture)[0].permute(1, 2, 0).numpy()).save(files[-1])
    return files


def gather(store: PatchStore, step: int) -> np.ndarray:
    """The crops alone, without a low-resolution side."""
    rng = np.random.default_rng(step)
    crops = np.empty((BATCH, CROP, CROP, 3), np.uint8)
    for i in range(BATCH):
        picture = store.picture(int(rng.integers(len(store.pictures))))
        top, left = (int(rng.integers(side - CROP)) for side in picture.shape[:2])
        crops[i] = picture[top : top + CROP, left : left + CROP]
    return crops


def plain_batch(files: list[Path], step: int) -> Batch:
    rng = np.random.default_rng(step)
    lr, hr = [], []
    for _ in range(BATCH):
        picture = read(files[int(rng.integers(len(files)))])
        top, left = (int(rng.integers(side - CROP)) for side in picture.shape[-2:])
        hr.append(picture[..., top : top + CROP, left : left + CROP])
        lr.append(from_pil(Image.fromarray(reduced(hr[-1]))))
    return Batch(torch.cat(lr), torch.cat(hr))


def reduced(crop: Tensor) -> np.ndarray:
    return imresize(to_uint8(crop), 1 / SCALE)[0].permute(1, 2, 0).numpy()


def steps(name: str, threads: int, repeats: int) -> None:
    """A step of a network as the engine does it and the plain way, one after the other in every round."""
    print(f"\n{name}: a step on {BATCH} crops of {side_for(name)} pixels, batch not counted")
    print(f"{'':34}{'ms':>9}{'dispatches':>12}{'peak MB':>10}")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        costs = {title: pool.apply(host_costs, (name, title, threads)) for title in WAYS}
    ways = {title: way(name) for title, way in WAYS.items()}
    times: dict[str, list[float]] = {title: [] for title in WAYS}
    for index in range(repeats + 1):
        for title, step in ways.items():
            begin = time.perf_counter()
            step(index)
            times[title].append(1e3 * (time.perf_counter() - begin))
    best = {title: min(rounds[1:]) for title, rounds in times.items()}
    for title, (dispatches, megabytes) in costs.items():
        print(f"{title:34}{best[title]:9.1f}{dispatches:12.0f}{megabytes:10.0f}")
    calls, grown = (costs[PLAIN][at] / costs[ENGINE][at] for at in range(2))
    ratio = best[PLAIN] / best[ENGINE]
    print(f"plain / engine: {ratio:.2f} in time, {calls:.2f} in dispatches, {grown:.2f} in memory")


def host_costs(name: str, title: str, threads: int) -> tuple[float, float]:
    """Operations that the host hands to the device in a step, and megabytes that the process grows by at most."""
    torch.set_num_threads(threads)
    before = memory()
    step = WAYS[title](name)
    with peak_memory() as peak:
        step(0)
        step(1)
    calls = Dispatches()
    with calls:
        step(2)
    return calls.count, (peak[0] - before) / 1e6


def side_for(name: str) -> int:
    return CROP if "Res" in name else 48


def batch_for(name: str) -> Batch:
    side = side_for(name)
    hr = torch.rand(BATCH, 3, side, side)
    batch = Batch(imresize(hr, 1 / SCALE).clamp(0, 1), hr)
    return batch if "Res" in name else Batch(luma(batch.lr), luma(batch.hr))


def engine(name: str, *, channels_last: bool = True) -> Callable[[int], object]:
    settings = replace(
        recipe("srcnn", "laptop"), ema_decay=0.999, channels_last=channels_last, learning_rate_factors=()
    )
    runtime = Runtime(device=torch.device("cpu"), channels_last=channels_last)
    learners = {"generator": make_generator(NETWORKS[name](), settings, runtime)}
    objective = Objective(losses=settings.losses)
    batch = batch_for(name)

    def step(index: int) -> dict[str, Tensor]:
        return pixel_step([batch], learners, objective, runtime, index)

    return step


def plain(name: str) -> Callable[[int], object]:
    network = NETWORKS[name]().train()
    mean = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=False, fused=False)
    batch = batch_for(name)

    def step(index: int) -> float:
        sr = network(batch.lr)
        loss = mse(sr, centre_crop(batch.hr, sr.shape[-2], sr.shape[-1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for key, value in network.state_dict().items():
                if value.is_floating_point():
                    mean[key].mul_(0.999).add_(value, alpha=0.001)
        return loss.item()

    return step


ENGINE, PLAIN = "engine", "plain: default layout, for loops"
WAYS: dict[str, Callable[[str], Callable[[int], object]]] = {
    ENGINE: engine,
    "engine in the default layout": lambda name: engine(name, channels_last=False),
    PLAIN: plain,
}


class Dispatches(TorchDispatchMode):
    """Counts the operations that the host hands to the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


def milliseconds(call: Callable[[int], object], repeats: int) -> float:
    """Shortest wall-clock time of a call, after one that is not counted: what others do on the machine only adds."""
    call(0)
    times = []
    for index in range(1, repeats + 1):
        begin = time.perf_counter()
        call(index)
        times.append(1e3 * (time.perf_counter() - begin))
    return min(times)


if __name__ == "__main__":
    main()
