"""What a pixel of a layer sees of the picture: all that could reach it, what does reach it, and the sum that it is.

What could reach it is found by an experiment that works for any network: a column of the picture is made "not a
number", and that spreads to every value that is computed from it, by whatever layer or function, and to no other.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.inspection.running import as_maps, hooked, prepare, run, tensor_of, with_tensor

_THICKNESS = 8  # px of the strip across: wider than half of any kernel of the course, and even for shuffles
_LONG_STRIP = 256  # px
_MOST_WORK = 45_000_000_000  # multiplications that finding the fields may cost: seconds on one core
_MOST_PROBES = 65

Way = Literal["rows", "columns"]


@dataclass(frozen=True)
class Reach:
    """What the pixels of a layer see along one direction: pixel `q` from `begin(q)` to `end(q)`.

    It repeats itself: so many pixels of the layer further, all lies so many pixels of the picture further. An enlarging
    layer has several pixels for one of the picture, which need not see the same; a stride skips some of the picture.

    Attributes:
        pixels, places: of the layer and of the picture, after which it repeats itself.
        begins: a pixel of the layer, and where what it sees begins, for it and those after it, `pixels` in all.
        ends: the same for where it ends.
    """

    pixels: int
    places: int
    begins: tuple[int, tuple[int, ...]]
    ends: tuple[int, tuple[int, ...]]

    def begin(self, pixel: int) -> int:
        """First pixel of the picture that is seen; below 0 where the border is."""
        return self._at(self.begins, pixel)

    def end(self, pixel: int) -> int:
        """Last pixel of the picture that is seen; it may lie beyond the border."""
        return self._at(self.ends, pixel)

    def _at(self, table: tuple[int, tuple[int, ...]], pixel: int) -> int:
        first, known = table
        rounds, at = divmod(pixel - first, self.pixels)
        return known[at] + rounds * self.places

    @property
    def size(self) -> int:
        """How many pixels are seen; where neighbours differ, the most."""
        return max(self.end(pixel) - self.begin(pixel) + 1 for pixel in range(self.pixels))


@dataclass(frozen=True)
class Field:
    """The theoretical receptive field of a layer's pixels; nothing for a direction in which they see it all."""

    rows: Reach | None
    columns: Reach | None

    @property
    def everything(self) -> bool:
        """Whether every pixel sees the whole picture, or more than it, in some direction."""
        return self.rows is None or self.columns is None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of the picture.

        Raises:
            ValueError: there is no bound.
        """
        if self.rows is None or self.columns is None:
            raise ValueError("every pixel of this layer sees the whole picture.")
        return self.rows.size, self.columns.size

    def frame(self, row: int, column: int, height: int, width: int) -> tuple[int, int, int, int]:
        """What one pixel of the layer sees of a picture of `height` and `width`: top, left, bottom, right.

        Bottom and right are the first pixels that are not seen any more.
        """
        top, bottom = _within(self.rows, row, height)
        left, right = _within(self.columns, column, width)
        return top, left, bottom, right


def _within(reach: Reach | None, pixel: int, side: int) -> tuple[int, int]:
    if reach is None:
        return 0, side
    return min(max(reach.begin(pixel), 0), side), min(max(reach.end(pixel) + 1, 0), side)


def probe(
    network: nn.Module, picture: Tensor, shapes: Mapping[str, tuple[int, ...]], work: int
) -> dict[str, Field | None]:
    """Find what the pixels of layers see, by pictures with a column that is not a number.

    Args:
        network: any network; in training mode it is probed in evaluation mode.
        picture: `(1, C, H, W)` that it runs on.
        shapes: of the layers' results for that picture, without the batch.
        work: multiplications that one run takes, about.

    Returns:
        By name a field; nothing where it was not found: the probe would take too long, the layer does not depend on
        the picture, or its pixels are not evenly spaced.
    """
    if picture.dtype in (torch.float16, torch.bfloat16):  # there convolutions of a CPU are computed in larger pieces
        network, picture = copy.deepcopy(network).float(), picture.float()
    grids = {name: shape for name, shape in shapes.items() if len(shape) == 3}
    vectors = [name for name, shape in shapes.items() if len(shape) in (0, 1)]
    pixels = picture.shape[-2] * picture.shape[-1]
    price = work / max(pixels, 1)  # of a pixel
    found = {way: _probe_one_way(network, picture, grids, way, price) for way in ("rows", "columns")}
    fields: dict[str, Field | None] = {}
    for name in grids:
        rows, columns = (found[way].get(name, "unknown") for way in ("rows", "columns"))
        fields[name] = (
            None
            if rows == "unknown" or columns == "unknown"
            else Field(*(one if isinstance(one, Reach) else None for one in (rows, columns)))
        )
    return fields | dict.fromkeys(vectors, Field(None, None))


_Found = Reach | Literal["everything", "unknown"]


def _probe_one_way(
    network: nn.Module, picture: Tensor, grids: Mapping[str, tuple[int, ...]], way: Way, price: float
) -> dict[str, _Found]:
    side = picture.shape[-2 if way == "rows" else -1]
    across = picture.shape[-1 if way == "rows" else -2]
    steps = _steps(grids, way, side)
    count = 2 if steps == 1 else max(2, min(2 * steps + 1, _MOST_PROBES, side // 2))
    found: dict[str, _Found] = dict.fromkeys(grids, "unknown")

    def look_along(length: int, thickness: int, wanted: _Found) -> None:
        names = [name for name, one in found.items() if one == wanted]
        if names and count * length * thickness * price <= _MOST_WORK:
            spans = _spans(network, picture, way, length, thickness, count, names)
            found.update({name: _reach(*span) for name, span in spans.items()})

    # a network that halves the picture often does not take a thin strip, and one of a single size takes none at all
    thin, thickness = min(_THICKNESS, across), min(max(_THICKNESS, steps), across)
    for one in dict.fromkeys((thin, thickness, across)):  # each once: often two of them are the same
        look_along(side, one, "unknown")
    if side < _LONG_STRIP:
        look_along(_LONG_STRIP, thickness, "everything")
    return found


def _steps(grids: Mapping[str, tuple[int, ...]], way: Way, side: int) -> int:
    """How many pixels of the picture lie at most between two pixels of a layer, about."""
    sides = [shape[-2 if way == "rows" else -1] for shape in grids.values()]
    return max([1, *(round(side / one) for one in sides if one > 1)])


def _strip(picture: Tensor, way: Way, side: int, thickness: int, columns: Sequence[int]) -> Tensor:
    strip = picture.new_full((len(columns), picture.shape[1], thickness, side), 0.5)
    for at, column in enumerate(columns):
        strip[at, :, :, column] = math.nan
    return strip.transpose(-1, -2).contiguous() if way == "rows" else strip


_Span = tuple[int, int, int]  # a column of the picture, the first and the last pixel of a layer that it reaches


def _spans(
    network: nn.Module, picture: Tensor, way: Way, side: int, thickness: int, count: int, names: Sequence[str]
) -> dict[str, tuple[int, list[_Span | None]]]:
    """By layer its side, and what each probed column of the picture reaches in it."""
    columns = [side // 2 - count // 2 + one for one in range(count)]
    spans: dict[str, tuple[int, list[_Span | None]]] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
            tensor = tensor_of(result)
            if tensor is None or tensor.ndim != 4 or len(tensor) != count:
                return
            summed = tensor.sum(dim=(1, 3) if way == "rows" else (1, 2), dtype=torch.float32)  # (count, side)
            touched = [line.nonzero().flatten().tolist() for line in summed.isnan()]
            spans[name] = (
                summed.shape[1],
                [(column, one[0], one[-1]) if one else None for column, one in zip(columns, touched, strict=True)],
            )

        return note

    with torch.no_grad(), hooked(network, {name: hook(name) for name in names}), suppress(ModelError):
        run(network, _strip(picture, way, side, thickness, columns))
    return spans


def _reach(side: int, spans: Sequence[_Span | None]) -> _Found:
    """Turn what probed columns reach in a layer around: into what the layer's pixels see."""
    known = [one for one in spans if one is not None]
    if len(known) < len(spans):
        return "unknown"  # nothing of the picture gets there
    if any(first == 0 or last == side - 1 for _, first, last in known):
        return "everything"  # or too much for the strip
    columns, firsts, lasts = zip(*known, strict=True)
    for places in range(1, len(known)):
        moves = {line[at + places] - line[at] for line in (firsts, lasts) for at in range(len(known) - places)}
        if len(moves) == 1 and (pixels := moves.pop()) >= 1:
            break
    else:
        return "unknown"  # the layer's pixels are not evenly spaced
    # The last pixel that a column reaches is the last one that begins to see at it or before; and so for the first.
    begin, end = lasts[0] + 1, firsts[0]
    return Reach(
        pixels,
        places,
        (begin, tuple(columns[bisect_left(lasts, pixel)] for pixel in range(begin, begin + pixels))),
        (end, tuple(columns[bisect_right(firsts, pixel) - 1] for pixel in range(end, end + pixels))),
    )


