"""Train the runs of lesson 5: ESRGAN-S, and the same with one of its tweaks taken back at a time.

    python tools/train_esrgan.py NAME [--out FOLDER] [--start RUN]

The names that begin with `rrdb-s` are of phase 1, in pixels, and come first. Each of the others begins with the weights
of one of them, by its name among the shipped runs: so that anybody can repeat it, phase 1 is shipped before.

    python tools/train_esrgan.py rrdb-s && python tools/ship_run.py runs/rrdb-s rrdb-s_x4 --pictures-only
    python tools/train_esrgan.py esrgan-s

An interrupted run goes on where it stopped. `python tools/train_esrgan.py pulls` measures what AFTER_ACTIVATION is
taken from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sr_course.errors import CourseError
from sr_course.losses import ADVERSARIAL, Term
from sr_course.training.loop import train
from sr_course.training.networks import PerceptualOptions
from sr_course.training.recipe import Recipe
from sr_course.training.recipes import ESRGAN_LAPTOP, RRDB_LAPTOP
from sr_course.training.validation import sample_pairs, validation_pairs
from sr_course.zoo import load

SNAPSHOTS = (0, 10, 50, 100, 200, 300, 400)
PIXEL_SNAPSHOTS = (0, 10, 50, 100, 200, 500, 1_000, RRDB_LAPTOP.steps)

PIXELS = replace(RRDB_LAPTOP, snapshot_steps=PIXEL_SNAPSHOTS, validation_pictures=0)
ALL_ON = replace(ESRGAN_LAPTOP, snapshot_steps=SNAPSHOTS, validation_pictures=0)

BATCH_NORM = replace(PIXELS.network, batch_norm=True)
RESIDUAL = replace(PIXELS.network, block="residual", blocks=26)
"""As many parameters as four RRDBs, 292,971 beside 292,395: two convolutions where an RRDB has 15 narrower ones."""

# The relativistic loss of the generator, equation 2, is a sum over made pictures and one over photographs. While the
# discriminator knows nothing, each pulls on the pictures as hard as the only sum of the vanilla loss.
VANILLA_FACTOR = 2.0

AFTER_ACTIVATION = {"conv3_3": ("relu3_3", 3.1), "conv4_3": ("relu4_3", 6.6)}
"""What takes the place of a layer, and how much more it must weigh for the same pull on the pictures.

After the activation most features are zeros, and zeros pull on nothing. At equal weights the run would ask what a
weaker perceptual term does, which is another question. See `pulls`.
"""


def weighed(losses: Sequence[Term], name: str, factor: float) -> tuple[Term, ...]:
    """Return terms with the weight of one multiplied; 0 takes it out."""
    changed = (Term(term.name, term.weight * (factor if term.name == name else 1)) for term in losses)
    return tuple(term for term in changed if term.weight)


def after_activation(perceptual: PerceptualOptions) -> PerceptualOptions:
    """Return the term with each layer after its activation, weighed so that it pulls as hard."""
    moved = [(AFTER_ACTIVATION[name], weight) for name, weight in perceptual.layers]
    return replace(perceptual, layers=tuple((name, round(factor * weight, 4)) for (name, factor), weight in moved))


def pulls(perceptual: PerceptualOptions, *, start: str = "srresnet-s", pictures: int = 0) -> dict[str, float]:
    """Measure how hard each layer of a perceptual term pulls on the pictures of a network that was trained in pixels.

    Args:
        perceptual: the term, weights included.
        start: the network; it enlarges the middles of validation photographs.
        pictures: how many of these; 0 for all.

    Returns:
        By layer the length of the gradient with regard to the pictures, as `pull_content` is in the run log.
    """
    wholes = validation_pairs(replace(ALL_ON, validation_pictures=pictures), torch.device("cpu"))
    middles = [sample_pairs([whole], ALL_ON.scale)[0] for whole in wholes]
    lr, hr = (torch.cat(side) for side in zip(*middles, strict=True))
    with torch.no_grad():
        sr = load(start, ALL_ON.scale)(lr)
    found = {}
    for layer in perceptual.layers:
        picture = sr.clone().requires_grad_()
        apart = replace(perceptual, layers=(layer,)).build()(picture, hr)
        (gradient,) = torch.autograd.grad(apart, picture)
        found[layer[0]] = gradient.norm().item()
    return found


RUNS: Mapping[str, Recipe] = {
    "rrdb-s": PIXELS,
    "rrdb-s-batch-norm": replace(PIXELS, network=BATCH_NORM),
    "rrdb-s-residual": replace(PIXELS, network=RESIDUAL),
    "esrgan-s": ALL_ON,
    "esrgan-s-batch-norm": replace(ALL_ON, network=BATCH_NORM, start="rrdb-s-batch-norm"),
    "esrgan-s-residual-blocks": replace(ALL_ON, network=RESIDUAL, start="rrdb-s-residual"),
    "esrgan-s-vanilla-gan": replace(
        ALL_ON,
        losses=weighed(ALL_ON.losses, ADVERSARIAL, VANILLA_FACTOR),
        adversary=replace(ALL_ON.adversary, kind="vanilla"),
    ),
    "esrgan-s-after-activation": replace(ALL_ON, perceptual=after_activation(ALL_ON.perceptual)),
    "esrgan-s-no-l1": replace(ALL_ON, losses=weighed(ALL_ON.losses, "l1", 0)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train one run and return the exit status."""
    parser = argparse.ArgumentParser(description="Train the ESRGAN-S runs of lesson 5.")
    parser.add_argument("name", choices=(*RUNS, "pulls"), help="which run")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="the run's folder; runs/NAME unless told")
    parser.add_argument("--start", metavar="RUN", help="the folder of another run to begin with, or its shipped name")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)  # so that the minutes are those of one core, and the weights the same on any number
    if arguments.name == "pulls":
        for perceptual in (ALL_ON.perceptual, after_activation(ALL_ON.perceptual)):
            print(", ".join(f"{name} {pull:.3f}" for name, pull in pulls(perceptual).items()))
        return 0
    recipe = RUNS[arguments.name]
    if arguments.start is not None:
        recipe = replace(recipe, start=arguments.start)
    try:
        outcome = train(recipe, arguments.out or Path("runs") / arguments.name, resume=True)
    except CourseError as error:
        print(f"train_esrgan: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.name}: step {outcome.step}, {outcome.minutes:.1f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
