from __future__ import annotations

import gc
import io
import weakref

import numpy as np
import psutil
import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from torch import nn

from sr_course import images, zoo
from sr_course.errors import ImageError, ModelError
from sr_course.inspection import ablated, importance, judge, look, record
from sr_course.models.srcnn import SRCNN
from sr_course.models.srresnet import SRResNet
from sr_course.training.history import read_history, shipped_run
from sr_course.widgets import FeatureExplorer, feature_explorer, still
from sr_course.widgets.feature_pictures import number, signed_colours
from tests.widgets.notebook import kept_by_notebook


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return make().eval()


@pytest.fixture
def network() -> nn.Module:
    return seeded(lambda: SRResNet(2, blocks=2, channels=6))


@pytest.fixture
def lr() -> torch.Tensor:
    return noise(1, 3, 20, 24)


def tell(explorer: FeatureExplorer, **changes: object) -> None:
    """What the browser does."""
    explorer._hear(explorer, {"set": changes}, [])


def pictures(explorer: FeatureExplorer, scene: str = "_scene", sheet: str = "_sheet") -> list[np.ndarray]:
    """The pictures as the browser cuts them out of the one that it gets."""
    with Image.open(io.BytesIO(getattr(explorer, sheet))) as image:
        pixels = np.asarray(image.convert("RGB"))
    places = getattr(explorer, scene)["places"]
    return [pixels[top : top + height, left : left + width] for left, top, width, height in places]


# --- what is drawn


def test_the_tree_is_that_of_the_network(network, lr):
    explorer = FeatureExplorer(network, lr)
    anatomy = look(network, lr)
    assert [row["name"] for row in explorer._tree] == [one.name for one in anatomy.root.walk()]
    row = next(one for one in explorer._tree if one["name"] == "blocks.1.conv2")
    assert (row["kind"], row["shape"], row["sees"], row["depth"]) == ("Conv2d k3n6s1", "6×20×24", "17 px", 3)
    assert row["parameters"] == "330"  # 6 * 6 * 9 + 6
    assert explorer.layer == "head.conv"


def test_maps_are_in_the_order_of_their_energy_and_on_one_scale(network, lr):
    explorer = FeatureExplorer(network, lr, layer="trunk.conv")
    maps = record(network, lr, "trunk.conv")
    order = [cell["channel"] for cell in explorer._scene["cells"]]
    assert order == maps.square().mean(dim=(1, 2)).argsort(descending=True).tolist()
    assert explorer.channel == order[0]
    reach = float(explorer._shown.reaches.max())
    sizes = maps.abs().flatten(1).sort(dim=1, descending=True).values
    assert reach == pytest.approx(float(sizes[:, 2].max()), rel=1e-3)  # half a percent of 480 pixels is two and a bit
    drawn = pictures(explorer)
    for cell in explorer._scene["cells"]:
        expected = images.to_pil(signed_colours(maps[cell["channel"]], reach))
        assert np.abs(drawn[cell["picture"]].astype(int) - np.asarray(expected).astype(int)).max() <= 1
    assert "One scale for all maps" in explorer._scene["scale"]
    tell(explorer, scale="channel", order="index")
    assert [cell["channel"] for cell in explorer._scene["cells"]] == list(range(6))
    drawn = pictures(explorer)
    for cell in explorer._scene["cells"]:
        one = float(sizes[cell["channel"], 2])
        assert cell["label"] == f"±{one:.3g}"
        expected = images.to_pil(signed_colours(maps[cell["channel"]], one))
        assert np.abs(drawn[cell["picture"]].astype(int) - np.asarray(expected).astype(int)).max() <= 2
    assert "Each map on its own scale" in explorer._scene["scale"]


def test_large_maps_are_drawn_small_in_the_grid_and_whole_when_enlarged():
    network = seeded(lambda: SRCNN(4, channels=(4, 4)))
    explorer = FeatureExplorer(network, noise(1, 3, 40, 48), layer="conv1")
    assert explorer._scene["size"] == [160, 192]
    drawn = pictures(explorer)
    assert drawn[explorer._scene["cells"][0]["picture"]].shape == (53, 64, 3)
    assert drawn[explorer._scene["views"][0]["picture"]].shape == (160, 192, 3)
    assert drawn[explorer._scene["views"][0]["input"]].shape == (40, 48, 3)


