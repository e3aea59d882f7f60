"""Inside a network: tree, maps, what a pixel sees, attribution and ablation, against what is known otherwise."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sr_course import images, zoo
from sr_course.data.shipped import photos
from sr_course.errors import ImageError, ModelError
from sr_course.features import DEPTHS, VGGFeatures
from sr_course.inspection import (
    ablated,
    arithmetic,
    attribute,
    diffusion_index,
    effective_field,
    effective_side,
    gini,
    importance,
    judge,
    look,
    record,
)
from sr_course.inspection.attribution import blurred, edges
from sr_course.metrics import psnr
from sr_course.models.describe import describe
from sr_course.models.esrgan import RRDBNet
from sr_course.models.interpolation import Interpolation
from sr_course.models.srcnn import SRCNN
from sr_course.models.srgan import Discriminator
from sr_course.models.srresnet import SRResNet
from sr_course.resample import imresize


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make()


def state(network: nn.Module) -> dict:
    """All that must be as it was: modes, hooks, gradients, types, devices and numbers."""
    return {
        "modes": [module.training for module in network.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in network.modules()
        ],
        "gradients": [None if one.grad is None else one.grad.flatten().tolist() for one in network.parameters()],
        "learning": [one.requires_grad for one in network.parameters()],
        "types": [(name, one.dtype, one.device) for name, one in network.state_dict().items()],
        "numbers": [one.flatten().tolist() for one in network.state_dict().values()],
    }


def small() -> nn.Module:
    return seeded(lambda: SRResNet(2, blocks=2, channels=4))


# The tree.


def test_the_tree_has_the_rows_of_the_layer_table():
    network = small()
    anatomy = look(network, noise(1, 3, 40, 40))
    table = describe(network, 40)
    for row in table.layers:
        layer = anatomy.layer(row.name)
        assert (layer.kind, layer.shape, layer.parameters) == (row.kind, row.shape, row.parameters)
        assert layer.field.size == (row.receptive_field, row.receptive_field)
        assert layer.sees == f"{row.receptive_field} px"
    assert anatomy.root.parameters == table.parameters
    assert [one.name for one in anatomy.root.parts] == ["head", "blocks", "trunk", "up1", "up2", "up3", "tail"]
    assert [one.name for one in anatomy.layer("blocks.1").parts] == [
        "blocks.1.conv1", "blocks.1.bn1", "blocks.1.prelu", "blocks.1.conv2", "blocks.1.bn2",
    ]  # fmt: skip
    with torch.no_grad():
        assert torch.equal(anatomy.output, network.eval()(noise(1, 3, 40, 40)))
    assert anatomy.to_text().splitlines()[3].split() == ["conv", "Conv2d", "k9n4s1", "4x40x40", "976", "9", "px"]
    with pytest.raises(ModelError, match=r"no layer 'body'; it begins with head, head\.conv"):
        anatomy.layer("body")


def test_a_field_larger_than_the_picture_is_found_on_a_longer_one():
    anatomy = look(seeded(lambda: SRResNet(blocks=16, channels=2)), noise(1, 3, 24, 24))
    assert anatomy.root.field.size == (80, 80)  # Ledig et al. 2017, fig. 4, counted in tests/models/test_describe.py
    assert anatomy.root.field.frame(0, 0, 24, 24) == (0, 0, 24, 24)


def test_vgg_sees_what_is_counted_on_paper():
    anatomy = look(VGGFeatures(("conv5_3",), backbone="random"), noise(1, 3, 128, 128))
    expected, sees, jump = {}, 1, 1
    for block, depth in enumerate(DEPTHS["random"], 1):
        for convolution in range(1, depth + 1):
            sees += 2 * jump  # a kernel of 3 reaches one further on each side
            expected[f"conv{block}_{convolution}"] = f"{sees} px"
        sees, jump = sees + jump, 2 * jump  # a pool of 2, and each step is twice as long
    assert {layer.name: layer.sees for layer in anatomy.root.walk() if layer.name} == expected
    assert expected["conv5_3"] == "196 px"


def test_srcnn_sees_17_enlarged_pixels_and_8_small_ones():
    anatomy = look(seeded(lambda: SRCNN(1)), noise(1, 3, 48, 48))
    assert [anatomy.layer(f"conv{at}").field.size for at in (1, 2, 3)] == [(9, 9), (13, 13), (17, 17)]
    assert anatomy.root.field.frame(20, 30, 48, 48) == (12, 22, 29, 39)
    # 17 enlarged pixels span 4 or 5 small ones and a quarter on each side of the middle, plus the cubic kernel's 4 taps
    assert look(seeded(lambda: SRCNN(4)), noise(1, 3, 24, 24)).root.field.size == (8, 8)


def jacobian_field(network: nn.Module, picture: torch.Tensor, row: int, column: int) -> tuple[int, int, int, int]:
    """What moves one pixel of the result, by gradients in double precision."""
    leaf = picture.double().requires_grad_()
    result = network.double().eval()(leaf)
    (gradient,) = torch.autograd.grad(result[0, :, row, column].sum(), leaf)
    rows, columns = gradient[0].abs().sum(dim=0).nonzero().unbind(1)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


class Branches(nn.Module):
    """Parallel branches and a crop, which the layer table refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(3, 2, 1)
        self.wide = nn.Conv2d(3, 2, (5, 9), padding=(2, 4))
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x):
        return torch.sin(self.last(torch.cat([self.narrow(x), self.wide(x)], dim=1)))


