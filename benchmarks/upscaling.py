"""What an enlargement takes of memory and time, network by network: `python -m benchmarks.upscaling`.

Each network enlarges one tile in a process of its own. Beside what was measured stands `tile_bytes`, by which
`sr-course upscale` chooses its tiles, and what 12 megapixels would take by the formula of `sr_course.upscaling`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

import torch
from PIL import Image

from benchmarks.machine import described, memory, peak_memory
from sr_course import zoo
from sr_course.data.catalog import find_entry, load_catalog
from sr_course.data.fetch import is_here
from sr_course.upscaling import TILES, tile_bytes, upscale

SCALE = 4
PHOTO = (4000, 3000)  # 12 megapixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 1 unless told")
    parser.add_argument("--side", type=int, default=160, help="side of the tile that is measured, pixels; 160")
    arguments = parser.parse_args()
    print(described(arguments.threads))
    print(f"{'':20}{'measured':>12}{'formula':>10}{'a tile of':>12}{'12 MP x4':>11}{'seconds for':>13}")
    print(f"{'':20}{'kB a pixel':>12}{'':>10}{f'{TILES[0]}, MB':>12}{'GB':>11}{'a megapixel':>13}")
    for name in ("bicubic", *(card.name for card in zoo.cards() if card.scale == SCALE and here(card))):
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            each, seconds = pool.apply(measured, (name, arguments.side, arguments.threads))
        bound = tile_bytes(zoo.load(name, SCALE), SCALE)
        seen = TILES[0] + 2 * zoo.method(name).overlap
        of_tile, of_pictures = bound * seen**2, 4 * PHOTO[0] * PHOTO[1] * (1 + SCALE**2)
        megapixel = seconds / arguments.side**2 * (seen / TILES[0]) ** 2 * 1e6
        print(f"{name:20}{each / 1e3:12.1f}{bound / 1e3:10.1f}{of_tile / 1e6:12.0f}", end="")
        print(f"{(of_tile + of_pictures) / 1e9:11.2f}{megapixel:13.0f}", flush=True)


def here(card: zoo.Card) -> bool:
    return card.weights is not None or is_here(find_entry(load_catalog(), card.artefact))


def measured(name: str, side: int, threads: int) -> tuple[float, float]:
    """Bytes for each source pixel that the process grows by at most, and seconds."""
    torch.set_num_threads(threads)
    network = zoo.load(name, SCALE)
    picture = Image.effect_noise((side, side), 80).convert("RGB")
    upscale(network, picture.crop((0, 0, 8, 8)), SCALE, overlap=0)  # what torch takes once
    before = memory()
    with peak_memory() as peak:
        begin = time.perf_counter()
        upscale(network, picture, SCALE, tile=side, overlap=0)
        seconds = time.perf_counter() - begin
    return max(0, peak[0] - before) / side**2, seconds


if __name__ == "__main__":
    main()
