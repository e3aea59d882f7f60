"""Training against a discriminator: who is moved by what, the signs of health, and whole runs that go on exactly."""

from __future__ import annotations

import copy
import json
import math
import shutil
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from sr_course.cli import main
from sr_course.data.pairs import Batch
from sr_course.errors import ModelError, TrainingError
from sr_course.losses import Term
from sr_course.training.checkpoints import checkpoints, load_run
from sr_course.training.history import read_history
from sr_course.training.log import read_log
from sr_course.training.loop import make_learners, train
from sr_course.training.networks import AdversaryOptions, PerceptualOptions, RRDBOptions, SRResNetOptions
from sr_course.training.objective import make_objective
from sr_course.training.recipe import Recipe
from sr_course.training.recipes import RECIPES
from sr_course.training.runtime import Runtime
from sr_course.training.signs import ILLNESSES, WINDOW, answer_signs, illnesses, picture_signs
from sr_course.training.steps import adversarial_step, discriminator_step, generator_step

CPU = Runtime(device=torch.device("cpu"))
SIGNS = {
    "discriminator_loss", "logit_real", "logit_fake", "accuracy", "discriminator_gradient_norm",
    "pull_content", "pull_adversarial", "detail_ratio", "pattern", "checkerboard", "colour_shift",
}  # fmt: skip


@pytest.fixture
def gan(pictures) -> Recipe:
    return Recipe(
        name="test",
        network=SRResNetOptions(blocks=1, channels=4),
        scale=2,
        data=str(pictures),
        validation=str(pictures),
        validation_pictures=1,
        losses=(Term("perceptual", 0.1), Term("l1", 0.5), Term("adversarial", 0.01)),
        perceptual=PerceptualOptions(layers=(("relu1_1", 1.0),)),
        adversary=AdversaryOptions(channels=2, hidden=4),
        steps=24,
        batch_size=4,
        hr_crop=16,
        learning_rate=1e-3,
        ema_decay=0.9,
        log_every=2,
        validate_every=12,
        checkpoint_every=5,
        snapshot_steps=(0, 24),
    )


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.rand(4, 3, 8, 8, generator=generator), torch.rand(4, 3, 16, 16, generator=generator))


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in network.named_parameters()}


def moved(before: dict[str, torch.Tensor], network: nn.Module) -> list[bool]:
    return [not torch.equal(before[name], weight) for name, weight in network.named_parameters()]


@pytest.mark.parametrize("kind", ["vanilla", "least_squares", "hinge", "relativistic"])
@pytest.mark.parametrize(
    ("take", "moves"), [(discriminator_step, "discriminator"), (generator_step, "generator")], ids=["D", "G"]
)
def test_each_step_moves_its_own_network_alone(gan, batch, kind, take, moves):
    recipe = replace(gan, adversary=replace(gan.adversary, kind=kind))
    learners, objective = make_learners(recipe, CPU), make_objective(recipe, CPU)
    before = {name: weights_of(learner.network) for name, learner in learners.items()}
    vgg = weights_of(objective.perceptual)
    take([batch], learners, objective, CPU, 0)
    for name, learner in learners.items():
        changed = moved(before[name], learner.network)
        assert any(changed) if name == moves else not any(changed)
        assert all(weight.grad is None for weight in learner.network.parameters())  # nothing is left for the next step
        assert all(weight.requires_grad for weight in learner.network.parameters())
    assert not any(moved(vgg, objective.perceptual))


@pytest.mark.parametrize("term", ["perceptual", "l1", "adversarial"])
def test_the_gradient_of_each_term_reaches_every_layer_of_the_generator(gan, batch, term):
    recipe = replace(gan, losses=tuple(one if one.name == term else Term(one.name, 1e-30) for one in gan.losses))
    learners, objective = make_learners(recipe, CPU), make_objective(recipe, CPU)
    generator = learners["generator"].network
    before = weights_of(generator)
    values = generator_step([batch], learners, objective, CPU, 0)
    assert values["gradient_norm"] > 1e-6
    convolutions = [name for name in before if "conv" in name and name.endswith("weight")]
    assert len(convolutions) == 6  # head, two of a block, trunk, one sub-pixel stage, tail
    for name in convolutions:
        assert not torch.equal(before[name], generator.get_parameter(name))


