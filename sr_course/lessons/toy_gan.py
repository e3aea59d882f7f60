"""A generative adversarial network of one dimension: small enough to take every step by hand and to draw it whole.

The pictures are numbers here. The data are 100 numbers, the generator makes 100 of its own, and the discriminator is a
logistic regression that tells them apart. Nothing is random: data and noise are the middles of 100 slices of equal
probability, and every step takes all of them. So each press of a button gives the same result on every machine.

Source: Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1, with the full batch in place of a minibatch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Data = Literal["one bump", "two bumps"]
Generator = Literal["line", "step"]
Discriminator = Literal["line", "parabola", "hills"]
Loss = Literal["non-saturating", "saturating"]

COUNT = 100  # of the data and of the samples: each stands for one percent
GUESSING = 2 * math.log(2)  # the discriminator's loss when it says one half to everything
MOST_STEPS = 10  # of the discriminator for one of the generator

BUMPS: Mapping[Data, tuple[NormalDist, ...]] = {
    "one bump": (NormalDist(1.5, 0.5),),
    "two bumps": (NormalDist(-1.5, 0.4), NormalDist(1.5, 0.4)),
}
"""Normal distributions whose even mixture the data follow."""

PARAMETERS: Mapping[Generator, tuple[str, ...]] = {"line": ("a", "b"), "step": ("a", "b", "s", "k", "c")}
"""Names of the generator's parameters: `a z + b`, and `a z + b + s tanh(k z + c)`."""

_HILLS = np.linspace(-4, 4, 9)
_HILL_WIDTH = 0.8
_STEP_START = (0.1, 1.0, 0.0)  # a small step is nearly a line
_MOST_RECORDS = 2000
_NOISE_EDGE, _NOISE_CELLS = 6.0, 1200  # the normal distribution beyond 6 is a part in 10^9


@dataclass(frozen=True)
class Record:
    """The losses after some updates, counting those of both networks."""

    updates: int
    discriminator: float
    generator: float


