"""Weights out of the two files of an ncnn model: `.param`, its layers as text, and `.bin`, the numbers in their order.

Only what the networks of the course need is read: convolutions with weights in 16 bits and biases in 32. Nothing in
the files is run or trusted: before the first number is read, the text must call for just as many bytes as there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sr_course.errors import DataError

_MAGIC = "7767517"  # the first line of every .param in text
_HALF = 0x01306B47  # stands before weights of 16 bits
_TAG = 4  # bytes
_WITHOUT_WEIGHTS = frozenset({"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp"})
_MAX_TEXT = 16 << 20  # bytes; the largest that the course knows has 116,029

# Numbers of a convolution's settings, as ncnn counts them; a setting that lacks has its usual value.
_FEATURES, _WIDTH, _HEIGHT, _HAS_BIAS, _WEIGHTS, _EIGHT_BIT = 0, 1, 11, 5, 6, 8


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """One convolution of the model.

    Attributes:
        name: what the file calls it.
        weight: `(features, inputs, height, width)`, float16.
        bias: `(features,)`, float32; None where it has none.
    """

    name: str
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, kw_only=True)
class _Form:
    """What the text says of one convolution."""

    name: str
    shape: tuple[int, int, int, int]
    has_bias: bool

    @property
    def weight_bytes(self) -> int:
        """Room of the weights: two bytes each, filled up to a multiple of four."""
        return -(-2 * math.prod(self.shape) // 4) * 4

    @property
    def size(self) -> int:
        """Bytes of the whole convolution."""
        return _TAG + self.weight_bytes + (4 * self.shape[0] if self.has_bias else 0)


def read_convolutions(param: Path, weights: Path) -> list[Convolution]:
    """Read all convolutions of a model, in the order in which they run.

    Args:
        param: the layers, a text.
        weights: the numbers.

    Raises:
        DataError: a file cannot be read, is damaged, does not fit the other, or holds what is not understood here.
    """
    try:
        forms = list(_forms(param, _text(param)))
        expected, found = sum(form.size for form in forms), weights.stat().st_size
        if found != expected:
            raise DataError(
                f"{weights}: holds {found:,} bytes where {param.name} calls for {expected:,}. "
                "It is damaged or belongs to another model: get both files again."
            )
        content = weights.read_bytes()
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}). Check the name.") from None
    convolutions, start = [], 0
    for form in forms:
        convolutions.append(_convolution(weights, content[start : start + form.size], form))
        start += form.size
    return convolutions


def _text(param: Path) -> list[str]:
    if param.stat().st_size > _MAX_TEXT:
        raise DataError(f"{param}: is too long for the layers of a model as text. Are the two files exchanged?")
    try:
        return param.read_bytes().decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise DataError(
            f"{param}: is no text. ncnn's binary form of it is not read here; or are the two files exchanged?"
        ) from None


def _forms(param: Path, lines: list[str]) -> Iterator[_Form]:
    """Yield the convolutions of the text: magic, counts of layers and blobs, then a line for each layer."""
    if not lines or lines[0].strip() != _MAGIC:
        raise DataError(f"{param}: does not begin with {_MAGIC}, as the text of an ncnn model does. Get it again.")
    layers = [line.split() for line in lines[2:] if line.strip()]
    counts = lines[1].split() if len(lines) > 1 else []
    if not counts or counts[0] != str(len(layers)):
        stated = counts[0] if counts else "no number of"
        raise DataError(f"{param}: states {stated} layers and holds {len(layers)}. It is cut short: get it again.")
    for number, layer in enumerate(layers, start=3):
        try:
            kind, name, settings = _layer(layer)
            if kind == "Convolution":
                yield _form(name, settings)
            elif kind not in _WITHOUT_WEIGHTS:
                raise ValueError(f"{kind} is a kind of layer that is not known here")
        except (ValueError, IndexError) as error:
            raise DataError(f"{param}, line {number}: {error or 'cannot be understood'}. Get the file again.") from None


def _layer(words: list[str]) -> tuple[str, str, dict[int, str]]:
    """Take a line apart: kind, name, counts of inputs and outputs, their names, then settings `number=value`."""
    if len(words) < 4 or not (words[2].isdecimal() and words[3].isdecimal()):
        raise ValueError("is no layer: a kind, a name and two counts are wanted")
    settings = {}
    for word in words[4 + int(words[2]) + int(words[3]) :]:
        key, _, value = word.partition("=")
        settings[int(key)] = value
    return words[0], words[1], settings


def _form(name: str, settings: dict[int, str]) -> _Form:
    features, width, weights = (int(settings.get(key, "0")) for key in (_FEATURES, _WIDTH, _WEIGHTS))
    height = int(settings.get(_HEIGHT, width))
    if min(features, width, height, weights) < 1 or weights % (features * width * height):
        raise ValueError(f"{name} has {weights} weights, which do not make {features} kernels of {width}x{height}")
    if int(settings.get(_EIGHT_BIT, "0")):
        raise ValueError(f"{name} has weights of 8 bits; only 16 are read here")
    inputs = weights // (features * width * height)
    has_bias = int(settings.get(_HAS_BIAS, "0")) != 0
    return _Form(name=name, shape=(features, inputs, height, width), has_bias=has_bias)


def _convolution(path: Path, content: bytes, form: _Form) -> Convolution:
    tag = int.from_bytes(content[:_TAG], "little")
    if tag != _HALF:
        raise DataError(
            f"{path}: before the weights of {form.name} stands {tag:#010x}, not {_HALF:#010x}, which says 16 bits. "
            "The file is damaged, or its weights are stored in another way: get both files again."
        )
    numbers = np.frombuffer(content, "<f2", math.prod(form.shape), _TAG).reshape(form.shape)
    weight = torch.from_numpy(numbers.astype(np.float16))  # astype copies, into the byte order of this computer
    if not form.has_bias:
        return Convolution(name=form.name, weight=weight, bias=None)
    bias = np.frombuffer(content, "<f4", form.shape[0], _TAG + form.weight_bytes)
    return Convolution(name=form.name, weight=weight, bias=torch.from_numpy(bias.astype(np.float32)))
