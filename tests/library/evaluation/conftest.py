"""Runs to be evaluated and compared, trained once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from minicnn import cli
from tests.library.support.tiny_training import register_tinynet

register_tinynet()


def train(path: Path, *options: str) -> Path:
    """A run of ``tinynet`` in the folder ``path``."""
    known = ["train", "tinynet", "--epochs", "2", "--batch-size", "128", "--quiet", "--out", str(path)]
    assert cli.main([*known, *options]) == 0
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs on the digits, ``one``, which has learned something, and ``two``."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder / "one", "--batch-size", "64")
    train(folder / "two", "--seed", "1", "--epochs", "1")
    return folder


@pytest.fixture
def runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of them in the current directory."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
