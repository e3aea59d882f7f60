"""What the browser cuts out of the one picture that holds all pictures of a widget."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def sent_cell(widget, cell: int) -> np.ndarray:
    with Image.open(io.BytesIO(widget._sprite)) as image:
        left, top, width, height = widget._cells[cell]
        return np.asarray(image)[top : top + height, left : left + width]
