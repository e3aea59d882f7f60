"""A network as a table, to lay beside the figure of its paper: shapes, parameters, receptive fields."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.models.interpolation import Interpolation
from sr_course.resample import KERNELS

# Each pixel of their result depends on one place of their input alone.
_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.Flatten)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One row of the table.

    Attributes:
        name: where the layer is in the network, as in its weights.
        kind: its class and sizes in the notation of the papers: `Conv2d k9n64s1` is 9x9, 64 features, stride 1.
        shape: of its result, without the batch.
        parameters: numbers that it learns.
        receptive_field: side of the square that one pixel of its result depends on, in pixels of what the first layer
            is given: the picture, unless the network enlarges it beforehand.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    receptive_field: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """A network's layers in the order in which they run, and its totals."""

    network: str
    picture_size: int
    layers: tuple[Layer, ...]
    parameters: int

    @property
    def receptive_field(self) -> int:
        """Side of the square that one pixel of the result depends on, counted as in `Layer`."""
        return self.layers[-1].receptive_field

    def to_text(self) -> str:
        """Lay the table out for reading: a line per layer, then the totals."""
        rows = [("layer", "kind", "result", "parameters", "sees")]
        rows += [
            (one.name, one.kind, "x".join(map(str, one.shape)), f"{one.parameters:,}", str(one.receptive_field))
            for one in self.layers
        ]
        rows.append(("all", "", "", f"{self.parameters:,}", str(self.receptive_field)))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            f"{name:{widths[0]}}  {kind:{widths[1]}}  {result:{widths[2]}}  {count:>{widths[3]}}  {sees:>{widths[4]}}"
            for name, kind, result, count, sees in rows
        ]
        return "\n".join([f"{self.network} on a picture of {self.picture_size}x{self.picture_size}", *lines])


def describe(network: nn.Module, picture_size: int) -> Description:
    """Run a network once and write down every layer that took part.

    A receptive field counts along the layers as they run, each adding to what the one before has seen. That is right
    for a chain with skips around it, as all networks of the course are: also where skips are laid side by side with
    the chain, as in a dense block, for the chain has seen the most. For parallel branches it is not.

    Args:
        network: takes `(1, 3, picture_size, picture_size)` in [0, 1]; it is left as it was.
        picture_size: side of the picture, pixels.

    Returns:
        The rows and totals; parameters that several layers share are counted once in the total.

    Raises:
        ModelError: a layer of a kind whose reach is not known here, or features that are enlarged or cut between
            two layers, where no row would show it.
    """
    observed = copy.deepcopy(network).eval()  # with hooks and in evaluation mode, while yours stays as it is
    walk = _Walk()
    for name, module in observed.named_modules():
        if not any(module.children()):
            module.register_forward_hook(walk.recorder(name))
    device = next((parameter.device for parameter in observed.parameters()), torch.device("cpu"))
    with torch.no_grad():
        observed(torch.zeros(1, 3, picture_size, picture_size, device=device))
    return Description(
        network=type(network).__name__,
        picture_size=picture_size,
        layers=tuple(walk.layers),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


class _Walk:
    """What is known at a place between two layers: side of the feature map, its step and its field in the picture."""

    def __init__(self) -> None:
        self.first_side = 0
        self.side = 0
        self.step = Fraction(1)  # from one pixel of the feature map to the next, in pixels of the first layer's input
        self.field = Fraction(1)
        self.layers: list[Layer] = []

    def recorder(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
            if isinstance(layer, nn.Identity):
                return
            self._check_side(name, layer, inputs[0])
            kind = self._pass(name, layer)
            self.side = result.shape[-1]
            self.layers.append(
                Layer(
                    name=name,
                    kind=kind,
                    shape=tuple(result.shape[1:]),
                    parameters=sum(parameter.numel() for parameter in layer.parameters()),
                    receptive_field=math.ceil(self.field),
                )
            )

        return record

    def _check_side(self, name: str, layer: nn.Module, given: Tensor) -> None:
        side = given.shape[-1]
        if not self.layers:
            self.first_side = self.side = side
        border = layer.kernel_size[-1] - 1 if isinstance(layer, nn.Conv2d) else 0  # padded by hand: nothing more seen
        if given.ndim == 4 and not self.side <= side <= self.side + border:
            raise ModelError(
                f"{name}: is given {side} pixels a side where the layer before left {self.side}; for a receptive "
                "field to be known, each enlargement and crop must be a module of its own."
            )

    def _pass(self, name: str, layer: nn.Module) -> str:
        """Go through one layer: widen the field, change the step, return the layer's kind."""
        match layer:
            case nn.Conv2d():
                self.field += (layer.kernel_size[-1] - 1) * layer.dilation[-1] * self.step
                self.step *= layer.stride[-1]
            case nn.PixelShuffle():
                self.step /= layer.upscale_factor
            case nn.Upsample(mode="nearest", scale_factor=float() as factor) if factor.is_integer():
                self.step /= int(factor)  # every pixel is repeated, and none seen beside it
            case Interpolation():
                kernel_width = KERNELS[layer.kernel].width if isinstance(layer.kernel, str) else layer.kernel.width
                self.field += (int(kernel_width) - 1) * self.step
                self.step /= layer.scale
            case nn.Linear():
                self.field = Fraction(self.first_side)
            case _ if not isinstance(layer, _POINTWISE):
                kind = type(layer).__name__
                raise ModelError(
                    f"{name}: how far {kind} sees is not known here; add it to sr_course/models/describe.py."
                )
        return notation(layer)


def notation(layer: nn.Module) -> str:
    """Name a layer by its class, with its sizes where the papers write them: `Conv2d k9n64s1`, `PixelShuffle x2`."""
    kind = type(layer).__name__
    match layer:
        case nn.Conv2d():
            return f"{kind} k{layer.kernel_size[-1]}n{layer.out_channels}s{layer.stride[-1]}"
        case nn.PixelShuffle():
            return f"{kind} x{layer.upscale_factor}"
        case nn.Upsample(scale_factor=float() as factor):
            return f"{kind} x{factor:g}"
        case Interpolation():
            return f"{kind} x{layer.scale}"
        case nn.Linear():
            return f"{kind} n{layer.out_features}"
    return kind
