"""Open the lessons in JupyterLab."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sr_course.errors import CourseError

FIRST_LESSON = "00_start_here.ipynb"


def lessons_folder() -> Path:
    """Return the folder of the learner's notebooks: of the clone that this package runs from, or of the present folder.

    Raises:
        CourseError: neither has them.
    """
    clone = Path(__file__).resolve().parents[1]
    for folder in (clone / "notebooks", Path.cwd() / "notebooks", Path.cwd()):
        if (folder / FIRST_LESSON).is_file():
            return folder
    raise CourseError(
        f"the lessons are neither in {clone} nor in {Path.cwd()}. Clone the course; call `sr-course lab` there."
    )


def options(folder: Path, extra: Sequence[str] = ()) -> list[str]:
    """Return JupyterLab's options to serve the clone of `folder` on this machine alone, at the first lesson."""
    return [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder.parent}",
        f"--LabApp.default_url=/lab/tree/{folder.name}/{FIRST_LESSON}",
        *_root_option(),
        *extra,
    ]


def _root_option() -> list[str]:
    """JupyterLab refuses to run as root unless told; in a container root is often the only user there is."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return ["--allow-root"] if is_root else []


def open_lab(extra: Sequence[str] = ()) -> int:
    """Serve the lessons until the learner stops the server; JupyterLab makes a token of its own.

    Args:
        extra: options passed on to JupyterLab, such as `--no-browser` or `--port=8890`.

    Raises:
        CourseError: JupyterLab is not installed, or the lessons are not found.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ImportError:
        message = f"JupyterLab is not installed. Run: {sys.executable} -m pip install 'sr-course[lab]'"
        raise CourseError(message) from None
    # The course is used where there is no internet: settings beside this file keep JupyterLab from asking for news.
    # The learner's own settings go before them.
    paths = [os.environ.get("JUPYTER_CONFIG_PATH", ""), str(Path(__file__).with_name("jupyter_config"))]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)
    LabApp.launch_instance(argv=options(lessons_folder(), extra))
    return 0
