"""The self-checks of lesson 3."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sr_course.data.shipped import photo
from sr_course.degradations import bicubic_lr
from sr_course.images import read
from sr_course.lessons.checks import Exercise, alike, as_when, number, shape, shown
from sr_course.resample import imresize

_SHUFFLE = Exercise(
    number="3.1",
    hints=(
        "Map k belongs at row k // r and column k % r of every square. Give each of these its own dimension: "
        "maps.reshape(n, r, r, h, w) is (n, row, column, h, w).",
        "In the result, h comes before the row in the square, and w before the column: permute(0, 3, 1, 4, 2).",
    ),
    answer="n, _, h, w = maps.shape; maps.reshape(n, r, r, h, w).permute(0, 3, 1, 4, 2).reshape(n, 1, r * h, r * w)",
)
_LOSSES = Exercise(
    number="3.2",
    hints=(
        "With D = sigmoid(logit): -log D is softplus(-logit), and -log(1 - D) is softplus(logit). "
        "Take the mean over the pictures.",
        "D wants real logits high and made ones low; G wants the made ones high. G's loss does not contain `real`.",
    ),
    answer="return F.softplus(-real).mean() + F.softplus(made).mean(), F.softplus(-made).mean()",
)
_CONTENT = Exercise(
    number="3.3a",
    hints=(
        "The value is right, and yet the generator learns nothing from it. Which way does the gradient take?",
        "From the loss through features(sr) to sr. `detach` cuts what stands before it. The truth needs no gradient.",
    ),
    answer="return F.mse_loss(features(sr), features(hr).detach())",
)
_EMA = Exercise(
    number="3.3b",
    hints=(
        "A decay of 0.999 means that a thousandth changes in a step.",
        "The decay belongs to what is kept: the mean.",
    ),
    answer="return decay * mean + (1 - decay) * weight",
)
_NORM = Exercise(
    number="3.3c",
    hints=(
        "What is the second argument of nn.BatchNorm2d? Ask for nn.BatchNorm2d? or help(nn.BatchNorm2d).",
        "It is eps. In torch, `momentum` is the share of the new batch; in Keras, the share of the old mean.",
    ),
    answer="return nn.BatchNorm2d(channels, momentum=0.2)",
)
_PREPARE = Exercise(
    number="3.3d",
    hints=(
        "The weights were trained on pictures of mean 0 and standard deviation 1 in each channel.",
        "First from [-1, 1] to [0, 1], where mean and std were measured; then subtract the mean and divide by std.",
    ),
    answer="return ((picture + 1) / 2 - mean) / std",
)
_CONSISTENT = Exercise(
    number="3.4",
    hints=(
        "How far is imresize(sr, 1 / 4) from lr? Enlarge that difference with imresize and add it to sr.",
        "One correction does not settle it, for enlarging and shrinking again blurs it a little. Repeat it ten times.",
    ),
    answer="for _ in range(10): sr = sr + imresize(lr - imresize(sr, 1 / 4), 4)",
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet in RGB, as torchvision documents its weights


def check_shuffle(shuffle: Callable[[Tensor, int], Any]) -> None:
    """Check a function that lays `r * r` maps out as one, `r` times as large."""
    random = torch.Generator().manual_seed(1)
    for n, r, h, w in ((1, 2, 2, 2), (2, 3, 2, 4), (2, 4, 3, 5)):
        maps = torch.rand(n, r * r, h, w, generator=random)
        came = _SHUFFLE.ask(shuffle, maps.clone(), r)
        if came is None:
            return None
        right = F.pixel_shuffle(maps, r)
        case = f"maps of shape {tuple(maps.shape)} and r = {r}"
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _SHUFFLE.wrong(f"a tensor of shape {tuple(right.shape)} for {case}", shown(came))
        if not torch.equal(came, right):
            slips = {
                ", as when rows and columns of the squares are exchanged": F.pixel_shuffle(
                    maps.reshape(n, r, r, h, w).transpose(1, 2).reshape(maps.shape), r
                ),
                ", the maps side by side, not woven": maps.reshape(n, r, r, h, w)
                .permute(0, 1, 3, 2, 4)
                .reshape(right.shape),
                ", the numbers in their old order": maps.reshape(right.shape),
            }
            slip = next((words for words, wrong in slips.items() if torch.equal(came, wrong)), "")
            return _SHUFFLE.wrong(f"what nn.PixelShuffle gives for {case}", f"other values{slip}")
    return _SHUFFLE.right("At x4 in one stage, sixteen maps make one picture.")


def check_losses(losses: Callable[[Tensor, Tensor], Any]) -> None:
    """Check a function from the logits of real and made pictures to both losses of a GAN."""
    cases = (
        ("real logits 1 and 3, made ones -2 and 0", [[1.0], [3.0]], [[-2.0], [0.0]]),
        ("a D that is very sure, logits 200 and -200", [[200.0]], [[-200.0]]),
        ("a D that is very wrong, logits -200 and 200", [[-200.0]], [[200.0]]),
    )
    for case, real_values, made_values in cases:
        real, made = torch.tensor(real_values), torch.tensor(made_values, requires_grad=True)
        right = F.softplus(-real).mean() + F.softplus(made).mean(), F.softplus(-made).mean()
        came = _LOSSES.ask(losses, real, made)
        if came is None:
            return None
        slip_of = partial(_slip_of_losses, real=real, made=made.detach())
        fault = fault_of_losses(came, right, made, case, slip_of, cut_off="nothing pulls the picture")
        if fault:
            return _LOSSES.wrong(*fault)
    return _LOSSES.right("At logits of 0 they are 2 ln 2 and ln 2, and even the surest D leaves G a slope of 1.")


def check_content(content: Callable[[nn.Module, Tensor, Tensor], Any]) -> None:
    """Check a content term: its value, and that its gradient reaches the picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).requires_grad_(False)
    random = torch.Generator().manual_seed(2)
    sr = torch.rand(2, 3, 12, 12, generator=random).requires_grad_()
    hr = torch.rand(2, 3, 12, 12, generator=random)
    right = F.mse_loss(features(sr), features(hr))
    came = _CONTENT.ask(content, features, sr, hr)
    if came is None:
        return None
    given = number(came)
    if given is None or not abs(given - right.item()) < 1e-5:
        return _CONTENT.wrong(f"the value {right.item():.4f}", shown(came) if given is None else f"{given:.4f}")
    if not (isinstance(came, Tensor) and came.requires_grad):
        return _CONTENT.wrong("a loss with a gradient", "a number without one: backward() changes no weight")
    slope = torch.autograd.grad(came, sr, allow_unused=True)[0]
    wanted = torch.autograd.grad(right, sr)[0]
    if slope is None or not torch.allclose(slope, wanted, atol=1e-6):
        norm = 0.0 if slope is None else slope.norm().item()
        return _CONTENT.wrong(f"a gradient of norm {wanted.norm():.4f} at the picture", f"{norm:.4f}")
    return _CONTENT.right("A test of one line, `loss.requires_grad`, would have found it.")


