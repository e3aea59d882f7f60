"""What a network is trained to make small: pixel losses, each a named term with a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PixelLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Term:
    """One part of a loss: its name in `PIXEL_LOSSES` and what it is multiplied with."""

    name: str
    weight: float = 1.0


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean squared error over pictures, channels and pixels."""
    return (sr - hr).square().mean()


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean absolute error over pictures, channels and pixels."""
    return (sr - hr).abs().mean()


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): the absolute error, but smooth at zero.

    Source: Lai et al. 2017 (LapSRN), sec. 3.3, with their eps of 1e-3.
    """
    return ((sr - hr).square() + 1e-3**2).sqrt().mean()


def caffe_euclidean(sr: Tensor, hr: Tensor) -> Tensor:
    """Sum of squared errors over channels and pixels, halved, averaged over the pictures: sum / 2N.

    A crop of 21x21 pixels makes it 220 times the mean squared error, so SRCNN's learning rates are right for this loss
    and far too small for the other.

    Source: Caffe's EuclideanLoss layer, with which Dong et al. 2014 trained.
    """
    return (sr - hr).square().sum() / (2 * sr.shape[0])


PIXEL_LOSSES: Mapping[str, PixelLoss] = {
    "mse": mse,
    "l1": l1,
    "charbonnier": charbonnier,
    "caffe_euclidean": caffe_euclidean,
}


def pixel_terms(losses: Sequence[Term], sr: Tensor, hr: Tensor) -> dict[str, Tensor]:
    """Compute each term, weight included, so that their sum is what is minimised.

    Args:
        losses: which terms, each named in `PIXEL_LOSSES`.
        sr, hr: `(N, C, H, W)` in [0, 1]; `sr` may leave the range.

    Returns:
        A scalar by each term's name, with its gradient.
    """
    return {term.name: term.weight * PIXEL_LOSSES[term.name](sr, hr) for term in losses}


def total(terms: Mapping[str, Tensor]) -> Tensor:
    """Add the terms up to one scalar."""
    return torch.stack(list(terms.values())).sum()
