"""The two kinds of CIFAR files: what is in them comes out, and whatever else is in them is one error."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.data import DataError
from minicnn.data.cifar_files import Labels, mapped, parse_pickle, parse_records
from tests.library.support.published_files import python2_batch

TEN = Labels("CIFAR-10", classes=10, record_bytes=1, key="labels")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
FLAT = IMAGES.reshape(4, -1)


def parsed(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    return parse_pickle(np.frombuffer(content, np.uint8), "a/batch", TEN)


@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_what_python_2_wrote_comes_back(labels: list[int], seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    content = python2_batch(images, np.array(labels))
    assert pickle.loads(content, encoding="latin1")["labels"] == labels  # Python reads the same
    found, numbers = parsed(content)
    np.testing.assert_array_equal(found, images)
    assert numbers.dtype == np.int64 and numbers.tolist() == labels


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("key", [str, str.encode])
@pytest.mark.parametrize("labels", [[3, 1, 0, 9], np.array([3, 1, 0, 9])])
def test_what_python_3_wrote_again_comes_back(protocol: int, key: Any, labels: Any) -> None:
    found, numbers = parsed(pickle.dumps({key("data"): FLAT, key("labels"): labels}, protocol))
    np.testing.assert_array_equal(found, IMAGES)
    assert numbers.tolist() == [3, 1, 0, 9]


WRONG = {
    "no dictionary": ([1, 2], "'data' in its pickle is not an array"),
    "no data": ({"labels": [0] * 4}, "'data' in its pickle"),
    "data of another type": ({"data": FLAT.astype("f8"), "labels": [0] * 4}, "'data' in its pickle"),
    "data of another width": ({"data": FLAT[:, 1:].copy(), "labels": [0] * 4}, "'data' in its pickle"),
    "one number": ({"data": np.array(3, np.uint8), "labels": [0]}, "'data' in its pickle"),
    "no labels": ({"data": FLAT}, "'labels' in its pickle is not a list of 4 labels"),
    "too few labels": ({"data": FLAT, "labels": [1, 2, 3]}, "not a list of 4 labels"),
    "labels of text": ({"data": FLAT, "labels": list("abcd")}, "not a list of 4 labels"),
    "huge labels": ({"data": FLAT, "labels": [10**30] * 4}, "not a list of 4 labels"),
    "a label of 10": ({"data": FLAT, "labels": [0, 1, 10, 2]}, "record 2 has label 10, expected 0 to 9"),
    "a negative label": ({"data": FLAT, "labels": np.array([0, -1, 1, 2])}, "record 1 has label -1"),
    "nothing": ({"data": FLAT[:0], "labels": []}, "no image"),
    "CIFAR-100": ({"data": FLAT, "fine_labels": [0] * 4}, "'labels'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_pickles_are_refused(case: str) -> None:
    content, message = WRONG[case]
    with pytest.raises(DataError, match=message) as error:
        parsed(pickle.dumps(content, 4))
    assert "'a/batch'" in str(error.value) and "\n" not in str(error.value)


class Runs:
    """Calls ``os.system`` when Python reads its pickle."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_runs_nothing(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "ran"
    batch = {"data": FLAT, "labels": [0] * 4, "filenames": Runs(marker)}
    with pytest.raises(DataError, match=r"'a/batch' is not a CIFAR-10 file.*refused.*system.*nothing was run") as error:
        parsed(pickle.dumps(batch, protocol))
    assert not marker.exists() and "weights" not in str(error.value)


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_batches_are_an_error_or_right(data: st.DataObject) -> None:
    """Bytes changed, cut off and put in anywhere but in the pixels."""
    content = bytearray(python2_batch(IMAGES[:1], np.array([7])))
    where = data.draw(st.one_of(st.integers(0, 250), st.integers(len(content) - 60, len(content) - 1)))
    match data.draw(st.sampled_from(["change", "cut", "put in"])):
        case "change":
            content[where] = data.draw(st.integers(0, 255))
        case "cut":
            del content[where:]
        case _:
            content[where:where] = data.draw(st.binary(max_size=8))
    try:
        images, labels = parsed(bytes(content))
    except DataError as error:
        assert "a/batch" in str(error) and "\n" not in str(error)
    else:
        assert images.shape[1:] == (3, 32, 32) and images.dtype == np.uint8
        assert labels.shape == images.shape[:1] and (labels >= 0).all() and (labels < 10).all()


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(content: bytes) -> None:
    for parse in (parse_pickle, parse_records):
        with pytest.raises(DataError, match="batch"):
            parse(np.frombuffer(content, np.uint8), "a/batch", TEN)


def test_records_are_views_of_the_file(tmp_path: Path) -> None:
    records = np.concatenate([np.arange(4, dtype=np.uint8)[:, None], FLAT], axis=1)
    (tmp_path / "batch.bin").write_bytes(records.tobytes())
    content = mapped(tmp_path / "batch.bin")
    images, labels = parse_records(content, "batch.bin", TEN)
    np.testing.assert_array_equal(images, IMAGES)
    assert labels.tolist() == [0, 1, 2, 3] and np.shares_memory(images, content)


def test_what_cannot_be_mapped_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert mapped(tmp_path / "empty").size == 0
    for path, message in ((tmp_path, "not a regular file"), (tmp_path / "none", "No such file")):
        with pytest.raises(DataError, match=message):
            mapped(path)
