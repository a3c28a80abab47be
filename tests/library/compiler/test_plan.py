"""What a plan computes, and what it leaves out."""

from __future__ import annotations

from minicnn.nn import functional as F
from tests.library.support.inference import assert_same, of, shown
from tests.library.support.inference import same_weights_without_gradients as same_weights_without_gradients
from tests.library.support.steps import images


def test_what_nobody_wants_is_not_computed() -> None:
    compiled = of(lambda m, x: (F.silu(m.conv(x)), F.max_pool2d(m.conv(x), 2))[1])
    assert_same(compiled, images((1, 3, 6, 6)))
    assert shown(compiled) == ["Conv2d", "MaxPool2d"]
