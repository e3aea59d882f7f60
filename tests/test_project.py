"""The files around the package say the same thing."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def split(requirement: str) -> tuple[str, str]:
    name, floor = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), floor


def test_conda_and_pip_install_the_same():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["lab"], *extras["test"]]
    pip = dict(split(one) for one in wanted if not one.startswith("sr-course["))
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    (by_pip,) = (one["pip"] for one in environment["dependencies"] if isinstance(one, dict))
    listed = [one for one in environment["dependencies"] if isinstance(one, str)]
    conda = dict(split(one) for one in [*listed, *by_pip] if one != "-e .")
    assert conda.pop("pip") == ""
    assert conda.pop("python") == project["requires-python"]
    assert conda == pip


def test_nothing_is_pinned():
    """A floor and no ceiling: a course that is installed next year must not hold a machine back."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    for requirement in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        assert "==" not in requirement
        assert "<" not in requirement
