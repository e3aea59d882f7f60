"""The ablation of ESRGAN: one switch at a time, at the same size and the same pull, and runs that can be repeated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sr_course.training.history import RUNS as SHIPPED
from sr_course.training.history import read_history
from sr_course.training.log import Record, read_log
from sr_course.training.loop import train
from sr_course.training.recipe import Recipe
from sr_course.training.recipes import RECIPES
from tools.train_esrgan import AFTER_ACTIVATION, ALL_ON, PIXELS, RUNS, after_activation, main, pulls

PHASE_2 = [name for name in RUNS if name.startswith("esrgan")]
FIRST_STEPS = 50


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the runs were made: with more, sums are taken in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Enough(Exception):
    """The run has gone as far as the test looks."""


def parameters(recipe: Recipe) -> int:
    return sum(parameter.numel() for parameter in recipe.network.build(recipe.scale).parameters())


def changed(recipe: Recipe, base: Recipe) -> set[str]:
    return {field.name for field in fields(Recipe) if getattr(recipe, field.name) != getattr(base, field.name)}


def test_a_laptop_holds_the_small_network():
    assert parameters(PIXELS) == 292_395 <= 300_000


@pytest.mark.parametrize("name", RUNS)
def test_all_networks_are_of_one_size(name):
    assert parameters(RUNS[name]) == pytest.approx(parameters(PIXELS), rel=0.01)


@pytest.mark.parametrize("name", PHASE_2)
def test_phase_2_begins_with_phase_1_of_the_same_network(name):
    start = RUNS[RUNS[name].start]
    assert not start.is_adversarial
    assert start.network == RUNS[name].network


def test_each_run_takes_back_one_tweak():
    """The five of Wang et al. 2018, section 3; whatever else changes keeps the comparison fair."""
    assert {name: changed(RUNS[name], ALL_ON) for name in PHASE_2} == {
        "esrgan-s": set(),
        "esrgan-s-batch-norm": {"network", "start"},
        "esrgan-s-residual-blocks": {"network", "start"},
        "esrgan-s-vanilla-gan": {"adversary", "losses"},
        "esrgan-s-after-activation": {"perceptual"},
        "esrgan-s-no-l1": {"losses"},
    }
    assert {recipe.seed for recipe in RUNS.values()} == {0}
    assert RUNS["esrgan-s-vanilla-gan"].adversary == replace(ALL_ON.adversary, kind="vanilla")
    assert [term.name for term in RUNS["esrgan-s-no-l1"].losses] == ["perceptual", "adversarial"]
    assert all(name.startswith("relu") for name, _ in RUNS["esrgan-s-after-activation"].perceptual.layers)
    assert {len({RUNS[name].steps for name in PHASE_2}), len({RUNS[name].steps for name in RUNS}) - 1} == {1}


def test_features_after_the_activation_pull_as_hard():
    before, after = (pulls(term, pictures=3) for term in (ALL_ON.perceptual, after_activation(ALL_ON.perceptual)))
    for name, (partner, factor) in AFTER_ACTIVATION.items():
        assert after[partner] == pytest.approx(before[name], rel=0.1)
        assert factor > 2  # without it, they would not


def test_a_run_that_has_no_start_says_so(tmp_path, capsys):
    assert main(["esrgan-s", "--out", str(tmp_path / "run"), "--start", "runs/nowhere"]) == 2
    assert "runs/nowhere, and there is no such folder" in capsys.readouterr().err


def multiplications(recipe: Recipe) -> float:
    """Multiply-adds of a whole run: a network forward, and about twice that backward; counted without computing."""

    def once(network: nn.Module, side: int) -> float:
        with FlopCounterMode(display=False) as counter:
            network.to("meta")(torch.empty(recipe.batch_size, 3, side, side, device="meta"))
        return counter.get_total_flops() / 2

    generator = once(recipe.network.build(recipe.scale), recipe.hr_crop // recipe.scale)
    if not recipe.is_adversarial:
        return recipe.steps * 3 * generator
    features = once(recipe.perceptual.build().features, recipe.hr_crop)
    discriminator = once(recipe.adversary.build(recipe.hr_crop), recipe.hr_crop)
    # the generator makes pictures twice, for each of the two steps; the discriminator learns from two kinds, and hands
    # on a gradient from one
    return recipe.steps * (4 * generator + 3 * features + 8 * discriminator)


@pytest.mark.parametrize(("one", "other"), [("rrdb", "srresnet"), ("esrgan", "srgan")])
def test_a_classroom_waits_no_longer_than_for_the_older_networks(one, other):
    one, other = (multiplications(RECIPES[model]["classroom"]) for model in (one, other))
    assert one == pytest.approx(other, rel=0.1)


@pytest.mark.parametrize("name", RUNS)
def test_a_shipped_run_is_that_of_its_recipe(name):
    folder = SHIPPED / f"{name}_x4"
    if not folder.is_dir():
        pytest.skip(f"{name} is not among the shipped runs yet")
    history = read_history(folder)
    assert history.recipe == RUNS[name]
    assert history.snapshots[-1] == history.last_logged == RUNS[name].steps


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SR_COURSE_SLOW"), reason="takes a minute a run; set SR_COURSE_SLOW to run it")
@pytest.mark.parametrize("name", ["rrdb-s", "esrgan-s", "esrgan-s-vanilla-gan"])
def test_a_shipped_run_can_be_repeated(tmp_path, one_thread, name):
    """The first 50 steps again, from the recipe alone: every term, and how hard each side pulls, line by line."""
    folder = SHIPPED / f"{name}_x4"
    if not folder.is_dir():
        pytest.skip(f"{name} is not among the shipped runs yet")
    ours = []

    def watch(record: Record) -> None:
        if record["event"] == "train":
            ours.append(record)
            if record["step"] == FIRST_STEPS:
                raise Enough

    with pytest.raises(Enough):
        train(read_history(folder).recipe, tmp_path / "run", watch=watch, bar=False)
    shipped = [one for one in read_log(folder) if one["event"] == "train" and one["step"] <= FIRST_STEPS]
    assert [one["step"] for one in ours] == [one["step"] for one in shipped]
    assert len(shipped) == FIRST_STEPS // RUNS[name].log_every
    for one, other in zip(ours, shipped, strict=True):
        assert one["terms"] == pytest.approx(other["terms"], rel=0.02), one["step"]
        for sign in [name for name in other.get("diagnostics", {}) if name.startswith("pull")]:
            assert one["diagnostics"][sign] == pytest.approx(other["diagnostics"][sign], rel=0.05), one["step"]
