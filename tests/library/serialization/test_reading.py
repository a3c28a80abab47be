"""``minicnn.load``: the content decides which format it is, and what is no file of weights is one clear line."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import load_state_dict, npz_file
from tests.library.support.weights_files import SUFFIXES


@pytest.fixture
def state() -> dict[str, minicnn.Tensor]:
    rng = np.random.default_rng(0)
    return {f"layer{i}.weight": minicnn.Tensor(rng.standard_normal((i + 1, 3))) for i in range(4)}


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
