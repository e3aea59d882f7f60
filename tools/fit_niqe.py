"""Fit NIQE's statistics of good photographs to the course's own training photographs, and ship them.

    python tools/fit_niqe.py [--out FILE.safetensors]

The photographs are reduced as they are for training. Of the card beside the file, which is written by hand beforehand,
the checksum and the number of patches are filled in here. It takes about a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import safetensors.torch
from torch import Tensor

from sr_course import images
from sr_course.data.shipped import Photo, photos
from sr_course.data.store import SHIPPED_REDUCE
from sr_course.errors import CourseError
from sr_course.naturalness import MODEL, PATCH, fit
from sr_course.resample import imresize


def main(argv: Sequence[str] | None = None) -> int:
    """Write the statistics, and what belongs to them into their card."""
    parser = argparse.ArgumentParser(description="Fit NIQE's statistics to the course's training photographs.")
    parser.add_argument("--out", type=Path, default=MODEL, metavar="FILE", help="the file; its card lies beside it")
    arguments = parser.parse_args(argv)
    try:
        write(arguments.out, photos("train"))
    except CourseError as error:
        print(f"fit_niqe: {error}", file=sys.stderr)
        return 2
    return 0


def write(out: Path, photographs: Iterable[Photo]) -> None:
    """Fit the statistics of some photographs, write them, and complete their card."""
    natural, patches = fit(reduced(photographs))
    content = safetensors.torch.save({"mean": natural.mean, "covariance": natural.covariance})
    card = out.with_suffix(".toml")
    text = card.read_text(encoding="utf-8")
    for name, entry in {"sha256": f'"{hashlib.sha256(content).hexdigest()}"', "patches": str(patches)}.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {entry}", text, count=1, flags=re.MULTILINE)
    out.write_bytes(content)
    card.write_text(text, encoding="utf-8")
    print(f"{out}: {len(content):,} bytes, from {patches} patches")


def reduced(photographs: Iterable[Photo]) -> Iterator[Tensor]:
    """Yield each photograph reduced by each of the factors of training, as 8-bit pictures, where patches fit in."""
    for photograph in photographs:
        whole = images.to_uint8(images.read(photograph.path))
        for factor in SHIPPED_REDUCE:
            small = imresize(whole, 1 / factor)
            if (small.shape[-2] // PATCH) * (small.shape[-1] // PATCH) >= 2:
                yield small.float() / 255


if __name__ == "__main__":
    sys.exit(main())