@pytest.mark.parametrize("kind", ["vanilla", "relativistic"])
def test_a_step_is_the_textbooks(gan, batch, kind):
    """The same update written out: one backward of the sum of all terms, plain SGD, no engine."""
    recipe = replace(
        gan,
        optimizer="sgd",
        momentum=0.0,
        learning_rate=0.1,
        ema_decay=0.0,
        adversary=replace(gan.adversary, kind=kind, learning_rate_factor=0.5),
    )
    learners, objective = make_learners(recipe, CPU), make_objective(recipe, CPU)
    generator, discriminator = (copy.deepcopy(learners[name].network) for name in ("generator", "discriminator"))
    for learner in learners.values():
        learner.set_learning_rate(0.1)
    values = adversarial_step([batch], learners, objective, CPU, 0)

    ones, zeros = torch.ones(4, 1), torch.zeros(4, 1)
    real, fake = discriminator(batch.hr), discriminator(generator(batch.lr).detach())
    if kind == "relativistic":
        real, fake = real - fake.mean(), fake - real.mean()
    judged = F.binary_cross_entropy(real.sigmoid(), ones) + F.binary_cross_entropy(fake.sigmoid(), zeros)
    judged.backward()
    with torch.no_grad():
        for weight in discriminator.parameters():
            weight -= 0.05 * weight.grad

    sr = generator(batch.lr)
    fake, real = discriminator(sr), discriminator(batch.hr).detach()
    if kind == "relativistic":
        against = F.binary_cross_entropy((real - fake.mean()).sigmoid(), zeros)
        against = against + F.binary_cross_entropy((fake - real.mean()).sigmoid(), ones)
    else:
        against = F.binary_cross_entropy(fake.sigmoid(), ones)
    seen = [objective.perceptual.features(side)["relu1_1"] / 12.75 for side in (sr, batch.hr)]
    content = 0.1 * F.mse_loss(*seen) + 0.5 * F.l1_loss(sr, batch.hr)
    (content + 0.01 * against).backward()
    with torch.no_grad():
        for weight in generator.parameters():
            weight -= 0.1 * weight.grad

    torch.testing.assert_close(values["diagnostics/discriminator_loss"], judged.detach())
    torch.testing.assert_close(values["adversarial"], 0.01 * against.detach())
    for name, network in {"generator": generator, "discriminator": discriminator}.items():
        for key, weight in network.named_parameters():
            torch.testing.assert_close(
                learners[name].network.get_parameter(key).detach(), weight.detach(), rtol=1e-4, atol=1e-6
            )


