"""The self-checks of lesson 2."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sr_course.data.pairs import Batch
from sr_course.lessons.checks import Exercise, number, shown
from sr_course.models.srcnn import SRCNN
from sr_course.resample import imresize

_PARAMETERS = Exercise(
    number="2.1",
    hints=(
        "A layer from a maps to b maps with kernels of k x k has k * k * a * b weights, and b biases.",
        "The maps go 1, then the two of `channels`, then 1: (1, *channels, 1). Add up three layers.",
    ),
    answer=(
        "maps = (1, *channels, 1); "
        "return sum(k * k * a * b + b for k, a, b in zip(kernel_sizes, maps[:-1], maps[1:], strict=True))"
    ),
)
_FORWARD = Exercise(
    number="2.2",
    hints=(
        "For each layer: pad by half the kernel (size // 2), then F.conv2d with weight and bias. "
        "Do not pad in F.conv2d itself: it pads with zeros.",
        "F.relu stands after the first and the second layer, not after the third. The size of the kernel is "
        "weight.shape[-1]; it may differ from layer to layer.",
    ),
    answer=(
        "for number, (weight, bias) in enumerate(layers): reach = weight.shape[-1] // 2; "
        'x = F.conv2d(F.pad(x, (reach,) * 4, mode="replicate"), weight, bias); x = F.relu(x) if number < 2 else x'
    ),
)
_STEP = Exercise(
    number="2.3",
    hints=(
        "The picture of the broken step has moved: which part of the truth is its result compared with?",
        "Without padding, the result is the middle of the picture. [..., :height, :width] is its upper left corner.",
    ),
    answer="compare with centre_crop(batch.hr, height, width); all other lines are right",
)
_FIELD = Exercise(
    number="2.4",
    hints=(
        "Make `luma` with requires_grad=True and larger than the field. Call backward() on one pixel of the result, "
        "far from the border, with network.eval(). Then look at luma.grad.",
        "The columns in which some gradient is not 0: (luma.grad[0, 0] != 0).any(dim=0).sum().",
    ),
    answer=(
        "luma = torch.rand(1, 1, 65, 65, requires_grad=True); network.eval().sharpen(luma)[0, 0, 32, 32].backward(); "
        "return int((luma.grad[0, 0] != 0).any(dim=0).sum())"
    ),
)

Layers = list[tuple[Tensor, Tensor]]
Step = Callable[[nn.Module, Optimizer, Batch], Any]


def check_parameters(parameters: Callable[[Sequence[int], Sequence[int]], Any]) -> None:
    """Check a function that counts the weights and biases of an SRCNN."""
    for kernel_sizes, channels in (((9, 5, 5), (64, 32)), ((9, 1, 5), (64, 32)), ((5, 3, 1), (6, 7))):
        came = _PARAMETERS.ask(parameters, kernel_sizes, channels)
        if came is None:
            return None
        network = _network(kernel_sizes, channels)
        right = sum(weight.numel() for weight in network.parameters())
        given = number(came)
        if given != right:
            biases = sum(channels) + 1
            slip = ", the weights without the biases" if given == right - biases else ""
            said = repr(came) if given is None else f"{given:,g}{slip}"
            return _PARAMETERS.wrong(f"{right:,} for kernels {kernel_sizes} and maps {channels}", said)
    return _PARAMETERS.right("A photograph of 240 x 240 pixels has about as many pixels as 9-5-5 has numbers.")


def check_forward(forward: Callable[[Tensor, Layers], Any]) -> None:
    """Check a function that runs three given layers over enlarged luma, with the border repeated."""
    random = torch.Generator().manual_seed(2)
    for kernel_sizes in ((9, 5, 5), (3, 1, 5)):
        network = _network(kernel_sizes).eval()
        layers = [(one.weight.detach(), _bias(one).detach()) for one in _convolutions(network)]
        luma = torch.rand(2, 1, 24, 31, generator=random)
        with torch.no_grad():
            right = network.sharpen(luma)
        came = _FORWARD.ask(forward, luma.clone(), copy.deepcopy(layers))
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _FORWARD.wrong(f"a tensor of shape {tuple(right.shape)}", shown(came))
        off = (came.detach() - right).abs()
        if not off.max() < 1e-4:  # true of NaN as well
            reach = sum(size // 2 for size in kernel_sizes)
            inside = off[..., reach:-reach, reach:-reach].max()
            where = "only near the border, as with another padding" if inside < 1e-4 else "also far from the border"
            return _FORWARD.wrong(
                f"the result of the module for kernels {kernel_sizes}",
                f"values that differ by {off.max():.3f}, {where}",
            )
    return _FORWARD.right("That is all of SRCNN: the rest is in the weights.")


def check_step(step: Step) -> None:
    """Check a training step: that it compares the right pixels, moves the weights, and forgets old gradients."""
    random = torch.Generator().manual_seed(3)
    lr = 0.2 + 0.6 * torch.rand(2, 1, 10, 10, generator=random)
    copied = Batch(lr, imresize(lr, 4))  # its truth is the enlarged picture: a network that only copies is perfect
    other = Batch(lr, 0.2 + 0.6 * torch.rand(2, 1, 40, 40, generator=random))
    for kernel_sizes in ((9, 1, 5), (5, 3, 3)):
        network = _copying(kernel_sizes).train()
        still = torch.optim.SGD(network.parameters(), lr=0.0)
        first = _STEP.ask(step, network, still, other)
        if first is None:
            return None
        aligned = _STEP.ask(step, network, still, copied)
        if aligned is None:
            return None
        far, near = number(first), number(aligned)
        if far is None or near is None:
            return _STEP.wrong("the loss as a number", shown(aligned))
        if not near < far / 100:
            return _STEP.wrong(
                "a loss near 0 where the network's result is the very middle of the truth",
                f"{near:.4f}, and {far:.4f} for another picture",
            )
        if not _forgotten(network):
            return _STEP.wrong("gradients of one batch alone", "those of two batches, added up (zero_grad)")
        moving = torch.optim.SGD(network.parameters(), lr=1e-4)
        before = copy.deepcopy(network.state_dict())
        step(network, moving, other)
        if all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items()):
            return _STEP.wrong("weights that move", "the same weights as before the step")
    return _STEP.right("Put it in place of the broken step above: the tiger comes back.")


def check_field(field: Callable[[SRCNN], Any]) -> None:
    """Check a function that finds the receptive field of an SRCNN."""
    for kernel_sizes in ((9, 5, 5), (9, 1, 5), (3, 3, 3), (1, 1, 1)):
        right = 1 + sum(size - 1 for size in kernel_sizes)
        came = _FIELD.ask(field, _network(kernel_sizes))
        if came is None:
            return None
        given = number(came)
        if given != right:
            said = repr(came) if given is None else f"{given:g}"
            slips: dict[float | None, str] = {
                right**2: ", the area and not the side",
                right // 2: ", how far it reaches on one side",
                sum(kernel_sizes): ", the sum of the kernels, which overlap",
            }
            return _FIELD.wrong(f"{right} for kernels {kernel_sizes}", said + slips.get(given, ""))
    return _FIELD.right("The same few lines measure any network, also one whose layers you cannot read.")


def _network(kernel_sizes: Sequence[int], channels: Sequence[int] = (16, 8)) -> SRCNN:
    """A network with random weights and biases, the same at each call; the lesson's own random numbers stay."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = SRCNN(4, kernel_sizes=kernel_sizes, channels=channels, he_init=True)
        for convolution in _convolutions(network):
            nn.init.uniform_(_bias(convolution), 0.0, 0.2)  # above 0, so that few maps are dead
    return network


def _copying(kernel_sizes: Sequence[int]) -> SRCNN:
    """A network whose result is its input, for luma from 0 on."""
    network = _network(kernel_sizes, (1, 1))
    for convolution in _convolutions(network):
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(_bias(convolution))
    return network


def _convolutions(network: SRCNN) -> tuple[nn.Conv2d, nn.Conv2d, nn.Conv2d]:
    return network.conv1, network.conv2, network.conv3


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _forgotten(network: nn.Module) -> bool:
    """Whether the gradients left by a step at a loss of 0 are 0, or were thrown away."""
    return all(weight.grad is None or weight.grad.abs().max() < 1e-3 for weight in network.parameters())
