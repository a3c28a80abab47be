"""Folders and archives of strangers: what is read, and that nothing else is."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.course.grading.unpacking import Budget, Limits, Refused, Tree, archive, clean, opened, read

SMALL = Limits(files=10, single=1000, total=2000, ratio=20)


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive with just these entries; a name may be there twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, data in entries:
            target.writestr(name, data)
    return buffer.getvalue()


def of_mode(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def tarred(*entries: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as target:  # type: ignore[call-overload]
        for entry in entries:
            info = entry if isinstance(entry, tarfile.TarInfo) else tarfile.TarInfo(entry[0])
            data = b"" if isinstance(entry, tarfile.TarInfo) else entry[1]
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def contents(tree: Tree, limits: Limits = SMALL) -> dict[str, bytes]:
    budget = Budget(limits)
    return {name: tree.read(name, budget) for name in tree.files}


def refused(data: bytes) -> str:
    """Why an archive is refused: as a whole, for a name in it, or when a file is read."""
    try:
        tree = archive(data, SMALL)
        contents(tree)
    except Refused as error:
        return str(error)
    return "; ".join(tree.faults.values())


# --- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [zipped, tarred, lambda *e: tarred(*e, mode="w"), lambda *e: tarred(*e, mode="w:bz2")])
def test_an_archive_gives_its_files_and_not_the_systems_litter(pack):
    litter = [
        "__MACOSX/._a.py",
        ".DS_Store",
        "x/.git/config",
        "x/__pycache__/a.pyc",
        "b/.ipynb_checkpoints/a.py",
        "a.pyc",
    ]
    tree = archive(pack(("a.py", b"1"), ("x/./b.py", b"2"), *((name, b"") for name in litter)))
    assert contents(tree) == {"a.py": b"1", "x/b.py": b"2"}
    assert not tree.faults


def test_a_folder_a_zip_a_tar_and_a_file_read_the_same(tmp_path):
    folder = tmp_path / "folder"
    (folder / "x" / ".git").mkdir(parents=True)
    (folder / "x" / "a.py").write_bytes(b"1")
    (folder / "x" / ".git" / "config").write_bytes(b"2")
    (tmp_path / "a.zip").write_bytes(zipped(("x/a.py", b"1")))
    (tmp_path / "a.tgz").write_bytes(tarred(("x/a.py", b"1")))
    assert read(folder) == read(tmp_path / "a.zip") == read(tmp_path / "a.tgz") == {"x/a.py": b"1"}
    assert read(folder / "x" / "a.py") == {"a.py": b"1"}


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.tar", "a.py"])
def test_what_does_not_exist_is_the_systems_error(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / name)


def test_a_backslash_separates_as_windows_writes_it():
    assert contents(archive(zipped(("x\\a.py", b"1")))) == {"x/a.py": b"1"}


def test_a_part_of_a_tree_has_its_files_and_its_faults():
    tree = archive(zipped(("ada/x/a.py", b"1"), (of_mode("ada/l", stat.S_IFLNK | 0o777), b"/"), ("bob/a.py", b"2")))
    part = tree.below("ada")
    assert contents(part) == {"x/a.py": b"1"}
    assert set(part.faults) == {"l"}
    assert not tree.below("bob").faults


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../a.py", "x/../../a.py", "/etc/passwd", "C:/a.py", "c:a.py", "..\\a.py", "\\\\host\\a.py", "x/..", "\\a"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_that_leads_outside_is_a_fault(pack, name):
    tree = archive(pack(("good.py", b""), (name, b"")))
    assert set(tree.files) == {"good.py"}
    assert "leads out" in "".join(tree.faults.values())


@given(st.text(st.sampled_from("ab./\\:C"), max_size=12))
@settings(max_examples=300, deadline=None)
def test_a_clean_name_stays_in_its_folder_and_is_itself_clean(name):
    try:
        path = clean(name)
    except Refused:
        return
    assert os.path.normpath("/top/" + path).startswith("/top")
    assert ".." not in path.split("/") and "\\" not in path and not path.startswith("/")
    assert path and clean(path) == path


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_faults(kind):
    tree = archive(zipped((of_mode("a.py", kind | 0o644), b"/etc/passwd")))
    assert not tree.files and "is " in tree.faults["a.py"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_faults(kind):
    tree = archive(tarred(special("a.py", kind, "/etc/passwd")))
    assert not tree.files and "is " in tree.faults["a.py"]


@pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")
def test_links_and_pipes_in_a_folder_are_faults_and_are_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.py").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link.py").symlink_to(secret / "key.py")
    (folder / "linked").symlink_to(secret, target_is_directory=True)
    os.mkfifo(folder / "pipe.py")
    with opened(folder) as tree:
        assert not tree.files
        assert set(tree.faults) == {"link.py", "linked", "pipe.py"}
    with pytest.raises(Refused, match="'link.py' is a symbolic link"):
        read(folder)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="the system opens links")
def test_a_file_that_becomes_a_link_after_it_was_listed_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.py").write_text("mine")
    with opened(folder) as tree:
        (folder / "a.py").unlink()
        (folder / "a.py").symlink_to(tmp_path / "secret")
        with pytest.raises(Refused, match="'a.py' cannot be read"):
            tree.read("a.py")


def test_two_entries_of_one_name_are_a_fault():
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped(("a.py", b"shown"), ("a.py", b"run"))
    assert archive(data).faults == {"a.py": "is there twice"}
    assert archive(tarred(("a.py", b"1"), ("./a.py", b"2"))).faults == {"a.py": "is there twice"}


def test_an_encrypted_entry_is_a_fault():
    data = bytearray(zipped(("a.py", b"1")))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert archive(bytes(data)).faults == {"a.py": "is encrypted"}


def test_a_method_that_may_need_gigabytes_is_a_fault():
    data = zipped(("a.py", b"1" * 100), method=zipfile.ZIP_LZMA)
    assert "method 14" in archive(data).faults["a.py"]


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\x00rubbish", b"Rar!\x1a\x07", b"BZh9"]
)
def test_what_is_no_archive_is_refused(data):
    assert "broken archive" in refused(data) or not archive(data).files


# --- bombs ------------------------------------------------------------------------------------------------------------


def test_a_file_may_be_large_but_not_larger():
    assert contents(archive(zipped(("a.py", os.urandom(1000)))))
    assert "more than 1000 bytes" in refused(zipped(("a.py", os.urandom(1001))))
    assert "more than 1000 bytes" in refused(tarred(("a.py", os.urandom(1001))))


def test_all_files_together_have_a_limit():
    entries = [(f"{number}.py", os.urandom(900)) for number in range(3)]
    assert "more than 0 MB" in refused(zipped(*entries))
    assert contents(archive(zipped(*entries[:2])))


def test_too_many_files_are_refused_before_they_are_listed():
    entries = [(f"{number}.py", b"") for number in range(11)]
    assert "more than 10 files" in refused(zipped(*entries))
    assert "more than 10 files" in refused(tarred(*entries))
    assert len(archive(zipped(*entries[:10]), SMALL).files) == 10


def test_a_zip_bomb_stops_at_the_ratio():
    tree = archive(zipped(("a.py", bytes(30 << 20))))  # 30 MB of zeros in 30 kB
    with pytest.raises(Refused, match="'a.py' is too large"):
        tree.read("a.py")


def test_a_zip_that_declares_a_small_size_is_read_no_further_than_allowed():
    data = bytearray(zipped(("a.py", bytes(1 << 20))))
    start = data.index(b"PK\x01\x02") + 24
    data[start : start + 4] = struct.pack("<L", 10)
    assert "damaged" in refused(bytes(data))


def test_a_compressed_tar_bomb_stops_also_where_nothing_is_asked_for():
    info = tarfile.TarInfo("a.bin")
    info.type, info.size = b"Z", 1 << 30  # of an unknown type, but all of it is skipped
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", compresslevel=1) as target:
        target.write(info.tobuf())
        target.write(bytes(8 << 20))
    assert "unpacks to too much" in refused(buffer.getvalue())


def test_entries_that_overlap_are_refused():
    """Fifield's bomb: many entries of the central directory share the bytes of one."""
    data = zipped(("a.py", os.urandom(900)))
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    header = data[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, 3 * len(header), start, 0)
    assert "overlap" in refused(data[:start] + 3 * header + tail)


# --- anything ---------------------------------------------------------------------------------------------------------

NAMES = st.text(st.sampled_from("ab/.\\:é\u202e\u200b "), min_size=1, max_size=8)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=40)), max_size=4), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_damaged_archive_is_read_or_refused_and_nothing_else(entries, where, value):
    for pack in (zipped, tarred):
        data = bytearray(pack(*entries))
        data[where % len(data)] = value
        try:
            tree = archive(bytes(data), SMALL)
        except Refused:
            continue
        for name in tree.files:
            assert clean(name) == name
            try:
                assert len(tree.read(name, Budget(SMALL))) <= SMALL.single
            except Refused:
                continue


def test_nothing_is_written_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").write_bytes(zipped(("../b.py", b""), ("c.py", b"1")))
    with opened(Path("a.zip")) as tree:
        contents(tree)
    assert os.listdir(tmp_path) == ["a.zip"]