@dataclass(kw_only=True, eq=False)
class ToyGan:
    """Generator and discriminator, with the steps of both.

    Attributes:
        data: what the generator shall imitate, `one bump` or `two bumps`.
        generator: `line`: a z + b. `step`: a z + b + s tanh(k z + c), a line with a soft step, which can make two
            bumps of one.
        discriminator: D(x) is the logistic function of a weighted sum of features of x. `line`: 1, x. `parabola`: 1,
            x, (x/2)^2; enough to tell any two normal distributions apart perfectly. `hills`: 1 and nine bells of
            Gauss from -4 to 4; enough for two bumps.
        loss: of the generator. `saturating`: log(1 - D), what the game says. `non-saturating`: -log D, which pulls
            also when the discriminator is sure.
        learning_rate: of both networks, for plain gradient descent.
        discriminator_steps: how many the discriminator takes in a round, before the generator takes one.
        spread, centre: the first a and b of the generator.
        real, noise: `(100,)`, the data, and what the generator makes its samples from.
        weights: `(features,)` of the discriminator, all 0 at first.
        parameters: `(2,)` or `(5,)` of the generator, in the order of `PARAMETERS`.
        discriminator_updates, generator_updates: how many steps each has taken.
        records: the losses so far.

    Raises:
        ValueError: an option that does not exist, or a number out of its range.
    """

    data: Data = "two bumps"
    generator: Generator = "step"
    discriminator: Discriminator = "hills"
    loss: Loss = "non-saturating"
    learning_rate: float = 0.1
    discriminator_steps: int = 1
    spread: float = 0.5
    centre: float = -2.0
    real: Array = field(init=False, repr=False)
    noise: Array = field(init=False, repr=False)
    weights: Array = field(init=False, repr=False)
    parameters: Array = field(init=False, repr=False)
    discriminator_updates: int = field(init=False, repr=False)
    generator_updates: int = field(init=False, repr=False)
    records: list[Record] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        choices = {"data": Data, "generator": Generator, "discriminator": Discriminator, "loss": Loss}
        for name, options in choices.items():
            if (value := getattr(self, name)) not in get_args(options):
                raise ValueError(f"there is no {name} {value!r}; choose from {', '.join(get_args(options))}.")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; give a number above 0, such as 0.1.")
        if not 0 <= self.discriminator_steps <= MOST_STEPS:
            raise ValueError(f"discriminator_steps is {self.discriminator_steps}; it goes from 0 to {MOST_STEPS}.")
        self.reset()

    def reset(self) -> None:
        """Go back to the start: the discriminator knows nothing, the samples lie where `centre` and `spread` say."""
        self.real = _middles(BUMPS[self.data])
        self.noise = _middles((NormalDist(),))
        start = (self.spread, self.centre)
        self.parameters = np.array(start if self.generator == "line" else start + _STEP_START, dtype=float)
        self.weights = np.zeros(self.features(self.real).shape[1])
        self.discriminator_updates = self.generator_updates = 0
        self.records = []
        self._record()

    # --- the two networks

    def generate(self, noise: Array) -> Array:
        """Make a sample of each number of the noise."""
        a, b = self.parameters[:2]
        line: Array = a * noise + b
        if self.generator == "line":
            return line
        s, k, c = self.parameters[2:]
        step: Array = s * np.tanh(k * noise + c)
        return line + step

    @property
    def samples(self) -> Array:
        """What the generator makes now, `(100,)`."""
        return self.generate(self.noise)

    def features(self, x: Array) -> Array:
        """What the discriminator sees of each x, `(len(x), features)`."""
        constant = np.ones_like(x)
        if self.discriminator == "line":
            return np.column_stack([constant, x])
        if self.discriminator == "parabola":
            return np.column_stack([constant, x, (x / 2) ** 2])
        return np.column_stack([constant, _hills(x)])

    def feature_slopes(self, x: Array) -> Array:
        """Derivative of each feature by x, `(len(x), features)`."""
        constant = np.zeros_like(x)
        if self.discriminator == "line":
            return np.column_stack([constant, np.ones_like(x)])
        if self.discriminator == "parabola":
            return np.column_stack([constant, np.ones_like(x), x / 2])
        return np.column_stack([constant, (_HILLS - x[:, None]) / _HILL_WIDTH**2 * _hills(x)])

    def logit(self, x: Array) -> Array:
        """The discriminator's verdict as a number of any sign: above 0 it says data, below 0 made up."""
        return np.asarray(self.features(x) @ self.weights)

    def judge(self, x: Array) -> Array:
        """D(x): how sure the discriminator is that x belongs to the data, 0 to 1."""
        return _logistic(self.logit(x))

    # --- the losses and their gradients

    def discriminator_loss(self) -> float:
        """Return -mean log D(real) - mean log(1 - D(sample))."""
        real, fake = self.logit(self.real), self.logit(self.samples)
        return float(np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean())

    def generator_loss(self) -> float:
        """Return mean log(1 - D(sample)), or -mean log D(sample): see `loss`."""
        fake = self.logit(self.samples)
        saturating = self.loss == "saturating"
        return float((-np.logaddexp(0, fake) if saturating else np.logaddexp(0, -fake)).mean())

    def discriminator_gradient(self) -> Array:
        """Gradient of the discriminator's loss by its weights.

        By hand: the slope of -log D by the logit is D - 1, that of -log(1 - D) is D.
        """
        real, fake = self.features(self.real), self.features(self.samples)
        real_slope, fake_slope = _logistic(real @ self.weights) - 1, _logistic(fake @ self.weights)
        return np.asarray((real_slope @ real + fake_slope @ fake) / COUNT)

    def pull(self) -> Array:
        """How each sample is pulled, `(100,)`: minus the slope of its own loss by its place.

        By hand: log(1 - D) pulls with D times the slope of the logit, -log D with 1 - D times that slope. Where the
        discriminator is sure that the sample is made up, D is 0, and the first pull vanishes.
        """
        samples = self.samples
        slope = self.feature_slopes(samples) @ self.weights
        judged = self.judge(samples)
        return np.asarray((judged if self.loss == "saturating" else 1 - judged) * slope)

    def generator_gradient(self) -> Array:
        """Gradient of the generator's loss by its parameters: the pulls, handed on by the chain rule."""
        columns = [self.noise, np.ones_like(self.noise)]
        if self.generator == "step":
            s, k, c = self.parameters[2:]
            bend = np.tanh(k * self.noise + c)
            inner = s * (1 - bend**2)
            columns += [bend, inner * self.noise, inner]
        return -self.pull() @ np.stack(columns, axis=1) / COUNT

    # --- the steps

    def step_discriminator(self, times: int = 1) -> None:
        """Let the discriminator learn, while the generator holds still."""
        for _ in range(times):
            self._discriminate()
            self._record()

    def step_generator(self, times: int = 1) -> None:
        """Let the generator learn, while the discriminator holds still."""
        for _ in range(times):
            self._generate()
            self._record()

    def step_both(self, times: int = 1) -> None:
        """Take rounds: `discriminator_steps` of the discriminator, then one of the generator."""
        for _ in range(times):
            for _ in range(self.discriminator_steps):
                self._discriminate()
            self._generate()
            self._record()

    def _discriminate(self) -> None:
        self.weights = self.weights - self.learning_rate * self.discriminator_gradient()
        self.discriminator_updates += 1

    def _generate(self) -> None:
        self.parameters = self.parameters - self.learning_rate * self.generator_gradient()
        self.generator_updates += 1

    def _record(self) -> None:
        updates = self.discriminator_updates + self.generator_updates
        self.records.append(Record(updates, self.discriminator_loss(), self.generator_loss()))
        if len(self.records) > _MOST_RECORDS:  # a long run keeps every other one, and its last
            self.records = [*self.records[:-1:2], self.records[-1]]

    # --- what can be known only of a toy

    def data_density(self, x: Array) -> Array:
        """p_data(x), the density that the data follow."""
        bumps = BUMPS[self.data]
        return np.asarray(sum(_normal_density(x, bump) for bump in bumps) / len(bumps))

    def samples_density(self, x: Array, width: float = 0.05) -> Array:
        """p_g(x), the density that the samples follow, averaged over an interval of this width about each x.

        The mean over an interval stays finite when the generator gives the same number to every noise.
        """
        edges = np.linspace(-_NOISE_EDGE, _NOISE_EDGE, _NOISE_CELLS + 1)
        mass = np.diff([NormalDist().cdf(edge) for edge in edges])
        ends = self.generate(edges)
        low, high = np.minimum(ends[:-1], ends[1:]), np.maximum(ends[:-1], ends[1:])
        reach = np.maximum(high - low, 1e-12)

        def below(places: Array) -> Array:
            return np.asarray(np.clip((places[:, None] - low) / reach, 0, 1) @ mass)

        return (below(x + width / 2) - below(x - width / 2)) / width

    def optimal_discriminator(self, x: Array) -> Array:
        """The best D(x) against this generator: p_data / (p_data + p_g); not a number where both are as good as 0.

        Source: Goodfellow et al. 2014, proposition 1.
        """
        data, made = self.data_density(x), self.samples_density(x)
        total = data + made
        return np.divide(data, total, out=np.full_like(x, np.nan), where=total > 1e-3)


def _middles(bumps: tuple[NormalDist, ...]) -> Array:
    """Numbers in the middle of slices of equal probability, in order."""
    each = COUNT // len(bumps)
    return np.sort([bump.inv_cdf((index + 0.5) / each) for bump in bumps for index in range(each)])


def _hills(x: Array) -> Array:
    """Height of each hill at each x, `(len(x), 9)`."""
    return np.asarray(np.exp(-(((x[:, None] - _HILLS) / _HILL_WIDTH) ** 2) / 2))


def _normal_density(x: Array, bump: NormalDist) -> Array:
    place = (x - bump.mean) / bump.stdev
    return np.asarray(np.exp(-(place**2) / 2) / (bump.stdev * math.sqrt(2 * math.pi)))


def _logistic(logit: Array) -> Array:
    return np.asarray(0.5 + 0.5 * np.tanh(logit / 2))  # 1 / (1 + exp(-logit)), without overflow
