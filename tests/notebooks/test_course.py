"""`course` writes pages that need no network, with every picture described, and a table of times."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import nbformat
import pytest

from tools import notebooks
from tools.moving_pages import STATE, VIEW, take_widgets


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


def widget_notebook(state, html="<img alt='still' src='data:image/png;base64,AAAA'>"):
    output = nbformat.v4.new_output("display_data", {VIEW: {"model_id": "one"}, "text/html": html, "text/plain": "one"})
    cell = nbformat.v4.new_code_cell("show()", outputs=[output])
    models = {"one": {"state": state, "buffers": [{"path": ["_file"], "encoding": "base64", "data": "AAAA"}]}}
    return nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {STATE: {"state": models}}})


def test_a_widget_that_moves_alone_travels_with_its_state_and_keeps_its_still():
    told = {"_moves_alone": True, "_esm": "export default {}", "_css": "", "label": "</script><script>alert(1)"}
    notebook = widget_notebook(told)
    moving = take_widgets(notebook)
    pattern = r'<script type="application/json" id="moving">(.*?)</script>(.*)'
    data, program = re.fullmatch(pattern, moving, re.DOTALL).groups()
    (view,) = json.loads(data)["views"]
    assert view["state"] == {"_moves_alone": True, "label": "</script><script>alert(1)"}
    assert view["buffers"] == [{"path": ["_file"], "data": "AAAA"}]
    assert program.count("<script") == 1
    (output,) = notebook.cells[0].outputs
    assert output.data["text/html"].startswith(f'<div id="{view["place"]}"><img alt=')
    assert VIEW not in output.data
    assert "widgets" not in notebook.metadata


def test_a_widget_that_needs_python_stays_a_picture():
    notebook = widget_notebook({"_esm": "export default {}", "_css": ""})
    assert take_widgets(notebook) == ""
    (output,) = notebook.cells[0].outputs
    assert output.data == {"text/html": "<img alt='still' src='data:image/png;base64,AAAA'>", "text/plain": "one"}
    assert "widgets" not in notebook.metadata