def test_value_and_frame_follow_the_pixel(network, lr):
    explorer = FeatureExplorer(network, lr, layer="head.conv")
    tell(explorer, channel=4, pixel=[3, 20])
    assert explorer.value == pytest.approx(float(record(network, lr, "head.conv")[4, 3, 20]), rel=1e-3)
    assert explorer._scene["views"][0]["frame"] == [0, 16 / 24, 8 / 20, 1]  # 9x9 about it, within 20x24
    histogram = explorer._scene["views"][0]["histogram"]
    assert max(histogram["bars"]) == 1
    lowest = float(record(network, lr, "head.conv")[4].min())
    assert float(histogram["low"].replace("−", "-")) == pytest.approx(lowest, rel=5e-3)  # three digits of 11 bits


def test_more_than_64_maps_come_in_pages(lr):
    explorer = FeatureExplorer(nn.Sequential(nn.Conv2d(3, 150, 1)).eval(), lr, order="index")
    assert explorer._scene["pages"] == 3
    tell(explorer, page=2)
    assert [cell["channel"] for cell in explorer._scene["cells"]] == list(range(128, 150))
    tell(explorer, page=9)
    assert explorer.page == 2


def test_kernels_are_those_of_the_channel(network, lr):
    explorer = FeatureExplorer(network, lr, layer="blocks.0.conv1", order="index")
    tell(explorer, channel=2)
    (grid,) = pictures(explorer, "_panel", "_panel_sheet")
    weight = network.blocks[0].conv1.weight[2].detach()
    reach = float(weight.abs().max())
    expected = np.asarray(images.to_pil(signed_colours(weight[4], reach)))  # the second in the second row of three
    assert np.array_equal(grid[5:8, 5:8], expected)
    assert "6 kernels 3×3" in explorer._panel["text"]
    tell(explorer, layer="blocks.0.prelu")
    assert explorer._panel["text"] == "PReLU has no kernels; look at a Conv2d for them."
    assert explorer._panel["figures"] == []


def test_the_field_tool_draws_gradient_and_sums(network, lr):
    explorer = FeatureExplorer(network, lr, tool="field")
    tell(explorer, channel=1, pixel=[10, 12])
    sums = explorer._panel["sums"]
    assert [part["name"] for part in sums["parts"]] == ["red", "green", "blue"]
    assert float(sums["total"]) == pytest.approx(explorer.value, abs=2e-3)
    added = sum(float(part["sum"]) for part in sums["parts"]) + float(sums["bias"])
    assert added == pytest.approx(float(sums["total"]), abs=3e-4)
    assert sums["parts"][1]["patch"][4][4] == f"{float(lr[0, 1, 10, 12]):.2f}"
    (heat,) = pictures(explorer, "_panel", "_panel_sheet")
    grey = np.ptp(heat.astype(int), axis=2) == 0
    assert grey[:6].all()
    assert not grey[6:15, 8:17].all()
    tell(explorer, layer="trunk.conv")
    assert "sums" not in explorer._panel
    tell(explorer, layer="tail.conv", pixel=[0, 0])
    assert "90 % of the gradient lies within" in explorer._panel["text"]


def test_ablation_shows_what_the_network_makes_without(network, lr):
    hr = noise(1, 3, 40, 48, seed=1)
    explorer = FeatureExplorer(network, lr, truth=hr, tool="ablation", layer="tail.conv")
    assert len(explorer._panel["figures"]) == 1  # nothing is off: there is one result
    tell(explorer, off=[1])
    with torch.no_grad():
        base = network(lr)
        with ablated(network, {"tail.conv": [1]}):
            without = network(lr)
    before, after = judge(base, hr), judge(without, hr)
    assert (
        f"{after:.2f} dB, with all {before:.2f} dB: {feature_explorer._signed(after - before)} dB"
        in explorer._panel["text"]
    )
    assert "1 of 3 channels of tail.conv off" in explorer._panel["text"]
    assert [feature_explorer._signed(one) for one in (-1.234, 0.5, -0.001)] == ["−1.23", "+0.50", "0.00"]
    drawn = pictures(explorer, "_panel", "_panel_sheet")
    assert np.array_equal(drawn[1], np.asarray(images.to_pil(without)))
    assert not np.array_equal(drawn[0], drawn[1])
    explorer.rank()
    expected = importance(network, lr, "tail.conv", truth=hr).ranking()
    assert explorer._panel["ranking"] == expected
    assert [cell["channel"] for cell in explorer._scene["cells"]] == expected
    tell(explorer, layer="head.conv")
    assert explorer.off == []
    assert explorer.order == "energy"  # this layer was not ranked


