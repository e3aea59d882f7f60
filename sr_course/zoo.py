"""The methods that the course can run by name: interpolation, and networks whose weights ship in the folder `zoo`.

Beside each file of weights lies its card, which says what it is, where it comes from, what it may be used for and how
well it measures. Weights are read when a network is asked for, and not before. Some are too large to ship: only their
card lies there, and they are fetched when they are asked for the first time.
"""

from __future__ import annotations

import hashlib
import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sr_course.errors import DataError, ModelError
from sr_course.metrics import MATLAB_Y, SRCNN_DEMO, Protocol, named_protocol
from sr_course.models.esrgan import RRDBNet
from sr_course.models.interpolation import Interpolation
from sr_course.models.srcnn import SRCNN
from sr_course.models.srresnet import SRResNet

_log = logging.getLogger(__name__)

ZOO = Path(__file__).resolve().parent / "zoo"
"""The folder of weights and cards; `NAME_xSCALE.safetensors` and `NAME_xSCALE.toml` belong together."""

OVERLAP = 16
"""Source pixels that tiles share where a method says nothing else: more than any interpolation looks."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to enlarge a picture, known by name.

    Attributes:
        name: what the command line and the tables call it.
        build: makes the network for a scale, with its weights.
        protocol: the protocol in which its published figures were measured.
        overlap: source pixels that tiles must share for their seams to vanish.
    """

    name: str
    build: Callable[[int], nn.Module]
    protocol: Protocol
    overlap: int = OVERLAP


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What shipped weights reach on a data set: mean PSNR in dB, mean SSIM."""

    data: str
    protocol: str
    psnr: float
    ssim: float


@dataclass(frozen=True, kw_only=True)
class Card:
    """All that is known of a file of weights; the fields are those of the card's TOML file.

    Attributes:
        name: of the method, as on the command line.
        scale: the factor of enlargement.
        title: one line for people.
        weights: the file they ship in; None where they are fetched.
        artefact: where they are fetched, the entry of the catalog of data sets that has them.
        sha256: of the file that the weights are in.
        precision: in which the weights are stored; they are used as float32.
        network: class of the network.
        options: what it is made with, besides the scale.
        input: range and order of what the network takes, as this course runs it.
        output: the same of what it gives.
        protocol: name of the protocol in which its published figures were measured.
        overlap: as in `Method`.
        licence: SPDX identifier of the weights' licence.
        licence_text: where the licence is, a path inside the zoo.
        credit: who is to be named.
        origin: where the weights were taken from, with version and checksum.
        changes: what was done to them since.
        data: what they were trained on, as far as known.
        recipe: how, as far as known.
        unknown: what is not known.
        measured: what they reach.
    """

    name: str
    scale: int
    title: str
    weights: Path | None
    artefact: str = ""
    sha256: str
    precision: str
    network: str
    options: Mapping[str, Any]
    input: str
    output: str
    protocol: str = MATLAB_Y.name
    overlap: int = OVERLAP
    licence: str
    licence_text: str
    credit: str
    origin: str
    changes: str
    data: str
    recipe: str
    unknown: str
    measured: tuple[Measured, ...]


def methods() -> dict[str, Method]:
    """Return every method of the course by name.

    Raises:
        ModelError: a card of the zoo cannot be read.
    """
    kernels = {"bicubic": "cubic", "nearest": "nearest", "bilinear": "bilinear", "lanczos3": "lanczos3"}
    known = {name: _interpolation(name, kernel) for name, kernel in kernels.items()}
    for one in cards():
        known.setdefault(one.name, _trained(one))
    return known


def method(name: str) -> Method:
    """Return one method.

    Raises:
        ModelError: there is none of that name, or a card of the zoo cannot be read.
    """
    known = methods()
    if name not in known:
        raise ModelError(f"there is no model {name!r}; choose from {', '.join(known)}.")
    return known[name]


def load(name: str, scale: int = 4) -> nn.Module:
    """Return a method as a network in evaluation mode, `(N, 3, H, W)` in [0, 1] to `(N, 3, scale * H, scale * W)`.

    Raises:
        ModelError: there is none of that name, it does not come at that scale, or its weights are missing, damaged, or
            not to be fetched.
    """
    return method(name).build(scale).eval()


def cards() -> list[Card]:
    """Return every card, by file name.

    Raises:
        ModelError: a card cannot be read.
    """
    return [read_card(path) for path in sorted(ZOO.glob("*.toml"))]


def card(name: str, scale: int = 4) -> Card:
    """Return what is known of the weights of a method.

    Raises:
        ModelError: the course knows no weights of that name and scale, or a card cannot be read.
    """
    known = {(one.name, one.scale): one for one in cards()}
    if (name, scale) not in known:
        names = ", ".join(f"{a_name} x{a_scale}" for a_name, a_scale in known)
        raise ModelError(f"the course has no weights of {name} x{scale}; there are {names}.")
    return known[name, scale]


def read_card(path: Path) -> Card:
    """Read one card.

    Raises:
        ModelError: the file is no TOML, or lacks an entry, or has one too many.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        measured = tuple(Measured(**row) for row in entries.pop("measured"))
        weights = None if "artefact" in entries else path.with_suffix(".safetensors")
        return Card(**entries, weights=weights, measured=measured)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: is no card of weights ({error}). Install sr-course again, or mend it.") from None


