"""The methods that the course can run by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from sr_course.errors import ModelError
from sr_course.metrics import SRCNN_DEMO, Protocol
from sr_course.models.interpolation import Interpolation


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to enlarge a picture, known by name.

    Attributes:
        name: what the command line and the tables call it.
        build: makes the network for a scale.
        protocol: the protocol in which its published figures were measured.
        works_on_luma: it takes a single channel as well as three.
    """

    name: str
    build: Callable[[int], nn.Module]
    protocol: Protocol
    works_on_luma: bool = False


def methods() -> dict[str, Method]:
    """Return every method of the course by name."""
    kernels = {"bicubic": "cubic", "nearest": "nearest", "bilinear": "bilinear", "lanczos3": "lanczos3"}
    return {name: _interpolation(name, kernel) for name, kernel in kernels.items()}


def method(name: str) -> Method:
    """Return one method.

    Raises:
        ModelError: there is none of that name.
    """
    known = methods()
    if name not in known:
        raise ModelError(f"there is no model {name!r}; choose from {', '.join(known)}.")
    return known[name]


def load(name: str, scale: int = 4) -> nn.Module:
    """Return a method as a network in evaluation mode, `(N, 3, H, W)` in [0, 1] to `(N, 3, scale * H, scale * W)`.

    Raises:
        ModelError: there is none of that name, or it does not come at that scale.
    """
    return method(name).build(scale).eval()


def _interpolation(name: str, kernel: str) -> Method:
    def build(scale: int) -> nn.Module:
        if scale < 1:
            raise ModelError(f"{name} cannot enlarge by {scale}; give a whole number from 1 on.")
        return Interpolation(scale, kernel)

    return Method(name=name, build=build, protocol=SRCNN_DEMO, works_on_luma=True)
