"""A network with what moves it: its optimiser, the scaler of its gradients, the running mean of its weights."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sr_course.errors import TrainingError
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime


class Ema:
    """The running mean of a network's parameters and buffers, as a network of its own.

    After each update the mean moves a little towards the weights: mean += (1 - decay) * (weights - mean). In the first
    steps the decay is smaller, so that the random first weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after the update of `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        moving = [(mean, new) for mean, new in pairs if mean.is_floating_point()]
        torch._foreach_lerp_([mean for mean, _ in moving], [new for _, new in moving], 1 - decay)
        for mean, new in pairs:
            if not mean.is_floating_point():  # batch norm counts its batches
                mean.copy_(new)


@dataclass(kw_only=True)
class Learner:
    """A network in training.

    Attributes:
        network: the network itself, whose weights are stored.
        called: the same network as a step calls it, which may be a translation.
        optimizer: moves the weights; each group has its `learning_rate_factor`.
        scaler: scales the loss up and the gradients down again, in fp16.
        ema: the running mean, where the recipe wants one.
        clip_norm: gradients are scaled down to this norm; 0 leaves them.
        runtime: the machine it is trained on.
    """

    network: nn.Module
    called: nn.Module
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    ema: Ema | None
    clip_norm: float
    runtime: Runtime

    def set_learning_rate(self, learning_rate: float) -> None:
        """Give each group of parameters its share of a learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group["learning_rate_factor"]

    def scaled(self, loss: Tensor) -> Tensor:
        """Scale a loss as its gradients must be in the run's precision; `update` takes the scale out again."""
        scaled: Tensor = self.scaler.scale(loss)
        return scaled

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss to what is there."""
        self.scaled(loss).backward()  # type: ignore[no-untyped-call]

    def update(self, step: int) -> Tensor:
        """Move the weights by the gradients, forget the gradients, and return their norm before clipping."""
        weights = [weight for weight in self.network.parameters() if weight.grad is not None]
        self.runtime.average_gradients(weights)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(weights, self.clip_norm or float("inf"))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.network, step)
        return norm.detach()

    def state(self) -> dict[str, Any]:
        """Return what moves the weights, without the weights."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def make_generator(network: nn.Module, recipe: Recipe, runtime: Runtime) -> Learner:
    """Put a network that makes pictures on the device and give it what a recipe trains it with.

    Raises:
        TrainingError: a learning-rate factor is for parameters that the network does not have.
    """
    return _learner(network, recipe, runtime, _groups(network, recipe), ema_decay=recipe.ema_decay)


def make_discriminator(network: nn.Module, recipe: Recipe, runtime: Runtime) -> Learner:
    """Put a discriminator on the device and give it what a recipe trains it with; it keeps no running mean."""
    groups = [{"params": list(network.parameters()), "learning_rate_factor": recipe.adversary.learning_rate_factor}]
    return _learner(network, recipe, runtime, groups, ema_decay=0.0)


def _learner(
    network: nn.Module, recipe: Recipe, runtime: Runtime, groups: list[dict[str, Any]], *, ema_decay: float
) -> Learner:
    network = runtime.place(network).train()
    return Learner(
        network=network,
        called=runtime.callable(network),
        optimizer=_optimizer(groups, recipe, runtime),
        scaler=torch.amp.GradScaler(runtime.device.type, enabled=runtime.scales_gradients),
        ema=Ema(network, ema_decay) if ema_decay else None,
        clip_norm=recipe.clip_norm,
        runtime=runtime,
    )


def _optimizer(groups: list[dict[str, Any]], recipe: Recipe, runtime: Runtime) -> Optimizer:
    fused = runtime.device.type in ("cpu", "cuda")  # one kernel for all weights, instead of several for each
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, fused=fused)
    betas = (recipe.betas[0], recipe.betas[1])
    return torch.optim.Adam(groups, lr=recipe.learning_rate, betas=betas, fused=fused)


def _groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """One group of parameters for each learning-rate factor, and one for all the others."""
    remaining = dict(network.named_parameters())
    groups = []
    for prefix, factor in recipe.learning_rate_factors:
        chosen = [name for name in remaining if name.startswith(prefix)]
        if not chosen:
            raise TrainingError(f"learning_rate_factors names {prefix!r}, and no parameter of the network begins so.")
        groups.append({"params": [remaining.pop(name) for name in chosen], "learning_rate_factor": factor})
    return [{"params": list(remaining.values()), "learning_rate_factor": 1.0}, *groups]
