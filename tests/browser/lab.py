"""A JupyterLab of its own, driven through a real browser: what the browser tests share."""

from __future__ import annotations

import io
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from PIL import Image

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
START_SECONDS = 90
# A cell that is off the screen has no pixels unless the whole notebook is drawn; news would ask the network.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@dataclass(frozen=True)
class Lab:
    """A running server: notebooks written into `root` can be opened at `url`."""

    url: str
    token: str
    root: Path

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells that was never executed."""
        kernel = {"name": "python3", "display_name": "Python 3"}  # else JupyterLab asks which
        code = [nbformat.v4.new_code_cell(cell.strip()) for cell in cells]
        notebook = nbformat.v4.new_notebook(cells=code, metadata={"kernelspec": kernel})
        nbformat.write(notebook, self.root / name)
        return name


@contextmanager
def serve(folder: Path) -> Iterator[Lab]:
    """Start JupyterLab on 127.0.0.1 with its own configuration, data and runtime folders; stop it at the end."""
    root = folder / "notebooks"
    root.mkdir()
    for name, values in SETTINGS.items():
        path = folder / "config" / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    token, port = secrets.token_hex(16), _free_port()
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_TOKEN": token,
        "SR_COURSE_DATA": str(folder / "course"),  # a lesson keeps answers there, and these are not the user's
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.news_url=", "--LabApp.extension_manager=readonly"),
        *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--ServerApp.terminals_enabled=False"),
    ]
    log = folder / "lab.log"
    with log.open("w", encoding="utf-8") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)
        lab = Lab(f"http://127.0.0.1:{port}", token, root)
        try:
            _wait_for_answer(lab, server, log)
            yield lab
        finally:
            _stop(lab, server)


def run_notebook(page: Any, lab: Lab, name: str, seconds: int = 600) -> None:
    """Open a notebook and run all its cells; a cell that fails, or a widget that cannot be shown, fails the test."""
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
    page.locator(".jp-NotebookPanel:visible .jp-Cell").first.wait_for(timeout=START_SECONDS * 1000)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=START_SECONDS * 1000,
    )
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")  # on a narrow screen nothing else would be seen
    page.evaluate(
        """seconds => Promise.race([
            window.jupyterapp.commands.execute("notebook:run-all-cells"),
            new Promise((_, refuse) => setTimeout(refuse, 1000 * seconds, `the cells still run after ${seconds} s`)),
        ])""",
        seconds,
    )
    failed = page.locator("[data-mime-type='application/vnd.jupyter.error']")
    assert failed.count() == 0, failed.first.inner_text()
    assert page.get_by_text("Error displaying widget").count() == 0


def ask_kernel(page: Any, code: str) -> str:
    """What `code` prints in the kernel of the notebook on the page."""
    text = page.evaluate(
        """async (code) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({ code, store_history: false });
            let text = "";
            future.onIOPub = ({ content }) => { text += content.text ?? content.traceback?.join("\\n") ?? ""; };
            await future.done;
            return text;
        }""",
        code,
    )
    return str(text).strip()


def pixels(locator: Any) -> np.ndarray:
    """What is on the screen where the element is: `(height, width, 3)` in 0..255, in device pixels."""
    shot = locator.screenshot(animations="disabled")
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def contrast(shot: np.ndarray) -> float:
    """WCAG 2.1's contrast between the lightest and the darkest pixel."""
    value = shot / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = linear @ np.array([0.2126, 0.7152, 0.0722])
    return float((light.max() + 0.05) / (light.min() + 0.05))


def assert_readable(root: Any, *texts: str) -> None:
    """The first match of each selector has the contrast that WCAG 2.1 asks of text (level AA)."""
    for text in texts:
        assert (found := contrast(pixels(root.locator(text).first))) > 4.5, f"{text} has a contrast of {found:.2f}"


@contextmanager
def dark_theme(page: Any) -> Iterator[None]:
    """JupyterLab in its dark theme; light again at the end, for the server keeps the choice for the next test."""
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    page.evaluate(change, "JupyterLab Dark")
    try:
        page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
        page.wait_for_timeout(500)  # the style sheet follows the attribute
        yield
    finally:
        page.evaluate(change, "JupyterLab Light")
        page.wait_for_selector("body[data-jp-theme-light='true']", state="attached")


def listeners(page: Any) -> int:
    """How many functions listen to events of the page's window."""
    inspector = page.context.new_cdp_session(page)
    count = "Object.values(getEventListeners(window)).reduce((sum, list) => sum + list.length, 0)"
    answer = inspector.send("Runtime.evaluate", {"expression": count, "includeCommandLineAPI": True})
    inspector.detach()
    return int(answer["result"]["value"])


def wait_until(page: Any, condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Ask again and again, for a browser answers in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in {seconds} s it did not happen that {what}"
        page.wait_for_timeout(50)


def clear_outputs(page: Any, selector: str, before: int) -> None:
    """Clear the outputs of all cells: the widget goes, and of the window's `before` listeners its own two."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    wait_until(page, lambda: listeners(page) == before - 2, "its two listeners on the window are gone")
    assert page.locator(selector).count() == 0, f"{selector} is still there"


def keep_screenshot(page: Any, name: str) -> None:
    """Keep what the page, or an element of it, looks like, for a person to look at: some faults are seen only there."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for_answer(lab: Lab, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            _request(lab, "/api/status", "GET")
            return
        except OSError:
            assert server.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < end, log.read_text(encoding="utf-8")
            time.sleep(0.2)


def _stop(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    try:
        _request(lab, "/api/shutdown", "POST")  # also ends the kernels, on every system
        server.wait(20)
    except (OSError, subprocess.TimeoutExpired):
        server.kill()
        server.wait()


def _request(lab: Lab, path: str, method: str) -> None:
    request = urllib.request.Request(lab.url + path, method=method, headers={"Authorization": f"token {lab.token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        answer.read()
