"""Your own photograph: the state in Python, without a browser."""

from __future__ import annotations

import io
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sr_course import images, zoo
from sr_course.errors import CourseError, ImageError, ModelError
from sr_course.models.interpolation import Interpolation
from sr_course.widgets import UpscaleMyPhoto, upscale_my_photo
from sr_course.widgets.upscale_my_photo import PART, PIECE, Job
from tests.sentences import sentence
from tests.widgets.notebook import kept_by_notebook


class Slow(nn.Module):
    """Enlarges by repeating pixels, after a convolution that leaves them as they are and may be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Event()
        self.runs = 0

    def forward(self, lr):
        self.begun.set()
        assert self.go_on.wait(30)
        self.runs += 1
        return self.conv(lr).repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.fixture
def slow(monkeypatch) -> Slow:
    """In the place of every network."""
    network = Slow()
    monkeypatch.setattr(upscale_my_photo.zoo, "load", lambda *_: network)
    return network


def plain(width: int = 20, height: int = 12, colour=(200, 40, 30)) -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def file_of(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def upload(widget: UpscaleMyPhoto, content: bytes, name: str = "mine.png", piece: int = PIECE) -> list[int]:
    """As the browser does it: each piece when the one before has arrived. Returns how much had arrived each time."""
    widget._hear(None, {"do": "begin", "id": "a", "name": name, "size": len(content)}, [])
    got = []
    while expected := widget._controls._state["upload"]:
        got.append(expected["got"])
        part = content[expected["got"] : expected["got"] + piece]
        widget._hear(None, {"do": "piece", "id": "a", "offset": expected["got"]}, [memoryview(part)])
    return got


# --- the example, and what a notebook keeps of it


@pytest.fixture(scope="module")
def example() -> UpscaleMyPhoto:
    return UpscaleMyPhoto(method="srresnet-s")


def test_without_a_picture_a_photograph_of_the_course_is_enlarged(example):
    assert not example.working
    assert example.note == ""
    assert repr(example) == "UpscaleMyPhoto(a part of red_panda, 120x90 to 480x360, by srresnet-s)"
    with torch.inference_mode():
        whole = zoo.load("srresnet-s")(images.from_pil(example._part)).clamp(0, 1)
    made = images.from_pil(example.results["srresnet-s"])
    assert (made - whole).abs().max() <= 1.01 / 255


def test_notebook_gets_the_live_view_a_still_and_a_line_of_text(example):
    kept = kept_by_notebook(example)
    assert kept.text == repr(example)
    assert kept.alt.startswith("A part of this photograph: Head of a red panda")
    assert "bicubic on the left and srresnet-s on the right" in kept.alt
    assert kept.still.size == (480, 360)
    pixels = np.asarray(kept.still).astype(int)
    result = np.asarray(example.results["srresnet-s"]).astype(int)
    assert np.abs(pixels[40:, 250:] - result[40:, 250:]).mean() < 4  # the right half, below the labels


def test_every_network_of_the_course_at_four_times_can_be_chosen(example):
    names = [one["name"] for one in example._controls._state["methods"]]
    assert set(names) >= {"srcnn", "srresnet", "srgan", "srresnet-s", "realesrgan-x4plus"}
    assert "bicubic" not in names  # it is always there to compare with


# --- a picture of one's own


def test_a_given_picture_is_enlarged_in_the_background(slow):
    slow.go_on.clear()
    widget = UpscaleMyPhoto(plain(), "srresnet")
    assert widget.working
    assert repr(widget) == "UpscaleMyPhoto(picture, 20x12 to 80x48, by no network yet)"
    assert widget._controls._state["working"] == "srresnet"
    slow.go_on.set()
    widget.wait(30)
    assert not widget.working
    assert widget.results["srresnet"].getpixel((40, 40)) == (200, 40, 30)
    assert list(widget._compare._images) == ["photo", "bicubic", "srresnet"]
    assert (widget._compare.left, widget._compare.right) == ("bicubic", "srresnet")
    widget.close()


@pytest.mark.parametrize("kind", ["path", "tensor", "grey"])
def test_kinds_of_pictures(slow, tmp_path, kind):
    picture = {
        "path": tmp_path / "in.png",
        "tensor": torch.full((1, 3, 4, 6), 0.4),
        "grey": Image.new("L", (6, 4), 102),
    }
    images.write(picture["tensor"], tmp_path / "in.png")
    widget = UpscaleMyPhoto(picture[kind])
    widget.wait(30)
    assert widget.results["srgan"].convert("RGB").getpixel((9, 9)) == (102, 102, 102)
    assert widget.name == ("in.png" if kind == "path" else "picture")


def test_results_of_several_networks_stay_until_the_picture_changes(slow):
    widget = UpscaleMyPhoto(plain(), "srresnet")
    widget.wait(30)
    widget._compare.position = 30
    widget.choose("srgan")
    widget.start()
    widget.wait(30)
    assert list(widget.results) == ["srresnet", "srgan"]
    assert list(widget._compare._images) == ["photo", "bicubic", "srresnet", "srgan"]
    assert (widget._compare.right, widget._compare.position) == ("srgan", 30)
    widget.choose("srresnet")  # there already: seen at once
    assert widget._compare.right == "srresnet"
    widget.take(plain(8, 8, (1, 2, 3)))
    assert widget.results == {}
    assert list(widget._compare._images) == ["photo", "bicubic"]


def test_of_many_networks_the_last_seven_are_compared(slow):
    widget = UpscaleMyPhoto(plain(4, 4))
    widget.wait(30)
    names = [name for name in upscale_my_photo._methods() if not upscale_my_photo._lacking(name)]
    for name in [*names, "srgan"] if len(names) > 7 else names:
        widget.choose(name)
        widget.start()
        widget.wait(30)
        assert name in widget.results
    assert len(widget._compare._images) == 2 + len(widget.results) == min(9, 2 + len(names))


def test_of_a_large_photograph_a_part_is_enlarged_which_can_be_moved(slow):
    large = Image.new("RGB", (1200, 500))
    large.paste((250, 250, 250), (800, 0, 1200, 500))
    widget = UpscaleMyPhoto(large)
    widget.wait(60)
    assert widget._part.size == (PART, PART)
    assert widget._part.getextrema() == ((0, 0),) * 3  # 400 to 800
    assert widget._controls._state["part"] == pytest.approx([400 / 1200, 50 / 500, 400 / 1200, 400 / 500])
    with Image.open(io.BytesIO(widget._controls._overview)) as small:
        assert small.size == (200, 83)
    widget._hear(None, {"do": "move", "place": [1.0, 0.5]}, [])
    assert widget._part.getextrema() == ((250, 250),) * 3
    assert widget.results == {}
    assert "1200x500, of which 400x400 to 1600x1600" in repr(widget)
    with pytest.raises(ValueError, match="both go from 0 to 1"):
        widget.move(1.2, 0)
    widget.take(plain())
    assert widget._controls._overview == b""


def test_transparency_and_profile_are_in_the_file(slow):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGBA", (6, 4), (10, 200, 30, 128))
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    upload(widget, file_of(picture, icc_profile=profile), "cut out.png")
    widget.start()
    widget.wait(30)
    name, content = widget.result_file()
    assert name == "cut out-srgan-x4.png"
    with Image.open(io.BytesIO(content)) as result:
        assert (result.size, result.mode, result.info["icc_profile"]) == ((24, 16), "RGBA", profile)
        assert result.getpixel((9, 9)) == (10, 200, 30, 128)
    with pytest.raises(ImageError, match="srcnn has not enlarged this picture yet"):
        widget.result_file("srcnn")


def test_the_browser_gets_the_file_when_it_asks(slow, monkeypatch):
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    sent = []
    monkeypatch.setattr(widget._controls, "send", lambda content, buffers: sent.append((content, buffers)))
    widget._hear(None, {"do": "file", "view": "v1"}, [])
    ((content, (data,)),) = sent
    assert content == {"file": "picture-srgan-x4.png", "view": "v1"}
    assert (content["file"], data) == widget.result_file()


# --- progress, cancel, close


def test_progress_goes_up_to_the_end(slow, monkeypatch):
    monkeypatch.setattr(upscale_my_photo, "_BETWEEN_REPORTS", 0)
    seen = []
    job = Job(plain(250, 150), "srgan")
    job.run(lambda: seen.append(job.progress))
    assert seen == sorted(seen)
    assert len(seen) == 2 * 6  # a tile begins, its convolution begins
    assert seen[0] == 0
    assert job.progress == 1


def test_the_rest_is_judged_by_what_is_done():
    job = Job(plain(), "srgan", begun=time.monotonic() - 10)
    assert job.remaining is None
    job.progress = 0.25
    assert job.remaining == pytest.approx(30, abs=1)


def test_cancel_ends_the_work_before_its_next_convolution(slow):
    """In the midst of a tile: the network is held up before its convolution, and stopped meanwhile."""
    slow.go_on.clear()
    widget = UpscaleMyPhoto(plain(500, 500))
    assert slow.begun.wait(30)
    widget._hear(None, {"do": "cancel"}, [])
    assert (widget.working, widget.note) == (False, "Stopped.")
    slow.go_on.set()
    widget.wait(30)
    assert slow.runs == 1
    assert not widget._worker.is_alive()
    assert widget.results == {}
    assert widget.note == "Stopped."
    assert not slow.conv._forward_pre_hooks  # nothing of it stays in the network
    widget.start()
    widget.wait(60)
    assert widget.results["srgan"].size == (1600, 1600)


def test_another_picture_stops_what_runs(slow):
    slow.go_on.clear()
    widget = UpscaleMyPhoto(plain())
    assert slow.begun.wait(30)
    first = widget._worker
    widget.take(plain(8, 8, (1, 2, 3)))
    slow.go_on.set()
    first.join(30)
    assert widget.results == {}
    assert widget.note == ""
    widget.start()
    widget.wait(30)
    assert widget.results["srgan"].getpixel((9, 9)) == (1, 2, 3)


def test_a_closed_widget_stops_and_frees(slow):
    slow.go_on.clear()
    widget = UpscaleMyPhoto(plain())
    assert slow.begun.wait(30)
    controls, compare = widget._controls, widget._compare
    widget.close()
    slow.go_on.set()
    widget.wait(30)
    assert not widget._worker.is_alive()
    assert slow.runs == 1
    assert (widget.results, widget._original) == ({}, None)
    assert controls.comm is None
    assert compare.comm is None
    widget.close()  # twice is once


def test_starting_twice_is_starting_once(slow):
    slow.go_on.clear()
    widget = UpscaleMyPhoto(plain())
    worker = widget._worker
    widget.start()
    assert widget._worker is worker
    slow.go_on.set()
    widget.wait(30)


@pytest.mark.parametrize("error", [MemoryError("no memory"), RuntimeError("DefaultCPUAllocator: can't allocate")])
def test_memory_that_runs_out_is_told(monkeypatch, error):
    def load(*_):
        raise error

    monkeypatch.setattr(upscale_my_photo.zoo, "load", load)
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    assert not widget.working
    assert sentence(widget.note).startswith("srgan could not do it")


# --- uploads, good and bad


def test_an_upload_comes_in_pieces(slow):
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    content = file_of(Image.fromarray(noise))
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    got = upload(widget, content, "C:\\photos\\noise.png", piece=1000)
    assert got == list(range(0, len(content), 1000))
    assert widget.name == "noise.png"
    np.testing.assert_array_equal(np.asarray(widget._part), noise)
    assert widget.note == ""


@pytest.mark.parametrize(("name", "content", "says"), [
    ("letter.png", b"This is no picture.", "letter.png: not a picture that can be read"),
    ("none.png", b"", "none.png: the file is empty"),
    ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
    ("cut.png", file_of(Image.effect_noise((90, 90), 80))[:3000], "cut.png: the picture is damaged or cut short"),
    ("float.tif", file_of(Image.new("F", (4, 4)), "TIFF"), "floating-point pictures have no agreed range"),
    ("large.png", file_of(Image.new("1", (10_000, 6_001))), "has 10000x6001 pixels, and up to 60 million"),
])  # fmt: skip
def test_a_bad_file_is_told_and_the_old_picture_stays(slow, name, content, says):
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    upload(widget, content, name)
    assert says in sentence(widget.note)
    assert widget._controls._state["note"] == widget.note
    assert widget.name == "picture"
    assert widget.results
    upload(widget, file_of(plain(4, 4)))  # and the next one is welcome
    assert (widget.note, widget.name) == ("", "mine.png")


def test_sixty_megabytes_are_refused_before_they_are_sent(slow):
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    widget._hear(None, {"do": "begin", "id": "a", "name": "large.tif", "size": 60_000_000}, [])
    assert "large.tif: has 60 MB, and up to 42 MB are taken here" in sentence(widget.note)
    assert "sr-course upscale" in widget.note
    assert widget._controls._state["upload"] is None


@pytest.mark.parametrize(("picture", "form", "options", "size", "says"), [
    (plain(1, 1), "PNG", {}, (1, 1), ""),
    (plain(), "GIF", {"save_all": True, "append_images": [plain(20, 12, "blue")]}, (20, 12), "Of its 2 pictures"),
    (Image.fromarray(np.full((4, 6), 40_000, np.uint16)), "PNG", {}, (6, 4), "16 bits a channel became 8"),
    (Image.new("CMYK", (6, 4)), "JPEG", {}, (6, 4), "made of inks"),
    (Image.new("RGBA", (6, 4)), "WEBP", {}, (6, 4), ""),
])  # fmt: skip
def test_unusual_files_are_taken(slow, picture, form, options, size, says):
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    upload(widget, file_of(picture, form, **options), f"it.{form.lower()}")
    assert widget._part.size == size
    assert says in widget.note
    widget.start()
    widget.wait(30)
    assert widget.results["srgan"].size == (4 * size[0], 4 * size[1])


def test_a_turned_photograph_stands_upright(slow):
    exif = Image.Exif()
    exif[0x0112] = 6
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    upload(widget, file_of(plain(20, 12), "JPEG", exif=exif), "it.jpg")
    assert widget._part.size == (12, 20)


def test_pieces_of_an_upload_that_was_given_up_are_ignored(slow):
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    widget._hear(None, {"do": "begin", "id": "old", "name": "old.png", "size": 100}, [])
    widget._hear(None, {"do": "cancel"}, [])
    widget._hear(None, {"do": "piece", "id": "old", "offset": 0}, [b"x" * 100])
    assert widget._controls._state["upload"] is None
    widget._hear(None, {"do": "begin", "id": "new", "name": "new.png", "size": 100}, [])
    widget._hear(None, {"do": "piece", "id": "old", "offset": 0}, [b"x" * 50])
    widget._hear(None, {"do": "piece", "id": "new", "offset": 7}, [b"x" * 50])
    assert widget._controls._state["upload"] == {"id": "new", "got": 0, "size": 100}
    widget._hear(None, {"do": "piece", "id": "new", "offset": 0}, [b"x" * 101])
    assert "is larger than was said" in sentence(widget.note)
    assert widget._controls._state["upload"] is None


# --- networks that are not here


def test_weights_that_are_not_here_are_told_with_how_to_fetch_them(slow, monkeypatch):
    monkeypatch.setattr(upscale_my_photo, "is_here", lambda _: False)
    widget = UpscaleMyPhoto(plain())
    widget.wait(30)
    widget._hear(None, {"do": "method", "name": "realesrgan-x4plus"}, [])
    assert "`sr-course data get realesrgan-x4plus`" in sentence(widget.note)
    assert widget.method == "srgan"
    lacking = {one["name"]: one["lacking"] for one in widget._controls._state["methods"]}
    assert [name for name, words in lacking.items() if words] == ["realesrgan-x4plus"]
    with pytest.raises(ModelError, match="not on this computer"):
        widget.choose("realesrgan-x4plus")
    monkeypatch.setattr(upscale_my_photo, "is_here", lambda _: True)  # fetched meanwhile
    widget.choose("realesrgan-x4plus")
    assert (widget.method, widget.note) == ("realesrgan-x4plus", "")


def test_without_its_weights_the_example_is_shown_by_bicubic(monkeypatch):
    monkeypatch.setattr(upscale_my_photo, "is_here", lambda _: False)
    widget = UpscaleMyPhoto(method="realesrgan-x4plus")
    assert "not on this computer" in widget.note
    assert "by no network yet" in repr(widget)
    assert widget.still().size == (480, 360)


@pytest.mark.parametrize("method", ["bicubic", "nothing"])
def test_unknown_networks(method):
    with pytest.raises(ModelError, match=r"choose from .*srgan") as caught:
        UpscaleMyPhoto(method=method)
    sentence(caught)


@pytest.mark.parametrize(("picture", "says"), [
    (3, "a int is not a picture"), ("missing.png", "there is no such file"), (torch.full((1, 3, 4, 4), 2.0), "outside"),
])  # fmt: skip
def test_unusable_pictures_from_python(picture, says):
    with pytest.raises(CourseError, match=says) as caught:
        UpscaleMyPhoto(picture)
    sentence(caught)


def test_bicubic_is_the_courses_own(slow):
    noise = torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    picture = images.to_pil(noise)
    widget = UpscaleMyPhoto(picture)
    widget.wait(30)
    expected = images.to_pil(Interpolation(4)(images.from_pil(picture)))
    np.testing.assert_array_equal(np.asarray(widget._bicubic), np.asarray(expected))
