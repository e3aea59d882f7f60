"""VGG's features against torchvision's modules, the files of weights, and taps on the layers of any network."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torchvision.models import vgg as torchvision_vgg

from sr_course import features, images
from sr_course.data.shipped import photos
from sr_course.errors import ModelError
from sr_course.features import FEATURES, VGG19_FILE, VGGFeatures, layer_names, tap
from sr_course.metrics import perceptual_distance
from sr_course.models.srcnn import SRCNN

# Where the convolutions stand in torchvision's `vgg.features`; an activation follows each of them.
PLACES = {
    "vgg16": {
        "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10, "conv3_2": 12, "conv3_3": 14,
        "conv4_1": 17, "conv4_2": 19, "conv4_3": 21, "conv5_1": 24, "conv5_2": 26, "conv5_3": 28,
    },
    "vgg19": {
        "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10, "conv3_2": 12, "conv3_3": 14,
        "conv3_4": 16, "conv4_1": 19, "conv4_2": 21, "conv4_3": 23, "conv4_4": 25, "conv5_1": 28, "conv5_2": 30,
        "conv5_3": 32, "conv5_4": 34,
    },
}  # fmt: skip


def theirs(backbone: str) -> torch.nn.Sequential:
    """Torchvision's convolutions with random weights; without the classifier behind them."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = torchvision_vgg.make_layers(torchvision_vgg.cfgs[{"vgg16": "D", "vgg19": "E"}[backbone]])
        for layer in network:
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                torch.nn.init.normal_(layer.bias)
    return network.eval()


def their_layers(network: torch.nn.Sequential, x: torch.Tensor) -> list[torch.Tensor]:
    results = []
    for layer in network:
        x = layer(x.clone())  # their activations overwrite what they are given
        results.append(x)
    return results


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def vgg16() -> VGGFeatures:
    return VGGFeatures(["relu1_2", "conv5_3", "relu5_3"])


