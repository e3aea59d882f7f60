from __future__ import annotations

import dataclasses
import math
import statistics
from itertools import product

import numpy as np
import pytest
import torch

from sr_course.lessons.toy_gan import COUNT, GUESSING, ToyGan

DISCRIMINATORS = ("line", "parabola", "hills")
GENERATORS = ("line", "step")
LOSSES = ("non-saturating", "saturating")
EVERY = list(product(GENERATORS, DISCRIMINATORS, LOSSES))
PLACES = np.linspace(-3.5, 3.5, 141)


def anywhere(seed: int = 0, **options) -> ToyGan:
    """A toy whose networks stand at random numbers."""
    gan = ToyGan(**options)
    rng = np.random.default_rng(seed)
    gan.weights = rng.normal(0, 0.7, gan.weights.shape)
    gan.parameters = rng.normal(0, 0.8, gan.parameters.shape)
    return gan


def differences(loss, numbers: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Gradient by central finite differences; `numbers` is changed in place and put back."""
    slopes = []
    for index in range(len(numbers)):
        kept = numbers[index]
        ends = []
        for place in (kept + step, kept - step):
            numbers[index] = place
            ends.append(loss())
        numbers[index] = kept
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return np.array(slopes)


def in_torch(gan: ToyGan, weights: torch.Tensor, parameters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses of discriminator and generator, written once more from the text of the class with torch's own losses."""

    def logit(x: torch.Tensor) -> torch.Tensor:
        features = [torch.ones_like(x)]
        if gan.discriminator != "hills":
            features.append(x)
        if gan.discriminator == "parabola":
            features.append((x / 2).square())
        if gan.discriminator == "hills":
            features += [torch.exp(-0.5 * ((x - hill) / 0.8).square()) for hill in range(-4, 5)]
        return sum(weight * feature for weight, feature in zip(weights, features, strict=True))

    z = torch.from_numpy(gan.noise)
    samples = parameters[0] * z + parameters[1]
    if gan.generator == "step":
        samples = samples + parameters[2] * torch.tanh(parameters[3] * z + parameters[4])
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    real, fake = logit(torch.from_numpy(gan.real)), logit(samples)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    generator = entropy(fake, ones) if gan.loss == "non-saturating" else -entropy(fake, zeros)
    return entropy(real, ones) + entropy(fake, zeros), generator


# --- data, noise and the two networks


def test_data_and_noise_have_the_moments_of_their_distributions():
    one, two = ToyGan(data="one bump"), ToyGan(data="two bumps")
    assert one.real.shape == two.real.shape == one.noise.shape == (COUNT,)
    # The middles of slices leave out a little of both tails.
    assert one.noise.mean() == pytest.approx(0, abs=1e-12)
    assert one.noise.std() == pytest.approx(1, abs=0.02)
    assert one.real == pytest.approx(1.5 + 0.5 * one.noise)
    assert two.real.mean() == pytest.approx(0, abs=1e-12)
    assert two.real.std() == pytest.approx(math.hypot(1.5, 0.4), abs=0.01)
    assert (two.real < 0).sum() == 50


@pytest.mark.parametrize("data", ["one bump", "two bumps"])
def test_densities_hold_the_share_of_the_numbers_that_lie_there(data):
    gan = ToyGan(data=data, centre=0.3, spread=0.8)
    x = np.linspace(-6, 6, 2401)
    for density, numbers in ((gan.data_density(x), gan.real), (gan.samples_density(x), gan.samples)):
        assert np.trapezoid(density, x) == pytest.approx(1, abs=1e-4)
        for low, high in ((-6, -1), (-1, 0), (0, 1.5), (1.5, 6)):
            inside = (x >= low) & (x <= high)
            share = ((numbers > low) & (numbers <= high)).mean()
            assert np.trapezoid(density[inside], x[inside]) == pytest.approx(share, abs=0.015)


def test_density_of_the_line_is_the_normal_distribution_in_closed_form():
    gan = ToyGan(generator="line", spread=-0.6, centre=0.4)
    expected = [statistics.NormalDist(0.4, 0.6).pdf(place) for place in PLACES]
    assert gan.samples_density(PLACES) == pytest.approx(np.array(expected), abs=1e-3)


def test_density_of_a_collapsed_generator_is_finite_and_all_there():
    gan = ToyGan(generator="line", spread=0, centre=1.02)
    density = gan.samples_density(PLACES, width=0.05)
    assert np.isfinite(density).all()
    assert density.sum() * 0.05 == pytest.approx(1)
    assert density.argmax() == np.abs(PLACES - 1.0).argmin()


def test_step_makes_two_bumps_of_one():
    gan = ToyGan(generator="step")
    gan.parameters = np.array([0.0, 0.0, 1.5, 20.0, 0.0])
    # Only noise within 0.1 of zero lands between the bumps: 8 percent of a normal distribution.
    assert (np.abs(np.abs(gan.samples) - 1.5) < 0.06).sum() == pytest.approx(92, abs=1)
    assert (gan.samples < 0).sum() == 50


# --- losses and gradients


@pytest.mark.parametrize(("generator", "discriminator", "loss"), EVERY)
def test_losses_and_gradients_are_those_of_automatic_differentiation(generator, discriminator, loss):
    gan = anywhere(1, generator=generator, discriminator=discriminator, loss=loss)
    weights, parameters = (torch.from_numpy(one.copy()).requires_grad_() for one in (gan.weights, gan.parameters))
    losses = in_torch(gan, weights, parameters)
    assert gan.discriminator_loss() == pytest.approx(losses[0].item(), rel=1e-12)
    assert gan.generator_loss() == pytest.approx(losses[1].item(), rel=1e-12)
    (by_weights,) = torch.autograd.grad(losses[0], weights, retain_graph=True)
    (by_parameters,) = torch.autograd.grad(losses[1], parameters)
    assert gan.discriminator_gradient() == pytest.approx(by_weights.numpy(), rel=1e-10, abs=1e-14)
    assert gan.generator_gradient() == pytest.approx(by_parameters.numpy(), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("generator", "discriminator", "loss"), EVERY)
def test_gradients_are_finite_differences(generator, discriminator, loss):
    gan = anywhere(2, generator=generator, discriminator=discriminator, loss=loss)
    by_weights = differences(gan.discriminator_loss, gan.weights)
    assert gan.discriminator_gradient() == pytest.approx(by_weights, rel=1e-6, abs=1e-8)
    by_parameters = differences(gan.generator_loss, gan.parameters)
    assert gan.generator_gradient() == pytest.approx(by_parameters, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("discriminator", DISCRIMINATORS)
def test_slopes_of_the_features_are_finite_differences(discriminator):
    gan = ToyGan(discriminator=discriminator)
    step = 1e-6
    expected = (gan.features(PLACES + step) - gan.features(PLACES - step)) / (2 * step)
    assert gan.feature_slopes(PLACES) == pytest.approx(expected, abs=1e-8)


def test_first_steps_by_hand():
    # All weights are 0, so D is one half everywhere: both losses are known, and nothing pulls.
    gan = ToyGan(data="one bump", generator="line", discriminator="line", learning_rate=0.1)
    assert gan.judge(PLACES) == pytest.approx(np.full(len(PLACES), 0.5))
    assert gan.discriminator_loss() == pytest.approx(2 * math.log(2)) == pytest.approx(GUESSING)
    assert gan.generator_loss() == pytest.approx(math.log(2))
    assert not gan.pull().any()
    # The slope by w is half the distance of the means, (1.5 - -2) / 2 = 1.75; the one by the constant is 0.
    gan.step_discriminator()
    assert gan.weights == pytest.approx([0, 0.175])
    # Each sample x is pulled by (1 - D(x)) w; at the mean, -2, D is 1 / (1 + exp(0.35)) = 0.413.
    assert gan.pull() == pytest.approx(0.175 / (1 + np.exp(0.175 * gan.samples)))
    before = gan.samples
    gan.step_generator()
    expected = before + 0.1 * (gan.noise * gan_mean_pull(before, gan.noise) + gan_mean_pull(before))
    assert gan.samples == pytest.approx(expected)


def gan_mean_pull(samples: np.ndarray, by: np.ndarray | float = 1.0) -> float:
    return float((0.175 / (1 + np.exp(0.175 * samples)) * by).mean())


def test_steps_move_only_the_network_whose_turn_it_is():
    gan = anywhere(3)
    weights, parameters = gan.weights.copy(), gan.parameters.copy()
    gan.step_discriminator(3)
    assert np.array_equal(gan.parameters, parameters)
    assert not np.array_equal(gan.weights, weights)
    weights = gan.weights.copy()
    gan.step_generator(3)
    assert np.array_equal(gan.weights, weights)
    assert not np.array_equal(gan.parameters, parameters)
    assert (gan.discriminator_updates, gan.generator_updates) == (3, 3)


def test_small_steps_go_down():
    gan = anywhere(4, learning_rate=1e-3)
    losses = [gan.discriminator_loss()]
    for _ in range(20):
        gan.step_discriminator()
        losses.append(gan.discriminator_loss())
    assert losses == sorted(losses, reverse=True)
    losses = [gan.generator_loss()]
    for _ in range(20):
        gan.step_generator()
        losses.append(gan.generator_loss())
    assert losses == sorted(losses, reverse=True)


# --- what Goodfellow et al. 2014 say


GAUSS = (
    statistics.NormalDist(1.5, 0.5),
    statistics.NormalDist(0.9, 0.8),
)  # the data, and the samples of the tests below


def overlap(discriminator: str, **options) -> ToyGan:
    """A toy of two overlapping distributions whose discriminator was trained to the end."""
    gan = ToyGan(generator="line", discriminator=discriminator, learning_rate=1.0, **options)
    for _ in range(60_000):
        gan.weights = gan.weights - gan.learning_rate * gan.discriminator_gradient()
    assert np.abs(gan.discriminator_gradient()).max() < 2e-4
    return gan


def test_trained_discriminator_approaches_the_optimal_one():
    """Proposition 1. Two normal distributions: the parabola can be the optimal discriminator exactly."""
    gan = overlap("parabola", data="one bump", spread=0.8, centre=0.9)
    optimal = gan.optimal_discriminator(PLACES)
    data, made = (np.array([one.pdf(place) for place in PLACES]) for one in GAUSS)
    known = ~np.isnan(optimal)
    assert optimal[known] == pytest.approx((data / (data + made))[known], abs=2e-3)
    there = data + made > 0.05
    # The middles of slices are a little narrower than the distributions; the rest is the same.
    assert gan.judge(PLACES)[there] == pytest.approx(optimal[there], abs=0.03)


def test_hills_approach_the_optimal_discriminator_of_two_bumps():
    gan = overlap("hills", data="two bumps", spread=1.2, centre=-0.4)
    there = gan.data_density(PLACES) + gan.samples_density(PLACES) > 0.1
    optimal = gan.optimal_discriminator(PLACES)
    apart = np.abs(gan.judge(PLACES) - optimal)[there]
    assert optimal[there].max() - optimal[there].min() > 0.5  # not a constant that anything would meet
    assert apart.mean() < 0.02
    assert apart.max() < 0.06


def test_loss_of_the_optimal_discriminator_measures_the_distance():
    """Theorem 1: at the optimum the loss is 2 ln 2 less twice the Jensen-Shannon divergence."""
    gan = overlap("parabola", data="one bump", spread=0.8, centre=0.9)
    x = np.linspace(-6, 6, 4801)
    data, made = (np.array([one.pdf(place) for place in x]) for one in GAUSS)
    middle = (data + made) / 2
    divergence = np.trapezoid(data * np.log(data / middle) + made * np.log(made / middle), x) / 2
    assert 0.1 < divergence < 0.5
    assert gan.discriminator_loss() == pytest.approx(2 * math.log(2) - 2 * divergence, abs=0.02)


def test_when_the_samples_are_the_data_nobody_learns_any_more():
    gan = ToyGan(data="one bump", generator="line", discriminator="hills", spread=0.5, centre=1.5)
    gan.step_both(50)
    assert gan.weights == pytest.approx(np.zeros(10), abs=1e-12)
    assert gan.samples == pytest.approx(gan.real, abs=1e-12)
    assert gan.discriminator_loss() == pytest.approx(GUESSING)
    assert gan.optimal_discriminator(gan.real) == pytest.approx(np.full(COUNT, 0.5), abs=5e-3)


def test_saturating_loss_stops_pulling_when_the_discriminator_is_sure():
    pulls = {}
    for loss in LOSSES:
        gan = ToyGan(data="one bump", generator="line", discriminator="parabola", loss=loss, learning_rate=0.3)
        gan.step_discriminator(100)
        judged = gan.judge(gan.samples)
        assert judged.max() < 0.2
        pulls[loss] = gan.pull()
    # The two differ by D / (1 - D), sample by sample.
    assert pulls["saturating"] == pytest.approx(pulls["non-saturating"] * judged / (1 - judged))
    assert np.abs(pulls["saturating"]).mean() < 0.02 * np.abs(pulls["non-saturating"]).mean()


def test_held_discriminator_draws_all_samples_to_one_place():
    """Mode collapse: the generator's best answer to a discriminator that holds still is its peak, again and again."""
    gan = ToyGan(learning_rate=0.3)
    gan.step_discriminator(100)
    places = np.linspace(-4, 4, 8001)
    peak = places[gan.judge(places).argmax()]
    assert peak == pytest.approx(1.5, abs=0.5)  # on one of the bumps: the other one lies nearer to the samples
    gan.step_generator(500)
    assert gan.samples == pytest.approx(np.full(COUNT, peak), abs=0.1)


def test_taking_turns_too_slowly_sends_the_samples_from_bump_to_bump():
    gan = ToyGan(learning_rate=0.3)
    sides = []
    for _ in range(8):
        gan.step_discriminator(100)
        gan.step_generator(100)
        assert gan.samples.std() < 0.1
        sides.append(bool(gan.samples.mean() > 0))
    assert set(sides) == {True, False}


def test_both_bumps_are_learned_by_the_step_and_cannot_be_by_the_line():
    step, line = ToyGan(), ToyGan(generator="line")
    for gan in (step, line):
        gan.step_both(400)
    for bump in (-1.5, 1.5):
        assert 25 <= (np.abs(step.samples - bump) < 0.8).sum() <= 60
    between = [int((np.abs(gan.samples) < 0.5).sum()) for gan in (step, line)]
    assert between[0] < 12 < 20 < between[1]
    assert step.discriminator_loss() > line.discriminator_loss() + 0.2


# --- rounds, records and options


def test_a_round_is_some_steps_of_the_discriminator_and_one_of_the_generator():
    rounds, single = ToyGan(discriminator_steps=3), ToyGan()
    rounds.step_both(2)
    for _ in range(2):
        single.step_discriminator(3)
        single.step_generator()
    assert np.array_equal(rounds.weights, single.weights)
    assert np.array_equal(rounds.parameters, single.parameters)
    assert [record.updates for record in rounds.records] == [0, 4, 8]
    assert rounds.records[-1] == single.records[-1]
    assert rounds.records[-1].discriminator == rounds.discriminator_loss()
    assert rounds.records[-1].generator == rounds.generator_loss()


def test_no_steps_of_the_discriminator_leave_it_as_it_is():
    gan = anywhere(5, discriminator_steps=0)
    weights = gan.weights.copy()
    gan.step_both(5)
    assert np.array_equal(gan.weights, weights)
    assert gan.generator_updates == 5


def test_reset_is_the_start():
    gan = ToyGan(centre=-1, spread=0.7)
    gan.step_both(20)
    gan.reset()
    fresh = ToyGan(centre=-1, spread=0.7)
    for name in (one.name for one in dataclasses.fields(ToyGan)):
        assert np.array_equal(getattr(gan, name), getattr(fresh, name))


def test_a_long_run_keeps_its_first_and_last_record():
    gan = ToyGan(discriminator="line", generator="line")
    gan.step_both(4500)
    assert len(gan.records) <= 2000
    updates = [record.updates for record in gan.records]
    assert updates == sorted(set(updates))
    assert (updates[0], updates[-1]) == (0, 9000)
    assert max(np.diff(updates)) <= 16


def test_nothing_overflows_when_the_discriminator_is_too_sure():
    gan = ToyGan(loss="saturating", learning_rate=1.0)
    gan.weights = np.full_like(gan.weights, -400.0)
    with np.errstate(all="raise", under="ignore"):
        assert math.isfinite(gan.discriminator_loss())
        assert math.isfinite(gan.generator_loss())
        gan.step_both(10)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": "three bumps"}, "no data 'three bumps'; choose from one bump, two bumps"),
        ({"generator": "curve"}, "no generator 'curve'; choose from line, step"),
        ({"discriminator": "step"}, "no discriminator 'step'; choose from line, parabola, hills"),
        ({"loss": "hinge"}, "no loss 'hinge'; choose from non-saturating, saturating"),
        ({"learning_rate": 0}, "learning_rate is 0; give a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"discriminator_steps": 11}, "discriminator_steps is 11; it goes from 0 to 10"),
    ],
)
def test_options_that_do_not_exist_are_refused_with_a_sentence(options, said):
    with pytest.raises(ValueError, match=said) as error:
        ToyGan(**options)
    assert str(error.value).endswith(".")
