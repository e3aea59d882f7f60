"""How soon the loss laboratory answers a drag of its slider: `python -m benchmarks.loss_lab`.

Bar on two free cores, picture of 256x256: 100 ms until Python has answered, with the picture and the pixel losses; the
gradient and the losses of VGG follow from a worker, and are measured until the last of them is there. What the browser
takes to draw is not in it.
"""

from __future__ import annotations

from benchmarks.machine import described, options
from benchmarks.timing import best, heading, row
from sr_course import images
from sr_course.data.shipped import photos
from sr_course.widgets import LossLab

SIDE = 256
DRAG = 100  # ms


def main() -> None:
    arguments = options(__doc__, threads=2, repeats=5)
    large = next(one for one in photos("test") if min(images.size(one.path)) >= SIDE)
    lab = LossLab(images.centre_crop(images.read(large.path), SIDE, SIDE))
    lab.wait()
    print(described(arguments.threads))
    heading(arguments.repeats)
    for distortion in lab._options["distortions"]:
        drag(lab, distortion, arguments.repeats)
    lab.close()


def drag(lab: LossLab, distortion: str, repeats: int) -> None:
    """Measure an answer to the slider, and how long it takes until all bars and the gradient are there."""
    strength = [0.2]

    def begin() -> None:
        lab.distortion = distortion
        lab.wait()
        strength[0] += 0.05  # nothing is known of this strength yet

    def answer() -> None:
        lab._hear(None, {"set": {"strength": strength[0]}}, None)

    def all_of_it() -> None:
        answer()
        lab.wait()

    row(f"{distortion}: the picture and the pixel losses", best(answer, repeats, begin), DRAG)
    row(f"{distortion}: all losses and the gradient", best(all_of_it, repeats, begin), DRAG)


if __name__ == "__main__":
    main()
