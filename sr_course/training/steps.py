"""One update of the weights: forward, the terms of the loss, backward, optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sr_course.data.pairs import Batch
from sr_course.images import centre_crop
from sr_course.losses import pixel_terms, total
from sr_course.training.learner import Learner
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime

Learners = Mapping[str, Learner]
"""The networks of a run by their part in it; `generator` is the one that makes pictures."""


def pixel_step(
    parts: Sequence[Batch], learners: Learners, recipe: Recipe, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """Train the generator to come near the truth, pixel by pixel.

    Args:
        parts: the rank's share of the batch, in parts of equal size: gradients of all add up to one update.
        learners: holds `generator`.
        recipe: names the terms of the loss.
        runtime: says in which precision to compute.
        step: counted from 0.

    Returns:
        Each term of the loss, averaged over the parts, and `gradient_norm`; scalars still on the device, for reading
        them would make the host wait for it.
    """
    generator = learners["generator"]
    shares = []
    for batch in parts:
        with runtime.autocast():
            sr = generator.called(runtime.lay_out(batch.lr))
        # a network that pads nothing in training returns the middle of the picture: it is compared with that
        hr = centre_crop(batch.hr, sr.shape[-2], sr.shape[-1])
        terms = pixel_terms(recipe.losses, sr.float(), hr)
        generator.backward(total(terms) / len(parts))
        shares.append({name: term.detach() for name, term in terms.items()})
    norm = generator.update(step)
    return {
        **{name: torch.stack([share[name] for share in shares]).mean() for name in shares[0]},
        "gradient_norm": norm,
    }
