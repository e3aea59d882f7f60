"""One update of the weights: forward, the terms of the loss, backward, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from sr_course.data.pairs import Batch
from sr_course.images import centre_crop
from sr_course.losses import total
from sr_course.training.learner import Learner
from sr_course.training.objective import Objective
from sr_course.training.runtime import Runtime
from sr_course.training.signs import DIAGNOSTICS, answer_signs, picture_signs

Learners = Mapping[str, Learner]
"""The networks of a run by their part in it: `generator` makes pictures, `discriminator`, if any, judges them."""

Step = Callable[[Sequence[Batch], Learners, Objective, Runtime, int], dict[str, Tensor]]
"""What all steps are called with.

Args:
    parts: the rank's share of the batch, in parts of equal size: gradients of all add up to one update.
    learners: the networks.
    objective: the terms of the loss.
    runtime: says in which precision to compute.
    step: counted from 0.

Returns:
    Each term of the generator's loss, averaged over the parts, `gradient_norm`, and what begins with `DIAGNOSTICS`;
    scalars still on the device, for reading them would make the host wait for it.
"""


def pixel_step(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """Train the generator to come near the truth, in pixels or features; see `Step`."""
    generator = learners["generator"]
    shares = []
    for batch in parts:
        with runtime.autocast():
            sr = generator.called(runtime.lay_out(batch.lr))
        # a network that pads nothing in training returns the middle of the picture: it is compared with that
        hr = centre_crop(batch.hr, sr.shape[-2], sr.shape[-1])
        with runtime.autocast():
            terms = objective.content(sr.float(), hr)
        generator.backward(total(terms) / len(parts))
        shares.append({name: term.detach() for name, term in terms.items()})
    norm = generator.update(step)
    return {**_mean(shares), "gradient_norm": norm}


def adversarial_step(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """Train the discriminator to tell made pictures from photographs, then the generator against it; see `Step`.

    Batch norm and the relativistic loss look at a rank's part of the batch, not at all of it: with them, two ranks
    come near what one does with twice the batch, and not to the last digit.

    Source: Ledig et al. 2017, eq. 2 and sec. 2.2; Goodfellow et al. 2014, algorithm 1, with one step of each.
    """
    judged = discriminator_step(parts, learners, objective, runtime, step)
    made = generator_step(parts, learners, objective, runtime, step)
    return {**made, **judged}


def discriminator_step(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """Move the discriminator alone; returns what it answered, before it was moved. See `Step`."""
    generator, discriminator = learners["generator"], learners["discriminator"]
    shares = []
    for batch in parts:
        with torch.no_grad(), runtime.autocast():  # the generator only supplies examples here;
            sr = generator.called(runtime.lay_out(batch.lr))  # its own gradient comes in the next step
        with runtime.autocast():
            real = discriminator.called(runtime.lay_out(batch.hr)).float()  # (N, 1) logits, any sign
            fake = discriminator.called(runtime.lay_out(sr.float())).float()
        loss = total(objective.adversarial.discriminator(real, fake))
        discriminator.backward(loss / len(parts))
        relative = objective.adversarial.generator_sees_real
        answers = answer_signs(real.detach(), fake.detach(), relative=relative)
        shares.append({"discriminator_loss": loss.detach(), **answers})
    norm = discriminator.update(step)
    return _diagnostics({**_mean(shares), "discriminator_gradient_norm": norm})


def generator_step(
    parts: Sequence[Batch], learners: Learners, objective: Objective, runtime: Runtime, step: int
) -> dict[str, Tensor]:
    """Move the generator alone, by its content terms and by the discriminator's word. See `Step`."""
    generator, discriminator = learners["generator"], learners["discriminator"]
    terms, signs = [], []
    with _frozen(discriminator):
        for batch in parts:
            with runtime.autocast():
                sr = generator.called(runtime.lay_out(batch.lr))
            # Each side is asked for itself how it would change the picture, so that their pulls can be compared. Both
            # gradients then go through the generator at once, which costs no more than the usual way.
            picture = sr.detach().float().requires_grad_()
            with runtime.autocast():
                content = objective.content(picture, batch.hr)
                fake = discriminator.called(runtime.lay_out(picture)).float()
                real = _logits_of_real(batch, discriminator, objective, runtime)
            adversarial = objective.adversarial_term(fake, real)
            (by_content,) = torch.autograd.grad(generator.scaled(total(content)), picture)
            (by_adversary,) = torch.autograd.grad(generator.scaled(total(adversarial)), picture)
            sr.backward(((by_content + by_adversary) / len(parts)).to(sr.dtype))
            terms.append({name: term.detach() for name, term in {**content, **adversarial}.items()})
            one = generator.scaled(torch.ones((), device=picture.device))
            pulls = {"pull_content": by_content.norm() / one, "pull_adversarial": by_adversary.norm() / one}
            signs.append(pulls | picture_signs(picture.detach(), batch.lr, batch.hr))
    norm = generator.update(step)
    return {**_mean(terms), "gradient_norm": norm, **_diagnostics(_mean(signs))}


def _logits_of_real(batch: Batch, discriminator: Learner, objective: Objective, runtime: Runtime) -> Tensor | None:
    if not objective.adversarial.generator_sees_real:
        return None
    with torch.no_grad():
        logits: Tensor = discriminator.called(runtime.lay_out(batch.hr)).float()
    return logits


@contextmanager
def _frozen(learner: Learner) -> Iterator[None]:
    """Let gradients through a network, to what it was given, and leave none at its own weights."""
    learner.network.requires_grad_(False)
    try:
        yield
    finally:
        learner.network.requires_grad_(True)


def _mean(shares: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([share[name] for share in shares]).mean() for name in shares[0]}


def _diagnostics(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {DIAGNOSTICS + name: value for name, value in values.items()}
