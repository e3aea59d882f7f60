"""Tiles without seams, memory within its formula, and files of every kind."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from sr_course import images, zoo
from sr_course.data.shipped import photo
from sr_course.errors import ImageError
from sr_course.models.blend import SelfEnsemble
from sr_course.models.esrgan import RRDBNet
from sr_course.models.interpolation import Interpolation
from sr_course.models.srresnet import SRResNet
from sr_course.upscaling import MOST_OVERLAP, overlap_for, tile_bytes, upscale, upscale_file


class Blur(torch.nn.Module):
    """Looks 3 pixels far and repeats each pixel: a stand-in for a network with a reach."""

    scale = 2

    def forward(self, lr):
        padded = torch.nn.functional.pad(lr, (3, 3, 3, 3), mode="replicate")
        blurred = torch.nn.functional.avg_pool2d(padded, 7, 1)
        return blurred.repeat_interleave(2, 2).repeat_interleave(2, 3)


# --- tiles


@pytest.mark.parametrize("network", [Interpolation(2), Blur(), SelfEnsemble(Blur())])
@pytest.mark.parametrize("tile", [16, 21, 64])
def test_tiles_equal_the_whole(noise, network, tile):
    picture = images.to_pil(noise)
    whole = images.to_pil(network(images.from_pil(picture)))
    tiled = upscale(network, picture, 2, tile=tile, overlap=4)
    np.testing.assert_array_equal(np.asarray(tiled), np.asarray(whole))


def test_an_overlap_below_the_reach_shows_seams(noise):
    """The test above can fail: without overlap it does."""
    picture = images.to_pil(noise)
    whole = np.asarray(images.to_pil(Blur()(images.from_pil(picture)))).astype(int)
    seams = np.asarray(upscale(Blur(), picture, 2, tile=16, overlap=0)).astype(int)
    assert np.abs(seams - whole).max() > 5


def with_contrast(network: nn.Module, last: nn.Conv2d, picture: torch.Tensor) -> nn.Module:
    """Give a random network's result the contrast of a photograph, or differences would drown in the rounding."""
    with torch.no_grad():
        result = network.eval()(picture)
        gain = 0.25 / result.std()
        last.weight.mul_(gain)
        last.bias.mul_(gain).add_(0.5 - gain * result.mean())
    return network