def check_ema(ema: Callable[[Tensor, Tensor, float], Any]) -> None:
    """Check one update of a running mean of weights."""
    for decay in (0.999, 0.9):
        mean, weight = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])
        right = mean + (1 - decay) * (weight - mean)
        came = _EMA.ask(ema, mean.clone(), weight.clone(), decay)
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _EMA.wrong("a tensor like the mean", shown(came))
        if not alike(came, right, 1e-5):
            return _EMA.wrong(
                f"a mean of 1 that meets a weight of 3 to become {right[0]:.3f} with decay {decay}", f"{came[0]:.3f}"
            )
    return _EMA.right("Turned around, the mean is the newest weight, and averages nothing: nobody sees it in a loss.")


def check_norm(norm: Callable[[int], Any]) -> None:
    """Check a batch norm whose running mean keeps 0.8 of the old one and gives 0.2 to the new."""
    came = _NORM.ask(norm, 4)
    if came is None:
        return None
    if not isinstance(came, nn.BatchNorm2d) or came.num_features != 4:
        return _NORM.wrong("an nn.BatchNorm2d for 4 maps", shown(came))
    faint = 0.1 * torch.randn(8, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    faint = faint - faint.mean(dim=(0, 2, 3), keepdim=True) + 10.0  # its maps have mean 10, standard deviation 0.1
    with torch.no_grad():
        spread = came.train()(faint).std().item()
    if came.running_mean is None:
        return _NORM.wrong("running means", "none (track_running_stats)")
    if not abs(spread - 1) < 0.01:
        return _NORM.wrong(
            "a standard deviation of 1.00 after the norm, for maps that have 0.10 before", f"{spread:.2f}"
        )
    moved = came.running_mean[0].item()
    if not abs(moved - 2.0) < 0.01:
        return _NORM.wrong("a running mean of 2.00 after one batch of mean 10 (0.8 · 0 + 0.2 · 10)", f"{moved:.2f}")
    return _NORM.right("With an eps of 0.8 faint maps stay faint: it trained, only worse, so nobody noticed.")


def check_prepare(prepare: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Check the way of a picture in [-1, 1] to a VGG that was trained on ImageNet's mean and standard deviation."""
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    random = torch.Generator().manual_seed(4)
    for name, picture in {
        "a grey picture, all 0": torch.zeros(1, 3, 2, 2),
        "a picture": 2 * torch.rand(2, 3, 4, 4, generator=random) - 1,
    }.items():
        right = ((picture + 1) / 2 - mean) / std
        came = _PREPARE.ask(prepare, picture.clone(), mean, std)
        if came is None:
            return None
        if not isinstance(came, Tensor) or came.shape != right.shape:
            return _PREPARE.wrong(f"a tensor of shape {shape(right)}", shown(came))
        if not alike(came, right, 1e-4):
            values = ", ".join(f"{value:.2f}" for value in came[0, :, 0, 0].tolist())
            wanted = ", ".join(f"{value:.2f}" for value in right[0, :, 0, 0].tolist())
            return _PREPARE.wrong(f"red, green, blue {wanted} for the first pixel of {name}", values)
    return _PREPARE.right("Un-normalised, the network still answers, about pictures of a kind that it never saw.")


def check_consistent(consistent: Callable[[Tensor, Tensor], Any]) -> None:
    """Check a function that corrects a result until it shrinks to the small picture, and leaves its detail alone."""
    panda = read(photo("red_panda").path)[..., 96:224, 64:224]
    lr = bicubic_lr(panda, 4)
    random = torch.Generator().manual_seed(5)
    rough = (panda + 0.05 * torch.randn(panda.shape, generator=random)).clamp(0, 1)
    came = _CONSISTENT.ask(consistent, rough.clone(), lr.clone())
    if came is None:
        return None
    kept = _CONSISTENT.ask(consistent, panda.clone(), lr.clone())
    if kept is None:
        return None
    if not isinstance(came, Tensor) or came.shape != rough.shape or not isinstance(kept, Tensor):
        return _CONSISTENT.wrong(f"a picture of shape {shape(rough)}", shown(came))
    before, after = (255 * (imresize(one, 1 / 4) - lr).abs().max().item() for one in (rough, came))
    if not after < 1:
        return _CONSISTENT.wrong(
            "a picture that shrinks to lr, to less than 1 level of 255 everywhere",
            f"one that is up to {after:.1f} levels off (before: {before:.1f})",
        )
    changed = 255 * (kept - panda).abs().mean().item()
    if not changed < 1:
        return _CONSISTENT.wrong(
            "a picture that fits already to be left nearly as it is", f"one changed by {changed:.1f} levels on average"
        )
    return _CONSISTENT.right(
        f"Up to {before:.1f} levels off before, {after:.1f} after. What is still invented, nobody can check."
    )


def fault_of_losses(
    came: Any, right: tuple[Tensor, Tensor], made: Tensor, case: str, slip_of: Callable[[float, str], str], cut_off: str
) -> tuple[str, str] | None:
    """What was expected and what came, where the losses of D and of G or the slope of G's are not the right ones.

    Args:
        came: the learner's pair.
        right: both losses.
        made: the logits of the made pictures, `(N, 1)`, which both came from.
        case: the words for all logits.
        slip_of: the words for a usual slip, given a wrong value and whose it is, D or G.
        cut_off: what follows from another slope.
    """
    try:
        of_d, of_g = (torch.as_tensor(one, dtype=torch.float32).squeeze() for one in came)
    except (TypeError, ValueError, RuntimeError):
        return "a pair: the loss of D, the loss of G", shown(came)
    if of_d.ndim or of_g.ndim:
        return "two scalars, means over the pictures", f"shapes {shape(of_d)} and {shape(of_g)}"
    for whose, given, expected in (("D", of_d, right[0]), ("G", of_g, right[1])):
        if not abs(given.item() - expected.item()) < 1e-3:  # not a number is wrong too
            return f"{expected:.3f} as the loss of {whose} for {case}", f"{given:.3f}{slip_of(given.item(), whose)}"
    if not of_g.requires_grad:
        return "a loss of G that has a gradient", "one that was cut off (detach or item)"
    (slope,) = torch.autograd.grad(of_g, made)
    (wanted,) = torch.autograd.grad(right[1], made)
    if not torch.allclose(slope, wanted, atol=1e-4):
        asked = f"a slope of {wanted[0, 0]:.3f} of G's loss at the first made logit, for {case}"
        return asked, f"{slope[0, 0]:.3f}: {cut_off}"
    return None


def _slip_of_losses(came: float, whose: str, real: Tensor, made: Tensor) -> str:
    """What the learner has probably done, or nothing when no usual slip gives this number."""
    saturating = {"it is the saturating loss, log(1 - D)": -F.softplus(made).mean()} if whose == "G" else {}
    slips = saturating | {
        "real and made are exchanged": F.softplus(real).mean() + F.softplus(-made).mean(),
        "the term of the made pictures is missing": F.softplus(-real).mean(),
        "the term of the real pictures is missing": F.softplus(made).mean(),
        "it is half of the sum": (F.softplus(-real).mean() + F.softplus(made).mean()) / 2,
    }
    if came != came or abs(came) == float("inf"):
        return ": log(0). Compute from the logit, with softplus"
    return as_when(slips, lambda value: abs(value.item() - came) < 1e-3)
