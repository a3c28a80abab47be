"""``.safetensors`` files: the library's and hostile ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minicnn
from minicnn.errors import FileFormatError
from tests.library.support.weights_files import write_safetensors


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