def test_numbers_are_short():
    assert [number(one) for one in (0.0, -0.01234, 12.345, 999.4, 6321.7, -1e6)] == [
        "0", "−0.0123", "12.3", "999", "6,322", "−1,000,000",
    ]  # fmt: skip


def test_ablation_without_a_truth_and_without_a_picture(network, lr):
    explorer = FeatureExplorer(network, lr, tool="ablation")
    assert "the result is the same" in explorer._panel["text"]
    tell(explorer, off=[0])
    assert "dB against the result with all" in explorer._panel["text"]
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 18 * 22, 2)).eval()
    explorer = FeatureExplorer(flat, lr, tool="ablation")
    tell(explorer, off=[0])
    assert "the result changes by" in explorer._panel["text"]
    tell(explorer, tool="attribution")
    explorer._hear(explorer, {"do": "attribute"}, [])
    assert "makes no picture" in explorer._problem


def test_attribution_looks_at_the_patch_about_the_pixel(lr):
    network = seeded(lambda: SRCNN(2, channels=(4, 3)))
    explorer = FeatureExplorer(network, lr, layer="conv1")
    tell(explorer, pixel=[24, 20], tool="attribution")
    assert "20×20 pixels" in explorer._panel["text"]  # of a picture of 20x24
    explorer.attribute()
    (one,) = explorer._attributed
    assert one.patch == (16, 12 - 0, 16)  # 16 pixels about row 24 and column 20 of the result
    assert one.map.shape == (20, 20)
    text = explorer._panel["text"]
    assert f"Diffusion index {one.diffusion_index:.1f}" in text
    assert one.incompleteness < 0.01
    tell(explorer, tool="kernels")
    assert "kernel" in explorer._panel["text"]


# --- two, and through training


def test_two_networks_by_difference_with_one_cursor(lr):
    one, other = (seeded(lambda: SRResNet(2, blocks=1, channels=5)) for _ in range(2))
    with torch.no_grad():
        other.trunk.conv.weight[3] += 1
    explorer = FeatureExplorer({"first": one, "second": other}, lr, layer="trunk.conv", order="difference")
    assert explorer._scene["cells"][0]["channel"] == 3
    assert float(explorer._scene["cells"][1]["label"].replace("−", "-")) < 1e-3  # kept with 11 bits
    tell(explorer, channel=3, pixel=[5, 6])
    values = [view["value"] for view in explorer._scene["views"]]
    expected = [number(float(record(net, lr, "trunk.conv")[3, 5, 6])) for net in (one, other)]
    assert values == expected
    cell = pictures(explorer)[explorer._scene["cells"][0]["picture"]]
    assert cell.shape == (20, 24 + 2 + 24, 3)
    assert "first and second" in explorer.summary()
    for tool in feature_explorer.TOOLS:
        tell(explorer, tool=tool)
        assert explorer._problem == ""


def test_two_networks_of_different_kinds_begin_with_a_layer_of_both(lr):
    deep, wide = seeded(lambda: SRResNet(2, blocks=1, channels=5)), seeded(lambda: SRCNN(2))
    explorer = FeatureExplorer({"deep": deep, "wide": wide}, lr)
    assert explorer.layer == ""  # the pictures are all that they share
    assert explorer._scene["heading"] == "SRResNet and SRCNN, 3 maps of 40×48"
    facts = []
    for name, network in (("deep", deep), ("wide", wide)):
        count = sum(one.numel() for one in network.parameters())
        facts.append(f"{name}: {count:,} parameters, a pixel sees {look(network, lr).root.sees}")
    assert explorer._scene["facts"] == "; ".join(facts) + "."
    frames = [view["frame"] for view in explorer._scene["views"]]
    assert frames[0] != frames[1]
    tell(explorer, layer="head.conv")
    assert "head.conv" in explorer._problem
    assert explorer.layer == ""


def test_two_pictures(network, lr):
    explorer = FeatureExplorer(network, {"photo": lr, "dark": lr / 2}, order="difference")
    assert [view["name"] for view in explorer._scene["views"]] == ["photo", "dark"]
    difference = (record(network, lr, "head.conv") - record(network, lr / 2, "head.conv")).square().mean(dim=(1, 2))
    assert explorer._scene["cells"][0]["channel"] == int(difference.argmax())
    assert [figure["name"] for figure in explorer._panel["figures"]] == ["SRResNet"]  # both have the same kernels


