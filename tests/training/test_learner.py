"""What moves the weights: optimiser, learning rates, accumulation and running mean, against closed forms."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from sr_course.data.pairs import Batch
from sr_course.errors import TrainingError
from sr_course.losses import PIXEL_LOSSES, Term
from sr_course.training.learner import Ema, make_generator
from sr_course.training.loop import make_learners
from sr_course.training.objective import Objective
from sr_course.training.recipe import Recipe
from sr_course.training.runtime import Runtime
from sr_course.training.steps import pixel_step

CPU = Runtime(device=torch.device("cpu"))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.rand(4, 1, 8, 8, generator=generator), torch.rand(4, 1, 16, 16, generator=generator))


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}


def test_the_last_layer_learns_at_a_tenth(recipe, batch):
    recipe = replace(
        recipe,
        optimizer="sgd",
        learning_rate=0.5,
        learning_rate_factors=(("conv3.", 0.1),),
        momentum=0.0,
        ema_decay=0.0,
    )
    learners = make_learners(recipe, CPU)
    network = learners["generator"].network
    before = weights_of(network)
    # the gradient, by a second network and without the engine
    twin = copy.deepcopy(network)
    (twin(batch.lr) - batch.hr[..., 3:-3, 3:-3]).square().mean().backward()
    learners["generator"].set_learning_rate(0.5)
    pixel_step([batch], learners, Objective(losses=recipe.losses), CPU, 0)
    for name, weight in network.named_parameters():
        rate = 0.05 if name.startswith("conv3.") else 0.5
        torch.testing.assert_close(weight.detach(), before[name] - rate * twin.get_parameter(name).grad)


def test_factors_for_parameters_that_are_not_there(recipe):
    with pytest.raises(TrainingError, match=r"'conv9\.'"):
        make_learners(replace(recipe, learning_rate_factors=(("conv9.", 0.1),)), CPU)


def test_fused_adam_is_adam(recipe, batch):
    recipe = replace(recipe, betas=(0.8, 0.99), ema_decay=0.0)
    learners = make_learners(recipe, CPU)
    network = learners["generator"].network
    twin = copy.deepcopy(network)
    means = {name: torch.zeros_like(w) for name, w in twin.named_parameters()}
    squares = copy.deepcopy(means)
    for step in range(1, 4):
        learners["generator"].set_learning_rate(1e-2)
        pixel_step([batch], learners, Objective(losses=recipe.losses), CPU, step - 1)
        twin.zero_grad()
        (twin(batch.lr) - batch.hr[..., 3:-3, 3:-3]).square().mean().backward()
        with torch.no_grad():
            for name, weight in twin.named_parameters():  # Kingma and Ba 2015, algorithm 1
                means[name] = 0.8 * means[name] + 0.2 * weight.grad
                squares[name] = 0.99 * squares[name] + 0.01 * weight.grad**2
                mean, square = means[name] / (1 - 0.8**step), squares[name] / (1 - 0.99**step)
                weight -= 1e-2 * mean / (square.sqrt() + 1e-8)
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.detach(), twin.get_parameter(name).detach(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", PIXEL_LOSSES)
def test_a_batch_in_parts_moves_the_weights_as_in_one(recipe, batch, loss):
    results = []
    for parts in ([batch], [Batch(batch.lr[i : i + 1], batch.hr[i : i + 1]) for i in range(4)]):
        one = replace(recipe, losses=(Term(loss),), optimizer="sgd", learning_rate=1e-3)
        learners = make_learners(one, CPU)
        values = pixel_step(parts, learners, Objective(losses=one.losses), CPU, 0)
        results.append((weights_of(learners["generator"].network), values))
    for name in results[0][0]:
        torch.testing.assert_close(results[0][0][name], results[1][0][name], rtol=1e-5, atol=1e-8)
    for name in (loss, "gradient_norm"):
        torch.testing.assert_close(results[0][1][name], results[1][1][name], rtol=1e-5, atol=1e-8)


def test_a_step_names_its_terms_and_keeps_no_graph(recipe, batch):
    recipe = replace(recipe, losses=(Term("mse", 2.0), Term("l1", 0.5)))
    learners = make_learners(recipe, CPU)
    network = learners["generator"].network
    error = (network(batch.lr) - batch.hr[..., 3:-3, 3:-3]).detach()
    values = pixel_step([batch], learners, Objective(losses=recipe.losses), CPU, 0)
    assert set(values) == {"mse", "l1", "gradient_norm"}
    torch.testing.assert_close(values["mse"], 2 * error.square().mean())
    torch.testing.assert_close(values["l1"], 0.5 * error.abs().mean())
    assert not any(value.requires_grad for value in values.values())


def test_gradients_are_clipped_and_their_norm_told(recipe, batch):
    norms, moved = [], []
    for clip_norm in (0.0, 1e-3):
        one = replace(recipe, optimizer="sgd", momentum=0.0, learning_rate=1.0, clip_norm=clip_norm, ema_decay=0.0)
        learners = make_learners(one, CPU)
        learners["generator"].set_learning_rate(1.0)
        before = weights_of(learners["generator"].network)
        norms.append(pixel_step([batch], learners, Objective(losses=one.losses), CPU, 0)["gradient_norm"].item())
        after = weights_of(learners["generator"].network)
        moved.append(torch.cat([(after[name] - before[name]).flatten() for name in before]).norm().item())
    assert norms[0] == pytest.approx(norms[1])
    assert moved == pytest.approx([norms[0], 1e-3], rel=1e-3)


def test_running_mean_of_weights_and_buffers():
    network = nn.BatchNorm2d(1)
    ema = Ema(network, decay=0.5)
    mean_weight, mean_buffer = 1.0, 0.0  # batch norm begins with weight 1, running mean 0
    for step, value in enumerate((3.0, 5.0, -1.0, 8.0, 2.0, 4.0, 7.0, 7.0, 1.0, 2.0)):
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(-value)
            network.num_batches_tracked.fill_(step)
        ema.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        mean_weight = decay * mean_weight + (1 - decay) * value
        mean_buffer = decay * mean_buffer - (1 - decay) * value
        assert ema.network.weight.item() == pytest.approx(mean_weight, rel=1e-5)
        assert ema.network.running_mean.item() == pytest.approx(mean_buffer, rel=1e-5)
        assert ema.network.num_batches_tracked.item() == step
    assert not ema.network.training
    assert network.weight.item() == 2.0


def test_the_same_seed_gives_the_same_first_weights_and_leaves_torchs_generator_alone(recipe):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second = (make_learners(recipe, CPU)["generator"].network for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    other = make_learners(replace(recipe, seed=1), CPU)["generator"].network
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_channels_last_reaches_the_weights(recipe):
    network = nn.Conv2d(3, 8, 3)
    learner = make_generator(network, replace(recipe, learning_rate_factors=()), CPU)
    assert learner.network.weight.is_contiguous(memory_format=torch.channels_last)


def test_how_a_batch_is_shared():
    def positions(rank: int, ranks: int, accumulation: int) -> list[range]:
        return Runtime(device=torch.device("cpu"), rank=rank, ranks=ranks).positions(16, accumulation)

    assert positions(0, 1, 1) == [range(16)]
    assert positions(1, 2, 1) == [range(8, 16)]
    assert positions(1, 4, 2) == [range(4, 6), range(6, 8)]


def test_a_recipe_names_no_precision_that_the_cpu_is_bad_at(recipe: Recipe):
    from sr_course.training.runtime import open_runtime

    for precision in ("bf16", "fp16"):
        with (
            pytest.raises(TrainingError, match=precision),
            open_runtime(replace(recipe, precision=precision), {"SR_COURSE_DEVICE": "cpu"}),
        ):
            pass
    with open_runtime(recipe, {"SR_COURSE_DEVICE": "cpu"}) as runtime:
        assert runtime.dtype is torch.float32
    with pytest.raises(TrainingError, match="'abacus'"), open_runtime(recipe, {"SR_COURSE_DEVICE": "abacus"}):
        pass
    with pytest.raises(TrainingError, match="3 ranks"), open_runtime(recipe, {"WORLD_SIZE": "3"}):
        pass


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_weights_and_losses_whole(recipe, batch, dtype):
    runtime = Runtime(device=torch.device("cpu"), dtype=dtype)
    learners, whole = make_learners(recipe, runtime), make_learners(recipe, CPU)
    values = pixel_step([batch], learners, Objective(losses=recipe.losses), runtime, 0)
    expected = pixel_step([batch], whole, Objective(losses=recipe.losses), CPU, 0)
    assert values["mse"].dtype == torch.float32
    for name in ("mse", "gradient_norm"):  # the gradient's norm is told without the scaler's factor
        assert values[name].item() == pytest.approx(expected[name].item(), rel=0.05)
    weights = weights_of(learners["generator"].network)
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    for name, weight in weights_of(whole["generator"].network).items():
        # Adam's first step goes as far for every weight, so its direction is what can differ
        assert (weight - weights[name]).abs().max() <= 2 * recipe.learning_rate + 1e-6


def test_an_overflow_in_fp16_is_left_out_and_the_scale_halved(recipe, batch):
    runtime = Runtime(device=torch.device("cpu"), dtype=torch.float16)
    learners = make_learners(recipe, runtime)
    learner = learners["generator"]
    before = weights_of(learner.network)
    scale = learner.scaler.get_scale()
    values = pixel_step([Batch(batch.lr, batch.hr + 1e5)], learners, Objective(losses=recipe.losses), runtime, 0)
    assert not torch.isfinite(values["gradient_norm"])
    assert learner.scaler.get_scale() == scale / 2
    for name, weight in weights_of(learner.network).items():
        assert torch.equal(weight, before[name])
    again = make_learners(recipe, runtime)["generator"]
    again.load_state(learner.state())
    assert again.scaler.get_scale() == scale / 2
