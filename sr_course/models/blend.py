"""More out of trained networks without training: eight views of a picture averaged, and two networks mixed."""

from __future__ import annotations

import copy
from itertools import product

import torch
from torch import Tensor, nn

from sr_course.errors import ModelError


class SelfEnsemble(nn.Module):
    """The mean of what a network makes of a picture flipped and turned in all eight ways: `(N, C, H, W)` to the same.

    Each result is flipped and turned back before the mean is taken. Photographs have no preferred hand, but a trained
    network is never quite even-handed; the mean is, and it is a little closer to the truth. It costs eight times the
    time, and no more memory than the network itself and two results.

    Args:
        network: any network that enlarges by the same factor both ways; it is not copied.

    Source: Timofte et al. 2016, "Seven ways to improve example-based single image super resolution", the sixth way;
    Lim et al. 2017 (EDSR), under "geometric self-ensemble".
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.works_on_luma = bool(getattr(network, "works_on_luma", False))

    def forward(self, lr: Tensor) -> Tensor:
        total: Tensor | None = None
        for transposed, *axes in product((False, True), (None, -2), (None, -1)):
            flips = [axis for axis in axes if axis is not None]
            view = lr.flip(flips)
            sr = self.network(view.transpose(-2, -1) if transposed else view)
            back = (sr.transpose(-2, -1) if transposed else sr).flip(flips)  # the last first
            total = back if total is None else total + back
        assert total is not None
        return total / 8


def blend(first: nn.Module, second: nn.Module, alpha: float) -> nn.Module:
    """Mix two networks of one architecture, weight by weight: `(1 - alpha) * first + alpha * second`.

    That works where one was trained on from the other, as a GAN's generator is from the network trained on pixels.
    Between networks that were trained apart, the mixture is good for nothing.

    Args:
        first, second: left as they are, and in their own modes.
        alpha: from 0, which gives the first network, to 1, which gives the second.

    Returns:
        A new network on the device and in the precision of the first. Whole numbers, such as a count of batches, are
        those of the first.

    Raises:
        ModelError: alpha is outside of [0, 1], or the networks are not of one architecture.

    Source: Wang et al. 2018 (ESRGAN), section 3.4, equation 4; there the first is RRDB_PSNR and the second RRDB_GAN.
    """
    if not 0 <= alpha <= 1:  # also true of NaN
        raise ModelError(f"alpha is {alpha:g}; it goes from 0 (the first network alone) to 1 (the second alone).")
    _check_alike(first, second)
    mixed = copy.deepcopy(first)
    others = second.state_dict()
    with torch.no_grad():
        for name, mine in mixed.state_dict().items():  # views into the copy
            if mine.is_floating_point():
                mine.lerp_(others[name].to(mine), alpha)
    return mixed


def _check_alike(first: nn.Module, second: nn.Module) -> None:
    """Refuse networks that differ in a layer, in how a layer is set, or in the shape of a weight."""
    ours, theirs = dict(first.named_modules()), dict(second.named_modules())
    if missing := sorted(ours.keys() ^ theirs.keys()):
        name = missing[0]
        has, lacks = ("first", "second") if name in ours else ("second", "first")
        raise _different(f"the {has} has a layer {name}, and the {lacks} has none")
    for name, mine in ours.items():
        other, place = theirs[name], f" in {name}" if name else ""
        if type(mine) is not type(other):
            raise _different(f"{type(mine).__name__} and {type(other).__name__}{place}")
        settings, wanted = _settings(mine), _settings(other)
        for key in sorted(settings.keys() | wanted.keys()):
            if settings.get(key) != wanted.get(key):
                raise _different(f"{key} is {settings.get(key)} and {wanted.get(key)}{place}")
    shapes = {name: tuple(one.shape) for name, one in second.state_dict().items()}
    for name, one in first.state_dict().items():
        if shapes.get(name) != tuple(one.shape):
            raise _different(f"{name} is of shape {tuple(one.shape)} and {shapes.get(name)}")


def _settings(module: nn.Module) -> dict[str, object]:
    """What a layer was made with, as far as it is plain: sizes, strides, slopes, whether there is a tanh."""
    plain = (bool, int, float, str, tuple)
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, plain) and not name.startswith("_") and name != "training"
    }


def _different(what: str) -> ModelError:
    return ModelError(f"only networks of one architecture can be blended, and these differ: {what}.")
