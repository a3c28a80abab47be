"""The toy course, laid out in a temporary folder and in the place of the real manifests."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicnn.cli.course import load_checks
from minicnn.course import answers, checks, manifest, misconceptions, mutation, naming, survival
from minicnn.course.build import build

from . import toy


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The top of a copy of the toy course with freshly built assignments; its checks are defined."""
    homework, mistakes, tests = tmp_path / "homework", tmp_path / "misconceptions", tmp_path / "tests"
    for folder in (homework, mistakes, tests, tmp_path / "assignments"):
        folder.mkdir()
    (homework / "hw9.toml").write_text(toy.MANIFEST)
    (mistakes / "hw9.toml").write_text(toy.MISTAKES)
    (tests / "test_toy.py").write_text(toy.CHECKS)
    (tmp_path / "toy_reference.py").write_text(toy.REFERENCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(manifest, "FOLDER", homework)
    monkeypatch.setattr(misconceptions, "FOLDER", mistakes)
    monkeypatch.setattr(checks, "CHECKS", {})
    monkeypatch.delitem(sys.modules, "toy_reference", raising=False)
    monkeypatch.setattr(survival, "FOLDER", tmp_path / "equivalent")
    clear = (
        manifest._read,
        misconceptions._mistakes,
        answers._reference_run,
        mutation.mutants,
        survival.listed,
        survival._quickest_first,
        naming.suspect_outcome,
    )
    for cached in clear:
        assert isinstance(cached, functools._lru_cache_wrapper)
        cached.cache_clear()
    owner = manifest.homework("hw9")
    load_checks(tmp_path, owner)
    build(tmp_path, [owner])
    yield tmp_path
    for cached in clear:
        cached.cache_clear()
    sys.modules.pop("toy_reference", None)
