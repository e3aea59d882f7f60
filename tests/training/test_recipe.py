"""Recipes: what they refuse, that they survive being stored, and the learning rates they stand for."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import fields, replace

import pytest

from sr_course.errors import CourseError, TrainingError
from sr_course.losses import Term
from sr_course.training import command
from sr_course.training.networks import (
    AdversaryOptions,
    PerceptualOptions,
    RRDBOptions,
    SRCNNOptions,
    SRResNetOptions,
)
from sr_course.training.recipe import CHOICES, SIZES, Recipe
from sr_course.training.recipes import RECIPES, SRCNN_PAPER, one_two_five
from sr_course.training.recipes import recipe as named

EVERY = [pytest.param(one, id=f"{model}-{name}") for model, sizes in RECIPES.items() for name, one in sizes.items()]


@pytest.mark.parametrize("one", EVERY)
def test_a_recipe_survives_json(one):
    assert Recipe.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_every_value_survives_json(recipe):
    odd = replace(
        recipe,
        seed=7,
        reduce=(2, 3),
        losses=(Term("l1", 0.3), Term("mse")),
        learning_rate=1.1e-4,
        learning_rate_factors=(("conv3.", 0.1), ("conv1.", 2.0)),
        milestones=(10, 20),
        network=SRCNNOptions(channels=(3, 2), kernel_sizes=(3, 3, 3), sub_image=16),
    )
    assert Recipe.from_dict(json.loads(json.dumps(odd.to_dict()))) == odd


@pytest.mark.parametrize("one", EVERY)
def test_a_recipe_can_be_printed_whole(one):
    assert all(field.name in str(one) for field in fields(Recipe))


def test_every_network_comes_in_four_sizes():
    for sizes in RECIPES.values():
        assert tuple(sizes) == SIZES


def test_the_srcnn_papers_facts():
    # Dong et al. 2016, sec. 3.3 and 4.1, and the authors' solver
    assert SRCNN_PAPER.network.kernel_sizes == (9, 5, 5)
    assert SRCNN_PAPER.network.sub_image == 33
    assert not SRCNN_PAPER.network.he_init
    assert SRCNN_PAPER.losses == (Term("caffe_euclidean"),)
    assert (SRCNN_PAPER.optimizer, SRCNN_PAPER.learning_rate, SRCNN_PAPER.momentum) == ("sgd", 1e-4, 0.9)
    assert SRCNN_PAPER.learning_rate_factors == (("conv3.", 0.1),)
    assert SRCNN_PAPER.steps * SRCNN_PAPER.batch_size == 8e8


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": -4}, "batch_size is -4"),
        ({"hr_crop": 15}, "multiple of the scale 2"),
        ({"hr_crop": 4}, "7 pixels"),
        ({"accumulation": 3}, "multiple of 3"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"betas": (0.9,)}, "betas"),
        ({"losses": ()}, "at least one"),
        ({"losses": (Term("l2"),)}, "'l2' is unknown; choose from mse, l1"),
        ({"losses": (Term("l1", -1.0),)}, "weight of l1"),
        ({"losses": (Term("l1"), Term("l1"))}, "twice"),
        ({"optimizer": "lion"}, "choose from adam, sgd"),
        ({"schedule": "linear"}, "choose from constant"),
        ({"precision": "fp8"}, "choose from auto"),
        ({"channel": "cb"}, "choose from rgb"),
        ({"milestones": (20, 10)}, "rising"),
        ({"reduce": (0,)}, "reduce"),
        ({"snapshot_steps": (-1,)}, "snapshot_steps"),
    ],
)
def test_the_impossible_is_refused_in_a_sentence(recipe, value, says):
    with pytest.raises(CourseError, match=says):
        replace(recipe, **value)


@pytest.mark.parametrize(
    "damage",
    [
        {"model": "vdsr"},
        {"steps": None},
        {"colour_of_the_sky": "blue"},
        {"network": {"depth": 20}},
        {"losses": [{"kind": "l1"}]},
    ],
)
def test_a_stored_recipe_of_another_kind_is_refused(recipe, damage):
    with pytest.raises(TrainingError):
        Recipe.from_dict({**recipe.to_dict(), **damage})


def test_learning_rates(recipe):
    constant = replace(recipe, learning_rate=0.1, schedule="constant", warmup_steps=4)
    assert [constant.learning_rate_at(step) for step in (0, 1, 3, 4, 59)] == pytest.approx([0.025, 0.05, 0.1, 0.1, 0.1])
    falling = replace(recipe, learning_rate=0.1, schedule="steps", milestones=(10, 20), milestone_factor=0.5)
    assert [falling.learning_rate_at(s) for s in (9, 10, 19, 20)] == pytest.approx([0.1, 0.05, 0.05, 0.025])
    cosine = replace(recipe, learning_rate=0.1, schedule="cosine", warmup_steps=9, steps=60, final_factor=0.2)
    # from step 9 (where the warm-up has ended) to 59: the middle is step 34
    assert [cosine.learning_rate_at(s) for s in (9, 34, 59)] == pytest.approx([0.1, 0.06, 0.02])


def test_one_two_five():
    assert one_two_five(60) == (0, 1, 2, 5, 10, 20, 50, 60)
    assert one_two_five(100) == (0, 1, 2, 5, 10, 20, 50, 100)


def test_unknown_names():
    with pytest.raises(TrainingError, match="choose from srcnn"):
        named("vdsr", "laptop")
    with pytest.raises(TrainingError, match="choose from smoke"):
        named("srcnn", "huge")


def test_the_command_line_reads_every_kind_of_value():
    known = set(command._PARSERS)
    for options in (Recipe, SRCNNOptions, SRResNetOptions, RRDBOptions, PerceptualOptions, AdversaryOptions):
        choices = {**CHOICES, **getattr(options, "choices", {})}
        for field in fields(options):
            assert field.name in choices or field.name in command._GIVEN_OTHERWISE or field.type in known


def test_the_command_lines_parser_does_without_torch():
    code = "import sys, sr_course.cli as c; c.build_parser(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