def test_a_batch_in_parts_is_one_batch_without_batch_norm(gan, batch):
    """Batch norm looks at the part that it is given; the discriminator has it, so here it is in evaluation mode."""
    results = []
    recipe = replace(gan, network=replace(gan.network, batch_norm=False), optimizer="sgd", learning_rate=0.1)
    for parts in ([batch], [Batch(batch.lr[i : i + 2], batch.hr[i : i + 2]) for i in (0, 2)]):
        learners, objective = make_learners(recipe, CPU), make_objective(recipe, CPU)
        learners["discriminator"].network.eval()
        values = adversarial_step(parts, learners, objective, CPU, 0)
        results.append((weights_of(learners["generator"].network), values["adversarial"]))
    for name in results[0][0]:
        torch.testing.assert_close(results[0][0][name], results[1][0][name], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(results[0][1], results[1][1])


def test_the_pulls_are_the_norms_of_the_gradients_on_the_picture(gan, batch):
    learners, objective = make_learners(gan, CPU), make_objective(gan, CPU)
    generator, discriminator = (copy.deepcopy(learners[name].network) for name in ("generator", "discriminator"))
    values = generator_step([batch], learners, objective, CPU, 0)
    sr = generator(batch.lr)
    (against,) = torch.autograd.grad(0.01 * F.softplus(-discriminator(sr)).mean(), sr)
    torch.testing.assert_close(values["diagnostics/pull_adversarial"], against.norm())


def test_half_precision_keeps_the_pulls_in_their_units(gan, batch):
    half = Runtime(device=torch.device("cpu"), dtype=torch.float16)
    told = []
    for runtime in (CPU, half):
        learners, objective = make_learners(gan, runtime), make_objective(gan, runtime)
        told.append(adversarial_step([batch], learners, objective, runtime, 0))
    for name in ("perceptual", "adversarial", "gradient_norm", "diagnostics/pull_content"):
        assert told[1][name].item() == pytest.approx(told[0][name].item(), rel=0.05)


def run_of(gan: Recipe, out, **values) -> Recipe:
    recipe = replace(gan, **values)
    train(recipe, out, bar=False)
    return recipe


@pytest.mark.parametrize("accumulation", [1, 2])
def test_resumed_at_any_step_is_never_interrupted_both_networks_and_both_optimisers(gan, tmp_path, accumulation):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    recipe = run_of(gan, straight, accumulation=accumulation)
    sittings = 0
    while not checkpoints(broken) or int(checkpoints(broken)[-1].name[-8:]) < 20:
        train(recipe, broken, resume=sittings > 0, max_minutes=1e-6, bar=False)  # one step a sitting
        sittings += 1
    train(recipe, broken, resume=True, bar=False)
    assert sittings >= 20
    one, other = checkpoints(straight)[-1], checkpoints(broken)[-1]
    for name in ("generator", "generator_ema", "discriminator"):
        assert (one / f"{name}.safetensors").read_bytes() == (other / f"{name}.safetensors").read_bytes()
    states = [torch.load(folder / "state.pt", weights_only=True)["learners"] for folder in (one, other)]
    for name in ("generator", "discriminator"):
        moments = [state[name]["optimizer"]["state"] for state in states]
        assert moments[0].keys() == moments[1].keys()
        for key in moments[0]:
            assert torch.equal(moments[0][key]["exp_avg"], moments[1][key]["exp_avg"])
            assert torch.equal(moments[0][key]["exp_avg_sq"], moments[1][key]["exp_avg_sq"])
    told = [
        [(r["step"], r["terms"], r["diagnostics"]) for r in read_log(run) if r["event"] == "train"]
        for run in (straight, broken)
    ]
    assert told[0] == told[1]
    alarms = [[r["illness"] for r in read_log(run) if r["event"] == "alarm"] for run in (straight, broken)]
    assert alarms[0] == alarms[1]


def test_the_log_and_the_history_tell_the_signs(gan, tmp_path):
    run_of(gan, tmp_path / "run")
    history = read_history(tmp_path / "run")
    assert history.recipe == gan
    assert history.recipe.model == "srgan"
    assert set(history.terms) == {"perceptual", "l1", "adversarial"}
    assert set(history.diagnostics) == SIGNS
    assert history.diagnostics["accuracy"].steps == tuple(range(2, 25, 2))
    assert all(0 <= value <= 1 for value in history.diagnostics["accuracy"].values)
    assert load_run(tmp_path / "run")(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)


def test_a_run_begins_from_another(gan, tmp_path):
    first = replace(gan, losses=(Term("l1"),), steps=4)
    train(first, tmp_path / "first", bar=False)
    second = replace(gan, start=str(tmp_path / "first"), steps=1, snapshot_steps=(0,))
    begun = make_learners(second, CPU)["generator"].network
    for name, weight in load_run(tmp_path / "first").state_dict().items():
        assert torch.equal(weight, begun.state_dict()[name])
    with pytest.raises(TrainingError, match=r"start is .*do not fit"):
        make_learners(replace(second, network=SRResNetOptions(blocks=2, channels=4)), CPU)
    with pytest.raises(ModelError, match="'nobody'"):
        make_learners(replace(second, start="nobody"), CPU)


def test_the_classroom_begins_with_the_published_weights():
    recipe = replace(RECIPES["srgan"]["classroom"], hr_crop=32)
    network = make_learners(recipe, CPU)["generator"].network
    from sr_course.zoo import load

    assert torch.equal(network.tail.conv.weight, load("srresnet").tail.conv.weight)


def test_the_papers_recipe_of_srgan_is_the_papers():
    paper = RECIPES["srgan"]["paper"]  # Ledig et al. 2017, section 3.2 and equations 3 to 6
    assert (paper.steps, paper.batch_size, paper.hr_crop, paper.scale) == (200_000, 16, 96, 4)
    assert paper.learning_rate_at(99_999) == pytest.approx(1e-4)
    assert paper.learning_rate_at(100_000) == pytest.approx(1e-5)
    assert {term.name: term.weight for term in paper.losses} == {"perceptual": 1.0, "adversarial": 1e-3}
    assert paper.perceptual.rescale == pytest.approx(1 / 12.75)
    assert (paper.perceptual.backbone, paper.perceptual.layers) == ("vgg19", (("relu5_4", 1.0),))
    assert RECIPES["srresnet"]["paper"].steps == 1_000_000


def test_the_papers_recipe_of_esrgan_is_the_papers():
    """Wang et al. 2018, sections 3.2 to 4.1; what the paper leaves open, from the authors' options in BasicSR."""
    pixels, paper = RECIPES["rrdb"]["paper"], RECIPES["esrgan"]["paper"]
    assert sum(p.numel() for p in pixels.network.build(4).parameters()) == 16_697_987
    for one in (pixels, paper):
        assert (one.batch_size, one.hr_crop, one.scale, one.betas) == (16, 128, 4, (0.9, 0.999))
    assert pixels.losses == (Term("l1"),)
    rates = [pixels.learning_rate_at(step) for step in (199_999, 200_000, 400_000, 600_000, 999_999)]
    assert rates == pytest.approx([2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5])
    rates = [paper.learning_rate_at(step) for step in (0, 49_999, 50_000, 100_000, 200_000, 300_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6])
    assert {term.name: term.weight for term in paper.losses} == {"perceptual": 1.0, "adversarial": 5e-3, "l1": 1e-2}
    assert paper.adversary.kind == "relativistic"
    assert (paper.perceptual.backbone, paper.perceptual.layers) == ("vgg19", (("conv5_4", 1.0),))
    assert (paper.perceptual.distance, paper.perceptual.rescale) == ("l1", 1.0)
    assert (pixels.steps, paper.steps) == (1_000_000, 400_000)


@pytest.mark.parametrize("size", ["paper", "classroom"])
def test_phase_2_begins_where_phase_1_ends(size):
    """In the folder that `sr-course train rrdb` writes unless told otherwise, with the same network."""
    assert RECIPES["esrgan"][size].start == f"runs/rrdb-{size}"
    assert RECIPES["esrgan"][size].network == RECIPES["rrdb"][size].network
    with pytest.raises(TrainingError, match=f"runs/rrdb-{size}, and there is no such folder. Train that run first"):
        make_learners(replace(RECIPES["esrgan"][size], network=RRDBOptions(blocks=1), hr_crop=32), CPU)


def test_a_run_begins_from_a_shipped_one(gan, tmp_path, monkeypatch):
    """From its last snapshot, where no network of the zoo has that name: all that a shipped run has of its weights."""
    first = replace(gan, losses=(Term("l1"),), steps=4, snapshot_steps=(0, 4))
    train(first, tmp_path / "first_x2", bar=False)
    shutil.rmtree(tmp_path / "first_x2" / "checkpoints")
    monkeypatch.setattr("sr_course.training.loop.RUNS", tmp_path)
    begun = make_learners(replace(gan, start="first"), CPU)["generator"].network
    kept = read_history(tmp_path / "first_x2").weights(4)
    assert kept.keys() == begun.state_dict().keys()
    assert all(torch.equal(weight, begun.state_dict()[name]) for name, weight in kept.items())


def test_a_recipe_survives_json(gan):
    assert Recipe.from_dict(json.loads(json.dumps(gan.to_dict()))) == gan


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"hr_crop": 24}, "multiple of 16"),
        ({"channel": "y"}, "rgb"),
        ({"losses": (Term("adversarial", 1.0),)}, "compares with the truth"),
        ({"losses": (Term("perceptual", 0.0), Term("adversarial"))}, "weight of perceptual"),
    ],
)
def test_impossible_values_are_refused(gan, values, says):
    with pytest.raises(TrainingError, match=says):
        replace(gan, **values)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["srgan", "--discriminator-kind", "nice"], "nice"),
        (["srgan", "--perceptual-layers", "relu9_9=1", "--recipe", "smoke"], "relu9_9"),
        (["srgan", "--recipe", "paper"], "vgg19"),
        (["srresnet", "--losses", "l1=1,adversarial=0.1"], "sr-course train srgan"),
        (["srcnn", "--losses", "l1=1,adversarial=0.1"], "no adversary"),
        (["srgan", "--discriminator-learning-rate-factor", "0"], "above 0"),
    ],
)
def test_nothing_starts_with_an_impossible_option(tmp_path, capsys, arguments, says, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "nothing"))
    try:
        status = main(["train", *arguments, "--out", str(tmp_path / "run"), "--quiet"])
    except SystemExit as stopped:  # refused by the parser
        status = stopped.code
    assert status == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_what_the_discriminator_answers():
    signs = answer_signs(torch.tensor([[2.0], [-1.0], [1.0], [3.0]]), torch.tensor([[-2.0], [-3.0], [1.0], [-1.0]]))
    assert signs["logit_real"].item() == pytest.approx(1.25)
    assert signs["logit_fake"].item() == pytest.approx(-1.25)
    assert signs["accuracy"].item() == pytest.approx(6 / 8)


