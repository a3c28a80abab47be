"""Pickles that would fill the memory, the stack or the time."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import pickle_machine
from tests.library.support.hostile import FLOAT64, HUGE, NUMPY, refused, refused_body
from tests.library.support.pickle_bytes import (
    call,
    integer,
    name,
    sequence,
    sides,
    storage,
    tensor,
    text,
    write_zip,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"8", "truncated or damaged pickle"),  # not an instruction
        (b"\x8d" + struct.pack("<Q", HUGE) + b"x", "truncated or damaged pickle"),
        (b"\x8e" + struct.pack("<Q", HUGE) + b"x", "truncated or damaged pickle"),
        (b"\x96" + struct.pack("<Q", HUGE) + b"x", "truncated or damaged pickle"),
        (b"X\xff\xff\xff\xffx", "truncated or damaged pickle"),
        (b"\x8b\xff\xff\xff\x7fx", "truncated or damaged pickle"),
        (b"\x8b\xff\xff\xff\xffx", "truncated or damaged pickle"),
        (b"I" + b"9" * 100_000 + b"\n", "truncated or damaged pickle"),
        (b"L" + b"9" * 100_000 + b"L\n", "truncated or damaged pickle"),
        (b"Inot a number\n", "truncated or damaged pickle"),
        (b"V\\ud800\\u\n", "truncated or damaged pickle"),
        (b"X\x01\x00\x00\x00\xff", "truncated or damaged pickle"),
        (b"", "takes more from the stack"),
        (b"0", "closes more groups"),
        (b"t", "closes more groups"),
        (b"2", "takes more from the stack"),
        (b"\x87", "takes more from the stack"),
        (b"R", "takes more from the stack"),
        (b"b", "takes more from the stack"),
        (b"Q", "takes more from the stack"),
        (b"h\x07", "has not built"),
        (b"j\xff\xff\xff\xff", "has not built"),
        (b"q\x00", "takes more from the stack"),
        (b"}(K\x01u", "key without a value"),
        (b"(K\x01d", "key without a value"),
        (b")(K\x01e", "puts items into a tuple"),
        (b"}K\x01a", "puts items into a dict"),
        (b"](K\x01K\x02u", "puts items into a list"),
        (b"](K\x01\x90", "puts items into a list"),
        (b"}]K\x01s", "uses a list as a dictionary key"),
        (b"})K\x01s", "uses a tuple as a dictionary key"),
        (b"\x8f(" + tensor(storage(), (6,), (1,)) + b"\x90", "uses a Tensor as a dictionary key"),
        (b"}" + integer(1 << 64) + b"K\x01s", "uses a int as a dictionary key"),
        (b"(]\x91", "uses a list as a dictionary key"),
    ],
)
def test_damaged_pickles(tmp_path: Path, body: bytes, message: str) -> None:
    refused_body(tmp_path, body, message)


def test_a_memo_index_reserves_no_memory(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "w.pth", b"}r\xff\xff\xff\xffr\xff\xff\xff\x7f")
    tracemalloc.start()
    assert minicnn.load(path) == {}
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_nesting_is_no_recursion(tmp_path: Path) -> None:
    depth = 100_000
    nested = minicnn.load(write_zip(tmp_path / "w.pth", b"](" * depth + b"e" * depth))
    for _ in range(depth):
        (nested,) = nested or ([],)
    deep_key = b"}" + b")" + b"\x85" * depth + b"K\x01s"  # hashing it would overflow the C stack
    refused_body(tmp_path, deep_key, "uses a tuple")
    refused_body(tmp_path, b"\x8f(" + b")" + b"\x85" * depth + b"\x90", "uses a tuple")
    types = name("torch._tensor", "_rebuild_from_type_v2")
    inner = b")"
    for _ in range(2000):
        inner = sequence(types, b"N", inner, b"N")
    refused_body(tmp_path, types + inner + b"R", "not a plain tensor")


def test_lists_that_hold_each_other_many_times_stay_small(tmp_path: Path) -> None:
    """A billion laughs: 40 lists, each ten times in the next; and one that holds itself."""
    body = b"]q\x00" + b"".join(
        b"](" + b"h" + bytes([i]) * 1 + (b"h" + bytes([i])) * 9 + b"e" + b"q" + bytes([i + 1]) for i in range(40)
    )
    loaded = minicnn.load(write_zip(tmp_path / "w.pth", body))
    assert len(loaded) == 10
    cycle = minicnn.load(write_zip(tmp_path / "w.pth", b"]q\x00h\x00a"))
    assert cycle[0] is cycle
    with pytest.raises(FileFormatError, match="holds a list"):
        minicnn.serialization.load_state_dict(tmp_path / "w.pth")


def test_copies_are_counted(tmp_path: Path) -> None:
    """Each of these makes a new megabyte for the price of a few bytes."""
    big = "x" * (1 << 20)
    times = 50
    encode = name("_codecs", "encode") + b"h\x00" + text("latin1") + b"\x86R"
    refused_body(tmp_path, text(big) + b"q\x00" + encode * times, "copies the same data over and over")
    blob = b"B" + struct.pack("<I", len(big)) + big.encode() + b"q\x00"
    refused_body(tmp_path, blob + (name("builtins", "bytearray") + b"h\x00\x85R") * times, "copies the same data")
    empty = call(name(NUMPY, "_reconstruct"), name("numpy", "ndarray"), sides((0,)), b"C\x01b")
    state = sequence(b"K\x01", sides((1 << 17,)), FLOAT64, b"\x89", b"h\x00")
    refused_body(tmp_path, blob + (empty + state + b"b") * times, "copies the same data")
    entries = b"}(" + b"".join(integer(i) + b"N" for i in range(50_000)) + b"uq\x00"
    counter = name("collections", "Counter") + b"h\x00\x85R"
    refused_body(tmp_path, entries + counter * 500, "copies the same data")


def test_instructions_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"](" + b"N" * 200 + b"e"
    path = write_zip(tmp_path / "w.pth", body)
    assert len(minicnn.load(path)) == 200
    monkeypatch.setattr(pickle_machine, "MAX_INSTRUCTIONS", 200)
    refused(path, "more than 200 instructions")
