"""Features: what a trained classifier sees in a picture, and a tap on any layer of any network.

The perceptual losses and distances of the course compare pictures by the features of VGG, Simonyan and Zisserman 2015.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from sr_course.errors import ModelError

Backbone = Literal["vgg16", "vgg19", "random"]
BACKBONES: tuple[str, ...] = get_args(Backbone)

FEATURES = Path(__file__).resolve().parent / "zoo" / "features"
"""The folder of the shipped VGG16, with its card."""

CHANNELS = (64, 128, 256, 512, 512)  # features of the convolutions of block 1 to 5
DEPTHS: Mapping[str, tuple[int, ...]] = {  # convolutions in block 1 to 5: their table 1, columns D and E
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
    "random": (2, 2, 3, 3, 3),
}

_CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # of ImageNet in RGB: what the authors subtract
_CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)  # they leave the levels 0..255 as they are
_TORCHVISION_MEAN, _TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RANDOM_SEED = 0

VGG19_FILE = "vgg19-dcbb9e9d.pth"
VGG19_SHA256_BEGINS = "dcbb9e9d"  # torchvision publishes the beginning alone, in the file's name


class VGGFeatures(nn.Module):
    """Features of VGG: RGB `(N, 3, H, W)` in [0, 1] to `{layer: (N, C, h, w)}`.

    Block B of the network halves the picture B - 1 times before its convolutions. `convB_C` is the result of
    convolution C in block B before the activation, any sign; `reluB_C` the one after it, 0 and up. The normalisation
    that the weights were trained with is done inside. The weights are frozen; gradients flow through to the picture.

    Args:
        layers: which features are wanted, such as `conv2_2` and `relu5_3`; the network ends with the deepest.
        backbone: `vgg16`, which ships with the course; `vgg19`, torchvision's, which SRGAN and ESRGAN take; `random`, a
            VGG16 that never saw a picture, as a control: what does training add?
        weights: the file of the weights, where it is not in its usual place: beside this module for `vgg16`; for
            `vgg19` where `sr-course data get vgg19-imagenet` puts it, or else where torchvision keeps its downloads.

    Raises:
        ModelError: an unknown backbone or layer, or weights that are not here or are damaged.

    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layers: Sequence[str], backbone: Backbone = "vgg16", weights: Path | None = None) -> None:
        super().__init__()
        names = layer_names(backbone)
        unknown = [name for name in layers if name not in names]
        if unknown or not layers:
            which = f"{unknown[0]!r} is no layer of {backbone}" if unknown else "no layer is named"
            raise ModelError(f"{which}; choose from {', '.join(names)}.")
        self.layers = tuple(layers)
        self.backbone = backbone
        self.steps = names[: 1 + max(names.index(name) for name in layers)]  # what runs, in order
        for name in self.steps:
            if name.startswith("conv"):
                self.add_module(name, _convolution(name))
        tensors, mean, std = _WEIGHTS[backbone](weights)
        wanted = self.state_dict()
        self.load_state_dict({name: tensors[name].to(wanted[name].dtype) for name in wanted})
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    @property
    def smallest(self) -> int:
        """The shortest side that a picture may have: each pooling halves it, and one pixel must be left."""
        return 1 << sum(name.startswith("pool") for name in self.steps)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        """Compute the features that were asked for.

        Raises:
            ValueError: the picture is smaller than `smallest`, or not of three channels.
        """
        if picture.ndim != 4 or picture.shape[1] != 3 or min(picture.shape[-2:]) < self.smallest:
            raise ValueError(
                f"the picture is of shape {tuple(picture.shape)}; {self.backbone} takes RGB, (N, 3, H, W), with sides "
                f"of at least {self.smallest} pixels for {self.steps[-1]}."
            )
        x = (picture - self.mean) / self.std  # (N, 3, H, W): about -2 to 3, or -124 to 152 for the authors' own weights
        found = {}
        for name in self.steps:
            if name.startswith("conv"):
                x = self.get_submodule(name)(x)
            elif name.startswith("relu"):
                x = F.relu(x)
            else:
                x = F.max_pool2d(x, 2)
            if name in self.layers:
                found[name] = x
        return found


