"""Any photograph of any size: enlarged tile by tile, so that memory is bounded by the tile and the result."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from sr_course import images
from sr_course.errors import ImageError

_TILES_WORTH_A_BAR = 8
_BYTES_PER_PIXEL = 4  # what Pillow takes for a pixel of RGB


def upscale(
    network: nn.Module,
    picture: Image.Image,
    scale: int,
    *,
    tile: int = 256,
    overlap: int = 16,
    device: str | torch.device = "cpu",
    bar: bool = False,
) -> Image.Image:
    """Enlarge a picture tile by tile.

    Args:
        network: `(1, 3, h, w)` in [0, 1] to `(1, 3, scale * h, scale * w)`.
        picture: an 8-bit RGB Pillow image.
        scale: the network's factor.
        tile: side of the square of source pixels that is kept from each step.
        overlap: source pixels that a step sees beyond its tile on each side; seams vanish where it is at least the
            network's reach.
        device: where the network runs.
        bar: show on a terminal how many tiles are done.

    Returns:
        An 8-bit RGB image of `scale` times the size.

    Raises:
        ValueError: a tile below 1 pixel or a negative overlap.
    """
    if tile < 1 or overlap < 0:
        raise ValueError(f"tile is {tile} and overlap {overlap}; give a tile of 1 pixel or more, an overlap from 0 on.")
    network = network.to(device).eval()
    result = Image.new("RGB", (picture.width * scale, picture.height * scale))
    tiles = list(_tiles(picture.width, picture.height, tile))
    silent = None if bar and len(tiles) >= _TILES_WORTH_A_BAR else True  # None: silent where there is no terminal
    for left, top, right, bottom in tqdm(tiles, desc="enlarging", unit="tile", disable=silent, leave=False):
        seen = (max(left - overlap, 0), max(top - overlap, 0))
        seen_end = (min(right + overlap, picture.width), min(bottom + overlap, picture.height))
        with torch.inference_mode():
            sr = network(images.from_pil(picture.crop((*seen, *seen_end))).to(device))
        kept = sr[..., (top - seen[1]) * scale :, (left - seen[0]) * scale :]
        kept = kept[..., : (bottom - top) * scale, : (right - left) * scale]
        result.paste(images.to_pil(kept.float().cpu()), (left * scale, top * scale))
    return result


def upscale_file(
    network: nn.Module,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scale: int,
    *,
    tile: int = 256,
    overlap: int = 16,
    device: str | torch.device = "cpu",
    memory: int | None = None,
    bar: bool = False,
) -> tuple[int, int]:
    """Enlarge the picture in a file into another file, whole or not at all.

    Args:
        network, scale, tile, overlap, device, bar: as in `upscale`.
        source: any picture that `images.read_pil` reads.
        target: where to, ending in .png, .jpg or .webp.
        memory: bytes that source and result together may take; half of what is free now unless told.

    Returns:
        Width and height of the result.

    Raises:
        ImageError: the source cannot be read, the target not be written, or the result would not fit into memory.
    """
    width, height = images.size(source)
    size = (width * scale, height * scale)
    images.check_writable(target, size)
    memory = psutil.virtual_memory().available // 2 if memory is None else memory
    needed = (width * height + size[0] * size[1]) * _BYTES_PER_PIXEL
    if needed > memory:
        raise ImageError(
            f"{source}: {width}x{height} pixels enlarged {scale} times are {size[0] * size[1] / 1e6:,.0f} megapixels, "
            f"which need {needed / 1e9:.1f} GB; {memory / 1e9:.1f} GB may be used. Crop it, or take a smaller scale."
        )
    result = upscale(network, images.read_pil(source), scale, tile=tile, overlap=overlap, device=device, bar=bar)
    images.write(result, Path(target))
    return result.size


def _tiles(width: int, height: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            yield left, top, min(left + tile, width), min(top + tile, height)
