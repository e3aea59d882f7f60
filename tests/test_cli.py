"""The command line as a user meets it: a process, its exit status, what it prints and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageCms

from sr_course import images
from sr_course.cli import main
from sr_course.data.shipped import photo
from sr_course.training.checkpoints import write_tensors
from sr_course.training.recipes import recipe


def sr_course(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sr_course", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def refused(done: subprocess.CompletedProcess[str], *says: str) -> None:
    """One clear line on standard error that names what is wrong, and status 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("sr-course: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for words in says:
        assert words in done.stderr


def test_evaluate_prints_the_published_figure(set5):
    done = sr_course("evaluate", "bicubic", "--data", set5, "--scale", 4, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["psnr"] == pytest.approx(28.4207, abs=1e-4)
    assert result["ssim"] == pytest.approx(0.8104, abs=5e-5)
    assert (result["model"], result["data"], result["protocol"]) == ("bicubic", "Set5", "srcnn-demo")
    assert len(result["images"]) == 5


def test_upscale(tmp_path, noise):
    images.write(noise, tmp_path / "in.png")
    done = sr_course("upscale", tmp_path / "in.png", tmp_path / "out.webp", "--scale", 3, "--tile", 20)
    assert done.returncode == 0, done.stderr
    assert images.read(tmp_path / "out.webp").shape == (1, 3, 120, 168)


@pytest.mark.parametrize(("name", "content", "says"), [
    ("empty.png", b"", "the file is empty"), ("text.png", b"no picture", "not a picture"),
    ("missing.png", None, "no such file"),
])  # fmt: skip
def test_upscale_refuses_what_is_no_picture(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    refused(sr_course("upscale", tmp_path / name, tmp_path / "out.png"), name, says)
    assert not (tmp_path / "out.png").exists()


def test_upscale_refuses_a_place_it_cannot_write(tmp_path, noise):
    images.write(noise, tmp_path / "in.png")
    refused(sr_course("upscale", tmp_path / "in.png", tmp_path / "nowhere" / "out.png"), "nowhere", "does not exist")
    refused(sr_course("upscale", tmp_path / "in.png", tmp_path / "out.txt"), "out.txt", ".png, .jpg or .webp")
    refused(sr_course("upscale", tmp_path / "in.png", "/dev/full/out.png"), "/dev/full")
    assert [file.name for file in tmp_path.iterdir()] == ["in.png"]


def test_upscale_of_a_truncated_photograph_leaves_nothing(tmp_path):
    Image.effect_noise((200, 200), 50).save(tmp_path / "in.jpg")
    content = (tmp_path / "in.jpg").read_bytes()
    (tmp_path / "in.jpg").write_bytes(content[: len(content) // 2])
    refused(sr_course("upscale", tmp_path / "in.jpg", tmp_path / "out.png"), "in.jpg", "damaged or cut short")
    assert not (tmp_path / "out.png").exists()


def test_evaluate_refuses(tmp_path):
    refused(sr_course("evaluate", "bicubic", "--data", tmp_path), str(tmp_path), "holds no pictures")
    refused(sr_course("evaluate", "bicubic", "--data", tmp_path / "x"), "no such folder")
    images.write(torch.zeros(1, 3, 3, 3), tmp_path / "tiny.png")
    refused(sr_course("evaluate", "bicubic", "--data", tmp_path), "tiny.png", "fewer than the scale 4")
    refused(sr_course("evaluate", "nothing", "--data", tmp_path), "choose from bicubic")
    refused(sr_course("evaluate", "bicubic", "--data", tmp_path, "--protocol", "x"), "choose from matlab-y")


def test_an_empty_name_is_not_the_shipped_set():
    refused(sr_course("evaluate", "bicubic", "--data", ""), "--data is empty")
    refused(sr_course("evaluate", "bicubic", "--protocol", ""), "choose from matlab-y")
    refused(sr_course("data", "--catalog", "", "list"), "this catalog cannot be read")


def test_a_folder_without_rights(tmp_path, noise):
    """As a user without rights, also where the tests run as root: rights are given up once everything is imported."""
    if sys.platform == "win32":
        pytest.skip("rights are given in another way there")
    code = """
import os, sys
from sr_course.cli import main
from sr_course.data.store import pictures_in
from sr_course.errors import DataError
open_folder, *closed = sys.argv[1:]
main(["evaluate", "bicubic", "--data", open_folder])
print("warm", flush=True)
if os.geteuid() == 0:
    os.setuid(65534)
for folder in closed:
    assert main(["evaluate", "bicubic", "--data", folder]) == 2
    try:
        pictures_in(folder)
    except DataError as error:
        print(error, file=sys.stderr)
"""
    with tempfile.TemporaryDirectory() as base:  # not below tmp_path, where another user could not come at all
        Path(base).chmod(0o755)
        whole, unlisted, within = (Path(base) / name for name in ("whole", "unlisted", "within"))
        for folder in (whole, unlisted, within / "HR"):
            folder.mkdir(parents=True)
            images.write(noise, folder / "0.png")
        unlisted.chmod(0)
        (within / "HR").chmod(0)
        command = [sys.executable, "-c", code, whole, unlisted, within]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        unlisted.chmod(0o755)
        (within / "HR").chmod(0o755)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == 4
    for lines, closed in ((said[:2], unlisted), (said[2:], within / "HR")):
        assert lines[0].startswith(f"sr-course: {closed}: ")
        assert lines[1].startswith(f"{closed}: ")
        assert all("may not be read" in line for line in lines)


def test_a_reader_that_has_seen_enough():
    """`sr-course data list | head -1`, and a reader that is gone before the first line."""
    command = [sys.executable, "-m", "sr_course", "data", "list"]
    for lines in (0, 1):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            for _ in range(lines):
                assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode in (0, 141)  # 0 where all was written before the reader left


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_output_that_cannot_be_written():
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "sr_course", "data", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "sr-course: writing failed: No space left on device.\n"


def test_names_that_the_terminal_cannot_write(tmp_path, noise):
    folder = tmp_path / "größe"
    folder.mkdir()
    images.write(noise, folder / "übung.png")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for options in ([], ["--json"]):
        command = [sys.executable, "-m", "sr_course", "evaluate", "bicubic", "--data", folder, *options]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        assert b"bung" in done.stdout.decode("ascii").encode()


def test_a_large_picture_shows_how_far_it_is(tmp_path, noise):
    """On a terminal, with the tiles counted; a small picture, or a log file, shows nothing."""
    pty, termios = (pytest.importorskip(name, exc_type=ImportError) for name in ("pty", "termios"))
    images.write(noise, tmp_path / "in.png")  # 56 x 40 pixels
    for tile, shown in ((10, True), (40, False)):
        watching, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (24, 80))
        command = [sys.executable, "-m", "sr_course", "upscale", tmp_path / "in.png", tmp_path / "out.png"]
        done = subprocess.run([*command, "--tile", str(tile)], stdout=subprocess.PIPE, stderr=terminal, check=False)
        os.write(terminal, b"end")
        said = os.read(watching, 10_000)
        os.close(terminal)
        os.close(watching)
        assert done.returncode == 0, said
        assert (b"enlarging" in said and b"/24 " in said) == shown, said
    silent = sr_course("upscale", tmp_path / "in.png", tmp_path / "out.png", "--tile", 10)
    assert silent.stderr == ""


def test_doctor_has_a_line_for_everything():
    done = sr_course("doctor")
    assert done.returncode in (0, 1), done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith(("[OK] ", "[--] ")) for line in lines)
    for word in ("Python", "torch", "memory", "disk", "jupyterlab", "photographs", "srgan x4", "data sets"):
        assert any(word in line for line in lines), word


def test_usage():
    assert sr_course().returncode == 2
    assert "evaluate" in sr_course("--help").stdout
    assert sr_course("evaluate", "bicubic", "--scale", "0").returncode == 2


def test_lab_answers_with_a_token_on_the_first_lesson(tmp_path):
    """The real server: it refuses a stranger, and serves lesson 0 to the learner."""
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    command = [sys.executable, "-m", "sr_course", "lab", "--no-browser", "--port=0"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        info = wait_for_server(tmp_path / "runtime", server, tmp_path / "log")
        assert info["hostname"] == "127.0.0.1"
        assert len(info["token"]) >= 32
        lesson = f"{info['url']}api/contents/notebooks/00_start_here.ipynb"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(lesson, timeout=10)
        with urllib.request.urlopen(f"{lesson}?token={info['token']}", timeout=30) as answer:
            assert json.load(answer)["type"] == "notebook"
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for_server(runtime: Path, server: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """Wait until the server has written where it listens, at most a minute."""
    for _ in range(240):
        for file in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(json.JSONDecodeError):  # being written
                return json.loads(file.read_text())
        assert server.poll() is None, log.read_text()
        time.sleep(0.25)
    raise AssertionError(log.read_text())


# --- enlarging, in this process


def told(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def small(tmp_path, noise) -> Path:
    return images.write(noise[..., :10, :12], tmp_path / "in.png")


def test_upscale_says_what_the_result_does_not_keep(tmp_path, capsys):
    frames = [Image.new("L", (4, 4), level) for level in (0, 255)]
    frames[0].save(tmp_path / "in.gif", save_all=True, append_images=frames[1:])
    status, out, err = told(capsys, "upscale", tmp_path / "in.gif", tmp_path / "out.png")
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"{tmp_path / 'out.png'}: 16x16", "Of its 2 pictures, the first was taken."]


def test_upscale_keeps_transparency_and_profile(tmp_path, capsys):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGBA", (5, 4), (200, 0, 0, 100)).save(tmp_path / "in.png", icc_profile=profile)
    assert told(capsys, "upscale", tmp_path / "in.png", tmp_path / "out.webp", "--scale", 2)[0] == 0
    with Image.open(tmp_path / "out.webp") as result:
        assert (result.size, result.mode, result.info["icc_profile"]) == ((10, 8), "RGBA", profile)
        assert result.getpixel((5, 5)) == (200, 0, 0, 100)


def test_a_blend_goes_from_one_model_to_the_other(tmp_path, capsys, small):
    def result(*options: object) -> torch.Tensor:
        assert told(capsys, "upscale", small, tmp_path / "out.png", *options)[0] == 0
        return images.read(tmp_path / "out.png")

    first, second = result("--model", "srresnet"), result("--model", "srgan")
    mixed = {a: result("--model", "srresnet", "--blend", "srgan", "--alpha", a) for a in (0, 0.5, 1)}
    half = result("--model", "srresnet", "--blend", "srgan")
    assert (first - second).abs().max() > 0.1
    assert (mixed[0] - first).abs().max() <= 1.01 / 255
    assert (mixed[1] - second).abs().max() <= 1.01 / 255
    assert min((mixed[0.5] - one).abs().max() for one in (first, second)) > 0.02
    assert torch.equal(half, mixed[0.5])


def test_what_cannot_be_blended(tmp_path, capsys, small):
    out = tmp_path / "out.png"
    for options, says in (
        (("--alpha", "0.3"), "name it, as in --blend srgan"),
        (("--model", "srresnet", "--blend", "srresnet-s"), "only networks of one architecture can be blended"),
        (("--model", "srresnet", "--blend", "srgan", "--alpha", "2"), "alpha is 2; it goes from 0"),
        (("--model", "srresnet", "--blend", "nothing"), "choose from bicubic"),
    ):
        status, said, err = told(capsys, "upscale", small, out, *options)
        assert (status, said, err.count("\n")) == (2, "", 1)
        assert says in err
    assert not out.exists()


def test_self_ensemble(tmp_path, capsys, small):
    """Bicubic has no preferred hand, so nothing changes; a network has one."""
    assert told(capsys, "upscale", small, tmp_path / "plain.png")[0] == 0
    assert told(capsys, "upscale", small, tmp_path / "mean.png", "--self-ensemble")[0] == 0
    plain, mean = images.read(tmp_path / "plain.png"), images.read(tmp_path / "mean.png")
    assert (plain - mean).abs().max() <= 1.01 / 255
    scores = []
    for options in ((), ("--self-ensemble",)):
        status, out, err = told(capsys, "evaluate", "srresnet-s", "--data", photos_cut(tmp_path), "--json", *options)
        assert (status, err) == (0, "")
        scores.append(json.loads(out))
    assert [one["model"] for one in scores] == ["srresnet-s", "srresnet-s, self-ensemble"]
    assert scores[0]["protocol"] == scores[1]["protocol"]
    assert scores[0]["psnr"] < scores[1]["psnr"] < scores[0]["psnr"] + 1


def photos_cut(folder: Path) -> Path:
    cut = folder / "photos"
    cut.mkdir(exist_ok=True)
    images.write(images.read(photo("hawa_mahal").path)[..., 100:196, 100:196], cut / "lattice.png")
    return cut


def test_upscale_with_the_network_of_a_run(tmp_path, capsys, small):
    settings = recipe("srcnn", "smoke")
    torch.manual_seed(0)
    network = settings.network.build(settings.scale).eval()
    at = tmp_path / "run" / "checkpoints" / "00000001"
    at.mkdir(parents=True)
    write_tensors(at / "generator.safetensors", network.state_dict(), {"recipe": json.dumps(settings.to_dict())})
    (at / "state.pt").write_bytes(b"")
    arguments = ("upscale", small, tmp_path / "out.png", "--model", at, "--scale")
    assert told(capsys, *arguments, settings.scale)[0] == 0
    with torch.inference_mode():
        whole = network(images.read(small)).clamp(0, 1)
    assert (images.read(tmp_path / "out.png") - whole).abs().max() <= 0.51 / 255
    for verb in (arguments, ("evaluate", at, "--data", small.parent, "--scale")):
        status, _, err = told(capsys, *verb, settings.scale + 1)
        assert status == 2
        assert f"was trained for x{settings.scale}, not x{settings.scale + 1}" in err
