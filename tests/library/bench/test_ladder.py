"""All rungs of the ladder compute the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minicnn import backend
from minicnn.bench import ladder
from tests.library.support.cuda import fakecupy

TINY = ladder.Problem(batch=2, channels=3, size=5)


@pytest.mark.slow(seconds=4)
def test_all_rungs_compute_the_same() -> None:
    rungs = ladder.climb(TINY, threads=1, seconds=0)
    assert [rung.name for rung in rungs] == ["loops", "im2col", "im2col, blocked", "direct", "Winograd", "GPU"]
    assert all(rung.seconds for rung in rungs[:-1]) and all(rung.why for rung in rungs)


def test_loops_are_scaled_to_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "LOOP_MULTIPLY_ADDS", 9 * 3 * 3 * 10)  # ten pixels
    monkeypatch.setattr(ladder, "median_time", lambda run, seconds: (run(), 1.0)[1])
    loops = ladder.climb(TINY, threads=1, seconds=0)[0]
    assert loops.seconds == 2 * 25 / 10
    assert "over 10 of 50 output pixels" in loops.why


def test_a_rung_that_computes_something_else_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = backend.load("cpu")
    monkeypatch.setattr(direct, "conv2d", lambda x, *_: np.full(x.shape, np.nan, x.dtype))
    with pytest.raises(ArithmeticError, match="direct and im2col disagree"):
        ladder.climb(TINY, threads=1, seconds=0)


def test_a_gpu_that_rounds_to_tf32_is_measured_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = backend.load("reference")
    with fakecupy.installed() as cuda:

        def rounding(x: Any, weight: Any, *geometry: Any) -> Any:
            y = reference.conv2d(x.get(), weight.get(), *geometry)
            return cuda.to_device(y * np.float32(1 + 3e-4 * backend.cuda.allow_tf32_convolutions))

        monkeypatch.setattr(cuda, "conv2d", rounding)
        rungs = ladder.climb(TINY, threads=1, seconds=0)[-2:]
    assert [rung.name for rung in rungs] == ["GPU", "GPU, TF32"] and all(rung.seconds for rung in rungs)
    assert "10 bits" in rungs[1].why
    assert backend.cuda.allow_tf32_convolutions


def test_the_ladders_multiply_adds() -> None:
    assert ladder.Problem(batch=1, channels=64, size=56).multiply_adds == 115_605_504  # of ResNet-18's first blocks
