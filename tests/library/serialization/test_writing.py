"""``minicnn.save`` and ``minicnn.load``: round trips, atomic writing, memory mapping, and files of other
kinds."""

from __future__ import annotations

import json
import os
import stat
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import atomic, load_metadata, load_state_dict, npz_file, source, writing

SUFFIXES = (".npz", ".safetensors")
DTYPES = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["layer1.0.conv1.weight", "a/b/c", "../up", "x.npy", "ключ", "data.pkl", "a/data.pkl", "ends/", "\\"]
)


@st.composite
def arrays(draw: Any) -> np.ndarray:
    """Any bits of any supported dtype, in any order of axes and bytes; also empty, zero-dimensional,
    strided."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    bits = rng.integers(0, 256, int(np.prod(shape)) * dtype.itemsize, np.uint8)
    array = (bits % 2 if dtype.kind == "b" else bits).view(dtype).reshape(shape)
    array = array.astype(array.dtype.newbyteorder(draw(st.sampled_from("<>"))))
    array = np.transpose(array, draw(st.permutations(range(array.ndim))))
    return array[..., ::2] if array.ndim and draw(st.booleans()) else array


@pytest.fixture
def state() -> dict[str, minicnn.Tensor]:
    rng = np.random.default_rng(0)
    return {f"layer{i}.weight": minicnn.Tensor(rng.standard_normal((i + 1, 3))) for i in range(4)}


def assert_same_bits(got: minicnn.Tensor, expected: np.ndarray) -> None:
    """Equal shape, dtype and bits, also of NaN; float16 has become float32."""
    if expected.dtype.kind == "f" and expected.dtype.itemsize == 2:
        expected = expected.astype("f4")
    assert isinstance(got, minicnn.Tensor)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype.newbyteorder("=")
    assert got.dtype.isnative
    assert got.numpy().tobytes() == expected.astype(got.dtype).tobytes()


# ---- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mmap", [True, False])
@given(content=st.dictionaries(KEYS, arrays(), max_size=4), as_tensors=st.booleans())
def test_what_was_saved_is_loaded(
    tmp_path_factory: Any, suffix: str, mmap: bool, content: dict[str, np.ndarray], as_tensors: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"round{suffix}"
    native = {key: array.astype(array.dtype.newbyteorder("=")) for key, array in content.items()}
    minicnn.save({key: minicnn.Tensor(array) for key, array in native.items()} if as_tensors else content, path)
    loaded = minicnn.load(path, mmap=mmap)
    assert set(loaded) == set(content)
    for key, array in native.items():
        assert_same_bits(loaded[key], array)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_come_back(tmp_path: Path, suffix: str, state: dict[str, minicnn.Tensor]) -> None:
    metadata = {"model": "resnet20", "classes": "größer\n<"}
    minicnn.save(state, tmp_path / f"with{suffix}", metadata=metadata)
    minicnn.save(state, tmp_path / f"without{suffix}")
    assert load_metadata(tmp_path / f"with{suffix}") == metadata
    assert load_metadata(tmp_path / f"without{suffix}") == {}
    assert set(minicnn.load(tmp_path / f"with{suffix}")) == set(state)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_parameter_is_saved_without_its_gradient(tmp_path: Path, suffix: str) -> None:
    parameter = minicnn.Tensor(np.ones(3), requires_grad=True)
    minicnn.save({"p": parameter}, tmp_path / f"p{suffix}")
    loaded = minicnn.load(tmp_path / f"p{suffix}")["p"]
    assert not loaded.requires_grad and loaded.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_states_give_equal_bytes(tmp_path: Path, suffix: str, state: dict[str, minicnn.Tensor]) -> None:
    first, second = tmp_path / f"1{suffix}", tmp_path / f"2{suffix}"
    minicnn.save(state, first)
    minicnn.save(state, second)
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".npz":  # no clock in it
        assert {entry.date_time for entry in zipfile.ZipFile(first).infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_numpy_reads_our_npz_and_we_read_numpys(tmp_path: Path) -> None:
    content = {"a.b": np.arange(6.0).reshape(2, 3), "c": np.asfortranarray(np.arange(6).reshape(2, 3))}
    minicnn.save(content, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz", allow_pickle=False) as ours:
        assert {key: ours[key].tolist() for key in ours} == {key: array.tolist() for key, array in content.items()}
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "theirs.npz", **content)
        for key, tensor in minicnn.load(tmp_path / "theirs.npz").items():
            assert_same_bits(tensor, content[key])


def test_the_safetensors_library_reads_our_files(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    content = {"a.b": np.arange(6.0).reshape(2, 3).T, "big": np.arange(3, dtype=">i4")}
    minicnn.save(content, tmp_path / "ours.safetensors")
    for key, array in load_file(tmp_path / "ours.safetensors").items():
        assert array.tolist() == content[key].tolist()


def test_safetensors_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3e38, np.inf], np.float32)
    write_safetensors(tmp_path / "b", {"x": ("BF16", (2, 2), (values.view("u4") >> 16).astype("u2").tobytes())})
    loaded = minicnn.load(tmp_path / "b")["x"]
    assert loaded.dtype == minicnn.float32
    np.testing.assert_allclose(loaded.numpy().reshape(-1), values, rtol=2**-7)


# ---- writing is all or nothing -----------------------------------------------------------------------------


@pytest.fixture(params=SUFFIXES)
def target(request: Any, tmp_path: Path) -> Path:
    """A file that exists already and is not to be lost."""
    path = tmp_path / f"weights{request.param}"
    minicnn.save({"old": np.arange(3)}, path)
    path.chmod(0o640)
    return path


def assert_untouched(path: Path) -> None:
    assert minicnn.load(path)["old"].tolist() == [0, 1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failing_disk_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        minicnn.save({"new": np.zeros(9)}, target)
    monkeypatch.undo()
    assert_untouched(target)


def test_a_failing_writer_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(arrays: Any, path: str, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(writing.WRITERS, target.suffix, write_half)
    with pytest.raises(KeyboardInterrupt):
        minicnn.save({"new": np.zeros(9)}, target)
    assert_untouched(target)


def test_a_bad_value_leaves_the_old_file(target: Path) -> None:
    with pytest.raises(TypeError, match="'bad'"):
        minicnn.save({"new": np.zeros(9), "bad": object()}, target)
    assert_untouched(target)


def test_the_bytes_are_on_the_disk_before_the_name_is(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for step in ("fsync", "replace"):
        original = getattr(os, step)
        monkeypatch.setattr(atomic.os, step, lambda *a, s=step, o=original: (steps.append(s), o(*a))[1])
    minicnn.save({"new": np.zeros(9)}, target)
    assert steps[:2] == ["fsync", "replace"]


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_obeys_the_umask(target: Path) -> None:
    minicnn.save({"new": np.zeros(9)}, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    previous = os.umask(0o027)
    try:
        fresh = target.with_name(f"fresh{target.suffix}")
        minicnn.save({"new": np.zeros(9)}, fresh)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(target: Path) -> None:
    link = target.with_name(f"link{target.suffix}")
    link.symlink_to(target.name)
    minicnn.save({"new": np.zeros(2)}, link)
    assert link.is_symlink()
    assert list(minicnn.load(target)) == ["new"]


def test_tensors_survive_the_replacement_of_their_file(target: Path) -> None:
    loaded = minicnn.load(target)["old"]
    minicnn.save({"old": np.full(3, 7)}, target)
    assert loaded.tolist() == [0, 1, 2]


# ---- what save refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w", "w.npz.bak", "w.pkl"])
def test_save_knows_two_suffixes(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends in .*safetensors"):
        minicnn.save({}, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_save_explains_that_it_takes_a_state_dict(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"got Linear; pass its \.state_dict\(\)"):
        minicnn.save(minicnn.nn.Linear(2, 2), tmp_path / "w.npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([1, 2], TypeError, "got list"),
        ({1: np.zeros(1)}, TypeError, "got 1, a int"),
        ({"a": 1.5}, TypeError, "under 'a', got float"),
        ({"a": {"b": np.zeros(1)}}, TypeError, "under 'a', got dict"),
        ({"a": np.array(["x"])}, TypeError, "dtype is <U1"),
        ({"a": np.array([None])}, TypeError, "dtype is object"),
        ({"a": np.zeros(1, complex)}, TypeError, "dtype is complex128"),
        ({"a\0b": np.zeros(1)}, ValueError, "no NUL"),
        ({"\ud800": np.zeros(1)}, ValueError, "not valid Unicode"),
        ({"x" * 70_000: np.zeros(1)}, ValueError, "at most"),
    ],
)
def test_save_names_what_it_cannot_store(
    tmp_path: Path, suffix: str, content: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        minicnn.save(content, tmp_path / f"w{suffix}")
    assert os.listdir(tmp_path) == []


def test_save_refuses_metadata_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="text to text"):
        minicnn.save({}, tmp_path / "w.npz", metadata={"epoch": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="has room for"):
        minicnn.save({}, tmp_path / "w.npz", metadata={"log": "x" * 70_000})
    with pytest.raises(ValueError, match="reserved"):
        minicnn.save({"__metadata__": np.zeros(1)}, tmp_path / "w.safetensors")
    assert os.listdir(tmp_path) == []


# ---- memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_writing_into_a_loaded_tensor_leaves_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    minicnn.save({"x": np.arange(4.0)}, path)
    before = path.read_bytes()
    loaded = minicnn.load(path)["x"]
    loaded.numpy()[:] = -1
    assert loaded.tolist() == [-1.0] * 4
    assert path.read_bytes() == before
    assert minicnn.load(path)["x"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_mapped_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "big"
    size = 64 << 20
    write_safetensors(path, {"x": ("F32", (size // 4,), b"")})
    os.truncate(path, path.stat().st_size + size)  # a hole, so that the test writes nothing
    peaks = {}
    for mmap in (True, False):
        tracemalloc.start()
        loaded = minicnn.load(path, mmap=mmap)
        peaks[mmap] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert loaded["x"].shape == (size // 4,)
    assert peaks[True] < size / 100
    assert size <= peaks[False] < 1.1 * size


# ---- which file is it --------------------------------------------------------------------------------------


def write_safetensors(path: Path, tensors: dict[str, tuple[str, tuple[int, ...], bytes]], header: Any = None) -> Path:
    """A ``.safetensors`` file by hand: key -> dtype, shape, bytes (none: the file is to be extended)."""
    begin, entries = 0, {}
    for key, (dtype, shape, data) in tensors.items():
        end = begin + (len(data) or 4 * int(np.prod(shape)))
        entries[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    encoded = header if header is not None else json.dumps(entries).encode()
    encoded += b" " * (-len(encoded) % 8)  # aligned, as the library writes them
    raw = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + raw)
    return path


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        minicnn.save({"x": np.arange(2)}, tmp_path / f"w{suffix}")
        (tmp_path / f"w{suffix}").rename(tmp_path / "weights.pth")
        assert minicnn.load(tmp_path / "weights.pth")["x"].tolist() == [0, 1]


FOREIGN = {
    "empty": (b"", "is empty"),
    "html": (b"\n\n<!DOCTYPE html><html>404</html>", "web page"),
    "bom html": (b"\xef\xbb\xbf <HTML>", "web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
    "text": (b"hello, this is no model", "begins with b'hello, this is n'"),
    "json": (b'{"a": 1}', "begins with"),
    "zeros": (bytes(100), "begins with"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(50), "single NumPy array"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "gzip"),
    "tar": (b"sys_info".ljust(257, b"\0") + b"ustar\x0000" + bytes(300), "tar archive"),
    "one byte": (b"P", "begins with"),
    "zip start": (b"PK\x03\x04", "truncated or damaged zip"),
    "pickle": (b"\x80\x04]\x94.", "torch.save did not write"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    content, message = FOREIGN[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    for read in (minicnn.load, load_state_dict):
        with pytest.raises(FileFormatError, match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        minicnn.load(tmp_path / "missing.pth")
    with pytest.raises(FileFormatError, match="folder"):
        minicnn.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    with pytest.raises(FileFormatError, match="pipe or a device"):
        minicnn.load(tmp_path / "pipe")


def test_too_little_memory_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> None:
        raise MemoryError

    minicnn.save({"x": np.arange(2)}, tmp_path / "w.npz")
    monkeypatch.setattr(npz_file, "decode", exhausted)
    with pytest.raises(FileFormatError, match=r"w\.npz: needs more memory"):
        minicnn.load(tmp_path / "w.npz")


def test_another_zip_archive_is_no_weights(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(FileFormatError, match="zip archive of other things"):
        minicnn.load(tmp_path / "w.npz")


def test_arguments_that_pytorch_users_pass(tmp_path: Path) -> None:
    minicnn.save({"x": np.arange(2)}, tmp_path / "w.npz")
    assert minicnn.load(tmp_path / "w.npz", map_location="cpu", weights_only=True)["x"].device.type == "cpu"
    with pytest.raises(ValueError, match="never does"):
        minicnn.load(tmp_path / "w.npz", weights_only=False)
    with pytest.raises(ValueError, match="expected a device"):
        minicnn.load(tmp_path / "w.npz", map_location="toaster")


# ---- damaged .npz and .safetensors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}, None]), "Python objects"),
        (np.array(["text"]), "str128, not numbers"),
        (np.zeros(2, complex), "complex128, not numbers"),
        (np.zeros(2, "M8[s]"), "datetime64.*, not numbers"),
        (np.zeros(2, [("a", "f4")]), "not numbers"),
    ],
)
def test_npz_holds_numbers_only(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "w.npz", good=np.zeros(2), bad=array)
    with pytest.raises(FileFormatError, match=rf"'bad.npy' holds .*{message}|'bad.npy' holds {message}"):
        minicnn.load(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "shape",
    [
        "(2,)",
        "(4,)",
        "(-3,)",
        "(-1, -3)",
        "(3, 0)",
        f"({2**62}, {2**62})",
        f"(0, {2**62}, {2**62})",
        "(" + "1," * 70 + ")",
    ],
)
def test_npz_shapes_must_fit_the_bytes(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("x.npy", content + (bytes(12) if "0," not in shape else b""))
    with pytest.raises(FileFormatError, match="do not fit"):
        minicnn.load(tmp_path / "w.npz")


def test_npz_notices_a_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    minicnn.save({"x": np.full(100, 1.5)}, path)
    content = bytearray(path.read_bytes())
    content[content.index(np.float64(1.5).tobytes()) + 80] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"'x\.npy' does not match its checksum"):
        minicnn.load(path)


def test_archives_may_not_inflate_without_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "w.npz", a=np.zeros(10_000), b=np.zeros(10_000))
    assert minicnn.load(tmp_path / "w.npz")["b"].shape == (10_000,)
    monkeypatch.setattr(source, "MAX_INFLATED_BYTES", 100_000)  # one of them fits
    with pytest.raises(FileFormatError, match="would inflate to more than"):
        minicnn.load(tmp_path / "w.npz")


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b'{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
        b'{"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}',
        b'{"x":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}',
        b'{"x":' * 10_000,
        b'{"x"\xff',
        b'{"x":1}',
    ],
)
def test_a_hostile_safetensors_header_is_refused(tmp_path: Path, header: bytes) -> None:
    path = write_safetensors(tmp_path / "w", {"x": ("F32", (2,), bytes(8))}, header=header)
    with pytest.raises(FileFormatError, match="truncated or damaged safetensors|supported are") as caught:
        minicnn.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_noticed(tmp_path: Path, suffix: str, state: dict[str, minicnn.Tensor]) -> None:
    minicnn.save(state, tmp_path / f"w{suffix}")
    content = (tmp_path / f"w{suffix}").read_bytes()
    cut = tmp_path / "cut"
    for length in range(0, len(content), 7):
        cut.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            minicnn.load(cut)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=5 * settings.default.max_examples)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_an_error_or_tensors(
    tmp_path_factory: Any, suffix: str, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"flipped{suffix}"
    minicnn.save({"a.b": np.arange(5.0), "c": np.ones((2, 2), np.int8)}, path)
    content = bytearray(path.read_bytes())
    for place, pattern in flips:
        content[int(place * len(content))] ^= pattern
    path.write_bytes(content)
    try:
        loaded = minicnn.load(path)
    except FileFormatError as error:
        assert "\n" not in str(error)
    else:
        assert all(np.isfinite(tensor.numpy().size) for tensor in loaded.values())
