"""The command line as a user meets it: a process, its exit status, what it prints and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from PIL import Image

from sr_course import images


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
