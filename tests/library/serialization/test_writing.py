"""``minicnn.save``: round trips, what it refuses, and memory."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.serialization import load_metadata
from tests.library.support.weights_files import SUFFIXES, arrays, assert_same_bits, write_safetensors

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["layer1.0.conv1.weight", "a/b/c", "../up", "x.npy", "ключ", "data.pkl", "a/data.pkl", "ends/", "\\"]
)


@pytest.fixture
def state() -> dict[str, minicnn.Tensor]:
    rng = np.random.default_rng(0)
    return {f"layer{i}.weight": minicnn.Tensor(rng.standard_normal((i + 1, 3))) for i in range(4)}


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
