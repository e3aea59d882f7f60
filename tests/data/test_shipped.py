"""The photographs that ship with the course: their number, form, credits and split, in a clone and in a wheel."""

import csv
import hashlib
import io
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_course.data.shipped import SPLITS, Photo, photo, photos, shipped_folder
from sr_course.errors import DataError

REPOSITORY = Path(__file__).resolve().parents[2]
DATASETS = REPOSITORY / "datasets"
LICENCES = {"CC0-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0", "LicenseRef-public-domain"}
ALL = [one for split in SPLITS for one in photos(split)]
GROUND_TRUTH = [one for one in ALL if one.split != "train"]


def by_name(one: Photo) -> str:
    return one.name


def test_the_splits_have_their_sizes():
    assert {split: len(photos(split)) for split in SPLITS} == {"train": 62, "validation": 12, "test": 12}


def test_a_split_is_sorted_by_name():
    names = [one.name for one in photos("test")]
    assert names == sorted(names)


def test_every_file_has_a_row_and_every_row_a_file():
    folder = DATASETS / "photos"
    files = {path for path in folder.rglob("*") if path.is_file()} - {folder / "MANIFEST.csv"}
    assert files == {one.path for one in ALL}
    assert all(one.path.parent.name == one.split for one in ALL)


@pytest.mark.parametrize("one", ALL, ids=by_name)
def test_a_photograph_is_what_its_row_says(one):
    assert hashlib.sha256(one.path.read_bytes()).hexdigest() == one.sha256
    with Image.open(one.path) as picture:
        picture.load()  # the whole file can be decoded
        assert (picture.width, picture.height) == (one.width, one.height)
        assert picture.mode == "RGB"
        assert picture.getexif().get(274, 1) == 1  # upright as stored: nothing depends on reading the EXIF orientation


@pytest.mark.parametrize("one", GROUND_TRUTH, ids=by_name)
def test_ground_truth_is_lossless_and_divides_by_every_factor(one):
    with Image.open(one.path) as picture:
        assert picture.format == "PNG"
    for side in (one.width, one.height):
        assert 300 <= side <= 500
        assert side % 24 == 0


def test_training_pictures_stay_large_enough_when_reduced_six_times():
    assert min(min(one.width, one.height) for one in photos("train")) // 6 >= 80


def test_all_of_it_stays_under_20_megabytes():
    assert sum(path.stat().st_size for path in DATASETS.rglob("*") if path.is_file()) <= 20_000_000


def test_no_photograph_or_subject_is_in_two_splits():
    with (DATASETS / "photos" / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # The wallpapers share one page, so their page alone does not tell them apart: the published file does.
    published = [row["package"] for row in rows]
    assert len(set(published)) == len(published)
    assert len({row["original"] for row in rows}) == len(rows)
    pages = [row["page"] for row in rows if "lomiri-wallpapers" not in row["page"]]
    assert len(set(pages)) == len(pages)
    splits_of_subject: dict[str, set[str]] = {}
    for row in rows:
        splits_of_subject.setdefault(row["subject"], set()).add(row["split"])
    assert [subject for subject, splits in splits_of_subject.items() if len(splits) > 1] == []


def test_names_are_plain_and_unique():
    names = [one.name for one in ALL]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalpha() and name.isascii() and name.islower() for name in names)


@pytest.mark.parametrize("one", ALL, ids=by_name)
def test_credit_is_complete_and_readable(one):
    assert one.licence in LICENCES
    assert one.author
    assert one.page.startswith("https://")
    assert one.earlier_changes
    assert one.our_change
    assert one.detail
    assert 20 <= len(one.description) <= 125  # screen readers cut longer alternative texts
    credits_text = (DATASETS / "CREDITS.md").read_text(encoding="utf-8")
    (line,) = [line for line in credits_text.splitlines() if f"/{one.path.name}`" in line]
    for part in (one.author, one.page, one.description, one.earlier_changes, one.our_change):
        assert part in line
    if one.licence.startswith("CC-BY"):
        assert f"creativecommons.org/licenses/by/{one.licence[-3:]}/" in line


def test_the_tests_show_the_problem():
    shown = {detail for one in photos("test") for detail in one.detail}
    assert {"fur", "feathers", "foliage", "brick", "carving", "text-like", "sky"} <= shown


def test_a_credit_line_names_what_cc_by_asks_for():
    credit = photo("gibbon").credit
    assert "JJ Harrison" in credit
    assert "CC-BY-3.0" in credit
    assert "https://commons.wikimedia.org/wiki/File:Hylobates_lar" in credit
    assert "cropped to 480 x 360" in credit


def test_a_photograph_is_found_by_name():
    assert photo("red_panda").path == DATASETS / "photos" / "test" / "red_panda.png"


def test_a_misspelt_name_gets_the_near_ones():
    with pytest.raises(DataError, match=r"no photograph called 'red_pand'.*red_panda"):
        photo("red_pand")


def test_a_name_far_from_all_gets_the_list():
    with pytest.raises(DataError, match=r"There are aitzgorri, .*worms_cathedral"):
        photo("12345")


def test_an_unknown_split_is_told_the_three():
    with pytest.raises(DataError, match=r"'val'.*train, validation, test"):
        photos("val")


def test_a_clone_finds_its_own_folder():
    assert shipped_folder() == DATASETS


def test_preparing_reduces_as_another_bicubic_does():
    prepare = runpy.run_path(str(DATASETS / "make_photos.py"))["reduce_and_crop"]
    published = photo("kitten").path
    png = prepare(published, 3, left=40, top=24, width=480, height=312)
    with Image.open(published) as picture, Image.open(io.BytesIO(png)) as prepared:
        pillow = picture.resize((640, 360), Image.Resampling.BICUBIC).crop((40, 24, 520, 336))
        difference = np.abs(np.array(prepared).astype(int) - np.array(pillow))
    # Each of the two passes may round a value the other way; another kernel (a = -0.75, Lanczos) is off by 8 and more.
    assert difference.max() <= 2


def test_listing_photographs_does_not_load_torch():
    code = "import sys; from sr_course.data.shipped import photos; photos('test'); print('torch' in sys.modules)"
    assert run_python(code, REPOSITORY, REPOSITORY) == "False"


def test_an_installed_wheel_carries_the_photographs_and_finds_them(tmp_path):
    pytest.importorskip("hatchling", reason="building the wheel needs hatchling: pip install hatchling")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    code = (
        "from sr_course.data.shipped import shipped_folder, photos\n"
        "print(shipped_folder())\n"
        "print(*(f'{one.name}:{one.path.is_file()}' for s in ('train', 'validation', 'test') for one in photos(s)))"
    )
    folder, found = run_python(code, installed, tmp_path).splitlines()
    assert Path(folder) == installed / "sr_course" / "_datasets"
    assert found.split() == [f"{one.name}:True" for one in ALL]


def test_a_package_without_its_data_says_what_to_do(tmp_path):
    shutil.copytree(REPOSITORY / "sr_course", tmp_path / "sr_course", ignore=shutil.ignore_patterns("zoo"))
    code = (
        "from sr_course.data.shipped import photos\n"
        "from sr_course.errors import DataError\n"
        "try:\n    photos('test')\nexcept DataError as error:\n    print(error)"
    )
    said = run_python(code, tmp_path, tmp_path)
    assert "`datasets`" in said
    assert "Install sr-course with pip, or clone the whole repository." in said


def run_python(code: str, package_parent: Path, folder: Path) -> str:
    """What a fresh interpreter prints that finds `sr_course` in `package_parent` before any other."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package_parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
