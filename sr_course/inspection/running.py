"""Run somebody's network on a picture, and leave it as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sr_course.errors import ImageError, ModelError
from sr_course.images import centre_crop

MOST_SIDE = 128
"""Pixels a side beyond which a picture is cut to its middle: the maps of all layers are looked at together."""

Hook = Callable[[nn.Module, tuple[Any, ...], Any], Any]


def prepare(network: nn.Module, picture: Tensor, *, most_side: int = MOST_SIDE) -> tuple[Tensor, list[str]]:
    """Make a picture fit to be looked at through a network.

    Args:
        network: its device and precision are taken over.
        picture: `(N, C, H, W)`; of several the first is taken, and of a large one the middle.
        most_side: pixels a side at most.

    Returns:
        The picture `(1, C, h, w)`, and a sentence for each thing that was left out.

    Raises:
        ImageError: no picture, or values that are not numbers.
    """
    if picture.ndim != 4 or 0 in picture.shape or not picture.is_floating_point():
        raise ImageError(
            f"a tensor of shape {tuple(picture.shape)} and type {picture.dtype} is not a picture; give floats "
            "(1, 3, H, W) in [0, 1]."
        )
    if not torch.isfinite(picture).all():
        raise ImageError("the picture holds values that are not numbers (NaN or infinite); look at what made it.")
    said = []
    if len(picture) > 1:
        said.append(f"The first of {len(picture)} pictures is shown.")
    one = picture[:1].detach()
    height, width = (min(side, most_side) for side in one.shape[-2:])
    if (height, width) != tuple(one.shape[-2:]):
        said.append(f"Of {one.shape[-1]}x{one.shape[-2]} pixels the middle {width}x{height} are shown.")
        one = centre_crop(one, height, width)
    device, dtype = home(network)
    return one.to(device, dtype or one.dtype).contiguous(), said


def home(network: nn.Module) -> tuple[torch.device, torch.dtype | None]:
    """Where a network's numbers are and of which type; the CPU and nothing for one without numbers."""
    numbers = (one for group in (network.parameters(), network.buffers()) for one in group)
    first = next((one for one in numbers if one.is_floating_point()), None)
    return (torch.device("cpu"), None) if first is None else (first.device, first.dtype)


@contextmanager
def in_evaluation(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode for a while; each of its modules gets its own mode back."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def hooked(network: nn.Module, hooks: Mapping[str, Hook], *, before: bool = False) -> Iterator[None]:
    """Hang a hook on some layers for a while: after each has run, or before.

    Raises:
        ModelError: the network has no layer of that name.
    """
    modules = dict(network.named_modules())
    unknown = next((name for name in hooks if name not in modules), None)
    if unknown is not None:
        there = ", ".join(name for name in list(modules)[:12] if name)
        raise ModelError(f"{type(network).__name__} has no layer {unknown!r}; it begins with {there}.")
    handles = []
    try:
        for name, hook in hooks.items():
            module: Any = modules[name]
            handles.append((module.register_forward_pre_hook if before else module.register_forward_hook)(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def run(network: nn.Module, picture: Tensor) -> Any:
    """Run a network in evaluation mode.

    Raises:
        ModelError: it cannot take the picture; says why.
    """
    with in_evaluation(network):
        try:
            return network(picture)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            shape = "x".join(map(str, picture.shape))
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(
                f"{type(network).__name__} cannot run on a picture of {shape} ({reason}). Give a picture of the size "
                "and the number of channels that it takes."
            ) from error


def tensor_of(result: Any) -> Tensor | None:
    """The tensor that a layer returned; of a tuple, a list or a dictionary the first one in it."""
    if isinstance(result, Tensor):
        return result
    parts = result.values() if isinstance(result, Mapping) else result if isinstance(result, (tuple, list)) else ()
    return next((found for part in parts if (found := tensor_of(part)) is not None), None)


def with_tensor(result: Any, tensor: Tensor) -> Any:
    """What a layer returned, with another tensor in the place of the one that `tensor_of` finds."""
    if isinstance(result, Tensor):
        return tensor
    if isinstance(result, Mapping):
        changed = dict(result)
        key = next(key for key, part in result.items() if tensor_of(part) is not None)
        changed[key] = with_tensor(result[key], tensor)
        return changed
    parts = list(result)
    place = next(at for at, part in enumerate(parts) if tensor_of(part) is not None)
    parts[place] = with_tensor(parts[place], tensor)
    return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)


def as_maps(tensor: Tensor, name: str = "this layer") -> Tensor:
    """What a layer returned for the first picture, as maps `(C, h, w)`; a vector becomes maps of one pixel.

    Raises:
        ModelError: it has no rows and columns that are known.
    """
    if tensor.ndim == 4:
        return tensor[0]
    if tensor.ndim <= 2:
        return (tensor[0] if tensor.ndim == 2 else tensor).reshape(-1, 1, 1)
    shape = "x".join(map(str, tensor.shape))
    raise ModelError(
        f"{name}: returns {shape}, in which rows and columns are not known; look at a layer of (N, C, H, W)."
    )
