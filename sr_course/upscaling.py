"""Any photograph of any size: enlarged tile by tile, so that memory is bounded by the tile and the result.

What an enlargement takes at most, beside Python, torch and the weights themselves (0.5 to 0.7 GB):

    tile_bytes(network) * (tile + 2 * overlap)**2  +  4 bytes * (pixels of the source + pixels of the result)

The first part does not grow with the picture. For the networks of the course at x4 it is at most 27.6 kB a pixel, so
2.6 GB with SRResNet's 24 shared pixels and the usual tile of 256. The second is Pillow's way to hold a picture.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from tqdm import tqdm

from sr_course import images
from sr_course.errors import ImageError, ModelError
from sr_course.models.blend import SelfEnsemble
from sr_course.models.describe import describe
from sr_course.models.interpolation import Interpolation

TILES = (256, 128, 64)
"""Sides of a tile that are tried, the first that fits into memory is taken."""

MOST_OVERLAP = 80
"""Source pixels that tiles share where a network sees farther than that: see `overlap_for`."""

_TILES_WORTH_A_BAR = 8
_BYTES_PER_PIXEL = 4  # what Pillow takes for a pixel, be it RGB or RGBA
_FLOAT = 4
# Measured on the CPU: at its widest place a network takes 3 to 4 times the features there: what goes in and what comes
# out of a convolution, and each once more in the order that the kernels want. Over many tiles it was up to 6 times:
# Linux' allocator keeps what was freed in pieces that do not always fit again. Then the result is clamped and rounded,
# in steps that each make a new one.
_COPIES_OF_FEATURES = 6.5
_COPIES_OF_RESULT = 5
_UNKNOWN_FEATURES = 1024  # a pixel of the source, as SRResNet and RRDBNet have them at x4
_PROBE = 16  # px: the side of the picture with which a network is described
_ALPHA_REACH = 2  # source pixels that the cubic kernel looks to each side
_BLEED = 4  # source pixels that colours spread below what is transparent


@dataclass(frozen=True, kw_only=True)
class Enlarged:
    """What was written.

    Attributes:
        size: width and height of the result.
        changes: what of the source the result does not keep, a sentence each.
    """

    size: tuple[int, int]
    changes: tuple[str, ...]


def overlap_for(network: nn.Module) -> int:
    """Return how many source pixels tiles must share so that no seam is seen, for a network made of known layers.

    That is half of the receptive field, and then tiles are the same as the whole picture but for rounding; a network
    that sees farther than `MOST_OVERLAP`, or has a layer that is not known, gets `MOST_OVERLAP`.

    What a network really uses is less. Beside a seam through seven pictures, two of them noise, the worst difference
    was, in levels of 255: with 24 shared pixels 0.007 for SRGAN and 0.001 for SRResNet, whose field reaches 40; with
    16, 0.004 for SRResNet-S, whose field reaches 32. For Real-ESRGAN x4plus, which reaches 349, it was 0.4 with 80,
    2 with 64, 8 with 48. The zoo's methods therefore carry an overlap of their own, `zoo.method(name).overlap`.
    """
    try:
        field = describe(_inner(network), _PROBE).receptive_field
    except ModelError:
        return MOST_OVERLAP
    return min(field // 2 + 1, MOST_OVERLAP)  # one more: enlarged pixels lie off the middle of a source pixel


def tile_bytes(network: nn.Module, scale: int) -> float:
    """Return what a network needs at most for each source pixel that it sees at once, in bytes on the CPU.

    It counts the features where the network is widest. Measured in processes of their own, at x4, on one tile:
    SRResNet 14 to 16 kB where this says 27.6, SRCNN 15.2 of 27.6, RRDBNet 8 to 12 of 27.6, SRResNet-S 6.3 of 10.9; on
    twelve tiles RRDB-S 10.3 of 10.9, SRResNet-S 7.9.
    """
    try:
        layers = describe(_inner(network), _PROBE).layers
        features = max(math.prod(layer.shape) for layer in layers) / _PROBE**2
    except ModelError:
        features = _UNKNOWN_FEATURES
    copies = _COPIES_OF_RESULT + (1 if isinstance(network, SelfEnsemble) else 0)  # the sum
    return _FLOAT * (_COPIES_OF_FEATURES * features + copies * 3 * scale**2)


def upscale(
    network: nn.Module,
    picture: Image.Image,
    scale: int,
    *,
    tile: int = TILES[0],
    overlap: int | None = None,
    device: str | torch.device = "cpu",
    bar: bool = False,
    on_tile: Callable[[int, int], None] | None = None,
) -> Image.Image:
    """Enlarge a picture tile by tile.

    Grey is given to the network as three equal channels, and what it makes of it becomes grey again. Transparency is
    no matter for a network that was trained on photographs: it is enlarged by the cubic kernel. Where a picture is
    transparent, its hidden colours are replaced near the edge by those that are seen beside it, or they would shine
    through.

    Args:
        network: `(1, 3, h, w)` in [0, 1] to `(1, 3, scale * h, scale * w)`.
        picture: an 8-bit Pillow image of mode `L`, `LA`, `RGB` or `RGBA`.
        scale: the network's factor.
        tile: side of the square of source pixels that is kept from each step.
        overlap: source pixels that a step sees beyond its tile on each side; by default as many as `overlap_for` says.
        device: where the network runs.
        bar: show on a terminal how many tiles are done.
        on_tile: told before each tile how many are done, and of how many; what it raises ends the work.

    Returns:
        An 8-bit image of `scale` times the size, of the picture's mode.

    Raises:
        ValueError: a tile below 1 pixel or a negative overlap.
        ImageError: a picture of another mode.
    """
    overlap = overlap_for(network) if overlap is None else overlap
    if tile < 1 or overlap < 0:
        raise ValueError(f"tile is {tile} and overlap {overlap}; give a tile of 1 pixel or more, an overlap from 0 on.")
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ImageError(f"a picture of mode {picture.mode} cannot be enlarged; make it L, LA, RGB or RGBA first.")
    network = network.to(device).eval()
    colour, alpha = _colour_and_alpha(picture)
    result = Image.new(picture.mode, (picture.width * scale, picture.height * scale))
    tiles = list(_tiles(picture.width, picture.height, tile))
    silent = None if bar and len(tiles) >= _TILES_WORTH_A_BAR else True  # None: silent where there is no terminal
    for done, box in enumerate(tqdm(tiles, desc="enlarging", unit="tile", disable=silent, leave=False)):
        if on_tile is not None:
            on_tile(done, len(tiles))
        piece = images.to_pil(_enlarged(network, colour, box, overlap, scale, device)).convert(colour.mode)
        if alpha is not None:
            piece.putalpha(
                images.to_pil(_enlarged(Interpolation(scale), alpha, box, _ALPHA_REACH, scale, "cpu")[:, :1])
            )
        result.paste(piece, (box[0] * scale, box[1] * scale))
    return result


def upscale_file(
    network: nn.Module,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    scale: int,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    device: str | torch.device = "cpu",
    memory: int | None = None,
    bar: bool = False,
) -> Enlarged:
    """Enlarge the picture in a file into another file, whole or not at all.

    The colour profile, transparency and grey stay as `images.read_original` and `upscale` say; the network is given
    the numbers of the picture as they stand. Every space for photographs encodes light much like sRGB, so the network
    sees nothing strange, and no colour is lost. The result has 8 bits a channel.

    Args:
        network, scale, overlap, device, bar: as in `upscale`.
        source: any picture that Pillow reads; the first of several in one file.
        target: where to, ending in .png, .jpg or .webp.
        tile: as in `upscale`; by default 256, and less where memory is short.
        memory: bytes that the enlargement may take, by the formula at the top of this module; half of what is free
            now unless told.

    Returns:
        The size of the result, and what could not be kept.

    Raises:
        ImageError: the source cannot be read, the target not be written, or the result would not fit into memory.
    """
    width, height = images.size(source)
    size = (width * scale, height * scale)
    form = images.check_writable(target, size)
    memory = psutil.virtual_memory().available // 2 if memory is None else memory
    overlap = overlap_for(network) if overlap is None else overlap
    tile = _fitting_tile(network, Path(source), (width, height), scale, overlap, memory, tile)
    original = images.read_original(source)
    changes = list(original.changes)
    if form == "WEBP" and original.profile and original.image.mode in ("L", "LA"):
        raise ImageError(f"{target}: WebP holds no grey, so the picture's grey colour profile has no place; take .png.")
    if form == "JPEG" and original.has_alpha:
        changes.append("JPEG holds no transparency; it was laid over white. A .png or .webp keeps it.")
    result = upscale(network, original.image, scale, tile=tile, overlap=overlap, device=device, bar=bar)
    images.write(result, Path(target), profile=original.profile)
    return Enlarged(size=result.size, changes=tuple(changes))


def _fitting_tile(
    network: nn.Module,
    source: Path,
    size: tuple[int, int],
    scale: int,
    overlap: int,
    memory: int,
    wanted: int | None,
) -> int:
    """Return the side of a tile that keeps the enlargement within `memory`.

    Raises:
        ImageError: there is none.
    """
    pixels = math.prod(size)
    kept = pixels * (1 + scale**2) * _BYTES_PER_PIXEL
    each = tile_bytes(network, scale)
    for tile in TILES if wanted is None else (wanted,):
        needed = kept + each * math.prod(min(tile + 2 * overlap, side) for side in size)
        if needed <= memory:
            return tile
    advice = "Crop it, or take a smaller scale" + ("." if wanted is None else " or a smaller tile.")
    raise ImageError(
        f"{source}: {size[0]}x{size[1]} pixels enlarged {scale} times are {pixels * scale**2 / 1e6:,.0f} megapixels, "
        f"which need {needed / 1e9:.1f} GB; {memory / 1e9:.1f} GB may be used. {advice}"
    )


def _enlarged(
    network: nn.Module,
    picture: Image.Image,
    box: tuple[int, int, int, int],
    overlap: int,
    scale: int,
    device: str | torch.device,
) -> Tensor:
    """Return what the network makes of the box, `(1, 3, scale * h, scale * w)`, given what lies around it too."""
    left, top, right, bottom = box
    seen = (max(left - overlap, 0), max(top - overlap, 0))
    seen_end = (min(right + overlap, picture.width), min(bottom + overlap, picture.height))
    with torch.inference_mode():
        sr: Tensor = network(images.from_pil(picture.crop((*seen, *seen_end))).to(device))
    kept = sr[..., (top - seen[1]) * scale :, (left - seen[0]) * scale :]
    return kept[..., : (bottom - top) * scale, : (right - left) * scale].float().cpu()


def _colour_and_alpha(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Take a picture apart into `L` or `RGB`, and its transparency."""
    if picture.mode in ("L", "RGB"):
        return picture, None
    colour, alpha = picture.convert(picture.mode.removesuffix("A")), picture.getchannel("A")
    if alpha.getextrema()[0] == 0:
        # Blurred with each pixel weighted by its alpha, what is hidden counts nothing.
        spread = picture.convert("RGBA").convert("RGBa").filter(ImageFilter.BoxBlur(_BLEED)).convert("RGBA")
        near = spread.getchannel("A").point(lambda level: 255 if level else 0)
        hidden = alpha.point(lambda level: 0 if level else 255)
        both = Image.composite(near, Image.new("L", picture.size), hidden)
        colour.paste(spread.convert("RGB").convert(colour.mode), mask=both)
    return colour, alpha


def _inner(network: nn.Module) -> nn.Module:
    """The network that does the work, whose reach and width count."""
    return network.network if isinstance(network, SelfEnsemble) else network


def _tiles(width: int, height: int, tile: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            yield left, top, min(left + tile, width), min(top + tile, height)
