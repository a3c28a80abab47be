"""Numbers in device memory: copied once, and never given to another GPU or stream."""

from __future__ import annotations

import numpy as np

from minicnn.backend.cuda.numbers import KEPT
from tests.library.support.cuda import fakecupy


def test_numbers_that_were_asked_for_lately_are_not_copied_again(cuda):
    rates = cuda.numbers([0.1, 0.2], "float32")
    assert rates.dtype == "float32" and rates.get().tolist() == np.array([0.1, 0.2], "float32").tolist()
    assert cuda.numbers([0.1, 0.2], "float32") is rates
    assert cuda.numbers([0.1, 0.2], "float64") is not rates and cuda.numbers([0.1, 0.3], "float32") is not rates
    for number in range(KEPT):
        cuda.numbers([float(number)], "float64")
    assert len(cuda.numbers.kept) == KEPT and cuda.numbers([0.1, 0.2], "float32") is not rates


def test_each_gpu_and_stream_has_its_own():
    with fakecupy.installed(devices=2) as gpus:
        first = gpus.numbers([0.5], "float32")
        with gpus.xp.cuda.Stream(non_blocking=True):
            assert gpus.numbers([0.5], "float32") is not first
        gpus.make_current(1)
        assert gpus.numbers([0.5], "float32").device.id == 1
