"""Write the lessons' notebooks from their text sources, compare the two, and export the course as HTML.

    python tools/notebooks.py build [NN ...]     execute each lesson and write both of its notebooks
    python tools/notebooks.py check [NN ...]     tell what has drifted, without executing anything
    python tools/notebooks.py course [NN ...]    execute each lesson, write it as an offline page, and a table of times

A lesson is three files: the text `source/NN_name.py`, which people edit; `solved/NN_name.ipynb`, the same cells with
their outputs; and the learners' `NN_name.ipynb`, where a stub stands in place of each solution. In the text, a solution
is

    # solution begins; until then: return ...
    return 10 * torch.log10(1 / mse)
    # solution ends

and a cell tagged `solution` belongs to the solved notebook alone.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import hashlib
import html
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jupytext
import jupytext.config
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from tools.moving_pages import VIEW, take_widgets

ROOT = Path(__file__).resolve().parents[1]
JUPYTEXT = jupytext.config.load_jupytext_configuration_file(str(ROOT / "pyproject.toml"))

CELL_SECONDS = 120  # a cell that runs longer is taken for hung
MAX_BYTES = 3_000_000  # of one notebook: a reader's browser and the repository's history carry every byte
NOT_SOLVED = "not solved yet"  # what a self-check says of a stub

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # and no version: the files do not depend on who built them
}
PICTURES = ("image/png", "image/jpeg")
STORED_TYPES = {*PICTURES, "text/plain", "text/html", "text/markdown"}


class LessonError(Exception):
    """A lesson cannot be read, executed or written; the message names the file and the place."""


@dataclass(frozen=True)
class Lesson:
    """The three files of one lesson."""

    folder: Path
    name: str

    @property
    def source(self) -> Path:
        """The text that people edit."""
        return self.folder / "source" / f"{self.name}.py"

    @property
    def solved(self) -> Path:
        """The notebook with the solutions."""
        return self.folder / "solved" / f"{self.name}.ipynb"

    @property
    def learner(self) -> Path:
        """The notebook with stubs."""
        return self.folder / f"{self.name}.ipynb"


def find_lessons(folder: Path, wanted: Sequence[str] = ()) -> list[Lesson]:
    """Return the lessons of a folder in order; `wanted` picks some by number or name."""
    names = sorted(path.stem for path in (folder / "source").glob("[0-9][0-9]_*.py"))
    if not names:
        raise LessonError(
            f"{folder / 'source'}: no lesson found. A lesson's text is called NN_name.py, as in 01_bicubic.py."
        )
    for word in wanted:
        if not any(name == word or name.startswith(f"{word}_") for name in names):
            raise LessonError(f"{word!r} is no lesson of {folder}. There are: {', '.join(names)}.")
    return [Lesson(folder, name) for name in names if not wanted or {name, name.split("_")[0]} & set(wanted)]


# Text to notebook ----------------------------------------------------------------------------------------------------

BEGIN = re.compile(r"(?P<indent>\s*)# solution begins; until then: (?P<stub>\S.*)")
END = re.compile(r"(?P<indent>\s*)# solution ends\s*")
MARKER = re.compile(r"\s*#+\s*solution\s+(begin|start|end)", re.IGNORECASE)


def check_markers(text: str, path: Path) -> None:
    """Raise a `LessonError` that names file and line unless every solution in the text is well marked."""
    begun: re.Match[str] | None = None
    begun_at = 0
    in_code = True
    for number, line in enumerate([*text.splitlines(), "# %%"], start=1):
        where = f"{path}:{number}"
        if line.startswith("# %%"):
            if begun:
                raise LessonError(f"{path}:{begun_at}: this solution has no '# solution ends' before the next cell.")
            in_code = "[markdown]" not in line and "[raw]" not in line
        elif not in_code:
            continue
        elif begin := BEGIN.fullmatch(line):
            if begun:
                raise LessonError(f"{where}: a solution begins inside the one of line {begun_at}. End that one first.")
            begun, begun_at = begin, number
        elif end := END.fullmatch(line):
            if not begun:
                raise LessonError(f"{where}: a solution ends that has not begun in this cell.")
            if end["indent"] != begun["indent"]:
                raise LessonError(f"{where}: the solution begins and ends at different indentations.")
            if number == begun_at + 1:
                raise LessonError(f"{where}: the solution is empty.")
            begun = None
        elif MARKER.match(line):
            raise LessonError(
                f"{where}: not a marker: {line.strip()!r}. "
                "They are '# solution begins; until then: STUB' and '# solution ends'."
            )
        elif begun and line.strip() and not line.startswith(begun["indent"]):
            raise LessonError(f"{where}: this line of the solution stands left of the marker in line {begun_at}.")


def notebook_of(name: str, cells: Sequence[NotebookNode]) -> NotebookNode:
    """Return a notebook of these cells' texts and tags, without outputs.

    An id is made from the cell's own text, so a cell keeps it when others are added, moved or removed. Empty lines at a
    cell's ends are dropped: in the text they only stand between cells.
    """
    seen: Counter[str] = Counter()
    plain = []
    for cell in cells:
        source = cell.source.strip("\n")
        text = f"{name}\0{cell.cell_type}\0{source}"
        seen[text] += 1
        new_cell = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")
        tags = cell.metadata.get("tags")
        identity = hashlib.sha256(f"{text}\0{seen[text]}".encode()).hexdigest()[:12]
        plain.append(new_cell(source, id=identity, metadata={"tags": list(tags)} if tags else {}))
    notebook: NotebookNode = nbformat.v4.new_notebook(cells=plain, metadata=copy.deepcopy(METADATA))
    return notebook


def read_source(lesson: Lesson) -> NotebookNode:
    """Return the lesson's text as a notebook with solutions and no outputs."""
    text = lesson.source.read_text(encoding="utf-8")
    check_markers(text, lesson.source)
    return notebook_of(lesson.name, jupytext.reads(text, fmt="py:percent", config=JUPYTEXT).cells)