NETWORKS = {
    "srresnet": lambda: SRResNet(2, blocks=2, channels=3, batch_norm=False),
    "rrdb": lambda: RRDBNet(4, blocks=1, channels=4, growth=2),
    "cubic": lambda: Interpolation(4),
    "branches": Branches,
    "strides": lambda: nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=2, dilation=2), nn.Conv2d(2, 2, 5, stride=2, padding=2), nn.Tanh(),
        nn.Conv2d(2, 2, 3, stride=3, padding=1),
    ),
    "down and up": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.Tanh(), nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)
    ),
    "pooled": lambda: nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.AvgPool2d(4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_frames_are_those_of_gradients_in_the_middle_and_at_the_border(name):
    network = seeded(NETWORKS[name])
    picture = noise(1, 3, 64, 48)
    anatomy = look(network, picture)
    height, width = anatomy.root.shape[1:]
    for row, column in [(height // 2, width // 2), (height // 2 + 1, width // 2 + 2), (0, width - 1), (1, 2)]:
        expected = jacobian_field(network, picture, row, column)
        network.float()
        assert anatomy.root.field.frame(row, column, 64, 48) == expected, (row, column)


def test_a_discriminator_sees_all_in_the_end():
    anatomy = look(seeded(lambda: Discriminator(96)), noise(1, 3, 96, 96))
    convolutions = [one for one in anatomy.root.walk() if one.kind.startswith("Conv2d")]
    expected = [row for row in describe(Discriminator(96), 96).layers if row.kind.startswith("Conv2d")]
    assert [one.sees for one in convolutions] == [f"{row.receptive_field} px" for row in expected]
    assert anatomy.root.sees in ("96 px", "the whole picture")
    assert anatomy.layer("dense2").field.frame(0, 0, 96, 96) == (0, 0, 96, 96)


# The maps.


def test_maps_are_what_the_layer_returns():
    network = small().eval()
    picture = noise(1, 3, 20, 24)
    with torch.no_grad():
        expected = network.head.conv(picture)[0]
    assert torch.equal(record(network, picture, "head.conv"), expected)
    kept = look(network, picture, keep=True).kept["head.conv"].tensor()
    assert (kept - expected[None]).abs().max() <= expected.abs().max() * 2**-11
    assert look(network, picture).kept == {}


def test_what_a_later_layer_does_in_place_does_not_show():
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)))
    picture = noise(1, 3, 16, 16)
    maps = record(network, picture, "0")
    assert maps.min() < 0
    assert torch.equal(record(network, picture, "1"), maps.relu())
    kept = look(network, picture, keep=True).kept
    assert kept["0"].tensor().min() < 0 <= kept["1"].tensor().min()
    row, column = (maps[2] < 0).nonzero()[0].tolist()  # where the activation lets nothing through
    assert effective_field(network, picture, "0", channel=2, row=row, column=column).sum() > 0
    assert effective_field(network, picture, "1", channel=2, row=row, column=column).sum() == 0


