"""What a notebook keeps of a widget that it shows, besides the live view."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass

from IPython.core.interactiveshell import InteractiveShell
from PIL import Image


@dataclass(frozen=True)
class Kept:
    text: str
    html: str
    alt: str
    still: Image.Image


def kept_by_notebook(widget) -> Kept:
    data, _ = InteractiveShell.instance().display_formatter.format(widget)
    assert "application/vnd.jupyter.widget-view+json" in data
    found = re.fullmatch(r'<img alt="([^"]*)".* src="data:image/\w+;base64,([^"]*)">', data["text/html"])
    alt, picture = found.groups()
    still = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    return Kept(text=data["text/plain"], html=data["text/html"], alt=html.unescape(alt), still=still)
