"""Tensors stay inside their storage, and storages inside the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import torch_pickle
from tests.library.support.hostile import HUGE, RAW, refused, refused_body
from tests.library.support.pickle_bytes import (
    integer,
    legacy_storage,
    name,
    sequence,
    storage,
    tensor,
    text,
    write_legacy,
    write_zip,
)


@pytest.mark.parametrize(
    ("size", "stride", "offset", "message"),
    [
        ((7,), (1,), 0, "would reach element 6 of a storage with 6"),
        ((6,), (1,), 1, "would reach element 6"),
        ((2,), (6,), 0, "would reach element 6"),
        ((2, 3), (4, 1), 0, "would reach element 6"),
        ((1,), (1,), 6, "would reach element 6"),
        ((), (), 6, "would reach element 6"),
        ((1,), (1,), HUGE, "would reach"),
        ((2,), (HUGE,), 0, "would reach"),
        ((HUGE,), (1,), 0, "would reach"),
        ((3, 2), (HUGE, HUGE), 0, "would reach"),
        ((1 << 64,), (0,), 0, "negative or missing"),
        ((1,), (1,), -1, "negative or missing"),
        ((2,), (-1,), 5, "negative or missing"),
        ((-1,), (1,), 0, "negative or missing"),
        ((-2, -3), (3, 1), 0, "negative or missing"),
        ((6,), (1, 1), 0, "negative or missing"),
        ((6,), (), 0, "negative or missing"),
        ((1,) * 65, (1,) * 65, 0, "negative or missing"),
        ((HUGE,), (0,), 0, "repeats 6 stored elements"),
        ((1 << 20, 1 << 20), (0, 0), 0, "repeats 6 stored elements"),
        ((0, HUGE), (1, 1), 0, "absurd shape"),
    ],
)
def test_tensors_stay_inside_their_storage(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int, message: str
) -> None:
    refused_body(tmp_path, tensor(storage(), size, stride, offset), message)


@given(
    size=st.lists(st.integers(0, 4), max_size=4),
    data=st.data(),
    offset=st.integers(0, 8),
    length=st.integers(0, 24),
)
def test_strided_views_are_what_their_definition_says(size: list[int], data: Any, offset: int, length: int) -> None:
    stride = tuple(data.draw(st.lists(st.integers(0, 5), min_size=len(size), max_size=len(size))))
    elements = np.arange(length)
    indices = [offset + sum(i * s for i, s in zip(index, stride, strict=True)) for index in np.ndindex(*size)]
    if indices and max(indices) >= length:
        with pytest.raises(FileFormatError):
            torch_pickle.strided(elements, offset, tuple(size), stride)
    else:
        view = torch_pickle.strided(elements, offset, tuple(size), stride)
        assert view.shape == tuple(size) and view.reshape(-1).tolist() == indices


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (storage("0", 7), "needs 28 bytes, and the file has 24"),
        (storage("0", 4, "DoubleStorage"), "needs 32 bytes"),
        (storage("0", -1), "without class, key or length"),
        (storage("0", HUGE), "needs"),
        (storage("1"), "is missing"),
        (storage("../data/0"), "is missing"),
        (storage("/etc/passwd"), "is missing"),
        (storage("0\0"), "is missing"),
        (b"NQ", "outside that is not a tensor's storage"),
        (text("0") + b"Q", "outside that is not a tensor's storage"),
        (b")Q", "outside that is not a tensor's storage"),
        (sequence(text("module"), b"N", b"N", b"N", b"N") + b"Q", "outside that is not a tensor's storage"),
        (sequence(text("storage"), text("float"), text("0"), b"N", b"K\x06") + b"Q", "without class, key or length"),
        (sequence(text("storage"), name("torch", "FloatStorage"), b"K\x00", b"N", b"K\x06") + b"Q", "without class"),
        (
            sequence(text("storage"), name("torch.storage", "UntypedStorage"), text("0"), b"N", b"K\x18") + b"Q",
            "untyped storage without a dtype",
        ),
        (text("not a storage"), "a tensor over a str"),
        (b"N", "a tensor over a NoneType"),
    ],
)
def test_storages_stay_inside_the_file(tmp_path: Path, described: bytes, message: str) -> None:
    refused_body(tmp_path, tensor(described, (1,), (1,)), message)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        (legacy_storage(sequence(text("v"), integer(5), integer(2))), r"a view 5\+2 of a storage of 6"),
        (legacy_storage(sequence(text("v"), integer(HUGE), integer(1))), "a view"),
        (legacy_storage(sequence(text("v"), integer(-1), integer(1))), "view of a storage without"),
        (legacy_storage(sequence(text("v"), integer(1))), "not described by three parts"),
        (legacy_storage(b"K\x01"), "not described by three parts"),
        (legacy_storage(b"N", HUGE), "expected a storage of"),
    ],
)
def test_legacy_views_stay_inside_their_storage(tmp_path: Path, described: bytes, message: str) -> None:
    body = tensor(described, (1,), (1,))
    refused(write_legacy(tmp_path / "w.pth", body, {"0": (6, RAW)}), message)
    good = tensor(legacy_storage(sequence(text("v"), integer(4), integer(2))), (2,), (1,))
    assert minicnn.load(write_legacy(tmp_path / "w.pth", good, {"0": (6, RAW)})).tolist() == [4, 5]


def test_a_legacy_storage_described_twice_keeps_its_first_place(tmp_path: Path) -> None:
    """The places come from the first description: a longer second one must not reach beyond them."""
    body = sequence(tensor(legacy_storage(b"N"), (6,), (1,)), tensor(legacy_storage(b"N", 9), (9,), (1,)))
    refused(write_legacy(tmp_path / "w.pth", body, {"0": (6, RAW)}), "needs 36 bytes, and the file has 24")


def test_converted_storages_are_converted_once(tmp_path: Path) -> None:
    """bfloat16 takes new memory; 500 tensors over one storage must not take it 500 times."""
    length = 1 << 16
    body = b"(" + tensor(storage("0", length, "BFloat16Storage"), (length,), (1,)) * 500 + b"t"
    path = write_zip(tmp_path / "w.pth", body, {"data/0": bytes(2 * length)})
    tracemalloc.start()
    loaded = minicnn.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(loaded) == 500 and loaded[0].dtype == minicnn.float32
    assert peak < 40 * length