@pytest.fixture(scope="module")
def vgg16_file(tmp_path_factory) -> Path:
    """Random weights of torchvision's form in a file of the course's: BGR, with a card."""
    path = tmp_path_factory.mktemp("vgg16") / "random.safetensors"
    network = theirs("vgg16")
    tensors = {
        f"{name}.{kind}": getattr(network[place], kind).detach().contiguous()
        for name, place in PLACES["vgg16"].items()
        for kind in ("weight", "bias")
    }
    safetensors.torch.save_file(tensors, path)
    path.with_suffix(".toml").write_text(f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n')
    return path


@pytest.fixture(scope="module")
def vgg19_file(tmp_path_factory) -> Path:
    """Random weights in a file as torchvision writes it."""
    path = tmp_path_factory.mktemp("vgg19") / VGG19_FILE
    torch.save({f"features.{name}": one for name, one in theirs("vgg19").state_dict().items()}, path)
    return path


# The arithmetic.


def test_vgg16_is_torchvisions_behind_the_preprocessing_of_caffe(picture, vgg16_file):
    """The authors' network takes blue, green, red in 0 to 255 minus the mean of ImageNet."""
    names = [name.replace("conv", kind) for name in PLACES["vgg16"] for kind in ("conv", "relu")]
    ours = VGGFeatures([*names, "pool1", "pool4"], weights=vgg16_file)(picture)
    levels = picture.numpy()[:, ::-1] * 255 - np.array([103.939, 116.779, 123.68]).reshape(3, 1, 1)
    with torch.no_grad():
        expected = their_layers(theirs("vgg16"), torch.from_numpy(levels).float())
    for name, place in PLACES["vgg16"].items():
        assert_close(ours[name], expected[place])
        assert_close(ours[name.replace("conv", "relu")], expected[place + 1])
    assert_close(ours["pool1"], expected[4])
    assert_close(ours["pool4"], expected[23])


def test_vgg19_is_torchvisions(picture, vgg19_file, monkeypatch):
    monkeypatch.setattr(features, "VGG19_SHA256_BEGINS", hashlib.sha256(vgg19_file.read_bytes()).hexdigest()[:8])
    names = [name.replace("conv", kind) for name in PLACES["vgg19"] for kind in ("conv", "relu")]
    ours = VGGFeatures(names, "vgg19", weights=vgg19_file)(picture)
    mean, std = (torch.tensor(three).reshape(3, 1, 1) for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        expected = their_layers(theirs("vgg19"), (picture - mean) / std)
    for name, place in PLACES["vgg19"].items():
        assert_close(ours[name], expected[place])
        assert_close(ours[name.replace("conv", "relu")], expected[place + 1])


def assert_close(ours: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_before_and_after_the_activation(vgg16, picture):
    found = vgg16(picture)
    assert set(found) == {"relu1_2", "conv5_3", "relu5_3"}
    assert found["conv5_3"].min() < 0 < found["conv5_3"].max()
    assert torch.equal(found["relu5_3"], F.relu(found["conv5_3"]))
    assert [tuple(found[name].shape) for name in vgg16.layers] == [(2, 64, 40, 56), (2, 512, 2, 3), (2, 512, 2, 3)]


@pytest.mark.parametrize(("layer", "convolutions"), [("relu1_1", 1), ("conv2_2", 4), ("pool3", 7), ("relu5_3", 13)])
def test_the_network_ends_with_the_deepest_layer(layer, convolutions):
    assert len(list(VGGFeatures([layer, "relu1_1"]).children())) == convolutions


def test_the_gradient_reaches_the_picture_and_no_weight(vgg16, picture):
    leaf = picture.clone().requires_grad_()
    vgg16(leaf)["relu5_3"].sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.abs().sum() > 0
    for weight in vgg16.parameters():
        assert not weight.requires_grad
        assert weight.grad is None
    assert not vgg16.training


def test_the_random_network_is_the_same_each_time_and_leaves_chance_alone(picture):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = VGGFeatures(["relu3_3"], "random")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = VGGFeatures(["relu3_3"], "random")
    assert torch.equal(first(picture)["relu3_3"], second(picture)["relu3_3"])
    assert not torch.equal(first(picture)["relu3_3"], VGGFeatures(["relu3_3"])(picture)["relu3_3"])


def test_the_random_network_neither_dies_nor_explodes(picture):
    """He et al. 2015: with their weights the mean square of the features stays as it is from layer to layer."""
    names = [name for name in layer_names("random") if name.startswith("relu")]
    found = VGGFeatures(names, "random")(picture)
    sizes = [found[name].square().mean().sqrt().item() for name in names]
    assert min(sizes) > 0.2 * max(sizes)


def test_trained_features_see_blur_where_random_ones_see_a_shift():
    """A shift of one pixel has the larger squared error; to VGG a blur of sigma 2 is six times as far, and more."""
    originals, shifted, blurred = [], [], []
    for photo in photos("test"):
        whole = images.centre_crop(images.read(photo.path), 128, 129)
        originals.append(whole[..., :128])
        shifted.append(whole[..., 1:])
        blurred.append(blur(whole, 2.0)[..., :128])
    hr, shift, soft = (torch.cat(pictures) for pictures in (originals, shifted, blurred))
    assert F.mse_loss(shift, hr) > F.mse_loss(soft, hr)
    with torch.inference_mode():
        ratio = {
            backbone: float(far(soft, hr, backbone) / far(shift, hr, backbone)) for backbone in ("vgg16", "random")
        }
    assert ratio["vgg16"] > 6  # 6.6
    assert 1 < ratio["random"] < 2  # 1.6


def far(x: torch.Tensor, y: torch.Tensor, backbone: str) -> torch.Tensor:
    pairs = zip(x.split(1), y.split(1), strict=True)
    return torch.cat([perceptual_distance(one, other, backbone=backbone) for one, other in pairs]).mean()


def blur(picture: torch.Tensor, sigma: float) -> torch.Tensor:
    distance = torch.arange(-8, 9)
    window = torch.exp(-(distance**2) / (2 * sigma**2))
    window = (window / window.sum()).reshape(1, 1, 1, 17).expand(3, 1, 1, 17)
    picture = F.conv2d(F.pad(picture, (8, 8, 8, 8), mode="reflect"), window, groups=3)
    return F.conv2d(picture, window.transpose(2, 3), groups=3)


# The files.


def test_card_and_file_agree():
    card = tomllib.loads((FEATURES / "vgg16.toml").read_text(encoding="utf-8"))
    content = (FEATURES / "vgg16.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    tensors = safetensors.torch.load(content)
    assert {str(one.dtype) for one in tensors.values()} == {"torch.float16"}
    assert card["precision"] == "fp16"
    assert set(tensors) == {f"{name}.{kind}" for name in PLACES["vgg16"] for kind in ("weight", "bias")}
    assert sum(one.numel() for one in tensors.values()) == 14_714_688  # torchvision's vgg16 without its classifier
    assert card["licence"] == "CC-BY-4.0"
    for entry in ("title", "credit", "page", "origin", "changes", "data", "input", "output"):
        assert card[entry].strip()
    assert {parameter.dtype for parameter in VGGFeatures(["conv1_1"]).parameters()} == {torch.float32}


@pytest.fixture
def own_vgg16(tmp_path) -> Path:
    """A copy of the shipped file and its card, to be damaged."""
    for name in ("vgg16.safetensors", "vgg16.toml"):
        shutil.copy(FEATURES / name, tmp_path / name)
    return tmp_path / "vgg16.safetensors"


def test_weights_missing_or_damaged(own_vgg16):
    content = bytearray(own_vgg16.read_bytes())
    own_vgg16.write_bytes(content[:100_000])
    with pytest.raises(ModelError, match=r"vgg16\.safetensors: the weights cannot be read .*Install sr-course again"):
        VGGFeatures(["relu1_1"], weights=own_vgg16)
    content[-1000] ^= 1
    own_vgg16.write_bytes(content)
    with pytest.raises(ModelError, match=r"vgg16\.safetensors: is not the file that its card describes"):
        VGGFeatures(["relu1_1"], weights=own_vgg16)
    own_vgg16.unlink()
    with pytest.raises(ModelError, match=r"vgg16\.safetensors: the weights cannot be read .*Install sr-course again"):
        VGGFeatures(["relu1_1"], weights=own_vgg16)


@pytest.mark.parametrize("card", [None, "no toml", 'title = "no checksum"'])
def test_a_card_that_is_amiss(own_vgg16, card):
    if card is None:
        own_vgg16.with_suffix(".toml").unlink()
    else:
        own_vgg16.with_suffix(".toml").write_text(card)
    with pytest.raises(ModelError, match=r"vgg16\.safetensors: the weights cannot be read"):
        VGGFeatures(["relu1_1"], weights=own_vgg16)


def test_another_file_in_the_place_of_vgg19(vgg19_file, tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"is damaged, or not torchvision's vgg19-dcbb9e9d\.pth .*take vgg16"):
        VGGFeatures(["relu5_4"], "vgg19", weights=vgg19_file)
    monkeypatch.setenv("SR_COURSE_DATA", str(tmp_path / "empty"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ModelError, match=r"checkpoints.vgg19-dcbb9e9d\.pth: the weights of vgg19 cannot be read"):
        VGGFeatures(["relu5_4"], "vgg19")
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(vgg19_file, tmp_path / "checkpoints")
    monkeypatch.setattr(features, "VGG19_SHA256_BEGINS", hashlib.sha256(vgg19_file.read_bytes()).hexdigest()[:8])
    assert VGGFeatures(["relu5_4"], "vgg19").backbone == "vgg19"


@pytest.mark.parametrize(("layers", "backbone", "says"), [
    (["relu5_4"], "vgg16", r"'relu5_4' is no layer of vgg16; choose from conv1_1, relu1_1, .*relu5_3"),
    (["pool5"], "vgg19", "'pool5' is no layer of vgg19"),
    ([], "vgg16", "no layer is named"),
    (["relu1_1"], "vgg", "no backbone 'vgg'; choose from vgg16, vgg19, random"),
])  # fmt: skip
def test_unknown_names(layers, backbone, says):
    with pytest.raises(ModelError, match=says):
        VGGFeatures(layers, backbone)


@pytest.mark.parametrize(("shape", "says"), [
    ((1, 3, 15, 40), "at least 16 pixels for relu5_3"), ((1, 1, 40, 40), "RGB"), ((3, 40, 40), "RGB"),
])  # fmt: skip
def test_pictures_that_vgg_cannot_take(vgg16, shape, says):
    with pytest.raises(ValueError, match=says):
        vgg16(torch.zeros(shape))
    assert VGGFeatures(["relu1_1"])(torch.zeros(1, 3, 1, 1))["relu1_1"].shape == (1, 64, 1, 1)
    assert vgg16(torch.zeros(1, 3, 16, 16))["relu5_3"].shape == (1, 512, 1, 1)


# Taps.


def test_a_tap_sees_what_the_layers_return(picture):
    network = SRCNN(kernel_sizes=(3, 1, 3), channels=(4, 2))
    name, module = next((n, m) for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d))
    inputs = []
    handle = module.register_forward_hook(lambda m, given, result: inputs.append(given[0]))
    with tap(network, [name, ""]) as seen:
        assert seen == {}
        sr = network(picture[:, :1])
        assert torch.equal(seen[name], module(inputs[0]))
        assert seen[""] is sr
        assert seen[name].requires_grad
    handle.remove()
    assert hooks(network) == 0


def test_a_tap_is_gone_after_an_error(picture):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    with pytest.raises(RuntimeError, match="stop"), tap(network, ["0", "1"]) as seen:  # noqa: PT012
        network(picture)
        assert set(seen) == {"0", "1"}
        raise RuntimeError("stop")
    assert hooks(network) == 0
    before = seen["0"]
    network(picture + 1)
    assert seen["0"] is before


def test_a_tap_on_a_layer_that_does_not_exist():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    with (
        pytest.raises(ModelError, match=r"Sequential has no layer '2'; it begins with 0, 1\."),
        tap(network, ["0", "2"]),
    ):
        pass
    assert hooks(network) == 0


def hooks(network: torch.nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())