def test_through_the_snapshots_of_a_run():
    history = read_history(shipped_run("srcnn-laptop_x4"))
    explorer = FeatureExplorer(history)
    assert explorer._steps == list(history.snapshots)
    assert explorer.snapshot == len(history.snapshots) - 1
    order, reach = [cell["channel"] for cell in explorer._scene["cells"]], explorer._shown.reaches.clone()
    tell(explorer, snapshot=3, channel=5)
    maps = record(history.network(history.snapshots[3]), history.samples[0].lr, "conv1")
    assert explorer.value == pytest.approx(float(maps[5][tuple(explorer.pixel)]), abs=1e-5)
    assert [cell["channel"] for cell in explorer._scene["cells"]] == order  # nothing jumps
    assert torch.equal(explorer._shown.reaches, reach)
    assert f"at step {history.snapshots[3]}" in explorer.summary()
    tell(explorer, tool="ablation", off=[5])
    assert "1 of 64 channels of conv1 off" in explorer._panel["text"]


# --- what the browser is told


def messages(explorer: FeatureExplorer, monkeypatch) -> list[dict]:
    sent: list[dict] = []
    monkeypatch.setattr(explorer, "_send", lambda message, buffers=None: sent.append({**message, "buffers": buffers}))
    return sent


def test_each_change_is_one_message_of_bounded_size(network, monkeypatch):
    hr = noise(1, 3, 256, 256)
    explorer = FeatureExplorer(network, noise(1, 3, 128, 128), truth=hr)
    sent = messages(explorer, monkeypatch)
    changes = [{"layer": "tail.conv"}, {"channel": 2}, {"pixel": [4, 5]}, {"tool": "ablation"}, {"off": [0]}]
    for change in changes:
        tell(explorer, **change)
        updates = [one for one in sent if one["method"] == "update"]
        assert len(updates) == 1, change
        assert "_drawn" in updates[0]["state"]
        assert sum(len(one) for one in updates[0]["buffers"] or []) < 3_000_000
        sent.clear()
    assert explorer._answer == len(changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "body"}, "no layer 'body'"),
        ({"channel": 6}, "channel is 6; the channels go from 0 to 5"),
        ({"pixel": [20, 0]}, "the pixel's row is 20; the rows go from 0 to 19"),
        ({"pixel": [1]}, "give its row and its column"),
        ({"off": [7]}, "a channel that is off is 7"),
        ({"order": "beauty"}, "there is no order 'beauty'; choose from energy"),
        ({"tool": "hammer"}, "there is no tool 'hammer'"),
        ({"snapshot": 1}, "snapshot is 1; the snapshots go from 0 to 0"),
    ],
)
def test_what_does_not_exist_is_refused_and_leaves_the_state(network, lr, change, said):
    explorer = FeatureExplorer(network, lr)
    before = explorer.summary()
    tell(explorer, **change)
    assert said in explorer._problem
    assert explorer._answer == 1
    assert explorer.summary() == before
    tell(explorer, channel=1)
    assert explorer._problem == ""
    with pytest.raises((ModelError, ValueError), match=said):
        setattr(explorer, *next(iter(change.items())))


@pytest.mark.parametrize(
    "message", [{}, {"do": "explode"}, {"set": {"_views": 1}}, {"set": {"channel": "x"}}, {"set": None}]
)
def test_strange_messages_do_no_harm(network, lr, message):
    explorer = FeatureExplorer(network, lr)
    before = explorer.summary()
    explorer._hear(explorer, message, [])
    assert explorer._answer == 1
    assert explorer.summary() == before


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (lambda net, lr: ((net,), {}), ImageError, "give a picture"),
        (lambda net, lr: (({"a": net, "b": net, "c": net}, lr), {}), ValueError, "3 networks and 1 pictures"),
        (lambda net, lr: (({"a": net, "b": net}, {"x": lr, "y": lr}), {}), ValueError, "two of one of them"),
        (lambda net, lr: ((net, lr), {"layer": "body"}), ModelError, "no layer 'body'"),
        (lambda net, lr: ((net, lr), {"truth": noise(1, 3, 41, 48)}), ImageError, "whole number of times"),
        (lambda net, lr: ((net, lr), {"tool": "hammer"}), ValueError, "no tool"),
    ],
)
def test_what_cannot_be_explored(network, lr, arguments, error, said):
    positional, named = arguments(network, lr)
    with pytest.raises(error, match=said):
        FeatureExplorer(*positional, **named)


