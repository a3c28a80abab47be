"""Files made by an attacker: ``minicnn.load`` runs nothing, reads nothing out of bounds, and ends soon.

Every attack must end in a ``FileFormatError`` of one line. Those that run code are first shown to work on
Python's own pickle, so that a harmless payload cannot pass for a refused one.
"""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import numpy_pickle, pickle_machine, torch_pickle
from tests.library.support.pickle_bytes import (
    call,
    dictionary,
    integer,
    legacy_storage,
    name,
    program,
    sequence,
    sides,
    storage,
    tensor,
    text,
    write_archive,
    write_legacy,
    write_zip,
)

RAW = np.arange(6, dtype="<f4").tobytes()
RECORDS = {"data/0": RAW}
NUMPY = "numpy._core.multiarray"
FLOAT64 = call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88")


def refused(path: Path, message: str | None = None) -> None:
    """``load`` raises one line that begins with the file's name and matches ``message``."""
    with pytest.raises(FileFormatError, match=message) as caught:
        minicnn.load(path)
    shown = str(caught.value)
    assert shown.startswith(f"{path}: ") and shown.isprintable() and len(shown) < 1000


def refused_body(tmp_path: Path, body: bytes, message: str | None = None) -> None:
    """The same for a pickle in a zip archive beside one storage of six float32."""
    refused(write_zip(tmp_path / "hostile.pth", body, RECORDS), message)


# ---- running code ------------------------------------------------------------------------------------------