def effective_field(
    network: nn.Module, picture: Tensor, layer: str, *, channel: int, row: int, column: int, most_side: int = 128
) -> Tensor:
    """How strongly each pixel of the picture moves one value of a layer: the size of the gradient.

    Args:
        network: any network that can be differentiated; it is left as it was, gradients of its weights too.
        picture: `(N, C, H, W)`, as in `look`.
        layer: name of a layer.
        channel, row, column: the value in its maps.
        most_side: as in `look`.

    Returns:
        `(H, W)` float32 on the CPU, from 0: the sum of the absolute gradients over the picture's channels.

    Raises:
        ModelError: no such layer or value, or no gradient leads there.

    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional neural networks".
    """
    picture, _ = prepare(network, picture, most_side=most_side)
    seen: list[Tensor] = []

    def hook(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> Any:
        tensor = tensor_of(result)
        if tensor is None:
            return None
        seen[:] = [tensor]
        return with_tensor(result, tensor.clone())  # so that what overwrites it later overwrites the copy

    with torch.enable_grad(), hooked(network, {layer: hook}):
        leaf = picture.clone().requires_grad_()
        run(network, leaf)
        if not seen:
            raise ModelError(f"{layer}: this layer has no answer in {type(network).__name__}.")
        maps = as_maps(seen[0], layer)
        value = maps[_place(maps, channel, row, column)]
        if not value.requires_grad:
            raise ModelError(f"{layer}: no gradient leads from here to the picture; the network detaches it somewhere.")
        (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    if gradient is None:
        raise ModelError(f"{layer}: no gradient leads from here to the picture; the network detaches it somewhere.")
    return gradient[0].detach().abs().sum(dim=0).float().cpu()


def _place(maps: Tensor, channel: int, row: int, column: int) -> tuple[int, int, int]:
    wanted = (channel, row, column)
    for name, value, count in zip(("channel", "row", "column"), wanted, maps.shape, strict=True):
        if not 0 <= value < count:
            raise ModelError(f"{name} is {value}; in these maps it goes from 0 to {count - 1}.")
    return wanted


def effective_side(gradient: Tensor, frame: tuple[int, int, int, int], share: float = 0.9) -> int:
    """Side of the smallest square in the middle of a receptive field that holds a share of its gradient.

    Args:
        gradient: `(H, W)`, from `effective_field`.
        frame: top, left, bottom and right of the theoretical field, see `Field.frame`.
        share: above 0, at most 1.
    """
    total = float(gradient.sum())
    top, left, bottom, right = frame
    row, column = (top + bottom - 1) // 2, (left + right - 1) // 2
    longest = max(gradient.shape)
    for reach in range(longest):
        square = gradient[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        if float(square.sum()) >= share * total * (1 - 1e-6):
            return 2 * reach + 1
    return longest


@dataclass(frozen=True)
class Arithmetic:
    """The sum that one value of a convolution is.

    Attributes:
        patch: what the kernel lies on, `(I, kh, kw)`, borders filled as the layer does it.
        kernel: `(I, kh, kw)`.
        bias: added at the end.
        inputs: which maps before the layer the patches are of.
    """

    patch: Tensor
    kernel: Tensor
    bias: float
    inputs: tuple[int, ...]

    @property
    def products(self) -> Tensor:
        """Patch times kernel, `(I, kh, kw)`."""
        return self.patch * self.kernel

    @property
    def total(self) -> float:
        """The sum of all products, and the bias: the value of the map."""
        return float(self.products.double().sum()) + self.bias


def arithmetic(
    network: nn.Module, picture: Tensor, layer: str, *, channel: int, row: int, column: int, most_side: int = 128
) -> Arithmetic:
    """Take one value of a convolution apart: the patch, the kernel, and the bias.

    Args:
        network, picture, most_side: as in `look`.
        layer: name of a convolution.
        channel, row, column: the value in its maps.

    Raises:
        ModelError: no convolution of that name that runs, or no such value.
    """
    picture, _ = prepare(network, picture, most_side=most_side)
    conv = dict(network.named_modules()).get(layer)
    if not isinstance(conv, nn.Conv2d):
        kind = "is not there" if conv is None else f"is a {type(conv).__name__}"
        raise ModelError(f"{layer}: {kind}; patch times kernel is the arithmetic of a Conv2d.")
    given: list[Tensor] = []
    hook = _keep_input(given)
    with torch.no_grad(), hooked(network, {layer: hook}, before=True):
        run(network, picture)
    if not given:
        raise ModelError(f"{layer}: this layer does not run in {type(network).__name__}.")
    bordered = _bordered(given[0], conv)[0]
    (kernel_height, kernel_width), (down, right), (dy, dx) = conv.kernel_size, conv.stride, conv.dilation
    height = (bordered.shape[1] - dy * (kernel_height - 1) - 1) // down + 1
    width = (bordered.shape[2] - dx * (kernel_width - 1) - 1) // right + 1
    _place(bordered.new_empty(conv.out_channels, height, width), channel, row, column)
    share = conv.in_channels // conv.groups
    first = channel // (conv.out_channels // conv.groups) * share
    top, left = row * down, column * right
    patch = bordered[first : first + share, top : top + dy * (kernel_height - 1) + 1 : dy]
    patch = patch[..., left : left + dx * (kernel_width - 1) + 1 : dx]
    return Arithmetic(
        patch=patch.float().cpu(),
        kernel=conv.weight[channel].detach().float().cpu(),
        bias=0.0 if conv.bias is None else conv.bias[channel].item(),
        inputs=tuple(range(first, first + share)),
    )


def _keep_input(given: list[Tensor]) -> Callable[..., None]:
    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        given[:] = [inputs[0].detach().clone()]

    return keep


def _bordered(given: Tensor, conv: nn.Conv2d) -> Tensor:
    """What a convolution was given, with the border that it adds."""
    if conv.padding == "valid":
        return given
    if conv.padding == "same":
        sides = list(conv._reversed_padding_repeated_twice)
    else:
        vertical, horizontal = (int(side) for side in conv.padding)
        sides = [horizontal, horizontal, vertical, vertical]
    return F.pad(given, sides, mode="constant" if conv.padding_mode == "zeros" else conv.padding_mode)
