"""The gradient at a weight, in Winograd's way, over several blocks of patches."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.backend.base import Window
from minicnn.backend.cpu import memory, weight_grad, winograd, winograd_weight
from minicnn.backend.cpu.target import target
from minicnn.backend.reference import conv as reference
from tests.library.support.strategies import normal

LANES = target().lanes(4)


@pytest.mark.skipif(not target().fma, reason="not used without fused multiply-adds")
@pytest.mark.parametrize("size", [(32, 32), (33, 47)], ids=str)
def test_patches_that_hang_over_the_edge_count_for_what_they_show(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window((3, 3), (1, 1), ((1, 1), (1, 1)))
    x, dy = normal((3, 2 * LANES, *size), 0).astype("f"), normal((3, 2 * LANES, *size), 1).astype("f")
    used, sums = [], winograd_weight.sums
    monkeypatch.setattr(winograd, "LEAST_WORK", 0)
    monkeypatch.setattr(winograd_weight, "WORTH", winograd.Worth(gain=0, patches=256))
    monkeypatch.setattr(winograd_weight, "BLOCK_BYTES", 1)  # as many blocks as can be
    monkeypatch.setattr(winograd_weight, "sums", lambda *args: (used.append(1), sums(*args))[1])
    with memory.guarded():
        found = weight_grad.conv2d_weight_grad(dy, x, (2 * LANES, 2 * LANES, 3, 3), window)
    assert used == [1]
    expected = reference.conv2d_weight_grad(dy.astype("d"), x.astype("d"), found.shape, window)
    assert found.dtype == np.float32
    assert abs(found - expected).max() <= 3e-6 * abs(expected).max()
