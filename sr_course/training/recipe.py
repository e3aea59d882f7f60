"""A recipe: all that a training run depends on, as a value that can be printed, stored, read back and run again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from sr_course.data.shipped import SHIPPED
from sr_course.errors import TrainingError
from sr_course.training.networks import NETWORKS, AdversaryOptions, NetworkOptions, PerceptualOptions

if TYPE_CHECKING:
    from sr_course.losses import Term

SIZES = ("smoke", "laptop", "classroom", "paper")
"""The recipes that every network comes with: seconds, minutes on two cores, a lesson on one GPU, as published."""

CHOICES = {
    "channel": ("rgb", "y"),
    "optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine", "steps"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
}
"""The values that some fields can have."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a training run depends on; equal recipes with equal seeds give equal weights on one machine.

    Attributes:
        name: of the recipe, for people.
        network: the network and its options.
        scale: the factor of enlargement.
        start: weights that the network begins with: the folder of a run, the name of a network that ships, or that of a
            shipped run without its scale; empty for fresh ones.
        seed: of the first weights and of the crops.
        data: folder of training pictures, or `shipped` for the course's photographs.
        reduce: store each training picture reduced by these factors; empty for what suits the data.
        channel: train on RGB, or on luma alone.
        augment: mirror and turn the crops.
        losses: the terms to minimise, with their weights; with `adversarial` among them a discriminator is trained
            beside the network, step by step.
        perceptual: what the term `perceptual` compares with; used where that stands among the losses.
        adversary: the discriminator behind the term `adversarial`; used where that stands among the losses.
        steps: updates of the weights.
        batch_size: pairs per update, over all ranks and parts together.
        hr_crop: side of the high-resolution crops, pixels.
        accumulation: cut each rank's share of the batch into this many parts, one after the other, to save memory.
        optimizer: `adam`, or `sgd` with momentum.
        learning_rate: at its highest.
        learning_rate_factors: (beginning of a parameter's name, factor) for parameters that learn slower or faster.
        betas: of Adam: how long its two running means remember.
        momentum: of SGD.
        clip_norm: scale gradients down to this norm; 0 leaves them.
        schedule: of the learning rate after the warm-up: `constant`; `cosine` down to `final_factor` of it at the last
            step; `steps`, multiplied by `milestone_factor` at each of the `milestones`.
        warmup_steps: the learning rate rises in a straight line over this many steps.
        final_factor: where `cosine` ends.
        milestones: steps at which `steps` falls.
        milestone_factor: what it falls by.
        ema_decay: keep a running mean of the weights, which is then measured and shipped; 0 keeps none.
        precision: `fp32`; `bf16` or `fp16` for the network's arithmetic; `auto` takes bf16 where the device is good at
            it, otherwise fp32.
        channels_last: lay pixels out with their channels together, which most convolutions prefer.
        compile: let `torch.compile` translate the network first.
        validation: folder of pictures to measure on, or `shipped` for the course's validation photographs.
        validation_pictures: measure on this many of them, the first by name; 0 for all.
        log_every: steps between two lines of the run log.
        validate_every: steps between two measurements; 0 for none but the last.
        checkpoint_every: steps between two checkpoints; the last step always has one.
        snapshot_steps: steps at which small weights and sample pictures are kept, to look at later.
    """

    name: str
    network: NetworkOptions
    scale: int = 4
    start: str = ""
    seed: int = 0

    data: str = SHIPPED
    reduce: tuple[int, ...] = ()
    channel: Literal["rgb", "y"] = "rgb"
    augment: bool = True

    losses: tuple[Term, ...]
    perceptual: PerceptualOptions = field(default_factory=PerceptualOptions)
    adversary: AdversaryOptions = field(default_factory=AdversaryOptions)
    steps: int
    batch_size: int = 16
    hr_crop: int = 96
    accumulation: int = 1

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-4
    learning_rate_factors: tuple[tuple[str, float], ...] = ()
    betas: tuple[float, ...] = (0.9, 0.999)
    momentum: float = 0.9
    clip_norm: float = 0.0
    schedule: Literal["constant", "cosine", "steps"] = "constant"
    warmup_steps: int = 0
    final_factor: float = 0.0
    milestones: tuple[int, ...] = ()
    milestone_factor: float = 0.5
    ema_decay: float = 0.0

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    compile: bool = False

    validation: str = SHIPPED
    validation_pictures: int = 4
    log_every: int = 100
    validate_every: int = 1000
    checkpoint_every: int = 1000
    snapshot_steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        from sr_course.losses import PERCEPTUAL, TERMS

        for name, known in CHOICES.items():
            self._require(name, getattr(self, name) in known, f"choose from {', '.join(known)}")
        for name in ("scale", "steps", "batch_size", "hr_crop", "accumulation", "log_every", "checkpoint_every"):
            self._require(name, getattr(self, name) >= 1, "give a whole number from 1 on")
        for name in ("seed", "warmup_steps", "validation_pictures", "validate_every"):
            self._require(name, getattr(self, name) >= 0, "give a whole number from 0 on")
        for name in ("learning_rate", "milestone_factor"):
            self._require(name, 0 < getattr(self, name) < math.inf, "give a number above 0")
        for name in ("clip_norm", "final_factor"):
            self._require(name, 0 <= getattr(self, name) < math.inf, "give a number from 0 on")
        for name in ("momentum", "ema_decay"):
            self._require(name, 0 <= getattr(self, name) < 1, "give a number from 0 on and below 1")
        self._require("betas", len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas), "give two below 1")
        self._require("reduce", all(factor >= 1 for factor in self.reduce), "give whole numbers from 1 on")
        self._require("milestones", list(self.milestones) == sorted(self.milestones), "give them in rising order")
        self._require("snapshot_steps", all(step >= 0 for step in self.snapshot_steps), "give steps from 0 on")
        self._require("hr_crop", self.hr_crop % self.scale == 0, f"give a multiple of the scale {self.scale}")
        self._require("batch_size", self.batch_size % self.accumulation == 0, f"give a multiple of {self.accumulation}")
        self._require("losses", len(self.losses) > 0, "give at least one term")
        self._require("losses", len({t.name for t in self.losses}) == len(self.losses), "a term stands in it twice")
        for term in self.losses:
            all_terms = ", ".join(TERMS)
            self._require("losses", term.name in TERMS, f"{term.name!r} is unknown; choose from {all_terms}")
            self._require("losses", 0 < term.weight < math.inf, f"the weight of {term.name} must be above 0")
        for prefix, factor in self.learning_rate_factors:
            self._require("learning_rate_factors", factor >= 0, f"the factor of {prefix} must not be negative")
        self.network.check_crop(self.hr_crop)
        if self.is_adversarial:
            self._require("losses", bool(self.network.adversarial_model), f"{self.network.model} has no adversary")
            self._require("losses", len(self.losses) > 1, "add a term that compares with the truth, such as perceptual")
            self._require("hr_crop", self.hr_crop % 16 == 0, "the discriminator needs a multiple of 16")
        if self.is_adversarial or any(term.name == PERCEPTUAL for term in self.losses):
            self._require("channel", self.channel == "rgb", "VGG and the discriminator look at rgb")

    @property
    def model(self) -> str:
        """The name of what is trained."""
        return self.network.adversarial_model if self.is_adversarial else self.network.model

    @property
    def is_adversarial(self) -> bool:
        """Whether a discriminator takes part."""
        from sr_course.losses import ADVERSARIAL

        return any(term.name == ADVERSARIAL for term in self.losses)

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rate = self.learning_rate
        if step < self.warmup_steps:
            return rate * (step + 1) / self.warmup_steps
        if self.schedule == "steps":
            return float(rate * self.milestone_factor ** sum(step >= milestone for milestone in self.milestones))
        if self.schedule == "cosine":
            done = (step - self.warmup_steps) / max(self.steps - 1 - self.warmup_steps, 1)
            return rate * (self.final_factor + (1 - self.final_factor) * (1 + math.cos(math.pi * min(done, 1))) / 2)
        return rate

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values that JSON can hold; `from_dict` takes them back."""
        return {"model": self.model, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Rebuild a recipe from `to_dict`, also after a way through JSON, which turns tuples into lists.

        Raises:
            TrainingError: a value is missing, unknown or impossible.
        """
        from sr_course.losses import Term

        values = dict(values)
        try:
            model = values.pop("model")
            if model not in NETWORKS:
                raise TrainingError(f"there is no model {model!r} to train; choose from {', '.join(NETWORKS)}.")
            values = {name: _tuples(value) for name, value in values.items()}
            network = NETWORKS[model](**{name: _tuples(value) for name, value in values.pop("network").items()})
            losses = tuple(Term(**term) for term in values.pop("losses"))
            for name, options in _OPTIONS.items():
                if name in values:  # recipes of runs that are older than these options have none
                    values[name] = options(**{key: _tuples(value) for key, value in values[name].items()})
            return cls(network=network, losses=losses, **values)
        except (KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"the recipe cannot be read: {error}. It was written by another version.") from None

    def __str__(self) -> str:
        """Lay the recipe out for reading, a line per value."""
        rows = [("model", self.model), *((field.name, getattr(self, field.name)) for field in fields(self))]
        return "\n".join(f"  {name:22}{value}" for name, value in rows)

    def _require(self, name: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise TrainingError(f"{name} is {getattr(self, name)}; {remedy}.")


_OPTIONS: Mapping[str, type[PerceptualOptions | AdversaryOptions]] = {
    "perceptual": PerceptualOptions,
    "adversary": AdversaryOptions,
}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, (list, tuple)) else value
