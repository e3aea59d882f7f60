"""Pictures in a lesson: the pixels that are shown, and the words for those who do not see them."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from PIL import Image

from sr_course.lessons import figure, results, setup, show


@pytest.fixture(autouse=True)
def shell():
    """Outputs are published through a running IPython."""
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def shown(markup: str) -> np.ndarray:
    """The pixels of an `<img>` that carries its own bytes, `(H, W, 3)`."""
    data = re.fullmatch(r'<img alt="[^"]*" width="\d+" src="data:image/(?:png|jpeg);base64,([^"]+)">', markup)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def output(captured) -> dict[str, str]:
    assert len(captured.outputs) == 1
    return captured.outputs[0].data


def test_small_pictures_are_enlarged_by_copying_pixels():
    lr = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).expand(1, 3, 2, 2)
    hr = torch.ones(1, 3, 8, 8)
    with capture_output() as captured:
        show({"lr": lr, "hr": hr}, alt="a chessboard", zoom=3)
    pixels = shown(output(captured)["text/html"])
    first = pixels[-24:, :24, 0]  # the label stands above
    assert first[:12, :12].max() == 0
    assert first[:12, 12:].min() == 255
    assert first[12:, :12].min() == 255


def test_alternative_text_survives_quotes_and_tags():
    with capture_output() as captured:
        show({"a": torch.zeros(1, 3, 8, 8)}, alt='a "black" <square>')
    assert 'alt="a &quot;black&quot; &lt;square&gt;"' in output(captured)["text/html"]
    assert output(captured)["text/plain"] == 'picture: a "black" <square>'


def test_rows_are_no_wider_than_a_page():
    pictures = {str(i): torch.zeros(1, 3, 200, 240) for i in range(5)}
    with capture_output() as captured:
        show(pictures, alt="black")
    height, width, _ = shown(output(captured)["text/html"]).shape
    assert width <= 760
    assert height > 2 * 200


def test_figure_shows_once_at_twice_its_size():
    with capture_output() as captured, figure("a line", size=(4, 2)) as axes:
        axes.plot([0, 1])
    markup = output(captured)["text/html"]
    assert 'width="400"' in markup
    assert shown(markup).shape == (400, 800, 3)


def test_a_figure_that_fails_shows_nothing():
    with capture_output() as captured, pytest.raises(ZeroDivisionError), figure("nothing"):
        _ = 1 / 0
    assert captured.outputs == []


def test_setup_is_repeatable(capsys):
    setup()
    first = torch.rand(3)
    setup()
    assert torch.equal(torch.rand(3), first)
    said = capsys.readouterr().out
    assert "computing on" in said
    assert "12 test" in said


def test_results_prints_the_protocol_and_a_row_each(capsys):
    tables = results(["nearest", "bicubic"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("12 test photographs, x4, matlab-y: luma 16..235")
    assert lines[2].split() == ["nearest", f"{tables[0].psnr:.2f}", f"{tables[0].ssim:.4f}"]
    assert tables[1].psnr > tables[0].psnr
