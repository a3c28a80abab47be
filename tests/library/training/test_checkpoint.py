"""A training's state in one file: all of it comes back, and whatever is damaged is one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicnn
from minicnn.errors import FileFormatError
from minicnn.serialization.writing import WRITERS
from minicnn.training import load_checkpoint, save_checkpoint

ARRAYS = st.builds(
    lambda dtype, shape, seed: (100 * np.random.default_rng(seed).normal(size=shape)).astype(dtype),
    st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]),
    st.sampled_from([(), (0,), (3,), (2, 3)]),
    st.integers(0, 100),
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()

TREES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="/\\", codec="ascii"), max_size=5), inner, max_size=3
        )
        | st.dictionaries(st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value, type and dtype, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(tree=st.dictionaries(st.sampled_from(["a", "meta", "state"]), TREES, max_size=3))
def test_a_checkpoint_gives_back_what_was_saved(tree: dict[str, Any], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.npz"
    save_checkpoint(path, tree)
    assert same(load_checkpoint(path), tree)


def test_a_checkpoint_keeps_tensors_and_numpy_scalars(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", {"t": minicnn.arange(4), "n": np.float64(0.1), 3: float("inf")})
    state = load_checkpoint(tmp_path / "c.npz")
    assert isinstance(state["t"], minicnn.Tensor)
    assert state["t"].numpy().tolist() == [0, 1, 2, 3]
    assert (state["n"], state[3]) == (0.1, float("inf"))


@pytest.mark.parametrize("state", [{"a": object()}, {"a": {1.5: 0}}, {"a": {1: np.ones(1), "1": np.ones(1)}}])
def test_what_a_checkpoint_cannot_hold_is_refused_and_the_old_one_stays(state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"epoch": 1})
    with pytest.raises(TypeError, match="checkpoint"):
        save_checkpoint(path, state)
    assert load_checkpoint(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]


def test_a_write_that_fails_half_way_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"epoch": 1})

    def half_a_write(arrays: Any, temporary: str, metadata: Any) -> None:
        Path(temporary).write_bytes(b"PK\x03\x04 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(WRITERS, ".npz", half_a_write)
    with pytest.raises(OSError, match=r"No space left on device: .*c\.npz"):
        save_checkpoint(path, {"epoch": 2})
    assert load_checkpoint(path) == {"epoch": 1}


def test_a_truncated_checkpoint_is_one_clear_error_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"w": np.arange(100.0), "epoch": 3})
    whole = path.read_bytes()
    for size in {0, 1, 3, 10, *range(0, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(FileFormatError, match=r"c\.npz"):
            load_checkpoint(path)


def test_a_flipped_bit_in_the_weights_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    weights = np.arange(100.0)
    save_checkpoint(path, {"w": weights})
    content = bytearray(path.read_bytes())
    content[content.index(weights.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="damaged"):
        load_checkpoint(path)


def test_a_foreign_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    np.savez(path, weight=np.ones(3))
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        load_checkpoint(path)
    np.save(tmp_path / "c.npy", np.ones(3))
    with pytest.raises(FileFormatError, match="a single NumPy array"):
        load_checkpoint(tmp_path / "c.npy")
    meta = json.dumps({"format": "minicnn checkpoint 99", "state": None})
    np.savez(path, meta=np.frombuffer(meta.encode(), np.uint8))
    with pytest.raises(FileFormatError, match="another format.*99"):
        load_checkpoint(path)