def test_memory_that_is_kept_has_a_bound(monkeypatch):
    monkeypatch.setattr("sr_course.inspection.layers.KEPT_BYTES", 40_000)
    kept = look(small(), noise(1, 3, 24, 24), keep=True).kept
    distinct = {id(one): one.numbers.numel() * 2 for one in kept.values()}
    assert 20_000 < sum(distinct.values()) <= 40_000


# Odd modules: each works or says why, and is left as it was.


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x))


class Tuples(nn.Module):
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return {"number": 3, "maps": (self.conv(x), x)}

    def __init__(self) -> None:
        super().__init__()
        self.inner = self.Inner()

    def forward(self, x):
        return self.inner(x)["maps"]


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.back = nn.Linear(4, 3)

    def forward(self, x):
        rows = x.flatten(2).transpose(1, 2)
        return self.back(self.embed(rows)).transpose(1, 2).reshape(x.shape)


def test_no_convolution():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5), nn.Tanh())
    picture = noise(1, 3, 8, 8)
    anatomy = look(network, picture)
    assert anatomy.layer("1").shape == (5,)
    assert anatomy.layer("1").sees == "8 px"  # all of it
    assert record(network, picture, "1").shape == (5, 1, 1)
    assert effective_field(network, picture, "2", channel=4, row=0, column=0).shape == (8, 8)
    assert len(importance(network, picture, "1").values) == 5
    with pytest.raises(ModelError, match="1: is a Linear; patch times kernel is the arithmetic of a Conv2d"):
        arithmetic(network, picture, "1", channel=0, row=0, column=0)
    with pytest.raises(ModelError, match="gives no picture"):
        attribute(network, picture, (0, 0, 4))


def test_a_layer_that_runs_twice_shows_its_last_answer():
    network, picture = seeded(Twice), noise(1, 3, 20, 20)
    layer = look(network, picture).layer("conv")
    assert layer.runs == 2
    assert layer.note == "Runs 2 times; the last is shown."
    assert layer.field.size == (5, 5)
    with torch.no_grad():
        assert torch.equal(record(network, picture, "conv"), network(picture)[0])
    taken = arithmetic(network, picture, "conv", channel=1, row=4, column=5)
    assert taken.total == pytest.approx(float(record(network, picture, "conv")[1, 4, 5]), rel=1e-5)


def test_tuples_and_dictionaries():
    network, picture = seeded(Tuples), noise(1, 3, 16, 16)
    anatomy = look(network, picture)
    assert anatomy.layer("inner").note == "Returns 2 things; the first tensor is shown."
    assert anatomy.layer("inner").field.size == (3, 3)
    with torch.no_grad():
        expected = network.inner.conv(picture)[0]
        assert torch.equal(record(network, picture, "inner"), expected)
        with ablated(network, {"inner": [1]}):
            result, untouched = network(picture)
    assert torch.equal(result[0, 0], expected[0])
    assert result[0, 1].abs().max() == 0
    assert torch.equal(untouched, picture)


def test_maps_without_rows_and_columns_are_refused_with_the_reason():
    network, picture = seeded(Tokens), noise(1, 3, 16, 16)
    anatomy = look(network, picture)
    assert anatomy.layer("embed").shape == (256, 4)
    assert not anatomy.layer("embed").has_maps
    with pytest.raises(ModelError, match="embed: returns 1x256x4, in which rows and columns are not known"):
        record(network, picture, "embed")
    assert anatomy.root.field.size == (1, 1)