def srresnet(picture: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    network = SRResNet(2, blocks=3, channels=8)
    network.train()(picture)  # so that batch norm has seen something
    with torch.no_grad():
        result = network.eval()(picture)
        network.tail.conv.weight.mul_(0.5 / result.std())
        network.tail.conv.bias.zero_()
    return network


def rrdb(picture: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    network = RRDBNet(2, blocks=1, channels=8, growth=4)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # as large as torch makes them: blocks that matter
            module.reset_parameters()
    return with_contrast(network, network.conv_last, picture)


@pytest.mark.parametrize("make", [srresnet, rrdb])
def test_tiles_with_the_default_overlap_equal_the_whole(make):
    picture = images.to_pil(torch.rand(1, 3, 40, 90, generator=torch.Generator().manual_seed(0)))
    network = make(images.from_pil(picture))
    whole = np.asarray(upscale(network, picture, 2, tile=90)).astype(int)
    tiled = np.asarray(upscale(network, picture, 2, tile=30)).astype(int)
    assert whole.std() > 30
    assert np.abs(tiled - whole).max() <= 1  # rounding may fall to either side of a half
    seams = np.asarray(upscale(network, picture, 2, tile=30, overlap=1)).astype(int)
    assert np.abs(seams - whole).max() > 5  # the test can fail


def reach_by_gradients(network: nn.Module, scale: int, side: int) -> int:
    """How far beside its own source pixel a result in the middle looks: what of the input has a slope."""
    middle, reach = side // 2, 0
    for corner in (0, scale - 1):  # of the square that the source pixel becomes: each looks farthest to its own side
        picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        network(picture)[0, :, middle * scale + corner, middle * scale + corner].sum().backward()
        found = picture.grad[0].abs().sum(0).nonzero() - middle
        reach = max(reach, int(found.abs().max()))
    return reach


@pytest.mark.parametrize("network", [
    SRResNet(2, blocks=1, channels=4), SRResNet(4, blocks=2, channels=4), RRDBNet(2, blocks=1, channels=4, growth=2),
    RRDBNet(4, blocks=1, channels=4, growth=2), Interpolation(3), Interpolation(2, "lanczos3"),
])  # fmt: skip
def test_the_default_overlap_is_no_less_than_the_reach_and_hardly_more(network):
    shared = overlap_for(network.eval())
    reach = reach_by_gradients(network.double(), network.scale, 2 * shared + 5)
    assert reach <= shared <= reach + 2
    assert overlap_for(SelfEnsemble(network.float())) == shared


def test_the_default_overlap_of_deep_and_of_unknown_networks():
    assert overlap_for(RRDBNet(blocks=12, channels=4, growth=2)) == MOST_OVERLAP
    assert overlap_for(nn.Upsample(scale_factor=2, mode="bicubic")) == MOST_OVERLAP
    card = zoo.card("realesrgan-x4plus")
    assert card.overlap == MOST_OVERLAP  # measured for it, and noted there


def seam(network: nn.Module, lr: torch.Tensor, shared: int) -> float:
    """Worst difference left of a cut at 48, in levels of 255, where the left part sees `shared` pixels beyond it."""
    with torch.inference_mode():
        whole = network(lr)[..., : 4 * 48].clamp(0, 1)
        part = network(lr[..., : 48 + shared])[..., : 4 * 48].clamp(0, 1)
    return float(255 * (part - whole).abs().max())


@pytest.mark.parametrize("name", [one.name for one in zoo.cards() if one.weights is not None])
def test_the_overlaps_of_shipped_networks(name):
    """On the wall of bricks, where a seam is worst: nothing is seen of it, and with an eighth of the overlap it is."""
    network, shared = zoo.load(name), zoo.method(name).overlap
    lr = images.read(photo("brick_house").path)[..., 100:120, 100:188]
    assert seam(network, lr, shared) <= 0.05
    assert seam(network, lr, shared // 8) > 1


def test_the_overlap_of_x4plus(x4plus):
    lr = images.read(photo("brick_house").path)[..., 140:152, 128:272]
    assert seam(x4plus, lr, zoo.method("realesrgan-x4plus").overlap) <= 1


@pytest.mark.parametrize("options", [{"tile": 0}, {"overlap": -1}])
def test_wrong_tiles(noise, options):
    with pytest.raises(ValueError, match="give a tile"):
        upscale(Interpolation(2), images.to_pil(noise), 2, **options)


def test_other_modes_are_refused():
    with pytest.raises(ImageError, match="of mode CMYK cannot be enlarged"):
        upscale(Interpolation(2), Image.new("CMYK", (4, 4)), 2)


def test_tiles_are_told_and_may_be_stopped(noise):
    told = []

    def on_tile(done: int, count: int) -> None:
        told.append((done, count))
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        upscale(Blur(), images.to_pil(noise), 2, tile=20, on_tile=on_tile)
    assert told == [(0, 6), (1, 6), (2, 6), (3, 6)]


# --- memory

MEASURE = """
import re, sys, torch
from PIL import Image
from sr_course import images, zoo
from sr_course.upscaling import tile_bytes, upscale, upscale_file
def status(key):
    return 1024 * int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
torch.set_num_threads(1)
name, width, height, tile, folder = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
network, overlap = zoo.load(name), zoo.method(name).overlap
source = Image.linear_gradient("L").resize((width, height)).convert("RGB")
source.save(folder + "/in.png")
upscale(network, source.crop((0, 0, 8, 8)), 4)  # what torch takes once
Image.new("RGB", (8, 8)).save(folder + "/small.png")
upscale_file(network, folder + "/small.png", folder + "/out.png", 4)
del source
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
upscale_file(network, folder + "/in.png", folder + "/out.png", 4, tile=tile, overlap=overlap)
side = min(tile + 2 * overlap, width) * min(tile + 2 * overlap, height)
print(status("VmHWM") - before, round(tile_bytes(network, 4) * side), 4 * 17 * width * height)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads a process's peak from Linux' /proc")
@pytest.mark.parametrize(("name", "width", "height", "tile"), [
    ("nearest", 1200, 1000, 256), ("srresnet-s", 120, 90, 64), ("rrdb-s", 120, 90, 64), ("srresnet", 88, 80, 64),
    ("rrdb-s", 1000, 750, 256),  # twelve tiles
])  # fmt: skip
def test_memory_stays_within_its_formula(tmp_path, name, width, height, tile):
    """Copied pixels at a tenth of 12 megapixels: there the result counts; a network on a few tiles: there the tile."""
    command = [sys.executable, "-c", MEASURE, name, *map(str, (width, height, tile)), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    peak, of_tile, of_pictures = map(int, done.stdout.split())
    slack = 32e6  # the allocator's, and the file's while it is written
    assert peak <= of_tile + of_pictures + slack
    if name == "nearest":
        assert of_pictures > 80e6
        assert peak > 0.8 * of_pictures  # the formula is no idle bound
    else:
        assert peak > 0.4 * of_tile


def test_twelve_megapixels_by_the_formula():
    """What the module's text says, computed: 2.6 GB for a tile of SRResNet, 0.8 GB for the pictures."""
    network = SRResNet()
    assert tile_bytes(network, 4) == pytest.approx(27.6e3, rel=0.01)
    assert tile_bytes(network, 4) * (256 + 2 * 24) ** 2 == pytest.approx(2.55e9, rel=0.02)
    assert pytest.approx(0.82e9, rel=0.01) == 4 * 17 * 4000 * 3000


def test_a_hundred_megapixels_are_refused_with_a_reason_before_they_are_read(tmp_path):
    Image.new("1", (10_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match=r"1,600 megapixels, which need 6.8 GB; 2.0 GB may be used"):
        upscale_file(Interpolation(4), tmp_path / "huge.png", tmp_path / "out.png", 4, memory=2 * 10**9)
    assert [file.name for file in tmp_path.iterdir()] == ["huge.png"]


def test_tiles_become_smaller_where_memory_is_short(tmp_path, monkeypatch):
    Image.new("RGB", (400, 400)).save(tmp_path / "in.png")
    seen = []
    monkeypatch.setattr(
        "sr_course.upscaling.upscale", lambda *_, tile, **__: seen.append(tile) or Image.new("L", (1, 1))
    )
    network = SRResNet(blocks=1)
    kept = 400 * 400 * 17 * 4
    for tile in (256, 128, 64):
        memory = round(kept + tile_bytes(network, 4) * (tile + 48) ** 2) + 1
        upscale_file(network, tmp_path / "in.png", tmp_path / "out.png", 4, overlap=24, memory=memory)
    assert seen == [256, 128, 64]
    with pytest.raises(ImageError, match="Crop it, or take a smaller scale or a smaller tile"):
        upscale_file(network, tmp_path / "in.png", tmp_path / "out.png", 4, overlap=24, memory=memory, tile=128)


# --- files: each works or says why


def enlarge(path: Path, target: str = "out.png", scale: int = 4):
    """By the cubic kernel; the result as Pillow reads it, and what was said."""
    done = upscale_file(Interpolation(scale), path, path.parent / target, scale)
    with Image.open(path.parent / target) as image:
        image.load()
        assert image.size == done.size
        return image, done.changes


def rgb_profile(gamma: float, name: bytes = b"wide") -> bytes:
    """An ICC profile by hand, version 2: Adobe RGB's primaries (adapted to D50), and a power for light."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + fixed(*values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" * 79
    tags = {
        b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1, 0.8249),
        b"rXYZ": xyz(0.60974, 0.31111, 0.01947), b"gXYZ": xyz(0.20528, 0.62567, 0.06087),
        b"bXYZ": xyz(0.14919, 0.06322, 0.74457), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    return profile_of(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(65536 * one) for one in (0.9642, 1, 0.8249)))
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + b"\0" * 78
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, b"kTRC": curve}
    return profile_of(b"mntr", b"GRAY", b"XYZ ", tags)


def cmyk_profile() -> bytes:
    """Inks to Lab by a table of the 16 corners: cyan alone is Lab (62, -36, -48), black ink darkens, white is paper."""
    corners = b""
    for index in range(16):
        cyan, magenta, yellow, black = (index >> 3) & 1, (index >> 2) & 1, (index >> 1) & 1, index & 1
        light = max(0.0, 100 - 38 * cyan - 50 * magenta - 8 * yellow - 90 * black)
        a, b = -36 * cyan + 74 * magenta - 4 * yellow, -48 * cyan - 2 * magenta + 92 * yellow
        a, b = (0, 0) if black else (a, b)
        corners += bytes([round(light * 2.55), 128 + max(-128, min(127, a)), 128 + max(-128, min(127, b))])
    line = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + 4 * line + corners + 3 * line
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(65536 * one) for one in (0.9642, 1, 0.8249)))
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"inks\0" + b"\0" * 78
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, b"A2B0": table}
    return profile_of(b"prtr", b"CMYK", b"Lab ", tags)


def profile_of(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + b"\0" * (-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    header = struct.pack(">I4sI4s4s4s12s4s", offset + len(data), b"\0" * 4, 0x02400000, kind, space, connection,
                         struct.pack(">6H", 2020, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    header += b"\0" * 28 + struct.pack(">iii", 63190, 65536, 54061) + b"\0" * 48
    assert len(header) == 128
    return header + table + data


def test_one_pixel(tmp_path):
    images.write(torch.full((1, 3, 1, 1), 0.2), tmp_path / "dot.png")
    image, changes = enlarge(tmp_path / "dot.png")
    assert (image.size, image.getpixel((3, 3)), changes) == ((4, 4), (51, 51, 51), ())


@pytest.mark.parametrize("name", ["srresnet-s", "srgan"])
def test_one_pixel_through_a_network(tmp_path, name):
    images.write(torch.full((1, 3, 1, 1), 0.2), tmp_path / "dot.png")
    assert upscale_file(zoo.load(name), tmp_path / "dot.png", tmp_path / "out.png", 4).size == (4, 4)


@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.webp"])
def test_the_colour_profile_and_the_numbers_under_it_stay(tmp_path, noise, target):
    profile = rgb_profile(2.2)
    images.to_pil(noise).save(tmp_path / "wide.png", icc_profile=profile)
    images.to_pil(noise).save(tmp_path / "plain.png")
    wide, changes = enlarge(tmp_path / "wide.png", target)
    plain, _ = enlarge(tmp_path / "plain.png", f"plain-{target}")
    assert wide.info["icc_profile"] == profile
    assert "icc_profile" not in plain.info
    np.testing.assert_array_equal(np.asarray(wide), np.asarray(plain))
    assert changes == ()


def test_a_colour_that_only_the_wide_space_has_survives(tmp_path):
    """Through sRGB the full green of Adobe RGB would become a duller one."""
    profile = rgb_profile(2.2)
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "green.png", icc_profile=profile)
    image, _ = enlarge(tmp_path / "green.png")

    def lab(picture: Image.Image) -> np.ndarray:
        there = ImageCms.createProfile("LAB")
        mine = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
        return np.asarray(ImageCms.profileToProfile(picture, mine, there, outputMode="LAB"))[0, 0].astype(int)

    with Image.open(tmp_path / "green.png") as source:
        assert np.abs(lab(image) - lab(source)).max() <= 1
        srgb = ImageCms.createProfile("sRGB")
        mine = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        there = ImageCms.profileToProfile(source, mine, srgb)
        back = ImageCms.profileToProfile(there, srgb, mine)
        assert np.abs(np.asarray(back).astype(int) - np.asarray(source)).max() > 50


def test_a_network_is_not_troubled_by_a_wide_space(tmp_path):
    """Given the numbers of Adobe RGB as they stand, it makes the same picture as from sRGB, to better than 38 dB."""
    with Image.open(photo("red_panda").path) as opened:
        source = opened.convert("RGB").crop((200, 120, 248, 160))
    wide = rgb_profile(2.2)
    mine, srgb = ImageCms.ImageCmsProfile(io.BytesIO(wide)), ImageCms.createProfile("sRGB")
    ImageCms.profileToProfile(source, srgb, mine).save(tmp_path / "wide.png", icc_profile=wide)
    network = zoo.load("srresnet-s")
    upscale_file(network, tmp_path / "wide.png", tmp_path / "out.png", 4)
    with Image.open(tmp_path / "out.png") as result:
        back = ImageCms.profileToProfile(result, mine, srgb)
    error = np.asarray(back).astype(float) - np.asarray(upscale(network, source, 4))
    assert 10 * np.log10(255**2 / (error**2).mean()) > 38


def test_a_profile_that_does_not_fit_is_left_out_and_that_is_said(tmp_path, noise):
    for index, profile in enumerate((b"no profile at all", cmyk_profile(), grey_profile(2.2))):
        path = tmp_path / f"{index}.png"
        images.to_pil(noise).save(path, icc_profile=profile)
        image, changes = enlarge(path)
        assert "icc_profile" not in image.info
        assert changes == ("Its colour profile is damaged or of another kind of picture, and was left out.",)


def test_grey_stays_grey_with_its_profile(tmp_path):
    profile = grey_profile(1.8)
    Image.effect_noise((20, 12), 60).save(tmp_path / "grey.png", icc_profile=profile)
    for target in ("out.png", "out.jpg"):
        image, changes = enlarge(tmp_path / "grey.png", target)
        assert (image.mode, image.info["icc_profile"], changes) == ("L", profile, ())
    with pytest.raises(ImageError, match=r"WebP holds no grey.*take .png"):
        enlarge(tmp_path / "grey.png", "out.webp")
    assert not (tmp_path / "out.webp").exists()
    Image.effect_noise((20, 12), 60).save(tmp_path / "plain.png")
    assert enlarge(tmp_path / "plain.png", "out.webp")[0].size == (80, 48)


def test_grey_with_a_profile_for_colours_becomes_colour(tmp_path):
    profile = rgb_profile(2.2)
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.jpg", icc_profile=profile, quality=100)
    image, _ = enlarge(tmp_path / "grey.jpg")
    assert (image.mode, image.getpixel((5, 5)), image.info["icc_profile"]) == ("RGB", (77, 77, 77), profile)


def test_cmyk_goes_through_its_profile_to_srgb(tmp_path):
    """Cyan ink alone is Lab (62, -36, -48) by the profile made here; in sRGB that is about (0, 169, 236)."""
    profile = cmyk_profile()
    image = Image.new("CMYK", (24, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 8, 8))
    image.paste((0, 0, 0, 255), (16, 0, 24, 8))
    image.save(tmp_path / "print.tif", icc_profile=profile)
    result, changes = enlarge(tmp_path / "print.tif")
    assert changes == ("It is made of inks (CMYK); by its profile they became sRGB.",)
    assert ImageCms.ImageCmsProfile(io.BytesIO(result.info["icc_profile"])).profile.xcolor_space == "RGB "
    cyan, paper, black = (result.getpixel((x, 16)) for x in (8, 48, 88))
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), cyan), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    ).getpixel((0, 0))
    assert lab[0] / 2.55 == pytest.approx(62, abs=3)
    assert cyan[0] < 30 < 140 < cyan[1] < cyan[2]
    assert min(paper) > 245
    assert max(black) < 60
    for empty in ({}, {"icc_profile": profile_of(b"prtr", b"CMYK", b"Lab ", {})}):  # which opens, and converts nothing
        image.save(tmp_path / "guess.tif", **empty)
        _, changes = enlarge(tmp_path / "guess.tif")
        assert changes == (
            "It is made of inks (CMYK) without a usable profile; its colours were guessed, and are sRGB now.",
        )


def test_transparency_is_kept(tmp_path):
    """Alpha by the cubic kernel, in tiles too; the colours of what is seen do not mix with what is hidden."""
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    image.paste((250, 120, 30, 255), (10, 8, 30, 22))
    image.save(tmp_path / "cut.png")
    for target in ("out.png", "out.webp"):
        result, changes = enlarge(tmp_path / "cut.png", target)
        assert (result.mode, changes) == ("RGBA", ())
        alpha = np.asarray(result.getchannel("A")) / 255
        expected = Interpolation(4)(torch.from_numpy(np.asarray(image.getchannel("A")).copy())[None, None] / 255.0)
        np.testing.assert_allclose(alpha, expected[0, 0].clamp(0, 1), atol=0.5 / 255 + 1e-6)
        seen = np.asarray(result)[alpha > 0][:, :3].astype(int)
        assert np.abs(seen - (250, 120, 30)).max() <= 6  # black shone through before
    tiled = upscale(Interpolation(4), image, 4, tile=11, overlap=2)
    np.testing.assert_array_equal(np.asarray(tiled), np.asarray(upscale(Interpolation(4), image, 4)))


def test_transparency_in_jpeg_is_laid_over_white_and_that_is_said(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    image, changes = enlarge(tmp_path / "clear.png", "out.jpg")
    assert image.getextrema() == ((255, 255),) * 3
    assert changes == ("JPEG holds no transparency; it was laid over white. A .png or .webp keeps it.",)


@pytest.mark.parametrize(("mode", "kept"), [("LA", "LA"), ("1", "L"), ("P", "RGB"), ("YCbCr", "RGB")])
def test_other_kinds_of_pixels(tmp_path, mode, kept):
    path = tmp_path / ("in.png" if mode != "YCbCr" else "in.tif")
    Image.new("RGB", (6, 4), "white").convert(mode).save(path)
    image, changes = enlarge(path)
    assert (image.mode, changes) == (kept, ())
    assert image.convert("RGB").getpixel((9, 9)) == (255, 255, 255)


def test_a_transparent_palette(tmp_path):
    image = Image.new("P", (4, 4))
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.paste(1, (2, 0, 4, 4))
    image.save(tmp_path / "sprite.gif", transparency=0)
    result, _ = enlarge(tmp_path / "sprite.gif")
    assert result.getpixel((0, 0))[3] == 0
    assert result.getpixel((15, 0)) == (255, 0, 0, 255)


def test_sixteen_bits_become_eight_and_that_is_said(tmp_path):
    levels = np.full((6, 5), 32_768, dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    image, changes = enlarge(tmp_path / "deep.png")
    assert (image.mode, image.getpixel((9, 9))) == ("L", 128)
    assert changes == ("Its 16 bits a channel became 8.",)


def test_sixteen_bits_of_colour(tmp_path):
    """A PNG by hand, for Pillow writes none: two pixels of 16 bits a channel."""
    import zlib

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    pixels = b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0xFFFF, 0x8000, 0)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(content)
    image, changes = enlarge(tmp_path / "deep.png")
    assert image.getpixel((3, 3)) == (255, 128, 0)
    assert changes == ("Its 16 bits a channel became 8.",)


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_the_first_picture_of_an_animation(tmp_path, kind):
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "green", "blue")]
    options = {"lossless": True} if kind == "webp" else {}
    frames[0].save(tmp_path / f"moving.{kind}", save_all=True, append_images=frames[1:], **options)
    image, changes = enlarge(tmp_path / f"moving.{kind}")
    assert image.convert("RGB").getpixel((20, 20)) == (255, 0, 0)
    assert changes == ("Of its 3 pictures, the first was taken.",)


def test_the_camera_s_orientation_is_applied_once(tmp_path):
    stored = Image.new("RGB", (24, 16))
    stored.paste("white", (0, 0, 12, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to see it upright: the bright corner comes to the top right
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=100)
    image, _ = enlarge(tmp_path / "photo.jpg", scale=2)
    assert image.size == (32, 48)
    assert image.getexif().get(0x0112, 1) == 1
    bright = np.asarray(image).mean(axis=2) > 128
    assert bright[:20, 20:].all()
    assert not bright[28:].any()
    assert not bright[:, :12].any()


def test_sixty_megabytes_of_which_little_is_picture(tmp_path):
    """As with the photographs of phones that carry a film behind them."""
    images.write(torch.rand(1, 3, 12, 16), tmp_path / "motion.jpg")
    with (tmp_path / "motion.jpg").open("r+b") as file:
        file.truncate(60_000_000)
    assert enlarge(tmp_path / "motion.jpg")[0].size == (64, 48)


def test_sixty_megabytes_of_picture_are_refused_where_memory_is_short(tmp_path):
    Image.new("RGB", (5000, 4000)).save(tmp_path / "large.bmp")
    assert (tmp_path / "large.bmp").stat().st_size > 60e6
    with pytest.raises(ImageError, match=r"large\.bmp: 5000x4000 pixels enlarged 4 times are 320 megapixels"):
        upscale_file(Interpolation(4), tmp_path / "large.bmp", tmp_path / "out.png", 4, memory=10**9)


@pytest.mark.parametrize(("name", "content", "says"), [
    ("text.png", b"This is no picture.", "not a picture that can be read"), ("none.jpg", b"", "the file is empty"),
    ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "If it is a HEIC"),
])  # fmt: skip
def test_what_is_no_picture(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=rf"{re.escape(name)}: .*{says}"):
        upscale_file(Interpolation(4), tmp_path / name, tmp_path / "out.png", 4)
    assert not (tmp_path / "out.png").exists()