def text_of(notebook: NotebookNode) -> str:
    """Return a notebook's text as jupytext writes it, also when JupyterLab saves the notebook."""
    text: str = jupytext.writes(notebook, fmt="py:percent", config=JUPYTEXT)
    return text


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the cell's tags."""
    tags: list[str] = cell.metadata.get("tags", [])
    return tags


# The learner's version, and that no solution is left in it -----------------------------------------------------------


def with_stubs(source: str) -> str:
    """Return a cell's code with each marked solution replaced by its stub."""
    lines = []
    inside = False
    for line in source.splitlines():
        if begin := BEGIN.fullmatch(line):
            lines.append(f"{begin['indent']}{begin['stub']}  # your code here")
            inside = True
        elif END.fullmatch(line):
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def for_learners(name: str, notebook: NotebookNode) -> NotebookNode:
    """Return the lesson as learners get it: stubs for solutions, and no cell that is tagged `solution`."""
    cells = copy.deepcopy([cell for cell in notebook.cells if "solution" not in tags_of(cell)])
    for cell in cells:
        if cell.cell_type == "code":
            cell.source = with_stubs(cell.source)
    return notebook_of(name, cells)


def solutions(notebook: NotebookNode) -> Iterator[list[str]]:
    """Yield the lines of every solution, each squeezed; lines without content are left out."""
    for cell in notebook.cells:
        if "solution" in tags_of(cell):
            yield squeezed(cell.source, is_code=cell.cell_type == "code")
            continue
        block: list[str] | None = None
        for line in cell.source.splitlines() if cell.cell_type == "code" else ():
            if BEGIN.fullmatch(line):
                block = []
            elif END.fullmatch(line):
                yield squeezed("\n".join(block or []), is_code=True)
                block = None
            elif block is not None:
                block.append(line)


