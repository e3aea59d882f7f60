"""Prepare the photographs in `photos/` from the pictures as they were published.

    python datasets/make_photos.py ORIGINALS

`ORIGINALS` is a folder with the pictures of the column `original` in `photos/MANIFEST.csv`. The manifest also says what
becomes of each: a training picture is copied byte for byte; a validation or test picture is reduced once by `factor`,
then cropped to `width` x `height` from `left`, `top`, and stored as PNG. The columns `our_change` and `sha256` of the
manifest and the list of credits are written anew.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sr_course.resample import imresize

DATASETS = Path(__file__).resolve().parent
MANIFEST = DATASETS / "photos" / "MANIFEST.csv"
LICENCES = {
    "CC-BY-2.0": ("CC BY 2.0", "https://creativecommons.org/licenses/by/2.0/"),
    "CC-BY-3.0": ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    "CC-BY-4.0": ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "CC0-1.0": ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "LicenseRef-public-domain": ("public domain", "https://en.wikipedia.org/wiki/Public_domain"),
}
CREDITS_HEAD = """# Credits for the photographs

Every photograph that ships with this course, its author, its licence and what was changed. The files are in `photos/`;
`photos/MANIFEST.csv` holds the same facts as a table, and the package each file was taken from.

"Public domain" is what the package that carried the picture records; the page of the picture says why. The other
licences are linked. That an author is named here does not mean that he or she endorses the course.

Every validation and test picture was reduced and cropped for the course, and may be used under the licence of its
original. The training pictures are unchanged, but for what the list says was done to them before.
"""
SPLIT_TITLES = {"test": "Test", "validation": "Validation", "train": "Train"}


def reduce_and_crop(original: Path, factor: float, left: int, top: int, width: int, height: int) -> bytes:
    """Reduce a picture, crop it, and return it as the bytes of a PNG file."""
    with Image.open(original) as picture:
        pixels = np.array(picture.convert("RGB"))
    reduced = imresize(torch.from_numpy(pixels).permute(2, 0, 1), 1 / factor)  # (3, H, W) uint8: MATLAB's bytes
    if left + width > reduced.shape[2] or top + height > reduced.shape[1]:
        raise SystemExit(
            f"{original}: reduced by {factor:g} it has {reduced.shape[2]} x {reduced.shape[1]} pixels, too few for "
            f"the crop {width} x {height} at {left}, {top}. Change the crop in {MANIFEST}."
        )
    crop = reduced[:, top : top + height, left : left + width].permute(1, 2, 0).contiguous().numpy()
    png = io.BytesIO()
    Image.fromarray(crop).save(png, "PNG", optimize=True)
    return png.getvalue()


def prepare(row: dict[str, str], originals: Path) -> tuple[bytes, str]:
    """Return the bytes of the file that one row of the manifest describes, and the change as a phrase."""
    original = originals / row["original"]
    if row["split"] == "train":
        return original.read_bytes(), "none"
    width, height = int(row["width"]), int(row["height"])
    png = reduce_and_crop(original, float(row["factor"]), int(row["left"]), int(row["top"]), width, height)
    return png, f"reduced {row['factor']} times (antialiased bicubic), cropped to {width} x {height}, saved as PNG"


def credits_text(rows: list[dict[str, str]]) -> str:
    """Return the list of credits as Markdown."""
    parts = [CREDITS_HEAD]
    for split, title in SPLIT_TITLES.items():
        parts.append(f"\n## {title}\n\n")
        for row in rows:
            if row["split"] == split:
                name, link = LICENCES[row["licence"]]
                parts.append(
                    f"- `{row['file']}`: {row['description']}. By {row['author']}, [{name}]({link}), "
                    f"from <{row['page']}>. Changes before: {row['earlier_changes']}; here: {row['our_change']}.\n"
                )
    return "".join(parts)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    beside.replace(path)


def main() -> None:
    """Prepare every picture of the manifest, then the manifest and the credits."""
    parser = argparse.ArgumentParser(description="Prepare the photographs that ship with the course.")
    parser.add_argument("originals", type=Path, help="folder with the pictures of the manifest's column `original`")
    originals: Path = parser.parse_args().originals

    with MANIFEST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    missing = [row["original"] for row in rows if not (originals / row["original"]).is_file()]
    if missing:
        raise SystemExit(
            f"{originals}: {len(missing)} of {len(rows)} originals are missing, the first is {missing[0]}."
        )

    for row in rows:
        content, row["our_change"] = prepare(row, originals)
        row["sha256"] = hashlib.sha256(content).hexdigest()
        write(MANIFEST.parent / row["file"], content)

    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write(MANIFEST, table.getvalue().encode())
    write(DATASETS / "CREDITS.md", credits_text(rows).encode())
    size = sum((MANIFEST.parent / row["file"]).stat().st_size for row in rows)
    print(f"{len(rows)} photographs, {size / 1e6:.1f} MB, in {MANIFEST.parent}")


if __name__ == "__main__":
    main()