def test_training_mode_is_left_and_does_not_count():
    network = small().train()
    network.head.eval()  # one part was in the other mode
    picture = noise(1, 3, 20, 20)
    network(picture).sum().backward()  # gradients and running means of its own
    before = state(network)
    anatomy = look(network, picture, keep=True)
    assert "is in training mode" in anatomy.notes[0]
    maps = record(network, picture, "trunk")
    effective_field(network, picture, "tail", channel=0, row=5, column=5)
    arithmetic(network, picture, "head.conv", channel=0, row=0, column=0)
    importance(network, picture, "head.conv")
    attribute(network, picture, (4, 4, 6), steps=2)
    assert state(network) == before
    assert torch.equal(maps, record(network.eval(), picture, "trunk"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    network = small().eval().to(dtype)
    picture = noise(1, 3, 20, 20)
    before = state(network)
    anatomy = look(network, picture)
    assert anatomy.picture.dtype == dtype
    assert anatomy.layer("head.conv").field.size == (9, 9)
    maps = record(network, picture, "head.conv")
    assert maps.dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(maps, network.head.conv(picture.to(dtype))[0].float())
    assert effective_field(network, picture, "trunk", channel=0, row=5, column=5).isfinite().all()
    assert attribute(network, picture, (4, 4, 6)).incompleteness < 0.01
    assert state(network) == before


def test_of_several_pictures_the_first_is_taken():
    network, pictures = small().eval(), noise(4, 3, 20, 20)
    anatomy = look(network, pictures)
    assert anatomy.notes == ("The first of 4 pictures is shown.",)
    assert torch.equal(record(network, pictures, "trunk"), record(network, pictures[:1], "trunk"))


def test_of_a_picture_of_4000_pixels_the_middle_is_taken():
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)).eval()
    picture = noise(1, 3, 3, 4000).repeat(1, 1, 1000, 1)
    anatomy = look(network, picture)
    assert anatomy.notes == ("Of 4000x3000 pixels the middle 128x128 are shown.",)
    middle = picture[..., 1436:1564, 1936:2064]
    assert torch.equal(anatomy.picture, middle)
    assert torch.equal(record(network, picture, "0"), record(network, middle, "0"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    network, picture = small().eval().cuda(), noise(1, 3, 20, 20)
    before = state(network)
    assert look(network, picture).picture.device.type == "cuda"
    assert record(network, picture, "trunk").device.type == "cpu"
    assert attribute(network, picture, (4, 4, 6), steps=20).incompleteness < 0.01
    assert state(network) == before


def test_layers_that_do_not_run_or_return_no_tensor():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle, self.speaker = nn.Conv2d(3, 3, 1), nn.Identity()

        def forward(self, x):
            self.speaker("a word")
            return x * 1.0

    anatomy = look(Odd(), noise(1, 3, 12, 12))
    assert anatomy.layer("idle").note == "Does not run."
    assert anatomy.layer("speaker").note == "Returns no tensor."
    assert not anatomy.layer("speaker").has_maps
    with pytest.raises(ModelError, match="idle: this layer does not run"):
        record(Odd(), noise(1, 3, 12, 12), "idle")
    with pytest.raises(ModelError, match="speaker: this layer returns no tensor"):
        record(Odd(), noise(1, 3, 12, 12), "speaker")


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (torch.zeros(3, 8, 8), "is not a picture"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "is not a picture"),
        (torch.full((1, 3, 8, 8), math.nan), "not numbers"),
    ],
)
def test_what_is_no_picture_is_refused(picture, said):
    with pytest.raises(ImageError, match=said):
        look(small(), picture)


def test_a_picture_that_the_network_cannot_take():
    network = small()
    before = state(network)
    with pytest.raises(ModelError, match=r"SRResNet cannot run on a picture of 1x1x8x8 \("):
        look(network, torch.zeros(1, 1, 8, 8))
    with pytest.raises(ModelError, match="SRResNet has no layer 'body'; it begins with head"):
        record(network, noise(1, 3, 8, 8), "body")
    assert state(network) == before


# What reaches a value, and the sum that it is.


def test_effective_field_of_one_convolution_is_its_kernel():
    network = seeded(lambda: nn.Sequential(nn.Conv2d(3, 2, 5, padding=2)))
    field = effective_field(network, noise(1, 3, 20, 20), "0", channel=1, row=8, column=11)
    expected = torch.zeros(20, 20)
    expected[6:11, 9:14] = network[0].weight[1].detach().abs().sum(dim=0)
    torch.testing.assert_close(field, expected)