def test_layers_that_cannot_be_looked_at_say_why(lr):
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.idle = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.first(x)

    explorer = FeatureExplorer(Idle(), lr)
    tell(explorer, layer="idle")
    assert explorer._problem == "idle: has no maps to look at. Does not run."
    assert "is in training mode" in explorer._scene["notes"][0]


# --- it lets go


def hooks(network: nn.Module) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in network.modules())


def test_after_200_layers_and_a_second_run_of_the_cell_all_is_as_it_was(monkeypatch):
    cell = {"metadata": {"cellId": "one"}, "header": {"msg_id": "1"}}
    monkeypatch.setattr(still, "_where", lambda: (cell["metadata"]["cellId"], cell["header"]["msg_id"]))
    network = seeded(lambda: SRResNet(4, blocks=4, channels=12))
    picture = noise(1, 3, 40, 40)
    modes = [module.training for module in network.modules()]
    FeatureExplorer(network, picture).close()  # what torch and Pillow keep for themselves is there now
    gc.collect()
    process, before, comms = psutil.Process(), psutil.Process().memory_info().rss, len(_instances)
    cell["header"]["msg_id"] = "2"
    first = FeatureExplorer(network, picture)
    layers = [row["name"] for row in first._tree if row["open"]]
    for at in range(200):
        tell(first, layer=layers[at * 7 % len(layers)], tool=feature_explorer.TOOLS[at % 3])
        assert first._problem == ""
    assert len(_instances) == comms + 2  # an explorer and its layout
    kept = weakref.ref(first._views[0].anatomy)
    cell["header"]["msg_id"] = "3"
    second = FeatureExplorer(network, picture)  # the cell runs again
    assert first._views == []
    assert first.summary() == "FeatureExplorer(closed)"
    assert len(_instances) == comms + 2  # an explorer and its layout
    gc.collect()
    assert kept() is None
    second.close()
    del first, second
    gc.collect()
    assert len(_instances) == comms
    assert hooks(network) == 0
    assert [module.training for module in network.modules()] == modes
    assert all(one.grad is None for one in network.parameters())
    assert process.memory_info().rss - before < 50e6


def test_two_explorers_of_one_cell_stay(network, lr, monkeypatch):
    monkeypatch.setattr(still, "_where", lambda: ("two", "1"))
    one, other = (FeatureExplorer(network, lr) for _ in range(2))
    assert one._views
    assert other._views


def test_what_comes_after_closing_does_no_harm(network, lr):
    explorer = FeatureExplorer(network, lr)
    explorer.close()
    explorer.close()
    tell(explorer, channel=1)
    assert repr(explorer) == "FeatureExplorer(closed)"


# --- what a notebook keeps


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(lr):
    explorer = FeatureExplorer(seeded(lambda: SRCNN(1, channels=(4, 3))), lr, order="index")
    tell(explorer, channel=2)
    kept = kept_by_notebook(explorer)
    assert kept.text.startswith(
        "FeatureExplorer(SRCNN, conv1: Conv2d k9n64s1".replace("n64", "n4")
        + ", 4 maps of 20×24, sees 9 px, by index: 0 1 2 3; channel 2 at 10, 12: "
    )
    assert kept.alt.startswith("Inside SRCNN. conv1")
    assert len(kept.html) < 400_000


@pytest.mark.parametrize("tool", feature_explorer.TOOLS)
def test_still_shows_the_state(network, lr, tool):
    explorer = FeatureExplorer(network, lr, tool=tool, truth=noise(1, 3, 40, 48))
    if tool == "attribution":
        explorer.attribute()
    first = np.asarray(explorer.still()).astype(int)
    assert first.shape[1] == 888
    tell(explorer, layer="trunk.conv", channel=3, pixel=[2, 3], off=[0])
    second = np.asarray(explorer.still()).astype(int)
    rows = min(len(first), len(second))
    assert np.abs(first[:rows] - second[:rows]).max() > 100


def test_a_shipped_network_on_a_photograph_can_be_opened():
    explorer = FeatureExplorer(zoo.load("srresnet-s"), noise(1, 3, 32, 32))
    assert explorer._title == "SRResNet"
    assert "sees 9 px" in explorer.summary()
