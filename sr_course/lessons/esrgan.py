"""The self-checks of lesson 5."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.lessons.checks import Exercise, alike, as_when, number, shape, shown
from sr_course.lessons.srgan import fault_of_losses
from sr_course.losses import AdversarialLoss
from sr_course.models.blend import SelfEnsemble
from sr_course.models.esrgan import DenseBlock

_PARAMETERS = Exercise(
    number="5.1",
    hints=(
        "Five convolutions. The first is given `channels` maps, each later one `growth` more than the one before.",
        "3 * 3 * given * made weights and `made` biases; the first four make `growth` maps, the last makes `channels`.",
    ),
    answer="count = 0; for k in range(5): made = growth if k < 4 else channels; "
    "count += 9 * (channels + k * growth) * made + made; return count",
)
_DENSE = Exercise(
    number="5.2",
    hints=(
        "Keep a list of all that there is, [x] at first. Each of the first four convolutions is given "
        "torch.cat(maps, dim=1), and what it makes, after F.leaky_relu(made, 0.2), is appended to the list.",
        "The fifth is given all of them and has no activation. The block adds a fifth of it to what came in: "
        "x + 0.2 * detail.",
    ),
    answer="maps = [x]; for conv in convs[:4]: maps.append(F.leaky_relu(conv(torch.cat(maps, dim=1)), 0.2)); "
    "return x + 0.2 * convs[4](torch.cat(maps, dim=1))",
)
_RELATIVISTIC = Exercise(
    number="5.3",
    hints=(
        "Two differences do it all: real - made.mean() and made - real.mean(). D wants the first high and the second "
        "low; -log sigmoid(x) is F.softplus(-x), and -log(1 - sigmoid(x)) is F.softplus(x).",
        "G wants the reverse of both: the first low, the second high. Take the mean of each over the pictures and add "
        "the two up. Nothing is detached.",
    ),
    answer="x, y = real - made.mean(), made - real.mean(); "
    "return F.softplus(-x).mean() + F.softplus(y).mean(), F.softplus(x).mean() + F.softplus(-y).mean()",
)
_EIGHT = Exercise(
    number="5.4",
    hints=(
        "torch.rot90(lr, k, (-2, -1)) for k = 0 to 3 gives four views, the same of lr.flip(-1) four more. Give each to "
        "the network.",
        "Undo what was done last first: rot90 with -k, then, where there was one, the flip. Then take the mean.",
    ),
    answer="views = []; for k in range(4): views.append(torch.rot90(network(torch.rot90(lr, k, (-2, -1))), -k, "
    "(-2, -1))); views.append(torch.rot90(network(torch.rot90(lr.flip(-1), k, (-2, -1))), -k, (-2, -1)).flip(-1)); "
    "return torch.stack(views).mean(dim=0)",
)


def check_parameters(parameters: Callable[[int, int], Any]) -> None:
    """Check a function that counts the numbers of a dense block."""
    for channels, growth in ((64, 32), (24, 8), (5, 3)):
        right = sum(weight.numel() for weight in _block(channels, growth).parameters())
        came = _PARAMETERS.ask(parameters, channels, growth)
        if came is None:
            return None
        case = f"{channels} channels and a growth of {growth}"
        given = number(came)
        if given is None:
            return _PARAMETERS.wrong(f"a number for {case}", shown(came))
        if given != right:
            slip = _slip_of_parameters(given, channels, growth)
            return _PARAMETERS.wrong(f"{right:,} for {case}", f"{given:,.0f}{slip}")
    return _PARAMETERS.right("Three of them make an RRDB, and 23 RRDBs hold 99% of ESRGAN's numbers.")


def check_dense(dense: Callable[[Tensor, Sequence[nn.Module]], Any]) -> None:
    """Check the way of features through a dense block, given its five convolutions."""
    for n, channels, growth in ((1, 6, 4), (2, 4, 5)):
        block, x = _block(channels, growth), torch.randn(n, channels, 7, 5, generator=torch.Generator().manual_seed(6))
        convs = [block.conv1, block.conv2, block.conv3, block.conv4, block.conv5]
        given = x.clone()
        with torch.no_grad():
            right = block(x)
            came = _DENSE.ask(dense, given, convs)
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _DENSE.wrong(f"features of shape {shape(right)}", shown(came))
        if not torch.equal(given, x):
            return _DENSE.wrong("the features that were given to stay as they are", "they changed")
        if not alike(came, right, 1e-5):
            slip = _slip_of_dense(came, x, convs)
            return _DENSE.wrong(
                f"what DenseBlock gives, {right[0, 0, 0, 0]:.4f} at the first place", f"{came[0, 0, 0, 0]:.4f}{slip}"
            )
    return _DENSE.right("Nothing is computed twice, and every convolution still sees what came in.")


def check_relativistic(losses: Callable[[Tensor, Tensor], Any]) -> None:
    """Check a function from the logits of real and made pictures to both losses of the relativistic average GAN."""
    loss = AdversarialLoss("relativistic")
    cases = (
        ("real logits 2 and 0, made ones -1 and 1", [[2.0], [0.0]], [[-1.0], [1.0]]),
        ("the same logits, all 5 higher", [[7.0], [5.0]], [[4.0], [6.0]]),
        ("real logits 3, 1 and 0, made ones -2, 2 and 1", [[3.0], [1.0], [0.0]], [[-2.0], [2.0], [1.0]]),
        ("a D that is very sure, logits 200 and -200", [[200.0]], [[-200.0]]),
    )
    for case, real_values, made_values in cases:
        real, made = torch.tensor(real_values), torch.tensor(made_values, requires_grad=True)
        right = torch.stack(list(loss.discriminator(real, made).values())).sum(), loss.generator(made, real)
        came = _RELATIVISTIC.ask(losses, real, made)
        if came is None:
            return None
        slip_of = partial(_slip_of_relativistic, real=real, made=made.detach())
        cut_off = "a mean was cut off, and with it the pull of the photographs"
        fault = fault_of_losses(came, right, made, case, slip_of, cut_off)
        if fault:
            return _RELATIVISTIC.wrong(*fault)
    return _RELATIVISTIC.right("Add 5 to every logit and nothing changes: only who is ahead of whom counts.")


def check_eight(eight: Callable[[nn.Module, Tensor], Any]) -> None:
    """Check the mean over the eight views of a picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2))
        network.append(nn.Conv2d(4, 3, 3, padding=1)).requires_grad_(False)
    for height, width in ((6, 6), (5, 8)):
        lr = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(8))
        given, right = lr.clone(), SelfEnsemble(network)(lr)
        came = _EIGHT.ask(eight, network, given)
        if came is None:
            return None
        case = f"a picture of {width}x{height}"
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _EIGHT.wrong(f"a picture of shape {shape(right)} for {case}", shown(came))
        if not torch.equal(given, lr):
            return _EIGHT.wrong("the small picture to stay as it is", "it changed")
        if not alike(came, right, 1e-5):
            off = (came - right).abs().max().item()
            slip = _slip_of_eight(came, network, lr)
            return _EIGHT.wrong(f"the mean over eight views of {case}", f"one that is up to {off:.3f} off{slip}")
    return _EIGHT.right("A mean of eight guesses is safer than one, and softer; it costs eight times the time.")


