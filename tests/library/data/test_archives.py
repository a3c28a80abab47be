"""Archives: the members asked for come out, nothing is written, and a hostile archive ends in one error."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import DataError, archives
from minicnn.data.archives import read_members


def archive(path: Path, *members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.type = len(content) if kind == tarfile.REGTYPE else 0, kind
            entry.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            file.addfile(entry, io.BytesIO(content))
    return path


@given(
    contents=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=3000)), wanted=st.sets(st.sampled_from("abce"))
)
def test_members_asked_for_come_out(tmp_path_factory: pytest.TempPathFactory, contents: dict, wanted: set) -> None:
    path = archive(
        tmp_path_factory.mktemp("a") / "a.tar.gz", *((f"folder/{name}", data) for name, data in contents.items())
    )
    assert read_members(path, wanted) == {name: contents[name] for name in wanted & contents.keys()}


def test_nothing_is_written_outside_or_followed(tmp_path: Path) -> None:
    before = set(tmp_path.parent.rglob("*"))
    path = archive(tmp_path / "a.tar.gz", ("../../train", b"x"), ("/train2", b"y"))
    assert read_members(path, ["train", "train2"]) == {"train": b"x", "train2": b"y"}
    link = archive(tmp_path / "b.tar.gz", ("train", b""), kind=tarfile.SYMTYPE)
    assert read_members(link, ["train"]) == {}
    assert set(tmp_path.parent.rglob("*")) - before == {path, link}


def test_what_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 1 << 20)
    big = archive(tmp_path / "a.tar.gz", ("other", bytes(1 << 21)), ("train", b"x"))
    assert big.stat().st_size < 10_000
    header = tarfile.TarInfo("x")  # a name of two megabytes
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 21
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(header.tobuf() + bytes(1 << 21)))
    for path in (big, tmp_path / "b.tar.gz"):
        with pytest.raises(DataError, match=r"cannot read the archive '.*[ab]\.tar\.gz': unpacks to more than 1 MB"):
            read_members(path, ["train"])


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", ("one/train", b"x"), ("two/train", b"y"))
    with pytest.raises(DataError, match="holds train twice"):
        read_members(path, ["train"])


@given(data=st.data())
def test_a_damaged_archive_is_one_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = archive(tmp_path_factory.mktemp("a") / "a.tar.gz", ("train", np.random.default_rng(0).bytes(2000)))
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: data.draw(st.integers(0, 2000))])
    with pytest.raises(DataError, match=r"cannot read the archive '.*a\.tar\.gz'") as error:
        read_members(path, ["train"])
    assert "\n" not in str(error.value)


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.tar.gz").write_text("<html>404</html>")
    (tmp_path / "text.tar.gz").write_bytes(gzip.compress(b"no tar" * 300))
    for path, message in {"page": "Not a gzipped file", "text": "", "none": "No such file"}.items():
        with pytest.raises(DataError, match=rf"cannot read the archive '.*{path}\.tar\.gz': .*{message}"):
            read_members(tmp_path / f"{path}.tar.gz", ["train"])
    with pytest.raises(DataError, match="not a regular file"):
        read_members(tmp_path, ["train"])
