"""The reader of ncnn's files, against files written here by its published layout, whole and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from sr_course.data.catalog import load_catalog
from sr_course.data.fetch import is_here, path_of
from sr_course.data.ncnn import read_convolutions
from sr_course.errors import DataError
from sr_course.models.esrgan import RRDBNet
from tests.conftest import original_weights

HALF = 0x01306B47


class Model:
    """Two convolutions in a row, the second without biases and with an odd number of weights."""

    def __init__(self, folder: Path) -> None:
        self.param, self.bin = folder / "tiny.param", folder / "tiny.bin"
        rng = np.random.default_rng(0)
        self.weights = [
            rng.standard_normal((4, 3, 2, 3)).astype(np.float16),
            rng.standard_normal((1, 1, 3, 3)).astype(np.float16),
        ]
        self.bias = rng.standard_normal(4).astype(np.float32)
        self.lines = [
            "7767517",
            "4 4",
            "Input            in      0 1 data",
            "Convolution      first   1 1 data a 0=4 1=3 11=2 4=1 5=1 6=72 9=2 -23310=1,2.000000e-01",
            "Interp           larger  1 1 a b 0=1 1=2.000000e+00 2=2.000000e+00",
            "Convolution      second  1 1 b out 0=1 1=3 4=1 6=9",
        ]
        self.content = b"".join([
            struct.pack("<I", HALF), self.weights[0].astype("<f2").tobytes(), self.bias.astype("<f4").tobytes(),
            struct.pack("<I", HALF), self.weights[1].astype("<f2").tobytes(), b"\0\0",  # 18 bytes, filled up to 20
        ])  # fmt: skip
        self.write()

    def write(self) -> None:
        self.param.write_text("\n".join(self.lines) + "\n", encoding="ascii")
        self.bin.write_bytes(self.content)

    def refused(self, match: str) -> None:
        with pytest.raises(DataError, match=match):
            read_convolutions(self.param, self.bin)


@pytest.fixture
def model(tmp_path) -> Model:
    return Model(tmp_path)


def same_bits(one: Tensor, other: Tensor) -> bool:
    kind = {torch.float16: torch.int16, torch.float32: torch.int32}[one.dtype]
    return one.dtype == other.dtype and torch.equal(one.view(kind), other.view(kind))


def test_all_convolutions_in_their_order(model):
    first, second = read_convolutions(model.param, model.bin)
    assert (first.name, second.name) == ("first", "second")
    assert same_bits(first.weight, torch.from_numpy(model.weights[0]))
    assert same_bits(first.bias, torch.from_numpy(model.bias))
    assert same_bits(second.weight, torch.from_numpy(model.weights[1]))
    assert second.bias is None


def test_the_result_may_be_changed(model):
    first, _ = read_convolutions(model.param, model.bin)
    first.weight.zero_()  # the file's bytes are read-only; the tensors are copies


# Real-ESRGAN's own files, where they were fetched.


def test_x4plus_is_what_another_reader_found():
    entry = load_catalog()["realesrgan-x4plus"]
    if not is_here(entry):
        pytest.skip("realesrgan-x4plus was not fetched; `sr-course data get realesrgan-x4plus` does it")
    expected = safetensors.torch.load_file(original_weights("realesrgan_x4plus_fp16.safetensors"))
    folder = path_of(entry)
    convolutions = read_convolutions(*(folder / member.name for member in entry.members))
    names = [name.removesuffix(".weight") for name in RRDBNet().state_dict() if name.endswith(".weight")]
    assert len(expected) == 2 * len(names) == 2 * len(convolutions)
    for name, one in zip(names, convolutions, strict=True):
        assert same_bits(one.weight, expected[f"{name}.weight"]), name
        assert same_bits(one.bias.half(), expected[f"{name}.bias"]), name  # that file has its biases in 16 bits too


# Damaged files.


@pytest.mark.parametrize("cut", [1, 2, 30, 171, 172, 188])
def test_weights_cut_short(model, cut):
    """188 bytes in all: 4 + 144 + 16 and 4 + 20."""
    assert len(model.content) == 188
    model.content = model.content[:-cut]
    model.write()
    model.refused(rf"tiny\.bin: holds {188 - cut} bytes where tiny\.param calls for 188\. It is damaged")


def test_weights_with_more_behind_them(model):
    model.content += b"\0\0\0\0"
    model.write()
    model.refused("holds 192 bytes where tiny.param calls for 188")


@pytest.mark.parametrize(("at", "tag", "names"), [
    (0, 0x000D4B38, "first stands 0x000d4b38"),  # 8 bits
    (0, 0, "first stands 0x00000000"),  # 32 bits
    (164, HALF ^ 1, "second stands 0x01306b46"),
])  # fmt: skip
def test_other_tags(model, at, tag, names):
    model.content = model.content[:at] + struct.pack("<I", tag) + model.content[at + 4 :]
    model.write()
    model.refused(f"before the weights of {names}, not 0x01306b47, which says 16 bits")


@pytest.mark.parametrize(("line", "text", "says"), [
    (0, "7767518", "does not begin with 7767517"),
    (1, "5 5", "states 5 layers and holds 4"),
    (1, "", "states no number of layers and holds 4"),
    (2, "LSTM in 0 1 data", "line 3: LSTM is a kind of layer that is not known"),
    (2, "Input", "line 3: is no layer"),
    (2, "Input in -1 1 data", "line 3: is no layer"),
    (3, "Convolution first 1 1 data a 0=4 1=3 11=2 5=1 6=71", "line 4: first has 71 weights, .* 4 kernels of 3x2"),
    (3, "Convolution first 1 1 data a 1=3 11=2 5=1 6=72", "line 4: first has 72 weights, .* 0 kernels"),
    (3, "Convolution first 1 1 data a 0=-4 1=3 11=2 5=1 6=72", "line 4: first has 72 weights, .* -4 kernels"),
    (3, "Convolution first 1 1 data a 0=4 1=3 11=2 5=1 6=72 8=1", "line 4: first has weights of 8 bits"),
    (3, "Convolution first 1 1 data a 0=many", "line 4: invalid literal"),
    (3, "Convolution first 1 1 data a nonsense", "line 4: invalid literal"),
    (3, "Convolution first 1 999999999999999999999 data a 0=4", "line 4: first has 0 weights"),
    (3, "Convolution first 1 1 data a 0=1 1=1 6=" + "9" * 30, "calls for 2,000,000,"),  # nothing is made of that size
    (3, "Convolution first 1 1 data a 0=1 1=1 6=" + "9" * 5000, "line 4: Exceeds the limit"),
])  # fmt: skip
def test_text_that_is_amiss(model, line, text, says):
    model.lines[line] = text
    model.write()
    model.refused(says)


def test_text_cut_short(model):
    whole = model.param.read_bytes()
    for length in range(len(whole) - 1):  # the last byte ends a line
        model.param.write_bytes(whole[:length])
        model.refused("tiny")


def test_files_exchanged(model):
    with pytest.raises(DataError, match=r"tiny\.bin: is no text.*exchanged"):
        read_convolutions(model.bin, model.param)
    model.param.write_bytes(b"7" * (17 << 20))
    model.refused(r"tiny\.param: is too long .*exchanged")


def test_a_file_that_is_missing(model):
    model.bin.unlink()
    model.refused(r"tiny\.bin: cannot be read \(No such file")
    model.param.unlink()
    model.refused(r"tiny\.param: cannot be read \(No such file")
