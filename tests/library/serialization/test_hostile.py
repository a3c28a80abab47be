"""Files made by an attacker: ``minicnn.load`` runs nothing, and any bytes whatever end soon."""

from __future__ import annotations

import os
import pickle
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
from tests.library.support.hostile import FLOAT64, HUGE, NUMPY, RAW, RECORDS, refused, refused_body
from tests.library.support.pickle_bytes import (
    call,
    dictionary,
    integer,
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
