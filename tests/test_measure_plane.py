"""The figures that lesson 4 reads are those of the metrics, layer by layer."""

from __future__ import annotations

import json
import os

import pytest
import torch

from sr_course import zoo
from sr_course.data.shipped import photo
from sr_course.features import VGGFeatures
from sr_course.metrics import PERCEPTUAL_LAYERS, perceptual_distance, psnr, structure_distance, texture_distance
from tools import measure_plane

SHIPPED = json.loads(measure_plane.FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def two() -> tuple[torch.Tensor, torch.Tensor]:
    hr = torch.rand(1, 3, 96, 192, generator=torch.Generator().manual_seed(0))
    return hr.square(), hr


def test_the_layers_of_each_distance_have_the_metric_as_their_mean(two):
    network = VGGFeatures(PERCEPTUAL_LAYERS, "random")
    with torch.inference_mode():
        figures = measure_plane.measure(*two, *(network(one) for one in two))
        assert figures["psnr"] == pytest.approx(psnr(*two).item())
        for name, metric in {
            "perceptual": perceptual_distance,
            "texture": texture_distance,
            "structure": structure_distance,
        }.items():
            assert len(figures[name]) == len(PERCEPTUAL_LAYERS)
            assert sum(figures[name]) / 5 == pytest.approx(metric(*two, features=network).item(), rel=1e-5)
        x, y = (network(one)["relu3_3"] for one in two)
    assert figures["squared"][2] == pytest.approx(((x - y).square().sum() / y.square().sum()).item(), rel=1e-5)


def test_methods_are_added_to_the_file_one_by_one(tmp_path, monkeypatch, capsys):
    row = {"psnr": 30.0, "texture": [0.123456789] * 5}
    monkeypatch.setattr(measure_plane, "measure_methods", lambda names: {name: [row] * 12 for name in names})
    file = tmp_path / "plane.json"
    for name in ("bicubic", "srcnn"):
        assert measure_plane.main([name], file) == 0
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert list(stored["methods"]) == ["bicubic", "srcnn"]
    assert stored["methods"]["srcnn"] == {"psnr": [30.0] * 12, "texture": [[0.12346] * 5] * 12}
    assert len(stored["photographs"]) == 12
    assert capsys.readouterr().out == "bicubic: 30.00 dB\nsrcnn: 30.00 dB\n"


def test_a_method_that_does_not_exist(tmp_path, capsys):
    with pytest.raises(SystemExit):
        measure_plane.main(["magic"], tmp_path / "plane.json")
    assert "there is no model 'magic'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# The file that ships.


def test_the_shipped_file_says_what_the_cards_say():
    trained = [name for name in SHIPPED["methods"] if name != "bicubic"]
    assert {"srresnet", "srgan", "srresnet-s", "srgan-s"} < set(trained)
    for name in trained:
        (told,) = (row for row in zoo.card(name).measured if "test photographs" in row.data)
        figures = SHIPPED["methods"][name]
        assert sum(figures["psnr"]) / 12 == pytest.approx(told.psnr, abs=0.006)
        assert sum(figures["ssim"]) / 12 == pytest.approx(told.ssim, abs=6e-5)


@pytest.mark.skipif("SR_COURSE_LONG_TESTS" not in os.environ, reason="half a minute; set SR_COURSE_LONG_TESTS to run")
def test_today_s_weights_give_the_figures_of_the_shipped_file(monkeypatch):
    """One photograph again, by a network trained on pixels, one on features and one against an adversary."""
    monkeypatch.setattr(measure_plane, "photos", lambda _: [photo("gibbon")])
    place = SHIPPED["photographs"].index("gibbon")
    for name, (measured,) in measure_plane.measure_methods(["srresnet-s", "srresnet-s-vgg53", "srgan-s"]).items():
        assert measured.keys() == SHIPPED["methods"][name].keys()
        for figure, value in measured.items():
            assert value == pytest.approx(SHIPPED["methods"][name][figure][place], rel=1e-3), (name, figure)
