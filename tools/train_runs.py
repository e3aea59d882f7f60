"""Train the runs that lessons 3 and 4 compare.

    python tools/train_runs.py NAME [--out FOLDER]

All of them are the recipe `laptop` of SRGAN with one thing changed: for lesson 3 one that is well, and three that went
wrong, on purpose; for lesson 4 the same network from the same weights, for as many steps, under other losses. An
interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sr_course.data.pairs import Batch
from sr_course.losses import Term, total
from sr_course.training.loop import train
from sr_course.training.networks import PerceptualOptions
from sr_course.training.objective import Objective
from sr_course.training.recipe import Recipe
from sr_course.training.recipes import SRGAN_LAPTOP
from sr_course.training.runtime import Runtime
from sr_course.training.steps import Learners, Step, adversarial_step, discriminator_step, generator_step

SNAPSHOTS = (0, 10, 50, 100, 200, 400, 600, 800)


def step_without_detach(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """An adversarial step with a known defect: the discriminator's loss reaches the generator too.

    What is missing is `torch.no_grad()`, or `sr.detach()`, where the discriminator is given its examples. The gradient
    that this leaves at the generator is added to that of the generator's own step: so it is moved, with full weight, to
    where it is easily found out.
    """
    generator, discriminator = learners["generator"], learners["discriminator"]
    for batch in parts:
        sr = generator.called(runtime.lay_out(batch.lr))
        real, fake = discriminator.called(runtime.lay_out(batch.hr)), discriminator.called(runtime.lay_out(sr))
        total(objective.adversarial.discriminator(real, fake)).div(len(parts)).backward()
    discriminator.optimizer.zero_grad(set_to_none=True)  # the next line computes them again; the generator's stay
    judged = discriminator_step(parts, learners, objective, runtime, step)
    return {**judged, **generator_step(parts, learners, objective, runtime, step)}


def step_with_more_judging(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """An adversarial step with a known imbalance: the discriminator is moved four times, the generator once."""
    for _ in range(3):
        discriminator_step(parts, learners, objective, runtime, step)
    return adversarial_step(parts, learners, objective, runtime, step)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what it is trained by, and how a step of it is made, where it is not the recipe's own way."""

    recipe: Recipe
    take_step: Step | None = None


HEALTHY = replace(SRGAN_LAPTOP, snapshot_steps=SNAPSHOTS, validation_pictures=0)


def without_adversary(loss: str, layer: str = "") -> Run:
    """Change nothing but the loss: one term alone, of one layer's features where it is perceptual.

    Adam divides each step by the size of the gradient, so that the weight of a single term makes no difference.
    """
    perceptual = PerceptualOptions(layers=((layer, 1.0),)) if layer else HEALTHY.perceptual
    return Run(recipe=replace(HEALTHY, losses=(Term(loss),), perceptual=perceptual))


RUNS: Mapping[str, Run] = {
    "srgan-s": Run(recipe=HEALTHY),
    "srgan-s-no-pretraining": Run(recipe=replace(HEALTHY, start="")),
    "srgan-s-strong-discriminator": Run(recipe=HEALTHY, take_step=step_with_more_judging),
    "srgan-s-missing-detach": Run(recipe=HEALTHY, take_step=step_without_detach),
    "srresnet-s-mse": without_adversary("mse"),
    "srresnet-s-l1": without_adversary("l1"),
    # the paper's phi_2,2 and phi_5,4, the last layer of a block, which in VGG16 is the third of block 5
    "srresnet-s-vgg22": without_adversary("perceptual", "relu2_2"),
    "srresnet-s-vgg53": without_adversary("perceptual", "relu5_3"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train one run and return the exit status."""
    parser = argparse.ArgumentParser(description="Train the runs that lessons 3 and 4 compare.")
    parser.add_argument("name", choices=RUNS, help="which run")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run's folder; runs/NAME unless told")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # so that the minutes are those of one core, and the weights the same on any number
    run = RUNS[arguments.name]
    outcome = train(run.recipe, arguments.out or Path("runs") / arguments.name, resume=True, take_step=run.take_step)
    print(f"{arguments.name}: step {outcome.step}, {outcome.minutes:.1f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