def squeezed(text: str, *, is_code: bool) -> list[str]:
    """Return the lines of a text with single spaces, without empty lines and, in code, without lines of comment."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not (is_code and line.startswith("#"))]


def strings_in(node: Any) -> Iterator[str]:
    """Yield every text in a notebook: sources, outputs, metadata. The bytes of pictures are left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            if key not in PICTURES:
                yield from strings_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings_in(value)


def leaks(learner: NotebookNode, source: NotebookNode) -> list[str]:
    """Return a sentence for each solution of the source that can be read in the learner's notebook.

    A solution is found when it stands there as a whole, or when one of its longer lines does that the lesson does not
    show by itself. Below a dozen characters (`x = 3`) a text is too common to tell.
    """
    texts = ["\n".join(squeezed(text, is_code=False)) for text in strings_in(learner)]
    texts += ["\n".join(squeezed(cell.source, is_code=True)) for cell in learner.cells]
    shown = {line for cell in for_learners("", source).cells for line in squeezed(cell.source, is_code=False)}
    found = []
    for solution in solutions(source):
        telling = [line for line in solution if len(line.replace(" ", "")) >= 20 and line not in shown]
        whole = "\n".join(solution)
        candidates = [whole, *telling] if len("".join(whole.split())) >= 12 else []
        if hit := next((part for part in candidates if any(part in text for text in texts)), None):
            found.append(f"a solution can be read in it: {hit.splitlines()[0]!r}. Take it out of what learners see.")
    if any(MARKER.match(line) for cell in learner.cells for line in cell.source.splitlines()):
        found.append("a solution's marker stands in it.")
    if any("solution" in tags_of(cell) for cell in learner.cells):
        found.append("a cell tagged 'solution' stands in it.")
    return found


# Execution -----------------------------------------------------------------------------------------------------------


def name_of_cell(notebook: NotebookNode, index: int) -> str:
    """Return how messages call a cell: its place, counted from 1 with the cells of prose, and its first line."""
    lines = notebook.cells[index].source.strip().splitlines()
    return f"cell {index + 1} ({lines[0][:60] if lines else 'empty'})"


def execute(notebook: NotebookNode, path: Path, *, keep_widgets: bool = False) -> float:
    """Execute a notebook in a fresh kernel that runs in the folder of `path`.

    Args:
        notebook: gets its outputs.
        path: where the notebook lies, or will.
        keep_widgets: keep the live views of widgets and their state, for a page on which they move. Otherwise only
            their still pictures are kept.

    Returns:
        Seconds that the slowest cell took.

    Raises:
        LessonError: a cell failed, hung, or ended the kernel.
    """
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only: it warns of every connection
        record_timing=False,
        store_widget_state=keep_widgets,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    slowest = 0.0
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            begun = time.perf_counter()
            where = f"{path}, {name_of_cell(notebook, index)}"
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as error:
                raise LessonError(f"{where}: {error.ename}: {error.evalue}\n{error.traceback}") from None
            except CellTimeoutError:
                raise LessonError(f"{where}: not done after {CELL_SECONDS} s.") from None
            except DeadKernelError:
                raise LessonError(f"{where}: the kernel died.") from None
            slowest = max(slowest, time.perf_counter() - begun)
    if keep_widgets:
        client.set_widgets_metadata()
    else:
        clean(notebook)
    return slowest


