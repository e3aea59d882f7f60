"""How soon the feature explorer answers: `python -m benchmarks.feature_explorer`.

Bars on two free cores, picture of 96x96: SRResNet of 16 blocks opens in 1.5 s, another of its layers is there in 150
ms, and a channel of a small network is off in 250 ms. Processor time stands beside the time on the clock, for on a
machine that is busy otherwise the clock tells of the others too; with one thread both are the same on a free core.
"""

from __future__ import annotations

import statistics

from torch import Tensor

from benchmarks.machine import described, options
from benchmarks.timing import best, heading, row
from sr_course import images, zoo
from sr_course.data.shipped import photos
from sr_course.resample import imresize
from sr_course.widgets import FeatureExplorer

SIDE, SCALE = 96, 4
OPEN, LAYER, DRAG = 1500, 150, 250  # ms


def main() -> None:
    arguments = options(__doc__, threads=2, repeats=3)
    large = next(one for one in photos("test") if min(images.size(one.path)) >= SIDE * SCALE)
    hr = images.centre_crop(images.read(large.path), SIDE * SCALE, SIDE * SCALE)
    lr = imresize(hr, 1 / SCALE).clamp(0, 1)
    print(described(arguments.threads))
    heading(arguments.repeats)
    opening(lr, hr, arguments.repeats)
    for name in ("srcnn", "srresnet-s"):
        dragging(name, lr, hr, arguments.repeats)


def opening(lr: Tensor, hr: Tensor, repeats: int) -> None:
    network = zoo.load("srresnet")
    network(lr)  # torch's own first time

    def begin() -> None:
        FeatureExplorer(network, lr, truth=hr).close()

    row("SRResNet, 16 blocks: open", best(begin, repeats), OPEN)
    explorer = FeatureExplorer(network, lr, truth=hr)
    layers = [one["name"] for one in explorer._tree if one["open"]]
    times = {
        layer: best(
            lambda layer=layer: tell(explorer, layer=layer),
            repeats,
            before=lambda layer=layer: tell(explorer, layer=layers[layers.index(layer) - 1]),
        )
        for layer in layers
    }
    middle = statistics.median(wall for wall, _ in times.values()), statistics.median(cpu for _, cpu in times.values())
    slowest = max(times, key=lambda layer: times[layer][1])
    row(f"another layer, median of {len(layers)}", middle, LAYER)
    row(f"another layer, the slowest ({slowest})", times[slowest], LAYER)
    print(f"{'messages: largest picture, kB':46}{len(explorer._sheet) / 1e3:8.0f}")
    explorer.close()


def dragging(name: str, lr: Tensor, hr: Tensor, repeats: int) -> None:
    explorer = FeatureExplorer(zoo.load(name), lr, truth=hr, tool="ablation")
    count = explorer._scene["count"]
    times = [
        best(lambda off=off: tell(explorer, off=list(range(off))), repeats, before=lambda: tell(explorer, off=[0, 1]))
        for off in (1, count // 2, count)
    ]
    row(f"{name}: channels off, the slowest of three", max(times, key=lambda one: one[1]), DRAG)
    row(f"{name}: rank {count} channels", best(lambda: (explorer._importance.clear(), explorer.rank()), 1), None)
    explorer.close()


def tell(explorer: FeatureExplorer, **changes: object) -> None:
    """What the browser does."""
    explorer._hear(explorer, {"set": changes}, [])
    assert not explorer._problem, explorer._problem


if __name__ == "__main__":
    main()