def test_effective_field_lies_within_the_theoretical_one():
    network = zoo.load("srresnet-s")
    picture = noise(1, 3, 80, 80)
    theoretical = look(network, picture).layer("trunk.conv").field.frame(40, 40, 80, 80)
    field = effective_field(network, picture, "trunk.conv", channel=0, row=40, column=40)
    top, left, bottom, right = theoretical
    outside = field.clone()
    outside[top:bottom, left:right] = 0
    assert outside.abs().max() == 0
    # Luo et al. 2016: what matters is a fraction of what could
    assert effective_side(field, theoretical) < 0.6 * (bottom - top)
    assert effective_side(field, theoretical, 0.9) < effective_side(field, theoretical, 0.999) < bottom - top


def test_effective_side_on_paper():
    gradient = torch.zeros(9, 9)
    gradient[4, 4] = 6
    gradient[3, 4] = gradient[4, 6] = 2
    assert [effective_side(gradient, (0, 0, 9, 9), share) for share in (0.6, 0.61, 0.8, 0.81, 1)] == [1, 3, 3, 5, 5]


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.Conv2d(4, 6, (3, 5), stride=2, padding=(2, 1), bias=False),
        nn.Conv2d(4, 6, 3, dilation=2, padding=2, padding_mode="reflect"),
        nn.Conv2d(4, 6, 4, padding="same"),
        nn.Conv2d(4, 6, 3, padding="valid"),
    ],
)
def test_patch_times_kernel_is_the_value(conv):
    network, picture = nn.Sequential(conv), noise(1, 4, 12, 14)
    maps = record(network, picture, "0")
    for channel, row, column in [(0, 0, 0), (5, 3, 4), (4, maps.shape[1] - 1, maps.shape[2] - 1)]:
        taken = arithmetic(network, picture, "0", channel=channel, row=row, column=column)
        assert taken.total == pytest.approx(float(maps[channel, row, column]), abs=1e-5)
        assert taken.patch.shape == taken.kernel.shape == taken.products.shape
    with pytest.raises(ModelError, match="channel is 6; in these maps it goes from 0 to 5"):
        arithmetic(network, picture, "0", channel=6, row=0, column=0)


def test_the_patch_of_srcnns_first_layer_is_the_enlarged_luma():
    network, lr = zoo.load("srcnn"), noise(1, 3, 16, 16)
    luma = images.rgb_to_ycbcr(imresize(lr, 4))[0, 0]
    taken = arithmetic(network, lr, "conv1", channel=3, row=30, column=20)
    torch.testing.assert_close(taken.patch[0], luma[26:35, 16:25])
    assert taken.total == pytest.approx(float(record(network, lr, "conv1")[3, 30, 20]), abs=1e-5) or taken.total < 0


# Attribution.


@pytest.fixture(scope="module")
def photo() -> tuple[torch.Tensor, torch.Tensor]:
    """A part of a photograph with many edges, 48 small pixels a side, and the truth."""
    hr = images.read(next(one.path for one in photos("test") if "hawa_mahal" in one.path.name))
    hr = images.centre_crop(hr, 192, 192)
    return imresize(hr, 1 / 4).clamp(0, 1), hr


def enlarged(network: nn.Module) -> nn.Module:
    """The same SRCNN for a picture that is enlarged already, so that its pixels are those of the result."""
    proper = SRCNN(1).eval()
    proper.load_state_dict(network.state_dict())
    return proper


def touched(values: torch.Tensor) -> tuple[int, int, int, int]:
    rows, columns = values.nonzero().unbind(1)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def test_srcnns_map_fills_its_theoretical_field_of_17_pixels_and_no_more(photo):
    network = enlarged(zoo.load("srcnn"))
    picture = images.centre_crop(imresize(photo[0], 4).clamp(0, 1), 64, 64)
    one_pixel = attribute(network, picture, (30, 33, 1), detector=lambda patch: patch.sum(), steps=4)
    assert touched(one_pixel.map) == (22, 25, 39, 42)  # 17 pixels about it: 9 + 5 + 5 - 2
    assert touched(one_pixel.map) == look(network, picture).root.field.frame(30, 33, 64, 64)
    patch = attribute(network, picture, (24, 20, 16), steps=4)
    assert touched(patch.map) == (16, 12, 48, 44)  # 8 pixels more on each side


