"""Archives made by an attacker: records that are there twice, overlap, or lie."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import pytest

import minicnn
from tests.library.support.hostile import RAW, RECORDS, refused
from tests.library.support.pickle_bytes import (
    program,
    storage,
    tensor,
    write_zip,
)


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
        (10, struct.pack("<H", 99), "compressed by method 99; expected stored or deflated"),
        (10, struct.pack("<H", 14), "compressed by method 14; expected stored or deflated"),  # LZMA
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
