"""What a recipe minimises, put together once, on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from sr_course.losses import ADVERSARIAL, PERCEPTUAL, AdversarialLoss, PerceptualLoss, Term, pixel_terms
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The terms of a loss with what computes them.

    Attributes:
        losses: the terms and their weights.
        perceptual: computes the term of that name, where it is among them.
        adversarial: the losses of generator and discriminator, used where the term `adversarial` is among them.
    """

    losses: Sequence[Term]
    perceptual: PerceptualLoss | None = None
    adversarial: AdversarialLoss = field(default_factory=AdversarialLoss)

    def content(self, sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
        """Compute every term that compares a result with the truth, weights included.

        Args:
            sr, hr: `(N, C, H, W)` in [0, 1]; `sr` may leave the range.
        """
        terms = pixel_terms(self.losses, sr, hr)
        for term in self.losses:
            if term.name == PERCEPTUAL and self.perceptual:
                # unchecked: the pictures come from the store, and a check would make the host wait
                terms[PERCEPTUAL] = term.weight * self.perceptual.unchecked(sr, hr)
        return terms

    def adversarial_term(self, fake: Tensor, real: Tensor | None) -> dict[str, Tensor]:
        """Compute the generator's side of the adversarial loss, weight included, from logits `(N, 1)`."""
        weight = sum(term.weight for term in self.losses if term.name == ADVERSARIAL)
        return {ADVERSARIAL: weight * self.adversarial.generator(fake, real)}


def make_objective(recipe: Recipe, runtime: Runtime) -> Objective:
    """Put together what a recipe minimises.

    Raises:
        ModelError: the weights of the network behind the perceptual loss are not here.
    """
    perceptual = None
    if any(term.name == PERCEPTUAL for term in recipe.losses):
        perceptual = recipe.perceptual.build()
        runtime.place(perceptual)
    adversarial = AdversarialLoss(recipe.adversary.kind)
    return Objective(losses=recipe.losses, perceptual=perceptual, adversarial=adversarial)
