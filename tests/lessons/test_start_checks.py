"""The check of lesson 0: several right answers, several typical wrong ones."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from sr_course.lessons import start
from tests.lessons.exercises import is_wrong, said_by


@pytest.mark.parametrize("share", [
    lambda s: 1 / s**2, lambda s: (1 / s) * (1 / s), lambda s: Fraction(1, s * s), lambda s: torch.tensor(1 / s**2),
])  # fmt: skip
def test_right(share, capsys):
    assert said_by(start.check_share, share, capsys).startswith("Exercise 0.1: right.")


@pytest.mark.parametrize(("share", "came"), [
    (lambda s: 1 / s, "0.5"), (lambda s: s**2, "4"), (lambda s: "a quarter", "a quarter"),
    (lambda s: s / 0, "ZeroDivisionError"),
])  # fmt: skip
def test_wrong(share, came, capsys):
    assert is_wrong(said_by(start.check_share, share, capsys), came)


def test_the_answer_comes_with_the_third_wrong_try(capsys):
    for _ in range(3):
        start.check_share(lambda s: 1 / s)
    assert "The answer: return 1 / scale**2" in capsys.readouterr().out


CHECKS = {"0.1": (start.check_share, lambda s: 1 / s**2)}
