"""Writing is all or nothing, whatever fails."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minicnn
from minicnn.serialization import atomic, writing
from tests.library.support.weights_files import SUFFIXES


@pytest.fixture(params=SUFFIXES)
def target(request: Any, tmp_path: Path) -> Path:
    """A file that exists already and is not to be lost."""
    path = tmp_path / f"weights{request.param}"
    minicnn.save({"old": np.arange(3)}, path)
    path.chmod(0o640)
    return path


def assert_untouched(path: Path) -> None:
    assert minicnn.load(path)["old"].tolist() == [0, 1, 2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(path.parent) == [path.name], "a temporary file was left behind"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failing_disk_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        minicnn.save({"new": np.zeros(9)}, target)
    monkeypatch.undo()
    assert_untouched(target)


def test_a_failing_writer_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(arrays: Any, path: str, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(writing.WRITERS, target.suffix, write_half)
    with pytest.raises(KeyboardInterrupt):
        minicnn.save({"new": np.zeros(9)}, target)
    assert_untouched(target)


def test_a_bad_value_leaves_the_old_file(target: Path) -> None:
    with pytest.raises(TypeError, match="'bad'"):
        minicnn.save({"new": np.zeros(9), "bad": object()}, target)
    assert_untouched(target)


def test_the_bytes_are_on_the_disk_before_the_name_is(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for step in ("fsync", "replace"):
        original = getattr(os, step)
        monkeypatch.setattr(atomic.os, step, lambda *a, s=step, o=original: (steps.append(s), o(*a))[1])
    minicnn.save({"new": np.zeros(9)}, target)
    assert steps[:2] == ["fsync", "replace"]


def test_a_replaced_file_keeps_its_permissions_and_a_new_one_obeys_the_umask(target: Path) -> None:
    minicnn.save({"new": np.zeros(9)}, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    previous = os.umask(0o027)
    try:
        fresh = target.with_name(f"fresh{target.suffix}")
        minicnn.save({"new": np.zeros(9)}, fresh)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(target: Path) -> None:
    link = target.with_name(f"link{target.suffix}")
    link.symlink_to(target.name)
    minicnn.save({"new": np.zeros(2)}, link)
    assert link.is_symlink()
    assert list(minicnn.load(target)) == ["new"]


def test_tensors_survive_the_replacement_of_their_file(target: Path) -> None:
    loaded = minicnn.load(target)["old"]
    minicnn.save({"old": np.full(3, 7)}, target)
    assert loaded.tolist() == [0, 1, 2]