def test_answers_are_compared_with_each_other_where_the_loss_compares():
    """Means of 1.25 and -1.25, then all of them 5 higher: what was told apart is still told apart."""
    real, fake = torch.tensor([[2.0], [-1.0], [1.0], [3.0]]), torch.tensor([[-2.0], [-3.0], [1.5], [-1.5]])
    for drift in (0.0, 5.0):
        assert answer_signs(real + drift, fake + drift, relative=True)["accuracy"].item() == pytest.approx(7 / 8)
    assert answer_signs(real + 5, fake + 5)["accuracy"].item() == pytest.approx(1 / 2)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(3))


def test_signs_of_a_picture_that_is_the_truth(noise):
    signs = picture_signs(noise, noise[..., ::4, ::4], noise)
    assert signs["detail_ratio"].item() == pytest.approx(1)
    assert signs["pattern"].item() < 0.05  # independent details: the cosine is about one over the root of the pixels
    assert signs["checkerboard"].item() < 0.05


def test_signs_of_half_the_contrast(noise):
    soft = 0.5 + 0.5 * (noise - 0.5)
    assert picture_signs(soft, noise[..., ::4, ::4], noise)["detail_ratio"].item() == pytest.approx(0.5, rel=1e-4)


def test_signs_of_one_pattern_on_every_picture(noise):
    same = noise[:1].expand(4, -1, -1, -1)
    assert picture_signs(same, noise[..., ::4, ::4], noise)["pattern"].item() == pytest.approx(1, abs=1e-4)