def load_weights(network: nn.Module, path: Path, *, sha256: str | None = None) -> None:
    """Fill a network with the weights of a safetensors file, of whatever precision.

    Args:
        network: of the form the weights were trained in; its own precision stays.
        path: the file.
        sha256: what the file's checksum must be, if it is known.

    Raises:
        ModelError: the file is missing, damaged, not the one meant, or made for a network of another form. Then the
            network is as it was.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: the weights cannot be read ({error.strerror}). Check the name; if the file came with the course, "
            "install sr-course again."
        ) from None
    try:
        tensors = safetensors.torch.load(content)
    except SafetensorError as error:
        raise ModelError(f"{path}: the weights are damaged or cut short ({error}). Get the file again.") from None
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is not the file that its card describes (SHA-256). Install sr-course again.")
    _fill(network, tensors, path)


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a network the weights of a file, all or none."""
    # Batch norm counts its batches too, for a way of averaging that no network of the course uses: the count may lack.
    wanted = {key: one.shape for key, one in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    found = {key: one.shape for key, one in tensors.items() if not key.endswith("num_batches_tracked")}
    amiss = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
    if amiss:
        first = amiss[0]
        raise ModelError(
            f"{path}: was not made for this {type(network).__name__}: {len(amiss)} tensors differ, such as {first}, "
            f"{_shape(found.get(first))} in the file and {_shape(wanted.get(first))} in the network. Make the network "
            "with the options that it was trained with."
        )
    network.load_state_dict(tensors)


def make_network(described: Card) -> nn.Module:
    """Make the network that a card describes, with fresh weights.

    Raises:
        ModelError: the card names a network that the course does not have.
    """
    networks: dict[str, Callable[..., nn.Module]] = {"SRCNN": SRCNN, "SRResNet": SRResNet, "RRDBNet": RRDBNet}
    if described.network not in networks:
        there = ", ".join(networks)
        raise ModelError(f"{described.title}: there is no network {described.network!r}; there are {there}.")
    return networks[described.network](described.scale, **described.options)


def _load_fetched(network: nn.Module, described: Card) -> None:
    """Fill a network with weights that do not ship: from the cache, or fetched into it now."""
    from sr_course.data.catalog import find_entry, load_catalog  # here alone: all other weights need no data sets
    from sr_course.data.fetch import get, is_here
    from sr_course.data.ncnn import read_convolutions

    try:
        entry = find_entry(load_catalog(), described.artefact)
        names = {member.name.rpartition(".")[2]: member.name for member in entry.members}
        if not names.keys() >= {"param", "bin"}:
            raise ModelError(f"{described.title}: {entry.name} of the catalog holds no ncnn model. Mend the card.")
        if not is_here(entry):
            _log.warning("%s: fetching its weights, %.0f MB, this one time.", described.name, (entry.size or 0) / 1e6)
        folder = get(entry)
        weights = folder / names["bin"]
        convolutions = read_convolutions(folder / names["param"], weights)
    except DataError as error:
        raise ModelError(f"The weights of {described.name} do not come with the course. {error}") from error
    if hashlib.sha256(weights.read_bytes()).hexdigest() != described.sha256:
        raise ModelError(f"{weights}: is not the file that the card of {described.name} describes (SHA-256).")
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    if len(layers) != len(convolutions):
        raise ModelError(f"{weights}: has {len(convolutions)} convolutions, and the network {len(layers)}.")
    tensors = {}
    for layer, one in zip(layers, convolutions, strict=True):  # both in the order in which they run
        tensors[f"{layer}.weight"] = one.weight
        if one.bias is not None:
            tensors[f"{layer}.bias"] = one.bias
    _fill(network, tensors, weights)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape))


def _trained(first: Card) -> Method:
    def build(scale: int) -> nn.Module:
        ours = {one.scale: one for one in cards() if one.name == first.name}
        if scale not in ours:
            scales = ", ".join(f"x{known}" for known in sorted(ours))
            raise ModelError(f"{first.name} comes at {scales}, not at x{scale}; bicubic takes any whole number.")
        described = ours[scale]
        network = make_network(described)
        if described.weights is None:
            _load_fetched(network, described)
        else:
            load_weights(network, described.weights, sha256=described.sha256)
        return network

    return Method(
        name=first.name,
        build=build,
        protocol=named_protocol(first.protocol),
        overlap=first.overlap,
    )


def _interpolation(name: str, kernel: str) -> Method:
    def build(scale: int) -> nn.Module:
        if scale < 1:
            raise ModelError(f"{name} cannot enlarge by {scale}; give a whole number from 1 on.")
        return Interpolation(scale, kernel)

    return Method(name=name, build=build, protocol=SRCNN_DEMO)
