"""What a run asks of the machine: networks are translated once, and the host waits for the device at log lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from sr_course.losses import Term
from sr_course.training.checkpoints import checkpoints
from sr_course.training.loop import train
from sr_course.training.networks import AdversaryOptions, PerceptualOptions, SRResNetOptions
from sr_course.training.recipe import Recipe


@pytest.fixture
def recipes(recipe) -> dict[str, Recipe]:
    """Twelve steps of a tiny SRResNet towards the truth, or against an adversary."""
    pixels = replace(
        recipe, network=SRResNetOptions(blocks=1, channels=4), channel="rgb", losses=(Term("l1"),), steps=12
    )
    adversary = replace(
        pixels,
        losses=(Term("perceptual", 0.1), Term("l1", 0.5), Term("adversarial", 0.01)),
        perceptual=PerceptualOptions(layers=(("relu1_1", 1.0),)),
        adversary=AdversaryOptions(channels=2, hidden=4),
    )
    return {"pixels": pixels, "adversary": adversary}


# torch.compile.


class Translation:
    """Stands for `torch.compile`; all but its last part is torch's own, so that no C++ compiler is needed.

    Attributes:
        networks: what was given to it.
        graphs: how often it translated, for each call that looked new to it.
    """

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []
        self.graphs = 0
        self._torchs = torch.compile

    def __call__(self, network: nn.Module) -> Callable[..., object]:
        self.networks.append(network)
        return self._torchs(network, backend=self._as_it_is)

    def _as_it_is(self, graph: nn.Module, _: object) -> nn.Module:
        self.graphs += 1
        return graph


@pytest.mark.parametrize(
    ("kind", "networks", "graphs"),
    [
        ("pixels", 1, 1),
        ("adversary", 2, 4),  # the generator with and without a gradient; the discriminator learning, and frozen
    ],
)
def test_compiled_training_translates_each_network_once_and_ends_with_the_same_weights(
    recipes, tmp_path, monkeypatch, kind, networks, graphs
):
    train(recipes[kind], tmp_path / "plain", bar=False)
    translation = Translation()
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", translation)
    train(replace(recipes[kind], compile=True), tmp_path / "compiled", bar=False)
    assert len({id(network) for network in translation.networks}) == len(translation.networks) == networks
    assert translation.graphs == graphs
    plain, compiled = (checkpoints(tmp_path / run)[-1] for run in ("plain", "compiled"))
    files = sorted(file.name for file in plain.glob("*.safetensors"))
    assert len(files) == networks + 1  # the running mean too
    for file in files:
        ours, theirs = (safetensors.torch.load_file(folder / file) for folder in (plain, compiled))
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


# Waiting.


class Reads(TorchFunctionMode):
    """Counts what brings numbers of a tensor to the host: on a GPU each makes the host wait until all is computed."""

    WAITING = ("item", "tolist", "cpu", "__bool__", "__float__", "__int__", "__index__")

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function.__name__ in self.WAITING:
            self.counted[function.__name__] += 1
        return function(*arguments, **(options or {}))


def reads(recipe: Recipe, run: Path, steps: int, lines: int) -> Counter[str]:
    quiet = {"validate_every": 0, "checkpoint_every": steps, "log_every": steps // lines}
    with Reads() as counter:
        train(replace(recipe, steps=steps, **quiet), run, bar=False)
    return counter.counted


@pytest.mark.parametrize("kind", ["pixels", "adversary"])
def test_the_host_waits_for_the_device_at_log_lines_and_never_between(recipes, tmp_path, kind):
    few = reads(recipes[kind], tmp_path / "few", steps=12, lines=2)
    assert few["tolist"] >= 2
    assert reads(recipes[kind], tmp_path / "long", steps=36, lines=2) == few
    assert reads(recipes[kind], tmp_path / "told", steps=36, lines=6) - few == Counter(tolist=4)  # one a line
