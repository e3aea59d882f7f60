"""Inside a network: its layers, their maps, what a pixel sees, what a channel is good for, and which pixels count."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import anywidget
import torch
import traitlets
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from sr_course.errors import CourseError, ImageError, ModelError
from sr_course.images import centre_crop
from sr_course.inspection import (
    MOST_SIDE,
    Anatomy,
    Arithmetic,
    Attribution,
    Importance,
    Layer,
    ablated,
    arithmetic,
    attribute,
    effective_field,
    effective_side,
    importance,
    judge,
    look,
    record,
)
from sr_course.inspection.running import as_maps, run, tensor_of
from sr_course.training.history import History
from sr_course.widgets.feature_pictures import (
    LINE,
    as_rgb,
    coloured,
    cross,
    heat,
    histogram,
    kernel_grid,
    number,
    outline,
    reaches,
    thumbs,
    write,
)
from sr_course.widgets.frame import Sprite, decibels, fitted, front_end, one_of
from sr_course.widgets.still import Still, quick_png

PAGE = 64  # maps in view at once
ORDERS = ("energy", "difference", "index", "importance")
SCALES = ("one", "channel")
TOOLS = ("kernels", "field", "ablation", "attribution")
ATTRIBUTION_SIDE = 48  # px of the picture about the patch
ATTRIBUTION_STEPS = 16
_KERNELS = 64
_STATE = ("layer", "channel", "order", "scale", "tool", "pixel", "page", "off", "snapshot")
_STILL = 888  # px
_GAP = 12

Scene = dict[str, Any]


@dataclass
class _View:
    """One network on one picture; two of them stand side by side."""

    name: str
    network: nn.Module
    anatomy: Anatomy
    truth: Tensor | None
    films: dict[str, list[Tensor]] = field(default_factory=dict)  # of the chosen layer, a map for each snapshot

    def maps(self, layer: str) -> Tensor:
        """What a layer answers, `(C, h, w)`; from what was kept, or by another run."""
        kept = self.anatomy.kept.get(layer)
        if kept is not None:
            return as_maps(kept.tensor(), layer)
        return record(self.network, self.anatomy.picture, layer)


class FeatureExplorer(Still, anywidget.AnyWidget):
    """Opens a network on a picture: its layers as a tree, the maps of one of them, and one of these enlarged.

    Maps are blue below zero, white at zero, orange above. Four tools answer to what is chosen: the kernels behind a
    map; what its pixel sees of the picture, in theory and by gradients, with the products and their sum for a
    convolution; the result without some channels, and what that costs; the pixels of the picture that made a patch of
    the result. Networks run in evaluation mode and are left as they were.

        FeatureExplorer(srcnn, lr, truth=hr)
        FeatureExplorer({"MSE": srresnet, "GAN": srgan}, lr, truth=hr)      # side by side, one cursor
        FeatureExplorer(srresnet, {"photo": lr, "noise": noisy})
        FeatureExplorer(read_history(shipped_run("srcnn_x4")))              # through training

    What is seen are traits that can be set from Python too: `layer`, `channel`, `order`, `scale`, `tool`, `pixel`
    (row and column in the map), `off` (channels of the layer that are switched off), `page` and `snapshot`. `rank()`
    and `attribute()` do what their buttons do. `close()` lets go of networks and maps; so does another run of the cell.

    Args:
        network: any network; two by name, to be compared; or the history of a run, to go through its snapshots.
        picture: `(1, C, H, W)`, what the network is given; two by name, to be compared. Of a history its first sample,
            unless told.
        truth: what the network should make of the picture, if that is known.
        layer: its name; the first convolution, unless told.
        order: of the maps, by `energy`, `difference`, `index`, or `importance` once it was measured.
        scale: `one` for all maps, or of each `channel` its own.
        tool: `kernels`, `field`, `ablation` or `attribution`.
        most_side: of a larger picture the middle is taken.

    Raises:
        ImageError: no picture.
        ModelError: a network that cannot run on it, or no such layer.
        ValueError: more than two, two of each, or an option that does not exist.
    """

    _esm = front_end("frame.js", "feature_explorer.js")
    _css = front_end("frame.css", "feature_explorer.css")

    layer = traitlets.Unicode().tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)
    order = traitlets.Unicode("energy").tag(sync=True)
    scale = traitlets.Unicode("one").tag(sync=True)
    tool = traitlets.Unicode("kernels").tag(sync=True)
    pixel = traitlets.List(traitlets.Int()).tag(sync=True)
    page = traitlets.Int(0).tag(sync=True)
    off = traitlets.List(traitlets.Int()).tag(sync=True)
    snapshot = traitlets.Int(0).tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)
    _names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _tree = traitlets.List(traitlets.Dict()).tag(sync=True)
    _steps = traitlets.List(traitlets.Int()).tag(sync=True)
    _scene = traitlets.Dict().tag(sync=True)
    _sheet = traitlets.Bytes(b"").tag(sync=True)
    _panel = traitlets.Dict().tag(sync=True)
    _panel_sheet = traitlets.Bytes(b"").tag(sync=True)
    _problem = traitlets.Unicode("").tag(sync=True)
    _drawn = traitlets.Int(0).tag(sync=True)
    _answer = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        network: nn.Module | Mapping[str, nn.Module] | History,
        picture: Tensor | Mapping[str, Tensor] | None = None,
        *,
        truth: Tensor | None = None,
        layer: str | None = None,
        order: str = "energy",
        scale: str = "one",
        tool: str = "kernels",
        most_side: int = MOST_SIDE,
    ) -> None:
        self._turn = threading.RLock()  # JupyterLab lets two threads of the kernel answer its controls
        self._quiet = True
        self._history = network if isinstance(network, History) else None
        self._networks: list[nn.Module] = []  # of the snapshots
        self._views, self._notes = self._open(network, picture, truth, most_side)
        self._importance: dict[str, Importance] = {}
        self._attributed: list[Attribution] = []
        self._shown = _Shown()
        tree = self._views[0].anatomy.root
        wanted = layer if layer is not None else _first(view.anatomy.root for view in self._views)
        super().__init__(
            _title=" and ".join(dict.fromkeys(view.anatomy.network for view in self._views)),
            _names=[view.name for view in self._views],
            _tree=[_row(one, depth) for one, depth in _flat(tree)],
            _steps=[] if self._history is None else list(self._history.snapshots),
            snapshot=max(len(self._networks) - 1, 0),
            layer=wanted,
            order=order,
            scale=scale,
            tool=tool,
        )
        self._quiet = False
        with self._turn:
            self._enter_layer()
            self._show()
        self.observe(self._follow, list(_STATE))
        self.on_msg(self._hear)

    # --- what is looked at

    def _open(
        self,
        network: nn.Module | Mapping[str, nn.Module] | History,
        picture: Tensor | Mapping[str, Tensor] | None,
        truth: Tensor | None,
        most_side: int,
    ) -> tuple[list[_View], list[str]]:
        if isinstance(network, History):
            self._networks = [network.network(step) for step in network.snapshots]
            if picture is None:
                picture, truth = network.samples[0].lr, network.samples[0].hr
            network = self._networks[-1]
        if picture is None:
            raise ImageError("give a picture (1, 3, H, W) for the network to look at.")
        networks = dict(network) if isinstance(network, Mapping) else {type(network).__name__: network}
        pictures = dict(picture) if isinstance(picture, Mapping) else {"": picture}
        if not (1 <= len(networks) <= 2 and 1 <= len(pictures) <= 2) or len(networks) + len(pictures) > 3:
            raise ValueError(
                f"{len(networks)} networks and {len(pictures)} pictures; give one of each, or two of one of them."
            )
        views = []
        for title, one in networks.items():
            for name, shown in pictures.items():
                anatomy = look(one, shown, most_side=most_side, keep=self._history is None)
                views.append(_View(name or title, one, anatomy, _same_crop(truth, shown, anatomy)))
        notes = list(dict.fromkeys(note for view in views for note in view.anatomy.notes))
        return views, notes

    @property
    def value(self) -> float:
        """What the chosen map holds at the chosen pixel, in the first network."""
        row, column = self.pixel
        return float(self._shown.maps[0][self.channel, row, column])

    def _node(self) -> Layer:
        return self._views[0].anatomy.layer(self.layer)

    def _said(self, say: Callable[[Layer], str]) -> str:
        """What is said of the layer; of each network's where these are unlike."""
        words = {view.name: say(view.anatomy.layer(self.layer)) for view in self._views}
        if len(set(words.values())) == 1:
            return words[self._views[0].name]
        return "; ".join(f"{name}: {word}" for name, word in words.items())

    def _network(self, view: _View) -> nn.Module:
        return self._networks[self.snapshot] if self._networks else view.network

    def _film(self, view: _View) -> list[Tensor]:
        """The maps of the chosen layer at every snapshot; of one layer only, for they are many."""
        if self.layer not in view.films:
            view.films.clear()
            view.films[self.layer] = [record(one, view.anatomy.picture, self.layer) for one in self._networks]
        return view.films[self.layer]

    # --- what moves it

    def rank(self) -> None:
        """Measure how much worse the result is without each channel of the layer, and order the maps by it."""
        with self._changing():
            if self.layer not in self._importance:
                view = self._views[0]
                self._importance[self.layer] = importance(
                    self._network(view), view.anatomy.picture, self.layer, truth=view.truth
                )
            self.order, self.page = "importance", 0

    def attribute(self) -> None:
        """Find the pixels of the picture that made the patch of the result about the chosen pixel."""
        with self._changing():
            self.tool = "attribution"
            self._attributed = [self._attribution(view) for view in self._views]

    def close(self) -> None:
        """Let go of networks, maps, and the channel to the browser."""
        with self._turn:
            self._views, self._networks, self._attributed = [], [], []
            self._importance, self._history, self._shown = {}, None, _Shown()
            super().close()

    @traitlets.validate("layer")
    def _check_layer(self, proposal: Any) -> str:
        node = self._views[0].anatomy.layer(proposal.value)
        for view in self._views[1:]:
            other = view.anatomy.layer(proposal.value)
            if not _fits(node, other):
                raise ModelError(f"{node.name}: results of {node.shape} and {other.shape} have no channels in common.")
        if not node.has_maps:
            why = node.note or "Rows and columns of its result are not known."
            raise ModelError(f"{node.name or 'the network'}: has no maps to look at. {why}")
        return str(proposal.value)

    @traitlets.validate("order", "scale", "tool")
    def _check_option(self, proposal: Any) -> str:
        name = proposal.trait.name
        choices = {"order": ORDERS, "scale": SCALES, "tool": TOOLS}[name]
        if proposal.value not in choices:
            raise ValueError(f"there is no {name} {proposal.value!r}; choose from {', '.join(choices)}.")
        return str(proposal.value)

    @traitlets.validate("snapshot")
    def _check_snapshot(self, proposal: Any) -> int:
        return one_of("snapshot", proposal.value, "snapshots", max(len(self._networks), 1))

    @traitlets.validate("channel")
    def _check_channel(self, proposal: Any) -> int:
        return one_of("channel", proposal.value, "channels", self._count()) if self._shown.maps else int(proposal.value)

    @traitlets.validate("off")
    def _check_off(self, proposal: Any) -> list[int]:
        if self._shown.maps:
            for one in proposal.value:
                one_of("a channel that is off", one, "channels", self._count())
        return sorted(set(proposal.value))

    @traitlets.validate("pixel")
    def _check_pixel(self, proposal: Any) -> list[int]:
        if not self._shown.maps:
            return list(proposal.value)
        if len(proposal.value) != 2:
            raise ValueError(f"pixel is {proposal.value}; give its row and its column.")
        height, width = self._shown.maps[0].shape[1:]
        row, column = proposal.value
        return [one_of("the pixel's row", row, "rows", height), one_of("its column", column, "columns", width)]

    @traitlets.validate("page")
    def _check_page(self, proposal: Any) -> int:
        return min(max(int(proposal.value), 0), max(-(-self._count() // PAGE) - 1, 0)) if self._shown.maps else 0

    def _count(self) -> int:
        return int(self._shown.maps[0].shape[0])

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Gather changes: what the browser is told of all of them is one message."""
        with self._turn, self.hold_sync():
            quiet, self._quiet = self._quiet, True
            try:
                yield
                if self._views:
                    self._show()
            finally:
                self._quiet = quiet

    def _follow(self, change: Any) -> None:
        if change.name == "layer" or change.name == "snapshot":
            self._moved(change.name)
        if not self._quiet:
            with self._changing():
                pass

    def _moved(self, name: str) -> None:
        with self._turn, self.hold_sync():
            quiet, self._quiet = self._quiet, True
            try:
                if name == "layer":
                    self._enter_layer()
                else:
                    self._importance.clear()
                    self._attributed = []
                    if self.order == "importance":
                        self.order = "energy"
            finally:
                self._quiet = quiet

    def _enter_layer(self) -> None:
        """Choose the strongest map of a new layer, and its middle."""
        self._shown = _Shown()
        self.off, self.page = [], 0
        if self.order == "importance" and self.layer not in self._importance:
            self.order = "energy"
        self._load_maps()
        self.channel = self._ranking()[0]
        height, width = self._shown.maps[0].shape[1:]
        self.pixel = [height // 2, width // 2]

    def _hear(self, _widget: object, message: Mapping[str, Any], _buffers: object) -> None:
        """Do what the browser says, and answer each message, also one that cannot be obeyed."""
        with self._turn, self.hold_sync():
            problem = ""
            try:
                with self._changing():
                    for name, value in (message.get("set") or {}).items():
                        if name in _STATE:
                            self.set_trait(name, value)
                deed = message.get("do")
                if deed == "rank":
                    self.rank()
                elif deed == "attribute":
                    self.attribute()
            except (CourseError, ValueError, traitlets.TraitError) as error:
                problem = str(error)
            self._problem = problem
            self._answer += 1

    # --- what is seen

    def _load_maps(self) -> None:
        if self._networks:
            self._shown.maps = [self._film(view)[self.snapshot] for view in self._views]
            lasts = [self._film(view)[-1] for view in self._views]
        else:
            self._shown.maps = lasts = [view.maps(self.layer) for view in self._views]
        self._shown.energy = lasts[0].square().mean(dim=(1, 2)).sqrt()
        self._shown.thumbs = [thumbs(one) for one in self._shown.maps]
        films = [thumbs(one) for view in self._views for one in self._film(view)] if self._networks else []
        self._shown.reaches = torch.stack([reaches(one) for one in films or self._shown.thumbs]).amax(dim=0)
        self._shown.difference = None
        if len(lasts) == 2 and lasts[0].shape == lasts[1].shape:
            self._shown.difference = (lasts[0] - lasts[1]).square().mean(dim=(1, 2)).sqrt()
        self._shown.key = (self.layer, self.snapshot)

    def _ranking(self) -> list[int]:
        """The channels in the order in which they are shown."""
        shown, known = self._shown, self._importance.get(self.layer)
        if self.order == "importance" and known is not None:
            return known.ranking()
        if self.order == "difference" and shown.difference is not None:
            return [int(one) for one in shown.difference.argsort(descending=True, stable=True)]
        if self.order == "index":
            return list(range(self._count()))
        return [int(one) for one in shown.energy.argsort(descending=True, stable=True)]

    def _show(self) -> None:
        """Lay out what is seen, for the browser and for the still picture."""
        if self._shown.key != (self.layer, self.snapshot):
            self._load_maps()
        drawn = (*self._shown.key, self.channel, self.order, self.scale, tuple(self.pixel), self.page)
        if self._shown.drawn != (drawn, self._orders()):  # switching channels off leaves it as it is
            sheet = Sprite()
            scene = self._maps_scene(sheet)
            packed, scene["places"] = sheet.packed()
            self._scene, self._sheet = scene, quick_png(packed)
            self._shown.pictures, self._shown.drawn = sheet.pictures, (drawn, self._orders())
        panel_sheet = Sprite()
        try:
            panel = {"tool": self.tool, "problem": "", **getattr(self, f"_{self.tool}_panel")(panel_sheet)}
        except CourseError as error:
            panel_sheet = Sprite()
            panel = {"tool": self.tool, "problem": str(error), "text": str(error), "figures": []}
        self._shown.panel_pictures = panel_sheet.pictures
        panel["places"] = []
        if panel_sheet.pictures:
            panel_packed, panel["places"] = panel_sheet.packed()
            self._panel_sheet = quick_png(panel_packed)
        self._panel = panel
        self._drawn += 1

    def _maps_scene(self, sheet: Sprite) -> Scene:
        shown, node, ranking = self._shown, self._node(), self._ranking()
        full = torch.full_like(shown.reaches, float(shown.reaches.max())) if self.scale == "one" else shown.reaches
        full = full.clamp(min=1e-12)
        page = ranking[self.page * PAGE : (self.page + 1) * PAGE]
        drawn = coloured([small[page] / full[page, None, None] for small in shown.thumbs])
        cells = [
            {"channel": one, "picture": sheet.add(picture), "label": self._label(one, float(full[one]))}
            for one, picture in zip(page, drawn, strict=True)
        ]
        row, column = self.pixel
        reach = float(full[self.channel])
        enlarged = []
        for view, maps in zip(self._views, shown.maps, strict=True):
            chosen = maps[self.channel]
            value = float(chosen[min(row, chosen.shape[0] - 1), min(column, chosen.shape[1] - 1)])
            (picture,) = coloured([chosen[None] / reach])
            enlarged.append(
                {
                    "name": view.name,
                    "picture": sheet.add(picture),
                    "value": number(value),
                    "histogram": histogram(chosen),
                    "input": sheet.add(as_rgb(view.anatomy.picture)),
                    "frame": self._frame(view),
                }
            )
        height, width = shown.maps[0].shape[1:]
        called = f"{node.name}: {node.kind}" if node.name else self._title
        facts = self._said(lambda one: f"{one.parameters:,} parameters, a pixel sees {one.sees or 'nothing'}")
        return {
            "heading": f"{called}, {_many(self._count(), 'map')} of {height}×{width}",
            "facts": f"{facts}. {node.note}".strip(),
            "scale": self._scale_words(float(shown.reaches.max())),
            "orders": self._orders(),
            "order": self.order,
            "count": self._count(),
            "pages": -(-self._count() // PAGE),
            "cells": cells,
            "channel": self.channel,
            "size": [height, width],
            "reach": number(reach),
            "views": enlarged,
            "notes": self._notes,
        }

    def _orders(self) -> list[str]:
        known = ["energy", "index"]
        if self._shown.difference is not None:
            known.insert(1, "difference")
        if self.layer in self._importance:
            known.append("importance")
        return known

    def _label(self, channel: int, reach: float) -> str:
        """What is said of a map besides its number."""
        if self.order == "importance":
            known = self._importance[self.layer]
            value = float(known.values[channel])
            return _signed(value) if known.unit == "dB" else number(value)
        if self.order == "difference" and self._shown.difference is not None:
            return number(float(self._shown.difference[channel]))
        return f"±{number(reach)}" if self.scale == "channel" else number(float(self._shown.energy[channel]))

    def _scale_words(self, reach: float) -> str:
        beyond = " over all snapshots" if self._networks else ""
        if self.scale == "one":
            return f"One scale for all maps{beyond}: blue −{number(reach)}, white 0, orange +{number(reach)}."
        return f"Each map on its own scale{beyond}: blue below zero, white 0, orange above; full at the ± beside it."

    def _frame(self, view: _View) -> list[float] | None:
        """What the pixel sees in theory, as top, left, bottom and right in parts of the picture."""
        field = view.anatomy.layer(self.layer).field
        if field is None:
            return None
        height, width = view.anatomy.picture.shape[-2:]
        row, column = self.pixel
        top, left, bottom, right = field.frame(row, column, height, width)
        return [top / height, left / width, bottom / height, right / width]

    # --- the tools

    def _kernels_panel(self, sheet: Sprite) -> Scene:
        figures, texts = [], []
        views = list({id(view.network): view for view in self._views}.values())  # two pictures have the same kernels
        for view in views:
            module = self._network(view).get_submodule(self.layer)
            if not isinstance(module, nn.Conv2d):
                return {"text": f"{type(module).__name__} has no kernels; look at a Conv2d for them.", "figures": []}
            kernels = module.weight[self.channel].detach().float().cpu()
            reach = float(kernels.abs().max()) or 1.0
            picture = kernel_grid(kernels[:_KERNELS] / reach)
            count = f"{_KERNELS} of {len(kernels)}" if len(kernels) > _KERNELS else f"{len(kernels)}"
            size = "×".join(map(str, kernels.shape[1:]))
            name = view.name if len(views) > 1 else self._title
            figures.append({"name": name, "picture": sheet.add(picture), "square": True})
            bias = "" if module.bias is None else f", bias {number(float(module.bias[self.channel].detach()))}"
            texts.append(
                f"{_prefix(views, view)}{count} {'kernel' if len(kernels) == 1 else 'kernels'} {size}, one for "
                f"each map before; full colour at ±{number(reach)}{bias}."
            )
        return {"text": " ".join(texts), "figures": figures}

    def _field_panel(self, sheet: Sprite) -> Scene:
        row, column = self.pixel
        figures, texts = [], []
        for view in self._views:
            picture = view.anatomy.picture
            height, width = picture.shape[-2:]
            gradient = effective_field(
                self._network(view), picture, self.layer, channel=self.channel, row=row, column=column,
                most_side=max(height, width),
            )  # fmt: skip
            moves = sheet.add(heat(picture, gradient))
            figures.append({"name": view.name, "picture": moves, "frame": self._frame(view)})
            field = view.anatomy.layer(self.layer).field
            frame = (0, 0, height, width) if field is None else field.frame(row, column, height, width)
            if float(gradient.sum()) == 0:
                texts.append(f"{_prefix(self._views, view)}No gradient passes here: the value is cut off at zero.")
            else:
                side = effective_side(gradient, frame)
                texts.append(f"{_prefix(self._views, view)}90 % of the gradient lies within {side} px.")
        sums = self._sums()
        return {
            "text": f"Frame: what row {row}, column {column} could see, {self._said(lambda one: one.sees)}. "
            "Orange: what moves it. " + " ".join(texts),
            "figures": figures,
            **({"sums": sums} if sums else {}),
        }

    def _sums(self) -> Scene | None:
        """Patch, kernel and products in numbers, for the layer that looks at the picture itself."""
        view = self._views[0]
        network = self._network(view)
        if self.layer != _first([view.anatomy.root]) or not isinstance(network.get_submodule(self.layer), nn.Conv2d):
            return None
        row, column = self.pixel
        taken: Arithmetic = arithmetic(
            network, view.anatomy.picture, self.layer, channel=self.channel, row=row, column=column,
            most_side=max(view.anatomy.picture.shape[-2:]),
        )  # fmt: skip
        names = {3: ("red", "green", "blue"), 1: ("brightness",)}.get(len(taken.inputs), taken.inputs)
        parts = []
        for at, name in enumerate(names):
            parts.append(
                {
                    "name": str(name),
                    "patch": _table(taken.patch[at]),
                    "kernel": _table(taken.kernel[at]),
                    "products": _table(taken.products[at]),
                    "sum": f"{float(taken.products[at].double().sum()):.4f}",
                }
            )
        return {"parts": parts, "bias": f"{taken.bias:.4f}", "total": f"{taken.total:.4f}"}

    def _ablation_panel(self, sheet: Sprite) -> Scene:
        figures, texts = [], []
        for view in self._views:
            network, picture = self._network(view), view.anatomy.picture
            base, without = self._outputs(view, network, picture)
            words = _difference(base, without, view.truth)
            if _is_picture(base):
                figures.append({"name": f"{view.name}, all channels", "picture": sheet.add(as_rgb(base))})
                if self.off:
                    figures.append({"name": f"{len(self.off)} off", "picture": sheet.add(as_rgb(without))})
            texts.append(f"{_prefix(self._views, view)}{words}")
        known = self._importance.get(self.layer)
        measured = ""
        ranking = known.ranking() if known else None
        if known and ranking:
            measured = (
                f" Ranked one by one on the middle {known.side[1]}×{known.side[0]}: channel {ranking[0]} matters most, "
                f"{ranking[-1]} least."
            )
        off = f"{len(self.off)} of {_many(self._count(), 'channel')} of {self.layer or self._title} off. "
        return {"text": off + " ".join(texts) + measured, "figures": figures, "ranking": ranking, "off": self.off}

    def _outputs(self, view: _View, network: nn.Module, picture: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            base = view.anatomy.output if not self._networks else _output(run(network, picture))
            if base is None:
                raise ModelError("this network returns no tensor, so what a channel is good for is not seen.")
            if not self.off:
                return base, base
            with ablated(network, {self.layer: self.off}):
                without = _output(run(network, picture))
        assert without is not None
        return base, without

    def _attribution_panel(self, sheet: Sprite) -> Scene:
        if not self._attributed:
            side = _part_side(self._views[0].anatomy.picture)
            return {
                "text": f"Which of the {side}×{side} pixels about the chosen one made the result there? Press the "
                "button; it takes some seconds.",
                "figures": [],
            }
        figures, texts = [], []
        most = max(float(one.map.abs().max()) for one in self._attributed) or 1.0
        for view, one in zip(self._views, self._attributed, strict=True):
            (picture,) = coloured([one.map[None] / most * 2])
            top, left, side = one.patch
            across = one.map.shape[-1] * self._times(view)
            frame = [top / across, left / across, (top + side) / across, (left + side) / across]
            figures.append({"name": view.name, "picture": sheet.add(picture), "frame": frame})
            texts.append(
                f"{_prefix(self._views, view)}Diffusion index {one.diffusion_index:.1f}, shares complete to "
                f"{100 * one.incompleteness:.1f} %."
            )
        side = self._attributed[0].patch[2]
        return {
            "text": f"Which pixels made the {side}×{side} pixels of the result in the frame: orange those that gave "
            f"edges, blue those that took them. {' '.join(texts)}",
            "figures": figures,
        }

    def _times(self, view: _View) -> int:
        """How many times as large the result is as the picture."""
        output, picture = view.anatomy.output, view.anatomy.picture
        if output is None or not _is_picture(output) or output.shape[-1] % picture.shape[-1]:
            raise ModelError("this network makes no picture, so no patch of it can be asked for.")
        return int(output.shape[-1] // picture.shape[-1])

    def _attribution(self, view: _View) -> Attribution:
        times, picture = self._times(view), view.anatomy.picture
        height, width = picture.shape[-2:]
        part = _part_side(picture)
        map_height, map_width = self._shown.maps[0].shape[1:]
        row = int((self.pixel[0] + 0.5) * height / map_height)
        column = int((self.pixel[1] + 0.5) * width / map_width)
        top, left = min(max(row - part // 2, 0), height - part), min(max(column - part // 2, 0), width - part)
        side = min(16, part * times)
        patch = (
            min(max((row - top) * times - side // 2, 0), part * times - side),
            min(max((column - left) * times - side // 2, 0), part * times - side),
            side,
        )
        crop = picture[..., top : top + part, left : left + part]
        return attribute(self._network(view), crop, patch, steps=ATTRIBUTION_STEPS)

    # --- what a notebook keeps

    def still(self) -> Image.Image:
        """Draw the maps, the enlarged one, the picture with its frame, and what the tool shows."""
        scene, panel, pictures = self._scene, self._panel, self._shown.pictures
        sheet = Image.new("RGB", (_STILL, 2400), "white")
        draw = ImageDraw.Draw(sheet)
        bold, font = ImageFont.load_default(14), ImageFont.load_default(12)
        top = write(draw, 0, 2, scene["heading"], bold, _STILL)
        top = write(draw, 0, top, f"{scene['facts']} {scene['scale']}", font, _STILL)
        side = 44 * len(self._views)
        columns = 560 // (side + 4)
        for at, cell in enumerate(scene["cells"]):
            x, y = at % columns * (side + 4), top + at // columns * 64
            thumb = fitted(pictures[cell["picture"]], side)
            sheet.paste(thumb, (x, y))
            ink = (213, 94, 0) if cell["channel"] in self.off else "black"
            mark = "*" if cell["channel"] == self.channel else ""
            draw.text((x, y + thumb.height), f"{mark}{cell['channel']}", ink, ImageFont.load_default(11))
        bottom = top + -(-len(scene["cells"]) // columns) * 64
        left, each = 580, 150 if len(self._views) == 2 else 300
        places = [left + at * (each + 8) for at in range(len(scene["views"]))]
        below = max(
            write(draw, x, top, f"{view['name']}, channel {self.channel}: {view['value']}", font, each)
            for x, view in zip(places, scene["views"], strict=True)
        )
        for x, view in zip(places, scene["views"], strict=True):
            enlarged, y = fitted(pictures[view["picture"]], each), below
            sheet.paste(enlarged, (x, y))
            height, width = scene["size"]
            cross(draw, x, y, enlarged.size, (self.pixel[0] + 0.5) / height, (self.pixel[1] + 0.5) / width)
            y += enlarged.height + 6
            given = fitted(pictures[view["input"]], each)
            sheet.paste(given, (x, y))
            outline(draw, x, y, given.size, view["frame"])
            bottom = max(bottom, y + given.height)
        top = write(draw, 0, bottom + _GAP, panel["text"], font, _STILL)
        x, lowest = 0, top
        for figure in panel["figures"][:4]:
            shown = fitted(self._shown.panel_pictures[figure["picture"]], 212)
            draw.text((x, top), figure["name"], "black", font)
            sheet.paste(shown, (x, top + LINE))
            outline(draw, x, top + LINE, shown.size, figure.get("frame"))
            x, lowest = x + 212 + _GAP, max(lowest, top + LINE + shown.height)
        return sheet.crop((0, 0, _STILL, lowest + 2))

    def alt(self) -> str:
        """Say what is seen: the layer, its first maps, the chosen one, and what the tool says."""
        scene = self._scene
        first = ", ".join(str(cell["channel"]) for cell in scene["cells"][:5])
        values = " and ".join(f"{view['value']} in {view['name']}" for view in scene["views"])
        return (
            f"Inside {self._title}{self._at_step()}. {scene['heading']}, by {self.order}: channels {first} come first. "
            f"{scene['scale']} Channel {self.channel} is enlarged; at row {self.pixel[0]}, column {self.pixel[1]} it "
            f"is {values}. A pixel sees {self._node().sees}. {self._panel['text']}"
        )

    def summary(self) -> str:
        """Give the state and the numbers in one line."""
        if not self._views:
            return "FeatureExplorer(closed)"
        first = " ".join(str(cell["channel"]) for cell in self._scene["cells"][:5])
        values = ", ".join(view["value"] for view in self._scene["views"])
        names = " and ".join(view.name for view in self._views)
        return (
            f"FeatureExplorer({names}{self._at_step()}, {self._scene['heading']}, sees {self._node().sees}, "
            f"by {self.order}: {first}; channel {self.channel} at {self.pixel[0]}, {self.pixel[1]}: {values}; "
            f"{self._panel['text']})"
        )

    def _at_step(self) -> str:
        return f" at step {self._steps[self.snapshot]}" if self._steps else ""


@dataclass
class _Shown:
    """What was computed for the layer that is seen."""

    key: tuple[str, int] = ("", -1)
    drawn: tuple[Any, ...] = ()
    maps: list[Tensor] = field(default_factory=list)  # of each view, (C, h, w)
    thumbs: list[Tensor] = field(default_factory=list)
    energy: Tensor = field(default_factory=lambda: torch.zeros(0))
    difference: Tensor | None = None
    reaches: Tensor = field(default_factory=lambda: torch.zeros(0))  # of each channel: full colour from here on
    pictures: list[Image.Image] = field(default_factory=list)
    panel_pictures: list[Image.Image] = field(default_factory=list)


# --- the tree


def _flat(layer: Layer, depth: int = 0) -> Iterator[tuple[Layer, int]]:
    yield layer, depth
    for part in layer.parts:
        yield from _flat(part, depth + 1)


def _row(layer: Layer, depth: int) -> dict[str, Any]:
    return {
        "name": layer.name,
        "short": layer.name.rpartition(".")[2] or "the network",
        "kind": layer.kind,
        "depth": depth,
        "shape": "" if layer.shape is None else "×".join(map(str, layer.shape)),
        "parameters": f"{layer.parameters:,}",
        "sees": layer.sees,
        "note": layer.note,
        "open": layer.has_maps,
        "parts": len(layer.parts),
    }


def _first(roots: Iterable[Layer]) -> str:
    """The first convolution that ran, or the first layer with maps; of several networks, one that they share."""
    first, *others = ({one.name: one for one in root.walk()} for root in roots)
    usable = [
        one
        for one in first.values()
        if one.has_maps and not one.parts and all(_fits(one, known.get(one.name)) for known in others)
    ]
    found = next((one for one in usable if one.kind.startswith("Conv2d")), None) or next(iter(usable), first[""])
    return found.name


def _fits(one: Layer, other: Layer | None) -> bool:
    """Whether two networks' layers have as many channels, so that these stand side by side."""
    if other is None or one.shape is None or other.shape is None:
        return False
    return one.shape[:1] == other.shape[:1]


# --- words and numbers


def _is_picture(output: Tensor) -> bool:
    return output.ndim == 4 and output.shape[1] in (1, 3) and min(output.shape[-2:]) > 8


def _signed(value: float) -> str:
    """Two digits behind the point, and a sign; none for nothing."""
    return f"{value:+.2f}".replace("+0.00", "0.00").replace("-0.00", "0.00").replace("-", "−")


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _prefix(views: Sequence[_View], view: _View) -> str:
    return f"{view.name}: " if len(views) > 1 else ""


def _table(values: Tensor) -> list[list[str]]:
    return [[f"{float(one):.2f}".replace("-0.00", "0.00") for one in row] for row in values]


def _output(result: Any) -> Tensor | None:
    found = tensor_of(result)
    return None if found is None else found.detach().float().cpu()


def _difference(base: Tensor, without: Tensor, truth: Tensor | None) -> str:
    """How much worse a result has become, in words."""
    if truth is not None and truth.shape == base.shape and _is_picture(base):
        before, after = judge(base, truth), judge(without, truth)
        return f"{decibels(after)}, with all {decibels(before)}: {_signed(after - before)} dB."
    if _is_picture(base):
        same = judge(without, base)
        return f"{decibels(same)} against the result with all." if math.isfinite(same) else "the result is the same."
    change = float((without - base).square().mean().sqrt())
    return f"the result changes by {number(change)} (root of the mean square)."


def _part_side(picture: Tensor) -> int:
    """Side of the square of the picture in which the pixels that count are looked for."""
    height, width = picture.shape[-2:]
    return min(ATTRIBUTION_SIDE, height, width)


def _same_crop(truth: Tensor | None, picture: Tensor, anatomy: Anatomy) -> Tensor | None:
    """The truth for the part of the picture that is looked at.

    Raises:
        ImageError: its size does not fit.
    """
    if truth is None:
        return None
    whole, shown = picture.shape[-2:], anatomy.picture.shape[-2:]
    times = truth.shape[-1] // whole[-1]
    if tuple(truth.shape[-2:]) != (whole[0] * times, whole[1] * times):
        raise ImageError(
            f"the truth has {truth.shape[-1]}x{truth.shape[-2]} pixels and the picture {whole[1]}x{whole[0]}; "
            "the truth must be a whole number of times as large."
        )
    top, left = ((one - part) // 2 * times for one, part in zip(whole, shown, strict=True))
    cut = truth[:1, :, top : top + shown[0] * times, left : left + shown[1] * times].float()
    output = anatomy.output
    if output is not None and _is_picture(output) and output.shape[-2:] != cut.shape[-2:]:
        cut = centre_crop(cut, *output.shape[-2:])  # a network without borders makes less
    return cut