class Run:
    """Pickles as the call ``function(*arguments)``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def payloads(marker: Path) -> Iterator[tuple[str, bytes]]:
    """Pickles that make the file ``marker`` when Python reads them, each with what the refusal names."""
    python = f"open({str(marker)!r}, 'w').close()"
    shell, path = text(f"touch {marker}"), text(str(marker))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield r"'(posix|os|nt)\.system'", pickle.dumps(Run(os.system, f"touch {marker}"), protocol)
    yield r"builtins__?\.eval'|__builtin__\.eval'|builtins\.eval'", pickle.dumps(Run(eval, python))
    yield r"builtins\.exec'", pickle.dumps(Run(exec, python))
    yield r"io\.open'", pickle.dumps(Run(open, str(marker), "w"))
    module = call(name("builtins", "__import__"), text("os"))
    attribute = call(name("builtins", "getattr"), module, text("system"))
    yield r"builtins\.getattr'", program(call(attribute, shell))
    yield "instruction INST 'os system'", program(b"(" + shell + b"ios\nsystem\n")
    yield r"'os\.system'", program(b"(" + name("os", "system") + shell + b"o")  # OBJ
    yield r"'io\.FileIO'", program(name("io", "FileIO") + sequence(path, text("w")) + b"R")
    yield (
        r"'os\.path\.os\.system'",
        b"\x80\x04" + text("os") + text("path.os.system") + b"\x93" + sequence(shell) + b"R.",
    )
    yield r"'os\.system'", program(call(name("os", "system"), shell) + b"0}")  # popped again
    yield r"'os\.system'", program(dictionary({"x": b"K\x01", "y": call(name("os", "system"), shell)}))
    yield (
        r"'(os\.system|collections\.OrderedDict)'",
        program(call(name("collections", "OrderedDict")) + dictionary({"x": call(name("os", "system"), shell)}) + b"b"),
    )
    yield r"'functools\.partial'", program(call(call(name("functools", "partial"), name("os", "system"), shell)))


PAYLOAD_COUNT = len(list(payloads(Path("marker"))))


@pytest.mark.parametrize("index", range(PAYLOAD_COUNT))
def test_code_is_refused_and_not_run(tmp_path: Path, index: int) -> None:
    marker = tmp_path / "marker"
    message, payload = list(payloads(marker))[index]
    pickle.loads(payload)
    assert marker.exists(), "the payload itself does not work"
    marker.unlink()

    refused(write_archive(tmp_path / "zip.pth", {"data.pkl": payload, "data/0": RAW}), message)
    for part in ("version", "system", "content", "keys"):
        refused(write_legacy(tmp_path / "legacy.pth", b"}", **{part: payload}), message)
    refused(write_legacy(tmp_path / "legacy.pth", b"}", magic=payload))
    (tmp_path / "plain.pth").write_bytes(payload)
    refused(tmp_path / "plain.pth")
    assert not marker.exists()


def test_objects_in_npz_are_not_built(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    np.savez(tmp_path / "w.npz", x=np.array([Run(os.system, f"touch {marker}")], object))
    with np.load(tmp_path / "w.npz", allow_pickle=True) as file:
        assert file["x"].shape == (1,) and marker.exists(), "the payload itself does not work"
    marker.unlink()
    refused(tmp_path / "w.npz", "holds Python objects")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (name("collections", "OrderedDict") + b")\x81", "instruction NEWOBJ"),
        (name("collections", "OrderedDict") + b")}\x92", "instruction NEWOBJ_EX"),
        (b"(" + name("collections", "OrderedDict") + b"o", "instruction OBJ"),
        (b"(icollections\nOrderedDict\n", "instruction INST"),
        (b"\x82\x01", "instruction EXT1"),
        (b"\x83\x01\x00", "instruction EXT2"),
        (b"\x84\x01\x00\x00\x00", "instruction EXT4"),
        (b"\x97", "instruction NEXT_BUFFER"),
        (b"P0\n", "instruction PERSID"),
        (call(text("OrderedDict")), "calls a str"),
        (call(name("torch", "FloatStorage")), "calls a StorageType"),
        (call(name("torch", "Tensor")), "calls a str"),
        (name("collections", "OrderedDict") + b"]R", "calls a Call"),
        (b"\x80\x04" + integer(1) + text("x") + b"\x93", "name that is not text"),
        (name("torch._utils", "_rebuild_device_tensor_from_numpy"), "asks for"),
        (name("collections", "OrderedDict\x1b[2J\x07"), r"OrderedDict\\x1b"),
        (name("os", "x" * 5000), r"x\.\.\.'"),
    ],
)
def test_no_other_way_to_call(tmp_path: Path, body: bytes, message: str) -> None:
    refused_body(tmp_path, body, message)


@pytest.mark.parametrize(
    "target",
    [
        name("collections", "OrderedDict"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch", "FloatStorage"),
        name("numpy", "ndarray"),
        storage(),
        tensor(storage(), (6,), (1,)),
        b"]",
        b"}",
        text("text"),
    ],
)
@pytest.mark.parametrize("state", [b"}", dictionary({"__class__": text("x")}), sequence(b"N", dictionary({"x": b"N"}))])
def test_inner_state_cannot_be_set(tmp_path: Path, target: bytes, state: bytes) -> None:
    refused_body(tmp_path, target + state + b"b", "sets the inner state")


def test_an_ordered_dictionary_takes_only_its_metadata(tmp_path: Path) -> None:
    made = call(name("collections", "OrderedDict"))
    state = dictionary({"_metadata": made, "items": text("shadow"), "__class__": text("x"), "extra": b"N"})
    loaded = minicnn.load(write_zip(tmp_path / "w.pth", made + state + b"b"))
    assert vars(loaded) == {"_metadata": {}}
    for wrong in (b"]", b"K\x01", sequence(b"N", state), text("x")):
        refused_body(tmp_path, made + wrong + b"b", "unexpected state")
    for argument in (dictionary({"a": b"N"}), text("ab"), sequence(sequence(b"K\x01", b"K\x02")), integer(3)):
        refused_body(tmp_path, call(name("collections", "OrderedDict"), argument), "filled while it is made")


# ---- tensors outside their storage -------------------------------------------------------------------------

HUGE = 1 << 62


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


# ---- what a tensor or array may be rebuilt from ------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        call(name("torch._utils", "_rebuild_tensor_v2")),
        call(name("torch._utils", "_rebuild_tensor_v2"), storage(), b"N", b"N", b"N"),
        call(
            name("torch._utils", "_rebuild_tensor_v3"),
            storage(),
            b"K\x00",
            sides((6,)),
            sides((1,)),
            b"\x89",
            b"}",
            b"N",
        ),
        call(name("torch._utils", "_rebuild_parameter")),
        call(name("torch._tensor", "_rebuild_from_type_v2"), name("torch", "device"), b"N", sequence(text("x")), b"}"),
        call(name("torch._tensor", "_rebuild_from_type_v2"), b"]", b"N", b")", b"}"),
        call(name("torch", "Size"), text("abc")),
        call(name("torch", "Size"), sides((1, -1))),
        call(name("torch", "device"), b"]"),
        call(name("collections", "Counter"), text("abc")),
        call(name("builtins", "set"), text("abc")),
        call(name("builtins", "set"), b"](" + b"]" + b"e"),
        call(name("builtins", "bytearray"), integer(1 << 40)),
        call(name("_codecs", "encode"), text("x"), text("zip")),
        call(name("_codecs", "encode"), text("x"), text("idna")),
        call(name("_codecs", "encode"), text("€"), text("latin1")),
        call(name("numpy", "dtype"), text("O"), b"\x89", b"\x88"),
        call(name("numpy", "dtype"), text("V8"), b"\x89", b"\x88"),
        call(name("numpy", "dtype"), b"](" + sequence(text("a"), text("O")) + b"e"),
        call(name("numpy", "dtype"), text("f8,O")),
        call(name("numpy", "ndarray"), sides((1 << 40,))),
        FLOAT64 + sequence(b"K\x03", text("|"), b"N", b"N", b"N", integer(99), integer(-1), b"K\x3f") + b"b",
        FLOAT64 + sequence(b"K\x04", text("<"), b"N", b"N", b"N", integer(-1), integer(-1), b"K\x00", b"}") + b"b",
        FLOAT64 + b"}b",
        call(name(NUMPY, "scalar"), FLOAT64, b"C\x04abcd"),
        call(name(NUMPY, "scalar"), text("f8"), b"C\x08abcdefgh"),
        call(name(NUMPY, "_frombuffer"), b"C\x08abcdefgh", FLOAT64, sides((2,)), text("C")),
        call(name(NUMPY, "_frombuffer"), b"C\x08abcdefgh", FLOAT64, sides((1,)), text("K")),
        call(name(NUMPY, "_frombuffer"), b"C\x00", FLOAT64, sides((0, HUGE, HUGE)), text("C")),
    ],
)
def test_allowed_functions_get_no_strange_arguments(tmp_path: Path, body: bytes) -> None:
    refused_body(tmp_path, body)


@pytest.mark.parametrize(
    "state",
    [
        sequence(b"K\x01", sides((2,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((-1,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((HUGE, 4)), FLOAT64, b"\x89", b"C\x00"),
        sequence(b"K\x01", sides((0, HUGE, HUGE)), FLOAT64, b"\x89", b"C\x00"),
        sequence(b"K\x01", sides((1,)), FLOAT64, b"]", b"C\x08abcdefgh"),
        sequence(b"K\x01", sides((1,)), FLOAT64, b"\x89", b"](" + b"N" + b"e"),
        sequence(b"K\x01", sides((1,)), text("O"), b"\x89", b"C\x08abcdefgh"),
        sequence(sides((1,)), FLOAT64, b"\x89", b"C\x08abcdefgh"),
        b"}",
        b"N",
    ],
)
def test_numpy_arrays_get_no_strange_state(tmp_path: Path, state: bytes) -> None:
    empty = call(name(NUMPY, "_reconstruct"), name("numpy", "ndarray"), sides((0,)), b"C\x01b")
    good = sequence(b"K\x01", sides((1,)), FLOAT64, b"\x89", b"C\x08" + struct.pack("<d", 2.5))
    assert minicnn.load(write_zip(tmp_path / "w.pth", empty + good + b"b")).tolist() == [2.5]
    refused_body(tmp_path, empty + state + b"b")


def test_numpy_bytes_must_fit_their_shape(tmp_path: Path) -> None:
    for data in (b"C\x00", b"C\x04abcd", b"C\x10abcdefghabcdefgh"):
        refused_body(tmp_path, call(name(NUMPY, "scalar"), FLOAT64, data), "bytes, dtype and shape do not agree")


def test_a_strange_escape_is_no_other_error(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python warns about it, and warnings may be errors
        refused_body(tmp_path, b"S'\\o'\n", "truncated or damaged pickle")


# ---- filling the memory, the stack and the time ------------------------------------------------------------


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


# ---- archives ----------------------------------------------------------------------------------------------


def test_a_record_may_not_be_there_twice(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "w.pth", tensor(storage(), (6,), (1,)), RECORDS)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", program(b"}"))
    refused(path, "two records have the same name")


def test_records_may_not_overlap(tmp_path: Path) -> None:
    """Many directory entries for the same bytes: each would be converted to new memory."""
    path = write_zip(tmp_path / "w.pth", tensor(storage(), (6,), (1,)), RECORDS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/big", bytes(1 << 16))
        entry = archive.getinfo("archive/data/big")
        for index in range(20):
            copy = zipfile.ZipInfo(f"archive/data/copy{index}")
            for field in ("header_offset", "compress_size", "file_size", "CRC", "external_attr"):
                setattr(copy, field, getattr(entry, field))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
        archive._didModify = True  # type: ignore[attr-defined]
    refused(path, "overlap")


def directory_entry(content: bytes, record: bytes) -> int:
    """Where the central directory describes a record."""
    return content.rindex(record) - 46


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (8, struct.pack("<H", 1), "encrypted"),
        (10, struct.pack("<H", 99), "cannot inflate"),
        (10, struct.pack("<H", 8), "cannot inflate"),
        (20, struct.pack("<I", 1 << 30), "longer than the file"),
        (20, struct.pack("<I", 23), "is cut off"),
        (24, struct.pack("<I", 25), "is cut off"),
        (42, struct.pack("<I", 1), "no record where"),
        (42, struct.pack("<I", 1 << 30), "no record where|damaged zip"),
    ],
)
def test_a_lying_directory(tmp_path: Path, field: int, value: bytes, message: str) -> None:
    path = write_zip(tmp_path / "w.pth", tensor(storage(), (6,), (1,)), RECORDS)
    content = bytearray(path.read_bytes())
    start = directory_entry(content, b"archive/data/0") + field
    content[start : start + len(value)] = value
    path.write_bytes(content)
    refused(path, message)


def test_names_in_an_archive_are_keys_and_not_paths(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program(tensor(storage("../../secret"), (6,), (1,))))
        archive.writestr("archive/data/../../secret", RAW)
    (tmp_path / "secret").write_bytes(bytes(24))
    assert minicnn.load(path).tolist() == [0, 1, 2, 3, 4, 5]
    assert sorted(os.listdir(tmp_path)) == ["secret", "w.pth"]


def test_two_roots_are_no_torch_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        for root in ("a", "b"):
            archive.writestr(f"{root}/data.pkl", program(b"}"))
    refused(tmp_path / "w.pth", "zip archive of other things")


# ---- everything at random ----------------------------------------------------------------------------------


def sample(kind: str, path: Path) -> bytes:
    """A valid file with views, a legacy file's or an archive's, in which every part occurs."""
    body = dictionary(
        {
            "a": tensor(storage(), (2, 3), (3, 1)),
            "b": tensor(storage(), (2, 2), (1, 3), 1),
            "half": tensor(storage("1", 4, "HalfStorage"), (4,), (1,)),
            "n": call(name(NUMPY, "scalar"), FLOAT64, b"C\x08abcdefgh"),
            "l": b"](K\x01G?\xf0\x00\x00\x00\x00\x00\x00e",
        }
    )
    if kind == "legacy":
        return write_legacy(path, body, {"0": (6, RAW), "1": (4, bytes(8))}).read_bytes()
    compression = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
    return write_zip(path, body, {"byteorder": b"little", "data/0": RAW, "data/1": bytes(8)}, compression).read_bytes()


def load_or_refuse(path: Path) -> None:
    """The file is refused, or every tensor in it can be read to the last element."""
    try:
        loaded = minicnn.load(path)
    except FileFormatError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return
    for value in loaded.values() if isinstance(loaded, dict) else [loaded]:
        if isinstance(value, minicnn.Tensor):
            value.numpy().astype(object).tolist()


KINDS = ["zip", "deflated", "legacy"]
MORE = 8 * settings.default.max_examples


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w.pth"
    content = sample(kind, path)
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        refused(path)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=MORE)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes(tmp_path_factory: Any, kind: str, edits: list[tuple[float, int]]) -> None:
    path = tmp_path_factory.getbasetemp() / f"flipped-{kind}"
    content = bytearray(sample(kind, path))
    for place, pattern in edits:
        content[int(place * len(content))] ^= pattern
    path.write_bytes(content)
    load_or_refuse(path)


NAMES = sorted({**torch_pickle.CONTAINER_NAMES, **torch_pickle.tensor_calls(np.asarray)})
VALUES = st.sampled_from(
    [
        *(b"N", b"\x88", b"\x89", b"]", b"}", b")", b"\x8f", b"C\x08abcdefgh", b"C\x00"),
        *(integer(value) for value in (0, 1, 6, -1, 255, 1 << 31, 1 << 63, -HUGE)),
        *(text(value) for value in ("", "0", "f8", "<", "C", "latin1", "cpu", "torch.float32", "_metadata", "storage")),
        *(sides(value) for value in ((), (1,), (6,), (2, 3), (3, 1), (0,), (-1,), (HUGE,))),
        *(name(*full.rsplit(".", 1)) for full in NAMES),
        *(storage(), storage("0", 3, "DoubleStorage"), tensor(storage(), (6,), (1,)), FLOAT64),
        call(name(NUMPY, "_reconstruct"), name("numpy", "ndarray"), sides((0,)), b"C\x01b"),
    ]
)


@st.composite
def calls(draw: Any) -> bytes:
    """An allowed name called with arguments that are now and then the right ones."""
    function = name(*draw(st.sampled_from(NAMES)).rsplit(".", 1))
    return call(function, *draw(st.lists(VALUES, max_size=7)))


@settings(max_examples=2 * MORE)
@given(
    target=calls() | VALUES,
    states=st.lists(VALUES | st.lists(VALUES, max_size=8).map(lambda v: sequence(*v)), max_size=2),
)
def test_allowed_functions_with_any_arguments(tmp_path_factory: Any, target: bytes, states: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "calls.pth"
    body = target + b"".join(state + b"b" for state in states)
    load_or_refuse(write_zip(path, body, RECORDS))
    load_or_refuse(write_legacy(path, body, {"0": (6, RAW)}))
    assert np.dtype("f8").isnative and np.dtype("f8").itemsize == 8
    assert set(NAMES) == {*torch_pickle.CONTAINER_NAMES, *torch_pickle.tensor_calls(np.asarray)}


INSTRUCTIONS = st.sampled_from(
    [bytes([code]) for code in b"(0129.NQRab}dst]ul)e\x81\x85\x86\x87\x88\x8f\x90\x91\x92\x93\x94"]
)


@settings(max_examples=2 * MORE)
@given(parts=st.lists(VALUES | INSTRUCTIONS | st.binary(min_size=1, max_size=4), max_size=30))
def test_any_sequence_of_instructions(tmp_path_factory: Any, parts: list[bytes]) -> None:
    path = tmp_path_factory.getbasetemp() / "random.pth"
    load_or_refuse(write_zip(path, b"".join(parts), RECORDS))


@settings(max_examples=MORE)
@given(
    start=st.sampled_from(
        [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x05", b"\x40\0\0\0\0\0\0\0{", b"L119547037146038801333356L\n."]
    ),
    rest=st.binary(max_size=200),
)
def test_any_bytes(tmp_path_factory: Any, start: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(start + rest)
    load_or_refuse(path)


def test_the_table_of_names_is_short_and_known() -> None:
    """Whoever adds a name here has to think about every argument it can be called with."""
    callables = {key for key in NAMES if type(torch_pickle.CONTAINER_NAMES.get(key)) is pickle_machine.Call}
    assert callables == {
        "_codecs.encode",
        "__builtin__.bytearray",
        "__builtin__.bytes",
        "__builtin__.set",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.set",
        "collections.Counter",
        "collections.OrderedDict",
        "numpy.dtype",
        "numpy.ndarray",
        "torch.Size",
        "torch.device",
        "torch.serialization._get_layout",
        *(f"{module}.{function}" for module in numpy_pickle.MODULES for function in numpy_pickle.FUNCTIONS),
    }