def test_on_the_small_picture_srcnns_map_lies_in_its_field(photo):
    network = zoo.load("srcnn")
    top, left, bottom, right = touched(attribute(network, photo[0], (88, 88, 16), steps=4).map)
    field = look(network, photo[0]).root.field
    first, last = field.frame(88, 88, 48, 48), field.frame(103, 103, 48, 48)
    assert (top, left) == first[:2]
    assert (bottom, right) == last[2:]


@pytest.mark.parametrize("name", ["bicubic", "srcnn", "srresnet-s", "rrdb-s"])
def test_shares_add_up_to_the_change(name, photo):
    lr = images.centre_crop(photo[0], 24, 24)
    found = attribute(zoo.load(name), lr, (40, 40, 16), steps=50)
    assert found.change > 0  # the blurred picture has less edge
    assert found.incompleteness < 0.01
    coarse = attribute(zoo.load(name), lr, (40, 40, 16), steps=4)
    assert coarse.incompleteness > found.incompleteness


def test_attribution_of_a_linear_network_is_known():
    """One pixel of a picture that is left as it is: the shares are all its own, the change is what the blur took."""
    network, picture = nn.Identity(), noise(1, 1, 20, 20)
    found = attribute(network, picture, (9, 9, 1), detector=lambda patch: patch.sum(), steps=3)
    expected = float(picture[0, 0, 9, 9] - blurred(picture, 1.2)[0, 0, 9, 9])
    assert touched(found.map) == (9, 9, 10, 10)
    assert float(found.map.sum()) == pytest.approx(expected, abs=1e-6)


def test_the_blur_is_a_gaussian():
    impulse = torch.zeros(1, 1, 21, 21)
    impulse[..., 10, 10] = 1
    soft = blurred(impulse, 1.2)[0, 0]
    distance = torch.arange(-10, 11)
    bell = torch.exp(-(distance**2) / (2 * 1.2**2))
    torch.testing.assert_close(soft, torch.outer(bell, bell) / bell.sum() ** 2, atol=1e-4, rtol=0)
    assert torch.equal(blurred(impulse, 0), impulse)
    torch.testing.assert_close(blurred(torch.full((1, 3, 9, 9), 0.3), 1.2), torch.full((1, 3, 9, 9), 0.3))


def test_the_detector_on_paper():
    patch = torch.tensor([[0.0, 3.0, 9.9], [4.0, 0.0, 9.9], [9.9, 9.9, 9.9]])[None, None]
    # the corner: 3 across and 4 down make 5
    assert float(edges(patch[..., :2, :2])) == pytest.approx(5, abs=1e-5)
    assert float(edges(torch.full((1, 3, 5, 5), 0.7))) < 1e-3


def test_gini_on_paper():
    assert gini(torch.ones(10)) == pytest.approx(0, abs=1e-12)
    assert gini(torch.tensor([0.0, 0, 0, 7])) == pytest.approx(1 - 1 / 4)
    # mean difference of 1 2 3 4: (3*1 + 2*2 + 1*3) * 2 / 16 = 1.25, over twice the mean of 2.5
    assert gini(torch.tensor([[4.0, 1], [3, 2]])) == pytest.approx(0.25)
    assert diffusion_index(torch.tensor([4.0, -1, 3, -2])) == pytest.approx(75)
    assert gini(torch.zeros(3)) == 0


def test_deeper_networks_use_more_of_the_picture(photo):
    """Gu and Dong 2021, fig. 5 and table 1: SRCNN and its like lie far below residual networks."""
    index = {
        name: attribute(zoo.load(name), photo[0], (88, 88, 16), steps=4).diffusion_index
        for name in ("bicubic", "srcnn", "srresnet-s")
    }
    assert index["bicubic"] < index["srcnn"] < index["srresnet-s"]


