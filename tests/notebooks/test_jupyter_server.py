"""JupyterLab opens and saves every notebook while jupytext is installed, started at the top or in notebooks/."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import notebooks

TOKEN = secrets.token_hex(16)


def free_port() -> int:
    with socket.socket() as a_socket:
        a_socket.bind(("127.0.0.1", 0))
        return a_socket.getsockname()[1]


class Server:
    """A Jupyter server's contents, by path below its root."""

    def __init__(self, url: str, prefix: str, course: Path) -> None:
        self.url, self.prefix, self.course = url, prefix, course

    def request(self, path: str, method: str = "GET", body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        address = f"{self.url}/api/contents/{self.prefix}{path}"
        request = urllib.request.Request(address, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:  # raises unless the status is 2xx
            return json.load(answer)


@pytest.fixture(scope="module", params=["", "notebooks"], ids=["root: top", "root: notebooks"])
def server(request, built, tmp_path_factory) -> Iterator[Server]:
    """A server with jupytext over a copy of the throw-away course, with the course's own pairing."""
    top = tmp_path_factory.mktemp("top")
    shutil.copy(notebooks.ROOT / "pyproject.toml", top)
    course = shutil.copytree(built, top / "notebooks")
    settings = tmp_path_factory.mktemp("jupyter")
    kinds = ("CONFIG", "DATA", "RUNTIME")
    environment = os.environ | {f"JUPYTER_{kind}_DIR": str(settings / kind.lower()) for kind in kinds}
    port = free_port()
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ip=127.0.0.1", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={top / request.param}"]
    environment["JUPYTER_TOKEN"] = TOKEN
    with (settings / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log) as process:
        server = Server(f"http://127.0.0.1:{port}", "" if request.param else "notebooks/", course)
        for _ in range(240):
            assert process.poll() is None, (settings / "log").read_text()
            try:
                server.request("")
                break
            except OSError:
                time.sleep(0.25)
        yield server
        process.terminate()


@pytest.mark.parametrize("newer", ["solved/01_toy.ipynb", "source/01_toy.py"])
def test_every_notebook_opens_whichever_file_of_a_pair_is_newer(server, newer):
    now = time.time()
    for path in server.course.rglob("01_toy.*"):
        os.utime(path, (now - 60, now - 60))
    os.utime(server.course / newer, (now, now))
    learner = server.request("01_toy.ipynb")["content"]
    solved = server.request("solved/01_toy.ipynb")["content"]
    assert "# your code here" in json.dumps(learner)
    assert "total_of_the_row" in json.dumps(solved)
    assert "28.4207 dB" in json.dumps(solved)  # with its outputs


def test_saving_a_learners_notebook_touches_no_other_file(server):
    before = {path: path.read_bytes() for path in server.course.rglob("*") if path.is_file()}
    learner = server.request("01_toy.ipynb")["content"]
    learner["cells"][0]["source"] = "# My own title"
    try:
        server.request("01_toy.ipynb", "PUT", {"type": "notebook", "format": "json", "content": learner})
        after = {path: path.read_bytes() for path in server.course.rglob("*") if path.is_file()}
        changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        assert changed - {"01_toy-checkpoint.ipynb"} == {"01_toy.ipynb"}
    finally:
        (server.course / "01_toy.ipynb").write_bytes(before[server.course / "01_toy.ipynb"])


def test_saving_a_solved_notebook_leaves_its_text_as_build_wrote_it(server):
    text = (server.course / "source" / "01_toy.py").read_bytes()
    solved = server.request("solved/01_toy.ipynb")["content"]
    server.request("solved/01_toy.ipynb", "PUT", {"type": "notebook", "format": "json", "content": solved})
    assert (server.course / "source" / "01_toy.py").read_bytes() == text


def test_an_edit_in_the_solved_notebook_reaches_the_text_or_is_noticed(server):
    """The pairing stands in pyproject.toml, which a server that was started below it does not read."""
    lesson = notebooks.Lesson(server.course, "01_toy")
    text, stored = lesson.source.read_bytes(), lesson.solved.read_bytes()
    solved = server.request("solved/01_toy.ipynb")["content"]
    solved["cells"][0]["source"] = "# A better title"
    try:
        server.request("solved/01_toy.ipynb", "PUT", {"type": "notebook", "format": "json", "content": solved})
        if server.prefix:
            assert "# # A better title" in lesson.source.read_text(encoding="utf-8")
        else:
            assert "+# # A better title" in "".join(notebooks.check(lesson))
    finally:
        lesson.source.write_bytes(text)
        lesson.solved.write_bytes(stored)
