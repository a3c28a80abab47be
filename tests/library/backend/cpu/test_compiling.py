"""Compiling is announced, once, to those who want to know."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from minicnn.backend.cpu import compiling


def announced(module: str, times: int = 1) -> None:
    """Let the announcer hear that a function of ``module`` is being compiled."""
    happening = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=module))})
    for _ in range(times):
        compiling._Announcer().on_start(happening)


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if nothing had been said yet, and no silence been asked for."""
    monkeypatch.setattr(compiling._Announcer, "said", False)
    monkeypatch.setattr(sys, "argv", ["minicnn", "train", "resnet20"])
    monkeypatch.delenv("MINICNN_QUIET", raising=False)
    return monkeypatch


def test_compiling_is_announced_once(silence: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    announced("somebody.else")
    assert capsys.readouterr() == ("", "")
    announced("minicnn.backend.cpu.conv", times=3)
    kept = f"kept in {compiling.cache_folder()} (minicnn warmup does it ahead of time)"
    out, error = capsys.readouterr()
    assert (out, error.replace("\n  ", " ")) == ("", f"minicnn: compiling kernels, once: {kept}\n")


@pytest.mark.parametrize("how", ["--quiet", "MINICNN_QUIET"])
def test_whoever_wants_silence_gets_it(
    how: str, silence: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "--quiet":
        silence.setattr(sys, "argv", ["minicnn", "train", "resnet20", "--quiet"])
    else:
        silence.setenv("MINICNN_QUIET", "1")
    announced("minicnn.backend.cpu.conv")
    assert capsys.readouterr() == ("", "")
