"""``.npz`` files: NumPy's and damaged ones."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization import source
from tests.library.support.weights_files import assert_same_bits


def test_numpy_reads_our_npz_and_we_read_numpys(tmp_path: Path) -> None:
    content = {"a.b": np.arange(6.0).reshape(2, 3), "c": np.asfortranarray(np.arange(6).reshape(2, 3))}
    minicnn.save(content, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz", allow_pickle=False) as ours:
        assert {key: ours[key].tolist() for key in ours} == {key: array.tolist() for key, array in content.items()}
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "theirs.npz", **content)
        for key, tensor in minicnn.load(tmp_path / "theirs.npz").items():
            assert_same_bits(tensor, content[key])


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    pytest.importorskip("ml_dtypes")
    minicnn.save({"a": minicnn.tensor([1.5, -0.25]).bfloat16()}, tmp_path / "short.npz")
    loaded = minicnn.load(tmp_path / "short.npz")["a"]
    assert loaded.dtype == minicnn.float32 and loaded.tolist() == [1.5, -0.25]


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