def test_signs_of_a_grid():
    flat = torch.full((2, 3, 48, 48), 0.5)
    grid = flat.clone()
    grid[..., ::4, ::4] += 0.3
    rough = flat + 0.05 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(1))
    assert picture_signs(grid, flat[..., ::4, ::4], rough)["checkerboard"].item() > 0.9  # all of its detail is the grid
    assert picture_signs(rough, flat[..., ::4, ::4], rough)["checkerboard"].item() < 0.1


def test_signs_of_a_colour_shift(noise):
    red = noise.clone()
    red[:, 0] += 10 / 255
    lr = noise.mean(dim=(2, 3), keepdim=True).expand(-1, -1, 12, 12)
    assert picture_signs(red, lr, noise)["colour_shift"].item() == pytest.approx(10, abs=1e-3)


HEALTHY = {
    "logit_real": 1.0, "logit_fake": -1.0, "accuracy": 0.8, "pull_content": 1.0, "pull_adversarial": 0.5,
    "pattern": 0.05, "checkerboard": 0.05, "colour_shift": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("values", "illness"),
    [
        ({}, None),
        ({"logit_real": 12.0, "logit_fake": -9.0, "accuracy": 1.0}, "discriminator wins"),
        ({"pull_adversarial": 1e-4}, "adversary ignored"),
        ({"pattern": 0.8}, "mode collapse"),
        ({"checkerboard": 0.6}, "checkerboard"),
        ({"colour_shift": 20.0}, "colour shift"),
    ],
)
def test_each_illness_is_known_by_its_sign(values, illness):
    lines = [HEALTHY | values] * WINDOW
    assert [alarm.illness for alarm in illnesses(7, lines)] == ([illness] if illness else [])
    assert not illnesses(7, lines[1:])  # too few to tell
    assert not illnesses(7, [*lines[1:], dict.fromkeys(HEALTHY)])  # an overflow tells nothing
    for alarm in illnesses(7, lines):
        assert alarm.step == 7
        assert alarm.says.endswith(".")
        assert "{" not in alarm.says


def test_every_illness_is_tested():
    assert {one.name for one in ILLNESSES} == {
        "discriminator wins", "adversary ignored", "mode collapse", "checkerboard", "colour shift"
    }  # fmt: skip


def test_an_alarm_is_told_once(gan, tmp_path):
    run_of(gan, tmp_path / "run", losses=(Term("l1", 1.0), Term("adversarial", 1e-9)))
    told = [record for record in read_log(tmp_path / "run") if record["event"] == "alarm"]
    ignored = [record for record in told if record["illness"] == "adversary ignored"]
    assert [record["step"] for record in ignored] == [2 * WINDOW]
    history = read_history(tmp_path / "run")
    assert [alarm.illness for alarm in history.alarms] == [record["illness"] for record in told]
    assert math.isclose(history.alarms[0].step, 2 * WINDOW)


def test_a_discriminator_in_a_checkpoint_is_whole(gan, tmp_path):
    run_of(gan, tmp_path / "run", steps=2)
    stored = safetensors.torch.load_file(checkpoints(tmp_path / "run")[-1] / "discriminator.safetensors")
    made = make_learners(gan, CPU)["discriminator"].network
    made.load_state_dict(stored)
    assert not torch.equal(made.dense2.weight, make_learners(gan, CPU)["discriminator"].network.dense2.weight)
