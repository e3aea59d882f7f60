"""The browser's part of every widget."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess

import anywidget
import pytest

from sr_course import widgets

FRONT_ENDS = {
    name: value._esm
    for module in pkgutil.iter_modules(widgets.__path__, f"{widgets.__name__}.")
    for name, value in vars(importlib.import_module(module.name)).items()
    if isinstance(value, type) and issubclass(value, anywidget.AnyWidget)
}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to parse the JavaScript; install Node.js")
@pytest.mark.parametrize("widget", FRONT_ENDS)
def test_front_end_parses(widget):
    checked = subprocess.run(
        ["node", "--input-type=module", "--check"],
        input=str(FRONT_ENDS[widget]),
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
