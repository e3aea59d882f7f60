"""What holds for every check: a stub, a `return` forgotten, the hints, and the random numbers of a lesson."""

from __future__ import annotations

import re

import pytest
import torch

from tests.lessons.exercises import EXERCISES, is_wrong, said_by
from tests.lessons.test_bicubic_checks import CHECKS as BICUBIC
from tests.lessons.test_esrgan import CHECKS as ESRGAN
from tests.lessons.test_perceptual_checks import CHECKS as PERCEPTUAL
from tests.lessons.test_srcnn_checks import CHECKS as SRCNN
from tests.lessons.test_srgan_checks import CHECKS as SRGAN
from tests.lessons.test_start_checks import CHECKS as START

CHECKS = START | BICUBIC | SRCNN | SRGAN | PERCEPTUAL | ESRGAN  # by the number: the check, and a right answer
FUNCTIONS = [number for number, (_, right) in CHECKS.items() if callable(right)]


def answer_for(number, came):
    """A function that gives `came`, or `came` itself where the exercise asks for a value."""
    return (lambda *given: came) if number in FUNCTIONS else came


def test_no_exercise_is_forgotten():
    assert sorted(CHECKS) == sorted(exercise.number for exercise in EXERCISES)


@pytest.mark.parametrize("number", CHECKS)
def test_a_stub_is_not_solved_yet(number, capsys):
    check, _ = CHECKS[number]
    assert said_by(check, answer_for(number, ...), capsys) == f"Exercise {number}: not solved yet.\n"


@pytest.mark.parametrize("number", FUNCTIONS)
def test_nothing_returned_is_a_wrong_try(number, capsys):
    check, _ = CHECKS[number]
    said = said_by(check, lambda *given: None, capsys)
    assert said.startswith(f"Exercise {number}: not yet. Expected a result; your answer gives nothing (None)")
    assert is_wrong(said, "`return`")


@pytest.mark.parametrize(
    ("number", "came"), [*((number, "wrong") for number in CHECKS), *((number, None) for number in FUNCTIONS)]
)
def test_two_hints_then_the_answer_and_all_anew_after_a_right_one(number, came, capsys):
    check, right = CHECKS[number]
    said = [said_by(check, answer_for(number, came), capsys) for _ in range(3)]
    helped = [re.findall(r"Hint \d:|The answer:", one) for one in said]
    assert helped == [["Hint 1:"], ["Hint 2:"], ["The answer:"]]
    assert said_by(check, right, capsys).startswith(f"Exercise {number}: right.")
    assert "Hint 1:" in said_by(check, answer_for(number, came), capsys)


@pytest.mark.parametrize("number", CHECKS)
def test_a_check_leaves_the_random_numbers_of_a_lesson_alone(number):
    check, right = CHECKS[number]
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    check(right)
    assert torch.equal(torch.rand(1), expected)