@pytest.mark.parametrize(
    ("patch", "options", "error", "said"),
    [
        ((0, 0, 200), {}, ModelError, "does not lie in the result, which has 48x48"),
        ((40, 0, 16), {}, ModelError, "does not lie in the result"),
        ((0, 0, 8), {"steps": 0}, ValueError, "at least one step"),
        ((0, 0, 8), {"sigma": 0.0}, ValueError, "needs a blur"),
    ],
)
def test_patches_that_do_not_exist(patch, options, error, said):
    with pytest.raises(error, match=said):
        attribute(small(), noise(1, 3, 24, 24), patch, **options)


# Ablation.


def test_a_channel_that_is_off_is_zero_and_comes_back():
    network, picture = small().eval(), noise(1, 3, 20, 20)
    with torch.no_grad():
        before = network(picture)
        with ablated(network, {"head.conv": [0, 2], "trunk": []}):
            maps = record(network, picture, "head.conv")
            without = network(picture)
        assert maps[[0, 2]].abs().max() == 0
        assert maps[[1, 3]].abs().min(dim=0).values.max() > 0
        # by hand: the same network with these kernels and biases at zero
        other = seeded(lambda: SRResNet(2, blocks=2, channels=4)).eval()
        other.head.conv.weight[[0, 2]] = 0
        other.head.conv.bias[[0, 2]] = 0
        torch.testing.assert_close(without, other(picture))
        assert torch.equal(network(picture), before)
    with (
        pytest.raises(ModelError, match=r"head\.conv: there is no channel 4; they go from 0 to 3"),
        ablated(network, {"head.conv": [4]}),
    ):
        network(picture)
    assert not any(module._forward_hooks for module in network.modules())


def test_importance_is_what_each_channel_costs(photo):
    lr, hr = photo
    network = zoo.load("srcnn")
    found = importance(network, lr, "conv1", truth=hr, side=12)
    assert (found.unit, found.side, len(found.values)) == ("dB", (12, 12), 64)
    small_lr, small_hr = images.centre_crop(lr, 12, 12), images.centre_crop(hr, 48, 48)
    with torch.no_grad():
        base = judge(network(small_lr), small_hr)
        assert base == float(psnr(network(small_lr).clamp(0, 1), small_hr))
        for channel in (0, 17, found.ranking()[0], found.ranking()[-1]):
            with ablated(network, {"conv1": [channel]}):
                assert float(found.values[channel]) == pytest.approx(
                    base - judge(network(small_lr), small_hr), abs=2e-3
                )
    ranked = found.values[found.ranking()]
    assert (ranked.diff() <= 0).all()
    # by the loss of all, the most important half matters more than the other
    with torch.no_grad():
        results = []
        for channels in (found.ranking()[:32], found.ranking()[32:]):
            with ablated(network, {"conv1": channels}):
                results.append(judge(network(small_lr), small_hr))
    assert results[0] < results[1] - 1


def test_importance_without_a_truth_is_how_much_the_result_changes():
    network, picture = small().eval(), noise(1, 3, 10, 10)
    found = importance(network, picture, "trunk")
    assert found.unit == "change"
    with torch.no_grad(), ablated(network, {"trunk": [3]}):
        without = network(picture)
    expected = (without - network(picture)).detach().square().mean().sqrt()
    assert float(found.values[3]) == pytest.approx(float(expected), rel=1e-4)


def test_a_truth_of_another_size():
    with pytest.raises(ImageError, match="must be a whole number of times as large"):
        importance(small(), noise(1, 3, 20, 20), "trunk", truth=noise(1, 3, 41, 41))
    with pytest.raises(ImageError, match=r"the truth has the shape \(1, 3, 8, 8\)"):
        judge(noise(1, 3, 9, 9), noise(1, 3, 8, 8))


def test_the_blur_of_a_tiny_picture():
    tiny = noise(1, 3, 3, 3)
    assert blurred(tiny, 1.2).shape == tiny.shape
    assert F.l1_loss(blurred(tiny, 1.2), tiny) > 0
