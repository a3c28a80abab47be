"""The command in this process, and a model that is trained in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from minicnn import cli
from tests.library.support.tiny_training import register_tinynet

register_tinynet()


@pytest.fixture
def minicnn_command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in this process and an empty directory: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(arguments)
        out, error = capfd.readouterr()
        return status, out, error

    return run