def clean(notebook: NotebookNode) -> None:
    """Drop from an executed notebook the live view of each widget that left a still picture."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if any(True for _ in pictures(output)):
                output.data.pop(VIEW, None)


# What stored outputs may hold ----------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """The elements of an HTML text, as (name, attributes), and its style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.styles = ""
        self.in_style_sheet = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the element."""
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self.styles += dict(attrs).get("style") or ""
        self.in_style_sheet = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """Leave a style sheet."""
        self.in_style_sheet = False

    def handle_data(self, data: str) -> None:
        """Keep the text of a style sheet."""
        if self.in_style_sheet:
            self.styles += data


def active_or_outside(text: str) -> list[str]:
    """Return what an HTML text would run, or fetch from another place, when it is shown; links to click are neither."""
    elements = Elements(text)
    found = [f"url({url[:60]})" for url in re.findall(r"url\(\s*['\"]?((?!data:|#)[^'\")]+)", elements.styles)]
    found += re.findall(r"@import[^;]*", elements.styles)
    for tag, attributes in elements.found:
        if tag in {"script", "iframe", "object", "embed", "base"}:
            found.append(f"<{tag}>")
        for name, value in attributes.items():
            if name.startswith("on") or value.strip().lower().startswith("javascript:"):
                found.append(f"<{tag} {name}=...>")
            fetches = name in {"src", "srcset", "data", "poster"} or (name == "href" and tag != "a")
            if fetches and not value.startswith(("data:", "#")):
                found.append(f"<{tag} {name}={value[:60]!r}>")
    return found


def pictures(output: NotebookNode) -> Iterator[str]:
    """Yield the alternative text of each picture in an output, empty where it has none.

    JupyterLab shows a picture's alternative text only when the picture is an HTML element; our pages also that of
    the output's metadata, where `IPython.display.Image(..., alt=...)` puts it.
    """
    data = output.get("data", {})
    for kind in PICTURES:
        if kind in data:
            yield output.metadata.get(kind, {}).get("alt") or output.metadata.get("alt") or ""
    for tag, attributes in Elements(data.get("text/html", "")).found:
        if tag == "img":
            yield attributes.get("alt", "")


def faults_of_output(output: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with a stored output."""
    if output.output_type == "error":
        yield f"an error is stored: {output.ename}: {output.evalue}"
    if output.get("name") == "stderr":
        yield f"it wrote to stderr: {output.text.strip()[:200]!r}. Mend what it warns of."
    data = output.get("data", {})
    if VIEW in data:
        yield "a live widget is stored, which shows nothing without its kernel. Give the widget a still picture."
    for kind in sorted(set(data) - STORED_TYPES - {VIEW}):
        yield f"an output of type {kind} is stored. Allowed are pictures (png, jpeg) and text."
    for found in active_or_outside(data.get("text/html", "")):
        yield f"its HTML runs or fetches something: {found}."
    if not all(text.strip() for text in pictures(output)):
        yield "a picture has no alternative text. Show it with its description."


TOLERANCE = re.compile(r"nbval-(rtol|atol)=\d+(\.\d*)?(e-?\d+)?")
REASON = re.compile(r"# output not compared: \S.*")


