"""What crosses between grader and worker: all that answers are made of comes back, nothing else goes or comes."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.course import wire
from minicnn.course.wire import WireError, receive, send

arrays = hnp.arrays(
    st.sampled_from(["f4", "f8", "i8", "u1", "?", ">f4"]), hnp.array_shapes(min_dims=0, min_side=0, max_side=3)
)
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), arrays)
keys = st.one_of(st.text(), st.integers())
values = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.lists(parts), st.lists(parts).map(tuple), st.dictionaries(keys, parts), st.just(np.float32(0.1))
    ),
    max_leaves=8,
)


def there_and_back(value):
    stream = io.BytesIO()
    send(stream, value)
    stream.seek(0)
    return receive(stream)


def alike(one, other) -> bool:
    """Equal in type, value, dtype and shape, NaN like NaN."""
    if isinstance(one, (np.ndarray, np.generic)):
        return type(one) is type(other) and one.dtype == other.dtype and one.shape == other.shape and (
            np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
        )  # fmt: skip
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[key], other[key]) for key in one)
    return type(one) is type(other) and (one == other or one != one)


@given(values)
def test_what_answers_are_made_of_comes_back_as_it_went(value):
    assert alike(value, there_and_back(value))


def test_arrays_of_every_layout_come_as_copies_of_their_own():
    array = np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1)[::-1, :, 1:]
    got = there_and_back({"a": array, "b": array})
    np.testing.assert_array_equal(got["a"], array)
    got["a"][...] = 0
    assert got["b"].any() and got["a"].flags.writeable


@pytest.mark.parametrize("value", [object(), print, {1, 2}, b"bytes", np.array([None]), np.array([1j]), 1j, range(3)])
def test_nothing_else_is_sent(value):
    with pytest.raises(WireError, match="expected numbers, strings, arrays, or lists of them, got"):
        send(io.BytesIO(), {"answer": [value]})


def test_what_is_too_large_or_too_deep_is_not_sent(monkeypatch):
    monkeypatch.setattr(wire, "LARGEST", 1000)
    with pytest.raises(WireError, match="expected at most"):
        send(io.BytesIO(), np.zeros(1000))
    deep: list = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(WireError, match="lists in lists"):
        send(io.BytesIO(), deep)


def message(header: object, body: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(struct.pack("<II", len(text) + len(body), len(text)) + text + body)


@pytest.mark.parametrize(
    "stream",
    [
        message(b"\xff\xfe"),
        message(b"[" * 100_000),
        message(b"1 2"),
        message({"array": ["|O", [1]]}, bytes(8)),
        message({"array": ["<f8", [10**9]]}, bytes(8)),
        message({"array": ["<f8", [-1]]}, bytes(8)),
        message({"array": ["<f8", [True]]}, bytes(8)),
        message({"array": ["<f8", [1.0]]}, bytes(8)),
        message({"array": ["<f8,<f8", [1]]}, bytes(16)),
        message({"array": "f8"}),
        message({"number": ["|O", 1]}),
        message({"dict": [[{"dict": []}, 1]]}),
        message({"dict": [1]}),
        message({"os.system": "true"}),
        message({}),
        message({"tuple": 3}),
        message(1, b"more"),
        message(pickle.dumps(np.zeros(3))),
        io.BytesIO(struct.pack("<II", 2**32 - 1, 5)),
        io.BytesIO(struct.pack("<II", 5, 6) + bytes(11)),
    ],
)
def test_bytes_that_are_no_message_are_refused(stream):
    with pytest.raises(WireError):
        receive(stream)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data):
    with contextlib.suppress(WireError, EOFError):
        receive(io.BytesIO(data))


def test_a_stream_that_ends_says_so():
    for length in range(8 + 3):
        with pytest.raises(EOFError):
            receive(io.BytesIO(message("abc").getvalue()[:length]))
