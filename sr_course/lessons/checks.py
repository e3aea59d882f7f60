"""Self-checks of the exercises: what was expected and what came, two hints, then the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass
class Exercise:
    """One exercise as its check knows it, and how often it has been tried in this session.

    Attributes:
        number: as the lesson counts it, such as `1.2`.
        hints: the first comes with the first wrong try, the second with the second.
        answer: shown from the third wrong try on.
    """

    number: str
    hints: tuple[str, str]
    answer: str
    tries: int = field(default=0, init=False)

    def right(self, praise: str) -> None:
        """Say that the answer is right, and what follows from it."""
        self.tries = 0
        print(f"Exercise {self.number}: right. {praise}")

    def wrong(self, expected: str, came: str) -> None:
        """Say what was expected and what came, and help a little more each time."""
        self.tries += 1
        print(f"Exercise {self.number}: not yet. Expected {expected}; your answer gives {came}.")
        if self.tries <= len(self.hints):
            print(f"Hint {self.tries}: {self.hints[self.tries - 1]}")
        else:
            print(f"The answer: {self.answer}")

    def unsolved(self) -> None:
        """Say that there is nothing to check yet."""
        print(f"Exercise {self.number}: not solved yet.")

    def ask(self, function: Callable[..., Any], *given: Any) -> Any:
        """Call the learner's function; None where that leaves nothing to check, which is then said already.

        The placeholder `...` is an exercise not begun. An error, or None for a `return` forgotten, is a wrong try.
        """
        try:
            came = function(*given)
        except Exception as error:  # the learner's code may fail in any way
            return self.failed(error)
        if came is ...:
            return self.unsolved()
        if came is None:
            return self.wrong("a result", "nothing (None): a function gives back what stands behind `return`")
        return came

    def failed(self, error: Exception) -> None:
        """Say that the learner's code stopped with an error; that is a wrong try like any other."""
        self.wrong("a result", f"an error, {type(error).__name__}: {error}")


def missing(answer: Any) -> bool:
    """Tell whether a value is still the placeholder `...` or nothing at all; for functions see `Exercise.ask`."""
    return answer is ... or answer is None


def number(came: Any) -> float | None:
    """A number of any kind (int, numpy, torch with a gradient) as a float; None for all else, a text of digits too."""
    if isinstance(came, (str, bytes, bool)):
        return None
    try:
        return float(came.detach() if isinstance(came, Tensor) else came)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def alike(came: Tensor, right: Tensor, atol: float) -> bool:
    """Whether values are the right ones, whatever precision the learner computed in; NaN never is."""
    return torch.allclose(came.to(right), right, atol=atol)


def shape(came: Tensor) -> tuple[int, ...]:
    """The shape as a sentence gives it: `(1, 3, 8, 8)`."""
    return tuple(came.shape)


def shown(came: Any) -> str:
    """What came, in a few words: the kind and the shape of tensors and arrays, the beginning of all else."""
    sizes = getattr(came, "shape", None)
    return f"a {type(came).__name__} of shape {tuple(sizes)}" if isinstance(sizes, tuple) else repr(came)[:200]


def as_when(slips: Mapping[str, T], same: Callable[[T], bool]) -> str:
    """What the learner has probably done, to be put behind what came; empty when no usual slip gives it.

    Args:
        slips: what each slip gives.
        same: whether that is what came.
    """
    return next((f", as when {slip}" for slip, value in slips.items() if same(value)), "")