def faults_of_tags(cell: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with how a code cell's outputs are compared."""
    ignored = "nbval-ignore-output" in tags_of(cell)
    reason = REASON.match(cell.source)
    if ignored and not reason:
        yield "its output is not compared; its first line must say why: '# output not compared: <reason>'."
    if reason and not ignored:
        yield "its first line says that its output is not compared, but the tag nbval-ignore-output is missing."
    for tag in tags_of(cell):
        if tag.startswith(("nbval-", "raises-")) and tag != "nbval-ignore-output" and not TOLERANCE.fullmatch(tag):
            yield f"the tag {tag!r} is not for lessons. Allowed: nbval-ignore-output, nbval-rtol=0.02, nbval-atol=0.5."
    if re.search(r"^\s*#+\s*(NBVAL|PYTEST_VALIDATE)_", cell.source, re.MULTILINE):
        yield "a comment steers nbval. Use a tag."


def faults(notebook: NotebookNode) -> list[str]:
    """Return a sentence for each thing that a stored notebook must not be: unexecuted, loud, live, undescribed."""
    found = []
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not executed in order, each once, in a fresh kernel.")
    if "widgets" in notebook.metadata:
        found.append("the state of widgets is stored in it.")
    for index, cell in enumerate(notebook.cells):
        problems: list[str] = []
        if cell.cell_type == "code":
            problems += faults_of_tags(cell)
            for output in cell.outputs:
                problems += faults_of_output(output)
        else:
            images = [attributes for tag, attributes in Elements(cell.source).found if tag == "img"]
            if re.search(r"!\[\s*\]\(", cell.source) or not all(image.get("alt", "").strip() for image in images):
                problems.append("a picture has no alternative text.")
        found += [f"{name_of_cell(notebook, index)}: {problem}" for problem in problems]
    return found


def says_not_solved(notebook: NotebookNode) -> bool:
    """Return whether some output says that an exercise is not solved."""
    return any(NOT_SOLVED in text for cell in notebook.cells for text in strings_in(cell.get("outputs", [])))


def faults_of_pair(solved: NotebookNode, learner: NotebookNode, source: NotebookNode, lesson: Lesson) -> list[str]:
    """Return a sentence, with its file, for each fault of a lesson's two executed notebooks."""
    found = [f"{lesson.solved}: {fault}" for fault in faults(solved)]
    found += [f"{lesson.learner}: {fault}" for fault in [*faults(learner), *leaks(learner, source)]]
    if says_not_solved(solved):
        found.append(f"{lesson.solved}: a check says {NOT_SOLVED!r} of a solution.")
    has_stub = any(BEGIN.fullmatch(line) for cell in source.cells for line in cell.source.splitlines())
    if has_stub and not says_not_solved(learner):
        found.append(f"{lesson.learner}: no check says {NOT_SOLVED!r} of a stub.")
    return found


# build and check -----------------------------------------------------------------------------------------------------


def stored_form(notebook: NotebookNode) -> str:
    """Return a notebook as its file holds it."""
    text: str = nbformat.writes(notebook, version=4)
    return f"{text}\n"


def write_together(texts: dict[Path, str]) -> None:
    """Write all files beside their places, then move them there in order: a failure leaves the old files whole."""
    beside = {path: path.with_name(f".{path.name}.new") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            beside[path].write_text(text, encoding="utf-8", newline="\n")
        for path in texts:
            beside[path].replace(path)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def build(lesson: Lesson) -> None:
    """Execute a lesson with and without its solutions and write its three files, the text in jupytext's own form.

    Raises:
        LessonError: the text is malformed, a cell failed, or an output may not be stored; nothing is written then.
    """
    source = read_source(lesson)
    solved = copy.deepcopy(source)
    learner = for_learners(lesson.name, source)
    for notebook, path in ((solved, lesson.solved), (learner, lesson.learner)):
        path.parent.mkdir(parents=True, exist_ok=True)
        execute(notebook, path)
    if found := faults_of_pair(solved, learner, source, lesson):
        raise LessonError("\n".join(found))
    # JupyterLab takes a notebook that is newer than its text for a conflict when they differ: the text comes last.
    write_together(
        {
            lesson.learner: stored_form(learner),
            lesson.solved: stored_form(solved),
            lesson.source: text_of(solved),
        }
    )


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """Return what of a notebook does not come from its execution."""
    inputs = copy.deepcopy(notebook)
    for cell in inputs.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return inputs


def drift(stored: NotebookNode, expected: NotebookNode) -> str:
    """Return where a stored notebook differs from what the lesson's text gives, outputs aside; empty if nowhere."""
    if without_outputs(stored) == expected:
        return ""
    lines = difflib.unified_diff(
        text_of(expected).splitlines(), text_of(stored).splitlines(), "from the text", "stored", lineterm="", n=1
    )
    return "\n".join(list(lines)[:20]) or "the cells' ids or the metadata differ"


def broken_links(lesson: Lesson, notebook: NotebookNode) -> Iterator[str]:
    """Yield a sentence for each relative link that leads nowhere from where learners open the lesson."""
    for cell in notebook.cells:
        prose = re.sub(r"```.*?```|`[^`]*`", "", cell.source, flags=re.DOTALL) if cell.cell_type == "markdown" else ""
        for target in re.findall(r"\]\(([^)\s#]+)", prose):
            if not re.match(r"\w+:", target) and not (lesson.folder / target).exists():
                yield f"{lesson.source}: the link to {target} leads nowhere. Links start in {lesson.folder.name}/."


def check(lesson: Lesson) -> list[str]:
    """Return a sentence for each way in which a lesson's three files do not belong together, or must not be stored."""
    missing = [path for path in (lesson.solved, lesson.learner) if not path.is_file()]
    if missing:
        return [f"{path}: missing. Run `make notebooks`." for path in missing]
    source = read_source(lesson)
    solved, learner = (nbformat.read(path, as_version=4) for path in (lesson.solved, lesson.learner))
    found = []
    for path, stored, expected in (
        (lesson.solved, solved, source),
        (lesson.learner, learner, for_learners(lesson.name, source)),
    ):
        if difference := drift(stored, expected):
            found.append(f"{path}: drifted from {lesson.source.name}. Run `make notebooks`.\n{difference}")
        if (size := path.stat().st_size) > MAX_BYTES:
            found.append(f"{path}: {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}. Show smaller pictures.")
    if not found and text_of(solved) != lesson.source.read_text(encoding="utf-8"):
        found.append(f"{lesson.source}: not in jupytext's own form. Run `make notebooks`.")
    return [*found, *faults_of_pair(solved, learner, source, lesson), *broken_links(lesson, source)]


def strays(folder: Path) -> list[str]:
    """Return a sentence for each notebook that no text stands behind."""
    sources = {path.stem for path in (folder / "source").glob("*.py")}
    stored = sorted([*folder.glob("*.ipynb"), *(folder / "solved").glob("*.ipynb")])
    return [f"{path}: no text in source/ stands behind it." for path in stored if path.stem not in sources]


# course --------------------------------------------------------------------------------------------------------------

PAGE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js %}{% endblock -%}
{%- block jupyter_widgets %}{% endblock -%}
{%- block html_head_js_mathjax %}{% endblock -%}
{%- block html_head_js_mermaidjs %}{% endblock -%}
{%- macro picture(output, kind) -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img alt="{{ output | get_metadata('alt', kind) | escape_html }}"
{%- if output | get_metadata('width', kind) %} width="{{ output | get_metadata('width', kind) }}"{% endif %}
src="data:{{ kind }};base64,{{ output.data[kind] | escape_html }}">
</div>
{%- endmacro -%}
{%- block data_png scoped %}{{ picture(output, 'image/png') }}{% endblock -%}
{%- block data_jpg scoped %}{{ picture(output, 'image/jpeg') }}{% endblock -%}
"""  # the lab template without its scripts, all of which come from the network, and with the pictures' descriptions


@dataclass(frozen=True)
class Run:
    """One lesson's execution from the first cell to the last, with the start of its kernel."""

    lesson: str
    title: str
    seconds: float
    slowest_cell_seconds: float
    error: str = ""


def title_of(notebook: NotebookNode, name: str) -> str:
    """Return the lesson's first heading, or its file name."""
    headings = (re.match(r"#\s+(.+)", cell.source) for cell in notebook.cells if cell.cell_type == "markdown")
    return next((heading[1] for heading in headings if heading), name)


def page_of(lesson: Lesson, notebook: NotebookNode, out: Path) -> str:
    """Return an executed lesson, its widgets kept, as one HTML page for `out` that needs nothing from the network."""
    moving = take_widgets(notebook)
    exporter = HTMLExporter(raw_template=PAGE, embed_images=False)
    resources = {"metadata": {"name": title_of(notebook, lesson.name), "path": str(lesson.folder)}}
    page, _ = exporter.from_notebook_node(notebook, resources)

    def from_page(link: re.Match[str]) -> str:
        target = html.unescape(link[1])
        if re.fullmatch(r"(solved/)?\d\d_\w+\.ipynb", target):
            return f'href="{Path(target).stem}.html"'
        return f'href="{html.escape(Path(os.path.relpath(lesson.folder / target, out)).as_posix())}"'

    page = re.sub(r'href="((?!#|\w+:)[^"]+)"', from_page, page)
    if found := active_or_outside(page):
        raise LessonError(f"{lesson.source}: its page would run or fetch {', '.join(found)}.")
    return page.replace("</body>", f"{moving}</body>") if moving else page


def run_to_page(lesson: Lesson, out: Path) -> Run:
    """Execute a solved lesson and write its page to `out`; a failure is told in the result."""
    notebook = read_source(lesson)
    begun = time.perf_counter()
    slowest, error = 0.0, ""
    try:
        slowest = execute(notebook, lesson.solved, keep_widgets=True)
        seconds = time.perf_counter() - begun
        write_together({out / f"{lesson.name}.html": page_of(lesson, notebook, out)})
    except LessonError as problem:
        seconds = time.perf_counter() - begun
        error = str(problem)
    return Run(lesson.name, title_of(notebook, lesson.name), round(seconds, 1), round(slowest, 1), error)


def index_of(runs: Sequence[Run]) -> str:
    """Return the page with the table of lessons and minutes."""
    rows = "\n".join(
        f"<tr><td>{html.escape(run.title) if run.error else link_to(run)}</td>"
        f"<td>{'failed' if run.error else f'{run.seconds / 60:.1f}'}</td></tr>"
        for run in runs
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>The course</title>
<style>body {{ font-family: sans-serif; margin: 3em; }} td, th {{ padding: 0.3em 1em; text-align: left; }}</style>
</head>
<body>
<h1>The course</h1>
<table>
<tr><th scope="col">Lesson</th><th scope="col">Minutes to run on this machine</th></tr>
{rows}
</table>
</body>
</html>
"""


def link_to(run: Run) -> str:
    """Return a link to a lesson's page."""
    return f'<a href="{run.lesson}.html">{html.escape(run.title)}</a>'


def course(lessons: Sequence[Lesson], out: Path) -> list[Run]:
    """Execute every lesson and write its page, `index.html` and `times.json` to `out`."""
    runs = []
    print(f"{'lesson':40} {'minutes':>8} {'slowest cell':>14}")
    for lesson in lessons:
        run = run_to_page(lesson, out)
        runs.append(run)
        if run.error:
            print(f"{run.lesson:40}   failed")
        else:
            print(f"{run.lesson:40} {run.seconds / 60:8.1f} {run.slowest_cell_seconds:12.1f} s")
    print(f"{'in all':40} {sum(run.seconds for run in runs) / 60:8.1f}")
    times = [{**asdict(run), "minutes": round(run.seconds / 60, 2)} for run in runs]
    write_together({out / "index.html": index_of(runs), out / "times.json": json.dumps(times, indent=1) + "\n"})
    return runs


# The command ---------------------------------------------------------------------------------------------------------


def build_all(lessons: Sequence[Lesson]) -> list[str]:
    """Build each lesson, telling how long it took, and return what went wrong; one lesson's failure stops no other."""
    problems = []
    for lesson in lessons:
        begun = time.perf_counter()
        try:
            build(lesson)
        except (LessonError, OSError) as error:
            problems.append(f"{error}\n{lesson.name}: nothing written.")
        else:
            print(f"{lesson.name}: {time.perf_counter() - begun:.1f} s")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 a lesson failed or drifted, 2 a text cannot be read."""
    parser = argparse.ArgumentParser(description="Write, compare and export the course's notebooks.")
    parser.add_argument("action", choices=["build", "check", "course"])
    parser.add_argument("lessons", nargs="*", metavar="NN", help="number or name of a lesson (default: all)")
    parser.add_argument("--folder", type=Path, default=ROOT / "notebooks", help="where the lessons are")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "course", help="where `course` writes")
    arguments = parser.parse_args(argv)
    try:
        lessons = find_lessons(arguments.folder, arguments.lessons)
        if arguments.action == "build":
            problems = build_all(lessons)
        elif arguments.action == "check":
            problems = [*strays(arguments.folder), *(problem for lesson in lessons for problem in check(lesson))]
        else:
            problems = [run.error for run in course(lessons, arguments.out) if run.error]
    except LessonError as error:
        print(error, file=sys.stderr)
        return 2
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
