"""`course` writes pages that need no network, with every picture described, and a table of times."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from tools import notebooks


class Page(HTMLParser):
    """The elements of a page, read by the test's own eyes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_pages_are_whole_without_a_network(toy, tmp_path, capsys):
    out = tmp_path / "course"
    assert notebooks.main(["course", "--folder", str(toy.folder), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["01_toy.html", "index.html", "times.json"]
    for path in (out / "01_toy.html", out / "index.html"):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert [tag for tag, _ in page.elements if tag in {"script", "link", "iframe", "object", "base"}] == []
        assert all(image["src"].startswith("data:image/") for image in page.all("img"))
        assert not re.search(r"@import|url\(\s*['\"]?(http|//)", text)
        for address in re.findall(r"<a[^>]* href=\"(https?:[^\"]+)\"", text):
            assert address == "https://example.org/reading"
    assert "28.4207 dB" in (out / "01_toy.html").read_text(encoding="utf-8")


def test_pictures_on_a_page_are_described_and_links_lead_to_pages(toy, tmp_path):
    notebooks.main(["course", "--folder", str(toy.folder), "--out", str(tmp_path)])
    page = Page((tmp_path / "01_toy.html").read_text(encoding="utf-8"))
    assert [image["alt"] for image in page.all("img")] == ["a red dot in HTML", "a red dot <as bytes>"]
    hrefs = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert hrefs == ["01_toy.html", "https://example.org/reading"]
    index = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert index.all("a") == [{"href": "01_toy.html"}]


def test_times_tell_how_long_a_lesson_ran(toy, tmp_path, capsys):
    text = toy.source.read_text(encoding="utf-8")
    toy.source.write_text(text.replace("width,", "import time\n\ntime.sleep(1.5)\nwidth,", 1), encoding="utf-8")
    notebooks.main(["course", "--folder", str(toy.folder), "--out", str(tmp_path)])
    (lesson,) = json.loads((tmp_path / "times.json").read_text(encoding="utf-8"))
    assert (lesson["lesson"], lesson["title"]) == ("01_toy", "A throw-away lesson")
    assert 1.5 <= lesson["slowest_cell_seconds"] <= lesson["seconds"] < 60
    assert lesson["minutes"] == pytest.approx(lesson["seconds"] / 60, abs=0.01)
    assert "01_toy" in capsys.readouterr().out


def test_a_lesson_that_fails_is_told_and_stops_no_other(toy, tmp_path, capfd):
    (toy.folder / "source" / "00_broken.py").write_text("# %%\n1 / 0\n", encoding="utf-8")
    assert notebooks.main(["course", "--folder", str(toy.folder), "--out", str(tmp_path)]) == 1
    assert "00_broken.ipynb, cell 1 (1 / 0): ZeroDivisionError" in capfd.readouterr().err
    assert not (tmp_path / "00_broken.html").exists()
    assert (tmp_path / "01_toy.html").exists()
    assert "failed" in (tmp_path / "index.html").read_text(encoding="utf-8")
