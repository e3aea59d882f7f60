"""How `pytest --nbval notebooks` compares a lesson with its stored outputs; all that the course says to nbval is here.

Strict: every text output must be the stored one. Three things differ from plain nbval. A decimal number may wander by
one part in a thousand, because processors round differently; whole numbers and words may not. The bytes of pictures are
never compared. And a kernel that dies is noticed at once.

A cell that wanders further says so in a tag: `nbval-rtol=0.02` (relative), `nbval-atol=0.5` (absolute).
"""

import copy
import re
import time
from queue import Empty

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

RTOL = 1e-3  # lets 0.02 dB pass at 28 dB, and nothing that a reader would notice
ATOL = 1e-6  # what is printed as 1.2e-08 is rounding and nothing else
TOLERANCE = re.compile(r"nbval-(rtol|atol)=(.+)")

# A decimal with the spaces before it: a column of numbers is padded to one width, and 9.99 may have become 10.00.
# Not a part of a name (x2.5) or of a version (2.14.0).
DECIMAL = re.compile(r"(?: +|(?<![\w.]))[-+]?(?:\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\.?\d)")
EMBEDDED_PICTURE = re.compile(r"data:image/[^\"')\s]+")
PICTURES = ("image/webp", "image/svg+xml")  # besides png and jpeg, which nbval leaves out itself


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    """Read notebooks with the classes below wherever nbval would read them."""
    collectors = yield
    return [
        Lesson.from_parent(parent, path=file_path) if type(collector) is IPyNbFile else collector
        for collector in collectors
    ]


class LessonKernel(RunningKernel):
    """A kernel that keeps its history, without which IPython ignores a cell's last `;`, and whose death is noticed."""

    def execute_cell_input(self, cell_input, allow_stdin=None):
        """Send a cell's code and return the message's id."""
        return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)

    def await_reply(self, msg_id, timeout=None):
        """Wait for a cell to finish, or for the kernel to die."""
        deadline = time.monotonic() + (timeout or 0)
        while True:
            try:
                return super().await_reply(msg_id, timeout=1)
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("The kernel died in this cell: it ran out of memory, or crashed.") from None
                if timeout is not None and time.monotonic() > deadline:
                    raise


class Lesson(IPyNbFile):
    """A lesson's notebook, run by the Python that runs the tests."""

    def setup(self):
        """Start the kernel in the notebook's own folder."""
        self.skip_compare = (*self.skip_compare, *PICTURES)
        self.kernel = LessonKernel(
            CURRENT_ENV_KERNEL_NAME,
            cwd=str(self.path.parent),
            startup_timeout=self.config.option.nbval_kernel_startup_timeout,
        )
        self.setup_sanitize_files()

    def collect(self):
        """Yield a test for each code cell."""
        for cell in super().collect():
            yield LessonCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )


class LessonCell(IPyNbCell):
    """One cell, whose text outputs must be the stored ones but for the last digits of decimals."""

    def sanitize(self, s):
        """Leave out the bytes of pictures inside HTML."""
        text = super().sanitize(s)
        return EMBEDDED_PICTURE.sub("data:image", text) if isinstance(text, str) else text

    def compare_outputs(self, test, ref, skip_compare=None):
        """Tell whether new outputs agree with stored ones."""
        tolerance = {"rtol": RTOL, "atol": ATOL}
        for tag in self.cell.metadata.get("tags", []):
            if found := TOLERANCE.fullmatch(tag):
                tolerance[found[1]] = float(found[2])
        return super().compare_outputs(with_stored_decimals(test, ref, **tolerance), ref, skip_compare)


def with_stored_decimals(outputs, stored_outputs, *, rtol, atol):
    """Return new outputs in which each decimal that is near enough to the stored one is the stored one."""
    outputs = copy.deepcopy(outputs)
    for output, stored in zip(outputs, stored_outputs, strict=False):
        if isinstance(output.get("text"), str) and isinstance(stored.get("text"), str):
            output["text"] = with_near_decimals(output["text"], stored["text"], rtol, atol)
        for kind, text in output.get("data", {}).items():
            stored_text = stored.get("data", {}).get(kind)
            if kind.startswith("text/") and isinstance(text, str) and isinstance(stored_text, str):
                output["data"][kind] = with_near_decimals(text, stored_text, rtol, atol)
    return outputs


def with_near_decimals(text, stored, rtol, atol):
    """Return `text` with the stored decimals in place of its own where they are near; only the rest can differ."""
    if DECIMAL.sub("#", text) != DECIMAL.sub("#", stored):
        return text
    references = iter(DECIMAL.findall(stored))

    def choose(found):
        reference = next(references)
        near = abs(float(found[0]) - float(reference)) <= atol + rtol * abs(float(reference))
        return reference if near else found[0]

    return DECIMAL.sub(choose, text)
