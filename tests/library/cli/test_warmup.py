"""``minicnn warmup``: what it prints."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest

from minicnn import cli
from minicnn.backend.cpu import compiling, warmup


def _nothing(dtype: np.dtype) -> None:
    pass


def _something(dtype: np.dtype) -> None:
    numba.njit(lambda x: x)(dtype.type(0))


@pytest.mark.parametrize("options", [[], ["--float64"]])
def test_it_says_what_is_compiled(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warmup, "STEPS", {"what is there": _nothing, "what is not": _something})
    assert cli.main(["warmup", *options]) == 0
    first, *steps, last = capsys.readouterr().out.replace("\n  /", " /").splitlines()
    assert first == f"compiling kernels, once: kept in {compiling.cache_folder()}"
    count, names = 2 + 2 * len(options), ["float32", "float64"][: 1 + len(options)]
    for number, (line, dtype) in enumerate(zip(steps, names, strict=True), 1):
        assert re.fullmatch(rf" +{2 * number} of {count}  what is not, {dtype} \.\.\. \d+\.\d s", line)
    assert re.fullmatch(rf"done in \d+ s; {count // 2} of {count} were there already", last)


def test_it_says_that_everything_is_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(warmup, "STEPS", {"what is there": _nothing})
    assert cli.main(["warmup"]) == 0
    assert re.fullmatch(
        rf"all kernels are compiled already \(.*\): kept in {re.escape(str(compiling.cache_folder()))}\n",
        capsys.readouterr().out.replace("\n  ", " "),
    )
