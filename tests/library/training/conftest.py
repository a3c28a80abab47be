"""A finished run, and copies of it that are resumed."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from minicnn import cli
from tests.library.support.tiny_training import register_tinynet

register_tinynet()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs."""
    path = tmp_path_factory.mktemp("finished") / "run"
    train = ["train", "tinynet", "--epochs", "2", "--batch-size", "256", "--quiet", "--out", str(path)]
    assert cli.main(train) == 0
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as ``run`` in the current directory, whose result has not been written yet."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "run")
    Path("run/result.json").unlink()
    return Path("run")


@pytest.fixture
def resume(capfd: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    """Resume the run: exit status, standard error."""

    def resume() -> tuple[int, str]:
        capfd.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            status = cli.main(["train", "--resume", "run", "--quiet"])
        return status, capfd.readouterr().err

    return resume
