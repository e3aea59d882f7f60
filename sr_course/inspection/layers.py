"""The layers of any network as a tree, and what one of them answers to a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sr_course.errors import ModelError
from sr_course.inspection.fields import Field, probe
from sr_course.inspection.running import Hook, as_maps, hooked, prepare, run, tensor_of
from sr_course.models.describe import describe, notation

KEPT_BYTES = 256_000_000
"""How much of what the layers answered is kept, for a quick look at another layer."""

_LEAST_REACH, _MOST_REACH = 1 / 8, 2**15  # between these, 16 bits hold 11 digits of all that matters
_DESCRIBED_SIDE = 24  # px; what `describe` is given where it may be any size, for its numbers do not depend on it


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One module of a network, with those inside it.

    Attributes:
        name: as in `network.named_modules()`; empty for the network itself.
        kind: its class, a convolution with sizes in the notation of the papers.
        shape: of its result, without the batch; nothing where it did not run or returns no tensor.
        parameters: numbers that it learns, those of its parts included.
        runs: how often it ran for one picture; its last result is shown.
        field: what each pixel of its result sees of the picture; nothing where that is not known.
        sees: the same in words.
        note: what is special about it, in a sentence; mostly empty.
        parts: the modules inside it.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    parameters: int
    runs: int
    field: Field | None = None
    sees: str = ""
    note: str = ""
    parts: tuple[Layer, ...] = ()

    def walk(self) -> Iterator[Layer]:
        """Go through this layer and all inside it, from the outside in, in the order of their names."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def has_maps(self) -> bool:
        """Whether it can be looked at."""
        return self.shape is not None and len(self.shape) in (0, 1, 3)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What was found in a network that ran once.

    Attributes:
        network: the name of its class.
        root: its layers.
        picture: what it ran on, `(1, C, h, w)`, on its device and in its precision.
        output: what it returned, on the CPU in float32; nothing where that is no tensor.
        notes: what was left out, in sentences.
    """

    network: str
    root: Layer
    picture: Tensor = field(repr=False)
    output: Tensor | None = field(repr=False)
    notes: tuple[str, ...]
    kept: dict[str, Kept] = field(repr=False)

    def layer(self, name: str) -> Layer:
        """Find a layer by its name.

        Raises:
            ModelError: there is none.
        """
        for one in self.root.walk():
            if one.name == name:
                return one
        there = ", ".join([one.name for one in self.root.walk() if one.name][:12])
        raise ModelError(f"{self.network} has no layer {name!r}; it begins with {there}.")

    def to_text(self) -> str:
        """Lay the tree out for reading: a line per layer."""
        rows = [("layer", "kind", "result", "parameters", "sees")]
        for one in self.root.walk():
            name = "  " * one.name.count(".") + one.name.rpartition(".")[2] if one.name else "(all)"
            shape = "" if one.shape is None else "x".join(map(str, one.shape))
            rows.append((name, one.kind, shape, f"{one.parameters:,}", one.sees))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = [
            f"{name:{widths[0]}}  {kind:{widths[1]}}  {shape:{widths[2]}}  {count:>{widths[3]}}  {sees}".rstrip()
            for name, kind, shape, count, sees in rows
        ]
        return "\n".join(lines)


class Kept:
    """A tensor in half the memory: 16 bits a number, and one factor that keeps them within range.

    Args:
        tensor: any values.
        reach: the largest size among them.
    """

    def __init__(self, tensor: Tensor, reach: float) -> None:
        self.factor = 1.0 if _LEAST_REACH <= reach <= _MOST_REACH else reach or 1.0
        self.numbers = (tensor if self.factor == 1 else tensor / self.factor).to(torch.float16)

    def tensor(self) -> Tensor:
        """Return it in float32, exact to a two-thousandth of each value."""
        return self.numbers.float() if self.factor == 1 else self.numbers.float() * self.factor


def look(network: nn.Module, picture: Tensor, *, most_side: int = 128, keep: bool = False) -> Anatomy:
    """Run a network once and find all its layers.

    Args:
        network: any network that takes one picture; it is left as it was, also its mode: it runs in evaluation mode.
        picture: `(N, C, H, W)`; of several the first is taken, of a large one the middle.
        most_side: pixels a side at most.
        keep: keep what the layers answered, rounded to 16 bits, up to `KEPT_BYTES`.

    Raises:
        ImageError: no picture.
        ModelError: the network cannot run on it; says why.
    """
    picture, notes = prepare(network, picture, most_side=most_side)
    if any(module.training for module in network.modules()):
        notes.append("The network is in training mode; it is looked at in evaluation mode, and left as it was.")
    walk = _Walk(keep)
    names = [name for name, _ in network.named_modules()]
    with torch.no_grad(), hooked(network, {name: walk.hook(name) for name in names}):
        result = run(network, picture)
    output = tensor_of(result)
    fields = probe(network, picture, {name: shape for name, shape in walk.shapes.items() if shape}, walk.work)
    told = {} if all(one and not one.everything for one in fields.values()) else _told(network, picture)
    modules = dict(network.named_modules())

    def build(name: str) -> Layer:
        inside = [f"{name}.{one}" if name else one for one, _ in modules[name].named_children()]
        shape = walk.shapes.get(name)
        reach = None if name in walk.broken else fields.get(name)
        return Layer(
            name=name,
            kind=notation(modules[name]),
            shape=shape,
            parameters=sum(one.numel() for one in modules[name].parameters()),
            runs=walk.runs.get(name, 0),
            field=reach,
            sees=_sees(reach, shape, told.get(name)),
            note=_note(name, walk),
            parts=tuple(build(one) for one in inside if one in modules),  # a module with two names stands under one
        )

    return Anatomy(
        network=type(network).__name__,
        root=build(""),
        picture=picture,
        output=None if output is None else output.detach().float().cpu(),
        notes=tuple(notes),
        kept=walk.kept,
    )


def record(network: nn.Module, picture: Tensor, layer: str, *, most_side: int = 128) -> Tensor:
    """Return what one layer answers to a picture, exactly: `(C, h, w)` float32 on the CPU.

    Of a layer that runs several times it is the last answer; of a tuple the first tensor in it. What a later layer
    does in place, such as an activation with `inplace=True`, does not show in it.

    Raises:
        ImageError: no picture.
        ModelError: there is no such layer, it did not run, or it returns nothing that has rows and columns.
    """
    picture, _ = prepare(network, picture, most_side=most_side)
    seen: list[Any] = []

    def hook(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        found = tensor_of(result)
        seen[:] = [None if found is None else found.detach().to("cpu", torch.float32, copy=True)]

    with torch.no_grad(), hooked(network, {layer: hook}):
        run(network, picture)
    if not seen:
        raise ModelError(f"{layer}: this layer does not run in {type(network).__name__}, so it has no answer.")
    if seen[0] is None:
        raise ModelError(f"{layer}: this layer returns no tensor, so there is nothing to see.")
    maps: Tensor = as_maps(seen[0], layer)
    return maps


class _Walk:
    """What the hooks of one run write down."""

    def __init__(self, keep: bool) -> None:
        self.shapes: dict[str, tuple[int, ...] | None] = {}
        self.runs: dict[str, int] = {}
        self.several: dict[str, int] = {}  # results that hold more than one thing
        self.broken: set[str] = set()  # results that are not numbers
        self.kept: dict[str, Kept] = {}
        self.work = 0  # multiplications of all convolutions, about
        self._room = KEPT_BYTES if keep else 0
        self._last: tuple[Tensor, int, Kept] | None = None

    def hook(self, name: str) -> Hook:
        def note(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
            self.runs[name] = self.runs.get(name, 0) + 1
            if not isinstance(result, Tensor) and hasattr(result, "__len__"):
                self.several[name] = len(result)
            tensor = tensor_of(result)
            self.shapes[name] = None if tensor is None else tuple(tensor.shape[1:])
            if tensor is None:
                return
            low, high = (float(one) for one in tensor.detach().aminmax()) if tensor.numel() else (0.0, 0.0)
            reach = max(abs(low), abs(high))
            if not math.isfinite(low + high):
                self.broken.add(name)
            weight = getattr(module, "weight", None)
            if tensor.ndim == 4 and isinstance(weight, Tensor) and weight.ndim == 4:
                self.work += weight.numel() * tensor.shape[-2] * tensor.shape[-1]
            if tensor.ndim in (2, 4):
                self._keep(name, tensor, reach)

        return note

    def _keep(self, name: str, tensor: Tensor, reach: float) -> None:
        self._room += 2 * self.kept[name].numbers.numel() if name in self.kept else 0
        self.kept.pop(name, None)
        if self._last and self._last[0] is tensor and self._last[1] == tensor._version:
            self.kept[name] = self._last[2]  # a container returns what its last part did
            return
        if 2 * tensor[0].numel() <= self._room and name not in self.broken:
            kept = Kept(tensor.detach().cpu(), reach)
            self._room -= 2 * tensor[0].numel()
            self.kept[name] = kept
            self._last = (tensor, tensor._version, kept)


def _told(network: nn.Module, picture: Tensor) -> dict[str, int]:
    """What the layer table says that pixels see, in pixels of what the first layer is given, where it knows."""
    for side in (_DESCRIBED_SIDE, picture.shape[-1]):
        try:
            return {one.name: one.receptive_field for one in describe(network, side).layers}
        except (ModelError, RuntimeError, ValueError, TypeError, IndexError):
            continue  # not of that size, or of a kind that it does not know
    return {}


def _sees(found: Field | None, shape: tuple[int, ...] | None, told: int | None) -> str:
    if shape is None:
        return ""
    if found is not None and not found.everything:
        height, width = found.size
        return f"{height} px" if height == width else f"{height}x{width} px"
    if told:
        return f"{told} px"
    return "not known" if found is None else "the whole picture"


def _note(name: str, walk: _Walk) -> str:
    notes = []
    runs = walk.runs.get(name, 0)
    if runs == 0:
        return "Does not run."
    if runs > 1:
        notes.append(f"Runs {runs} times; the last is shown.")
    if walk.shapes[name] is None:
        notes.append("Returns no tensor.")
    elif walk.several.get(name, 1) > 1:
        notes.append(f"Returns {walk.several[name]} things; the first tensor is shown.")
    if name in walk.broken:
        notes.append("Holds values that are not numbers.")
    return " ".join(notes)