def layer_names(backbone: str) -> tuple[str, ...]:
    """Every step of a backbone in the order in which they run: `conv1_1`, `relu1_1`, ... `pool1`, `conv2_1`, ...

    Raises:
        ModelError: there is no such backbone.
    """
    if backbone not in DEPTHS:
        raise ModelError(f"there is no backbone {backbone!r}; choose from {', '.join(BACKBONES)}.")
    names = []
    for block, depth in enumerate(DEPTHS[backbone], start=1):
        for number in range(1, depth + 1):
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
        if block < len(CHANNELS):  # nothing comes after the fifth block
            names.append(f"pool{block}")
    return tuple(names)


@contextmanager
def tap(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Record what layers of a network return while the context lasts.

        with tap(network, ["blocks.0", "trunk"]) as seen:
            network(lr)
        seen["trunk"]  # (N, C, H, W), with its gradient

    Args:
        network: any network; it is left as it was found.
        layers: names of its modules, as `network.named_modules()` gives them.

    Yields:
        By each layer's name what it returned last; empty until the network has run.

    Raises:
        ModelError: the network has no layer of that name.
    """
    modules = dict(network.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown:
        there = ", ".join(name for name in list(modules)[:12] if name)
        raise ModelError(f"{type(network).__name__} has no layer {unknown[0]!r}; it begins with {there}.")
    seen: dict[str, Any] = {}

    def recorder(name: str) -> Any:
        def record(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
            seen[name] = result

        return record

    hooks = [modules[name].register_forward_hook(recorder(name)) for name in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _convolution(name: str) -> nn.Conv2d:
    block, number = int(name[4]), int(name[6:])
    after = CHANNELS[block - 1]
    before = after if number > 1 else (CHANNELS[block - 2] if block > 1 else 3)
    # made without numbers: random ones would be thrown away, and torch's global generator be moved on by them
    return nn.Conv2d(before, after, 3, padding=1, device="meta").to_empty(device="cpu")


_Weights = tuple[Mapping[str, Tensor], tuple[float, ...], tuple[float, ...]]  # by name; mean and std that they expect


def _vgg16(path: Path | None) -> _Weights:
    path = path or FEATURES / "vgg16.safetensors"
    remedy = "Install sr-course again."
    try:
        content = path.read_bytes()
        sha256 = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))["sha256"]
        tensors = safetensors.torch.load(content)
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path}: the weights cannot be read ({error}). {remedy}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(f"{path}: is not the file that its card describes (SHA-256). {remedy}")
    tensors["conv1_1.weight"] = tensors["conv1_1.weight"].flip(1)  # they were trained on BGR; we give RGB
    return tensors, _CAFFE_MEAN, _CAFFE_STD


def _vgg19(path: Path | None) -> _Weights:
    path = path or _vgg19_file()
    remedy = "Get it with `sr-course data get vgg19-imagenet`, or take vgg16, which ships with the course."
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the weights of vgg19 cannot be read ({error.strerror}). {remedy}") from None
    if not hashlib.sha256(content).hexdigest().startswith(VGG19_SHA256_BEGINS):
        raise ModelError(f"{path}: is damaged, or not torchvision's {VGG19_FILE} (SHA-256). {remedy}")
    # `weights_only`: the file is a pickle, of which tensors alone are read
    stored = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    # torchvision numbers its layers as they run, activations and poolings too
    places = {name: place for place, name in enumerate(layer_names("vgg19")) if name.startswith("conv")}
    weights = {
        f"{name}.{kind}": stored[f"features.{place}.{kind}"]
        for name, place in places.items()
        for kind in ("weight", "bias")
    }
    return weights, _TORCHVISION_MEAN, _TORCHVISION_STD


def _vgg19_file() -> Path:
    from sr_course.data.catalog import find_entry, load_catalog
    from sr_course.data.fetch import is_here, path_of

    entry = find_entry(load_catalog(), "vgg19-imagenet")
    if is_here(entry):
        return path_of(entry) / entry.file
    return Path(torch.hub.get_dir()) / "checkpoints" / VGG19_FILE


def _random(path: Path | None) -> _Weights:
    generator = torch.Generator().manual_seed(_RANDOM_SEED)
    weights = {}
    for name in layer_names("random"):
        if name.startswith("conv"):
            convolution = _convolution(name)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
            weights[f"{name}.weight"] = convolution.weight.detach()
            weights[f"{name}.bias"] = torch.zeros(convolution.out_channels)
    return weights, _TORCHVISION_MEAN, _TORCHVISION_STD


_WEIGHTS = {"vgg16": _vgg16, "vgg19": _vgg19, "random": _random}