def _block(channels: int, growth: int) -> DenseBlock:
    """A dense block whose convolutions say enough for each slip to be seen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        block = DenseBlock(channels, growth)
        with torch.no_grad():
            for weight in block.parameters():
                weight.copy_(torch.randn(weight.shape) * (0.3 if weight.ndim > 1 else 0.5))
    return block


def _slip_of_parameters(came: float, channels: int, growth: int) -> str:
    """What the learner has probably done, or nothing when no usual slip gives this number."""
    given = [channels + k * growth for k in range(5)]
    made = [growth] * 4 + [channels]
    slips = {
        "the biases are missing": sum(9 * a * b for a, b in zip(given, made, strict=True)),
        "the last convolution makes `growth` maps too": sum(9 * a * growth + growth for a in given),
        "every convolution is given `channels` maps alone": sum(9 * channels * b + b for b in made),
        "every convolution is given what the one before made, and no more": sum(
            9 * a * b + b for a, b in pairwise([channels, *made])
        ),
        "the kernels are 1 x 1": sum(a * b + b for a, b in zip(given, made, strict=True)),
        "four convolutions are counted": sum(9 * a * growth + growth for a in given[:4]),
        "it is a whole RRDB, three dense blocks": 3 * sum(9 * a * b + b for a, b in zip(given, made, strict=True)),
    }
    return as_when(slips, lambda value: value == came)


def _dense(
    x: Tensor,
    convs: Sequence[nn.Module],
    *,
    slope: float = 0.2,
    beta: float = 0.2,
    skip: bool = True,
    last: bool = False,
    turned: bool = False,
) -> Tensor:
    """A dense block with a slip in it."""
    maps = [x]
    for conv in convs[:4]:
        made = F.leaky_relu(conv(torch.cat(maps, dim=1)), slope)
        maps = [made, *maps] if turned else [*maps, made]
    detail: Tensor = convs[4](torch.cat(maps, dim=1))
    detail = F.leaky_relu(detail, slope) if last else detail
    return beta * detail + x if skip else detail


@torch.no_grad()
def _slip_of_dense(came: Tensor, x: Tensor, convs: Sequence[nn.Module]) -> str:
    slips = {
        "the detail is added whole, not a fifth of it": _dense(x, convs, beta=1),
        "the skip is missing": _dense(x, convs, skip=False),
        "the skip is missing, and the detail scaled": 0.2 * _dense(x, convs, skip=False),
        "the last convolution has an activation too": _dense(x, convs, last=True),
        "the activation is ReLU": _dense(x, convs, slope=0),
        "the activation has torch's usual slope, 0.01": _dense(x, convs, slope=0.01),
        "there is no activation": _dense(x, convs, slope=1),
        "new maps are put before the old ones": _dense(x, convs, turned=True),
    }
    return as_when(slips, lambda value: alike(came, value, 1e-5))


def _slip_of_relativistic(came: float, whose: str, real: Tensor, made: Tensor) -> str:
    if came != came or abs(came) == float("inf"):
        return ": log(0). Compute from the logit, with softplus"
    ahead, behind = real - made.mean(), made - real.mean()
    of_d = F.softplus(-ahead).mean() + F.softplus(behind).mean()
    of_g = F.softplus(ahead).mean() + F.softplus(-behind).mean()
    plain = {
        "D": {"no logit is compared with the others": F.softplus(-real).mean() + F.softplus(made).mean()},
        "G": {
            "no logit is compared with the others": F.softplus(-made).mean(),
            "the term of the photographs is missing": F.softplus(-behind).mean(),
            "it is D's loss turned around, and so saturates": -of_d,
        },
    }[whose]
    right, other = (of_d, of_g) if whose == "D" else (of_g, of_d)
    slips = plain | {
        "it is half of the sum, as in the authors' code; the paper's equations have all of it": right / 2,
        "the losses of D and G are exchanged": other,
        "each logit is compared with the mean of its own kind": F.softplus(-(real - real.mean())).mean()
        + F.softplus(made - made.mean()).mean(),
    }
    return as_when(slips, lambda value: abs(value.item() - came) < 1e-3)


def _slip_of_eight(came: Tensor, network: nn.Module, lr: Tensor) -> str:
    def view(k: int, flipped: bool, *, back: bool = True) -> Tensor:
        turned: Tensor = network(torch.rot90(lr.flip(-1) if flipped else lr, k, (-2, -1)))
        if not back:
            return turned
        turned = torch.rot90(turned, -k, (-2, -1))
        return turned.flip(-1) if flipped else turned

    every = [(k, flipped) for k in range(4) for flipped in (False, True)]
    slips: dict[str, Tensor] = {
        "there is one view only": view(0, False),
        "the views are added up, not averaged": torch.stack([view(*one) for one in every]).sum(dim=0),
        "turned views alone are taken, without the flipped ones": torch.stack([view(k, False) for k in range(4)]).mean(
            dim=0
        ),
        "flipped views alone are taken, without those on their side": torch.stack(
            [view(k, flipped) for k, flipped in every if k % 2 == 0]
        ).mean(dim=0),
    }
    if lr.shape[-1] == lr.shape[-2]:
        slips["the results are not turned back"] = torch.stack([view(*one, back=False) for one in every]).mean(dim=0)
    return as_when(slips, lambda value: alike(came, value, 1e-5))
