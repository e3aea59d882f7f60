"""Put weights into the zoo: rounded to 16 bits, with the checksum in their card.

    python tools/make_zoo.py NAME_xSCALE ORIGINAL.safetensors [--data Set5 Set14 ...]

The card `sr_course/zoo/NAME_xSCALE.toml` is written by hand beforehand; only its `sha256` is filled in here. Where
folders of benchmark pictures are given, original and rounded weights are measured on them, and nothing is written if
rounding costs more than 0.01 dB.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from sr_course.errors import CourseError, ModelError
from sr_course.evaluation import evaluate
from sr_course.metrics import named_protocol
from sr_course.zoo import ZOO, Card, load_weights, make_network, read_card

WORST_LOSS = 0.01  # dB


def main(argv: Sequence[str] | None = None) -> int:
    """Write one file of weights, and its checksum into its card."""
    parser = argparse.ArgumentParser(description="Put weights into the zoo, rounded to 16 bits.")
    parser.add_argument("stem", metavar="NAME_xSCALE", help="of the card, such as srresnet_x4")
    parser.add_argument("original", type=Path, metavar="ORIGINAL", help="the weights, a safetensors file")
    parser.add_argument("--data", nargs="*", type=Path, default=[], metavar="DIR", help="benchmarks to measure on")
    parser.add_argument("--zoo", type=Path, default=ZOO, metavar="DIR", help="another zoo than that of the course")
    arguments = parser.parse_args(argv)
    try:
        put(arguments.zoo / f"{arguments.stem}.toml", arguments.original, arguments.data)
    except CourseError as error:
        print(f"make_zoo: {error}", file=sys.stderr)
        return 2
    return 0


def put(card_path: Path, original: Path, benchmarks: Sequence[Path]) -> None:
    """Round the original, measure what that costs, write the weights and their checksum."""
    card = read_card(card_path)
    if card.weights is None:
        raise ModelError(f"{card_path}: says that its weights are fetched from {card.artefact}; nothing is put here.")
    network = make_network(card)
    load_weights(network, original)
    tensors = safetensors.torch.load_file(original)
    half = {name: one.half() if one.is_floating_point() else one for name, one in tensors.items()}
    too_large = [name for name, one in half.items() if not torch.isfinite(one).all()]
    if too_large:
        raise ModelError(f"{original}: {too_large[0]} does not fit into 16 bits, which end at 65,504.")
    rounded = make_network(card)
    rounded.load_state_dict(half)
    for folder in benchmarks:
        measure(network, rounded, folder, card)
    # One key: several would stand in an order that changes from run to run, and the checksum with them.
    content = safetensors.torch.save(half, {"licence": f"{card.licence}, {card.credit}; see {card_path.name}"})
    entry = f'sha256 = "{hashlib.sha256(content).hexdigest()}"'
    card.weights.write_bytes(content)
    text = re.sub(r'^sha256 = ".*"$', entry, card_path.read_text(encoding="utf-8"), count=1, flags=re.MULTILINE)
    card_path.write_text(text, encoding="utf-8")
    print(f"{card.weights}: {len(content):,} bytes, {entry}")


def measure(network: torch.nn.Module, rounded: torch.nn.Module, folder: Path, card: Card) -> None:
    """Print what original and rounded weights reach; refuse a loss that the course does not accept."""
    protocol = named_protocol(card.protocol)
    before, after = (evaluate(one, folder, scale=card.scale, protocol=protocol) for one in (network, rounded))
    print(f"{before.data}: {before.psnr:.4f} dB / {before.ssim:.5f}, in 16 bits {after.psnr:.4f} / {after.ssim:.5f}")
    if before.psnr - after.psnr > WORST_LOSS:
        raise ModelError(f"{folder}: 16 bits cost more than {WORST_LOSS} dB; ship these weights as float32.")


if __name__ == "__main__":
    sys.exit(main())
