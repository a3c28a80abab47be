"""The two kinds of files in which CIFAR-10 and CIFAR-100 are handed out: binary records, and pickles of Python 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import FileFormatError
from ..paths import printable
from ..serialization.plain_pickle import read_plain_pickle
from .errors import DataError

IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32

Samples = tuple[np.ndarray, np.ndarray]  # images (N, 3, 32, 32), uint8, and labels (N,), int64


class Labels(NamedTuple):
    """Where the labels stand: in a record, the last of ``record_bytes`` bytes; in a pickle, under ``key``."""

    title: str
    classes: int
    record_bytes: int
    key: str


def parse_records(content: np.ndarray, file: str, labels: Labels) -> Samples:
    """The images and labels of the binary version, views of ``content`` (bytes, uint8).

    Raises:
        DataError: if the size is not a whole number of records, or a label is out of range.
    """
    record = labels.record_bytes + IMAGE_BYTES
    if content.size == 0 or content.size % record:
        raise DataError(
            f"{file!r} has {content.size} bytes, expected a multiple of {record} (label {labels.record_bytes}, "
            f"pixels {IMAGE_BYTES}): truncated, or not a {labels.title} file"
        )
    records = content.reshape(-1, record)
    numbers = records[:, labels.record_bytes - 1].astype(np.int64)
    _require_classes(numbers, file, labels)
    return records[:, labels.record_bytes :].reshape(-1, *IMAGE_SHAPE), numbers


def parse_pickle(content: np.ndarray, file: str, labels: Labels) -> Samples:
    """The images and labels of the Python version: a dictionary with ``data`` (N, 3072) and a list of labels.

    The pickle is read by a machine that can build arrays, and call nothing.

    Raises:
        DataError: for any other pickle, with what it asked for.
    """
    try:
        batch = read_plain_pickle(content.data)
    except FileFormatError as error:
        raise DataError(f"{file!r} is not a {labels.title} file of the Python version: {error}") from error
    entries = {_text(key): value for key, value in batch.items()} if type(batch) is dict else {}
    images, numbers = entries.get("data"), entries.get(labels.key)
    if type(images) is not np.ndarray or images.dtype != np.uint8 or images.shape[1:] != (IMAGE_BYTES,):
        raise DataError(
            f"{file!r} is not a {labels.title} file: 'data' in its pickle is not an array (N, {IMAGE_BYTES})"
        )
    if type(numbers) is list and all(type(number) is int and -1 < number < 2**31 for number in numbers):
        numbers = np.array(numbers, np.int64)
    if type(numbers) is not np.ndarray or numbers.dtype.kind not in "iu" or numbers.shape != images.shape[:1]:
        raise DataError(f"{file!r}: {labels.key!r} in its pickle is not a list of {len(images)} labels")
    if not len(images):
        raise DataError(f"{file!r} has no image in it")
    numbers = numbers.astype(np.int64)
    _require_classes(numbers, file, labels)
    return images.reshape(-1, *IMAGE_SHAPE), numbers


def _text(key: Any) -> Any:
    return key.decode("latin1") if isinstance(key, bytes) else key


def _require_classes(numbers: np.ndarray, file: str, labels: Labels) -> None:
    wrong = (numbers < 0) | (numbers >= labels.classes)
    if wrong.any():
        where = int(wrong.argmax())
        raise DataError(
            f"{file!r}: record {where} has label {numbers[where]}, expected 0 to {labels.classes - 1}: not a "
            f"{labels.title} file"
        )


def mapped(path: Path) -> np.ndarray:
    """The bytes of a file (N,), uint8, in its own pages.

    Raises:
        DataError: if it cannot be read, or is a folder, a pipe or a device.
    """
    try:
        if path.exists() and not path.is_file():  # opening a pipe would block
            raise DataError(f"{str(path)!r} is not a regular file")
        if path.stat().st_size == 0:
            return np.empty(0, np.uint8)  # cannot be mapped
        return np.memmap(path, np.uint8, "r")
    except OSError as error:
        raise DataError(f"cannot read {printable(repr(str(path)))}: {error.strerror or error}") from error


Parse = Callable[[np.ndarray, str, Labels], Samples]
